//! The daemon's jobs: what it does now and then by itself, and when each is to be done next. Pure: the clock is an
//! argument, keeping the states is `store::job`, doing the jobs is `daemon::jobs`.

use crate::domain::timestamp::Timestamp;
use std::time::Duration;

/// Characters of an error that are kept.
const ERROR_CHARS: usize = 1_000;
/// After the first failure it is tried again this soon; after each further one in a row twice as late …
const AGAIN: Duration = Duration::from_secs(5);
/// … and at the latest after this, or when it would be its turn anyway.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// A job, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Signs the end of the audit log.
    Checkpoint,
    /// Goes on with cutting old rows off the audit log.
    Prune,
    /// Tells people of tasks that are overdue or soon due.
    Heartbeat,
    /// Ends sessions in which nothing happens.
    IdleSessions,
    /// Counts how long agents have run.
    Usage,
    /// Deletes what is old.
    Retention,
    /// Sees to bans that have ended.
    Bans,
    /// Forgets visitors who have not come back.
    Visitors,
    /// Indexes transcripts from before there was an index.
    SearchIndex,
}

impl Job {
    /// Every job.
    pub const ALL: [Self; 9] = [
        Self::Checkpoint,
        Self::Prune,
        Self::Heartbeat,
        Self::IdleSessions,
        Self::Usage,
        Self::Retention,
        Self::Bans,
        Self::Visitors,
        Self::SearchIndex,
    ];

    /// The name as commands, paths and the database spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Prune => "prune",
            Self::Heartbeat => "heartbeat",
            Self::IdleSessions => "idle_sessions",
            Self::Usage => "usage",
            Self::Retention => "retention",
            Self::Bans => "bans",
            Self::Visitors => "visitors",
            Self::SearchIndex => "search_index",
        }
    }

    /// What it does, in words.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Checkpoint => "signs the end of the audit log",
            Self::Prune => "goes on with cutting old rows off the audit log, once that was asked for",
            Self::Heartbeat => "tells people of tasks that are overdue or soon due, once a day each",
            Self::IdleSessions => "ends sessions in which nothing has happened for sessions.idle_end_hours",
            Self::Usage => "counts how long agents have run since it was last counted",
            Self::Retention => "deletes transcripts, recordings and activity older than retention says",
            Self::Bans => "writes down that bans have ended, and forgets the warnings that led to them",
            Self::Visitors => "forgets visitors who have been away for retention.anonymous_days",
            Self::SearchIndex => "indexes transcripts that were kept before there was an index",
        }
    }

    /// Whether each start of the daemon is a time for it, whenever it was done last.
    pub const fn at_start(self) -> bool {
        matches!(self, Self::Checkpoint | Self::Prune | Self::SearchIndex)
    }

    /// Reads the name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }
}

/// What is known of a job on one computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobState {
    /// When the last run that came to its end was begun …
    pub last_started: Option<Timestamp>,
    /// … and when it ended, however.
    pub last_finished: Option<Timestamp>,
    /// When one last ended well.
    pub last_ok: Option<Timestamp>,
    /// Why the last one did not.
    pub error: Option<String>,
    /// When it is to be done next, if it is not switched off.
    pub next_run: Timestamp,
    /// Runs that came to their end.
    pub runs: u64,
    /// How many of the last ones failed, in a row.
    pub failures: u64,
}

