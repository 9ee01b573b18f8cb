//! Tasks: what somebody is to do, by when, and how far it is. Pure; who may move one is `policy`, keeping them is
//! `store::task`, reading a deadline that somebody typed `domain::deadline`.

use crate::domain::caller::PersonRef;
use crate::domain::person::PersonId;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A task's key: a UUIDv7, so that order by id is order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub Uuid);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a task is. That it is overdue is no status: it is worked out whenever somebody asks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Given, nothing said yet.
    Pending,
    /// The assignee works on it.
    Accepted,
    /// Done.
    Completed,
}

/// What a move from one status to another is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To where it is: nothing happens.
    None,
    /// On, also past a status.
    Forward,
    /// Back.
    Back,
}

impl TaskStatus {
    /// Every status, first to last.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Accepted, Self::Completed];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Completed => "completed",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == word)
    }

    /// What it is to move there.
    pub fn step(self, to: Self) -> Step {
        match self.cmp(&to) {
            std::cmp::Ordering::Equal => Step::None,
            std::cmp::Ordering::Less => Step::Forward,
            std::cmp::Ordering::Greater => Step::Back,
        }
    }
}

/// Which tasks a list holds, by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskFilter {
    /// Pending or accepted.
    #[default]
    Open,
    /// Pending.
    Pending,
    /// Accepted.
    Accepted,
    /// Completed.
    Completed,
    /// All of them.
    All,
}

impl TaskFilter {
    /// Whether completed tasks are among them: then the newest stand first, else those that are due first.
    pub const fn newest_first(self) -> bool {
        matches!(self, Self::Completed | Self::All)
    }
}

/// Characters of a task's description, at most.
pub const DESCRIPTION_CHARS: usize = 4_000;

/// Open tasks that one person has, at most.
pub const OPEN_MAX: u64 = 1_000;

/// What is to be done: 1 to 4,000 characters, of several lines if need be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskText(String);

impl TaskText {
    /// Checks what somebody typed. The error completes "description: …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.chars().take(DESCRIPTION_CHARS + 1).count() > DESCRIPTION_CHARS {
            return Err(format!("may have at most {DESCRIPTION_CHARS} characters"));
        }
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err("must not contain control characters other than line ends and tabs".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// A description as the database kept it.
    pub fn from_kept(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first line, cut to so many characters with `…` if there is more.
    pub fn line(&self, chars: usize) -> String {
        let first = self.0.lines().next().unwrap_or_default();
        if first.len() == self.0.len() && first.chars().count() <= chars {
            return first.to_owned();
        }
        let cut: String = first.chars().take(chars.saturating_sub(1)).collect();
        format!("{}…", cut.trim_end())
    }
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The key.
    pub id: TaskId,
    /// Who is to do it.
    pub assignee: PersonRef,
    /// Who gave it.
    pub creator: PersonRef,
    /// What is to be done.
    pub description: TaskText,
    /// By when.
    pub deadline: Option<Timestamp>,
    /// How far it is.
    pub status: TaskStatus,
    /// When it was given.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// When it was completed, if it is.
    pub completed: Option<Timestamp>,
    /// Counts the changes: 1 for a new one.
    pub version: i64,
}

impl Task {
    /// Whether its time is over and it is not done.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.status != TaskStatus::Completed && self.deadline.is_some_and(|deadline| deadline < now)
    }

    /// Its place among those that are due first: undated ones come last, then the oldest first.
    pub fn place(&self) -> TaskPlace {
        TaskPlace::Due(self.deadline, self.id)
    }

    /// Those whom a change by `actor` concerns: who is to do it and who gave it, but for the actor.
    pub fn concerned(&self, actor: Option<PersonId>) -> Vec<PersonId> {
        let mut both = vec![self.assignee.id, self.creator.id];
        both.dedup();
        both.retain(|person| Some(*person) != actor);
        both
    }
}

