//! The agent and every process that comes from it: who starts it, how its end is learnt, how it is signalled and
//! ended. The host is the parent of the tree ([`own`]), or the runner is ([`runner`]). Never waits.

pub mod own;
pub mod runner;

use crate::domain::session::Exit;
use crate::host::spec::Launch;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What becomes of a tree, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent runs as this process.
    Started(i32),
    /// The agent never ran; why. Nothing is left.
    Failed(String),
    /// The agent ended; others of the tree may still be there.
    Exited(Exit),
    /// No process of the tree is left.
    Gone,
    /// Who held the tree is lost. What is left of it ends without us.
    Lost,
}

/// The agent's processes.
#[derive(Debug)]
pub enum Tree {
    /// The host's own children.
    Own(own::Children),
    /// Those of a runner.
    Runner(runner::Held),
}

impl Tree {
    /// Starts the agent on the terminal's other end, or asks for it.
    ///
    /// # Errors
    /// The text says which step failed, and holds no secret.
    pub fn start(launch: &Launch, slave: OwnedFd, now: Instant) -> Result<Self, String> {
        match launch {
            Launch::Own(program) => own::Children::start(program, slave).map(Self::Own),
            Launch::Runner { socket, request } => {
                runner::Held::start(socket, request.clone(), &slave, now).map(Self::Runner)
            }
        }
    }

    /// What to poll for reading.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(children) => children.fd(),
            Self::Runner(held) => held.fd(),
        }
    }

    /// The next thing that happened, if one has. After `Failed`, `Gone` and `Lost` the tree is of no use.
    pub fn happened(&mut self) -> Option<Event> {
        match self {
            Self::Own(children) => children.happened(),
            Self::Runner(held) => held.happened(),
        }
    }

    /// Asks every process to end, and ends those that are left after the grace. Asked twice, the shorter one holds.
    /// `foreground` is the terminal's process group.
    pub fn end(&mut self, grace: Duration, foreground: Option<i32>, now: Instant) {
        match self {
            Self::Own(children) => children.end(grace, foreground, now),
            Self::Runner(held) => held.end(grace, now),
        }
    }

    /// Sends a signal to a process group of the tree; without one, to the agent's.
    ///
    /// # Errors
    /// There is nobody to send it to, or it cannot be sent.
    pub fn signal(&mut self, signal: i32, group: Option<i32>) -> std::io::Result<()> {
        match self {
            Self::Own(children) => children.signal(signal, group),
            Self::Runner(held) => held.signal(signal, group),
        }
    }

    /// Does what is due; gives what came of it.
    pub fn act(&mut self, now: Instant) -> Option<Event> {
        match self {
            Self::Own(children) => {
                children.act(now);
                None
            }
            Self::Runner(held) => held.act(now),
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Own(children) => children.deadline(),
            Self::Runner(held) => held.deadline(),
        }
    }
}
