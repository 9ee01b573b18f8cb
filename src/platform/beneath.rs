//! Files below one folder, reached step by step and never through a link: `openat` for each component, which is the
//! same on both systems, in place of Linux' `openat2`. Nothing here waits for who is at the other end of a pipe.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// By what one state of a file is told from another without reading it. Times are in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(about: &FileStat) -> Self {
        Self {
            inode: about.st_ino,
            size: about.st_size,
            modified: (about.st_mtime, about.st_mtime_nsec),
            changed: (about.st_ctime, about.st_ctime_nsec),
        }
    }

    /// The second of the last change, of the text or of its rights, since 1970.
    pub const fn changed(&self) -> i64 {
        self.changed.0
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File(Stamp),
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// A folder that is held open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder that everything else lies below. Links on the way to it are followed.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, FOLDER, Mode::empty())?))
    }

    /// Opens a folder in this one.
    ///
    /// # Errors
    /// The system's; also if it is a link.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self(openat(&self.0, single(name)?, FOLDER | OFlag::O_NOFOLLOW, Mode::empty())?))
    }

    /// The names in it, in the order of their bytes: at most `most`, and whether there are more.
    ///
    /// # Errors
    /// The system's.
    pub fn names(&self, most: usize) -> io::Result<(Vec<OsString>, bool)> {
        let mut names = Vec::new();
        for entry in Dir::openat(&self.0, ".", FOLDER, Mode::empty())?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if names.len() == most {
                return Ok((names, true));
            }
            names.push(OsStr::from_bytes(name).to_owned());
        }
        names.sort();
        Ok((names, false))
    }

    /// What a name in it stands for.
    ///
    /// # Errors
    /// The system's.
    pub fn look(&self, name: &OsStr) -> io::Result<Kind> {
        Ok(kind(&fstatat(&self.0, single(name)?, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    /// Reads a regular file in it: at most `most` bytes and one, and what it was when it was opened.
    ///
    /// # Errors
    /// The system's; also if it is a link, or no regular file.
    pub fn read(&self, name: &OsStr, most: usize) -> io::Result<(Vec<u8>, Stamp)> {
        let how =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(&self.0, single(name)?, how, Mode::empty())?;
        let Kind::File(stamp) = kind(&fstat(&file)?) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
        };
        let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or(0).min(most) + 1);
        File::from(file).take(most as u64 + 1).read_to_end(&mut bytes)?;
        Ok((bytes, stamp))
    }

    /// Reads the file at a path below it, as [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read); also if a step of the way is a link or leads out.
    pub fn read_at(&self, path: &str, most: usize) -> io::Result<(Vec<u8>, Stamp)> {
        let mut folder: Option<Self> = None;
        let mut steps = path.split('/').map(OsStr::new).peekable();
        while let Some(step) = steps.next() {
            let here = folder.as_ref().unwrap_or(self);
            if steps.peek().is_none() {
                return here.read(step, most);
            }
            folder = Some(here.enter(step)?);
        }
        Err(Errno::ENOENT.into())
    }
}

/// A name that is one step, and not one out.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not the name of something in a folder"));
    }
    Ok(name)
}

fn kind(about: &FileStat) -> Kind {
    let kind = SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFDIR {
        Kind::Folder
    } else if kind == SFlag::S_IFREG {
        Kind::File(Stamp::of(about))
    } else if kind == SFlag::S_IFLNK {
        Kind::Link
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, Kind};
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out_and_nothing_waits() {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().join("secret");
        fs::write(&outside, "secret").unwrap();
        let root = temp.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "text").unwrap();
        symlink(&outside, root.join("link")).unwrap();
        symlink(temp.path(), root.join("out")).unwrap();
        symlink(root.join("a"), root.join("in")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let folder = Folder::open(&root).unwrap();
        let (names, more) = folder.names(10).unwrap();
        assert_eq!((names, more), (["a", "in", "link", "out", "pipe"].map(Into::into).to_vec(), false));
        assert!(folder.names(4).unwrap().1);
        assert_eq!(folder.read_at("a/b/file", 10).unwrap().0, b"text");
        assert_eq!(
            folder.read_at("a/b/file", 2).unwrap().0,
            b"tex",
            "one more than it may be says that it is more"
        );
        for path in [
            "link",
            "out/secret",
            "in/b/file",
            "../secret",
            "a/../../secret",
            "pipe",
            "a/b",
            "a//b",
            "",
            "/",
            "a/b/none",
        ] {
            assert!(folder.read_at(path, 10).is_err(), "{path}");
        }
        let look = |name: &str| folder.look(OsStr::new(name)).unwrap();
        assert_eq!((look("a"), look("link"), look("pipe")), (Kind::Folder, Kind::Link, Kind::Other));
        assert!(folder.enter(OsStr::new("out")).is_err() && folder.look(OsStr::new("..")).is_err());
        let Kind::File(before) = Folder::open(&root.join("a/b")).unwrap().look(OsStr::new("file")).unwrap()
        else {
            panic!("a file is a file");
        };
        fs::write(root.join("a/b/new"), "next").unwrap();
        fs::rename(root.join("a/b/new"), root.join("a/b/file")).unwrap();
        let (_, after) = folder.read_at("a/b/file", 10).unwrap();
        assert_ne!(before, after, "an atomic replacement of the same size is another file");
    }
}
