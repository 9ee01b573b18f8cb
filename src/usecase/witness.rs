//! Written first: the one way from a permit to doing what changes nothing. Its audit row, and what the owner is told,
//! are committed durably before [`Written`] exists, and nothing that shows content takes anything less.

use crate::domain::action::Action;
use crate::domain::audit::AuditDraft;
use crate::domain::notice::Notice;
use crate::domain::policy::Permit;
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::inbox;
use crate::store::writer::WriteError;
use crate::usecase::{Facts, inbox as notices, run};
use crate::wire::fault::{Fault, FaultCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long before the asker's deadline a row that is still not written is given up, so that it is said why.
const MARGIN: Duration = Duration::from_secs(1);
/// How long after that a row that is being written may take to say how it went.
const GRACE: Duration = Duration::from_millis(400);

/// Leave to do one thing whose audit row, if it has one, is durably committed. Only [`write_down`] makes one.
#[derive(Debug)]
pub struct Written {
    permit: Permit,
    row: Option<AuditDraft>,
    told: bool,
}

impl Written {
    /// What was permitted.
    pub fn action(&self) -> &Action {
        self.permit.action()
    }

    /// The row that was written.
    pub fn row(&self) -> Option<&AuditDraft> {
        self.row.as_ref()
    }

    /// Whether the owner was told, in their inbox.
    pub fn told(&self) -> bool {
        self.told
    }

    /// The permit, for doing it.
    pub fn into_permit(self) -> Permit {
        self.permit
    }
}

/// One row to be written before something is shown, and what its owner is told.
#[derive(Clone, Debug)]
pub struct Row {
    /// The row.
    pub draft: AuditDraft,
    /// What the session's owner finds in the inbox.
    pub notice: Option<Notice>,
}

/// Writes down what is permitted, durably, if it has to be. A reload, new keys and pruning write
/// their own rows: how they come out decides what those say.
///
/// # Errors
/// `audit_unavailable`: the row could not be written, so nothing may be shown.
pub async fn write_down(
    store: &Store,
    facts: &Facts,
    permit: Permit,
    deadline: Instant,
) -> Result<Written, Fault> {
    let by_themselves = matches!(
        permit.action(),
        Action::Reload
            | Action::GenerateKey
            | Action::RotateKey
            | Action::RotateAuditKey
            | Action::PruneAudit { dry_run: false, .. }
    );
    let row = run::record(facts, &permit).filter(|_| !by_themselves);
    let Some(draft) = row else { return Ok(Written { permit, row: None, told: false }) };
    let session = permit.action().session();
    let notice = session.and_then(|session| notices::notice(facts, permit.caller(), &draft, session));
    let told = notice.is_some();
    commit(store, vec![Row { draft: draft.clone(), notice }], deadline).await?;
    Ok(Written { permit, row: Some(draft), told })
}

/// Writes rows and notices, if there are any, in one transaction. When it returns `Ok` they are durable.
///
/// # Errors
/// `audit_unavailable`.
pub async fn commit(store: &Store, rows: Vec<Row>, deadline: Instant) -> Result<(), Fault> {
    // One's own is not held up by a log that cannot be written.
    if rows.is_empty() {
        return Ok(());
    }
    let now = Instant::now();
    let give_up = deadline.checked_sub(MARGIN).filter(|at| *at > now).unwrap_or(deadline);
    let done = async {
        // Without a notice it need not be a transaction of its own.
        if let [Row { draft, notice: None }] = rows.as_slice() {
            return store.append(give_up, draft.clone()).await.map(drop);
        }
        let rows: Arc<[Row]> = rows.into();
        store
            .write(give_up, move |tx| {
                let rows = Arc::clone(&rows);
                Box::pin(async move {
                    for row in &*rows {
                        tx.audit(row.draft.clone());
                        if let Some(notice) = &row.notice {
                            inbox::put(tx.conn(), notice).await?;
                        }
                    }
                    Ok::<(), StoreError>(())
                })
            })
            .await
    };
    match tokio::time::timeout_at(give_up + GRACE, done).await {
        Ok(done) => done.map_err(unavailable),
        Err(_) => Err(unavailable(WriteError::<StoreError>::Store(StoreError::Timeout))),
    }
}

/// Without its audit row nothing is shown.
pub fn unavailable<E: std::fmt::Display>(error: WriteError<E>) -> Fault {
    let retry_after_ms = matches!(error, WriteError::Busy).then_some(500);
    let fault = Fault::new(
        FaultCode::AuditUnavailable,
        format!("the audit log cannot be written, so nothing was shown: {error}"),
    )
    .hint("the daemon tries again by itself; an admin sees more with `teleclaude health`");
    Fault { retry_after_ms, ..fault }
}
