//! Paths about shared documents.

use crate::daemon::http::routes::row::{Route, get};
use crate::domain::verb::Verb;
use crate::wire::docs::{ContextReply, DocProblemsReply, DocText};
use crate::wire::request::Request;

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/docs",
            "get_context",
            Verb::ReadDocs,
            "Lists the shared documents you may read; with ids gives their texts, what they require before them.",
        )
        .query(Request::ReadDocs)
        .gives::<ContextReply>(),
        get("/docs/{id}", "read_document", Verb::ReadDocs, "Gives one shared document, whole.")
            .path(Request::ReadDocument)
            .gives::<DocText>(),
        get(
            "/health/docs",
            "doc_problems",
            Verb::DocProblems,
            "Says what is wrong with the shared documents, and which files are left out for it.",
        )
        .asks(Request::DocProblems)
        .gives::<DocProblemsReply>(),
    ]
}
