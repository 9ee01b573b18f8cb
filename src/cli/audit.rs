//! `teleclaude audit`: the log of who did what, and whether it is whole.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::inbox;
use crate::cli::render::{DIM, GREEN, Look, RED, YELLOW, ago, cell, more, short, table, visible};
use crate::cli::when::{self, When};
use crate::client::Client;
use crate::wire::limits::SESSION_PREFIX_MIN;
use crate::wire::reply::{AuditReply, AuditRow, VerifiedReply};
use crate::wire::request::ListAudit;

/// Commands of `audit`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List rows, newest first
    List(List),
    /// List who read, watched or steered sessions of yours, when and why
    Mine(inbox::Mine),
    /// Check that no row was changed, taken out or put in. Exit code 1 if one was
    Verify,
}

/// Filters of `audit list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this actor
    #[arg(long, value_name = "PERSON")]
    actor: Option<String>,
    /// Only about sessions of this owner
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    /// Only about this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only of this action, such as transcript.read
    #[arg(long)]
    action: Option<String>,
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

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::List(list) => {
            let asked = ListAudit {
                actor: list.actor.clone(),
                owner: list.owner.clone(),
                session_id: list.session.clone(),
                action: list.action.clone(),
                since: list.since.as_ref().map(|when| when.rfc3339(console.look.now)),
                until: list.until.as_ref().map(|when| when.rfc3339(console.look.now)),
                cursor: list.cursor.clone(),
                limit: list.limit,
            };
            let answer = client.audit(&asked).await?;
            if json {
                return console.say_json(&answer.text);
            }
            let text = page(&answer.reply, &console.look);
            console.say(&text)
        }
        Command::Mine(args) => inbox::run_mine(console, client, args, json).await,
        Command::Verify => {
            let answer = client.verify_audit().await?;
            if json {
                console.say_json(&answer.text)?;
            } else {
                let text = verified(&answer.reply, &console.look);
                console.say(&text)?;
            }
            if answer.reply.ok { Ok(()) } else { Err(Failure::Told) }
        }
    }
}

/// The rows.
pub fn page(reply: &AuditReply, look: &Look) -> String {
    if reply.rows.is_empty() {
        return format!("No rows.\n{}", more(reply.next_cursor.as_deref(), look));
    }
    let rows: Vec<_> = reply
        .rows
        .iter()
        .map(|row| {
            let sgr = match row.outcome.as_str() {
                "success" => GREEN,
                "denied" => YELLOW,
                _ => RED,
            };
            vec![
                cell(row.seq.to_string()),
                cell(ago(&row.at, look)),
                cell(&row.actor),
                cell(&row.action),
                cell(&row.outcome).sgr(sgr),
                cell(about(row)),
                cell(row.owner.as_deref().unwrap_or_default()),
                cell(row.reason.as_deref().unwrap_or_default()).sgr(DIM),
            ]
        })
        .collect();
    let head = ["SEQ", "WHEN", "ACTOR", "ACTION", "OUTCOME", "ABOUT", "OWNER", "REASON"];
    format!("{}{}", table(&head, &rows, look), more(reply.next_cursor.as_deref(), look))
}

fn about(row: &AuditRow) -> String {
    match (&row.session_id, &row.target_kind, &row.target_id) {
        (Some(session), _, _) => short(session, SESSION_PREFIX_MIN).to_owned(),
        (None, Some(kind), Some(id)) => format!("{kind} {id}"),
        (None, Some(one), None) | (None, None, Some(one)) => one.clone(),
        (None, None, None) => String::new(),
    }
}

/// What checking found.
pub fn verified(reply: &VerifiedReply, look: &Look) -> String {
    let rows: Vec<_> = reply
        .chains
        .iter()
        .map(|chain| {
            let found = match (chain.first_bad_seq, chain.problem.as_deref()) {
                (None, None) => cell("whole").sgr(GREEN),
                (Some(seq), problem) => cell(format!("row {seq}: {}", problem.unwrap_or("wrong"))).sgr(RED),
                (None, Some(problem)) => cell(problem).sgr(RED),
            };
            vec![cell(&chain.computer), cell(chain.rows.to_string()), found, cell(&chain.head)]
        })
        .collect();
    let (sgr, verdict) = if reply.ok { (GREEN, "The log is whole") } else { (RED, "The log is NOT whole") };
    let verdict = format!("{verdict}: {} rows checked.", reply.rows);
    let chains = table(&["COMPUTER", "ROWS", "FOUND", "HEAD"], &rows, look);
    format!("{chains}{}\n", paint(look.colour, sgr, &visible(&verdict)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::wire::reply::ChainRow;

    fn row(seq: i64) -> AuditRow {
        AuditRow {
            computer: "build-1".to_owned(),
            seq,
            at: "2026-11-21T11:00:00Z".to_owned(),
            actor: "ann".to_owned(),
            actor_uid: 1000,
            actor_role: "admin".to_owned(),
            via: "http".to_owned(),
            action: "transcript.read".to_owned(),
            outcome: "success".to_owned(),
            session_id: Some("019a5d2e-1111-7000-8000-000000000001".to_owned()),
            owner: Some("bob".to_owned()),
            target_kind: None,
            target_id: None,
            reason: Some("ticket 4711: the build has been red since Monday".to_owned()),
            request_id: "r1".to_owned(),
            detail: None,
            prev_hash: "00".repeat(32),
            hash: "ab".repeat(32),
        }
    }

    #[test]
    fn rows() {
        let reload = AuditRow {
            action: "config.reload".to_owned(),
            outcome: "failure".to_owned(),
            session_id: None,
            owner: None,
            reason: None,
            target_kind: Some("config".to_owned()),
            target_id: Some("/etc/teleclaude/config.yml".to_owned()),
            ..row(41)
        };
        let reply = AuditReply { rows: vec![row(42), reload], next_cursor: None };
        insta::assert_snapshot!(page(&reply, &plain()), @r"
        SEQ  WHEN    ACTOR  ACTION           OUTCOME  ABOUT                    OWNER  REASON
        42   1h ago  ann    transcript.read  success  019a5d2e                 bob    ticket 4711: the buil…
        41   1h ago  ann    config.reload    failure  config /etc/teleclaude…
        ");
    }

    #[test]
    fn whole_and_broken_chains() {
        let chain = |bad: Option<i64>| ChainRow {
            computer: "build-1".to_owned(),
            rows: 42,
            head: "ab".repeat(32),
            first_bad_seq: bad,
            problem: bad.map(|_| "the hash does not match".to_owned()),
        };
        let whole = VerifiedReply { ok: true, rows: 42, chains: vec![chain(None)] };
        insta::assert_snapshot!(verified(&whole, &plain()), @r"
        COMPUTER  ROWS  FOUND  HEAD
        build-1   42    whole  abababababababababababababababababababababababababababababababab
        The log is whole: 42 rows checked.
        ");
        let broken = VerifiedReply { ok: false, rows: 42, chains: vec![chain(Some(17))] };
        insta::assert_snapshot!(verified(&broken, &plain()), @r"
        COMPUTER  ROWS  FOUND                            HEAD
        build-1   42    row 17: the hash does not match  ababababababababababababababababababababababababab…
        The log is NOT whole: 42 rows checked.
        ");
    }
}
