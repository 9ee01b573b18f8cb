//! The files by which a host is found again: lock, run file, socket, exit file. Names are derived from the session
//! id, short enough for a socket path. What is in a recording is elsewhere.

use crate::domain::session::{Exit, SessionId};
use crate::domain::timestamp::Timestamp;
use crate::host::spec::{Launch, StartSpec};
use crate::platform::process;
use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of run and exit files that this binary writes.
pub const FILE_VERSION: u32 = 1;

/// What a run file says: where a session's host is. Written before the agent starts; mode 0600.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// [`FILE_VERSION`] of who wrote it.
    pub version: u32,
    /// Whose host it is.
    pub session_id: SessionId,
    /// The host's pid …
    pub pid: i32,
    /// … its start time …
    pub start_time: u64,
    /// … and the boot in which both were true.
    pub boot: String,
    /// The protocol version it speaks.
    pub protocol: u32,
    /// The control socket.
    pub socket_path: PathBuf,
    /// The recording.
    pub recording_path: PathBuf,
    /// Where the exit will be.
    pub exit_path: PathBuf,
    /// The agent's private TMPDIR.
    pub tmp_dir: Option<PathBuf>,
    /// Who may claim the host shows this.
    pub lease: String,
    /// The agent's pid, which is also its terminal session and process group …
    pub agent_pid: Option<i32>,
    /// … and when it started, if it still ran when that was looked at.
    #[serde(default)]
    pub agent_start_time: Option<u64>,
    /// Whether the agent is a runner's to end, and not the daemon's.
    #[serde(default)]
    pub by_runner: bool,
}

/// What an exit file says. Written once; removed when the daemon has taken it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFile {
    /// [`FILE_VERSION`] of who wrote it.
    pub version: u32,
    /// Whose exit it is.
    pub session_id: SessionId,
    /// How it ended.
    pub exit: Exit,
    /// When.
    pub at: Timestamp,
    /// Bytes of output that are not in the recording.
    pub lost_bytes: u64,
}

/// The part of a session's id that file names are made of: its last 16 hexadecimal digits, all of them random.
pub fn short_name(session: SessionId) -> String {
    session.0.simple().to_string()[16..].to_owned()
}

/// Where a session's control socket is.
pub fn socket_path(run_dir: &Path, session: SessionId) -> PathBuf {
    run_dir.join(format!("{}.sock", short_name(session)))
}

/// Where a session's run file is.
pub fn run_path(run_dir: &Path, session: SessionId) -> PathBuf {
    run_dir.join(format!("{}.json", session.0))
}

/// Where a session's lock is: held by its host, for as long as it lives.
pub fn lock_path(run_dir: &Path, session: SessionId) -> PathBuf {
    run_dir.join(format!("{}.lock", short_name(session)))
}

/// Reads a run file or an exit file.
///
/// # Errors
/// What reading says; `InvalidData` if it is not such a file.
pub fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a file of ours"))
}

/// Replaces `path` by a 0600 file with these bytes, whole or not at all, also across a power cut.
///
/// # Errors
/// What the file system says; the old file is then still there.
pub fn write_atomically(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let tmp = half_written(path, std::process::id().cast_signed());
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp).and_then(
        |mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        },
    );
    if let Err(e) = written.and_then(|()| fs::rename(&tmp, path)) {
        let _ = fs::remove_file(&tmp);
        return Err(e);
    }
    // Not every file system can sync a folder; the file itself is safe.
    let _ = File::open(dir).and_then(|d| d.sync_all());
    Ok(())
}

/// What process `pid` leaves beside `path` if it dies in [`write_atomically`].
pub fn half_written(path: &Path, pid: i32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{pid}.tmp"));
    name.into()
}

/// Makes a folder (and what is missing above it) for this user alone.
///
/// # Errors
/// What the file system says.
pub fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether a host holds the lock of `session`.
pub fn is_locked(run_dir: &Path, session: SessionId) -> bool {
    let Ok(file) = File::open(lock_path(run_dir, session)) else { return false };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}

