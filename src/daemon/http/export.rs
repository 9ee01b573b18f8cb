//! A session as a file over HTTP: the answer is made while it is read. Whoever may no longer, whoever takes nothing, and
//! what cannot be read on is cut off: then the answer has no end, and a client knows that it is not whole.

use crate::daemon::backend::Live;
use crate::daemon::export::Exported;
use crate::daemon::front::Front;
use crate::daemon::http::{Body, problem};
use crate::domain::caller::{Caller, Peer};
use crate::domain::export::ExportFormat;
use crate::wire::export::ExportSession;
use crate::wire::request::Request;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use secrecy::SecretString;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Bytes that are handed on at once. Before each of them it is looked whether the client still may.
const PIECE_BYTES: usize = 64 * 1024;
/// How often it is looked while the client takes nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Answers one request to export. `cut` ends its connection.
pub async fn answer(
    front: &Arc<Front>,
    peer: &Arc<Peer>,
    caller: &Caller,
    token: Option<SecretString>,
    cut: CancellationToken,
    asked: ExportSession,
) -> Response<Body> {
    let gone = CancellationToken::new();
    let _gone = gone.clone().drop_guard();
    let request = Request::ExportSession(asked);
    let exported = match front.live(peer, caller, token.clone(), request, &gone).await {
        Ok(Live::Exported(exported)) => *exported,
        Ok(_) => return problem::response(&Live::misled()),
        Err(fault) => return problem::response(&fault),
    };
    let (format, length) = (exported.format, exported.export.length());
    let name = exported.action.session().map(|session| format!("{}.{}", session.id, format.name()));
    let going =
        Going { front: Arc::clone(front), peer: Arc::clone(peer), token, exported, made: Bytes::new() };
    let (pieces, taken) = mpsc::channel(1);
    tokio::spawn(async move {
        if going.run(&pieces).await == Ended::Cut {
            cut.cancel();
            // An end of the pieces would be an end of the file.
            pieces.closed().await;
        }
    });
    let frames = stream::unfold(taken, |mut taken| async move {
        let piece = taken.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), taken))
    });
    let mut response = problem::bytes(StatusCode::OK, content_type(format), Vec::new());
    *response.body_mut() = StreamBody::new(frames).boxed();
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(Ok(name)) = name.map(|name| HeaderValue::try_from(format!("attachment; filename=\"{name}\"")))
    {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}

/// An export on its way to a client.
struct Going {
    front: Arc<Front>,
    peer: Arc<Peer>,
    token: Option<SecretString>,
    exported: Exported,
    /// What is made and not yet handed on.
    made: Bytes,
}

/// How an export ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// The client has all of it, or has gone.
    Well,
    /// The client must not take it for a whole.
    Cut,
}

impl Going {
    /// Hands on piece after piece, as fast as they are taken, for as long as the client may.
    async fn run(mut self, pieces: &mpsc::Sender<Bytes>) -> Ended {
        let hard = self.front.hard.clone();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let place = tokio::select! {
                () = hard.cancelled() => return Ended::Cut,
                _ = look.tick() => {
                    if self.may() {
                        continue;
                    }
                    return Ended::Cut;
                }
                place = pieces.reserve() => place,
            };
            let Ok(place) = place else { return Ended::Well };
            while self.made.is_empty() {
                // There may be nothing to hand on for a long time.
                if pieces.is_closed() {
                    return Ended::Well;
                }
                if hard.is_cancelled() {
                    return Ended::Cut;
                }
                match self.exported.export.next().await {
                    Ok(Some(made)) => self.made = made.into(),
                    Ok(None) => return Ended::Well,
                    Err(fault) => {
                        tracing::warn!(%fault, "an export ended in the middle");
                        return Ended::Cut;
                    }
                }
            }
            if !self.may() {
                return Ended::Cut;
            }
            place.send(self.made.split_to(self.made.len().min(PIECE_BYTES)));
        }
    }

    /// Whether the client still may.
    fn may(&self) -> bool {
        self.front.backend.may_still(&self.peer, self.token.as_ref(), &self.exported.action).is_ok()
    }
}

/// The media type of a session in that form.
pub const fn content_type(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Cast => "application/x-asciicast",
        ExportFormat::Txt => "text/plain; charset=utf-8",
        ExportFormat::Md => "text/markdown; charset=utf-8",
        ExportFormat::Jsonl => "application/jsonl",
        ExportFormat::Html => "text/html; charset=utf-8",
    }
}
