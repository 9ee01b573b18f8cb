//! Processes as the two systems show them: which one a pid names, who descends from whom, which belong to a
//! session, and how to end them. No policy: who may be ended is decided by the callers.

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

/// One process, as far as a sweep needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its parent's pid.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session (a terminal's, not ours); 0 where the system does not say.
    pub sid: i32,
    /// The uid it acts with.
    pub uid: u32,
    /// When it started, in the system's own unit; only good for comparing.
    pub start_time: u64,
}

/// When the living process `pid` started, in a unit that is only good for comparing: pid and start time together
/// name one process for as long as the machine runs. None when there is no such process or it is a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    system::process(pid).map(|p| p.start_time)
}

/// Whether `pid` still names the process that started at `start_time`.
pub fn is_alive(pid: i32, start_time: u64) -> bool {
    self::start_time(pid) == Some(start_time)
}

/// A text that differs after each boot, so that pids of before are not believed.
pub fn boot_id() -> String {
    system::boot_id()
}

/// Every living descendant of `root`, children first; `root` itself is not among them.
pub fn descendants(root: i32) -> Vec<i32> {
    descendants_among(&system::processes(), &HashSet::from([root]))
}

/// Every living process of user `uid` that belongs to a session: `mark` (`NAME=value`) stands in the environment
/// it was started with, or it belongs to the terminal session or process group `leader`, or it descends from one
/// of those. macOS hides the environment of Apple's own programs (a shell, say): of those, only `leader` and
/// descent count.
pub fn marked(mark: &str, leader: Option<i32>, uid: u32) -> Vec<i32> {
    let all: Vec<Process> = system::processes().into_iter().filter(|p| p.uid == uid).collect();
    let mut found: HashSet<i32> = all
        .iter()
        .filter(|p| leader.is_some_and(|l| p.sid == l || p.group == l) || system::has_mark(p.pid, mark))
        .map(|p| p.pid)
        .collect();
    // Not who asks, nor what only descends through it: it may itself have been started inside a session.
    let own_pid = std::process::id().cast_signed();
    found.remove(&own_pid);
    let others: Vec<Process> = all.into_iter().filter(|p| p.pid != own_pid).collect();
    let below = descendants_among(&others, &found);
    found.extend(below);
    found.into_iter().collect()
}

/// Sends `signal` (a number, as the system counts) to one process. A process that is gone is no error.
///
/// # Errors
/// What the system says: not permitted, or no such signal.
pub fn send(pid: i32, signal: i32) -> io::Result<()> {
    // 0, -1 and other negative numbers mean groups, or everything: never that.
    if pid <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let signal = Signal::try_from(signal).map_err(io::Error::from)?;
    gone_is_fine(signal::kill(Pid::from_raw(pid), signal))
}

/// Sends `signal` to a process group. A group that is gone is no error.
///
/// # Errors
/// What the system says: not permitted, or no such signal.
pub fn send_group(group: i32, signal: i32) -> io::Result<()> {
    if group <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let signal = Signal::try_from(signal).map_err(io::Error::from)?;
    gone_is_fine(signal::killpg(Pid::from_raw(group), signal))
}

/// Ends one process at once (SIGKILL).
///
/// # Errors
/// As [`send`].
pub fn kill(pid: i32) -> io::Result<()> {
    send(pid, Signal::SIGKILL as i32)
}

/// Makes this process the parent of every orphan below it, so that nothing escapes by forking twice. Linux only;
/// elsewhere it does nothing.
pub fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// The uid this process acts with.
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// How many files this process may have open (the soft limit).
pub fn open_files_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// What a process used of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time, its own and the kernel's for it.
    pub cpu: Duration,
    /// Bytes of memory that it has; `None` where the system does not say.
    pub resident: Option<u64>,
}

/// What this process has used until now.
pub fn own() -> Used {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    let cpu = getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |used| {
        let micros = (used.user_time() + used.system_time()).num_microseconds();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    });
    Used { cpu, resident: system::resident() }
}

