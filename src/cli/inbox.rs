//! `teleclaude inbox`: one's messages, and marking them as read; and `teleclaude audit mine`: who read what of one's
//! own, when and why.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{BOLD, DIM, Look, ago, cell, more, short, table, visible_text};
use crate::cli::when::{self, When};
use crate::client::Client;
use crate::domain::notice::NoticeKind;
use crate::wire::audit::{AuditReply, AuditRow};
use crate::wire::inbox::{Inbox, InboxReply, MessageRow, WhoRead};
use crate::wire::limits::SESSION_PREFIX_MIN;

/// Arguments of `inbox`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Only what was not read yet
    #[arg(long)]
    unread: bool,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Rows at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Commands of `inbox`.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Mark messages as read
    Read {
        /// Their ids, as `teleclaude inbox --json` gives them
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
        ids: Vec<String>,
        /// All messages
        #[arg(long)]
        all: bool,
    },
}

/// Arguments of `audit mine`.
#[derive(Debug, clap::Args)]
pub struct Mine {
    /// Only since then: 2h, 7d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    since: Option<When>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Rows at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
}

/// Runs `inbox`.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let asked = match &args.command {
        None => Inbox {
            unread: args.unread.then_some(true),
            cursor: args.cursor.clone(),
            limit: args.limit,
            ..Inbox::default()
        },
        Some(Command::Read { ids, all }) => Inbox {
            mark_read: (!*all).then(|| ids.clone()),
            mark_all: all.then_some(true),
            unread: Some(true),
            ..Inbox::default()
        },
    };
    let answer = client.inbox(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = page(&answer.reply, &console.look);
    console.say(&text)
}

