//! A tree whose parent is the host: the agent is started, waited for and ended by the host itself, as its own user.

use crate::domain::session::Exit;
use crate::host::spec::Program;
use crate::host::tree::Event;
use crate::platform::process;
use crate::runner::installed::write_new;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Between two rounds of killing what is still there.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Bytes of one [`Ended`] in the pipe.
const ENDED_BYTES: usize = 12;

/// The host's children, the agent first.
#[derive(Debug)]
pub struct Children {
    agent: i32,
    /// Whether the agent's start was told.
    told: bool,
    /// Whether the agent has ended.
    exited: bool,
    ended: PipeReader,
    /// When to kill what is left.
    kill_at: Option<Instant>,
}

impl Children {
    /// Starts the agent.
    ///
    /// # Errors
    /// Says which step failed: the working directory or the program. No environment is in it.
    pub(super) fn start(program: &Program, slave: OwnedFd) -> Result<Self, String> {
        let agent = spawn(program, slave)?;
        let ended = wait_for_children().map_err(|e| {
            let _ = process::kill(agent);
            format!("waiting for the agent: {e}")
        })?;
        Ok(Self { agent, told: false, exited: false, ended, kill_at: None })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    pub(super) fn happened(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.told, true) {
            return Some(Event::Started(self.agent));
        }
        let mut bytes = [0; ENDED_BYTES];
        loop {
            match self.ended.read(&mut bytes) {
                Ok(ENDED_BYTES) => {
                    let ended = Ended::from_bytes(bytes);
                    if ended.pid == self.agent && !std::mem::replace(&mut self.exited, true) {
                        return Some(Event::Exited(ended.exit));
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return None,
                // No child is left.
                Ok(_) | Err(_) => {
                    self.kill_at = None;
                    // Where orphans are not adopted, the agent's group may still hold some.
                    self.kill();
                    return Some(Event::Gone);
                }
            }
        }
    }

    pub(super) fn end(&mut self, grace: Duration, foreground: Option<i32>, now: Instant) {
        let kill_at = now + grace;
        if self.kill_at.is_some_and(|at| at <= kill_at) {
            return;
        }
        self.kill_at = Some(kill_at);
        for signal in [Signal::SIGHUP, Signal::SIGCONT, Signal::SIGTERM] {
            for group in foreground.into_iter().filter(|g| *g != self.agent).chain([self.agent]) {
                let _ = process::send_group(group, signal as i32);
            }
            for pid in process::descendants(std::process::id().cast_signed()) {
                let _ = process::send(pid, signal as i32);
            }
        }
    }

    pub(super) fn signal(&self, signal: i32, group: Option<i32>) -> std::io::Result<()> {
        // The agent's own number may be another's once it has ended.
        match group.filter(|g| *g != self.agent).or((!self.exited).then_some(self.agent)) {
            Some(group) => process::send_group(group, signal),
            None => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn act(&mut self, now: Instant) {
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill();
            self.kill_at = Some(now + AGAIN_AFTER);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.kill_at
    }

    fn kill(&self) {
        for pid in process::descendants(std::process::id().cast_signed()) {
            let _ = process::kill(pid);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = process::send_group(self.agent, Signal::SIGKILL as i32);
    }
}

/// Starts the agent on the slave: leader of its own session and process group, the terminal its controlling one,
/// signals as new, no descriptor but the three, its environment exactly the program's.
fn spawn(program: &Program, slave: OwnedFd) -> Result<i32, String> {
    if let Some(tmp) = &program.tmp_dir {
        crate::host::files::private_dir(tmp).map_err(|e| format!("private temporary folder: {e}"))?;
        for (name, text) in &program.files {
            write_new(&tmp.join(name), text).map_err(|e| format!("private temporary folder: {e}"))?;
        }
    }
    if !program.cwd.is_dir() {
        return Err(format!("no such folder: {}", program.cwd.display()));
    }
    let out = slave.try_clone().map_err(|e| format!("terminal: {e}"))?;
    let err = slave.try_clone().map_err(|e| format!("terminal: {e}"))?;
    let mut command = Command::new(&program.argv[0]);
    command
        .args(&program.argv[1..])
        .env_clear()
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&program.cwd)
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
    let child = command.spawn().map_err(|e| format!("{}: {e}", program.argv[0]))?;
    Ok(child.id().cast_signed())
}

/// A child of the host that ended.
struct Ended {
    pid: i32,
    exit: Exit,
}

impl Ended {
    fn from_bytes(bytes: [u8; ENDED_BYTES]) -> Self {
        let number = |i: usize| i32::from_ne_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let (code, signal) = (number(4), number(8));
        Self { pid: number(0), exit: if signal == 0 { Exit::Code(code) } else { Exit::Signal(signal) } }
    }
}

fn ended_bytes(pid: i32, code: i32, signal: i32) -> [u8; ENDED_BYTES] {
    let mut bytes = [0; ENDED_BYTES];
    bytes[..4].copy_from_slice(&pid.to_ne_bytes());
    bytes[4..8].copy_from_slice(&code.to_ne_bytes());
    bytes[8..].copy_from_slice(&signal.to_ne_bytes());
    bytes
}

/// Waits for children on a thread of its own. The pipe gives one [`Ended`] each; its end says that no child is
/// left, and with orphans adopted (Linux) that no descendant is.
fn wait_for_children() -> std::io::Result<PipeReader> {
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
                ended_bytes(pid, libc::WEXITSTATUS(status), 0)
            } else if libc::WIFSIGNALED(status) {
                ended_bytes(pid, 0, libc::WTERMSIG(status))
            } else {
                continue;
            };
            if writer.write_all(&ended).is_err() {
                return;
            }
        }
    })?;
    Ok(reader)
}
