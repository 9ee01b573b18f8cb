//! Follows the agents' own logs while their sessions run, and copies what is said and done as it appears: agents delete
//! theirs. A log is opened as its owner, below the agent's folder alone; credentials are taken out before anything is
//! kept. A log is read again from its beginning by the next daemon, which keeps only what is new: entries are numbered
//! by their place in it.

use crate::agent::transcript::{self, Read, Reader};
use crate::config::schema::agents::TranscriptFormat;
use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::domain::redact::Redactor;
use crate::domain::session::{Session, SessionId};
use crate::runner::client::Connection;
use crate::runner::judge::Transcripts;
use crate::runner::message::{Open, Reply, Request, Which};
use crate::runner::open;
use crate::store::error::StoreError;
use crate::store::{session, transcript as kept};
use crate::usecase::turns::FOLLOWING;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks at a log.
const EVERY: Duration = Duration::from_secs(1);
/// Between two searches for a log that is not there yet.
const SEARCH_EVERY: Duration = Duration::from_secs(3);
/// The longest time between two searches for another log in place of one that has become quiet.
const SEARCH_AT_LEAST: Duration = Duration::from_secs(30 * 60);
/// How long a runner may take to open one.
const OPENING: Duration = Duration::from_secs(15);
/// Bytes that are read, and kept in one transaction, at a time.
const PIECE: usize = 1 << 20;
/// Pieces of one log before another's turn.
const PIECES: usize = 16;

/// One session's log.
struct Followed {
    session: Session,
    format: TranscriptFormat,
    /// When it is looked for again.
    search_at: Instant,
    /// A log that shrank begins anew.
    anew: bool,
    /// How long after the next search comes the one after it: an agent that was resumed may have begun another log.
    pause: Duration,
    /// Logs that were followed. One never comes after another twice.
    seen: HashSet<String>,
    open: Option<OpenLog>,
}

/// A log that is being read.
struct OpenLog {
    file: Arc<File>,
    /// Bytes that were read.
    at: u64,
    /// Works on blocking threads only, one at a time.
    reader: Arc<Mutex<Reader>>,
    /// Entries and costs that came out of it, and those that were kept before it.
    entries: i64,
    usage: i64,
    /// Numbers up to which everything is kept.
    kept: kept::Kept,
}

/// Follows until stopped. `before` are the sessions that an earlier daemon left open, whether or not they have ended
/// since.
pub async fn run(app: Arc<App>, before: Vec<Session>, stop: CancellationToken) {
    let (mut redactor, mut patterns): (Option<Arc<Redactor>>, Vec<String>) = (None, Vec::new());
    let mut resting: HashMap<SessionId, Followed> =
        before.into_iter().filter_map(|session| begin(&app, session)).map(|f| (f.session.id, f)).collect();
    let mut working: JoinSet<(SessionId, Option<Followed>)> = JoinSet::new();
    // One that hangs keeps nobody else waiting.
    let mut in_hand: HashSet<SessionId> = HashSet::new();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        // A reload reaches what is read from here on.
        let wanted = &app.settings().loaded.config.sessions.redact;
        if redactor.is_none() || patterns != *wanted {
            match Redactor::new(wanted) {
                Ok(made) => (redactor, patterns) = (Some(Arc::new(made)), wanted.clone()),
                // The config was checked, so this does not happen; if it does, nothing is kept rather than a secret.
                Err((_, why)) => {
                    tracing::error!(
                        why,
                        "no transcripts are kept: credentials could not be taken out of them"
                    );
                    continue;
                }
            }
        }
        let Some(redactor) = &redactor else { continue };
        while let Some(done) = working.try_join_next() {
            let Ok((id, followed)) = done else { continue };
            in_hand.remove(&id);
            resting.extend(followed.map(|followed| (id, followed)));
        }
        let open = match session::open_on(app.store().reader(), app.store().computer()).await {
            Ok(open) => open,
            // What is wrong with the database is said elsewhere.
            Err(_) => continue,
        };
        let mut due: Vec<(Followed, bool)> = Vec::new();
        for session in open {
            if let Some(mut followed) = resting.remove(&session.id) {
                followed.session = session;
                due.push((followed, false));
            } else if !in_hand.contains(&session.id)
                && let Some(followed) = begin(&app, session)
            {
                due.push((followed, false));
            }
        }
        // What was followed and is not open any more has ended: what it wrote last is taken, then it is let go.
        due.extend(resting.drain().map(|(_, followed)| (followed, true)));
        for (followed, last) in due {
            let id = followed.session.id;
            in_hand.insert(id);
            let (app, redactor) = (Arc::clone(&app), Arc::clone(redactor));
            working.spawn(async move { (id, step(&app, &redactor, followed, last).await) });
        }
    }
}

