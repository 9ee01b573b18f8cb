//! Everything that can be asked, with the things (not the names) it is about. What `policy` judges.

use crate::domain::activity::ActivityQuery;
use crate::domain::audit::AuditOutcome;
use crate::domain::audit_format::AuditFormat;
use crate::domain::caller::Caller;
use crate::domain::credential::{CredentialChange, Holder};
use crate::domain::document::DocsQuery;
use crate::domain::export::ExportFormat;
use crate::domain::hold::HoldScope;
use crate::domain::hook::HookEvent;
use crate::domain::job::Job;
use crate::domain::label::Labels;
use crate::domain::letter::Letter;
use crate::domain::note::VerifierKey;
use crate::domain::notice::{InboxQuery, MineQuery};
use crate::domain::people_change::{BanQuery, PeopleChange};
use crate::domain::people_query::PeopleQuery;
use crate::domain::person::{Person, PersonId};
use crate::domain::project::Project;
use crate::domain::query::Query;
use crate::domain::question::{Answer, Question};
use crate::domain::session::{Profile, Session, SessionId, SessionStatus, SessionTitle, ThinkingMode};
use crate::domain::task::{Task, TaskChange, TaskQuery};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::UsageQuery;
use crate::domain::verb::Verb;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A request whose names have been resolved.
#[derive(Clone, Debug)]
pub enum Action {
    /// Who am I?
    Whoami,
    /// Is the daemon well: one word, and for admins the details.
    Health,
    /// What can be asked over REST?
    ShowApi,
    /// Projects open to the caller.
    ListProjects,
    /// Agents open to the caller.
    ListAgents,
    /// Machines on this database.
    ListComputers,
    /// Shared documents: the index, or the texts of some.
    ReadDocs(Box<DocsQuery>),
    /// What is wrong with the shared documents.
    DocProblems,
    /// Sessions.
    ListSessions(Box<SessionQuery>),
    /// One session's metadata.
    ShowSession(Box<Session>),
    /// A new session.
    StartSession(Box<NewSession>),
    /// Typing into a session.
    SendMessage {
        /// The session.
        session: Box<Session>,
        /// What to type.
        message: Box<NewMessage>,
        /// Why.
        reason: Option<String>,
    },
    /// Ending a session.
    EndSession {
        /// The session.
        session: Box<Session>,
        /// Whether its worktree goes too, if nothing in it is unsaved.
        remove_worktree: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Deleting an ended session and all that is kept of it.
    PurgeSession {
        /// The session.
        session: Box<Session>,
        /// Why.
        reason: Option<String>,
    },
    /// Running an ended session again.
    ResumeSession(Box<Resumption>),
    /// Interrupting what a session's agent does.
    InterruptSession {
        /// The session.
        session: Box<Session>,
        /// Why.
        reason: Option<String>,
    },
    /// Giving a session labels, or taking some away.
    LabelSession {
        /// The session.
        session: Box<Session>,
        /// Labels it gets.
        set: Labels,
        /// Names of labels it loses.
        remove: Vec<String>,
        /// The version of title and labels that was seen.
        seen: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Calling a session something else.
    RenameSession {
        /// The session.
        session: Box<Session>,
        /// What to call it.
        title: SessionTitle,
        /// The version of title and labels that was seen.
        seen: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Answering what a session's agent asks.
    AnswerSession(Box<NewAnswer>),
    /// Taking a session out as a file.
    ExportSession {
        /// The session.
        session: Box<Session>,
        /// As what.
        format: ExportFormat,
        /// Why.
        reason: Option<String>,
    },
    /// Reading what a session showed.
    ReadSession {
        /// The session.
        session: Box<Session>,
        /// Which part of it.
        window: Window,
        /// Why.
        reason: Option<String>,
    },
    /// Reading on while it is said.
    FollowSession {
        /// The session.
        session: Box<Session>,
        /// From where, and how.
        following: Following,
        /// Why.
        reason: Option<String>,
    },
    /// Searching what was said and done in sessions.
    SearchSessions(Box<SearchQuery>),
    /// Seeing a session's terminal as it changes, and typing into it.
    Attach {
        /// The session.
        session: Box<Session>,
        /// Whether to type, too.
        input: bool,
        /// Why.
        reason: Option<String>,
    },
    /// What an agent's hook tells of its own session.
    ReportHook {
        /// The session.
        session: Box<Session>,
        /// What.
        event: Box<HookEvent>,
    },
    /// Being told of a session's changes, or no longer.
    Watch {
        /// The session.
        session: Box<Session>,
        /// On or off.
        on: bool,
    },
    /// One's own inbox.
    Inbox(Box<InboxQuery>),
    /// Writing to a person.
    SendToPerson(Box<Letter>),
    /// Telling who asked for it what was done.
    SendSummary(Box<Letter>),
    /// Who read what of one's own.
    WhoReadMine(Box<MineQuery>),
    /// Giving somebody a task.
    CreateTask(Box<Task>),
    /// Everybody's tasks.
    ListTasks(Box<TaskQuery>),
    /// One's own tasks.
    ListMyTasks(Box<TaskQuery>),
    /// One task.
    ShowTask(Box<Task>),
    /// Moving a task, or changing what it says.
    UpdateTask(Box<TaskChange>),
    /// Deleting a task.
    DeleteTask(Box<Task>),
    /// The audit log.
    ListAudit(Box<AuditQuery>),
    /// Checking the chain.
    VerifyAudit(Box<AuditEvidence>),
    /// Writing the log out.
    ExportAudit {
        /// How.
        format: AuditFormat,
        /// Which rows.
        query: Box<AuditQuery>,
    },
    /// Rows as they come.
    FollowAudit {
        /// Which; the limit says how many of the newest to begin with.
        query: Box<AuditQuery>,
        /// By computer the last row that the asker has.
        after: Option<BTreeMap<String, i64>>,
    },
    /// The public keys of the checkpoints.
    ShowAuditKeys,
    /// A new key for them.
    RotateAuditKey,
    /// Cutting old rows off.
    PruneAudit {
        /// Those older than this go.
        before: Timestamp,
        /// Only to say which.
        dry_run: bool,
        /// Only to write the record: the owner of the tables removes the rows.
        by_owner: bool,
    },
    /// Keeping rows from being cut off.
    PlaceHold {
        /// The key it gets.
        id: Uuid,
        /// Which rows.
        scope: HoldScope,
        /// Why.
        reason: String,
    },
    /// No longer keeping them.
    ReleaseHold {
        /// The hold.
        id: Uuid,
        /// Why.
        reason: String,
    },
    /// What is kept.
    ListHolds {
        /// Also what was released.
        all: bool,
    },
    /// What was used.
    ShowUsage(Box<UsageQuery>),
    /// Who did what, when.
    ListActivity(Box<ActivityQuery>),
    /// Numbers for a monitoring system.
    ReadMetrics,
    /// The config in force: all of it for admins, the personal layer for others.
    ShowConfig,
    /// One's personal config layer, already checked.
    PutMyConfig {
        /// The text.
        yaml: String,
        /// The keys it sets.
        keys: Vec<String>,
        /// The version that is to be replaced.
        seen: Option<String>,
    },
    /// Names of credentials.
    ListCredentials(Holder),
    /// Keeping or deleting credentials.
    ChangeCredentials {
        /// Whose.
        holder: Holder,
        /// What is done.
        change: Box<CredentialChange>,
    },
    /// How the encryption keys are.
    ShowKeys,
    /// The first encryption key.
    GenerateKey,
    /// Another encryption key, and everything encrypted anew with it.
    RotateKey,
    /// Some of the people.
    ListPeople(Box<PeopleQuery>),
    /// Who is meant by some words.
    FindPerson {
        /// The words.
        query: String,
        /// Whether deleted people are found, too.
        deleted: bool,
    },
    /// One person.
    ShowPerson {
        /// Who.
        person: Box<Person>,
        /// Whether it is the caller.
        own: bool,
    },
    /// How many people there are.
    PeopleStats,
    /// Why somebody is who they are.
    ExplainPerson {
        /// Who that is, as the map says now.
        who: Box<Caller>,
        /// Whether it is the caller.
        own: bool,
    },
    /// Changing people or bans.
    ChangePeople(Box<PeopleChange>),
    /// Bans.
    ListBans(BanQuery),
    /// Reading the config again.
    Reload,
    /// What the daemon does now and then.
    ListJobs,
    /// Having it done now.
    RunJob(Job),
}

/// What a new session is about.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The key it gets.
    pub id: SessionId,
    /// What to call it.
    pub title: Option<SessionTitle>,
    /// The configured project it lies in; `None` is a bare path.
    pub project: Option<Project>,
    /// What was asked for, to say so in a refusal.
    pub project_name: String,
    /// Absolute path of the project.
    pub project_path: String,
    /// Folder inside the project, if not its root.
    pub subdir: Option<String>,
    /// Whether it gets a worktree of its own.
    pub worktree: bool,
    /// Whether the project, or the bare path, is open to the caller.
    pub open: bool,
    /// The agent's name.
    pub agent: String,
    /// Whether the agent has a restricted profile at all.
    pub can_be_restricted: bool,
    /// Which of its models.
    pub thinking_mode: ThinkingMode,
    /// Labels it gets.
    pub labels: Labels,
    /// What to type first.
    pub message: Option<NewMessage>,
    /// The client's own id for this request.
    pub client_id: Option<String>,
    /// The session that the same request of the same person made before.
    pub existing: Option<Box<Session>>,
    /// How many sessions the caller has open.
    pub open_sessions: u64,
}

/// An ended session that is to run again, and what its owner may do today.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// The session.
    pub session: Box<Session>,
    /// Why.
    pub reason: Option<String>,
    /// Its owner, as the people map has them now.
    pub owner: Caller,
    /// The profile of the owner's role.
    pub profile: Profile,
    /// Sessions that somebody of the owner's role may have open.
    pub max_sessions: u64,
    /// How many the owner has open.
    pub open_sessions: u64,
    /// Whether its project, or the bare path, is open to the owner.
    pub open: bool,
    /// Whether the agent has a restricted profile at all.
    pub can_be_restricted: bool,
    /// Why it cannot run where it ran, if it cannot.
    pub obstacle: Option<String>,
}

/// Text on its way to an agent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The key it gets.
    pub id: Uuid,
    /// What to type.
    pub text: String,
    /// Whether it is a slash command, which is typed bare.
    pub slash: bool,
    /// The client's own id for this request.
    pub client_id: Option<String>,
}

