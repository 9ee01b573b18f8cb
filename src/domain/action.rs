//! Everything that can be asked, with the things (not the names) it is about. What `policy` judges.

use crate::domain::project::Project;
use crate::domain::session::{Profile, Session};

/// A request whose names have been resolved.
#[derive(Clone, Debug)]
pub enum Action {
    /// Who am I?
    Whoami,
    /// Is the daemon well: one word.
    Health,
    /// Projects open to the caller.
    ListProjects,
    /// Agents open to the caller.
    ListAgents,
    /// Machines on this database.
    ListComputers,
    /// Sessions: one's own, or everybody's.
    ListSessions {
        /// Whether somebody else's sessions are asked for too.
        of_others: bool,
    },
    /// One session's metadata.
    ShowSession(Box<Session>),
    /// A new session.
    StartSession {
        /// The configured project it lies in; `None` is a bare path.
        project: Option<Project>,
        /// Whether the project is open to the caller.
        open: bool,
        /// The agent, and whether the caller's role may run it.
        agent_allowed: bool,
        /// How many sessions the caller has running, and how many the role may have.
        running: (u64, u64),
        /// The profile the role's config gives; the policy narrows it.
        profile: Profile,
        /// The session whose agent asks, if one does, and whether agents may start sessions.
        by_agent: Option<bool>,
    },
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
    /// The config in force.
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
