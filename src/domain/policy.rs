//! Who may do what: one pure function, [`judge`]. Its answer is a [`Permit`] that nothing else can make,
//! so what needs one cannot be reached any other way. `policy/tests.rs` prints the whole table.

use crate::domain::action::{Action, NewSession, Resumption};
use crate::domain::caller::{Caller, Role};
use crate::domain::credential::Holder;
use crate::domain::export::ExportFormat;
use crate::domain::letter::{Into, Letter};
use crate::domain::session::{Profile, Session, SessionId};
use crate::domain::task::Step;
use crate::domain::verb::Verb;

mod task;
#[cfg(test)]
mod tests;

/// What the config says about a role, and about everybody. Values only, so that judging stays pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Sessions one person of this role may have open.
    pub max_sessions: u64,
    /// The profile of this role's agents.
    pub profile: Profile,
    /// Whether admins may type into and interrupt what is not theirs.
    pub steer_others: bool,
    /// Whether reading what is not one's own needs a reason.
    pub require_reason: bool,
    /// Whether an agent may start sessions of its own.
    pub agents_may_start: bool,
}

/// Leave to do one thing once. Only [`judge`] makes one.
#[derive(Debug)]
pub struct Permit {
    caller: Caller,
    action: Action,
    profile: Profile,
    record: Option<&'static str>,
}

impl Permit {
    /// Who may.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What they may.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The profile a new session gets.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The audit action that must be durably written before anything is shown or done, if there is one.
    pub fn record(&self) -> Option<&'static str> {
        self.record
    }

    /// Who may, and the action, for doing it.
    pub fn into_parts(self) -> (Caller, Action) {
        (self.caller, self.action)
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The caller may do nothing now; the text says why.
    Standing(String),
    /// The role may not do it to anything.
    Role {
        /// What was asked.
        verb: Verb,
        /// The least role that may.
        least: Role,
    },
    /// An agent may not do it, whoever its owner is.
    Agent(Verb),
    /// Only an agent may do it.
    OnlyAgents(Verb),
    /// The thing is not the caller's to know of: answered as if it did not exist.
    Hidden,
    /// The session is somebody else's, and steering others' is off.
    NotYours,
    /// The session is somebody else's, and no (good) reason was given.
    Reason(&'static str),
    /// The project is not open to the caller: answered as if it did not exist.
    ProjectHidden(String),
    /// The agent has no restricted profile, and the caller may have no other.
    ProfileTooWide(String),
    /// The role's limit of open sessions is reached.
    TooManySessions(u64),
    /// The session's owner may not run it today; the text says why.
    Owner(String),
    /// What is the system's is admins' business.
    NotAdmin,
    /// The task is not the caller's to move so.
    TaskStep(Step),
    /// What the task says is not the caller's to change.
    TaskText,
}

/// Whether the agent of a session may do what its owner may: to itself and its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agents {
    /// It may.
    Too,
    /// It may not.
    Never,
    /// And nobody else may.
    Only,
}

