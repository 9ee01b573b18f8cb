//! Versions of what is answered, as HTTP has them. A tag is the version, which says what a change must have seen, and a
//! digest of the whole answer, which says whether it is still the same to read. That somebody else was quicker is seen
//! in the writer's transaction; here it only gets its status.

use crate::daemon::http::routes::row::Route;
use crate::daemon::http::{Body, problem};
use crate::wire::fault::{Fault, FaultCode};
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
};
use http::{Method, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of the digest in a tag.
const DIGITS: usize = 16;

/// The version that the asker has seen, if the change is to be done to no other; `None` is any.
///
/// # Errors
/// The path knows no versions.
pub fn seen(row: &Route, headers: &HeaderMap) -> Result<Option<String>, Fault> {
    if row.method != Method::GET && headers.contains_key(IF_NONE_MATCH) {
        let problem = "is for reading; a change takes `If-Match` with the tag of what was read";
        return Err(Fault::invalid("If-None-Match", problem));
    }
    let Some(tags) = all(headers, &IF_MATCH).filter(|_| row.method != Method::GET) else { return Ok(None) };
    if row.guard.is_none() {
        return Err(Fault::invalid("If-Match", "what this path changes has no versions"));
    }
    if tags == "*" {
        return Ok(None);
    }
    let version = tags
        .strip_prefix('"')
        .and_then(|tag| tag.strip_suffix('"'))
        .filter(|tag| !tag.contains('"'))
        .and_then(|tag| tag.rsplit_once('-'))
        .filter(|(version, digest)| !version.is_empty() && digest.len() == DIGITS);
    // What is no tag of ours is of no version there is; what else is wrong with the request is said before that.
    Ok(Some(version.map_or("?", |(version, _)| version).to_owned()))
}

/// The answer to what was done, with its tag if it has a version.
pub fn answer(row: &Route, headers: &HeaderMap, reply: &impl Serialize) -> Response<Body> {
    let response = problem::json(row.status, reply);
    let version =
        row.version.filter(|_| response.status() == row.status).and_then(|field| match serde_json::to_value(
            reply,
        )
        .ok()?
        .get(field)?
        {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
    let tag = version.and_then(|version| {
        let digest = Sha256::digest(serde_json::to_vec(reply).ok()?);
        let digest: String = digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
        HeaderValue::try_from(format!("\"{version}-{digest}\"")).ok()
    });
    let Some(tag) = tag else { return response };
    let mut response = match row.method == Method::GET && is_known(headers, &tag) {
        true => {
            let mut same = problem::bytes(StatusCode::NOT_MODIFIED, "application/json", Vec::new());
            same.headers_mut().remove(CONTENT_TYPE);
            same
        }
        false => response,
    };
    response.headers_mut().insert(ETAG, tag);
    // May be kept by the asker alone, and shown again only after asking.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// The answer to what was refused: that somebody else was quicker is 412 to one who gave a tag.
pub fn refusal(row: &Route, headers: &HeaderMap, fault: &Fault) -> Response<Body> {
    let is_about_version = matches!(fault.code, FaultCode::Conflict | FaultCode::Invalid)
        && row.guard.is_some()
        && fault.field.as_deref() == row.guard;
    if !is_about_version || !headers.contains_key(IF_MATCH) {
        return problem::response(fault);
    }
    let fault = Fault { code: FaultCode::Conflict, field: None, ..fault.clone() };
    let fault = match fault.hint {
        Some(_) => fault,
        None => fault.hint("it was changed since you read it: read it again, and change what it is then"),
    };
    problem::with_status(&fault, StatusCode::PRECONDITION_FAILED)
}

fn all(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> =
        headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(",").trim().to_owned())
}

fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let (Some(known), Ok(tag)) = (all(headers, &IF_NONE_MATCH), tag.to_str()) else { return false };
    known == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}
