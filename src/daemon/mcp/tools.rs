//! The tools, as one static table in a fixed order: what models are told of each, and the request it stands for.

use crate::daemon::mcp::schema;
use crate::domain::verb::Verb;
use crate::wire::audit::AuditReply;
use crate::wire::docs::{ContextReply, GetContext};
use crate::wire::fault::Fault;
use crate::wire::inbox::{DeliveredReply, Inbox, InboxReply, SendSummary, SendToPerson, WhoRead};
use crate::wire::people::{FindPerson, FoundPersonReply, ListPeople, PeopleReply, PersonReply, ShowPerson};
use crate::wire::reply::{AgentsReply, ComputersReply, ProjectsReply, WhoamiReply};
use crate::wire::request::{
    AnswerSession, EndSession, GetSessionData, ListAudit, ListSessions, Request, RunAgentCommand,
    SearchSessions, SendMessage, SessionRef, StartSession, Steering,
};
use crate::wire::session::{
    AnsweredReply, ContentReply, EndedReply, SearchReply, SentReply, SessionReply, SessionsReply,
    StartedReply, WatchingReply,
};
use crate::wire::task::{
    CreateTask, ListMyTasks, OverdueTasks, TaskReply, TasksReply, UpdateTaskStatus, UserTasks,
};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// One tool.
#[derive(Debug)]
pub struct Entry {
    /// What clients are told.
    pub tool: Tool,
    /// What its request does, for [`Backend::may`](crate::daemon::backend::Backend::may).
    pub verb: Verb,
    /// Arguments to request.
    pub request: fn(JsonObject) -> Result<Request, Fault>,
}

