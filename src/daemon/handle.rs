//! One request's way, top to bottom: resolve, judge, run, write down, commit. Read this first.
//!
//! A read whose reading is audited is written down, durably, before it is done. A change is resolved and judged
//! again inside the writer's transaction, and its audit row is committed with it. A refusal is written down too.
//! If a row cannot be written, nothing is shown and nothing is done.

use crate::daemon::app::App;
use crate::daemon::backend::{Call, Event, Live, SessionEvent};
use crate::daemon::http::openapi;
use crate::daemon::settings::Settings;
use crate::daemon::{attach, audit_log, children, docs, export, follow, jobs, keys, metrics};
use crate::domain::action::Action;
use crate::domain::caller::{Caller, Peer, Role};
use crate::domain::policy::{self, Denied, Permit};
use crate::domain::verb::Verb;
use crate::store::writer::WriteError;
use crate::usecase::resolve::{refresh, resolve};
use crate::usecase::resume::owner_uid;
use crate::usecase::{Explained, Facts, labels, refusal, run, search, task, witness};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::Instrument as _;

/// Handles one request of `peer`.
///
/// # Errors
/// A [`Fault`] for everything that was not done.
pub async fn handle(app: &App, peer: &Peer, call: Call) -> Result<Reply, Fault> {
    match any(app, peer, call).await? {
        Done::Reply(reply) => Ok(reply),
        Done::Live(_) => Err(Live::misled()),
    }
}

/// The same way for a request whose answer lives on.
///
/// # Errors
/// A [`Fault`]; nothing was shown then.
pub async fn live(app: &App, peer: &Peer, call: Call) -> Result<Live, Fault> {
    match any(app, peer, call).await? {
        Done::Live(live) => Ok(live),
        Done::Reply(_) => Err(Live::misled()),
    }
}

/// What came of a request.
enum Done {
    Reply(Reply),
    Live(Live),
}

async fn any(app: &App, peer: &Peer, call: Call) -> Result<Done, Fault> {
    let settings = app.settings();
    let (caller, projects) = app.identify(peer, call.via, call.token.as_ref()).await?;
    app.spend(&settings, &caller)?;
    let facts = app.facts(&settings, &caller, projects);
    let verb = call.request.verb();
    // By these whatever is logged on the way is found again. What is asked and answered is never among them.
    let span = tracing::error_span!(
        "request",
        request_id = %facts.request_id,
        uid = caller.uid,
        person = caller.name(),
        session = tracing::field::Empty,
    );
    let done = resolved_and_judged(app, &settings, facts, caller, call).instrument(span.clone()).await;
    if let Err(fault) = &done
        && matches!(
            fault.code,
            FaultCode::Internal
                | FaultCode::Unavailable
                | FaultCode::AuditUnavailable
                | FaultCode::OutcomeUnknown
                | FaultCode::NeedsRunner
        )
    {
        span.in_scope(
            || tracing::warn!(action = verb.name(), %fault, "a request failed, and not by its asker"),
        );
    }
    done
}

