//! Somebody follows what a session says and does: from the row that says so, before anything is shown, to the row that
//! says what was seen. What goes over the connection is `http::follow`, what comes next is `usecase::follow`.

use crate::agent::transcript as log;
use crate::daemon::app::App;
use crate::daemon::limits::Entered;
use crate::daemon::trail::Trail;
use crate::daemon::transcripts::Copying;
use crate::domain::action::Action;
use crate::domain::audit::AuditOutcome;
use crate::domain::policy::Permit;
use crate::domain::session::{Exit, Session, SessionStatus};
use crate::store::{session, transcript};
use crate::usecase::follow::{Entries, Piece, Place, Wanted, lines};
use crate::usecase::resolve::unavailable;
use crate::usecase::turns::READING;
use crate::usecase::{Facts, sessions, witness};
use crate::wire::fault::{Fault, FaultCode};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An agent that has not said within this which log is its own is followed on its screen.
const LOG_WITHIN: Duration = Duration::from_secs(10);
/// What a session said last is copied within this after its end, or is not waited for any longer.
const COPIED_WITHIN: Duration = Duration::from_secs(30);
/// Looking at a recording takes a processor: so many times as long it is then left alone.
const REST: u32 = 4;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This, and perhaps more at once.
    Piece(Piece),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End(Option<Exit>),
}

/// A session that is followed by one who may.
pub struct Following {
    /// What was permitted.
    pub action: Action,
    session: Session,
    uid: u32,
    wanted: Wanted,
    /// Whether its agent writes a log, as far as the config knows.
    has_log: bool,
    recording: PathBuf,
    copying: Arc<Copying>,
    source: Source,
    began: Instant,
    /// When it was first seen to have ended.
    ended: Option<Instant>,
    trail: Trail,
    _place: Entered,
}

/// Where it comes from.
enum Source {
    /// Not decided.
    Open,
    /// The transcript.
    Entries(Box<Entries>),
    /// The recording; its length at the last look, and when it may be looked at again.
    Lines { length: u64, not_before: Instant },
}

/// Takes a place and writes the start down if it is to be. Nothing is shown before that.
///
/// # Errors
/// `invalid`, `limit_reached`, `audit_unavailable`, `unavailable`.
pub async fn open(app: &App, facts: &Facts, permit: Permit, deadline: Instant) -> Result<Following, Fault> {
    let (caller, action) = (permit.caller().clone(), permit.action().clone());
    let Action::FollowSession { session, following, .. } = &action else {
        return Err(Fault::new(FaultCode::Internal, "this is not following"));
    };
    let recording = sessions::recording_path(facts, session)?;
    let wanted = Wanted {
        from: following.cursor.as_deref().map(Place::parse).transpose()?,
        tail_chars: following.tail_chars,
        since: following.since,
        json: following.json,
    };
    let place = app.attachments().place(caller.uid)?;
    let written = witness::write_down(app.store(), facts, permit, deadline).await?;
    app.tell_of(&written);
    let format = facts.config.agents.by_name.get(&session.agent).map(|agent| agent.transcript);
    Ok(Following {
        session: (**session).clone(),
        uid: caller.uid,
        wanted,
        has_log: format.is_some_and(|format| !log::folder(format).is_empty()),
        recording,
        copying: Arc::clone(app.copying()),
        source: Source::Open,
        began: Instant::now(),
        ended: None,
        trail: Trail::new(app.store().clone(), written.row().cloned(), facts.now),
        _place: place,
        action,
    })
}

impl Following {
    /// What comes next.
    ///
    /// # Errors
    /// The database or the recording cannot be read.
    pub async fn next(&mut self) -> Result<Next, Fault> {
        let store = self.trail.store().clone();
        let Some(row) = session::by_id(store.reader(), self.session.id).await.map_err(unavailable)? else {
            return Ok(Next::End(None));
        };
        self.session = row;
        // Asked before what is new is looked for: what comes after that is nothing.
        let over = self.is_over();
        let is_first = matches!(self.source, Source::Open);
        if is_first {
            self.decide(over).await?;
        }
        let piece = match &mut self.source {
            Source::Open => None,
            Source::Entries(entries) => entries.next(&store, &self.session).await.map_err(unavailable)?,
            Source::Lines { .. } => self.lines(over).await?,
        };
        match piece {
            Some(piece) => {
                self.trail.seen.saw(piece.span.0, piece.span.1, piece.content.len());
                self.wanted.from = Some(piece.place);
                Ok(Next::Piece(piece))
            }
            // From here it goes on, should the connection be cut off before there is more.
            None if is_first && !over && !matches!(self.source, Source::Open) => {
                let place = match &self.source {
                    Source::Entries(entries) => entries.place(),
                    Source::Lines { .. } | Source::Open => self.wanted.from.unwrap_or(Place::Start),
                };
                self.wanted.from = Some(place);
                Ok(Next::Piece(Piece { content: String::new(), place, span: (0, 0) }))
            }
            None if over => Ok(Next::End(self.session.exit.clone())),
            None => Ok(Next::Nothing),
        }
    }

    /// Whether nothing will be added: it has ended, and what its agent wrote last is copied.
    fn is_over(&mut self) -> bool {
        if self.session.status != SessionStatus::Ended {
            self.ended = None;
            return false;
        }
        let ended = *self.ended.get_or_insert_with(Instant::now);
        !self.copying.has(self.session.id) || ended.elapsed() >= COPIED_WITHIN
    }

    async fn decide(&mut self, over: bool) -> Result<(), Fault> {
        let store = self.trail.store().clone();
        let is_entries = match self.wanted.from {
            Some(Place::Entry(_)) => true,
            Some(Place::Line(..)) => false,
            _ if transcript::has_any(store.reader(), self.session.id).await.map_err(unavailable)? => true,
            _ if over || !self.has_log => false,
            _ if self.session.native_id.is_some() => true,
            _ if self.began.elapsed() < LOG_WITHIN => return Ok(()),
            _ => false,
        };
        self.source = if is_entries {
            let entries = Entries::begin(&store, &self.session, &self.wanted).await.map_err(unavailable)?;
            Source::Entries(Box::new(entries))
        } else {
            Source::Lines { length: 0, not_before: Instant::now() }
        };
        Ok(())
    }

    async fn lines(&mut self, over: bool) -> Result<Option<Piece>, Fault> {
        let Source::Lines { length, not_before } = &mut self.source else { return Ok(None) };
        if *not_before > Instant::now() && !over {
            return Ok(None);
        }
        let (known, path, wanted) = (*length, self.recording.clone(), self.wanted.clone());
        let began = Instant::now();
        let looked = READING
            .run(self.uid, move || {
                let length = std::fs::metadata(&path).map_or(0, |file| file.len());
                let piece = if length == known && !over { Ok(None) } else { lines(&path, &wanted, over) };
                piece.map(|piece| (length, piece))
            })
            .await?;
        *not_before = Instant::now() + began.elapsed() * REST;
        let (now, piece) = looked.map_err(|error| {
            let problem = format!("the recording of {} cannot be read: {}", self.session.id, error.kind());
            Fault::new(FaultCode::Unavailable, problem)
        })?;
        *length = now;
        Ok(piece)
    }

    /// It is over: that is written down if the start was.
    pub async fn end(mut self, how: &str) {
        self.trail.end(how, AuditOutcome::Success).await;
    }
}
