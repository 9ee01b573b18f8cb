//! `teleclaude db`: the database's schema, for operators.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::visible_text;
use crate::cli::wiring;

/// Commands of `db`.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Command {
    /// Bring the schema up to this program's version
    Migrate,
    /// Say which steps are done and which are not
    Status,
}

/// Runs the command.
pub fn run(console: &mut Console<'_>, command: Command) -> Result<(), Failure> {
    let said = match command {
        Command::Migrate => wiring::db_migrate(console),
        Command::Status => wiring::db_status(console),
    }?;
    console.say(&format!("{}\n", visible_text(said.trim_end())))
}
