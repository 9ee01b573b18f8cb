//! One run of a session at a time: a lock in a folder of root's, held for the runner's life. A runner that was killed
//! may have left processes behind until the service manager ends them, so it leaves its cgroup's name in the file.

use crate::domain::session::SessionId;
use crate::runner::trust;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of a lock file that are read, at most.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// A session's lock. Its file goes with it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

/// Why a session cannot be run now.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Its last run has not ended.
    #[error("the session is still running")]
    Running,
    /// The folder or the file fails.
    #[error("{0}")]
    Failed(String),
}

/// Takes a session's lock; waits for its last run to end until `deadline`.
///
/// # Errors
/// [`LockError`].
pub fn take(folder: &Path, session: SessionId, deadline: Instant) -> Result<Lock, LockError> {
    let failed = |e: io::Error| LockError::Failed(format!("{}: {e}", folder.display()));
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => trust::only_roots(folder).map_err(LockError::Failed)?,
    }
    let path = folder.join(format!("{session}.lock"));
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            // The file of a run that ended in between is nobody's any more.
            Ok(()) if !is_at(&file, &path) => continue,
            Ok(()) => {
                let mut before = String::new();
                (&file).take(FILE_BYTES_MAX).read_to_string(&mut before).map_err(failed)?;
                if !cgroups(&before).any(|cgroup| lives(&cgroup)) {
                    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
                    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
                    file.write_all(own.as_bytes()).map_err(failed)?;
                    return Ok(Lock { path, _file: file });
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if Instant::now() >= deadline {
            return Err(LockError::Running);
        }
        std::thread::sleep(PAUSE);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked, so nobody can hold another one of this name. If it stays, the next run takes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = || Some((file.metadata().ok()?, std::fs::symlink_metadata(path).ok()?));
    same().is_some_and(|(held, there)| (held.dev(), held.ino()) == (there.dev(), there.ino()))
}

/// The cgroups of its own in which a runner said that it lives, one for each hierarchy.
fn cgroups(text: &str) -> impl Iterator<Item = String> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    // Without a unit of its own it shares its cgroup with others, who say nothing about it.
    let own = paths
        .filter(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with("teleclaude-runner@")));
    own.map(str::to_owned)
}

fn lives(cgroup: &str) -> bool {
    ["", "/systemd", "/unified"].iter().any(|hierarchy| {
        let procs = format!("/sys/fs/cgroup{hierarchy}{cgroup}/cgroup.procs");
        let own = std::process::id().to_string();
        std::fs::read_to_string(procs).is_ok_and(|pids| pids.lines().any(|pid| pid != own))
    })
}

#[cfg(test)]
mod tests {
    use super::cgroups;

    #[test]
    fn only_a_cgroup_of_its_own_tells_of_a_runner() {
        let own = "/system.slice/system-teleclaude\\x2drunner.slice/teleclaude-runner@7-12-0.service";
        for (text, expected) in [
            (format!("0::{own}\n"), vec![own.to_owned()]),
            (format!("2:cpu:/\n1:name=systemd:{own}\n0::/\n"), vec![own.to_owned()]),
            ("0::/user.slice/session-2.scope\n".to_owned(), vec![]),
            ("0::/teleclaude-runner@1.service/below\n".to_owned(), vec![]),
            ("nonsense\n0:\n".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            assert_eq!(cgroups(&text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}
