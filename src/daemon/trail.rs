//! The second row of what somebody saw live of another's session: written when it is over, however it ends, with what
//! was seen. The first row is written by who begins it, before a byte is shown. What a daemon that was killed could not
//! write is made up for by `attach::end_of_killed`.

use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::timestamp::Timestamp;
use crate::store::connect::Store;
use std::time::Duration;
use tokio::time::Instant;

/// The detail of the first row.
pub const START: &str = "{\"event\":\"start\"}";
/// How long a second row may take to be written.
pub const WRITE: Duration = Duration::from_secs(10);

/// What somebody saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    bytes: u64,
    from: Option<u64>,
    to: u64,
    typed: u64,
}

impl Seen {
    /// So many bytes were shown: these places of the whole.
    pub fn saw(&mut self, from: u64, to: u64, bytes: usize) {
        self.from.get_or_insert(from);
        self.to = self.to.max(to);
        self.bytes += bytes as u64;
    }

    /// More bytes were shown, of places that were seen already.
    pub fn saw_more(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// So many bytes were typed.
    pub fn typed(&mut self, bytes: usize) {
        self.typed += bytes as u64;
    }
}

/// Writes the second row, whatever happens. Where there is no first, there is no second.
pub struct Trail {
    store: Store,
    /// The first row; taken when the second is written.
    start: Option<AuditDraft>,
    at: Timestamp,
    began: Instant,
    /// What was seen so far.
    pub seen: Seen,
}

impl Trail {
    /// Of what began at this moment with this row, which is committed.
    pub fn new(store: Store, start: Option<AuditDraft>, at: Timestamp) -> Self {
        Self { store, start, at, began: Instant::now(), seen: Seen::default() }
    }

    /// The database.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// It is over.
    pub async fn end(&mut self, how: &str, outcome: AuditOutcome) {
        if let Some(draft) = self.second(how, outcome) {
            Self::write(&self.store, draft).await;
        }
    }

    fn second(&mut self, how: &str, outcome: AuditOutcome) -> Option<AuditDraft> {
        let start = self.start.take()?;
        let lasted = self.began.elapsed();
        let detail = serde_json::json!({
            "event": "end", "ended": how, "seconds": lasted.as_secs(), "bytes": self.seen.bytes,
            "from_seq": self.seen.from.unwrap_or(self.seen.to), "to_seq": self.seen.to, "typed_bytes": self.seen.typed,
        });
        let at = self.at.plus(lasted);
        Some(AuditDraft { at, outcome, ..start }.with_detail(&detail))
    }

    async fn write(store: &Store, draft: AuditDraft) {
        if let Err(error) = store.append(Instant::now() + WRITE, draft).await {
            tracing::error!(%error, "the end of what somebody saw live could not be written down");
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let Some(draft) = self.second("connection lost", AuditOutcome::Success) else { return };
        let store = self.store.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { Self::write(&store, draft).await });
        }
    }
}
