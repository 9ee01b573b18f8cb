//! Sessions: their list, starting, sending, interrupting and ending them, and what their machine's daemon is to do
//! afterwards.

use crate::domain::action::{NewMessage, NewSession, SessionQuery};
use crate::domain::caller::Caller;
use crate::domain::policy::Listing;
use crate::domain::session::{Profile, Session, SessionStatus, Worktree};
use crate::store::connect::Store;
use crate::store::session::Filter;
use crate::store::writer::Tx;
use crate::store::{activity, label, message, outbox, session};
use crate::usecase::resolve::unavailable;
use crate::usecase::run::not_here;
use crate::usecase::{Facts, cursor, question};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::session::{EndedReply, SentReply, SessionReply, SessionsReply, StartedReply};
use uuid::Uuid;

/// The effect that starts a session's host.
pub const START: &str = "start";
/// The effect that ends a session.
pub const END: &str = "end";
/// The effect that starts the host of a session that had ended.
pub const RESUME: &str = "resume";
/// The effect that interrupts an agent.
pub const INTERRUPT: &str = "interrupt";
/// The effect that removes a session's worktree once it has ended.
pub const REMOVE_WORKTREE: &str = "remove_worktree";
/// The effect that deletes all that is kept of a session, and then its row.
pub const PURGE: &str = "purge";

/// A page of those that the caller may see.
pub(super) async fn list(
    store: &Store,
    facts: &Facts,
    caller: &Caller,
    listing: Listing,
    query: &SessionQuery,
) -> Result<SessionsReply, Fault> {
    let own = caller.person.as_ref().map(|p| (p.id, caller.uid));
    let family = match listing {
        Listing::Family(agent) => Some(agent),
        Listing::All | Listing::Own => None,
    };
    let filter = Filter {
        owner: if listing == Listing::All { None } else { own },
        owner_name: query.owner.clone(),
        project: query.project.clone(),
        status: query.status,
        agent: query.agent.clone(),
        since: query.since,
        labels: query.labels.clone(),
        parent: query.children_of,
        family,
        computer: (!query.all_computers).then(|| facts.computer.to_string()),
    };
    if listing != Listing::All && own.is_none() {
        return Ok(SessionsReply { sessions: Vec::new(), next_cursor: None });
    }
    let rows = session::page(store.reader(), &filter, query.after, query.limit).await.map_err(unavailable)?;
    let full = rows.len() as u64 == query.limit;
    let next_cursor = rows.last().filter(|_| full).map(|s| cursor::of_session(s.last_activity, s.id));
    let mut sessions: Vec<SessionReply> = rows.iter().map(SessionReply::from).collect();
    question::count(store.reader(), &rows, &mut sessions).await?;
    Ok(SessionsReply { sessions, next_cursor })
}

/// Agents of a system run as their owners, which takes the runner; as the service user only if the config says so in
/// so many words. There is no falling back from the one to the other. Looks only whether the runner's socket is there.
///
/// # Errors
/// `needs_runner`.
pub fn needs_runner(facts: &Facts) -> Result<(), Fault> {
    let Some(socket) = facts.runner.as_deref().filter(|socket| !socket.exists()) else { return Ok(()) };
    let enable = if cfg!(target_os = "macos") {
        "run bin/install-system.sh again"
    } else {
        "do `systemctl enable --now teleclaude-runner.socket`"
    };
    Err(Fault::new(
        FaultCode::NeedsRunner,
        format!(
            "sessions run as their owners here (sessions.run_as: owner), and teleclaude-runner, which does that, is not there: no {}",
            socket.display()
        ),
    )
    .hint(format!(
        "ask an admin to {enable}, or to set sessions.run_as: service where all may read what all do"
    )))
}

/// Makes one, and has its host started.
pub(super) async fn start(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    new: NewSession,
    profile: Profile,
) -> Result<Reply, Fault> {
    let Some(person) = &caller.person else { return Err(not_here("a session of nobody's")) };
    let session = Session {
        id: new.id,
        title: new.title,
        owner: person.id,
        owner_name: person.name.clone(),
        owner_uid: caller.uid,
        actor_name: caller.name(),
        computer: facts.computer.to_string(),
        project: new.project.map(|p| p.name),
        project_path: new.project_path,
        subdir: new.subdir,
        worktree: new.worktree.then(Worktree::default),
        agent: new.agent,
        thinking_mode: new.thinking_mode,
        profile,
        status: SessionStatus::Starting,
        activity: None,
        exit: None,
        parent: caller.agent_of,
        native_id: None,
        client_id: new.client_id,
        created: facts.now,
        last_activity: facts.now,
        ended: None,
    };
    session::insert(tx.conn(), &session).await.map_err(unavailable)?;
    label::set(tx.conn(), session.id, &new.labels).await.map_err(unavailable)?;
    happened(tx, facts, &session, "created").await?;
    effect(tx, facts, facts.session_id, &session, START).await?;
    if let Some(text) = new.message {
        enqueue(tx, facts, &session, text).await?;
    }
    Ok(started(facts, &session))
}

