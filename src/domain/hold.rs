//! Legal holds: what may not be pruned, and why.

use crate::domain::timestamp::Timestamp;
use uuid::Uuid;

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldScope {
    /// The rows about this session.
    Session(String),
    /// The rows by this person, and those about their sessions.
    Person(String),
    /// Every row.
    Everything,
}

impl HoldScope {
    /// The kind as the database and the wire spell it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Person(_) => "person",
            Self::Everything => "everything",
        }
    }

    /// Whose or which; empty for everything.
    pub fn target(&self) -> &str {
        match self {
            Self::Session(target) | Self::Person(target) => target,
            Self::Everything => "",
        }
    }

    /// Reads kind and target back.
    pub fn parse(kind: &str, target: String) -> Option<Self> {
        match kind {
            "session" => Some(Self::Session(target)),
            "person" => Some(Self::Person(target)),
            "everything" => Some(Self::Everything),
            _ => None,
        }
    }
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its key.
    pub id: Uuid,
    /// What is held.
    pub scope: HoldScope,
    /// Why.
    pub reason: String,
    /// Who placed it, by name.
    pub placed_by: String,
    /// When.
    pub placed: Timestamp,
    /// Who released it and when, if it is no longer in force.
    pub released: Option<(String, Timestamp)>,
}
