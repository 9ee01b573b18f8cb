//! `teleclaude audit`: the log of who did what, and whether it is whole. One file a command below here.

mod export;
mod hold;
mod key;
mod list;
mod prune;
mod tail;
mod verify;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::inbox;
use crate::client::Client;

/// Commands of `audit`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List rows, newest first
    List(list::List),
    /// List who read, watched or steered sessions of yours, when and why
    Mine(inbox::Mine),
    /// Show the newest rows; with -f those that come, too
    Tail(tail::Tail),
    /// Write rows out, for other programs, spreadsheets, or auditors
    Export(export::Export),
    /// Check that no row was changed, put in, moved, taken out or cut off
    #[command(after_help = verify::EXIT_CODES)]
    Verify(verify::Verify),
    /// Show the public keys that prove checkpoints
    Key {
        #[command(subcommand)]
        command: Option<key::Command>,
    },
    /// Remove rows older than a date, keeping a signed record of what they were
    Prune(prune::Prune),
    /// Keep rows from being pruned
    #[command(subcommand)]
    Hold(hold::Command),
}

impl Command {
    /// Whether it works without a daemon.
    pub fn asks_nobody(&self) -> bool {
        matches!(self, Self::Verify(verify) if verify.asks_nobody())
    }
}

/// Runs a command that works without a daemon.
pub fn run_alone(console: &mut Console<'_>, command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::Verify(args) => verify::run_alone(console, args, json),
        _ => Err(Failure::Local("this command needs the daemon".to_owned())),
    }
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::run(console, client, args, json).await,
        Command::Mine(args) => inbox::run_mine(console, client, args, json).await,
        Command::Tail(args) => tail::run(console, client, args, json).await,
        Command::Export(args) => export::run(console, client, args).await,
        Command::Verify(args) => verify::run(console, client, args, json).await,
        Command::Key { command } => key::run(console, client, *command, json).await,
        Command::Prune(args) => prune::run(console, client, args, json).await,
        Command::Hold(command) => hold::run(console, client, command, json).await,
    }
}
