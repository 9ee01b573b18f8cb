//! The connections to a host's socket: who may connect, reading frames, and queues that one slow reader fills
//! without moving anybody else. What frames mean is in `serve`.

use crate::host::protocol::{self, FromHost};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Connections a host takes at the same time.
pub const PEERS_MAX: usize = 16;
/// Bytes that may wait for one reader before it is dropped.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;
/// How long a connection may take to say hello, or to read why it is dropped.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub struct Peer {
    stream: UnixStream,
    input: Vec<u8>,
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    /// Bytes of the first frame in the queue that are sent.
    sent: usize,
    /// Said hello with the right lease.
    pub greeted: bool,
    /// Is the daemon's controlling connection.
    pub claims: bool,
    /// Gets output.
    pub subscribed: bool,
    /// To be closed when its queue is empty, at the latest then.
    closing: Option<Instant>,
    deadline: Option<Instant>,
    gone: bool,
}

impl Peer {
    /// A connection that was just accepted.
    ///
    /// # Errors
    /// It is of another user, or cannot be used.
    pub fn accept(stream: UnixStream, now: Instant) -> io::Result<Self> {
        if peer_uid(&stream)? != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            queue: VecDeque::new(),
            queued: 0,
            sent: 0,
            greeted: false,
            claims: false,
            subscribed: false,
            closing: None,
            deadline: Some(now + PATIENCE),
            gone: false,
        })
    }

    /// The socket.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether something waits to be sent.
    pub fn wants_to_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether frames of it are still looked at.
    pub fn is_open(&self) -> bool {
        !self.gone && self.closing.is_none()
    }

    /// The hello was right.
    pub fn greet(&mut self, claims: bool) {
        self.greeted = true;
        self.claims = claims;
        self.deadline = None;
    }

    /// When something has to happen to it.
    pub fn deadline(&self) -> Option<Instant> {
        [self.deadline, self.closing].into_iter().flatten().min()
    }

    /// Whether it is to be forgotten now.
    pub fn is_over(&self, now: Instant) -> bool {
        self.gone
            || self.deadline().is_some_and(|d| d <= now)
            || (self.closing.is_some() && self.queue.is_empty())
    }

    /// Reads what is there (at most 64 KiB) and gives the first whole frame as kind and payload; call
    /// [`Self::next_frame`] for the rest. Anything wrong closes it.
    pub fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..4 {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.gone = true;
                    return;
                }
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }

    /// The next whole frame as kind and payload.
    pub fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        // What was sent before the end came still counts.
        if self.closing.is_some() {
            return None;
        }
        // Before hello nobody needs a long frame.
        let max = if self.greeted { protocol::TO_HOST_MAX } else { 1024 };
        match protocol::complete(&self.input, max) {
            Ok(Some(end)) => {
                let frame = (self.input[4], self.input[5..end].to_vec());
                self.input.drain(..end);
                if self.input.is_empty() {
                    self.input = Vec::new();
                }
                Some(frame)
            }
            Ok(None) => None,
            Err(e) => {
                self.drop_saying(&e.to_string(), Instant::now());
                None
            }
        }
    }

    /// Queues a frame; too long a queue drops the connection.
    pub fn send(&mut self, frame: &FromHost, now: Instant) {
        self.send_encoded(frame.encode(), now);
    }

    /// As [`Self::send`], for a frame that goes to several. A single long frame is taken when little waits.
    pub fn send_encoded(&mut self, bytes: Vec<u8>, now: Instant) {
        if !self.is_open() {
            return;
        }
        if self.queued > QUEUE_BYTES_MAX {
            self.drop_saying("too slow", now);
            return;
        }
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Forgets what is not being sent yet, says why, and closes.
    pub fn drop_saying(&mut self, why: &str, now: Instant) {
        if self.closing.is_some() {
            return;
        }
        self.queue.truncate(usize::from(self.sent > 0));
        let last = FromHost::Dropped { why: why.to_owned() }.encode();
        self.queue.push_back(last);
        self.queued = self.queue.iter().map(Vec::len).sum();
        self.input = Vec::new();
        self.closing = Some(now + PATIENCE);
    }

    /// Sends what the socket takes.
    pub fn write(&mut self) {
        while let Some(first) = self.queue.front() {
            match self.stream.write(&first[self.sent..]) {
                Ok(n) => {
                    self.sent += n;
                    if self.sent >= first.len() {
                        self.queued -= first.len();
                        self.queue.pop_front();
                        self.sent = 0;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.queue = VecDeque::new();
    }
}

#[cfg(target_os = "linux")]
fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials)?.uid())
}

#[cfg(not(target_os = "linux"))]
fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(nix::unistd::getpeereid(stream)?.0.as_raw())
}
