//! Who is at the other end: the only file that asks the kernel and NSS. Who that is to us is decided elsewhere.

use crate::domain::caller::Peer;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Why nothing is known of a peer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It closed the connection before it could be asked about: drop the connection.
    #[error("the peer is gone")]
    Gone,
    /// The system cannot say who it is: nobody can be served.
    #[error("the system does not tell who the peer is: {0}")]
    Unknown(io::Error),
}

fn classify(error: io::Error) -> PeerError {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOTCONN) => PeerError::Gone,
        _ => PeerError::Unknown(error),
    }
}

/// Asks the kernel who connected. Groups and pid stay empty where the system does not tell them.
///
/// # Errors
/// [`PeerError::Gone`] if the peer has left; [`PeerError::Unknown`] if the system cannot tell the uid.
pub fn of_socket(socket: BorrowedFd<'_>) -> Result<Peer, PeerError> {
    #[cfg(target_os = "linux")]
    return linux::of_socket(socket);
    #[cfg(target_os = "macos")]
    return macos::of_socket(socket);
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{AsRawFd, BorrowedFd, Peer, PeerError, classify, io};

    /// More groups than the kernel lets a process have (NGROUPS_MAX is 65,536).
    const GROUPS_MAX: usize = 65_537;

    pub(super) fn of_socket(socket: BorrowedFd<'_>) -> Result<Peer, PeerError> {
        let mut cred = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: `cred` and `len` live through the call and `len` is the size of `cred`.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut cred).cast(),
                &raw mut len,
            )
        };
        if done != 0 {
            return Err(classify(io::Error::last_os_error()));
        }
        let groups = match groups(socket) {
            Ok(groups) => groups,
            // An old kernel, or a sandbox: carry on without the groups.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Vec::new(),
            Err(error) => return Err(classify(error)),
        };
        Ok(Peer {
            uid: cred.uid,
            gid: cred.gid,
            groups,
            pid: (cred.pid > 0).then_some(cred.pid),
            runner: None,
        })
    }

    fn groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
        let mut room = 64_usize;
        loop {
            let mut groups = vec![0_u32; room];
            let mut len = (room * size_of::<u32>()) as libc::socklen_t;
            // SAFETY: `groups` has `len` bytes and both live through the call.
            let done = unsafe {
                libc::getsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_PEERGROUPS,
                    groups.as_mut_ptr().cast(),
                    &raw mut len,
                )
            };
            let got = len as usize / size_of::<u32>();
            if done == 0 {
                groups.truncate(got);
                return Ok(groups);
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ERANGE) || room >= GROUPS_MAX {
                return Err(error);
            }
            room = got.max(room * 2).min(GROUPS_MAX);
        }
    }
}

#[cfg(target_os = "macos")]
mod macos {
    use super::{AsRawFd, BorrowedFd, Peer, PeerError, classify, io};

    pub(super) fn of_socket(socket: BorrowedFd<'_>) -> Result<Peer, PeerError> {
        // SAFETY: xucred is plain data; all zeroes is a valid value.
        let mut cred: libc::xucred = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::xucred>() as libc::socklen_t;
        // SAFETY: `cred` and `len` live through the call and `len` is the size of `cred`.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_LOCAL,
                libc::LOCAL_PEERCRED,
                (&raw mut cred).cast(),
                &raw mut len,
            )
        };
        if done != 0 {
            return Err(classify(io::Error::last_os_error()));
        }
        if cred.cr_version != libc::XUCRED_VERSION {
            return Err(PeerError::Unknown(io::Error::from(io::ErrorKind::Unsupported)));
        }
        let count = usize::try_from(cred.cr_ngroups).unwrap_or(0).min(cred.cr_groups.len());
        let groups = cred.cr_groups[..count].to_vec();
        let mut pid: libc::pid_t = 0;
        let mut len = size_of::<libc::pid_t>() as libc::socklen_t;
        // SAFETY: `pid` and `len` live through the call and `len` is the size of `pid`.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_LOCAL,
                libc::LOCAL_PEERPID,
                (&raw mut pid).cast(),
                &raw mut len,
            )
        };
        Ok(Peer {
            uid: cred.cr_uid,
            gid: groups.first().copied().unwrap_or(u32::MAX),
            groups,
            pid: (done == 0 && pid > 0).then_some(pid),
            runner: None,
        })
    }
}

/// Whether `uid` stands for somebody of another user namespace and so never for a person: the overflow uid or -1.
pub fn is_nobody(uid: u32) -> bool {
    static OVERFLOW: LazyLock<Option<u32>> = LazyLock::new(|| {
        if cfg!(target_os = "linux") {
            let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
            Some(text.ok().and_then(|t| t.trim().parse().ok()).unwrap_or(65_534))
        } else {
            None
        }
    });
    uid == u32::MAX || *OVERFLOW == Some(uid)
}