/// A place in a list: the next page begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPlace {
    /// Where those stand first that are due first.
    Due(Option<Timestamp>, TaskId),
    /// Where the newest stand first.
    Newest(TaskId),
}

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskEventKind {
    /// It was given.
    Created,
    /// Moved on to accepted.
    Accepted,
    /// Moved on to completed.
    Completed,
    /// Moved back.
    Reopened,
    /// Its text or its deadline changed.
    Edited,
    /// It was deleted.
    Deleted,
}

impl TaskEventKind {
    /// Every kind, for CHECK constraints and tests.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Accepted, Self::Completed, Self::Reopened, Self::Edited, Self::Deleted];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Accepted => "accepted",
            Self::Completed => "completed",
            Self::Reopened => "reopened",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// What it is that a task comes to this status by such a step.
    pub const fn of(to: TaskStatus, step: Step) -> Option<Self> {
        match (step, to) {
            (Step::None, _) => None,
            (Step::Back, _) => Some(Self::Reopened),
            (Step::Forward, TaskStatus::Completed) => Some(Self::Completed),
            (Step::Forward, _) => Some(Self::Accepted),
        }
    }
}

/// A row of a task's trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEvent {
    /// The key, a UUIDv7.
    pub id: Uuid,
    /// Which task.
    pub task: TaskId,
    /// When.
    pub at: Timestamp,
    /// Who did it; `None` is the daemon.
    pub actor: Option<PersonId>,
    /// Their name then.
    pub actor_name: String,
    /// Whose task it was then.
    pub assignee: PersonId,
    /// What.
    pub kind: TaskEventKind,
    /// More, as JSON text: never the description.
    pub detail: Option<String>,
}

/// Which tasks, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// Only of this person.
    pub assignee: Option<PersonId>,
    /// Only given by this person.
    pub creator: Option<PersonId>,
    /// Only so far.
    pub status: TaskFilter,
    /// Only what is overdue.
    pub overdue: bool,
    /// Only with this in the description; lowercased.
    pub text: Option<String>,
    /// The last row of the page before.
    pub after: Option<TaskPlace>,
    /// Rows at most.
    pub limit: u64,
}

/// A task and what is to become of it. What is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskChange {
    /// As it is.
    pub task: Task,
    /// The version that the asker has seen.
    pub seen: Option<i64>,
    /// Where it is moved.
    pub status: Option<TaskStatus>,
    /// What it says from now on.
    pub description: Option<TaskText>,
    /// By when from now on; `Some(None)` takes the deadline away.
    pub deadline: Option<Option<Timestamp>>,
}

impl TaskChange {
    /// Whether it changes what the task says.
    pub const fn edits(&self) -> bool {
        self.description.is_some() || self.deadline.is_some()
    }

    /// What moving it is.
    pub fn step(&self) -> Step {
        self.status.map_or(Step::None, |to| self.task.status.step(to))
    }

    /// The task as it is afterwards; `None` if nothing is different.
    pub fn done(&self, at: Timestamp) -> Option<Task> {
        let mut task = self.task.clone();
        if let Some(status) = self.status.filter(|status| *status != task.status) {
            task.status = status;
            task.completed = (status == TaskStatus::Completed).then_some(at);
        }
        if let Some(description) = &self.description {
            task.description = description.clone();
        }
        if let Some(deadline) = self.deadline {
            task.deadline = deadline;
        }
        if task == self.task {
            return None;
        }
        task.updated = at;
        task.version += 1;
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: u128) -> PersonRef {
        PersonRef { id: PersonId(Uuid::from_u128(n)), name: format!("p{n}") }
    }

    fn task(status: TaskStatus, deadline: Option<i64>) -> Task {
        Task {
            id: TaskId(Uuid::from_u128(9)),
            assignee: person(1),
            creator: person(2),
            description: TaskText::parse("mow the lawn").unwrap(),
            deadline: deadline.map(Timestamp::from_micros),
            status,
            created: Timestamp::from_micros(1),
            updated: Timestamp::from_micros(1),
            completed: (status == TaskStatus::Completed).then_some(Timestamp::from_micros(2)),
            version: 1,
        }
    }

