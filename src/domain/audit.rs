//! The audit log: what one row says, and how rows are chained. No clock, no database here.

use crate::domain::caller::{Caller, Role};
use crate::domain::person::PersonId;
use crate::domain::session::Session;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How an audited act came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// Done.
    Success,
    /// Refused.
    Denied,
    /// Allowed, but it failed.
    Failure,
}

impl AuditOutcome {
    /// Every outcome, for CHECK constraints and tests.
    pub const ALL: [Self; 3] = [Self::Success, Self::Denied, Self::Failure];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failure => "failure",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == word)
    }
}

/// A row before it has a place in the chain. Session and person are text: a purged session leaves its trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditDraft {
    /// When.
    pub at: Timestamp,
    /// Who acted, by name; `daemon` for the daemon itself.
    pub actor: String,
    /// Their uid.
    pub actor_uid: u32,
    /// Their role at that moment.
    pub actor_role: Role,
    /// By which mouth: mcp, http, daemon, host.
    pub via: String,
    /// What was done, such as `transcript.read`.
    pub action: String,
    /// How it came out.
    pub outcome: AuditOutcome,
    /// The session concerned.
    pub session: Option<String>,
    /// Its owner, by name.
    pub owner: Option<String>,
    /// What else was concerned: kind and id, such as `config` and a path.
    pub target: Option<(String, String)>,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// The request this was part of.
    pub request_id: String,
    /// Canonical JSON text without content or secrets.
    pub detail: Option<String>,
}

impl AuditDraft {
    /// A row about something `caller` did.
    pub fn by(caller: &Caller, action: &str, outcome: AuditOutcome, at: Timestamp, request_id: &str) -> Self {
        Self {
            at,
            actor: caller.name(),
            actor_uid: caller.uid,
            actor_role: caller.role,
            via: caller.via.name().to_owned(),
            action: action.to_owned(),
            outcome,
            session: None,
            owner: None,
            target: None,
            reason: None,
            request_id: request_id.to_owned(),
            detail: None,
        }
    }

    /// A row about something the daemon did by itself, as the uid it runs as.
    pub fn by_daemon(uid: u32, action: &str, outcome: AuditOutcome, at: Timestamp) -> Self {
        Self {
            at,
            actor: "daemon".to_owned(),
            actor_uid: uid,
            actor_role: Role::Admin,
            via: "daemon".to_owned(),
            action: action.to_owned(),
            outcome,
            session: None,
            owner: None,
            target: None,
            reason: None,
            request_id: String::new(),
            detail: None,
        }
    }

    /// The same row, about this session.
    pub fn about(mut self, session: &Session) -> Self {
        self.session = Some(session.id.to_string());
        self.owner = Some(session.owner_name.clone());
        self
    }

    /// The same row, about what belongs to this session's owner and is another's doing: by this the owner finds it.
    pub fn of_anothers(mut self, session: &Session) -> Self {
        self.target = Some((OWNER.to_owned(), owner_key(session.owner, session.owner_uid)));
        self
    }

    /// The same row, with the actor's reason.
    pub fn because(mut self, reason: Option<&str>) -> Self {
        self.reason = reason.map(str::to_owned);
        self
    }

    /// The same row, with details (canonical JSON: `serde_json` keeps keys sorted).
    pub fn with_detail(mut self, detail: &serde_json::Value) -> Self {
        self.detail = Some(detail.to_string());
        self
    }
}

/// The kind of target of what somebody did with what is another's.
pub const OWNER: &str = "owner";

/// The id of such a target: the owner's key and uid, both of which make them the owner.
pub fn owner_key(person: PersonId, uid: u32) -> String {
    format!("{}/{uid}", person.0)
}

/// A row in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Which machine's chain.
    pub computer: String,
    /// Place in the chain: 1, 2, 3 … without gaps.
    pub seq: i64,
    /// What it says.
    pub draft: AuditDraft,
    /// The hash of the row before; 32 zero bytes for the first.
    pub prev_hash: [u8; 32],
    /// The hash of this row.
    pub hash: [u8; 32],
}

/// Version of the hash's input, its first byte.
const HASH_VERSION: u8 = 1;

/// SHA-256 over a version byte and every field with its length before it, the previous hash among them.
/// Absent fields are told from empty ones.
pub fn hash(computer: &str, seq: i64, draft: &AuditDraft, prev_hash: &[u8; 32]) -> [u8; 32] {
    fn field(sha: &mut Sha256, bytes: Option<&[u8]>) {
        match bytes {
            None => sha.update([0u8]),
            Some(bytes) => {
                sha.update([1u8]);
                sha.update((bytes.len() as u64).to_be_bytes());
                sha.update(bytes);
            }
        }
    }
    let mut sha = Sha256::new();
    sha.update([HASH_VERSION]);
    field(&mut sha, Some(computer.as_bytes()));
    field(&mut sha, Some(&seq.to_be_bytes()));
    field(&mut sha, Some(&draft.at.micros().to_be_bytes()));
    field(&mut sha, Some(draft.actor.as_bytes()));
    field(&mut sha, Some(&draft.actor_uid.to_be_bytes()));
    field(&mut sha, Some(draft.actor_role.name().as_bytes()));
    field(&mut sha, Some(draft.via.as_bytes()));
    field(&mut sha, Some(draft.action.as_bytes()));
    field(&mut sha, Some(draft.outcome.name().as_bytes()));
    field(&mut sha, draft.session.as_deref().map(str::as_bytes));
    field(&mut sha, draft.owner.as_deref().map(str::as_bytes));
    field(&mut sha, draft.target.as_ref().map(|t| t.0.as_bytes()));
    field(&mut sha, draft.target.as_ref().map(|t| t.1.as_bytes()));
    field(&mut sha, draft.reason.as_deref().map(str::as_bytes));
    field(&mut sha, Some(draft.request_id.as_bytes()));
    field(&mut sha, draft.detail.as_deref().map(str::as_bytes));
    field(&mut sha, Some(prev_hash));
    sha.finalize().into()
}