/// Every tool, in the order in which they are listed.
pub static TOOLS: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    vec![
        entry(
            "whoami",
            Verb::Whoami,
            "Who am I?",
            "Says who you are to this daemon: OS user, person, role, the rule that matched, and what you may do.",
            schema::no_input(),
            schema::output::<WhoamiReply>(),
            READ,
            |args| none(args, Request::Whoami),
        ),
        entry(
            "list_projects",
            Verb::ListProjects,
            "List projects",
            "Lists the project folders in which you may start agent sessions.",
            schema::no_input(),
            schema::output::<ProjectsReply>(),
            READ,
            |args| none(args, Request::ListProjects),
        ),
        entry(
            "list_agents",
            Verb::ListAgents,
            "List agents",
            "Lists the coding agents you may run, and which one is the default.",
            schema::no_input(),
            schema::output::<AgentsReply>(),
            READ,
            |args| none(args, Request::ListAgents),
        ),
        entry(
            "list_computers",
            Verb::ListComputers,
            "List computers",
            "Lists the machines whose daemons share this database.",
            schema::no_input(),
            schema::output::<ComputersReply>(),
            READ,
            |args| none(args, Request::ListComputers),
        ),
        entry(
            "get_context",
            Verb::ReadDocs,
            "Read shared documents",
            "Shows what is written down here about how things are done. Without ids it lists the documents: id, \
             description, type. With ids it gives their texts, what they require before them; at most 48,000 \
             characters, the rest with cursor.",
            schema::input::<GetContext>(),
            schema::output::<ContextReply>(),
            READ,
            |args| some(args, Request::ReadDocs),
        ),
        entry(
            "list_sessions",
            Verb::ListSessions,
            "List sessions",
            "Lists agent sessions you may see, the most recently active first, 50 a page. Metadata only.",
            schema::input::<ListSessions>(),
            schema::output::<SessionsReply>(),
            READ,
            |args| some(args, Request::ListSessions),
        ),
        entry(
            "get_session",
            Verb::ShowSession,
            "Show a session",
            "Shows one session's metadata: status, activity, owner, project, agent. For its text use get_session_data.",
            schema::input::<SessionRef>(),
            schema::output::<SessionReply>(),
            READ,
            |args| some(args, Request::ShowSession),
        ),
        entry(
            "start_session",
            Verb::StartSession,
            "Start a session",
            "Starts a coding agent in a project, with a first message if you give one. It runs on until it ends or \
             is ended. Give a client_id of your own to make repeating the call safe.",
            schema::input::<StartSession>(),
            schema::output::<StartedReply>(),
            Hints { idempotent: true, open_world: true, ..CHANGE },
            |args| some(args, Request::StartSession),
        ),
        entry(
            "run_agent_command",
            Verb::StartSession,
            "Run a slash command",
            "Starts a coding agent in a project whose first message is a slash command such as /review. Give a \
             client_id of your own to make repeating the call safe.",
            schema::input::<RunAgentCommand>(),
            schema::output::<StartedReply>(),
            Hints { idempotent: true, open_world: true, ..CHANGE },
            |args| some(args, Request::RunAgentCommand),
        ),
        entry(
            "send_message",
            Verb::SendMessage,
            "Send a message",
            "Types a message into a running session. It is taken at once and delivered in order; the state says how \
             far it is. Give a client_id of your own to make repeating the call safe.",
            schema::input::<SendMessage>(),
            schema::output::<SentReply>(),
            Hints { idempotent: true, open_world: true, ..CHANGE },
            |args| some(args, Request::SendMessage),
        ),
        entry(
            "end_session",
            Verb::EndSession,
            "End a session",
            "Ends a session and all its processes. Its transcript stays. Ending an ended session does nothing.",
            schema::input::<EndSession>(),
            schema::output::<EndedReply>(),
            Hints { idempotent: true, destructive: true, ..CHANGE },
            |args| some(args, Request::EndSession),
        ),
        entry(
            "interrupt_session",
            Verb::InterruptSession,
            "Interrupt a session",
            "Stops what a session's agent is doing, as a person would by Escape or Ctrl-C. The session goes on and \
             waits for the next message.",
            schema::input::<Steering>(),
            schema::output::<SessionReply>(),
            CHANGE,
            |args| some(args, Request::InterruptSession),
        ),
        entry(
            "answer_session",
            Verb::AnswerSession,
            "Answer a session",
            "Answers what a session's agent asks and waits for: a permission, or a question. get_session shows what is \
             asked and its request_id. The answer is yes, no, the number of an option, or words. The first answer is \
             the one that counts.",
            schema::input::<AnswerSession>(),
            schema::output::<AnsweredReply>(),
            Hints { open_world: true, ..CHANGE },
            |args| some(args, Request::AnswerSession),
        ),
        entry(
            "resume_session",
            Verb::ResumeSession,
            "Resume a session",
            "Runs an ended session again: the same session, its agent going on where it was. Only agents that can \
             resume, and only once a session has ended.",
            schema::input::<Steering>(),
            schema::output::<SessionReply>(),
            Hints { open_world: true, ..CHANGE },
            |args| some(args, Request::ResumeSession),
        ),
        entry(
            "get_session_data",
            Verb::ReadSession,
            "Read a session",
            "Reads what a session showed: the last 2,000 characters, more with tail_chars, all of it page by page \
             with cursor. Reading somebody else's session needs a reason, which is written down and shown to them.",
            schema::input::<GetSessionData>(),
            schema::output::<ContentReply>(),
            READ,
            |args| some(args, Request::ReadSession),
        ),
        entry(
            "search_sessions",
            Verb::SearchSessions,
            "Search sessions",
            "Searches what was said and done in your agents' sessions. All words of the query must be there; \"words one \
             after the other\", begin*, -not. Gives the text around each match, the latest first. An admin who gives a \
             reason searches everybody's sessions; that is written down for each session shown.",
            schema::input::<SearchSessions>(),
            schema::output::<SearchReply>(),
            READ,
            |args| some(args, Request::SearchSessions),
        ),
        entry(
            "subscribe",
            Verb::Watch,
            "Watch a session",
            "Has you told when a session changes: by notification, and for an agent also by a line typed to it when \
             a session that it started stops or needs input.",
            schema::input::<SessionRef>(),
            schema::output::<WatchingReply>(),
            Hints { idempotent: true, ..CHANGE },
            |args| some(args, Request::Subscribe),
        ),
        entry(
            "stop_notifications",
            Verb::Watch,
            "Stop watching a session",
            "Ends what subscribe began.",
            schema::input::<SessionRef>(),
            schema::output::<WatchingReply>(),
            Hints { idempotent: true, ..CHANGE },
            |args| some(args, Request::StopNotifications),
        ),
        entry(
            "inbox",
            Verb::ReadInbox,
            "Read your inbox",
            "Reads your messages, newest first, among them who read a session of yours and why. Marks those as read \
             that you name in mark_read, or all of them with mark_all, before it answers.",
            schema::input::<Inbox>(),
            schema::output::<InboxReply>(),
            Hints { idempotent: true, ..CHANGE },
            |args| some(args, Request::Inbox),
        ),
        entry(
            "send_to_user",
            Verb::SendToPerson,
            "Write to a person",
            "Writes to a person: the message lies in their inbox, under your name, until they read it. Admins write to \
             anybody, others to admins. With into_session an admin has it typed into an open session of theirs as well.",
            schema::input::<SendToPerson>(),
            schema::output::<DeliveredReply>(),
            Hints { open_world: true, ..CHANGE },
            |args| some(args, Request::SendToPerson),
        ),
        entry(
            "send_summary_to_owner",
            Verb::SendSummary,
            "Report what was done",
            "Tells whoever gave you the task what was done: the summary lies in their inbox. Without a task_id it goes to \
             who gave your newest open task, else to the admins.",
            schema::input::<SendSummary>(),
            schema::output::<DeliveredReply>(),
            CHANGE,
            |args| some(args, Request::SendSummary),
        ),
        entry(
            "who_read_my_sessions",
            Verb::WhoReadMine,
            "Who read my sessions?",
            "Lists who read, watched or steered sessions of yours, when and why: rows of the audit log, newest first.",
            schema::input::<WhoRead>(),
            schema::output::<AuditReply>(),
            READ,
            |args| some(args, Request::WhoReadMine),
        ),
        entry(
            "create_user_task",
            Verb::CreateTask,
            "Give somebody a task",
            "Gives a person something to do, with a deadline if there is one. They find it in their inbox and among \
             their tasks; you are told when they move it on.",
            schema::input::<CreateTask>(),
            schema::output::<TaskReply>(),
            CHANGE,
            |args| some(args, Request::CreateTask),
        ),
        entry(
            "get_user_tasks",
            Verb::ListTasks,
            "List somebody's tasks",
            "Lists the tasks of one person: open ones, those due first at the top, undated ones last. With completed \
             ones among them the newest stand first.",
            schema::input::<UserTasks>(),
            schema::output::<TasksReply>(),
            READ,
            |args| some(args, |args: UserTasks| Request::ListTasks(args.into())),
        ),
        entry(
            "get_overdue_tasks",
            Verb::ListTasks,
            "List overdue tasks",
            "Lists everybody's open tasks whose deadline is over, the longest overdue first.",
            schema::input::<OverdueTasks>(),
            schema::output::<TasksReply>(),
            READ,
            |args| some(args, |args: OverdueTasks| Request::ListTasks(args.into())),
        ),
        entry(
            "get_my_tasks",
            Verb::ListMyTasks,
            "List my tasks",
            "Lists the tasks you were given: open ones, those due first at the top, undated ones last. An agent sees \
             those of the person it works for.",
            schema::input::<ListMyTasks>(),
            schema::output::<TasksReply>(),
            READ,
            |args| some(args, Request::ListMyTasks),
        ),
        entry(
            "update_task_status",
            Verb::UpdateTask,
            "Move a task",
            "Moves a task on: to accepted once work on it begins, to completed once it is done. Whoever gave it is told. \
             Only they can move it back. Moving it to where it is does nothing.",
            schema::input::<UpdateTaskStatus>(),
            schema::output::<TaskReply>(),
            Hints { idempotent: true, ..CHANGE },
            |args| some(args, |args: UpdateTaskStatus| Request::UpdateTask(args.into())),
        ),
        entry(
            "audit_query",
            Verb::ListAudit,
            "Query the audit log",
            "Lists rows of the audit log, newest first: who did what to which session, how it came out, and why. That \
             it was read is written down too.",
            schema::input::<ListAudit>(),
            schema::output::<AuditReply>(),
            READ,
            |args| some(args, Request::ListAudit),
        ),
        entry(
            "list_users",
            Verb::ListPeople,
            "List people",
            "Lists the people of this machine with role and status, 100 a page, the newest first; or those in whose \
             name or address a text stands.",
            schema::input::<ListPeople>(),
            schema::output::<PeopleReply>(),
            READ,
            |args| some(args, Request::ListPeople),
        ),
        entry(
            "resolve_user",
            Verb::FindPerson,
            "Find a person",
            "Says which person some words mean: a name, an OS user, a uid, a part of a name or phone number, or \
             something like a name. If it may be several, they are the candidates, the best first.",
            schema::input::<FindPerson>(),
            schema::output::<FoundPersonReply>(),
            READ,
            |args| some(args, Request::FindPerson),
        ),
        entry(
            "user_info",
            Verb::ShowPerson,
            "Show a person",
            "Shows what is known of a person: role, status, when they were seen, sessions and tasks. Without a person \
             yourself; only admins see others.",
            schema::input::<ShowPerson>(),
            schema::output::<PersonReply>(),
            READ,
            |args| some(args, Request::ShowPerson),
        ),
    ]
});

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    TOOLS.iter().find(|entry| entry.tool.name == name)
}

