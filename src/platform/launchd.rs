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

/// The first socket that launchd holds for us; `None` if we were not started by it. It can be asked once.
///
/// # Errors
/// What launchd says besides that it does not know us.
pub fn listener() -> io::Result<Option<UnixListener>> {
    let mut fds: *mut c_int = std::ptr::null_mut();
    let mut count = 0_usize;
    // SAFETY: `NAME` ends with a zero byte; `fds` and `count` live through the call.
    let code = unsafe { launch_activate_socket(NAME.as_ptr(), &raw mut fds, &raw mut count) };
    match code {
        0 => {}
        libc::ENOENT | libc::ESRCH | libc::EALREADY => return Ok(None),
        other => return Err(io::Error::from_raw_os_error(other)),
    }
    let mut first = None;
    for at in 0..count {
        // SAFETY: launchd wrote `count` descriptors, which are ours alone from now on.
        let fd = unsafe { OwnedFd::from_raw_fd(*fds.add(at)) };
        // What launchd hands over would be inherited by every agent.
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        first.get_or_insert(fd);
    }
    // SAFETY: launchd allocated the list with malloc and left it to us.
    unsafe { libc::free(fds.cast()) };
    Ok(first.map(UnixListener::from))
}
