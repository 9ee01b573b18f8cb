//! Who sees which session's terminal now: seats, the size that fits all of them, presence, and what an attachment
//! leaves in the audit log. What goes over the connection is `http::attach`.

use crate::daemon::app::App;
use crate::daemon::backend::{Event, SessionChange, SessionEvent};
use crate::daemon::hosts::{HostError, Hosts};
use crate::daemon::limits::{Bucket, Entered, Gate};
use crate::daemon::trail::{self, START, Trail};
use crate::domain::action::Action;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::policy::Permit;
use crate::domain::session::{Exit, Session, SessionId, SessionStatus};
use crate::domain::timestamp::Timestamp;
use crate::host::client::{Receiver, Sender};
use crate::host::protocol::{Status, ToHost};
use crate::host::spec::Size;
use crate::store::audit::{self, Filter, Place};
use crate::store::connect::Store;
use crate::store::session;
use crate::usecase::{Facts, witness};
use crate::wire::attach::{AttachedRow, TerminalSize};
use crate::wire::fault::{Fault, FaultCode};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

/// Attachments of one session, at most: a host takes 16 connections, and the daemon needs some itself.
pub const PER_SESSION: usize = 8;
/// Attachments of one uid, at most.
pub const PER_UID: usize = 32;
/// Rows that are read at once when the ends of a killed daemon are looked for.
const PAGE: u64 = 500;
/// A session that is starting has a host within this, or is told to be tried again.
const UP_WITHIN: Duration = Duration::from_secs(5);
/// When a host is gone, its session's end is in the database within this, if it has ended.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// All attachments of this daemon. Kept in memory only: they end with it.
pub struct Attachments {
    hosts: Hosts,
    events: broadcast::Sender<Event>,
    rooms: Mutex<HashMap<SessionId, Arc<Room>>>,
    of_uid: Arc<Gate>,
}

/// One session's attachments. It is there while there are any, and until the terminal has its own size back.
struct Room {
    about: SessionEvent,
    /// One at a time changes the size, so that the last one to look is the last one heard.
    fitting: tokio::sync::Mutex<()>,
    inside: Mutex<Inside>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Inside {
    next: u64,
    /// The size before anybody came.
    own_size: Option<Size>,
    taken: Vec<Taken>,
}

struct Taken {
    id: u64,
    row: AttachedRow,
    /// Whether its size counts where nobody types: the owner's does, an onlooker changes nothing.
    counts: bool,
    size: Option<Size>,
}

impl Inside {
    /// The smallest of those who type, else of the owner's, else the terminal's own.
    fn wanted(&self) -> Option<Size> {
        let smallest = |among: fn(&Taken) -> bool| {
            self.taken
                .iter()
                .filter(|t| among(t))
                .filter_map(|t| t.size)
                .reduce(|a, b| Size { cols: a.cols.min(b.cols), rows: a.rows.min(b.rows) })
        };
        smallest(|t| t.row.input).or_else(|| smallest(|t| t.counts)).or(self.own_size)
    }
}

impl Room {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attachments {
    /// None yet.
    pub fn new(hosts: Hosts, events: broadcast::Sender<Event>) -> Arc<Self> {
        Arc::new(Self { hosts, events, rooms: Mutex::default(), of_uid: Arc::default() })
    }

