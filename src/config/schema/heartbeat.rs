//! The key `heartbeat`: telling people of tasks that are overdue or soon due.

use crate::config::schema::value::Every;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Telling people of tasks that are overdue or soon due, once a day each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Heartbeat {
    /// Time between two looks, such as `30m` or `1h`; 0 for never.
    pub every: Every,
    /// Hours before its deadline from which a task is soon due; 0 for overdue ones only.
    pub soon_hours: u32,
    /// A session of an admin's whose agent is told, too, by a message: its id, or its title. Nothing for none.
    pub session: Option<String>,
    /// What that message begins with; nothing for our own words.
    pub prompt: Option<String>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { every: Every(Some(Duration::from_secs(1_800))), soon_hours: 24, session: None, prompt: None }
    }
}
