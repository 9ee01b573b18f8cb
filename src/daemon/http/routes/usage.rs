//! Paths about what was used, who did what, and the daemon's own numbers.

use crate::daemon::http::routes::row::{Route, get};
use crate::daemon::metrics;
use crate::domain::verb::Verb;
use crate::wire::activity::ActivityReply;
use crate::wire::request::Request;
use crate::wire::usage::{CSV, UsageReply};

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/usage",
            "show_usage",
            Verb::ShowUsage,
            "Says what was used, by person, project, agent, model or day: your own, or to admins everybody's.",
        )
        .query(Request::ShowUsage)
        .gives::<UsageReply>()
        .sends(CSV),
        get(
            "/activity",
            "list_activity",
            Verb::ListActivity,
            "Lists who did what, when, newest first: with what is yours, or to admins with everything.",
        )
        .query(Request::ListActivity)
        .gives::<ActivityReply>(),
        get("/metrics", "read_metrics", Verb::ReadMetrics, "Gives numbers about the daemon as Prometheus reads them.")
            .asks(Request::ReadMetrics)
            .sends(metrics::CONTENT_TYPE),
    ]
}