/// An answer on its way to an agent.
#[derive(Clone, Debug)]
pub struct NewAnswer {
    /// The session that asks.
    pub session: Box<Session>,
    /// What it asks, as it is now; nothing where it never asked that.
    pub question: Option<Box<Question>>,
    /// The answer.
    pub answer: Answer,
    /// As it was given.
    pub text: String,
    /// Why.
    pub reason: Option<String>,
}

/// Which sessions, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct SessionQuery {
    /// Only of this project.
    pub project: Option<String>,
    /// Only in this status.
    pub status: Option<SessionStatus>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only of this owner, by name.
    pub owner: Option<String>,
    /// Only with activity at or after.
    pub since: Option<Timestamp>,
    /// Only with these labels.
    pub labels: Labels,
    /// Only those this session's agent started.
    pub children_of: Option<SessionId>,
    /// Also those of other machines.
    pub all_computers: bool,
    /// The last row of the page before.
    pub after: Option<(Timestamp, SessionId)>,
    /// Rows at most.
    pub limit: u64,
}

/// What is searched for, among which sessions, and which page of what is found.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// What for.
    pub query: Query,
    /// Only in sessions of this project.
    pub project: Option<String>,
    /// Only said or done at or after.
    pub since: Option<Timestamp>,
    /// Only said or done at or before.
    pub until: Option<Timestamp>,
    /// Why; with a reason an admin searches everybody's sessions.
    pub reason: Option<String>,
    /// The place of the last hit of the page before.
    pub before: Option<i64>,
    /// Hits at most.
    pub limit: u64,
}

