//! One raw connection: newline-delimited JSON-RPC, bounded in every direction. rmcp's own loop takes in whatever
//! comes and spawns a task for each; the only place to stop that is here, between the socket and the loop.

use crate::daemon::limits::Limits;
use crate::daemon::mcp::line::{self, Flaw};
use crate::daemon::mcp::outbox::Outbox;
use crate::domain::caller::Peer;
use futures_util::FutureExt as _;
use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, ErrorData, GetExtensions as _,
    GetMeta as _, JsonRpcMessage, JsonRpcRequest, ProtocolVersion, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::Transport;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;

/// JSON-RPC code of "too many requests in flight" (the range of server errors).
pub const BUSY: ErrorCode = ErrorCode(-32_000);

/// Bytes that one read asks for.
const READ: usize = 16 * 1024;

/// Who is at the other end of the connection a message came over. Put into each message, read by the handler.
#[derive(Clone, Debug)]
pub struct Asker(pub Arc<Peer>);

/// Ids in flight. An id is free again when its handler is gone **and** its answer was written or is not wanted.
#[derive(Debug, Default)]
struct InFlight(Mutex<HashMap<RequestId, Pending>>);

#[derive(Debug, Clone, Copy)]
struct Pending {
    handled: bool,
    answered: bool,
}

impl InFlight {
    fn ids(&self) -> MutexGuard<'_, HashMap<RequestId, Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, id: &RequestId, change: impl FnOnce(&mut Pending)) {
        let mut ids = self.ids();
        if let Some(pending) = ids.get_mut(id) {
            change(pending);
            if pending.handled && pending.answered {
                ids.remove(id);
            }
        }
    }
}

/// Lives in a request's context; its end says that the handler is gone, whichever way.
#[derive(Debug)]
struct Handling {
    in_flight: Arc<InFlight>,
    outbox: Outbox,
    id: RequestId,
}

impl Drop for Handling {
    fn drop(&mut self) {
        // rmcp never answers a request whose handler panicked. Those of the daemon behind are caught in `front`.
        let panicked = std::thread::panicking();
        self.in_flight.note(&self.id, |pending| {
            pending.handled = true;
            pending.answered |= panicked;
        });
        if panicked {
            let id = Some(self.id.clone());
            answer(
                &self.outbox,
                id,
                ErrorCode::INTERNAL_ERROR,
                "the daemon failed while handling this request",
            );
        }
    }
}

/// Answers without rmcp. Never waits: what the socket does not take now is written by a task, and counted.
fn answer(outbox: &Outbox, id: Option<RequestId>, code: ErrorCode, message: &'static str) {
    let error = ServerJsonRpcMessage::error(ErrorData::new(code, message, None), id);
    if let Ok(Some(rest)) = outbox.push(&error) {
        tokio::spawn(rest);
    }
}

/// The transport of one raw connection.
#[derive(Debug)]
pub struct LineTransport {
    socket: OwnedReadHalf,
    input: Input,
    asker: Asker,
    limits: Arc<Limits>,
    in_flight: Arc<InFlight>,
    outbox: Outbox,
    /// Ends the input: no new requests, those in flight go on.
    drain: CancellationToken,
    /// Whether it has fired and the peer can write nothing more.
    draining: bool,
    /// Until when the first request must have come; `None` once it has.
    first_request: Option<tokio::time::Instant>,
    /// Until when the line that has begun must have ended.
    line_ends: Option<tokio::time::Instant>,
    /// Whether one of the two lifecycles was chosen. Before that, rmcp takes any notification for an error.
    settled: bool,
    bad_lines: usize,
    /// Requests of ours that the client has not answered yet.
    asked: usize,
    ended: bool,
}

/// Bytes that were read and not yet taken.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    /// Where the next line begins.
    begin: usize,
    /// Up to where no newline was found.
    scanned: usize,
    /// Whether the line is too long and is thrown away up to its end.
    skipping: bool,
}

/// What the buffer holds.
enum Taken {
    /// Bytes of one line, without its end.
    Line(std::ops::Range<usize>),
    /// A line longer than the limit has begun; told once.
    TooLong,
    /// No whole line yet.
    Partial,
}

impl Input {
    fn take(&mut self, most: usize) -> Taken {
        while let Some(at) = memchr::memchr(b'\n', &self.bytes[self.scanned..]) {
            let line = self.begin..self.scanned + at;
            self.begin = line.end + 1;
            self.scanned = self.begin;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.len() > most {
                return Taken::TooLong;
            }
            return Taken::Line(line);
        }
        self.bytes.drain(..self.begin);
        self.begin = 0;
        self.scanned = self.bytes.len();
        if self.skipping {
            self.reset();
        } else if self.bytes.len() > most {
            self.reset();
            self.skipping = true;
            return Taken::TooLong;
        } else if self.bytes.is_empty() {
            // A connection at rest holds no buffer.
            self.reset();
        }
        Taken::Partial
    }

