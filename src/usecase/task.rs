//! Tasks: from what is said to what is judged, and what comes of it. Each change is a row of the task's trail, and word
//! to whom it concerns, in the transaction that makes it.

use crate::config::zone;
use crate::domain::action::Action;
use crate::domain::audit::AuditDraft;
use crate::domain::caller::{Caller, PersonRef, Role};
use crate::domain::deadline::{self, Typed, Zone};
use crate::domain::notice::{Notice, NoticeKind};
use crate::domain::person::{PersonId, PersonStatus};
use crate::domain::task::{
    OPEN_MAX, Step, Task, TaskChange, TaskEvent, TaskEventKind, TaskFilter, TaskId, TaskPlace, TaskQuery,
    TaskStatus, TaskText,
};
use crate::domain::timestamp::Timestamp;
use crate::store::activity::Span;
use crate::store::conn::Conn;
use crate::store::task::{self, Found};
use crate::store::task_event::{self, Of};
use crate::store::writer::Tx;
use crate::store::{inbox, person};
use crate::usecase::resolve::{limit, unavailable};
use crate::usecase::run::not_here;
use crate::usecase::{Facts, cursor, people};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::limits::SESSION_PREFIX_MIN;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::task::{
    CreateTask, ListMyTasks, ListTasks, TaskDeletedReply, TaskEventRow, TaskReply, TasksReply, UpdateTask,
};
use serde_json::json;

/// Characters of the text that is searched for, at most.
const TEXT_CHARS: usize = 200;
/// Rows of a task's trail that are shown with it.
const HISTORY: u64 = 50;
/// Characters of a task in a message about it.
const LINE_CHARS: usize = 200;

/// From a request about tasks to what is judged.
///
/// # Errors
/// A fault that names the argument; one for what is not there, or not for the caller to know of.
pub(super) async fn resolve(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    request: Request,
) -> Result<Action, Fault> {
    Ok(match request {
        Request::CreateTask(args) => Action::CreateTask(Box::new(create(conn, facts, caller, args).await?)),
        Request::ListTasks(args) => Action::ListTasks(Box::new(query(conn, facts, args).await?)),
        Request::ListMyTasks(args) => Action::ListMyTasks(Box::new(my_query(&args)?)),
        Request::ShowTask(name) => Action::ShowTask(find(conn, caller, &name.task_id).await?),
        Request::UpdateTask(args) => Action::UpdateTask(Box::new(update(conn, facts, caller, args).await?)),
        Request::DeleteTask(name) => Action::DeleteTask(find(conn, caller, &name.task_id).await?),
        other => return Err(not_here(other.verb().name())),
    })
}

async fn create(conn: &Conn, facts: &Facts, caller: &Caller, args: CreateTask) -> Result<Task, Fault> {
    let description = description(&args.description)?;
    let deadline = match args.deadline.as_deref() {
        Some(text) => Some(deadline(facts, text, args.time_zone.as_deref())?),
        None => {
            time_zone(facts, args.time_zone.as_deref())?;
            None
        }
    };
    let Some(creator) = caller.person.clone() else {
        return Err(Fault::new(FaultCode::Denied, "tasks are kept for people only"));
    };
    let person = people::one(conn, facts, "user", &args.user).await?;
    if person.visitor {
        return Err(Fault::invalid(
            "user",
            format_args!("{} was seen here, but is nobody the daemon knows", person.name),
        )
        .hint("add them first; tasks are for people with a role"));
    }
    let assignee = PersonRef { id: person.id, name: person.name };
    Ok(Task {
        id: TaskId(facts.message_id),
        assignee,
        creator,
        description,
        deadline,
        status: TaskStatus::Pending,
        created: facts.now,
        updated: facts.now,
        completed: None,
        version: 1,
    })
}

async fn update(conn: &Conn, facts: &Facts, caller: &Caller, args: UpdateTask) -> Result<TaskChange, Fault> {
    if args.status.is_none() && args.description.is_none() && args.deadline.is_none() {
        return Err(Fault::invalid("status", "must be given, or a description, or a deadline"));
    }
    let description = args.description.as_deref().map(description).transpose()?;
    let zone = args.time_zone.as_deref();
    let deadline = match args.deadline {
        Some(Some(text)) => Some(Some(deadline(facts, &text, zone)?)),
        absent_or_none => {
            time_zone(facts, zone)?;
            absent_or_none.map(|_| None)
        }
    };
    let task = *find(conn, caller, &args.task_id).await?;
    Ok(TaskChange { task, seen: args.version, status: args.status, description, deadline })
}

