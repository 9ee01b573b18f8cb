//! Paths to what was said and done in sessions.

use crate::daemon::http::export::content_type;
use crate::daemon::http::routes::row::{Route, Whence, get};
use crate::daemon::mcp::tools::arguments;
use crate::domain::export::ExportFormat;
use crate::domain::verb::Verb;
use crate::wire::follow::{CONTENT_TYPE, FollowSession, Followed};
use crate::wire::request::{GetSessionData, Request};
use crate::wire::session::{ContentReply, SearchReply};

/// The rows.
pub fn rows() -> Vec<Route> {
    let export = get(
        "/sessions/{session_id}/export",
        "export_session",
        Verb::ExportSession,
        "Takes a session out as a file, made while it is read. Without its end it is not whole.",
    )
    .query(Request::ExportSession);
    vec![
        get(
            "/sessions/{session_id}/transcript",
            "get_session_data",
            Verb::ReadSession,
            "Reads what a session showed; with `follow=true`, on and on, as lines of JSON.",
        )
        .reads::<GetSessionData>(Whence::Query, |fields| match fields.contains_key("follow") {
            true => arguments(fields).map(Request::FollowSession),
            false => arguments(fields).map(Request::ReadSession),
        })
        .and::<FollowSession>()
        .gives::<ContentReply>()
        .sends_lines::<Followed>(CONTENT_TYPE),
        ExportFormat::ALL.into_iter().fold(export, |row, format| row.sends(content_type(format))),
        get(
            "/search",
            "search_sessions",
            Verb::SearchSessions,
            "Searches what was said and done in sessions.",
        )
        .query(Request::SearchSessions)
        .gives::<SearchReply>(),
    ]
}
