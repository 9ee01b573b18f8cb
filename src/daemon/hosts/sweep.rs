//! Clearing up after a host that vanished: ends every process of its session, or waits until its runner has, closes the
//! recording, says how it ended. Blocks.

use crate::daemon::hosts::SessionPaths;
use crate::domain::session::{Exit, SessionId};
use crate::domain::timestamp::Timestamp;
use crate::host::files::{self, ExitFile, RunFile};
use crate::host::recording;
use crate::host::spec::StartSpec;
use crate::platform::process;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A swept session that still has processes after this is reported all the same.
const SWEEP_WITHIN: Duration = Duration::from_secs(10);

/// The run file at `path`, if there is one.
pub(super) fn read_run_file(path: &Path) -> Option<RunFile> {
    files::read(path).ok()
}

/// Whether the host of a run file lives. The lock counts as well as the pid: either alone is enough to keep hands
/// off.
pub(super) fn is_alive(run_dir: &Path, run: &RunFile) -> bool {
    let same_boot = run.boot == process::boot_id();
    (same_boot && process::is_alive(run.pid, run.start_time)) || files::is_locked(run_dir, run.session_id)
}

/// Ends every process of a session whose host is gone, closes the recording, and gives how it ended.
pub(super) fn sweep(run: &RunFile) -> ExitFile {
    end_tree(run);
    if let Ok(file) = files::read::<ExitFile>(&run.exit_path) {
        return file;
    }
    let at = close_recording(run.session_id, &run.recording_path);
    let file = ExitFile {
        version: files::FILE_VERSION,
        session_id: run.session_id,
        exit: Exit::Lost,
        at,
        lost_bytes: 0,
    };
    // So that a daemon that dies before the exit is kept says the same again.
    let _ = run.exit_path.parent().map(files::private_dir);
    let _ = files::write_atomically(&run.exit_path, &file);
    file
}

/// The same for a session whose run file went with a reboot. `None` if nothing says that it ever had a host.
pub(super) fn sweep_without_run_file(session_id: SessionId, paths: &SessionPaths) -> Option<ExitFile> {
    end_processes(session_id, None);
    if let Ok(file) = files::read::<ExitFile>(&paths.exit) {
        return Some(file);
    }
    paths.recording.exists().then(|| {
        let at = close_recording(session_id, &paths.recording);
        ExitFile { version: files::FILE_VERSION, session_id, exit: Exit::Lost, at, lost_bytes: 0 }
    })
}

/// Closes the recording of a host that vanished; gives the moment.
pub(super) fn close_recording(session: SessionId, path: &Path) -> Timestamp {
    let at = Timestamp::from(SystemTime::now());
    if let Err(e) = recording::repair(path, "lost: the session's host vanished", at) {
        tracing::warn!(%session, error = %e, "the recording could not be closed");
    }
    at
}

/// Ends what is left of the tree of a host that is gone. That of a runner is another user's: the runner ends it with the
/// host's connection, or the service manager does if the runner is gone too, and here it is only waited for.
pub(super) fn end_tree(run: &RunFile) {
    // Pids of before a boot name other processes now.
    let agent = run.agent_pid.filter(|_| run.boot == process::boot_id());
    if !run.by_runner {
        return end_processes(run.session_id, agent);
    }
    let (Some(pid), Some(start_time)) = (agent, run.agent_start_time) else { return };
    let deadline = Instant::now() + SWEEP_WITHIN;
    while process::is_alive(pid, start_time) {
        if Instant::now() >= deadline {
            tracing::error!(session = %run.session_id, pid, "the agent of a lost session has not been ended by its runner");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills until nobody is left: who is killed may have had a child in the meantime.
pub(super) fn end_processes(session: SessionId, leader: Option<i32>) {
    let mark = StartSpec::mark(session);
    let deadline = Instant::now() + SWEEP_WITHIN;
    loop {
        let left = process::marked(&mark, leader, process::own_uid());
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = process::kill(pid);
        }
        if Instant::now() >= deadline {
            tracing::error!(%session, "processes of a lost session cannot be ended");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
