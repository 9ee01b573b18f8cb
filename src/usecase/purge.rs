//! Deleting a session: from this transaction on nobody is shown it any more; what is kept of it is deleted by the
//! effect that is written here, a little at a time.

use crate::domain::session::Session;
use crate::store::retention;
use crate::store::writer::Tx;
use crate::usecase::Facts;
use crate::usecase::resolve::{no_session, unavailable};
use crate::usecase::run::{PURGE, effect};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::{PurgedReply, Reply};

pub(super) async fn purge(tx: &mut Tx, facts: &Facts, session: &Session) -> Result<Reply, Fault> {
    if session.status.is_open() {
        return Err(Fault::new(FaultCode::Conflict, format!("session {} is {}", session.id, session.status))
            .hint("only what has ended can be deleted: `teleclaude sessions end` first"));
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
