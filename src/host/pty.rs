//! The terminal and who starts the agent on it. Today the host does it itself; a runner that starts it as another
//! user takes the place of [`spawn`]: it gets the same spec and the slave, and gives the same events.

use crate::host::spec::{Size, StartSpec};
use anyhow::Context;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::Winsize;
use std::io::{PipeReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Pty {
    /// The host's end; nonblocking.
    pub master: OwnedFd,
    /// The agent's end; close it once the agent has it.
    pub slave: OwnedFd,
}

/// Opens a terminal that nobody inherits and that is nobody's controlling terminal yet.
///
/// # Errors
/// No terminal is left, or the system refuses.
pub fn open(size: Size) -> anyhow::Result<Pty> {
    // openpty opens the slave with O_NOCTTY on both systems.
    let ends = nix::pty::openpty(&winsize(size), None).context("opening a terminal")?;
    for end in [&ends.master, &ends.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context("terminal")?;
    }
    fcntl(&ends.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR)).context("terminal")?;
    Ok(Pty { master: ends.master, slave: ends.slave })
}

/// Tells terminal and agent a new size.
///
/// # Errors
/// The terminal is gone.
pub fn resize(master: &OwnedFd, size: Size) -> std::io::Result<()> {
    let size = winsize(size);
    // SAFETY: TIOCSWINSZ reads one winsize through the pointer, which is valid for the call.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(&size)) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn winsize(size: Size) -> Winsize {
    let size = size.clamped();
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Starts the agent on the slave: leader of its own session and process group, the terminal its controlling one,
/// signals as new, no descriptor but the three, its environment exactly the spec's.
///
/// # Errors
/// The text says which step failed: the working directory or the program. No environment is in it.
pub fn spawn(spec: &StartSpec, slave: OwnedFd) -> Result<i32, String> {
    if let Some(tmp) = &spec.tmp_dir {
        crate::host::files::private_dir(tmp).map_err(|e| format!("private temporary folder: {e}"))?;
    }
    if !Path::new(&spec.cwd).is_dir() {
        return Err(format!("no such folder: {}", spec.cwd.display()));
    }
    let out = slave.try_clone().map_err(|e| format!("terminal: {e}"))?;
    let err = slave.try_clone().map_err(|e| format!("terminal: {e}"))?;
    let mut command = Command::new(&spec.argv[0]);
    command
        .args(&spec.argv[1..])
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&spec.cwd)
        .stdin(Stdio::from(slave))
        .stdout(Stdio::from(out))
        .stderr(Stdio::from(err));
    #[cfg(target_os = "linux")]
    let host = nix::unistd::getpid();
    // SAFETY: between fork and exec only system calls are made (setsid, ioctl, signal, umask, prctl, getppid); none
    // allocates or takes a lock.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            if libc::ioctl(0, libc::TIOCSCTTY as _, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            for signal in 1..32 {
                // SIGKILL and SIGSTOP refuse; nothing is lost by that.
                libc::signal(signal, libc::SIG_DFL);
            }
            libc::umask(0o022);
            #[cfg(target_os = "linux")]
            {
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                // The host may have died before that took hold.
                if nix::unistd::getppid() != host {
                    return Err(std::io::Error::from_raw_os_error(libc::ECHILD));
                }
            }
            Ok(())
        });
    }
    // exec's failure comes back through a close-on-exec pipe that std keeps for this.
    let child = command.spawn().map_err(|e| format!("{}: {e}", spec.argv[0]))?;
    Ok(child.id().cast_signed())
}

/// A child of the host that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub pid: i32,
    /// Its exit code …
    pub code: Option<i32>,
    /// … or the signal that ended it.
    pub signal: Option<i32>,
}

/// Bytes of one [`Ended`] in the pipe.
pub const ENDED_BYTES: usize = 12;

impl Ended {
    /// From the pipe.
    pub fn from_bytes(bytes: [u8; ENDED_BYTES]) -> Self {
        let number = |i: usize| i32::from_ne_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let (code, signal) = (number(4), number(8));
        Self { pid: number(0), code: (signal == 0).then_some(code), signal: (signal != 0).then_some(signal) }
    }

    fn to_bytes(self) -> [u8; ENDED_BYTES] {
        let mut bytes = [0; ENDED_BYTES];
        bytes[..4].copy_from_slice(&self.pid.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.code.unwrap_or(0).to_ne_bytes());
        bytes[8..].copy_from_slice(&self.signal.unwrap_or(0).to_ne_bytes());
        bytes
    }
}

/// Waits for children on a thread of its own. The pipe gives one [`Ended`] each; its end says that no child is
/// left, and with orphans adopted (Linux) that no descendant is.
///
/// # Errors
/// No pipe or no thread.
pub fn wait_for_children() -> std::io::Result<PipeReader> {
    let (reader, mut writer) = std::io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    std::thread::Builder::new().name("children".to_owned()).stack_size(64 * 1024).spawn(move || {
        loop {
            let mut status = 0;
            // Not nix's: it calls a child that died of a real-time signal an error, after it was reaped.
            // SAFETY: waitpid writes one int into `status`, which outlives the call.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
            let ended = if pid < 0 {
                match nix::errno::Errno::last() {
                    nix::errno::Errno::EINTR => continue,
                    _ => return,
                }
            } else if libc::WIFEXITED(status) {
                Ended { pid, code: Some(libc::WEXITSTATUS(status)), signal: None }
            } else if libc::WIFSIGNALED(status) {
                Ended { pid, code: None, signal: Some(libc::WTERMSIG(status)) }
            } else {
                continue;
            };
            if writer.write_all(&ended.to_bytes()).is_err() {
                return;
            }
        }
    })?;
    Ok(reader)
}
