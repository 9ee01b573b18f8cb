//! One session's log: found, opened as its owner, read on piece by piece, and what is new in it kept.

use crate::agent::transcript::{self, Read, Reader, Skipped};
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
use crate::store::{hook, session, transcript as kept};
use crate::usecase::turns::FOLLOWING;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Between two searches for a log that is not there yet.
const SEARCH_EVERY: Duration = Duration::from_secs(3);
/// The longest time between two searches for another log in place of one that has become quiet.
const SEARCH_AT_LEAST: Duration = Duration::from_secs(30 * 60);
/// How long a runner may take to open one.
const OPENING: Duration = Duration::from_secs(15);
/// Bytes that are read, and kept in one transaction, at a time.
const PIECE: usize = 1 << 20;

/// What one look brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Something that is kept now.
    New,
    /// The log has more, none of which is to be kept.
    More,
    /// Nothing.
    Nothing,
    /// The file cannot be read now.
    Unreadable,
    /// The database cannot be read or written now, or the log begins anew.
    Later,
}

/// One session's log.
pub struct Followed {
    /// The session as it was last seen.
    pub session: Session,
    format: TranscriptFormat,
    /// When it is looked for again.
    search_at: Instant,
    /// A log that shrank begins anew.
    anew: bool,
    /// How long after the next search comes the one after it: an agent that was resumed may have begun another log.
    pause: Duration,
    /// Logs that were followed. One never comes after another twice.
    seen: HashSet<Identity>,
    open: Option<OpenLog>,
    /// Whether it was looked for another log since the session ended.
    looked_last: bool,
    /// What was passed over and said so.
    skipped: Skipped,
    /// A path that a hook named and that was refused: it is said once.
    refused: Option<String>,
}

/// Which file it is, whatever its path leads to by now: path, device, inode.
type Identity = (String, u64, u64);

/// A log that is being read.
struct OpenLog {
    identity: Identity,
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

impl Followed {
    /// Something to follow, if the session's agent writes a log and has said which.
    pub fn begin(app: &App, session: Session) -> Option<Self> {
        let format = app.settings().loaded.config.agents.by_name.get(&session.agent)?.transcript;
        if session.native_id.is_none() || transcript::folder(format).is_empty() {
            return None;
        }
        Some(Self {
            session,
            format,
            search_at: Instant::now(),
            anew: false,
            pause: SEARCH_EVERY,
            seen: HashSet::new(),
            open: None,
            looked_last: false,
            skipped: Skipped::default(),
            refused: None,
        })
    }

    /// The session as it is now. Its agent may have begun another session of its own, with another log.
    pub fn is_now(&mut self, session: Session) {
        if self.session.native_id != session.native_id {
            (self.search_at, self.pause) = (Instant::now(), SEARCH_EVERY);
        }
        self.session = session;
    }

    /// Whether its log was found.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next piece of what is new. `last`: the session is over, so a log that is not open is looked for now.
    pub async fn step(&mut self, app: &App, last: bool) -> Look {
        if self.open.is_none() && (last || self.search_at <= Instant::now()) {
            self.pause = SEARCH_EVERY;
            if let Err(error) = self.look(app).await {
                return self.waits(&error);
            }
        }
        let Some(log) = &mut self.open else { return Look::Nothing };
        let Some(redactor) = app.settings().redactor.clone() else { return Look::Later };
        let before = log.identity.clone();
        match take(app, redactor, &self.session, log).await {
            Ok(Some(Took { length: 0, .. })) => {
                let due = self.search_at <= Instant::now() || (last && !self.looked_last);
                self.looked_last = last;
                if due && let Err(error) = self.look(app).await {
                    return self.waits(&error);
                }
                // Another log may have taken its place.
                if self.open.as_ref().is_some_and(|log| log.identity != before) {
                    Look::More
                } else {
                    Look::Nothing
                }
            }
            Ok(Some(took)) => {
                self.pause = SEARCH_EVERY;
                self.search_at = Instant::now() + SEARCH_EVERY;
                self.tell_skipped(took.skipped, took.panics);
                if took.is_new { Look::New } else { Look::More }
            }
            // Shorter than it was: it is another. Whoever cuts it off again and again is not hurried after.
            Ok(None) => {
                self.open = None;
                self.anew = true;
                self.search_at = Instant::now();
                Look::Later
            }
            Err(Trouble::File) => Look::Unreadable,
            Err(Trouble::Store(error)) => self.waits(&error),
        }
    }

