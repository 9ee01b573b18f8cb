//! The system calls that have no safe form elsewhere, each in a function that is safe to call: the runner's only file
//! with unsafe code. No policy: what is called when is decided by the others.

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Descriptors that one message can carry, at most: the kernel's own bound on Linux.
const DESCRIPTORS_MAX: usize = 253;

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
