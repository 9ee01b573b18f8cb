//! The terminal that a command was typed in: raw while a session is shown on it, and as it was before afterwards.

use nix::sys::termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};

/// Switches off what a program may have switched on: the other screen, scroll margins, colours, a hidden cursor, mouse,
/// focus and paste reports, key protocols, application keys. What was shown before stays in the scrollback, which a full
/// reset would empty.
pub const SWITCH_OFF: &[u8] =
    b"\x1b[?1049l\x1b[r\x1b[m\x1b[?25h\x1b[?6l\x1b[?7h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\
\x1b[?1005l\x1b[?1006l\x1b[?2004l\x1b[?2026l\x1b[<99u\x1b[>4;0m\x1b[?1l\x1b>\x1b(B\x0f";
/// An empty screen.
pub const CLEAR: &[u8] = b"\x1b[H\x1b[2J";
/// A new line below everything.
const BELOW: &[u8] = b"\x1b[999;1H\r\n";

/// Whether somebody sits at both ends: keys come from a terminal, and what is shown goes to one.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The terminal in raw mode. Dropping it, by whatever way, gives it back.
pub struct Raw {
    fd: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Makes the terminal of standard input raw.
    ///
    /// # Errors
    /// It is no terminal, or not this process's to change.
    pub fn new() -> io::Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&fd)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&fd, SetArg::TCSANOW, &raw)?;
        Ok(Self { fd, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.fd, SetArg::TCSANOW, &self.before);
        if let Ok(out) = io::stdout().as_fd().try_clone_to_owned() {
            let _ = File::from(out).write_all(&[SWITCH_OFF, BELOW].concat());
        }
    }
}

/// The terminal of standard input while it shows nothing of what is typed. Dropping it gives it back.
pub struct Quiet {
    fd: OwnedFd,
    before: Termios,
}

impl Quiet {
    /// Switches showing off. What was typed ahead is thrown away: it was shown.
    ///
    /// # Errors
    /// It is no terminal, or not this process's to change.
    pub fn new() -> io::Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&fd)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&fd, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { fd, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.fd, SetArg::TCSANOW, &self.before);
    }
}

/// Standard input and output as files of their own, for threads that wait in them: nobody else waits for their locks.
///
/// # Errors
/// Out of descriptors.
pub fn streams() -> io::Result<(impl Read + Send + 'static, impl Write + Send + 'static)> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok((input, output))
}
