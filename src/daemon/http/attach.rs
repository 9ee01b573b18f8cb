//! Attaching over HTTP: the request that asks for it, the change to another protocol, and what goes back and forth
//! from then on. A client that takes nothing is cut off; the session's host never waits for one.

use crate::daemon::attach::Attachment;
use crate::daemon::backend::{Event, Live as Answer};
use crate::daemon::front::Front;
use crate::daemon::http::io::TimedIo;
use crate::daemon::http::{Body, problem};
use crate::domain::caller::{Caller, Peer};
use crate::host::protocol::{FromHost, ToHost};
use crate::wire::attach::{FromDaemon, PIECE_BYTES_MAX, TerminalSize, ToDaemon, UPGRADE};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::request::AttachSession;
use crate::wire::request::Request;
use http::header::{CONNECTION, HeaderValue, UPGRADE as UPGRADE_HEADER};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use secrecy::SecretString;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes that wait for one client before nothing more is read for it, from the host or from itself.
const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// How often it is looked whether the client still may, and whether it takes what it is sent.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A client that is told why it is cut off, or that the session has ended, has this long to read it.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Sizes that come faster than this are taken together.
const SIZE_EVERY: Duration = Duration::from_millis(100);

/// A connection that is to become an attachment once its answer is sent.
pub struct Pending {
    upgrade: OnUpgrade,
    attachment: Attachment,
    size: Option<TerminalSize>,
    token: Option<SecretString>,
}

/// Where a connection's requests leave what it is to become.
#[derive(Clone, Default)]
pub struct Upgrades(Arc<Mutex<Option<Pending>>>);

impl Upgrades {
    /// What was left there.
    pub fn take(&self) -> Option<Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, pending: Pending) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
    }
}

/// The way from one request to what its connection becomes.
pub struct Way {
    /// Of the request.
    pub upgrade: OnUpgrade,
    /// Of the connection.
    pub upgrades: Upgrades,
    /// Ends the connection at once, whatever is still to be sent.
    pub cut: CancellationToken,
}

/// Answers one request to attach: 101, or why not.
pub async fn answer(
    front: &Front,
    peer: &Peer,
    caller: &Caller,
    token: Option<SecretString>,
    (parts, way): (&Parts, Way),
    asked: AttachSession,
) -> Response<Body> {
    let wanted = parts.headers.get(UPGRADE_HEADER).is_some_and(|v| v.as_bytes() == UPGRADE.as_bytes());
    if !wanted {
        let fault = Fault::new(FaultCode::Invalid, format!("attaching takes `Upgrade: {UPGRADE}`"))
            .hint("`teleclaude sessions attach ID` does it; docs/transport.md says how");
        let mut response = problem::with_status(&fault, StatusCode::UPGRADE_REQUIRED);
        name_protocol(&mut response);
        return response;
    }
    let gone = CancellationToken::new();
    let _gone = gone.clone().drop_guard();
    let size = asked.size;
    match front.live(peer, caller, token.clone(), Request::Attach(asked), &gone).await {
        Ok(Answer::Attached(attachment)) => {
            let attachment = *attachment;
            way.upgrades.put(Pending { upgrade: way.upgrade, attachment, size, token });
            let mut response = problem::bytes(StatusCode::SWITCHING_PROTOCOLS, "text/plain", Vec::new());
            response.headers_mut().clear();
            name_protocol(&mut response);
            response
        }
        Ok(_) => problem::response(&Answer::misled()),
        Err(fault) => problem::response(&fault),
    }
}

fn name_protocol(response: &mut Response<Body>) {
    response.headers_mut().insert(UPGRADE_HEADER, HeaderValue::from_static(UPGRADE));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
}

