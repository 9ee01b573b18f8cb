//! What the editor says: requests taken in, answers and notifications passed on. Part of `relay`.

use super::{Init, Link, Relay};
use crate::bridge::message::{self, Head, Id, Params, string_of};
use crate::bridge::pending::{Kind, Pending, State};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::time::Instant;

impl Relay {
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

    pub(super) fn editor_request(
        &mut self,
        line: &str,
        head: &Head<'_>,
        id: Id,
        raw_id: String,
        now: Instant,
    ) {
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
    pub(super) fn editor_answer(&mut self, line: &str, raw_id: &str) {
        let Ok(text) = serde_json::from_str::<String>(raw_id) else { return };
        let Some(at) = self.server_ids.iter().position(|known| *known == text) else { return };
        self.server_ids.remove(at);
        let Some(own) = text.strip_prefix(&format!("e{}:", self.epoch)) else { return };
        self.queue(message::splice(line, raw_id, own).into_bytes());
    }

    pub(super) fn editor_notification(&mut self, line: &str, head: &Head<'_>, method: &str, now: Instant) {
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
}