/// Who may do it to anything at all: the least role, and whether agents may.
pub const fn who(verb: Verb) -> (Role, Agents) {
    use Agents::{Never, Only, Too};
    use Role::{Admin, Contributor, Newcomer, Public};
    use Verb as V;
    match verb {
        V::Whoami => (Public, Too),
        V::Health => (Public, Too),
        V::ShowApi => (Newcomer, Too),
        V::ListProjects => (Newcomer, Too),
        V::ListAgents => (Newcomer, Too),
        V::ListComputers => (Newcomer, Too),
        // Each document has a least role of its own.
        V::ReadDocs => (Public, Too),
        V::DocProblems => (Admin, Never),
        V::ListSessions => (Newcomer, Too),
        V::ShowSession => (Newcomer, Too),
        V::StartSession => (Contributor, Too),
        V::SendMessage => (Contributor, Too),
        V::EndSession => (Contributor, Too),
        V::PurgeSession => (Contributor, Never),
        V::ResumeSession => (Contributor, Never),
        V::InterruptSession => (Contributor, Never),
        V::LabelSession => (Contributor, Never),
        V::RenameSession => (Contributor, Never),
        V::AnswerSession => (Contributor, Never),
        V::ExportSession => (Newcomer, Never),
        V::ReadSession => (Newcomer, Too),
        V::SearchSessions => (Newcomer, Never),
        V::AttachReadOnly => (Newcomer, Too),
        V::Attach => (Contributor, Never),
        V::ReportHook => (Newcomer, Only),
        V::Watch => (Contributor, Too),
        V::ReadInbox => (Newcomer, Too),
        V::MarkInbox => (Newcomer, Never),
        V::SendToPerson => (Newcomer, Never),
        V::SendSummary => (Newcomer, Too),
        V::WhoReadMine => (Newcomer, Never),
        V::CreateTask => (Admin, Never),
        V::ListTasks => (Admin, Never),
        V::ListMyTasks => (Newcomer, Too),
        V::ShowTask => (Newcomer, Too),
        V::UpdateTask => (Newcomer, Too),
        V::DeleteTask => (Admin, Never),
        V::ListAudit => (Admin, Never),
        V::VerifyAudit => (Admin, Never),
        V::ExportAudit => (Admin, Never),
        V::FollowAudit => (Admin, Never),
        V::ShowAuditKeys => (Admin, Never),
        V::RotateAuditKey => (Admin, Never),
        V::PruneAudit => (Admin, Never),
        V::HoldAudit => (Admin, Never),
        V::ListHolds => (Admin, Never),
        V::ShowUsage => (Newcomer, Never),
        V::ListActivity => (Newcomer, Never),
        V::ReadMetrics => (Admin, Never),
        V::ShowConfig => (Newcomer, Never),
        V::PutMyConfig => (Newcomer, Never),
        V::ListCredentials => (Contributor, Never),
        V::PutCredential => (Contributor, Never),
        V::DeleteCredential => (Contributor, Never),
        V::ImportCredentials => (Contributor, Never),
        V::ShowKeys => (Admin, Never),
        V::GenerateKey => (Admin, Never),
        V::RotateKey => (Admin, Never),
        V::ListPeople => (Admin, Never),
        V::FindPerson => (Admin, Never),
        V::ShowPerson => (Newcomer, Never),
        V::PeopleStats => (Admin, Never),
        V::ExplainPerson => (Newcomer, Never),
        V::AddPerson => (Admin, Never),
        V::UpdatePerson => (Admin, Never),
        V::SetPersonRole => (Admin, Never),
        V::SetPersonStatus => (Admin, Never),
        V::DeletePerson => (Admin, Never),
        V::PurgePerson => (Admin, Never),
        V::MergePeople => (Admin, Never),
        V::BulkPeople => (Admin, Never),
        V::WarnPerson => (Admin, Never),
        V::BanPerson => (Admin, Never),
        V::LiftBan => (Admin, Never),
        V::ListBans => (Admin, Never),
        V::Reload => (Admin, Never),
        V::ListJobs => (Admin, Never),
        V::RunJob => (Admin, Never),
    }
}

/// The least role that may do it to anything at all.
pub const fn least_role(verb: Verb) -> Role {
    who(verb).0
}

/// Whether an agent may do it at all.
pub fn open_to_agents(verb: Verb) -> bool {
    who(verb).1 != Agents::Never
}

/// Whether nobody but an agent may do it.
pub fn only_for_agents(verb: Verb) -> bool {
    who(verb).1 == Agents::Only
}

/// Whether this caller may do it to anything at all: what decides which tools and paths they are shown.
pub fn may(caller: &Caller, verb: Verb) -> bool {
    if verb == Verb::Whoami {
        return true;
    }
    caller.standing.refusal().is_none()
        && caller.role >= least_role(verb)
        && if caller.agent_of.is_some() { open_to_agents(verb) } else { !only_for_agents(verb) }
}

