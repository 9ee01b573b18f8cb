//! What hosts tell becomes rows: running, busy, idle, ended, gaps, typed messages. What cannot be written now waits;
//! an exit is taken from its host only once it is committed. At the start, sessions without a host are closed as lost.

use crate::daemon::answers;
use crate::daemon::app::App;
use crate::daemon::backend::{Event, SessionChange, SessionEvent};
use crate::daemon::effects::{GRACE, told, write};
use crate::daemon::hosts::{HostEvent, HostEventKind};
use crate::daemon::peer;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::session::{Exit, Session, SessionId, SessionStatus};
use crate::domain::timestamp::Timestamp;
use crate::host::message::MessageState as Typed;
use crate::store::error::StoreError;
use crate::store::message::{self, MessageState};
use crate::store::{activity, host, outbox, question, session};
use crate::usecase::sessions::{RESUME, START};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Adopts the hosts that live, and closes sessions that have none.
///
/// # Errors
/// The database, or the run folder cannot be read.
pub async fn adopt(app: &App) -> anyhow::Result<()> {
    let adoption = app.hosts().adopt().await?;
    // In this order: a session that is asked for in between is in neither or in both, and so never taken for lost.
    let open = session::open_on(app.store().reader(), app.store().computer()).await?;
    let waiting = outbox::pending(app.store().reader(), app.store().computer(), 10_000).await?;
    for open in open {
        let known = adoption.live.contains(&open.id) || adoption.gone.contains(&open.id);
        let yet_to_start = open.status == SessionStatus::Starting
            && waiting.iter().any(|e| e.session == open.id && (e.kind == START || e.kind == RESUME));
        if known || yet_to_start || app.hosts().is_known(open.id) {
            continue;
        }
        match app.hosts().sweep(open.id).await {
            Some(file) => ended(app, &open, &file.exit, file.at, file.lost_bytes).await?,
            None if app.hosts().is_known(open.id) => {}
            None => ended(app, &open, &Exit::Lost, app.now(), 0).await?,
        }
    }
    app.counts().adopted.add(adoption.live.len() as u64);
    tracing::info!(live = adoption.live.len(), gone = adoption.gone.len(), "session hosts adopted");
    Ok(())
}

/// [`adopt`], tried until it is done: nothing may be started before it is known what runs. `false` if stopped.
pub async fn adopt_at_last(app: &App, stop: &CancellationToken) -> bool {
    let mut wait = Duration::from_millis(100);
    while let Err(error) = adopt(app).await {
        tracing::error!(error = format!("{error:#}"), "session hosts could not be adopted; trying again");
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
        }
    }
    true
}

/// Turns events into rows until stopped.
pub async fn run(app: Arc<App>, mut events: mpsc::Receiver<HostEvent>, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.recv() => match event {
                Some(event) => event,
                None => return,
            },
        };
        let mut wait = Duration::from_millis(50);
        while let Err(error) = take(&app, &event).await {
            tracing::warn!(session = %event.session, %error, "a session's event waits for the database");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
            }
        }
    }
}

async fn take(app: &Arc<App>, event: &HostEvent) -> Result<(), StoreError> {
    let id = event.session;
    let Some(session) = session::by_id(app.store().reader(), id).await? else {
        // A host of a session that nobody knows any more: it ends, and is not asked again.
        if matches!(event.kind, HostEventKind::Exited { .. }) {
            app.hosts().acknowledge(id).await;
        } else {
            let _ = app.hosts().end(id, Duration::from_secs(1)).await;
        }
        return Ok(());
    };
    if session.status == SessionStatus::Starting && is_of_last_run(app, event).await? {
        // The session has ended, and is to be resumed: what is heard of its last host changes nothing any more.
        if matches!(event.kind, HostEventKind::Exited { .. }) {
            app.hosts().acknowledge(id).await;
        }
        return Ok(());
    }
    let at = app.now();
    match &event.kind {
        HostEventKind::Running { agent_pid } => {
            let (pid, first) = (*agent_pid, session.status == SessionStatus::Starting);
            // Before the row says that it runs: its agent may ask something at once.
            if app.settings().runner().is_some()
                && let Some(group) = peer::runner_of(pid)
            {
                app.tokens().runs_in(id, session.owner_uid, group);
            }
            if first {
                let (person, uid) = (&session.owner_name, session.owner_uid);
                tracing::info!(session = %id, person, uid, agent = session.agent, pid, "a session runs");
            }
            let row = activity_row(id, at, "started", None);
            write(app, move |tx| {
                let row = row.clone();
                Box::pin(async move {
                    if first && session::started(tx.conn(), id, pid, at).await? {
                        activity::insert(tx.conn(), &row).await?;
                    }
                    Ok(())
                })
            })
            .await?;
            if matches!(session.status, SessionStatus::Ending | SessionStatus::Ended) {
                // Its end was asked for by a daemon that died before the host heard of it.
                let _ = app.hosts().end(id, GRACE).await;
            }
            // What its agent asked may have been answered while no daemon was there.
            answers::look_again(app, &session).await?;
            app.work().notify_one();
        }
        HostEventKind::Activity(now) => {
            answers::screen(app, &session, *now).await?;
        }
        HostEventKind::Exited { exit, at, lost_bytes } => {
            ended(app, &session, exit, *at, *lost_bytes).await?;
            app.hosts().acknowledge(id).await;
        }
        HostEventKind::RecordingGap(gap) => {
            let draft = AuditDraft::by_daemon(app.own_uid(), "recording.gap", AuditOutcome::Failure, at)
                .about(&session)
                .with_detail(&serde_json::json!({ "gap": format!("{gap:?}") }));
            write(app, move |tx| {
                let draft = draft.clone();
                Box::pin(async move {
                    tx.audit(draft);
                    Ok(())
                })
            })
            .await?;
        }
        HostEventKind::MessageState { message_id, state } => {
            let Ok(message_id) = message_id.parse::<Uuid>() else { return Ok(()) };
            let state = match state {
                Typed::Pending => return Ok(()),
                Typed::Delivered => MessageState::Delivered,
                Typed::Unknown => MessageState::Unknown,
                Typed::Failed => MessageState::Failed,
            };
            let row = activity_row(id, at, "message_sent", Some(message_id.to_string()));
            write(app, move |tx| {
                let row = row.clone();
                Box::pin(async move {
                    message::settle(tx.conn(), message_id, state, None, at).await?;
                    activity::insert(tx.conn(), &row).await
                })
            })
            .await?;
        }
    }
    let kind = match event.kind {
        HostEventKind::Activity(_) => SessionChange::Content,
        _ => SessionChange::Row,
    };
    app.tell(Event::Session(SessionEvent {
        session_id: id,
        owner: session.owner,
        owner_uid: session.owner_uid,
        parent: session.parent,
        kind,
    }));
    Ok(())
}

