//! The daemon's view of session hosts: starts them, finds them again, talks to them, and clears up after those that
//! vanished. It does not know the store: what happens comes out as [`HostEvent`]s, and an exit is kept by its files
//! until [`Hosts::acknowledge`] says that it is kept elsewhere.

mod sweep;
mod watch;

use crate::agent::wiring::Installed;
use crate::daemon::hosts::sweep::{
    close_recording, end_processes, end_tree, is_alive, read_run_file, sweep, sweep_without_run_file,
};
use crate::daemon::hosts::watch::Watch;
use crate::domain::session::{Exit, SessionActivity, SessionId};
use crate::domain::timestamp::Timestamp;
use crate::host::client::{self, ClientError, Receiver, Sender};
use crate::host::files::{self, ExitFile, RunFile};
use crate::host::message::{Message, MessageState};
use crate::host::protocol::{Gap, Snapshot, Status, ToHost};
use crate::host::spec::{Ready, Size, StartSpec};
use crate::platform::process;
use crate::runner::installed;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::Instrument as _;

/// A host that is not up after this is given up.
const START_WITHIN: Duration = Duration::from_secs(10);
/// A message that has no outcome after this is `Unknown`: 30 s until ready, time to type, 5 s to be confirmed.
const MESSAGE_WITHIN: Duration = Duration::from_secs(75);
/// A question that has no answer after this has none.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Commands that may wait for one host.
const COMMANDS: usize = 64;

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEvent {
    /// Which session.
    pub session: SessionId,
    /// Of which of its hosts: the lease in its run file.
    pub lease: String,
    /// What.
    pub kind: HostEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEventKind {
    /// The agent runs; comes again after each adoption.
    Running {
        /// Its pid.
        agent_pid: i32,
    },
    /// Busy or idle.
    Activity(SessionActivity),
    /// It is over, and no process of it is left. Call [`Hosts::acknowledge`] once that is kept.
    Exited {
        /// How.
        exit: Exit,
        /// When.
        at: Timestamp,
        /// Bytes of output that are not in the recording.
        lost_bytes: u64,
    },
    /// The recording has a hole.
    RecordingGap(Gap),
    /// A message got to its end, also one that an earlier daemon sent.
    MessageState {
        /// The message's id.
        message_id: String,
        /// How it ended.
        state: MessageState,
    },
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// One session has one host.
    #[error("the session has a living host already")]
    AlreadyRunning,
    /// No host of that session is known.
    #[error("the session has no host")]
    NoHost,
    /// The host did not come up; nothing is left of it.
    #[error("the session host did not start: {0}")]
    Start(String),
    /// The host said no.
    #[error("the session host refused: {0}")]
    Refused(String),
    /// The host is there but does not answer.
    #[error("the session host does not answer")]
    Unreachable,
}

/// A host that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its pid …
    pub pid: i32,
    /// … and start time, which together name it.
    pub start_time: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was typed and the screen changed.
    Delivered,
    /// It may have been typed.
    Unknown,
    /// It was not typed and will not be.
    Failed,
}

/// What [`Hosts::adopt`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Sessions whose host lives.
    pub live: Vec<SessionId>,
    /// Sessions whose host is gone; their `Exited` events follow.
    pub gone: Vec<SessionId>,
}

/// Where a session's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPaths {
    /// The control socket.
    pub socket: PathBuf,
    /// The recording.
    pub recording: PathBuf,
    /// The exit file.
    pub exit: PathBuf,
    /// The agent's private TMPDIR.
    pub tmp: PathBuf,
}

/// All hosts of this daemon.
#[derive(Clone, Debug)]
pub struct Hosts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    run_dir: PathBuf,
    state_dir: PathBuf,
    exe: PathBuf,
    events: mpsc::Sender<HostEvent>,
    hosts: Mutex<HashMap<SessionId, mpsc::Sender<Command>>>,
}

#[derive(Debug)]
enum Command {
    Send(ToHost),
    Message(Message, oneshot::Sender<Outcome>),
    Snapshot(u32, oneshot::Sender<Snapshot>),
    Acknowledge(oneshot::Sender<()>),
}

