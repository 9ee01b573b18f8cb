//! Follows the agents' own logs while their sessions run, and copies what is said and done as it appears: agents delete
//! theirs. A log is opened as its owner, below the agent's folder alone; credentials are taken out before anything is
//! kept. A log is read again from its beginning by the next daemon, which keeps only what is new: entries are numbered
//! by their place in it. One task a session, so that one that hangs keeps nobody else waiting.

mod log;

use crate::agent::transcript;
use crate::daemon::app::App;
use crate::daemon::backend::{Backend as _, Event, SessionChange, SessionEvent};
use crate::daemon::transcripts::log::{Followed, Look};
use crate::domain::session::{Session, SessionId, SessionStatus};
use crate::store::error::StoreError;
use crate::store::session;
use futures_util::FutureExt as _;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Between two looks at a log that may grow: its agent is busy, or was heard of.
const EVERY: Duration = Duration::from_secs(1);
/// The longest time between two looks at a log of which nothing is heard.
const AT_LEAST: Duration = Duration::from_secs(5);
/// Between two looks for sessions that nobody told of.
const SEARCH: Duration = Duration::from_secs(30);
/// A step that failed by a defect is tried again after this, then ever more rarely.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_LEAST: Duration = Duration::from_secs(60);
/// At its end a session's log that is not there, or cannot be read, is looked for so many times more.
const TRIES: u32 = 2;

/// Sessions that have ended and whose logs are still being copied to their ends.
#[derive(Debug, Default)]
pub struct Copying(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    next: u64,
    /// Which of all ends it was: a session that is resumed ends again.
    open: HashMap<SessionId, u64>,
}

impl Copying {
    /// It is about to end: its transcript may lack its end until that is copied.
    pub fn ends(&self, app: &App, session: &Session) {
        let settings = app.settings();
        let agent = settings.loaded.config.agents.by_name.get(&session.agent);
        if session.native_id.is_some() && agent.is_some_and(|a| !transcript::folder(a.transcript).is_empty())
        {
            let mut ends = self.ends_so_far();
            ends.next += 1;
            let this = ends.next;
            ends.open.insert(session.id, this);
        }
    }

    /// Whether more may come although it has ended.
    pub fn has(&self, session: SessionId) -> bool {
        self.last_end(session).is_some()
    }

    fn last_end(&self, session: SessionId) -> Option<u64> {
        self.ends_so_far().open.get(&session).copied()
    }

    /// All that it had written at this end is copied; if it has ended again since, that is another's to say.
    fn done(&self, session: SessionId, end: Option<u64>) {
        let mut ends = self.ends_so_far();
        if end.is_some() && ends.open.get(&session).copied() == end {
            ends.open.remove(&session);
        }
    }

    fn ends_so_far(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows until stopped. `before` are the sessions that an earlier daemon left open, whether or not they have ended
/// since.
pub async fn run(app: Arc<App>, before: Vec<Session>, stop: CancellationToken) {
    let mut events = app.watch();
    let mut all = All { app, woken: HashMap::new(), tasks: JoinSet::new() };
    for session in before {
        all.follow(session);
    }
    let mut search = tokio::time::interval(SEARCH);
    search.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // What is wrong with the database is said elsewhere.
        let _ = tokio::select! {
            () = stop.cancelled() => return,
            _ = search.tick() => all.search().await,
            Some(done) = all.tasks.join_next(), if !all.tasks.is_empty() => match done {
                Ok(id) => {
                    all.woken.remove(&id);
                    // It may have been resumed while it was let go.
                    all.heard(id, SessionChange::Row).await
                }
                Err(_) => Ok(()),
            },
            event = events.recv() => match event {
                Ok(Event::Session(event)) => all.heard(event.session_id, event.kind).await,
                Ok(Event::Catalogue | Event::Documents(_) | Event::Inbox { .. }) => Ok(()),
                Err(RecvError::Lagged(_)) => {
                    all.woken.values().for_each(|woken| woken.notify_one());
                    all.search().await
                }
                Err(RecvError::Closed) => return,
            },
        };
    }
}

/// Everything that is followed.
struct All {
    app: Arc<App>,
    /// Rings where something happened.
    woken: HashMap<SessionId, Arc<Notify>>,
    tasks: JoinSet<SessionId>,
}

impl All {
    /// Something happened in a session.
    async fn heard(&mut self, id: SessionId, what: SessionChange) -> Result<(), StoreError> {
        if let Some(woken) = self.woken.get(&id) {
            woken.notify_one();
        } else if what == SessionChange::Row
            && let Some(session) = session::by_id(self.app.store().reader(), id).await?
            && (session.status != SessionStatus::Ended || self.app.copying().has(id))
        {
            self.follow(session);
        }
        Ok(())
    }

