//! The key `agents`: how each agent is started. What is particular to their behaviour is `agent`.

use crate::domain::session::{Profile, ThinkingMode};
use schemars::JsonSchema;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// As a `command`: the owner's login shell.
pub const LOGIN_SHELL: &str = "login-shell";
/// In `native_id` and `resume`: where the id goes.
pub const ID: &str = "{id}";

/// The agents that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents {
    /// The one taken when nobody says which.
    pub default: String,
    /// Whether agents may start sessions themselves.
    pub may_start: bool,
    /// Folders where commands are looked for, as the owner; `~/` is the owner's home.
    pub path: Vec<PathBuf>,
    /// Each by its name: in the file, the keys beside `default`, `may_start` and `path`.
    pub by_name: BTreeMap<String, Agent>,
}

/// How one agent is started. Arguments are an argv, never a shell string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Whether it may be started.
    pub enabled: bool,
    /// Absolute path, or a name looked for on `agents.path`, or `login-shell`.
    pub command: String,
    /// Arguments it always gets, first.
    pub args: Vec<String>,
    /// Arguments of each profile.
    pub profiles: Profiles,
    /// Arguments of each thinking mode.
    pub models: Models,
    /// Names of variables it gets from the credentials of its owner.
    pub env: Vec<String>,
    /// Whether the system's secrets stand in for credentials the owner does not have. An owner can read them.
    pub share_system_keys: bool,
    /// The format of its own transcript.
    pub transcript: TranscriptFormat,
    /// Arguments that give a new session its native id; empty if the agent chooses it.
    pub native_id: Vec<String>,
    /// Arguments that resume a session; empty if it cannot.
    pub resume: Vec<String>,
    /// Whether it is given hooks by which it tells what it does, and our tools; as the `transcript`'s agent takes them.
    pub hooks: bool,
}

/// Arguments of each profile; nothing where the profile is not allowed for this agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profiles {
    /// The agent acts.
    pub full: Option<Vec<String>>,
    /// The agent asks before it acts.
    pub restricted: Option<Vec<String>>,
}

/// Arguments of each thinking mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// The quick one.
    pub fast: Vec<String>,
    /// The middle one.
    pub med: Vec<String>,
    /// The thorough one.
    pub slow: Vec<String>,
}

/// The format of an agent's own transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TranscriptFormat {
    /// As Claude Code writes it.
    Claude,
    /// As Codex writes it.
    Codex,
    /// As Gemini CLI writes it.
    Gemini,
    /// None that we read: the recording's text stands in.
    #[default]
    None,
}

impl Agent {
    /// Arguments of a profile; `None` if it is not allowed.
    pub fn profile(&self, profile: Profile) -> Option<&[String]> {
        match profile {
            Profile::Full => self.profiles.full.as_deref(),
            Profile::Restricted => self.profiles.restricted.as_deref(),
        }
    }

    /// Arguments of a thinking mode.
    pub fn model(&self, mode: ThinkingMode) -> &[String] {
        match mode {
            ThinkingMode::Fast => &self.models.fast,
            ThinkingMode::Med => &self.models.med,
            ThinkingMode::Slow => &self.models.slow,
        }
    }

    /// `native_id` with the id put in; empty if the agent chooses it.
    pub fn native_id_args(&self, id: &str) -> Vec<String> {
        self.native_id.iter().map(|a| a.replace(ID, id)).collect()
    }

    /// `resume` with the id put in; `None` if it cannot.
    pub fn resume_args(&self, id: &str) -> Option<Vec<String>> {
        (!self.resume.is_empty()).then(|| self.resume.iter().map(|a| a.replace(ID, id)).collect())
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

impl Default for Agents {
    fn default() -> Self {
        let agent = |command: &str, key: &str, transcript| Agent {
            enabled: true,
            command: command.to_owned(),
            env: words(key),
            transcript,
            ..Agent::default()
        };
        let allowed = |full: &str, restricted: &str| Profiles {
            full: Some(words(full)),
            restricted: Some(words(restricted)),
        };
        let models = |flag: &str, [fast, med, slow]: [&str; 3]| {
            let args = |value: &str| words(&format!("{flag}{value}"));
            Models { fast: args(fast), med: args(med), slow: args(slow) }
        };
        let claude = Agent {
            profiles: allowed(
                "--dangerously-skip-permissions",
                "--permission-mode default --strict-mcp-config",
            ),
            models: models("--model ", ["haiku", "sonnet", "opus"]),
            native_id: words("--session-id {id}"),
            resume: words("--resume {id}"),
            hooks: true,
            ..agent("claude", "ANTHROPIC_API_KEY", TranscriptFormat::Claude)
        };
        let codex = Agent {
            profiles: allowed(
                "--dangerously-bypass-approvals-and-sandbox",
                "--sandbox workspace-write --ask-for-approval on-request",
            ),
            models: models("-c model_reasoning_effort=", ["medium", "high", "xhigh"]),
            resume: words("resume {id}"),
            hooks: true,
            ..agent("codex", "OPENAI_API_KEY", TranscriptFormat::Codex)
        };
        let gemini = Agent {
            profiles: allowed("--approval-mode yolo", "--approval-mode default --sandbox"),
            models: models("-m ", ["flash-lite", "flash", "pro"]),
            native_id: words("--session-id {id}"),
            resume: words("--resume {id}"),
            hooks: true,
            ..agent("gemini", "GEMINI_API_KEY", TranscriptFormat::Gemini)
        };
        let shell = Agent {
            enabled: false,
            profiles: Profiles { full: Some(Vec::new()), restricted: None },
            ..agent(LOGIN_SHELL, "", TranscriptFormat::None)
        };
        let named = [("claude", claude), ("codex", codex), ("gemini", gemini), ("shell", shell)];
        Self {
            default: "claude".to_owned(),
            may_start: true,
            path: ["~/.local/bin", "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin"]
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            by_name: named.into_iter().map(|(name, agent)| (name.to_owned(), agent)).collect(),
        }
    }
}

impl Serialize for Agents {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(3 + self.by_name.len()))?;
        map.serialize_entry("default", &self.default)?;
        map.serialize_entry("may_start", &self.may_start)?;
        map.serialize_entry("path", &self.path)?;
        for (name, agent) in &self.by_name {
            map.serialize_entry(name, agent)?;
        }
        map.end()
    }
}

// By hand, since a flattened map loses the place of errors inside it.
impl<'de> Deserialize<'de> for Agents {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AgentsVisitor;
        impl<'de> Visitor<'de> for AgentsVisitor {
            type Value = Agents;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of agents")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Agents, A::Error> {
                let mut agents = Agents { by_name: BTreeMap::new(), ..Agents::default() };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "default" => agents.default = map.next_value()?,
                        "may_start" => agents.may_start = map.next_value()?,
                        "path" => agents.path = map.next_value()?,
                        _ => {
                            let agent = map.next_value()?;
                            agents.by_name.insert(key, agent);
                        }
                    }
                }
                Ok(agents)
            }
        }
        from.deserialize_map(AgentsVisitor)
    }
}

impl JsonSchema for Agents {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Agents".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let agent = generator.subschema_for::<Agent>();
        schemars::json_schema!({
            "type": "object",
            "properties": {
                "default": {"type": "string", "description": "The one taken when nobody says which."},
                "may_start": {"type": "boolean", "description": "Whether agents may start sessions themselves."},
                "path": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Folders where commands are looked for, as the owner."
                }
            },
            "additionalProperties": agent
        })
    }
}