/// Decides. Deny beats allow: every condition must hold.
pub fn judge(caller: &Caller, action: Action, rules: &Rules) -> Result<Permit, Denied> {
    let verb = action.verb();
    let mut record = None;
    let mut profile = rules.profile;
    if verb != Verb::Whoami {
        if let Some(why) = caller.standing.refusal() {
            return Err(Denied::Standing(why));
        }
        if caller.role < least_role(verb) {
            return Err(Denied::Role { verb, least: least_role(verb) });
        }
        if caller.agent_of.is_some() && !open_to_agents(verb) {
            return Err(Denied::Agent(verb));
        }
        if caller.agent_of.is_none() && only_for_agents(verb) {
            return Err(Denied::OnlyAgents(verb));
        }
    }
    match &action {
        Action::Whoami
        | Action::Health
        | Action::ShowApi
        | Action::ListProjects
        | Action::ListAgents
        | Action::ListComputers
        | Action::ReadDocs(_)
        | Action::DocProblems
        | Action::Inbox(_)
        | Action::SendSummary(_)
        | Action::WhoReadMine(_)
        | Action::CreateTask(_)
        | Action::ListTasks(_)
        | Action::ListMyTasks(_)
        | Action::ShowConfig
        | Action::PutMyConfig { .. } => {}
        Action::ReadMetrics => {}
        Action::ShowUsage(query) => of_oneself(caller, query.person.as_deref())?,
        Action::ListActivity(query) => {
            of_oneself(caller, query.person.as_deref())?;
            if let Some(session) = &query.session {
                reach(caller, session, Itself::Refused)?;
            }
        }
        Action::ListSessions(query) => {
            let of_another = query.owner.as_ref().is_some_and(|owner| *owner != caller.name());
            if of_another && (caller.role < Role::Admin || caller.agent_of.is_some()) {
                return Err(Denied::Hidden);
            }
        }
        Action::ShowSession(session) => {
            reach(caller, session, Itself::Allowed)?;
        }
        Action::ExportSession { session, format, reason } => {
            if reach(caller, session, Itself::Refused)? == Whose::Anothers {
                if rules.require_reason && reason.is_none() {
                    return Err(Denied::Reason("exporting somebody else's session needs a reason"));
                }
                record = Some(match format {
                    ExportFormat::Cast => "recording.read",
                    ExportFormat::Txt | ExportFormat::Md | ExportFormat::Jsonl | ExportFormat::Html => {
                        "transcript.export"
                    }
                });
            }
        }
        Action::ReadSession { session, reason, .. } | Action::FollowSession { session, reason, .. } => {
            if reach(caller, session, Itself::Allowed)? == Whose::Anothers {
                if rules.require_reason && reason.is_none() {
                    return Err(Denied::Reason("reading somebody else's session needs a reason"));
                }
                record = Some("transcript.read");
            }
        }
        Action::SearchSessions(query) => {
            // With a reason an admin searches everybody's; each session whose text is shown is a row.
            if caller.role == Role::Admin && query.reason.is_some() {
                record = Some("transcript.search");
            }
        }
        Action::Attach { session, input: false, reason } => {
            if reach(caller, session, Itself::Allowed)? == Whose::Anothers {
                if rules.require_reason && reason.is_none() {
                    return Err(Denied::Reason("watching somebody else's session needs a reason"));
                }
                record = Some("session.watch");
            }
        }
        Action::Attach { session, input: true, reason } => {
            if reach(caller, session, Itself::Refused)? == Whose::Anothers {
                if !rules.steer_others {
                    return Err(Denied::NotYours);
                }
                if reason.is_none() {
                    return Err(Denied::Reason("typing into somebody else's session needs a reason"));
                }
                record = Some("session.attach");
            }
        }
        Action::Watch { session, .. } => {
            if reach(caller, session, Itself::Refused)? == Whose::Anothers {
                return Err(Denied::NotYours);
            }
        }
        Action::SendMessage { session, reason, .. } => {
            let why = "typing into somebody else's session needs a reason";
            if steer(caller, session, reason.as_deref(), rules, why)? == Whose::Anothers {
                record = Some("session.send");
            }
        }
        Action::SendToPerson(letter) => {
            if steers(caller, letter, rules)? {
                record = Some("session.send");
            }
        }
        Action::EndSession { session, .. } => {
            reach(caller, session, Itself::Refused)?;
            record = Some("session.end");
        }
        Action::PurgeSession { session, reason } => {
            let whose = reach(caller, session, Itself::Refused)?;
            if whose == Whose::Anothers && rules.require_reason && reason.is_none() {
                return Err(Denied::Reason("deleting somebody else's session needs a reason"));
            }
            record = Some("session.purge");
        }
        Action::ResumeSession(resumption) => {
            let (session, reason) = (&resumption.session, resumption.reason.as_deref());
            steer(caller, session, reason, rules, "resuming somebody else's session needs a reason")?;
            profile = judge_resume(resumption)?;
            record = Some("session.resume");
        }
        Action::InterruptSession { session, reason } => {
            let why = "interrupting somebody else's session needs a reason";
            if steer(caller, session, reason.as_deref(), rules, why)? == Whose::Anothers {
                record = Some("session.interrupt");
            }
        }
        Action::LabelSession { session, reason, .. } => {
            let why = "labelling somebody else's session needs a reason";
            if steer(caller, session, reason.as_deref(), rules, why)? == Whose::Anothers {
                record = Some("session.label");
            }
        }
        Action::RenameSession { session, reason, .. } => {
            let why = "calling somebody else's session something else needs a reason";
            if steer(caller, session, reason.as_deref(), rules, why)? == Whose::Anothers {
                record = Some("session.title");
            }
        }
        Action::AnswerSession(new) => {
            let why = "answering for somebody else needs a reason";
            if steer(caller, &new.session, new.reason.as_deref(), rules, why)? == Whose::Anothers {
                record = Some("session.answer");
            }
        }
        Action::ReportHook { session, .. } => {
            // Its own alone: not even a child's.
            if caller.agent_of != Some(session.id) || !session.is_own(caller) {
                return Err(Denied::Hidden);
            }
        }
        Action::StartSession(new) => {
            profile = judge_start(caller, new, rules)?;
            record = new.existing.is_none().then_some("session.start");
        }
        Action::ShowTask(task) => task::know(caller, task)?,
        Action::UpdateTask(change) => task::change(caller, change)?,
        Action::DeleteTask(_) => record = Some(verb.name()),
        Action::ListAudit(_) => record = Some("audit.read"),
        Action::VerifyAudit(_) => record = Some("audit.verify"),
        Action::ExportAudit { .. } => record = Some("audit.export"),
        Action::FollowAudit { .. } => record = Some("audit.read"),
        Action::ShowAuditKeys | Action::ListHolds { .. } => {}
        Action::RotateAuditKey => record = Some("key.rotate"),
        // Only looking at what would go is reading.
        Action::PruneAudit { dry_run, .. } => {
            record = Some(if *dry_run { "audit.read" } else { "audit.prune" });
        }
        Action::PlaceHold { .. } | Action::ReleaseHold { .. } => record = Some("audit.hold"),
        Action::ListPeople(query) => {
            // Its first page says that all of them are taken out.
            record = (query.export && query.after.is_none()).then_some("people.export");
        }
        Action::FindPerson { .. } | Action::PeopleStats => {}
        Action::ShowPerson { own, .. } | Action::ExplainPerson { own, .. } => {
            if !own && caller.role < Role::Admin {
                return Err(Denied::Hidden);
            }
        }
        // Only looking at who it would be is reading.
        Action::ChangePeople(change) => record = (!change.is_dry_run()).then_some(verb.name()),
        Action::ListBans(_) => {}
        Action::Reload => record = Some("config.reload"),
        Action::ListJobs => {}
        Action::RunJob(_) => record = Some(verb.name()),
        Action::ListCredentials(holder) => owns(caller, holder)?,
        Action::ChangeCredentials { holder, .. } => {
            owns(caller, holder)?;
            record = Some(verb.name());
        }
        Action::ShowKeys => {}
        Action::GenerateKey | Action::RotateKey => record = Some(verb.name()),
    }
    Ok(Permit { caller: caller.clone(), action, profile, record })
}

