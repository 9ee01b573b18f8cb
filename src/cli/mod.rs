//! The commands people type: which there are, and how one runs from its words to its exit code. One file a noun;
//! `wiring` hands over to the other parts of the program.

pub mod activity;
pub mod answer;
pub mod api;
pub mod attach;
pub mod audit;
pub mod ban;
pub mod bulk;
pub mod catalogue;
pub mod config;
pub mod console;
pub mod credentials;
pub mod db;
pub mod docs;
pub mod doctor;
pub mod end;
pub mod end_all;
pub mod env_file;
pub mod export;
pub mod failure;
pub mod follow;
pub mod health;
pub mod hook;
pub mod inbox;
pub mod jobs;
pub mod key;
pub mod label;
pub mod man;
pub mod mcp;
pub mod people;
pub mod people_change;
pub mod personal;
pub mod place;
pub mod progress;
pub mod purge;
pub mod reason;
pub mod render;
pub mod resume;
pub mod search;
pub mod send;
pub mod sessions;
pub mod tasks;
pub mod transcript;
pub mod usage;
pub mod when;
pub mod whoami;
pub mod wiring;

use crate::cli::console::Console;
use crate::cli::failure::{Failure, USAGE};
use crate::client::Client;
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs AI coding agents as their owners on this machine, and says who read what.
#[derive(Debug, Parser)]
#[command(name = "teleclaude", version, after_help = EXIT_CODES)]
struct Cli {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print the reply as the daemon sends it
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 denied, 4 not found, 5 daemon unreachable";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Daemon,
    /// Connect an MCP client (an editor starts this)
    Mcp(mcp::Args),
    /// Say who the daemon takes you for
    Whoami(whoami::Args),
    /// List, show, start, steer, end and resume sessions
    Sessions(sessions::Args),
    /// Show what a session showed
    Transcript(transcript::Args),
    /// Search what was said and done in sessions
    Search(search::Args),
    /// List the folders you may work in
    Projects,
    /// List the agents you may run
    Agents,
    /// List the machines on this database
    Computers,
    /// Read the shared documents
    #[command(subcommand)]
    Docs(docs::Command),
    /// List, find and show people, and say why somebody is who they are
    #[command(subcommand)]
    People(people::Command),
    /// Read your messages, among them who read sessions of yours
    Inbox(inbox::Args),
    /// Your tasks, and for admins everybody's: list, give and move them
    Tasks(tasks::Args),
    /// Write to a person, into their inbox
    Send(send::Args),
    /// Tell who gave you a task what was done
    Report(send::Report),
    /// Say what was used, by person, project, agent, model or day
    Usage(usage::Args),
    /// List who did what, when
    Activity(activity::Args),
    /// Read and check the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check and show the config
    #[command(subcommand)]
    Config(config::Command),
    /// Keep your own API keys, encrypted, for your agents
    #[command(subcommand)]
    Credentials(credentials::Command),
    /// Look after the key that credentials are encrypted with
    #[command(subcommand)]
    Key(key::Command),
    /// Look after the database
    #[command(subcommand)]
    Db(db::Command),
    /// Find what is wrong with this installation, and say how to mend it
    Doctor(doctor::Args),
    /// Say how the daemon is
    Health,
    /// List what can be asked over REST, or print the OpenAPI document
    Api(api::Args),
    /// Have the daemon read its config again
    Reload,
    /// List what the daemon does now and then, and have it done now
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Tell the daemon what an agent does (an agent's hook starts this)
    Hook(hook::Args),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder; without one, print the first
    #[command(hide = true)]
    Man {
        /// Where to
        folder: Option<PathBuf>,
    },
}

/// Runs one command line to its end and gives the exit code.
pub fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let program = args.next();
    let first = args.next();
    // A session host lives as long as its session and is one of many: it gets nothing that it does not need.
    if first.as_deref().is_some_and(|word| word == "session-host") {
        return wiring::session_host();
    }
    // Whatever is wrong with its words: an agent takes an exit code for an objection.
    if first.as_deref().is_some_and(|word| word == "hook") {
        let words: Vec<OsString> = args.collect();
        if !words.iter().any(|word| word == "--help" || word == "-h") {
            return hook::main(words.into_iter());
        }
        let args = program.into_iter().chain(first).chain(words);
        return ExitCode::from(console::with_own(|console| run(args, console)));
    }
    let args = program.into_iter().chain(first).chain(args);
    ExitCode::from(console::with_own(|console| run(args, console)))
}

