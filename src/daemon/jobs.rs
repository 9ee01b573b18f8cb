//! What happens without being asked: refusals that were only counted are written down once their minute is over, and
//! sessions in which nothing has happened for too long are ended.

use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::daemon::hours;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::session::{Exit, Session};
use crate::domain::timestamp::Timestamp;
use crate::store::denial::Counted;
use crate::store::error::StoreError;
use crate::store::{activity, outbox, session};
use crate::usecase::run::END;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between two looks for sessions that are idle.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Sessions that are ended for that at a time.
const ENDED_AT_A_TIME: u64 = 64;

/// Runs until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut look_at = Instant::now() + LOOK_EVERY;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let due = app.denials().due(app.now());
        write_down(&app, due).await;
        if look_at <= Instant::now() {
            look_at = Instant::now() + LOOK_EVERY;
            if let Err(error) = end_idle(&app, app.now()).await {
                tracing::warn!(%error, "idle sessions wait for the database");
            }
            if let Err(error) = hours::count(&app, app.now()).await {
                tracing::warn!(%error, "how long agents run waits for the database");
            }
        }
    }
}

/// Ends sessions in which nothing has happened for `sessions.idle_end_hours`.
///
/// # Errors
/// The database.
pub async fn end_idle(app: &App, now: Timestamp) -> Result<(), StoreError> {
    let hours = app.settings().loaded.config.sessions.idle_end_hours;
    if hours == 0 {
        return Ok(());
    }
    let since = Timestamp::from_micros(now.micros() - i64::from(hours) * 3_600 * 1_000_000);
    let idle = session::idle_on(app.store().reader(), app.store().computer(), since, ENDED_AT_A_TIME).await?;
    for session in idle {
        tracing::info!(session = %session.id, person = session.owner_name, hours, "an idle session is ended");
        end(app, session, Exit::Idle(hours), since).await?;
        app.work().notify_one();
    }
    Ok(())
}

async fn end(app: &App, idle: Session, why: Exit, since: Timestamp) -> Result<(), StoreError> {
    let (id, at) = (idle.id, app.now());
    let draft = AuditDraft::by_daemon(app.own_uid(), "session.end", AuditOutcome::Success, at)
        .about(&idle)
        .with_detail(&serde_json::json!({ "why": why.to_string() }));
    let detail = Some(serde_json::Value::String(why.to_string()).to_string());
    let kind = "idle_end".to_owned();
    let row = activity::Event { id: Uuid::now_v7(), session: id, at, kind, detail, actor: None };
    let effect = outbox::Effect {
        id: Uuid::now_v7(),
        computer: idle.computer,
        kind: END.to_owned(),
        session: id,
        payload: "{}".to_owned(),
        created: at,
    };
    write(app, move |tx| {
        let (why, draft, row, effect) = (why.clone(), draft.clone(), row.clone(), effect.clone());
        Box::pin(async move {
            // It may have woken up meanwhile.
            if session::end_idle(tx.conn(), id, &why, since).await? {
                activity::insert(tx.conn(), &row).await?;
                outbox::insert(tx.conn(), &effect).await?;
                tx.audit(draft);
            }
            Ok(())
        })
    })
    .await
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
