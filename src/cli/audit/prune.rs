//! `teleclaude audit prune`: cutting old rows off.

use crate::cli::audit::verify::engine;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::progress;
use crate::cli::when::{self, When};
use crate::client::Client;
use crate::domain::note::VerifierKey;
use crate::store::connect::Engine;
use crate::store::prune;
use crate::wire::audit::{PruneAudit, PrunedReply};

/// Arguments of `audit prune`.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Rows older than this go: 365d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    before: When,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    /// Where the daemon's role may not remove rows: the database as the owner of the tables logs in to it
    /// (postgres://…; the password comes from PGPASSWORD or ~/.pgpass)
    #[arg(long, value_name = "URL")]
    owner_database: Option<String>,
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    args: &Prune,
    json: bool,
) -> Result<(), Failure> {
    let before = args.before.rfc3339(console.look.now);
    let owner = args.owner_database.as_deref().map(|url| engine(console, url)).transpose()?;
    if matches!(owner, Some(Engine::Sqlite { .. })) {
        return Err(Failure::usage("--owner-database: must be a postgres:// URL"));
    }
    let looked = PruneAudit { before: before.clone(), dry_run: Some(true), by_owner: None };
    if args.dry_run {
        let answer = client.prune_audit(&looked).await?;
        return if json { console.say_json(&answer.text) } else { console.say(&said(&answer.reply)) };
    }
    if !args.yes {
        let would = client.prune_audit(&looked).await?.reply;
        if would.rows == 0 {
            return if json { console.say_json(&body(&would)) } else { console.say(&said(&would)) };
        }
        let question = format!("{} There is no way back. Type yes to go on:", said(&would).trim_end());
        if console.ask(&question).as_deref() != Some("yes") {
            return Err(Failure::usage("nothing was pruned; `--yes` goes on without asking"));
        }
    }
    let asked = PruneAudit { before, dry_run: None, by_owner: owner.is_some().then_some(true) };
    let mut answer = client.prune_audit(&asked).await?;
    if let Some(Engine::Postgres { url }) = owner {
        let keys = client.audit_keys().await?.reply;
        let trusted: Result<Vec<VerifierKey>, _> =
            keys.keys.iter().map(|row| VerifierKey::parse(&row.key)).collect();
        let trusted = trusted.map_err(|e| Failure::Local(format!("the daemon's keys: {e}")))?;
        let bar = progress::counter(console, "rows pruned");
        let left = prune::as_owner(&url, &keys.computer, &trusted, |rows| bar.set_position(rows)).await;
        bar.finish_and_clear();
        let left = left
            .map_err(|e| Failure::Local(format!("the record is written, but not all rows are gone: {e}")))?;
        if left > 0 {
            return Err(Failure::Local(format!(
                "the record is written, but {left} rows stay: they were put on hold meanwhile (`teleclaude audit hold list`)"
            )));
        }
        answer.reply.left = 0;
        answer.text = body(&answer.reply);
    }
    if json {
        return console.say_json(&answer.text);
    }
    console.say(&said(&answer.reply))
}

fn body(reply: &PrunedReply) -> String {
    serde_json::to_string(reply).unwrap_or_default()
}

fn said(reply: &PrunedReply) -> String {
    let (Some(first), Some(last)) = (reply.first, reply.last) else {
        return format!("{}: no row is that old.\n", reply.computer);
    };
    let verb = if reply.dry_run { "would be" } else { "were" };
    let rest = match reply.left {
        0 => String::new(),
        left => format!(" {left} of them are still to go; the daemon goes on by itself."),
    };
    format!("{}: {} rows, {first} to {last}, {verb} pruned.{rest}\n", reply.computer, reply.rows)
}