    fn reset(&mut self) {
        self.bytes = Vec::new();
        self.begin = 0;
        self.scanned = 0;
    }

    /// Whether a line has begun and not ended.
    fn is_mid_line(&self) -> bool {
        self.skipping || !self.bytes.is_empty()
    }
}

impl LineTransport {
    /// A transport over a connection of `asker`; `drain` ends its input.
    pub fn new(
        (socket, writer): (OwnedReadHalf, OwnedWriteHalf),
        asker: Asker,
        limits: Arc<Limits>,
        drain: CancellationToken,
    ) -> Self {
        Self {
            socket,
            input: Input::default(),
            asker,
            in_flight: Arc::default(),
            outbox: Outbox::new(writer, &limits),
            drain,
            draining: false,
            first_request: Some(tokio::time::Instant::now() + limits.first_byte),
            line_ends: None,
            limits,
            settled: false,
            bad_lines: 0,
            asked: 0,
            ended: false,
        }
    }

    fn flawed(&mut self, flaw: Flaw) {
        self.bad_lines += 1;
        answer(&self.outbox, flaw.id, flaw.code, flaw.message);
        if self.bad_lines >= self.limits.bad_lines {
            self.ended = true;
        }
    }

    /// The next message for rmcp in a line, if that is what the line holds.
    fn admit(&mut self, line: std::ops::Range<usize>) -> Option<ClientJsonRpcMessage> {
        let line = self.input.bytes[line].trim_ascii();
        if line.is_empty() {
            return None;
        }
        match line::parse(line) {
            Ok(JsonRpcMessage::Request(request)) => self.admit_request(request),
            Ok(JsonRpcMessage::Notification(mut message)) => {
                match &message.notification {
                    ClientNotification::CancelledNotification(cancelled) => {
                        if let Some(id) = &cancelled.params.request_id {
                            self.in_flight.note(id, |pending| pending.answered = true);
                        }
                    }
                    // From here on the client is told of changes: those that it may know of.
                    ClientNotification::InitializedNotification(_) => {
                        message.notification.extensions_mut().insert(self.asker.clone());
                    }
                    // Nothing here listens to the others, and rmcp would spawn a task for each.
                    _ => return None,
                }
                // Whoever says that they are ready is told of changes from then on.
                message.notification.extensions_mut().insert(self.asker.clone());
                self.settled.then_some(JsonRpcMessage::Notification(message))
            }
            // Nothing that was not asked is answered.
            Ok(message @ (JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_))) => {
                self.asked = self.asked.checked_sub(1)?;
                Some(message)
            }
            Err(flaw) => {
                self.flawed(flaw);
                None
            }
        }
    }

    fn admit_request(&mut self, mut message: JsonRpcRequest<ClientRequest>) -> Option<ClientJsonRpcMessage> {
        self.first_request = None;
        let id = message.id.clone();
        let is_broken_initialize = matches!(&message.request, ClientRequest::CustomRequest(request) if request.method == "initialize");
        // In the stateless era there is no such method, and the handler says so.
        let is_broken_initialize = is_broken_initialize && !is_stateless(&mut message.request);
        let refuse = |code, text| {
            answer(&self.outbox, Some(id.clone()), code, text);
            None
        };
        match &message.request {
            ClientRequest::InitializeRequest(_) if self.settled => {
                return refuse(ErrorCode::INVALID_REQUEST, "this connection is initialized already");
            }
            _ if is_broken_initialize => {
                return refuse(ErrorCode::INVALID_PARAMS, "initialize: the parameters are not those of MCP");
            }
            _ => {}
        }
        {
            let mut ids = self.in_flight.ids();
            if ids.contains_key(&id) {
                drop(ids);
                return refuse(ErrorCode::INVALID_REQUEST, "request id already in use");
            }
            if ids.len() >= self.limits.in_flight {
                drop(ids);
                return refuse(BUSY, "too many requests in flight on this connection");
            }
            ids.insert(id.clone(), Pending { handled: false, answered: false });
        }
        if !self.settled {
            self.settled = settles(&mut message.request);
        }
        let extensions = message.request.extensions_mut();
        extensions.insert(self.asker.clone());
        extensions.insert(Arc::new(Handling {
            in_flight: Arc::clone(&self.in_flight),
            outbox: self.outbox.clone(),
            id,
        }));
        Some(JsonRpcMessage::Request(message))
    }

    /// Takes nothing more from the peer, whose next write fails at once: it knows what was not taken. What it wrote
    /// before is still read (on macOS it is lost).
    fn stop_taking(&mut self) {
        self.draining = true;
        // Refused only when the peer is gone, which reading will tell.
        let _ = socket2::SockRef::from(self.socket.as_ref()).shutdown(std::net::Shutdown::Read);
    }

    /// Waits for bytes and takes them in. `Ok(false)` is the end of input. Safe to drop at any await.
    async fn fill(&mut self) -> io::Result<bool> {
        let until = match (self.first_request, self.line_ends) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        tokio::select! {
            biased;
            () = self.drain.cancelled(), if !self.draining => return Ok(true),
            ready = self.socket.readable() => ready?,
            () = sleep_until(until), if until.is_some() => return Ok(false),
        }
        self.input.bytes.reserve(READ);
        match self.socket.try_read_buf(&mut self.input.bytes) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }
}

