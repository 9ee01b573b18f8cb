//! What macOS's launchd hands to a program that it starts: listening sockets. The property list that names them is
//! not here.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

/// The socket's name in the property list.
const NAME: &CStr = c"Listeners";

unsafe extern "C" {
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
}

/// The sockets that launchd holds for us; none if we were not started by it. It can be asked once.
///
/// # Errors
/// What launchd says besides that it does not know us.
pub fn listeners() -> io::Result<Vec<UnixListener>> {
    let mut fds: *mut c_int = std::ptr::null_mut();
    let mut count = 0_usize;
    // SAFETY: `NAME` ends with a zero byte; `fds` and `count` live through the call.
    let code = unsafe { launch_activate_socket(NAME.as_ptr(), &raw mut fds, &raw mut count) };
    if is_nothing(code) {
        return Ok(Vec::new());
    }
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    let owned: Vec<OwnedFd> = (0..count)
        // SAFETY: launchd wrote `count` descriptors, which are ours alone from now on.
        .map(|at| unsafe { OwnedFd::from_raw_fd(*fds.add(at)) })
        .collect();
    // SAFETY: launchd allocated the list with malloc and left it to us.
    unsafe { libc::free(fds.cast()) };
    for fd in &owned {
        // What launchd hands over would be inherited by every agent.
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok(owned.into_iter().map(UnixListener::from).collect())
}

/// Whether launchd's answer only says that there is nothing for us: not in the property list, not started by it, or
/// taken already.
fn is_nothing(code: c_int) -> bool {
    matches!(code, libc::ENOENT | libc::ESRCH | libc::EALREADY)
}

#[cfg(test)]
mod tests {
    use super::{is_nothing, listeners};

    #[test]
    fn who_was_not_started_by_launchd_has_no_socket_of_its() {
        assert!(listeners().unwrap().is_empty());
        for (code, nothing) in [(0, false), (libc::ENOENT, true), (libc::ESRCH, true), (libc::EINVAL, false)]
        {
            assert_eq!(is_nothing(code), nothing, "{code}");
        }
    }
}
