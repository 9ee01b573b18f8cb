//! From names to things: a request becomes an [`Action`]. Wrong arguments are faults that name the field; what a
//! caller may not see is looked up only among what they may see. `refresh` looks again inside the writer's
//! transaction, so that nothing slips between judging and doing.

use crate::domain::action::{Action, AuditQuery, Following, NewMessage, NewSession, SessionQuery, Window};
use crate::domain::caller::{Caller, Role};
use crate::domain::person::PersonId;
use crate::domain::session::{Profile, Session, SessionId, SessionTitle, ThinkingMode};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::session::{self, Found};
use crate::usecase::follow::Place;
use crate::usecase::{
    Explained, Facts, activity, audit, ban, credential, cursor, docs, hook, inbox, job, labels, letter,
    people_ask, people_change, people_list, place, question, resume, search, task, usage,
};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::follow::FollowSession;
use crate::wire::limits::{
    CLIENT_ID_BYTES_MAX, CONTENT_CHARS_DEFAULT, CONTENT_CHARS_MAX, MESSAGE_BYTES_MAX, PAGE_DEFAULT, PAGE_MAX,
    REASON_CHARS, SESSION_PREFIX_MIN,
};
use crate::wire::request::{ContentFormat, GetSessionData, ListAudit, ListSessions, Request, StartSession};

