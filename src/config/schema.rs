//! Every key of `config.yml`, its type and its default. Secrets are not here (`secrets`), nor what a
//! person may set for themselves (`personal`). Agents, the database and the small value types are beside it.

pub mod access;
pub mod agents;
pub mod database;
pub mod heartbeat;
pub mod limits;
pub mod value;

use crate::config::paths::{Mode, Paths};
use crate::config::schema::access::{Access, PersonEntry, ProjectEntry, Roles};
use crate::config::schema::agents::Agents;
use crate::config::schema::database::Database;
use crate::config::schema::heartbeat::Heartbeat;
use crate::config::schema::limits::Limits;
use crate::config::schema::value::{FileMode, Span};
use crate::domain::caller::Role;
use crate::domain::project::Project;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The config in force. `Default` is system mode on this system with no host name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the daemon listens. Needs a restart.
    pub socket: PathBuf,
    /// Mode bits of the socket, in octal and in quotes. Needs a restart.
    pub socket_mode: FileMode,
    /// OS group of the socket, for those who narrow `socket_mode`. Needs a restart.
    pub socket_group: Option<String>,
    /// This machine.
    pub computer: Computer,
    /// Who is who.
    pub people: Vec<PersonEntry>,
    /// Who may come in at all.
    pub access: Access,
    /// Limits of each role.
    pub roles: Roles,
    /// Folders in which sessions may run.
    pub projects: Vec<ProjectEntry>,
    /// The agents that may be run.
    pub agents: Agents,
    /// The privileged helper.
    pub runner: Runner,
    /// How sessions run and what is recorded.
    pub sessions: Sessions,
    /// Where everything is kept. Needs a restart.
    pub database: Database,
    /// The audit log.
    pub audit: Audit,
    /// What warnings lead to.
    pub bans: Bans,
    /// How long things are kept.
    pub retention: Retention,
    /// Tasks that people are given.
    pub tasks: Tasks,
    /// Telling people of tasks that are due.
    pub heartbeat: Heartbeat,
    /// Shared documents.
    pub docs: Docs,
    /// What the prompts of roles say.
    pub prompts: Prompts,
    /// The daemon's own log.
    pub log: Log,
    /// How secrets are guarded.
    pub secrets: SecretsPolicy,
    /// Bounds on what clients may do.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/var/run/teleclaude.sock"),
            socket_mode: FileMode(0o666),
            socket_group: None,
            computer: Computer::default(),
            people: Vec::new(),
            access: Access::default(),
            roles: Roles::default(),
            projects: Vec::new(),
            agents: Agents::default(),
            runner: Runner::default(),
            sessions: Sessions::default(),
            database: Database::default(),
            audit: Audit::default(),
            bans: Bans::default(),
            retention: Retention::default(),
            tasks: Tasks::default(),
            heartbeat: Heartbeat::default(),
            docs: Docs::default(),
            prompts: Prompts::default(),
            log: Log::default(),
            secrets: SecretsPolicy::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// The defaults in force before any file is read.
    pub fn defaults(mode: Mode, paths: &Paths, hostname: &str) -> Self {
        let mut config = Self::default();
        config.socket.clone_from(&paths.socket);
        config.computer.name = hostname.to_owned();
        config.database.path.clone_from(&paths.database);
        config.docs.path.clone_from(&paths.docs);
        if mode == Mode::SingleUser {
            config.socket_mode = FileMode(0o600);
            config.log.target = LogTarget::Stderr;
            config.audit.checkpoint.journald = false;
            if let Some(shell) = config.agents.by_name.get_mut("shell") {
                shell.enabled = true;
            }
        }
        config
    }

    /// The configured projects as the domain knows them.
    pub fn projects(&self) -> Vec<Project> {
        self.projects.iter().map(ProjectEntry::project).collect()
    }
}

/// This machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Computer {
    /// Its name among others on one database; the host name unless set. Needs a restart.
    pub name: String,
}

/// The privileged helper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Runner {
    /// OS group whose members the runner also serves; nothing for none.
    #[serde(deserialize_with = "value::group_or_none")]
    pub group: Option<String>,
}

/// As whom agents run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunAs {
    /// As the session's owner, through the runner.
    Owner,
    /// As the service user: only where everybody may read what everybody does.
    Service,
}