    /// Finds what nobody told of.
    async fn search(&mut self) -> Result<(), StoreError> {
        for session in session::open_on(self.app.store().reader(), self.app.store().computer()).await? {
            self.follow(session);
        }
        let ended: Vec<SessionId> = self.app.copying().ends_so_far().open.keys().copied().collect();
        for id in ended {
            self.heard(id, SessionChange::Row).await?;
        }
        Ok(())
    }

    fn follow(&mut self, session: Session) {
        let id = session.id;
        if self.woken.contains_key(&id) || session.computer != self.app.store().computer() {
            return;
        }
        let end = self.app.copying().last_end(id);
        let Some(followed) = Followed::begin(&self.app, session) else {
            self.app.copying().done(id, end);
            return;
        };
        let woken = Arc::new(Notify::new());
        self.woken.insert(id, Arc::clone(&woken));
        let app = Arc::clone(&self.app);
        self.tasks.spawn(async move {
            let end = to_the_end(&app, followed, &woken).await;
            app.copying().done(id, end);
            id
        });
    }
}

/// Follows one session until it is over and all of its log is kept; gives which of its ends that was.
async fn to_the_end(app: &App, mut followed: Followed, woken: &Notify) -> Option<u64> {
    let (mut pause, mut again, mut tries) = (EVERY, AGAIN, 0);
    let (mut last, mut end, mut look_at) = (false, None, Instant::now());
    loop {
        let id = followed.session.id;
        // Before the log is looked at: what an ended session wrote is all there.
        if look_at <= Instant::now() {
            end = app.copying().last_end(id);
            match session::by_id(app.store().reader(), id).await {
                Ok(Some(now)) => {
                    last = now.status == SessionStatus::Ended;
                    followed.is_now(now);
                    look_at = Instant::now() + SEARCH;
                }
                Ok(None) => return end,
                // It is asked again the next time.
                Err(_) => {}
            }
        }
        match AssertUnwindSafe(followed.step(app, last)).catch_unwind().await {
            Ok(look @ (Look::New | Look::More)) => {
                if look == Look::New {
                    app.tell(Event::Session(SessionEvent {
                        session_id: id,
                        owner: followed.session.owner,
                        owner_uid: followed.session.owner_uid,
                        parent: followed.session.parent,
                        kind: SessionChange::Content,
                    }));
                }
                (pause, tries) = (EVERY, 0);
                continue;
            }
            Ok(Look::Nothing) if last && (followed.is_open() || tries >= TRIES) => return end,
            Ok(Look::Unreadable) if last && tries >= TRIES => {
                tracing::error!(session = %id, "the end of a transcript could not be read");
                return end;
            }
            // At its end a log that is not found is looked for some more: who opens it may be busy.
            Ok(Look::Nothing | Look::Unreadable) => tries += u32::from(last),
            // What the database does not take now it will take later.
            Ok(Look::Later) => {}
            Err(_) if last && tries >= TRIES => {
                tracing::error!(session = %id, "the end of a transcript was not followed: a defect of ours");
                return end;
            }
            Err(_) => {
                tracing::error!(session = %id, "following a transcript failed by a defect of ours; it is begun again");
                tries += u32::from(last);
                sleep(again).await;
                again = (again * 2).min(AGAIN_AT_LEAST);
                followed = Followed::begin(app, followed.session.clone())?;
                continue;
            }
        }
        let began = Instant::now();
        if timeout(pause, woken.notified()).await.is_ok() {
            // However often it is told, it looks four times a second at most.
            sleep((EVERY / 4).saturating_sub(began.elapsed())).await;
            (pause, look_at) = (EVERY, Instant::now());
        } else {
            pause = if last { EVERY } else { (pause * 2).min(AT_LEAST) };
        }
    }
}
