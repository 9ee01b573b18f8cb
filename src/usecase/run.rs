//! Doing what is permitted. [`read`] changes nothing; [`change`] runs inside the writer's transaction and puts its
//! audit row beside the change. Effects outside the database are rows here, done afterwards by the daemon.

use crate::config::show;
use crate::domain::action::{Action, NewMessage, NewSession, SessionQuery};
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::Caller;
use crate::domain::credential::Holder;
use crate::domain::policy::{self, Denied, Listing, Permit, Rules};
use crate::domain::session::{Profile, Session, SessionStatus, Worktree};
use crate::domain::verb::Verb;
use crate::store;
use crate::store::connect::Store;
use crate::store::session::Filter;
use crate::store::writer::Tx;
use crate::store::{activity, instance, label, message, outbox, session, setting, transcript};
use crate::usecase::resolve::{no_session, no_user, unavailable};
use crate::usecase::turns::READING;
use crate::usecase::witness::Written;
use crate::usecase::{
    Facts, activity as usecase_activity, audit as usecase_audit, ban, children, content, credential, cursor,
    hook, inbox, labels, letter, people, people_change, people_list, purge, question, resume, task, usage,
};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::{
    AgentRow, AgentsReply, ComputerRow, ComputersReply, ConfigReply, ConfigRow, EndedReply, MyConfigReply,
    ProjectRow, ProjectsReply, Reply, SentReply, SessionReply, SessionsReply, StartedReply, WatchingReply,
    WhoamiReply,
};
use serde_json::json;
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
/// The setting that keeps a personal config layer.
pub const PERSONAL: &str = "personal";

/// What the config says about this caller's role.
pub fn rules(facts: &Facts, caller: &Caller) -> Rules {
    let limits = facts.config.roles.of(caller.role);
    Rules {
        max_sessions: u64::from(limits.max_sessions),
        profile: limits.profile,
        steer_others: limits.steer_others,
        require_reason: facts.config.audit.require_reason,
        agents_may_start: facts.config.agents.may_start,
    }
}

/// The names of everything a caller may do, in the order of the policy's table.
pub fn may(caller: &Caller) -> Vec<String> {
    Verb::ALL.iter().filter(|v| policy::may(caller, **v)).map(|v| v.name().to_owned()).collect()
}

/// The audit row for a permitted action, if it has one.
pub fn record(facts: &Facts, permit: &Permit) -> Option<AuditDraft> {
    let name = permit.record()?;
    let draft = AuditDraft::by(
        permit.caller(),
        name,
        AuditOutcome::Success,
        facts.now,
        &facts.request_id.to_string(),
    );
    let draft = match permit.action() {
        Action::StartSession(new) => AuditDraft {
            session: Some(new.id.to_string()),
            owner: Some(permit.caller().name()),
            ..draft.with_detail(&json!({
                "agent": new.agent, "profile": permit.profile().name(), "project_path": new.project_path,
            }))
        },
        Action::ResumeSession(resumption) => draft
            .about(&resumption.session)
            .because(resumption.reason.as_deref())
            .with_detail(&json!({ "agent": resumption.session.agent, "profile": permit.profile().name() })),
        Action::AnswerSession(new) => draft.about(&new.session).because(new.reason.as_deref()),
        Action::SendToPerson(letter) => {
            let draft = draft.because(letter.reason.as_deref());
            letter.session().map_or(draft.clone(), |session| draft.about(session))
        }
        Action::ExportSession { session, format, reason } => {
            let draft = draft.about(session).because(reason.as_deref());
            draft.with_detail(&json!({ "format": format.name() }))
        }
        Action::EndSession { session, reason, remove_worktree: true } => {
            draft.about(session).because(reason.as_deref()).with_detail(&json!({ "remove_worktree": true }))
        }
        Action::EndSession { session, reason, .. }
        | Action::PurgeSession { session, reason }
        | Action::LabelSession { session, reason, .. }
        | Action::InterruptSession { session, reason }
        | Action::RenameSession { session, reason, .. }
        | Action::SendMessage { session, reason, .. }
        | Action::ReadSession { session, reason, .. } => draft.about(session).because(reason.as_deref()),
        Action::Attach { session, reason, .. } | Action::FollowSession { session, reason, .. } => {
            draft.about(session).because(reason.as_deref()).with_detail(&json!({ "event": "start" }))
        }
        Action::ChangeCredentials { holder, change } => credential::described(draft, holder, change),
        Action::DeleteTask(task) => task::described(draft, task),
        Action::RunJob(job) => {
            AuditDraft { target: Some(("job".to_owned(), job.name().to_owned())), ..draft }
        }
        _ => usecase_audit::recorded(draft, permit.action()),
    };
    Some(match permit.action().session().filter(|session| !session.is_own(permit.caller())) {
        Some(session) => draft.of_anothers(session),
        None => draft,
    })
}

