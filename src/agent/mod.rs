//! What is particular to an agent: its command line, its environment, how it is typed to. Pure: nothing is looked up,
//! nothing is started. Prompts, hook settings and secrets are never part of a command line, which every user of the
//! machine can read. What an agent writes down about its session is `transcript`.

pub mod answer;
pub mod hook;
pub mod transcript;
pub mod wiring;

use crate::config::schema::agents::{Agent, LOGIN_SHELL};
use crate::domain::session::{Profile, ThinkingMode};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How an agent is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// An agent with an input box: a message is one paste, a slash command is typed bare.
    Conversation,
    /// A shell: a message is a line.
    Shell,
}

/// How the agent of this name is spoken to.
pub fn manner(name: &str) -> Manner {
    if name == "shell" { Manner::Shell } else { Manner::Conversation }
}

/// How an agent is interrupted in what it does, so that it waits for what is said next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// By these keystrokes.
    Keys(&'static [u8]),
    /// By SIGINT, to the terminal's foreground process group.
    Signal,
}

/// How the agent of this name is interrupted.
pub fn interrupt(name: &str) -> Interrupt {
    match manner(name) {
        // Ctrl-C ends some of them; Escape ends what they are doing.
        Manner::Conversation => Interrupt::Keys(b"\x1b"),
        Manner::Shell => Interrupt::Signal,
    }
}

/// The agent's own session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native<'a> {
    /// A new one; where the agent takes an id, this one.
    New(&'a str),
    /// It goes on with this one.
    Resume(&'a str),
}

/// The argv of an agent: binary, its own arguments, those of its `wiring`, profile, model, session id. None where the agent has no such
/// profile: a shell does not ask before it acts, so it cannot be restricted. None also where it cannot resume.
pub fn argv(
    agent: &Agent,
    owner: &Owner,
    profile: Profile,
    mode: ThinkingMode,
    native: Native<'_>,
    wired: &[String],
) -> Option<Vec<String>> {
    let profile = agent.profile(profile)?;
    let mut argv = match agent.command.as_str() {
        LOGIN_SHELL => vec![owner.shell.clone(), "-l".to_owned()],
        command => vec![command.to_owned()],
    };
    argv.extend(agent.args.iter().chain(wired).chain(profile).chain(agent.model(mode)).cloned());
    argv.extend(match native {
        Native::New(id) => agent.native_id_args(id),
        Native::Resume(id) => agent.resume_args(id)?,
    });
    Some(argv)
}

/// The PATH of an agent: `own` (the daemon's, in single-user mode) and what the config lists, `~/` being the owner's
/// home.
pub fn path(listed: &[PathBuf], owner: &Owner, own: Option<&str>) -> String {
    let listed = listed.iter().map(|folder| {
        let folder = folder.to_string_lossy();
        match folder.strip_prefix("~/") {
            Some(below) => format!("{}/{below}", owner.home),
            None => folder.into_owned(),
        }
    });
    own.map(str::to_owned).into_iter().chain(listed).collect::<Vec<_>>().join(":")
}

/// The person an agent runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Home directory.
    pub home: String,
    /// Name in the OS.
    pub user: String,
    /// Login shell.
    pub shell: String,
}

/// What ties an agent to its session. Debug does not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionVars {
    /// The session's id.
    pub session: String,
    /// The secret with which the agent's own calls are recognised.
    pub token: String,
    /// The daemon's socket.
    pub socket: String,
    /// Private temporary folder; the host makes it.
    pub tmp_dir: String,
}

impl std::fmt::Debug for SessionVars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionVars").field("session", &self.session).finish_non_exhaustive()
    }
}

