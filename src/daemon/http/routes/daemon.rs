//! Paths about the daemon and what it offers.

use crate::daemon::http::routes::row::{Route, get, post};
use crate::domain::verb::Verb;
use crate::wire::reply::{
    AgentsReply, ComputersReply, HealthReply, ProjectsReply, ReloadedReply, WhoamiReply,
};
use crate::wire::request::Request;

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/whoami",
            "whoami",
            Verb::Whoami,
            "Says who you are to this daemon, by which rule, and what you may do.",
        )
        .asks(Request::Whoami)
        .gives::<WhoamiReply>(),
        get("/health", "health", Verb::Health, "Says how the daemon is; more of it to admins.")
            .asks(Request::Health)
            .gives::<HealthReply>(),
        get("/openapi.json", "show_api", Verb::ShowApi, "Describes these paths: an OpenAPI 3.1 document.")
            .asks(Request::ShowApi)
            .sends("application/json"),
        get(
            "/projects",
            "list_projects",
            Verb::ListProjects,
            "Lists the project folders you may start sessions in.",
        )
        .asks(Request::ListProjects)
        .gives::<ProjectsReply>(),
        get("/agents", "list_agents", Verb::ListAgents, "Lists the coding agents you may run.")
            .asks(Request::ListAgents)
            .gives::<AgentsReply>(),
        get(
            "/computers",
            "list_computers",
            Verb::ListComputers,
            "Lists the machines that share this database.",
        )
        .asks(Request::ListComputers)
        .gives::<ComputersReply>(),
        get(
            "/events",
            "events",
            Verb::ListSessions,
            "Tells, as server-sent events, of changes you may know of.",
        )
        .listens()
        .sends("text/event-stream"),
        post("/reload", "reload", Verb::Reload, "Has the daemon read its config again.")
            .asks(Request::Reload)
            .gives::<ReloadedReply>(),
    ]
}
