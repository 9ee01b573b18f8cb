//! What is answered. Field names are the same in MCP structured content, REST and `--json`. Times are RFC 3339 UTC.

use crate::domain::caller::{Caller, Role};
use crate::wire::activity::ActivityReply;
use crate::wire::audit::{AuditKeysReply, AuditReply, HoldRow, HoldsReply, PrunedReply, VerifiedReply};
use crate::wire::credential::{
    CredentialDeletedReply, CredentialRow, CredentialsReply, ImportedReply, KeysReply,
};
use crate::wire::docs::{ContextReply, DocProblemsReply, DocText};
use crate::wire::inbox::{DeliveredReply, InboxReply};
use crate::wire::job::{JobRow, JobsReply};
use crate::wire::people::{FoundPersonReply, PeopleReply, PeopleStatsReply, PersonReply};
use crate::wire::people_change::{
    BannedReply, BansReply, BulkReply, LiftedReply, MergedReply, PersonChangedReply, PersonPurgedReply,
    WarnedReply,
};
use crate::wire::session::{
    AnsweredReply, ContentReply, EndedReply, HeardReply, PurgedReply, SearchReply, SentReply, SessionReply,
    SessionsReply, StartedReply, WatchingReply,
};
use crate::wire::task::{TaskDeletedReply, TaskReply, TasksReply};
use crate::wire::usage::UsageReply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to a [`Request`](crate::wire::request::Request) that was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To `Whoami` and `ExplainPerson`.
    Whoami(Box<WhoamiReply>),
    /// To `Health`.
    Health(HealthReply),
    /// To `ShowApi`: an OpenAPI document.
    Api(Box<serde_json::Value>),
    /// To `ListProjects`.
    Projects(ProjectsReply),
    /// To `ListAgents`.
    Agents(AgentsReply),
    /// To `ListComputers`.
    Computers(ComputersReply),
    /// To `ReadDocs`.
    Context(ContextReply),
    /// To `ReadDocument`.
    Document(DocText),
    /// To `DocProblems`.
    DocProblems(DocProblemsReply),
    /// To `ListSessions`.
    Sessions(SessionsReply),
    /// To `ShowSession`.
    Session(Box<SessionReply>),
    /// To `StartSession` and `RunAgentCommand`.
    Started(Box<StartedReply>),
    /// To `SendMessage`.
    Sent(SentReply),
    /// To `EndSession`.
    Ended(EndedReply),
    /// To `PurgeSession`.
    Purged(PurgedReply),
    /// To `ResumeSession`, `InterruptSession`, `LabelSession` and `RenameSession`.
    Changed(Box<SessionReply>),
    /// To `AnswerSession`.
    Answered(AnsweredReply),
    /// To `ReportHook`.
    Heard(HeardReply),
    /// To `ReadSession`.
    Content(Box<ContentReply>),
    /// To `SearchSessions`.
    Hits(SearchReply),
    /// To `Subscribe` and `StopNotifications`.
    Watching(WatchingReply),
    /// To `Inbox`.
    Inbox(InboxReply),
    /// To `SendToPerson` and `SendSummary`.
    Delivered(Box<DeliveredReply>),
    /// To `ListAudit` and `WhoReadMine`.
    Audit(AuditReply),
    /// To `ListTasks` and `ListMyTasks`.
    Tasks(TasksReply),
    /// To `CreateTask`, `ShowTask` and `UpdateTask`.
    Task(Box<TaskReply>),
    /// To `DeleteTask`.
    TaskDeleted(TaskDeletedReply),
    /// To `VerifyAudit`.
    Verified(VerifiedReply),
    /// To `ShowAuditKeys` and `RotateAuditKey`.
    AuditKeys(AuditKeysReply),
    /// To `PruneAudit`.
    Pruned(PrunedReply),
    /// To `PlaceHold` and `ReleaseHold`.
    Hold(HoldRow),
    /// To `ListHolds`.
    Holds(HoldsReply),
    /// To `ShowUsage`.
    Usage(UsageReply),
    /// To `ListActivity`.
    Activity(ActivityReply),
    /// To `ReadMetrics`: text as Prometheus reads it.
    Metrics(String),
    /// To `ShowConfig`.
    Config(ConfigReply),
    /// To `PutMyConfig`.
    MyConfig(MyConfigReply),
    /// To `ListCredentials`.
    Credentials(CredentialsReply),
    /// To `PutCredential`.
    Credential(CredentialRow),
    /// To `DeleteCredential`.
    CredentialDeleted(CredentialDeletedReply),
    /// To `ImportCredentials`.
    Imported(ImportedReply),
    /// To `ShowKeys`, `GenerateKey` and `RotateKey`.
    Keys(KeysReply),
    /// To `ListPeople`.
    People(PeopleReply),
    /// To `FindPerson`.
    FoundPerson(Box<FoundPersonReply>),
    /// To `ShowPerson`.
    Person(Box<PersonReply>),
    /// To `PeopleStats`.
    PeopleStats(Box<PeopleStatsReply>),
    /// To changes of one person.
    PersonChanged(Box<PersonChangedReply>),
    /// To removing one.
    PersonPurged(PersonPurgedReply),
    /// To making one of two.
    PeopleMerged(MergedReply),
    /// To changes of many.
    PeopleBulk(BulkReply),
    /// To a warning.
    Warned(WarnedReply),
    /// To a ban.
    Banned(BannedReply),
    /// To lifting one.
    Lifted(LiftedReply),
    /// To `ListBans`.
    Bans(BansReply),
    /// To `Reload`.
    Reloaded(ReloadedReply),
    /// To `ListJobs`.
    Jobs(JobsReply),
    /// To `RunJob`.
    JobDone(Box<JobRow>),
}

