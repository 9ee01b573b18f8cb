//! Paths about people.

use crate::daemon::http::routes::row::{Route, get};
use crate::domain::verb::Verb;
use crate::wire::reply::WhoamiReply;
use crate::wire::request::Request;

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/people/{user}/explain",
            "explain_person",
            Verb::ExplainPerson,
            "Says who an OS user is to this daemon, and by which rule.",
        )
        .path(Request::ExplainPerson)
        .gives::<WhoamiReply>(),
    ]
}
