//! What the daemon does now and then without being asked: one table of jobs and one loop. Which there are and when each
//! is due is `domain::job`; here is how they are done: each in a task of its own, so that one that takes long, fails or
//! panics holds up no other; never twice at once; and what came of it is kept once it is over, so that a daemon that dies
//! in between leaves the job due for the next one.

pub mod denials;
pub mod heartbeat;
pub mod idle;

use crate::config::schema::Config;
use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::daemon::{checkpoints, hours, pruning, retention};
use crate::domain::job::{Job, JobState};
use crate::domain::timestamp::Timestamp;
use crate::store;
use crate::store::error::StoreError;
use crate::usecase::job::not_now;
use crate::usecase::{ban, visitors};
use crate::wire::fault::Fault;
use crate::wire::job::{JobRow, JobsReply};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_secs(1);
/// How long a write of a job may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long before the asker's deadline they are told that the job still runs.
const SPARE: Duration = Duration::from_secs(1);

/// Time between two runs as this config has it; `None` for a job that is switched off.
pub fn every(job: Job, config: &Config) -> Option<Duration> {
    match job {
        Job::Checkpoint | Job::Prune => Some(config.audit.checkpoint.every.0),
        Job::Heartbeat => config.heartbeat.every.0,
        Job::IdleSessions | Job::Usage | Job::Bans => Some(Duration::from_secs(60)),
        Job::Retention => Some(Duration::from_secs(600)),
        Job::Visitors | Job::SearchIndex => Some(Duration::from_secs(3_600)),
    }
}

/// Does it, until it is done or stopped.
async fn work(job: Job, app: &App, now: Timestamp, stop: &CancellationToken) -> Result<(), String> {
    let told = |error: StoreError| error.to_string();
    match job {
        Job::Checkpoint if checkpoints::make(app).await => Ok(()),
        Job::Checkpoint => Err(app.notary().wrong().join("; ")),
        Job::Prune => pruning::go_on(app, stop).await.map_err(told),
        Job::Heartbeat => heartbeat::run(app, now, stop).await.map_err(told),
        Job::IdleSessions => idle::end_idle(app, now).await.map_err(told),
        Job::Usage => hours::count(app, now).await.map_err(told),
        Job::Retention => retention::delete_old(app, now, stop).await.map_err(told),
        Job::Bans => bans(app, now).await,
        Job::Visitors => match app.settings().loaded.config.retention.anonymous_days {
            // For ever.
            0 => Ok(()),
            days => {
                let forgotten = visitors::forget(app.store(), days, now, || !stop.is_cancelled()).await;
                forgotten.map(drop).map_err(|error| error.to_string())
            }
        },
        Job::SearchIndex => retention::fill_index(app, stop).await.map_err(told),
    }
}

