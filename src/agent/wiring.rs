//! How an agent comes to call `teleclaude hook` and to have teleclaude's tools, without a word in its owner's own files:
//! files in the session's private temporary folder, and arguments that name them. Pure. Nothing secret is in any of it:
//! what the agent starts has the session's token from its environment.

use crate::config::schema::agents::{Agent, TranscriptFormat};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// In an argument: where the session's temporary folder goes.
pub const TMP: &str = "{tmp}";
/// Seconds that an agent gives a hook; the hook itself takes less. Codex takes no more for the last one.
const SECONDS: u64 = 3;
/// What ties a program to its session.
const VARIABLES: [&str; 3] = ["TELECLAUDE_SESSION", "TELECLAUDE_SOCKET", "TELECLAUDE_TOKEN"];

const CLAUDE: [&str; 10] = [
    "SessionStart",
    "UserPromptSubmit",
    "PermissionRequest",
    "PermissionDenied",
    "PostToolUse",
    "PostToolUseFailure",
    "Notification",
    "Stop",
    "StopFailure",
    "SessionEnd",
];
/// Each with the name by which Codex keeps whether it is trusted.
const CODEX: [(&str, &str); 6] = [
    ("SessionStart", "session_start"),
    ("UserPromptSubmit", "user_prompt_submit"),
    ("PermissionRequest", "permission_request"),
    ("PostToolUse", "post_tool_use"),
    ("Stop", "stop"),
    ("SessionEnd", "session_end"),
];
const GEMINI: [&str; 6] =
    ["SessionStart", "BeforeAgent", "Notification", "AfterTool", "AfterAgent", "SessionEnd"];

/// What is installed on this machine for agents to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// `teleclaude`, absolute.
    pub binary: PathBuf,
    /// Settings for Gemini CLI, which takes such a file only where nobody but root can write: see [`gemini`].
    pub gemini: Option<PathBuf>,
}

/// What an agent is given so that it is wired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// Arguments, with [`TMP`] in the place of the temporary folder.
    pub args: Vec<String>,
    /// Files to be made in the temporary folder (0600): name and text.
    pub files: Vec<(String, String)>,
    /// Variables.
    pub env: Vec<(String, String)>,
}

/// How this agent is wired; not at all where it writes no format that we know, where `hooks` is false, or where nothing
/// is installed.
pub fn wiring(agent: &Agent, installed: Option<&Installed>) -> Wiring {
    let Some(installed) = installed.filter(|_| agent.hooks) else { return Wiring::default() };
    match agent.transcript {
        TranscriptFormat::Claude => {
            let hook = |event: &str| json!([{ "hooks": [entry(installed, event, SECONDS)] }]);
            let hooks: Map<String, Value> =
                CLAUDE.iter().map(|&event| (event.to_owned(), hook(event))).collect();
            let file = |flag: &str, name: &str| [flag.to_owned(), format!("{TMP}/{name}")];
            Wiring {
                args: [file("--settings", "hooks.json"), file("--mcp-config", "mcp.json")].concat(),
                files: vec![
                    ("hooks.json".to_owned(), json!({ "hooks": hooks }).to_string()),
                    (
                        "mcp.json".to_owned(),
                        servers(&installed.binary, |name| format!("${{{name}}}")).to_string(),
                    ),
                ],
                env: Vec::new(),
            }
        }
        TranscriptFormat::Codex => Wiring { args: codex(installed), ..Wiring::default() },
        TranscriptFormat::Gemini => {
            let path = installed.gemini.as_ref().map(|path| path.to_string_lossy().into_owned());
            let env = path.map(|path| ("GEMINI_CLI_SYSTEM_DEFAULTS_PATH".to_owned(), path));
            Wiring { env: env.into_iter().collect(), ..Wiring::default() }
        }
        TranscriptFormat::None => Wiring::default(),
    }
}

/// The settings file that Gemini CLI is shown: the same for every session, since it has to be root's.
pub fn gemini(binary: &Path) -> Value {
    let installed = Installed { binary: binary.to_owned(), gemini: None };
    let hook = |event: &str| json!([{ "hooks": [entry(&installed, event, SECONDS * 1_000)] }]);
    let hooks: Map<String, Value> = GEMINI.iter().map(|&event| (event.to_owned(), hook(event))).collect();
    let mut settings = servers(binary, |name| format!("${name}"));
    settings["hooks"] = Value::Object(hooks);
    settings
}

/// Codex takes no file but its owner's own, so it is told by arguments. It runs only hooks that somebody trusts: these
/// alone are said to be, each by the sum over what it would run, and no other hook becomes trusted by it.
fn codex(installed: &Installed) -> Vec<String> {
    let mut args = Vec::new();
    let mut set = |key: &str, value: String| args.extend(["-c".to_owned(), format!("{key}={value}")]);
    let text = |text: &str| Value::from(text).to_string();
    let mut trusted = Vec::new();
    for (event, kept_as) in CODEX {
        let command = command(installed, event);
        set(
            &format!("hooks.{event}"),
            format!("[{{hooks=[{{type=\"command\",command={},timeout={SECONDS}}}]}}]", text(&command)),
        );
        // With its keys in the order of the alphabet, as this writes them.
        let identity = json!({
            "event_name": kept_as,
            "hooks": [{ "async": false, "command": command, "timeout": SECONDS, "type": "command" }],
        });
        let sum: String =
            Sha256::digest(identity.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        trusted.push(format!(
            "\"/<session-flags>/config.toml:{kept_as}:0:0\"={{trusted_hash=\"sha256:{sum}\"}}"
        ));
    }
    set("hooks.state", format!("{{{}}}", trusted.join(",")));
    let binary = text(&installed.binary.to_string_lossy());
    let variables = VARIABLES.map(text).join(",");
    set("mcp_servers.teleclaude", format!("{{command={binary},args=[\"mcp\"],env_vars=[{variables}]}}"));
    args
}

fn entry(installed: &Installed, event: &str, timeout: u64) -> Value {
    json!({ "type": "command", "command": command(installed, event), "timeout": timeout })
}

/// What a shell is given to run.
fn command(installed: &Installed, event: &str) -> String {
    let path = installed.binary.to_string_lossy();
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b));
    let path = if plain { path.into_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) };
    format!("{path} hook {event}")
}

