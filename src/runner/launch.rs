//! From a plan to a running agent: what is done between fork and exec, as the agent's user, and how the runner learns
//! whether it worked.

use crate::agent::wiring;
use crate::runner::account::Account;
use crate::runner::child::{self, step};
use crate::runner::installed::write_new;
use crate::runner::judge::Launch;
use crate::runner::{sys, tree};
use nix::unistd::{AccessFlags, Pid, access};
use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// From the fork to the program.
const UNTIL_EXEC: Duration = Duration::from_secs(30);
/// For removing the temporary folder.
const REMOVING: Duration = Duration::from_secs(10);
/// Where temporary folders are made, and how their names begin.
const TMP: &str = "/tmp/teleclaude-";

/// An agent that runs.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub pid: Pid,
    /// Its temporary folder.
    pub tmp_dir: PathBuf,
}

/// Starts the agent on the terminal.
///
/// # Errors
/// The step that failed and why; nothing is left then. No value and no token is in it.
pub fn start(launch: &Launch, account: &Account, terminal: OwnedFd) -> Result<Started, String> {
    let deadline = Instant::now() + UNTIL_EXEC;
    let forked = child::fork_as(account, |tell| become_agent(launch, &terminal, tell));
    let (pid, end) = forked.map_err(|e| step("process", e))?;
    drop(terminal);
    let told = child::hear(&end, deadline);
    let (tmp_dir, why) = match &told {
        Ok(told) => {
            let mut parts = told.bytes.splitn(2, |byte| *byte == 0);
            let tmp_dir = parts.next().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
            let why = match parts.next() {
                Some(why) => Some(String::from_utf8_lossy(why).into_owned()),
                None if told.whole => None,
                None => Some(format!("the agent did not begin within {} s", UNTIL_EXEC.as_secs())),
            };
            (PathBuf::from(tmp_dir), why)
        }
        Err(error) => (PathBuf::new(), Some(step("process", error))),
    };
    match why {
        None => Ok(Started { pid, tmp_dir }),
        Some(why) => {
            if tree::end_children() {
                remove_tmp(account, &tmp_dir);
            }
            Err(why)
        }
    }
}

/// Removes an agent's temporary folder, as its user. What cannot be removed in time stays.
pub fn remove_tmp(account: &Account, tmp_dir: &Path) {
    if tmp_dir.to_str().is_some_and(|path| path.starts_with(TMP)) {
        // Does not follow links. A folder that stays is the user's own matter: it is theirs.
        let _ = child::ask(account, REMOVING, |_| {
            std::fs::remove_dir_all(tmp_dir).map_err(|e| step("private temporary folder", e))
        });
    }
}

/// In the child, as the user. Comes back only if a step fails.
fn become_agent(launch: &Launch, terminal: &OwnedFd, mut tell: &UnixStream) -> Result<(), String> {
    // Made with mode 0700.
    let tmp_dir = nix::unistd::mkdtemp(format!("{TMP}XXXXXX").as_str())
        .map_err(|e| step("private temporary folder", e))?;
    let tmp_dir = tmp_dir.to_string_lossy().into_owned();
    tell.write_all(tmp_dir.as_bytes()).map_err(|e| step("private temporary folder", e))?;
    for (name, text) in &launch.files {
        write_new(&Path::new(&tmp_dir).join(name), text).map_err(|e| step("private temporary folder", e))?;
    }
    enter(&launch.root, launch.subdir.as_deref())?;
    nix::unistd::setsid().map_err(|e| step("session of processes", e))?;
    sys::take_terminal(terminal.as_fd()).map_err(|e| step("controlling terminal", e))?;
    let command = find(&launch.argv[0], &launch.path)?;
    let c_string = |text: &str| CString::new(text).map_err(|e| step("command line", e));
    let argv: Vec<CString> = launch
        .argv
        .iter()
        .map(|arg| c_string(&arg.replace(wiring::TMP, &tmp_dir)))
        .collect::<Result<_, _>>()?;
    let environment = launch.environment(tmp_dir);
    let environment: Vec<CString> = environment
        .iter()
        .map(|(name, value)| {
            CString::new(format!("{name}={value}")).map_err(|_| format!("{name}: has a NUL"))
        })
        .collect::<Result<_, _>>()?;
    let program = c_string(&command.to_string_lossy())?;
    use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
    // Everything else that is open is closed by the exec.
    let on = dup2_stdin(terminal).and_then(|()| dup2_stdout(terminal)).and_then(|()| dup2_stderr(terminal));
    on.map_err(|e| step("terminal", e))?;
    match nix::unistd::execve(&program, &argv, &environment) {
        Ok(never) => match never {},
        Err(error) => Err(step(&command.display().to_string(), error)),
    }
}

/// Goes to the folder where the agent begins. Where that really is, is asked after having gone there: nobody can
/// change it in between.
fn enter(root: &Path, subdir: Option<&str>) -> Result<(), String> {
    let folder = subdir.map_or_else(|| root.to_owned(), |subdir| root.join(subdir));
    let at = |path: &Path| format!("working directory {}", path.display());
    let real_root = std::fs::canonicalize(root).map_err(|e| step(&at(root), e))?;
    nix::unistd::chdir(&folder).map_err(|e| step(&at(&folder), e))?;
    let here = nix::unistd::getcwd().map_err(|e| step(&at(&folder), e))?;
    if here.starts_with(&real_root) {
        Ok(())
    } else {
        Err(step(&at(&folder), format!("leads out of {}", real_root.display())))
    }
}

/// Finds a command as the user: an absolute path, or a name on their path.
///
/// # Errors
/// It is nowhere, or cannot be run.
pub fn find(command: &str, search: &str) -> Result<PathBuf, String> {
    if command.starts_with('/') {
        return Ok(PathBuf::from(command));
    }
    let runs = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let mut folders = search.split(':').filter(|folder| folder.starts_with('/'));
    folders
        .find_map(|folder| Some(Path::new(folder).join(command)).filter(runs))
        .ok_or_else(|| format!("{command}: not found in {search}"))
}

#[cfg(test)]
mod tests {
    use super::find;
    use std::path::PathBuf;

    #[test]
    fn commands_are_absolute_or_on_the_path() {
        assert_eq!(find("/nowhere/x", "/bin"), Ok(PathBuf::from("/nowhere/x")));
        assert_eq!(find("sh", "bin:/nowhere:/bin"), Ok(PathBuf::from("/bin/sh")));
        assert_eq!(find("no-such-command", "/bin").unwrap_err(), "no-such-command: not found in /bin");
        assert!(find("passwd", "/etc").is_err(), "what cannot be run is not found");
    }
}