/// Resolve, judge, do.
async fn resolved_and_judged(
    app: &App,
    settings: &Settings,
    facts: Facts,
    caller: Caller,
    call: Call,
) -> Result<Done, Fault> {
    let verb = call.request.verb();
    // Before anything is looked up for them: may they do such a thing at all?
    if !policy::may(&caller, verb) {
        return Err(refuse_early(app, &facts, &caller, verb, call.deadline).await);
    }
    let explained = explain(app, &facts, &caller, &call.request).await;
    if verb == Verb::ExplainPerson && explained.is_none() && caller.role < Role::Admin {
        // Written down whether there is such a user or not, so that neither the answer nor its time tells.
        app.note_denial(refusal::of_verb(&facts, &caller, verb), verb, call.deadline).await?;
    }
    let action = resolve(app.store().reader(), &facts, &caller, call.request, explained).await?;
    if let Some(session) = action.session() {
        tracing::Span::current().record("session", tracing::field::display(session.id));
    }
    match verb {
        // An agent is told in its terminal, which outlives its connection: that is kept.
        Verb::Watch if caller.agent_of.is_some() => {
            whole(app, |app| watched(app, facts, caller, action, call.deadline)).await
        }
        Verb::StartSession
        | Verb::SendMessage
        | Verb::EndSession
        | Verb::PurgeSession
        | Verb::ResumeSession
        | Verb::InterruptSession
        | Verb::LabelSession
        | Verb::RenameSession
        | Verb::MarkInbox
        | Verb::CreateTask
        | Verb::UpdateTask
        | Verb::DeleteTask
        | Verb::SendToPerson
        | Verb::SendSummary
        | Verb::HoldAudit
        | Verb::AnswerSession
        | Verb::ReportHook
        | Verb::PutCredential
        | Verb::DeleteCredential
        | Verb::ImportCredentials
        | Verb::PutMyConfig => whole(app, |app| changed(app, facts, caller, action, call.deadline)).await,
        Verb::AddPerson
        | Verb::UpdatePerson
        | Verb::SetPersonRole
        | Verb::SetPersonStatus
        | Verb::DeletePerson
        | Verb::PurgePerson
        | Verb::MergePeople
        | Verb::BulkPeople
        | Verb::WarnPerson
        | Verb::BanPerson
        | Verb::LiftBan => whole(app, |app| people_changed(app, facts, caller, action, call.deadline)).await,
        // Changes that are not the database's alone.
        Verb::Reload | Verb::GenerateKey | Verb::RotateKey | Verb::RotateAuditKey => {
            whole(app, |app| async move {
                let settings = app.settings();
                read(&app, &settings, facts, caller, action, call.deadline).await
            })
            .await
        }
        Verb::SearchSessions => {
            let permit = judge(app, &facts, &caller, action, call.deadline).await?;
            let found = search::search(app.store().reader(), &facts, permit).await?;
            // Which sessions' text is shown is known only now; it leaves once every row is kept.
            witness::commit(app.store(), found.rows, call.deadline).await?;
            found.told.into_iter().for_each(|(owner, uid)| app.tell_owner(owner, uid));
            Ok(Done::Reply(found.reply))
        }
        Verb::AttachReadOnly | Verb::Attach => {
            let permit = judge(app, &facts, &caller, action, call.deadline).await?;
            // Written down in there, once it is known that there is something to see.
            let attachment = attach::open(app, &facts, permit, call.deadline).await?;
            Ok(Done::Live(Live::Attached(Box::new(attachment))))
        }
        Verb::ReadSession if matches!(action, Action::FollowSession { .. }) => {
            let permit = judge(app, &facts, &caller, action, call.deadline).await?;
            let following = follow::open(app, &facts, permit, call.deadline).await?;
            Ok(Done::Live(Live::Followed(Box::new(following))))
        }
        Verb::ExportSession => {
            let permit = judge(app, &facts, &caller, action, call.deadline).await?;
            // Written down in there, once it is known that there is something to be taken out.
            let exported = export::open(app, &facts, permit, call.deadline).await?;
            Ok(Done::Live(Live::Exported(Box::new(exported))))
        }
        Verb::ExportAudit | Verb::FollowAudit => {
            let permit = judge(app, &facts, &caller, action, call.deadline).await?;
            let written = witness::write_down(app.store(), &facts, permit, call.deadline).await?;
            let stream = audit_log::open(app, &facts, written.into_permit()).await?;
            Ok(Done::Live(Live::Rows(stream)))
        }
        _ => read(app, settings, facts, caller, action, call.deadline).await.map(Done::Reply),
    }
}

/// Does something to its end, though the asker leaves meanwhile: nothing is to be kept that is not in force.
async fn whole<F>(app: &App, work: impl FnOnce(Arc<App>) -> F) -> Result<Done, Fault>
where
    F: Future<Output = Result<Reply, Fault>> + Send + 'static,
{
    let defect =
        || Fault::new(FaultCode::Internal, "a defect of ours stopped it; it may or may not have been done");
    let app = app.shared().ok_or_else(defect)?;
    tokio::spawn(work(app).in_current_span()).await.map_err(|_| defect())?.map(Done::Reply)
}

/// Keeps that an agent is told of a session's stops.
async fn watched(
    app: Arc<App>,
    facts: Facts,
    caller: Caller,
    action: Action,
    deadline: Instant,
) -> Result<Reply, Fault> {
    let session = action.session().cloned();
    let reply = change(&app, facts, caller, action, deadline).await?;
    if let Some(session) = session {
        children::subscribed(&app, &session);
    }
    Ok(reply)
}