async fn query(conn: &Conn, facts: &Facts, args: ListTasks) -> Result<TaskQuery, Fault> {
    let status = args.status.unwrap_or_default();
    let overdue = args.overdue.unwrap_or(false);
    let after = args.cursor.as_deref().map(|text| place(text, status)).transpose()?;
    let limit = limit(args.limit)?;
    let text = args.text.as_deref().map(text).transpose()?;
    let assignee = match args.user.as_deref() {
        Some(name) => Some(people::one(conn, facts, "user", name).await?.id),
        None => None,
    };
    let creator = match args.creator.as_deref() {
        Some(name) => Some(people::one(conn, facts, "creator", name).await?.id),
        None => None,
    };
    Ok(TaskQuery { assignee, creator, status, overdue, text, after, limit })
}

fn my_query(args: &ListMyTasks) -> Result<TaskQuery, Fault> {
    let status = args.status.unwrap_or_default();
    Ok(TaskQuery {
        status,
        overdue: args.overdue.unwrap_or(false),
        after: args.cursor.as_deref().map(|text| place(text, status)).transpose()?,
        limit: limit(args.limit)?,
        ..TaskQuery::default()
    })
}

/// The place a cursor names, in a list of this order.
fn place(text: &str, status: TaskFilter) -> Result<TaskPlace, Fault> {
    let place = cursor::task(text)?;
    if status.newest_first() != matches!(place, TaskPlace::Newest(_)) {
        return Err(Fault::invalid("cursor", "is one of a list in another order")
            .hint("ask with the same status as for the page before"));
    }
    Ok(place)
}

fn description(text: &str) -> Result<TaskText, Fault> {
    TaskText::parse(text).map_err(|problem| Fault::invalid("description", problem))
}

fn text(text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::invalid("text", "must not be empty"));
    }
    if text.chars().count() > TEXT_CHARS {
        return Err(Fault::invalid("text", format_args!("may have at most {TEXT_CHARS} characters")));
    }
    if text.contains('\0') {
        return Err(Fault::invalid("text", "must not contain NUL"));
    }
    Ok(text.trim().to_lowercase())
}

/// The assignee as they are now, in the transaction that gives them a task.
pub(super) async fn assignee(conn: &Conn, task: &mut Task) -> Result<(), Fault> {
    let now = person::by_id(conn, task.assignee.id).await.map_err(unavailable)?;
    match now.filter(|person| person.status != PersonStatus::Deleted) {
        Some(person) => {
            task.assignee = PersonRef { id: person.id, name: person.name };
            Ok(())
        }
        None => {
            Err(Fault { field: Some("user".to_owned()), ..Fault::not_found("person", &task.assignee.name) })
        }
    }
}

/// The time zone of a deadline that says none: the one that is asked for, the config's, or the machine's.
fn time_zone(facts: &Facts, asked: Option<&str>) -> Result<Zone, Fault> {
    if let Some(name) = asked {
        return zone::named(name).map_err(|problem| Fault::invalid("time_zone", problem));
    }
    match facts.config.tasks.time_zone.as_deref() {
        // It was checked when the config was read.
        Some(name) => Ok(zone::named(name).unwrap_or(Zone::UTC)),
        None => Ok(facts.zone.clone()),
    }
}

fn deadline(facts: &Facts, text: &str, asked: Option<&str>) -> Result<Timestamp, Fault> {
    let wrong = |wrong: deadline::Wrong| Fault::invalid("deadline", wrong.problem).hint(wrong.hint);
    let fallback = time_zone(facts, asked)?;
    let at = match deadline::read(text).map_err(wrong)? {
        Typed::Moment(at) => at,
        Typed::Local { at, whole_day, zone: None } => {
            deadline::moment(at, whole_day, &fallback).map_err(wrong)?
        }
        Typed::Local { at, whole_day, zone: Some(name) } => {
            let zone = zone::named(&name).map_err(|problem| Fault::invalid("deadline", problem))?;
            deadline::moment(at, whole_day, &zone).map_err(wrong)?
        }
    };
    if at <= facts.now {
        return Err(Fault::invalid("deadline", format_args!("{} is in the past", fallback.shown(at)))
            .hint(format!("it is {} now", fallback.shown(facts.now))));
    }
    Ok(at)
}