/// Something to follow, if the session's agent writes a log and has said which.
fn begin(app: &App, session: Session) -> Option<Followed> {
    let format = app.settings().loaded.config.agents.by_name.get(&session.agent)?.transcript;
    if session.native_id.is_none() || transcript::folder(format).is_empty() {
        return None;
    }
    Some(Followed {
        session,
        format,
        search_at: Instant::now(),
        anew: false,
        pause: SEARCH_EVERY,
        seen: HashSet::new(),
        open: None,
    })
}

/// Takes what is new. `None` once nothing more will come.
async fn step(app: &App, redactor: &Arc<Redactor>, mut followed: Followed, last: bool) -> Option<Followed> {
    let id = followed.session.id;
    if followed.open.is_none() && (last || followed.search_at <= Instant::now()) {
        followed.pause = SEARCH_EVERY;
        look(app, &mut followed).await;
    }
    if let Some(log) = &mut followed.open {
        let before = log.at;
        match take(app, redactor, &followed.session, log).await {
            Ok(true) if log.at == before && followed.search_at <= Instant::now() => {
                look(app, &mut followed).await;
            }
            Ok(true) if log.at == before => {}
            Ok(true) => {
                followed.pause = SEARCH_EVERY;
                followed.search_at = Instant::now() + SEARCH_EVERY;
            }
            Ok(false) => {
                followed.open = None;
                followed.anew = true;
            }
            Err(error) => {
                tracing::warn!(session = %id, %error, "a transcript waits for the database");
                // Read again from the beginning: what is kept is not kept twice.
                followed.open = None;
                return Some(followed);
            }
        }
    }
    (!last).then_some(followed)
}

/// Looks for the log, or for another one in its place; ever more rarely while nothing happens.
async fn look(app: &App, followed: &mut Followed) {
    let id = followed.session.id;
    followed.search_at = Instant::now() + followed.pause;
    if followed.open.is_some() {
        followed.pause = (followed.pause * 2).min(SEARCH_AT_LEAST);
    }
    match search(app, followed).await {
        Ok(Some((path, log))) => {
            tracing::debug!(session = %id, "the agent's log is followed");
            followed.anew = false;
            followed.seen.insert(path);
            followed.open = Some(log);
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(session = %id, %error, "a transcript waits for the database"),
    }
}

/// Opens the log, if it is there, with its path; but none that was followed before the one that is open.
async fn search(app: &App, followed: &Followed) -> Result<Option<(String, OpenLog)>, StoreError> {
    let session = &followed.session;
    let Some(native) = session.native_id.as_deref() else { return Ok(None) };
    let Some(reader) = Reader::new(followed.format) else { return Ok(None) };
    let which = Which::NameContains(transcript::name_contains(followed.format, native));
    let (uid, agent) = (session.owner_uid, session.agent.clone());
    let below = transcript::folder(followed.format);
    let runner = app.settings().runner().map(PathBuf::from);
    let home = app.home().to_owned();
    let opened = FOLLOWING
        .run(uid, move || match runner {
            Some(socket) => by_runner(&socket, Open { uid, agent, which }),
            None => {
                let opened = open::open_own(&Transcripts { home, below, which })?;
                Ok((opened.path, File::from(opened.file)))
            }
        })
        .await;
    let (path, file) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(why)) => {
            tracing::debug!(session = %session.id, why, "no log of the agent's yet");
            return Ok(None);
        }
        Err(_) => return Ok(None),
    };
    if followed.open.is_some() && followed.seen.contains(&path) {
        return Ok(None);
    }
    let (id, at, anew) = (session.id, app.now(), followed.anew);
    let found = path.clone();
    write(app, move |tx| {
        let path = path.clone();
        Box::pin(async move { kept::follow(tx.conn(), id, &path, anew, at).await.map(drop) })
    })
    .await?;
    let Some(from) = kept::file(app.store().reader(), id).await? else { return Ok(None) };
    let log = OpenLog {
        file: Arc::new(file),
        at: 0,
        reader: Arc::new(Mutex::new(reader)),
        entries: from.entries_before,
        usage: from.usage_before,
        kept: kept::kept(app.store().reader(), id).await?,
    };
    Ok(Some((found, log)))
}

