//! The shared documents in force: the folder read at the start and again every moment, and what is answered from it. Kept
//! is what documents say of themselves; texts are read when they are asked for, and looked at again then: the files are
//! the truth.
//!
//! The folder is looked through again instead of being watched by the system: that sees every kind of change, on every
//! kind of file system, holds nothing open and has no queue that could overflow. Ten thousand unchanged files take
//! some 30 ms of a processor, and a pause is a hundred times as long as a look, but never so long that a change is not
//! seen within seconds.

mod tree;

use crate::config::front_matter;
use crate::daemon::app::App;
use crate::daemon::backend::Event;
use crate::domain::action::Action;
use crate::domain::caller::Role;
use crate::domain::document::{DocId, DocProblem, DocsQuery, FILE_BYTES_MAX};
use crate::domain::library::{Library, Shelved};
use crate::domain::policy::Permit;
use crate::platform::beneath::Folder;
use crate::usecase::docs;
use crate::usecase::turns::LOOKING;
use crate::wire::docs::{DocProblemsReply, DocText};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tree::{Problems, Tree};

/// Between two looks at the folder, at least.
const EVERY: Duration = Duration::from_secs(1);
/// How many times as long as a look the pause after it is: one hundredth of a processor …
const REST: u32 = 100;
/// … unless that is more than this: on a slow disk or a busy machine.
const EVERY_AT_LEAST: Duration = Duration::from_secs(5);
/// How long a request waits for the first look.
const PATIENCE: Duration = Duration::from_secs(5);
/// Problems that `health` names.
const HEALTH_PROBLEMS: usize = 5;

/// What was found.
#[derive(Debug, Default)]
struct Shelf {
    /// Whether the folder was looked at at all.
    read: bool,
    root: PathBuf,
    library: Library,
    problems: Problems,
}

/// The shared documents.
#[derive(Debug)]
pub struct Docs {
    shelf: watch::Sender<Arc<Shelf>>,
}

impl Default for Docs {
    fn default() -> Self {
        Self { shelf: watch::Sender::new(Arc::default()) }
    }
}

impl Docs {
    /// What is wrong with them, in lines for `health`.
    pub fn wrong(&self) -> Vec<String> {
        let shelf = Arc::clone(&self.shelf.borrow());
        let line = |problem: &DocProblem| format!("docs: {problem}");
        let mut lines: Vec<String> = shelf.problems.first.iter().take(HEALTH_PROBLEMS).map(line).collect();
        let more = (shelf.problems.first.len() + shelf.problems.more).saturating_sub(lines.len());
        if more > 0 {
            lines.push(format!("docs: {more} more problems; `teleclaude docs index --problems` shows them"));
        }
        lines
    }

    /// What was found, once the folder was looked at.
    async fn shelf(&self) -> Result<Arc<Shelf>, Fault> {
        let mut changes = self.shelf.subscribe();
        let read = tokio::time::timeout(PATIENCE, changes.wait_for(|shelf| shelf.read)).await;
        match read {
            Ok(Ok(shelf)) => Ok(Arc::clone(&shelf)),
            Ok(Err(_)) | Err(_) => Err(Fault {
                retry_after_ms: Some(2_000),
                ..Fault::new(FaultCode::Unavailable, "the documents are still being read").hint("try again")
            }),
        }
    }
}

/// Looks at the folder again and again, and tells whoever listens what changed.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tree = Tree::default();
    loop {
        let root = app.settings().loaded.config.docs.path.clone();
        let began = Instant::now();
        let reading = tokio::task::spawn_blocking(move || {
            let changed = tree.read(&root);
            let shelf = changed.then(|| shelve(&tree, root));
            (tree, shelf)
        });
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = reading => read,
        };
        match read {
            Ok((after, shelf)) => {
                tree = after;
                if let Some(shelf) = shelf {
                    publish(&app, shelf);
                }
            }
            Err(_) => {
                tracing::error!("reading the documents failed; those known before stay");
                tree = Tree::default();
            }
        }
        let pause = began.elapsed().saturating_mul(REST).clamp(EVERY, EVERY_AT_LEAST);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn shelve(tree: &Tree, root: PathBuf) -> Shelf {
    let (found, mut problems) = tree.found();
    let (library, together) = Library::new(found);
    problems.extend(together);
    problems.first.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Shelf { read: true, root, library, problems }
}