/// How sessions run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// As whom agents run (system mode; in single-user mode always the user).
    pub run_as: RunAs,
    /// What everybody who starts a session is told (system mode).
    pub notice: String,
    /// Hours without activity after which a session is ended; 0 for never.
    pub idle_end_hours: u32,
    /// Lines of the screen's history kept.
    pub scrollback_lines: u32,
    /// Patterns of what is taken out of transcripts, beside the shapes of keys that are known; at most 64, of 1,000 bytes.
    pub redact: Vec<String>,
    /// The recording.
    pub recording: Recording,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            run_as: RunAs::Owner,
            notice: "Sessions on this system are subject to admin audit.".to_owned(),
            idle_end_hours: 72,
            scrollback_lines: 10_000,
            redact: Vec::new(),
            recording: Recording::default(),
        }
    }
}

/// The recording of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// End the session if an event cannot be recorded.
    pub strict: bool,
    /// Bytes of one recording at most.
    pub max_bytes: u64,
    /// Milliseconds between fsyncs.
    pub fsync_ms: u64,
    /// Record what is typed, passwords included.
    pub input: bool,
}

impl Default for Recording {
    fn default() -> Self {
        Self { strict: false, max_bytes: 256 * 1024 * 1024, fsync_ms: 250, input: false }
    }
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Admins must give a reason to read what is not theirs.
    pub require_reason: bool,
    /// Signed checkpoints of the chain.
    pub checkpoint: Checkpoint,
    /// Tell the owner when somebody read their session.
    pub notify_owner: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self { require_reason: true, checkpoint: Checkpoint::default(), notify_owner: true }
    }
}

/// Signed checkpoints of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoint {
    /// Time between two, such as `30m` or `1h`.
    pub every: Span,
    /// Send them to journald.
    pub journald: bool,
    /// Append them to this file too.
    pub file: Option<PathBuf>,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every: Span(Duration::from_secs(3_600)), journald: cfg!(target_os = "linux"), file: None }
    }
}

/// What warnings lead to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bans {
    /// Days for which the second warning bans; 0 for no such ban.
    pub auto_days: u32,
}

impl Default for Bans {
    fn default() -> Self {
        Self { auto_days: 7 }
    }
}

/// How long things are kept, in days; 0 for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Transcripts of ended sessions.
    pub transcripts_days: u32,
    /// Recordings of ended sessions.
    pub recordings_days: u32,
    /// Visitors nobody knows, since their last contact.
    pub anonymous_days: u32,
    /// Activity rows.
    pub activity_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { transcripts_days: 0, recordings_days: 90, anonymous_days: 30, activity_days: 365 }
    }
}

/// Tasks that people are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tasks {
    /// The time zone of deadlines that say none, such as `Europe/Berlin`; the machine's unless set.
    pub time_zone: Option<String>,
}

/// Shared documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Docs {
    /// Their folder.
    pub path: PathBuf,
}

impl Default for Docs {
    fn default() -> Self {
        Self { path: PathBuf::from("/usr/local/share/teleclaude/docs") }
    }
}

/// What the prompts that MCP clients are offered say, instead of ours. `{tools}` stands for the list of the tools that
/// the person may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prompts {
    /// That of admins.
    pub admin: Option<String>,
    /// That of members and contributors.
    pub member: Option<String>,
    /// That of newcomers.
    pub newcomer: Option<String>,
}

impl Prompts {
    /// The text for a role, if there is one.
    pub fn of(&self, role: Role) -> Option<&str> {
        match role {
            Role::Admin => self.admin.as_deref(),
            Role::Member | Role::Contributor => self.member.as_deref(),
            Role::Newcomer => self.newcomer.as_deref(),
            Role::Public => None,
        }
    }
}

/// How much the daemon says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what wants a look.
    Warn,
    /// And what happens.
    Info,
    /// And how.
    Debug,
    /// And everything.
    Trace,
}

impl LogLevel {
    /// The word, as tracing spells it too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Where the daemon's log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogTarget {
    /// The journal, with fields. Only where systemd is.
    Journald,
    /// Standard error.
    Stderr,
}

/// The daemon's own log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// Where to.
    pub target: LogTarget,
}

impl Default for Log {
    fn default() -> Self {
        let target = if cfg!(target_os = "linux") { LogTarget::Journald } else { LogTarget::Stderr };
        Self { level: LogLevel::Info, target }
    }
}

/// How secrets are guarded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsPolicy {
    /// Refuse a secrets file that others can read instead of warning.
    pub strict: bool,
}
