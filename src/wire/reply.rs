//! What is answered. Field names are the same in MCP structured content, REST and `--json`. Times are RFC 3339 UTC.

use crate::domain::audit::AuditEntry;
use crate::domain::caller::{Caller, Role};
use crate::domain::label::Labels;
use crate::domain::session::Session;
use crate::wire::activity::ActivityReply;
use crate::wire::attach::AttachedRow;
use crate::wire::audit::{AuditKeysReply, HoldRow, HoldsReply, PrunedReply};
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

/// A session: metadata only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionReply {
    /// The key.
    pub session_id: String,
    /// What people call it. Absent for those whose it is not, if an agent made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whose it is.
    pub owner_person: String,
    /// At which uid.
    #[schemars(range(min = 0))]
    pub owner_uid: i64,
    /// Who started it.
    pub actor_person: String,
    /// Where it runs.
    pub computer: String,
    /// In which project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The project's folder.
    pub project_path: String,
    /// The folder inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// Its own worktree of the project, while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_path: Option<String>,
    /// The branch of its worktree, which outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_branch: Option<String>,
    /// Which agent.
    pub agent: String,
    /// Which of its models.
    pub thinking_mode: String,
    /// How far it may go.
    pub profile: String,
    /// starting, running, ending or ended.
    pub status: String,
    /// busy, idle or needs_input, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// How it ended: `code N`, `signal N`, `lost`, `failed: …`, `idle for N h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// The session whose agent started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<String>,
    /// The agent's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_session_id: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When something last happened in it.
    pub last_activity: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How much its agent asks and waits to be answered.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub open_requests: i64,
    /// What its agent asks. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_input: Vec<NeedsInputRow>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The version of its title and labels, for `if_version` of a change. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who sees its terminal now. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<AttachedRow>,
}

impl From<&Session> for SessionReply {
    fn from(s: &Session) -> Self {
        Self {
            session_id: s.id.to_string(),
            title: s.title.as_ref().map(|t| t.as_str().to_owned()),
            owner_person: s.owner_name.clone(),
            owner_uid: i64::from(s.owner_uid),
            actor_person: s.actor_name.clone(),
            computer: s.computer.clone(),
            project: s.project.clone(),
            project_path: s.project_path.clone(),
            subdir: s.subdir.clone(),
            worktree_path: s.worktree.as_ref().and_then(|w| w.path.clone()),
            worktree_branch: s.worktree.as_ref().and_then(|w| w.branch.clone()),
            agent: s.agent.clone(),
            thinking_mode: s.thinking_mode.name().to_owned(),
            profile: s.profile.name().to_owned(),
            status: s.status.name().to_owned(),
            activity: s.activity.map(|a| a.name().to_owned()),
            exit: s.exit.as_ref().map(ToString::to_string),
            parent_session_id: s.parent.map(|p| p.to_string()),
            native_session_id: s.native_id.clone(),
            created_at: s.created.to_string(),
            last_activity: s.last_activity.to_string(),
            ended_at: s.ended.map(|e| e.to_string()),
            open_requests: 0,
            needs_input: Vec::new(),
            labels: Labels::new(),
            version: None,
            attached: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// What a session's agent asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeedsInputRow {
    /// The key, for answer_session.
    pub request_id: String,
    /// permission or question.
    pub kind: String,
    /// What is asked. Only for the session's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The answers to choose from, if they are known. Only for the session's owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Since when.
    pub since: String,
}

/// An answer that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnsweredReply {
    /// The session.
    pub session_id: String,
    /// The question's key.
    pub request_id: String,
    /// answered. It is open again if the answer does not come to the agent.
    pub state: String,
}

/// A hook's report that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeardReply {
    /// The session.
    pub session_id: String,
}

/// A page of sessions, the most recently active first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsReply {
    /// The rows.
    pub sessions: Vec<SessionReply>,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// A session that was started (or, with the same `client_id`, had been).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartedReply {
    /// The row.
    #[serde(flatten)]
    pub session: SessionReply,
    /// What people on this machine are told about recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SentReply {
    /// The session.
    pub session_id: String,
    /// The message's key.
    pub message_id: String,
    /// pending, delivered, failed or unknown.
    pub state: String,
}

