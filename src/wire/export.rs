//! What is asked when a session is to be taken out as a file. The answer is the file itself, as it is made.

use crate::domain::export::ExportFormat;
use serde::{Deserialize, Serialize};

/// Arguments of `GET /api/v1/sessions/{id}/export`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportSession {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// As what.
    pub format: ExportFormat,
    /// Why, where the session is somebody else's: 10 characters or more. It is written down and shown to the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
