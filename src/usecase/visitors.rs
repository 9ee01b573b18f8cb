//! Forgetting visitors: OS users who were here, are nobody's, and have not come back.

use crate::domain::timestamp::Timestamp;
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::visitor;
use crate::store::writer::WriteError;
use std::time::Duration;
use tokio::time::Instant;

/// Rows of one write at the beginning; fewer once one took long.
const ROWS: u64 = 256;
const ROWS_MIN: u64 = 8;
/// One write is to take about this long at most, so that nobody waits for it.
const AT_MOST: Duration = Duration::from_millis(50);
/// How long one write may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// Forgets visitors who were last here more than `days` days before `now` and own no open session; a little at a time.
/// How many there were. `go_on` is asked before each step.
///
/// # Errors
/// The database; who was forgotten stays so.
pub async fn forget(
    store: &Store,
    days: u32,
    now: Timestamp,
    go_on: impl Fn() -> bool,
) -> Result<u64, WriteError<StoreError>> {
    let micros = i64::from(days).saturating_mul(86_400 * 1_000_000);
    let before = Timestamp::from_micros(now.micros().saturating_sub(micros));
    let (mut forgotten, mut rows) = (0, ROWS);
    while go_on() {
        let began = Instant::now();
        let gone = store
            .write(began + PATIENCE, move |tx| {
                Box::pin(async move { visitor::forget(tx.conn(), before, rows).await })
            })
            .await?;
        forgotten += gone;
        if gone < rows {
            break;
        }
        if began.elapsed() > AT_MOST {
            rows = (rows / 2).max(ROWS_MIN);
        }
    }
    Ok(forgotten)
}
