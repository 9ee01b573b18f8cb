//! The commands that are other parts of this program: where the command line hands over to them. Thin on purpose.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::mcp::McpClient;
use crate::client::Endpoint;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The session host: called before the command line is read.
pub fn session_host() -> ExitCode {
    // lead: crate::host::main()
    ExitCode::FAILURE
}

/// The daemon, until it is told to stop; its exit code. `socket` is what `--socket` says.
pub fn daemon(_console: &mut Console<'_>, _socket: Option<&Path>) -> Result<u8, Failure> {
    // lead: crate::config::load::load(..), then a multi-thread runtime and crate::daemon::run(..).
    missing("daemon")
}

/// The bridge, until its input ends; its exit code.
pub fn mcp_bridge(_console: &mut Console<'_>, _endpoint: Endpoint) -> Result<u8, Failure> {
    // lead: crate::bridge::…; it must use standard input and output itself, which the console has not locked.
    missing("mcp")
}

/// What to paste into a client's config.
pub fn mcp_print_config(
    _console: &Console<'_>,
    _endpoint: &Endpoint,
    _client: McpClient,
) -> Result<String, Failure> {
    // lead: crate::bridge::…
    missing("mcp --print-config")
}

/// Writes a client's config (or only says what it would write); the answer is what was done.
pub fn mcp_install(
    _console: &Console<'_>,
    _endpoint: &Endpoint,
    _client: McpClient,
    _dry_run: bool,
    _remove: bool,
) -> Result<String, Failure> {
    // lead: crate::bridge::…
    missing("mcp install")
}

/// Every problem of these config files, or of this system's if none are given.
pub fn config_check(_console: &Console<'_>, _files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    // lead: crate::config::load::load(&Environment) -> Result<Loaded, Problems>
    missing("config check")
}

/// The JSON schema of the config.
pub fn config_schema() -> Result<String, Failure> {
    // lead: crate::config::…
    missing("config schema")
}

/// Migrates the database; the answer is what was done.
pub fn db_migrate(_console: &Console<'_>) -> Result<String, Failure> {
    // lead: crate::config::load, crate::store::migrate
    missing("db migrate")
}

/// Which migrations are done.
pub fn db_status(_console: &Console<'_>) -> Result<String, Failure> {
    // lead: crate::config::load, crate::store
    missing("db status")
}

// lead: goes away with its last caller.
fn missing<T>(command: &str) -> Result<T, Failure> {
    Err(Failure::Local(format!("`{command}` is not part of this build")))
}