/// Runs `audit mine`.
pub async fn run_mine(
    console: &mut Console<'_>,
    client: &Client,
    args: &Mine,
    json: bool,
) -> Result<(), Failure> {
    let asked = WhoRead {
        since: args.since.as_ref().map(|when| when.rfc3339(console.look.now)),
        cursor: args.cursor.clone(),
        limit: args.limit,
    };
    let answer = client.who_read_mine(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = mine(&answer.reply, &console.look);
    console.say(&text)
}

/// The messages, each in a line that is never cut: a reason is there to be read.
pub fn page(reply: &InboxReply, look: &Look) -> String {
    let mut text: String = reply.messages.iter().map(|message| line(message, look)).collect();
    if reply.messages.is_empty() {
        text.push_str("No messages.\n");
    }
    if reply.unread > 0 {
        let left = format!("{} unread. `teleclaude inbox read --all` marks them as read.", reply.unread);
        text.push_str(&format!("{}\n", paint(look.colour, DIM, &left)));
    }
    text + &more(reply.next_cursor.as_deref(), look)
}

fn line(message: &MessageRow, look: &Look) -> String {
    let unread = message.read_at.is_none();
    let star = if unread { "*" } else { " " };
    let times = if message.times > 1 { format!(" ({} times)", message.times) } else { String::new() };
    let from = message.from.as_deref().map(|from| format!("{from}: ")).unwrap_or_default();
    let session = message.session_id.as_deref().map_or("-", |id| short(id, SESSION_PREFIX_MIN));
    let head = format!("{star} {:8}  {session:8}  ", ago(&message.at, look));
    let kind = match message.kind {
        NoticeKind::Access | NoticeKind::Message => "",
        NoticeKind::Summary => "summary: ",
        NoticeKind::Task => "tasks: ",
    };
    // What people write has lines; each stands below the first.
    let said = visible_text(&format!("{from}{kind}{}{times}", message.text));
    let indent = format!("\n{}", " ".repeat(head.chars().count()));
    let lines: Vec<String> = said.lines().map(|line| paint(look.colour && unread, BOLD, line)).collect();
    format!("{head}{}\n", lines.join(&indent))
}

/// Who read what of one's own.
pub fn mine(reply: &AuditReply, look: &Look) -> String {
    if reply.rows.is_empty() {
        return format!("Nobody but you.\n{}", more(reply.next_cursor.as_deref(), look));
    }
    let rows: Vec<_> = reply
        .rows
        .iter()
        .map(|row| {
            vec![
                cell(ago(&row.at, look)),
                cell(&row.actor),
                cell(what(row)),
                cell(row.session_id.as_deref().map(|id| short(id, SESSION_PREFIX_MIN)).unwrap_or_default()),
                cell(row.reason.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    let head = ["WHEN", "WHO", "WHAT", "SESSION", "WHY"];
    format!("{}{}", table(&head, &rows, look), more(reply.next_cursor.as_deref(), look))
}

/// The action; a live look has a row at its start and one at its end.
fn what(row: &AuditRow) -> String {
    let event = row.detail.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    match event.as_ref().and_then(|detail| detail.get("event")?.as_str()) {
        Some(event) => format!("{} ({event})", row.action),
        None => row.action.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::domain::notice::NoticeKind;

    fn message(read: bool, times: i64) -> MessageRow {
        MessageRow {
            message_id: "019a5d2e-2222-7000-8000-000000000001".to_owned(),
            from: None,
            at: "2026-11-21T11:00:00Z".to_owned(),
            read_at: read.then(|| "2026-11-21T11:30:00Z".to_owned()),
            kind: NoticeKind::Access,
            text: "ann read the transcript of a session of yours. Reason: ticket \u{1b}[2J4711".to_owned(),
            session_id: Some("019a5d2e-1111-7000-8000-000000000001".to_owned()),
            times,
        }
    }

    #[test]
    fn messages_are_whole_and_harmless() {
        let word = MessageRow {
            from: Some("ann".to_owned()),
            session_id: None,
            text: "lunch?".to_owned(),
            ..message(true, 1)
        };
        let reply = InboxReply {
            messages: vec![message(false, 3), message(true, 1), word],
            unread: 1,
            next_cursor: None,
        };
        insta::assert_snapshot!(page(&reply, &plain()), @r"
        * 1h ago    019a5d2e  ann read the transcript of a session of yours. Reason: ticket \x1b[2J4711 (3 times)
          1h ago    019a5d2e  ann read the transcript of a session of yours. Reason: ticket \x1b[2J4711
          1h ago    -         ann: lunch?
        1 unread. `teleclaude inbox read --all` marks them as read.
        ");
        let none = InboxReply { messages: Vec::new(), unread: 0, next_cursor: None };
        assert_eq!(page(&none, &plain()), "No messages.\n");
    }

    #[test]
    fn who_read_what() {
        let row = |action: &str, detail: Option<&str>| AuditRow {
            computer: "build-1".to_owned(),
            seq: 42,
            at: "2026-11-21T11:00:00Z".to_owned(),
            actor: "ann".to_owned(),
            actor_uid: 1000,
            actor_role: "admin".to_owned(),
            via: "http".to_owned(),
            action: action.to_owned(),
            outcome: "success".to_owned(),
            session_id: Some("019a5d2e-1111-7000-8000-000000000001".to_owned()),
            owner: Some("bob".to_owned()),
            target_kind: None,
            target_id: None,
            reason: Some("ticket 4711".to_owned()),
            request_id: "r1".to_owned(),
            detail: detail.map(str::to_owned),
            prev_hash: "00".repeat(32),
            hash: "ab".repeat(32),
        };
        let rows = vec![row("session.watch", Some("{\"event\":\"end\"}")), row("transcript.read", None)];
        insta::assert_snapshot!(mine(&AuditReply { rows, next_cursor: None }, &plain()), @r"
        WHEN    WHO  WHAT                 SESSION   WHY
        1h ago  ann  session.watch (end)  019a5d2e  ticket 4711
        1h ago  ann  transcript.read      019a5d2e  ticket 4711
        ");
        assert_eq!(mine(&AuditReply { rows: vec![], next_cursor: None }, &plain()), "Nobody but you.\n");
    }
}
