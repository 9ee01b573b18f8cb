//! The job `idle_sessions`: sessions in which nothing has happened for too long are ended.

use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::session::{Exit, Session};
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::{activity, outbox, session};
use crate::usecase::sessions::END;
use uuid::Uuid;

/// Sessions that are ended for that at a time.
const ENDED_AT_A_TIME: u64 = 64;

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
