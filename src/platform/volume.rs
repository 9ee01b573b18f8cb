//! The file system that a path lies on: how much room is left there, and whether it is on another machine.

use nix::sys::statfs::{Statfs, statfs};
use std::io;
use std::path::Path;

/// What is known of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Bytes that an ordinary user may still write.
    pub free_bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
    /// Files that may still be made; nothing where the file system does not count them.
    pub free_files: Option<u64>,
    /// Its kind, if its files lie on another machine.
    pub network: Option<&'static str>,
}

/// The file system that `path` lies on. May block for as long as a lost server does.
///
/// # Errors
/// What the system says.
pub fn of(path: &Path) -> io::Result<Volume> {
    let about = statfs(path)?;
    // Signed on one system, shorter on the other.
    let block = about.block_size() as u64;
    Ok(Volume {
        free_bytes: about.blocks_available().saturating_mul(block),
        total_bytes: about.blocks().saturating_mul(block),
        free_files: (about.files() > 0).then_some(about.files_free()),
        network: network(&about),
    })
}

#[cfg(target_os = "linux")]
fn network(about: &Statfs) -> Option<&'static str> {
    // Numbers of statfs(2). Only the low half counts: the type is signed on some machines.
    match about.filesystem_type().0 as u32 {
        0x6969 => Some("nfs"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("smb"),
        0x00c3_6400 => Some("ceph"),
        0x5346_414f | 0x6b41_4653 => Some("afs"),
        0x0102_1997 => Some("9p"),
        0x0bd0_0bd0 => Some("lustre"),
        0x0116_1970 => Some("gfs2"),
        0x7461_636f => Some("ocfs2"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn network(about: &Statfs) -> Option<&'static str> {
    ["nfs", "smbfs", "afpfs", "webdav"].into_iter().find(|kind| *kind == about.filesystem_type_name())
}

#[cfg(test)]
mod tests {
    use super::of;
    use std::path::Path;

    #[test]
    fn there_is_room_where_there_is_a_folder() {
        let temp = of(&std::env::temp_dir()).unwrap();
        assert!(temp.total_bytes > 0 && temp.free_bytes <= temp.total_bytes);
        assert!(of(Path::new("/nonexistent/folder")).is_err());
    }
}