fn gone_is_fine(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The living descendants of `roots` among `all`, children before grandchildren.
fn descendants_among(all: &[Process], roots: &HashSet<i32>) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for p in all {
        children.entry(p.parent).or_default().push(p.pid);
    }
    let mut found = Vec::new();
    let mut seen = roots.clone();
    let mut next: Vec<i32> = roots.iter().copied().collect();
    while let Some(parent) = next.pop() {
        for &child in children.get(&parent).into_iter().flatten() {
            if seen.insert(child) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// The environment's entries in what macOS tells of a process: the number of arguments, the program's path, zero
/// bytes, the arguments, the environment; an empty entry ends it. Nothing if the area is cut off before.
#[cfg(any(target_os = "macos", test))]
fn procargs_environ(area: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (count, rest) = area.split_first_chunk().unwrap_or((&[0; 4], &[]));
    let arguments = usize::try_from(i32::from_ne_bytes(*count)).unwrap_or(0);
    let path_end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
    let begin = rest[path_end..].iter().position(|&b| b != 0).map_or(rest.len(), |zeroes| path_end + zeroes);
    rest[begin..].split(|&b| b == 0).skip(arguments).take_while(|entry| !entry.is_empty())
}

#[cfg(target_os = "linux")]
mod system {
    use super::Process;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    /// An environment longer than this is not looked through to its end.
    const ENVIRON_BYTES_MAX: u64 = 1 << 20;

    pub fn process(pid: i32) -> Option<Process> {
        let folder = format!("/proc/{pid}");
        let uid = fs::metadata(&folder).ok()?.uid();
        parse_stat(&fs::read_to_string(format!("{folder}/stat")).ok()?, uid)
    }

    pub fn processes() -> Vec<Process> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(process)
            .collect()
    }

    /// Reads one `/proc/PID/stat`; the name in brackets may itself hold brackets and blanks. None for zombies.
    pub fn parse_stat(text: &str, uid: u32) -> Option<Process> {
        let pid = text.split_once(' ')?.0.parse().ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X" | "x") {
            return None;
        }
        let number = |i: usize| fields.get(i).and_then(|f| f.parse::<i32>().ok());
        Some(Process {
            pid,
            parent: number(1)?,
            group: number(2)?,
            sid: number(3)?,
            uid,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    pub fn has_mark(pid: i32, mark: &str) -> bool {
        let Ok(file) = fs::File::open(format!("/proc/{pid}/environ")) else { return false };
        let mut environ = Vec::new();
        // An error after some bytes still leaves those bytes to look through.
        let _ = file.take(ENVIRON_BYTES_MAX).read_to_end(&mut environ);
        environ.split(|&b| b == 0).any(|entry| entry == mark.as_bytes())
    }

    /// Bytes of memory that this process has.
    pub fn resident() -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        kib.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
    }

    pub fn boot_id() -> String {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    }
}

#[cfg(target_os = "macos")]
mod system {
    use super::Process;

    pub fn process(pid: i32) -> Option<Process> {
        let size = size_of::<libc::proc_bsdinfo>();
        // SAFETY: proc_bsdinfo is plain numbers and byte arrays, for which all zeroes is a value.
        let mut info: libc::proc_bsdinfo = unsafe { std::mem::zeroed() };
        let length = i32::try_from(size).ok()?;
        // SAFETY: the pointer is valid for writes of `length` bytes, which is the size of what it points to.
        let written = unsafe {
            libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, std::ptr::from_mut(&mut info).cast(), length)
        };
        if written != length || info.pbi_status == libc::SZOMB {
            return None;
        }
        Some(Process {
            pid,
            parent: info.pbi_ppid.cast_signed(),
            group: info.pbi_pgid.cast_signed(),
            sid: nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).map_or(0, |s| s.as_raw()),
            uid: info.pbi_uid,
            start_time: info.pbi_start_tvsec.saturating_mul(1_000_000).saturating_add(info.pbi_start_tvusec),
        })
    }

    pub fn processes() -> Vec<Process> {
        let mut pids = vec![0i32; 16_384];
        let Ok(bytes) = i32::try_from(pids.len() * size_of::<i32>()) else { return Vec::new() };
        // SAFETY: the pointer is valid for writes of `bytes` bytes, which is the length of the vector.
        let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), bytes) };
        pids.truncate(usize::try_from(count).unwrap_or(0));
        pids.into_iter().filter(|&pid| pid > 0).filter_map(process).collect()
    }

    /// The kernel's own bound on arguments and environment together (`kern.argmax`).
    const ARGUMENT_BYTES_MAX: usize = 1 << 20;

    /// Reads `kern.procargs2`, which leaves the environment out for programs that the system protects.
    pub fn has_mark(pid: i32, mark: &str) -> bool {
        let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
        let mut area = vec![0_u8; ARGUMENT_BYTES_MAX];
        let mut length = area.len();
        // SAFETY: `name` has the three numbers that are announced, `area` has `length` bytes, and all live through
        // the call; nothing is set, so the last pointer may be null.
        let done = unsafe {
            libc::sysctl(
                name.as_mut_ptr(),
                3,
                area.as_mut_ptr().cast(),
                &raw mut length,
                std::ptr::null_mut(),
                0,
            )
        };
        area.truncate(length);
        done == 0 && super::procargs_environ(&area).any(|entry| entry == mark.as_bytes())
    }

    /// Start times are dates here, so pid and start time suffice.
    /// Bytes of memory that this process has.
    pub fn resident() -> Option<u64> {
        let size = size_of::<libc::proc_taskinfo>();
        // SAFETY: proc_taskinfo is plain numbers, for which all zeroes is a value.
        let mut info: libc::proc_taskinfo = unsafe { std::mem::zeroed() };
        let length = i32::try_from(size).ok()?;
        let pid = i32::try_from(std::process::id()).ok()?;
        // SAFETY: the pointer is valid for writes of `length` bytes, which is the size of what it points to.
        let written = unsafe {
            libc::proc_pidinfo(pid, libc::PROC_PIDTASKINFO, 0, std::ptr::from_mut(&mut info).cast(), length)
        };
        (written == length).then_some(info.pti_resident_size)
    }

    pub fn boot_id() -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_nobody_at_impossible_pids() {
        let me = std::process::id().cast_signed();
        let started = start_time(me).unwrap();
        assert!(is_alive(me, started));
        assert!(!is_alive(me, started + 1));
        assert_eq!(start_time(i32::MAX), None);
    }

    #[test]
    fn never_signals_everybody() {
        for pid in [1, 0, -1, i32::MIN] {
            assert!(send(pid, 0).is_err());
            assert!(kill(pid).is_err());
            assert!(send_group(pid, Signal::SIGTERM as i32).is_err());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let line = "42 (a) Z (b)) S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 1 2";
        let p = system::parse_stat(line, 5).unwrap();
        assert_eq!(p, Process { pid: 42, parent: 7, group: 42, sid: 41, uid: 5, start_time: 987 });
        assert_eq!(system::parse_stat(&line.replace(" S ", " Z "), 5), None);
    }

    #[test]
    fn the_environment_is_found_behind_the_arguments() {
        let area = |count: i32, rest: &[u8]| [&count.to_ne_bytes()[..], rest].concat();
        let table: [(Vec<u8>, &[&[u8]]); 7] = [
            (area(2, b"/bin/x\0\0\0x\0A=arg\0A=1\0B=2\0\0apple=3\0"), &[b"A=1", b"B=2"]),
            (area(1, b"/bin/x\0x\0A=1"), &[b"A=1"]),
            (area(0, b"/bin/x\0A=1\0"), &[b"A=1"]),
            (area(-1, b"/bin/x\0A=1\0"), &[b"A=1"]),
            (area(9, b"/bin/x\0x\0A=1\0"), &[]),
            (area(1, b"/bin/x"), &[]),
            (vec![1, 2], &[]),
        ];
        for (area, entries) in table {
            assert_eq!(procargs_environ(&area).collect::<Vec<_>>(), entries, "{area:?}");
        }
    }

    #[test]
    fn descent_goes_all_the_way_down() {
        let p = |pid, parent| Process { pid, parent, group: 0, sid: 0, uid: 0, start_time: 0 };
        let mut found =
            descendants_among(&[p(2, 1), p(3, 2), p(4, 3), p(5, 1), p(6, 9)], &HashSet::from([2]));
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }
}
