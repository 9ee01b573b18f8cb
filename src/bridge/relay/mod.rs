//! What the bridge decides: which line goes where, what is held, sent again, answered here or given up. A state
//! machine without I/O: lines, times and losses go in; two queues and a next deadline come out. `mod.rs` moves
//! the bytes.

mod daemon;
mod editor;
mod knowledge;
mod time;

use super::absent::Absence;
use super::catalogue::Catalogue;
use super::message::{self, Params};
use super::pending::{Kind, Pending, State};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Requests in flight at the daemon, at most; it takes 64, and the rest is for the bridge itself.
const IN_FLIGHT_MAX: usize = 60;
/// Bytes waiting to be written to one side, beyond which the other side is not read.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Times that a safe request is sent, at most: it may be what kills the daemon.
const SENDS_MAX: u32 = 5;
/// Remembered resource subscriptions, and open requests of the daemon to the editor, at most.
const REMEMBERED_MAX: usize = 256;
/// How long the answer to a cancelled request is still expected.
const MUTED_FOR: Duration = Duration::from_secs(10);
/// Back-off between attempts to connect.
const BACK_OFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(500);
/// The versions in which a session begins with `initialize`, the newest last.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The stateless version.
const MODERN: &str = "2026-07-28";

/// Times and bounds; see `Options` for what they mean.
#[derive(Clone, Debug)]
pub struct Limits {
    pub hold: Duration,
    pub answer_locally_after: Duration,
    pub answer_deadline: Duration,
    pub call_deadline: Duration,
    pub request_deadline: Duration,
    pub drain: Duration,
    pub held_max: usize,
    pub held_bytes_max: usize,
}

/// What is told to people about the daemon.
#[derive(Clone, Debug)]
pub struct Place {
    pub socket: PathBuf,
    pub start_hint: String,
}

/// A line on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// With its line feed.
    pub bytes: Arc<Vec<u8>>,
    /// The request it is, if the editor's.
    seq: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down { retry_at: Instant },
    Dialing,
    Greeting { since: Instant },
    Ready,
}

struct Init {
    params: String,
    asked: String,
    told: Option<String>,
    initialized: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Private {
    Init,
    Tools,
    Other,
}

/// The state of one bridge.
pub struct Relay {
    limits: Limits,
    place: Place,
    token: Option<secrecy::SecretString>,
    catalogue: Catalogue,
    catalogue_changed: bool,
    told_tools: Option<String>,
    init: Option<Init>,
    modern: Option<String>,
    spoken_to: bool,
    pending: Vec<Pending>,
    next_seq: u64,
    private: Vec<(String, Private)>,
    next_private: u64,
    level: Option<String>,
    subscriptions: Vec<(String, String)>,
    server_ids: Vec<String>,
    epoch: u64,
    link: Link,
    back_off: Duration,
    absence: Absence,
    quiet_since: Instant,
    probe_since: Option<Instant>,
    drain_until: Option<Instant>,
    drained: bool,
    to_editor: VecDeque<Vec<u8>>,
    editor_bytes: usize,
    to_daemon: VecDeque<Outgoing>,
    daemon_bytes: usize,
    fatal: Option<String>,
}

impl Relay {
    /// A bridge that has heard nothing yet.
    pub fn new(
        limits: Limits,
        place: Place,
        token: Option<secrecy::SecretString>,
        catalogue: Catalogue,
        now: Instant,
    ) -> Self {
        Self {
            limits,
            place,
            token,
            catalogue,
            catalogue_changed: false,
            told_tools: None,
            init: None,
            modern: None,
            spoken_to: false,
            pending: Vec::new(),
            next_seq: 0,
            private: Vec::new(),
            next_private: 0,
            level: None,
            subscriptions: Vec::new(),
            server_ids: Vec::new(),
            epoch: 0,
            link: Link::Down { retry_at: now },
            back_off: *BACK_OFF.start(),
            absence: Absence::Untried,
            quiet_since: now,
            probe_since: None,
            drain_until: None,
            drained: false,
            to_editor: VecDeque::new(),
            editor_bytes: 0,
            to_daemon: VecDeque::new(),
            daemon_bytes: 0,
            fatal: None,
        }
    }

    // What the loop asks.

    /// The line to write to the editor next.
    pub fn editor_front(&self) -> Option<&Vec<u8>> {
        self.to_editor.front()
    }

    /// The front line is written.
    pub fn editor_written(&mut self) {
        if let Some(line) = self.to_editor.pop_front() {
            self.editor_bytes -= line.len();
        }
    }

    /// The line to write to the daemon next.
    pub fn daemon_front(&self) -> Option<Outgoing> {
        self.to_daemon.front().cloned()
    }

    /// The first byte of the front line is written: from now on it may have had an effect.
    pub fn daemon_begun(&mut self, line: &Outgoing, now: Instant) {
        let alone = !self.pending.iter().any(|one| one.state == State::Sent);
        if let Some(one) = self.pending.iter_mut().find(|one| Some(one.seq) == line.seq) {
            one.state = State::Sent;
            one.sends += 1;
            if alone {
                self.quiet_since = now;
            }
        }
    }

    /// The front line is written.
    pub fn daemon_written(&mut self) {
        if let Some(line) = self.to_daemon.pop_front() {
            self.daemon_bytes -= line.bytes.len();
        }
    }

    /// May more be read from the editor?
    pub fn wants_editor(&self) -> bool {
        self.drain_until.is_none()
            && self.editor_bytes < QUEUE_BYTES_MAX
            && self.daemon_bytes < QUEUE_BYTES_MAX
    }

