//! Who is asking: what the kernel said ([`Peer`]) and who that is to us ([`Caller`]).

use crate::domain::people::Known;
use crate::domain::person::{PersonId, Standing};
use crate::domain::session::SessionId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the kernel says about the process at the other end, taken once, before a byte is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// User id at the time of `connect(2)`.
    pub uid: u32,
    /// Primary group id, where the system tells it.
    pub gid: u32,
    /// Supplementary groups as the kernel holds them, where the system tells them.
    pub groups: Vec<u32>,
    /// For logs only: the pid may be reused and never decides.
    pub pid: Option<i32>,
    /// The runner's control group that the process lay in when it connected, if it lay in one: it may be an agent then,
    /// and so less than its human; never more.
    pub runner: Option<String>,
}

/// What somebody may do at most. Ordered: `Public` is the least.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Anybody we do not know: may ask who they are.
    Public,
    /// May look at what is theirs.
    Newcomer,
    /// May also run agents, in the restricted profile.
    Contributor,
    /// May run agents in the profile of the config.
    Member,
    /// May see that everything exists, and read what is not theirs after giving a reason.
    Admin,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 5] = [Self::Public, Self::Newcomer, Self::Contributor, Self::Member, Self::Admin];

    /// The name as config and wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Newcomer => "newcomer",
            Self::Contributor => "contributor",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By which mouth a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The MCP server.
    Mcp,
    /// The REST interface (the CLI speaks it too).
    Http,
    /// The daemon itself: recovery and jobs.
    Daemon,
}

impl Via {
    /// The name as the audit log spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Http => "http",
            Self::Daemon => "daemon",
        }
    }
}

/// Which rule made a peer who they are, and where it is written. Shown by `whoami --explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// In words, such as `person "ann" by os_username`.
    pub text: String,
    /// `file:line`, where the rule stands in a file.
    pub origin: Option<String>,
}

/// Somebody asking, resolved for this one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user id the kernel gave.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The OS user's name, if the system knows one.
    pub os_username: Option<String>,
    /// The person this uid is mapped to. `None` is somebody unmapped: public.
    pub person: Option<PersonRef>,
    /// What they may do at most.
    pub role: Role,
    /// Whether they may do anything at all.
    pub standing: Standing,
    /// Why we think so.
    pub rule: Rule,
    /// By which mouth.
    pub via: Via,
    /// Set when the caller is a session's agent and not its human: narrows, never widens.
    pub agent_of: Option<SessionId>,
}

/// A person as a caller carries one: the key and the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRef {
    /// The key that stays when the name changes.
    pub id: PersonId,
    /// The name in the config or the directory.
    pub name: String,
}

impl From<&Known> for PersonRef {
    fn from(person: &Known) -> Self {
        Self { id: person.id, name: person.name.clone() }
    }
}

impl Caller {
    /// The name to show and to write down: the person's, else the OS user's, else the uid.
    pub fn name(&self) -> String {
        match (&self.person, &self.os_username) {
            (Some(person), _) => person.name.clone(),
            (None, Some(user)) => user.clone(),
            (None, None) => format!("uid {}", self.uid),
        }
    }
}
