//! Answers of the audit log that are sent while they are made: rows in chunks, and at the end a trailer that says they
//! are all there.

use crate::daemon::audit_log::{Piece, Stream};
use crate::daemon::backend::Live;
use crate::daemon::front::Front;
use crate::daemon::http::{Body, problem};
use crate::domain::caller::{Caller, Peer};
use crate::wire::limits::{COMPLETE_TRAILER, PLACES_HEADER};
use crate::wire::request::Request;
use futures_util::stream;
use http::header::{HeaderMap, HeaderName, HeaderValue, TRAILER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the client still may, while there is nothing to send.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
        let piece = loop {
            let piece = tokio::select! {
                biased;
                () = self.front.drain.cancelled() => return None,
                piece = self.stream.pieces.recv() => Some(piece?),
                () = tokio::time::sleep(LOOK_EVERY) => None,
            };
            // Whoever may no longer read the log gets no more of it, and is not kept waiting for more.
            self.front.backend.may_still(&self.peer, self.token.as_ref(), &self.stream.action).ok()?;
            if let Some(piece) = piece {
                break piece;
            }
        };
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
