//! REST: one walk through the table of paths (`routes`), and the answer to what was found there.

use crate::daemon::front::Front;
use crate::daemon::http::attach::{self, Way};
use crate::daemon::http::routes::row::Does;
use crate::daemon::http::{Body, audit, etag, events, export, follow, problem, routes, usage};
use crate::daemon::metrics;
use crate::domain::caller::{Caller, Peer, Via};
use crate::domain::verb::Verb;
use crate::wire::limits::TOKEN_HEADER;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use secrecy::SecretString;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Answers one request.
pub async fn answer(
    front: Arc<Front>,
    peer: Arc<Peer>,
    parts: &Parts,
    body: &[u8],
    way: Way,
) -> Response<Body> {
    let token: Option<SecretString> =
        parts.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).map(Into::into);
    let path = parts.uri.path();
    let gone = CancellationToken::new();
    let _gone = gone.clone().drop_guard();
    if path == "/healthz" && parts.method == Method::GET {
        let caller = front.caller(&peer, Via::Http, None);
        let reply = front.ask(&peer, &caller, None, Request::Health, &gone).await;
        let (status, word) = match reply {
            Ok(Reply::Health(health)) if health.status == "ok" => (StatusCode::OK, health.status),
            Ok(Reply::Health(health)) => (StatusCode::SERVICE_UNAVAILABLE, health.status),
            Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable".to_owned()),
            // Who asks too often, or is refused, has not found it ill.
            Err(fault) => (problem::status(&fault), fault.code.name().to_owned()),
        };
        return problem::bytes(status, "text/plain; charset=utf-8", format!("{word}\n").into_bytes());
    }
    // Where monitoring systems look for it.
    let path = if path == "/metrics" { "/api/v1/metrics" } else { path };
    let Some(segments) = routes::segments(path) else { return problem::unknown_path() };
    let rows = routes::at(&segments);
    let caller = front.caller(&peer, Via::Http, token.as_ref());
    let Some(row) = rows.iter().find(|row| row.method == parts.method) else {
        // Whoever may use none of them learns nothing of the path.
        let rows = rows.iter().filter(|row| may(&front, &caller, row.verb));
        let methods: Vec<&str> = rows.map(|row| row.method.as_str()).collect();
        return if methods.is_empty() { problem::unknown_path() } else { problem::wrong_method(&methods) };
    };
    if !may(&front, &caller, row.verb) {
        return match front.refuse(&peer, &caller, token.as_ref(), row.verb).await {
            Some(fault) => problem::response(&fault),
            None => problem::unknown_path(),
        };
    }
    let make = match &row.does {
        Does::Ask(make) => make,
        Does::Listen => return events::stream(front, peer, token, &parts.headers),
    };
    let request = match row.request(make, &segments, parts, body) {
        Ok(request) => request,
        Err(fault) => return etag::refusal(row, &parts.headers, &fault),
    };
    match request {
        Request::Attach(asked) => attach::answer(&front, &peer, &caller, token, (parts, way), asked).await,
        Request::FollowSession(asked) => follow::answer(front, peer, &caller, token, asked).await,
        Request::ExportSession(asked) => export::answer(&front, &peer, &caller, token, way.cut, asked).await,
        Request::ExportAudit(_) | Request::FollowAudit(_) => {
            audit::answer(front, peer, &caller, token, request, &gone).await
        }
        request => {
            debug_assert_eq!(request.verb(), row.verb, "what a path does is what its request does");
            let csv = matches!(&request, Request::ShowUsage(asked) if usage::wants_csv(parts, asked));
            match front.ask(&peer, &caller, token, request, &gone).await {
                Ok(Reply::Usage(reply)) if csv => usage::csv(&reply),
                Ok(Reply::Metrics(text)) => {
                    problem::bytes(StatusCode::OK, metrics::CONTENT_TYPE, text.into_bytes())
                }
                Ok(reply) => etag::answer(row, &parts.headers, &reply),
                Err(fault) => etag::refusal(row, &parts.headers, &fault),
            }
        }
    }
}

/// Whether the caller may use a path that does this. Everybody may ask who they are and whether the daemon is well.
fn may(front: &Front, caller: &Caller, verb: Verb) -> bool {
    matches!(verb, Verb::Whoami | Verb::Health) || front.backend.may(caller, verb)
}
