//! What the daemon, or somebody it attached, asks of a host, and the answers. When frames come is `serve`'s affair.

use crate::host::message::{Message, MessageState};
use crate::host::protocol::{FromHost, Hello, Known, Missed, Snapshot, TAKEN_OVER, ToHost};
use crate::host::serve::{GRACE_MAX, Server};
use crate::host::spec::{SCROLLBACK_MAX, Size};
use std::time::{Duration, Instant};

/// Characters of snapshot text, at most.
const SNAPSHOT_CHARS: usize = 1 << 20;

impl Server {
    /// Does what a frame of connection `i` asks.
    pub(super) fn frame(&mut self, i: usize, kind: u8, payload: &[u8], now: Instant) {
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
                if self.terminal.has_room_for(bytes.len()) {
                    self.type_bytes(&bytes, now);
                } else {
                    self.refuse(i, "the terminal takes no input", now);
                }
            }
            ToHost::Message(message) => self.message(i, message, now),
            ToHost::Resize(size) => self.resize(size, now),
            ToHost::Signal { signal } => {
                let group = self.terminal.foreground();
                if self.tree.as_mut().is_none_or(|tree| tree.signal(signal, group).is_err()) {
                    self.refuse(i, "the signal could not be sent", now);
                }
            }
            ToHost::Snapshot { request, scrollback } => {
                let mut text = self.screen.text(scrollback.min(SCROLLBACK_MAX) as usize);
                if text.len() > SNAPSHOT_CHARS {
                    let cut = text.ceil_char_boundary(text.len() - SNAPSHOT_CHARS);
                    text.drain(..cut);
                }
                let (seq, size, dump) = (self.replay.seq(), self.screen.size(), self.screen.dump());
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
        self.peers[i].subscribed = true;
        let frame = match self.replay.since(from) {
            Some(bytes) if bytes.is_empty() => return,
            Some(bytes) => FromHost::Output { seq: from, bytes },
            None => FromHost::Missed(Missed {
                seq: self.replay.seq(),
                dump: self.screen.dump(),
                size: self.screen.size(),
            }),
        };
        self.peers[i].send(&frame, now);
    }

    fn message(&mut self, i: usize, message: Message, now: Instant) {
        let id = message.id.clone();
        let state =
            if self.terminal.is_open() { self.typist.take(message) } else { Ok(MessageState::Failed) };
        let state = state.unwrap_or(MessageState::Failed);
        self.peers[i].send(&FromHost::MessageState { id, state }, now);
    }

    fn resize(&mut self, size: Size, now: Instant) {
        let size = size.clamped();
        if size == self.screen.size() {
            return;
        }
        self.screen.resize(size);
        self.terminal.resize(size);
        let recorded = self.recording.resize(size, self.clock.at(now));
        self.recorded(recorded, now);
        for peer in self.peers.iter_mut().filter(|p| p.subscribed || p.claims) {
            peer.send(&FromHost::Resized(size), now);
        }
    }
}
