//! Paths about people.

use crate::daemon::http::routes::row::{Route, get};
use crate::domain::verb::Verb;
use crate::wire::people::{FoundPersonReply, PeopleReply, PeopleStatsReply, PersonReply, ShowPerson};
use crate::wire::reply::WhoamiReply;
use crate::wire::request::Request;

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get("/people", "list_users", Verb::ListPeople, "Lists people, 100 a page, the newest first.")
            .query(Request::ListPeople)
            .gives::<PeopleReply>(),
        get(
            "/people/find",
            "resolve_user",
            Verb::FindPerson,
            "Says who is meant by some words, or who may be.",
        )
        .query(Request::FindPerson)
        .gives::<FoundPersonReply>(),
        get("/people/stats", "people_stats", Verb::PeopleStats, "Says how many people there are.")
            .asks(Request::PeopleStats)
            .gives::<PeopleStatsReply>(),
        get("/people/me", "show_me", Verb::ShowPerson, "Shows yourself.")
            .asks(Request::ShowPerson(ShowPerson { person: None }))
            .versioned("updated_at")
            .gives::<PersonReply>(),
        get(
            "/people/{person}",
            "user_info",
            Verb::ShowPerson,
            "Shows somebody; whoever is no admin, yourself.",
        )
        .path(Request::ShowPerson)
        .versioned("updated_at")
        .gives::<PersonReply>(),
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