/// The whole environment of an agent, sorted by name, built from nothing. `listed` are the names that the agent's
/// configuration lists, with the values found for them; they cannot replace what ties the agent to its session, its
/// owner or its terminal.
pub fn environment(
    owner: &Owner,
    path: &str,
    lang: &str,
    vars: &SessionVars,
    listed: &[(String, String)],
) -> Vec<(String, String)> {
    let own = [
        ("HOME", owner.home.as_str()),
        ("USER", &owner.user),
        ("LOGNAME", &owner.user),
        ("SHELL", &owner.shell),
        ("PATH", path),
        ("LANG", lang),
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("TMPDIR", &vars.tmp_dir),
        ("TELECLAUDE_SESSION", &vars.session),
        ("TELECLAUDE_TOKEN", &vars.token),
        ("TELECLAUDE_SOCKET", &vars.socket),
    ];
    let mut all: BTreeMap<String, String> = listed.iter().cloned().collect();
    all.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{Interrupt, Manner, Native, Owner, SessionVars, argv, environment, interrupt, manner, path};
    use crate::config::schema::agents::Agents;
    use crate::domain::session::{Profile, ThinkingMode};
    use std::path::PathBuf;

    fn owner() -> Owner {
        Owner { home: "/home/ann".to_owned(), user: "ann".to_owned(), shell: "/bin/bash".to_owned() }
    }

    fn line(name: &str, profile: Profile, mode: ThinkingMode) -> Option<String> {
        let agents = Agents::default();
        argv(&agents.by_name[name], &owner(), profile, mode, Native::New("ID"), &[])
            .map(|argv| argv.join(" "))
    }

    #[test]
    fn what_resumes_a_session_stands_where_a_new_ones_id_would() {
        let agents = Agents::default();
        for (name, expected) in [
            ("claude", Some("claude --permission-mode default --strict-mcp-config --model opus --resume ID")),
            (
                "codex",
                Some(
                    "codex --sandbox workspace-write --ask-for-approval on-request -c model_reasoning_effort=xhigh resume ID",
                ),
            ),
            ("gemini", Some("gemini --approval-mode default --sandbox -m pro --resume ID")),
        ] {
            let (agent, native) = (&agents.by_name[name], Native::Resume("ID"));
            let argv = argv(agent, &owner(), Profile::Restricted, ThinkingMode::Slow, native, &[]);
            assert_eq!(argv.map(|argv| argv.join(" ")).as_deref(), expected);
        }
        let shell = &agents.by_name["shell"];
        assert_eq!(argv(shell, &owner(), Profile::Full, ThinkingMode::Slow, Native::Resume("ID"), &[]), None);
        assert_eq!((interrupt("shell"), interrupt("claude")), (Interrupt::Signal, Interrupt::Keys(b"\x1b")));
    }

    #[test]
    fn flags_of_the_built_in_agents() {
        use Profile::{Full, Restricted};
        use ThinkingMode::{Fast, Med, Slow};
        for (name, profile, mode, expected) in [
            ("claude", Full, Fast, "claude --dangerously-skip-permissions --model haiku --session-id ID"),
            ("claude", Full, Slow, "claude --dangerously-skip-permissions --model opus --session-id ID"),
            (
                "claude",
                Restricted,
                Med,
                "claude --permission-mode default --strict-mcp-config --model sonnet --session-id ID",
            ),
            (
                "codex",
                Full,
                Fast,
                "codex --dangerously-bypass-approvals-and-sandbox -c model_reasoning_effort=medium",
            ),
            (
                "codex",
                Restricted,
                Slow,
                "codex --sandbox workspace-write --ask-for-approval on-request -c model_reasoning_effort=xhigh",
            ),
            ("gemini", Full, Med, "gemini --approval-mode yolo -m flash --session-id ID"),
            (
                "gemini",
                Restricted,
                Fast,
                "gemini --approval-mode default --sandbox -m flash-lite --session-id ID",
            ),
            ("shell", Full, Slow, "/bin/bash -l"),
        ] {
            assert_eq!(line(name, profile, mode).as_deref(), Some(expected));
        }
        assert_eq!(line("shell", Restricted, Slow), None, "a shell cannot be restricted");
        assert_eq!((manner("shell"), manner("claude")), (Manner::Shell, Manner::Conversation));
    }

    #[test]
    fn the_path_knows_the_owners_home() {
        let listed = ["~/.local/bin", "/usr/bin"].map(PathBuf::from);
        assert_eq!(path(&listed, &owner(), None), "/home/ann/.local/bin:/usr/bin");
        assert_eq!(path(&listed, &owner(), Some("/opt/bin")), "/opt/bin:/home/ann/.local/bin:/usr/bin");
    }

    #[test]
    fn the_environment_is_exactly_this() {
        let vars = SessionVars {
            session: "S".to_owned(),
            token: "not-a-real-token".to_owned(),
            socket: "/run/t.sock".to_owned(),
            tmp_dir: "/tmp/x".to_owned(),
        };
        let listed = [("API_KEY", "k"), ("HOME", "/root"), ("TELECLAUDE_TOKEN", "other")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let shown: Vec<String> = environment(&owner(), "/usr/bin", "C.UTF-8", &vars, &listed)
            .into_iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(
            shown,
            [
                "API_KEY=k",
                "COLORTERM=truecolor",
                "HOME=/home/ann",
                "LANG=C.UTF-8",
                "LOGNAME=ann",
                "PATH=/usr/bin",
                "SHELL=/bin/bash",
                "TELECLAUDE_SESSION=S",
                "TELECLAUDE_SOCKET=/run/t.sock",
                "TELECLAUDE_TOKEN=not-a-real-token",
                "TERM=xterm-256color",
                "TMPDIR=/tmp/x",
                "USER=ann",
            ]
        );
        assert!(!format!("{vars:?}").contains("not-a-real-token"));
    }
}