async fn sleep_until(until: Option<tokio::time::Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Whether `request` makes rmcp choose a lifecycle: `initialize`, or a request that carries all that 2026 demands.
fn settles(request: &mut ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        request => is_stateless(request),
    }
}

/// Whether `request` carries all that 2026 demands, and so needs no handshake.
fn is_stateless(request: &mut ClientRequest) -> bool {
    let meta = request.get_meta_mut();
    meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        && meta.protocol_version().is_some_and(|v| ProtocolVersion::KNOWN_VERSIONS.contains(&v))
}

impl Transport<RoleServer> for LineTransport {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let id = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            JsonRpcMessage::Request(_) => {
                self.asked += 1;
                None
            }
            JsonRpcMessage::Notification(_) => None,
        };
        if let Some(id) = id {
            self.in_flight.note(id, |pending| pending.answered = true);
        }
        let pushed = self.outbox.push(&message);
        async move {
            match pushed? {
                None => Ok(()),
                Some(rest) => rest.await,
            }
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            if self.ended {
                return None;
            }
            if !self.draining && self.drain.is_cancelled() {
                self.stop_taking();
            }
            if self.draining {
                // A stop does not wait for a peer that does not read.
                if self.outbox.room().now_or_never() != Some(true) {
                    return None;
                }
            } else {
                tokio::select! {
                    biased;
                    () = self.drain.cancelled() => continue,
                    open = self.outbox.room() => if !open { return None },
                }
            }
            tokio::task::coop::consume_budget().await;
            match self.input.take(self.limits.message_bytes) {
                Taken::Line(line) => {
                    self.line_ends = None;
                    if let Some(message) = self.admit(line) {
                        return Some(message);
                    }
                }
                Taken::TooLong => self.flawed(Flaw {
                    id: None,
                    code: ErrorCode::INVALID_REQUEST,
                    message: "message too large",
                }),
                Taken::Partial => {
                    if !self.input.is_mid_line() {
                        self.line_ends = None;
                    } else if self.line_ends.is_none() {
                        self.line_ends = Some(tokio::time::Instant::now() + self.limits.body);
                    }
                    if !matches!(self.fill().await, Ok(true)) {
                        self.ended = true;
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.outbox.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, Taken};

    /// Feeds `chunks` and says what came out: lines, and `!` for one that was too long.
    fn lines(most: usize, chunks: &[&[u8]]) -> Vec<String> {
        let mut input = Input::default();
        let mut out = Vec::new();
        for chunk in chunks {
            input.bytes.extend_from_slice(chunk);
            loop {
                match input.take(most) {
                    Taken::Line(line) => out.push(String::from_utf8(input.bytes[line].to_vec()).unwrap()),
                    Taken::TooLong => out.push("!".to_owned()),
                    Taken::Partial => break,
                }
            }
            assert!(input.bytes.len() <= most, "no more than one line is kept");
        }
        out
    }

    #[test]
    fn lines_come_out_whole_however_they_came_in() {
        assert_eq!(lines(9, &[b"a\nbb\n\nc"]), ["a", "bb", ""]);
        assert_eq!(lines(9, &[b"a", b"b", b"\nc\n"]), ["ab", "c"]);
        assert_eq!(lines(9, &[b"", b"\n"]), [""]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_skipped() {
        assert_eq!(lines(3, &[b"123\n1234\n12\n"]), ["123", "!", "12"]);
        assert_eq!(lines(3, &[b"1234", b"5678", b"9\nab\n"]), ["!", "ab"]);
        assert_eq!(lines(3, &[b"1234", b"\n", b"\n"]), ["!", ""]);
    }

    proptest::proptest! {
        #[test]
        fn splitting_does_not_matter(text in "[ab\n]{0,60}", cuts in proptest::collection::vec(0_usize..60, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut at = 0;
            for cut in cuts {
                chunks.push(&bytes[at..cut]);
                at = cut;
            }
            chunks.push(&bytes[at..]);
            proptest::prop_assert_eq!(lines(5, &chunks), lines(5, &[bytes]));
        }
    }
}