/// Changes rows, and then tells whom it concerns.
async fn changed(
    app: Arc<App>,
    facts: Facts,
    caller: Caller,
    action: Action,
    deadline: Instant,
) -> Result<Reply, Fault> {
    let verb = action.verb();
    let asks = matches!(verb, Verb::AnswerSession | Verb::ReportHook);
    let event = action.session().filter(|_| asks).map(SessionEvent::of_row);
    let told = action.session().filter(|session| !session.is_own(&caller)).map(|s| (s.owner, s.owner_uid));
    let mut addressees = action.addressees();
    addressees.extend(task::told(&caller, &action));
    let mut reply = change(&app, facts, caller, action, deadline).await?;
    addressees.into_iter().for_each(|person| app.tell_person(person));
    if let Some(event) = event {
        app.tell(Event::Session(event));
    }
    labels::done(app.store().reader(), &mut reply).await;
    app.after_change(&reply);
    told.into_iter().for_each(|(owner, uid)| app.tell_owner(owner, uid));
    if let Reply::Started(started) = &reply {
        tracing::Span::current().record("session", started.session.session_id.as_str());
    }
    if verb != Verb::ReportHook {
        tracing::info!(action = verb.name(), "done");
    }
    Ok(reply)
}

/// Changes people, and puts that in force.
async fn people_changed(
    app: Arc<App>,
    facts: Facts,
    caller: Caller,
    action: Action,
    deadline: Instant,
) -> Result<Reply, Fault> {
    let (verb, told) = (action.verb(), action.warned());
    let reply = change(&app, facts, caller, action, deadline).await?;
    // In force before it is answered, also for who is attached or follows; if that fails, soon after.
    if let Err(error) = app.refresh_people().await {
        tracing::warn!(%error, "people have changed and cannot be read again yet");
    }
    told.into_iter().for_each(|(person, uid)| app.tell_owner(person, uid));
    tracing::info!(action = verb.name(), "done");
    Ok(reply)
}

/// Judge, write down, then do.
async fn read(
    app: &App,
    settings: &Settings,
    facts: Facts,
    caller: Caller,
    action: Action,
    deadline: Instant,
) -> Result<Reply, Fault> {
    let permit = judge(app, &facts, &caller, action, deadline).await?;
    let written = witness::write_down(app.store(), &facts, permit, deadline).await?;
    app.tell_of(&written);
    match written.action() {
        Action::Health => Ok(Reply::Health(app.health(&caller))),
        Action::ReadDocs(_) | Action::DocProblems => docs::answer(app, written.into_permit()).await,
        Action::ReadMetrics => metrics::read(app).await.map(Reply::Metrics),
        Action::ShowApi => Ok(Reply::Api(Box::new(openapi::DOCUMENT.clone()))),
        Action::ShowConfig => Ok(Reply::Config(app.config_rows(settings, &caller))),
        Action::Reload => app.reload(Some((&caller, &facts))).await.map(Reply::Reloaded),
        Action::ListJobs => Ok(Reply::Jobs(jobs::shown(app))),
        Action::RunJob(job) => {
            jobs::run_now(app, *job, facts.now, deadline).await.map(|row| Reply::JobDone(Box::new(row)))
        }
        Action::VerifyAudit(_)
        | Action::ShowAuditKeys
        | Action::RotateAuditKey
        | Action::PruneAudit { .. } => audit_log::done(app, &facts, written.into_permit(), deadline).await,
        Action::ShowKeys => keys::shown(app).await.map(Reply::Keys),
        Action::GenerateKey => keys::generate(app, &caller, &facts, deadline).await.map(Reply::Keys),
        Action::RotateKey => keys::rotate(app, &caller, &facts, deadline).await.map(Reply::Keys),
        _ => {
            let mut reply = run::read(app.store(), &facts, written).await?;
            labels::show(app.store().reader(), &mut reply).await?;
            if let Reply::Session(row) = &mut reply {
                row.attached = app.attachments().rows(&row.session_id);
            }
            Ok(reply)
        }
    }
}

