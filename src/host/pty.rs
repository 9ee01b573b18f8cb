//! The terminal: the host's end of it, and the keystrokes that it has not taken yet. Who writes at the other end is
//! `tree`'s.

use crate::host::spec::Size;
use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::Winsize;
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Keystrokes that the terminal has not taken yet, in bytes.
const INPUT_BYTES_MAX: usize = 1 << 20;

/// The host's end.
#[derive(Debug)]
pub struct Terminal {
    /// Nonblocking; None once the other end is closed for good.
    master: Option<OwnedFd>,
    input: VecDeque<u8>,
}

/// What there was to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// This many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// Nobody has the other end any more; the terminal is closed.
    End,
}

impl Terminal {
    /// Opens a terminal that nobody inherits and that is nobody's controlling terminal yet. Gives the agent's end
    /// with it; drop that once the agent has it.
    ///
    /// # Errors
    /// No terminal is left, or the system refuses.
    pub fn open(size: Size) -> anyhow::Result<(Self, OwnedFd)> {
        // openpty opens the slave with O_NOCTTY on both systems.
        let ends = nix::pty::openpty(&winsize(size), None).context("opening a terminal")?;
        for end in [&ends.master, &ends.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context("terminal")?;
        }
        fcntl(&ends.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR)).context("terminal")?;
        Ok((Self { master: Some(ends.master), input: VecDeque::new() }, ends.slave))
    }

    /// Whether somebody may still write or read at the other end.
    pub fn is_open(&self) -> bool {
        self.master.is_some()
    }

    /// What to poll.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.master.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has taken everything that was typed.
    pub fn has_taken_all(&self) -> bool {
        self.input.is_empty()
    }

    /// Reads what the agent wrote, at most a buffer full.
    pub fn read(&mut self, buffer: &mut [u8]) -> Output {
        let Some(master) = &self.master else { return Output::Nothing };
        match nix::unistd::read(master, buffer) {
            Ok(n) if n > 0 => Output::Bytes(n),
            Err(Errno::EAGAIN | Errno::EINTR) => Output::Nothing,
            // Linux says EIO, macOS end of file, when the last slave is closed.
            Ok(_) | Err(_) => {
                self.close();
                Output::End
            }
        }
    }

    /// Queues keystrokes. `false`: there is nobody to type for, or too much waits.
    #[must_use]
    pub fn queue(&mut self, bytes: &[u8]) -> bool {
        let taken = self.has_room_for(bytes.len());
        if taken {
            self.input.extend(bytes);
        }
        taken
    }

    /// Whether so many bytes of keystrokes would be taken.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.master.is_some() && self.input.len() + bytes <= INPUT_BYTES_MAX
    }

    /// Gives the terminal as much of what waits as it takes.
    pub fn write(&mut self) {
        let Some(master) = &self.master else { return };
        while !self.input.is_empty() {
            match nix::unistd::write(master, self.input.as_slices().0) {
                Ok(n) if n > 0 => drop(self.input.drain(..n)),
                Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
        self.input = VecDeque::new();
    }

    /// Whether the program at the other end takes keys as they come, instead of whole lines.
    pub fn is_raw(&self) -> bool {
        let modes = self.master.as_ref().and_then(|master| tcgetattr(master).ok());
        modes.is_some_and(|modes| !modes.local_flags.contains(LocalFlags::ICANON))
    }

    /// Tells terminal and agent a new size. One that is closed has none.
    pub fn resize(&self, size: Size) {
        let Some(master) = &self.master else { return };
        let size = winsize(size);
        // SAFETY: TIOCSWINSZ reads one winsize through the pointer, which is valid for the call. What it says matters
        // to nobody: a terminal that refuses is one that ends.
        let _ = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(&size)) };
    }

    /// The process group that the terminal's keys go to.
    pub fn foreground(&self) -> Option<i32> {
        let group = nix::unistd::tcgetpgrp(self.master.as_ref()?).ok()?.as_raw();
        (group > 1).then_some(group)
    }

    /// Closes it: who is left at the other end is hung up.
    pub fn close(&mut self) {
        self.master = None;
        self.input = VecDeque::new();
    }
}

fn winsize(size: Size) -> Winsize {
    let size = size.clamped();
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}