/// The audit row for a refusal that needed no look at any thing.
pub fn refusal_of(facts: &Facts, caller: &Caller, verb: Verb) -> AuditDraft {
    let request = facts.request_id.to_string();
    AuditDraft::by(caller, "access.denied", AuditOutcome::Denied, facts.now, &request)
        .with_detail(&json!({ "action": verb.name() }))
}

/// The audit row for a refusal.
pub fn refusal(facts: &Facts, caller: &Caller, action: &Action) -> AuditDraft {
    let draft = refusal_of(facts, caller, action.verb());
    match action.session() {
        Some(session) => draft.about(session),
        None => draft,
    }
}

/// What a refusal is to a client. What they may not see answers as what does not exist.
pub fn fault(denied: Denied, action: &Action, caller: &Caller) -> Fault {
    let denied_with = |message: String| Fault::new(FaultCode::Denied, message);
    match denied {
        Denied::Standing(why) => denied_with(why).hint("ask an admin; `teleclaude whoami` still works"),
        Denied::Role { verb, least } => {
            denied_with(format!("the role {} may not do `{}`", caller.role, verb.name()))
                .hint(format!("it takes the role {least} or more; `teleclaude whoami --explain` shows yours"))
        }
        Denied::OnlyAgents(verb) => {
            denied_with(format!("only an agent may do `{}`, of its own session", verb.name()))
        }
        Denied::Agent(verb) => denied_with(format!("an agent may not do `{}`", verb.name())),
        Denied::Hidden => match action {
            Action::ListSessions(query) => {
                Fault::not_found("sessions of", query.owner.as_deref().unwrap_or_default())
            }
            Action::ShowPerson { person, .. } => people::nobody("person", &person.name),
            Action::SendToPerson(letter) => letter::nobody(&letter.asked),
            Action::ExplainPerson { who, .. } => no_user(who.os_username.as_deref().unwrap_or_default()),
            Action::ShowUsage(query) => {
                usecase_activity::no_person(query.person.as_deref().unwrap_or_default())
            }
            Action::ListActivity(query) if query.session.is_none() => {
                usecase_activity::no_person(query.person.as_deref().unwrap_or_default())
            }
            Action::ShowTask(task) => task::no_task(&task.id.to_string()),
            Action::UpdateTask(change) => task::no_task(&change.task.id.to_string()),
            other => {
                let id = other.session().map(|s| s.id.to_string()).unwrap_or_default();
                no_session(&id)
            }
        },
        Denied::TaskStep(step) => task::no_step(step, action),
        Denied::TaskText => {
            denied_with("what a task says is for who gave it, or an admin, to change".to_owned())
                .hint("write to them instead")
        }
        Denied::NotYours => denied_with("the session is somebody else's".to_owned())
            .hint("an admin may type into it only with `roles.admin.steer_others: true`, and with a reason"),
        Denied::Reason(why) => Fault::invalid("reason", why)
            .hint("say why in 10 characters or more; it is written down and shown to the owner"),
        Denied::ProjectHidden(name) => {
            Fault::not_found("project", &name).hint("`teleclaude projects` lists those open to you")
        }
        Denied::ProfileTooWide(agent) => {
            // A session runs as its owner, whoever resumes it.
            let role = match action {
                Action::ResumeSession(resumption) => resumption.owner.role,
                _ => caller.role,
            };
            denied_with(format!("the role {role} may not run `{agent}`")).hint("it has no restricted profile")
        }
        Denied::NotAdmin => {
            denied_with(format!("the role {} may not touch what is the system's", caller.role))
                .hint("your own credentials need no `system`")
        }
        Denied::Owner(why) => denied_with(format!("the session's owner may not run it: {why}")),
        Denied::TooManySessions(most) => Fault::new(
            FaultCode::LimitReached,
            match action {
                Action::ResumeSession(resumption) if resumption.owner.uid != caller.uid => {
                    format!("the session's owner has {most} open sessions, as many as their role may")
                }
                _ => format!("you have {most} open sessions, as many as your role may"),
            },
        )
        .hint("end one with `teleclaude sessions end ID`, or ask an admin (roles.*.max_sessions)"),
    }
}