/// Which part of a session's content.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Shown at or after.
    pub since: Option<Timestamp>,
    /// Shown at or before.
    pub until: Option<Timestamp>,
    /// Characters from the end, if no cursor says otherwise.
    pub tail_chars: usize,
    /// Characters to skip from the start.
    pub from: Option<u64>,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// From where a session is followed, and how.
#[derive(Clone, Debug, Default)]
pub struct Following {
    /// Said at or after.
    pub since: Option<Timestamp>,
    /// Characters from the end to begin with, if no cursor says otherwise.
    pub tail_chars: usize,
    /// Where to begin.
    pub cursor: Option<String>,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Which rows of the audit log, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only about sessions of this owner.
    pub owner: Option<String>,
    /// Only about this session.
    pub session: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<AuditOutcome>,
    /// Only at or after.
    pub since: Option<Timestamp>,
    /// Only at or before.
    pub until: Option<Timestamp>,
    /// Only with this in what they say.
    pub text: Option<String>,
    /// The last row of the page before: time, computer, seq.
    pub before: Option<(Timestamp, String, i64)>,
    /// Rows at most.
    pub limit: u64,
}

/// What to check the log with besides what the daemon has.
#[derive(Clone, Debug, Default)]
pub struct AuditEvidence {
    /// Signed notes of checkpoints.
    pub notes: Vec<String>,
    /// Public keys.
    pub keys: Vec<VerifierKey>,
}

