//! What was used, as lines for a spreadsheet: by `format=csv`, or where the asker accepts CSV and not JSON.

use crate::daemon::http::{Body, problem};
use crate::wire::limits::NEXT_CURSOR_HEADER;
use crate::wire::usage::{CSV, ShowUsage, UsageForm, UsageReply};
use http::header::{ACCEPT, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

/// Whether it is to be CSV.
pub fn wants_csv(parts: &Parts, asked: &ShowUsage) -> bool {
    let accepts = || {
        let mut kinds = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let first = kinds.next().unwrap_or_default().split([',', ';']).next().unwrap_or_default();
        first.trim().eq_ignore_ascii_case("text/csv")
    };
    match asked.format {
        Some(form) => form == UsageForm::Csv,
        None => accepts(),
    }
}

/// A page as CSV; only the first one has a head. Where the next one begins stands in a header.
pub fn csv(reply: &UsageReply) -> Response<Body> {
    let by = reply.told_apart();
    // The first page has the sum of all.
    let head = if reply.total.is_some() { UsageReply::csv_head(&by) } else { String::new() };
    let text = format!("{head}{}", reply.csv_rows(&by));
    let mut response = problem::bytes(StatusCode::OK, CSV, text.into_bytes());
    let next = reply.next_cursor.as_deref().and_then(|cursor| HeaderValue::from_str(cursor).ok());
    if let Some(next) = next {
        response.headers_mut().insert(NEXT_CURSOR_HEADER, next);
    }
    response
}