impl Hosts {
    /// No hosts yet. `exe` is this binary; `run_dir` must be short enough for socket paths of 100 bytes.
    pub fn new(run_dir: PathBuf, state_dir: PathBuf, exe: PathBuf, events: mpsc::Sender<HostEvent>) -> Self {
        Self(Arc::new(Inner { run_dir, state_dir, exe, events, hosts: Mutex::default() }))
    }

    /// Where run files, locks and sockets are.
    pub fn run_dir(&self) -> &Path {
        &self.0.run_dir
    }

    /// What is installed for agents to use.
    pub fn installed(&self) -> Option<Installed> {
        installed::beside(&self.0.exe)
    }

    /// Where a session's files belong.
    pub fn paths(&self, session: SessionId) -> SessionPaths {
        let state = &self.0.state_dir;
        SessionPaths {
            socket: files::socket_path(&self.0.run_dir, session),
            recording: state.join("recordings").join(format!("{session}.cast")),
            exit: state.join("exits").join(format!("{session}.json")),
            tmp: state.join("tmp").join(files::short_name(session)),
        }
    }

    /// Starts a host, detached, and waits until it serves. An agent that cannot be executed is no error here: it
    /// comes as `Exited` with `Exit::Failed`.
    ///
    /// # Errors
    /// [`HostError::AlreadyRunning`] and [`HostError::Start`]; nothing of this attempt is left then.
    pub async fn start(&self, spec: StartSpec) -> Result<Started, HostError> {
        let session = spec.session_id;
        if self.0.sender(session).is_some() || files::is_locked(&self.0.run_dir, session) {
            return Err(HostError::AlreadyRunning);
        }
        spec.check().map_err(|e| HostError::Start(e.to_string()))?;
        let json = serde_json::to_vec(&spec).map_err(|e| HostError::Start(e.to_string()))?;
        let mut child = tokio::process::Command::new(&self.0.exe)
            .arg("session-host")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| HostError::Start(format!("{}: {e}", self.0.exe.display())))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let talk = async move {
            let mut stdin = stdin?;
            stdin.write_all(&json).await.ok()?;
            drop(stdin);
            let mut answer = Vec::new();
            // Its end comes when the host lets go of stdout, right after the answer.
            stdout?.take(64 * 1024).read_to_end(&mut answer).await.ok()?;
            serde_json::from_slice::<Ready>(&answer).ok()
        };
        let ready = timeout(START_WITHIN, talk).await;
        let started = match ready {
            Ok(Some(Ready::Up { pid, start_time })) => Ok(Started { pid, start_time }),
            Ok(Some(Ready::Failed { why })) => Err(why),
            Ok(None) => Err("it ended without an answer".to_owned()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        let started = match started {
            Ok(started) => started,
            Err(why) => {
                let pid = child.id().map_or(0, u32::cast_signed);
                let _ = child.kill().await;
                if files::is_locked(&self.0.run_dir, session) {
                    // Somebody else's start was faster.
                    return Err(HostError::AlreadyRunning);
                }
                self.0.clear_failed_start(session, pid, &spec).await;
                return Err(HostError::Start(why));
            }
        };
        // Reaps it, should it end before the daemon does.
        tokio::spawn(async move { child.wait().await });
        let run = read_run_file(&files::run_path(&self.0.run_dir, session));
        let run = run.ok_or_else(|| HostError::Start("its run file is gone".to_owned()))?;
        // A claim closes other connections: nobody may attach before it.
        let _ = timeout(ANSWER_WITHIN, self.watch(run)).await;
        Ok(started)
    }

    /// Whether the session has a host. One that an earlier daemon began just before it died, too late to be adopted, is
    /// claimed and followed from now on; one that is just coming up is waited for.
    pub async fn find(&self, session: SessionId) -> bool {
        if self.0.sender(session).is_some() {
            return true;
        }
        let deadline = tokio::time::Instant::now() + START_WITHIN;
        while files::is_locked(&self.0.run_dir, session) {
            if let Some(run) = read_run_file(&files::run_path(&self.0.run_dir, session)) {
                let _ = timeout(ANSWER_WITHIN, self.watch(run)).await;
                return true;
            }
            if tokio::time::Instant::now() >= deadline {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Finds the hosts of an earlier daemon by their run files. Call it once, before anything is started. Living
    /// hosts are claimed, so that an earlier daemon that still lives loses them; of dead ones every process is
    /// ended, the recording closed, and `Exited` follows.
    ///
    /// # Errors
    /// The run folder cannot be read; a missing one is empty.
    pub async fn adopt(&self) -> std::io::Result<Adoption> {
        let (mut found, mut claims) = (Adoption::default(), Vec::new());
        let entries = match std::fs::read_dir(&self.0.run_dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(e) => return Err(e),
        };
        for path in entries.flatten().map(|e| e.path()) {
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let Some(run) = read_run_file(&path) else {
                tracing::warn!(path = %path.display(), "not a run file");
                continue;
            };
            if self.0.sender(run.session_id).is_some() {
                continue;
            }
            if is_alive(&self.0.run_dir, &run) {
                found.live.push(run.session_id);
                claims.push(self.watch(run));
            } else {
                found.gone.push(run.session_id);
                drop(self.watch(run));
            }
        }
        // They all try at the same time; one that hangs is tried on without being waited for.
        let _ = timeout(ANSWER_WITHIN, async {
            for claim in claims {
                let _ = claim.await;
            }
        })
        .await;
        Ok(found)
    }

    /// Types a message once the agent is ready, and waits for its outcome (up to 75 s). The same id is typed once,
    /// whoever asks and however often.
    ///
    /// # Errors
    /// [`HostError::NoHost`]: it was not typed. [`HostError::Refused`]: it cannot be.
    pub async fn send(&self, session: SessionId, message: Message) -> Result<Outcome, HostError> {
        message.check().map_err(HostError::Refused)?;
        let (reply, outcome) = oneshot::channel();
        self.0.command(session, Command::Message(message, reply)).await?;
        // The task ends without an answer when the host is lost: it may have been typed.
        Ok(timeout(MESSAGE_WITHIN, outcome).await.ok().and_then(Result::ok).unwrap_or(Outcome::Unknown))
    }

    /// The screen now, with up to `scrollback` lines above it.
    ///
    /// # Errors
    /// [`HostError::NoHost`], [`HostError::Unreachable`].
    pub async fn snapshot(&self, session: SessionId, scrollback: u32) -> Result<Snapshot, HostError> {
        let (reply, answer) = oneshot::channel();
        self.0.command(session, Command::Snapshot(scrollback, reply)).await?;
        timeout(ANSWER_WITHIN, answer).await.ok().and_then(Result::ok).ok_or(HostError::Unreachable)
    }

    /// Asks the agent's processes to end and has them killed after `grace` (at most 60 s). `Exited` follows.
    ///
    /// # Errors
    /// [`HostError::NoHost`].
    pub async fn end(&self, session: SessionId, grace: Duration) -> Result<(), HostError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.0.command(session, Command::Send(ToHost::End { grace_ms })).await
    }

    /// Gives the terminal a new size.
    ///
    /// # Errors
    /// [`HostError::NoHost`].
    pub async fn resize(&self, session: SessionId, size: Size) -> Result<(), HostError> {
        self.0.command(session, Command::Send(ToHost::Resize(size))).await
    }

    /// Sends a signal to the terminal's foreground process group.
    ///
    /// # Errors
    /// [`HostError::NoHost`].
    pub async fn signal(&self, session: SessionId, signal: i32) -> Result<(), HostError> {
        self.0.command(session, Command::Send(ToHost::Signal { signal })).await
    }

    /// Types this at once, without waiting for the agent to be ready.
    ///
    /// # Errors
    /// [`HostError::NoHost`].
    pub async fn write(&self, session: SessionId, keys: &[u8]) -> Result<(), HostError> {
        self.0.command(session, Command::Send(ToHost::Write(keys.to_vec()))).await
    }

    /// The lease of the session's host, if one lives or is still being followed.
    pub fn lease(&self, session: SessionId) -> Option<String> {
        if !self.is_known(session) {
            return None;
        }
        // One that is just coming up, or going, has none to show.
        Some(
            read_run_file(&files::run_path(&self.0.run_dir, session))
                .map_or_else(String::new, |run| run.lease),
        )
    }

    /// Ends everything that is left of a session whose host is gone. `false` if something of it lives on.
    pub async fn clear(&self, session: SessionId) -> bool {
        if self.is_known(session) {
            return false;
        }
        self.sweep(session).await;
        let mark = StartSpec::mark(session);
        let left = move || process::marked(&mark, None, process::own_uid());
        tokio::task::spawn_blocking(left).await.is_ok_and(|left| left.is_empty())
    }

    /// The exit is safely kept: host and files may go. Gives when they are gone. Doing it twice is no error.
    pub async fn acknowledge(&self, session: SessionId) {
        let (reply, done) = oneshot::channel();
        if self.0.command(session, Command::Acknowledge(reply)).await.is_ok() {
            let _ = timeout(START_WITHIN, done).await;
        }
    }

    /// A connection of its own for somebody who watches or types: [`ToHost::Subscribe`], [`ToHost::Write`].
    ///
    /// # Errors
    /// [`HostError::NoHost`], [`HostError::Unreachable`].
    pub async fn attach(&self, session: SessionId) -> Result<(Sender, Receiver, Status), HostError> {
        let run = read_run_file(&files::run_path(&self.0.run_dir, session)).ok_or(HostError::NoHost)?;
        client::connect(&run.socket_path, &run.lease, false).await.map_err(|e| match e {
            ClientError::Refused(why) => HostError::Refused(why),
            _ => HostError::Unreachable,
        })
    }

    /// Whether a host of this session lives or is still being followed.
    pub fn is_known(&self, session: SessionId) -> bool {
        self.0.sender(session).is_some() || files::is_locked(&self.0.run_dir, session)
    }

    /// Ends everything that is left of a session whose host is gone, and says how it ended: by its exit file, else
    /// lost, with the recording closed. `None` if its host lives (it is left alone), or if it never had one.
    pub async fn sweep(&self, session: SessionId) -> Option<ExitFile> {
        let (inner, paths) = (Arc::clone(&self.0), self.paths(session));
        // It waits for processes to go.
        let swept = tokio::task::spawn_blocking(move || {
            match read_run_file(&files::run_path(&inner.run_dir, session)) {
                Some(run) => (!is_alive(&inner.run_dir, &run)).then(|| sweep(&run)),
                None if files::is_locked(&inner.run_dir, session) => None,
                None => sweep_without_run_file(session, &paths),
            }
        });
        swept.await.ok().flatten()
    }

    /// Begins to follow a host, unless it is followed already. The channel says when it is claimed, or given up.
    fn watch(&self, run: RunFile) -> oneshot::Receiver<()> {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (claimed, when_claimed) = oneshot::channel();
        if let Entry::Vacant(place) = self.0.lock().entry(run.session_id) {
            place.insert(commands);
            let span = tracing::error_span!("host", session = %run.session_id);
            tokio::spawn(Watch::new(Arc::clone(&self.0), run, receiver, claimed).run().instrument(span));
        }
        when_claimed
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, mpsc::Sender<Command>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(&self, session: SessionId) -> Option<mpsc::Sender<Command>> {
        self.lock().get(&session).cloned()
    }

    async fn command(&self, session: SessionId, command: Command) -> Result<(), HostError> {
        let sender = self.sender(session).ok_or(HostError::NoHost)?;
        match sender.send_timeout(command, ANSWER_WITHIN).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(HostError::Unreachable),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(HostError::NoHost),
        }
    }

    async fn clear_failed_start(&self, session: SessionId, pid: i32, spec: &StartSpec) {
        let path = files::run_path(&self.run_dir, session);
        let run = read_run_file(&path);
        let (run_dir, socket, tmp) =
            (self.run_dir.clone(), spec.socket_path.clone(), spec.tmp_dir().cloned());
        let recording = spec.recording_path.clone();
        let _ = tokio::task::spawn_blocking(move || {
            match run {
                Some(run) => end_tree(&run),
                None => end_processes(session, None),
            }
            if recording.exists() {
                close_recording(session, &recording);
            }
            for path in
                [&files::half_written(&path, pid), &path, &socket, &files::lock_path(&run_dir, session)]
            {
                let _ = std::fs::remove_file(path);
            }
            tmp.map(std::fs::remove_dir_all)
        })
        .await;
    }
}