/// What a tool does to the world.
#[derive(Clone, Copy)]
struct Hints {
    read_only: bool,
    idempotent: bool,
    destructive: bool,
    open_world: bool,
}

const READ: Hints = Hints { read_only: true, idempotent: true, destructive: false, open_world: false };
const CHANGE: Hints = Hints { read_only: false, idempotent: false, destructive: false, open_world: false };

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
fn entry(
    name: &'static str,
    verb: Verb,
    title: &'static str,
    description: &'static str,
    input: Arc<JsonObject>,
    output: Arc<JsonObject>,
    hints: Hints,
    request: fn(JsonObject) -> Result<Request, Fault>,
) -> Entry {
    let annotations = ToolAnnotations::with_title(title)
        .read_only(hints.read_only)
        .idempotent(hints.idempotent)
        .destructive(hints.destructive)
        .open_world(hints.open_world);
    let mut tool = Tool::new(name, description, input).with_annotations(annotations);
    tool.title = Some(title.to_owned());
    tool.output_schema = Some(output);
    Entry { tool, verb, request }
}

fn none(args: JsonObject, request: Request) -> Result<Request, Fault> {
    match args.keys().next() {
        None => Ok(request),
        Some(key) => Err(unknown(&key.chars().take(64).collect::<String>())),
    }
}

