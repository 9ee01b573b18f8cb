//! What both mouths ask of the daemon behind them: the seam between `mcp`/`http` and `handle`. Types and one trait
//! with two implementations: the real one in `handle`, and the one that the socket's tests bring along.

use crate::daemon::attach::Attachment;
use crate::daemon::audit_log::Stream;
use crate::daemon::export::Exported;
use crate::daemon::follow::Following;
use crate::daemon::limits::Limits;
use crate::domain::action::Action;
use crate::domain::caller::{Caller, Peer, Role, Via};
use crate::domain::library::Change;
use crate::domain::person::PersonId;
use crate::domain::session::{Session, SessionId};
use crate::domain::verb::Verb;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One request, ready to be handled.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// By which mouth it came.
    pub via: Via,
    /// The session token that was shown, if one was.
    pub token: Option<SecretString>,
    /// When the asker stops waiting.
    pub deadline: tokio::time::Instant,
    /// Fires when the asker cancels or is gone, and four seconds into a stop.
    pub cancel: CancellationToken,
}

/// What somebody may be told of without having asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session began, ended, became busy or idle, or showed something new.
    Session(SessionEvent),
    /// Somebody's inbox has something new.
    Inbox {
        /// Whose.
        person: PersonId,
        /// At which uid only, where it is about what belongs to person and uid together.
        uid: Option<u32>,
    },
    /// Shared documents came, went or changed.
    Documents(Arc<[Change]>),
    /// Roles, tools, projects or agents may have changed for anybody.
    Catalogue,
}

/// A change of one session. Holds what is needed to decide who may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEvent {
    /// Which session.
    pub session_id: SessionId,
    /// The person it belongs to …
    pub owner: PersonId,
    /// … at this uid.
    pub owner_uid: u32,
    /// The session whose agent started it.
    pub parent: Option<SessionId>,
    /// What changed.
    pub kind: SessionChange,
}

/// What changed of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// Its row: status, activity, title, exit.
    Row,
    /// Its transcript has more.
    Content,
}

impl SessionChange {
    /// The word in `/api/v1/events`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Row => "session",
            Self::Content => "content",
        }
    }
}

impl SessionEvent {
    /// That a session's row changed.
    pub fn of_row(session: &Session) -> Self {
        Self {
            session_id: session.id,
            owner: session.owner,
            owner_uid: session.owner_uid,
            parent: session.parent,
            kind: SessionChange::Row,
        }
    }

    /// Whether `caller` may know of it: the owner, an admin, or the agent of this session or of its parent.
    pub fn visible_to(&self, caller: &Caller) -> bool {
        if caller.standing.refusal().is_some() || caller.role == Role::Public {
            return false;
        }
        let own = self.owner_uid == caller.uid
            && caller.person.as_ref().is_some_and(|person| person.id == self.owner);
        match caller.agent_of {
            Some(agent) => own && (self.session_id == agent || self.parent == Some(agent)),
            None => own || caller.role == Role::Admin,
        }
    }
}

impl Event {
    /// Whether `caller` may know of it.
    pub fn visible_to(&self, caller: &Caller) -> bool {
        match self {
            Self::Catalogue => true,
            Self::Documents(changes) => {
                caller.standing.refusal().is_none() && changes.iter().any(|change| caller.role >= change.role)
            }
            Self::Session(event) => event.visible_to(caller),
            Self::Inbox { person, uid } => {
                caller.standing.refusal().is_none()
                    && caller.role > Role::Public
                    && uid.is_none_or(|uid| uid == caller.uid)
                    && caller.person.as_ref().is_some_and(|own| own.id == *person)
            }
        }
    }
}

/// An answer that lives on after its request was judged, and written down.
pub enum Live {
    /// To [`Request::Attach`]: a terminal.
    Attached(Box<Attachment>),
    /// To [`Request::FollowSession`]: what is said, as it is said.
    Followed(Box<Following>),
    /// To [`Request::ExportSession`]: a file, as it is made.
    Exported(Box<Exported>),
    /// To [`Request::ExportAudit`] and [`Request::FollowAudit`]: rows of the audit log.
    Rows(Stream),
}

impl Live {
    /// What the mouth says that got another answer than it asked for.
    pub fn misled() -> Fault {
        Fault::new(FaultCode::Internal, "this answer is of another kind")
    }
}

/// The daemon behind the mouths.
pub trait Backend: Send + Sync + 'static {
    /// Resolves, judges, does, writes down. The caller's identity comes from `peer` alone.
    fn handle<'a>(&'a self, peer: &'a Peer, call: Call) -> BoxFuture<'a, Result<Reply, Fault>>;

    /// The same for what is answered in parts, while it is made.
    fn live<'a>(&'a self, peer: &'a Peer, call: Call) -> BoxFuture<'a, Result<Live, Fault>> {
        let _ = (peer, call);
        Box::pin(async { Err(Fault::new(FaultCode::Unavailable, "nothing is answered in parts here")) })
    }

    /// Whether `peer` may still do what it was permitted before. Cheap, no I/O, and written down nowhere.
    ///
    /// # Errors
    /// Why not.
    fn may_still(&self, peer: &Peer, token: Option<&SecretString>, action: &Action) -> Result<(), Fault> {
        let _ = (peer, token, action);
        Ok(())
    }

    /// Who `peer` is now. Cheap, no I/O: the people map in force decides.
    fn caller(&self, peer: &Peer, via: Via, token: Option<&SecretString>) -> Caller;

    /// Whether `caller` may ever do such a thing; decides what is listed.
    fn may(&self, caller: &Caller, verb: Verb) -> bool;

    /// Writes down that `peer` asked for what [`Self::may`] refused. The mouth's answer is the same with or without it.
    fn refused<'a>(
        &'a self,
        peer: &'a Peer,
        via: Via,
        token: Option<&'a SecretString>,
        verb: Verb,
    ) -> BoxFuture<'a, ()>;

    /// What the config has the prompt of this caller's role say instead of ours.
    fn prompt(&self, caller: &Caller) -> Option<String> {
        let _ = caller;
        None
    }

    /// A request has been answered, or not, after so long: for whoever counts.
    fn answered(&self, verb: Verb, fault: Option<FaultCode>, took: Duration) {
        let _ = (verb, fault, took);
    }

    /// The limits in force.
    fn limits(&self) -> Arc<Limits>;

    /// Looks where the process at the other end lies, where that may tell an agent from its human. Once a connection.
    fn look_at(&self, peer: &mut Peer, socket: BorrowedFd<'_>) {
        let _ = (peer, socket);
    }

    /// Whether a connection of `peer` is to be closed without a word: single-user mode, or `access.unmapped: refuse`.
    fn turns_away(&self, peer: &Peer) -> bool {
        let _ = peer;
        false
    }

    /// Events from now on. Slow receivers lose the oldest and are told so.
    fn watch(&self) -> tokio::sync::broadcast::Receiver<Event>;
}
