//! The daemon's jobs, as they are asked for and answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Arguments of running a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunJob {
    /// The job's name.
    pub name: String,
}

/// A job of this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobRow {
    /// Its name.
    pub name: String,
    /// What it does.
    pub what: String,
    /// Seconds between two runs; absent for a job that is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub every_seconds: Option<i64>,
    /// Since when it runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<String>,
    /// When its last run was begun …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_started: Option<String>,
    /// … and when that was over, however it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_finished: Option<String>,
    /// When one last went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ok: Option<String>,
    /// Why the last one did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many of the last ones failed, in a row.
    #[schemars(range(min = 0))]
    pub failures: i64,
    /// When it is to be done next; absent for a job that is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
    /// Runs that came to their end.
    #[schemars(range(min = 0))]
    pub runs: i64,
}

/// Every job of this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobsReply {
    /// In the order of the daemon's table.
    pub jobs: Vec<JobRow>,
}
