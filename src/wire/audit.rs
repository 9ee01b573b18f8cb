//! What is asked and answered about the audit log: its rows, checking, export, following, keys, pruning and holds.

use crate::domain::audit::AuditEntry;
use crate::domain::audit_format::AuditFormat;
use crate::domain::hold::Hold;
use crate::wire::request::ListAudit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRow {
    /// Which machine's chain.
    pub computer: String,
    /// Place in the chain.
    #[schemars(range(min = 1))]
    pub seq: i64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Their uid.
    #[schemars(range(min = 0))]
    pub actor_uid: i64,
    /// Their role then.
    pub actor_role: String,
    /// By which mouth.
    pub via: String,
    /// What.
    pub action: String,
    /// success, denied or failure.
    pub outcome: String,
    /// Which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What else: its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_kind: Option<String>,
    /// What else: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request it was part of.
    pub request_id: String,
    /// More, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Hash of the row before, in hex.
    pub prev_hash: String,
    /// Hash of this row, in hex.
    pub hash: String,
}

impl From<&AuditEntry> for AuditRow {
    fn from(e: &AuditEntry) -> Self {
        let d = &e.draft;
        Self {
            computer: e.computer.clone(),
            seq: e.seq,
            at: d.at.to_string(),
            actor: d.actor.clone(),
            actor_uid: i64::from(d.actor_uid),
            actor_role: d.actor_role.name().to_owned(),
            via: d.via.clone(),
            action: d.action.clone(),
            outcome: d.outcome.name().to_owned(),
            session_id: d.session.clone(),
            owner: d.owner.clone(),
            target_kind: d.target.as_ref().map(|t| t.0.clone()),
            target_id: d.target.as_ref().map(|t| t.1.clone()),
            reason: d.reason.clone(),
            request_id: d.request_id.clone(),
            detail: d.detail.clone(),
            prev_hash: hex(&e.prev_hash),
            hash: hex(&e.hash),
        }
    }
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A page of the audit log, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditReply {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// What checking the chains found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedReply {
    /// Whether every chain is whole.
    pub ok: bool,
    /// Rows that were checked.
    #[schemars(range(min = 0))]
    pub rows: i64,
    /// Each chain.
    pub chains: Vec<ChainRow>,
}

/// One machine's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainRow {
    /// The machine.
    pub computer: String,
    /// Rows that were checked.
    #[schemars(range(min = 0))]
    pub rows: i64,
    /// The first row that is there: more than 1 after pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<i64>,
    /// Hash of the last row, in hex.
    pub head: String,
    /// Checkpoints that a trusted key has signed and that fit.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub checkpoints: i64,
    /// Checkpoints by keys that are not known here: they prove nothing.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub unknown_checkpoints: i64,
    /// The first row that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bad_seq: Option<i64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

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
