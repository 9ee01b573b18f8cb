//! What lies in somebody's inbox: a notice, from a person or from the daemon. Pure; keeping them is `store::inbox`.

use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Somebody read, watched or steered a session of theirs.
    Access,
    /// A person wrote to them.
    Message,
    /// A summary of work, for who asked for it.
    Summary,
    /// A task was given to them, moved or is due.
    Task,
}

impl NoticeKind {
    /// Every kind, for CHECK constraints and tests.
    pub const ALL: [Self; 4] = [Self::Access, Self::Message, Self::Summary, Self::Task];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Message => "message",
            Self::Summary => "summary",
            Self::Task => "task",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

/// One notice. Its text holds nothing that a session showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The key.
    pub id: Uuid,
    /// For whom …
    pub person: PersonId,
    /// … and at which uid only, where it is about what belongs to person and uid together.
    pub uid: Option<u32>,
    /// From whom, by name; `None` is the daemon itself.
    pub from: Option<String>,
    /// When, or when last if it happened more than once.
    pub at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// What it is about.
    pub kind: NoticeKind,
    /// To be read.
    pub text: String,
    /// The session it is about.
    pub session: Option<SessionId>,
    /// How often the same happened before it was read.
    pub times: u64,
}

/// Which notices of one's own, and what is to be done with them.
#[derive(Clone, Debug, Default)]
pub struct InboxQuery {
    /// Only those that were not read.
    pub unread: bool,
    /// Those to be marked as read first.
    pub mark: Option<Mark>,
    /// The last row of the page before.
    pub before: Option<(i64, Uuid)>,
    /// Rows at most.
    pub limit: u64,
}

/// Which notices are marked as read.
#[derive(Clone, Debug)]
pub enum Mark {
    /// All there are.
    All,
    /// These.
    These(Vec<Uuid>),
}

/// Who did what with one's own sessions, and which page of it.
#[derive(Clone, Debug, Default)]
pub struct MineQuery {
    /// Only at or after.
    pub since: Option<Timestamp>,
    /// The last row of the page before: time, computer, seq.
    pub before: Option<(Timestamp, String, i64)>,
    /// Rows at most.
    pub limit: u64,
}

/// What an audited action of another is to the owner of the session: completes "ann …".
pub fn deed(action: &str) -> &'static str {
    match action {
        "transcript.read" => "read the transcript of a session of yours",
        "transcript.search" => "found text of a session of yours in a search",
        "transcript.export" => "exported the transcript of a session of yours",
        "recording.read" => "took the recording of a session of yours",
        "session.watch" => "watched the terminal of a session of yours",
        "session.attach" => "attached to a session of yours, to type into it",
        "session.send" => "sent a message into a session of yours",
        "session.end" => "ended a session of yours",
        "session.interrupt" => "interrupted a session of yours",
        "session.title" => "gave a session of yours another title",
        "session.resume" => "resumed a session of yours",
        _ => "did something with a session of yours",
    }
}
