//! The prompt of each role: what the tools are for, and how to report. Its tools are those of the table that the caller
//! may use, so it names none that there is not. Pure; what the config says instead comes in as an argument.

use crate::domain::caller::{Caller, Role};
use rmcp::model::{JsonObject, Prompt, PromptArgument};
use serde_json::Value;

/// Characters of the task that may be given, at most.
const TASK_CHARS_MAX: usize = 8_000;
/// The name of the only argument.
const TASK: &str = "task";
/// What stands for the list of tools in a text of the config's.
const TOOLS: &str = "{tools}";

/// Whose prompt it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An admin's.
    Admin,
    /// A member's or contributor's.
    Member,
    /// A newcomer's.
    Newcomer,
    /// That of a session's agent, whoever it belongs to.
    Agent,
}

impl Kind {
    /// The one prompt of this caller; `None` for who has none.
    pub fn of(caller: &Caller) -> Option<Self> {
        if caller.standing.refusal().is_some() || caller.role == Role::Public {
            return None;
        }
        if caller.agent_of.is_some() {
            return Some(Self::Agent);
        }
        match caller.role {
            Role::Admin => Some(Self::Admin),
            Role::Member | Role::Contributor => Some(Self::Member),
            Role::Newcomer => Some(Self::Newcomer),
            Role::Public => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Newcomer => "newcomer",
            Self::Agent => "agent",
        }
    }

    /// What clients are told of it.
    pub fn listed(self) -> Prompt {
        let about = match self {
            Self::Admin => "What an admin's tools are for, and how people and their work are looked after",
            Self::Member => "What your tools are for, and how to report",
            Self::Newcomer => "What you can look at, and whom to ask",
            Self::Agent => "What a session's agent may do here, and how to report",
        };
        let task = PromptArgument::new(TASK)
            .with_description("What is to be done, if something is")
            .with_required(false);
        Prompt::new(self.name(), Some(about), Some(vec![task])).with_title("Working with teleclaude")
    }

    const fn guide(self) -> &'static [Advice] {
        match self {
            Self::Admin => ADMIN,
            Self::Member => MEMBER,
            Self::Newcomer => NEWCOMER,
            Self::Agent => AGENT,
        }
    }
}

/// A line of a prompt, and the tools without which it is left out.
struct Advice(&'static [&'static str], &'static str);

const CONTEXT: Advice = Advice(
    &["get_context"],
    "Before you decide how something is done here, look into the shared documents: `get_context` without ids lists \
     them, with ids it gives their texts and what is to be read before them.",
);
const RUN: Advice = Advice(
    &["list_projects", "start_session", "send_message"],
    "To have work done, take a project from `list_projects`, start an agent in it with `start_session` and go on with \
     `send_message`. It runs on without you.",
);
const LOOK: Advice = Advice(
    &["list_sessions", "get_session_data"],
    "`list_sessions` says what runs; `get_session_data` shows what a session showed.",
);
const TASKS: Advice = Advice(
    &["get_my_tasks", "update_task_status"],
    "What you are asked to do is in `get_my_tasks`. Say with `update_task_status` when you take a task on, and when it \
     is done.",
);
const SUMMARY: Advice = Advice(
    &["send_summary_to_owner"],
    "Report with `send_summary_to_owner` when work is done, and when it is stuck: what came of it, what is open, what \
     you need. One summary says more than many messages.",
);
const INBOX: Advice =
    Advice(&["inbox"], "Word for you is in `inbox`, also of who read a session of yours and why.");

const ADMIN: &[Advice] = &[
    Advice(&["whoami"], "Begin with `whoami`: it says for whom you act, and what is allowed."),
    CONTEXT,
    RUN,
    LOOK,
    Advice(
        &["get_session_data"],
        "A session that is somebody else's is read by `get_session_data` with a reason only. Give the true one: it is written down before you \
         see anything, and its owner is told.",
    ),
    Advice(
        &["list_users", "resolve_user"],
        "People are found with `list_users`. Before something is done for or to one, make sure with `resolve_user` that \
         it is them; if it names several, ask which.",
    ),
    Advice(
        &["create_user_task", "get_user_tasks", "get_overdue_tasks"],
        "Give work with `create_user_task`: what, for whom, until when. `get_user_tasks` shows how far a person is, \
         `get_overdue_tasks` what is late.",
    ),
    Advice(&["send_to_user"], "Send word to a person with `send_to_user`."),
    INBOX,
    TASKS,
    SUMMARY,
    Advice(
        &["audit_query"],
        "Who did what, to whose session, and why: `audit_query`. That you asked is in it, too.",
    ),
];

