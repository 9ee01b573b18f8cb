//! Telling an agent that a session it started has stopped: for whom that is wanted (`subscribe`, `stop_notifications`),
//! and the one line that is typed into its terminal. The line goes by the queue of messages, in the transaction of the
//! change that it tells of: it is told once, whatever happens to the daemon. It holds no content.

use crate::agent::{self, Manner};
use crate::domain::caller::Caller;
use crate::domain::session::{Exit, Session, SessionActivity, SessionStatus, SessionTitle};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use crate::store::writer::Tx;
use crate::store::{message, session, subscription};
use crate::usecase::Facts;
use crate::usecase::resolve::unavailable;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::{Reply, WatchingReply};
use uuid::Uuid;

/// Why a session goes on no further by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It did what it was told and waits for a message. Told once for all messages that were typed until then.
    Waits,
    /// It asks something. What it asks is not told.
    NeedsInput,
    /// It is over.
    Ended(Exit),
}

impl Stop {
    /// What this change of an agent's activity means to who waits for it.
    pub fn of(before: Option<SessionActivity>, now: SessionActivity) -> Option<Self> {
        match now {
            SessionActivity::Busy => None,
            // Whether it was told anything since the last time decides.
            SessionActivity::Idle => Some(Self::Waits),
        }
        .filter(|_| before != Some(now))
    }

    /// One word, for the id under which it is told.
    const fn name(&self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::NeedsInput => "needs_input",
            Self::Ended(_) => "ended",
        }
    }

    /// In words that mean nothing to a shell.
    fn words(&self) -> String {
        match self {
            Self::Waits => "has stopped and waits for a message".to_owned(),
            Self::NeedsInput => "needs input".to_owned(),
            Self::Ended(Exit::Code(code)) => format!("has ended, code {code}"),
            Self::Ended(Exit::Signal(signal)) => format!("has ended, signal {signal}"),
            Self::Ended(Exit::Lost) => "was lost".to_owned(),
            Self::Ended(Exit::Failed(_)) => "has failed".to_owned(),
            Self::Ended(Exit::Idle(hours)) => format!("was ended, idle for {hours} hours"),
        }
    }
}

/// An agent begins or ceases to be told of a session that it started. If that has stopped already, it is told at once.
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
    let conn = tx.conn();
    if !on {
        subscription::remove(conn, child.id, agent).await.map_err(unavailable)?;
    } else if subscription::add(conn, child.id, agent, facts.now).await.map_err(unavailable)? {
        let stop = match (&child.exit, child.activity) {
            (exit, _) if child.status == SessionStatus::Ended => {
                Some(Stop::Ended(exit.clone().unwrap_or(Exit::Lost)))
            }
            (_, Some(activity)) => Stop::of(None, activity),
            _ => None,
        };
        if let Some(stop) = stop {
            stopped(conn, child, &stop, facts.message_id, facts.now).await.map_err(unavailable)?;
        }
    }
    Ok(Reply::Watching(WatchingReply { session_id: child.id.to_string(), watching: on }))
}

/// Tells the agent that wants to know, if there is one and it lives. `id` is the line's key; twice with one is once.
/// Gives whether there is something to be typed now.
///
/// # Errors
/// The database's.
pub async fn stopped(
    conn: &Conn,
    child: &Session,
    stop: &Stop,
    id: Uuid,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let Some(told) = subscription::of(conn, child.id).await? else { return Ok(false) };
    let Some(parent) = session::by_id(conn, told.subscriber).await? else { return Ok(false) };
    if !matches!(parent.status, SessionStatus::Starting | SessionStatus::Running) {
        return Ok(false);
    }
    // A line that still waits says it already.
    let key = format!("child {} {}", child.id, stop.name());
    if message::waits(conn, parent.id, &key).await? {
        return Ok(false);
    }
    if *stop == Stop::Waits {
        if !message::typed_after(conn, child.id, told.told).await? {
            return Ok(false);
        }
        subscription::told(conn, child.id, at).await?;
    }
    let (text, key) = (line(&parent.agent, child, stop), format!("{key} {at}"));
    message::enqueue(conn, parent.id, id, &text, Some(&key), false, at).await?;
    Ok(true)
}

fn line(agent: &str, child: &Session, stop: &Stop) -> String {
    let (id, words) = (child.id, stop.words());
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
    use super::Stop;
    use crate::domain::session::{Exit, SessionActivity};

    #[test]
    fn only_a_change_is_a_stop() {
        use SessionActivity::{Busy, Idle};
        assert_eq!(Stop::of(Some(Busy), Idle), Some(Stop::Waits));
        assert_eq!(Stop::of(None, Idle), Some(Stop::Waits));
        assert_eq!(Stop::of(Some(Idle), Idle), None);
        assert_eq!(Stop::of(Some(Idle), Busy), None);
    }

    #[test]
    fn no_word_means_anything_to_a_shell() {
        let exits =
            [Exit::Code(-1), Exit::Signal(9), Exit::Lost, Exit::Failed("$(x)".to_owned()), Exit::Idle(72)];
        let stops = exits.into_iter().map(Stop::Ended).chain([Stop::Waits, Stop::NeedsInput]);
        for words in stops.map(|stop| stop.words()) {
            assert!(words.chars().all(|c| c.is_ascii_alphanumeric() || " ,-".contains(c)), "{words}");
        }
    }
}
