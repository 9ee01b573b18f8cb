//! The job `heartbeat`: people are told of tasks that are overdue or soon due, and, if the config names one, so is an
//! agent of an admin's. What is told is `usecase::heartbeat`.

use crate::agent::{self, Manner};
use crate::config::zone;
use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::domain::caller::Role;
use crate::domain::deadline::{self, Zone};
use crate::domain::session::{Session, SessionStatus, SessionTitle};
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::{reminder, session};
use crate::usecase::heartbeat::{AT_A_TIME, Prompt, Step, due, tell};
use crate::wire::limits::SESSION_PREFIX_MIN;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Days for which it is remembered that something was told.
const REMEMBERED: u64 = 30;
/// Rows that are forgotten at a time.
const FORGOTTEN: u64 = 500;

/// Tells everybody who is to be told at `now`.
///
/// # Errors
/// The database; who was told is not told again on this day.
pub async fn run(app: &App, now: Timestamp, stop: &CancellationToken) -> Result<(), StoreError> {
    let heartbeat = app.settings().loaded.config.heartbeat.clone();
    let zone = zone(app);
    let day = deadline::day(now, &zone);
    let found = due(app.store().reader(), now, heartbeat.soon_hours, &day).await?;
    let mut agent = match heartbeat.session.as_deref().filter(|_| !found.is_empty()) {
        Some(which) => agent_of_an_admin(app, which).await?,
        None => None,
    };
    for some in found.chunks(AT_A_TIME) {
        if stop.is_cancelled() {
            return Ok(());
        }
        let prompt = agent.take().map(|session| Prompt {
            session: session.id,
            key: Uuid::now_v7(),
            words: heartbeat.prompt.clone(),
            more: found.len() - some.len(),
        });
        let asks = prompt.is_some();
        let step = Step {
            tasks: some.iter().map(|task| task.id).collect(),
            keys: (0..2 * some.len()).map(|_| Uuid::now_v7()).collect(),
            now,
            soon_hours: heartbeat.soon_hours,
            day: day.clone(),
            prompt,
        };
        let told = write(app, move |tx| {
            let step = step.clone();
            Box::pin(async move { tell(tx.conn(), &step).await })
        });
        told.await?.into_iter().for_each(|person| app.tell_person(person));
        if asks {
            app.work().notify_one();
        }
    }
    forget(app, now, &zone, stop).await
}

async fn forget(app: &App, now: Timestamp, zone: &Zone, stop: &CancellationToken) -> Result<(), StoreError> {
    let past = Duration::from_secs(REMEMBERED * 86_400).as_micros();
    let past = now.micros().saturating_sub(i64::try_from(past).unwrap_or(i64::MAX));
    let before = deadline::day(Timestamp::from_micros(past), zone);
    loop {
        let before = before.clone();
        let gone = write(app, move |tx| {
            let before = before.clone();
            Box::pin(async move { reminder::forget(tx.conn(), &before, FORGOTTEN).await })
        })
        .await?;
        if gone < FORGOTTEN || stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// The newest open session here of that id or title, if it is an admin's and has an agent that takes messages.
async fn agent_of_an_admin(app: &App, which: &str) -> Result<Option<Session>, StoreError> {
    let open = session::open_on(app.store().reader(), app.store().computer()).await?;
    for session in open.into_iter().rev().filter(|session| is_meant(session, which)) {
        let owner = app.today(session.owner_uid).await;
        if owner.role == Role::Admin && owner.standing.refusal().is_none() && session.is_own(&owner) {
            return Ok(Some(session));
        }
    }
    tracing::warn!(
        session = which,
        "heartbeat.session: no such session of an admin's is open and takes messages"
    );
    Ok(None)
}

fn is_meant(session: &Session, which: &str) -> bool {
    let by_id = which.len() >= SESSION_PREFIX_MIN && session.id.to_string().starts_with(which);
    let by_title = session.title.as_ref().map(SessionTitle::as_str) == Some(which);
    (by_id || by_title)
        && session.status != SessionStatus::Ending
        && agent::manner(&session.agent) == Manner::Conversation
}

/// The zone whose days count: the config's, or the machine's.
fn zone(app: &App) -> Zone {
    let named = app.settings().loaded.config.tasks.time_zone.as_deref().map(zone::named);
    // It was checked when the config was read.
    named.map_or_else(zone::of_machine, |zone| zone.unwrap_or(Zone::UTC))
}
