//! Every path below `/api/v1`, as one static table: which method and path stand for which request, where its arguments
//! come from, and what is answered. Routing, reading and the OpenAPI document all walk this table; there is no other
//! list.
//!
//! To add a path, add a row to the file of its noun (a new noun is a new file and a line in `TABLE`):
//!
//! ```text
//! patch("/tasks/{task_id}", "edit_task", Verb::EditTask, "Changes a task; only what is given is changed.")
//!     .body(Request::EditTask)          // or .path(…), .query(…), .asks(Request::Whoami); .reads(…) for the odd one
//!     .gives::<TaskRow>(),              // or .created::<TaskRow>(), .sends(MEDIA_TYPE)
//! ```
//!
//! What two may change at once has a version: `.versioned(FIELD)` names the answer's field, and `.guarded(ARGUMENT)` the
//! argument of a change that says which version was seen (a fault `conflict` with that field says that it was changed
//! since). `ETag`, `If-Match` and `If-None-Match` then come by themselves.
//!
//! What is given to `.body` and the like is the variant of `Request`; its type says by its schema (`schemars`) which
//! arguments there are and which of them are numbers, truths or lists. `{task_id}` in the path is a field of that type
//! and is left out of the query and the body. Types of arguments are `#[serde(deny_unknown_fields)]`, and answers derive
//! `JsonSchema`. The operation id is unique, and that of the tool where there is one.

mod audit;
mod config;
mod credentials;
mod daemon;
mod docs;
mod inbox;
mod jobs;
mod people;
mod people_change;
mod read;
pub mod row;
mod sessions;
mod tasks;
mod transcripts;
mod usage;

use crate::daemon::http::routes::row::Route;
use std::sync::LazyLock;

/// Every row.
pub static TABLE: LazyLock<Vec<Route>> = LazyLock::new(|| {
    [
        daemon::rows(),
        docs::rows(),
        sessions::rows(),
        transcripts::rows(),
        inbox::rows(),
        tasks::rows(),
        audit::rows(),
        usage::rows(),
        config::rows(),
        credentials::rows(),
        people::rows(),
        jobs::rows(),
        people_change::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// The rows of the one path that these decoded segments are: the one with a word where others have a parameter. Its
/// rows differ by method.
pub fn at(segments: &[String]) -> Vec<&'static Route> {
    let Some(best) =
        TABLE.iter().filter(|row| row.is_at(segments)).min_by(|a, b| a.parameters().cmp(b.parameters()))
    else {
        return Vec::new();
    };
    TABLE.iter().filter(|row| row.path == best.path).collect()
}

/// The decoded segments of a path below `/api/v1`; `None` if it lies elsewhere, is not UTF-8 or has an empty one.
pub fn segments(path: &str) -> Option<Vec<String>> {
    path.strip_prefix("/api/v1/")?
        .split('/')
        .map(|text| decode(text).filter(|text| !text.is_empty()))
        .collect()
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        bytes.push(digit(digits[0])? * 16 + digit(digits[1])?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{TABLE, at, decode, segments};
    use std::collections::BTreeSet;

    fn found(path: &str) -> Vec<&'static str> {
        segments(path).map(|segments| at(&segments)).unwrap_or_default().iter().map(|row| row.id).collect()
    }

    #[test]
    fn paths_are_decoded_and_only_ours_are_known() {
        assert_eq!(decode("a%20b%2F").as_deref(), Some("a b/"));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
        assert_eq!(segments("/api/v1/people/ann/explain").unwrap(), ["people", "ann", "explain"]);
        assert_eq!(found("/api/v1/sessions"), ["list_sessions", "start_session"]);
        assert_eq!(found("/api/v1/sessions/command"), ["run_agent_command"]);
        for unknown in
            ["/api/v2/whoami", "/api/v1/", "/api/v1/sessions/", "/api/v1/sessions/x/y", "/sessions"]
        {
            assert!(found(unknown).is_empty(), "{unknown}");
        }
    }

    #[test]
    fn ids_are_unique_and_no_two_rows_are_one() {
        let mut ids = BTreeSet::new();
        let mut places = BTreeSet::new();
        for row in TABLE.iter() {
            assert!(ids.insert(row.id), "{}", row.id);
            assert!(row.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", row.id);
            assert!(!row.answers.is_empty(), "{}: what does it answer?", row.id);
            // Paths that differ in the names of parameters alone are the same path.
            let shape: Vec<&str> =
                row.path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
            assert!(places.insert((row.method.to_string(), shape.join("/"))), "{}", row.id);
            for name in row.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                assert!(row.has_argument(name), "{}: `{name}` is no argument of it", row.id);
            }
        }
    }
}
