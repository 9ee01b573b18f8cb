//! Worktrees of sessions, added and removed as their owners: by the runner, or by git as the daemon's own user where
//! agents run as that. What git says no to stays, and the session says where.

use crate::agent::{self, Owner};
use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::domain::session::{Session, Worktree};
use crate::runner::client::Connection;
use crate::runner::judge;
use crate::runner::message::{Place, Reply, Request};
use crate::runner::worktree::{self, GIT};
use crate::store::error::StoreError;
use crate::store::{activity, session};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A runner that does not answer this long after git must have ended is given up.
const AND_SOME: Duration = Duration::from_secs(10);

/// The session with its worktree standing, if it is to have one; or why it does not stand. Adds it if it does not
/// stand already.
///
/// # Errors
/// The database.
pub async fn add(app: &App, session: &Session) -> Result<Result<Session, String>, StoreError> {
    if session.worktree.is_none() {
        return Ok(Ok(session.clone()));
    }
    let (path, branch) = match added(app, session).await {
        Ok(standing) => standing,
        Err(why) => return Ok(Err(format!("worktree: {why}"))),
    };
    let standing = Worktree { path: Some(path.clone()), branch: Some(branch.clone()) };
    let id = session.id;
    write(app, move |tx| {
        let (path, branch) = (path.clone(), branch.clone());
        Box::pin(async move { session::worktree(tx.conn(), id, Some(&path), Some(&branch)).await.map(drop) })
    })
    .await?;
    Ok(Ok(Session { worktree: Some(standing), ..session.clone() }))
}

/// Its path and branch.
async fn added(app: &App, session: &Session) -> Result<(String, String), String> {
    match app.settings().runner() {
        Some(socket) => match ask(socket, Request::AddWorktree(place(session)?)).await? {
            Reply::Worktree { path, branch } => Ok((path, branch)),
            other => Err(refusal(other)),
        },
        None => {
            let wanted = own(app, session).await?;
            blocking(move || worktree::add_own(&wanted).map(|path| (path, wanted.branch))).await
        }
    }
}

/// Removes the worktree of a session that has ended, if it stands and nothing in it is unsaved; its branch stays. Call it
/// before a session is purged. What became of it is a row of its activity, with the key `event`.
///
/// # Errors
/// The database.
pub async fn remove(app: &App, session: &Session, event: Uuid) -> Result<(), StoreError> {
    let removed = removed(app, session).await;
    let (id, at) = (session.id, app.now());
    let (kind, detail) = match &removed {
        Ok(()) => ("worktree_removed", None),
        Err(why) => ("worktree_kept", Some(serde_json::Value::from(why.as_str()).to_string())),
    };
    let row = activity::Event { id: event, session: id, at, kind: kind.to_owned(), detail, actor: None };
    let gone = removed.is_ok();
    write(app, move |tx| {
        let row = row.clone();
        Box::pin(async move {
            if gone {
                session::worktree(tx.conn(), id, None, None).await?;
            }
            activity::insert(tx.conn(), &row).await
        })
    })
    .await
}

async fn removed(app: &App, session: &Session) -> Result<(), String> {
    match app.settings().runner() {
        Some(socket) => match ask(socket, Request::RemoveWorktree(place(session)?)).await? {
            Reply::Removed => Ok(()),
            other => Err(refusal(other)),
        },
        None => {
            let wanted = own(app, session).await?;
            blocking(move || worktree::remove_own(&wanted)).await
        }
    }
}

fn place(session: &Session) -> Result<Place, String> {
    let project = session.project.clone().ok_or("a session of its owner's lies in a configured project")?;
    Ok(Place { uid: session.owner_uid, session: session.id, project })
}

/// That of the daemon's own user.
async fn own(app: &App, session: &Session) -> Result<judge::Worktree, String> {
    let settings = app.settings();
    let owner = own_account(app).await?;
    let own_path = settings.single_user().then(|| app.variable("PATH")).flatten();
    let search = agent::path(&settings.loaded.config.agents.path, &owner, own_path);
    let folder = PathBuf::from(&session.project_path);
    // A folder that is no configured project is called what it is called.
    let named = || folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = session.project.clone().or_else(named).unwrap_or_default();
    judge::Worktree::of(&name, folder, session.id, search, owner)
}

/// The daemon's own user, whose home is the one that our own files are in.
///
/// # Errors
/// The system does not know them.
pub async fn own_account(app: &App) -> Result<Owner, String> {
    let uid = app.own_uid();
    let account =
        app.names().account(uid).await.ok_or_else(|| format!("the system has no account for uid {uid}"))?;
    let home = app.home().to_string_lossy().into_owned();
    Ok(Owner { home, user: account.name, shell: account.shell })
}

async fn ask(socket: &Path, request: Request) -> Result<Reply, String> {
    let socket = socket.to_owned();
    blocking(move || {
        let mut call = Connection::ask(&socket, &request, None).map_err(|e| e.to_string())?;
        call.wait(Instant::now() + GIT + AND_SOME).map(|(reply, _)| reply).map_err(|e| e.to_string())
    })
    .await
}

fn refusal(reply: Reply) -> String {
    match reply {
        Reply::Refused(why) => format!("the runner refused: {why}"),
        Reply::Failed(why) => why,
        _ => "the runner answered to something else".to_owned(),
    }
}

/// Off the async threads. Not more at a time than there are effects.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|_| "the daemon failed".to_owned())?
}
