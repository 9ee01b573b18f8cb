//! What the service manager (systemd, by `sd_notify`) is told: that the daemon is ready, reads its config again or
//! stops, how it is in one line, and that it lives. Where nobody listens, nothing is told. The socket that it hands
//! over is in `listen`.

use crate::daemon::app::App;
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::writer::WriteError;
use sd_notify::NotifyState;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the line of status is looked at where no watchdog sets the pace.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The daemon has not begun to serve; this is what it is at.
pub fn starting(what: &str) {
    tell(&[NotifyState::Status(&one_line(what))]);
}

/// The daemon serves.
pub fn ready(app: &App) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(app))]);
}

/// The config is read again; [`ready`] or [`refused`] follows.
pub fn reloading() {
    // Newer systemd insists on the time beside it. Without a clock it is better to say nothing.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the config again")]);
    }
}

/// The daemon serves on with the config it had.
pub fn refused(app: &App, why: &str) {
    let line = format!("{}; the config that was read last is refused: {why}", status(app));
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(&line))]);
}

/// Keeps the line of status true and the watchdog fed while the daemon lives, and says that it stops.
pub async fn keep_told(app: Arc<App>, stop: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled().filter(|every| !every.is_zero());
    // Three times in its time: one that is missed is not the end.
    let pace = watchdog.map_or(STATUS_EVERY, |every| every / 3);
    let mut tick = tokio::time::interval(pace.max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = status(&app);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        if watchdog.is_some() {
            let alive = tokio::select! {
                () = stop.cancelled() => break,
                alive = is_alive(app.store(), pace) => alive,
            };
            if alive {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(
                    "the writer shows no sign of life; if that lasts, the watchdog ends this daemon"
                );
            }
        }
        let now = status(&app);
        if now != told {
            tell(&[NotifyState::Status(&now)]);
            told = now;
        }
    }
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Whether a unit of work that does nothing comes back from the writer in time, through the runtime and the queue
/// that every change goes through. A writer that says that its database is ill lives: a restart would not heal it.
async fn is_alive(store: &Store, within: Duration) -> bool {
    let through = store.clone();
    let asked = tokio::spawn(async move {
        through.write(Instant::now() + within, |_tx| Box::pin(async { Ok::<(), Infallible>(()) })).await
    });
    match tokio::time::timeout(within, asked).await {
        Ok(Ok(Ok(()))) => true,
        Ok(Ok(Err(WriteError::Store(error)))) => error != StoreError::Closed,
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => store.problem().is_some(),
    }
}

fn status(app: &App) -> String {
    let sessions = app.tokens().len();
    let problem = app.store().problem().map(|problem| format!("; {problem}")).unwrap_or_default();
    one_line(&format!("serving; open sessions: {sessions}{problem}"))
}

/// A line break would begin another message to the service manager.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

/// Without a service manager there is nobody to tell, and that is no error.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::{is_alive, one_line};
    use crate::domain::timestamp::Timestamp;
    use crate::store::connect::{Engine, Options, Store};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("a\nREADY=1\tb"), "a READY=1 b");
        assert_eq!(one_line(&"é".repeat(600)).chars().count(), 500);
    }

    #[tokio::test]
    async fn a_writer_that_is_gone_shows_no_sign_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            engine: Engine::Sqlite { path: folder.path().join("t.db"), synchronous_full: true },
            computer: "here".to_owned(),
            auto_migrate: true,
        };
        let store = Store::open(options, Arc::new(|| Timestamp::from(SystemTime::now()))).await.unwrap();
        assert!(is_alive(&store, Duration::from_secs(20)).await);
        store.close().await;
        assert!(!is_alive(&store, Duration::from_secs(20)).await);
    }
}
