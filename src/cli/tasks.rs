//! `teleclaude tasks`: one's own tasks, and for admins everybody's: giving, moving, changing and deleting them.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{
    Cell, DIM, GREEN, Look, RED, YELLOW, cell, moment, more, pairs, short, short_length, table, visible,
    visible_text,
};
use crate::client::Client;
use crate::domain::task::{TaskFilter, TaskStatus};
use crate::domain::timestamp::Timestamp;
use crate::wire::task::{
    CreateTask, ListMyTasks, ListTasks, TaskEventRow, TaskReply, TasksReply, UpdateTask,
};
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;

/// Arguments of `tasks`; without a subcommand it lists one's own.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List tasks: your own, or everybody's (the default)
    List(List),
    /// Give somebody a task (admins)
    Add {
        /// Who is to do it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
        /// What is to be done
        #[arg(value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
        description: String,
        #[command(flatten)]
        due: Due,
    },
    /// Show one task, and what happened to it
    Show(Id),
    /// Say that you work on it
    Accept(Id),
    /// Say that it is done
    Complete(Id),
    /// Move it back to pending (who gave it)
    Reopen(Id),
    /// Move it to a status
    Move {
        #[command(flatten)]
        id: Id,
        /// Where to
        status: StatusName,
    },
    /// Change what it says, or by when (who gave it, and admins)
    #[command(group(clap::ArgGroup::new("what").required(true).multiple(true)
        .args(["description", "deadline", "no_deadline"])))]
    Edit {
        #[command(flatten)]
        id: Id,
        /// What is to be done
        #[arg(long, value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        due: Due,
        /// It has no deadline any longer
        #[arg(long, conflicts_with = "deadline")]
        no_deadline: bool,
        /// Only if this is still its version, as `show` gives it
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..), value_name = "N")]
        version: Option<i64>,
    },
    /// Delete tasks; what happened to them stays in the activity (admins)
    Delete {
        /// Their ids, or the first 8 characters of them or more
        #[arg(required = true, value_parser = NonEmptyStringValueParser::new(), value_name = "ID")]
        ids: Vec<String>,
        /// Do not ask before
        #[arg(long)]
        yes: bool,
        /// Only show what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// List everybody's open tasks whose deadline is over, the longest overdue first (admins)
    Overdue(Page),
}

#[derive(Debug, clap::Args)]
struct Id {
    /// The task's id, or the first 8 characters of it or more
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

#[derive(Debug, clap::Args)]
struct Due {
    /// By when: 2026-12-01 (its 23:59), "2026-12-01 09:00", "2026-12-01 09:00 Europe/Berlin", or RFC 3339
    #[arg(long, value_name = "WHEN")]
    deadline: Option<String>,
    /// The time zone of a deadline that says none; the daemon's unless given
    #[arg(long, requires = "deadline", value_name = "ZONE")]
    time_zone: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Page {
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Rows at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Everybody's, not only your own (admins)
    #[arg(long)]
    all: bool,
    /// Only tasks of this person (admins)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only tasks that this person gave (admins)
    #[arg(long, value_name = "NAME")]
    creator: Option<String>,
    /// Everybody's with this in what they say (admins)
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only tasks so far; open ones unless given
    #[arg(long)]
    status: Option<FilterName>,
    /// Only open tasks whose deadline is over
    #[arg(long)]
    overdue: bool,
    #[command(flatten)]
    page: Page,
}

/// A status, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusName {
    Pending,
    Accepted,
    Completed,
}

impl From<StatusName> for TaskStatus {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Pending => Self::Pending,
            StatusName::Accepted => Self::Accepted,
            StatusName::Completed => Self::Completed,
        }
    }
}

/// How far tasks are, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FilterName {
    Open,
    Pending,
    Accepted,
    Completed,
    All,
}

impl From<FilterName> for TaskFilter {
    fn from(name: FilterName) -> Self {
        match name {
            FilterName::Open => Self::Open,
            FilterName::Pending => Self::Pending,
            FilterName::Accepted => Self::Accepted,
            FilterName::Completed => Self::Completed,
            FilterName::All => Self::All,
        }
    }
}

