//! What the bridge decides: which line goes where, what is held, sent again, answered here or given up. A state
//! machine without I/O: lines, times and losses go in; two queues and a next deadline come out. `mod.rs` moves
//! the bytes.

use super::absent::Absence;
use super::catalogue::Catalogue;
use super::message::{self, Head, Id, Meta, Params, string_of};
use super::pending::{Kind, Pending, State};
use serde_json::value::RawValue;
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

    // What the editor says.

    /// A line from the editor.
    pub fn editor_line(&mut self, line: Vec<u8>, now: Instant) {
        let Ok(line) = String::from_utf8(line) else {
            return self.say(message::error(None, -32700, "the line is not UTF-8"));
        };
        let head = match serde_json::from_str::<Head<'_>>(&line) {
            Ok(head) if line.trim_start().starts_with('{') => head,
            Err(error) if error.is_syntax() || error.is_eof() => {
                return self.say(message::error(None, -32700, "the line is not JSON"));
            }
            _ => return self.say(message::error(None, -32600, "the line is not one JSON-RPC message")),
        };
        self.spoken_to = true;
        match (head.id, head.method.as_deref()) {
            (Some(id), Some(_)) => {
                let (id, raw) = (Id::parse(id.get()), id.get().to_owned());
                match id {
                    Some(id) => self.editor_request(&line, &head, id, raw, now),
                    None => self.say(message::error(
                        None,
                        -32600,
                        "the id is neither a number nor a short string",
                    )),
                }
            }
            (Some(id), None) => self.editor_answer(&line, id.get()),
            (None, Some(method)) => self.editor_notification(&line, &head, method, now),
            (None, None) => self.say(message::error(None, -32600, "neither a request nor an answer")),
        }
        self.pump();
        self.tick(now);
    }

    /// A line from the editor was too long.
    pub fn editor_oversized(&mut self, id: Option<&str>) {
        self.say(message::error(id, -32600, "the message is larger than 1 MiB"));
    }

    /// The editor closed its end: what is open gets a bounded time.
    pub fn editor_end(&mut self, now: Instant) {
        self.drain_until = Some(now + self.limits.drain);
    }

    fn editor_request(&mut self, line: &str, head: &Head<'_>, id: Id, raw_id: String, now: Instant) {
        let method = head.method.as_deref().unwrap_or_default();
        let private = matches!(&id, Id::Text(text) if text.starts_with("bridge-"));
        if private || self.pending.iter().any(|one| one.id == id) {
            return self.say(message::error(Some(&raw_id), -32600, "this request id is already in use"));
        }
        let params = Params::of(head);
        let version = string_of(params.meta().protocol_version);
        let kind = Kind::of(method, &params, head.params);
        if kind == Kind::Initialize && self.init.is_some() {
            return self.say(message::error(Some(&raw_id), -32600, "this session is already initialized"));
        }
        let bytes: usize = self.pending.iter().map(|one| one.line.len()).sum();
        if self.pending.len() >= self.limits.held_max || bytes + line.len() > self.limits.held_bytes_max {
            let why = match self.link {
                Link::Ready => "too many requests are open".to_owned(),
                _ => format!("too many requests are waiting: {}", self.explain()),
            };
            return self.say(message::error(Some(&raw_id), -32000, &why));
        }
        let mut line = line.to_owned();
        if let Some(token) = &self.token {
            use secrecy::ExposeSecret;
            let Some(with) =
                message::with_meta(&line, crate::wire::limits::TOKEN_META, token.expose_secret())
            else {
                return self.say(message::error(Some(&raw_id), -32602, "params must be an object"));
            };
            line = with;
        }
        let modern = version.is_some();
        if kind == Kind::Initialize {
            let sent: Option<Head<'_>> = serde_json::from_str(&line).ok();
            let raw = sent.and_then(|head| head.params).map_or("{}", RawValue::get);
            let asked = string_of(params.protocol_version).unwrap_or_default();
            self.init = Some(Init { params: raw.to_owned(), asked, told: None, initialized: false });
            if matches!(self.link, Link::Greeting { .. } | Link::Ready) {
                // This connection began statelessly.
                self.lost(self.absence.clone(), now);
                self.link = Link::Down { retry_at: now };
            }
        } else if let Some(version) = version
            && self.modern.replace(version).is_none()
            && self.init.is_none()
            && self.link == Link::Ready
        {
            self.refresh();
        }
        line.push('\n');
        self.next_seq += 1;
        self.pending.push(Pending {
            seq: self.next_seq,
            raw_id,
            id,
            kind,
            modern,
            line: Arc::new(line.into_bytes()),
            received: now,
            held_since: now,
            state: State::Waiting,
            sends: 0,
            acknowledged: false,
            muted: None,
            cancelled: false,
        });
    }

    /// An answer to a request of the daemon: back to its own id, unless the asker is gone.
    fn editor_answer(&mut self, line: &str, raw_id: &str) {
        let Ok(text) = serde_json::from_str::<String>(raw_id) else { return };
        let Some(at) = self.server_ids.iter().position(|known| *known == text) else { return };
        self.server_ids.remove(at);
        let Some(own) = text.strip_prefix(&format!("e{}:", self.epoch)) else { return };
        self.queue(message::splice(line, raw_id, own).into_bytes());
    }

    fn editor_notification(&mut self, line: &str, head: &Head<'_>, method: &str, now: Instant) {
        match method {
            "notifications/initialized" => {
                let Some(init) = &mut self.init else { return };
                let first = !std::mem::replace(&mut init.initialized, true);
                if first && self.link == Link::Ready {
                    self.begin_session();
                }
                return;
            }
            "notifications/cancelled" => {
                let Some(id) = Params::of(head).request_id.and_then(|raw| Id::parse(raw.get())) else {
                    return;
                };
                let Some(at) = self.pending.iter().position(|one| one.id == id) else { return };
                if self.pending[at].state != State::Sent {
                    let gone = self.pending.remove(at);
                    self.unqueue(gone.seq);
                    return;
                }
                let one = &mut self.pending[at];
                one.cancelled = true;
                one.held_since = now;
            }
            _ => {}
        }
        if self.link == Link::Ready {
            self.queue(line.as_bytes().to_vec());
        }
    }

    // What happens on the connection.

    /// The one attempt to connect succeeded.
    pub fn connected(&mut self, now: Instant) {
        self.epoch += 1;
        self.quiet_since = now;
        self.probe_since = None;
        if let Some(init) = &self.init {
            let params = init.params.clone();
            self.link = Link::Greeting { since: now };
            self.ask(Private::Init, "bridge-init", "initialize", &params);
        } else if self.modern.is_some() {
            self.link = Link::Greeting { since: now };
            self.refresh();
        } else {
            self.link = Link::Ready;
        }
        self.pump();
    }

    /// The connection or the attempt at one is lost.
    pub fn lost(&mut self, why: Absence, now: Instant) {
        self.absence = why;
        self.link = Link::Down { retry_at: now + self.back_off };
        self.back_off = (self.back_off * 2).min(*BACK_OFF.end());
        self.to_daemon.clear();
        self.daemon_bytes = 0;
        self.private.clear();
        self.probe_since = None;
        for id in std::mem::take(&mut self.server_ids) {
            let params =
                format!("{{\"requestId\":{},\"reason\":\"the daemon restarted\"}}", message::quoted(&id));
            self.say(message::request(None, "notifications/cancelled", &params));
        }
        for mut one in std::mem::take(&mut self.pending) {
            if one.state == State::Sent {
                if one.muted.is_some() || one.cancelled {
                    continue;
                }
                let stream = matches!(one.kind, Kind::Listen { .. });
                let safe = self.safe(&one);
                if !safe || (one.sends >= SENDS_MAX && !stream) {
                    let text = if safe {
                        "the connection to the teleclaude daemon broke each time this was sent; not trying again"
                    } else {
                        "the connection to the teleclaude daemon broke while this call was running; \
                         it may or may not have taken effect. Look before you repeat it."
                    };
                    self.refuse(&one, text);
                    continue;
                }
                one.held_since = now;
            }
            one.state = State::Waiting;
            self.pending.push(one);
        }
        self.tick(now);
    }

    /// A line from the daemon.
    pub fn daemon_line(&mut self, line: Vec<u8>, now: Instant) {
        self.quiet_since = now;
        self.probe_since = None;
        let Ok(line) = String::from_utf8(line) else { return };
        let Ok(head) = serde_json::from_str::<Head<'_>>(&line) else { return };
        match (head.id, head.method.as_deref()) {
            (Some(id), Some(_)) => {
                if self.server_ids.len() >= REMEMBERED_MAX {
                    return self.queue(message::error(Some(id.get()), -32000, "too many requests are open"));
                }
                let mapped = format!("e{}:{}", self.epoch, id.get());
                self.say(message::splice(&line, id.get(), &message::quoted(&mapped)).into_bytes());
                self.server_ids.push(mapped);
            }
            (None, Some(method)) => self.daemon_notification(&line, &head, method),
            (Some(id), None) => {
                let Some(id) = Id::parse(id.get()) else { return };
                self.daemon_answer(&line, &head, &id, now);
            }
            (None, None) if head.error.is_some() => self.say(line.clone().into_bytes()),
            (None, None) => {}
        }
        self.pump();
    }

    /// A line from the daemon was too long.
    pub fn daemon_oversized(&mut self, id: Option<&str>, now: Instant) {
        self.quiet_since = now;
        self.probe_since = None;
        let Some(id) = id.and_then(Id::parse) else { return };
        if let Some(at) = self.pending.iter().position(|one| one.id == id && one.state == State::Sent) {
            let one = self.pending.remove(at);
            self.refuse(&one, "the answer is larger than 4 MiB; ask for less of it");
        }
        self.pump();
    }

    fn daemon_notification(&mut self, line: &str, head: &Head<'_>, method: &str) {
        let params = Params::of(head);
        match method {
            "notifications/tools/list_changed" => {
                self.told_tools = None;
                self.say(line.as_bytes().to_vec());
                self.refresh();
            }
            "notifications/cancelled" => {
                let Some(raw) = params.request_id else { return };
                let mapped = format!("e{}:{}", self.epoch, raw.get());
                let Some(at) = self.server_ids.iter().position(|known| *known == mapped) else { return };
                self.server_ids.remove(at);
                self.say(message::splice(line, raw.get(), &message::quoted(&mapped)).into_bytes());
            }
            "notifications/subscriptions/acknowledged" => {
                let Meta { subscription_id, .. } = params.meta();
                let id = subscription_id.and_then(|raw| Id::parse(raw.get()));
                let one = self.pending.iter_mut().find(|one| Some(&one.id) == id.as_ref());
                if one.is_none_or(|one| !std::mem::replace(&mut one.acknowledged, true)) {
                    self.say(line.as_bytes().to_vec());
                }
            }
            _ => self.say(line.as_bytes().to_vec()),
        }
    }

    fn daemon_answer(&mut self, line: &str, head: &Head<'_>, id: &Id, now: Instant) {
        if let Id::Text(text) = id
            && let Some(at) = self.private.iter().position(|(private, _)| private == text)
        {
            match self.private.remove(at).1 {
                Private::Init => self.greeted(head, now),
                Private::Tools => {
                    self.learn_tools(head.result, false);
                    if matches!(self.link, Link::Greeting { .. }) && self.init.is_none() {
                        self.ready();
                    }
                }
                Private::Other => {}
            }
            return;
        }
        let Some(at) = self.pending.iter().position(|one| one.id == *id && one.state == State::Sent) else {
            return;
        };
        let one = self.pending.remove(at);
        let told = one.muted.is_none();
        if one.kind == Kind::ListTools {
            self.learn_tools(head.result, told);
        }
        if one.kind == Kind::Discover {
            self.learn_self(head.result);
        }
        if head.result.is_some() {
            self.remember(&one);
        }
        if self.init.is_none() && self.modern.is_none() {
            self.back_off = *BACK_OFF.start();
        }
        if told {
            self.say(line.as_bytes().to_vec());
        }
    }

    /// What must be said again on the next connection.
    fn remember(&mut self, one: &Pending) {
        let params = || {
            let line = std::str::from_utf8(&one.line).unwrap_or_default();
            let head: Option<Head<'_>> = serde_json::from_str(line).ok();
            head.and_then(|head| head.params).map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned())
        };
        match &one.kind {
            Kind::SetLevel if !one.modern => self.level = Some(params()),
            Kind::Subscribe(uri) => {
                self.subscriptions.retain(|(known, _)| known != uri);
                if self.subscriptions.len() < REMEMBERED_MAX {
                    self.subscriptions.push((uri.clone(), params()));
                }
            }
            Kind::Unsubscribe(uri) => self.subscriptions.retain(|(known, _)| known != uri),
            _ => {}
        }
    }

    /// The daemon answered our `initialize`.
    fn greeted(&mut self, head: &Head<'_>, now: Instant) {
        let Some(init) = &mut self.init else { return };
        let waiting = self.pending.iter().position(|one| one.kind == Kind::Initialize);
        let Some(result) = head.result else {
            let Some(at) = waiting else { return self.lost(Absence::Closed, now) };
            let one = self.pending.remove(at);
            self.init = None;
            self.link = Link::Ready;
            let error = head.error.map_or("{}", RawValue::get);
            return self.say(
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{error}}}", one.raw_id).into_bytes(),
            );
        };
        let params: Params<'_> = serde_json::from_str(result.get()).unwrap_or_default();
        let version = string_of(params.protocol_version);
        if init.told.is_some() && init.told != version {
            self.fatal = Some(format!(
                "the daemon now speaks protocol version {}, this session was begun with {}",
                version.unwrap_or_default(),
                init.told.clone().unwrap_or_default()
            ));
            return;
        }
        init.told = version;
        if let Some(at) = waiting {
            let one = self.pending.remove(at);
            self.say(message::result(&one.raw_id, result.get()));
        }
        self.learn_self(Some(result));
        self.ready();
    }

    fn ready(&mut self) {
        self.link = Link::Ready;
        self.back_off = *BACK_OFF.start();
        if self.init.as_ref().is_some_and(|init| init.initialized) {
            self.begin_session();
        }
        self.pump();
    }

    /// What follows `initialize`, the first time and after each restart.
    fn begin_session(&mut self) {
        self.queue(message::request(None, "notifications/initialized", "{}"));
        self.refresh();
        if let Some(level) = self.level.clone() {
            self.ask(Private::Other, "bridge-level", "logging/setLevel", &level);
        }
        for (uri, params) in self.subscriptions.clone() {
            self.ask(Private::Other, "bridge-subscribe", "resources/subscribe", &params);
            // It may have changed while nobody was there to say so.
            let params = format!("{{\"uri\":{}}}", message::quoted(&uri));
            self.say(message::request(None, "notifications/resources/updated", &params));
        }
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

    // What is known of the daemon.

    fn learn_self(&mut self, result: Option<&RawValue>) {
        let Some(all) = result.and_then(|raw| message::entries(raw.get())) else { return };
        let server_info = all
            .iter()
            .find(|(key, _)| key == "_meta")
            .and_then(|(_, raw)| message::entries(raw.get()))
            .and_then(|meta| meta.into_iter().find(|(key, _)| key == SERVER_INFO_META));
        for (key, raw) in all.into_iter().chain(server_info) {
            let field = match key.as_str() {
                "serverInfo" | SERVER_INFO_META => &mut self.catalogue.server_info,
                "capabilities" => &mut self.catalogue.capabilities,
                "instructions" => &mut self.catalogue.instructions,
                _ => continue,
            };
            if field.get() != raw.get() {
                *field = raw.to_owned();
                self.catalogue_changed = true;
            }
        }
    }

    fn learn_tools(&mut self, result: Option<&RawValue>, told: bool) {
        let Some(all) = result.and_then(|raw| message::entries(raw.get())) else { return };
        if all.iter().any(|(key, value)| key == "nextCursor" && value.get() != "null") {
            return;
        }
        let Some((_, tools)) = all.into_iter().find(|(key, _)| key == "tools") else { return };
        if self.catalogue.tools.get() != tools.get() {
            self.catalogue.tools = tools.to_owned();
            self.catalogue_changed = true;
        }
        if told {
            self.told_tools = Some(tools.get().to_owned());
        } else if self.told_tools.as_deref().is_some_and(|known| known != tools.get()) {
            self.told_tools = None;
            self.tell_tools_changed();
        }
    }

    fn tell_tools_changed(&mut self) {
        let method = "notifications/tools/list_changed";
        if self.init.is_some() {
            return self.say(message::request(None, method, "{}"));
        }
        let listening = |one: &&Pending| one.kind == Kind::Listen { tools: true } && one.acknowledged;
        let ids: Vec<String> = self.pending.iter().filter(listening).map(|one| one.raw_id.clone()).collect();
        for id in ids {
            let params = format!("{{\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{id}}}}}");
            self.say(message::request(None, method, &params));
        }
    }

    /// The answer the bridge itself has to `one`, if any.
    fn own_answer(&mut self, one: &Pending) -> Option<String> {
        let Catalogue { server_info, capabilities, instructions, tools } = &self.catalogue;
        Some(match one.kind {
            Kind::Initialize => {
                let init = self.init.as_mut()?;
                let known = LEGACY.contains(&init.asked.as_str());
                let version = if known { init.asked.clone() } else { LEGACY[LEGACY.len() - 1].to_owned() };
                let said = if instructions.get() == "null" {
                    String::new()
                } else {
                    format!(",\"instructions\":{}", instructions.get())
                };
                let text = format!(
                    "{{\"protocolVersion\":\"{version}\",\"capabilities\":{},\"serverInfo\":{}{said}}}",
                    capabilities.get(),
                    server_info.get()
                );
                init.told = Some(version);
                text
            }
            Kind::Discover => {
                let said = if instructions.get() == "null" {
                    String::new()
                } else {
                    format!(",\"instructions\":{}", instructions.get())
                };
                format!(
                    "{{\"resultType\":\"complete\",\"supportedVersions\":{},\"capabilities\":{}{said},\"ttlMs\":0,\
                     \"cacheScope\":\"private\",\"_meta\":{{\"{SERVER_INFO_META}\":{}}}}}",
                    serde_json::json!([LEGACY[0], LEGACY[1], LEGACY[2], LEGACY[3], MODERN]),
                    capabilities.get(),
                    server_info.get()
                )
            }
            Kind::ListTools => {
                self.told_tools = Some(tools.get().to_owned());
                let more = match one.modern {
                    true => ",\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"",
                    false => "",
                };
                format!("{{\"tools\":{}{more}}}", tools.get())
            }
            Kind::Ping => "{}".to_owned(),
            _ => return None,
        })
    }

    // Time.

    /// When `tick` has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Down { retry_at } => self.spoken_to.then_some(retry_at),
            Link::Dialing => None,
            Link::Greeting { since } => Some(since + self.limits.answer_deadline),
            Link::Ready => self.liveness_deadline(),
        };
        let requests = self.pending.iter().filter_map(|one| self.deadline(one)).min();
        let end = self.drain_until.map(|at| if self.drained { at + self.limits.drain } else { at });
        [link, requests, end].into_iter().flatten().min()
    }

    fn liveness_deadline(&self) -> Option<Instant> {
        let waiting = self.pending.iter().any(|one| one.state == State::Sent && !one.acknowledged);
        match self.probe_since {
            Some(since) => Some(since + self.limits.answer_deadline),
            None if waiting => Some(self.quiet_since + self.limits.answer_deadline),
            None => None,
        }
    }

    fn deadline(&self, one: &Pending) -> Option<Instant> {
        let own = matches!(one.kind, Kind::Initialize | Kind::Discover | Kind::ListTools | Kind::Ping);
        if let Some(since) = one.muted {
            return Some(since + MUTED_FOR);
        }
        if one.cancelled {
            return Some(one.held_since + MUTED_FOR);
        }
        if own {
            let absent = matches!(self.link, Link::Down { .. }) && self.absence != Absence::Untried;
            return Some(if absent { one.received } else { one.received + self.limits.answer_locally_after });
        }
        if one.acknowledged {
            return None;
        }
        let whole = match one.kind {
            Kind::Call => one.received + self.limits.call_deadline,
            _ => one.received + self.limits.request_deadline,
        };
        match (one.state, self.link) {
            (State::Sent, _) if matches!(one.kind, Kind::Listen { .. }) => None,
            (State::Sent, _) | (_, Link::Ready) => Some(whole),
            _ => Some(whole.min(one.held_since + self.limits.hold)),
        }
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Instant) {
        match self.link {
            Link::Greeting { since } if since + self.limits.answer_deadline <= now => {
                self.lost(Absence::Silent(self.limits.answer_deadline), now);
            }
            Link::Ready if self.liveness_deadline().is_some_and(|at| at <= now) => match self.probe_since {
                Some(_) => self.lost(Absence::Silent(self.limits.answer_deadline), now),
                None => {
                    self.probe_since = Some(now);
                    match self.modern.is_some() && self.init.is_none() {
                        true => self.refresh(),
                        false => self.ask(Private::Other, "bridge-ping", "ping", "{}"),
                    }
                }
            },
            _ => {}
        }
        let ended = self.drain_until.is_some_and(|at| at <= now);
        self.drained |= ended;
        let mut due = Vec::new();
        for one in std::mem::take(&mut self.pending) {
            match ended || self.deadline(&one).is_some_and(|at| at <= now) {
                true => due.push(one),
                false => self.pending.push(one),
            }
        }
        for one in due {
            self.give_up(one, now);
        }
        self.pump();
    }

    /// The time of a request is over.
    fn give_up(&mut self, mut one: Pending, now: Instant) {
        if one.muted.is_some() || one.cancelled {
            return;
        }
        if let Some(text) = self.own_answer(&one) {
            self.say(message::result(&one.raw_id, &text));
            if one.state == State::Sent {
                one.muted = Some(now);
                self.pending.push(one);
            } else {
                self.unqueue(one.seq);
            }
            return;
        }
        if one.state == State::Sent {
            let text = match self.safe(&one) {
                true => "the teleclaude daemon did not answer in time",
                false => {
                    "the teleclaude daemon did not answer in time; this may or may not have taken effect. \
                          Look before you repeat it."
                }
            };
            self.refuse(&one, text);
            let params = format!("{{\"requestId\":{},\"reason\":\"timeout\"}}", one.raw_id);
            self.queue(message::request(None, "notifications/cancelled", &params));
            one.muted = Some(now);
            self.pending.push(one);
            return;
        }
        self.unqueue(one.seq);
        let text = match self.link {
            Link::Ready => "the teleclaude daemon is too busy: this was never sent to it".to_owned(),
            _ => format!("{} This was not sent to it.", self.explain()),
        };
        self.refuse(&one, &text);
    }

    fn unqueue(&mut self, seq: u64) {
        let bytes: usize =
            self.to_daemon.iter().filter(|line| line.seq == Some(seq)).map(|line| line.bytes.len()).sum();
        self.to_daemon.retain(|line| line.seq != Some(seq));
        self.daemon_bytes -= bytes;
    }

    /// The editor does not read, so the daemon's silence means nothing.
    pub fn excuse_silence(&mut self, now: Instant) {
        self.quiet_since = now;
        self.probe_since = self.probe_since.map(|_| now);
    }
}

/// Where the stateless era says who the server is.
const SERVER_INFO_META: &str = "io.modelcontextprotocol/serverInfo";
