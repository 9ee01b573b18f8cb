//! The processes of one run: waited for, signalled, and ended until none is left. On Linux the runner adopts every
//! orphan among them, so none can hide by forking; elsewhere they are known by their environment, as far as the
//! system shows it.

use crate::domain::session::SessionId;
use crate::platform::process;
use crate::runner::connection::{Connection, Heard};
use crate::runner::message::{Order, Reply};
use crate::runner::sys::{self, Reaped};
use nix::sys::select::{FdSet, pselect};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use nix::unistd::{Pid, getpgid};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// From the agent's exit to the end of what it left behind.
const AFTER_EXIT: Duration = Duration::from_secs(2);
/// From the end of the connection to the end of the tree.
const AFTER_CLOSE: Duration = Duration::from_millis(200);
/// Between two rounds of killing: the first, and at most.
const ROUNDS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(250));
/// How long a tree is killed before the runner gives up: what then lives does not listen to the kernel.
const KILLING: Duration = Duration::from_secs(60);
/// The longest grace that an order can give.
const GRACE_MAX: Duration = Duration::from_secs(3_600);

/// One run's processes.
#[derive(Debug)]
pub struct Tree {
    agent: Pid,
    uid: u32,
    session: SessionId,
    exited: bool,
    /// From when on it is killed.
    kill_at: Option<Instant>,
}

impl Tree {
    /// The tree of an agent that has just been started.
    pub const fn new(agent: Pid, uid: u32, session: SessionId) -> Self {
        Self { agent, uid, session, exited: false, kill_at: None }
    }

    /// Stays with the tree until nothing of it is left, and obeys. The agent's exit is reported; that all are gone is
    /// not. `waiting` is the signal mask of [`sys::watch_signals`]. False: something cannot be ended.
    pub fn supervise(mut self, connection: &mut Connection, waiting: &SigSet) -> bool {
        let (mut open, mut pause, mut empty) = (true, ROUNDS.0, 0);
        loop {
            let children = self.collect(connection);
            if !children && self.leftovers().is_empty() {
                empty += 1;
                if empty == 2 || cfg!(target_os = "linux") {
                    return true;
                }
            } else {
                empty = 0;
            }
            if open && sys::told_to_end() {
                open = false;
                self.end(AFTER_CLOSE);
            }
            let now = Instant::now();
            let mut until = self.kill_at;
            if let Some(kill_at) = self.kill_at.filter(|at| *at <= now) {
                if now > kill_at + KILLING {
                    return false;
                }
                self.signal_all(&[Signal::SIGKILL]);
                until = Some(now + pause);
                pause = (pause * 2).min(ROUNDS.1);
            } else if !children {
                until = Some(now + ROUNDS.1);
            }
            if wait(open.then_some(&*connection), until, waiting) {
                open = self.obey(connection);
            }
        }
    }

    /// Reaps whoever ended; says whether there are children left.
    fn collect(&mut self, connection: &mut Connection) -> bool {
        loop {
            match sys::reap() {
                Reaped::Child(pid, exited) if pid == self.agent && !self.exited => {
                    self.exited = true;
                    // Who closed the connection hears nothing: that is no failure.
                    let _ = connection.say(&Reply::Exited(exited));
                    self.end(AFTER_EXIT);
                }
                Reaped::Child(..) => {}
                Reaped::Alive => return true,
                Reaped::None => return false,
            }
        }
    }

    /// Does what was ordered; false once nothing more can be.
    fn obey(&mut self, connection: &mut Connection) -> bool {
        loop {
            match connection.hear() {
                Heard::Nothing => return true,
                Heard::Order(Order::Signal { signal, group }) => self.signal_group(signal, group),
                Heard::Order(Order::End { grace_ms }) => {
                    self.end(Duration::from_millis(grace_ms.into()).min(GRACE_MAX));
                }
                Heard::Closed => {
                    self.end(AFTER_CLOSE);
                    return false;
                }
            }
        }
    }

    /// Asks everything to end, and kills it after `grace`, or earlier if that was said before.
    fn end(&mut self, grace: Duration) {
        let at = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
        // An interactive shell listens to HUP only; what is stopped listens to nothing before it goes on.
        self.signal_all(&[Signal::SIGHUP, Signal::SIGTERM, Signal::SIGCONT]);
    }

    fn signal_all(&self, signals: &[Signal]) {
        for pid in self.leftovers() {
            for signal in signals {
                // It may have ended in between.
                let _ = process::send(pid, *signal as i32);
            }
        }
    }

    /// Signals those of the tree that belong to a process group; 0 stands for the agent's own.
    fn signal_group(&self, signal: i32, group: i32) {
        let group = if group == 0 { self.agent.as_raw() } else { group };
        for pid in self.leftovers() {
            if getpgid(Some(Pid::from_raw(pid))).is_ok_and(|of| of.as_raw() == group) {
                let _ = process::send(pid, signal);
            }
        }
    }

    fn leftovers(&self) -> Vec<i32> {
        if cfg!(target_os = "linux") {
            return below();
        }
        let mark = format!("TELECLAUDE_SESSION={}", self.session);
        process::marked(&mark, Some(self.agent.as_raw()), self.uid)
    }
}

/// Ends every process below this one at once. False: something cannot be ended.
pub fn end_children() -> bool {
    let (started, mut pause) = (Instant::now(), ROUNDS.0);
    loop {
        match sys::reap() {
            Reaped::Child(..) => continue,
            Reaped::None => return true,
            Reaped::Alive if started.elapsed() > KILLING => return false,
            Reaped::Alive => {}
        }
        for pid in below() {
            let _ = process::kill(pid);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(ROUNDS.1);
    }
}

/// Every living process below this one.
fn below() -> Vec<i32> {
    let mut found = process::descendants(std::process::id().cast_signed());
    // Where /proc is mounted so that it hides other users' processes, this still names our own children.
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    for child in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
        if !found.contains(&child) {
            found.push(child);
        }
    }
    found
}

/// Waits for words on the connection, for a signal, or until `until`. True: there are words, or their end.
fn wait(connection: Option<&Connection>, until: Option<Instant>, waiting: &SigSet) -> bool {
    let timeout = until.map(|at| TimeSpec::from(at.saturating_duration_since(Instant::now())));
    let mut readable = FdSet::new();
    if let Some(connection) = connection {
        readable.insert(connection.as_fd());
    }
    match pselect(None, &mut readable, None, None, timeout.as_ref(), waiting) {
        Ok(_) => connection.is_some_and(|connection| readable.contains(connection.as_fd())),
        // A signal: what the sets say then means nothing.
        Err(_) => false,
    }
}
