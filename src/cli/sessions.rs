//! `teleclaude sessions`: list, show, start, steer, end and resume them. Reading what they showed is `transcript`, what is
//! done to many at a time `end_all` and `resume`.

pub mod shown;

use crate::cli::answer;
use crate::cli::attach;
use crate::cli::console::Console;
use crate::cli::end;
use crate::cli::end_all;
use crate::cli::export;
use crate::cli::failure::Failure;
use crate::cli::label;
use crate::cli::purge;
use crate::cli::reason;
use crate::cli::resume;
use crate::cli::sessions::shown::{one, page, sent, started};
use crate::cli::when::{self, When};
use crate::client::{Answer, Client};
use crate::domain::session::{SessionStatus, ThinkingMode};
use crate::domain::timestamp::Timestamp;
use crate::wire::limits::MESSAGE_BYTES_MAX;
use crate::wire::request::{ListSessions, RenameSession, SendMessage, StartSession, Steering};
use crate::wire::session::SessionReply;
use clap::builder::NonEmptyStringValueParser;
use std::path::Path;

/// Arguments of `sessions`; without a subcommand it lists.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List sessions, the most recently active first (the default)
    List(List),
    /// Show one session
    Show {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Start a session
    Start(Start),
    /// Type a message into a session
    Send {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// What to type; `-` reads it from standard input
        #[arg(value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
        message: String,
        /// Why, where the session is somebody else's
        #[arg(long)]
        reason: Option<String>,
        /// An id of your own: sending again with the same one types nothing new
        #[arg(long, value_name = "TEXT")]
        client_id: Option<String>,
    },
    /// Show a session's terminal on this one and type into it
    Attach {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Only see it, as with `watch`
        #[arg(long)]
        read_only: bool,
        /// Why, where the session is somebody else's
        #[arg(long)]
        reason: Option<String>,
    },
    /// Show a session's terminal on this one
    Watch {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Why, where the session is somebody else's
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take a session out as a file: a recording, text, markdown, JSON, or a page that plays
    Export(export::Args),
    /// End a session and everything its agent started
    End {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of your own open sessions; with --reason those of everybody (administrators)
        #[arg(long)]
        all: bool,
        /// Of all, only those in which nothing has happened for so long: 12h, 3d
        #[arg(long, requires = "all", conflicts_with = "id", value_parser = when::parse, value_name = "TIME")]
        older_than: Option<When>,
        /// Remove its worktree too, unless something in it is unsaved; its branch stays
        #[arg(long)]
        remove_worktree: bool,
        /// Do not ask before ending all
        #[arg(long, requires = "all", conflicts_with = "id")]
        yes: bool,
        /// Why, where the session is somebody else's
        #[arg(long)]
        reason: Option<String>,
    },
    /// Delete ended sessions and all that is kept of them; the audit log stays
    Purge(purge::Args),
    /// Run an ended session again, its agent going on where it was
    Resume {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of your own on this machine that can be, the last active first
        #[arg(long)]
        all: bool,
        /// Of all, only those with activity since then: 2h, 7d, or an RFC 3339 time
        #[arg(long, requires = "all", conflicts_with = "id", value_parser = when::parse, value_name = "WHEN")]
        since: Option<When>,
        /// Of all, only those that did not end but were lost, as at a reboot
        #[arg(long, requires = "all", conflicts_with = "id")]
        lost: bool,
        /// Do not ask before resuming all
        #[arg(long, requires = "all", conflicts_with = "id")]
        yes: bool,
        /// Why, where the session is somebody else's
        #[arg(long, conflicts_with = "all")]
        reason: Option<String>,
    },
    /// Stop what a session's agent is doing; the session goes on
    Interrupt {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Why, where the session is somebody else's
        #[arg(long)]
        reason: Option<String>,
    },
    /// Answer what a session's agent asks
    Answer {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// yes, no, the number of an option, or words; without it what is asked is shown
        #[arg(value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true, value_name = "yes|no|TEXT")]
        answer: Option<String>,
        /// Which question; the oldest if absent
        #[arg(long, value_name = "REQUEST")]
        request: Option<String>,
        /// Why, where the session is somebody else's
        #[arg(long)]
        reason: Option<String>,
    },
    /// Give a session labels, or take some away
    Label(label::Args),
    /// Call a session something else
    Rename {
        /// The session's id, or the first 8 characters of it or more
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// What to call it
        #[arg(value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
        title: String,
        /// Why, where the session is somebody else's
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
struct List {
    /// Only of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only in this status: starting, running, ending or ended
    #[arg(long, value_parser = status)]
    status: Option<SessionStatus>,
    /// Only of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only of this person (administrators)
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    /// Only with activity since then: 2h, 7d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    since: Option<When>,
    /// Only with this label; of several all
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Only those that this session's agent started
    #[arg(long, value_name = "ID")]
    children_of: Option<String>,
    /// Also of other machines on the same database
    #[arg(long)]
    all_computers: bool,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Rows at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// Which agent; `teleclaude agents` lists them
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    agent: String,
    /// The first message; `-` reads it from standard input. Without one the agent waits
    #[arg(value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    message: Option<String>,
    /// A project's name, or a folder (`.` is this one)
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new(), value_name = "NAME|FOLDER")]
    project: String,
    /// What to call it
    #[arg(long)]
    title: Option<String>,
    /// Which of the agent's models: fast, med or slow
    #[arg(long, value_parser = thinking, value_name = "MODE")]
    thinking: Option<ThinkingMode>,
    /// Folder inside the project to run in
    #[arg(long, value_name = "FOLDER")]
    subdir: Option<String>,
    /// Give it a git worktree and a branch of its own
    #[arg(long)]
    worktree: bool,
    /// Give it a label; several times for several
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// An id of your own: starting again with the same one starts nothing new
    #[arg(long, value_name = "TEXT")]
    client_id: Option<String>,
}

fn status(word: &str) -> Result<SessionStatus, String> {
    SessionStatus::parse(word).ok_or_else(|| "it is starting, running, ending or ended".to_owned())
}

fn thinking(word: &str) -> Result<ThinkingMode, String> {
    ThinkingMode::parse(word).ok_or_else(|| "it is fast, med or slow".to_owned())
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    // Clap's own rule for this would also refuse `sessions --json list`.
    if args.command.is_some() && args.list != List::default() {
        return Err(Failure::usage("filters stand behind the subcommand: `teleclaude sessions list --…`"));
    }
    match &args.command {
        None => run_list(console, client, &args.list, json).await,
        Some(Command::List(list)) => run_list(console, client, list, json).await,
        Some(Command::Show { id }) => {
            let answer = client.session(id).await?;
            if json {
                return console.say_json(&answer.text);
            }
            let text = one(&answer.reply, &console.look);
            console.say(&text)
        }
        Some(Command::Start(start)) => run_start(console, client, start, json).await,
        Some(Command::Send { id, message, reason, client_id }) => {
            let mut asked = SendMessage {
                session_id: id.clone(),
                message: message_text(console, message)?,
                client_id: client_id.clone(),
                reason: reason.clone(),
            };
            let mut answer = client.send_message(&asked).await;
            if let Some(reason) = reason::ask_for(console, answer.as_ref().err(), asked.reason.as_deref()) {
                asked.reason = Some(reason);
                answer = client.send_message(&asked).await;
            }
            let answer = answer?;
            if json {
                return console.say_json(&answer.text);
            }
            console.say(&sent(&answer.reply))
        }
        Some(Command::Attach { id, read_only, reason }) => {
            attach::run(console, client, id, !read_only, reason.as_deref()).await
        }
        Some(Command::Watch { id, reason }) => {
            attach::run(console, client, id, false, reason.as_deref()).await
        }
        Some(Command::Export(args)) => export::run(console, client, args, json).await,
        Some(Command::End { id: None, yes, reason, older_than, remove_worktree, .. }) => {
            let now = console.look.now;
            let older_than = older_than.as_ref().map(|when| Timestamp::parse(&when.rfc3339(now)));
            let which = end_all::Which {
                reason: reason.as_deref(),
                older_than: older_than
                    .transpose()
                    .map_err(|e| Failure::usage(format!("--older-than: {e}")))?,
                remove_worktree: *remove_worktree,
            };
            end_all::run(console, client, which, *yes, json).await
        }
        Some(Command::End { id: Some(id), reason, remove_worktree, .. }) => {
            end::run(console, client, id, reason.as_deref(), *remove_worktree, json).await
        }
        Some(Command::Purge(args)) => purge::run(console, client, args, json).await,
        Some(Command::Resume { id: None, since, lost, yes, .. }) => {
            let since = since.as_ref().map(|when| when.rfc3339(console.look.now));
            let which = resume::Which { since: since.as_deref(), lost: *lost };
            resume::run_all(console, client, which, *yes, json).await
        }
        Some(Command::Resume { id: Some(id), reason, .. }) => {
            resume::run(console, client, id, reason.as_deref(), json).await
        }
        Some(Command::Interrupt { id, reason }) => {
            let mut asked = Steering { session_id: id.clone(), reason: reason.clone() };
            let mut answer = client.interrupt_session(&asked).await;
            if let Some(reason) = reason::ask_for(console, answer.as_ref().err(), reason.as_deref()) {
                asked.reason = Some(reason);
                answer = client.interrupt_session(&asked).await;
            }
            changed(console, answer?, json)
        }
        Some(Command::Answer { id, answer, request, reason }) => {
            let given = answer::Given {
                id,
                answer: answer.as_deref(),
                request: request.as_deref(),
                reason: reason.as_deref(),
            };
            answer::run(console, client, given, json).await
        }
        Some(Command::Label(args)) => label::run(console, client, args, json).await,
        Some(Command::Rename { id, title, reason }) => {
            let mut asked = RenameSession {
                session_id: id.clone(),
                title: title.clone(),
                if_version: None,
                reason: reason.clone(),
            };
            let mut answer = client.rename_session(&asked).await;
            if let Some(reason) = reason::ask_for(console, answer.as_ref().err(), reason.as_deref()) {
                asked.reason = Some(reason);
                answer = client.rename_session(&asked).await;
            }
            changed(console, answer?, json)
        }
    }
}

/// Shows a session that was changed.
pub fn changed(console: &mut Console<'_>, answer: Answer<SessionReply>, json: bool) -> Result<(), Failure> {
    if json {
        return console.say_json(&answer.text);
    }
    let text = one(&answer.reply, &console.look);
    console.say(&text)
}

async fn run_list(
    console: &mut Console<'_>,
    client: &Client,
    list: &List,
    json: bool,
) -> Result<(), Failure> {
    let asked = ListSessions {
        project: list.project.clone(),
        status: list.status,
        agent: list.agent.clone(),
        owner: list.owner.clone(),
        since: list.since.as_ref().map(|when| when.rfc3339(console.look.now)),
        label: (!list.label.is_empty()).then(|| list.label.join(",")),
        children_of: list.children_of.clone(),
        all_computers: list.all_computers.then_some(true),
        cursor: list.cursor.clone(),
        limit: list.limit,
    };
    let answer = client.sessions(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = page(&answer.reply, &console.look);
    console.say(&text)
}

async fn run_start(
    console: &mut Console<'_>,
    client: &Client,
    start: &Start,
    json: bool,
) -> Result<(), Failure> {
    let asked = StartSession {
        project: project(&start.project, &console.cwd)?,
        agent: Some(start.agent.clone()),
        thinking_mode: start.thinking,
        title: start.title.clone(),
        message: start.message.as_deref().map(|message| message_text(console, message)).transpose()?,
        subdir: start.subdir.clone(),
        worktree: start.worktree.then_some(true),
        labels: label::of_arguments(&start.label)?,
        client_id: start.client_id.clone(),
    };
    let answer = client.start_session(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = started(&answer.reply, &console.look);
    console.say(&text)
}

/// `-` is what comes on standard input.
fn message_text(console: &mut Console<'_>, given: &str) -> Result<String, Failure> {
    if given == "-" { console.read_input(MESSAGE_BYTES_MAX) } else { Ok(given.to_owned()) }
}

/// What the daemon is told: a name as it is, a folder as an absolute path, since the daemon's own folder is another.
/// A name has no `/` and does not begin with a dot.
fn project(given: &str, cwd: &Path) -> Result<String, Failure> {
    if !given.contains('/') && !given.starts_with('.') {
        return Ok(given.to_owned());
    }
    let path = cwd.join(given);
    let real = path
        .canonicalize()
        .map_err(|e| Failure::usage(format!("--project {given}: cannot find {}: {e}", path.display())))?;
    real.into_os_string()
        .into_string()
        .map_err(|path| Failure::usage(format!("--project {given}: {} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_absolute_and_names_stay() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("inner")).unwrap();
        let shown = |path: std::path::PathBuf| path.into_os_string().into_string().unwrap();
        assert_eq!(project("web", &real).unwrap(), "web");
        assert_eq!(project(".", &real).unwrap(), shown(real.clone()));
        assert_eq!(project("./inner/..", &real).unwrap(), shown(real.clone()));
        assert_eq!(project("..", &real.join("inner")).unwrap(), shown(real.clone()));
        assert_eq!(project(&shown(real.join("inner")), Path::new("/")).unwrap(), shown(real.join("inner")));
        assert_eq!(project("./none", &real).unwrap_err().exit_code(), 2);
    }
}