/// Serves an attachment until its end.
pub async fn serve(front: &Front, peer: &Peer, pending: Pending) {
    let Pending { upgrade, attachment, size, token } = pending;
    let limits = front.backend.limits();
    let stream = match timeout(limits.write, upgrade).await {
        Ok(Ok(upgraded)) => upgraded.downcast::<TimedIo>().ok(),
        Ok(Err(_)) | Err(_) => None,
    };
    let Some(parts) = stream else { return attachment.end("connection lost").await };
    let live = Live {
        front,
        peer,
        token,
        attachment,
        out: Outbox::new(limits.write, Instant::now()),
        ended: "connection lost",
    };
    live.run(parts.io.into_inner(), parts.read_buf.to_vec(), size).await;
}

/// Frames that wait for the client.
struct Outbox {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Bytes of the first that are sent.
    sent: usize,
    /// When the client last took something, or nothing waited.
    headway: Instant,
    patience: Duration,
    /// Nothing is added any more, and what is not taken then never will be.
    last: Option<Instant>,
}

impl Outbox {
    fn new(patience: Duration, headway: Instant) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, sent: 0, headway, patience, last: None }
    }

    fn push(&mut self, frame: &FromDaemon, now: Instant) {
        if self.last.is_some() {
            return;
        }
        if self.queue.is_empty() {
            self.headway = now;
        }
        let frame = frame.encode();
        self.bytes += frame.len();
        self.queue.push_back(frame);
    }

    fn push_output(&mut self, bytes: &[u8], now: Instant) {
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            self.push(&FromDaemon::Output(piece.to_vec()), now);
        }
    }

    /// The last frame. With `at_once` what waits before it is left out, but for a frame that is half sent.
    fn close(&mut self, frame: &FromDaemon, at_once: bool, now: Instant) {
        if self.last.is_some() {
            return;
        }
        if at_once {
            self.queue.truncate(usize::from(self.sent > 0));
            self.bytes = self.queue.iter().map(Vec::len).sum::<usize>() - self.sent;
        }
        self.push(frame, now);
        self.last = Some(now + LAST_WORDS);
    }

    fn is_open(&self) -> bool {
        self.last.is_none()
    }

    fn has_room(&self) -> bool {
        self.last.is_none() && self.bytes < QUEUE_BYTES_MAX
    }

    fn next(&self) -> &[u8] {
        self.queue.front().map_or(&[], |first| &first[self.sent..])
    }

    fn took(&mut self, n: usize, now: Instant) {
        self.headway = now;
        self.bytes -= n;
        self.sent += n;
        if self.queue.front().is_some_and(|first| self.sent >= first.len()) {
            self.queue.pop_front();
            self.sent = 0;
        }
    }

    fn is_stalled(&self, now: Instant) -> bool {
        !self.queue.is_empty() && now.saturating_duration_since(self.headway) >= self.patience
    }

    fn is_over(&self, now: Instant) -> bool {
        self.last.is_some_and(|at| self.queue.is_empty() || at <= now)
    }
}

/// One attachment at work.
struct Live<'a> {
    front: &'a Front,
    peer: &'a Peer,
    token: Option<SecretString>,
    attachment: Attachment,
    out: Outbox,
    /// How it ended, for the audit log.
    ended: &'static str,
}

/// What happened.
enum Happened {
    Client(io::Result<usize>),
    Taken(io::Result<usize>),
    Host(Option<FromHost>),
    Presence,
    Look,
    Size,
    Stop,
    Cut,
}

