//! The REST paths of the audit log below `/api/v1/audit`, and answers that are sent while they are made: rows in
//! chunks, and at the end a trailer that says they are all there.

use crate::daemon::audit_log::{Piece, Stream};
use crate::daemon::backend::Live;
use crate::daemon::front::Front;
use crate::daemon::http::rest::{fields, query};
use crate::daemon::http::{Body, problem};
use crate::daemon::mcp::tools::{arguments, body as json_body};
use crate::domain::audit_format::AuditFormat;
use crate::domain::caller::{Caller, Peer};
use crate::domain::verb::Verb;
use crate::wire::audit::{ExportAudit, FollowAudit, VerifyAudit};
use crate::wire::fault::Fault;
use crate::wire::limits::{COMPLETE_TRAILER, PLACES_HEADER};
use crate::wire::request::Request;
use futures_util::stream;
use http::header::{HeaderMap, HeaderName, HeaderValue, TRAILER};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a method and the path below `audit` stand for.
pub fn route(method: &Method, below: &[&str]) -> Option<(&'static str, Verb)> {
    let get = method == Method::GET;
    let post = method == Method::POST;
    Some(match below {
        [] if get => ("list_audit", Verb::ListAudit),
        ["verify"] if get || post => ("verify_audit", Verb::VerifyAudit),
        ["export"] if get => ("export_audit", Verb::ExportAudit),
        ["tail"] if get => ("follow_audit", Verb::FollowAudit),
        ["keys"] if get => ("show_audit_keys", Verb::ShowAuditKeys),
        ["keys", "rotate"] if post => ("rotate_audit_key", Verb::RotateAuditKey),
        ["prune"] if post => ("prune_audit", Verb::PruneAudit),
        ["holds"] if get => ("list_holds", Verb::ListHolds),
        ["holds"] if post => ("place_hold", Verb::HoldAudit),
        ["holds", _, "release"] if post => ("release_hold", Verb::HoldAudit),
        _ => return None,
    })
}

/// The request of that kind; `None` if it is none of these.
pub fn request(name: &str, below: &[&str], parts: &Parts, body: &[u8]) -> Option<Result<Request, Fault>> {
    Some(match name {
        "list_audit" => query(parts, None).map(Request::ListAudit),
        "verify_audit" if body.trim_ascii().is_empty() => Ok(Request::VerifyAudit(VerifyAudit::default())),
        "verify_audit" => json_body(body).map(Request::VerifyAudit),
        "export_audit" => export(parts).map(Request::ExportAudit),
        "follow_audit" => follow(parts).map(Request::FollowAudit),
        "show_audit_keys" => Ok(Request::ShowAuditKeys),
        "rotate_audit_key" => Ok(Request::RotateAuditKey),
        "prune_audit" => json_body(body).map(Request::PruneAudit),
        "list_holds" => query(parts, None).map(Request::ListHolds),
        "place_hold" => json_body(body).map(Request::PlaceHold),
        "release_hold" => release(below, body),
        _ => return None,
    })
}

fn release(below: &[&str], body: &[u8]) -> Result<Request, Fault> {
    let mut fields: Map<String, Value> = json_body(body)?;
    let id = below.get(1).copied().unwrap_or_default();
    if fields.insert("id".to_owned(), id.into()).is_some() {
        return Err(Fault::invalid("id", "stands in the path"));
    }
    arguments(fields).map(Request::ReleaseHold)
}

fn export(parts: &Parts) -> Result<ExportAudit, Fault> {
    let mut fields = fields(parts)?;
    let format = match fields.remove("format") {
        None => AuditFormat::Jsonl,
        Some(word) => word
            .as_str()
            .and_then(AuditFormat::parse)
            .ok_or_else(|| Fault::invalid("format", "must be jsonl, csv, ocsf or bundle"))?,
    };
    Ok(ExportAudit { format, filter: arguments(fields)? })
}

fn follow(parts: &Parts) -> Result<FollowAudit, Fault> {
    let mut fields = fields(parts)?;
    let after = match fields.remove("after") {
        None => None,
        Some(text) => serde_json::from_str(text.as_str().unwrap_or_default()).map(Some).map_err(|_| {
            Fault::invalid("after", "must be a JSON object of computers and the last row that one has")
        })?,
    };
    Ok(FollowAudit { filter: arguments(fields)?, after })
}

/// Whether the answer to this kind is sent while it is made.
pub fn is_sent_in_parts(verb: Verb) -> bool {
    matches!(verb, Verb::ExportAudit | Verb::FollowAudit)
}

struct Sending {
    front: Arc<Front>,
    peer: Arc<Peer>,
    token: Option<SecretString>,
    stream: Stream,
    over: bool,
}

/// The answer that is sent while it is made.
pub async fn answer(
    front: Arc<Front>,
    peer: Arc<Peer>,
    caller: &Caller,
    token: Option<SecretString>,
    request: Request,
    gone: &CancellationToken,
) -> Response<Body> {
    let stream = match front.live(&peer, caller, token.clone(), request, gone).await {
        Ok(Live::Rows(stream)) => stream,
        Ok(_) => return problem::response(&Live::misled()),
        Err(fault) => return problem::response(&fault),
    };
    let mut response = problem::bytes(StatusCode::OK, stream.kind, Vec::new());
    response.headers_mut().insert(TRAILER, HeaderValue::from_static(COMPLETE_TRAILER));
    if let Some(places) = stream.places.as_ref().and_then(|places| HeaderValue::try_from(ascii(places)).ok())
    {
        response.headers_mut().insert(HeaderName::from_static(PLACES_HEADER), places);
    }
    let sending = Sending { front, peer, token, stream, over: false };
    let frames = stream::unfold(sending, |mut sending| async move {
        let frame = sending.next().await?;
        Some((Ok::<_, Infallible>(frame), sending))
    });
    *response.body_mut() = StreamBody::new(frames).boxed();
    response
}

/// As JSON in ASCII: what a header can hold.
fn ascii(places: &BTreeMap<String, i64>) -> String {
    let json = serde_json::to_string(places).unwrap_or_default();
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

impl Sending {
    /// The next part; `None` is the end, and without the trailer before it a sign that it is not whole.
    async fn next(&mut self) -> Option<Frame<Bytes>> {
        if self.over {
            return None;
        }
        let piece = tokio::select! {
            biased;
            () = self.front.drain.cancelled() => return None,
            piece = self.stream.pieces.recv() => piece?,
        };
        // Whoever may no longer read the log gets no more of it.
        self.front.backend.may_still(&self.peer, self.token.as_ref(), &self.stream.action).ok()?;
        match piece {
            Piece::Bytes(bytes) => Some(Frame::data(Bytes::from(bytes))),
            Piece::End(rows) => {
                self.over = true;
                let mut trailers = HeaderMap::new();
                trailers.insert(HeaderName::from_static(COMPLETE_TRAILER), HeaderValue::from(rows));
                Some(Frame::trailers(trailers))
            }
        }
    }
}