    /// Who is attached to this session.
    pub fn rows(&self, session_id: &str) -> Vec<AttachedRow> {
        let Ok(id) = session_id.parse().map(SessionId) else { return Vec::new() };
        self.rooms().get(&id).map(|room| rows(room)).unwrap_or_default()
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the places for what a uid may see live at a time: terminals, and transcripts that are followed.
    ///
    /// # Errors
    /// `limit_reached`.
    pub fn place(&self, uid: u32) -> Result<Entered, Fault> {
        self.of_uid.enter(Bucket::Uid(uid), PER_UID).ok_or_else(|| full("this user", PER_UID))
    }

    fn take_seat(
        self: &Arc<Self>,
        session: &Session,
        uid: u32,
        row: AttachedRow,
        counts: bool,
    ) -> Result<Seat, Fault> {
        let place = self.place(uid)?;
        let mut rooms = self.rooms();
        let room = rooms.entry(session.id).or_insert_with(|| Arc::new(Room::of(session)));
        let mut inside = room.inside();
        if inside.taken.len() >= PER_SESSION {
            return Err(full("the session", PER_SESSION));
        }
        let id = inside.next;
        inside.next += 1;
        inside.taken.push(Taken { id, row, counts, size: None });
        drop(inside);
        let seat = Seat { all: Arc::clone(self), room: Arc::clone(room), id, _place: place };
        drop(rooms);
        self.tell(&seat.room);
        Ok(seat)
    }

    /// Gives the terminal the size that fits all. When this returns, the host has it.
    async fn fit(&self, room: &Room) -> Result<(), HostError> {
        let session = room.about.session_id;
        let _alone = room.fitting.lock().await;
        let now = self.hosts.snapshot(session, 0).await?.size;
        let wanted = {
            let mut inside = room.inside();
            inside.own_size.get_or_insert(now);
            inside.wanted()
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != now) {
            self.hosts.resize(session, wanted).await?;
            // Its answer comes after the resize was done.
            self.hosts.snapshot(session, 0).await?;
        }
        Ok(())
    }

    /// Closes a room that is empty.
    fn close(&self, room: &Room) {
        let mut rooms = self.rooms();
        if room.inside().taken.is_empty() {
            rooms.remove(&room.about.session_id);
        }
    }

    fn tell(&self, room: &Room) {
        room.changed.send_replace(());
        // Nobody watching is no error.
        let _ = self.events.send(Event::Session(room.about.clone()));
    }
}

impl Room {
    fn of(session: &Session) -> Self {
        Self {
            about: SessionEvent {
                session_id: session.id,
                owner: session.owner,
                owner_uid: session.owner_uid,
                parent: session.parent,
                kind: SessionChange::Row,
            },
            fitting: tokio::sync::Mutex::default(),
            inside: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

fn full(of: &str, most: usize) -> Fault {
    Fault::new(FaultCode::LimitReached, format!("{of} has {most} attachments, as many as it may"))
        .hint("detach one of them: `teleclaude sessions show ID` says who is attached")
}

fn rows(room: &Room) -> Vec<AttachedRow> {
    room.inside().taken.iter().map(|taken| taken.row.clone()).collect()
}

/// A place among those who are attached. Dropping it gives the terminal back the size that fits the others.
struct Seat {
    all: Arc<Attachments>,
    room: Arc<Room>,
    id: u64,
    _place: Entered,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.inside().taken.retain(|taken| taken.id != self.id);
        self.all.tell(&self.room);
        let (all, room) = (Arc::clone(&self.all), Arc::clone(&self.room));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // A host that is gone has no size.
                let _ = all.fit(&room).await;
                all.close(&room);
            });
        }
    }
}

/// A session's terminal, for one who may see it.
pub struct Attachment {
    /// To the session's host …
    pub sender: Sender,
    /// … and from it.
    pub receiver: Receiver,
    /// How the session has ended, if it had when the host was reached.
    pub exit: Option<Exit>,
    /// What was permitted.
    pub action: Action,
    /// Whether keystrokes are taken.
    pub input: bool,
    session: SessionId,
    hosts: Hosts,
    room: Arc<Room>,
    seat: Option<Seat>,
    trail: Trail,
}

/// Takes a seat, writes the start down if it is to be, and reaches the host. Nothing is shown before that.
///
/// # Errors
/// `conflict`: there is nothing to attach to. `limit_reached`, `audit_unavailable`, `unavailable`.
pub async fn open(app: &App, facts: &Facts, permit: Permit, deadline: Instant) -> Result<Attachment, Fault> {
    let (caller, asked) = (permit.caller().clone(), permit.action().clone());
    let Action::Attach { session, input, .. } = &asked else {
        return Err(Fault::new(FaultCode::Internal, "this is not attaching"));
    };
    let (id, input) = (session.id, *input);
    if *session.computer != *facts.computer {
        let problem = format!("the terminal of {id} is on {}", session.computer);
        return Err(Fault::new(FaultCode::Unavailable, problem).hint("ask the daemon of that machine"));
    }
    if session.status == SessionStatus::Ended {
        return Err(Fault::new(FaultCode::Conflict, format!("session {id} is {}", session.status))
            .hint("`teleclaude transcript` shows what it showed"));
    }
    let row = AttachedRow { person: caller.name(), since: facts.now.to_string(), input };
    let counts = caller.agent_of.is_none() && session.is_own(&caller);
    let seat = app.attachments().take_seat(session, caller.uid, row, counts)?;
    let written = witness::write_down(app.store(), facts, permit, deadline).await?;
    app.tell_of(&written);
    let mut trail = Trail::new(app.store().clone(), written.row().cloned(), facts.now);
    let (sender, receiver, status) = match reach(app.hosts(), session).await {
        Ok(reached) => reached,
        Err(error) => {
            trail.end("the host was not reached", AuditOutcome::Failure).await;
            return Err(Fault::new(FaultCode::Unavailable, format!("session {id}: {error}"))
                .hint("a session that is starting has no terminal yet: try again"));
        }
    };
    Ok(Attachment {
        sender,
        receiver,
        exit: status.exit,
        action: asked,
        input,
        session: id,
        hosts: app.hosts().clone(),
        room: Arc::clone(&seat.room),
        seat: Some(seat),
        trail,
    })
}

/// A connection to the session's host; one that is just coming up is waited for.
async fn reach(hosts: &Hosts, session: &Session) -> Result<(Sender, Receiver, Status), HostError> {
    let until = Instant::now() + UP_WITHIN;
    while session.status == SessionStatus::Starting && Instant::now() < until {
        // Not before the daemon itself has claimed it: that closes earlier connections.
        if hosts.snapshot(session.id, 0).await.is_ok() {
            break;
        }
        tokio::time::sleep(UP_WITHIN / 100).await;
    }
    hosts.attach(session.id).await
}

/// Writes the second rows of attachments that an earlier daemon could not end because it was killed. To be called
/// before this one's start is written down: the last start is where that daemon's rows begin.
///
/// # Errors
/// The database.
pub async fn end_of_killed(store: &Store, now: Timestamp) -> anyhow::Result<()> {
    let of = |action: &str, since| Filter {
        action: Some(action.to_owned()),
        computer: Some(store.computer().to_owned()),
        since,
        ..Filter::default()
    };
    let starts = audit::page(store.reader(), &of("daemon.start", None), None, 1).await?;
    let Some(since) = starts.first().map(|row| row.draft.at) else { return Ok(()) };
    for action in ["session.watch", "session.attach", "transcript.read"] {
        let (filter, mut before, mut ended) = (of(action, Some(since)), None, HashSet::new());
        loop {
            // Newest first: an end comes before its start.
            let page = audit::page(store.reader(), &filter, before.as_ref(), PAGE).await?;
            before = page.last().map(Place::from);
            for row in &page {
                let detail = row.draft.detail.as_deref().unwrap_or_default();
                if detail != START {
                    ended.insert(row.draft.request_id.clone());
                } else if !ended.contains(&row.draft.request_id) {
                    let detail = serde_json::json!({ "event": "end", "ended": "the daemon was killed" });
                    let end = AuditDraft { at: now, ..row.draft.clone() }.with_detail(&detail);
                    store.append(Instant::now() + trail::WRITE, end).await?;
                }
            }
            if (page.len() as u64) < PAGE {
                break;
            }
        }
    }
    Ok(())
}

impl Attachment {
    /// Who is attached now.
    pub fn rows(&self) -> Vec<AttachedRow> {
        rows(&self.room)
    }

