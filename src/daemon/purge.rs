//! The effect of deleting a session: its worktree, its recording, and then its rows, a little at a time, its own last.
//! Everything can be done twice, so a daemon that dies in between leaves the rest to the next one.

use crate::daemon::app::App;
use crate::daemon::effects::{told, write};
use crate::daemon::retention::{Pace, blocking, remove_recording};
use crate::daemon::worktrees;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::session::Session;
use crate::store::error::StoreError;
use crate::store::outbox::Effect;
use crate::store::{retention, session};

/// Deletes all that is kept of a session. A worktree in which something is unsaved stays; the audit log says where.
///
/// # Errors
/// The database, or something of the session's that cannot be removed now.
pub(super) async fn purge(app: &App, effect: &Effect, session: &Session) -> Result<(), StoreError> {
    let id = session.id;
    if session.worktree.as_ref().is_some_and(|worktree| worktree.path.is_some()) {
        worktrees::remove(app, session, effect.id).await?;
    }
    let now = session::by_id(app.store().reader(), id).await?;
    let kept = now.and_then(|now| now.worktree).and_then(|worktree| worktree.path);
    if !app.hosts().clear(id).await {
        return Err(StoreError::Other("processes of the session's last run have not ended".to_owned()));
    }
    let folder = app.recordings().to_owned();
    blocking(move || remove_recording(&folder, id)).await?;
    let mut pace = Pace::new();
    loop {
        let rows = pace.next();
        let gone = write(app, move |tx| Box::pin(retention::delete_some(tx.conn(), id, rows))).await?;
        pace.done();
        if gone == 0 {
            break;
        }
    }
    let draft = AuditDraft::by_daemon(app.own_uid(), "session.purge", AuditOutcome::Success, app.now())
        .about(session)
        .with_detail(&serde_json::json!({ "event": "done", "worktree_kept": kept }));
    if let Some(path) = &kept {
        tracing::warn!(session = %id, worktree = path, "a session was deleted, its worktree was kept");
    }
    write(app, move |tx| {
        let draft = draft.clone();
        Box::pin(async move {
            // The effect's own row goes with it.
            if retention::delete_session(tx.conn(), id).await? {
                tx.audit(draft);
            }
            Ok(())
        })
    })
    .await?;
    told(app, session);
    Ok(())
}
