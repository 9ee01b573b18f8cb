//! The system calls that have no safe form elsewhere, each in a function that is safe to call: the runner's only file
//! with unsafe code. No policy: what is called when is decided by the others. Those that fork want a process of one
//! thread, and the runner is one.

#![expect(unsafe_code, reason = "here and nowhere else in the runner")]

use crate::runner::message::Exited;
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{ForkResult, Pid};
use std::ffi::{CStr, CString};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// Descriptors that one message can carry, at most: the kernel's own bound on Linux.
const DESCRIPTORS_MAX: usize = 253;
/// Signals that end the runner in order.
const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Reads what is there, at most a buffer full, and takes the descriptors that came with it. They are closed with an
/// exec. No bytes: the other end has closed. Waits only if the socket does.
///
/// # Errors
/// The socket's; [`io::ErrorKind::InvalidData`] if there was no room for all descriptors.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    #[cfg(target_os = "linux")]
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = MsgFlags::empty();
    let mut control = nix::cmsg_space!([i32; DESCRIPTORS_MAX]);
    let mut parts = [IoSliceMut::new(buffer)];
    let (bytes, raw) = loop {
        match recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(message) => {
                let control = message.cmsgs().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                let rights = control.filter_map(|part| match part {
                    ControlMessageOwned::ScmRights(descriptors) => Some(descriptors),
                    _ => None,
                });
                break (message.bytes, rights.flatten().collect::<Vec<_>>());
            }
        }
    };
    // SAFETY: the kernel has just made these for this process, and nobody else knows of them.
    let descriptors: Vec<OwnedFd> = raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    #[cfg(not(target_os = "linux"))]
    for descriptor in &descriptors {
        nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    }
    Ok((bytes, descriptors))
}

/// Standard input and standard error, which any process has or may have closed.
pub fn standard(number: Standard) -> BorrowedFd<'static> {
    let raw = match number {
        Standard::Input => libc::STDIN_FILENO,
        Standard::Error => libc::STDERR_FILENO,
    };
    // SAFETY: never -1, and the runner never closes these numbers. If the number is not open, calls on it fail.
    unsafe { BorrowedFd::borrow_raw(raw) }
}

/// A descriptor that a program is started with.
#[derive(Clone, Copy, Debug)]
pub enum Standard {
    /// 0
    Input,
    /// 2
    Error,
}

/// Closes what whoever started this process left open besides the three.
pub fn close_inherited() {
    for raw in open_besides_the_three() {
        // The listing's own descriptor is among them and closed already: that is the only error there can be.
        let _ = nix::unistd::close(raw);
    }
}

/// Makes an exec close everything besides the three: a library of the system's may have left something open.
pub fn close_with_exec() {
    for raw in open_besides_the_three() {
        // SAFETY: sets a flag of a number; where it is not open any more it is refused.
        unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn open_besides_the_three() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return Vec::new() };
    let open = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    open.filter(|raw| *raw > libc::STDERR_FILENO).collect()
}

/// Forks. The child does `work` and ends with the code that this gives, without going back into the program.
///
/// # Errors
/// The system has no more processes.
pub fn fork(work: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: this process has one thread, so the child finds no lock taken and may do what any process may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(101);
            // SAFETY: ends the process; what the parent registered to be done at its end is not done.
            unsafe { libc::_exit(i32::from(code)) }
        }
    }
}

/// Gives this process the groups of a user. Needs CAP_SETGID.
///
/// # Errors
/// Not permitted.
pub fn init_groups(user: &CStr, group: u32) -> io::Result<()> {
    #[cfg(target_os = "macos")]
    let group = group.cast_signed();
    // SAFETY: `user` ends with a zero byte and lives through the call.
    if unsafe { libc::initgroups(user.as_ptr(), group) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes a terminal the controlling one of this process, which has just become a session's leader.
///
/// # Errors
/// It is another session's.
pub fn take_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number and touches no memory.
    if unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY as _, 0) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

static TOLD_TO_END: AtomicBool = AtomicBool::new(false);

extern "C" fn on_ending(_: i32) {
    TOLD_TO_END.store(true, Ordering::Relaxed);
}

extern "C" fn on_child(_: i32) {}

/// Whether a signal asked this process to end.
pub fn told_to_end() -> bool {
    TOLD_TO_END.load(Ordering::Relaxed)
}

/// From now on the ends of children and requests to end are noticed, but only while waiting with the mask that this
/// gives.
///
/// # Errors
/// The system's.
pub fn watch_signals() -> io::Result<SigSet> {
    let mut watched = SigSet::empty();
    for (signal, handler) in ENDING
        .map(|signal| (signal, on_ending as extern "C" fn(i32)))
        .into_iter()
        .chain([(Signal::SIGCHLD, on_child as _)])
    {
        let action = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_NOCLDSTOP, SigSet::empty());
        // SAFETY: the handlers do nothing but store to an atomic.
        unsafe { sigaction(signal, &action) }?;
        watched.add(signal);
    }
    let mut waiting = watched.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    watched.iter().for_each(|signal| waiting.remove(signal));
    Ok(waiting)
}

/// In a child: every signal does what it does in a new process, and none is blocked.
///
/// # Errors
/// The system's.
pub fn default_signals() -> io::Result<()> {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is no handler. SIGKILL, SIGSTOP and numbers that do not exist refuse; nothing is lost.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// What [`reap`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// A child that ended.
    Child(Pid, Exited),
    /// There are children, all alive.
    Alive,
    /// There is no child.
    None,
}

/// Collects one child that ended, if there is one. Does not wait.
pub fn reap() -> Reaped {
    loop {
        let mut status = 0;
        // Not nix's: it calls a child that died of a real-time signal an error, after it was reaped.
        // SAFETY: waitpid writes one int into `status`, which outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        let exited = match pid {
            0 => return Reaped::Alive,
            ..0 if Errno::last() == Errno::EINTR => continue,
            ..0 => return Reaped::None,
            _ if libc::WIFEXITED(status) => Exited::Code(libc::WEXITSTATUS(status)),
            _ if libc::WIFSIGNALED(status) => Exited::Signal(libc::WTERMSIG(status)),
            _ => continue,
        };
        return Reaped::Child(Pid::from_raw(pid), exited);
    }
}

/// Writes one line to the system's log.
pub fn syslog(line: &str, warning: bool) {
    let Ok(line) = CString::new(line.replace('\0', " ")) else { return };
    let priority = libc::LOG_DAEMON | if warning { libc::LOG_WARNING } else { libc::LOG_INFO };
    // SAFETY: the format takes one string, which ends with a zero byte and lives through the call.
    unsafe { libc::syslog(priority, c"%s".as_ptr(), line.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::{Reaped, fork, reap};
    use crate::runner::message::Exited;

    #[test]
    fn a_child_ends_with_its_code_even_if_it_panics() {
        for (code, expected) in [(Some(7), 7), (None, 101)] {
            let pid = fork(|| code.unwrap()).unwrap();
            loop {
                match reap() {
                    Reaped::Child(ended, exited) => {
                        assert_eq!((ended, exited), (pid, Exited::Code(expected)));
                        break;
                    }
                    Reaped::Alive => std::thread::yield_now(),
                    Reaped::None => panic!("no child"),
                }
            }
        }
    }
}
