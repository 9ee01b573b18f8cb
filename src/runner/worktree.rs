//! A session's worktree of a project, added and removed by git: as the owner by the runner, or by the daemon where its
//! own user is the owner. Nothing unsaved is ever removed.

use crate::agent::Owner;
use crate::platform::process;
use crate::runner::account::Account;
use crate::runner::child::{self, step};
use crate::runner::judge::Worktree;
use crate::runner::launch::find;
use crate::runner::log::visible;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::DirBuilder;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For everything that git does in one call.
pub const GIT: Duration = Duration::from_secs(120);
/// Bytes of git's complaint that are passed on, at most.
const COMPLAINT_BYTES_MAX: usize = 4_096;
/// Bytes of git's list of worktrees that are looked through, at most.
const LIST_BYTES_MAX: usize = 1 << 20;
/// Between two looks whether git has ended.
const PAUSE_MS: u8 = 20;

/// Adds it, if it does not stand already. Gives its path.
///
/// # Errors
/// git's reason, or the system's.
pub fn add(worktree: &Worktree, account: &Account) -> Result<String, String> {
    let (told, _) = child::ask(account, GIT, |mut tell| {
        let path = add_own(worktree)?;
        tell.write_all(path.as_bytes()).map_err(|e| step("answer", e))
    })?;
    String::from_utf8(told).map_err(|e| step("worktree", e))
}

/// Removes it, if it stands.
///
/// # Errors
/// git's reason: something in it is not saved.
pub fn remove(worktree: &Worktree, account: &Account) -> Result<(), String> {
    child::ask(account, GIT, |_| remove_own(worktree)).map(drop)
}

/// The same as the user that this process is. Blocks for as long as git may take.
///
/// # Errors
/// git's reason, or the system's.
pub fn add_own(worktree: &Worktree) -> Result<String, String> {
    let git = Git::of(worktree)?;
    let (Some(parent), Some(name)) = (worktree.path.parent(), worktree.path.file_name()) else {
        return Err("worktree: has no folder".to_owned());
    };
    let at = |e| step(&parent.display().to_string(), e);
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(at)?;
    // As git will name it.
    let path = std::fs::canonicalize(parent).map_err(at)?.join(name);
    let text = path.to_str().ok_or("worktree: the home's path is not UTF-8")?.to_owned();
    let known = git.knows(&path)?;
    if known && path.join(".git").exists() {
        return Ok(text);
    }
    let mut args = vec!["worktree", "add", "--quiet"];
    if known {
        // Its folder was removed behind git's back.
        args.push("--force");
    }
    let branch_stands =
        git.run(&["show-ref", "--verify", "--quiet", &format!("refs/heads/{}", worktree.branch)]).is_ok();
    if branch_stands {
        args.extend([text.as_str(), &worktree.branch]);
    } else {
        args.extend(["-b", &worktree.branch, &text]);
    }
    git.run(&args)?;
    Ok(text)
}

/// The same as the user that this process is. Blocks for as long as git may take.
///
/// # Errors
/// git's reason: something in it is not saved.
pub fn remove_own(worktree: &Worktree) -> Result<(), String> {
    let path = match std::fs::canonicalize(&worktree.path) {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(step(&worktree.path.display().to_string(), error)),
    };
    let git = Git::of(worktree)?;
    if !git.knows(&path)? {
        return Err(format!("{}: is no worktree of {}", path.display(), worktree.project.display()));
    }
    let text = path.to_str().ok_or("worktree: the home's path is not UTF-8")?;
    git.run(&["worktree", "remove", text]).map(drop)
}

/// git in a project.
struct Git<'a> {
    program: PathBuf,
    project: &'a Path,
    owner: &'a Owner,
    search: &'a str,
    deadline: Instant,
}

impl<'a> Git<'a> {
    fn of(worktree: &'a Worktree) -> Result<Self, String> {
        let Worktree { project, owner, search, .. } = worktree;
        Ok(Self { program: find("git", search)?, project, owner, search, deadline: Instant::now() + GIT })
    }

    /// Whether this is a worktree of the project.
    fn knows(&self, path: &Path) -> Result<bool, String> {
        let list = self.run(&["worktree", "list", "--porcelain"])?;
        let line = [b"worktree ", path.as_os_str().as_encoded_bytes()].concat();
        Ok(list.split(|byte| *byte == b'\n').any(|found| found == line))
    }

    /// Runs it; gives what it printed, or what it complained of.
    fn run(&self, args: &[&str]) -> Result<Vec<u8>, String> {
        let mut git = Command::new(&self.program)
            .args(args)
            .current_dir(self.project)
            .env_clear()
            .env("HOME", &self.owner.home)
            .env("USER", &self.owner.user)
            .env("PATH", self.search)
            .env("LANG", "C.UTF-8")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // So that what git starts can be ended with it.
            .process_group(0)
            .spawn()
            .map_err(|e| step(&format!("git in {}", self.project.display()), e))?;
        let (Some(out), Some(err)) = (git.stdout.take(), git.stderr.take()) else {
            return Err("git: no pipes".to_owned());
        };
        let mut out = Pipe::new(out, LIST_BYTES_MAX)?;
        let mut err = Pipe::new(err, COMPLAINT_BYTES_MAX)?;
        // What git left running may hold the pipes, so their end is not waited for.
        let status = loop {
            let ended = git.try_wait().map_err(|e| step("git", e))?;
            out.drain();
            err.drain();
            if let Some(status) = ended {
                break status;
            }
            if Instant::now() >= self.deadline {
                let _ = process::send_group(git.id().cast_signed(), libc::SIGKILL);
                let _ = git.wait();
                return Err(format!("git took longer than {} s", GIT.as_secs()));
            }
            let mut both = [&out, &err].map(|p| PollFd::new(p.from.as_fd(), PollFlags::POLLIN));
            let watched = both.iter_mut().zip([out.open, err.open]).filter(|(_, open)| *open);
            let mut watched: Vec<PollFd<'_>> = watched.map(|(fd, _)| fd.clone()).collect();
            let _ = poll(&mut watched, PollTimeout::from(PAUSE_MS));
        };
        if status.success() { Ok(out.bytes) } else { Err(complaint(args, &err.bytes)) }
    }
}

/// One of git's pipes; what is too much is read and dropped.
struct Pipe {
    from: std::fs::File,
    bytes: Vec<u8>,
    bytes_max: usize,
    open: bool,
}

impl Pipe {
    fn new(from: impl Into<std::os::fd::OwnedFd>, bytes_max: usize) -> Result<Self, String> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let from = std::fs::File::from(from.into());
        fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|e| step("git", e))?;
        Ok(Self { from, bytes: Vec::new(), bytes_max, open: true })
    }

    fn drain(&mut self) {
        let mut chunk = [0; 4_096];
        while self.open {
            match self.from.read(&mut chunk) {
                Ok(0) => self.open = false,
                Ok(read) => {
                    let room = self.bytes_max - self.bytes.len();
                    self.bytes.extend_from_slice(&chunk[..read.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// What git said.
fn complaint(args: &[&str], said: &[u8]) -> String {
    let said = visible(&String::from_utf8_lossy(said));
    let verb = args.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    if said.is_empty() { format!("git {verb} failed") } else { format!("git {verb}: {said}") }
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn a_complaint_is_one_visible_line() {
        let args = ["worktree", "remove", "/x"];
        assert_eq!(
            complaint(&args, b"fatal: \x1b[31mno\x07\n use --force\n"),
            "git worktree remove: fatal: \\u{1b}[31mno\\u{7}; use --force"
        );
        assert_eq!(complaint(&args, b""), "git worktree remove failed");
    }
}
