//! A tree whose parent is the runner: the agent runs as the session's owner, and the connection to the runner is its
//! life. The host hears what becomes of it, may signal and end it, and nothing more.

use crate::domain::session::Exit;
use crate::host::tree::Event;
use crate::runner::client::{Connection, Heard};
use crate::runner::message::{Exited, Order, Reply, Request, Run};
use nix::sys::stat::{Mode, fchmod};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// The agent runs within this: the owner's home may have to be mounted first.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
/// A runner that was asked to end the tree says that it is gone this long after the grace, or is given up: its own
/// end, when the connection closes, then ends the tree.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The tree of one runner. Dropping it closes the connection, and with that ends the tree.
#[derive(Debug)]
pub struct Held {
    connection: Connection,
    started: bool,
    exited: bool,
    /// The grace that was last asked for ends then.
    end_at: Option<Instant>,
    /// When the runner is given up.
    give_up: Option<Instant>,
}

impl Held {
    /// Asks for the agent; its start is heard of later.
    ///
    /// # Errors
    /// There is no runner, or it does not take the request.
    pub(super) fn start(path: &Path, run: Run, slave: &OwnedFd, now: Instant) -> Result<Self, String> {
        // Nobody else's business once it belongs to the owner; the runner could not change it any more.
        fchmod(slave, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| format!("terminal: {e}"))?;
        let connection = Connection::ask(path, &Request::Run(run), Some(slave.as_fd()))
            .map_err(|e| format!("{e} ({})", path.display()))?;
        let give_up = Some(now + STARTED_WITHIN);
        Ok(Self { connection, started: false, exited: false, end_at: None, give_up })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// The end of the connection is not the end of the tree: a runner's socket closes before the service manager ends
    /// what a killed runner left.
    pub(super) fn happened(&mut self) -> Option<Event> {
        match self.connection.hear() {
            Ok(Heard::Reply(reply, _)) => Some(self.event(reply)),
            Ok(Heard::Nothing) => None,
            Ok(Heard::Closed) | Err(_) => Some(Event::Lost),
        }
    }

    fn event(&mut self, reply: Reply) -> Event {
        match reply {
            Reply::Started { pid } if pid > 1 && !self.started => {
                self.started = true;
                // One that is to end soon keeps its own bound.
                self.give_up = self.end_at.map(|at| at + GONE_WITHIN);
                Event::Started(pid)
            }
            Reply::Exited(exited) if self.started && !self.exited => {
                self.exited = true;
                Event::Exited(match exited {
                    Exited::Code(code) => Exit::Code(code),
                    Exited::Signal(signal) => Exit::Signal(signal),
                })
            }
            Reply::Gone => Event::Gone,
            Reply::Refused(why) if !self.started => Event::Failed(format!("the runner refused: {why}")),
            Reply::Failed(why) if !self.started => Event::Failed(why),
            // Nothing that a runner says in this place.
            _ => Event::Lost,
        }
    }

    pub(super) fn end(&mut self, grace: Duration, now: Instant) {
        let at = now + grace;
        if self.end_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        self.end_at = Some(at);
        self.give_up = Some(at + GONE_WITHIN);
        // What an agent leaves behind is ended by the runner unasked.
        if !self.exited {
            let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
            // One that does not take it is given up in time.
            let _ = self.connection.order(Order::End { grace_ms });
        }
    }

    pub(super) fn signal(&mut self, signal: i32, group: Option<i32>) -> io::Result<()> {
        if !self.started || self.exited {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !(1..=64).contains(&signal) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.connection.order(Order::Signal { signal, group: group.unwrap_or(0) })
    }

    pub(super) fn act(&mut self, now: Instant) -> Option<Event> {
        self.give_up.is_some_and(|at| at <= now).then_some(Event::Lost)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.give_up
    }
}