/// A session that is ending or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedReply {
    /// The session.
    pub session_id: String,
    /// ending or ended.
    pub status: String,
    /// Its worktree, if it has one that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_path: Option<String>,
}

/// A session that is being deleted, with all that is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PurgedReply {
    /// The session.
    pub session_id: String,
    /// Its worktree, if it has one: it stays if something in it is unsaved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree_path: Option<String>,
}

/// What was found, the last that was written down first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchReply {
    /// The hits.
    pub hits: Vec<HitRow>,
    /// Whose sessions were searched: own or all.
    pub searched: String,
    /// Where the next page begins; null when this is the last. A page may have few hits, or none, and not be the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// Something that was said or done, and has what was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HitRow {
    /// In which session.
    pub session_id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whose it is.
    pub owner_person: String,
    /// In which project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Which agent's.
    pub agent: String,
    /// Its number in the session's transcript.
    #[schemars(range(min = 1))]
    pub seq: i64,
    /// When, if the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// user, assistant, system or tool.
    pub role: String,
    /// text, thinking, tool_call, tool_result or notice.
    pub kind: String,
    /// The tool, of calls and results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The text around the first match on one line, at most some 250 characters; matches stand between `⟦` and `⟧`.
    pub snippet: String,
}

/// A page of what a session showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentReply {
    /// The session.
    pub session_id: String,
    /// Its status at that moment.
    pub status: String,
    /// markdown or json.
    pub format: String,
    /// The text.
    pub content: String,
    /// When it was read.
    pub captured_at: String,
    /// Whether there is more before (tail) or after (cursor) it.
    pub truncated: bool,
    /// Where the next page begins; null when there is none.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// Whether the caller is told of a session's changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchingReply {
    /// The session.
    pub session_id: String,
    /// Whether the caller is told.
    pub watching: bool,
}

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRow {
    /// Which machine's chain.
    pub computer: String,
    /// Place in the chain.
    #[schemars(range(min = 1))]
    pub seq: i64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Their uid.
    #[schemars(range(min = 0))]
    pub actor_uid: i64,
    /// Their role then.
    pub actor_role: String,
    /// By which mouth.
    pub via: String,
    /// What.
    pub action: String,
    /// success, denied or failure.
    pub outcome: String,
    /// Which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What else: its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_kind: Option<String>,
    /// What else: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request it was part of.
    pub request_id: String,
    /// More, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Hash of the row before, in hex.
    pub prev_hash: String,
    /// Hash of this row, in hex.
    pub hash: String,
}

impl From<&AuditEntry> for AuditRow {
    fn from(e: &AuditEntry) -> Self {
        let d = &e.draft;
        Self {
            computer: e.computer.clone(),
            seq: e.seq,
            at: d.at.to_string(),
            actor: d.actor.clone(),
            actor_uid: i64::from(d.actor_uid),
            actor_role: d.actor_role.name().to_owned(),
            via: d.via.clone(),
            action: d.action.clone(),
            outcome: d.outcome.name().to_owned(),
            session_id: d.session.clone(),
            owner: d.owner.clone(),
            target_kind: d.target.as_ref().map(|t| t.0.clone()),
            target_id: d.target.as_ref().map(|t| t.1.clone()),
            reason: d.reason.clone(),
            request_id: d.request_id.clone(),
            detail: d.detail.clone(),
            prev_hash: hex(&e.prev_hash),
            hash: hex(&e.hash),
        }
    }
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A page of the audit log, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditReply {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// What checking the chains found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedReply {
    /// Whether every chain is whole.
    pub ok: bool,
    /// Rows that were checked.
    #[schemars(range(min = 0))]
    pub rows: i64,
    /// Each chain.
    pub chains: Vec<ChainRow>,
}

/// One machine's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainRow {
    /// The machine.
    pub computer: String,
    /// Rows that were checked.
    #[schemars(range(min = 0))]
    pub rows: i64,
    /// The first row that is there: more than 1 after pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<i64>,
    /// Hash of the last row, in hex.
    pub head: String,
    /// Checkpoints that a trusted key has signed and that fit.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub checkpoints: i64,
    /// Checkpoints by keys that are not known here: they prove nothing.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub unknown_checkpoints: i64,
    /// The first row that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bad_seq: Option<i64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
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
