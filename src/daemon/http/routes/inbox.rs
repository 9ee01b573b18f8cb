//! Paths about one's messages.

use crate::daemon::http::routes::row::{Route, Whence, get, post};
use crate::daemon::mcp::tools::arguments;
use crate::domain::verb::Verb;
use crate::wire::fault::Fault;
use crate::wire::inbox::{Inbox, InboxReply};
use crate::wire::request::Request;
use serde_json::{Map, Value};

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get("/inbox", "inbox", Verb::ReadInbox, "Reads your messages, newest first. Marks nothing.")
            .query(Request::Inbox)
            .without(&["mark_read", "mark_all"])
            .gives::<InboxReply>(),
        post(
            "/inbox/read",
            "mark_inbox",
            Verb::MarkInbox,
            "Marks messages as read, then reads your messages: `mark_read` or `mark_all` must be given.",
        )
        .reads::<Inbox>(Whence::Body, marking)
        .gives::<InboxReply>(),
    ]
}

/// Marking must say what.
fn marking(fields: Map<String, Value>) -> Result<Request, Fault> {
    let asked: Inbox = arguments(fields)?;
    if asked.marks() {
        Ok(Request::Inbox(asked))
    } else {
        Err(Fault::invalid("mark_read", "must be given, or mark_all: true"))
    }
}