/// They were not in force any more before; now their rows say so, and what led to them is forgotten.
async fn bans(app: &App, now: Timestamp) -> Result<(), String> {
    let ended = ban::end_over(app.store(), app.own_uid(), now, Instant::now() + PATIENCE).await;
    if ended.map_err(|error| error.to_string())? > 0 {
        app.refresh_people().await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// How each job is.
#[derive(Debug)]
pub struct Jobs {
    slots: BTreeMap<Job, Arc<Slot>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Slot {
    state: Mutex<JobState>,
    /// Since when it is somebody's turn.
    running_since: Mutex<Option<Timestamp>>,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, JobState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running_since(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.running_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn at a job. While there is one there is no other.
#[derive(Debug)]
pub struct Turn {
    job: Job,
    began: Timestamp,
    slot: Arc<Slot>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.slot.running_since() = None;
    }
}

impl Jobs {
    /// All jobs: as they were kept, or as new.
    pub fn new(kept: Vec<(Job, JobState)>, now: Timestamp) -> Self {
        let mut kept: BTreeMap<Job, JobState> = kept.into_iter().collect();
        let mut slot = |job| {
            let state = Mutex::new(kept.remove(&job).unwrap_or_else(|| JobState::new(now)));
            Arc::new(Slot { state, running_since: Mutex::default() })
        };
        Self {
            slots: Job::ALL.into_iter().map(|job| (job, slot(job))).collect(),
            stop: CancellationToken::new(),
        }
    }

    /// How a job is.
    pub fn state(&self, job: Job) -> Option<JobState> {
        self.slots.get(&job).map(|slot| slot.state().clone())
    }

    /// A turn at a job, from `now`; `None` while it is another's.
    pub fn turn(&self, job: Job, now: Timestamp) -> Option<Turn> {
        let slot = Arc::clone(self.slots.get(&job)?);
        {
            let mut running = slot.running_since();
            if running.is_some() {
                return None;
            }
            *running = Some(now);
        }
        Some(Turn { job, began: now, slot })
    }

    /// What is wrong with those whose last run failed.
    pub fn wrong(&self) -> Vec<String> {
        let failed = |(job, slot): (&Job, &Arc<Slot>)| {
            let state = slot.state();
            let (error, at) = (state.error.as_ref()?, state.last_finished?);
            Some(format!("the job {} failed at {at}: {error}", job.name()))
        };
        self.slots.iter().filter_map(failed).collect()
    }
}

/// Runs until stopped, and until what was begun has stopped, too.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    begin(&app, app.now());
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        denials::write_due(&app, app.now()).await;
        start_due(&app, app.now(), &mut running);
        while running.try_join_next().is_some() {}
    }
    app.jobs().stop.cancel();
    while running.join_next().await.is_some() {}
}

/// A daemon begins at `now`: what each start is a time for is due.
pub fn begin(app: &App, now: Timestamp) {
    let settings = app.settings();
    for (job, slot) in &app.jobs().slots {
        slot.state().begin(job.at_start(), every(*job, &settings.loaded.config), now);
    }
}

/// Starts every job that is due at `now` and does not run.
pub fn start_due(app: &Arc<App>, now: Timestamp, running: &mut JoinSet<()>) {
    let settings = app.settings();
    for (job, slot) in &app.jobs().slots {
        let due = slot.state().is_due(every(*job, &settings.loaded.config), now);
        if due && let Some(turn) = app.jobs().turn(*job, now) {
            running.spawn(begun(Arc::clone(app), turn));
        }
    }
}

async fn begun(app: Arc<App>, turn: Turn) {
    let (job, now, stop) = (turn.job, turn.began, app.jobs().stop.clone());
    let what = {
        let app = Arc::clone(&app);
        async move { work(job, &app, now, &stop).await }
    };
    once(&app, turn, what).await;
}

/// Does `what` in this turn, and keeps what came of it: also of a panic.
pub async fn once(app: &App, turn: Turn, what: impl Future<Output = Result<(), String>> + Send + 'static) {
    let outcome = tokio::spawn(what).await;
    let outcome = outcome.unwrap_or_else(|_| Err("a defect of ours stopped it; the log has more".to_owned()));
    if app.jobs().stop.is_cancelled() {
        // Cut short, perhaps: the next daemon does it.
        return;
    }
    let name = turn.job.name();
    if let Err(error) = &outcome {
        tracing::warn!(job = name, error, "a job failed");
    }
    let state = {
        let mut state = turn.slot.state();
        state.finished(turn.began, outcome, every(turn.job, &app.settings().loaded.config), app.now());
        state.clone()
    };
    let (computer, job) = (app.store().computer().to_owned(), turn.job);
    // Within the turn, so that the rows are kept in the order of the runs.
    let kept = write(app, move |tx| {
        let (computer, state) = (computer.clone(), state.clone());
        Box::pin(async move { store::job::put(tx.conn(), &computer, job, &state).await })
    });
    if let Err(error) = kept.await {
        tracing::warn!(job = name, %error, "what came of a job waits for the database");
    }
}

/// Does a job now, at an admin's word, and waits for it until shortly before `deadline`.
///
/// # Errors
/// `conflict`: it runs already.
pub async fn run_now(app: &App, job: Job, now: Timestamp, deadline: Instant) -> Result<JobRow, Fault> {
    let (Some(app), Some(slot)) = (app.shared(), app.jobs().slots.get(&job)) else {
        return Err(not_now(job));
    };
    let Some(turn) = app.jobs().turn(job, now) else { return Err(not_now(job)) };
    let done = tokio::spawn(begun(Arc::clone(&app), turn));
    let until = deadline.checked_sub(SPARE).unwrap_or(deadline);
    // What is not done by then goes on without the asker, who sees that it runs.
    let _ = tokio::time::timeout_at(until, done).await;
    Ok(row(&app, job, slot))
}

/// Every job of this computer.
pub fn shown(app: &App) -> JobsReply {
    JobsReply { jobs: app.jobs().slots.iter().map(|(job, slot)| row(app, *job, slot)).collect() }
}

fn row(app: &App, job: Job, slot: &Slot) -> JobRow {
    let every = every(job, &app.settings().loaded.config);
    let (running, state) = (*slot.running_since(), slot.state().clone());
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    JobRow {
        name: job.name().to_owned(),
        what: job.what().to_owned(),
        every_seconds: every.map(|every| i64::try_from(every.as_secs()).unwrap_or(i64::MAX)),
        running_since: text(running),
        last_started: text(state.last_started),
        last_finished: text(state.last_finished),
        last_ok: text(state.last_ok),
        error: state.error,
        failures: i64::try_from(state.failures).unwrap_or(i64::MAX),
        next_run: text(every.map(|_| state.next_run)),
        runs: i64::try_from(state.runs).unwrap_or(i64::MAX),
    }
}