impl Action {
    /// What is done, without to what.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Whoami => Verb::Whoami,
            Self::Health => Verb::Health,
            Self::ShowApi => Verb::ShowApi,
            Self::ListProjects => Verb::ListProjects,
            Self::ListAgents => Verb::ListAgents,
            Self::ListComputers => Verb::ListComputers,
            Self::ReadDocs(_) => Verb::ReadDocs,
            Self::DocProblems => Verb::DocProblems,
            Self::ListSessions(_) => Verb::ListSessions,
            Self::ShowSession(_) => Verb::ShowSession,
            Self::StartSession(_) => Verb::StartSession,
            Self::SendMessage { .. } => Verb::SendMessage,
            Self::EndSession { .. } => Verb::EndSession,
            Self::PurgeSession { .. } => Verb::PurgeSession,
            Self::ResumeSession(_) => Verb::ResumeSession,
            Self::InterruptSession { .. } => Verb::InterruptSession,
            Self::LabelSession { .. } => Verb::LabelSession,
            Self::RenameSession { .. } => Verb::RenameSession,
            Self::AnswerSession(_) => Verb::AnswerSession,
            Self::ExportSession { .. } => Verb::ExportSession,
            Self::ReadSession { .. } | Self::FollowSession { .. } => Verb::ReadSession,
            Self::SearchSessions(_) => Verb::SearchSessions,
            Self::Attach { input: false, .. } => Verb::AttachReadOnly,
            Self::Attach { input: true, .. } => Verb::Attach,
            Self::ReportHook { .. } => Verb::ReportHook,
            Self::Watch { .. } => Verb::Watch,
            Self::Inbox(query) => match query.mark {
                None => Verb::ReadInbox,
                Some(_) => Verb::MarkInbox,
            },
            Self::SendToPerson(_) => Verb::SendToPerson,
            Self::SendSummary(_) => Verb::SendSummary,
            Self::WhoReadMine(_) => Verb::WhoReadMine,
            Self::CreateTask(_) => Verb::CreateTask,
            Self::ListTasks(_) => Verb::ListTasks,
            Self::ListMyTasks(_) => Verb::ListMyTasks,
            Self::ShowTask(_) => Verb::ShowTask,
            Self::UpdateTask(_) => Verb::UpdateTask,
            Self::DeleteTask(_) => Verb::DeleteTask,
            Self::ListAudit(_) => Verb::ListAudit,
            Self::VerifyAudit(_) => Verb::VerifyAudit,
            Self::ExportAudit { .. } => Verb::ExportAudit,
            Self::FollowAudit { .. } => Verb::FollowAudit,
            Self::ShowAuditKeys => Verb::ShowAuditKeys,
            Self::RotateAuditKey => Verb::RotateAuditKey,
            Self::PruneAudit { .. } => Verb::PruneAudit,
            Self::PlaceHold { .. } | Self::ReleaseHold { .. } => Verb::HoldAudit,
            Self::ListHolds { .. } => Verb::ListHolds,
            Self::ShowUsage(_) => Verb::ShowUsage,
            Self::ListActivity(_) => Verb::ListActivity,
            Self::ReadMetrics => Verb::ReadMetrics,
            Self::ShowConfig => Verb::ShowConfig,
            Self::PutMyConfig { .. } => Verb::PutMyConfig,
            Self::ListCredentials(_) => Verb::ListCredentials,
            Self::ChangeCredentials { change, .. } => match **change {
                CredentialChange::Put { .. } => Verb::PutCredential,
                CredentialChange::Delete { .. } => Verb::DeleteCredential,
                CredentialChange::Import { .. } => Verb::ImportCredentials,
            },
            Self::ShowKeys => Verb::ShowKeys,
            Self::GenerateKey => Verb::GenerateKey,
            Self::RotateKey => Verb::RotateKey,
            Self::ListPeople(_) => Verb::ListPeople,
            Self::FindPerson { .. } => Verb::FindPerson,
            Self::ShowPerson { .. } => Verb::ShowPerson,
            Self::PeopleStats => Verb::PeopleStats,
            Self::ExplainPerson { .. } => Verb::ExplainPerson,
            Self::ChangePeople(change) => change.verb(),
            Self::ListBans(_) => Verb::ListBans,
            Self::Reload => Verb::Reload,
            Self::ListJobs => Verb::ListJobs,
            Self::RunJob(_) => Verb::RunJob,
        }
    }

    /// To whom it writes.
    pub fn addressees(&self) -> Vec<PersonId> {
        match self {
            Self::SendToPerson(letter) | Self::SendSummary(letter) => {
                letter.to.iter().map(|addressee| addressee.person.id).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Who is warned, and at which uid they were last seen.
    pub fn warned(&self) -> Option<(PersonId, u32)> {
        match self {
            Self::ChangePeople(change) => change.warned(),
            _ => None,
        }
    }

    /// The session it is about, if it is about one that exists.
    pub fn session(&self) -> Option<&Session> {
        match self {
            Self::ShowSession(session)
            | Self::SendMessage { session, .. }
            | Self::EndSession { session, .. }
            | Self::PurgeSession { session, .. }
            | Self::InterruptSession { session, .. }
            | Self::LabelSession { session, .. }
            | Self::RenameSession { session, .. }
            | Self::ExportSession { session, .. }
            | Self::ReadSession { session, .. }
            | Self::FollowSession { session, .. }
            | Self::Attach { session, .. }
            | Self::ReportHook { session, .. }
            | Self::Watch { session, .. } => Some(session),
            Self::ResumeSession(resumption) => Some(&resumption.session),
            Self::AnswerSession(new) => Some(&new.session),
            Self::SendToPerson(letter) => letter.session(),
            Self::ListActivity(query) => query.session.as_deref(),
            _ => None,
        }
    }
}

impl NewSession {
    /// The profile it gets: the role's, unless only the restricted one is open to it.
    pub const fn profile(role_may_full: bool, configured: Profile) -> Profile {
        match (role_may_full, configured) {
            (true, configured) => configured,
            (false, _) => Profile::Restricted,
        }
    }
}