/// Whether the caller may ask about this person: oneself, or for admins anybody.
fn of_oneself(caller: &Caller, person: Option<&str>) -> Result<(), Denied> {
    match person {
        Some(person) if caller.role < Role::Admin && person != caller.name() => Err(Denied::Hidden),
        _ => Ok(()),
    }
}

/// Whether the caller keeps these credentials: one's own, or for admins the system's.
fn owns(caller: &Caller, holder: &Holder) -> Result<(), Denied> {
    match holder {
        Holder::System if caller.role < Role::Admin => Err(Denied::NotAdmin),
        Holder::System => Ok(()),
        Holder::Person { .. } if Holder::of(caller).as_ref() == Some(holder) => Ok(()),
        Holder::Person { .. } => Err(Denied::Hidden),
    }
}

#[derive(PartialEq, Eq)]
enum Whose {
    Own,
    Anothers,
}

#[derive(PartialEq, Eq)]
enum Itself {
    Allowed,
    Refused,
}

/// Whether the caller may know of this session, and whose it is.
fn reach(caller: &Caller, session: &Session, itself: Itself) -> Result<Whose, Denied> {
    if let Some(agent) = caller.agent_of {
        let child = session.parent == Some(agent);
        let own = session.id == agent && itself == Itself::Allowed;
        return if session.is_own(caller) && (child || own) { Ok(Whose::Own) } else { Err(Denied::Hidden) };
    }
    if session.is_own(caller) {
        Ok(Whose::Own)
    } else if caller.role == Role::Admin {
        Ok(Whose::Anothers)
    } else {
        Err(Denied::Hidden)
    }
}

