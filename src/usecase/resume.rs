//! Running an ended session again: what has to be known before it can be judged, and the move from ended to starting.
//! The agent itself is started afterwards, by the daemon's effects.

use crate::domain::action::{Action, Resumption};
use crate::domain::caller::Caller;
use crate::domain::credential::Holder;
use crate::domain::session::{Profile, Session, SessionStatus};
use crate::store::conn::Conn;
use crate::store::session;
use crate::store::writer::Tx;
use crate::usecase::resolve::{find, reason, unavailable};
use crate::usecase::run::rules;
use crate::usecase::sessions::{RESUME, effect, happened, needs_runner};
use crate::usecase::{Explained, Facts, credential, place};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::request::Steering;
use crate::wire::session::SessionReply;
use std::sync::Arc;

/// The uid of the owner of the session that is meant, if the caller may know of it.
pub async fn owner_uid(conn: &Conn, caller: &Caller, session_id: &str) -> Option<u32> {
    find(conn, caller, session_id).await.ok().map(|session| session.owner_uid)
}

/// From a session's name to what is judged. `owner` is who owns it today.
pub(super) async fn resolve(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    args: Steering,
    owner: Option<Explained>,
) -> Result<Action, Fault> {
    let reason = reason(args.reason)?;
    let session = find(conn, caller, &args.session_id).await?;
    let owner = match owner {
        Some(owner) if owner.who.uid == session.owner_uid => owner,
        // It is judged as nobody's, which it is to them.
        _ => Explained { who: caller.clone(), projects: Arc::clone(&facts.own_projects) },
    };
    let limits = rules(facts, &owner.who);
    let agent = facts.config.agents.by_name.get(&session.agent).filter(|agent| agent.enabled);
    let mut resumption = Resumption {
        reason,
        profile: limits.profile,
        max_sessions: limits.max_sessions,
        open_sessions: 0,
        open: true,
        // Of an agent that is gone, that it is gone is said.
        can_be_restricted: agent.is_none_or(|agent| agent.profile(Profile::Restricted).is_some()),
        obstacle: None,
        owner: owner.who.clone(),
        session,
    };
    if *resumption.session.computer == *facts.computer && !resumption.session.status.is_open() {
        look_at_place(facts, owner, &mut resumption).await;
    }
    count(conn, &mut resumption).await?;
    Ok(Action::ResumeSession(Box::new(resumption)))
}

/// Whether where it ran is open to its owner today, and still there.
async fn look_at_place(facts: &Facts, owner: Explained, resumption: &mut Resumption) {
    let session = &resumption.session;
    let facts = Facts { own_projects: owner.projects, ..facts.clone() };
    let project = session.project.as_ref().unwrap_or(&session.project_path);
    match place::look(&owner.who, &facts, project, session.subdir.as_deref()).await {
        Ok(place) => {
            resumption.open = place.open;
            if place.open && place.project_path != session.project_path {
                let now = place.project_path;
                resumption.obstacle = Some(format!("the project `{project}` is another folder now: {now}"));
            }
        }
        Err(fault) => resumption.obstacle = Some(fault.message),
    }
}

/// How many sessions the owner has open.
pub(super) async fn count(conn: &Conn, resumption: &mut Resumption) -> Result<(), Fault> {
    let owner = resumption.session.owner;
    resumption.open_sessions = session::open_count(conn, owner).await.map_err(unavailable)?;
    Ok(())
}

/// Moves the session from ended to starting, once.
pub(super) async fn resume(
    tx: &mut Tx,
    facts: &Facts,
    resumption: Resumption,
    profile: Profile,
) -> Result<Reply, Fault> {
    let session = *resumption.session;
    if let Some(fault) = why_not(facts, &session) {
        return Err(fault);
    }
    if let Some(obstacle) = resumption.obstacle {
        return Err(conflict(format!("session {} cannot run where it ran: {obstacle}", session.id)));
    }
    needs_runner(facts)?;
    let holder = Holder::Person { person: session.owner, uid: session.owner_uid };
    credential::check(tx.conn(), facts, &holder, &session.agent).await?;
    if !session::resume(tx.conn(), session.id, profile, facts.now).await.map_err(unavailable)? {
        return Err(runs(&session));
    }
    happened(tx, facts, &session, "resumed").await?;
    effect(tx, facts, facts.message_id, &session, RESUME).await?;
    let now = Session {
        status: SessionStatus::Starting,
        profile,
        exit: None,
        ended: None,
        last_activity: session.last_activity.max(facts.now),
        ..session
    };
    Ok(Reply::Changed(Box::new(SessionReply::from(&now))))
}

/// Why a session is not one that can be resumed here.
fn why_not(facts: &Facts, session: &Session) -> Option<Fault> {
    if *session.computer != *facts.computer {
        let problem = format!("session {} lies on {}", session.id, session.computer);
        return Some(
            Fault::new(FaultCode::Unavailable, problem).hint("ask the daemon of that machine to resume it"),
        );
    }
    if session.status.is_open() {
        return Some(runs(session));
    }
    if session.native_id.is_none() {
        let why =
            format!("session {} cannot be resumed: its agent never said which session it was", session.id);
        return Some(conflict(why).hint("start a new one with `teleclaude sessions start`"));
    }
    match facts.config.agents.by_name.get(&session.agent).filter(|agent| agent.enabled) {
        None => Some(conflict(format!("the agent `{}` is no longer configured", session.agent))),
        Some(agent) if agent.resume.is_empty() => Some(
            conflict(format!("the agent `{}` cannot resume a session", session.agent))
                .hint("start a new one with `teleclaude sessions start`"),
        ),
        Some(_) => None,
    }
}

fn runs(session: &Session) -> Fault {
    conflict(format!("session {} has not ended: it is {}", session.id, session.status))
}

fn conflict(why: String) -> Fault {
    Fault::new(FaultCode::Conflict, why)
}
