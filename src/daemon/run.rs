//! A daemon's life from its socket to its last row: listen, open the database, adopt what runs, serve, stop. What a
//! test wants to own comes in as arguments.

use crate::config::load::Loaded;
use crate::config::paths::Environment;
use crate::daemon::app::{App, Parts};
use crate::daemon::front::Front;
use crate::daemon::hosts::Hosts;
use crate::daemon::listen::Socket;
use crate::daemon::{
    attach, checkpoints, children, database, docs, effects, jobs, keys, life, listen, manager, people,
    transcripts,
};
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::timestamp::Timestamp;
use crate::platform::process;
use crate::store::connect::{Clock, Store};
use crate::store::session;
use anyhow::Context as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Events of hosts that wait to be written; a full queue makes the hosts' readers wait.
const HOST_EVENTS: usize = 1_024;

/// What a daemon is started with.
pub struct Daemon {
    /// The config.
    pub loaded: Loaded,
    /// Where a reload reads it again.
    pub environment: Environment,
    /// The program to start session hosts with.
    pub exe: PathBuf,
    /// The time.
    pub clock: Clock,
    /// The socket that the service manager handed over; without one it is bound where the config says.
    pub inherited: Option<Socket>,
}

/// The clock of this machine.
pub fn system_clock() -> Clock {
    Arc::new(|| Timestamp::from(SystemTime::now()))
}

/// Serves until `stop` fires; SIGHUP reads the config again.
///
/// # Errors
/// What keeps a daemon from starting: the socket, the database, a folder.
pub async fn run(daemon: Daemon, stop: CancellationToken) -> anyhow::Result<()> {
    // First of all: until somebody listens for it, a SIGHUP ends the process.
    let hangups = signal(SignalKind::hangup())?;
    let paths = daemon.loaded.paths.clone();
    let config = Arc::clone(&daemon.loaded.config);
    for (folder, what) in [(&paths.state_dir, "state"), (&paths.run_dir, "run")] {
        private_folder(folder).with_context(|| format!("the {what} folder {}", folder.display()))?;
    }
    private_folder(&paths.state_dir.join("recordings")).context("the folder of recordings")?;
    // The socket first: a second daemon learns at once that it is one, and clients that come early wait.
    let socket = match daemon.inherited {
        Some(socket) => {
            warn_if_elsewhere(&socket, &config.socket);
            socket
        }
        None => listen::bind(&config.socket, config.socket_mode.0)?,
    };
    manager::starting("opening the database");
    let options = database::options(&daemon.loaded)?;
    let store = Store::open(options, Arc::clone(&daemon.clock)).await?;
    let (events, happened) = tokio::sync::mpsc::channel(HOST_EVENTS);
    let hosts = Hosts::new(paths.run_dir.clone(), paths.state_dir.clone(), daemon.exe, events);
    let app = App::new(Parts {
        store: store.clone(),
        loaded: daemon.loaded,
        environment: daemon.environment,
        clock: daemon.clock,
        hosts,
        own_uid: process::own_uid(),
    })
    .await?;
    attach::end_of_killed(&store, app.now()).await.context("the audit log")?;
    note(&app, "daemon.start").await.context("the audit log")?;
    // Before it is found out which of them have ended: what those said last is still to be copied.
    let open = session::open_on(store.reader(), store.computer()).await?;
    // Events of adopted hosts are taken from here on, so adopting cannot fill the queue.
    let after = CancellationToken::new();
    let life = tokio::spawn(life::run(Arc::clone(&app), happened, after.clone()));
    let adopting = tokio::spawn({
        let app = Arc::clone(&app);
        let after = after.clone();
        async move {
            // Nothing is started before it is known what runs.
            if life::adopt_at_last(&app, &after).await {
                effects::run(app, after).await;
            }
        }
    });
    let transcripts = tokio::spawn(transcripts::run(Arc::clone(&app), open, after.clone()));
    let children = tokio::spawn(children::run(Arc::clone(&app), after.clone()));
    let jobs = tokio::spawn(jobs::run(Arc::clone(&app), stop.clone()));
    let keys = tokio::spawn(keys::run(Arc::clone(&app), stop.clone()));
    let documents = tokio::spawn(docs::run(Arc::clone(&app), stop.clone()));
    let people = tokio::spawn(people::run(Arc::clone(&app), stop.clone()));
    let reloads = tokio::spawn(reload_on_hangup(Arc::clone(&app), hangups, stop.clone()));
    let front = Arc::new(Front::new(app.clone(), app.names().clone(), app.connections().clone()));
    manager::ready(&app);
    let told = tokio::spawn(manager::keep_told(Arc::clone(&app), stop.clone()));
    tracing::info!(socket = %config.socket.display(), database = store.engine(), "serving");
    let served = listen::serve(socket, front, stop.clone()).await;
    stop.cancel();
    after.cancel();
    for task in [life, adopting, transcripts, children, jobs, keys, documents, people, reloads, told] {
        // Each ends by its token; one that does not is left behind.
        let _ = tokio::time::timeout(Duration::from_secs(2), task).await;
    }
    jobs::denials::finish(&app).await;
    if let Err(error) = note(&app, "daemon.stop").await {
        tracing::warn!(error = format!("{error:#}"), "the stop could not be written down");
    }
    checkpoints::make(&app).await;
    store.close().await;
    served.context("the socket")
}

/// Clients look where the config says: a socket unit that says something else is a mistake of the installation.
fn warn_if_elsewhere(socket: &Socket, configured: &Path) {
    let path = socket.path();
    if !path.as_deref().is_some_and(|path| listen::is_same_place(path, configured)) {
        tracing::warn!(
            handed_over = ?path,
            configured = %configured.display(),
            "the socket that the service manager handed over is not where the config says: make ListenStream= and `socket` the same",
        );
    }
}

/// Makes a folder for the daemon alone, or sees to it that it is.
fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o027 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o750))?;
    }
    Ok(())
}

async fn note(app: &App, action: &str) -> anyhow::Result<()> {
    let draft = AuditDraft::by_daemon(app.own_uid(), action, AuditOutcome::Success, app.now())
        .with_detail(&serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }));
    app.store().append(Instant::now() + Duration::from_secs(10), draft).await?;
    Ok(())
}

async fn reload_on_hangup(app: Arc<App>, mut hangups: Signal, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            hung_up = hangups.recv() => if hung_up.is_none() { return },
        }
        manager::reloading();
        match app.reload(None).await {
            Ok(reply) => {
                tracing::info!(changed = ?reply.changed, needs_restart = ?reply.needs_restart, "config read again");
                manager::ready(&app);
            }
            Err(fault) => {
                tracing::warn!(%fault, "the old config stays in force");
                manager::refused(&app, &fault.to_string());
            }
        }
    }
}
