//! `teleclaude audit prune`: cutting old rows off.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::when::{self, When};
use crate::client::Client;
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
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    args: &Prune,
    json: bool,
) -> Result<(), Failure> {
    let before = args.before.rfc3339(console.look.now);
    let looked = PruneAudit { before: before.clone(), dry_run: Some(true) };
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
    let answer = client.prune_audit(&PruneAudit { before, dry_run: None }).await?;
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
