//! Looks whether people or bans have changed behind this daemon's back: another daemon on the same database made the change,
//! or reading them again after a change of its own failed.

use crate::daemon::app::App;
use crate::store::error::StoreError;
use crate::store::version;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks: what is changed elsewhere is in force here within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Runs until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut well = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        match look(&app).await {
            Ok(()) => well = true,
            Err(error) if well => {
                well = false;
                tracing::warn!(%error, "whether people have changed cannot be seen; those known before stay in force");
            }
            Err(_) => {}
        }
    }
}

async fn look(app: &App) -> Result<(), StoreError> {
    if version::of_people(app.store().reader()).await? != app.settings().people_version {
        app.refresh_people().await?;
    }
    Ok(())
}
