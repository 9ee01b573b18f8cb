//! `teleclaude people`: why somebody is who they are.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::people_change;
use crate::cli::whoami;
use crate::client::Client;
use clap::builder::NonEmptyStringValueParser;

/// Commands of `people`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say who an OS user is to the daemon, and which rule says so (administrators)
    Explain {
        /// An OS user's name, or a uid
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
    },
    #[command(flatten)]
    Change(people_change::Command),
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    let user = match command {
        Command::Explain { user } => user,
        Command::Change(command) => return people_change::run(console, client, command, json).await,
    };
    let answer = client.explain_person(user).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = whoami::render(&answer.reply, true, &console.look);
    console.say(&text)
}
