//! Following a transcript: what is asked, and the lines of the answer, a JSON object each, for as long as the session
//! runs. An empty line says that the daemon is still there. `docs/transport.md` is the document.

use crate::wire::fault::FaultCode;
use crate::wire::request::ContentFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of content of the answer.
pub const CONTENT_TYPE: &str = "application/x-ndjson";
/// Bytes of one line, at most: a page of entries, escaped.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Arguments of following what a session says and does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowSession {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// Whether to follow: `true`. With anything else it is another request.
    pub follow: bool,
    /// Only what was said at or after this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Begin with so many characters of what there is, 1 to 48,000; 2,000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 48000))]
    pub tail_chars: Option<i64>,
    /// Where an answer before this one was cut off; `"0"` begins at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Form of the content; markdown if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ContentFormat>,
    /// Why, where the session is somebody else's: 10 characters or more. It is written down and shown to the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Followed {
    /// More was said: `{"event":"content","content":"## User …","cursor":"e12"}`.
    Content {
        /// Text, or a JSON object a line.
        content: String,
        /// Where it goes on: for asking again.
        cursor: String,
    },
    /// The session has ended and this was all: `{"event":"end","exit":"code 0"}`.
    End {
        /// How it ended, if that is known.
        exit: Option<String>,
    },
    /// The daemon ends it: `{"event":"error","code":"unavailable","message":"the daemon stops"}`.
    Error {
        /// Why.
        code: FaultCode,
        /// In words.
        message: String,
    },
}