async fn find(conn: &Conn, caller: &Caller, text: &str) -> Result<Box<Task>, Fault> {
    let name: String = text.chars().take(40).collect();
    let plain = text.len() <= 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if !plain || text.len() < SESSION_PREFIX_MIN {
        return Err(Fault::invalid(
            "task_id",
            format_args!(
                "`{name}` is neither a task's id nor at least {SESSION_PREFIX_MIN} characters of one"
            ),
        ));
    }
    let (of, gave) = match (&caller.person, caller.role, caller.agent_of) {
        (_, Role::Admin, None) => (None, true),
        (Some(person), _, agent) => (Some(person.id), agent.is_none()),
        (None, _, _) => return Err(no_task(&name)),
    };
    match task::find(conn, text, of, gave).await.map_err(unavailable)? {
        Found::One(task) => Ok(task),
        Found::None => Err(no_task(&name)),
        Found::Ambiguous(ids) => {
            let ids: Vec<String> = ids.iter().take(5).map(ToString::to_string).collect();
            Err(Fault::invalid("task_id", format_args!("`{name}` fits several: {}", ids.join(", "))))
        }
    }
}

/// There is no such task, or none that the caller may know of: the same words for both.
pub(super) fn no_task(name: &str) -> Fault {
    Fault::not_found("task", name).hint("`teleclaude tasks` lists yours")
}

/// The task as it is now.
pub(super) async fn again(conn: &Conn, id: TaskId) -> Result<Task, Fault> {
    task::by_id(conn, id).await.map_err(unavailable)?.ok_or_else(|| no_task(&id.to_string()))
}

/// What a step that the caller may not make is to them.
pub(super) fn no_step(step: Step, action: &Action) -> Fault {
    let (status, creator) = match action {
        Action::UpdateTask(change) => (change.task.status.name(), change.task.creator.name.as_str()),
        _ => ("elsewhere", "who gave it"),
    };
    let message = match step {
        Step::Back => format!("the task is {status}, and only {creator} may move it back"),
        Step::Forward | Step::None => "only the assignee or an admin may move a task on".to_owned(),
    };
    Fault { field: Some("status".to_owned()), ..Fault::new(FaultCode::Denied, message) }
        .hint(format!("ask {creator}, who gave it"))
}

/// The audit row of a deletion. What the task said is not in it.
pub(super) fn described(draft: AuditDraft, task: &Task) -> AuditDraft {
    AuditDraft {
        target: Some(("task".to_owned(), task.id.to_string())),
        owner: Some(task.assignee.name.clone()),
        ..draft.with_detail(&json!({ "status": task.status.name(), "creator": task.creator.name }))
    }
}

/// Lists tasks, or shows one.
///
/// # Errors
/// The database.
pub(super) async fn read(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    action: Action,
) -> Result<Reply, Fault> {
    match action {
        Action::ListTasks(query) => page(conn, facts, &query).await,
        Action::ListMyTasks(query) => match &caller.person {
            Some(person) => page(conn, facts, &TaskQuery { assignee: Some(person.id), ..*query }).await,
            None => Ok(Reply::Tasks(TasksReply { tasks: Vec::new(), next_cursor: None })),
        },
        Action::ShowTask(task) => {
            let events = task_event::page(conn, Of::Task(task.id), &Span::default(), None, HISTORY)
                .await
                .map_err(unavailable)?;
            let history = events.iter().map(TaskEventRow::from).collect();
            Ok(Reply::Task(Box::new(TaskReply { history: Some(history), ..TaskReply::of(&task, facts.now) })))
        }
        other => Err(not_here(other.verb().name())),
    }
}

async fn page(conn: &Conn, facts: &Facts, query: &TaskQuery) -> Result<Reply, Fault> {
    let rows = task::page(conn, query, facts.now).await.map_err(unavailable)?;
    let full = rows.len() as u64 == query.limit;
    let next_cursor = rows.last().filter(|_| full).map(|last| {
        let newest = query.status.newest_first();
        cursor::of_task(if newest { TaskPlace::Newest(last.id) } else { last.place() })
    });
    let tasks = rows.iter().map(|task| TaskReply::of(task, facts.now)).collect();
    Ok(Reply::Tasks(TasksReply { tasks, next_cursor }))
}

/// Gives, changes or deletes a task.
///
/// # Errors
/// It has changed since it was seen; too many are open; the database.
pub(super) async fn change(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    action: Action,
) -> Result<Reply, Fault> {
    match action {
        Action::CreateTask(task) => {
            let assignee = &task.assignee;
            if task::has_open(tx.conn(), assignee.id, OPEN_MAX).await.map_err(unavailable)? {
                return Err(Fault::new(
                    FaultCode::LimitReached,
                    format!("{} has {OPEN_MAX} open tasks, as many as one person may", assignee.name),
                )
                .hint("complete or delete some first"));
            }
            task::insert(tx.conn(), &task).await.map_err(unavailable)?;
            happened(tx, facts, caller, &task, TaskEventKind::Created, None).await?;
            tell(tx, facts, caller, &task, "new task").await?;
            Ok(Reply::Task(Box::new(TaskReply::of(&task, facts.now))))
        }
        Action::UpdateTask(change) => updated(tx, facts, caller, &change).await,
        Action::DeleteTask(task) => {
            if !task::delete(tx.conn(), task.id).await.map_err(unavailable)? {
                return Err(no_task(&task.id.to_string()));
            }
            happened(tx, facts, caller, &task, TaskEventKind::Deleted, None).await?;
            tell(tx, facts, caller, &task, "deleted the task").await?;
            Ok(Reply::TaskDeleted(TaskDeletedReply { task_id: task.id.to_string(), deleted: true }))
        }
        other => Err(not_here(other.verb().name())),
    }
}