/// Runs one command line with this console and gives the exit code.
pub fn run(args: impl Iterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => return no_command(console, &e),
    };
    let done = perform(&cli, console).and_then(|code| {
        console.out.flush().map_err(Failure::Output)?;
        Ok(code)
    });
    done.unwrap_or_else(|failure| {
        console.complain(&failure);
        failure.exit_code()
    })
}

/// Help and version go to the output, what is wrong with the words to the other stream.
fn no_command(console: &mut Console<'_>, e: &clap::Error) -> u8 {
    let text = e.render();
    if e.use_stderr() {
        let text = if console.colour_errors { text.ansi().to_string() } else { text.to_string() };
        console.note(text.trim_end());
        return USAGE;
    }
    let text = if console.look.colour { text.ansi().to_string() } else { text.to_string() };
    match console.say(&text).and_then(|()| console.out.flush().map_err(Failure::Output)) {
        Ok(()) => 0,
        Err(failure) => failure.exit_code(),
    }
}

fn perform(cli: &Cli, console: &mut Console<'_>) -> Result<u8, Failure> {
    let socket = cli.socket.as_deref();
    match &cli.command {
        Command::Daemon => return wiring::daemon(console, socket),
        Command::Mcp(args) => {
            let endpoint = place::endpoint(console, socket);
            return mcp::run(console, endpoint, args);
        }
        Command::Db(command) => db::run(console, *command)?,
        Command::Audit(command) if command.asks_nobody() => audit::run_alone(console, command, cli.json)?,
        Command::Doctor(args) => return doctor::run(console, socket, args, cli.json),
        Command::Completions { shell } => completions(console, *shell)?,
        Command::Man { folder: Some(folder) } => man::write_all(Cli::command(), &console.cwd.join(folder))?,
        Command::Man { folder: None } => {
            console.out.write_all(&man::main_page(Cli::command())?).map_err(Failure::Output)?;
        }
        Command::Config(command) => match command.run_alone(console, cli.json) {
            Some(done) => done?,
            None => ask(cli, console, socket)?,
        },
        Command::Key(command) => match command.run_alone(console) {
            Some(done) => done?,
            None => ask(cli, console, socket)?,
        },
        _ => ask(cli, console, socket)?,
    }
    Ok(0)
}

fn completions(console: &mut Console<'_>, shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "teleclaude", &mut script);
    console.out.write_all(&script).map_err(Failure::Output)
}

/// What needs the daemon.
fn ask(cli: &Cli, console: &mut Console<'_>, socket: Option<&Path>) -> Result<(), Failure> {
    let client = Client::new(place::endpoint(console, socket));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Local(format!("cannot begin: {e}")))?;
    runtime.block_on(async {
        personal::hand_over_own(console, &client).await;
        let (client, json) = (&client, cli.json);
        match &cli.command {
            Command::Whoami(args) => whoami::run(console, client, args, json).await,
            Command::Sessions(args) => sessions::run(console, client, args, json).await,
            Command::Transcript(args) => transcript::run(console, client, args, json).await,
            Command::Search(args) => search::run(console, client, args, json).await,
            Command::Projects => catalogue::run_projects(console, client, json).await,
            Command::Agents => catalogue::run_agents(console, client, json).await,
            Command::Computers => catalogue::run_computers(console, client, json).await,
            Command::Docs(command) => docs::run(console, client, command, json).await,
            Command::People(command) => people::run(console, client, command, json).await,
            Command::Inbox(args) => inbox::run(console, client, args, json).await,
            Command::Tasks(args) => tasks::run(console, client, args, json).await,
            Command::Send(args) => send::run(console, client, args, json).await,
            Command::Report(args) => send::run_report(console, client, args, json).await,
            Command::Usage(args) => usage::run(console, client, args, json).await,
            Command::Activity(args) => activity::run(console, client, args, json).await,
            Command::Audit(command) => audit::run(console, client, command, json).await,
            Command::Config(config::Command::Show { origin }) => {
                config::run_show(console, client, *origin, json).await
            }
            Command::Credentials(command) => credentials::run(console, client, command, json).await,
            Command::Key(command) => key::run(console, client, command, json).await,
            Command::Health => health::run(console, client, json).await,
            Command::Api(args) => api::run(console, client, args, json).await,
            Command::Reload => health::run_reload(console, client, json).await,
            Command::Jobs(command) => jobs::run(console, client, command, json).await,
            Command::Daemon
            | Command::Hook(_)
            | Command::Mcp(_)
            | Command::Config(_)
            | Command::Db(_)
            | Command::Doctor(_)
            | Command::Completions { .. }
            | Command::Man { .. } => Err(Failure::Local("this command asks no daemon".to_owned())),
        }
    })
}
