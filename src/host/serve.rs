//! The host's loop: terminal, connections, the agent's tree and clocks in one `poll(2)`. Nothing here blocks but the
//! recording's sync; every queue has a bound. An idle host makes no wake-ups.

mod requests;

use crate::domain::session::{Exit, SessionActivity, SessionId};
use crate::domain::timestamp::Timestamp;
use crate::host::files::{self, ExitFile, Run};
use crate::host::peers::{PEERS_MAX, Peer};
use crate::host::protocol::{FromHost, Gap, PROTOCOL_VERSION, Status};
use crate::host::pty::{Output, Terminal};
use crate::host::recording::{Header, Recorded, Writer};
use crate::host::replay::Replay;
use crate::host::resident;
use crate::host::screen::{Decoder, Screen};
use crate::host::spec::{Launch, SCROLLBACK_MAX, StartSpec};
use crate::host::tree::{Event, Tree};
use crate::host::typist::{Keys, Seen, Typist};
use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// A screen that did not change for this long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// What the agent leaves behind gets this long to end by itself.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);
/// Longest grace that can be asked for.
const GRACE_MAX: Duration = Duration::from_secs(60);
/// Between two tries to write the exit file.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Once the agent's tree is gone, output that is still on its way is waited for this long.
const DRAIN: Duration = Duration::from_secs(1);
/// Once the runner is lost, the terminal's hang-up is waited for this long: the service manager ends what a killed
/// runner left within 5 s.
const HUNG_UP_WITHIN: Duration = Duration::from_secs(7);

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
    terminal: Terminal,
    /// None once it is gone, or lost.
    tree: Option<Tree>,
    agent: Option<i32>,
    agent_exit: Option<Exit>,
    /// The tree is gone: when to stop waiting for output.
    drain_until: Option<Instant>,
    exit: Option<Exit>,
    exit_unwritten: Option<(ExitFile, Instant)>,
    acknowledged: bool,
    screen: Screen,
    decoder: Decoder,
    recording: Writer,
    sync_at: Option<Instant>,
    replay: Replay,
    activity: SessionActivity,
    last_output: Option<Instant>,
    typist: Typist,
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
            Ok((recording, Terminal::open(size)?))
        })();
        let (recording, (terminal, slave)) = match opened {
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
            terminal,
            tree: None,
            agent: None,
            agent_exit: None,
            drain_until: None,
            exit: None,
            exit_unwritten: None,
            acknowledged: false,
            screen: Screen::new(size, scrollback),
            decoder: Decoder::default(),
            recording,
            sync_at: None,
            replay: Replay::default(),
            activity: SessionActivity::Busy,
            last_output: None,
            typist: Typist::default(),
            peers: Vec::new(),
        };
        if let Some(notice) = &spec.notice {
            server.show(&format!("{}\r\n", notice.replace('\n', "\r\n")), clock.steady);
        }
        if let Some(message) = spec.first_message.clone() {
            let _ = server.typist.take(message);
        }
        server.start_agent(&spec.launch, slave);
        Ok(server)
    }

    fn start_agent(&mut self, launch: &Launch, slave: OwnedFd) {
        let now = Instant::now();
        match Tree::start(launch, slave, now) {
            Ok(tree) => {
                self.tree = Some(tree);
                // One that the host started itself runs already.
                self.read_tree(now);
            }
            Err(why) => {
                self.agent_exit = Some(Exit::Failed(why));
                self.drain_until = Some(now);
            }
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
        self.terminal.write();
        if self.is_busy() && now >= self.idle_at() {
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
        if let Some(event) = self.tree.as_mut().and_then(|tree| tree.act(now)) {
            self.happened(event, now);
        }
        if self.exit.is_none() && self.drain_until.is_some_and(|at| at <= now || !self.terminal.is_open()) {
            self.finish(now);
        }
        if let Some((file, again)) = &mut self.exit_unwritten
            && *again <= now
        {
            *again = now + AGAIN_AFTER;
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
        if let Some(terminal) = self.terminal.fd() {
            fds.push(PollFd::new(terminal, writing(!self.terminal.has_taken_all())));
        }
        if let Some(tree) = &self.tree {
            fds.push(PollFd::new(tree.fd(), PollFlags::POLLIN));
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
            output: self.terminal.is_open() && next(),
            tree: self.tree.is_some() && next(),
            peers: self.peers.iter().map(|_| next()).collect(),
        })
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let idle = self.is_busy().then(|| self.idle_at());
        let drain = self.drain_until.filter(|_| self.exit.is_none());
        let unwritten = self.exit_unwritten.as_ref().map(|(_, again)| *again);
        let tree = self.tree.as_ref().and_then(Tree::deadline);
        [idle, drain, unwritten, self.sync_at, tree, self.typist.deadline(self.seen(now))]
            .into_iter()
            .chain(self.peers.iter().map(Peer::deadline))
            .flatten()
            .min()
    }

    fn react(&mut self, happened: Happened, now: Instant) {
        if happened.output {
            self.read_output(now);
        }
        if happened.tree {
            self.read_tree(now);
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
            seq: self.replay.seq(),
            taken: self.terminal.has_taken_all(),
            bracketed: self.screen.wants_bracketed_paste(),
            raw: self.terminal.is_raw(),
            spot: self.typist.looks_for().and_then(|words| self.screen.spot(&words)),
        }
    }

    /// Whether it may become idle by being quiet: an agent that is not there yet is neither.
    fn is_busy(&self) -> bool {
        self.activity == SessionActivity::Busy && self.agent.is_some() && self.exit.is_none()
    }

    fn idle_at(&self) -> Instant {
        self.last_output.unwrap_or(self.clock.steady) + IDLE_AFTER
    }

    /// Reads what the agent wrote, a bounded piece.
    fn read_output(&mut self, now: Instant) {
        let mut buffer = [0; 16 * 1024];
        match self.terminal.read(&mut buffer) {
            Output::Bytes(n) => {
                let text = self.decoder.push(&buffer[..n]);
                self.last_output = Some(now);
                if self.activity == SessionActivity::Idle {
                    self.activity = SessionActivity::Busy;
                    self.tell_daemon(&FromHost::Activity(self.activity), now);
                }
                self.show(&text, now);
            }
            Output::Nothing => {}
            Output::End => {
                let rest = self.decoder.finish();
                self.show(rest, now);
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
        if !answers.is_empty() {
            // Too many questions get no answers.
            let _ = self.terminal.queue(answers.as_bytes());
        }
        let frame = FromHost::Output { seq: self.replay.seq(), bytes: text.as_bytes().to_vec() }.encode();
        self.replay.push(text);
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
        let _ = self.terminal.queue(bytes);
    }

    fn read_tree(&mut self, now: Instant) {
        while let Some(event) = self.tree.as_mut().and_then(Tree::happened) {
            self.happened(event, now);
        }
    }

    fn happened(&mut self, event: Event, now: Instant) {
        match event {
            Event::Started(pid) => {
                self.agent = Some(pid);
                // The next daemon finds an agent of the host's own without this, too, by its environment.
                let _ = self.run.agent_started(pid);
                self.tell_daemon(&FromHost::Started { agent_pid: pid }, now);
            }
            Event::Exited(exit) => {
                self.agent_exit.get_or_insert(exit);
                self.end_tree(LEFTOVER_GRACE, now);
            }
            Event::Failed(why) => {
                self.agent_exit.get_or_insert(Exit::Failed(why));
                self.tree = None;
                self.drain_until = Some(now);
            }
            Event::Gone => {
                if self.agent.is_none() {
                    let why = "it was ended before the agent ran";
                    self.agent_exit.get_or_insert(Exit::Failed(why.to_owned()));
                }
                self.tree = None;
                self.drain_until = Some(now + DRAIN);
            }
            Event::Lost => {
                if self.agent.is_none() {
                    let why = "teleclaude-runner did not say that the agent runs; its own log may say why";
                    self.agent_exit.get_or_insert(Exit::Failed(why.to_owned()));
                }
                self.tree = None;
                self.drain_until = Some(now + HUNG_UP_WITHIN);
            }
        }
    }

    /// Asks the agent and everything that came from it to end, and sets when it is ended.
    fn end_tree(&mut self, grace: Duration, now: Instant) {
        let foreground = self.terminal.foreground();
        if let Some(tree) = &mut self.tree {
            tree.end(grace, foreground, now);
        }
    }

    /// It is over: closes the recording, writes the exit file, tells everybody.
    fn finish(&mut self, now: Instant) {
        let exit = self.agent_exit.clone().unwrap_or(Exit::Lost);
        self.terminal.close();
        for (id, state) in self.typist.give_up() {
            self.tell_daemon(&FromHost::MessageState { id, state }, now);
        }
        let (status, cause) = match &exit {
            Exit::Code(code) => (*code, None),
            Exit::Signal(signal) => (128 + signal, Some(exit.to_string())),
            Exit::Idle(_) => (0, Some(exit.to_string())),
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
        self.replay.forget();
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
            seq: self.replay.seq(),
            activity: self.activity,
            exit: self.exit.clone(),
        }
    }
}

/// What `poll(2)` saw.
struct Happened {
    connection: bool,
    output: bool,
    tree: bool,
    peers: Vec<bool>,
}
