//! Doing what is permitted. [`read`] changes nothing; [`change`] runs inside the writer's transaction and puts its
//! audit row beside the change. Effects outside the database are rows here, done afterwards by the daemon.

use crate::config::show;
use crate::domain::action::{Action, NewSession};
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::Caller;
use crate::domain::credential::Holder;
use crate::domain::policy::{self, Permit, Rules};
use crate::domain::session::Session;
use crate::domain::verb::Verb;
use crate::store;
use crate::store::connect::Store;
use crate::store::writer::Tx;
use crate::store::{instance, session, setting, transcript};
use crate::usecase::resolve::unavailable;
use crate::usecase::turns::READING;
use crate::usecase::witness::Written;
use crate::usecase::{
    Facts, activity, audit, ban, children, content, credential, hook, inbox, labels, letter, people_change,
    people_list, purge, question, resume, sessions, task, usage,
};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::{
    AgentRow, AgentsReply, ComputerRow, ComputersReply, ConfigReply, ConfigRow, MyConfigReply, ProjectRow,
    ProjectsReply, Reply, WhoamiReply,
};
use crate::wire::session::{SessionReply, WatchingReply};
use serde_json::json;

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
        _ => audit::recorded(draft, permit.action()),
    };
    Some(match permit.action().session().filter(|session| !session.is_own(permit.caller())) {
        Some(session) => draft.of_anothers(session),
        None => draft,
    })
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
            Reply::Sessions(sessions::list(store, facts, &caller, listing, &query).await?)
        }
        Action::ShowSession(session) => {
            let mut reply = Box::new(SessionReply::from(&*session));
            question::show(store.reader(), &caller, &session, &mut reply).await?;
            Reply::Session(reply)
        }
        Action::ReadSession { session, window, .. } => {
            let path = sessions::recording_path(facts, &session)?;
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
        Action::ListAudit(query) => Reply::Audit(audit::list(store, &query).await?),
        Action::ListHolds { all } => Reply::Holds(audit::holds(store, all).await?),
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
            Reply::Usage(usage::show(store.reader(), facts, &caller, listing, *query).await?)
        }
        Action::ListActivity(query) => {
            Reply::Activity(activity::list(store.reader(), facts, &caller, listing, &query).await?)
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
            Some(session) => sessions::started(facts, &session),
            None => {
                sessions::needs_runner(facts)?;
                if let Some(holder) = Holder::of(&caller) {
                    credential::check(tx.conn(), facts, &holder, &new.agent).await?;
                }
                sessions::start(tx, facts, &caller, *new, profile).await?
            }
        },
        Action::SendMessage { session, message, .. } => sessions::send(tx, facts, &session, *message).await?,
        Action::EndSession { session, remove_worktree, .. } => {
            let (reply, news) = sessions::end(tx, facts, &session, remove_worktree).await?;
            if !news {
                return Ok(reply);
            }
            reply
        }
        Action::PurgeSession { session, .. } => purge::purge(tx, facts, &session).await?,
        Action::ResumeSession(resumption) => resume::resume(tx, facts, *resumption, profile).await?,
        Action::InterruptSession { session, .. } => sessions::interrupt(tx, facts, &session).await?,
        Action::LabelSession { session, set, remove, seen, .. } => {
            labels::unchanged(tx.conn(), &session, seen.as_deref()).await?;
            labels::change(tx, facts, &session, &set, &remove).await?
        }
        Action::RenameSession { session, title, seen, .. } => {
            labels::unchanged(tx.conn(), &session, seen.as_deref()).await?;
            session::rename(tx.conn(), session.id, &title).await.map_err(unavailable)?;
            sessions::happened(tx, facts, &session, "renamed").await?;
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
            audit::place_hold(tx, facts, &caller, id, scope, reason).await?
        }
        Action::ReleaseHold { id, .. } => audit::release_hold(tx, facts, &caller, id).await?,
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

/// What was to be changed is not what was seen: `argument` said what that was.
pub(super) fn outdated(argument: &str, what: &str) -> Fault {
    let message = format!("{argument}: the {what} has changed since");
    Fault { field: Some(argument.to_owned()), ..Fault::new(FaultCode::Conflict, message) }
        .hint("look at it as it is now, and change that")
}

pub(super) fn not_here(what: &str) -> Fault {
    Fault::new(FaultCode::Internal, format!("{what} came by the wrong way"))
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

/// The config in force as rows; `all` is for admins, others see their personal layer only.
pub fn config_rows(values: Vec<show::Value>) -> ConfigReply {
    let row = |v: show::Value| ConfigRow { key: v.key, value: v.value_json, origin: v.origin };
    ConfigReply { values: values.into_iter().map(row).collect() }
}
