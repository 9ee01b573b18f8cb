//! Where connections come from: a socket inherited from the service manager, or one that we bind; the accept loop;
//! and the stop. What a connection says is not here.

use crate::daemon::connection;
use crate::daemon::front::Front;
use crate::daemon::http::Mouth;
use crate::daemon::limits::{Bucket, Entered, Gate};
use crate::daemon::peer;
use crate::domain::caller::{Peer, Via};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon holds the lock, or somebody listens there.
    #[error("{path}: {who} is listening there")]
    Busy {
        /// Where.
        path: PathBuf,
        /// Who, as far as is known.
        who: String,
    },
    /// Something is in the way that is not a socket, or not ours.
    #[error("{path}: {problem}")]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
        /// Why it is not simply replaced.
        problem: &'static str,
    },
    /// Somebody else could put their socket in place of ours.
    #[error("{path}: {problem}; others could put their own socket there")]
    UnsafeFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What the service manager handed over is not one listening Unix socket.
    #[error("what the service manager handed over cannot be served: {0}")]
    HandedOver(String),
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// What it was about.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
}

/// A socket to listen on, and the lock that makes it ours for life.
#[derive(Debug)]
pub struct Socket {
    listener: std::os::unix::net::UnixListener,
    _lock: Option<File>,
}

impl Socket {
    /// Where it is bound, if that is a path.
    pub fn path(&self) -> Option<PathBuf> {
        self.listener.local_addr().ok()?.as_pathname().map(Path::to_owned)
    }
}

/// The socket that the service manager (systemd, launchd) handed over, if it did. `names` is `LISTEN_FDNAMES`, which
/// systemd sets from `FileDescriptorName=`; names only help people to find what is wrong.
///
/// Asked once, before any thread is started: systemd's announcement is taken out of the environment. One that was
/// made to another process (`LISTEN_PID`) does not count.
///
/// # Errors
/// [`ListenError::HandedOver`] if it is more than one socket, or no listening Unix stream socket.
pub fn inherited(names: Option<&str>) -> Result<Option<Socket>, ListenError> {
    let Some(listener) = handed_over(names.unwrap_or_default())? else { return Ok(None) };
    // What we start must not hold our socket open.
    socket2::SockRef::from(&listener)
        .set_cloexec(true)
        .map_err(|error| ListenError::HandedOver(error.to_string()))?;
    Ok(Some(Socket { listener, _lock: None }))
}

#[cfg(target_os = "macos")]
fn handed_over(_names: &str) -> Result<Option<std::os::unix::net::UnixListener>, ListenError> {
    let mut all = crate::platform::launchd::listeners()
        .map_err(|error| ListenError::HandedOver(format!("launchd: {error}")))?;
    if all.len() > 1 {
        let count = all.len();
        return Err(ListenError::HandedOver(format!("{count} sockets came from launchd, and one is served")));
    }
    Ok(all.pop())
}

#[cfg(not(target_os = "macos"))]
fn handed_over(names: &str) -> Result<Option<std::os::unix::net::UnixListener>, ListenError> {
    let refuse = |why: String| Err(ListenError::HandedOver(why));
    let mut handed = listenfd::ListenFd::from_env();
    match handed.len() {
        0 => return Ok(None),
        1 => {}
        count => {
            let names = if names.is_empty() { String::new() } else { format!(" ({names})") };
            return refuse(format!(
                "it is {count} descriptors{names}, and one socket is served: leave one ListenStream= and one socket unit"
            ));
        }
    }
    let name = if names.is_empty() { "the descriptor" } else { names };
    let listener = match handed.take_unix_listener(0) {
        Ok(Some(listener)) => listener,
        Ok(None) => return Ok(None),
        Err(error) => return refuse(format!("{name}: {error}; ListenStream= must be a path")),
    };
    match socket2::SockRef::from(&listener).is_listener() {
        Ok(true) => Ok(Some(listener)),
        Ok(false) => refuse(format!("{name}: nobody can connect to it; the socket unit must have Accept=no")),
        Err(error) => refuse(format!("{name}: {error}")),
    }
}

/// Whether two paths lead to the same socket although they are written differently: `/var/run` is often a link.
pub fn is_same_place(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let folder = fs::canonicalize(path.parent()?).ok()?;
        Some(folder.join(path.file_name()?))
    };
    one == other || (real(one).is_some() && real(one) == real(other))
}