/// Resolve again, judge, do and write down in one transaction.
async fn change(
    app: &App,
    facts: Facts,
    caller: Caller,
    action: Action,
    deadline: Instant,
) -> Result<Reply, Fault> {
    let shared = Arc::new((facts.clone(), caller.clone(), action.clone()));
    let answer = app
        .store()
        .write(deadline, move |tx| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (facts, caller, action) = &*shared;
                let action = refresh(tx.conn(), caller, action).await.map_err(Refusal::Fault)?;
                let permit =
                    policy::judge(caller, action, &run::rules(facts, caller)).map_err(Refusal::Denied)?;
                run::change(tx, facts, permit).await.map_err(Refusal::Fault)
            })
        })
        .await;
    match answer {
        Ok(reply) => Ok(reply),
        Err(WriteError::Refused(Refusal::Fault(fault))) => Err(fault),
        Err(WriteError::Refused(Refusal::Denied(denied))) => {
            Err(refuse(app, &facts, &caller, &action, denied, deadline).await)
        }
        Err(WriteError::Busy) => Err(busy()),
        Err(WriteError::OutcomeUnknown) => Err(Fault::new(
            FaultCode::OutcomeUnknown,
            "the database was lost in the middle: it may or may not have been done",
        )
        .hint("look before you try again")),
        Err(WriteError::Panicked) => {
            Err(Fault::new(FaultCode::Internal, "a defect of ours stopped it; nothing was done"))
        }
        Err(WriteError::Store(error)) => Err(crate::usecase::resolve::unavailable(error)),
    }
}

/// Why a unit of work was rolled back.
enum Refusal {
    Denied(Denied),
    Fault(Fault),
}

async fn judge(
    app: &App,
    facts: &Facts,
    caller: &Caller,
    action: Action,
    deadline: Instant,
) -> Result<Permit, Fault> {
    match policy::judge(caller, action.clone(), &run::rules(facts, caller)) {
        Ok(permit) => Ok(permit),
        Err(denied) => Err(refuse(app, facts, caller, &action, denied, deadline).await),
    }
}

/// Writes a refusal down and says no. If it cannot be written, that is said instead.
async fn refuse(
    app: &App,
    facts: &Facts,
    caller: &Caller,
    action: &Action,
    denied: Denied,
    deadline: Instant,
) -> Fault {
    let draft = refusal::of_action(facts, caller, action);
    match app.note_denial(draft, action.verb(), deadline).await {
        Ok(()) => refusal::fault(denied, action, caller),
        Err(fault) => fault,
    }
}

/// A refusal for which nothing had to be looked up.
async fn refuse_early(app: &App, facts: &Facts, caller: &Caller, verb: Verb, deadline: Instant) -> Fault {
    let denied = match caller.standing.refusal() {
        Some(why) => Denied::Standing(why),
        None if caller.agent_of.is_some() && !policy::open_to_agents(verb) => Denied::Agent(verb),
        None => Denied::Role { verb, least: policy::least_role(verb) },
    };
    match app.note_denial(refusal::of_verb(facts, caller, verb), verb, deadline).await {
        Ok(()) => refusal::fault(denied, &Action::Whoami, caller),
        Err(fault) => fault,
    }
}

/// For `people explain`: who that OS user would be; for a resumption: who owns the session today. Looked up only for
/// those who may ask; others know themselves.
async fn explain(app: &App, facts: &Facts, caller: &Caller, request: &Request) -> Option<Explained> {
    match request {
        Request::ExplainPerson(args) => app.explain(caller, &args.user).await,
        Request::ChangePeople(asked) => app.explain(caller, &asked.os_user()?).await,
        Request::ResumeSession(args) => {
            let uid = owner_uid(app.store().reader(), caller, &args.session_id).await?;
            if uid == caller.uid {
                let projects = Arc::clone(&facts.own_projects);
                return Some(Explained { who: caller.clone(), projects });
            }
            app.explain(caller, &uid.to_string()).await
        }
        _ => None,
    }
}

fn busy() -> Fault {
    Fault {
        retry_after_ms: Some(500),
        ..Fault::new(FaultCode::Busy, "the daemon has too much to do; nothing was done").hint("try again")
    }
}