/// The runner's control group that the process at the other end lies in, if it lies in one. `pid` is the kernel's word
/// of who connected; it may have passed to another process since, and counts only where the kernel has nothing better.
/// Whoever is gone lies nowhere.
pub fn runner_at(socket: BorrowedFd<'_>, pid: Option<i32>) -> Option<String> {
    #[cfg(target_os = "linux")]
    match nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerPidfd) {
        Ok(process) => {
            let alive = || {
                let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()));
                pid_of_pidfd(&info.ok()?)
            };
            let pid = alive()?;
            let group = runner_of(pid)?;
            // It still lives, so the number was its own all the while.
            return (alive() == Some(pid)).then_some(group);
        }
        // An old kernel.
        Err(nix::errno::Errno::ENOPROTOOPT) => {}
        Err(_) => return None,
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
    runner_of(pid?)
}

/// From `/proc/self/fdinfo/FD` of a pidfd: the process, as long as it lives.
#[cfg(any(target_os = "linux", test))]
fn pid_of_pidfd(text: &str) -> Option<i32> {
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok().filter(|pid| *pid > 0)
}

/// The runner's control group that process `pid` lies in, if it lies in one. Only Linux has them.
pub fn runner_of(pid: i32) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    runner_group(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?).map(str::to_owned)
}

/// From `/proc/PID/cgroup` (`hierarchy:controllers:path`): the path down to the instance of the runner, which is the
/// same for everything below it.
fn runner_group(text: &str) -> Option<&str> {
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).find_map(|path| {
        let begin = path.find("/teleclaude-runner@")? + 1;
        let end = path[begin..].find('/').map_or(path.len(), |length| begin + length);
        path[begin..end].ends_with(".service").then(|| &path[..end])
    })
}

/// How long an answer of NSS is believed.
const FRESH: Duration = Duration::from_secs(60);
/// Names that are remembered: twice the connections there can be.
const REMEMBERED: usize = 8_192;
/// Lookups that may run at a time: a directory server that hangs takes these and no more.
const LOOKUPS: usize = 4;
/// How long one lookup is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the system knows of an OS user besides the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The home folder.
    pub home: String,
    /// The login shell, absolute.
    pub shell: String,
}

/// Names of OS users and groups, looked up through NSS on blocking threads and remembered.
///
/// [`user_name`](Self::user_name) is asked when a connection begins; [`known_user`](Self::known_user) then answers
/// without I/O for as long as that connection lives.
#[derive(Debug)]
pub struct Names {
    users: Mutex<HashMap<u32, Remembered>>,
    lookups: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Remembered {
    name: Option<String>,
    at: Instant,
    /// One lookup at a time for one uid.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { users: Mutex::default(), lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Names {
    /// The name of an OS user; `None` if the system knows none, or does not say in time (the last known then).
    pub async fn user_name(&self, uid: u32) -> Option<String> {
        let turn = {
            let mut users = self.users();
            match users.get(&uid) {
                Some(known) if known.at.elapsed() < FRESH => return known.name.clone(),
                Some(known) => Arc::clone(&known.turn),
                None => {
                    make_room(&mut users);
                    let turn = Arc::new(tokio::sync::Mutex::new(()));
                    let stale = Instant::now().checked_sub(FRESH * 2).unwrap_or_else(Instant::now);
                    users.insert(uid, Remembered { name: None, at: stale, turn: Arc::clone(&turn) });
                    turn
                }
            }
        };
        let _turn = turn.lock_owned().await;
        if let Some(known) = self.users().get(&uid)
            && known.at.elapsed() < FRESH
        {
            return known.name.clone();
        }
        let looked_up = self
            .lookup(move || {
                users::get_user_by_uid(uid).and_then(|user| user.name().to_str().map(str::to_owned))
            })
            .await;
        let mut users = self.users();
        let known = users.get_mut(&uid)?;
        if let Some(name) = looked_up {
            known.name = name;
            known.at = Instant::now();
        }
        known.name.clone()
    }

    /// The name that was last found, without looking again.
    pub fn known_user(&self, uid: u32) -> Option<String> {
        self.users().get(&uid).and_then(|known| known.name.clone())
    }

    /// The uid of an OS user. Not remembered: asked when the config is read, not when somebody connects.
    pub async fn uid(&self, name: String) -> Option<u32> {
        self.lookup(move || users::get_user_by_name(&name).map(|user| user.uid())).await.flatten()
    }

    /// An OS user's account. Not remembered: asked when a session starts.
    pub async fn account(&self, uid: u32) -> Option<Account> {
        use users::os::unix::UserExt as _;
        let found = self.lookup(move || users::get_user_by_uid(uid)).await.flatten()?;
        Some(Account {
            name: found.name().to_str()?.to_owned(),
            home: found.home_dir().to_str()?.to_owned(),
            shell: found.shell().to_str().filter(|s| s.starts_with('/')).unwrap_or("/bin/sh").to_owned(),
        })
    }

    /// The groups of an OS user, the primary one first. Not remembered; the kernel's word is better where there is one.
    pub async fn groups(&self, uid: u32) -> Vec<u32> {
        let found = self.lookup(move || {
            let user = users::get_user_by_uid(uid)?;
            let groups = users::get_user_groups(user.name(), user.primary_group_id())?;
            let others = groups.iter().map(users::Group::gid).filter(|gid| *gid != user.primary_group_id());
            Some(std::iter::once(user.primary_group_id()).chain(others).collect())
        });
        found.await.flatten().unwrap_or_default()
    }

    /// The gid of an OS group. Not remembered either.
    pub async fn gid(&self, name: String) -> Option<u32> {
        self.lookup(move || users::get_group_by_name(&name).map(|group| group.gid())).await.flatten()
    }

    /// `None` if the directory does not answer in time. A hanging lookup keeps its place until it ends.
    async fn lookup<T: Send + 'static>(&self, ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let answer = async {
            let place = Arc::clone(&self.lookups).acquire_owned().await.ok()?;
            tokio::task::spawn_blocking(move || {
                let answer = ask();
                drop(place);
                answer
            })
            .await
            .ok()
        };
        tokio::time::timeout(PATIENCE, answer).await.ok().flatten()
    }

    fn users(&self) -> MutexGuard<'_, HashMap<u32, Remembered>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the oldest of those without a name first: a flood of nameless uids pushes out nobody who has one.
