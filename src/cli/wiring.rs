//! The commands that are other parts of this program: where the command line hands over to them. Thin on purpose.

use crate::bridge::clients::{self, Client};
use crate::bridge::{self, catalogue::Catalogue};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::{personal, place};
use crate::client::{self, Endpoint};
use crate::config::load::{self, Loaded};
use crate::config::paths::Environment;
use crate::daemon::run::{Daemon, system_clock};
use crate::daemon::{database, listen, log};
use crate::store::connect;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The session host: called before the command line is read.
pub fn session_host() -> ExitCode {
    crate::host::main()
}

/// The daemon, until it is told to stop; its exit code. `socket` is what `--socket` says.
pub fn daemon(console: &mut Console<'_>, socket: Option<&Path>) -> Result<u8, Failure> {
    let mut environment = console.environment();
    if let Some(socket) = socket {
        environment.socket = Some(console.cwd.join(socket));
    }
    // First: nothing else is to get a descriptor's number, and it changes the environment while there are no threads.
    let inherited = listen::inherited(environment.var("LISTEN_FDNAMES")).map_err(local)?;
    let loaded = load(&environment)?;
    for warning in &loaded.warnings {
        console.note(&format!("warning: {warning}"));
    }
    log::init(&loaded.config.log, environment.var("TELECLAUDE_LOG")).map_err(local)?;
    let exe = std::env::current_exe().map_err(local)?;
    let daemon = Daemon { loaded, environment, exe, clock: system_clock(), inherited };
    let stop = CancellationToken::new();
    let runtime = runtime(true)?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(local)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(local)?;
        let asked = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked.cancel();
        });
        crate::daemon::run::run(daemon, stop).await.map_err(local)
    });
    // What still waits for a disk or a directory is not waited for.
    runtime.shutdown_background();
    served.map(|()| 0)
}

/// The bridge, until its input ends; its exit code.
pub fn mcp_bridge(console: &mut Console<'_>, endpoint: Endpoint) -> Result<u8, Failure> {
    let state = place::state_dir(console);
    let hint = format!("start it with `{}`", client::start_command(endpoint.system));
    let mut options = bridge::Options::new(endpoint.path.clone(), state.clone(), built_in()?, hint);
    options.token.clone_from(&endpoint.token);
    if endpoint.token.is_none() {
        let layer = place::personal_layer(console);
        options.on_connect = Some(Box::new(move || {
            let (endpoint, layer, state) = (endpoint.clone(), layer.clone(), state.clone());
            tokio::spawn(async move {
                let client = crate::client::Client::new(endpoint);
                // Nothing may be printed here, and the command line says the same with words.
                let _ = personal::hand_over(&client, &layer, Some(&state)).await;
            });
        }));
    }
    let runtime = runtime(false)?;
    let relayed = runtime.block_on(async {
        let ended = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).map_err(local)?;
        let asked = ended.clone();
        tokio::spawn(async move {
            terminate.recv().await;
            asked.cancel();
        });
        bridge::run(options, tokio::io::stdin(), tokio::io::stdout(), ended).await.map_err(local)
    });
    // A read of stdin cannot be called off: it must not be waited for.
    runtime.shutdown_background();
    relayed.map(|()| 0)
}

/// What the bridge offers before it ever saw a daemon.
fn built_in() -> Result<Catalogue, Failure> {
    let [info, capabilities, instructions, tools] = crate::daemon::mcp::built_in();
    Catalogue::new(&info, &capabilities, &instructions, &tools).map_err(local)
}

/// What to paste into a client's config.
pub fn mcp_print_config(
    console: &mut Console<'_>,
    endpoint: &Endpoint,
    client: Client,
) -> Result<String, Failure> {
    let exe = own_path(console)?;
    if let (Client::Vscode, Some(entry)) = (client, clients::without_bridge(&endpoint.path)) {
        console.note(&format!("or, without a program in between: {entry}"));
    }
    clients::print_config(client, &exe, &endpoint.path).map_err(local)
}

/// Where clients are to find this program.
fn own_path(console: &Console<'_>) -> Result<PathBuf, Failure> {
    let exe = std::env::current_exe().map_err(local)?;
    Ok(clients::lasting_path(&exe, console.var("PATH").unwrap_or_default()))
}

/// Writes a client's config (or only says what it would write); the answer is what was done.
pub fn mcp_install(
    console: &Console<'_>,
    endpoint: &Endpoint,
    client: Client,
    dry_run: bool,
    remove: bool,
) -> Result<String, Failure> {
    let exe = own_path(console)?;
    let home = console.environment().home;
    let ask = clients::Install { client, home: &home, exe: &exe, socket: &endpoint.path, dry_run, remove };
    let change = clients::install(ask).map_err(local)?;
    let path = change.path.display();
    Ok(match (change.text, dry_run) {
        (None, _) => format!("{path}: nothing to do\n"),
        (Some(text), true) => format!("{path} would become:\n{text}"),
        (Some(_), false) => match change.backup {
            Some(backup) => format!("{path}: written; what it was is in {}\n", backup.display()),
            None => format!("{path}: written\n"),
        },
    })
}

/// Every problem of these config files, or of this system's if none are given. Warnings are said, and are no failure.
pub fn config_check(console: &mut Console<'_>, files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let files: Vec<PathBuf> = files.iter().map(|file| console.cwd.join(file)).collect();
    match load::check(&console.environment(), &files) {
        Ok(warnings) => {
            for warning in warnings {
                console.note(&format!("warning: {warning}"));
            }
            Ok(Vec::new())
        }
        Err(problems) => Ok(problems.0.iter().map(ToString::to_string).collect()),
    }
}

/// The JSON schema of the config.
pub fn config_schema() -> Result<String, Failure> {
    serde_json::to_string_pretty(&crate::config::json_schema()).map(|text| text + "\n").map_err(local)
}

/// Migrates the database; the answer is what was done.
pub fn db_migrate(console: &Console<'_>) -> Result<String, Failure> {
    let options = database::options(&load(&console.environment())?).map_err(local)?;
    let now = system_clock()();
    let done = runtime(false)?
        .block_on(connect::migrate_now(options.engine, &options.computer, now))
        .map_err(local)?;
    Ok(match done.len() {
        0 => "the database is up to date\n".to_owned(),
        _ => done.iter().map(|step| format!("done: {step}\n")).collect(),
    })
}

/// Which migrations are done.
pub fn db_status(console: &Console<'_>) -> Result<String, Failure> {
    let options = database::options(&load(&console.environment())?).map_err(local)?;
    let status = runtime(false)?.block_on(async {
        let conn = connect::open_read_only(options.engine).await?;
        let status = crate::store::migrate::status(&conn).await;
        conn.close().await;
        status
    });
    let status = status.map_err(local)?;
    let lines =
        |word: &str, steps: &[String]| steps.iter().map(|s| format!("{word}{s}\n")).collect::<String>();
    Ok(lines("done     ", &status.applied)
        + &lines("pending  ", &status.pending)
        + &lines("unknown  ", &status.unknown))
}

fn load(environment: &Environment) -> Result<Loaded, Failure> {
    load::load(environment)
        .map_err(|problems| Failure::Config(problems.0.iter().map(ToString::to_string).collect()))
}

fn runtime(threads: bool) -> Result<runtime::Runtime, Failure> {
    let mut builder =
        if threads { runtime::Builder::new_multi_thread() } else { runtime::Builder::new_current_thread() };
    builder.enable_all().build().map_err(local)
}

fn local(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Local(format!("{:#}", error.into()))
}
