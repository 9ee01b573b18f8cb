//! Sessions: what one is, and the states it may be in.

use crate::domain::caller::Caller;
use crate::domain::label::Labels;
use crate::domain::person::PersonId;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use uuid::Uuid;

/// A session's key: a UUIDv7, so that order by id is order of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Longest title, in characters.
pub const TITLE_CHARS: usize = 200;

/// A session's title: one line, no control characters, 1 to 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SessionTitle(String);

impl SessionTitle {
    /// Checks what somebody typed. The error completes "title: …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let chars = text.chars().take(TITLE_CHARS + 1).count();
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if chars > TITLE_CHARS {
            return Err(format!("may have at most {TITLE_CHARS} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// A title as the database kept it.
    pub fn from_kept(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// The row exists, the agent not yet.
    Starting,
    /// The agent lives.
    Running,
    /// Its end was asked for.
    Ending,
    /// It is over; see the exit.
    Ended,
}

impl SessionStatus {
    /// Every status, for CHECK constraints and tests.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Running, Self::Ending, Self::Ended];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }

    /// Whether processes may exist for it.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Ended)
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a running agent is doing, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionActivity {
    /// It works: by its hooks, or because its screen is changing.
    Busy,
    /// It waits to be told something: by its hooks, or because its screen has been still for a second.
    Idle,
    /// It waits for an answer to what it asks.
    NeedsInput,
}

impl SessionActivity {
    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::NeedsInput => "needs_input",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Busy, Self::Idle, Self::NeedsInput].into_iter().find(|s| s.name() == word)
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The agent exited by itself with this code.
    Code(i32),
    /// A signal ended the agent.
    Signal(i32),
    /// The session's host vanished; its processes were ended.
    Lost,
    /// It never came to life; the text says why and holds no secret.
    Failed(String),
    /// Nothing had happened in it for so many hours, so it was ended.
    Idle(u32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Lost => f.write_str("lost"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Idle(hours) => write!(f, "idle for {hours} h"),
        }
    }
}

impl Exit {
    /// Reads back what [`fmt::Display`] wrote; unknown text becomes `Failed`.
    pub fn parse(text: &str) -> Self {
        let number = |prefix: &str| text.strip_prefix(prefix).and_then(|n| n.parse().ok());
        if let Some(code) = number("code ") {
            Self::Code(code)
        } else if let Some(signal) = number("signal ") {
            Self::Signal(signal)
        } else if text == "lost" {
            Self::Lost
        } else if let Some(hours) =
            text.strip_suffix(" h").and_then(|t| t.strip_prefix("idle for ")?.parse().ok())
        {
            Self::Idle(hours)
        } else {
            Self::Failed(text.strip_prefix("failed: ").unwrap_or(text).to_owned())
        }
    }
}

/// How far an agent may go without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The agent asks before it acts.
    Restricted,
    /// The agent acts.
    Full,
}

impl Profile {
    /// The word as config, database and wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Full => "full",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Restricted, Self::Full].into_iter().find(|s| s.name() == word)
    }
}

/// Which of an agent's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThinkingMode {
    /// The quick one.
    Fast,
    /// The middle one.
    Med,
    /// The thorough one.
    Slow,
}

impl ThinkingMode {
    /// The word as config, database and wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Med => "med",
            Self::Slow => "slow",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Fast, Self::Med, Self::Slow].into_iter().find(|s| s.name() == word)
    }
}

/// A worktree of a session's own: a folder in which its branch of the project is checked out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worktree {
    /// Absolute path, while it stands.
    pub path: Option<String>,
    /// Its branch, once it was made. It outlives the worktree.
    pub branch: Option<String>,
}

/// One session, as kept. Both the owner and the actor are kept, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The key.
    pub id: SessionId,
    /// What people call it.
    pub title: Option<SessionTitle>,
    /// Who it belongs to: a person …
    pub owner: PersonId,
    /// … by this name when it began …
    pub owner_name: String,
    /// … at this uid. Both must match for somebody to own it.
    pub owner_uid: u32,
    /// Who started it, by name.
    pub actor_name: String,
    /// The machine it runs on.
    pub computer: String,
    /// The project's name, if it lies in a configured one.
    pub project: Option<String>,
    /// Absolute path of the project.
    pub project_path: String,
    /// Folder inside the project, if not its root.
    pub subdir: Option<String>,
    /// Its own worktree of the project, if it was started with one.
    pub worktree: Option<Worktree>,
    /// Which agent.
    pub agent: String,
    /// Which of its models.
    pub thinking_mode: ThinkingMode,
    /// How far it may go.
    pub profile: Profile,
    /// Where it is in its life.
    pub status: SessionStatus,
    /// What it is doing while it runs.
    pub activity: Option<SessionActivity>,
    /// How it ended; while it is `ending`, why, if nobody asked for it.
    pub exit: Option<Exit>,
    /// The session whose agent started it.
    pub parent: Option<SessionId>,
    /// The agent's own session id.
    pub native_id: Option<String>,
    /// A client's own id for the request that started it: asking twice starts once.
    pub client_id: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When something last happened in it. Never goes back.
    pub last_activity: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl Session {
    /// Whether it is `caller`'s own: the uid **and** the person must both match.
    pub fn is_own(&self, caller: &Caller) -> bool {
        self.owner_uid == caller.uid && caller.person.as_ref().is_some_and(|p| p.id == self.owner)
    }
}
/// The version of what people may change of a session: the same title and labels are the same version.
pub fn version(title: Option<&str>, labels: &Labels) -> String {
    let mut digest = Sha256::new();
    let words = labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    for word in title.into_iter().chain(words) {
        digest.update(word.len().to_be_bytes());
        digest.update(word);
    }
    digest.update([u8::from(title.is_some())]);
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
