//! Everything that can be asked, with the things (not the names) it is about. What `policy` judges.

use crate::domain::audit::AuditOutcome;
use crate::domain::caller::Caller;
use crate::domain::credential::{CredentialChange, Holder};
use crate::domain::project::Project;
use crate::domain::session::{Profile, Session, SessionId, SessionStatus, SessionTitle, ThinkingMode};
use crate::domain::timestamp::Timestamp;
use uuid::Uuid;

/// A request whose names have been resolved.
#[derive(Clone, Debug)]
pub enum Action {
    /// Who am I?
    Whoami,
    /// Is the daemon well: one word, and for admins the details.
    Health,
    /// Projects open to the caller.
    ListProjects,
    /// Agents open to the caller.
    ListAgents,
    /// Machines on this database.
    ListComputers,
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
    /// Running an ended session again.
    ResumeSession(Box<Resumption>),
    /// Interrupting what a session's agent does.
    InterruptSession {
        /// The session.
        session: Box<Session>,
        /// Why.
        reason: Option<String>,
    },
    /// Calling a session something else.
    RenameSession {
        /// The session.
        session: Box<Session>,
        /// What to call it.
        title: SessionTitle,
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
    /// Seeing a session's terminal as it changes, and typing into it.
    Attach {
        /// The session.
        session: Box<Session>,
        /// Whether to type, too.
        input: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Being told of a session's changes, or no longer.
    Watch {
        /// The session.
        session: Box<Session>,
        /// On or off.
        on: bool,
    },
    /// The audit log.
    ListAudit(Box<AuditQuery>),
    /// Checking the chain.
    VerifyAudit,
    /// The config in force: all of it for admins, the personal layer for others.
    ShowConfig,
    /// One's personal config layer, already checked.
    PutMyConfig {
        /// The text.
        yaml: String,
        /// The keys it sets.
        keys: Vec<String>,
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
    /// Why somebody is who they are.
    ExplainPerson {
        /// Who that is, as the map says now.
        who: Box<Caller>,
        /// Whether it is the caller.
        own: bool,
    },
    /// Reading the config again.
    Reload,
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
    /// Only those this session's agent started.
    pub children_of: Option<SessionId>,
    /// Also those of other machines.
    pub all_computers: bool,
    /// The last row of the page before.
    pub after: Option<(Timestamp, SessionId)>,
    /// Rows at most.
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
    /// The last row of the page before: time, computer, seq.
    pub before: Option<(Timestamp, String, i64)>,
    /// Rows at most.
    pub limit: u64,
}

/// What is done, without to what: the rows of the policy's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Who am I?
    Whoami,
    /// Is the daemon well?
    Health,
    /// Projects.
    ListProjects,
    /// Agents.
    ListAgents,
    /// Machines.
    ListComputers,
    /// Sessions.
    ListSessions,
    /// One session.
    ShowSession,
    /// A new session.
    StartSession,
    /// Typing.
    SendMessage,
    /// Ending.
    EndSession,
    /// Running again.
    ResumeSession,
    /// Interrupting.
    InterruptSession,
    /// Calling it something else.
    RenameSession,
    /// Reading content.
    ReadSession,
    /// Seeing a terminal live.
    AttachReadOnly,
    /// Seeing a terminal live and typing into it.
    Attach,
    /// Being told of changes.
    Watch,
    /// The audit log.
    ListAudit,
    /// Checking it.
    VerifyAudit,
    /// The config.
    ShowConfig,
    /// One's own layer.
    PutMyConfig,
    /// Names of credentials.
    ListCredentials,
    /// A credential.
    PutCredential,
    /// Deleting one.
    DeleteCredential,
    /// Many at once.
    ImportCredentials,
    /// The encryption keys.
    ShowKeys,
    /// The first of them.
    GenerateKey,
    /// Another of them.
    RotateKey,
    /// Explaining a mapping.
    ExplainPerson,
    /// Reading the config again.
    Reload,
}

impl Verb {
    /// Every verb, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::Whoami,
        Self::Health,
        Self::ListProjects,
        Self::ListAgents,
        Self::ListComputers,
        Self::ListSessions,
        Self::ShowSession,
        Self::StartSession,
        Self::SendMessage,
        Self::EndSession,
        Self::ResumeSession,
        Self::InterruptSession,
        Self::RenameSession,
        Self::ReadSession,
        Self::AttachReadOnly,
        Self::Attach,
        Self::Watch,
        Self::ListAudit,
        Self::VerifyAudit,
        Self::ShowConfig,
        Self::PutMyConfig,
        Self::ListCredentials,
        Self::PutCredential,
        Self::DeleteCredential,
        Self::ImportCredentials,
        Self::ShowKeys,
        Self::GenerateKey,
        Self::RotateKey,
        Self::ExplainPerson,
        Self::Reload,
    ];

    /// The name as `whoami`, refusals and the audit log spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whoami => "whoami",
            Self::Health => "health",
            Self::ListProjects => "projects.list",
            Self::ListAgents => "agents.list",
            Self::ListComputers => "computers.list",
            Self::ListSessions => "sessions.list",
            Self::ShowSession => "session.show",
            Self::StartSession => "session.start",
            Self::SendMessage => "session.send",
            Self::EndSession => "session.end",
            Self::ResumeSession => "session.resume",
            Self::InterruptSession => "session.interrupt",
            Self::RenameSession => "session.title",
            Self::ReadSession => "transcript.read",
            Self::AttachReadOnly => "session.watch",
            Self::Attach => "session.attach",
            Self::Watch => "session.subscribe",
            Self::ListAudit => "audit.list",
            Self::VerifyAudit => "audit.verify",
            Self::ShowConfig => "config.show",
            Self::PutMyConfig => "config.put_mine",
            Self::ListCredentials => "credentials.list",
            Self::PutCredential => "credential.put",
            Self::DeleteCredential => "credential.delete",
            Self::ImportCredentials => "credential.import",
            Self::ShowKeys => "key.show",
            Self::GenerateKey => "key.generate",
            Self::RotateKey => "key.rotate",
            Self::ExplainPerson => "people.explain",
            Self::Reload => "config.reload",
        }
    }
}