/// Who somebody is to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoamiReply {
    /// The person, if the uid is mapped to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// What they may do at most.
    pub role: Role,
    /// The OS user, if the system knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_username: Option<String>,
    /// User id as the kernel gave it.
    #[schemars(range(min = 0))]
    pub uid: i64,
    /// Primary group id.
    #[schemars(range(min = 0))]
    pub gid: i64,
    /// Supplementary group ids.
    pub groups: Vec<i64>,
    /// `system` or `single-user`.
    pub mode: String,
    /// Whether the daemon serves one user only.
    pub single_user: bool,
    /// Which rule matched, and where it stands.
    pub rule: RuleReply,
    /// Why every other request is refused, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The session whose agent is asking, if an agent is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_of: Option<String>,
    /// What the role may do: action names.
    pub may: Vec<String>,
}

/// A mapping rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleReply {
    /// In words.
    pub text: String,
    /// `file:line`, where it stands in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl WhoamiReply {
    /// The answer for `caller`; `may` comes from the policy.
    pub fn of(caller: &Caller, single_user: bool, may: Vec<String>) -> Self {
        Self {
            person: caller.person.as_ref().map(|p| p.name.clone()),
            role: caller.role,
            os_username: caller.os_username.clone(),
            uid: i64::from(caller.uid),
            gid: i64::from(caller.gid),
            groups: caller.groups.iter().copied().map(i64::from).collect(),
            mode: if single_user { "single-user" } else { "system" }.to_owned(),
            single_user,
            rule: RuleReply { text: caller.rule.text.clone(), origin: caller.rule.origin.clone() },
            refused: caller.standing.refusal(),
            agent_of: caller.agent_of.map(|s| s.to_string()),
            may,
        }
    }
}

/// How the daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReply {
    /// `ok` or `degraded`: all that most callers see.
    pub status: String,
    /// What is wrong or worth knowing, for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<HealthDetail>,
}

/// Health for admins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthDetail {
    /// The daemon's version.
    pub version: String,
    /// This machine's name in the database.
    pub computer: String,
    /// `sqlite` or `postgresql`.
    pub database: String,
    /// Seconds since the daemon began.
    #[schemars(range(min = 0))]
    pub uptime_seconds: i64,
    /// Connections that are open.
    #[schemars(range(min = 0))]
    pub connections: i64,
    /// Sessions that run.
    #[schemars(range(min = 0))]
    pub sessions: i64,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

/// A project somebody may work in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectRow {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Projects somebody may work in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectsReply {
    /// In the order of the config.
    pub projects: Vec<ProjectRow>,
}

/// An agent somebody may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// The program it runs.
    pub command: String,
    /// Whether it is the one taken when none is named.
    pub default: bool,
    /// The profile the caller's role gets.
    pub profile: String,
}

/// Agents somebody may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentsReply {
    /// By name.
    pub agents: Vec<AgentRow>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComputerRow {
    /// Its name in the database.
    pub name: String,
    /// Whether it is the one that answers.
    pub this: bool,
    /// When its daemon last began.
    pub started_at: String,
}

/// Machines on this database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComputersReply {
    /// By name.
    pub computers: Vec<ComputerRow>,
}

/// One config value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigRow {
    /// Dotted key.
    pub key: String,
    /// The value as JSON text; secrets are masked.
    pub value: String,
    /// Layer, and `file:line` where there is one.
    pub origin: String,
}

/// The config in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigReply {
    /// By key.
    pub values: Vec<ConfigRow>,
}

/// A personal layer that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MyConfigReply {
    /// The keys it sets.
    pub keys: Vec<String>,
    /// When it was taken: its version, for `if_version` of the next.
    #[serde(default)]
    pub version: String,
}

/// A config that was read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadedReply {
    /// Keys whose new values are in force.
    pub changed: Vec<String>,
    /// Keys that changed and need a restart.
    pub needs_restart: Vec<String>,
}
