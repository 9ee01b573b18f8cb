//! What is deleted because it is old: transcripts, recordings and activity, after the days that `retention` gives them
//! (the job `retention`); and the index over what was kept before there was one (`search_index`). A little at a time: nobody waits for it,
//! and a daemon that dies in between leaves the rest to the next one. The audit log and the sessions' own rows stay.

use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::session::{Session, SessionId};
use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::{retention, search, task_event, transcript};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// One write is to take about this long at most.
const AT_MOST: Duration = Duration::from_millis(50);
/// Rows of one write: at the beginning, at least and at most.
const ROWS: u64 = 64;
const ROWS_MIN: u64 = 8;
const ROWS_MAX: u64 = 2_048;
/// Sessions that are looked up together.
const SESSIONS: usize = 100;
/// A day, in µs.
const DAY: i64 = 86_400 * 1_000_000;

/// How many rows the next write takes: fewer where the one before took long.
#[derive(Debug)]
pub(super) struct Pace {
    rows: u64,
    began: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { rows: ROWS, began: Instant::now() }
    }

    /// Rows of the write that begins now.
    pub(super) fn next(&mut self) -> u64 {
        self.began = Instant::now();
        self.rows
    }

    /// It is done.
    pub(super) fn done(&mut self) {
        let took = self.began.elapsed();
        if took > AT_MOST {
            self.rows = (self.rows / 2).max(ROWS_MIN);
        } else if took < AT_MOST / 4 {
            self.rows = (self.rows * 2).min(ROWS_MAX);
        }
    }
}

/// Indexes what was kept before there was an index.
///
/// # Errors
/// The database; what was indexed stays so.
pub async fn fill_index(app: &App, stop: &CancellationToken) -> Result<(), StoreError> {
    while let Some(session) = search::backlog(app.store().reader()).await? {
        let (mut last, mut pace) = (Some(0), Pace::new());
        while let Some(after) = last {
            if stop.is_cancelled() {
                return Ok(());
            }
            let rows = pace.next();
            last = write(app, move |tx| Box::pin(search::fill(tx.conn(), session, after, rows))).await?;
            pace.done();
        }
    }
    Ok(())
}

/// Deletes what is older than the config in force wants it kept.
///
/// # Errors
/// The database; what was deleted stays so.
pub async fn delete_old(app: &App, now: Timestamp, stop: &CancellationToken) -> Result<(), StoreError> {
    let kept = app.settings().loaded.config.retention.clone();
    let before = |days: u32| {
        (days > 0).then(|| Timestamp::from_micros(now.micros().saturating_sub(i64::from(days) * DAY)))
    };
    if let Some(before) = before(kept.transcripts_days) {
        transcripts(app, before, kept.transcripts_days, stop).await?;
    }
    if let Some(before) = before(kept.recordings_days) {
        recordings(app, before, kept.recordings_days, stop).await?;
    }
    if let Some(before) = before(kept.activity_days) {
        activity(app, before, stop).await?;
    }
    Ok(())
}

async fn transcripts(
    app: &App,
    before: Timestamp,
    days: u32,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut pace = Pace::new();
    loop {
        let (reader, computer) = (app.store().reader(), app.store().computer());
        let old = retention::old_transcripts(reader, computer, before, SESSIONS as u64).await?;
        if old.is_empty() {
            return Ok(());
        }
        for session in old {
            let mut left = true;
            while left {
                if stop.is_cancelled() {
                    return Ok(());
                }
                let rows = pace.next();
                let draft = expired(app, "transcript.expire", &session, days);
                let session = session.clone();
                left = write(app, move |tx| {
                    let (draft, session) = (draft.clone(), session.clone());
                    Box::pin(async move {
                        let had = transcript::has_any(tx.conn(), session.id).await?;
                        // It may have been resumed meanwhile, or be on hold: then it stays.
                        let gone = retention::delete_entries(tx.conn(), &session, before, rows).await?;
                        if had && gone > 0 && !transcript::has_any(tx.conn(), session.id).await? {
                            tx.audit(draft);
                        }
                        Ok(gone > 0)
                    })
                })
                .await?;
                pace.done();
            }
        }
    }
}

