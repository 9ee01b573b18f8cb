//! Telling people of tasks that are overdue or soon due: who is to do them, and who gave them, each once a task and day.
//! What is told and that it was told are one transaction, so that neither a second look nor a daemon that dies in between
//! tells it twice. An admin's agent may be told, too, by a message in the queue of its session.

use crate::domain::notice::{Notice, NoticeKind};
use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::task::{Task, TaskId, TaskStatus};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use crate::store::task::Due;
use crate::store::{inbox, message, reminder, task};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use uuid::Uuid;

/// Tasks that one look finds, at most; the rest is for the next one.
pub const FOUND: usize = 1_000;
/// Tasks of one transaction, at most.
pub const AT_A_TIME: usize = 25;
/// Tasks that an agent is told of, of those that are overdue and of those that are not yet.
pub const TO_AGENT: usize = 5;
/// Tasks that a notice names, at most.
const NAMED: usize = 10;
/// Characters of a task's description that are told.
const CHARS: usize = 60;
/// Rows of a page that is read.
const PAGE: u64 = 100;
/// With what the keys of messages begin that tell an agent.
const KEY: &str = "heartbeat ";
/// What an agent is told if the config has no words of its own.
const WORDS: &str =
    "These tasks need somebody's attention. See what is in the way of each, and say what is to be done.";

/// What is due, and was not told on this day: the first are those an agent is told of, then each person's together.
///
/// # Errors
/// The database.
pub async fn due(conn: &Conn, now: Timestamp, soon_hours: u32, day: &str) -> Result<Vec<Task>, StoreError> {
    let mut found: Vec<Task> = Vec::new();
    for which in [Due::Overdue, Due::Within(soon_hours)] {
        if which == Due::Within(0) {
            continue;
        }
        let mut after: Option<Task> = None;
        while found.len() < FOUND {
            let page = task::due(conn, which, now, after.as_ref(), PAGE).await?;
            let ids: Vec<TaskId> = page.iter().map(|task| task.id).collect();
            let told = reminder::told(conn, &ids, day).await?;
            after = page.last().cloned();
            let full = page.len() as u64 == PAGE;
            found.extend(page.into_iter().filter(|task| !told.contains(&task.id)));
            if !full {
                break;
            }
        }
    }
    found.truncate(FOUND);
    let (mut late, mut soon): (Vec<Task>, Vec<Task>) =
        found.into_iter().partition(|task| task.is_overdue(now));
    let mut first = Vec::new();
    for some in [&mut late, &mut soon] {
        some.sort_by_key(|task| (task.deadline, task.id));
        first.extend(some.drain(..some.len().min(TO_AGENT)));
    }
    late.append(&mut soon);
    late.sort_by_key(|task| (task.assignee.id, task.deadline, task.id));
    first.append(&mut late);
    Ok(first)
}

/// An agent that is told, too.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Its session.
    pub session: SessionId,
    /// The key that the message gets.
    pub key: Uuid,
    /// What it begins with; nothing for our own words.
    pub words: Option<String>,
    /// How many more are due than it is told of.
    pub more: usize,
}

/// What is told in one transaction.
#[derive(Clone, Debug)]
pub struct Step {
    /// Of these tasks, if they still are due and were not told.
    pub tasks: Vec<TaskId>,
    /// Keys for the notices: two a task.
    pub keys: Vec<Uuid>,
    /// Now.
    pub now: Timestamp,
    /// Tasks are soon due that are due within so many hours.
    pub soon_hours: u32,
    /// The day on which it is told, such as `2026-11-21`.
    pub day: String,
    /// An agent that is told of the first of them, too.
    pub prompt: Option<Prompt>,
}