    /// May more be read from the daemon?
    pub fn wants_daemon(&self) -> bool {
        self.editor_bytes < QUEUE_BYTES_MAX
    }

    /// Is it time to connect? Then the caller does, once, and reports `connected` or `lost`.
    pub fn dial(&mut self, now: Instant) -> bool {
        let due = self.spoken_to && matches!(self.link, Link::Down { retry_at } if retry_at <= now);
        if due {
            self.link = Link::Dialing;
        }
        due
    }

    /// Is the connection (or the attempt) still wanted? False after the relay itself gave it up.
    pub fn wants_link(&self) -> bool {
        !matches!(self.link, Link::Down { .. })
    }

    /// Has the daemon shown on this connection that it answers?
    pub fn is_ready(&self) -> bool {
        self.link == Link::Ready
    }

    /// Is everything said that will be said, so that the daemon may see the end?
    pub fn may_shut(&self) -> bool {
        self.drain_until.is_some()
            && self.link == Link::Ready
            && self.to_daemon.is_empty()
            && self.pending.iter().all(|one| one.state == State::Sent)
    }

    /// Is there nothing left to do after the editor closed its end?
    pub fn finished(&self) -> bool {
        let open =
            |one: &Pending| one.muted.is_none() && !one.cancelled && !matches!(one.kind, Kind::Listen { .. });
        let said = self.to_editor.is_empty() && (self.link != Link::Ready || self.to_daemon.is_empty());
        self.drain_until.is_some() && said && !self.pending.iter().any(open)
    }

    /// Did even the answers that the bridge gave at the end find no reader?
    pub fn overdue(&self, now: Instant) -> bool {
        self.drain_until.is_some_and(|at| at + self.limits.drain <= now)
    }

    /// Why the bridge must end and the editor begin anew, if so.
    pub fn fatal(&mut self) -> Option<String> {
        self.fatal.take()
    }

    /// The catalogue, if it changed since the last call.
    pub fn changed_catalogue(&mut self) -> Option<&Catalogue> {
        std::mem::take(&mut self.catalogue_changed).then_some(&self.catalogue)
    }

    // What is said.

    fn say(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.editor_bytes += line.len();
        self.to_editor.push_back(line);
    }

    fn queue(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.daemon_bytes += line.len();
        self.to_daemon.push_back(Outgoing { bytes: Arc::new(line), seq: None });
    }

    /// A request of the bridge's own.
    fn ask(&mut self, private: Private, prefix: &str, method: &str, params: &str) {
        self.next_private += 1;
        let id = format!("{prefix}-{}", self.next_private);
        self.queue(message::request(Some(&id), method, params));
        self.private.push((id, private));
    }

    /// Asks for the tools, to know whether they changed and whether the daemon answers.
    fn refresh(&mut self) {
        if self.private.iter().any(|(_, private)| *private == Private::Tools) {
            return;
        }
        let meta = match (&self.init, &self.modern) {
            (None, Some(version)) => format!(
                "{{\"io.modelcontextprotocol/protocolVersion\":{},\
                 \"io.modelcontextprotocol/clientCapabilities\":{{}},\
                 \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"teleclaude-bridge\",\"version\":{}}}}}",
                message::quoted(version),
                message::quoted(env!("CARGO_PKG_VERSION"))
            ),
            _ => "{}".to_owned(),
        };
        let mut params = format!("{{\"_meta\":{meta}}}");
        if let Some(token) = &self.token {
            use secrecy::ExposeSecret;
            let token = message::quoted(token.expose_secret());
            if let Some(meta) = message::with_entry(&meta, crate::wire::limits::TOKEN_META, &token) {
                params = format!("{{\"_meta\":{meta}}}");
            }
        }
        self.ask(Private::Tools, "bridge-tools", "tools/list", &params);
    }

    /// Queues what waits, as far as the daemon takes it.
    fn pump(&mut self) {
        if self.link != Link::Ready {
            return;
        }
        let streams = |one: &&Pending| one.state != State::Waiting;
        let mut room = IN_FLIGHT_MAX.saturating_sub(self.pending.iter().filter(streams).count());
        for one in &mut self.pending {
            if room == 0 || self.daemon_bytes >= QUEUE_BYTES_MAX {
                break;
            }
            if one.state == State::Waiting && one.kind != Kind::Initialize {
                one.state = State::Queued;
                room -= 1;
                self.daemon_bytes += one.line.len();
                self.to_daemon.push_back(Outgoing { bytes: Arc::clone(&one.line), seq: Some(one.seq) });
            }
        }
    }

    /// May it be sent again after it may have been done?
    fn safe(&self, one: &Pending) -> bool {
        match one.kind {
            Kind::Call => {
                let head =
                    std::str::from_utf8(&one.line).ok().and_then(|line| serde_json::from_str(line).ok());
                head.is_some_and(|head| self.catalogue.repeatable(&Params::of(&head)))
            }
            Kind::Other { safe } => safe,
            _ => true,
        }
    }

    fn explain(&self) -> String {
        self.absence.explain(&self.place.socket, &self.place.start_hint)
    }

    /// Answers a request with a failure, in the form in which it is read.
    fn refuse(&mut self, one: &Pending, text: &str) {
        let call = matches!(one.kind, Kind::Call);
        self.say(match call {
            true => message::tool_error(&one.raw_id, one.modern, text),
            false => message::error(Some(&one.raw_id), -32000, text),
        });
    }
}

/// Where the stateless era says who the server is.
const SERVER_INFO_META: &str = "io.modelcontextprotocol/serverInfo";
