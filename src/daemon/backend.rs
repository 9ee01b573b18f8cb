//! What both mouths ask of the daemon behind them: the seam between `mcp`/`http` and `handle`. Types and one trait
//! with two implementations: the real one in `handle`, and the one that the socket's tests bring along.

use crate::daemon::limits::Limits;
use crate::domain::caller::{Caller, Peer, Role, Via};
use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::wire::fault::Fault;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use std::sync::Arc;
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

/// The daemon behind the mouths.
pub trait Backend: Send + Sync + 'static {
    /// Resolves, judges, does, writes down. The caller's identity comes from `peer` alone.
    fn handle<'a>(&'a self, peer: &'a Peer, call: Call) -> BoxFuture<'a, Result<Reply, Fault>>;

    /// Who `peer` is now. Cheap, no I/O: the people map in force decides.
    fn caller(&self, peer: &Peer, via: Via, token: Option<&SecretString>) -> Caller;

    /// Whether `caller` may ever do requests of this kind (see [`kind`]); decides what is listed.
    fn may(&self, caller: &Caller, kind: &'static str) -> bool;

    /// Writes down that `peer` asked for what [`Self::may`] refused. The mouth's answer is the same with or without it.
    fn refused<'a>(
        &'a self,
        peer: &'a Peer,
        via: Via,
        token: Option<&'a SecretString>,
        kind: &'static str,
    ) -> BoxFuture<'a, ()>;

    /// The limits in force.
    fn limits(&self) -> Arc<Limits>;

    /// Looks where the peer's process lies, where that may tell an agent from its human. Once a connection.
    fn look_at(&self, peer: &mut Peer) {
        let _ = peer;
    }

    /// Whether a connection of `peer` is to be closed without a word: single-user mode, or `access.unmapped: refuse`.
    fn turns_away(&self, peer: &Peer) -> bool {
        let _ = peer;
        false
    }

    /// Events from now on. Slow receivers lose the oldest and are told so.
    fn watch(&self) -> tokio::sync::broadcast::Receiver<Event>;
}

/// The kind of a request, as [`Backend::may`] takes it: the tool's name where there is one.
pub const fn kind(request: &Request) -> &'static str {
    match request {
        Request::Whoami => "whoami",
        Request::Health => "health",
        Request::ListProjects => "list_projects",
        Request::ListAgents => "list_agents",
        Request::ListComputers => "list_computers",
        Request::ListSessions(_) => "list_sessions",
        Request::ShowSession(_) => "get_session",
        Request::StartSession(_) => "start_session",
        Request::RunAgentCommand(_) => "run_agent_command",
        Request::SendMessage(_) => "send_message",
        Request::EndSession(_) => "end_session",
        Request::ReadSession(_) => "get_session_data",
        Request::Subscribe(_) => "subscribe",
        Request::StopNotifications(_) => "stop_notifications",
        Request::ListAudit(_) => "list_audit",
        Request::VerifyAudit => "verify_audit",
        Request::ShowConfig => "show_config",
        Request::PutMyConfig(_) => "put_my_config",
        Request::ExplainPerson(_) => "explain_person",
        Request::Reload => "reload",
    }
}