fn some<T: DeserializeOwned>(args: JsonObject, request: fn(T) -> Request) -> Result<Request, Fault> {
    arguments(args).map(request)
}

fn unknown(key: &str) -> Fault {
    Fault::invalid(key, "there is no such argument")
}

/// Reads arguments into their type.
///
/// # Errors
/// A fault `invalid` that names the argument at fault.
pub fn arguments<T: DeserializeOwned>(args: JsonObject) -> Result<T, Fault> {
    let error = match T::deserialize(&args) {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error.to_string(),
    };
    let quoted = |after: &str| {
        let rest = error.strip_prefix(after)?.strip_prefix('`')?;
        Some(rest.split_once('`')?.0.chars().take(64).collect::<String>())
    };
    if let Some(field) = quoted("missing field ") {
        return Err(Fault::invalid(&field, "must be given"));
    }
    if let Some(field) = quoted("unknown field ") {
        return Err(unknown(&field));
    }
    // A wrong type or word: serde does not say where, so see without which argument the complaint goes away.
    let culprit = args.keys().find(|key| {
        let mut without: JsonObject = args.clone();
        without.remove(*key);
        T::deserialize(&without).err().is_none_or(|other| other.to_string() != error)
    });
    Err(Fault::invalid(
        culprit.map_or("arguments", String::as_str),
        error.chars().take(200).collect::<String>(),
    ))
}

