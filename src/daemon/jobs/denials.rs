//! Refusals that were only counted are written down once their minute is over, and all of them at the daemon's stop.

use crate::daemon::app::App;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::timestamp::Timestamp;
use crate::store::denial::Counted;
use std::time::Duration;
use tokio::time::Instant;

/// Writes down what is due at `now`.
pub async fn write_due(app: &App, now: Timestamp) {
    let due = app.denials().due(now);
    write_down(app, due).await;
}

/// Writes every count down, at the daemon's stop.
pub async fn finish(app: &App) {
    let all = app.denials().all();
    write_down(app, all).await;
}

async fn write_down(app: &App, counted: Vec<Counted>) {
    let mut counted = counted.iter();
    while let Some(count) = counted.next() {
        let draft = row(app.own_uid(), app.now(), count);
        if let Err(error) = app.store().append(Instant::now() + Duration::from_secs(5), draft).await {
            tracing::warn!(%error, "counted refusals wait for the database");
            // None of the others would fare better.
            std::iter::once(count).chain(counted).for_each(|count| app.denials().put_back(count));
            return;
        }
    }
}

fn row(own_uid: u32, now: Timestamp, counted: &Counted) -> AuditDraft {
    let mut draft = AuditDraft::by_daemon(own_uid, "access.denied", AuditOutcome::Denied, now).with_detail(
        &serde_json::json!({ "action": counted.action, "since": counted.since, "more": counted.count }),
    );
    draft.target = counted.uid.map(|uid| ("uid".to_owned(), uid.to_string()));
    draft
}
