//! Cutting old rows off this computer's chain: what would go, the signed record of it in the log, and then the rows,
//! in batches that hold nobody up. A daemon that stopped in between goes on at its next start.

use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::checkpoint::Pruned;
use crate::domain::hold::Hold;
use crate::domain::policy::Permit;
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::writer::WriteError;
use crate::store::{audit, hold, prune};
use crate::usecase::resolve::unavailable;
use crate::usecase::{Facts, witness};
use crate::wire::audit::{PrunedReply, hex};
use crate::wire::fault::{Fault, FaultCode};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a batch should take: nobody waits longer for the writer.
const BATCH_TIME: Duration = Duration::from_millis(80);
/// Rows of the first batch.
const BATCH: i64 = 500;
/// Rows of a batch at most.
const BATCH_MAX: i64 = 20_000;
/// So long before the asker's deadline they are told how far it is.
const SPARE: Duration = Duration::from_secs(3);
/// So long it is gone on with before it is looked whether the daemon stops.
const ROUND: Duration = Duration::from_secs(10);

/// Answers a request to prune.
///
/// # Errors
/// `conflict`: another one is under way, or a hold is in the way. `needs_…` where the daemon may not.
pub async fn prune(
    app: &App,
    facts: &Facts,
    permit: &Permit,
    what: (Timestamp, bool, bool),
    deadline: Instant,
) -> Result<PrunedReply, Fault> {
    let (before, dry_run, _) = what;
    let done = tried(app, facts, permit, what, deadline).await;
    // What would go is written down before it is looked up, and what goes with its record.
    let (outcome, detail) = match &done {
        _ if dry_run => return done,
        Ok(reply) if reply.rows > 0 => return done,
        // Nothing could be looked at or written: that is said already, and cannot be written down.
        Err(fault) if !matches!(fault.code, FaultCode::Conflict | FaultCode::Denied) => return done,
        Ok(_) => (AuditOutcome::Success, json!({ "before": before, "count": 0 })),
        Err(fault) => (AuditOutcome::Failure, json!({ "before": before, "why": fault.message })),
    };
    let request = facts.request_id.to_string();
    let mut draft =
        AuditDraft::by(permit.caller(), prune::PRUNE, outcome, facts.now, &request).with_detail(&detail);
    draft.target = Some(("chain".to_owned(), app.store().computer().to_owned()));
    witness::commit(app.store(), vec![witness::Row { draft, notice: None }], deadline).await?;
    done
}

async fn tried(
    app: &App,
    facts: &Facts,
    permit: &Permit,
    (before, dry_run, by_owner): (Timestamp, bool, bool),
    deadline: Instant,
) -> Result<PrunedReply, Fault> {
    let Ok(_turn) = app.pruning().try_lock() else { return Err(under_way()) };
    let (reader, computer) = (app.store().reader(), app.store().computer());
    if before > facts.now {
        return Err(Fault::invalid("before", "lies in the future"));
    }
    if let Some(last) = unfinished(app).await.map_err(unavailable)?
        && prune::allowed(reader).await.map_err(unavailable)?
    {
        let left = finish(app, last, deadline).await.map_err(unavailable)?;
        if left > 0 {
            let held = hold::covering(reader, computer, last).await.map_err(unavailable)?;
            return Err(held.map_or_else(under_way, |held| refused(&held)));
        }
    }
    let found = prune::prefix(reader, computer, before).await.map_err(unavailable)?;
    let Some((first, last, head)) = found else {
        return Ok(PrunedReply {
            computer: computer.to_owned(),
            dry_run,
            rows: 0,
            first: None,
            last: None,
            head: None,
            left: 0,
        });
    };
    let count = last - first + 1;
    let mut reply = PrunedReply {
        computer: computer.to_owned(),
        dry_run,
        rows: count,
        first: Some(first),
        last: Some(last),
        head: Some(hex(&head)),
        left: 0,
    };
    if let Some(held) = hold::covering(reader, computer, last).await.map_err(unavailable)? {
        return Err(refused(&held));
    }
    // What is signed as cut off was all there: a hole is not to be hidden by it.
    if prune::many(reader, computer, first, last).await.map_err(unavailable)? != count {
        return Err(Fault::new(
            FaultCode::Conflict,
            format!("of the rows {first} to {last} some are missing"),
        )
        .hint("nothing was pruned; `teleclaude audit verify` says which"));
    }
    if dry_run {
        return Ok(reply);
    }
    if !by_owner && !prune::allowed(reader).await.map_err(unavailable)? {
        return Err(Fault::new(FaultCode::Denied, "the daemon's database role may not remove audit rows")
            .hint("as it should be where the tables have another owner: `teleclaude audit prune --owner-database URL` has that one do it"));
    }
    let cut = Pruned { origin: computer.to_owned(), first, last, count, head, at: facts.now };
    let note = app.notary().sign(&cut.text()).ok_or_else(|| {
        Fault::new(FaultCode::Unavailable, "there is no key to sign the record of it with")
            .hint("`teleclaude health` says why")
    })?;
    let request = facts.request_id.to_string();
    let mut draft = AuditDraft::by(permit.caller(), prune::PRUNE, AuditOutcome::Success, facts.now, &request)
        .with_detail(&json!({
            "before": before, "first": first, "last": last, "count": count, "head": hex(&head), "note": note,
        }));
    draft.target = Some(("chain".to_owned(), computer.to_owned()));
    let owned = computer.to_owned();
    let recorded = app
        .store()
        .write(deadline, move |tx| {
            let (draft, computer) = (draft.clone(), owned.clone());
            Box::pin(async move {
                // A hold that was placed while this was looked up counts.
                let held = hold::covering(tx.conn(), &computer, last).await.map_err(unavailable)?;
                if let Some(held) = held {
                    return Err(refused(&held));
                }
                tx.audit(draft);
                Ok(())
            })
        })
        .await;
    match recorded {
        Ok(()) => {}
        Err(WriteError::Refused(fault)) => return Err(fault),
        Err(other) => return Err(witness::unavailable(other)),
    }
    if by_owner {
        reply.left = count;
        return Ok(reply);
    }
    // It is decided and written down now: what is not done before the deadline is done after it.
    reply.left = match finish(app, last, deadline).await {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(%error, "pruning waits for the database");
            count
        }
    };
    Ok(reply)
}