/// The entry by which an agent has our tools; `value` is how it spells a variable's value.
fn servers(binary: &Path, value: impl Fn(&str) -> String) -> Value {
    let env: Map<String, Value> =
        VARIABLES.iter().map(|&name| (name.to_owned(), value(name).into())).collect();
    json!({ "mcpServers": { "teleclaude": {
        "command": binary.to_string_lossy(), "args": ["mcp"], "env": env,
    } } })
}

#[cfg(test)]
mod tests {
    use super::{Installed, Wiring, gemini, wiring};
    use crate::config::schema::agents::{Agent, Agents};
    use serde_json::Value;
    use std::path::{Path, PathBuf};

    fn wired(agent: &str, binary: &str) -> Wiring {
        let installed =
            Installed { binary: PathBuf::from(binary), gemini: Some(PathBuf::from("/usr/share/g.json")) };
        wiring(&Agents::default().by_name[agent], Some(&installed))
    }

    #[test]
    fn claude_is_told_by_two_files_of_the_sessions_own() {
        let wiring = wired("claude", "/usr/bin/teleclaude");
        assert_eq!(wiring.args.join(" "), "--settings {tmp}/hooks.json --mcp-config {tmp}/mcp.json");
        let [(_, hooks), (_, mcp)] = &wiring.files[..] else { panic!("{:?}", wiring.files) };
        let (hooks, mcp): (Value, Value) =
            (serde_json::from_str(hooks).unwrap(), serde_json::from_str(mcp).unwrap());
        let stop = &hooks["hooks"]["Stop"][0]["hooks"][0];
        assert_eq!(
            (&stop["command"], &stop["timeout"]),
            (&"/usr/bin/teleclaude hook Stop".into(), &3.into())
        );
        let server = &mcp["mcpServers"]["teleclaude"];
        assert_eq!((&server["command"], &server["args"][0]), (&"/usr/bin/teleclaude".into(), &"mcp".into()));
        assert_eq!(server["env"]["TELECLAUDE_TOKEN"], "${TELECLAUDE_TOKEN}", "a name, not the token");
    }

    #[test]
    fn codex_is_told_by_arguments_and_trusts_exactly_these_hooks() {
        let args = wired("codex", "/usr/bin/teleclaude").args;
        let has = |text: &str| assert!(args.iter().any(|arg| arg.contains(text)), "{text} in {args:#?}");
        has(r#"hooks.Stop=[{hooks=[{type="command",command="/usr/bin/teleclaude hook Stop",timeout=3}]}]"#);
        has(r#"mcp_servers.teleclaude={command="/usr/bin/teleclaude",args=["mcp"],env_vars=["TELECLAUDE_S"#);
        // What codex 0.169 itself keeps for this hook.
        has(
            r#""/<session-flags>/config.toml:stop:0:0"={trusted_hash="sha256:4ee550b1b899db9f2684ba43408803919aacf4298a5ed55a4ec0db5f5e662635"}"#,
        );
        assert!(!args.iter().any(|arg| arg.contains("bypass")));
    }

    #[test]
    fn gemini_is_shown_a_file_that_is_roots() {
        let wiring = wired("gemini", "/usr/bin/teleclaude");
        let variable = ("GEMINI_CLI_SYSTEM_DEFAULTS_PATH".to_owned(), "/usr/share/g.json".to_owned());
        assert_eq!((wiring.env, wiring.args, wiring.files), (vec![variable], vec![], vec![]));
        let settings = gemini(Path::new("/usr/bin/teleclaude"));
        assert_eq!(settings["hooks"]["AfterAgent"][0]["hooks"][0]["timeout"], 3_000);
        assert_eq!(settings["mcpServers"]["teleclaude"]["env"]["TELECLAUDE_TOKEN"], "$TELECLAUDE_TOKEN");
        let installed: Value = serde_json::from_str(include_str!("../../etc/agents/gemini.json")).unwrap();
        assert_eq!(settings, installed, "what is installed");
    }

    #[test]
    fn what_is_not_wired_gets_nothing() {
        let installed = Installed { binary: PathBuf::from("/usr/bin/teleclaude"), gemini: None };
        let agents = Agents::default();
        let off = Agent { hooks: false, ..agents.by_name["claude"].clone() };
        for (agent, installed) in [
            (&off, Some(&installed)),
            (&agents.by_name["shell"], Some(&installed)),
            (&agents.by_name["gemini"], Some(&installed)),
            (&agents.by_name["claude"], None),
        ] {
            assert_eq!(wiring(agent, installed), Wiring::default());
        }
    }

    #[test]
    fn a_path_with_a_space_is_one_word_to_a_shell() {
        let wiring = wired("claude", "/opt/it's here/teleclaude");
        assert!(
            wiring.files[0].1.contains(r"'/opt/it'\\''s here/teleclaude' hook Stop"),
            "{:?}",
            wiring.files
        );
    }
}
