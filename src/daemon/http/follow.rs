//! The answer that goes on while a transcript is followed: lines of JSON, as `wire::follow` has them. Whether the client
//! still may is asked again each second; one that takes nothing makes nobody wait, and is cut off like any other.

use crate::daemon::backend::{Event, Live as Answer};
use crate::daemon::follow::{Following, Next};
use crate::daemon::front::Front;
use crate::daemon::http::{Body, problem};
use crate::domain::caller::{Caller, Peer};
use crate::domain::session::SessionId;
use crate::wire::fault::FaultCode;
use crate::wire::follow::{CONTENT_TYPE as KIND, FollowSession, Followed};
use crate::wire::request::Request;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use secrecy::SecretString;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether there is more, whatever is told, and whether the client still may.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often an empty line is sent when nothing happens, so that dead connections are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct Live {
    front: Arc<Front>,
    peer: Arc<Peer>,
    token: Option<SecretString>,
    events: Receiver<Event>,
    session: Option<SessionId>,
    /// Taken when it is over.
    following: Option<Following>,
    /// When it was last looked whether they may.
    judged: Option<Instant>,
    /// When the last line was sent.
    sent: Instant,
    /// When it is looked again.
    look_at: Instant,
    /// Whether there may be more.
    more: bool,
}

/// Answers one request to follow.
pub async fn answer(
    front: Arc<Front>,
    peer: Arc<Peer>,
    caller: &Caller,
    token: Option<SecretString>,
    asked: FollowSession,
) -> Response<Body> {
    let gone = CancellationToken::new();
    let _gone = gone.clone().drop_guard();
    // Before the first look, so that nothing is missed between it and the first event.
    let events = front.backend.watch();
    let request = Request::FollowSession(asked);
    let following = match front.live(&peer, caller, token.clone(), request, &gone).await {
        Ok(Answer::Followed(following)) => *following,
        Ok(_) => return problem::response(&Answer::misled()),
        Err(fault) => return problem::response(&fault),
    };
    let live = Live {
        session: following.action.session().map(|session| session.id),
        following: Some(following),
        front,
        peer,
        token,
        events,
        judged: None,
        sent: Instant::now(),
        look_at: Instant::now() + LOOK_EVERY,
        more: true,
    };
    // One line waits at most: whoever takes none makes this task wait, and nobody else.
    let (lines, taken) = mpsc::channel(1);
    tokio::spawn(live.run(lines));
    let frames = stream::unfold(taken, |mut taken| async move {
        let line: String = taken.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), taken))
    });
    let mut response = problem::bytes(StatusCode::OK, KIND, Vec::new());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(KIND));
    *response.body_mut() = StreamBody::new(frames).boxed();
    response
}

fn line(of: &Followed) -> String {
    // Strings always become JSON.
    serde_json::to_string(of).unwrap_or_default() + "\n"
}

impl Live {
    /// Sends lines until the end, the client's or the session's.
    async fn run(mut self, lines: mpsc::Sender<String>) {
        loop {
            let line = tokio::select! {
                () = lines.closed() => break,
                line = self.next() => line,
            };
            let Some(line) = line else { return };
            self.sent = Instant::now();
            if lines.send(line).await.is_err() {
                break;
            }
        }
        if let Some(following) = self.following.take() {
            following.end("the client left").await;
        }
    }

    /// The next line; `None` is the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            let following = self.following.as_mut()?;
            if self.judged.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                let token = self.token.as_ref();
                if let Err(fault) = self.front.backend.may_still(&self.peer, token, &following.action) {
                    let (code, message) = (fault.code, fault.message);
                    return Some(self.last("no longer allowed", &Followed::Error { code, message }).await);
                }
                self.judged = Some(Instant::now());
            }
            if self.more {
                match following.next().await {
                    Ok(Next::Piece(piece)) => {
                        let cursor = piece.place.cursor();
                        return Some(line(&Followed::Content { content: piece.content, cursor }));
                    }
                    Ok(Next::End(exit)) => {
                        let exit = exit.map(|exit| exit.to_string());
                        return Some(self.last("the session ended", &Followed::End { exit }).await);
                    }
                    Ok(Next::Nothing) => self.more = false,
                    Err(fault) => {
                        let (code, message) = (fault.code, fault.message);
                        return Some(self.last("it failed", &Followed::Error { code, message }).await);
                    }
                }
            }
            if self.sent.elapsed() >= KEEP_ALIVE {
                return Some("\n".to_owned());
            }
            let stopped = tokio::select! {
                () = self.front.drain.cancelled() => true,
                event = self.events.recv() => match event {
                    Ok(Event::Session(event)) => {
                        self.more |= Some(event.session_id) == self.session;
                        false
                    }
                    Ok(Event::Catalogue) => {
                        self.judged = None;
                        false
                    }
                    Ok(Event::Inbox { .. } | Event::Documents(_)) => false,
                    Err(RecvError::Lagged(_)) => {
                        self.more = true;
                        false
                    }
                    Err(RecvError::Closed) => true,
                },
                () = tokio::time::sleep_until(self.look_at) => {
                    self.look_at = Instant::now() + LOOK_EVERY;
                    self.more = true;
                    false
                }
            };
            if stopped {
                let (code, message) = (FaultCode::Unavailable, "the daemon stops".to_owned());
                return Some(self.last("the daemon stopped", &Followed::Error { code, message }).await);
            }
        }
    }

    async fn last(&mut self, how: &str, last: &Followed) -> String {
        if let Some(following) = self.following.take() {
            following.end(how).await;
        }
        line(last)
    }
}