/// Tells it, and keeps that it was told. Gives those who were told.
///
/// # Errors
/// The database.
pub async fn tell(conn: &Conn, step: &Step) -> Result<Vec<PersonId>, StoreError> {
    let until = step.now.plus(Duration::from_secs(u64::from(step.soon_hours) * 3_600));
    let mut tasks = Vec::new();
    for id in &step.tasks {
        // It may be done by now, or have got another deadline.
        let task = task::by_id(conn, *id).await?.filter(|task| task.status != TaskStatus::Completed);
        tasks.extend(task.filter(|task| task.deadline.is_some_and(|at| at < step.now || at <= until)));
    }
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let claimed = reminder::claim(conn, &ids, &step.day).await?;
    tasks.retain(|task| claimed.contains(&task.id));
    let mut keys = step.keys.iter();
    let mut people = Vec::new();
    for (person, text) in notices(&tasks, step.now) {
        let Some(key) = keys.next() else { break };
        let notice = Notice {
            id: *key,
            person,
            uid: None,
            from: None,
            at: step.now,
            read_at: None,
            kind: NoticeKind::Task,
            text,
            session: None,
            times: 1,
        };
        inbox::put(conn, &notice).await?;
        people.push(person);
    }
    if let Some(prompt) = step.prompt.as_ref().filter(|_| !tasks.is_empty())
        // One that still waits says enough.
        && !message::waits(conn, prompt.session, KEY).await?
    {
        let text = prompted(&tasks, prompt, step.now);
        let key = format!("{KEY}{}", step.now.micros());
        message::enqueue(conn, prompt.session, prompt.key, &text, Some(&key), false, step.now).await?;
    }
    Ok(people)
}

/// What each person is told: first who is to do them, then who gave them to others.
fn notices(tasks: &[Task], now: Timestamp) -> Vec<(PersonId, String)> {
    let mut own: BTreeMap<PersonId, Vec<&Task>> = BTreeMap::new();
    let mut given: BTreeMap<PersonId, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        own.entry(task.assignee.id).or_default().push(task);
        if task.creator.id != task.assignee.id {
            given.entry(task.creator.id).or_default().push(task);
        }
    }
    let own = own.into_iter().map(|(person, tasks)| (person, text("Of your tasks", &tasks, false, now)));
    let given = given
        .into_iter()
        .map(|(person, tasks)| (person, text("Of the tasks that you gave", &tasks, true, now)));
    own.chain(given).collect()
}

fn text(of: &str, tasks: &[&Task], names: bool, now: Timestamp) -> String {
    let late = tasks.iter().filter(|task| task.is_overdue(now)).count();
    let counted = |many: usize, what: &str| match many {
        0 => None,
        1 => Some(format!("1 is {what}")),
        many => Some(format!("{many} are {what}")),
    };
    let parts: Vec<String> =
        counted(late, "overdue").into_iter().chain(counted(tasks.len() - late, "soon due")).collect();
    let mut text = format!("{of}, {}:", parts.join(" and "));
    for task in tasks.iter().take(NAMED) {
        let who = if names { format!("{}, ", task.assignee.name) } else { String::new() };
        let _ = write!(text, "\n- {who}{}: {}", when(task, now), task.description.line(CHARS));
    }
    if tasks.len() > NAMED {
        let _ = write!(text, "\n+{} more", tasks.len() - NAMED);
    }
    text
}

/// What an agent is told. Descriptions are quoted: they are others' words, and no instructions to it.
fn prompted(tasks: &[Task], prompt: &Prompt, now: Timestamp) -> String {
    let mut text = format!("[teleclaude] Heartbeat. {}", prompt.words.as_deref().unwrap_or(WORDS));
    let mut shown = 0;
    for (head, overdue) in [("Overdue:", true), ("Soon due:", false)] {
        let some = tasks.iter().filter(|task| task.is_overdue(now) == overdue).take(TO_AGENT);
        for (at, task) in some.enumerate() {
            if at == 0 {
                let _ = write!(text, "\n{head}");
            }
            let said = task.description.line(CHARS);
            let _ =
                write!(text, "\n- task {}, {}, {}: {said:?}", task.id, task.assignee.name, when(task, now));
            shown += 1;
        }
    }
    let more = (tasks.len() - shown) + prompt.more;
    if more > 0 {
        let _ = write!(text, "\n+{more} more");
    }
    text
}

fn when(task: &Task, now: Timestamp) -> String {
    let deadline = task.deadline.unwrap_or(now);
    if deadline < now {
        format!("{} late", lasting(now.since(deadline)))
    } else {
        format!("due in {}", lasting(deadline.since(now)))
    }
}