/// Binds a socket at `path` with permission bits `mode`: 0o666 for everybody, 0o600 for one user.
///
/// A missing folder is made, 0700, for a socket of mode 0o600 only. The file is never removed on exit: a successor may
/// own it by then. The lock file beside it says who is alive.
///
/// # Errors
/// [`ListenError`].
pub fn bind(path: &Path, mode: u32) -> Result<Socket, ListenError> {
    let io_at = |path: &Path| {
        let path = path.to_owned();
        move |error| ListenError::Io { path, error }
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    if mode & 0o077 == 0 && !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_at(folder))?;
    }
    check_folder(folder)?;
    let lock_path = lock_path(path);
    let mut lock = OpenOptions::new()
        .read(true)
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&lock_path)
        .map_err(io_at(&lock_path))?;
    if lock.metadata().map_err(io_at(&lock_path))?.uid() != nix::unistd::geteuid().as_raw() {
        return Err(ListenError::InTheWay {
            path: lock_path,
            problem: "the lock file belongs to somebody else",
        });
    }
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = lock.take(32).read_to_string(&mut text);
            let who = match text.trim() {
                "" => "another daemon".to_owned(),
                pid => format!("the daemon with pid {pid}"),
            };
            return Err(ListenError::Busy { path: path.to_owned(), who });
        }
        Err(TryLockError::Error(error)) => return Err(ListenError::Io { path: lock_path, error }),
    }
    // Who has it is for people; the lock itself does not depend on the text.
    let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    remove_stale(path)?;
    let socket =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).map_err(io_at(path))?;
    socket.bind(&socket2::SockAddr::unix(path).map_err(io_at(path))?).map_err(io_at(path))?;
    // Nobody can connect before `listen`, so there is no moment at which the mode is wrong.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_at(path))?;
    socket.listen(BACKLOG).map_err(io_at(path))?;
    Ok(Socket { listener: std::os::fd::OwnedFd::from(socket).into(), _lock: Some(lock) })
}

/// The lock file that goes with a socket.
pub fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Refuses a folder in which somebody else could replace the socket: it must belong to root or to us, and be writable
/// by its owner alone, or be sticky (then only the owner of a file may replace it).
fn check_folder(folder: &Path) -> Result<(), ListenError> {
    let refuse = |problem| Err(ListenError::UnsafeFolder { path: folder.to_owned(), problem });
    let about = fs::metadata(folder).map_err(|error| ListenError::Io { path: folder.to_owned(), error })?;
    if !about.is_dir() {
        return Err(ListenError::InTheWay { path: folder.to_owned(), problem: "not a folder" });
    }
    if about.uid() != 0 && about.uid() != nix::unistd::geteuid().as_raw() {
        return refuse("the folder belongs to neither root nor this user");
    }
    if about.mode() & 0o022 != 0 && about.mode() & 0o1000 == 0 {
        return refuse("the folder is writable by others and not sticky");
    }
    Ok(())
}

/// Removes a socket on which nobody listens.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let io_at = |error| ListenError::Io { path: path.to_owned(), error };
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_at(error)),
    };
    if !about.file_type().is_socket() {
        return Err(ListenError::InTheWay { path: path.to_owned(), problem: "not a socket" });
    }
    let probe = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).map_err(io_at)?;
    probe.set_nonblocking(true).map_err(io_at)?;
    let busy = || ListenError::Busy { path: path.to_owned(), who: "another process".to_owned() };
    match probe.connect(&socket2::SockAddr::unix(path).map_err(io_at)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A full backlog (would block) is somebody alive too.
        Ok(()) => return Err(busy()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(busy()),
        Err(error) => return Err(io_at(error)),
    }
    fs::remove_file(path).map_err(io_at)
}

