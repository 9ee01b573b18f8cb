//! What one raw connection keeps between requests, and the task that tells a client of the older era what changed.
//! Clients of 2026 listen by a request of their own (see `handler`).

use crate::daemon::backend::Event;
use crate::daemon::front::Front;
use crate::daemon::mcp::pace::Pace;
use crate::daemon::mcp::resources::{Resource, session_uri};
use crate::daemon::mcp::tools::TOOLS;
use crate::domain::caller::{Peer, Via};
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

/// Which tools `peer` may use now, as a set of bits in the order of the table.
pub fn catalogue(front: &Front, peer: &Peer, token: Option<&SecretString>) -> u64 {
    let caller = front.caller(peer, Via::Mcp, token);
    TOOLS
        .iter()
        .enumerate()
        .fold(0, |bits, (at, entry)| bits | (u64::from(front.backend.may(&caller, entry.verb)) << at))
}

/// Begins to tell the client of changes, once a connection.
pub fn tell(front: Arc<Front>, connection: Arc<Connection>, peer: Arc<Peer>, client: rmcp::Peer<RoleServer>) {
    if connection.told.set(()).is_err() {
        return;
    }
    let mut events = front.backend.watch();
    tokio::spawn(async move {
        let mut listed = catalogue(&front, &peer, connection.token.get());
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
                Ok(Event::Catalogue) => {
                    let now = catalogue(&front, &peer, connection.token.get());
                    if std::mem::replace(&mut listed, now) != now
                        && client.notify_tool_list_changed().await.is_err()
                    {
                        return;
                    }
                    Vec::new()
                }
                Ok(event @ (Event::Session(_) | Event::Inbox { .. })) => {
                    let uris = connection.about(&event);
                    if uris.is_empty() || !may_see(&front, &peer, connection.token.get(), &event) {
                        continue;
                    }
                    pace.now(uris, &event, Instant::now())
                }
                // Some were missed: anything that is watched may have changed, if it may still be seen at all.
                Err(RecvError::Lagged(_)) => connection.watched().iter().cloned().collect(),
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

/// The URI that the tools `subscribe` and `stop_notifications` stand for.
pub fn watched_uri(session_id: &str) -> String {
    session_uri(session_id)
}
