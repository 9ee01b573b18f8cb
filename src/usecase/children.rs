//! Telling an agent that a session it started has stopped: for whom that is wanted (`subscribe`, `stop_notifications`),
//! and the one line that is typed into its terminal. What is told follows from the rows alone: from how the session is
//! now and how it was when that was last looked at. So it does not matter who changed it, or whether a daemon died in
//! between. The line goes by the queue of messages, in one transaction with what was seen. It holds no content.

use crate::agent::{self, Manner};
use crate::domain::caller::Caller;
use crate::domain::session::{Exit, Session, SessionActivity, SessionId, SessionStatus, SessionTitle};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use crate::store::subscription::{self, ENDED};
use crate::store::writer::Tx;
use crate::store::{message, session};
use crate::usecase::Facts;
use crate::usecase::resolve::unavailable;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::session::WatchingReply;
use std::time::Duration;
use uuid::Uuid;

/// A message was typed this long ago at least before an agent that was never seen busy counts as done with it.
const DONE_AFTER: Duration = Duration::from_secs(5);

/// How a session is, to the agent that started it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It does something, or will.
    Works,
    /// It did what it was told and waits for a message.
    Waits,
    /// It asks something. What it asks is not told.
    NeedsInput,
    /// It is over, since then.
    Ended(Exit, Timestamp),
}

impl State {
    fn of(session: &Session) -> Self {
        match (session.status, session.activity) {
            (SessionStatus::Ended, _) => Self::Ended(
                session.exit.clone().unwrap_or(Exit::Lost),
                session.ended.unwrap_or(session.last_activity),
            ),
            (SessionStatus::Running, Some(SessionActivity::Idle)) => Self::Waits,
            // Whatever else it does, but for this: it is known by its name.
            (SessionStatus::Running, Some(other)) if other.name() == "needs_input" => Self::NeedsInput,
            _ => Self::Works,
        }
    }

    /// The name under which it is remembered.
    fn name(&self) -> String {
        match self {
            Self::Works => "works".to_owned(),
            Self::Waits => "waits".to_owned(),
            Self::NeedsInput => "needs_input".to_owned(),
            // A session that is resumed ends again.
            Self::Ended(_, at) => format!("{ENDED} {}", at.micros()),
        }
    }

    /// In words that mean nothing to a shell.
    fn words(&self) -> String {
        match self {
            Self::Works => "works".to_owned(),
            Self::Waits => "has stopped and waits for a message".to_owned(),
            Self::NeedsInput => "needs input".to_owned(),
            Self::Ended(Exit::Code(code), _) => format!("has ended, code {code}"),
            Self::Ended(Exit::Signal(signal), _) => format!("has ended, signal {signal}"),
            Self::Ended(Exit::Lost, _) => "was lost".to_owned(),
            Self::Ended(Exit::Failed(_), _) => "has failed".to_owned(),
            Self::Ended(Exit::Idle(hours), _) => format!("was ended, idle for {hours} hours"),
        }
    }
}

/// An agent begins or ceases to be told of a session that it started.
///
/// # Errors
/// The database's.
pub async fn watch(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    child: &Session,
    on: bool,
) -> Result<Reply, Fault> {
    let Some(agent) = caller.agent_of else {
        return Err(Fault::new(FaultCode::Internal, "only agents are told in their terminals"));
    };
    if on {
        subscription::add(tx.conn(), child.id, agent, facts.now).await.map_err(unavailable)?;
    } else {
        subscription::remove(tx.conn(), child.id, agent).await.map_err(unavailable)?;
    }
    Ok(Reply::Watching(WatchingReply { session_id: child.id.to_string(), watching: on }))
}

/// What is to be done about a session that somebody is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    child: SessionId,
    parent: SessionId,
    state: String,
    /// The line, where one is to be typed.
    line: Option<String>,
    /// Whether the line says that it waits.
    waits: bool,
}

/// Looks whether there is something new. `None`: nothing, or nobody wants to know, or can be told now.
///
/// # Errors
/// The database's.
pub async fn news(conn: &Conn, child: SessionId, now: Timestamp) -> Result<Option<News>, StoreError> {
    let Some(told) = subscription::of(conn, child).await? else { return Ok(None) };
    let Some(child) = session::by_id(conn, child).await? else { return Ok(None) };
    let Some(parent) = session::by_id(conn, told.subscriber).await? else { return Ok(None) };
    let state = State::of(&child);
    let (name, waits) = (state.name(), state == State::Waits);
    let changed = told.seen.as_deref() != Some(name.as_str());
    let is_news = match &state {
        State::Works => false,
        State::Waits => {
            let settled = message::last_typed(conn, child.id).await?;
            let unheard = settled.filter(|settled| told.told.is_none_or(|told| *settled > told));
            // Somebody who is never seen to work may be faster than one can look.
            unheard.is_some_and(|settled| changed || now.since(settled) >= DONE_AFTER)
        }
        State::NeedsInput | State::Ended(..) => changed,
    };
    let line = if !is_news {
        None
    } else if !matches!(parent.status, SessionStatus::Starting | SessionStatus::Running) {
        // It may be resumed, and is told then.
        return Ok(None);
    } else if message::waits(conn, parent.id, &key(child.id, &name)).await? {
        // A line that still waits says it already.
        None
    } else {
        Some(line(&parent.agent, &child, &state.words()))
    };
    let news = News { child: child.id, parent: parent.id, state: name, waits: waits && line.is_some(), line };
    Ok((changed || news.line.is_some()).then_some(news))
}

/// Writes it down: what was seen, and the line, with this key, into the queue of who is told.
///
/// # Errors
/// The database's.
pub async fn tell(conn: &Conn, news: &News, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
    subscription::seen(conn, news.child, &news.state, news.waits.then_some(at)).await?;
    if let Some(line) = &news.line {
        let key = format!("{} {}", key(news.child, &news.state), at.micros());
        message::enqueue(conn, news.parent, id, line, Some(&key), false, at).await?;
    }
    Ok(())
}

/// With what the id begins under which a line is queued.
fn key(child: SessionId, state: &str) -> String {
    format!("child {child} {state}")
}

fn line(agent: &str, child: &Session, words: &str) -> String {
    let id = child.id;
    match agent::manner(agent) {
        // What is typed to a shell is a command: one that does nothing, of words that nobody else chose.
        Manner::Shell => format!(": teleclaude: the session {id} {words}"),
        Manner::Conversation => {
            // Quoted, and what a terminal could obey is spelt out.
            let title = child.title.as_ref().map(SessionTitle::as_str);
            let title = title.map(|title| format!(" {title:?}")).unwrap_or_default();
            format!("[teleclaude] The session {id}{title}, which you started, {words}.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use crate::domain::session::Exit;
    use crate::domain::timestamp::Timestamp;

    #[test]
    fn no_word_means_anything_to_a_shell() {
        let at = Timestamp::from_micros(1);
        let exits =
            [Exit::Code(-1), Exit::Signal(9), Exit::Lost, Exit::Failed("$(x)".to_owned()), Exit::Idle(72)];
        let states = exits.into_iter().map(|exit| State::Ended(exit, at));
        for words in states.chain([State::Waits, State::NeedsInput]).map(|state| state.words()) {
            assert!(words.chars().all(|c| c.is_ascii_alphanumeric() || " ,-".contains(c)), "{words}");
        }
    }
}
