//! `teleclaude audit list`, and the filters that it shares with `export` and `tail`.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, GREEN, Look, RED, YELLOW, ago, cell, more, short, table};
use crate::cli::when::{self, When};
use crate::client::Client;
use crate::domain::audit::AuditOutcome;
use crate::domain::timestamp::Timestamp;
use crate::wire::audit::{AuditReply, AuditRow};
use crate::wire::limits::SESSION_PREFIX_MIN;
use crate::wire::request::ListAudit;

/// Filters of the log.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filters {
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
    /// Only with this outcome
    #[arg(long, value_parser = ["success", "denied", "failure"])]
    outcome: Option<String>,
    /// Only since then: 2h, 7d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    since: Option<When>,
    /// Only until then
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    until: Option<When>,
    /// Only with this text in actor, action, owner, session, target, reason or detail
    #[arg(long)]
    text: Option<String>,
}

impl Filters {
    /// As the wire has them.
    pub fn asked(&self, now: Timestamp) -> ListAudit {
        ListAudit {
            actor: self.actor.clone(),
            owner: self.owner.clone(),
            session_id: self.session.clone(),
            action: self.action.clone(),
            outcome: self.outcome.as_deref().and_then(AuditOutcome::parse),
            since: self.since.as_ref().map(|when| when.rfc3339(now)),
            until: self.until.as_ref().map(|when| when.rfc3339(now)),
            text: self.text.clone(),
            cursor: None,
            limit: None,
        }
    }
}

/// Arguments of `audit list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    filters: Filters,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Rows at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &List, json: bool) -> Result<(), Failure> {
    let asked =
        ListAudit { cursor: args.cursor.clone(), limit: args.limit, ..args.filters.asked(console.look.now) };
    let answer = client.audit(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = page(&answer.reply, &console.look);
    console.say(&text)
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

/// What a row is about, in one word or two.
pub fn about(row: &AuditRow) -> String {
    match (&row.session_id, &row.target_kind, &row.target_id) {
        (Some(session), _, _) => short(session, SESSION_PREFIX_MIN).to_owned(),
        (None, Some(kind), Some(id)) => format!("{kind} {id}"),
        (None, Some(one), None) | (None, None, Some(one)) => one.clone(),
        (None, None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;

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
}