/// Turns a request into an action. `explained` answers who an OS user would be (`people explain`), or who owns the
/// session that is to be resumed.
pub async fn resolve(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    request: Request,
    explained: Option<Explained>,
) -> Result<Action, Fault> {
    Ok(match request {
        Request::Whoami => Action::Whoami,
        Request::Health => Action::Health,
        Request::ShowApi => Action::ShowApi,
        Request::ListProjects => Action::ListProjects,
        Request::ListAgents => Action::ListAgents,
        Request::ListComputers => Action::ListComputers,
        Request::ReadDocs(args) => docs::resolve(args)?,
        Request::ReadDocument(one) => docs::resolve_one(&one.id)?,
        Request::DocProblems => Action::DocProblems,
        Request::ListSessions(args) => {
            Action::ListSessions(Box::new(session_query(conn, caller, &args).await?))
        }
        Request::ShowSession(name) => Action::ShowSession(find(conn, caller, &name.session_id).await?),
        Request::StartSession(args) => start(conn, facts, caller, args, false).await?,
        Request::RunAgentCommand(args) => {
            let message = slash_command(&args.command, args.args.as_deref())?;
            let args = StartSession {
                project: args.project,
                agent: args.agent,
                thinking_mode: args.thinking_mode,
                title: None,
                message: Some(message),
                subdir: args.subdir,
                worktree: None,
                labels: None,
                client_id: args.client_id,
            };
            start(conn, facts, caller, args, true).await?
        }
        Request::SendMessage(args) => {
            let message = Box::new(NewMessage {
                id: facts.message_id,
                text: message_text(&args.message)?,
                slash: args.message.starts_with('/') && !args.message.contains('\n'),
                client_id: client_id(args.client_id)?,
            });
            let reason = reason(args.reason)?;
            Action::SendMessage { session: find(conn, caller, &args.session_id).await?, message, reason }
        }
        Request::EndSession(args) => {
            let reason = reason(args.reason)?;
            let remove_worktree = args.remove_worktree.unwrap_or(false);
            Action::EndSession {
                session: find(conn, caller, &args.session_id).await?,
                remove_worktree,
                reason,
            }
        }
        Request::PurgeSession(args) => {
            let reason = reason(args.reason)?;
            Action::PurgeSession { session: find(conn, caller, &args.session_id).await?, reason }
        }
        Request::ResumeSession(args) => resume::resolve(conn, facts, caller, args, explained).await?,
        Request::InterruptSession(args) => {
            let reason = reason(args.reason)?;
            Action::InterruptSession { session: find(conn, caller, &args.session_id).await?, reason }
        }
        Request::LabelSession(args) => labels::resolve(conn, caller, args).await?,
        Request::RenameSession(args) => {
            let title =
                SessionTitle::parse(&args.title).map_err(|problem| Fault::invalid("title", problem))?;
            let reason = reason(args.reason)?;
            let session = find(conn, caller, &args.session_id).await?;
            Action::RenameSession { session, title, seen: args.if_version, reason }
        }
        Request::AnswerSession(args) => question::resolve(conn, caller, args).await?,
        Request::ExportSession(args) => {
            let reason = reason(args.reason)?;
            let session = find(conn, caller, &args.session_id).await?;
            Action::ExportSession { session, format: args.format, reason }
        }
        Request::ReadSession(args) => {
            let window = window(&args)?;
            let reason = reason(args.reason)?;
            Action::ReadSession { session: find(conn, caller, &args.session_id).await?, window, reason }
        }
        Request::FollowSession(args) => {
            let (following, reason) = (following(&args)?, reason(args.reason)?);
            Action::FollowSession { session: find(conn, caller, &args.session_id).await?, following, reason }
        }
        Request::SearchSessions(args) => search::resolve(args)?,
        Request::Attach(args) => {
            let reason = reason(args.reason)?;
            Action::Attach { session: find(conn, caller, &args.session_id).await?, input: args.input, reason }
        }
        Request::ReportHook(args) => hook::resolve(conn, facts, caller, args).await?,
        Request::Subscribe(name) => {
            Action::Watch { session: find(conn, caller, &name.session_id).await?, on: true }
        }
        Request::StopNotifications(name) => {
            Action::Watch { session: find(conn, caller, &name.session_id).await?, on: false }
        }
        Request::Inbox(args) => inbox::resolve(args)?,
        Request::SendToPerson(args) => letter::resolve(conn, facts, caller, args).await?,
        Request::SendSummary(args) => letter::resolve_summary(conn, facts, caller, args).await?,
        Request::WhoReadMine(args) => inbox::resolve_mine(&args)?,
        Request::CreateTask(_)
        | Request::ListTasks(_)
        | Request::ListMyTasks(_)
        | Request::ShowTask(_)
        | Request::UpdateTask(_)
        | Request::DeleteTask(_) => task::resolve(conn, facts, caller, request).await?,
        Request::ListAudit(args) => Action::ListAudit(Box::new(audit_query(args)?)),
        Request::VerifyAudit(args) => audit::verify(args)?,
        Request::ExportAudit(args) => audit::export(args)?,
        Request::FollowAudit(args) => audit::follow(args)?,
        Request::ShowAuditKeys => Action::ShowAuditKeys,
        Request::RotateAuditKey => Action::RotateAuditKey,
        Request::PruneAudit(args) => audit::prune(&args)?,
        Request::PlaceHold(args) => audit::place(facts, args)?,
        Request::ReleaseHold(args) => audit::release(args)?,
        Request::ListHolds(args) => Action::ListHolds { all: args.all.unwrap_or(false) },
        Request::ShowUsage(args) => usage::resolve(facts, args)?,
        Request::ListActivity(args) => activity::resolve(conn, caller, args).await?,
        Request::ReadMetrics => Action::ReadMetrics,
        Request::ShowConfig => Action::ShowConfig,
        Request::PutMyConfig(args) => {
            let path = args.path.unwrap_or_else(|| "config.yml".to_owned());
            let personal = crate::config::personal::parse(&args.yaml, std::path::Path::new(&path))
                .map_err(|problems| Fault::invalid("yaml", problems))?;
            Action::PutMyConfig { yaml: args.yaml, keys: personal.keys(), seen: args.if_version }
        }
        Request::ListPeople(args) => people_list::resolve_list(args)?,
        Request::FindPerson(args) => people_list::resolve_find(args)?,
        Request::ShowPerson(args) => people_list::resolve_show(conn, facts, caller, args).await?,
        Request::PeopleStats => Action::PeopleStats,
        Request::ExplainPerson(args) => {
            let who = explained.ok_or_else(|| no_user(&args.user))?.who;
            let own = who.uid == caller.uid;
            Action::ExplainPerson { who: Box::new(who), own }
        }
        Request::ChangePeople(asked) => people_ask::resolve(conn, facts, asked, explained).await?,
        Request::ListBans(args) => Action::ListBans(ban::query(&args)?),
        Request::Reload => Action::Reload,
        Request::ListJobs => Action::ListJobs,
        Request::RunJob(args) => job::resolve(&args)?,
        Request::ListCredentials(_)
        | Request::PutCredential(_)
        | Request::DeleteCredential(_)
        | Request::ImportCredentials(_) => credential::resolve(caller, request)?,
        Request::ShowKeys => Action::ShowKeys,
        Request::GenerateKey => Action::GenerateKey,
        Request::RotateKey => Action::RotateKey,
    })
}