/// Whether the caller may act in this session, and whose it is. In another's only if that is on, and with a reason.
fn steer(
    caller: &Caller,
    session: &Session,
    reason: Option<&str>,
    rules: &Rules,
    why: &'static str,
) -> Result<Whose, Denied> {
    let whose = reach(caller, session, Itself::Refused)?;
    if whose == Whose::Anothers {
        if !rules.steer_others {
            return Err(Denied::NotYours);
        }
        if reason.is_none() {
            return Err(Denied::Reason(why));
        }
    }
    Ok(whose)
}

/// Whether a letter steers another's session. Only admins write to anybody; and typing what one writes into a session
/// is steering it, whatever the tool is called.
fn steers(caller: &Caller, letter: &Letter, rules: &Rules) -> Result<bool, Denied> {
    if caller.role < Role::Admin && !letter.to.iter().all(|addressee| addressee.admin) {
        return Err(Denied::Hidden);
    }
    match &letter.into {
        Into::Inbox => Ok(false),
        Into::Unseen => Err(Denied::NotYours),
        Into::Session(..) if caller.role < Role::Admin => Err(Denied::NotYours),
        Into::Session(session, _) => {
            let why = "typing into somebody else's session needs a reason";
            Ok(steer(caller, session, letter.reason.as_deref(), rules, why)? == Whose::Anothers)
        }
    }
}

/// A session runs as its owner, whoever resumes it: what the owner may today decides.
fn judge_resume(resumption: &Resumption) -> Result<Profile, Denied> {
    let Resumption { session, owner, .. } = resumption;
    if !session.is_own(owner) {
        return Err(Denied::Owner("whose it was is somebody else today".to_owned()));
    }
    if let Some(why) = owner.standing.refusal() {
        return Err(Denied::Owner(why));
    }
    if owner.role < least_role(Verb::StartSession) {
        return Err(Denied::Owner(format!("the role {} may not run sessions", owner.role)));
    }
    if session.status.is_open() {
        // It will not be begun: that it runs is said instead.
        return Ok(session.profile);
    }
    if !resumption.open {
        let name = session.project.as_ref().unwrap_or(&session.project_path);
        return Err(Denied::ProjectHidden(name.clone()));
    }
    let profile = NewSession::profile(owner.role >= Role::Member, resumption.profile);
    if profile == Profile::Restricted && !resumption.can_be_restricted {
        return Err(Denied::ProfileTooWide(session.agent.clone()));
    }
    if resumption.open_sessions >= resumption.max_sessions {
        return Err(Denied::TooManySessions(resumption.max_sessions));
    }
    Ok(profile)
}

fn judge_start(caller: &Caller, new: &NewSession, rules: &Rules) -> Result<Profile, Denied> {
    if caller.agent_of.is_some() && !rules.agents_may_start {
        return Err(Denied::Agent(Verb::StartSession));
    }
    if new.existing.is_some() {
        return Ok(rules.profile);
    }
    if !new.open {
        return Err(Denied::ProjectHidden(new.project_name.clone()));
    }
    let profile = NewSession::profile(caller.role >= Role::Member, rules.profile);
    if profile == Profile::Restricted && !new.can_be_restricted {
        return Err(Denied::ProfileTooWide(new.agent.clone()));
    }
    if new.open_sessions >= rules.max_sessions {
        return Err(Denied::TooManySessions(rules.max_sessions));
    }
    Ok(profile)
}

/// Which sessions a caller's list may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Everybody's.
    All,
    /// One's own.
    Own,
    /// An agent's own session and its children.
    Family(SessionId),
}

/// The widest list this permit allows.
pub fn listing(permit: &Permit) -> Listing {
    match (permit.caller.agent_of, permit.caller.role) {
        (Some(agent), _) => Listing::Family(agent),
        (None, Role::Admin) => Listing::All,
        (None, _) => Listing::Own,
    }
}