/// Runs `tasks`.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let id = |id: &Id| id.id.clone();
    let to = |id: &Id, status| UpdateTask {
        task_id: id.id.clone(),
        status: Some(status),
        ..UpdateTask::default()
    };
    let asked = match &args.command {
        None => return list(console, client, &args.list, json).await,
        Some(Command::List(args)) => return list(console, client, args, json).await,
        Some(Command::Overdue(page)) => {
            let asked = ListTasks {
                overdue: Some(true),
                cursor: page.cursor.clone(),
                limit: page.limit,
                ..ListTasks::default()
            };
            let answer = client.tasks(&asked).await?;
            return listed(console, &answer.reply, &answer.text, Whose::Everybodys, json);
        }
        Some(Command::Add { user, description, due }) => {
            let asked = CreateTask {
                user: user.clone(),
                description: description.clone(),
                deadline: due.deadline.clone(),
                time_zone: due.time_zone.clone(),
            };
            let answer = client.create_task(&asked).await?;
            return told(console, &answer.reply, &answer.text, json);
        }
        Some(Command::Show(name)) => {
            let answer = client.task(&id(name)).await?;
            if json {
                return console.say_json(&answer.text);
            }
            let text = shown(&answer.reply, &console.look);
            return console.say(&text);
        }
        Some(Command::Delete { ids, yes, dry_run }) => {
            return delete(console, client, ids, *yes, *dry_run, json).await;
        }
        Some(Command::Accept(id)) => to(id, TaskStatus::Accepted),
        Some(Command::Complete(id)) => to(id, TaskStatus::Completed),
        Some(Command::Reopen(id)) => to(id, TaskStatus::Pending),
        Some(Command::Move { id, status }) => to(id, (*status).into()),
        Some(Command::Edit { id, description, due, no_deadline, version }) => UpdateTask {
            task_id: id.id.clone(),
            description: description.clone(),
            deadline: if *no_deadline { Some(None) } else { due.deadline.clone().map(Some) },
            time_zone: due.time_zone.clone(),
            version: *version,
            ..UpdateTask::default()
        },
    };
    let answer = client.update_task(&asked).await?;
    told(console, &answer.reply, &answer.text, json)
}

async fn list(console: &mut Console<'_>, client: &Client, args: &List, json: bool) -> Result<(), Failure> {
    let (status, overdue) = (args.status.map(TaskFilter::from), args.overdue.then_some(true));
    let (cursor, limit) = (args.page.cursor.clone(), args.page.limit);
    if args.all || args.user.is_some() || args.creator.is_some() || args.text.is_some() {
        let asked = ListTasks {
            user: args.user.clone(),
            creator: args.creator.clone(),
            status,
            overdue,
            text: args.text.clone(),
            cursor,
            limit,
        };
        let answer = client.tasks(&asked).await?;
        return listed(console, &answer.reply, &answer.text, Whose::Everybodys, json);
    }
    let answer = client.my_tasks(&ListMyTasks { status, overdue, cursor, limit }).await?;
    listed(console, &answer.reply, &answer.text, Whose::Own, json)
}

async fn delete(
    console: &mut Console<'_>,
    client: &Client,
    ids: &[String],
    yes: bool,
    dry_run: bool,
    json: bool,
) -> Result<(), Failure> {
    // Every one of them is there before the first one goes.
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        let task = client.task(id).await?.reply;
        if !tasks.iter().any(|other: &TaskReply| other.task_id == task.task_id) {
            tasks.push(task);
        }
    }
    let reply = TasksReply { tasks, next_cursor: None };
    if dry_run || !yes {
        let text = rows(&reply, Whose::Everybodys, &console.look);
        if dry_run && !json {
            return console.say(&text);
        }
        if !dry_run {
            console.note(text.trim_end());
        }
    }
    if !dry_run && !yes {
        match console.ask("Delete for ever? [y/N]").as_deref() {
            Some("y" | "Y" | "yes") => {}
            _ => return Err(Failure::usage("nothing was deleted: say --yes, or y when asked")),
        }
    }
    let mut gone = Vec::with_capacity(reply.tasks.len());
    for task in &reply.tasks {
        if !dry_run {
            client.delete_task(&task.task_id).await?;
        }
        gone.push(task.task_id.clone());
    }
    if json {
        let word = if dry_run { "would_delete" } else { "deleted" };
        return console.say_json(&serde_json::json!({ word: gone }).to_string());
    }
    let many = gone.len();
    console.say(&format!("Deleted {many} {}.\n", if many == 1 { "task" } else { "tasks" }))
}

/// Whose tasks a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Everybodys,
}

fn listed(
    console: &mut Console<'_>,
    reply: &TasksReply,
    text: &str,
    whose: Whose,
    json: bool,
) -> Result<(), Failure> {
    if json {
        return console.say_json(text);
    }
    let text = rows(reply, whose, &console.look);
    console.say(&text)
}