async fn recordings(
    app: &App,
    before: Timestamp,
    days: u32,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let folder = app.recordings().to_owned();
    let there = blocking(move || sessions_with_recordings(&folder)).await?;
    for some in there.chunks(SESSIONS) {
        let (reader, computer) = (app.store().reader(), app.store().computer());
        let old = retention::ended_before(reader, computer, some, before).await?;
        for session in old {
            if stop.is_cancelled() {
                return Ok(());
            }
            let (id, computer) = (session.id, computer.to_owned());
            let draft = expired(app, "recording.expire", &session, days);
            // Written down first: a recording never goes without a row that says so.
            let old = write(app, move |tx| {
                let (draft, computer) = (draft.clone(), computer.clone());
                Box::pin(async move {
                    // It may have been resumed meanwhile, or be on hold: then it stays.
                    let old = !retention::ended_before(tx.conn(), &computer, &[id], before).await?.is_empty();
                    if old {
                        tx.audit(draft);
                    }
                    Ok(old)
                })
            })
            .await?;
            if old {
                let folder = app.recordings().to_owned();
                blocking(move || remove_recording(&folder, id)).await?;
            }
        }
    }
    Ok(())
}

async fn activity(app: &App, before: Timestamp, stop: &CancellationToken) -> Result<(), StoreError> {
    let mut pace = Pace::new();
    loop {
        let rows = pace.next();
        let computer = app.store().computer().to_owned();
        let gone = write(app, move |tx| {
            let computer = computer.clone();
            Box::pin(async move {
                match retention::delete_activity(tx.conn(), &computer, before, rows).await? {
                    0 => task_event::delete_old(tx.conn(), before, rows).await,
                    gone => Ok(gone),
                }
            })
        })
        .await?;
        pace.done();
        if gone == 0 || stop.is_cancelled() {
            return Ok(());
        }
    }
}

fn expired(app: &App, action: &str, session: &Session, days: u32) -> AuditDraft {
    AuditDraft::by_daemon(app.own_uid(), action, AuditOutcome::Success, app.now())
        .about(session)
        .with_detail(&serde_json::json!({ "days": days }))
}

/// The sessions that a folder holds recordings of, by the files' names. What else has such a name is none.
fn sessions_with_recordings(folder: &Path) -> std::io::Result<Vec<SessionId>> {
    let files = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let of_file = |file: std::fs::DirEntry| {
        let name = file.file_type().ok()?.is_file().then(|| file.file_name())?;
        let id = name.to_str()?.strip_suffix(".cast")?.to_owned();
        // Only as we write it.
        Uuid::try_parse(&id).ok().filter(|uuid| uuid.to_string() == id).map(SessionId)
    };
    let mut found: Vec<SessionId> = files.flatten().filter_map(of_file).collect();
    found.sort();
    Ok(found)
}

/// Removes a session's recording, if it is a file: what else has its name is somebody's doing, and stays.
pub(super) fn remove_recording(folder: &Path, session: SessionId) -> std::io::Result<()> {
    let path: PathBuf = folder.join(format!("{session}.cast"));
    match std::fs::symlink_metadata(&path) {
        Ok(about) if about.file_type().is_file() => std::fs::remove_file(&path),
        Ok(_) => {
            tracing::warn!(%session, "the recording is no plain file, and was left alone");
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Looks at files off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| StoreError::Other("the daemon failed".to_owned()))?;
    done.map_err(|error| StoreError::Other(format!("recordings: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{remove_recording, sessions_with_recordings};
    use crate::domain::session::SessionId;
    use uuid::Uuid;

    #[test]
    fn only_recordings_go_and_links_are_not_followed() {
        let (folder, id) = (tempfile::tempdir().unwrap(), SessionId(Uuid::now_v7()));
        let linked = SessionId(Uuid::now_v7());
        let at = |name: &str| folder.path().join(name);
        for name in
            [&format!("{id}.cast"), "notes.cast", &id.to_string(), &format!("{}.cast", id.0.simple()), "kept"]
        {
            std::fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(at("kept"), at(&format!("{linked}.cast"))).unwrap();
        // A link would be said to have gone, again and again.
        assert_eq!(sessions_with_recordings(folder.path()).unwrap(), [id]);
        for session in [id, linked, SessionId(Uuid::now_v7())] {
            remove_recording(folder.path(), session).unwrap();
        }
        assert!(!at(&format!("{id}.cast")).exists());
        assert_eq!(std::fs::read_to_string(at("kept")).unwrap(), "x");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 5);
        assert!(sessions_with_recordings(&at("nowhere")).unwrap().is_empty());
    }
}
