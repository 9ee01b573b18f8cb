//! Paths about one's messages.

use crate::daemon::http::routes::row::{Route, Whence, get, post};
use crate::daemon::mcp::tools::arguments;
use crate::domain::verb::Verb;
use crate::wire::fault::Fault;
use crate::wire::inbox::{DeliveredReply, Inbox, InboxReply};
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
        post(
            "/people/{user}/messages",
            "send_to_user",
            Verb::SendToPerson,
            "Writes to a person, into their inbox; `admins` stands for all admins.",
        )
        .body(Request::SendToPerson)
        .gives::<DeliveredReply>(),
        post(
            "/inbox/summaries",
            "send_summary_to_owner",
            Verb::SendSummary,
            "Tells who gave a task what was done, in their inbox.",
        )
        .body(Request::SendSummary)
        .gives::<DeliveredReply>(),
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
