//! Everything that can be asked, with the things (not the names) it is about. What `policy` judges.

use crate::domain::project::Project;
use crate::domain::session::{Profile, Session};

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
    ListSessions {
        /// Whether somebody else's are asked for by name.
        of_another: bool,
    },
    /// One session's metadata.
    ShowSession(Box<Session>),
    /// A new session.
    StartSession(Box<NewSession>),
    /// Typing into a session.
    SendMessage {
        /// The session.
        session: Box<Session>,
        /// Why.
        reason: Option<String>,
    },
    /// Ending a session.
    EndSession {
        /// The session.
        session: Box<Session>,
        /// Why.
        reason: Option<String>,
    },
    /// Reading what a session showed.
    ReadSession {
        /// The session.
        session: Box<Session>,
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
    ListAudit,
    /// Checking the chain.
    VerifyAudit,
    /// The config in force: all of it for admins, the personal layer for others.
    ShowConfig,
    /// One's personal config layer.
    PutMyConfig,
    /// Why somebody is who they are.
    ExplainPerson {
        /// Whether it is the caller.
        own: bool,
    },
    /// Reading the config again.
    Reload,
}

/// What a new session is about.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The configured project it lies in; `None` is a bare path.
    pub project: Option<Project>,
    /// What was asked for, to say so in a refusal.
    pub project_name: String,
    /// Whether the project, or the bare path, is open to the caller.
    pub open: bool,
    /// The agent's name.
    pub agent: String,
    /// Whether the agent has a restricted profile at all.
    pub can_be_restricted: bool,
    /// How many sessions the caller has open.
    pub open_sessions: u64,
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
    /// Reading content.
    ReadSession,
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
    /// Explaining a mapping.
    ExplainPerson,
    /// Reading the config again.
    Reload,
}

impl Verb {
    /// Every verb, in the order of the table.
    pub const ALL: [Self; 18] = [
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
        Self::ReadSession,
        Self::Watch,
        Self::ListAudit,
        Self::VerifyAudit,
        Self::ShowConfig,
        Self::PutMyConfig,
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
            Self::ReadSession => "transcript.read",
            Self::Watch => "session.subscribe",
            Self::ListAudit => "audit.list",
            Self::VerifyAudit => "audit.verify",
            Self::ShowConfig => "config.show",
            Self::PutMyConfig => "config.put_mine",
            Self::ExplainPerson => "people.explain",
            Self::Reload => "config.reload",
        }
    }
}

impl Action {
    /// What is done, without to what.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Whoami => Verb::Whoami,
            Self::Health => Verb::Health,
            Self::ListProjects => Verb::ListProjects,
            Self::ListAgents => Verb::ListAgents,
            Self::ListComputers => Verb::ListComputers,
            Self::ListSessions { .. } => Verb::ListSessions,
            Self::ShowSession(_) => Verb::ShowSession,
            Self::StartSession(_) => Verb::StartSession,
            Self::SendMessage { .. } => Verb::SendMessage,
            Self::EndSession { .. } => Verb::EndSession,
            Self::ReadSession { .. } => Verb::ReadSession,
            Self::Watch { .. } => Verb::Watch,
            Self::ListAudit => Verb::ListAudit,
            Self::VerifyAudit => Verb::VerifyAudit,
            Self::ShowConfig => Verb::ShowConfig,
            Self::PutMyConfig => Verb::PutMyConfig,
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
            | Self::ReadSession { session, .. }
            | Self::Watch { session, .. } => Some(session),
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