fn publish(app: &App, shelf: Shelf) {
    let shelf = Arc::new(shelf);
    let before = app.docs().shelf.send_replace(Arc::clone(&shelf));
    if before.problems != shelf.problems
        && let Some(first) = shelf.problems.first.first()
    {
        let problems = shelf.problems.first.len() + shelf.problems.more;
        tracing::warn!(problems, %first, "some documents are left out, or do not fit together");
    }
    let changes = before.library.changes(&shelf.library);
    if before.read && !changes.is_empty() {
        app.tell(Event::Documents(changes.into()));
    }
}

/// Answers what was permitted.
///
/// # Errors
/// A document that there is not, or not for this caller; a file that cannot be read now.
pub async fn answer(app: &App, permit: Permit) -> Result<Reply, Fault> {
    let shelf = app.docs().shelf().await?;
    let (caller, action) = permit.into_parts();
    let role = caller.role;
    let query = match action {
        Action::ReadDocs(query) => *query,
        Action::DocProblems => return Ok(Reply::DocProblems(problems(&shelf))),
        other => {
            let message = format!("{} came by the wrong way", other.verb().name());
            return Err(Fault::new(FaultCode::Internal, message));
        }
    };
    match query {
        DocsQuery::Index { types, after, limit } => {
            Ok(Reply::Context(docs::index(&shelf.library, role, &types, after.as_ref(), limit)))
        }
        DocsQuery::Texts { ids, requirements, from } => {
            let chosen = shelf.library.choose(&ids, role, requirements).map_err(docs::unknown)?;
            let look = move || {
                let folder = Folder::open(&shelf.root).map_err(|error| unreadable(&shelf.root, &error))?;
                docs::texts(&chosen, &ids, from.as_ref(), |one| text(&folder, one, role))
            };
            LOOKING.run(caller.uid, look).await?.map(Reply::Context)
        }
        DocsQuery::One(id) => {
            let one = Arc::clone(shelf.library.get(&id, role).ok_or_else(|| gone(&id))?);
            let look = move || {
                let folder = Folder::open(&shelf.root).map_err(|error| unreadable(&shelf.root, &error))?;
                let text = text(&folder, &one, role)?.ok_or_else(|| gone(&id))?;
                Ok(DocText::of(&one.document, text, 0, true))
            };
            LOOKING.run(caller.uid, look).await?.map(Reply::Document)
        }
    }
}

fn gone(id: &DocId) -> Fault {
    Fault { field: Some("id".to_owned()), ..docs::unknown(id) }
}

/// The text of a document as its file is now; `None` if that is no longer this document, or no longer for this role.
fn text(folder: &Folder, one: &Shelved, role: Role) -> Result<Option<String>, Fault> {
    let bytes = match folder.read_at(&one.path, FILE_BYTES_MAX) {
        Ok((bytes, _)) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(Path::new(&one.path), &error)),
    };
    let Ok(read) = front_matter::parse(&one.path, &bytes) else { return Ok(None) };
    let now = read.shelved.document;
    Ok((now.id == one.document.id && now.is_for(role)).then(|| read.text.to_owned()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    tracing::warn!(path = %path.display(), %error, "a document cannot be read");
    Fault::new(FaultCode::Unavailable, "the documents cannot be read now")
        .hint("try again; the daemon's log says more")
}

fn problems(shelf: &Shelf) -> DocProblemsReply {
    DocProblemsReply {
        path: shelf.root.to_string_lossy().into_owned(),
        documents: i64::try_from(shelf.library.len()).unwrap_or(i64::MAX),
        problems: shelf.problems.first.iter().map(Into::into).collect(),
        more: i64::try_from(shelf.problems.more).unwrap_or(i64::MAX),
    }
}
