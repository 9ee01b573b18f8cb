//! The writer's task: taking a batch, running it in one transaction, and what it does when that fails.
//!
//! A batch that fails before COMMIT was sent has done nothing: on a lost connection it is run again until its units'
//! deadlines, otherwise each unit is run alone, so that only the guilty one fails. A batch whose COMMIT got no answer
//! is told by its last audit row; without one it is run again, which units allow.

use super::chain::{Fate, Head, fate};
use super::{Meter, QUEUE, Queue, Tx, Unit, Verdict, Work};
use crate::domain::audit::AuditEntry;
use crate::store::audit;
use crate::store::conn::Conn;
use crate::store::connect::{Clock, Engine, Opener};
use crate::store::error::StoreError;
use crate::store::file::OpenFile;
use crate::store::instance;
use crate::store::lock::LockFile;
use futures_util::FutureExt;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Units in one transaction.
const BATCH: usize = 256;
/// Longest one attempt may take; then its connection is given up.
const ATTEMPT: Duration = Duration::from_secs(12);
/// Longest one unit may take: it holds everybody up.
const UNIT: Duration = Duration::from_secs(5);
/// First and longest pause between attempts on a lost database.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How often a sick database is asked whether it is well again.
const PROBE: Duration = Duration::from_secs(1);
/// How often an idle Postgres connection is used, so that its loss is noticed.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How far the current attempt has come.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// COMMIT has not been sent: nothing is done.
    Running,
    /// COMMIT has been sent; the chain's head if it succeeds, if the batch has audit rows.
    Committing(Option<Head>),
}

/// The task that owns the writing connection.
pub(in crate::store) struct Writer {
    units: mpsc::Receiver<Unit>,
    problem: Arc<Mutex<Option<StoreError>>>,
    closing: CancellationToken,
    meter: Arc<Meter>,
    db: DatabaseConnection,
    opener: Opener,
    clock: Clock,
    head: Option<Head>,
    progress: Progress,
    verdicts: Vec<Verdict>,
    file: OpenFile,
    _lock: Option<LockFile>,
}

impl Writer {
    pub fn new(
        db: DatabaseConnection,
        opener: Opener,
        lock: Option<LockFile>,
        clock: Clock,
    ) -> (Queue, Self) {
        let (sender, units) = mpsc::channel(QUEUE);
        let problem = Arc::new(Mutex::new(None));
        let closing = CancellationToken::new();
        let file = OpenFile::of(&opener.engine);
        let meter = Arc::new(Meter::default());
        let queue =
            Queue { units: sender, problem: problem.clone(), closing: closing.clone(), meter: meter.clone() };
        let writer = Self {
            units,
            problem,
            closing,
            meter,
            db,
            opener,
            clock,
            head: None,
            progress: Progress::Running,
            verdicts: Vec::new(),
            file,
            _lock: lock,
        };
        (queue, writer)
    }

