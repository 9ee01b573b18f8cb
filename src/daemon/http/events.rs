//! `/api/v1/events`: server-sent events about what the caller may see. Nothing is kept for later: a client that comes
//! back, or that was too slow, is told to look again.

use crate::daemon::backend::Event;
use crate::daemon::front::Front;
use crate::daemon::http::{Body, problem};
use crate::domain::caller::{Peer, Via};
use crate::domain::verb::Verb;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use secrecy::SecretString;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// How often a comment is sent when nothing happens, so that dead connections are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Told when something may have been missed.
const RESYNC: &str = "event: resync\ndata: {}\n\n";

struct Listening {
    front: Arc<Front>,
    peer: Arc<Peer>,
    token: Option<SecretString>,
    events: Receiver<Event>,
    first: Option<&'static str>,
}

/// The stream of events from now on.
pub fn stream(
    front: Arc<Front>,
    peer: Arc<Peer>,
    token: Option<SecretString>,
    headers: &HeaderMap,
) -> Response<Body> {
    let events = front.backend.watch();
    let first = if headers.contains_key("last-event-id") { RESYNC } else { ": listening\n\n" };
    let listening = Listening { front, peer, token, events, first: Some(first) };
    let frames = stream::unfold(listening, |mut listening| async move {
        let text = listening.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), listening))
    });
    let mut response = problem::bytes(StatusCode::OK, "text/event-stream", Vec::new());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    *response.body_mut() = StreamBody::new(frames).boxed();
    response
}

impl Listening {
    /// The next piece of the stream; `None` is its end.
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first.to_owned());
        }
        // Since something was sent: what they may not see is no sign of life.
        let quiet = Instant::now() + KEEP_ALIVE;
        loop {
            let event = tokio::select! {
                biased;
                () = self.front.drain.cancelled() => return None,
                () = tokio::time::sleep_until(quiet) => None,
                event = self.events.recv() => Some(event),
            };
            let caller = self.front.caller(&self.peer, Via::Http, self.token.as_ref());
            // Who may no longer list sessions hears no more of them.
            if self.front.backend.turns_away(&self.peer)
                || !self.front.backend.may(&caller, Verb::ListSessions)
            {
                return None;
            }
            let Some(event) = event else { return Some(": \n\n".to_owned()) };
            match event {
                Ok(Event::Catalogue) => return Some("event: catalogue\ndata: {}\n\n".to_owned()),
                Ok(Event::Session(event)) if event.visible_to(&caller) => {
                    let (kind, id) = (event.kind.name(), event.session_id);
                    return Some(format!("event: {kind}\ndata: {{\"session_id\":\"{id}\"}}\n\n"));
                }
                Ok(event @ Event::Inbox { .. }) if event.visible_to(&caller) => {
                    return Some("event: inbox\ndata: {}\n\n".to_owned());
                }
                Ok(event @ Event::Documents(_)) if event.visible_to(&caller) => {
                    return Some("event: docs\ndata: {}\n\n".to_owned());
                }
                Ok(Event::Session(_) | Event::Inbox { .. } | Event::Documents(_)) => {}
                Err(RecvError::Lagged(_)) => return Some(RESYNC.to_owned()),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
