//! The HTTP mouth: one connection of HTTP/1.1, bounded in every direction, with MCP on `/mcp` and REST beside it.
//! Decides nothing.

pub mod attach;
pub mod audit;
mod etag;
pub mod events;
pub mod export;
pub mod follow;
pub mod io;
pub mod openapi;
pub mod problem;
pub mod rest;
pub mod routes;
mod usage;

use crate::daemon::front::Front;
use crate::daemon::http::attach::{Upgrades, Way};
use crate::daemon::http::io::{Phase, TimedIo};
use crate::daemon::limits::Limits;
use crate::daemon::mcp::serve::Streamable;
use crate::domain::caller::Peer;
use crate::wire::fault::{Fault, FaultCode};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, ORIGIN};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// What every answer's body is.
pub type Body = BoxBody<Bytes, Infallible>;

/// The HTTP server, shared by all connections.
#[derive(Clone)]
pub struct Mouth {
    mcp: Streamable,
}

impl Mouth {
    /// A server before `front`.
    pub fn new(front: &Arc<Front>) -> Self {
        Self { mcp: Streamable::new(front) }
    }

    /// Serves one connection until its end.
    pub async fn serve(self, front: Arc<Front>, stream: UnixStream, peer: Arc<Peer>, limits: Arc<Limits>) {
        let phase = Phase::default();
        let io = TimedIo::new(stream, phase.clone(), limits.header, limits.write);
        let drain = front.drain.clone();
        let upgrades = Upgrades::default();
        let cut = CancellationToken::new();
        let (attached, attached_by) = ((Arc::clone(&front), Arc::clone(&peer)), upgrades.clone());
        let service = service_fn({
            let (limits, cut) = (Arc::clone(&limits), cut.clone());
            move |mut request: Request<Incoming>| {
                let in_request = phase.enter();
                let (mouth, front, peer) = (self.clone(), Arc::clone(&front), Arc::clone(&peer));
                let limits = Arc::clone(&limits);
                let way = Way {
                    upgrade: hyper::upgrade::on(&mut request),
                    upgrades: upgrades.clone(),
                    cut: cut.clone(),
                };
                async move {
                    let response = mouth.answer(front, peer, &limits, request, way).await;
                    drop(in_request);
                    Ok::<_, Infallible>(response)
                }
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.keep_alive)
            .max_headers(limits.headers)
            .max_buf_size(limits.header_bytes.max(8 * 1024))
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ended = connection.as_mut() => {}
            () = cut.cancelled() => return,
            () = drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    _ended = connection => {}
                    () = cut.cancelled() => return,
                }
            }
        }
        // Here and not in a task of its own: the connection counts until its end.
        if let Some(pending) = attached_by.take() {
            attach::serve(&attached.0, &attached.1, pending).await;
        }
    }

    async fn answer(
        &self,
        front: Arc<Front>,
        peer: Arc<Peer>,
        limits: &Limits,
        request: Request<Incoming>,
        way: Way,
    ) -> Response<Body> {
        if let Some(origin) = request.headers().get(ORIGIN)
            && !limits.origins.iter().any(|allowed| matches(allowed, origin))
        {
            let fault = Fault::new(FaultCode::Denied, "requests with an Origin are refused")
                .hint("web pages have no business on this socket");
            return problem::response(&fault);
        }
        let (parts, body) = request.into_parts();
        let body = match whole(&parts.headers, body, limits).await {
            Ok(body) => body,
            Err(status) => return cut_off(status),
        };
        if parts.uri.path() == "/mcp" {
            return self.mcp.answer(peer, Request::from_parts(parts, Full::new(body))).await;
        }
        rest::answer(front, peer, &parts, &body, way).await
    }
}

/// The whole body within size and time.
async fn whole(headers: &http::HeaderMap, body: Incoming, limits: &Limits) -> Result<Bytes, StatusCode> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.message_bytes as u64) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = Limited::new(body, limits.message_bytes).collect();
    match tokio::time::timeout(limits.body, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The answer to a body that was not read to its end: the connection cannot be used any longer.
fn cut_off(status: StatusCode) -> Response<Body> {
    let why = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
        StatusCode::REQUEST_TIMEOUT => "the body did not come in time",
        _ => "the body is broken",
    };
    let mut response = problem::with_status(&Fault::invalid("body", why), status);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether `origin` is `allowed`, which may end in `:*` for any port.
fn matches(allowed: &str, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    match allowed.strip_suffix(":*") {
        Some(host) => origin.strip_prefix(host).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok())
        }),
        None => origin == allowed,
    }
}
