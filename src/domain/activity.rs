//! Who did what, when: in sessions, with tasks, and among people. Never what was said, asked or called: that is content.

use crate::domain::session::Session;
use crate::domain::timestamp::Timestamp;
use uuid::Uuid;

/// Where something was written down. What happened at one moment is listed in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among what happened in sessions.
    Session(Timestamp, Uuid),
    /// Among what was done with tasks.
    Task(Timestamp, Uuid),
    /// In a computer's audit log, at this number.
    Audit(Timestamp, String, i64),
}

/// Which activity, and which page of it.
#[derive(Clone, Debug, Default)]
pub struct ActivityQuery {
    /// Only in this session.
    pub session: Option<Box<Session>>,
    /// Only of this person.
    pub person: Option<String>,
    /// Only at or after.
    pub since: Option<Timestamp>,
    /// Only at or before.
    pub until: Option<Timestamp>,
    /// The last row of the page before.
    pub before: Option<Place>,
    /// Rows at most.
    pub limit: u64,
}