/// Has the runner open it, as its owner.
fn by_runner(socket: &std::path::Path, open: Open) -> Result<(String, File), String> {
    let deadline = std::time::Instant::now() + OPENING;
    let mut call = Connection::ask(socket, &Request::Open(open), None).map_err(|e| e.to_string())?;
    match call.wait(deadline).map_err(|e| e.to_string())? {
        (Reply::Opened { path, .. }, Some(file)) => Ok((path, File::from(file))),
        (Reply::Refused(why) | Reply::Failed(why), _) => Err(why),
        _ => Err("an answer to something else".to_owned()),
    }
}

/// Reads on and keeps what comes. `false`: the log became shorter, so it is another.
async fn take(
    app: &App,
    redactor: &Arc<Redactor>,
    session: &Session,
    log: &mut OpenLog,
) -> Result<bool, StoreError> {
    for _ in 0..PIECES {
        let (file, at) = (Arc::clone(&log.file), log.at);
        let (reader, redactor) = (Arc::clone(&log.reader), Arc::clone(redactor));
        // What an earlier daemon kept was clean.
        let known = usize::try_from(log.kept.entries - log.entries).unwrap_or(0);
        let read = move || {
            piece(&file, at).map(|bytes| bytes.map(|bytes| parsed(&bytes, &reader, &redactor, known)))
        };
        let (length, read) = match FOLLOWING.run(session.owner_uid, read).await {
            Ok(Ok(Some(read))) => read,
            Ok(Ok(None)) => return Ok(false),
            // It cannot be read now; it is tried again.
            Ok(Err(_)) | Err(_) => return Ok(true),
        };
        log.at += length as u64;
        keep(app, session.id, log, read).await?;
        if length < PIECE {
            return Ok(true);
        }
    }
    Ok(true)
}

/// How many bytes these are, and what they say; without credentials but for the first `known` entries, which are not
/// kept.
fn parsed(bytes: &[u8], reader: &Mutex<Reader>, redactor: &Redactor, known: usize) -> (usize, Read) {
    let mut read = reader.lock().unwrap_or_else(PoisonError::into_inner).feed(bytes);
    for entry in read.entries.iter_mut().skip(known) {
        if let Cow::Owned(clean) = redactor.redact(&entry.text) {
            entry.text = clean;
        }
    }
    (bytes.len(), read)
}

/// The next bytes; `None` if the file is shorter than it was.
fn piece(file: &File, at: u64) -> std::io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    if length < at {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length - at).unwrap_or(PIECE).min(PIECE)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Keeps what of it is not kept yet.
async fn keep(app: &App, id: SessionId, log: &mut OpenLog, mut read: Read) -> Result<(), StoreError> {
    let first = |so_far: i64, kept: i64, new: usize| {
        let known = usize::try_from(kept - so_far).unwrap_or(0).min(new);
        (known, so_far + i64::try_from(known).unwrap_or(0) + 1)
    };
    let (known, first_entry) = first(log.entries, log.kept.entries, read.entries.len());
    log.entries += i64::try_from(read.entries.len()).unwrap_or(0);
    read.entries.drain(..known);
    let (known, first_cost) = first(log.usage, log.kept.usage, read.usage.len());
    log.usage += i64::try_from(read.usage.len()).unwrap_or(0);
    read.usage.drain(..known);
    if read.entries.is_empty() && read.usage.is_empty() {
        return Ok(());
    }
    let read = Arc::new(read);
    write(app, move |tx| {
        let read = Arc::clone(&read);
        Box::pin(async move {
            // A session that was purged in the meantime keeps nothing.
            if session::by_id(tx.conn(), id).await?.is_some() {
                kept::append(tx.conn(), id, first_entry, &read.entries).await?;
                kept::add_usage(tx.conn(), id, first_cost, &read.usage).await?;
            }
            Ok(())
        })
    })
    .await
}
