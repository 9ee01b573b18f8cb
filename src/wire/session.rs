//! What is answered about sessions: their rows, what is shown of them, and what was done to them.

use crate::domain::label::Labels;
use crate::domain::session::Session;
use crate::wire::attach::AttachedRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A session: metadata only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionReply {
    /// The key.
    pub session_id: String,
    /// What people call it. Absent for those whose it is not, if an agent made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whose it is.
    pub owner_person: String,
    /// At which uid.
    #[schemars(range(min = 0))]
    pub owner_uid: i64,
    /// Who started it.
    pub actor_person: String,
    /// Where it runs.
    pub computer: String,
    /// In which project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The project's folder.
    pub project_path: String,
    /// The folder inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// Its own worktree of the project, while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_path: Option<String>,
    /// The branch of its worktree, which outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_branch: Option<String>,
    /// Which agent.
    pub agent: String,
    /// Which of its models.
    pub thinking_mode: String,
    /// How far it may go.
    pub profile: String,
    /// starting, running, ending or ended.
    pub status: String,
    /// busy, idle or needs_input, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// How it ended: `code N`, `signal N`, `lost`, `failed: …`, `idle for N h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// The session whose agent started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<String>,
    /// The agent's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_session_id: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When something last happened in it.
    pub last_activity: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How much its agent asks and waits to be answered.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub open_requests: i64,
    /// What its agent asks. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_input: Vec<NeedsInputRow>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The version of its title and labels, for `if_version` of a change. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who sees its terminal now. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<AttachedRow>,
}

impl From<&Session> for SessionReply {
    fn from(s: &Session) -> Self {
        Self {
            session_id: s.id.to_string(),
            title: s.title.as_ref().map(|t| t.as_str().to_owned()),
            owner_person: s.owner_name.clone(),
            owner_uid: i64::from(s.owner_uid),
            actor_person: s.actor_name.clone(),
            computer: s.computer.clone(),
            project: s.project.clone(),
            project_path: s.project_path.clone(),
            subdir: s.subdir.clone(),
            worktree_path: s.worktree.as_ref().and_then(|w| w.path.clone()),
            worktree_branch: s.worktree.as_ref().and_then(|w| w.branch.clone()),
            agent: s.agent.clone(),
            thinking_mode: s.thinking_mode.name().to_owned(),
            profile: s.profile.name().to_owned(),
            status: s.status.name().to_owned(),
            activity: s.activity.map(|a| a.name().to_owned()),
            exit: s.exit.as_ref().map(ToString::to_string),
            parent_session_id: s.parent.map(|p| p.to_string()),
            native_session_id: s.native_id.clone(),
            created_at: s.created.to_string(),
            last_activity: s.last_activity.to_string(),
            ended_at: s.ended.map(|e| e.to_string()),
            open_requests: 0,
            needs_input: Vec::new(),
            labels: Labels::new(),
            version: None,
            attached: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// What a session's agent asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeedsInputRow {
    /// The key, for answer_session.
    pub request_id: String,
    /// permission or question.
    pub kind: String,
    /// What is asked. Only for the session's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The answers to choose from, if they are known. Only for the session's owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Since when.
    pub since: String,
}

/// An answer that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnsweredReply {
    /// The session.
    pub session_id: String,
    /// The question's key.
    pub request_id: String,
    /// answered. It is open again if the answer does not come to the agent.
    pub state: String,
}

/// A hook's report that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeardReply {
    /// The session.
    pub session_id: String,
}

/// A page of sessions, the most recently active first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsReply {
    /// The rows.
    pub sessions: Vec<SessionReply>,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// A session that was started (or, with the same `client_id`, had been).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartedReply {
    /// The row.
    #[serde(flatten)]
    pub session: SessionReply,
    /// What people on this machine are told about recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SentReply {
    /// The session.
    pub session_id: String,
    /// The message's key.
    pub message_id: String,
    /// pending, delivered, failed or unknown.
    pub state: String,
}

/// A session that is ending or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedReply {
    /// The session.
    pub session_id: String,
    /// ending or ended.
    pub status: String,
    /// Its worktree, if it has one that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_path: Option<String>,
}

/// A session that is being deleted, with all that is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PurgedReply {
    /// The session.
    pub session_id: String,
    /// Its worktree, if it has one: it stays if something in it is unsaved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_path: Option<String>,
}

/// What was found, the last that was written down first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchReply {
    /// The hits.
    pub hits: Vec<HitRow>,
    /// Whose sessions were searched: own or all.
    pub searched: String,
    /// Where the next page begins; null when this is the last. A page may have few hits, or none, and not be the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// Something that was said or done, and has what was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HitRow {
    /// In which session.
    pub session_id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whose it is.
    pub owner_person: String,
    /// In which project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Which agent's.
    pub agent: String,
    /// Its number in the session's transcript.
    #[schemars(range(min = 1))]
    pub seq: i64,
    /// When, if the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// user, assistant, system or tool.
    pub role: String,
    /// text, thinking, tool_call, tool_result or notice.
    pub kind: String,
    /// The tool, of calls and results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The text around the first match on one line, at most some 250 characters; matches stand between `⟦` and `⟧`.
    pub snippet: String,
}

/// A page of what a session showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentReply {
    /// The session.
    pub session_id: String,
    /// Its status at that moment.
    pub status: String,
    /// markdown or json.
    pub format: String,
    /// The text.
    pub content: String,
    /// When it was read.
    pub captured_at: String,
    /// Whether there is more before (tail) or after (cursor) it.
    pub truncated: bool,
    /// Where the next page begins; null when there is none.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// Whether the caller is told of a session's changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchingReply {
    /// The session.
    pub session_id: String,
    /// Whether the caller is told.
    pub watching: bool,
}
