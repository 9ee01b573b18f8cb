//! Deleting a session: from this transaction on nobody is shown it any more; what is kept of it is deleted by the
//! effect that is written here, a little at a time.

use crate::domain::session::Session;
use crate::store::writer::Tx;
use crate::store::{hold, retention};
use crate::usecase::Facts;
use crate::usecase::resolve::{no_session, unavailable};
use crate::usecase::sessions::{PURGE, effect};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::session::PurgedReply;

pub(super) async fn purge(tx: &mut Tx, facts: &Facts, session: &Session) -> Result<Reply, Fault> {
    if session.status.is_open() {
        return Err(Fault::new(FaultCode::Conflict, format!("session {} is {}", session.id, session.status))
            .hint("only what has ended can be deleted: `teleclaude sessions end` first"));
    }
    let held = hold::holds_session(tx.conn(), &session.id.to_string(), &session.owner_name).await;
    if let Some(hold) = held.map_err(unavailable)? {
        // Why is between whoever placed it and the log: the owner may be whom it is about.
        let problem = format!("session {} is on hold {}; nothing was deleted", session.id, hold.id);
        let hint = format!(
            "ask {}, who placed it; an admin releases it with `teleclaude audit hold release`",
            hold.placed_by
        );
        return Err(Fault::new(FaultCode::Conflict, problem).hint(hint));
    }
    // Where somebody was faster, it is not there any more.
    if !retention::begin_purge(tx.conn(), session.id, facts.now).await.map_err(unavailable)? {
        return Err(no_session(&session.id.to_string()));
    }
    effect(tx, facts, facts.message_id, session, PURGE).await?;
    Ok(Reply::Purged(PurgedReply {
        session_id: session.id.to_string(),
        worktree_path: session.worktree.as_ref().and_then(|worktree| worktree.path.clone()),
    }))
}
