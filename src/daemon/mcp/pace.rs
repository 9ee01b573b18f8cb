//! How often one client is told that a transcript has more: at once, and from then on once a second at most. Pure: the
//! moment is an argument. What else changes is told as it happens.

use crate::daemon::backend::Event;
use crate::daemon::mcp::resources::Resource;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Between two updates of one transcript.
const EVERY: Duration = Duration::from_secs(1);

/// What one client was told lately, and what it will be told.
#[derive(Debug, Default)]
pub struct Pace {
    /// Holds only what was told within the last second.
    told: HashMap<String, Instant>,
    /// When it is due, and what happened.
    late: HashMap<String, (Instant, Event)>,
}

impl Pace {
    /// Those of the URIs that are told of this now; the others are told later.
    pub fn now(&mut self, uris: Vec<String>, of: &Event, now: Instant) -> Vec<String> {
        self.told.retain(|_, at| now.saturating_duration_since(*at) < EVERY);
        uris.into_iter()
            .filter(|uri| match (Resource::parse(uri), self.told.get(uri)) {
                (Some(Resource::Transcript(_)), Some(at)) => {
                    self.late.entry(uri.clone()).or_insert((*at + EVERY, of.clone()));
                    false
                }
                (Some(Resource::Transcript(_)), None) => {
                    self.late.remove(uri);
                    self.told.insert(uri.clone(), now);
                    true
                }
                _ => true,
            })
            .collect()
    }

    /// When something is due.
    pub fn due_at(&self) -> Option<Instant> {
        self.late.values().map(|(at, _)| *at).min()
    }

    /// What is due now.
    pub fn due(&mut self, now: Instant) -> Vec<(String, Event)> {
        let due: Vec<_> = self.late.extract_if(|_, (at, _)| *at <= now).collect();
        due.into_iter()
            .map(|(uri, (_, of))| {
                self.told.insert(uri.clone(), now);
                (uri, of)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{EVERY, Pace};
    use crate::daemon::backend::{Event, SessionChange, SessionEvent};
    use crate::daemon::mcp::resources::{session_uri, transcript_uri};
    use crate::domain::person::PersonId;
    use crate::domain::session::SessionId;
    use tokio::time::Instant;
    use uuid::Uuid;

    #[test]
    fn a_flood_is_told_once_a_second_and_its_end_is_told() {
        let id = Uuid::from_u128(7);
        let of = Event::Session(SessionEvent {
            session_id: SessionId(id),
            owner: PersonId(id),
            owner_uid: 1,
            parent: None,
            kind: SessionChange::Content,
        });
        let (row, transcript) = (session_uri(&id.to_string()), transcript_uri(&id.to_string()));
        let uris = vec![row.clone(), transcript.clone()];
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.now(uris.clone(), &of, start), uris);
        let mut told = 0;
        for ms in (0..10_000).step_by(10) {
            let now = start + std::time::Duration::from_millis(ms);
            let at_once = pace.now(uris.clone(), &of, now);
            assert!(at_once.contains(&row), "rows are told at once");
            told += at_once.len() - 1 + pace.due(now).len();
        }
        assert!((9..=10).contains(&told), "{told}");
        let due = pace.due_at().unwrap();
        assert_eq!(pace.due(due), vec![(transcript.clone(), of.clone())]);
        assert_eq!((pace.due_at(), pace.due(due + EVERY)), (None, vec![]));
        assert_eq!(pace.now(vec![transcript.clone()], &of, due + EVERY), vec![transcript]);
        assert_eq!((pace.told.len(), pace.late.len()), (1, 0));
    }
}