impl Live<'_> {
    async fn run(mut self, stream: UnixStream, mut input: Vec<u8>, size: Option<TerminalSize>) {
        let (mut read, mut write) = stream.into_split();
        let (drain, hard) = (self.front.drain.clone(), self.front.hard.clone());
        let mut presence = self.attachment.presence();
        presence.mark_changed();
        let mut events = self.front.backend.watch();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut new_size = None;
        let mut size_at = Instant::now();
        if let Some(size) = size
            && self.attachment.fit(size).await.is_err()
        {
            self.lost().await;
        }
        if self.attachment.paint().await.is_err() {
            self.lost().await;
        }
        // What came behind the request.
        self.said(&mut input, &mut new_size).await;
        while !self.out.is_over(Instant::now()) {
            let (open, room) = (self.out.is_open(), self.out.has_room());
            let happened = tokio::select! {
                () = hard.cancelled() => Happened::Cut,
                () = drain.cancelled(), if open => Happened::Stop,
                n = write.write(self.out.next()), if !self.out.queue.is_empty() => Happened::Taken(n),
                n = read.read_buf(&mut input), if room => Happened::Client(n),
                frame = self.attachment.receiver.next(), if room => Happened::Host(frame.ok().flatten()),
                Ok(()) = presence.changed(), if open => Happened::Presence,
                event = events.recv(), if open => match event {
                    Ok(Event::Session(_) | Event::Inbox { .. } | Event::Documents(_)) => continue,
                    Ok(Event::Catalogue) | Err(_) => Happened::Look,
                },
                _ = look.tick() => Happened::Look,
                () = sleep_until(size_at), if open && new_size.is_some() => Happened::Size,
            };
            match happened {
                Happened::Cut => break,
                Happened::Client(Ok(0) | Err(_)) | Happened::Taken(Ok(0) | Err(_)) => break,
                Happened::Taken(Ok(n)) => self.out.took(n, Instant::now()),
                Happened::Client(Ok(_)) => self.said(&mut input, &mut new_size).await,
                Happened::Host(Some(frame)) => self.told(frame).await,
                Happened::Host(None) => self.reach_again().await,
                Happened::Presence => self.send(&FromDaemon::Presence(self.attachment.rows())),
                Happened::Look => self.look(),
                Happened::Size => {
                    if let Some(size) = new_size.take()
                        && self.attachment.fit(size).await.is_err()
                    {
                        self.lost().await;
                    }
                    size_at = Instant::now() + SIZE_EVERY;
                }
                Happened::Stop => {
                    let message = "the daemon stops; the session goes on".to_owned();
                    self.close("the daemon stopped", FaultCode::Unavailable, message, false);
                }
            }
        }
        self.attachment.end(self.ended).await;
    }

    fn send(&mut self, frame: &FromDaemon) {
        self.out.push(frame, Instant::now());
    }

    /// Ends it with an error.
    fn close(&mut self, ended: &'static str, code: FaultCode, message: String, at_once: bool) {
        self.last(ended, &FromDaemon::Error { code, message }, at_once);
    }

    fn last(&mut self, ended: &'static str, frame: &FromDaemon, at_once: bool) {
        if self.out.is_open() {
            self.ended = ended;
            self.out.close(frame, at_once, Instant::now());
            self.attachment.leave();
        }
    }

    /// There is no host any more: the session has ended, or will be known to have.
    async fn lost(&mut self) {
        if !self.out.is_open() {
            return;
        }
        if let Some(exit) = self.attachment.ended().await {
            return self.last("the session ended", &FromDaemon::Exit { exit: exit.to_string() }, false);
        }
        let message = "the session's host is gone".to_owned();
        self.close("the host was lost", FaultCode::Unavailable, message, false);
    }

    /// Whether the client still may, and whether it takes what it is sent.
    fn look(&mut self) {
        if !self.out.is_open() {
            return;
        }
        let attachment = &self.attachment;
        if let Err(fault) = self.front.backend.may_still(self.peer, self.token.as_ref(), &attachment.action) {
            self.close("no longer allowed", fault.code, fault.message, true);
        } else if self.out.is_stalled(Instant::now()) {
            let message = format!("nothing was taken for {} s", self.out.patience.as_secs());
            self.close("too slow", FaultCode::Timeout, message, true);
        }
    }

    /// Takes whole frames out of what the client sent.
    async fn said(&mut self, input: &mut Vec<u8>, size: &mut Option<TerminalSize>) {
        while self.out.is_open() {
            match ToDaemon::take(input) {
                Ok(Some(ToDaemon::Input(keys))) if self.attachment.input => {
                    let typed = keys.len();
                    if self.attachment.sender.send(&ToHost::Write(keys)).await.is_err() {
                        return self.reach_again().await;
                    }
                    self.attachment.typed(typed);
                }
                Ok(Some(ToDaemon::Input(_))) => {
                    self.send(&FromDaemon::Refused { message: "this is read-only".to_owned() });
                }
                Ok(Some(ToDaemon::Resize(wanted))) => *size = Some(wanted),
                Ok(Some(ToDaemon::Detach)) => {
                    // The client has gone in peace: it waits for nothing but the end of the stream.
                    self.ended = "detached";
                    self.attachment.leave();
                    self.out.queue.clear();
                    self.out.last = Some(Instant::now());
                }
                Ok(None) => return,
                Err(error) => self.close("a wrong frame", FaultCode::Invalid, error.to_string(), false),
            }
        }
    }

    /// Passes on what the host said.
    async fn told(&mut self, frame: FromHost) {
        match frame {
            FromHost::Output { seq, bytes } => {
                self.attachment.saw(seq, bytes.len());
                self.out.push_output(&bytes, Instant::now());
            }
            FromHost::Missed(missed) => {
                self.attachment.saw_screen(missed.seq, missed.dump.len());
                let (cols, rows) = (missed.size.cols, missed.size.rows);
                self.send(&FromDaemon::Resized(TerminalSize { cols, rows }));
                self.out.push_output(missed.dump.as_bytes(), Instant::now());
                if let Some(exit) = self.attachment.exit.clone() {
                    self.last("the session ended", &FromDaemon::Exit { exit: exit.to_string() }, false);
                }
            }
            FromHost::Resized(size) => {
                self.send(&FromDaemon::Resized(TerminalSize { cols: size.cols, rows: size.rows }));
            }
            FromHost::Exited(exit) => {
                self.last("the session ended", &FromDaemon::Exit { exit: exit.to_string() }, false);
            }
            FromHost::Refused { why } => self.send(&FromDaemon::Refused { message: why }),
            // Too slow for all of it, or another connection of ours claimed the host: what is there now will do.
            FromHost::Dropped { .. } => self.reach_again().await,
            FromHost::Welcome(_)
            | FromHost::MessageState { .. }
            | FromHost::Activity(_)
            | FromHost::Snapshot(_)
            | FromHost::Status { .. }
            | FromHost::Gap(_)
            | FromHost::Unsupported { .. }
            | FromHost::Started { .. } => {}
        }
    }

    async fn reach_again(&mut self) {
        if self.attachment.again().await.is_err() {
            self.lost().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outbox;
    use crate::wire::attach::FromDaemon;
    use std::time::Duration;
    use tokio::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn output(bytes: &[u8]) -> FromDaemon {
        FromDaemon::Output(bytes.to_vec())
    }

    #[test]
    fn a_frame_that_is_half_sent_is_sent_whole_and_the_last_word_follows_it() {
        let now = Instant::now();
        let mut out = Outbox::new(PATIENCE, now);
        out.push(&output(b"one"), now);
        out.push(&output(b"two"), now);
        out.took(2, now);
        let now = now + PATIENCE;
        assert!(out.is_stalled(now));
        let last = FromDaemon::Refused { message: "enough".to_owned() };
        out.close(&last, true, now);
        out.push(&output(b"three"), now);
        assert!(!out.is_over(now));
        let mut sent = Vec::new();
        while !out.queue.is_empty() {
            let next = out.next().to_vec();
            out.took(next.len(), now);
            sent.extend(next);
        }
        assert_eq!(sent, [&output(b"one").encode()[2..], &last.encode()].concat());
        assert_eq!(out.bytes, 0);
        assert!(out.is_over(now));
    }

    #[test]
    fn who_takes_a_little_is_not_stalled() {
        let now = Instant::now();
        let mut out = Outbox::new(PATIENCE, now);
        let now = now + PATIENCE * 2;
        out.push(&output(b"one"), now);
        assert!(!out.is_stalled(now), "nothing waited until now");
        out.took(1, now + PATIENCE / 2);
        assert!(!out.is_stalled(now + PATIENCE));
        assert!(out.is_stalled(now + PATIENCE * 2));
    }
}