/// One line about what became of a task.
fn told(console: &mut Console<'_>, task: &TaskReply, text: &str, json: bool) -> Result<(), Failure> {
    if json {
        return console.say_json(text);
    }
    let due = task.deadline.as_deref().map(|at| format!(", due {at}")).unwrap_or_default();
    let line = format!("{} for {}: {}{due}", task.task_id, task.assignee, task.status.name());
    console.say(&format!("{}\n", visible(&line)))
}

/// The tasks, a line each.
fn rows(reply: &TasksReply, whose: Whose, look: &Look) -> String {
    if reply.tasks.is_empty() {
        return format!("No tasks.\n{}", more(reply.next_cursor.as_deref(), look));
    }
    let length = short_length(reply.tasks.iter().map(|task| task.task_id.as_str()));
    let lines: Vec<Vec<Cell>> = reply
        .tasks
        .iter()
        .map(|task| {
            let mut line = vec![cell(short(&task.task_id, length)), status(task), due(task, look)];
            if whose == Whose::Everybodys {
                line.push(cell(&task.assignee));
            }
            line.push(cell(&task.creator));
            line.push(cell(task.description.lines().next().unwrap_or_default()));
            line
        })
        .collect();
    let head: &[&str] = match whose {
        Whose::Own => &["ID", "STATUS", "DUE", "FROM", "TASK"],
        Whose::Everybodys => &["ID", "STATUS", "DUE", "FOR", "FROM", "TASK"],
    };
    format!("{}{}", table(head, &lines, look), more(reply.next_cursor.as_deref(), look))
}

fn status(task: &TaskReply) -> Cell {
    let name = cell(task.status.name());
    match task.status {
        TaskStatus::Pending => name,
        TaskStatus::Accepted => name.sgr(YELLOW),
        TaskStatus::Completed => name.sgr(GREEN),
    }
}

/// How long there is, or how late it is.
fn due(task: &TaskReply, look: &Look) -> Cell {
    let Some(text) = task.deadline.as_deref() else { return cell("-").sgr(DIM) };
    let Ok(deadline) = Timestamp::parse(text) else { return cell(text) };
    if task.status == TaskStatus::Completed {
        return cell(text.get(..10).unwrap_or(text)).sgr(DIM);
    }
    if task.overdue {
        return cell(format!("{} late", span(look.now.since(deadline).as_secs()))).sgr(RED);
    }
    match deadline.since(look.now).as_secs() {
        seconds if seconds < 30 * 86_400 => cell(format!("in {}", span(seconds))),
        _ => cell(text.get(..10).unwrap_or(text)),
    }
}

