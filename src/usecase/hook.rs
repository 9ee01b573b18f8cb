//! What an agent's hooks tell becomes what is known of its session: busy, idle, what it asks, the agent's own id and log.

use crate::agent::hook::read;
use crate::config::schema::agents::TranscriptFormat;
use crate::domain::action::Action;
use crate::domain::caller::Caller;
use crate::domain::hook::{HookEvent, HookKind};
use crate::domain::session::{Session, SessionActivity};
use crate::store::conn::Conn;
use crate::store::writer::Tx;
use crate::store::{hook, question, session};
use crate::usecase::Facts;
use crate::usecase::resolve::{no_session, unavailable};
use crate::usecase::sessions::happened;
use crate::wire::fault::Fault;
use crate::wire::reply::Reply;
use crate::wire::request::ReportHook;
use crate::wire::session::HeardReply;

/// From an agent's words to what is judged: always about its own session.
pub(super) async fn resolve(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    args: ReportHook,
) -> Result<Action, Fault> {
    let own = match caller.agent_of {
        Some(id) => session::by_id(conn, id).await.map_err(unavailable)?,
        None => None,
    };
    let session = own.ok_or_else(|| no_session("of this agent"))?;
    let agent = facts.config.agents.by_name.get(&session.agent);
    let format = agent.map_or(TranscriptFormat::None, |agent| agent.transcript);
    let event = Box::new(read(format, &args.event, &args.input));
    Ok(Action::ReportHook { session: Box::new(session), event })
}

/// Keeps what was told.
pub(super) async fn report(
    tx: &mut Tx,
    facts: &Facts,
    session: &Session,
    event: HookEvent,
) -> Result<Reply, Fault> {
    let (id, now) = (session.id, facts.now);
    hook::heard(tx.conn(), id, event.transcript_path.as_deref(), now).await.map_err(unavailable)?;
    let heard = Reply::Heard(HeardReply { session_id: id.to_string() });
    // An agent may begin another session of its own in the same terminal; late words of the one before change nothing.
    let begins = session.native_id.is_none() || event.kind == HookKind::Started;
    if let Some(native) = event.native_id.filter(|_| begins)
        && session.native_id.as_ref() != Some(&native)
    {
        session::native_id(tx.conn(), id, &native).await.map_err(unavailable)?;
    }
    let (settles, activity) = match event.kind {
        HookKind::Started | HookKind::Stopped | HookKind::Ended => (Settles::All, SessionActivity::Idle),
        HookKind::Prompted => (Settles::All, SessionActivity::Busy),
        HookKind::ToolDone { subject } => (Settles::About(subject), SessionActivity::Busy),
        HookKind::ToolBegun => (Settles::Nothing, SessionActivity::Busy),
        HookKind::Asks(asked) => {
            let new =
                question::ask(tx.conn(), facts.message_id, id, &asked, now).await.map_err(unavailable)?;
            if new {
                happened(tx, facts, session, "needs_input").await?;
            }
            (Settles::Nothing, SessionActivity::NeedsInput)
        }
        HookKind::Other => return Ok(heard),
    };
    let subject = match &settles {
        Settles::About(subject) => Some(subject.as_str()),
        Settles::All | Settles::Nothing => None,
    };
    if !matches!(settles, Settles::Nothing) {
        question::withdraw_all(tx.conn(), id, subject, now).await.map_err(unavailable)?;
    }
    // What is asked beside that still is.
    let waits = activity == SessionActivity::Busy
        && !question::open(tx.conn(), id).await.map_err(unavailable)?.is_empty();
    let activity = if waits { SessionActivity::NeedsInput } else { activity };
    session::activity(tx.conn(), id, activity, now).await.map_err(unavailable)?;
    Ok(heard)
}

/// What is asked no more after an event.
enum Settles {
    Nothing,
    About(String),
    All,
}
