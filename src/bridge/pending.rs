//! A request of the editor that is not yet answered, and what sort of request it is. What becomes of it is decided
//! in `relay`.

use super::message::{self, Id, Params, string_of};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::time::Instant;

/// What sort of request it is, as far as the bridge treats it differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Initialize,
    Discover,
    ListTools,
    Ping,
    Listen { tools: bool },
    Call,
    SetLevel,
    Subscribe(String),
    Unsubscribe(String),
    Other { safe: bool },
}

impl Kind {
    /// The kind of a request; `raw` are its params.
    pub fn of(method: &str, params: &Params<'_>, raw: Option<&RawValue>) -> Self {
        let uri = || string_of(params.uri).unwrap_or_default();
        match method {
            "initialize" => Self::Initialize,
            "server/discover" => Self::Discover,
            "tools/list" if !raw.is_some_and(|raw| raw.get().contains("\"cursor\"")) => Self::ListTools,
            "ping" => Self::Ping,
            "tools/call" => Self::Call,
            "subscriptions/listen" => {
                let wanted =
                    params.notifications.and_then(|raw| message::entries(raw.get())).unwrap_or_default();
                let tools =
                    |(key, value): &(String, &RawValue)| key == "toolsListChanged" && value.get() == "true";
                Self::Listen { tools: wanted.iter().any(tools) }
            }
            "logging/setLevel" => Self::SetLevel,
            "resources/subscribe" => Self::Subscribe(uri()),
            "resources/unsubscribe" => Self::Unsubscribe(uri()),
            "tools/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "prompts/list"
            | "prompts/get"
            | "completion/complete"
            | "tasks/get" => Self::Other { safe: true },
            _ => Self::Other { safe: false },
        }
    }
}

/// How far a request has come on the present connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Waiting,
    Queued,
    Sent,
}

/// A request without an answer.
pub struct Pending {
    pub seq: u64,
    pub raw_id: String,
    pub id: Id,
    pub kind: Kind,
    pub modern: bool,
    pub line: Arc<Vec<u8>>,
    pub received: Instant,
    pub held_since: Instant,
    pub state: State,
    pub sends: u32,
    /// The editor knows that the stream is open (`subscriptions/listen`).
    pub acknowledged: bool,
    /// The editor no longer waits: an answer is swallowed.
    pub muted: Option<Instant>,
    /// The editor cancelled it: an answer is passed on, a loss is not told.
    pub cancelled: bool,
}