    /// Serves until every [`Queue`] is gone or closed and the queue is empty.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut closed = false;
        loop {
            let sick = self.problem.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            let idle = match (sick, &self.opener.engine) {
                (true, _) => Some(PROBE),
                (false, Engine::Postgres { .. }) => Some(HEARTBEAT),
                (false, Engine::Sqlite { .. }) => None,
            };
            tokio::select! {
                biased;
                () = self.closing.cancelled(), if !closed => {
                    closed = true;
                    self.units.close();
                }
                taken = self.units.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    self.serve(std::mem::take(&mut batch)).await;
                }
                () = tokio::time::sleep(idle.unwrap_or(HEARTBEAT)), if idle.is_some() => self.probe().await,
            }
        }
        let _ = self.db.close_by_ref().await;
    }

    /// Runs a batch until each of its units has a verdict.
    async fn serve(&mut self, batch: Vec<Unit>) {
        let now = Instant::now();
        let mut begun = Vec::with_capacity(batch.len());
        for unit in batch {
            if !unit.gate.begin() {
                continue;
            }
            if unit.deadline <= now {
                let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let _ = unit.ack.send(problem.map_or(Verdict::Busy, Verdict::Failed));
            } else {
                begun.push(unit);
            }
        }
        let alone = self.settle(begun).await;
        for unit in alone {
            // One unit is never handed back.
            self.settle(vec![unit]).await;
        }
    }

    /// Settles what can be settled together; hands back the units that have to be tried alone.
    async fn settle(&mut self, mut units: Vec<Unit>) -> Vec<Unit> {
        let mut pause = PAUSE.0;
        let mut untold = false;
        loop {
            if units.is_empty() {
                return units;
            }
            self.progress = Progress::Running;
            self.verdicts.clear();
            let began = Instant::now();
            let error = match tokio::time::timeout(ATTEMPT, self.attempt(&mut units)).await {
                Ok(Ok(())) => {
                    self.meter.commits.record(began.elapsed());
                    self.acknowledge(units);
                    return Vec::new();
                }
                Ok(Err(error)) => error,
                Err(_) => StoreError::Timeout,
            };
            self.meter.failures.one();
            let sqlite = matches!(self.opener.engine, Engine::Sqlite { .. });
            if is_stuck(&error) || sqlite {
                // What was cut off in the middle is not used again; a Postgres pool drops dead connections itself. On
                // SQLite a COMMIT that failed (disk full) leaves its transaction open: what came next on the same
                // connection would be acknowledged inside it and never be durable.
                self.replace_connection().await;
            }
            self.head = None;
            self.note(&error);
            // These three say that nothing was done, whenever they come, and for every unit alike.
            let for_all = matches!(error, StoreError::Full | StoreError::ReadOnly | StoreError::Locked);
            if let Progress::Committing(expected) = self.progress
                && !for_all
            {
                let last = units.iter().map(|u| u.deadline).max().unwrap_or_else(Instant::now);
                match self.find_out(expected, last).await {
                    Some(Fate::Committed) => {
                        self.acknowledge(units);
                        return Vec::new();
                    }
                    Some(Fate::NotCommitted) => {}
                    Some(Fate::Untold) => untold = true,
                    None => {
                        answer(units, &Verdict::Unknown);
                        return Vec::new();
                    }
                }
            }
            let verdict = if untold { Verdict::Unknown } else { Verdict::Failed(error.clone()) };
            if error.is_lost() {
                units = late(units, &verdict);
                tokio::time::sleep(pause).await;
                pause = Ord::min(pause * 2, PAUSE.1);
            } else if units.len() > 1 && !for_all {
                return late(units, &verdict);
            } else {
                answer(units, &verdict);
                return Vec::new();
            }
        }
    }

    /// One transaction. On `Ok` every unit has its verdict in `self.verdicts` and is durable.
    async fn attempt(&mut self, units: &mut [Unit]) -> Result<(), StoreError> {
        self.file.check()?;
        let head = match self.head {
            Some(head) => head,
            None => audit::head(&self.db, &self.opener.computer)
                .await?
                .map_or(Head::EMPTY, |(seq, hash)| Head { seq, hash }),
        };
        self.head = Some(head);
        let changes = units.iter().filter(|u| matches!(u.work, Work::Change(_))).count();
        let mut drafts = Vec::new();
        let mut tx = None;
        if changes > 0 {
            tx = Some(self.run_units(units, changes, head, &mut drafts).await?).flatten();
        } else {
            for unit in units.iter() {
                if let Work::Append(draft) = &unit.work {
                    drafts.push(draft.as_ref().clone());
                    self.verdicts.push(Verdict::Done(head.seq + i64::try_from(drafts.len()).unwrap_or(0)));
                }
            }
        }
        let entries = head.follow(&self.opener.computer, drafts);
        let after = head.after(&entries);
        match tx {
            Some(tx) => {
                audit::insert(&tx, &entries).await?;
                self.progress = Progress::Committing(expected(&entries, after));
                tx.commit().await?;
            }
            // One statement is its own transaction.
            None if entries.len() <= audit::ROWS => {
                if !entries.is_empty() {
                    self.progress = Progress::Committing(Some(after));
                    audit::insert(&self.db, &entries).await?;
                }
            }
            None => {
                let tx = self.begin().await?;
                audit::insert(&tx, &entries).await?;
                self.progress = Progress::Committing(Some(after));
                tx.commit().await?;
            }
        }
        self.head = Some(after);
        self.meter.audit_rows.add(entries.len() as u64);
        Ok(())
    }

    /// Runs the batch's units, each behind a savepoint unless it is the only change. Gives the transaction, if there
    /// is something to commit in it, and fills `drafts` with the audit rows of those that succeeded.
    async fn run_units(
        &mut self,
        units: &mut [Unit],
        changes: usize,
        head: Head,
        drafts: &mut Vec<crate::domain::audit::AuditDraft>,
    ) -> Result<Option<sea_orm::DatabaseTransaction>, StoreError> {
        let mut tx = Tx { conn: Conn::transaction(self.begin().await?), drafts: Vec::new() };
        let many = changes > 1;
        // What the savepoint needs before the next unit: to be made, to be renewed, or nothing.
        let mut savepoint = Some("SAVEPOINT unit");
        let mut done = 0usize;
        for unit in units.iter_mut() {
            let run = match &mut unit.work {
                Work::Append(draft) => {
                    tx.drafts.push(draft.as_ref().clone());
                    self.verdicts.push(Verdict::Done(head.seq + i64::try_from(tx.drafts.len()).unwrap_or(0)));
                    continue;
                }
                Work::Change(run) => run,
            };
            if many && let Some(sql) = savepoint.take() {
                tx.conn.execute_unprepared(sql).await?;
            }
            let mark = tx.drafts.len();
            let run = AssertUnwindSafe(async { run(&mut tx).await }).catch_unwind();
            let Ok(outcome) = tokio::time::timeout(UNIT, run).await else {
                return Err(StoreError::Timeout);
            };
            let verdict = match (outcome, tx.conn.take_failure()) {
                // So it is for every unit of this connection.
                (_, Some(error)) if error.is_lost() || error == StoreError::ReadOnly => return Err(error),
                (Ok(true), None) => Verdict::Done(0),
                (Ok(false), None | Some(StoreError::Conflict)) => Verdict::Refused,
                (Err(_), _) => Verdict::Panicked,
                (_, Some(error)) => Verdict::Failed(error),
            };
            if let Verdict::Failed(error) = &verdict {
                self.note(error);
            }
            let kept = matches!(verdict, Verdict::Done(_));
            self.verdicts.push(verdict);
            if kept {
                done += 1;
                savepoint = Some("RELEASE SAVEPOINT unit; SAVEPOINT unit");
                continue;
            }
            tx.drafts.truncate(mark);
            if many {
                tx.conn.execute_unprepared("ROLLBACK TO SAVEPOINT unit").await?;
            }
        }
        drafts.append(&mut tx.drafts);
        let Some(transaction) = tx.conn.into_transaction() else { return Ok(None) };
        if done > 0 {
            return Ok(Some(transaction));
        }
        // SQLite may have rolled back by itself (disk full): then there is nothing left to roll back.
        match transaction.rollback().await.map_err(StoreError::from) {
            Err(error) if error.is_lost() => Err(error),
            // Whether a transaction is still open on it cannot be told.
            Err(_) => {
                self.replace_connection().await;
                Ok(None)
            }
            Ok(()) => Ok(None),
        }
    }

    async fn begin(&self) -> Result<sea_orm::DatabaseTransaction, StoreError> {
        let sqlite_transaction_mode = match &self.opener.engine {
            Engine::Sqlite { .. } => Some(SqliteTransactionMode::Immediate),
            Engine::Postgres { .. } => None,
        };
        let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
        Ok(self.db.begin_with_options(options).await?)
    }

    /// After a COMMIT without an answer: was it done? `None` if it could not be told before the last deadline.
    async fn find_out(&mut self, expected: Option<Head>, last: Instant) -> Option<Fate> {
        let Some(head) = expected else { return Some(Fate::Untold) };
        let mut pause = PAUSE.0;
        loop {
            // In a transaction of its own: it begins only after the one in doubt has ended, on SQLite because both
            // write, on Postgres because the new connection has the lock only once the old one is gone.
            let asked = async {
                let tx = self.begin().await?;
                let found = audit::hash_at(&tx, &self.opener.computer, head.seq).await?;
                tx.rollback().await?;
                Ok::<_, StoreError>(found)
            };
            match tokio::time::timeout(ATTEMPT, asked).await {
                Ok(Ok(found)) => return Some(fate(expected, found)),
                Ok(Err(error)) => self.note(&error),
                Err(_) => self.replace_connection().await,
            }
            if Instant::now() >= last {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = Ord::min(pause * 2, PAUSE.1);
        }
    }

    /// Gives the verdicts out; the database is well.
    fn acknowledge(&mut self, units: Vec<Unit>) {
        let well = self.verdicts.iter().any(|v| matches!(v, Verdict::Done(_)));
        self.meter.writes.add(self.verdicts.iter().filter(|v| matches!(v, Verdict::Done(_))).count() as u64);
        if well {
            *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        for (unit, verdict) in units.into_iter().zip(self.verdicts.drain(..)) {
            let _ = unit.ack.send(verdict);
        }
    }

    fn note(&self, error: &StoreError) {
        if error.is_sickness() {
            let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
            if problem.as_ref() != Some(error) {
                tracing::warn!(%error, "the database is unwell");
                *problem = Some(error.clone());
            }
        }
    }

    /// Asks the database, by writing, whether it is well.
    async fn probe(&mut self) {
        let (db, computer, now) = (&self.db, &self.opener.computer, (self.clock)());
        let seen = async {
            self.file.check()?;
            instance::seen(db, computer, now).await
        };
        match tokio::time::timeout(ATTEMPT, seen).await {
            Ok(Ok(())) => {
                let was = self.problem.lock().unwrap_or_else(PoisonError::into_inner).take();
                if was.is_some() {
                    tracing::info!("the database is well again");
                }
            }
            Ok(Err(error)) => {
                self.head = None;
                self.note(&error);
                if is_stuck(&error) {
                    self.replace_connection().await;
                }
            }
            Err(_) => {
                self.head = None;
                self.note(&StoreError::Timeout);
                self.replace_connection().await;
            }
        }
    }

    /// Leaves a connection that does not answer behind. The next one gets the lock only once this one is gone.
    async fn replace_connection(&mut self) {
        self.head = None;
        if let Ok(fresh) = self.opener.writer_later().await {
            let old = std::mem::replace(&mut self.db, fresh);
            tokio::spawn(async move {
                let _ = tokio::time::timeout(ATTEMPT, old.close()).await;
            });
        }
    }
}

/// Whether only another connection can do better. One that was opened while all was read-only stays so, whatever the
/// file system or the server allows afterwards; what was cut off in the middle is not used again.
fn is_stuck(error: &StoreError) -> bool {
    matches!(error, StoreError::ReadOnly | StoreError::Timeout)
}

fn expected(entries: &[AuditEntry], after: Head) -> Option<Head> {
    (!entries.is_empty()).then_some(after)
}

/// Answers those whose deadline is past; gives the others back.
fn late(units: Vec<Unit>, verdict: &Verdict) -> Vec<Unit> {
    let now = Instant::now();
    let (late, rest) = units.into_iter().partition(|u| u.deadline <= now);
    answer(late, verdict);
    rest
}

fn answer(units: Vec<Unit>, verdict: &Verdict) {
    for unit in units {
        let _ = unit.ack.send(verdict.clone());
    }
}
