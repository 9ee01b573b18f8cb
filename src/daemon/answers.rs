//! Questions of agents, seen from their terminals: an answer is typed only while the agent asks, and is open again if it
//! did not arrive; and what is asked no more, because somebody answered at the terminal, is withdrawn.

use crate::agent::answer::{asks, keys};
use crate::config::schema::agents::TranscriptFormat;
use crate::daemon::app::App;
use crate::daemon::backend::{Event, SessionEvent};
use crate::daemon::effects::{done, write};
use crate::domain::question::{Answer, Question, QuestionState};
use crate::domain::session::{Session, SessionActivity, SessionId, SessionStatus};
use crate::store::error::StoreError;
use crate::store::outbox::{self, Effect};
use crate::store::{hook, question, session};
use crate::usecase::question::REQUEST;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// What the effect says from the moment on from which something may have been typed.
const BEGUN: &str = "begun";
/// From what a hook says to what a terminal shows of it, and from an answer to its effect.
const SHOWN_WITHIN: Duration = Duration::from_secs(4);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two steps of an answer, so that the agent has painted.
const STEP: Duration = Duration::from_millis(300);
/// An agent that showed nothing for so long does nothing.
const STILL: Duration = Duration::from_secs(5);
/// A change on the screen is looked at once it has been painted.
const PAINTED: Duration = Duration::from_millis(400);

/// Types an answer, once, while the agent asks: a second key may answer the next question.
pub(super) async fn answer(app: &App, effect: &Effect, session: &Session) -> Result<(), StoreError> {
    let payload = serde_json::from_str::<Value>(&effect.payload).unwrap_or_default();
    let request = payload.get(REQUEST).and_then(|id| id.as_str()?.parse::<Uuid>().ok());
    let asked = match request {
        Some(request) => question::by_id(app.store().reader(), session.id, request).await?,
        None => None,
    };
    let Some(asked) = asked.filter(|question| question.state == QuestionState::Answered) else {
        return done(app, effect).await;
    };
    let became = match payload.get(BEGUN) {
        None => typed(app, effect, &asked).await?,
        // Who began it died, or could not say that it was done: it may have been typed.
        Some(_) => unheard(app, session.id).await?,
    };
    match became {
        Some(became) => {
            tracing::info!(session = %session.id, became = became.name(), "an answer did not come to its agent");
            settle(app, session, asked.id, became).await?;
        }
        // A no is an interruption to them: no hook tells of it.
        None if asked.answer.as_deref().is_some_and(|text| Answer::parse(text) == Ok(Answer::No)) => {
            interrupted(app, session).await?;
        }
        None => {}
    }
    done(app, effect).await
}

/// Types it. Gives what becomes of the question if the answer did not arrive.
async fn typed(app: &App, effect: &Effect, asked: &Question) -> Result<Option<QuestionState>, StoreError> {
    let id = effect.session;
    let answer = asked.answer.as_deref().and_then(|text| Answer::parse(text).ok());
    let Some(steps) = answer.and_then(|answer| keys(&asked.asked, &answer).ok()) else {
        return Ok(Some(QuestionState::Open));
    };
    match shows(app, id, true).await {
        // Whatever is typed now would be typed into something else.
        Some(false) => return Ok(Some(QuestionState::Withdrawn)),
        Some(true) => {}
        None => return Ok(Some(QuestionState::Open)),
    }
    let (effect_id, begun) = (effect.id, json!({ REQUEST: asked.id, BEGUN: true }).to_string());
    write(app, move |tx| {
        let begun = begun.clone();
        Box::pin(async move { outbox::set_payload(tx.conn(), effect_id, &begun).await })
    })
    .await?;
    for (nth, step) in steps.iter().enumerate() {
        if nth > 0 {
            sleep(STEP).await;
        }
        if let Err(error) = app.hosts().write(id, step).await {
            tracing::warn!(session = %id, %error, "an answer could not be typed");
            // Half an answer cannot be taken back, but what is still asked can be answered again.
            return Ok(Some(QuestionState::Open));
        }
    }
    unheard(app, id).await
}

/// What becomes of a question whose answer was typed, or may have been, if the agent still asks it.
async fn unheard(app: &App, id: SessionId) -> Result<Option<QuestionState>, StoreError> {
    let still = shows(app, id, false).await != Some(true);
    // What is asked now may be the next thing.
    let others = question::open(app.store().reader(), id).await?;
    Ok((still && others.is_empty()).then_some(QuestionState::Open))
}

