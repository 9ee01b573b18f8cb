//! `teleclaude activity`: who did what, when.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{Look, ago, cell, more, short, table};
use crate::cli::when::{self, When};
use crate::client::Client;
use crate::wire::activity::{ActivityReply, ActivityRow, ListActivity};
use crate::wire::limits::SESSION_PREFIX_MIN;

/// Arguments of `activity`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only in this session
    #[arg(long, value_name = "ID", conflicts_with = "person")]
    session: Option<String>,
    /// Only of this person
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Only since then: 2h, 7d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    since: Option<When>,
    /// Only until then
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    until: Option<When>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Rows at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
}

/// Runs `activity`.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let now = console.look.now;
    let asked = ListActivity {
        session_id: args.session.clone(),
        person: args.person.clone(),
        since: args.since.as_ref().map(|when| when.rfc3339(now)),
        until: args.until.as_ref().map(|when| when.rfc3339(now)),
        cursor: args.cursor.clone(),
        limit: args.limit,
    };
    let answer = client.activity(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = page(&answer.reply, &console.look);
    console.say(&text)
}

/// A page as a table.
fn page(reply: &ActivityReply, look: &Look) -> String {
    let rest = more(reply.next_cursor.as_deref(), look);
    if reply.activity.is_empty() {
        return format!("Nothing happened.\n{rest}");
    }
    let rows: Vec<_> = reply
        .activity
        .iter()
        .map(|row| {
            vec![
                cell(ago(&row.at, look)),
                cell(row.actor.as_deref().unwrap_or("-")),
                cell(&row.what),
                cell(row.person.as_deref().unwrap_or("-")),
                cell(about(row)),
            ]
        })
        .collect();
    format!("{}{rest}", table(&["WHEN", "WHO", "WHAT", "WHOSE", "OF WHAT"], &rows, look))
}

/// The session or whatever else it was done with, and how it ended.
fn about(row: &ActivityRow) -> String {
    let session = row.session_id.as_deref().map(|id| short(id, SESSION_PREFIX_MIN).to_owned());
    let target = row.target.as_deref().map(|target| match target.split_once(' ') {
        Some((kind, id)) if id.len() == 36 => format!("{kind} {}", short(id, SESSION_PREFIX_MIN)),
        _ => target.to_owned(),
    });
    let exit = row.exit.as_ref().map(|exit| format!("({exit})"));
    let parts: Vec<String> = [session, target, exit].into_iter().flatten().collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::cli::render::plain;
    use crate::wire::activity::{ActivityReply, ActivityRow};

    #[test]
    fn who_did_what() {
        let row = |what: &str, actor: Option<&str>| ActivityRow {
            at: "2026-11-21T11:00:00Z".to_owned(),
            what: what.to_owned(),
            actor: actor.map(str::to_owned),
            person: Some("bob".to_owned()),
            session_id: Some("019a5d2e-1111-7000-8000-000000000001".to_owned()),
            target: None,
            exit: None,
        };
        let task = ActivityRow {
            person: None,
            session_id: None,
            target: Some("task 019a5d2e-2222-7000-8000-000000000001".to_owned()),
            ..row("task.created", Some("ann"))
        };
        let ended = ActivityRow { exit: Some("exit 0".to_owned()), ..row("session.ended", None) };
        let activity = vec![ended, task, row("session.created", Some("b\u{1b}ob"))];
        insta::assert_snapshot!(page(&ActivityReply { activity, next_cursor: Some("v1".to_owned()) }, &plain()), @r"
        WHEN    WHO      WHAT             WHOSE  OF WHAT
        1h ago  -        session.ended    bob    019a5d2e (exit 0)
        1h ago  ann      task.created     -      task 019a5d2e
        1h ago  b\x1bob  session.created  bob    019a5d2e
        more: --cursor v1
        ");
        let none = ActivityReply { activity: Vec::new(), next_cursor: None };
        assert_eq!(page(&none, &plain()), "Nothing happened.\n");
    }
}