/// Looks again at what an action is about, now inside the transaction that will change it.
pub async fn refresh(conn: &Conn, caller: &Caller, action: &Action) -> Result<Action, Fault> {
    let mut action = action.clone();
    match &mut action {
        Action::ShowSession(session)
        | Action::SendMessage { session, .. }
        | Action::EndSession { session, .. }
        | Action::PurgeSession { session, .. }
        | Action::InterruptSession { session, .. }
        | Action::LabelSession { session, .. }
        | Action::RenameSession { session, .. }
        | Action::ExportSession { session, .. }
        | Action::ReadSession { session, .. }
        | Action::FollowSession { session, .. }
        | Action::Attach { session, .. }
        | Action::ReportHook { session, .. }
        | Action::Watch { session, .. } => **session = again(conn, session).await?,
        Action::AnswerSession(new) => {
            *new.session = again(conn, &new.session).await?;
            question::again(conn, new).await?;
        }
        Action::ResumeSession(resumption) => {
            *resumption.session = again(conn, &resumption.session).await?;
            resume::count(conn, resumption).await?;
        }
        Action::SendToPerson(letter) => letter::again(conn, letter).await?,
        Action::ChangePeople(change) => people_change::again(conn, change).await?,
        Action::StartSession(new) => look_up_start(conn, caller, new).await?,
        Action::CreateTask(task) => task::assignee(conn, task).await?,
        Action::UpdateTask(change) => change.task = task::again(conn, change.task.id).await?,
        Action::ShowTask(task) | Action::DeleteTask(task) => **task = task::again(conn, task.id).await?,
        Action::Whoami
        | Action::Health
        | Action::ShowApi
        | Action::ListProjects
        | Action::ListAgents
        | Action::ListComputers
        | Action::ReadDocs(_)
        | Action::DocProblems
        | Action::ListSessions(_)
        | Action::Inbox(_)
        | Action::SendSummary(_)
        | Action::WhoReadMine(_)
        | Action::ListTasks(_)
        | Action::ListMyTasks(_)
        | Action::SearchSessions(_)
        | Action::ListAudit(_)
        | Action::VerifyAudit(_)
        | Action::ExportAudit { .. }
        | Action::FollowAudit { .. }
        | Action::ShowAuditKeys
        | Action::RotateAuditKey
        | Action::PruneAudit { .. }
        | Action::PlaceHold { .. }
        | Action::ReleaseHold { .. }
        | Action::ListHolds { .. }
        | Action::ShowUsage(_)
        | Action::ListActivity(_)
        | Action::ReadMetrics
        | Action::ShowConfig
        | Action::PutMyConfig { .. }
        | Action::ListCredentials(_)
        | Action::ChangeCredentials { .. }
        | Action::ShowKeys
        | Action::GenerateKey
        | Action::RotateKey
        | Action::ListPeople(_)
        | Action::FindPerson { .. }
        | Action::ShowPerson { .. }
        | Action::PeopleStats
        | Action::ExplainPerson { .. }
        | Action::Reload
        | Action::ListJobs
        | Action::RunJob(_)
        | Action::ListBans(_) => {}
    }
    Ok(action)
}

