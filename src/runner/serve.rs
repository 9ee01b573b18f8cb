//! One call from beginning to end: who asks, the request, the config, whose account, whether it may be, do it, say so
//! and log it. Read this first; each step is a file beside it.

use crate::config::paths::Os;
use crate::domain::session::SessionId;
use crate::platform::process;
use crate::runner::account::{self, Account};
use crate::runner::connection::Connection;
use crate::runner::judge::{Facts, Launch, Plan, judge};
use crate::runner::lock::{self, LockError};
use crate::runner::log::{Log, visible};
use crate::runner::message::Reply;
use crate::runner::tree::Tree;
use crate::runner::{installed, launch, open, sys, terminal, trust, worktree};
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// For the whole request to arrive.
const ARRIVING: Duration = Duration::from_secs(10);
/// For a session's last run to end.
const LAST_RUN: Duration = Duration::from_secs(10);

/// What the unit says on the command line. Nothing comes from the environment.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    config: PathBuf,
    service_user: String,
    run_dir: PathBuf,
}

/// How a call went, which is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was answered, whatever the answer.
    Answered = 0,
    /// There was nobody or nothing to answer.
    Unheard = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Something of an agent's tree could not be ended.
    Left = 3,
}

/// The program `teleclaude-runner`: one call on the connection at standard input.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let log = Log::here();
    let end = match Settings::parse(args) {
        Ok(settings) => call(&settings, log),
        Err(why) => {
            log.line(&why, true);
            End::Usage
        }
    };
    ExitCode::from(end as u8)
}

impl Settings {
    fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mac = Os::HERE == Os::MacOs;
        let (config, user, run_dir) = if mac {
            ("/usr/local/etc/teleclaude/config.yml", "_teleclaude", "/usr/local/var/run/teleclaude-runner")
        } else {
            ("/etc/teleclaude/config.yml", "teleclaude", "/run/teleclaude-runner")
        };
        let mut settings =
            Self { config: config.into(), service_user: user.to_owned(), run_dir: run_dir.into() };
        let mut args = args.into_iter().skip(1);
        while let Some(option) = args.next() {
            let value = args.next().ok_or_else(|| format!("{}: needs a value", option.display()))?;
            match option.to_str() {
                Some("--config") => settings.config = value.into(),
                Some("--run-dir") => settings.run_dir = value.into(),
                Some("--service-user") => {
                    settings.service_user =
                        value.into_string().map_err(|_| "--service-user: is not UTF-8")?;
                }
                _ => return Err(format!("{}: no such option", option.display())),
            }
        }
        Ok(settings)
    }
}

fn call(settings: &Settings, mut log: Log) -> End {
    sys::close_inherited();
    process::adopt_orphans();
    // Tokens pass through here: they belong into no core file. An exec undoes it.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
    let heard = Connection::take().and_then(|connection| Ok((connection.peer_uid()?, connection)));
    let (peer_uid, mut connection) = match heard {
        Ok(heard) => heard,
        Err(error) => {
            log.line(&format!("standard input is no connection of a Unix socket: {error}"), true);
            return End::Unheard;
        }
    };
    let Some(service_uid) = account::uid_of(&settings.service_user) else {
        return refuse(&mut connection, &log, "the service user does not exist".to_owned(), End::Unheard);
    };
    if peer_uid != service_uid {
        let why = format!("uid {peer_uid} asks, who is not the service user");
        return refuse(&mut connection, &log, why, End::Unheard);
    }
    let (request, descriptor) = match connection.request(Instant::now() + ARRIVING) {
        Ok(request) => request,
        Err(why) => return refuse(&mut connection, &log, why.to_string(), End::Unheard),
    };
    log.about(&request);
    let session = request.session();
    let judged = trust::config(&settings.config).and_then(|config| {
        let account = account::by_uid(request.uid());
        let installed = installed::beside_this();
        let facts = Facts {
            config: &config,
            account: account.as_ref(),
            service_uid,
            uid_min: account::uid_min(),
            overflow_uid: account::overflow_uid(),
            installed: installed.as_ref(),
            gid_of: &account::gid_of,
        };
        Ok((judge(request, &facts)?, account.ok_or("the account is gone")?))
    });
    let (plan, account) = match judged {
        Ok(judged) => judged,
        Err(why) => return refuse(&mut connection, &log, why, End::Answered),
    };
    let done = match (plan, session, descriptor) {
        (Plan::Run(launch), Some(session), Some(terminal)) => {
            if let Err(why) = terminal::check(terminal.as_fd(), peer_uid) {
                return refuse(&mut connection, &log, why, End::Answered);
            }
            return run(settings, &launch, &account, session, terminal, &mut connection, &log);
        }
        (Plan::AddWorktree(wanted), ..) => {
            worktree::add(&wanted, &account).map(|path| Reply::Worktree { path, branch: wanted.branch })
        }
        (Plan::RemoveWorktree(wanted), ..) => worktree::remove(&wanted, &account).map(|()| Reply::Removed),
        (Plan::Open(wanted), ..) => match open::open(&wanted, &account) {
            Ok(opened) => {
                log.line("opened", false);
                let reply = Reply::Opened { path: opened.path, size: opened.size };
                return said(connection.pass(&reply, opened.file.as_fd()));
            }
            Err(why) => Err(why),
        },
        (Plan::Run(_), ..) => Err("a run without session or terminal".to_owned()),
    };
    match done {
        Ok(reply) => {
            log.line("done", false);
            said(connection.say(&reply))
        }
        Err(why) => fail(&mut connection, &log, why),
    }
}

