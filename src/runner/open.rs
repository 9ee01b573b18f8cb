//! One file that an agent wrote about its session, opened as its owner and handed out for reading. Every component of
//! the path below the home is opened by itself and must be no link: `openat` for each, which is the same on both
//! systems, in place of Linux' `openat2`.

use crate::runner::account::Account;
use crate::runner::child::{self, step};
use crate::runner::client::send_with;
use crate::runner::judge::Transcripts;
use crate::runner::message::Which;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// For all of it.
const OPENING: Duration = Duration::from_secs(10);
/// The largest file that is opened.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// How deep a name is looked for.
const LEVELS_MAX: usize = 8;
/// How many entries are looked at.
const ENTRIES_MAX: usize = 50_000;

/// A file that was opened.
#[derive(Debug)]
pub struct Opened {
    /// For reading.
    pub file: OwnedFd,
    /// Its path below the agent's folder.
    pub path: String,
    /// Its size in bytes at that moment.
    pub size: u64,
}

/// Opens it.
///
/// # Errors
/// It is not there, or not such a file.
pub fn open(transcripts: &Transcripts, account: &Account) -> Result<Opened, String> {
    let uid = account.uid;
    let (told, file) = child::ask(account, OPENING, |mut tell| {
        let path = match &transcripts.which {
            Which::Path(path) => path.clone(),
            Which::NameContains(part) => newest(transcripts, part)?,
        };
        let file = walk(transcripts, &path, uid)?;
        let sent = send_with(tell, path.as_bytes(), Some(file.as_fd())).map_err(|e| step("answer", e))?;
        tell.write_all(&path.as_bytes()[sent..]).map_err(|e| step("answer", e))
    })?;
    let file = file.ok_or("the file did not arrive")?;
    let path = String::from_utf8(told).map_err(|e| step("path", e))?;
    // The child was the user and could be anything by now: what it sent is looked at again.
    let size = regular(&fstat(&file).map_err(|e| step(&path, e))?, uid).map_err(|e| step(&path, e))?;
    Ok(Opened { file, path, size })
}

/// Opens the file, component by component.
fn walk(transcripts: &Transcripts, path: &str, uid: u32) -> Result<OwnedFd, String> {
    let folder = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let shown = |error| match error {
        Errno::ELOOP | Errno::ENOTDIR => step(path, "a link, or no folder, is on the way"),
        other => step(path, other),
    };
    let mut at = OwnedFd::from(File::open(&transcripts.home).map_err(|e| step("home", e))?);
    let mut parts = transcripts.below.iter().copied().chain(path.split('/')).peekable();
    while let Some(part) = parts.next() {
        if matches!(part, "" | "." | "..") {
            return Err(step(path, "leads out"));
        }
        let flags = if parts.peek().is_some() { folder } else { file };
        at = openat(&at, part, flags, Mode::empty()).map_err(shown)?;
    }
    regular(&fstat(&at).map_err(shown)?, uid).map_err(|e| step(path, e))?;
    Ok(at)
}

/// The size of a regular file of this user's that is not too large.
fn regular(found: &FileStat, uid: u32) -> Result<u64, &'static str> {
    let size = u64::try_from(found.st_size).unwrap_or(u64::MAX);
    if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        Err("is not a regular file")
    } else if found.st_uid != uid {
        Err("belongs to somebody else")
    } else if size > FILE_BYTES_MAX {
        Err("is larger than 1 GiB")
    } else {
        Ok(size)
    }
}

/// The path of the newest regular file whose name contains `part`. Only looked for here: what is opened is opened by
/// [`walk`].
fn newest(transcripts: &Transcripts, part: &str) -> Result<String, String> {
    let root = transcripts.below.iter().fold(transcripts.home.clone(), |path, below| path.join(below));
    let mut folders = vec![(root.clone(), 1)];
    let (mut looked_at, mut found): (usize, Option<(SystemTime, PathBuf)>) = (0, None);
    while let Some((folder, level)) = folders.pop() {
        // What cannot be read has nothing for us.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            looked_at += 1;
            if looked_at > ENTRIES_MAX {
                return Err(format!("more than {ENTRIES_MAX} entries below {}", root.display()));
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && level < LEVELS_MAX {
                folders.push((entry.path(), level + 1));
            } else if kind.is_file() && entry.file_name().to_str().is_some_and(|name| name.contains(part)) {
                let at =
                    entry.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                if found.as_ref().is_none_or(|(before, _)| at > *before) {
                    found = Some((at, entry.path()));
                }
            }
        }
    }
    let (_, path) = found.ok_or_else(|| format!("no file with {part:?} in its name"))?;
    let below = path.strip_prefix(&root).ok().and_then(Path::to_str);
    below.map(str::to_owned).ok_or_else(|| "the file's name is not UTF-8".to_owned())
}