/// Does what changes nothing. Its audit row, if it has one, is committed: there is no [`Written`] before.
pub async fn read(store: &Store, facts: &Facts, written: Written) -> Result<Reply, Fault> {
    let permit = written.into_permit();
    let listing = policy::listing(&permit);
    let (caller, action) = permit.into_parts();
    Ok(match action {
        Action::Whoami => Reply::Whoami(Box::new(WhoamiReply::of(&caller, facts.single_user, may(&caller)))),
        Action::ListPeople(query) => {
            Reply::People(people_list::list(store.reader(), facts, &caller, &query).await?)
        }
        Action::FindPerson { query, deleted } => {
            let found = people_list::find(store.reader(), facts, &caller, &query, deleted).await?;
            Reply::FoundPerson(Box::new(found))
        }
        Action::ShowPerson { person, .. } => {
            Reply::Person(Box::new(people_list::show(store.reader(), facts, &caller, &person).await?))
        }
        Action::PeopleStats => {
            Reply::PeopleStats(Box::new(people_list::stats(store.reader(), facts, &caller).await?))
        }
        Action::ExplainPerson { who, .. } => {
            Reply::Whoami(Box::new(WhoamiReply::of(&who, facts.single_user, may(&who))))
        }
        Action::ListProjects => Reply::Projects(projects(facts, &caller)),
        Action::ListAgents => Reply::Agents(agents(facts, &caller)),
        Action::ListComputers => {
            let rows = instance::list(store.reader()).await.map_err(unavailable)?;
            let computers = rows
                .into_iter()
                .map(|row| ComputerRow {
                    this: *row.computer == *facts.computer,
                    name: row.computer,
                    started_at: row.started.to_string(),
                })
                .collect();
            Reply::Computers(ComputersReply { computers })
        }
        Action::ReadDocs(_) | Action::DocProblems => return Err(not_here("a document")),
        Action::ListSessions(query) => {
            Reply::Sessions(sessions(store, facts, &caller, listing, &query).await?)
        }
        Action::ShowSession(session) => {
            let mut reply = Box::new(SessionReply::from(&*session));
            question::show(store.reader(), &caller, &session, &mut reply).await?;
            Reply::Session(reply)
        }
        Action::ReadSession { session, window, .. } => {
            let path = recording_path(facts, &session)?;
            let now = facts.now;
            let (entries, cut) = content::entries(store, &session, &window).await.map_err(unavailable)?;
            let has_transcript = !entries.is_empty()
                || transcript::has_any(store.reader(), session.id).await.map_err(unavailable)?;
            let look = move || {
                if has_transcript {
                    Ok(content::of_entries(&entries, cut, &session, &window, now))
                } else {
                    content::read(&path, &session, &window, now)
                }
            };
            let page = READING.run(caller.uid, look).await??;
            Reply::Content(Box::new(page))
        }
        Action::Watch { session, on } => {
            Reply::Watching(WatchingReply { session_id: session.id.to_string(), watching: on })
        }
        Action::Inbox(query) => Reply::Inbox(inbox::page(store.reader(), facts, &caller, &query).await?),
        Action::WhoReadMine(query) => Reply::Audit(inbox::mine(store.reader(), &caller, &query).await?),
        action @ (Action::ListTasks(_) | Action::ListMyTasks(_) | Action::ShowTask(_)) => {
            task::read(store.reader(), facts, &caller, action).await?
        }
        Action::ListAudit(query) => Reply::Audit(usecase_audit::list(store, &query).await?),
        Action::ListHolds { all } => Reply::Holds(usecase_audit::holds(store, all).await?),
        Action::VerifyAudit(_)
        | Action::ExportAudit { .. }
        | Action::FollowAudit { .. }
        | Action::ShowAuditKeys
        | Action::RotateAuditKey
        | Action::PruneAudit { .. } => return Err(not_here("what the daemon does to its log itself")),
        Action::ListCredentials(holder) => credential::list(store.reader(), facts, &holder).await?,
        Action::ListBans(query) => ban::page(store.reader(), facts, &query).await?,
        Action::ShowKeys | Action::GenerateKey | Action::RotateKey => return Err(not_here("a key")),
        Action::ShowUsage(query) => {
            Reply::Usage(usage::show(store.reader(), &caller, listing, &query).await?)
        }
        Action::ListActivity(query) => {
            Reply::Activity(usecase_activity::list(store.reader(), facts, &caller, listing, &query).await?)
        }
        Action::ReadMetrics => return Err(not_here("metrics")),
        Action::ShowConfig => return Err(not_here("config.show")),
        Action::Health => return Err(not_here("health")),
        Action::ShowApi => return Err(not_here("api.show")),
        Action::Attach { .. } => return Err(not_here("attach")),
        Action::FollowSession { .. } => return Err(not_here("following")),
        Action::ExportSession { .. } => return Err(not_here("export")),
        Action::SearchSessions(_) => return Err(not_here("transcript.search")),
        Action::Reload => return Err(not_here("reload")),
        Action::ListJobs | Action::RunJob(_) => return Err(not_here("a job")),
        Action::StartSession(_)
        | Action::SendMessage { .. }
        | Action::EndSession { .. }
        | Action::PurgeSession { .. }
        | Action::ResumeSession(_)
        | Action::InterruptSession { .. }
        | Action::LabelSession { .. }
        | Action::RenameSession { .. }
        | Action::AnswerSession(_)
        | Action::ReportHook { .. }
        | Action::CreateTask(_)
        | Action::UpdateTask(_)
        | Action::DeleteTask(_)
        | Action::SendToPerson(_)
        | Action::SendSummary(_)
        | Action::PlaceHold { .. }
        | Action::ReleaseHold { .. }
        | Action::ChangeCredentials { .. }
        | Action::ChangePeople(_)
        | Action::PutMyConfig { .. } => {
            return Err(not_here("a change"));
        }
    })
}