/// The session as it is now.
pub(super) async fn again(conn: &Conn, session: &Session) -> Result<Session, Fault> {
    // One that is being purged is not there any more.
    let now = session::by_ids(conn, &[session.id]).await.map_err(unavailable)?.pop();
    now.ok_or_else(|| no_session(&session.id.to_string()))
}

/// What a store error is to a client.
pub fn unavailable(error: crate::store::error::StoreError) -> Fault {
    match error {
        crate::store::error::StoreError::Timeout => {
            Fault::new(FaultCode::Timeout, "the database took too long; nothing was done")
        }
        crate::store::error::StoreError::Conflict => Fault::new(FaultCode::Conflict, error.to_string()),
        error => Fault::new(FaultCode::Unavailable, error.to_string())
            .hint("the daemon tries again by itself; an admin sees more with `teleclaude health`"),
    }
}

pub(super) async fn find(conn: &Conn, caller: &Caller, text: &str) -> Result<Box<Session>, Fault> {
    let name: String = text.chars().take(40).collect();
    let missing = || no_session(&name);
    let plain = text.len() <= 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if !plain || text.len() < SESSION_PREFIX_MIN {
        return Err(Fault::invalid(
            "session_id",
            format_args!(
                "`{name}` is neither a session id nor at least {SESSION_PREFIX_MIN} characters of one"
            ),
        ));
    }
    let (owner, family) = match scope(caller) {
        Scope::All => (None, None),
        Scope::Owner(person, uid) => (Some((person, uid)), None),
        Scope::Family(person, uid, agent) => (Some((person, uid)), Some(agent)),
        Scope::Nobody => return Err(missing()),
    };
    match session::find(conn, text, owner, family).await.map_err(unavailable)? {
        Found::One(session) => Ok(session),
        Found::None => Err(missing()),
        Found::Ambiguous(ids) => {
            let ids: Vec<String> = ids.iter().take(5).map(ToString::to_string).collect();
            Err(Fault::invalid("session_id", format_args!("`{name}` fits several: {}", ids.join(", "))))
        }
    }
}

/// There is no such session, or none that the caller may know of: the same words for both.
pub(super) fn no_session(name: &str) -> Fault {
    Fault::not_found("session", name)
        .hint("`teleclaude sessions` lists yours; 8 characters of an id are enough")
}

/// There is no such OS user, or the caller may not ask about them: the same words for both.
pub(super) fn no_user(name: &str) -> Fault {
    let name: String = name.chars().take(64).collect();
    Fault::not_found("OS user", &name)
}

enum Scope {
    All,
    Owner(PersonId, u32),
    /// An agent's own session and its children.
    Family(PersonId, u32, SessionId),
    Nobody,
}

/// Among which sessions a caller's names are looked up.
fn scope(caller: &Caller) -> Scope {
    match (&caller.person, caller.role, caller.agent_of) {
        (_, Role::Admin, None) => Scope::All,
        (Some(person), _, Some(agent)) => Scope::Family(person.id, caller.uid, agent),
        (Some(person), _, None) => Scope::Owner(person.id, caller.uid),
        (None, _, _) => Scope::Nobody,
    }
}

