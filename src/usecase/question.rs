//! What a session's agent asks: shown to its owner, counted for everybody else who may know of the session, and answered
//! once. The answer is typed afterwards, by the daemon's effects.

use crate::agent::answer::keys;
use crate::domain::action::{Action, NewAnswer};
use crate::domain::caller::Caller;
use crate::domain::question::{Answer, Question, QuestionState};
use crate::domain::session::{Session, SessionActivity, SessionStatus};
use crate::store::conn::Conn;
use crate::store::writer::Tx;
use crate::store::{outbox, question, session};
use crate::usecase::Facts;
use crate::usecase::resolve::{find, reason, unavailable};
use crate::usecase::sessions::happened;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::request::AnswerSession;
use crate::wire::session::{AnsweredReply, NeedsInputRow, SessionReply};
use serde_json::json;
use uuid::Uuid;

/// The effect that types an answer.
pub const ANSWER: &str = "answer";
/// Where the effect names the question.
pub const REQUEST: &str = "request_id";

/// From names to what is judged.
pub(super) async fn resolve(conn: &Conn, caller: &Caller, args: AnswerSession) -> Result<Action, Fault> {
    let reason = reason(args.reason)?;
    let answer = Answer::parse(&args.answer).map_err(|problem| Fault::invalid("answer", problem))?;
    let request: Uuid = args.request_id.parse().map_err(|_| {
        Fault::invalid("request_id", "is not one that get_session shows")
            .hint("`teleclaude sessions show ID` shows what is asked")
    })?;
    let session = find(conn, caller, &args.session_id).await?;
    let question = question::by_id(conn, session.id, request).await.map_err(unavailable)?.map(Box::new);
    Ok(Action::AnswerSession(Box::new(NewAnswer { session, question, answer, text: args.answer, reason })))
}

/// What is asked, as it is now.
pub(super) async fn again(conn: &Conn, new: &mut NewAnswer) -> Result<(), Fault> {
    if let Some(question) = &mut new.question {
        let now = question::by_id(conn, new.session.id, question.id).await.map_err(unavailable)?;
        new.question = now.map(Box::new);
    }
    Ok(())
}

/// Takes the answer, if it is the first.
pub(super) async fn answer(tx: &mut Tx, facts: &Facts, new: NewAnswer) -> Result<Reply, Fault> {
    let NewAnswer { session, question, answer, text, .. } = new;
    let Some(question) = question else {
        return Err(Fault::not_found("request", "in that session")
            .hint("`teleclaude sessions show ID` shows what is asked"));
    };
    let conflict = |why: &str| {
        Fault::new(FaultCode::Conflict, format!("request {} {why}", question.id))
            .hint("`teleclaude sessions show ID` shows what is asked now")
    };
    if session.status != SessionStatus::Running {
        return Err(conflict(&format!("cannot be answered: the session is {}", session.status)));
    }
    match question.state {
        QuestionState::Open => {}
        QuestionState::Answered => return Err(conflict("has been answered")),
        QuestionState::Withdrawn => return Err(conflict("is not asked any more")),
    }
    // An agent shows one dialogue at a time, in the order in which it asks: this would be typed into another's.
    let open = question::open(tx.conn(), session.id).await.map_err(unavailable)?;
    if let Some(first) = open.first().filter(|first| first.id != question.id) {
        return Err(conflict(&format!("comes after {}", first.id)).hint("answer what was asked first, first"));
    }
    keys(&question.asked, &answer).map_err(|problem| Fault::invalid("answer", problem))?;
    if !question::answer(tx.conn(), question.id, text.trim(), facts.now).await.map_err(unavailable)? {
        return Err(conflict("has been answered"));
    }
    let waits = !question::open(tx.conn(), session.id).await.map_err(unavailable)?.is_empty();
    let activity = if waits { SessionActivity::NeedsInput } else { SessionActivity::Busy };
    session::activity(tx.conn(), session.id, activity, facts.now).await.map_err(unavailable)?;
    happened(tx, facts, &session, "answered").await?;
    let effect = outbox::Effect {
        id: facts.message_id,
        computer: session.computer.clone(),
        kind: ANSWER.to_owned(),
        session: session.id,
        payload: json!({ REQUEST: question.id }).to_string(),
        created: facts.now,
    };
    outbox::insert(tx.conn(), &effect).await.map_err(unavailable)?;
    Ok(Reply::Answered(AnsweredReply {
        session_id: session.id.to_string(),
        request_id: question.id.to_string(),
        state: QuestionState::Answered.name().to_owned(),
    }))
}

/// Adds to a session's row what it asks: to its owner's what, to another's only that it asks.
pub(super) async fn show(
    conn: &Conn,
    caller: &Caller,
    session: &Session,
    reply: &mut SessionReply,
) -> Result<(), Fault> {
    let open = question::open(conn, session.id).await.map_err(unavailable)?;
    reply.open_requests = i64::try_from(open.len()).unwrap_or(i64::MAX);
    if session.status == SessionStatus::Running && !open.is_empty() {
        // The row was read before them.
        reply.activity = Some(SessionActivity::NeedsInput.name().to_owned());
    }
    let own = session.is_own(caller);
    reply.needs_input = open.iter().map(|question| row(question, own)).collect();
    Ok(())
}

/// Adds to a page of sessions how much each asks.
pub(super) async fn count(
    conn: &Conn,
    sessions: &[Session],
    replies: &mut [SessionReply],
) -> Result<(), Fault> {
    let waiting = |session: &&Session| session.activity == Some(SessionActivity::NeedsInput);
    let ids = sessions.iter().filter(waiting).map(|session| session.id);
    let counts = question::open_counts(conn, ids).await.map_err(unavailable)?;
    for (session, reply) in sessions.iter().zip(replies) {
        reply.open_requests = counts.get(&session.id).copied().unwrap_or_default();
    }
    Ok(())
}

fn row(question: &Question, own: bool) -> NeedsInputRow {
    NeedsInputRow {
        request_id: question.id.to_string(),
        kind: question.asked.kind.name().to_owned(),
        asked: own.then(|| question.asked.text.clone()),
        options: if own { question.asked.options.clone() } else { Vec::new() },
        since: question.since.to_string(),
    }
}
