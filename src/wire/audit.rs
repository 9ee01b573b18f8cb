//! What is asked and answered about the audit log besides its rows: export, following, keys, pruning and holds.

use crate::domain::audit_format::AuditFormat;
use crate::domain::hold::Hold;
use crate::wire::request::ListAudit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows to write out. A bundle is whole chains: it takes no filter.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportAudit {
    /// How.
    pub format: AuditFormat,
    /// Which; neither cursor nor limit.
    pub filter: ListAudit,
}

/// Rows as they are written, from now on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FollowAudit {
    /// Which; its limit says how many of the newest to begin with.
    pub filter: ListAudit,
    /// By computer the last row that one has: what came after it is sent first. JSON.
    pub after: Option<BTreeMap<String, i64>>,
}

/// How to write rows out: beside the filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportForm {
    /// How; jsonl if absent. A bundle takes no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<AuditFormat>,
}

/// Where to go on following rows: beside the filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowFrom {
    /// The last row that one has of each computer, as a JSON object: what came after it is sent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What to check the log with besides what the daemon has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// Checkpoints from elsewhere: signed notes, 500 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<String>,
    /// Public keys to trust beside the daemon's own, 100 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// What to cut off the front of this computer's chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneAudit {
    /// Rows older than this RFC 3339 time go, up to the first that is not.
    pub before: String,
    /// Only say what would go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Only write the record: the rows are removed by the owner of the tables, since the daemon's role may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_owner: Option<bool>,
}

/// What to hold. One of session, person and everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceHold {
    /// The rows about this session; its whole id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The rows by this person, and those about their sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Every row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everything: Option<bool>,
    /// Why: 10 characters or more.
    pub reason: String,
}

/// A hold to release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseHold {
    /// The hold's id.
    pub id: String,
    /// Why: 10 characters or more.
    pub reason: String,
}

/// Which holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListHolds {
    /// Also those that were released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}

/// The public keys of a computer's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditKeysReply {
    /// The computer.
    pub computer: String,
    /// The keys, the one in use last.
    pub keys: Vec<AuditKeyRow>,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditKeyRow {
    /// In the form of a C2SP signed note: name, hash and key.
    pub key: String,
    /// Whether it is the one that signs now.
    pub current: bool,
}

/// What was cut off, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrunedReply {
    /// Whose chain.
    pub computer: String,
    /// Whether this is only what would be.
    pub dry_run: bool,
    /// Rows.
    #[schemars(range(min = 0))]
    pub rows: i64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
    /// The hash of the last, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Of them, those that are still to go: the daemon goes on by itself.
    #[schemars(range(min = 0))]
    pub left: i64,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldRow {
    /// Its id.
    pub id: String,
    /// session, person or everything.
    pub kind: String,
    /// Which session, or whose.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Why.
    pub reason: String,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: String,
    /// Who released it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<String>,
}

impl From<&Hold> for HoldRow {
    fn from(hold: &Hold) -> Self {
        Self {
            id: hold.id.to_string(),
            kind: hold.scope.kind().to_owned(),
            target: hold.scope.target().to_owned(),
            reason: hold.reason.clone(),
            placed_by: hold.placed_by.clone(),
            placed_at: hold.placed.to_string(),
            released_by: hold.released.as_ref().map(|(by, _)| by.clone()),
            released_at: hold.released.as_ref().map(|(_, at)| at.to_string()),
        }
    }
}

/// Holds, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldsReply {
    /// The holds.
    pub holds: Vec<HoldRow>,
}