/// So many days, or hours, or minutes.
fn span(seconds: u64) -> String {
    match seconds {
        0..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// One task, with what happened to it.
fn shown(task: &TaskReply, look: &Look) -> String {
    let late = task.overdue.then(|| format!(", {}", due(task, look).into_text()));
    let deadline = task.deadline.as_ref().map(|at| format!("{at}{}", late.unwrap_or_default()));
    let at = |text: &str| Some(moment(text, look));
    let mut text = pairs(
        &[
            ("Task", Some(task.task_id.clone())),
            ("For", Some(task.assignee.clone())),
            ("From", Some(task.creator.clone())),
            ("Status", Some(task.status.name().to_owned())),
            ("Deadline", deadline),
            ("Given", at(&task.created_at)),
            ("Changed", at(&task.updated_at).filter(|_| task.version > 1)),
            ("Completed", task.completed_at.as_deref().and_then(at)),
            ("Version", Some(task.version.to_string())),
        ],
        look,
    );
    text.push_str(&format!("\n{}\n", visible_text(&task.description)));
    let history = task.history.as_deref().unwrap_or_default();
    if !history.is_empty() {
        text.push('\n');
        let lines: Vec<Vec<Cell>> = history.iter().map(|event| happened(event, look)).collect();
        text.push_str(&table(&["WHEN", "WHO", "WHAT", "MORE"], &lines, look));
    }
    text
}

fn happened(event: &TaskEventRow, look: &Look) -> Vec<Cell> {
    let detail: serde_json::Value =
        event.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut said = Vec::new();
    if let (Some(from), Some(to)) = (detail["from"].as_str(), detail["to"].as_str()) {
        said.push(format!("{from} to {to}"));
    }
    if detail["description"] == true {
        said.push("another description".to_owned());
    }
    if let Some([_, deadline]) = detail["deadline"].as_array().map(Vec::as_slice) {
        said.push(match deadline.as_str() {
            Some(at) => format!("due {at}"),
            None => "no deadline".to_owned(),
        });
    }
    vec![
        cell(crate::cli::render::ago(&event.at, look)),
        cell(&event.actor),
        cell(event.kind.name()),
        cell(said.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::domain::task::TaskEventKind;

    fn task(n: u8, status: TaskStatus, deadline: Option<&str>, overdue: bool) -> TaskReply {
        TaskReply {
            task_id: format!("019a5d2e-{n}111-7000-8000-000000000001"),
            assignee: "bob".to_owned(),
            creator: "ann".to_owned(),
            description: "mow the lawn \u{1b}[2J\nand the edges".to_owned(),
            deadline: deadline.map(str::to_owned),
            status,
            overdue,
            created_at: "2026-11-20T12:00:00Z".to_owned(),
            updated_at: "2026-11-21T11:00:00Z".to_owned(),
            completed_at: (status == TaskStatus::Completed).then(|| "2026-11-21T11:00:00Z".to_owned()),
            version: 2,
            history: None,
        }
    }

    #[test]
    fn lists_say_how_late_it_is() {
        let tasks = vec![
            task(1, TaskStatus::Pending, Some("2026-11-17T23:59:00Z"), true),
            task(2, TaskStatus::Accepted, Some("2026-11-21T10:00:00Z"), true),
            task(3, TaskStatus::Pending, Some("2026-11-21T12:45:00Z"), false),
            task(4, TaskStatus::Pending, Some("2026-11-25T12:00:00Z"), false),
            task(5, TaskStatus::Pending, Some("2027-03-01T22:59:00Z"), false),
            task(6, TaskStatus::Pending, None, false),
            task(7, TaskStatus::Completed, Some("2026-11-01T22:59:00Z"), false),
        ];
        let reply = TasksReply { tasks, next_cursor: Some("t5-x".to_owned()) };
        insta::assert_snapshot!(rows(&reply, Whose::Everybodys, &plain()), @r"
        ID          STATUS     DUE         FOR  FROM  TASK
        019a5d2e-1  pending    3d late     bob  ann   mow the lawn \x1b[2J
        019a5d2e-2  accepted   2h late     bob  ann   mow the lawn \x1b[2J
        019a5d2e-3  pending    in 45m      bob  ann   mow the lawn \x1b[2J
        019a5d2e-4  pending    in 4d       bob  ann   mow the lawn \x1b[2J
        019a5d2e-5  pending    2027-03-01  bob  ann   mow the lawn \x1b[2J
        019a5d2e-6  pending    -           bob  ann   mow the lawn \x1b[2J
        019a5d2e-7  completed  2026-11-01  bob  ann   mow the lawn \x1b[2J
        more: --cursor t5-x
        ");
        let none = TasksReply { tasks: Vec::new(), next_cursor: None };
        assert_eq!(rows(&none, Whose::Own, &plain()), "No tasks.\n");
    }

    #[test]
    fn a_task_is_shown_with_what_happened_to_it() {
        let event = |kind, detail: Option<&str>| TaskEventRow {
            at: "2026-11-21T11:00:00Z".to_owned(),
            actor: "bob".to_owned(),
            kind,
            detail: detail.map(str::to_owned),
        };
        let history = Some(vec![
            event(
                TaskEventKind::Edited,
                Some(r#"{"deadline":["2026-11-17T23:59:00Z",null],"description":true}"#),
            ),
            event(TaskEventKind::Accepted, Some(r#"{"from":"pending","to":"accepted"}"#)),
            event(TaskEventKind::Created, None),
        ]);
        let task = TaskReply { history, ..task(1, TaskStatus::Accepted, Some("2026-11-17T23:59:00Z"), true) };
        insta::assert_snapshot!(shown(&task, &plain()), @r"
        Task       019a5d2e-1111-7000-8000-000000000001
        For        bob
        From       ann
        Status     accepted
        Deadline   2026-11-17T23:59:00Z, 3d late
        Given      2026-11-20T12:00:00Z (1d ago)
        Changed    2026-11-21T11:00:00Z (1h ago)
        Version    2

        mow the lawn \x1b[2J
        and the edges

        WHEN    WHO  WHAT      MORE
        1h ago  bob  edited    another description, no deadline
        1h ago  bob  accepted  pending to accepted
        1h ago  bob  created
        ");
    }
}
