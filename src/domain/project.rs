//! Projects: the folders in which sessions may run, and to whom they are open.

use crate::domain::caller::{Caller, Role};
use std::path::PathBuf;

/// One configured folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The name people use.
    pub name: String,
    /// Absolute path of the folder.
    pub path: PathBuf,
    /// What it is, for people.
    pub description: Option<String>,
    /// Roles it is open to; empty means every role that may start sessions.
    pub roles: Vec<Role>,
    /// People it is open to by name; empty means everybody of those roles.
    pub people: Vec<String>,
    /// Projects of the person's own list in the config, if they have one (`people[].projects`).
    pub worktrees: bool,
}

impl Project {
    /// Whether `caller` may know of it. Admins know all; otherwise the role, the names and the
    /// caller's own list (`theirs`, empty for no restriction) must all allow it.
    pub fn open_to(&self, caller: &Caller, theirs: &[String]) -> bool {
        if caller.role == Role::Admin {
            return true;
        }
        let role = self.roles.is_empty() || self.roles.contains(&caller.role);
        let named =
            self.people.is_empty() || caller.person.as_ref().is_some_and(|p| self.people.contains(&p.name));
        let listed = theirs.is_empty() || theirs.contains(&self.name);
        caller.role > Role::Public && role && named && listed
    }
}