/// Does what changes something, inside the writer's transaction, its audit row beside it.
pub async fn change(tx: &mut Tx, facts: &Facts, permit: Permit) -> Result<Reply, Fault> {
    let draft = record(facts, &permit);
    let session = permit.action().session();
    let notice = draft.as_ref().zip(session).and_then(|(d, s)| inbox::notice(facts, permit.caller(), d, s));
    let profile = permit.profile();
    let (caller, action) = permit.into_parts();
    let reply = match action {
        Action::StartSession(new) => match new.existing {
            Some(session) => started(facts, &session),
            None => {
                needs_runner(facts)?;
                if let Some(holder) = Holder::of(&caller) {
                    credential::check(tx.conn(), facts, &holder, &new.agent).await?;
                }
                start(tx, facts, &caller, *new, profile).await?
            }
        },
        Action::SendMessage { session, message, .. } => send(tx, facts, &session, *message).await?,
        Action::EndSession { session, remove_worktree, .. } => {
            let status = match session.status {
                SessionStatus::Starting | SessionStatus::Running => {
                    let id = session.id;
                    session::set_status(tx.conn(), id, SessionStatus::Ending).await.map_err(unavailable)?;
                    effect(tx, facts, facts.session_id, &session, END).await?;
                    SessionStatus::Ending
                }
                status => status,
            };
            let removes = remove_worktree && session.worktree.as_ref().is_some_and(|w| w.path.is_some());
            if removes {
                // Made after the other's, so it comes after it.
                effect(tx, facts, facts.message_id, &session, REMOVE_WORKTREE).await?;
            }
            if status == session.status && !removes {
                return Ok(ended(&session, status, removes));
            }
            ended(&session, status, removes)
        }
        Action::PurgeSession { session, .. } => purge::purge(tx, facts, &session).await?,
        Action::ResumeSession(resumption) => resume::resume(tx, facts, *resumption, profile).await?,
        Action::InterruptSession { session, .. } => interrupt(tx, facts, &session).await?,
        Action::LabelSession { session, set, remove, seen, .. } => {
            labels::unchanged(tx.conn(), &session, seen.as_deref()).await?;
            labels::change(tx, facts, &session, &set, &remove).await?
        }
        Action::RenameSession { session, title, seen, .. } => {
            labels::unchanged(tx.conn(), &session, seen.as_deref()).await?;
            session::rename(tx.conn(), session.id, &title).await.map_err(unavailable)?;
            happened(tx, facts, &session, "renamed").await?;
            Reply::Changed(Box::new(SessionReply::from(&Session { title: Some(title), ..*session })))
        }
        Action::AnswerSession(new) => question::answer(tx, facts, *new).await?,
        Action::ReportHook { session, event } => hook::report(tx, facts, &session, *event).await?,
        Action::Inbox(query) => Reply::Inbox(inbox::page(tx.conn(), facts, &caller, &query).await?),
        Action::SendToPerson(letter) | Action::SendSummary(letter) => {
            letter::send(tx, facts, &caller, *letter).await?
        }
        Action::Watch { session, on } => children::watch(tx, facts, &caller, &session, on).await?,
        action @ (Action::CreateTask(_) | Action::UpdateTask(_) | Action::DeleteTask(_)) => {
            task::change(tx, facts, &caller, action).await?
        }
        Action::PlaceHold { id, scope, reason } => {
            usecase_audit::place_hold(tx, facts, &caller, id, scope, reason).await?
        }
        Action::ReleaseHold { id, .. } => usecase_audit::release_hold(tx, facts, &caller, id).await?,
        Action::PutMyConfig { yaml, keys, seen } => {
            let kept = setting::get(tx.conn(), caller.uid, PERSONAL).await.map_err(unavailable)?;
            let now = kept.map(|(_, at)| at.to_string());
            if seen.is_some() && seen != now {
                return Err(outdated("if_version", "personal config"));
            }
            setting::put(tx.conn(), caller.uid, PERSONAL, &yaml, facts.now).await.map_err(unavailable)?;
            Reply::MyConfig(MyConfigReply { keys, version: facts.now.to_string() })
        }
        Action::ChangeCredentials { holder, change } => {
            credential::change(tx, facts, &holder, *change).await?
        }
        // Whether there is a row, and what it says, is known only once it is done.
        Action::ChangePeople(change) => {
            return people_change::change(tx, facts, &caller, *change, draft).await;
        }
        other => return Err(not_here(other.verb().name())),
    };
    if let Some(notice) = notice {
        store::inbox::put(tx.conn(), &notice).await.map_err(unavailable)?;
    }
    if let Some(draft) = draft {
        tx.audit(draft);
    }
    Ok(reply)
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

async fn start(
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

async fn send(tx: &mut Tx, facts: &Facts, session: &Session, message: NewMessage) -> Result<Reply, Fault> {
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

async fn interrupt(tx: &mut Tx, facts: &Facts, session: &Session) -> Result<Reply, Fault> {
    if session.status != SessionStatus::Running {
        return Err(Fault::new(FaultCode::Conflict, format!("session {} is {}", session.id, session.status))
            .hint("only what runs can be interrupted"));
    }
    happened(tx, facts, session, "interrupted").await?;
    effect(tx, facts, facts.message_id, session, INTERRUPT).await?;
    Ok(Reply::Changed(Box::new(SessionReply::from(session))))
}

/// What was to be changed is not what was seen: `argument` said what that was.
pub(super) fn outdated(argument: &str, what: &str) -> Fault {
    let message = format!("{argument}: the {what} has changed since");
    Fault { field: Some(argument.to_owned()), ..Fault::new(FaultCode::Conflict, message) }
        .hint("look at it as it is now, and change that")
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

fn started(facts: &Facts, session: &Session) -> Reply {
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

pub(super) fn not_here(what: &str) -> Fault {
    Fault::new(FaultCode::Internal, format!("{what} came by the wrong way"))
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

fn projects(facts: &Facts, caller: &Caller) -> ProjectsReply {
    let open = facts.config.projects().into_iter().filter(|p| p.open_to(caller, &facts.own_projects));
    let row = |p: crate::domain::project::Project| ProjectRow {
        path: p.path.to_string_lossy().into_owned(),
        name: p.name,
        description: p.description,
    };
    ProjectsReply { projects: open.map(row).collect() }
}

fn agents(facts: &Facts, caller: &Caller) -> AgentsReply {
    let agents = &facts.config.agents;
    let profile =
        NewSession::profile(caller.role >= crate::domain::caller::Role::Member, rules(facts, caller).profile);
    let default = facts
        .personal
        .as_ref()
        .and_then(|p| p.default_agent.clone())
        .unwrap_or_else(|| agents.default.clone());
    let rows =
        agents.by_name.iter().filter(|(_, agent)| agent.enabled && agent.profile(profile).is_some()).map(
            |(name, agent)| AgentRow {
                name: name.clone(),
                command: agent.command.clone(),
                default: *name == default,
                profile: profile.name().to_owned(),
            },
        );
    AgentsReply { agents: rows.collect() }
}

async fn sessions(
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

/// The config in force as rows; `all` is for admins, others see their personal layer only.
pub fn config_rows(values: Vec<show::Value>) -> ConfigReply {
    let row = |v: show::Value| ConfigRow { key: v.key, value: v.value_json, origin: v.origin };
    ConfigReply { values: values.into_iter().map(row).collect() }
}