fn run(
    settings: &Settings,
    launch: &Launch,
    account: &Account,
    session: SessionId,
    terminal: OwnedFd,
    connection: &mut Connection,
    log: &Log,
) -> End {
    let lock = match lock::take(&settings.run_dir, session, Instant::now() + LAST_RUN) {
        Ok(lock) => lock,
        Err(why @ LockError::Running) => return refuse(connection, log, why.to_string(), End::Answered),
        Err(LockError::Failed(why)) => return fail(connection, log, why),
    };
    // By the descriptor alone: a name could lead to another terminal.
    let prepared =
        nix::unistd::fchown(&terminal, Some(account.uid.into()), None).map_err(std::io::Error::from);
    let waiting = match prepared.and_then(|()| sys::watch_signals()) {
        Ok(waiting) => waiting,
        Err(error) => return fail(connection, log, format!("terminal or signals: {error}")),
    };
    let started = match launch::start(launch, account, terminal) {
        Ok(started) => started,
        Err(why) => return fail(connection, log, why),
    };
    log.line(&format!("started, pid {}", started.pid), false);
    // If nobody listens any more, the connection's end says so too.
    let _ = connection.say(&Reply::Started { pid: started.pid.as_raw() });
    if !Tree::new(started.pid, account.uid, session).supervise(connection, &waiting) {
        log.line("a process of it does not end", true);
        return End::Left;
    }
    launch::remove_tmp(account, &started.tmp_dir);
    // Whoever hears that it is gone may start it again. That nobody hears it is the usual end of a lost host.
    drop(lock);
    let _ = connection.say(&Reply::Gone);
    End::Answered
}

/// It is not allowed, or nobody could be understood.
fn refuse(connection: &mut Connection, log: &Log, why: String, end: End) -> End {
    log.line(&format!("refused: {why}"), true);
    let said = said(connection.say(&Reply::Refused(visible(&why))));
    if end == End::Answered { said } else { end }
}

/// It was allowed and went wrong.
fn fail(connection: &mut Connection, log: &Log, why: String) -> End {
    log.line(&format!("failed: {why}"), true);
    said(connection.say(&Reply::Failed(visible(&why))))
}

fn said(result: std::io::Result<()>) -> End {
    result.map_or(End::Unheard, |()| End::Answered)
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use std::ffi::OsString;

    fn parse(args: &[&str]) -> Result<Settings, String> {
        Settings::parse(["teleclaude-runner"].iter().chain(args).map(OsString::from))
    }

    #[test]
    fn the_command_line_says_where_everything_is() {
        let settings = parse(&["--config", "/c.yml", "--service-user", "tc", "--run-dir", "/run/r"]).unwrap();
        assert_eq!(settings.config.to_str(), Some("/c.yml"));
        assert_eq!((settings.service_user.as_str(), settings.run_dir.to_str()), ("tc", Some("/run/r")));
        assert!(parse(&[]).unwrap().config.ends_with("etc/teleclaude/config.yml"));
        assert_eq!(parse(&["--config"]).unwrap_err(), "--config: needs a value");
        assert_eq!(parse(&["--root", "/"]).unwrap_err(), "--root: no such option");
    }
}
