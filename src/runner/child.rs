//! A child that is the owner: how it becomes them, and how work that touches their files is done in it, bounded in
//! time, since a file system of theirs may hang.

use crate::runner::account::Account;
use crate::runner::{sys, tree};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Pid, Uid};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes that a child may tell, at most.
const TOLD_BYTES_MAX: usize = 16 * 1024;

/// What a child told before it closed its end.
#[derive(Debug)]
pub struct Told {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// A descriptor that came with them.
    pub descriptor: Option<OwnedFd>,
    /// Whether it closed its end in time, and had not more to tell than it may.
    pub whole: bool,
}

/// Forks a child that becomes the user and then does `work` with its end of a socket, which an exec closes. It has
/// nothing at its three standard descriptors. Whatever fails is told as text after a zero byte.
///
/// # Errors
/// There is no child.
pub fn fork_as(
    account: &Account,
    work: impl FnOnce(&UnixStream) -> Result<(), String>,
) -> io::Result<(Pid, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let runner = nix::unistd::getpid();
    let pid = sys::fork(|| {
        let done =
            on_null(null.as_fd()).and_then(|()| become_user(account, runner)).and_then(|()| work(&theirs));
        match done {
            Ok(()) => 0,
            Err(why) => {
                let why: String = why.chars().take(4_096).collect();
                let _ = (&theirs).write_all(&[b"\0", why.as_bytes()].concat());
                1
            }
        }
    })?;
    Ok((pid, ours))
}

/// Hears a child out, until it closes its end or until `deadline`.
///
/// # Errors
/// The socket's.
pub fn hear(child: &UnixStream, deadline: Instant) -> io::Result<Told> {
    let mut told = Told { bytes: Vec::new(), descriptor: None, whole: false };
    let mut chunk = [0; 4_096];
    while told.bytes.len() <= TOLD_BYTES_MAX && readable(child.as_fd(), deadline)? {
        let (bytes, descriptors) = sys::receive(child, &mut chunk)?;
        if bytes == 0 {
            told.whole = true;
            break;
        }
        told.bytes.extend_from_slice(&chunk[..bytes]);
        told.descriptor = descriptors.into_iter().next().or(told.descriptor);
    }
    Ok(told)
}

/// Waits until there is something to read (or the end), or until `deadline`.
///
/// # Errors
/// The system's.
pub fn readable(socket: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], left) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Does `work` as the user, in a child that lives no longer than `limit`; nothing that it started outlives it. What it
/// tells comes back, with a descriptor if it sent one.
///
/// # Errors
/// What went wrong, as text.
pub fn ask(
    account: &Account,
    limit: Duration,
    work: impl FnOnce(&UnixStream) -> Result<(), String>,
) -> Result<(Vec<u8>, Option<OwnedFd>), String> {
    let deadline = Instant::now() + limit;
    let told = fork_as(account, work).and_then(|(_, child)| hear(&child, deadline));
    let ended = tree::end_children();
    let told = told.map_err(|e| format!("process: {e}"))?;
    if !told.whole {
        return Err(format!("it took longer than {} s", limit.as_secs()));
    }
    if !ended {
        return Err("a process of it does not end".to_owned());
    }
    match told.bytes.iter().position(|byte| *byte == 0) {
        Some(at) => Err(String::from_utf8_lossy(&told.bytes[at + 1..]).into_owned()),
        None => Ok((told.bytes, told.descriptor)),
    }
}

fn on_null(null: BorrowedFd<'_>) -> Result<(), String> {
    use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
    let on = dup2_stdin(null).and_then(|()| dup2_stdout(null)).and_then(|()| dup2_stderr(null));
    on.map_err(|e| step("descriptors", e))
}

/// Becomes the user for good. A step that fails is the end: whoever went on after a failed one would be root, or of
/// root's groups.
fn become_user(account: &Account, runner: Pid) -> Result<(), String> {
    sys::close_with_exec();
    sys::default_signals().map_err(|e| step("signals", e))?;
    let name = CString::new(account.name.as_str()).map_err(|e| step("user name", e))?;
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    if uid.is_root() {
        return Err("user: nothing is run as root".to_owned());
    }
    sys::init_groups(&name, account.gid).map_err(|e| step("groups", e))?;
    nix::unistd::setgid(gid).map_err(|e| step("group", e))?;
    nix::unistd::setuid(uid).map_err(|e| step("user", e))?;
    took_hold(uid, gid)?;
    #[cfg(target_os = "linux")]
    {
        nix::sys::prctl::set_no_new_privs().map_err(|e| step("no new privileges", e))?;
        // After setuid, which forgets it.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(|e| step("its end", e))?;
    }
    // The runner may have died before that took hold.
    if nix::unistd::getppid() != runner {
        return Err("the runner is gone".to_owned());
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    nix::unistd::chdir("/").map_err(|e| step("working directory", e))
}

fn took_hold(uid: Uid, gid: Gid) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    {
        let (users, groups) = nix::unistd::getresuid()
            .and_then(|users| Ok((users, nix::unistd::getresgid()?)))
            .map_err(|e| step("user", e))?;
        if [users.real, users.effective, users.saved] != [uid; 3]
            || [groups.real, groups.effective, groups.saved] != [gid; 3]
        {
            return Err("user: the change of user did not take hold".to_owned());
        }
    }
    let now = (nix::unistd::getuid(), nix::unistd::geteuid(), nix::unistd::getgid(), nix::unistd::getegid());
    // Setting the group that one has is no way back.
    let back = nix::unistd::setuid(Uid::from_raw(0)).is_ok()
        || (gid.as_raw() != 0 && nix::unistd::setgid(Gid::from_raw(0)).is_ok());
    if now != (uid, uid, gid, gid) || back {
        return Err("user: the change of user can be undone".to_owned());
    }
    Ok(())
}

/// The text of a step that failed.
pub fn step(name: &str, error: impl std::fmt::Display) -> String {
    format!("{name}: {error}")
}