    /// What the database did not take is read again from the beginning: what is kept is not kept twice.
    fn waits(&mut self, error: &StoreError) -> Look {
        tracing::warn!(session = %self.session.id, %error, "a transcript waits for the database");
        self.open = None;
        self.search_at = Instant::now();
        Look::Later
    }

    /// What is passed over is counted; that it happens is said once a kind.
    fn tell_skipped(&mut self, now: Skipped, panics: u64) {
        let session = self.session.id;
        if panics > 0 {
            tracing::error!(%session, records = panics, "records of a transcript were left out: a defect of ours");
        }
        let first = |before: u64, now: u64| before == 0 && now > 0;
        if first(self.skipped.malformed, now.malformed)
            || first(self.skipped.unknown, now.unknown)
            || first(self.skipped.too_long, now.too_long)
        {
            let Skipped { malformed, unknown, too_long } = now;
            tracing::info!(%session, malformed, unknown, too_long, "records of a transcript are passed over");
        }
        self.skipped = now;
    }

    /// Looks for the log, or for another one in its place; ever more rarely while nothing happens.
    async fn look(&mut self, app: &App) -> Result<(), StoreError> {
        self.search_at = Instant::now() + self.pause;
        if self.open.is_some() {
            self.pause = (self.pause * 2).min(SEARCH_AT_LEAST);
        }
        if let Some(log) = search(app, self).await? {
            tracing::debug!(session = %self.session.id, "the agent's log is followed");
            self.anew = false;
            self.seen.insert(log.identity.clone());
            self.open = Some(log);
            self.skipped = Skipped::default();
        }
        Ok(())
    }
}

/// Opens the log, if it is there; but none that was followed before the one that is open.
async fn search(app: &App, followed: &mut Followed) -> Result<Option<OpenLog>, StoreError> {
    let session = &followed.session;
    let Some(native) = session.native_id.as_deref() else { return Ok(None) };
    let Some(reader) = Reader::new(followed.format) else { return Ok(None) };
    let by_name = Which::NameContains(transcript::name_contains(followed.format, native));
    let (uid, agent) = (session.owner_uid, session.agent.clone());
    let below = transcript::folder(followed.format);
    let runner = app.settings().runner().map(PathBuf::from);
    let home = app.home().to_owned();
    let told =
        hook::by_session(app.store().reader(), session.id).await?.and_then(|told| told.transcript_path);
    let by_path = told.and_then(|path| match transcript::below(followed.format, &path) {
        Some(below) => Some(Which::Path(below.to_owned())),
        None => {
            if followed.refused.as_ref() != Some(&path) {
                let id = session.id;
                tracing::warn!(session = %id, path, "a hook named a log outside the agent's folder: not opened");
                followed.refused = Some(path);
            }
            None
        }
    });
    let opened = FOLLOWING
        .run(uid, move || {
            let open = |which| match &runner {
                Some(socket) => by_runner(socket, Open { uid, agent: agent.clone(), which }),
                None => {
                    let opened = open::open_own(&Transcripts { home: home.clone(), below, which })?;
                    Ok((opened.path, File::from(opened.file)))
                }
            };
            // What the agent said, else its own rules.
            let (path, file) = match by_path.map(open) {
                Some(Ok(opened)) => opened,
                Some(Err(_)) | None => open(by_name)?,
            };
            let meta = file.metadata().map_err(|error| error.to_string())?;
            Ok::<_, String>(((path, meta.dev(), meta.ino()), file))
        })
        .await;
    let (identity, file) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(why)) => {
            tracing::debug!(session = %session.id, why, "no log of the agent's yet");
            return Ok(None);
        }
        Err(_) => return Ok(None),
    };
    if followed.open.is_some() && followed.seen.contains(&identity) {
        return Ok(None);
    }
    // Another file under the same name is another log.
    let anew = followed.anew || followed.open.as_ref().is_some_and(|log| log.identity.0 == identity.0);
    let (id, at, path) = (session.id, app.now(), identity.0.clone());
    write(app, move |tx| {
        let path = path.clone();
        Box::pin(async move { kept::follow(tx.conn(), id, &path, anew, at).await.map(drop) })
    })
    .await?;
    let Some(from) = kept::file(app.store().reader(), id).await? else { return Ok(None) };
    let log = OpenLog {
        identity,
        file: Arc::new(file),
        at: 0,
        reader: Arc::new(Mutex::new(reader)),
        entries: from.entries_before,
        usage: from.usage_before,
        kept: kept::kept(app.store().reader(), id).await?,
    };
    Ok(Some(log))
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

