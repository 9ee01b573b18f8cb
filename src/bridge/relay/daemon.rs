//! What happens on the connection to the daemon: made, lost, and what comes over it. Part of `relay`.

use super::{BACK_OFF, Link, Private, REMEMBERED_MAX, Relay, SENDS_MAX};
use crate::bridge::absent::Absence;
use crate::bridge::message::{self, Head, Id, Meta, Params, string_of};
use crate::bridge::pending::{Kind, Pending, State};
use serde_json::value::RawValue;
use tokio::time::Instant;

impl Relay {
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

    pub(super) fn daemon_notification(&mut self, line: &str, head: &Head<'_>, method: &str) {
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

    pub(super) fn daemon_answer(&mut self, line: &str, head: &Head<'_>, id: &Id, now: Instant) {
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
    pub(super) fn remember(&mut self, one: &Pending) {
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
    pub(super) fn greeted(&mut self, head: &Head<'_>, now: Instant) {
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

    pub(super) fn ready(&mut self) {
        self.link = Link::Ready;
        self.back_off = *BACK_OFF.start();
        if self.init.as_ref().is_some_and(|init| init.initialized) {
            self.begin_session();
        }
        self.pump();
    }

    /// What follows `initialize`, the first time and after each restart.
    pub(super) fn begin_session(&mut self) {
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
}
