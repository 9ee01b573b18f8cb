//! The host's loop: terminal, connections, children and clocks in one `poll(2)`. Nothing here blocks but the
//! recording's sync; every queue has a bound. An idle host makes no wake-ups.

use crate::domain::session::{Exit, SessionActivity, SessionId};
use crate::domain::timestamp::Timestamp;
use crate::host::files::{self, ExitFile, Run};
use crate::host::message::MessageState;
use crate::host::peers::{PEERS_MAX, Peer};
use crate::host::protocol::{
    FromHost, Gap, Hello, Known, Missed, PROTOCOL_VERSION, Snapshot, Status, TAKEN_OVER, ToHost,
};
use crate::host::pty::{self, ENDED_BYTES, Ended};
use crate::host::recording::{Header, Recorded, Writer};
use crate::host::resident;
use crate::host::screen::{Decoder, Screen};
use crate::host::spec::{SCROLLBACK_MAX, Size, StartSpec};
use crate::host::typist::{Keys, Seen, Typist};
use crate::platform::process;
use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Output that is kept for who subscribes late, in bytes.
const REPLAY_BYTES: usize = 256 * 1024;
/// Keystrokes that the terminal has not taken yet, in bytes.
const INPUT_BYTES_MAX: usize = 1 << 20;
/// A screen that did not change for this long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// What the agent leaves behind gets this long to end by itself.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// Longest grace that can be asked for.
const GRACE_MAX: Duration = Duration::from_secs(60);
/// Between two rounds of killing what is still there, and between two tries to write the exit file.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Once the agent's tree is gone, output that is still on its way is waited for this long.
const DRAIN: Duration = Duration::from_secs(1);
/// Characters of snapshot text, at most.
const SNAPSHOT_CHARS: usize = 1 << 20;

/// A host at work.
pub struct Server {
    session: SessionId,
    lease: String,
    run: Run,
    exit_path: PathBuf,
    strict: bool,
    record_input: bool,
    fsync: Duration,
    clock: Clock,
    master: Option<OwnedFd>,
    children: Option<PipeReader>,
    agent: Option<i32>,
    agent_exit: Option<Exit>,
    /// Ending the tree: when to kill what is left.
    kill_at: Option<Instant>,
    /// The tree is gone: when to stop waiting for output.
    drain_until: Option<Instant>,
    exit: Option<Exit>,
    exit_unwritten: Option<(ExitFile, Instant)>,
    acknowledged: bool,
    screen: Screen,
    decoder: Decoder,
    recording: Writer,
    sync_at: Option<Instant>,
    replay: VecDeque<u8>,
    seq: u64,
    activity: SessionActivity,
    last_output: Option<Instant>,
    typist: Typist,
    input: VecDeque<u8>,
    peers: Vec<Peer>,
}

/// Moments of the calendar that never go back.
#[derive(Clone, Copy)]
struct Clock {
    wall: Timestamp,
    steady: Instant,
}

impl Clock {
    fn at(self, now: Instant) -> Timestamp {
        self.wall.plus(now.saturating_duration_since(self.steady))
    }
}