/// Goes on with what a daemon before this one, or a deadline, left undone, until all of it is done.
///
/// # Errors
/// The database.
pub async fn go_on(app: &App, stop: &CancellationToken) -> Result<(), StoreError> {
    let Ok(_turn) = app.pruning().try_lock() else { return Ok(()) };
    while !stop.is_cancelled() {
        // Otherwise left for the owner of the tables, who was named when it was asked for.
        if !prune::allowed(app.store().reader()).await? {
            return Ok(());
        }
        let Some(last) = unfinished(app).await? else { return Ok(()) };
        let until = Instant::now() + ROUND;
        if finish(app, last, until).await? == 0 || Instant::now() + SPARE < until {
            return Ok(());
        }
    }
    Ok(())
}

/// How far a record says that rows are to go, if some of them are still there.
async fn unfinished(app: &App) -> Result<Option<i64>, StoreError> {
    let (reader, computer) = (app.store().reader(), app.store().computer());
    let cuts = prune::proven(reader, computer, &app.notary().keys()).await?;
    let Some(last) = cuts.iter().map(|cut| cut.last).max() else { return Ok(None) };
    let first = audit::ends(reader, computer).await?.map(|(first, _)| first);
    Ok(first.is_some_and(|first| first <= last).then_some(last))
}

/// Removes rows up to `last` until there are none, or one is on hold, or the time is up; how many are left.
async fn finish(app: &App, last: i64, deadline: Instant) -> Result<i64, StoreError> {
    let computer = app.store().computer().to_owned();
    let mut most = BATCH;
    loop {
        let left = prune::left(app.store().reader(), &computer, last).await?;
        if left == 0 || Instant::now() + SPARE >= deadline {
            return Ok(left);
        }
        let began = Instant::now();
        let of = computer.clone();
        let gone = write(app, move |tx| {
            let of = of.clone();
            Box::pin(async move { prune::cut(tx.conn(), &of, last, most).await })
        })
        .await?;
        if gone == 0 {
            tracing::warn!(left, "pruning stops at what was put on hold meanwhile");
            return Ok(left);
        }
        most = if began.elapsed() > BATCH_TIME { most / 2 } else { most * 2 }.clamp(100, BATCH_MAX);
        tokio::task::yield_now().await;
    }
}

fn under_way() -> Fault {
    Fault::new(FaultCode::Conflict, "the audit log is being pruned already; nothing was done")
        .hint("try again when that is done")
}

fn refused((hold, seq): &(Hold, i64)) -> Fault {
    let of = match hold.scope.target() {
        "" => hold.scope.kind().to_owned(),
        target => format!("{} {target}", hold.scope.kind()),
    };
    Fault::new(
        FaultCode::Conflict,
        format!(
            "rows from {seq} on are on hold {} ({of}, by {}: {}); nothing was pruned",
            hold.id, hold.placed_by, hold.reason
        ),
    )
    .hint("prune to an earlier date, or release it with `teleclaude audit hold release`")
}