/// Reads a JSON body of arguments.
///
/// # Errors
/// A fault `invalid`.
pub fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(args)) => arguments(args),
        Ok(_) => Err(Fault::invalid("body", "must be a JSON object")),
        Err(error) => Err(Fault::invalid(
            "body",
            format!("is not JSON: line {} column {}", error.line(), error.column()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{TOOLS, find};
    use crate::wire::fault::FaultCode;
    use serde_json::{Value, json};

    #[test]
    fn tools_are_few_and_their_names_and_schemas_are_portable() {
        assert!(TOOLS.len() <= 40);
        for entry in TOOLS.iter() {
            let name = &*entry.tool.name;
            assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            let input = Value::Object((*entry.tool.input_schema).clone());
            assert_eq!(input["type"], "object", "{name}");
            assert_eq!(input["additionalProperties"], false, "{name}");
            let output = Value::Object((**entry.tool.output_schema.as_ref().unwrap()).clone());
            assert_eq!(output["type"], "object", "{name}");
            for word in ["\"format\":\"", "\"$ref\"", "\"$defs\"", "\"oneOf\""] {
                assert!(!input.to_string().contains(word), "{name}: {word} in {input}");
                assert!(!output.to_string().contains(word), "{name}: {word} in {output}");
            }
            assert!(!input.to_string().contains("null"), "{name}: {input}");
            // Some clients take a `type` of one word only.
            assert!(!output.to_string().contains("\"type\":["), "{name}: {output}");
        }
    }

    #[test]
    fn a_cursor_that_is_null_fits_its_schema() {
        for name in ["list_sessions", "get_session_data"] {
            let output = Value::Object((**find(name).unwrap().tool.output_schema.as_ref().unwrap()).clone());
            let choices = json!([{"type": "string"}, {"type": "null"}]);
            assert_eq!(output["properties"]["next_cursor"]["anyOf"], choices, "{name}");
            assert!(output["required"].as_array().unwrap().contains(&json!("next_cursor")), "{name}");
        }
        let read = Value::Object((*find("get_session_data").unwrap().tool.input_schema).clone());
        assert_eq!(read["properties"]["format"]["enum"], json!(["markdown", "json"]));
    }

    #[test]
    fn bad_arguments_name_the_field() {
        let cases = [
            ("get_session", json!({}), "session_id"),
            ("get_session", json!({"session_id": 5}), "session_id"),
            ("get_session", json!({"session_id": "x", "sesion": 1}), "sesion"),
            ("whoami", json!({"as": "root"}), "as"),
            ("list_sessions", json!({"status": "asleep"}), "status"),
            ("list_sessions", json!({"project": "p", "limit": "ten"}), "limit"),
            ("start_session", json!({"project": "p", "thinking_mode": 1, "title": "t"}), "thinking_mode"),
            ("start_session", json!({"project": ["p"], "agent": "a"}), "project"),
        ];
        for (tool, args, field) in cases {
            let Value::Object(args) = args else { unreachable!() };
            let fault = (find(tool).unwrap().request)(args).unwrap_err();
            assert_eq!(fault.code, FaultCode::Invalid, "{tool}");
            assert_eq!(fault.field.as_deref(), Some(field), "{tool}: {fault}");
        }
    }
}
