//! When something is due, and what is done then. Part of `relay`.

use super::{Link, MUTED_FOR, Private, Relay};
use crate::bridge::absent::Absence;
use crate::bridge::message;
use crate::bridge::pending::{Kind, Pending, State};
use tokio::time::Instant;

impl Relay {
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

    pub(super) fn liveness_deadline(&self) -> Option<Instant> {
        let waiting = self.pending.iter().any(|one| one.state == State::Sent && !one.acknowledged);
        match self.probe_since {
            Some(since) => Some(since + self.limits.answer_deadline),
            None if waiting => Some(self.quiet_since + self.limits.answer_deadline),
            None => None,
        }
    }

    pub(super) fn deadline(&self, one: &Pending) -> Option<Instant> {
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
    pub(super) fn give_up(&mut self, mut one: Pending, now: Instant) {
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

    pub(super) fn unqueue(&mut self, seq: u64) {
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