const MEMBER: &[Advice] = &[
    Advice(&["whoami"], "Begin with `whoami`: it says for whom you act, and what is allowed."),
    TASKS,
    CONTEXT,
    RUN,
    LOOK,
    Advice(
        &["get_session", "answer_session"],
        "A session that waits for an answer says so in `get_session`; `answer_session` gives it.",
    ),
    SUMMARY,
    INBOX,
];

const NEWCOMER: &[Advice] = &[
    Advice(&["whoami"], "Begin with `whoami`: it says for whom you act, and what is allowed."),
    CONTEXT,
    TASKS,
    LOOK,
    SUMMARY,
    INBOX,
];

const AGENT: &[Advice] = &[
    CONTEXT,
    Advice(
        &["start_session", "send_message", "get_session_data", "end_session"],
        "Work that can be done beside yours may go to a session of its own: `start_session` begins it, `send_message` \
         goes on, `get_session_data` shows how far it is, `end_session` ends it once nothing is left to do.",
    ),
    Advice(&["subscribe"], "`subscribe` has you told when such a session stops or asks something."),
    TASKS,
    SUMMARY,
];

/// The text of this caller's prompt. `tools` are those they may use, each with what it is for; `configured` is the
/// text that the config has instead of ours.
///
/// # Errors
/// The arguments are not those of the prompt.
pub fn text(
    kind: Kind,
    caller: &Caller,
    tools: &[(&str, &str)],
    configured: Option<&str>,
    arguments: Option<&JsonObject>,
) -> Result<String, String> {
    let task = task(arguments)?;
    let list: Vec<String> =
        tools.iter().map(|(name, about)| format!("- `{name}`: {}", sentence(about))).collect();
    let mut text = match configured {
        Some(text) => text.trim_end().replace(TOOLS, &list.join("\n")),
        None => {
            let has = |name: &&str| tools.iter().any(|(tool, _)| tool == name);
            let advice = kind.guide().iter().filter(|Advice(needs, _)| needs.iter().all(has));
            let advice: Vec<String> = advice.map(|Advice(_, line)| format!("- {line}")).collect();
            format!(
                "You work with teleclaude, which runs coding agents in sessions for the people of this machine. {}\n\n\
                 ## How to go about it\n\n{}\n\n## Your tools\n\n{}",
                who(kind, caller),
                advice.join("\n"),
                list.join("\n")
            )
        }
    };
    if let Some(task) = task {
        text.push_str("\n\n## The task\n\n");
        text.push_str(task);
    }
    text.push('\n');
    Ok(text)
}

fn who(kind: Kind, caller: &Caller) -> String {
    let name = caller.name();
    match (kind, caller.agent_of) {
        (Kind::Agent, Some(session)) => format!(
            "You are the agent of session {session}, which belongs to {name}. You may see this session and those that \
             it started, and nothing else of {name}'s."
        ),
        (Kind::Newcomer, _) => format!(
            "You act for {name}, whose role is {}: you may look at what is theirs, and start nothing. An admin can give \
             more.",
            caller.role
        ),
        _ => format!(
            "You act for {name}, whose role is {}. Every change, and every look at what is somebody else's, is written \
             down under that name.",
            caller.role
        ),
    }
}

/// The first sentence.
fn sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn task(arguments: Option<&JsonObject>) -> Result<Option<&str>, String> {
    let mut task = None;
    for (name, value) in arguments.into_iter().flatten() {
        match (name.as_str(), value) {
            (TASK, Value::String(text)) if text.chars().count() > TASK_CHARS_MAX => {
                return Err(format!("{TASK}: must be at most {TASK_CHARS_MAX} characters"));
            }
            (TASK, Value::String(text)) => task = Some(text.trim()).filter(|text| !text.is_empty()),
            (TASK, _) => return Err(format!("{TASK}: must be text")),
            _ => return Err(format!("the only argument is `{TASK}`")),
        }
    }
    Ok(task)
}