/// Removes what a host left in the run folder, and its exit file. Only for a host that is gone.
pub fn remove(run_dir: &Path, run: &RunFile) {
    let half = [&run_path(run_dir, run.session_id), &run.exit_path].map(|path| half_written(path, run.pid));
    for path in
        [&run.socket_path, &run.exit_path, &lock_path(run_dir, run.session_id)].into_iter().chain(&half)
    {
        let _ = fs::remove_file(path);
    }
    if let Some(tmp) = &run.tmp_dir {
        let _ = fs::remove_dir_all(tmp);
    }
    // Last: as long as the run file is there, an interrupted removal is repeated.
    let _ = fs::remove_file(run_path(run_dir, run.session_id));
}

/// Closes every file descriptor but the first three: a host keeps nothing of its starter's.
pub fn close_inherited() {
    let Ok(entries) = fs::read_dir("/dev/fd") else { return };
    let fds: Vec<i32> =
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(|&fd| fd > 2).collect();
    for fd in fds {
        // SAFETY: this runs first of all in the process, before anything here owns a descriptor above 2; the one
        // of the listing above is closed already, and closing it again is refused harmlessly.
        let _ = unsafe { libc::close(fd) };
    }
}

/// A host's hold on its session: lock, run file and socket.
#[derive(Debug)]
pub struct Run {
    _lock: Flock<File>,
    dir: PathBuf,
    file: RunFile,
    listener: UnixListener,
}

impl Run {
    /// Takes the session's lock, binds the socket and writes the run file.
    ///
    /// # Errors
    /// Another host lives, or what the file system says. Nothing is left then.
    pub fn claim(spec: &StartSpec) -> anyhow::Result<Self> {
        private_dir(&spec.run_dir).context("run folder")?;
        let lock = lock(&lock_path(&spec.run_dir, spec.session_id))?;
        let own_pid = std::process::id().cast_signed();
        let file = RunFile {
            version: FILE_VERSION,
            session_id: spec.session_id,
            pid: own_pid,
            start_time: process::start_time(own_pid).context("own start time")?,
            boot: process::boot_id(),
            protocol: crate::host::protocol::PROTOCOL_VERSION,
            socket_path: spec.socket_path.clone(),
            recording_path: spec.recording_path.clone(),
            exit_path: spec.exit_path.clone(),
            tmp_dir: spec.tmp_dir().cloned(),
            lease: spec.lease.clone(),
            agent_pid: None,
            agent_start_time: None,
            by_runner: matches!(spec.launch, Launch::Runner { .. }),
        };
        // The lock is ours, so whatever is at these names is of a host that is gone.
        let _ = fs::remove_file(&spec.socket_path);
        let _ = fs::remove_file(&spec.exit_path);
        let begun =
            UnixListener::bind(&spec.socket_path).context("binding the control socket").and_then(|l| {
                l.set_nonblocking(true)?;
                write_atomically(&run_path(&spec.run_dir, spec.session_id), &file)
                    .context("writing the run file")?;
                Ok(l)
            });
        match begun {
            Ok(listener) => Ok(Self { _lock: lock, dir: spec.run_dir.clone(), file, listener }),
            Err(e) => {
                remove(&spec.run_dir, &file);
                Err(e)
            }
        }
    }

    /// The bound socket, nonblocking.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Writes down which process the agent is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn agent_started(&mut self, pid: i32) -> io::Result<()> {
        self.file.agent_pid = Some(pid);
        self.file.agent_start_time = process::start_time(pid);
        write_atomically(&run_path(&self.dir, self.file.session_id), &self.file)
    }

    /// Removes every file of this run; the lock goes with the process.
    pub fn remove(&self) {
        remove(&self.dir, &self.file);
    }
}

/// Takes a lock whose file may be removed by its former holder at any moment, and that [`is_locked`] holds for a
/// moment when it looks.
fn lock(path: &Path) -> anyhow::Result<Flock<File>> {
    for _ in 0..20 {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if let Ok(held) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            let same = fs::metadata(path).is_ok_and(|m| held.metadata().is_ok_and(|h| h.ino() == m.ino()));
            if same {
                return Ok(held);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("the session has a living host already")
}
