//! Paths about the daemon's jobs.

use crate::daemon::http::routes::row::{Route, get, post};
use crate::domain::verb::Verb;
use crate::wire::job::{JobRow, JobsReply};
use crate::wire::request::Request;

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/jobs",
            "list_jobs",
            Verb::ListJobs,
            "Lists what the daemon does now and then, and how that went.",
        )
        .asks(Request::ListJobs)
        .gives::<JobsReply>(),
        post("/jobs/{name}/run", "run_job", Verb::RunJob, "Does a job now, and says how it went.")
            .path(Request::RunJob)
            .gives::<JobRow>(),
    ]
}