/// What was taken.
struct Took {
    /// Bytes that were read.
    length: usize,
    /// Whether something of it is kept now.
    is_new: bool,
    skipped: Skipped,
    panics: u64,
}

/// Why nothing was taken.
enum Trouble {
    /// The file cannot be read now; it is tried again.
    File,
    Store(StoreError),
}

/// Reads a piece and keeps what it says. `None`: the log became shorter, so it is another.
async fn take(
    app: &App,
    redactor: Arc<Redactor>,
    session: &Session,
    log: &mut OpenLog,
) -> Result<Option<Took>, Trouble> {
    let (file, at) = (Arc::clone(&log.file), log.at);
    let reader = Arc::clone(&log.reader);
    // What an earlier daemon kept was clean.
    let known = usize::try_from(log.kept.entries - log.entries).unwrap_or(0);
    let read =
        move || piece(&file, at).map(|bytes| bytes.map(|bytes| parsed(&bytes, &reader, &redactor, known)));
    let parsed = match FOLLOWING.run(session.owner_uid, read).await {
        Ok(Ok(Some(parsed))) => parsed,
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(_)) | Err(_) => return Err(Trouble::File),
    };
    let is_new = keep(app, session.id, log, parsed.read).await.map_err(Trouble::Store)?;
    log.at += parsed.length as u64;
    Ok(Some(Took { length: parsed.length, is_new, skipped: parsed.skipped, panics: parsed.panics }))
}

/// What a piece says.
struct Parsed {
    length: usize,
    read: Read,
    skipped: Skipped,
    /// Records at which the parser failed.
    panics: u64,
}

/// Parses a piece, without credentials but for the first `known` entries, which are not kept.
fn parsed(bytes: &[u8], reader: &Mutex<Reader>, redactor: &Redactor, known: usize) -> Parsed {
    let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut read, panics) = fed(bytes, |line| reader.feed(line));
    let skipped = reader.skipped();
    for entry in read.entries.iter_mut().skip(known) {
        if let Cow::Owned(clean) = redactor.redact(&entry.text) {
            entry.text = clean;
        }
    }
    Parsed { length: bytes.len(), read, skipped, panics }
}

/// Feeds line by line: a defect of ours costs the line in which it shows, not those around it. Gives how many it cost.
fn fed(bytes: &[u8], mut feed: impl FnMut(&[u8]) -> Read) -> (Read, u64) {
    let (mut all, mut panics) = (Read::default(), 0);
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        match catch_unwind(AssertUnwindSafe(|| feed(line))) {
            Ok(read) => {
                all.entries.extend(read.entries);
                all.usage.extend(read.usage);
            }
            Err(_) => panics += 1,
        }
    }
    (all, panics)
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

/// Keeps what of it is not kept yet; gives whether there was any.
async fn keep(app: &App, id: SessionId, log: &mut OpenLog, mut read: Read) -> Result<bool, StoreError> {
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
        return Ok(false);
    }
    let (read, now) = (Arc::new(read), app.now());
    write(app, move |tx| {
        let read = Arc::clone(&read);
        Box::pin(async move {
            // A session that was purged in the meantime keeps nothing.
            if session::by_id(tx.conn(), id).await?.is_some() {
                kept::append(tx.conn(), id, first_entry, &read.entries).await?;
                kept::add_usage(tx.conn(), id, first_cost, &read.usage, now).await?;
            }
            Ok(())
        })
    })
    .await
    .map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::fed;
    use crate::agent::transcript::Reader;
    use crate::config::schema::agents::TranscriptFormat;

    #[test]
    fn a_defect_costs_one_line() {
        let line = |said: &str| format!("{{\"type\":\"user\",\"message\":{{\"content\":\"{said}\"}}}}\n");
        let text = [line("one"), line("two"), line("three")].concat();
        let mut reader = Reader::new(TranscriptFormat::Claude).unwrap();
        let (read, panics) = fed(text.as_bytes(), |line| {
            assert!(!line.windows(3).any(|w| w == b"two"), "a defect");
            reader.feed(line)
        });
        let said: Vec<&str> = read.entries.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!((said, panics), (vec!["one", "three"], 1));
    }
}