impl Action {
    /// What is done, without to what.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Whoami => Verb::Whoami,
            Self::Health => Verb::Health,
            Self::ListProjects => Verb::ListProjects,
            Self::ListAgents => Verb::ListAgents,
            Self::ListComputers => Verb::ListComputers,
            Self::ListSessions(_) => Verb::ListSessions,
            Self::ShowSession(_) => Verb::ShowSession,
            Self::StartSession(_) => Verb::StartSession,
            Self::SendMessage { .. } => Verb::SendMessage,
            Self::EndSession { .. } => Verb::EndSession,
            Self::ResumeSession(_) => Verb::ResumeSession,
            Self::InterruptSession { .. } => Verb::InterruptSession,
            Self::RenameSession { .. } => Verb::RenameSession,
            Self::ReadSession { .. } => Verb::ReadSession,
            Self::Attach { input: false, .. } => Verb::AttachReadOnly,
            Self::Attach { input: true, .. } => Verb::Attach,
            Self::Watch { .. } => Verb::Watch,
            Self::ListAudit(_) => Verb::ListAudit,
            Self::VerifyAudit => Verb::VerifyAudit,
            Self::ShowConfig => Verb::ShowConfig,
            Self::PutMyConfig { .. } => Verb::PutMyConfig,
            Self::ListCredentials(_) => Verb::ListCredentials,
            Self::ChangeCredentials { change, .. } => match **change {
                CredentialChange::Put { .. } => Verb::PutCredential,
                CredentialChange::Delete(_) => Verb::DeleteCredential,
                CredentialChange::Import { .. } => Verb::ImportCredentials,
            },
            Self::ShowKeys => Verb::ShowKeys,
            Self::GenerateKey => Verb::GenerateKey,
            Self::RotateKey => Verb::RotateKey,
            Self::ExplainPerson { .. } => Verb::ExplainPerson,
            Self::Reload => Verb::Reload,
        }
    }

    /// The session it is about, if it is about one that exists.
    pub fn session(&self) -> Option<&Session> {
        match self {
            Self::ShowSession(session)
            | Self::SendMessage { session, .. }
            | Self::EndSession { session, .. }
            | Self::InterruptSession { session, .. }
            | Self::RenameSession { session, .. }
            | Self::ReadSession { session, .. }
            | Self::Attach { session, .. }
            | Self::Watch { session, .. } => Some(session),
            Self::ResumeSession(resumption) => Some(&resumption.session),
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