impl JobState {
    /// That of a job that was never done: it is due now.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            last_started: None,
            last_finished: None,
            last_ok: None,
            error: None,
            next_run: now,
            runs: 0,
            failures: 0,
        }
    }

    /// A daemon begins: what each start is a time for is due, and nothing is later than its turn would be from now on,
    /// whatever the clock, or the config, said before. What was missed is due once.
    pub fn begin(&mut self, at_start: bool, every: Option<Duration>, now: Timestamp) {
        let latest = if at_start { now } else { every.map_or(self.next_run, |every| now.plus(every)) };
        self.next_run = self.next_run.min(latest);
    }

    /// Whether it is time. Looked at each second, so that a clock that was set back is noticed here.
    pub fn is_due(&mut self, every: Option<Duration>, now: Timestamp) -> bool {
        let Some(every) = every else { return false };
        self.next_run = self.next_run.min(now.plus(every));
        self.next_run <= now
    }

    /// A run is over: how it went decides when the next one is.
    pub fn finished(
        &mut self,
        started: Timestamp,
        outcome: Result<(), String>,
        every: Option<Duration>,
        now: Timestamp,
    ) {
        self.last_started = Some(started);
        self.last_finished = Some(now);
        self.runs += 1;
        let every = every.unwrap_or(AGAIN_MAX);
        match outcome {
            Ok(()) => {
                self.last_ok = Some(now);
                (self.error, self.failures) = (None, 0);
                self.next_run = started.plus(every).max(now);
            }
            Err(why) => {
                self.error = Some(why.chars().take(ERROR_CHARS).collect());
                let doubled = AGAIN * (1 << self.failures.min(8));
                self.failures += 1;
                self.next_run = now.plus(every.min(AGAIN_MAX).min(doubled));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, JobState};
    use crate::domain::timestamp::Timestamp;
    use std::time::Duration;

    const HOUR: Option<Duration> = Some(Duration::from_secs(3_600));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn names_are_read_back() {
        for job in Job::ALL {
            assert_eq!(Job::parse(job.name()), Some(job));
        }
        assert_eq!(Job::parse("Retention"), None);
        assert!(Job::ALL.is_sorted());
    }

    #[test]
    fn a_job_is_done_at_once_and_then_by_its_beginning() {
        let mut state = JobState::new(at(0));
        assert!(state.is_due(HOUR, at(0)));
        assert!(!state.is_due(None, at(0)), "it is switched off");
        state.finished(at(0), Ok(()), HOUR, at(90));
        assert_eq!((state.next_run, state.runs, state.last_ok), (at(3_600), 1, Some(at(90))));
        assert!(!state.is_due(HOUR, at(3_599)) && state.is_due(HOUR, at(3_600)));
        // One that takes longer than its turn is done again at once, not twice.
        state.finished(at(3_600), Ok(()), HOUR, at(9_000));
        assert_eq!(state.next_run, at(9_000));
    }

    #[test]
    fn what_was_missed_is_done_once() {
        let mut state = JobState { next_run: at(3_600), ..JobState::new(at(0)) };
        state.begin(false, HOUR, at(36_000));
        assert!(state.is_due(HOUR, at(36_000)));
        state.finished(at(36_000), Ok(()), HOUR, at(36_001));
        assert!(!state.is_due(HOUR, at(36_001)));
        assert_eq!(state.next_run, at(39_600));
    }

    #[test]
    fn a_start_is_a_time_for_some() {
        let mut state = JobState { next_run: at(3_600), ..JobState::new(at(0)) };
        state.begin(true, HOUR, at(60));
        assert!(state.is_due(HOUR, at(60)));
        let mut other = JobState { next_run: at(3_600), ..JobState::new(at(0)) };
        other.begin(false, HOUR, at(60));
        assert!(!other.is_due(HOUR, at(60)));
        assert_eq!(other.next_run, at(3_600), "the next run survives a start");
    }

    #[test]
    fn what_fails_is_tried_again_soon_and_then_less_soon() {
        let mut state = JobState::new(at(0));
        let mut waits = Vec::new();
        for _ in 0..6 {
            state.finished(at(0), Err("the disk is full".to_owned()), HOUR, at(0));
            waits.push(state.next_run.since(at(0)).as_secs());
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        assert_eq!((state.error.as_deref(), state.failures), (Some("the disk is full"), 6));
        state.finished(at(1), Err("x".repeat(5_000)), Some(Duration::from_secs(2)), at(1));
        assert_eq!(state.next_run, at(3), "never later than its turn");
        assert_eq!(state.error.as_ref().unwrap().len(), 1_000);
        state.finished(at(9), Ok(()), HOUR, at(9));
        assert_eq!((state.error, state.failures, state.runs), (None, 0, 8));
    }

    #[test]
    fn a_clock_that_was_set_back_postpones_nothing_for_long() {
        let mut state = JobState { next_run: at(1_000_000), ..JobState::new(at(0)) };
        assert!(!state.is_due(HOUR, at(0)));
        assert!(!state.is_due(HOUR, at(3_599)) && state.is_due(HOUR, at(3_600)));
        // So does an interval that was made shorter.
        let mut state = JobState { next_run: at(86_400), ..JobState::new(at(0)) };
        assert!(!state.is_due(Some(Duration::from_secs(60)), at(0)));
        assert!(state.is_due(Some(Duration::from_secs(60)), at(60)));
    }
}
