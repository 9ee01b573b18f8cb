//! What one raw connection keeps between requests, and the task that tells a client of the older era what changed.
//! Clients of 2026 listen by a request of their own (see `handler`).

use crate::daemon::backend::Event;
use crate::daemon::front::Front;
use crate::daemon::mcp::pace::Pace;
use crate::daemon::mcp::prompts::Kind;
use crate::daemon::mcp::resources::{Resource, session_uri};
use crate::daemon::mcp::tools::TOOLS;
use crate::domain::caller::{Peer, Role, Via};
use crate::domain::library::Change;
use crate::domain::verb::Verb;
use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use secrecy::SecretString;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// State of one raw connection.
#[derive(Debug, Default)]
pub struct Connection {
    /// The session token shown in `initialize`.
    pub token: OnceLock<SecretString>,
    /// Fires when the connection ends.
    pub closed: CancellationToken,
    watched: Mutex<HashSet<String>>,
    told: OnceLock<()>,
}

impl Connection {
    /// Watches a URI; `false` if there are `most` already.
    pub fn watch(&self, uri: String, most: usize) -> bool {
        let mut watched = self.watched();
        if watched.len() >= most && !watched.contains(&uri) {
            return false;
        }
        watched.insert(uri);
        true
    }

    /// No longer watches a URI.
    pub fn unwatch(&self, uri: &str) {
        self.watched().remove(uri);
    }

    fn watched(&self) -> MutexGuard<'_, HashSet<String>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn about(&self, event: &Event) -> Vec<String> {
        self.watched().iter().filter(|uri| is_about(uri, event)).cloned().collect()
    }
}

/// What is listed for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which tools, as a set of bits in the order of the table.
    pub tools: u64,
    /// Which prompt.
    pub prompt: Option<Kind>,
    /// Whose documents; `None` if it is nobody's.
    pub documents: Option<Role>,
}

/// What is listed for `peer` now.
pub fn listed(front: &Front, peer: &Peer, token: Option<&SecretString>) -> Listed {
    let caller = front.caller(peer, Via::Mcp, token);
    let may = |verb| front.backend.may(&caller, verb);
    Listed {
        tools: TOOLS
            .iter()
            .enumerate()
            .fold(0, |bits, (at, entry)| bits | (u64::from(may(entry.verb)) << at)),
        prompt: Kind::of(&caller),
        documents: may(Verb::ReadDocs).then_some(caller.role),
    }
}

/// Which of `uris` are about documents that changed and that `peer` may or might know of, and whether the list of
/// documents is another for them.
pub fn documents<'u>(
    front: &Front,
    peer: &Peer,
    token: Option<&SecretString>,
    changes: &[Change],
    uris: impl Iterator<Item = &'u String>,
) -> (bool, Vec<String>) {
    let Some(role) = listed(front, peer, token).documents else { return (false, Vec::new()) };
    let seen = |change: &&Change| role >= change.role;
    let about = |uri: &&String| {
        let Some(Resource::Document(id)) = Resource::parse(uri) else { return false };
        changes.iter().filter(seen).any(|change| change.id == id)
    };
    let list = changes.iter().filter(seen).any(|change| change.listed);
    (list, uris.filter(about).cloned().collect())
}

/// Begins to tell the client of changes, once a connection.
pub fn tell(front: Arc<Front>, connection: Arc<Connection>, peer: Arc<Peer>, client: rmcp::Peer<RoleServer>) {
    if connection.told.set(()).is_err() {
        return;
    }
    let mut events = front.backend.watch();
    tokio::spawn(async move {
        let mut before = listed(&front, &peer, connection.token.get());
        let mut pace = Pace::default();
        loop {
            let late = pace.due_at();
            let event = tokio::select! {
                biased;
                () = connection.closed.cancelled() => return,
                () = front.drain.cancelled() => return,
                event = events.recv() => Some(event),
                () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => None,
            };
            let Some(event) = event else {
                for (uri, of) in pace.due(Instant::now()) {
                    let token = connection.token.get();
                    if connection.watched().contains(&uri)
                        && may_see(&front, &peer, token, &of)
                        && client
                            .notify_resource_updated(ResourceUpdatedNotificationParam::new(uri))
                            .await
                            .is_err()
                    {
                        return;
                    }
                }
                continue;
            };
            let uris = match event {
                // Some may have been missed: that the lists are others, or anything that is watched.
                event @ (Ok(Event::Catalogue) | Err(RecvError::Lagged(_))) => {
                    let now = listed(&front, &peer, connection.token.get());
                    let was = std::mem::replace(&mut before, now);
                    if (was.tools != now.tools && client.notify_tool_list_changed().await.is_err())
                        || (was.prompt != now.prompt && client.notify_prompt_list_changed().await.is_err())
                        || (was.documents != now.documents
                            && client.notify_resource_list_changed().await.is_err())
                    {
                        return;
                    }
                    let all: Vec<String> = match event {
                        Ok(_) => Vec::new(),
                        Err(_) => connection.watched().iter().cloned().collect(),
                    };
                    may_know(&front, &peer, connection.token.get(), all)
                }
                Ok(Event::Documents(changes)) => {
                    let watched: Vec<String> = connection.watched().iter().cloned().collect();
                    let token = connection.token.get();
                    let (list, uris) = documents(&front, &peer, token, &changes, watched.iter());
                    if list && client.notify_resource_list_changed().await.is_err() {
                        return;
                    }
                    uris
                }
                Ok(event @ (Event::Session(_) | Event::Inbox { .. })) => {
                    let uris = connection.about(&event);
                    if uris.is_empty() || !may_see(&front, &peer, connection.token.get(), &event) {
                        continue;
                    }
                    pace.now(uris, &event, Instant::now())
                }
                Err(RecvError::Closed) => return,
            };
            for uri in uris {
                let update = ResourceUpdatedNotificationParam::new(uri);
                if client.notify_resource_updated(update).await.is_err() {
                    return;
                }
            }
        }
    });
}

/// Whether what this URI means has changed with `event`.
pub fn is_about(uri: &str, event: &Event) -> bool {
    match (Resource::parse(uri), event) {
        (Some(Resource::Inbox), Event::Inbox { .. }) => true,
        (Some(resource), Event::Session(event)) => resource.is_about(event.session_id),
        _ => false,
    }
}

/// Whether `peer` may know of `event` now.
pub fn may_see(front: &Front, peer: &Peer, token: Option<&SecretString>, event: &Event) -> bool {
    event.visible_to(&front.caller(peer, Via::Mcp, token))
}

/// Those of these URIs of which `peer` may still know whatever there is of their own, where nobody knows what happened.
pub fn may_know(front: &Front, peer: &Peer, token: Option<&SecretString>, uris: Vec<String>) -> Vec<String> {
    let caller = front.caller(peer, Via::Mcp, token);
    let may = |uri: &String| Resource::parse(uri).is_some_and(|what| front.backend.may(&caller, what.verb()));
    uris.into_iter().filter(may).collect()
}

/// The URI that the tools `subscribe` and `stop_notifications` stand for.
pub fn watched_uri(session_id: &str) -> String {
    session_uri(session_id)
}
