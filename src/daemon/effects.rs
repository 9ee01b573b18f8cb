//! What was promised in a transaction and is done after it: starting hosts, ending sessions, typing messages. Each is
//! a row until it is done, so a daemon that dies in between leaves it to the next one. One session's effects run in
//! order; another's do not wait for them.

use crate::agent::wiring::{TMP, wiring};
use crate::agent::{self, Interrupt, Manner, SessionVars};
use crate::config::schema::agents::Agent;
use crate::daemon::answers;
use crate::daemon::app::App;
use crate::daemon::backend::{Event, SessionChange, SessionEvent};
use crate::daemon::credentials;
use crate::daemon::hosts::{HostError, Outcome};
use crate::daemon::life;
use crate::daemon::purge;
use crate::daemon::settings::Settings;
use crate::daemon::tokens::Tokens;
use crate::daemon::worktrees;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::session::{Exit, Session, SessionId, SessionStatus};
use crate::host::message::{Message, Typing};
use crate::host::protocol::SIGINT;
use crate::host::spec::{Launch, Program, SPEC_VERSION, Size, StartSpec};
use crate::runner::message::{Native, Place, Run};
use crate::store::error::StoreError;
use crate::store::message::{self, MessageState};
use crate::store::outbox::{self, Effect};
use crate::store::writer::WriteError;
use crate::store::{hook, host, question, session};
use crate::usecase::question::ANSWER;
use crate::usecase::sessions::{END, INTERRUPT, PURGE, REMOVE_WORKTREE, RESUME, START};
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Effects and conversations that run at a time.
const AT_A_TIME: usize = 64;
/// How long an agent has to end by itself.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// An interruption that comes later than this is of no use any more.
const INTERRUPT_WITHIN: Duration = Duration::from_secs(30);
/// For a session's last host to go, once the session has ended.
const LAST_HOST: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one write may wait.
const WRITE: Duration = Duration::from_secs(30);

/// What is being done for which session, so that nothing is done twice at a time.
#[derive(Debug, Default)]
struct InHand {
    /// One effect of a session at a time: an end waits for the start before it.
    effects: HashSet<SessionId>,
    typing: HashSet<SessionId>,
}

/// Does effects until stopped. What is in hand at the stop is left to the next daemon.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let in_hand = Arc::new(Mutex::new(InHand::default()));
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.work().notified() => {}
            _ = tick.tick() => {}
        }
        if let Err(error) = round(&app, &in_hand).await {
            tracing::warn!(%error, "effects wait for the database");
        }
    }
}