/// Puts a message into its queue.
pub(super) async fn send(
    tx: &mut Tx,
    facts: &Facts,
    session: &Session,
    message: NewMessage,
) -> Result<Reply, Fault> {
    if matches!(session.status, SessionStatus::Ending | SessionStatus::Ended) {
        return Err(Fault::new(FaultCode::Conflict, format!("session {} is {}", session.id, session.status))
            .hint("start a new one with `teleclaude sessions start`"));
    }
    let id = message.id;
    let kept = enqueue(tx, facts, session, message).await?;
    if kept.id == id {
        happened(tx, facts, session, "message_queued").await?;
    }
    Ok(Reply::Sent(SentReply {
        session_id: session.id.to_string(),
        message_id: kept.id.to_string(),
        state: kept.state.name().to_owned(),
    }))
}

/// Has what its agent does interrupted.
pub(super) async fn interrupt(tx: &mut Tx, facts: &Facts, session: &Session) -> Result<Reply, Fault> {
    if session.status != SessionStatus::Running {
        return Err(Fault::new(FaultCode::Conflict, format!("session {} is {}", session.id, session.status))
            .hint("only what runs can be interrupted"));
    }
    happened(tx, facts, session, "interrupted").await?;
    effect(tx, facts, facts.message_id, session, INTERRUPT).await?;
    Ok(Reply::Changed(Box::new(SessionReply::from(session))))
}

/// Has it ended, and its worktree removed if that is asked for; whether that is news.
pub(super) async fn end(
    tx: &mut Tx,
    facts: &Facts,
    session: &Session,
    remove_worktree: bool,
) -> Result<(Reply, bool), Fault> {
    let status = match session.status {
        SessionStatus::Starting | SessionStatus::Running => {
            let id = session.id;
            session::set_status(tx.conn(), id, SessionStatus::Ending).await.map_err(unavailable)?;
            effect(tx, facts, facts.session_id, session, END).await?;
            SessionStatus::Ending
        }
        status => status,
    };
    let removes = remove_worktree && session.worktree.as_ref().is_some_and(|w| w.path.is_some());
    if removes {
        // Made after the other's, so it comes after it.
        effect(tx, facts, facts.message_id, session, REMOVE_WORKTREE).await?;
    }
    Ok((ended(session, status, removes), status != session.status || removes))
}

/// A row of what happened in a session, for this request.
pub(super) async fn happened(tx: &mut Tx, facts: &Facts, session: &Session, kind: &str) -> Result<(), Fault> {
    let event = activity::Event {
        id: facts.request_id,
        session: session.id,
        at: facts.now,
        kind: kind.to_owned(),
        detail: None,
        actor: Some(facts.actor.clone()),
    };
    activity::insert(tx.conn(), &event).await.map_err(unavailable)
}

async fn enqueue(
    tx: &mut Tx,
    facts: &Facts,
    session: &Session,
    new: NewMessage,
) -> Result<message::Message, Fault> {
    message::enqueue(tx.conn(), session.id, new.id, &new.text, new.client_id.as_deref(), new.slash, facts.now)
        .await
        .map_err(unavailable)
}

/// What the daemon of the session's machine is to do once this transaction is committed.
pub(super) async fn effect(
    tx: &mut Tx,
    facts: &Facts,
    id: Uuid,
    session: &Session,
    kind: &str,
) -> Result<(), Fault> {
    let effect = outbox::Effect {
        id,
        computer: session.computer.clone(),
        kind: kind.to_owned(),
        session: session.id,
        payload: "{}".to_owned(),
        created: facts.now,
    };
    outbox::insert(tx.conn(), &effect).await.map_err(unavailable)
}

/// What is answered to who started it.
pub(super) fn started(facts: &Facts, session: &Session) -> Reply {
    let notice = (!facts.single_user).then(|| facts.config.sessions.notice.clone());
    Reply::Started(Box::new(StartedReply { session: session.into(), notice }))
}

fn ended(session: &Session, status: SessionStatus, removes: bool) -> Reply {
    let worktree = session.worktree.as_ref().filter(|_| !removes);
    Reply::Ended(EndedReply {
        session_id: session.id.to_string(),
        status: status.name().to_owned(),
        worktree_path: worktree.and_then(|worktree| worktree.path.clone()),
    })
}

/// Where a session's recording lies.
///
/// # Errors
/// `unavailable`: it lies on another machine.
pub fn recording_path(facts: &Facts, session: &Session) -> Result<std::path::PathBuf, Fault> {
    if *session.computer != *facts.computer {
        let problem = format!("the recording of {} lies on {}", session.id, session.computer);
        return Err(Fault::new(FaultCode::Unavailable, problem).hint("ask the daemon of that machine"));
    }
    Ok(facts.recordings.join(format!("{}.cast", session.id)))
}