#[cfg(test)]
mod tests {
    use super::{ADMIN, AGENT, Advice, Kind, MEMBER, NEWCOMER, text};
    use crate::daemon::mcp::tools::{TOOLS, find};
    use crate::domain::caller::{Caller, PersonRef, Role, Rule, Via};
    use crate::domain::person::{PersonId, Standing};
    use crate::domain::policy;
    use crate::domain::session::SessionId;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn caller(role: Role, agent: bool) -> Caller {
        Caller {
            uid: 1000,
            gid: 1000,
            groups: vec![],
            os_username: None,
            person: (role > Role::Public)
                .then(|| PersonRef { id: PersonId(Uuid::nil()), name: "ann".to_owned() }),
            role,
            standing: Standing::Active,
            rule: Rule { text: "test".to_owned(), origin: None },
            via: Via::Mcp,
            agent_of: agent.then_some(SessionId(Uuid::nil())),
        }
    }

    fn tools(caller: &Caller) -> Vec<(&'static str, &'static str)> {
        TOOLS
            .iter()
            .filter(|entry| policy::may(caller, entry.verb))
            .map(|entry| (entry.tool.name.as_ref(), entry.tool.description.as_deref().unwrap_or_default()))
            .collect()
    }

    fn said(role: Role, agent: bool, configured: Option<&str>, arguments: Value) -> Result<String, String> {
        let caller = caller(role, agent);
        let kind = Kind::of(&caller).unwrap();
        text(kind, &caller, &tools(&caller), configured, arguments.as_object())
    }

    #[test]
    fn each_role_has_its_own() {
        let mut all = String::new();
        for (role, agent) in [
            (Role::Admin, false),
            (Role::Member, false),
            (Role::Contributor, false),
            (Role::Newcomer, false),
            (Role::Member, true),
        ] {
            let text = said(role, agent, None, json!({})).unwrap();
            let (head, list) = text.split_once("## Your tools\n\n").unwrap();
            // The list is the table's; that it is the role's is looked at here, and not in the picture.
            let listed: Vec<&str> =
                list.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next()).collect();
            let may: Vec<&str> = tools(&caller(role, agent)).iter().map(|(name, _)| *name).collect();
            assert_eq!(listed, may);
            all += &format!("==== {role}{}\n{head}", if agent { ", its agent" } else { "" });
        }
        insta::assert_snapshot!("prompts", all);
        assert_eq!(Kind::of(&caller(Role::Public, false)), None);
        let banned = Caller { standing: Standing::Off("suspended"), ..caller(Role::Admin, false) };
        assert_eq!(Kind::of(&banned), None);
    }

    #[test]
    fn what_is_advised_names_only_what_it_needs() {
        for Advice(needs, line) in [ADMIN, MEMBER, NEWCOMER, AGENT].into_iter().flatten() {
            let named: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
            let mut needed = needs.to_vec();
            needed.sort_unstable();
            let mut sorted = named.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted, needed, "{line}");
            assert!(needs.iter().all(|name| find(name).is_some()), "there is no such tool: {line}");
        }
    }

    #[test]
    fn the_config_may_say_it_and_a_task_comes_last() {
        let text =
            said(Role::Newcomer, false, Some("Be kind.\n{tools}\n"), json!({ "task": " look " })).unwrap();
        assert!(text.starts_with("Be kind.\n- `whoami`: Says who you are"), "{text}");
        assert!(
            text.ends_with("\n\n## The task\n\nlook\n") && !text.contains("How to go about it"),
            "{text}"
        );
        assert!(!text.contains("start_session"), "a newcomer may not");
        let long = "x".repeat(8_001);
        for wrong in [json!({ "task": 7 }), json!({ "other": "x" }), json!({ "task": long })] {
            assert!(said(Role::Newcomer, false, None, wrong).is_err());
        }
    }
}
