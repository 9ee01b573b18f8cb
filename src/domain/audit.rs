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

/// What a row says, lent: what its hash is made of.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// When.
    pub at: Timestamp,
    /// Who acted.
    pub actor: &'a str,
    /// Their uid.
    pub actor_uid: u32,
    /// Their role.
    pub actor_role: Role,
    /// By which mouth.
    pub via: &'a str,
    /// What was done.
    pub action: &'a str,
    /// How it came out.
    pub outcome: AuditOutcome,
    /// The session concerned.
    pub session: Option<&'a str>,
    /// Its owner.
    pub owner: Option<&'a str>,
    /// What else was concerned.
    pub target: Option<(&'a str, &'a str)>,
    /// Why.
    pub reason: Option<&'a str>,
    /// The request this was part of.
    pub request_id: &'a str,
    /// Canonical JSON text.
    pub detail: Option<&'a str>,
}

impl<'a> From<&'a AuditDraft> for Content<'a> {
    fn from(draft: &'a AuditDraft) -> Self {
        Self {
            at: draft.at,
            actor: &draft.actor,
            actor_uid: draft.actor_uid,
            actor_role: draft.actor_role,
            via: &draft.via,
            action: &draft.action,
            outcome: draft.outcome,
            session: draft.session.as_deref(),
            owner: draft.owner.as_deref(),
            target: draft.target.as_ref().map(|(kind, id)| (kind.as_str(), id.as_str())),
            reason: draft.reason.as_deref(),
            request_id: &draft.request_id,
            detail: draft.detail.as_deref(),
        }
    }
}

/// SHA-256 over a version byte and every field with its length before it, the previous hash among them.
/// Absent fields are told from empty ones.
pub fn hash<'a>(computer: &str, seq: i64, row: impl Into<Content<'a>>, prev_hash: &[u8; 32]) -> [u8; 32] {
    // As one piece, so that the digest takes whole blocks.
    fn field(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
        match bytes {
            None => to.push(0),
            Some(bytes) => {
                to.push(1);
                to.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
                to.extend_from_slice(bytes);
            }
        }
    }
    let row = row.into();
    let text = |text: Option<&'a str>| text.map(str::as_bytes);
    let mut all = Vec::with_capacity(1_024);
    all.push(HASH_VERSION);
    field(&mut all, Some(computer.as_bytes()));
    field(&mut all, Some(&seq.to_be_bytes()));
    field(&mut all, Some(&row.at.micros().to_be_bytes()));
    field(&mut all, text(Some(row.actor)));
    field(&mut all, Some(&row.actor_uid.to_be_bytes()));
    field(&mut all, Some(row.actor_role.name().as_bytes()));
    field(&mut all, text(Some(row.via)));
    field(&mut all, text(Some(row.action)));
    field(&mut all, Some(row.outcome.name().as_bytes()));
    field(&mut all, text(row.session));
    field(&mut all, text(row.owner));
    field(&mut all, text(row.target.map(|target| target.0)));
    field(&mut all, text(row.target.map(|target| target.1)));
    field(&mut all, text(row.reason));
    field(&mut all, text(Some(row.request_id)));
    field(&mut all, text(row.detail));
    field(&mut all, Some(prev_hash));
    Sha256::digest(&all).into()
}
