//! Whether a descriptor is the end of a pseudo-terminal that its sender may give away. Anything else would hand a file
//! of somebody else to the agent's user.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::BorrowedFd;

/// Checks the descriptor that came from a process of `peer_uid`.
///
/// # Errors
/// What it is not.
pub fn check(descriptor: BorrowedFd<'_>, peer_uid: u32) -> Result<(), String> {
    let flags = fcntl(descriptor, FcntlArg::F_GETFL).map_err(|e| format!("the descriptor: {e}"))?;
    let flags = OFlag::from_bits_truncate(flags);
    // With O_PATH anybody can open anybody's terminal, and fstat shows a perfect one.
    #[cfg(target_os = "linux")]
    if flags.contains(OFlag::O_PATH) {
        return Err("the descriptor was opened without rights to the file".to_owned());
    }
    if flags & OFlag::O_ACCMODE != OFlag::O_RDWR {
        return Err("the descriptor is not open for reading and writing".to_owned());
    }
    let found = fstat(descriptor).map_err(|e| format!("the descriptor: {e}"))?;
    if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFCHR.bits() || !is_slave(descriptor, found.st_rdev) {
        return Err("the descriptor is not the end of a pseudo-terminal".to_owned());
    }
    if found.st_uid != peer_uid {
        return Err(format!("the terminal belongs to uid {}, not to who sent it", found.st_uid));
    }
    Ok(())
}

/// By its number, and by where it lies: a node of that number may be made elsewhere by root alone, but costs nothing
/// to refuse.
#[cfg(target_os = "linux")]
fn is_slave(descriptor: BorrowedFd<'_>, device: u64) -> bool {
    use nix::sys::statfs::{DEVPTS_SUPER_MAGIC, fstatfs};
    (136..=143).contains(&nix::sys::stat::major(device))
        && fstatfs(descriptor).is_ok_and(|system| system.filesystem_type() == DEVPTS_SUPER_MAGIC)
}

/// By its name, since the numbers are nobody's promise here.
#[cfg(target_os = "macos")]
fn is_slave(descriptor: BorrowedFd<'_>, _device: i32) -> bool {
    nix::unistd::ttyname(descriptor)
        .is_ok_and(|name| name.as_os_str().as_encoded_bytes().starts_with(b"/dev/ttys"))
}
