//! `teleclaude audit key`: the public keys, and a new one.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::visible;
use crate::client::Client;

/// Commands of `audit key`; without one it shows the keys.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Command {
    /// Sign with a new key from now on; the old ones still prove what they signed
    Rotate,
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: Option<Command>,
    json: bool,
) -> Result<(), Failure> {
    let answer = match command {
        None => client.audit_keys().await?,
        Some(Command::Rotate) => client.rotate_audit_key().await?,
    };
    if json {
        return console.say_json(&answer.text);
    }
    // One a line and nothing else: the output is what `audit verify --key FILE` reads.
    for row in &answer.reply.keys {
        console.say(&format!("{}\n", visible(&row.key)))?;
    }
    if command.is_some() {
        console.note("The last of them signs from now on. Hand the list to whoever verifies elsewhere.");
    }
    Ok(())
}
