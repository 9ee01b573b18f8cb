//! The inbox and who read what of one's own, as they are asked for and answered.

use crate::domain::notice::{Notice, NoticeKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Arguments of `inbox`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// Only what was not read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<bool>,
    /// Ids of messages to mark as read first, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_read: Option<Vec<String>>,
    /// Whether all messages are marked as read first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_all: Option<bool>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

impl Inbox {
    /// Whether it changes something.
    pub const fn marks(&self) -> bool {
        self.mark_read.is_some() || matches!(self.mark_all, Some(true))
    }
}

/// Arguments of `send_to_user`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendToPerson {
    /// To whom: a person's name, or `admins` for all admins. Whoever is no admin writes to admins only.
    pub user: String,
    /// The text, at most 4,000 characters.
    pub message: String,
    /// Also type it into this open session of theirs: its id or the first 8 characters of it or more, or `newest`.
    /// Only admins, into another's only where admins may steer, and with a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into_session: Option<String>,
    /// Why it is typed into another's session; shown to the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Arguments of `send_summary_to_owner`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendSummary {
    /// What was done, at most 4,000 characters.
    pub summary: String,
    /// The task it is about: it goes to who gave it. Without one it goes to who gave your newest open task, else to the
    /// admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
}

/// What became of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveredReply {
    /// The key of the message in the first addressee's inbox.
    pub message_id: String,
    /// In whose inboxes it lies, by name.
    pub to: Vec<String>,
    /// The session that it is typed into as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What became of it there: `pending` until it was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Arguments of `who_read_my_sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoRead {
    /// Only at or after this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// A message in the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageRow {
    /// The key.
    pub message_id: String,
    /// Who sent it; absent if the daemon did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When; when last, if it happened more than once.
    pub at: String,
    /// When it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    /// What it is about.
    pub kind: NoticeKind,
    /// The text.
    pub text: String,
    /// The session it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// How often the same happened before it was read.
    #[schemars(range(min = 1))]
    pub times: i64,
}

impl From<&Notice> for MessageRow {
    fn from(notice: &Notice) -> Self {
        Self {
            message_id: notice.id.to_string(),
            from: notice.from.clone(),
            at: notice.at.to_string(),
            read_at: notice.read_at.map(|at| at.to_string()),
            kind: notice.kind,
            text: notice.text.clone(),
            session_id: notice.session.map(|id| id.to_string()),
            times: i64::try_from(notice.times).unwrap_or(i64::MAX),
        }
    }
}

/// A page of the inbox, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxReply {
    /// The messages.
    pub messages: Vec<MessageRow>,
    /// How many were not read yet, on this page or not.
    #[schemars(range(min = 0))]
    pub unread: i64,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}
