//! `teleclaude audit tail`: the newest rows, and those that come. It goes on where it was when the daemon restarts.

use crate::cli::audit::list::{Filters, about};
use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{GREEN, RED, YELLOW, visible};
use crate::client::audit::Heard;
use crate::client::{Client, ClientError};
use crate::wire::audit::{AuditRow, FollowAudit};
use crate::wire::request::ListAudit;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// Between two attempts to reach a daemon that is gone.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Arguments of `audit tail`.
#[derive(Debug, clap::Args)]
pub struct Tail {
    /// Go on with the rows that come, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Rows to begin with
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    lines: i64,
    #[command(flatten)]
    filters: Filters,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Tail, json: bool) -> Result<(), Failure> {
    let filter = ListAudit { limit: Some(args.lines), ..args.filters.asked(console.look.now) };
    if !args.follow {
        let mut rows = client.audit(&filter).await?.reply.rows;
        rows.reverse();
        return rows.iter().try_for_each(|row| show(console, row, json));
    }
    let mut places: BTreeMap<String, i64> = BTreeMap::new();
    let (mut rest, mut pause, mut known) = (Vec::new(), AGAIN.0, false);
    loop {
        let after = known.then(|| places.clone());
        let asked = FollowAudit { filter: filter.clone(), after };
        rest.clear();
        let mut begun = false;
        let followed = client
            .follow_audit(&asked, |heard| {
                begun = true;
                match heard {
                    Heard::Places(from) => places = from,
                    Heard::Rows(bytes) => rest.extend_from_slice(bytes),
                }
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let Ok(row) = serde_json::from_slice::<AuditRow>(&line) else { continue };
                    let place = places.entry(row.computer.clone()).or_insert(0);
                    *place = row.seq.max(*place);
                    show(console, &row, json)?;
                }
                console.out.flush().map_err(Failure::Output)
            })
            .await;
        match followed {
            Ok(()) => {}
            // Only where it was there once is it waited for.
            Err(Failure::Client(ClientError::Unreachable { .. } | ClientError::NoAnswer { .. })) if known => {
            }
            Err(other) => return Err(other),
        }
        if begun {
            known = true;
            pause = AGAIN.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}

fn show(console: &mut Console<'_>, row: &AuditRow, json: bool) -> Result<(), Failure> {
    if json {
        return console.say_json(&serde_json::to_string(row).unwrap_or_default());
    }
    let sgr = match row.outcome.as_str() {
        "success" => GREEN,
        "denied" => YELLOW,
        _ => RED,
    };
    let outcome = paint(console.look.colour, sgr, &visible(&row.outcome));
    let mut line = format!("{} {} {} {outcome}", visible(&row.at), visible(&row.actor), visible(&row.action));
    for part in [about(row), row.owner.clone().unwrap_or_default()] {
        if !part.is_empty() {
            line.push(' ');
            line.push_str(&visible(&part));
        }
    }
    if let Some(reason) = &row.reason {
        line.push_str(&format!(" \"{}\"", visible(reason)));
    }
    console.say(&format!("{line}\n"))
}