    /// Fires when somebody comes or goes.
    pub fn presence(&self) -> watch::Receiver<()> {
        self.room.changed.subscribe()
    }

    /// The terminal on which it is shown has this size now; the session's follows if it has to.
    ///
    /// # Errors
    /// The host cannot be asked.
    pub async fn fit(&self, size: TerminalSize) -> Result<(), HostError> {
        let Some(seat) = &self.seat else { return Ok(()) };
        let size = Size { cols: size.cols, rows: size.rows }.clamped();
        if let Some(own) = self.room.inside().taken.iter_mut().find(|taken| taken.id == seat.id) {
            own.size = Some(size);
        }
        seat.all.fit(&self.room).await
    }

    /// Asks for the screen as it is, and for all output from then on.
    ///
    /// # Errors
    /// The host is gone.
    pub async fn paint(&mut self) -> Result<(), HostError> {
        // More than there ever was is never there to be had: the answer is the screen.
        let from = u64::MAX;
        self.sender.send(&ToHost::Subscribe { from }).await.map_err(|_| HostError::Unreachable)
    }

    /// Reaches the host again, which drops those who are slow, and asks for the screen.
    ///
    /// # Errors
    /// The host is gone, and with it the session's terminal.
    pub async fn again(&mut self) -> Result<(), HostError> {
        let (sender, receiver, status) = self.hosts.attach(self.session).await?;
        (self.sender, self.receiver, self.exit) = (sender, receiver, status.exit);
        self.paint().await
    }

    /// How the session ended, if it has: a host that is gone is soon known to be.
    pub async fn ended(&self) -> Option<Exit> {
        let until = Instant::now() + KNOWN_WITHIN;
        loop {
            let row = session::by_id(self.trail.store().reader(), self.session).await.ok()??;
            if row.status == SessionStatus::Ended || Instant::now() >= until {
                return row.exit;
            }
            tokio::time::sleep(KNOWN_WITHIN / 20).await;
        }
    }

    /// So many bytes, the first of them number `seq` of the session's output, are on their way.
    pub fn saw(&mut self, seq: u64, bytes: usize) {
        self.trail.seen.saw(seq, seq + bytes as u64, bytes);
    }

    /// The screen as it was after `seq` bytes of output is on its way.
    pub fn saw_screen(&mut self, seq: u64, bytes: usize) {
        self.saw(seq, 0);
        self.trail.seen.saw_more(bytes);
    }

    /// So many bytes were typed.
    pub fn typed(&mut self, bytes: usize) {
        self.trail.seen.typed(bytes);
    }

    /// No longer one of those who are attached.
    pub fn leave(&mut self) {
        self.seat = None;
    }

    /// It is over: that is written down if the start was.
    pub async fn end(mut self, how: &str) {
        self.leave();
        self.trail.end(how, AuditOutcome::Success).await;
    }
}
