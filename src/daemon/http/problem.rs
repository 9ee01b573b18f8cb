//! Faults as `application/problem+json`, and replies as JSON.

use crate::daemon::http::Body;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::limits::ANSWER_BYTES_MAX;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use schemars::JsonSchema;
use serde::Serialize;

/// A refusal or failure, as RFC 9457 has it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem<'a> {
    /// `urn:teleclaude:fault:` and the code.
    r#type: String,
    /// The code in words.
    title: String,
    /// The status of the answer.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// To branch on.
    code: FaultCode,
    /// To read.
    detail: &'a str,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// Which argument was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// Milliseconds after which trying again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    retry_after_ms: Option<i64>,
}

/// The answer that carries `fault`, with the status of its code.
pub fn response(fault: &Fault) -> Response<Body> {
    with_status(fault, status(fault))
}

/// The status of a fault.
pub fn status(fault: &Fault) -> StatusCode {
    StatusCode::from_u16(fault.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer that carries `fault` with another status.
pub fn with_status(fault: &Fault, status: StatusCode) -> Response<Body> {
    let problem = Problem {
        r#type: format!("urn:teleclaude:fault:{}", fault.code.name()),
        title: fault.code.name().replace('_', " "),
        status: status.as_u16(),
        code: fault.code,
        detail: &fault.message,
        hint: fault.hint.as_deref(),
        field: fault.field.as_deref(),
        retry_after_ms: fault.retry_after_ms,
    };
    let mut response =
        bytes(status, "application/problem+json", serde_json::to_vec(&problem).unwrap_or_default());
    if let Some(milliseconds) = fault.retry_after_ms {
        let seconds = milliseconds.max(0).unsigned_abs().div_ceil(1_000);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The answer to a path that is unknown, or that the caller may not use: the same for both.
pub fn unknown_path() -> Response<Body> {
    response(&Fault::new(FaultCode::NotFound, "there is nothing at this path"))
}

/// The answer to a known path with a method that it has not. `allowed` are those it has.
pub fn wrong_method(allowed: &[&str]) -> Response<Body> {
    let allowed = allowed.join(", ");
    let fault = Fault::new(FaultCode::Invalid, format!("this path takes {allowed}"));
    let mut response = with_status(&fault, StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(json) if json.len() <= ANSWER_BYTES_MAX => bytes(status, "application/json", json),
        Ok(_) => response(
            &Fault::new(FaultCode::Internal, "the answer is too large").hint("ask for a smaller page"),
        ),
        Err(_) => response(&Fault::new(FaultCode::Internal, "the answer cannot be written as JSON")),
    }
}

/// An answer of these bytes. Nothing in between may keep it: answers differ by who asks.
pub fn bytes(status: StatusCode, kind: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::from(bytes).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