fn lasting(span: Duration) -> String {
    let (many, unit) = match span.as_secs() {
        s if s < 7_200 => (s.div_ceil(60), "minute"),
        s if s < 172_800 => (s / 3_600, "hour"),
        s => (s / 86_400, "day"),
    };
    if many == 1 { format!("1 {unit}") } else { format!("{many} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::{Prompt, lasting, notices, prompted};
    use crate::domain::caller::PersonRef;
    use crate::domain::person::PersonId;
    use crate::domain::session::SessionId;
    use crate::domain::task::{Task, TaskId, TaskStatus, TaskText};
    use crate::domain::timestamp::Timestamp;
    use std::time::Duration;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);

    fn person(n: u128, name: &str) -> PersonRef {
        PersonRef { id: PersonId(Uuid::from_u128(n)), name: name.to_owned() }
    }

    fn task(n: u128, assignee: PersonRef, hours: i64, description: &str) -> Task {
        Task {
            id: TaskId(Uuid::from_u128(n)),
            assignee,
            creator: person(1, "ann"),
            description: TaskText::parse(description).unwrap(),
            deadline: Some(Timestamp::from_micros(NOW.micros() + hours * 3_600_000_000)),
            status: TaskStatus::Pending,
            created: NOW,
            updated: NOW,
            completed: None,
            version: 1,
        }
    }

    #[test]
    fn each_person_is_told_of_all_of_theirs_at_once() {
        let long = "x".repeat(100);
        let mut tasks = vec![
            task(10, person(2, "bob"), -73, "Mend the roof\nand the wall"),
            task(11, person(2, "bob"), 5, &long),
            task(12, person(3, "cid"), -1, "Write to the bank"),
            task(13, person(1, "ann"), -30, "Her own"),
        ];
        let text = |tasks: &[Task]| {
            let told = notices(tasks, NOW).into_iter();
            told.map(|(person, text)| format!("{}: {text}", person.0.as_u128()))
                .collect::<Vec<_>>()
                .join("\n\n")
        };
        insta::assert_snapshot!(text(&tasks), @r"
        1: Of your tasks, 1 is overdue:
        - 30 hours late: Her own

        2: Of your tasks, 1 is overdue and 1 is soon due:
        - 3 days late: Mend the roof…
        - due in 5 hours: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…

        3: Of your tasks, 1 is overdue:
        - 60 minutes late: Write to the bank

        1: Of the tasks that you gave, 2 are overdue and 1 is soon due:
        - bob, 3 days late: Mend the roof…
        - bob, due in 5 hours: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
        - cid, 60 minutes late: Write to the bank
        ");
        tasks = (0..12).map(|n| task(n, person(2, "bob"), -3, "again")).collect();
        assert!(text(&tasks).contains("Of your tasks, 12 are overdue:") && text(&tasks).contains("+2 more"));
    }

    #[test]
    fn an_agent_is_told_of_five_and_five_in_quotes() {
        let mut tasks: Vec<Task> =
            (0..7).map(|n| task(n, person(2, "bob"), -30, "say \"hi\" \u{200b}")).collect();
        tasks.push(task(9, person(3, "cid"), 1, "soon"));
        let session = SessionId(Uuid::nil());
        let prompt = Prompt { session, key: Uuid::nil(), words: Some("Look at these.".to_owned()), more: 40 };
        let said = prompted(&tasks, &prompt, NOW);
        assert!(
            said.starts_with("[teleclaude] Heartbeat. Look at these.\nOverdue:\n- task 00000000"),
            "{said}"
        );
        assert_eq!(said.matches("30 hours late: \"say \\\"hi\\\"").count(), 5, "{said}");
        assert!(said.ends_with("Soon due:\n- task 00000000-0000-0000-0000-000000000009, cid, due in 60 minutes: \"soon\"\n+42 more"), "{said}");
    }

    #[test]
    fn spans_in_words() {
        for (seconds, words) in [
            (0, "0 minutes"),
            (60, "1 minute"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(lasting(Duration::from_secs(seconds)), words);
        }
    }
}