/// Whether this comes from a host that is not the one of the resumption that is still to be done.
async fn is_of_last_run(app: &App, event: &HostEvent) -> Result<bool, StoreError> {
    let computer = app.store().computer();
    let resumption = outbox::pending_of(app.store().reader(), computer, event.session, RESUME).await?;
    Ok(resumption.is_some_and(|effect| effect.id.to_string() != event.lease))
}

/// Closes a session's row, once: with its audit row, its waiting messages failed and its token revoked.
pub(super) async fn ended(
    app: &App,
    of: &Session,
    exit: &Exit,
    at: Timestamp,
    lost_bytes: u64,
) -> Result<(), StoreError> {
    let id = of.id;
    // Why the daemon asked for the end says more than the signal by which it came.
    let exit = match exit {
        Exit::Code(_) | Exit::Signal(_) => of.exit.as_ref().unwrap_or(exit),
        Exit::Lost | Exit::Failed(_) | Exit::Idle(_) => exit,
    };
    let action = if *exit == Exit::Lost { "session.lost" } else { "session.end" };
    let outcome = match exit {
        Exit::Code(_) | Exit::Signal(_) | Exit::Idle(_) => AuditOutcome::Success,
        Exit::Lost | Exit::Failed(_) => AuditOutcome::Failure,
    };
    let mut draft = AuditDraft::by_daemon(app.own_uid(), action, outcome, at)
        .about(of)
        .with_detail(&serde_json::json!({ "exit": exit.to_string(), "lost_bytes": lost_bytes }));
    draft.via = "host".to_owned();
    let row = activity_row(id, at, "ended", Some(exit.to_string()));
    tracing::info!(session = %id, person = of.owner_name, uid = of.owner_uid, %exit, "a session has ended");
    app.copying().ends(app, of);
    let (exit, lost) = (exit.clone(), *exit == Exit::Lost);
    write(app, move |tx| {
        let (exit, draft, row) = (exit.clone(), draft.clone(), row.clone());
        Box::pin(async move {
            if session::ended(tx.conn(), id, &exit, at).await? {
                message::settle_all(tx.conn(), id, MessageState::Failed, Some("the session has ended"), at)
                    .await?;
                question::withdraw_all(tx.conn(), id, None, at).await?;
                activity::insert(tx.conn(), &row).await?;
                if let Some(lease) = host::by_session(tx.conn(), id).await? {
                    host::release(tx.conn(), id, lease.lease).await?;
                }
                tx.audit(draft);
            }
            Ok(())
        })
    })
    .await?;
    if lost {
        app.counts().lost.one();
    }
    app.tokens().revoke(id);
    // Whoever closes it: who listens, and the agent that started it, hear of it at once.
    told(app, of);
    Ok(())
}

fn activity_row(session: SessionId, at: Timestamp, kind: &str, detail: Option<String>) -> activity::Event {
    activity::Event {
        id: Uuid::now_v7(),
        session,
        at,
        kind: kind.to_owned(),
        detail: detail.map(|d| serde_json::Value::String(d).to_string()),
        actor: None,
    }
}