/// Accepts and serves until `stop` fires, then stops as the limits say: no new connections or requests, those in
/// flight go on for `limits.drain`, are then cancelled, and all is over after `limits.stop`.
///
/// # Errors
/// If the socket cannot be used by the runtime.
pub async fn serve(socket: Socket, front: Arc<Front>, stop: CancellationToken) -> io::Result<()> {
    socket.listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(socket.listener)?;
    let connections = TaskTracker::new();
    let gate: Arc<Gate> = Arc::default();
    let mouth = Mouth::new(&front);
    let mut pause = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                pause = Duration::ZERO;
                if let Some((peer, places)) = admit(&front, &gate, &stream) {
                    let (front, gate, mouth) = (Arc::clone(&front), Arc::clone(&gate), mouth.clone());
                    connections.spawn(async move {
                        settle(front, gate, mouth, stream, peer).await;
                        drop(places);
                    });
                }
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                // Out of descriptors or memory: what is open will end some time. Never spin.
                if pause.is_zero() {
                    tracing::warn!(%error, "cannot accept connections for now");
                }
                pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
    drop(listener);
    let limits = front.backend.limits();
    connections.close();
    let began = tokio::time::Instant::now();
    front.drain.cancel();
    if tokio::time::timeout_at(began + limits.drain, connections.wait()).await.is_err() {
        front.hard.cancel();
        let _cut_off = tokio::time::timeout_at(began + limits.stop, connections.wait()).await;
    }
    front.hard.cancel();
    Ok(())
}

/// Counts an open connection.
struct Open(Arc<Front>);

impl Open {
    fn new(front: &Arc<Front>, most: usize) -> Option<Self> {
        let open = Self(Arc::clone(front));
        let before = front.connections.fetch_add(1, Ordering::AcqRel);
        (before < most).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Asks who it is and takes the places; `None` closes the connection.
fn admit(front: &Arc<Front>, gate: &Arc<Gate>, stream: &UnixStream) -> Option<(Peer, (Open, Entered))> {
    let limits = front.backend.limits();
    let open = Open::new(front, limits.connections)?;
    let peer = match peer::of_socket(stream.as_fd()) {
        Ok(peer) => peer,
        Err(peer::PeerError::Gone) => return None,
        Err(error @ peer::PeerError::Unknown(_)) => {
            tracing::error!(%error, "a connection was refused");
            return None;
        }
    };
    let own = gate.enter(Bucket::Uid(peer.uid), limits.connections_per_uid)?;
    Some((peer, (open, own)))
}

/// Learns the peer's name, counts it with the unmapped if it is that, and serves it.
async fn settle(front: Arc<Front>, gate: Arc<Gate>, mouth: Mouth, stream: UnixStream, mut peer: Peer) {
    if !peer::is_nobody(peer.uid) {
        front.names.user_name(peer.uid).await;
    }
    if front.backend.turns_away(&peer) {
        return;
    }
    front.backend.look_at(&mut peer, stream.as_fd());
    let mapped = front.caller(&peer, Via::Mcp, None).person.is_some();
    let _shared = if mapped {
        None
    } else {
        match gate.enter(Bucket::Unmapped, front.backend.limits().connections_per_uid) {
            Some(place) => Some(place),
            None => return,
        }
    };
    connection::serve(front, mouth, stream, Arc::new(peer)).await;
}

#[cfg(test)]
mod tests {
    use super::{ListenError, bind, lock_path};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_socket_is_bound_with_its_mode_and_a_second_daemon_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.sock");
        let socket = bind(&path, 0o666).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(fs::metadata(lock_path(&path)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(bind(&path, 0o666), Err(ListenError::Busy { .. })));
        drop(socket);
        assert!(path.exists(), "never removed on exit");
        let socket = bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
    }

    #[test]
    fn a_living_listener_without_the_lock_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.sock");
        let alive = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path, 0o666), Err(ListenError::Busy { .. })));
        drop(alive);
        assert!(bind(&path, 0o666).is_ok());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path, 0o666), Err(ListenError::InTheWay { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_unless_it_is_sticky() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.sock");
        for (mode, safe) in [(0o777, false), (0o770, false), (0o755, true), (0o1777, true), (0o700, true)] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(bind(&path, 0o666).is_ok(), safe, "{mode:o}");
        }
    }

    #[test]
    fn the_folder_of_a_private_socket_is_made_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run").join("t.sock");
        assert!(matches!(bind(&path, 0o666), Err(ListenError::Io { .. })));
        let _socket = bind(&path, 0o600).unwrap();
        let made = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, 0o700);
    }
}