    #[test]
    fn every_step() {
        use TaskStatus::{Accepted, Completed, Pending};
        for (from, to, step, kind) in [
            (Pending, Pending, Step::None, None),
            (Pending, Accepted, Step::Forward, Some(TaskEventKind::Accepted)),
            (Pending, Completed, Step::Forward, Some(TaskEventKind::Completed)),
            (Accepted, Pending, Step::Back, Some(TaskEventKind::Reopened)),
            (Accepted, Accepted, Step::None, None),
            (Accepted, Completed, Step::Forward, Some(TaskEventKind::Completed)),
            (Completed, Pending, Step::Back, Some(TaskEventKind::Reopened)),
            (Completed, Accepted, Step::Back, Some(TaskEventKind::Reopened)),
            (Completed, Completed, Step::None, None),
        ] {
            assert_eq!(from.step(to), step, "{from:?} to {to:?}");
            assert_eq!(TaskEventKind::of(to, step), kind, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn overdue_is_worked_out() {
        let now = Timestamp::from_micros(10);
        for (status, deadline, overdue) in [
            (TaskStatus::Pending, Some(9), true),
            (TaskStatus::Accepted, Some(9), true),
            (TaskStatus::Completed, Some(9), false),
            (TaskStatus::Pending, Some(10), false),
            (TaskStatus::Pending, Some(11), false),
            (TaskStatus::Pending, None, false),
        ] {
            assert_eq!(task(status, deadline).is_overdue(now), overdue, "{status:?} {deadline:?}");
        }
    }

    #[test]
    fn a_change_does_what_it_says_and_counts() {
        let at = Timestamp::from_micros(7);
        let change = |task: Task, status, deadline| TaskChange {
            task,
            seen: None,
            status,
            description: None,
            deadline,
        };
        let open = task(TaskStatus::Accepted, Some(5));
        let done = change(open.clone(), Some(TaskStatus::Completed), None).done(at).unwrap();
        assert_eq!((done.status, done.completed, done.version), (TaskStatus::Completed, Some(at), 2));
        let again = change(done, Some(TaskStatus::Pending), Some(None)).done(at).unwrap();
        assert_eq!((again.completed, again.deadline, again.version), (None, None, 3));
        assert_eq!(change(open.clone(), Some(TaskStatus::Accepted), None).done(at), None);
        assert_eq!(change(open.clone(), None, Some(open.deadline)).done(at), None);
    }

    #[test]
    fn descriptions() {
        assert_eq!(TaskText::parse("  two\nlines\t ").unwrap().as_str(), "two\nlines");
        for wrong in ["", " \n ", "a\x1b[31m", "a\0b", "a\u{9b}b"] {
            assert!(TaskText::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(TaskText::parse(&"ż".repeat(DESCRIPTION_CHARS)).is_ok());
        assert!(TaskText::parse(&"ż".repeat(DESCRIPTION_CHARS + 1)).is_err());
        let line = |text: &str| TaskText::parse(text).unwrap().line(8);
        assert_eq!(line("12345678"), "12345678");
        assert_eq!(line("123456789"), "1234567…");
        assert_eq!(line("123\n456"), "123…");
    }

    #[test]
    fn whom_a_change_concerns() {
        let own = Task { creator: person(1), ..task(TaskStatus::Pending, None) };
        assert_eq!(own.concerned(Some(person(1).id)), []);
        assert_eq!(own.concerned(None), [person(1).id]);
        let given = task(TaskStatus::Pending, None);
        assert_eq!(given.concerned(Some(person(2).id)), [person(1).id]);
        assert_eq!(given.concerned(Some(person(3).id)), [person(1).id, person(2).id]);
    }
}