async fn updated(tx: &mut Tx, facts: &Facts, caller: &Caller, change: &TaskChange) -> Result<Reply, Fault> {
    let before = &change.task;
    if change.seen.is_some_and(|seen| seen != before.version) {
        return Err(stale(before));
    }
    // Moving it to where it is, or saying what it says, is no change: nothing is written, nobody is told.
    let Some(task) = change.done(facts.now) else {
        return Ok(Reply::Task(Box::new(TaskReply::of(before, facts.now))));
    };
    if !task::update(tx.conn(), &task).await.map_err(unavailable)? {
        return Err(stale(before));
    }
    let moved = TaskEventKind::of(task.status, change.step());
    let mut detail = serde_json::Map::new();
    if moved.is_some() {
        detail.insert("from".to_owned(), before.status.name().into());
        detail.insert("to".to_owned(), task.status.name().into());
    }
    if task.description != before.description {
        detail.insert("description".to_owned(), true.into());
    }
    if task.deadline != before.deadline {
        let text = |deadline: Option<Timestamp>| deadline.map(|at| at.to_string());
        detail.insert("deadline".to_owned(), json!([text(before.deadline), text(task.deadline)]));
    }
    let kind = moved.unwrap_or(TaskEventKind::Edited);
    happened(tx, facts, caller, &task, kind, Some(detail.into())).await?;
    let did = match kind {
        TaskEventKind::Accepted => "accepted the task".to_owned(),
        TaskEventKind::Completed => "completed the task".to_owned(),
        TaskEventKind::Reopened => format!("moved the task back to {}", task.status.name()),
        _ => "changed the task".to_owned(),
    };
    tell(tx, facts, caller, &task, &did).await?;
    Ok(Reply::Task(Box::new(TaskReply::of(&task, facts.now))))
}

/// It is not as the asker saw it.
fn stale(task: &Task) -> Fault {
    let message = format!("version: the task has changed since; it is at version {} now", task.version);
    Fault { field: Some("version".to_owned()), ..Fault::new(FaultCode::Conflict, message) }
        .hint("look at it again, then decide")
}

async fn happened(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    task: &Task,
    kind: TaskEventKind,
    detail: Option<serde_json::Value>,
) -> Result<(), Fault> {
    let event = TaskEvent {
        id: facts.request_id,
        task: task.id,
        at: facts.now,
        actor: caller.person.as_ref().map(|person| person.id),
        actor_name: caller.name(),
        assignee: task.assignee.id,
        kind,
        detail: detail.map(|detail| detail.to_string()),
    };
    task_event::insert(tx.conn(), &event).await.map_err(unavailable)
}

/// A message to the assignee and the creator, as far as they are not the one who does it.
async fn tell(tx: &mut Tx, facts: &Facts, caller: &Caller, task: &Task, what: &str) -> Result<(), Fault> {
    let due = match task.deadline {
        Some(at) => format!(", due {}", time_zone(facts, None)?.shown(at)),
        None => String::new(),
    };
    let text = format!("{what}: {} (task {}{due})", task.description.line(LINE_CHARS), task.id);
    let concerned = task.concerned(caller.person.as_ref().map(|person| person.id));
    for (person, id) in concerned.into_iter().zip([facts.message_id, facts.session_id]) {
        let notice = Notice {
            id,
            person,
            uid: None,
            from: Some(caller.name()),
            at: facts.now,
            read_at: None,
            kind: NoticeKind::Task,
            text: text.clone(),
            session: None,
            times: 1,
        };
        inbox::put(tx.conn(), &notice).await.map_err(unavailable)?;
    }
    Ok(())
}

/// Whose inbox a change that was done may have put something in.
pub fn told(caller: &Caller, action: &Action) -> Vec<PersonId> {
    let task = match action {
        Action::CreateTask(task) | Action::DeleteTask(task) => task,
        Action::UpdateTask(change) => &change.task,
        _ => return Vec::new(),
    };
    task.concerned(caller.person.as_ref().map(|person| person.id))
}