async fn start(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    args: StartSession,
    slash: bool,
) -> Result<Action, Fault> {
    let title = match args.title.as_deref() {
        Some(text) => Some(SessionTitle::parse(text).map_err(|problem| Fault::invalid("title", problem))?),
        None => None,
    };
    let message = match args.message.as_deref() {
        Some(text) => {
            Some(NewMessage { id: facts.message_id, text: message_text(text)?, slash, client_id: None })
        }
        None => None,
    };
    let agents = &facts.config.agents;
    let personal = facts.personal.as_deref();
    let agent = args.agent.as_deref().or(personal.and_then(|p| p.default_agent.as_deref()));
    let agent = agent.unwrap_or(&agents.default);
    let Some(known) = agents.by_name.get(agent).filter(|a| a.enabled) else {
        let name: String = agent.chars().take(64).collect();
        return Err(Fault::not_found("agent", &name).hint("`teleclaude agents` lists those you may run"));
    };
    let place = place::look(caller, facts, &args.project, args.subdir.as_deref()).await?;
    let worktree = args.worktree.unwrap_or(false);
    if worktree && place.open && place.project.as_ref().is_some_and(|project| !project.worktrees) {
        let name: String = args.project.chars().take(200).collect();
        return Err(Fault::invalid("worktree", format_args!("the project `{name}` has no worktrees"))
            .hint("an admin allows them with `projects[].worktrees: true`"));
    }
    let mut new = NewSession {
        id: SessionId(facts.session_id),
        title,
        project: place.project,
        project_name: args.project.chars().take(200).collect(),
        project_path: place.project_path,
        subdir: place.subdir,
        worktree,
        open: place.open,
        agent: agent.to_owned(),
        can_be_restricted: known.profile(Profile::Restricted).is_some(),
        thinking_mode: args
            .thinking_mode
            .or(personal.and_then(|p| p.thinking_mode))
            .unwrap_or(ThinkingMode::Slow),
        labels: labels::checked(args.labels.unwrap_or_default())?,
        message,
        client_id: client_id(args.client_id)?,
        existing: None,
        open_sessions: 0,
    };
    look_up_start(conn, caller, &mut new).await?;
    Ok(Action::StartSession(Box::new(new)))
}

async fn look_up_start(conn: &Conn, caller: &Caller, new: &mut NewSession) -> Result<(), Fault> {
    let Some(person) = &caller.person else { return Ok(()) };
    let earlier = match &new.client_id {
        Some(id) => session::by_client_id(conn, person.id, id).await.map_err(unavailable)?,
        None => None,
    };
    // The id makes repeating a request safe; it does not turn another request into a success, nor show an agent a
    // session of its owner's.
    if let Some(earlier) = &earlier {
        let theirs =
            earlier.is_own(caller) && caller.agent_of.is_none_or(|agent| earlier.parent == Some(agent));
        let elsewhere =
            new.open && (&earlier.project_path, &earlier.subdir) != (&new.project_path, &new.subdir);
        let otherwise = earlier.agent != new.agent || earlier.worktree.is_some() != new.worktree;
        if !theirs || elsewhere || otherwise {
            return Err(Fault {
                field: Some("client_id".to_owned()),
                ..Fault::new(FaultCode::Conflict, "client_id: was used for another request")
            }
            .hint("a new request takes a new client_id"));
        }
    }
    new.existing = earlier.map(Box::new);
    new.open_sessions = session::open_count(conn, person.id).await.map_err(unavailable)?;
    Ok(())
}

async fn session_query(conn: &Conn, caller: &Caller, args: &ListSessions) -> Result<SessionQuery, Fault> {
    let children_of = match args.children_of.as_deref() {
        Some(text) => Some(find(conn, caller, text).await?.id),
        None => None,
    };
    Ok(SessionQuery {
        project: args.project.clone(),
        status: args.status,
        agent: args.agent.clone(),
        owner: args.owner.clone(),
        since: moment("since", args.since.as_deref())?,
        labels: labels::filter(args.label.as_deref())?,
        children_of,
        all_computers: args.all_computers.unwrap_or(false),
        after: args.cursor.as_deref().map(cursor::session).transpose()?,
        limit: limit(args.limit)?,
    })
}

pub(super) fn audit_query(args: ListAudit) -> Result<AuditQuery, Fault> {
    Ok(AuditQuery {
        since: moment("since", args.since.as_deref())?,
        until: moment("until", args.until.as_deref())?,
        before: args.cursor.as_deref().map(cursor::audit).transpose()?,
        limit: limit(args.limit)?,
        actor: args.actor,
        owner: args.owner,
        session: args.session_id,
        action: args.action,
        outcome: args.outcome,
        text: args.text.as_deref().map(audit::text).transpose()?,
    })
}

