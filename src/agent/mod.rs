//! What is particular to an agent: its command line, its environment, how it is typed to. Pure: nothing is looked up,
//! nothing is started. Prompts, hook settings and secrets are never part of a command line, which every user of the
//! machine can read.

use crate::domain::session::{Profile, ThinkingMode};
use std::collections::BTreeMap;

/// One agent, for one session: the parts of its configuration that this session needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpec {
    /// Its name, as configured.
    pub name: String,
    /// The program: absolute, or found on the agent's PATH.
    pub command: String,
    /// Arguments that are always given.
    pub args: Vec<String>,
    /// Arguments of the session's profile.
    pub profile_flags: Vec<String>,
    /// Arguments of the session's thinking mode.
    pub model_flags: Vec<String>,
    /// The flag after which the agent takes a session id of our choosing.
    pub native_id_flag: Option<String>,
}

/// A program and its arguments; never a shell string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
}

impl CommandLine {
    /// Program and arguments in one list.
    pub fn argv(self) -> Vec<String> {
        std::iter::once(self.program).chain(self.args).collect()
    }
}

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

/// The command line of an agent: binary, its own arguments, profile, model, session id. None where the profile is
/// not possible: a shell does not ask before it acts, so it cannot be restricted.
pub fn command_line(agent: &AgentSpec, profile: Profile, native_id: Option<&str>) -> Option<CommandLine> {
    if manner(&agent.name) == Manner::Shell && profile == Profile::Restricted {
        return None;
    }
    let mut args = agent.args.clone();
    args.extend(agent.profile_flags.iter().cloned());
    args.extend(agent.model_flags.iter().cloned());
    if let (Some(flag), Some(id)) = (&agent.native_id_flag, native_id) {
        args.extend([flag.clone(), id.to_owned()]);
    }
    Some(CommandLine { program: agent.command.clone(), args })
}

/// What the built-in agents take, as far as it was checked (claude 2.1, codex 0.169, gemini 0.61); the configuration
/// may say otherwise. None for an agent that is not built in. A shell has no flags: its command is the owner's login
/// shell.
pub fn built_in(name: &str, profile: Profile, mode: ThinkingMode) -> Option<AgentSpec> {
    use Profile::{Full, Restricted};
    use ThinkingMode::{Fast, Med, Slow};
    let (profile_flags, model_flags, native_id_flag): (&[&str], [&str; 2], Option<&str>) = match name {
        "claude" => (
            match profile {
                Full => &["--dangerously-skip-permissions"],
                Restricted => &["--permission-mode", "default", "--strict-mcp-config"],
            },
            match mode {
                Fast => ["--model", "haiku"],
                Med => ["--model", "sonnet"],
                Slow => ["--model", "opus"],
            },
            Some("--session-id"),
        ),
        "codex" => (
            match profile {
                Full => &["--dangerously-bypass-approvals-and-sandbox"],
                Restricted => &["--full-auto"],
            },
            match mode {
                Fast => ["-c", "model_reasoning_effort=medium"],
                Med => ["-c", "model_reasoning_effort=high"],
                Slow => ["-c", "model_reasoning_effort=xhigh"],
            },
            None,
        ),
        "gemini" => (
            match profile {
                Full => &["--approval-mode", "yolo"],
                Restricted => &["--approval-mode", "default", "--sandbox"],
            },
            match mode {
                Fast => ["-m", "flash-lite"],
                Med => ["-m", "flash"],
                Slow => ["-m", "pro"],
            },
            Some("--session-id"),
        ),
        _ => return None,
    };
    let owned = |flags: &[&str]| flags.iter().map(|f| (*f).to_owned()).collect();
    Some(AgentSpec {
        name: name.to_owned(),
        command: name.to_owned(),
        args: Vec::new(),
        profile_flags: owned(profile_flags),
        model_flags: owned(&model_flags),
        native_id_flag: native_id_flag.map(str::to_owned),
    })
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
    use super::*;

    fn line(name: &str, profile: Profile, mode: ThinkingMode, id: Option<&str>) -> String {
        let agent = built_in(name, profile, mode).unwrap();
        command_line(&agent, profile, id).unwrap().argv().join(" ")
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
            ("codex", Restricted, Slow, "codex --full-auto -c model_reasoning_effort=xhigh"),
            ("gemini", Full, Med, "gemini --approval-mode yolo -m flash --session-id ID"),
            (
                "gemini",
                Restricted,
                Fast,
                "gemini --approval-mode default --sandbox -m flash-lite --session-id ID",
            ),
        ] {
            assert_eq!(line(name, profile, mode, Some("ID")), expected);
        }
        assert_eq!(line("gemini", Full, Slow, None), "gemini --approval-mode yolo -m pro");
        assert_eq!(built_in("shell", Full, Fast), None);
    }

    #[test]
    fn a_shell_cannot_be_restricted() {
        let shell = AgentSpec {
            name: "shell".to_owned(),
            command: "/bin/bash".to_owned(),
            args: vec!["-l".to_owned()],
            profile_flags: Vec::new(),
            model_flags: Vec::new(),
            native_id_flag: None,
        };
        assert_eq!(command_line(&shell, Profile::Restricted, None), None);
        let full = command_line(&shell, Profile::Full, Some("ignored")).unwrap();
        assert_eq!(full.argv(), ["/bin/bash", "-l"]);
        assert_eq!((manner("shell"), manner("claude")), (Manner::Shell, Manner::Conversation));
    }

    #[test]
    fn the_environment_is_exactly_this() {
        let owner =
            Owner { home: "/home/ann".to_owned(), user: "ann".to_owned(), shell: "/bin/sh".to_owned() };
        let vars = SessionVars {
            session: "S".to_owned(),
            token: "not-a-real-token".to_owned(),
            socket: "/run/t.sock".to_owned(),
            tmp_dir: "/tmp/x".to_owned(),
        };
        let listed = [("API_KEY", "k"), ("HOME", "/root"), ("TELECLAUDE_TOKEN", "other")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let shown: Vec<String> = environment(&owner, "/usr/bin", "C.UTF-8", &vars, &listed)
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
                "SHELL=/bin/sh",
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
