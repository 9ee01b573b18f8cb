//! Which people a list is about.

use crate::domain::caller::Role;
use crate::domain::person::PersonStatus;
use crate::domain::timestamp::Timestamp;
use uuid::Uuid;

/// Where a page of people ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeoplePlace {
    /// Whether what was looked for stands in the name: those come first.
    pub named: bool,
    /// When the last one of the page was added.
    pub created: Timestamp,
    /// Their key.
    pub id: Uuid,
}

/// Which people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeopleQuery {
    /// What stands in a name or address of theirs, folded; never empty.
    pub text: Option<String>,
    /// Only in this status; without it nobody who is deleted.
    pub status: Option<PersonStatus>,
    /// Only with this role.
    pub role: Option<Role>,
    /// Those without a name instead of those with one.
    pub visitors: bool,
    /// Whether their sessions are looked at.
    pub sessions: bool,
    /// Whether it is written down as an export.
    pub export: bool,
    /// Where the page before ended.
    pub after: Option<PeoplePlace>,
    /// Rows at most.
    pub limit: u64,
}

/// What gives people their roles: the config first, then a group when they were last seen, then what an admin gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// People of the config, by name.
    pub config: Vec<(String, Role)>,
    /// Whether the config maps groups.
    pub groups: bool,
    /// Whether what admins gave counts: not where one user alone is served.
    pub given: bool,
}