/// Whether the terminal comes to show a dialogue, or none, as `wanted`: looked at until it does, or for a while. None if
/// it cannot be seen.
async fn shows(app: &App, id: SessionId, wanted: bool) -> Option<bool> {
    let until = Instant::now() + SHOWN_WITHIN;
    loop {
        let seen = app.hosts().snapshot(id, 0).await.ok().map(|snapshot| asks(&snapshot.text));
        if seen == Some(wanted) {
            return Some(true);
        }
        if Instant::now() >= until {
            return seen.map(|_| false);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn settle(app: &App, session: &Session, id: Uuid, became: QuestionState) -> Result<(), StoreError> {
    let (of, at) = (session.id, app.now());
    write(app, move |tx| {
        Box::pin(async move {
            let moved = question::not_arrived(tx.conn(), id, became).await?;
            if moved && became == QuestionState::Open {
                session::activity(tx.conn(), of, SessionActivity::NeedsInput, at).await?;
            }
            Ok(())
        })
    })
    .await?;
    app.tell(Event::Session(SessionEvent::of_row(session)));
    Ok(())
}

/// What the screen says of busy and idle. Of an agent whose hooks are heard it says only that something is asked no more,
/// or that it has been quiet for long.
pub(super) async fn screen(
    app: &Arc<App>,
    session: &Session,
    now: SessionActivity,
) -> Result<(), StoreError> {
    let (id, at) = (session.id, app.now());
    // Looked at in there: a hook may be heard in between, and knows better.
    write(app, move |tx| {
        Box::pin(async move {
            let by_hooks = hook::by_session(tx.conn(), id).await?.is_some();
            match (by_hooks, now) {
                (false, now) => session::activity(tx.conn(), id, now, at).await.map(drop),
                (true, SessionActivity::Busy) => session::touch(tx.conn(), id, at).await.map(drop),
                (true, _) => Ok(()),
            }
        })
    })
    .await?;
    if now == SessionActivity::Idle && is_known(app, session) {
        let (app, session) = (Arc::clone(app), session.clone());
        tokio::spawn(async move {
            if let Err(error) = quiet(&app, &session).await {
                tracing::warn!(session = %session.id, %error, "what an agent does waits for the database");
            }
        });
    }
    look_again(app, session).await
}

/// An agent that works shows that it does. One whose hooks last told of work, and that shows nothing any more, was
/// interrupted at its terminal: no hook tells of that.
async fn quiet(app: &App, session: &Session) -> Result<(), StoreError> {
    let Ok(before) = app.hosts().snapshot(session.id, 0).await else { return Ok(()) };
    sleep(STILL).await;
    match app.hosts().snapshot(session.id, 0).await {
        Ok(after) if after.seq == before.seq && !asks(&after.text) => {}
        _ => return Ok(()),
    }
    let now = session::by_id(app.store().reader(), session.id).await?;
    // Of an agent without hooks this says what is known anyway.
    if now.is_some_and(|now| now.activity == Some(SessionActivity::Busy)) {
        interrupted(app, session).await?;
    }
    Ok(())
}

/// Whether it is known how this session's agent asks.
fn is_known(app: &App, session: &Session) -> bool {
    let settings = app.settings();
    let agent = settings.loaded.config.agents.by_name.get(&session.agent);
    agent.is_some_and(|agent| agent.transcript != TranscriptFormat::None)
}

/// Looks, apart from whoever asks for it, whether what is asked still is.
pub(super) async fn look_again(app: &Arc<App>, session: &Session) -> Result<(), StoreError> {
    if !is_known(app, session) {
        return Ok(());
    }
    let open = question::open(app.store().reader(), session.id).await?;
    if open.is_empty() {
        return Ok(());
    }
    let (app, session) = (Arc::clone(app), session.clone());
    tokio::spawn(async move {
        if let Err(error) = look(&app, &session, &open).await {
            tracing::warn!(session = %session.id, %error, "what an agent asks waits for the database");
        }
    });
    Ok(())
}

async fn look(app: &App, session: &Session, open: &[Question]) -> Result<(), StoreError> {
    // A hook may be faster than the dialogue that it tells of.
    let youngest = open.iter().map(|question| app.now().since(question.since)).min().unwrap_or_default();
    sleep(SHOWN_WITHIN.saturating_sub(youngest).max(PAINTED)).await;
    for _ in 0..2 {
        match app.hosts().snapshot(session.id, 0).await {
            Ok(snapshot) if !asks(&snapshot.text) => sleep(PAINTED).await,
            _ => return Ok(()),
        }
    }
    withdraw(app, session, open.iter().map(|question| question.id).collect(), SessionActivity::Busy).await
}

/// These are asked no more, and the agent does that instead.
async fn withdraw(
    app: &App,
    session: &Session,
    ids: Vec<Uuid>,
    activity: SessionActivity,
) -> Result<(), StoreError> {
    let (id, at) = (session.id, app.now());
    write(app, move |tx| {
        let ids = ids.clone();
        Box::pin(async move {
            for question in ids {
                question::withdraw(tx.conn(), question, at).await?;
            }
            let now = session::by_id(tx.conn(), id).await?;
            let waited = now.is_some_and(|now| {
                now.status == SessionStatus::Running && now.activity == Some(SessionActivity::NeedsInput)
            });
            if waited && question::open(tx.conn(), id).await?.is_empty() {
                session::activity(tx.conn(), id, activity, at).await?;
            }
            Ok(())
        })
    })
    .await?;
    app.tell(Event::Session(SessionEvent::of_row(session)));
    app.work().notify_one();
    Ok(())
}

/// The agent was interrupted: it asks nothing any more, and waits. Of one without hooks the screen says so.
pub(super) async fn interrupted(app: &App, session: &Session) -> Result<(), StoreError> {
    let (id, at) = (session.id, app.now());
    if hook::by_session(app.store().reader(), id).await?.is_none() {
        return Ok(());
    }
    write(app, move |tx| {
        Box::pin(async move {
            question::withdraw_all(tx.conn(), id, None, at).await?;
            session::activity(tx.conn(), id, SessionActivity::Idle, at).await.map(|_| ())
        })
    })
    .await?;
    app.tell(Event::Session(SessionEvent::of_row(session)));
    Ok(())
}