async fn round(app: &Arc<App>, in_hand: &Arc<Mutex<InHand>>) -> Result<(), StoreError> {
    let computer = app.store().computer();
    for effect in outbox::pending(app.store().reader(), computer, AT_A_TIME as u64).await? {
        {
            let mut hand = in_hand.lock().unwrap_or_else(PoisonError::into_inner);
            if hand.effects.len() >= AT_A_TIME || !hand.effects.insert(effect.session) {
                continue;
            }
        }
        let (app, in_hand) = (Arc::clone(app), Arc::clone(in_hand));
        tokio::spawn(async move {
            if let Err(error) = apply(&app, &effect).await {
                tracing::warn!(session = %effect.session, kind = %effect.kind, %error, "an effect will be tried again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            in_hand.lock().unwrap_or_else(PoisonError::into_inner).effects.remove(&effect.session);
            app.work().notify_one();
        });
    }
    for id in message::waiting_sessions(app.store().reader(), computer).await? {
        {
            let mut hand = in_hand.lock().unwrap_or_else(PoisonError::into_inner);
            if hand.typing.len() >= AT_A_TIME || !hand.typing.insert(id) {
                continue;
            }
        }
        let (app, in_hand) = (Arc::clone(app), Arc::clone(in_hand));
        tokio::spawn(async move {
            if let Err(error) = deliver(&app, id).await {
                tracing::warn!(session = %id, %error, "messages wait for the database");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            in_hand.lock().unwrap_or_else(PoisonError::into_inner).typing.remove(&id);
        });
    }
    Ok(())
}

async fn apply(app: &App, effect: &Effect) -> Result<(), StoreError> {
    let Some(session) = session::by_id(app.store().reader(), effect.session).await? else {
        return done(app, effect).await;
    };
    match effect.kind.as_str() {
        START | RESUME if session.status == SessionStatus::Starting => start(app, effect, &session).await,
        END if session.status == SessionStatus::Ending => end(app, effect, &session).await,
        INTERRUPT if session.status == SessionStatus::Running => interrupt(app, effect, &session).await,
        ANSWER if session.status == SessionStatus::Running => answers::answer(app, effect, &session).await,
        PURGE => purge::purge(app, effect, &session).await,
        REMOVE_WORKTREE => remove_worktree(app, effect, &session).await,
        _ => done(app, effect).await,
    }
}

/// Brings a session to life. Told twice, it finds the host alive and leaves it alone.
async fn start(app: &App, effect: &Effect, session: &Session) -> Result<(), StoreError> {
    let resumes = effect.kind == RESUME;
    if resumes && !last_host_is_gone(app, effect, session).await? {
        return done(app, effect).await;
    }
    // An earlier daemon came this far and died: its agent has a token, which must stay good.
    if app.hosts().find(session.id).await {
        return done(app, effect).await;
    }
    let session = &match worktrees::add(app, session).await? {
        Ok(session) => session,
        Err(why) => return fail(app, effect, session, &why).await,
    };
    let settings = app.settings();
    let mut random = [0u8; 32];
    if getrandom::fill(&mut random).is_err() {
        return fail(app, effect, session, "no random numbers for the session token").await;
    }
    let (token, hash) = Tokens::make(random);
    let values = match credentials::of_agent(app, &settings, session).await? {
        Ok(values) => values,
        Err(why) => return fail(app, effect, session, &why).await,
    };
    let (spec, native) = match spec(app, &settings, effect, session, &token, values).await {
        Ok(made) => made,
        Err(why) => return fail(app, effect, session, &why).await,
    };
    let id = session.id;
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    write(app, move |tx| {
        let is_open = Arc::clone(&is_open);
        Box::pin(async move {
            let kept = session::set_token_hash(tx.conn(), id, Some(hash)).await?;
            hook::forget(tx.conn(), id).await?;
            // No host lives: whatever lease is there, nobody holds it.
            if let Some(old) = host::by_session(tx.conn(), id).await? {
                host::release(tx.conn(), id, old.lease).await?;
            }
            is_open.store(kept, Ordering::Release);
            Ok(())
        })
    })
    .await?;
    if !open.load(Ordering::Acquire) {
        // It was ended in the meantime.
        return done(app, effect).await;
    }
    app.tokens().revoke(id);
    app.tokens().keep(hash, id, session.owner_uid);
    let lease = spec.lease.parse::<Uuid>().unwrap_or(effect.id);
    match app.hosts().start(spec).await {
        Ok(started) => {
            let claim = host::Lease {
                session: id,
                computer: session.computer.clone(),
                lease,
                pid: started.pid,
                pid_started: i64::try_from(started.start_time).unwrap_or(i64::MAX),
                claimed: app.now(),
            };
            let (at, effect_id) = (app.now(), effect.id);
            write(app, move |tx| {
                let (claim, native) = (claim.clone(), native.clone());
                Box::pin(async move {
                    host::claim(tx.conn(), &claim).await?;
                    if let Some(native) = native {
                        session::native_id(tx.conn(), id, &native).await?;
                    }
                    outbox::mark_done(tx.conn(), effect_id, at).await?;
                    Ok(())
                })
            })
            .await
        }
        // One that an earlier daemon began was faster.
        Err(HostError::AlreadyRunning) if app.hosts().find(id).await => done(app, effect).await,
        Err(error) => fail(app, effect, session, &error.to_string()).await,
    }
}

/// Sees to it that nothing is left of a session's last run: its host, and every process of it. `false` if the host that
/// lives is the one that this effect began, under an earlier daemon.
async fn last_host_is_gone(app: &App, effect: &Effect, session: &Session) -> Result<bool, StoreError> {
    let deadline = Instant::now() + LAST_HOST;
    // The session has ended, but its host may still wait to be told that this is known.
    while let Some(lease) = app.hosts().lease(session.id) {
        if lease == effect.id.to_string() {
            app.hosts().find(session.id).await;
            return Ok(false);
        }
        if Instant::now() >= deadline {
            return Err(StoreError::Other("the session's last host has not gone".to_owned()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    if app.hosts().clear(session.id).await {
        Ok(true)
    } else {
        Err(StoreError::Other("processes of the session's last run have not ended".to_owned()))
    }
}

/// Waits for the end, then removes the worktree if nothing in it is unsaved.
async fn remove_worktree(app: &App, effect: &Effect, session: &Session) -> Result<(), StoreError> {
    let deadline = Instant::now() + 2 * GRACE + LAST_HOST;
    let mut status = session.status;
    while status == SessionStatus::Ending {
        if Instant::now() >= deadline {
            return Err(StoreError::Other("the session has not ended, so its worktree stays".to_owned()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let now = session::by_id(app.store().reader(), session.id).await?;
        status = now.map_or(SessionStatus::Ended, |session| session.status);
    }
    // One that was resumed meanwhile works there.
    if status == SessionStatus::Ended {
        worktrees::remove(app, session, effect.id).await?;
        told(app, session);
    }
    done(app, effect).await
}

/// Interrupts once: one that is lost can be asked for again, one too many cannot be taken back.
async fn interrupt(app: &App, effect: &Effect, session: &Session) -> Result<(), StoreError> {
    done(app, effect).await?;
    if app.now().since(effect.created) > INTERRUPT_WITHIN {
        return Ok(());
    }
    let interrupted = match agent::interrupt(&session.agent) {
        Interrupt::Signal => app.hosts().signal(session.id, SIGINT).await,
        Interrupt::Keys(keys) => app.hosts().write(session.id, keys).await,
    };
    if let Err(error) = interrupted {
        tracing::warn!(session = %session.id, %error, "an agent was not interrupted");
        return Ok(());
    }
    answers::interrupted(app, session).await
}

/// What the host is told, and the agent's own session id where we choose it.
async fn spec(
    app: &App,
    settings: &Settings,
    effect: &Effect,
    session: &Session,
    token: &SecretString,
    values: Vec<(String, String)>,
) -> Result<(StartSpec, Option<String>), String> {
    let config = &settings.loaded.config;
    let agent = config
        .agents
        .by_name
        .get(&session.agent)
        .filter(|a| a.enabled)
        .ok_or_else(|| format!("the agent `{}` is no longer configured", session.agent))?;
    if agent.profile(session.profile).is_none() {
        return Err(format!("the agent `{}` has no {} profile", session.agent, session.profile.name()));
    }
    let paths = app.hosts().paths(session.id);
    let resumes = effect.kind == RESUME;
    let native = match &session.native_id {
        Some(id) if resumes && agent.resume.is_empty() => {
            return Err(format!("the agent `{}` cannot resume its session {id}", session.agent));
        }
        Some(id) if resumes => Native::Resume(id.clone()),
        None if resumes => return Err("its agent never said which session it was".to_owned()),
        _ => Native::New(Uuid::new_v4()),
    };
    let chosen = match &native {
        Native::New(id) => (!agent.native_id.is_empty()).then(|| id.to_string()),
        Native::Resume(_) => None,
    };
    let launch = match settings.runner() {
        Some(socket) => by_runner(socket, session, token, native, values)?,
        None => by_host(app, settings, session, agent, token, &native, paths.tmp, &values).await?,
    };
    let recording = &config.sessions.recording;
    let spec = StartSpec {
        version: SPEC_VERSION,
        session_id: session.id,
        run_dir: app.hosts().run_dir().to_owned(),
        recording_path: paths.recording,
        socket_path: paths.socket,
        exit_path: paths.exit,
        launch,
        size: Size { cols: 120, rows: 40 },
        scrollback_lines: config.sessions.scrollback_lines,
        fsync_ms: recording.fsync_ms,
        max_bytes: recording.max_bytes,
        strict: recording.strict,
        record_input: recording.input,
        notice: (!settings.single_user()).then(|| config.sessions.notice.clone()),
        title: session.title.as_ref().map(|t| t.as_str().to_owned()),
        first_message: None,
        // By this a daemon knows again the host that it, or the one before it, began for a resumption.
        lease: if resumes { effect.id } else { Uuid::now_v7() }.to_string(),
    };
    Ok((spec, chosen))
}

/// The owner's account, command line, environment and folders are the runner's to find: it reads them from files that
/// root owns, and believes nothing of this but names.
fn by_runner(
    socket: &Path,
    session: &Session,
    token: &SecretString,
    native: Native,
    values: Vec<(String, String)>,
) -> Result<Launch, String> {
    let project = session.project.clone().ok_or("a session of its owner's lies in a configured project")?;
    Ok(Launch::Runner {
        socket: socket.to_owned(),
        request: Run {
            place: Place { uid: session.owner_uid, session: session.id, project },
            subdir: session.subdir.clone(),
            worktree: session.worktree.is_some(),
            agent: session.agent.clone(),
            profile: session.profile,
            thinking: session.thinking_mode,
            native,
            token: token.expose_secret().to_owned(),
            values,
        },
    })
}

/// The agent runs as the daemon's own user.
#[expect(clippy::too_many_arguments, reason = "what a command line and an environment are made of")]
async fn by_host(
    app: &App,
    settings: &Settings,
    session: &Session,
    agent: &Agent,
    token: &SecretString,
    native: &Native,
    tmp: PathBuf,
    values: &[(String, String)],
) -> Result<Launch, String> {
    // The session's owner need not have an account here at all.
    let owner = worktrees::own_account(app).await?;
    let vars = SessionVars {
        session: session.id.to_string(),
        token: token.expose_secret().to_owned(),
        socket: app.socket().to_owned(),
        tmp_dir: tmp.to_string_lossy().into_owned(),
    };
    let new_id;
    let native = match native {
        Native::New(id) => {
            new_id = id.to_string();
            agent::Native::New(&new_id)
        }
        Native::Resume(id) => agent::Native::Resume(id),
    };
    let wired = wiring(agent, app.hosts().installed().as_ref());
    let argv = agent::argv(agent, &owner, session.profile, session.thinking_mode, native, &wired.args)
        .ok_or("the agent has no such profile")?;
    let argv = argv.into_iter().map(|arg| arg.replace(TMP, &vars.tmp_dir)).collect();
    let own_path = settings.single_user().then(|| app.variable("PATH")).flatten();
    let path = agent::path(&settings.loaded.config.agents.path, &owner, own_path);
    let values = [values, &wired.env].concat();
    let env = agent::environment(&owner, &path, app.variable("LANG").unwrap_or("C.UTF-8"), &vars, &values);
    let worktree = session.worktree.as_ref().and_then(|worktree| worktree.path.as_ref());
    let root = PathBuf::from(worktree.unwrap_or(&session.project_path));
    let cwd = session.subdir.as_ref().map_or_else(|| root.clone(), |subdir| root.join(subdir));
    Ok(Launch::Own(Program { argv, env, cwd, tmp_dir: Some(tmp), files: wired.files }))
}

async fn end(app: &App, effect: &Effect, session: &Session) -> Result<(), StoreError> {
    match app.hosts().end(session.id, GRACE).await {
        // The exit comes as an event and closes the row.
        Ok(()) => done(app, effect).await,
        // A living host out of sight is never written off: it is found again, and asked the next time.
        Err(HostError::NoHost) if app.hosts().find(session.id).await => {
            Err(StoreError::Other("its host is out of sight".to_owned()))
        }
        // Nobody is there to end: whatever is left goes, and the row is closed here.
        Err(HostError::NoHost) => {
            match app.hosts().sweep(session.id).await {
                // Without a lease it had no host, only perhaps the recording of an earlier run.
                Some(file)
                    if file.exit != Exit::Lost
                        || host::by_session(app.store().reader(), session.id).await?.is_some() =>
                {
                    life::ended(app, session, &file.exit, file.at, file.lost_bytes).await?;
                }
                _ => {
                    let exit = Exit::Failed("ended before it began".to_owned());
                    life::ended(app, session, &exit, app.now(), 0).await?;
                }
            }
            done(app, effect).await
        }
        Err(error) => Err(StoreError::Other(error.to_string())),
    }
}

/// The session never came to life: the row says why, and so does the audit log.
async fn fail(app: &App, effect: &Effect, session: &Session, why: &str) -> Result<(), StoreError> {
    let (id, at, effect_id) = (session.id, app.now(), effect.id);
    let exit = Exit::Failed(why.to_owned());
    let draft = AuditDraft::by_daemon(app.own_uid(), "session.end", AuditOutcome::Failure, at)
        .about(session)
        .with_detail(&serde_json::json!({ "exit": exit.to_string() }));
    write(app, move |tx| {
        let (exit, draft) = (exit.clone(), draft.clone());
        Box::pin(async move {
            if session::ended(tx.conn(), id, &exit, at).await? {
                message::settle_all(
                    tx.conn(),
                    id,
                    MessageState::Failed,
                    Some("the session did not start"),
                    at,
                )
                .await?;
                tx.audit(draft);
            }
            outbox::mark_done(tx.conn(), effect_id, at).await?;
            Ok(())
        })
    })
    .await?;
    app.tokens().revoke(id);
    told(app, session);
    Ok(())
}

/// An effect is done.
pub(super) async fn done(app: &App, effect: &Effect) -> Result<(), StoreError> {
    let (id, at) = (effect.id, app.now());
    write(app, move |tx| Box::pin(async move { outbox::mark_done(tx.conn(), id, at).await.map(|_| ()) }))
        .await
}

/// Types a session's messages, one after the other, until none waits.
async fn deliver(app: &App, id: SessionId) -> Result<(), StoreError> {
    loop {
        let Some(session) = session::by_id(app.store().reader(), id).await? else { return Ok(()) };
        let Some(next) = message::next_pending(app.store().reader(), id).await? else { return Ok(()) };
        // It would be typed into the dialogue: the round after the answer was typed comes back to it.
        if session.status == SessionStatus::Running
            && (!question::open(app.store().reader(), id).await?.is_empty()
                || outbox::pending_of(app.store().reader(), &session.computer, id, ANSWER).await?.is_some())
        {
            return Ok(());
        }
        let (state, problem) = match session.status {
            // Not yet: the round after the start comes back to it.
            SessionStatus::Starting => return Ok(()),
            SessionStatus::Ending | SessionStatus::Ended => {
                (MessageState::Failed, Some("the session has ended"))
            }
            SessionStatus::Running => match app.hosts().send(id, typed(&session, &next)).await {
                Ok(Outcome::Delivered) => (MessageState::Delivered, None),
                Ok(Outcome::Unknown) => (MessageState::Unknown, Some("nothing was seen to change")),
                Ok(Outcome::Failed) => (MessageState::Failed, Some("it could not be typed")),
                // It was not handed over: it waits on.
                Err(HostError::NoHost | HostError::Unreachable) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    return Ok(());
                }
                Err(HostError::Refused(_)) => (MessageState::Failed, Some("the session host refused it")),
                // Typed or not, nobody can tell: it is never typed twice.
                Err(_) => (MessageState::Unknown, Some("the session host was lost in between")),
            },
        };
        let (message_id, at) = (next.id, app.now());
        write(app, move |tx| {
            Box::pin(
                async move { message::settle(tx.conn(), message_id, state, problem, at).await.map(|_| ()) },
            )
        })
        .await?;
    }
}

fn typed(session: &Session, message: &message::Message) -> Message {
    let typing = match (agent::manner(&session.agent), message.slash) {
        (Manner::Shell, _) => Typing::Line,
        (Manner::Conversation, true) => Typing::Bare,
        (Manner::Conversation, false) => Typing::Paste,
    };
    Message { id: message.id.to_string(), text: message.text.clone(), typing }
}

pub(super) fn told(app: &App, session: &Session) {
    app.tell(Event::Session(SessionEvent {
        session_id: session.id,
        owner: session.owner,
        owner_uid: session.owner_uid,
        parent: session.parent,
        kind: SessionChange::Row,
    }));
}

type UnitFuture<'a, T> = futures_util::future::BoxFuture<'a, Result<T, StoreError>>;

/// One unit of the writer's, with this file's patience.
pub(super) async fn write<F, T>(app: &App, unit: F) -> Result<T, StoreError>
where
    F: for<'a> FnMut(&'a mut crate::store::writer::Tx) -> UnitFuture<'a, T> + Send + 'static,
    T: Send + 'static,
{
    app.store().write(Instant::now() + WRITE, unit).await.map_err(|error| match error {
        WriteError::Refused(error) | WriteError::Store(error) => error,
        WriteError::Busy | WriteError::OutcomeUnknown | WriteError::Panicked => StoreError::Timeout,
    })
}
