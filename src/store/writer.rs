//! The one writer. Units of work wait in a bounded queue; one task runs many of them in one transaction, each behind
//! a savepoint, puts their audit rows into the chain just before COMMIT, and acknowledges only after it. What the
//! task does about failures is in `batch`; here is what callers see.

use crate::domain::audit::AuditDraft;
use crate::domain::meter::{Counter, Histogram};
use crate::store::conn::Conn;
use crate::store::connect::Store;
use crate::store::error::StoreError;
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod batch;
mod chain;

pub(super) use batch::Writer;

/// Units that may wait.
pub const QUEUE: usize = 1024;
/// How long after its deadline a unit that has begun may still be waited for.
const GRACE: Duration = Duration::from_secs(15);

/// Why a write was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError<E> {
    /// The unit itself said no; its changes and audit rows are gone.
    #[error("{0}")]
    Refused(E),
    /// The queue did not move before the deadline; nothing was done.
    #[error("the database has too much to do")]
    Busy,
    /// The connection broke at COMMIT and it could not be told in time whether it was done.
    #[error("it may or may not have been done: the database was lost")]
    OutcomeUnknown,
    /// The unit panicked; nothing was done.
    #[error("a defect stopped the write")]
    Panicked,
    /// The database did not do it; nothing was done.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a unit of work has in its hands: the transaction, and the audit rows that go with it.
pub struct Tx {
    conn: Conn,
    drafts: Vec<AuditDraft>,
}

impl Tx {
    /// What queries run on.
    pub fn conn(&self) -> &Conn {
        &self.conn
    }

    /// Writes `draft` down with this unit: both are kept, or neither.
    pub fn audit(&mut self, draft: AuditDraft) {
        self.drafts.push(draft);
    }
}

type Run = Box<dyn for<'a> FnMut(&'a mut Tx) -> BoxFuture<'a, bool> + Send>;

enum Work {
    Append(Box<AuditDraft>),
    Change(Run),
}

/// What became of a unit. `Done` carries the audit seq of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Done(i64),
    Refused,
    Panicked,
    Busy,
    Unknown,
    Failed(StoreError),
}

struct Unit {
    work: Work,
    gate: Arc<Gate>,
    deadline: Instant,
    ack: oneshot::Sender<Verdict>,
}

/// Whether the writer or the waiting caller was first: a unit is begun or given up, never both.
#[derive(Default)]
struct Gate(AtomicU8);

impl Gate {
    fn begin(&self) -> bool {
        self.0.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn give_up(&self) -> bool {
        self.0.compare_exchange(0, 2, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The callers' end of the queue.
#[derive(Clone)]
pub(super) struct Queue {
    units: mpsc::Sender<Unit>,
    problem: Arc<Mutex<Option<StoreError>>>,
    closing: CancellationToken,
    meter: Arc<Meter>,
}

/// What the writer has done since it began.
#[derive(Debug, Default)]
pub struct Meter {
    /// Units that are durable.
    pub writes: Counter,
    /// How long transactions took, from their beginning to their commit.
    pub commits: Histogram,
    /// Transactions that failed.
    pub failures: Counter,
    /// Rows of the audit log.
    pub audit_rows: Counter,
}

impl Queue {
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn waiting(&self) -> usize {
        QUEUE - self.units.capacity()
    }

    pub(super) fn problem(&self) -> Option<StoreError> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_full(&self) -> bool {
        self.units.capacity() == 0
    }

    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    async fn put(&self, deadline: Instant, work: Work) -> Verdict {
        let late = || self.problem().map_or(Verdict::Busy, Verdict::Failed);
        if self.closing.is_cancelled() {
            return Verdict::Failed(StoreError::Closed);
        }
        let place = match tokio::time::timeout_at(deadline, self.units.reserve()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Verdict::Failed(StoreError::Closed),
            Err(_) => return late(),
        };
        let (ack, mut answer) = oneshot::channel();
        let gate = Arc::new(Gate::default());
        place.send(Unit { work, gate: gate.clone(), deadline, ack });
        // A dropped answer is a writer that died: with the unit begun nobody can tell what became of it.
        let lost = || if gate.give_up() { Verdict::Failed(StoreError::Closed) } else { Verdict::Unknown };
        match tokio::time::timeout_at(deadline, &mut answer).await {
            Ok(verdict) => verdict.unwrap_or_else(|_| lost()),
            Err(_) if gate.give_up() => late(),
            Err(_) => match tokio::time::timeout(GRACE, answer).await {
                Ok(verdict) => verdict.unwrap_or_else(|_| lost()),
                Err(_) => Verdict::Unknown,
            },
        }
    }
}

impl Store {
    /// Runs `unit` in the writer's transaction and returns after COMMIT. `unit` may be run more than once (after a
    /// lost connection, or because a neighbour in the batch failed), so keys and times come from outside it. On
    /// `Err` its changes are rolled back. A statement that failed fails the unit whatever the unit makes of it: look
    /// first, do not try and catch. It holds every other writer up, so it waits for nothing but the database: after
    /// five seconds it is given up. Once queued it runs even if the caller goes away.
    pub async fn write<T, E, F>(&self, deadline: Instant, mut unit: F) -> Result<T, WriteError<E>>
    where
        F: for<'a> FnMut(&'a mut Tx) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let kept = slot.clone();
        let run: Run = Box::new(move |tx| {
            let kept = kept.clone();
            let answer = unit(tx);
            Box::pin(async move {
                let answer = answer.await;
                let ok = answer.is_ok();
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                ok
            })
        });
        let verdict = self.queue().put(deadline, Work::Change(run)).await;
        let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (verdict, answer) {
            (Verdict::Done(_), Some(Ok(value))) => Ok(value),
            (Verdict::Refused, Some(Err(error))) => Err(WriteError::Refused(error)),
            (Verdict::Busy, _) => Err(WriteError::Busy),
            (Verdict::Unknown, _) => Err(WriteError::OutcomeUnknown),
            (Verdict::Failed(error), _) => Err(WriteError::Store(error)),
            // The last pair cannot be: a verdict on an answer that is not there.
            (Verdict::Panicked | Verdict::Done(_) | Verdict::Refused, _) => Err(WriteError::Panicked),
        }
    }

    /// Writes one audit row and returns its seq after COMMIT. Several callers share one statement.
    pub async fn append(&self, deadline: Instant, draft: AuditDraft) -> Result<i64, WriteError<StoreError>> {
        match self.queue().put(deadline, Work::Append(Box::new(draft))).await {
            Verdict::Done(seq) => Ok(seq),
            Verdict::Busy => Err(WriteError::Busy),
            Verdict::Unknown => Err(WriteError::OutcomeUnknown),
            Verdict::Failed(error) => Err(WriteError::Store(error)),
            Verdict::Refused | Verdict::Panicked => Err(WriteError::Panicked),
        }
    }
}
