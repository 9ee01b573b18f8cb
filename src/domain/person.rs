//! People: their keys, their standing, and what is kept of them. The mapping from OS users to people is `people`, how
//! one of them is found by some words `directory`.

use crate::domain::caller::Role;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A person's key: stays when the name, the OS user or the role changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(pub Uuid);

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a person may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// May act within the role.
    Active,
    /// Switched off; the word is `inactive`, `suspended` or `deleted`.
    Off(&'static str),
    /// On the deny list of the config.
    Denied,
    /// Banned, until a moment or for good.
    Banned {
        /// When it ends by itself; `None` is for good.
        until: Option<Timestamp>,
        /// What the admin wrote.
        reason: Option<String>,
    },
}

impl Standing {
    /// Why this person may not act, as a sentence; `None` if they may.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Active => None,
            Self::Off(word) => Some(format!("this account is {word}")),
            Self::Denied => Some("this user is on the deny list (access.deny)".to_owned()),
            Self::Banned { until, reason } => {
                let until = until.map_or_else(|| "for good".to_owned(), |at| format!("until {at}"));
                let reason = reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
                Some(format!("this account is banned {until}{reason}"))
            }
        }
    }
}

/// One person, as kept in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The key.
    pub id: PersonId,
    /// The name in the config, or the OS user's for people known by a group; an admin's choice for people added at run
    /// time. A visitor has none: the OS user's, else the uid, is shown.
    pub name: String,
    /// Whether they were seen but are nobody the config or the directory names.
    pub visitor: bool,
    /// The OS user they were last seen as.
    pub os_username: Option<String>,
    /// The uid they were last seen as.
    pub uid: Option<u32>,
    /// Role of people added at run time; the config decides for its own.
    pub role: Option<Role>,
    /// The role that a group mapping of the config gave them when they were last seen.
    pub group_role: Option<Role>,
    /// `active`, `inactive`, `suspended` or `deleted`.
    pub status: PersonStatus,
    /// When they were first seen.
    pub first_seen: Timestamp,
    /// When they were last seen.
    pub last_seen: Timestamp,
    /// How they are called.
    pub full_name: Option<String>,
    /// Their address; no two who are not deleted share one.
    pub email: Option<String>,
    /// Their number, as it was written.
    pub phone: Option<String>,
    /// What admins note of them; for admins only.
    pub notes: String,
    /// How often they were warned since they were last banned or forgiven.
    pub warnings: u32,
    /// When the row was made.
    pub created: Timestamp,
    /// When it last changed: the version of the row. Being seen again, as before, changes nothing.
    pub updated: Timestamp,
}

/// Text as it is compared: without a difference between large and small letters, of any script. For columns that are
/// searched and for what is looked for alike, so that both databases find the same.
pub fn fold(text: &str) -> String {
    // The sign at a Greek word's end is the same letter.
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// Who banned somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanSource {
    /// An admin.
    Admin,
    /// The last warning there was.
    Warnings,
}

impl BanSource {
    /// Every source, for CHECK constraints and tests.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Warnings];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Warnings => "warnings",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }
}

/// A person's status in the directory.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PersonStatus {
    /// May act.
    Active,
    /// Switched off for now.
    Inactive,
    /// Switched off by an admin.
    Suspended,
    /// Gone; sessions and audit keep the name.
    Deleted,
}

impl PersonStatus {
    /// Every status, for CHECK constraints and tests.
    pub const ALL: [Self; 4] = [Self::Active, Self::Inactive, Self::Suspended, Self::Deleted];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }

    /// The standing this status gives.
    pub const fn standing(self) -> Standing {
        match self {
            Self::Active => Standing::Active,
            other => Standing::Off(other.name()),
        }
    }
}
