//! How long agents run is counted while they do: every minute for those whose hosts live, so that a day's hours are the
//! day's, and what a machine that loses its power takes with it is a minute.

use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::usage;

/// Sessions of one write.
const SESSIONS: u64 = 32;

/// Counts up to `now` how long the sessions of this computer have run whose hosts are known to live.
///
/// # Errors
/// The database; what was counted stays so.
pub async fn count(app: &App, now: Timestamp) -> Result<(), StoreError> {
    let mut last = None;
    loop {
        let (reader, computer) = (app.store().reader(), app.store().computer());
        let some = usage::running(reader, computer, now, last, SESSIONS).await?;
        let Some(next) = some.last().copied() else { return Ok(()) };
        last = Some(next);
        let live: Vec<_> = some.into_iter().filter(|session| app.hosts().is_known(*session)).collect();
        if live.is_empty() {
            continue;
        }
        write(app, move |tx| {
            let live = live.clone();
            Box::pin(async move {
                for session in live {
                    usage::ran(tx.conn(), session, now).await?;
                }
                Ok(())
            })
        })
        .await?;
    }
}