fn window(args: &GetSessionData) -> Result<Window, Fault> {
    let tail_chars = tail_chars(args.tail_chars)?;
    let from = match args.cursor.as_deref() {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Fault::invalid("cursor", "is not one that get_session_data gave")
                .hint("\"0\" begins at the start")
        })?),
    };
    Ok(Window {
        since: moment("since", args.since.as_deref())?,
        until: moment("until", args.until.as_deref())?,
        tail_chars,
        from,
        json: args.format == Some(ContentFormat::Json),
    })
}

fn following(args: &FollowSession) -> Result<Following, Fault> {
    if !args.follow {
        return Err(Fault::invalid("follow", "must be true, or not there"));
    }
    if let Some(cursor) = &args.cursor {
        Place::parse(cursor)?;
    }
    Ok(Following {
        since: moment("since", args.since.as_deref())?,
        tail_chars: tail_chars(args.tail_chars)?,
        cursor: args.cursor.clone(),
        json: args.format == Some(ContentFormat::Json),
    })
}

fn tail_chars(asked: Option<i64>) -> Result<usize, Fault> {
    match asked {
        None => Ok(CONTENT_CHARS_DEFAULT),
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|n| (1..=CONTENT_CHARS_MAX).contains(n))
            .ok_or_else(|| Fault::invalid("tail_chars", format_args!("must be 1 to {CONTENT_CHARS_MAX}"))),
    }
}

fn slash_command(command: &str, args: Option<&str>) -> Result<String, Fault> {
    let word = command.strip_prefix('/').unwrap_or_default();
    if word.is_empty() || command.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Fault::invalid("command", "must be one word beginning with `/`, such as /review"));
    }
    if args.is_some_and(|a| a.chars().any(char::is_control)) {
        return Err(Fault::invalid("args", "must be one line without control characters"));
    }
    Ok(args.map_or_else(|| command.to_owned(), |args| format!("{command} {args}")))
}

fn message_text(text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::invalid("message", "must not be empty"));
    }
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(Fault::invalid("message", format_args!("may have at most {MESSAGE_BYTES_MAX} bytes")));
    }
    if text.contains('\0') {
        return Err(Fault::invalid("message", "must not contain NUL"));
    }
    Ok(text.to_owned())
}

fn client_id(id: Option<String>) -> Result<Option<String>, Fault> {
    match id {
        Some(id) if id.is_empty() || id.len() > CLIENT_ID_BYTES_MAX || id.chars().any(char::is_control) => {
            Err(Fault::invalid(
                "client_id",
                format_args!("must be 1 to {CLIENT_ID_BYTES_MAX} plain characters"),
            ))
        }
        id => Ok(id),
    }
}

pub(super) fn reason(text: Option<String>) -> Result<Option<String>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    let chars = text.chars().take(REASON_CHARS.end() + 1).count();
    if !REASON_CHARS.contains(&chars) {
        let (least, most) = (REASON_CHARS.start(), REASON_CHARS.end());
        return Err(Fault::invalid("reason", format_args!("must have {least} to {most} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::invalid("reason", "must not contain control characters"));
    }
    Ok(Some(text.to_owned()))
}

pub(super) fn moment(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Fault> {
    text.map(|text| Timestamp::parse(text).map_err(|problem| Fault::invalid(field, problem))).transpose()
}

pub(super) fn limit(limit: Option<i64>) -> Result<u64, Fault> {
    match limit {
        None => Ok(PAGE_DEFAULT),
        Some(n) => u64::try_from(n)
            .ok()
            .filter(|n| (1..=PAGE_MAX).contains(n))
            .ok_or_else(|| Fault::invalid("limit", format_args!("must be 1 to {PAGE_MAX}"))),
    }
}
