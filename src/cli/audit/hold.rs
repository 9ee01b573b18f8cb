//! `teleclaude audit hold`: keeping rows from being pruned.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, ago, cell, table};
use crate::client::Client;
use crate::wire::audit::{ListHolds, PlaceHold};

/// Commands of `audit hold`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Place a hold
    Add {
        /// On the rows about this session (its whole id)
        #[arg(long, value_name = "ID", required_unless_present_any = ["person", "everything"], conflicts_with_all = ["person", "everything"])]
        session: Option<String>,
        /// On the rows by this person and about their sessions
        #[arg(long, conflicts_with = "everything")]
        person: Option<String>,
        /// On every row
        #[arg(long)]
        everything: bool,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// List holds
    List {
        /// Also those that were released
        #[arg(long)]
        all: bool,
    },
    /// Release a hold
    Release {
        /// The hold's id
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::Add { session, person, everything, reason } => {
            let asked = PlaceHold {
                session_id: session.clone(),
                person: person.clone(),
                everything: everything.then_some(true),
                reason: reason.clone(),
            };
            let answer = client.place_hold(&asked).await?;
            if json { console.say_json(&answer.text) } else { console.say(&format!("{}\n", answer.reply.id)) }
        }
        Command::Release { id, reason } => {
            let answer = client.release_hold(id, reason).await?;
            if json { console.say_json(&answer.text) } else { console.say("released\n") }
        }
        Command::List { all } => {
            let answer = client.holds(&ListHolds { all: all.then_some(true) }).await?;
            if json {
                return console.say_json(&answer.text);
            }
            if answer.reply.holds.is_empty() {
                return console.say("No holds.\n");
            }
            let look = &console.look;
            let rows: Vec<_> = answer
                .reply
                .holds
                .iter()
                .map(|hold| {
                    let released =
                        hold.released_at.as_deref().map(|at| format!("released {}", ago(at, look)));
                    vec![
                        cell(&hold.id),
                        cell(&hold.kind),
                        cell(&hold.target),
                        cell(&hold.placed_by),
                        cell(released.unwrap_or_else(|| ago(&hold.placed_at, look))),
                        cell(&hold.reason).sgr(DIM),
                    ]
                })
                .collect();
            let text = table(&["ID", "KIND", "OF", "BY", "SINCE", "REASON"], &rows, look);
            console.say(&text)
        }
    }
}