impl Server {
    /// Opens recording and terminal and starts the agent. An agent that cannot be started is an exit like any
    /// other; only what keeps the host itself from working is an error, and then nothing is left.
    ///
    /// # Errors
    /// The recording or the terminal cannot be opened.
    pub fn new(spec: StartSpec, run: Run) -> anyhow::Result<Self> {
        let clock = Clock { wall: SystemTime::now().into(), steady: Instant::now() };
        let size = spec.size.clamped();
        let opened = (|| {
            if let Some(dir) = spec.recording_path.parent() {
                files::private_dir(dir).context("recordings folder")?;
            }
            let header = Header::new(size, clock.wall, spec.title.clone());
            let recording = Writer::open(&spec.recording_path, &header, clock.wall, spec.max_bytes)
                .context("opening the recording")?;
            Ok((recording, pty::open(size)?))
        })();
        let (recording, pty) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                run.remove();
                return Err(e);
            }
        };
        let scrollback = spec.scrollback_lines.min(SCROLLBACK_MAX) as usize;
        let mut server = Self {
            session: spec.session_id,
            lease: spec.lease.clone(),
            run,
            exit_path: spec.exit_path.clone(),
            strict: spec.strict,
            record_input: spec.record_input,
            fsync: Duration::from_millis(spec.fsync_ms),
            clock,
            master: Some(pty.master),
            children: None,
            agent: None,
            agent_exit: None,
            kill_at: None,
            drain_until: None,
            exit: None,
            exit_unwritten: None,
            acknowledged: false,
            screen: Screen::new(size, scrollback),
            decoder: Decoder::default(),
            recording,
            sync_at: None,
            replay: VecDeque::new(),
            seq: 0,
            activity: SessionActivity::Busy,
            last_output: None,
            typist: Typist::default(),
            input: VecDeque::new(),
            peers: Vec::new(),
        };
        if let Some(notice) = &spec.notice {
            server.show(&format!("{}\r\n", notice.replace('\n', "\r\n")), clock.steady);
        }
        if let Some(message) = spec.first_message.clone() {
            let _ = server.typist.take(message);
        }
        server.start_agent(&spec, pty.slave);
        Ok(server)
    }

    fn start_agent(&mut self, spec: &StartSpec, slave: OwnedFd) {
        let started = pty::spawn(spec, slave).and_then(|pid| {
            self.agent = Some(pid);
            self.children = Some(pty::wait_for_children().map_err(|e| {
                let _ = process::kill(pid);
                format!("waiting for the agent: {e}")
            })?);
            // The next daemon finds the agent without this, too, by its environment.
            let _ = self.run.agent_started(pid);
            Ok(())
        });
        if let Err(why) = started {
            self.agent_exit = Some(Exit::Failed(why));
            self.drain_until = Some(Instant::now());
        }
    }

    /// Serves until the exit is acknowledged.
    ///
    /// # Errors
    /// `poll(2)` fails, which it does not.
    pub fn run(mut self) -> anyhow::Result<()> {
        loop {
            let now = Instant::now();
            self.act(now);
            if self.acknowledged {
                self.run.remove();
                return Ok(());
            }
            let ready = self.wait(now)?;
            self.react(ready, Instant::now());
        }
    }

    /// Everything that is due.
    fn act(&mut self, now: Instant) {
        while let Some(keys) = self.typist.step(self.seen(now)) {
            match keys {
                Keys::Type(text) => self.type_bytes(text.as_bytes(), now),
                Keys::State(id, state) => self.tell_daemon(&FromHost::MessageState { id, state }, now),
            }
        }
        self.write_input();
        if self.activity == SessionActivity::Busy && now >= self.idle_at() && self.exit.is_none() {
            self.activity = SessionActivity::Idle;
            self.tell_daemon(&FromHost::Activity(self.activity), now);
            resident::forget_code();
        }
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync_at = None;
            if let Err(e) = self.recording.sync() {
                self.hole(e.to_string(), now);
            }
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_tree();
            self.kill_at = Some(now + AGAIN_AFTER);
        }
        if self.exit.is_none() && self.drain_until.is_some_and(|at| at <= now || self.master.is_none()) {
            self.finish(now);
        }
        if let Some((file, again)) = &mut self.exit_unwritten
            && *again <= now
        {
            *again = now + 5 * AGAIN_AFTER;
            if files::write_atomically(&self.exit_path, file).is_ok() {
                self.exit_unwritten = None;
            }
        }
        for peer in &mut self.peers {
            peer.write();
        }
        self.peers.retain(|p| !p.is_over(now));
    }

    /// Sleeps until something happens or is due. Gives what happened, in the order of [`Self::react`].
    fn wait(&mut self, now: Instant) -> anyhow::Result<Happened> {
        let timeout = self.deadline(now).map_or(PollTimeout::NONE, |at| {
            // Rounded up: waking before the moment would turn in circles.
            let ms = at.saturating_duration_since(now).as_micros().div_ceil(1_000);
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
        });
        let writing =
            |yes: bool| if yes { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut fds = vec![PollFd::new(self.run.listener().as_fd(), PollFlags::POLLIN)];
        if let Some(master) = &self.master {
            fds.push(PollFd::new(master.as_fd(), writing(!self.input.is_empty())));
        }
        if let Some(children) = &self.children {
            fds.push(PollFd::new(children.as_fd(), PollFlags::POLLIN));
        }
        for peer in &self.peers {
            fds.push(PollFd::new(peer.stream().as_fd(), writing(peer.wants_to_write())));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e).context("poll"),
        }
        let read = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        let mut events = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()).intersects(read));
        let mut next = || events.next().unwrap_or(false);
        Ok(Happened {
            connection: next(),
            output: self.master.is_some() && next(),
            child: self.children.is_some() && next(),
            peers: self.peers.iter().map(|_| next()).collect(),
        })
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let idle = (self.activity == SessionActivity::Busy && self.exit.is_none()).then(|| self.idle_at());
        let drain = self.drain_until.filter(|_| self.exit.is_none());
        let unwritten = self.exit_unwritten.as_ref().map(|(_, again)| *again);
        [idle, drain, unwritten, self.sync_at, self.kill_at, self.typist.deadline(self.seen(now))]
            .into_iter()
            .chain(self.peers.iter().map(Peer::deadline))
            .flatten()
            .min()
    }

    fn react(&mut self, happened: Happened, now: Instant) {
        if happened.output {
            self.read_output(now);
        }
        if happened.child {
            self.read_children(now);
        }
        for (i, readable) in happened.peers.into_iter().enumerate() {
            if readable {
                self.peers[i].read();
                while let Some((kind, payload)) = self.peers[i].next_frame() {
                    self.frame(i, kind, &payload, now);
                }
            }
        }
        if happened.connection {
            while let Ok((stream, _)) = self.run.listener().accept() {
                // Beyond the bound it is closed at once; so is a stranger's.
                if self.peers.len() < PEERS_MAX
                    && let Ok(peer) = Peer::accept(stream, now)
                {
                    self.peers.push(peer);
                }
            }
        }
    }

    fn seen(&self, now: Instant) -> Seen {
        Seen {
            now,
            started: self.clock.steady,
            last_output: self.last_output,
            seq: self.seq,
            taken: self.input.is_empty(),
            bracketed: self.screen.wants_bracketed_paste(),
        }
    }

    fn idle_at(&self) -> Instant {
        self.last_output.unwrap_or(self.clock.steady) + IDLE_AFTER
    }

    /// Reads what the agent wrote, a bounded piece.
    fn read_output(&mut self, now: Instant) {
        let mut buffer = [0; 16 * 1024];
        let Some(master) = &self.master else { return };
        match nix::unistd::read(master, &mut buffer) {
            Ok(n) if n > 0 => {
                let text = self.decoder.push(&buffer[..n]);
                self.last_output = Some(now);
                if self.activity == SessionActivity::Idle {
                    self.activity = SessionActivity::Busy;
                    self.tell_daemon(&FromHost::Activity(self.activity), now);
                }
                self.show(&text, now);
            }
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
            // Linux says EIO, macOS end of file, when the last slave is closed.
            Ok(_) | Err(_) => {
                let rest = self.decoder.finish();
                self.show(rest, now);
                self.master = None;
                self.input = VecDeque::new();
            }
        }
    }

    /// Output goes to the recording first, then to screen and watchers.
    fn show(&mut self, text: &str, now: Instant) {
        if text.is_empty() {
            return;
        }
        let recorded = self.recording.output(text, self.clock.at(now));
        self.recorded(recorded, now);
        let answers = self.screen.feed(text);
        if self.master.is_some() && !answers.is_empty() {
            self.queue_input(answers.as_bytes());
        }
        let frame = FromHost::Output { seq: self.seq, bytes: text.as_bytes().to_vec() }.encode();
        self.seq += text.len() as u64;
        self.replay.extend(text.as_bytes());
        let too_many = self.replay.len().saturating_sub(REPLAY_BYTES);
        self.replay.drain(..too_many);
        for peer in self.peers.iter_mut().filter(|p| p.subscribed) {
            peer.send_encoded(frame.clone(), now);
        }
    }

    fn recorded(&mut self, recorded: Recorded, now: Instant) {
        match recorded {
            Recorded::HoleBegins(why) => self.hole(why, now),
            Recorded::Kept | Recorded::InHole => {}
        }
        if self.recording.is_dirty() && self.sync_at.is_none() {
            self.sync_at = Some(now + self.fsync);
        }
    }

    fn hole(&mut self, why: String, now: Instant) {
        self.tell_daemon(&FromHost::Gap(Gap { why, lost_bytes: self.recording.lost_bytes() }), now);
        if self.strict {
            self.end_tree(LEFTOVER_GRACE, now);
        }
    }

    /// Types for a person or the typist: recorded if that is wanted.
    fn type_bytes(&mut self, bytes: &[u8], now: Instant) {
        if self.record_input {
            let recorded = self.recording.input(&String::from_utf8_lossy(bytes), self.clock.at(now));
            self.recorded(recorded, now);
        }
        self.queue_input(bytes);
    }

    fn queue_input(&mut self, bytes: &[u8]) {
        if self.master.is_some() && self.input.len() + bytes.len() <= INPUT_BYTES_MAX {
            self.input.extend(bytes);
        }
    }

    /// Gives the terminal as much of the input as it takes.
    fn write_input(&mut self) {
        let Some(master) = &self.master else { return };
        while !self.input.is_empty() {
            match nix::unistd::write(master, self.input.as_slices().0) {
                Ok(n) if n > 0 => drop(self.input.drain(..n)),
                Err(nix::errno::Errno::EINTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
        self.input = VecDeque::new();
    }

    fn read_children(&mut self, now: Instant) {
        let mut bytes = [0; ENDED_BYTES];
        loop {
            let Some(children) = &mut self.children else { return };
            match children.read(&mut bytes) {
                Ok(ENDED_BYTES) => {
                    let ended = Ended::from_bytes(bytes);
                    if Some(ended.pid) == self.agent {
                        let exit = ended.signal.map_or(Exit::Code(ended.code.unwrap_or(0)), Exit::Signal);
                        self.agent_exit.get_or_insert(exit);
                        self.end_tree(LEFTOVER_GRACE, now);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                // No child is left.
                Ok(_) | Err(_) => {
                    self.children = None;
                    self.kill_at = None;
                    // Where orphans are not adopted, the agent's group may still hold some.
                    self.kill_tree();
                    self.drain_until = Some(now + DRAIN);
                }
            }
        }
    }

    /// Asks everything below the host to end, and sets when it is ended.
    fn end_tree(&mut self, grace: Duration, now: Instant) {
        if self.children.is_none() {
            return;
        }
        let kill_at = now + grace;
        if self.kill_at.is_some_and(|at| at <= kill_at) {
            return;
        }
        self.kill_at = Some(kill_at);
        for signal in [Signal::SIGHUP, Signal::SIGCONT, Signal::SIGTERM] {
            for group in self.foreground().into_iter().chain(self.agent) {
                let _ = process::send_group(group, signal as i32);
            }
            for pid in process::descendants(std::process::id().cast_signed()) {
                let _ = process::send(pid, signal as i32);
            }
        }
    }

    fn kill_tree(&self) {
        for pid in process::descendants(std::process::id().cast_signed()) {
            let _ = process::kill(pid);
        }
        #[cfg(not(target_os = "linux"))]
        if let Some(agent) = self.agent {
            let _ = process::send_group(agent, Signal::SIGKILL as i32);
        }
    }

    fn foreground(&self) -> Option<i32> {
        let master = self.master.as_ref()?;
        nix::unistd::tcgetpgrp(master)
            .ok()
            .map(nix::unistd::Pid::as_raw)
            .filter(|g| *g > 1 && Some(*g) != self.agent)
    }

    /// It is over: closes the recording, writes the exit file, tells everybody.
    fn finish(&mut self, now: Instant) {
        let exit = self.agent_exit.clone().unwrap_or(Exit::Lost);
        self.master = None;
        self.input = VecDeque::new();
        for (id, state) in self.typist.give_up() {
            self.tell_daemon(&FromHost::MessageState { id, state }, now);
        }
        let (status, cause) = match &exit {
            Exit::Code(code) => (*code, None),
            Exit::Signal(signal) => (128 + signal, Some(exit.to_string())),
            Exit::Failed(_) => (127, Some(exit.to_string())),
            Exit::Lost => (crate::host::recording::STATUS_LOST, Some(exit.to_string())),
        };
        let at = self.clock.at(now);
        self.sync_at = None;
        if let Err(e) = self.recording.finish(status, cause.as_deref(), at) {
            self.hole(e.to_string(), now);
        }
        let lost_bytes = self.recording.lost_bytes();
        let file = ExitFile {
            version: files::FILE_VERSION,
            session_id: self.session,
            exit: exit.clone(),
            at,
            lost_bytes,
        };
        if let Some(dir) = self.exit_path.parent() {
            let _ = files::private_dir(dir);
        }
        if files::write_atomically(&self.exit_path, &file).is_err() {
            self.exit_unwritten = Some((file, now + AGAIN_AFTER));
        }
        self.activity = SessionActivity::Idle;
        self.exit = Some(exit.clone());
        for peer in self.peers.iter_mut().filter(|p| p.greeted) {
            peer.send(&FromHost::Exited(exit.clone()), now);
        }
        // Whoever asks from now on gets the screen; the rest may go.
        self.replay = VecDeque::new();
    }

    fn tell_daemon(&mut self, frame: &FromHost, now: Instant) {
        for peer in self.peers.iter_mut().filter(|p| p.claims) {
            peer.send(frame, now);
        }
    }

    fn status(&self) -> Status {
        Status {
            version: PROTOCOL_VERSION,
            session: self.session,
            agent_pid: self.agent,
            seq: self.seq,
            activity: self.activity,
            exit: self.exit.clone(),
        }
    }

    fn frame(&mut self, i: usize, kind: u8, payload: &[u8], now: Instant) {
        let asked = match ToHost::decode(kind, payload) {
            Ok(Known::Frame(asked)) => asked,
            Ok(Known::Other(kind)) if self.peers[i].greeted => {
                self.peers[i].send(&FromHost::Unsupported { kind }, now);
                return;
            }
            Ok(Known::Other(_)) => return self.peers[i].drop_saying("no hello", now),
            Err(e) => return self.peers[i].drop_saying(&e.to_string(), now),
        };
        match asked {
            ToHost::Hello(hello) => self.hello(i, &hello, now),
            _ if !self.peers[i].greeted => self.peers[i].drop_saying("no hello", now),
            ToHost::Subscribe { from } => self.subscribe(i, from, now),
            ToHost::Write(bytes) => {
                if self.master.is_none() || self.input.len() + bytes.len() > INPUT_BYTES_MAX {
                    self.refuse(i, "the terminal takes no input", now);
                } else {
                    self.type_bytes(&bytes, now);
                }
            }
            ToHost::Message(message) => self.message(i, message, now),
            ToHost::Resize(size) => self.resize(size, now),
            ToHost::Signal { signal } => {
                let group = self.foreground().or(self.agent.filter(|_| self.agent_exit.is_none()));
                if group.is_none_or(|g| process::send_group(g, signal).is_err()) {
                    self.refuse(i, "the signal could not be sent", now);
                }
            }
            ToHost::Snapshot { request, scrollback } => {
                let mut text = self.screen.text(scrollback.min(SCROLLBACK_MAX) as usize);
                if text.len() > SNAPSHOT_CHARS {
                    let cut = text.ceil_char_boundary(text.len() - SNAPSHOT_CHARS);
                    text.drain(..cut);
                }
                let (seq, size, dump) = (self.seq, self.screen.size(), self.screen.dump());
                let snapshot = Snapshot { request, seq, size, text, dump };
                self.peers[i].send(&FromHost::Snapshot(snapshot), now);
            }
            ToHost::Status { request } => {
                let status = self.status();
                self.peers[i].send(&FromHost::Status { request, status }, now);
            }
            ToHost::End { grace_ms } => self.end_tree(Duration::from_millis(grace_ms).min(GRACE_MAX), now),
            ToHost::Acknowledge => {
                if self.exit.is_some() && self.peers[i].claims {
                    self.acknowledged = true;
                } else {
                    self.refuse(i, "there is nothing to acknowledge", now);
                }
            }
        }
    }

    fn refuse(&mut self, i: usize, why: &str, now: Instant) {
        self.peers[i].send(&FromHost::Refused { why: why.to_owned() }, now);
    }

    fn hello(&mut self, i: usize, hello: &Hello, now: Instant) {
        if self.peers[i].greeted || hello.lease != self.lease {
            self.peers[i].drop_saying("not the lease", now);
            return;
        }
        if hello.claim {
            for (other, peer) in self.peers.iter_mut().enumerate() {
                if other != i && peer.greeted {
                    peer.drop_saying(TAKEN_OVER, now);
                }
            }
        }
        let status = self.status();
        let peer = &mut self.peers[i];
        peer.greet(hello.claim);
        peer.send(&FromHost::Welcome(status), now);
    }

    fn subscribe(&mut self, i: usize, from: u64, now: Instant) {
        let held_from = self.seq - self.replay.len() as u64;
        let missed = (!(held_from..=self.seq).contains(&from)).then(|| Missed {
            seq: self.seq,
            dump: self.screen.dump(),
            size: self.screen.size(),
        });
        let peer = &mut self.peers[i];
        peer.subscribed = true;
        if let Some(missed) = missed {
            peer.send(&FromHost::Missed(missed), now);
        } else if from < self.seq {
            let skip = usize::try_from(from - held_from).unwrap_or(usize::MAX);
            let bytes: Vec<u8> = self.replay.iter().skip(skip).copied().collect();
            peer.send(&FromHost::Output { seq: from, bytes }, now);
        }
    }

    fn message(&mut self, i: usize, message: crate::host::message::Message, now: Instant) {
        let id = message.id.clone();
        let state = if self.master.is_none() { Ok(MessageState::Failed) } else { self.typist.take(message) };
        let state = state.unwrap_or(MessageState::Failed);
        self.peers[i].send(&FromHost::MessageState { id, state }, now);
    }

    fn resize(&mut self, size: Size, now: Instant) {
        let size = size.clamped();
        if size == self.screen.size() {
            return;
        }
        self.screen.resize(size);
        if let Some(master) = &self.master {
            let _ = pty::resize(master, size);
        }
        let recorded = self.recording.resize(size, self.clock.at(now));
        self.recorded(recorded, now);
        for peer in self.peers.iter_mut().filter(|p| p.subscribed || p.claims) {
            peer.send(&FromHost::Resized(size), now);
        }
    }
}

/// What `poll(2)` saw.
struct Happened {
    connection: bool,
    output: bool,
    child: bool,
    peers: Vec<bool>,
}
