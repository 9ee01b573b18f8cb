//! A real Unix socket in a temporary folder with the real mouths and, behind them, a small daemon that does what the
//! tests of the mouths need: answer, be slow, be large, panic. Used by `mcp` and `http`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use teleclaude::daemon::backend::{Backend, Call, Event, SessionChange, SessionEvent};
use teleclaude::daemon::front::Front;
use teleclaude::daemon::limits::Limits;
use teleclaude::daemon::listen;
use teleclaude::daemon::peer::Names;
use teleclaude::domain::caller::{Caller, Peer, PersonRef, Role, Rule, Via};
use teleclaude::domain::person::{PersonId, Standing};
use teleclaude::domain::session::SessionId;
use teleclaude::domain::verb::Verb;
use teleclaude::wire::fault::{Fault, FaultCode};
use teleclaude::wire::reply::{HealthReply, Reply, WhoamiReply};
use teleclaude::wire::request::Request;
use teleclaude::wire::session::{ContentReply, SessionsReply, WatchingReply};
use tokio::net::UnixStream;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than anything here takes; only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The token that makes a caller the agent of [`SESSION`].
pub const TOKEN: &str = "an-invented-token";
/// A session of the caller's.
pub const SESSION: &str = "0193b2a0-0000-7000-8000-000000000001";

/// The daemon behind the mouths in these tests.
pub struct Fake {
    pub limits: Arc<Limits>,
    pub events: broadcast::Sender<Event>,
    /// Requests that were begun.
    pub begun: AtomicUsize,
    /// Lets requests for the project `slow` go on.
    pub go: Notify,
    /// Whether the caller is nobody.
    pub public: AtomicBool,
    /// What was refused because of the role.
    pub refused: Mutex<Vec<Verb>>,
    /// The last peer that asked.
    pub peer: Mutex<Option<Peer>>,
}

impl Backend for Fake {
    fn handle<'a>(&'a self, peer: &'a Peer, call: Call) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            *self.peer.lock().unwrap() = Some(peer.clone());
            let caller = self.caller(peer, call.via, call.token.as_ref());
            match call.request {
                Request::Whoami => {
                    Ok(Reply::Whoami(Box::new(WhoamiReply::of(&caller, false, vec!["whoami".to_owned()]))))
                }
                Request::Health => Ok(Reply::Health(HealthReply { status: "ok".to_owned(), detail: None })),
                Request::ListSessions(list) => match list.project.as_deref() {
                    Some("slow") => {
                        self.go.notified().await;
                        Ok(Reply::Sessions(SessionsReply { sessions: Vec::new(), next_cursor: None }))
                    }
                    Some("stuck") => {
                        call.cancel.cancelled().await;
                        Err(Fault::new(FaultCode::Unavailable, "told to stop"))
                    }
                    Some("panic") => panic!("a handler panics, as the test wants"),
                    _ => Ok(Reply::Sessions(SessionsReply { sessions: Vec::new(), next_cursor: None })),
                },
                Request::ShowSession(session) => Err(Fault::not_found("session", &session.session_id)),
                Request::ReadSession(read) => Ok(Reply::Content(Box::new(ContentReply {
                    session_id: read.session_id,
                    status: "running".to_owned(),
                    format: "markdown".to_owned(),
                    content: "x".repeat(usize::try_from(read.tail_chars.unwrap_or(2_000)).unwrap()),
                    captured_at: "2026-01-01T00:00:00Z".to_owned(),
                    truncated: false,
                    next_cursor: None,
                }))),
                Request::Subscribe(session) => {
                    Ok(Reply::Watching(WatchingReply { session_id: session.session_id, watching: true }))
                }
                Request::StopNotifications(session) => {
                    Ok(Reply::Watching(WatchingReply { session_id: session.session_id, watching: false }))
                }
                other => Err(Fault::new(FaultCode::Conflict, format!("{other:?}"))),
            }
        })
    }

    fn caller(&self, peer: &Peer, via: Via, token: Option<&SecretString>) -> Caller {
        let public = self.public.load(Ordering::SeqCst);
        let agent = token.is_some_and(|token| token.expose_secret() == TOKEN);
        Caller {
            uid: peer.uid,
            gid: peer.gid,
            groups: peer.groups.clone(),
            os_username: None,
            person: (!public).then(|| PersonRef { id: person(), name: "ann".to_owned() }),
            role: if public { Role::Public } else { Role::Member },
            standing: Standing::Active,
            rule: Rule { text: "a test".to_owned(), origin: None },
            via,
            agent_of: agent.then(session),
        }
    }

    fn may(&self, caller: &Caller, verb: Verb) -> bool {
        verb == Verb::Whoami || caller.role > Role::Public
    }

    fn refused<'a>(
        &'a self,
        _: &'a Peer,
        _: Via,
        _: Option<&'a SecretString>,
        verb: Verb,
    ) -> BoxFuture<'a, ()> {
        self.refused.lock().unwrap().push(verb);
        Box::pin(async {})
    }

    fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits)
    }

    fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

fn person() -> PersonId {
    PersonId(Uuid::from_u128(7))
}

fn session() -> SessionId {
    SessionId(SESSION.parse().unwrap())
}

/// A running socket.
pub struct Daemon {
    pub fake: Arc<Fake>,
    pub path: PathBuf,
    pub stop: CancellationToken,
    pub served: tokio::task::JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Daemon {
    /// With the default limits.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// With other limits.
    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.sock");
        let mut limits = Limits::default();
        change(&mut limits);
        let fake = Arc::new(Fake {
            limits: Arc::new(limits),
            events: broadcast::Sender::new(16),
            begun: AtomicUsize::new(0),
            go: Notify::new(),
            public: AtomicBool::new(false),
            refused: Mutex::default(),
            peer: Mutex::new(None),
        });
        let front =
            Arc::new(Front::new(Arc::<Fake>::clone(&fake), Arc::new(Names::default()), Arc::default()));
        let stop = CancellationToken::new();
        let socket = listen::bind(&path, 0o600).unwrap();
        let served = tokio::spawn(listen::serve(socket, front, stop.clone()));
        Self { fake, path, stop, served, _folder: folder }
    }

    /// A connection.
    pub async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// Waits until `count` requests were begun.
    pub async fn begun(&self, count: usize) {
        until(|| self.fake.begun.load(Ordering::SeqCst) >= count).await;
    }

    /// Tells of a change of [`SESSION`]; waits until somebody listens.
    pub async fn tell_change(&self) {
        until(|| self.fake.events.receiver_count() > 0).await;
        let event = SessionEvent {
            session_id: session(),
            owner: person(),
            owner_uid: users::get_current_uid(),
            parent: None,
            kind: SessionChange::Row,
        };
        self.fake.events.send(Event::Session(event)).unwrap();
    }
}

/// Waits until something is so.
pub async fn until(so: impl Fn() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("it never came to be so");
}
