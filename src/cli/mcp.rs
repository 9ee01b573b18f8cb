//! `teleclaude mcp`: what an editor starts, and how it is told to.

use crate::bridge::clients::Client;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::visible_text;
use crate::cli::wiring;
use crate::client::Endpoint;

/// Arguments of `mcp`; without any it is the bridge.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print what to paste into this client's config, and end
    #[arg(long, value_name = "CLIENT")]
    print_config: Option<Client>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write teleclaude into a client's config; the rest of the file stays as it is
    Install {
        /// Which client
        #[arg(long, value_name = "CLIENT")]
        client: Client,
        /// Only say what would be written
        #[arg(long)]
        dry_run: bool,
        /// Take it out again
        #[arg(long)]
        remove: bool,
    },
}

/// Runs the command: the exit code, since the bridge has its own.
pub fn run(console: &mut Console<'_>, endpoint: Endpoint, args: &Args) -> Result<u8, Failure> {
    let said = match (&args.command, args.print_config) {
        (Some(_), Some(_)) => return Err(Failure::usage("either `mcp --print-config` or `mcp install`")),
        (Some(Command::Install { client, dry_run, remove }), None) => {
            wiring::mcp_install(console, &endpoint, *client, *dry_run, *remove)?
        }
        (None, Some(client)) => wiring::mcp_print_config(console, &endpoint, client)?,
        (None, None) => return wiring::mcp_bridge(console, endpoint),
    };
    console.say(&format!("{}\n", visible_text(said.trim_end())))?;
    Ok(0)
}