fn make_room(users: &mut HashMap<u32, Remembered>) {
    if users.len() < REMEMBERED {
        return;
    }
    let oldest = users.iter().min_by_key(|(_, known)| (known.name.is_some(), known.at)).map(|(uid, _)| *uid);
    if let Some(uid) = oldest {
        users.remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Names, Remembered, is_nobody, make_room, of_socket, pid_of_pidfd, runner_at, runner_group, runner_of,
    };
    use std::collections::HashMap;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Instant;

    #[test]
    fn the_kernel_names_ourselves_at_the_other_end() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = of_socket(one.as_fd()).unwrap();
        assert_eq!(peer.uid, users::get_current_uid());
        assert_eq!(peer.gid, users::get_effective_gid());
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
    }

    #[test]
    fn minus_one_is_nobody_and_root_is_somebody() {
        assert!(is_nobody(u32::MAX));
        assert!(!is_nobody(0));
        assert_eq!(is_nobody(65_534), cfg!(target_os = "linux"));
    }

    #[test]
    fn a_runners_group_is_found_in_both_layouts_and_below_it() {
        let slice = "/system.slice/system-teleclaude\\x2drunner.slice";
        let unit = format!("{slice}/teleclaude-runner@3-1204-995.service");
        let table = [
            (format!("0::{unit}\n"), Some(unit.as_str())),
            (format!("0::{unit}/build/x\n"), Some(&unit)),
            (format!("12:pids:/x\n5:devices:/\n1:name=systemd:{unit}\n0::/\n"), Some(&unit)),
            (format!("1:name=systemd:/lxc{unit}\n"), Some(&format!("/lxc{unit}"))),
            (format!("0::{slice}\n"), None),
            (format!("0::{slice}/teleclaude-runner@3\n"), None),
            ("0::/system.slice/teleclaude-runner.service\n".to_owned(), None),
            ("0::/system.slice/my-teleclaude-runner@1.service\n".to_owned(), None),
            ("0::/user.slice/user-1000.slice/session-4.scope\n".to_owned(), None),
            ("0::/system.slice/teleclaude.service\n0::\n:::\n\nteleclaude-runner@1.service".to_owned(), None),
            (String::new(), None),
        ];
        for (text, group) in table {
            assert_eq!(runner_group(&text), group, "{text:?}");
        }
        assert_eq!(runner_of(std::process::id().cast_signed()), None, "this test is nobody's agent");
        assert_eq!(runner_of(i32::MAX), None);
    }

    #[test]
    fn a_pidfd_names_the_living_only() {
        let info = |pid: &str| format!("pos:\t0\nflags:\t02000002\nPid:\t{pid}\nNSpid:\t7\n");
        for (pid, expected) in [("1204", Some(1_204)), ("-1", None), ("0", None), ("", None)] {
            assert_eq!(pid_of_pidfd(&info(pid)), expected, "{pid}");
        }
        assert_eq!(pid_of_pidfd("NSpid:\t7\n"), None);
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(runner_at(one.as_fd(), None), None, "this test is nobody's agent");
    }

    #[tokio::test]
    async fn names_are_found_and_then_known() {
        let names = Names::default();
        assert_eq!(names.known_user(0), None);
        assert_eq!(names.user_name(0).await.as_deref(), Some("root"));
        assert_eq!(names.known_user(0).as_deref(), Some("root"));
        assert_eq!(names.user_name(4_000_000_001).await, None);
        assert_eq!(names.uid("root".to_owned()).await, Some(0));
    }

    #[test]
    fn nameless_uids_push_out_nobody_who_has_a_name() {
        let remember = |name: Option<&str>| Remembered {
            name: name.map(str::to_owned),
            at: Instant::now(),
            turn: Arc::default(),
        };
        let mut users = HashMap::from([(1, remember(Some("ann")))]);
        for uid in 2..8_400 {
            make_room(&mut users);
            users.insert(uid, remember(None));
        }
        assert_eq!(users.len(), super::REMEMBERED);
        assert!(users.contains_key(&1));
    }
}
