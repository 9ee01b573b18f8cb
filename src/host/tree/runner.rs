//! A tree whose parent is the runner: the agent runs as the session's owner, and the connection to the runner is its
//! life. The host hears what becomes of it, may signal and end it, and nothing more.

use crate::domain::session::Exit;
use crate::host::tree::Event;
use crate::runner::message::{Exited, Order, Reply, Request, Run, frame_length};
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, setsockopt, socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::time::TimeVal;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A runner takes connection and request within this, or is not there.
const TAKEN_WITHIN: TimeVal = TimeVal::new(5, 0);
/// The agent runs within this: the owner's home may have to be mounted first.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
/// A runner that was asked to end the tree says that it is gone this long after the grace, or is given up: its own
/// end, when the connection closes, then ends the tree.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The connection to one runner.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    started: bool,
    exited: bool,
    /// The grace that was last asked for ends then.
    end_at: Option<Instant>,
    /// When the runner is given up.
    give_up: Option<Instant>,
}

impl Connection {
    /// Asks for the agent; its start is heard of later.
    ///
    /// # Errors
    /// There is no runner, or it does not take the request.
    pub(super) fn start(path: &Path, run: Run, slave: OwnedFd, now: Instant) -> Result<Self, String> {
        let ask = || -> io::Result<UnixStream> {
            // Of nobody else's business, once it belongs to the owner. Its group is left as it is.
            fchmod(&slave, Mode::S_IRUSR | Mode::S_IWUSR)?;
            let frame = Request::Run(run).encode().map_err(io::Error::other)?;
            let mut stream = dial(path)?;
            let sent = sendmsg::<UnixAddr>(
                stream.as_raw_fd(),
                &[IoSlice::new(&frame)],
                &[ControlMessage::ScmRights(&[slave.as_raw_fd()])],
                MsgFlags::empty(),
                None,
            )?;
            stream.write_all(&frame[sent..])?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let stream = ask().map_err(|e| format!("teleclaude-runner ({}): {e}", path.display()))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            started: false,
            exited: false,
            end_at: None,
            give_up: Some(now + STARTED_WITHIN),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn next(&mut self) -> Option<Event> {
        loop {
            match self.reply() {
                Ok(Some(reply)) => {
                    if let Some(event) = self.event(reply) {
                        return Some(event);
                    }
                }
                Ok(None) => return None,
                Err(()) => return Some(self.lost()),
            }
        }
    }

    fn event(&mut self, reply: Reply) -> Option<Event> {
        match reply {
            Reply::Started { pid } if pid > 1 && !self.started => {
                self.started = true;
                // One that is to end soon keeps its own bound.
                self.give_up = self.end_at.map(|at| at + GONE_WITHIN);
                Some(Event::Started(pid))
            }
            Reply::Exited(exited) if self.started && !self.exited => {
                self.exited = true;
                Some(Event::Exited(match exited {
                    Exited::Code(code) => Exit::Code(code),
                    Exited::Signal(signal) => Exit::Signal(signal),
                }))
            }
            Reply::Gone => Some(Event::Gone),
            Reply::Refused(why) if !self.started => Some(Event::Failed(format!("the runner refused: {why}"))),
            Reply::Failed(why) if !self.started => Some(Event::Failed(why)),
            // Nothing that a runner says in this place.
            _ => Some(self.lost()),
        }
    }

    /// The end of the connection is not the end of the tree: the runner's socket closes before the service manager
    /// ends what a killed runner left.
    fn lost(&mut self) -> Event {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.give_up = None;
        Event::Lost
    }

    /// The next whole reply; an error once the connection is of no use.
    fn reply(&mut self) -> Result<Option<Reply>, ()> {
        loop {
            if let Some(length) = frame_length(&self.input).map_err(drop)?
                && self.input.len() >= 4 + length
            {
                let reply = Reply::decode(&self.input[4..4 + length]).map_err(drop)?;
                self.input.drain(..4 + length);
                return Ok(Some(reply));
            }
            let mut buffer = [0; 4 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(()),
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(_) => return Err(()),
            }
        }
    }

    pub(super) fn end(&mut self, grace: Duration, now: Instant) {
        let at = now + grace;
        if self.end_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        self.end_at = Some(at);
        self.give_up = Some(at + GONE_WITHIN);
        if self.exited {
            // The runner ends what is left by itself.
            return;
        }
        let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        // One that does not take it is given up in time.
        let _ = self.order(Order::End { grace_ms });
    }

    pub(super) fn signal(&mut self, signal: i32, group: Option<i32>) -> io::Result<()> {
        if !self.started || self.exited {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !(1..=64).contains(&signal) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.order(Order::Signal { signal, group: group.unwrap_or(0) })
    }

    fn order(&mut self, order: Order) -> io::Result<()> {
        let frame = order.encode();
        match self.stream.write(&frame) {
            Ok(n) if n == frame.len() => Ok(()),
            // The rest could come in the middle of another order.
            Ok(_) => {
                let _ = self.stream.shutdown(Shutdown::Both);
                Err(io::ErrorKind::WriteZero.into())
            }
            Err(e) => Err(e),
        }
    }

    pub(super) fn act(&mut self, now: Instant) {
        if self.give_up.is_some_and(|at| at <= now) {
            self.give_up = None;
            // Read as the end of the connection.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.give_up
    }
}

/// A connection that takes no longer than it may, also where the runner's queue is full.
fn dial(path: &Path) -> io::Result<UnixStream> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    setsockopt(&fd, SendTimeout, &TAKEN_WITHIN)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}
