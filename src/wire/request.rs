//! What can be asked, by names. `usecase` resolves names to things. Unknown arguments are refused.

use crate::domain::audit::AuditOutcome;
use crate::domain::label::Labels;
use crate::domain::session::{SessionStatus, ThinkingMode};
use crate::domain::verb::Verb;
use crate::wire::activity::ListActivity;
use crate::wire::attach::TerminalSize;
use crate::wire::audit::{
    ExportAudit, FollowAudit, ListHolds, PlaceHold, PruneAudit, ReleaseHold, VerifyAudit,
};
use crate::wire::credential::{DeleteCredential, ImportCredentials, ListCredentials, PutCredential};
use crate::wire::docs::{DocRef, GetContext};
use crate::wire::export::ExportSession;
use crate::wire::follow::FollowSession;
use crate::wire::inbox::{Inbox, SendSummary, SendToPerson, WhoRead};
use crate::wire::job::RunJob;
use crate::wire::people::{FindPerson, ListPeople, ShowPerson};
use crate::wire::people_change::{ChangePeople, ListBans};
use crate::wire::task::{CreateTask, ListMyTasks, ListTasks, TaskRef, UpdateTask};
use crate::wire::usage::ShowUsage;
use serde::{Deserialize, Serialize};

/// Everything a client can ask. A new verb is one variant here and one of `domain::action::Action`.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Who am I?
    Whoami,
    /// Is the daemon well?
    Health,
    /// What can be asked over REST?
    ShowApi,
    /// Folders I may work in.
    ListProjects,
    /// Agents I may run.
    ListAgents,
    /// Machines this daemon knows.
    ListComputers,
    /// Which shared documents there are, or the texts of some.
    ReadDocs(GetContext),
    /// One shared document, whole.
    ReadDocument(DocRef),
    /// What is wrong with the shared documents.
    DocProblems,
    /// Sessions I may see.
    ListSessions(ListSessions),
    /// One session.
    ShowSession(SessionRef),
    /// Start a session.
    StartSession(StartSession),
    /// Start a session whose first message is a slash command.
    RunAgentCommand(RunAgentCommand),
    /// Type a message into a session.
    SendMessage(SendMessage),
    /// End a session.
    EndSession(EndSession),
    /// Delete an ended session and all that is kept of it.
    PurgeSession(Steering),
    /// Run an ended session again.
    ResumeSession(Steering),
    /// Interrupt what a session's agent does.
    InterruptSession(Steering),
    /// Give a session labels, or take some away.
    LabelSession(LabelSession),
    /// Call a session something else.
    RenameSession(RenameSession),
    /// Answer what a session's agent asks.
    AnswerSession(AnswerSession),
    /// Take a session out as a file.
    ExportSession(ExportSession),
    /// Read what a session showed.
    ReadSession(GetSessionData),
    /// Read on while it is said.
    FollowSession(FollowSession),
    /// Search what was said and done.
    SearchSessions(SearchSessions),
    /// See a session's terminal live, and type into it.
    Attach(AttachSession),
    /// What a hook of an agent's tells of its own session.
    ReportHook(ReportHook),
    /// Be told when a session changes.
    Subscribe(SessionRef),
    /// No longer be told.
    StopNotifications(SessionRef),
    /// My messages.
    Inbox(Inbox),
    /// Write to a person.
    SendToPerson(SendToPerson),
    /// Tell who asked for it what was done.
    SendSummary(SendSummary),
    /// Who read what of mine?
    WhoReadMine(WhoRead),
    /// Give somebody a task.
    CreateTask(CreateTask),
    /// Everybody's tasks.
    ListTasks(ListTasks),
    /// My tasks.
    ListMyTasks(ListMyTasks),
    /// One task.
    ShowTask(TaskRef),
    /// Move a task, or change what it says.
    UpdateTask(UpdateTask),
    /// Delete a task.
    DeleteTask(TaskRef),
    /// Rows of the audit log.
    ListAudit(ListAudit),
    /// Check the audit chain.
    VerifyAudit(VerifyAudit),
    /// Write the audit log out.
    ExportAudit(ExportAudit),
    /// Rows of the audit log as they come.
    FollowAudit(FollowAudit),
    /// The public keys of the checkpoints.
    ShowAuditKeys,
    /// Sign checkpoints with a new key from now on.
    RotateAuditKey,
    /// Cut old rows off the audit log.
    PruneAudit(PruneAudit),
    /// Keep rows from being pruned.
    PlaceHold(PlaceHold),
    /// No longer keep them.
    ReleaseHold(ReleaseHold),
    /// What is kept from being pruned.
    ListHolds(ListHolds),
    /// What was used.
    ShowUsage(ShowUsage),
    /// Who did what, when?
    ListActivity(ListActivity),
    /// Numbers for a monitoring system.
    ReadMetrics,
    /// The config in force, secrets masked.
    ShowConfig,
    /// Hand over my personal config layer.
    PutMyConfig(PutMyConfig),
    /// Names of my credentials.
    ListCredentials(ListCredentials),
    /// Keep a credential.
    PutCredential(PutCredential),
    /// Delete a credential.
    DeleteCredential(DeleteCredential),
    /// Keep many, all or none.
    ImportCredentials(ImportCredentials),
    /// How the encryption keys are.
    ShowKeys,
    /// Make the first encryption key.
    GenerateKey,
    /// Make another, and encrypt everything anew with it.
    RotateKey,
    /// Which people are there?
    ListPeople(ListPeople),
    /// Who is meant by these words?
    FindPerson(FindPerson),
    /// What is known of them?
    ShowPerson(ShowPerson),
    /// How many people are there?
    PeopleStats,
    /// Why is this OS user who they are?
    ExplainPerson(ExplainPerson),
    /// Change people or bans.
    ChangePeople(ChangePeople),
    /// Who is banned.
    ListBans(ListBans),
    /// Read the config again.
    Reload,
    /// What the daemon does now and then.
    ListJobs,
    /// Have it do one of that now.
    RunJob(RunJob),
}

impl Request {
    /// What it asks to do, before its names are resolved: the row of the policy's table.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Whoami => Verb::Whoami,
            Self::Health => Verb::Health,
            Self::ShowApi => Verb::ShowApi,
            Self::ListProjects => Verb::ListProjects,
            Self::ListAgents => Verb::ListAgents,
            Self::ListComputers => Verb::ListComputers,
            Self::ReadDocs(_) | Self::ReadDocument(_) => Verb::ReadDocs,
            Self::DocProblems => Verb::DocProblems,
            Self::ListSessions(_) => Verb::ListSessions,
            Self::ShowSession(_) => Verb::ShowSession,
            Self::StartSession(_) | Self::RunAgentCommand(_) => Verb::StartSession,
            Self::SendMessage(_) => Verb::SendMessage,
            Self::EndSession(_) => Verb::EndSession,
            Self::PurgeSession(_) => Verb::PurgeSession,
            Self::ResumeSession(_) => Verb::ResumeSession,
            Self::InterruptSession(_) => Verb::InterruptSession,
            Self::LabelSession(_) => Verb::LabelSession,
            Self::RenameSession(_) => Verb::RenameSession,
            Self::AnswerSession(_) => Verb::AnswerSession,
            Self::ExportSession(_) => Verb::ExportSession,
            Self::ReadSession(_) | Self::FollowSession(_) => Verb::ReadSession,
            Self::SearchSessions(_) => Verb::SearchSessions,
            Self::Attach(args) => match args.input {
                true => Verb::Attach,
                false => Verb::AttachReadOnly,
            },
            Self::ReportHook(_) => Verb::ReportHook,
            Self::Subscribe(_) | Self::StopNotifications(_) => Verb::Watch,
            Self::Inbox(args) => match args.marks() {
                true => Verb::MarkInbox,
                false => Verb::ReadInbox,
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
            Self::ExportAudit(_) => Verb::ExportAudit,
            Self::FollowAudit(_) => Verb::FollowAudit,
            Self::ShowAuditKeys => Verb::ShowAuditKeys,
            Self::RotateAuditKey => Verb::RotateAuditKey,
            Self::PruneAudit(_) => Verb::PruneAudit,
            Self::PlaceHold(_) | Self::ReleaseHold(_) => Verb::HoldAudit,
            Self::ListHolds(_) => Verb::ListHolds,
            Self::ShowUsage(_) => Verb::ShowUsage,
            Self::ListActivity(_) => Verb::ListActivity,
            Self::ReadMetrics => Verb::ReadMetrics,
            Self::ShowConfig => Verb::ShowConfig,
            Self::PutMyConfig(_) => Verb::PutMyConfig,
            Self::ListCredentials(_) => Verb::ListCredentials,
            Self::PutCredential(_) => Verb::PutCredential,
            Self::DeleteCredential(_) => Verb::DeleteCredential,
            Self::ImportCredentials(_) => Verb::ImportCredentials,
            Self::ShowKeys => Verb::ShowKeys,
            Self::GenerateKey => Verb::GenerateKey,
            Self::RotateKey => Verb::RotateKey,
            Self::ListPeople(_) => Verb::ListPeople,
            Self::FindPerson(_) => Verb::FindPerson,
            Self::ShowPerson(_) => Verb::ShowPerson,
            Self::PeopleStats => Verb::PeopleStats,
            Self::ExplainPerson(_) => Verb::ExplainPerson,
            Self::ChangePeople(asked) => asked.verb(),
            Self::ListBans(_) => Verb::ListBans,
            Self::Reload => Verb::Reload,
            Self::ListJobs => Verb::ListJobs,
            Self::RunJob(_) => Verb::RunJob,
        }
    }
}

/// Arguments of `list_sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSessions {
    /// Only sessions of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only sessions in this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SessionStatus>,
    /// Only sessions of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Only sessions of this person (admins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only sessions with activity at or after this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only sessions with this label, written name=value; several with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Only sessions that this session's agent started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_of: Option<String>,
    /// Also sessions of other machines on the same database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_computers: Option<bool>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// One session, by its id or a unique prefix of at least 8 characters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRef {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
}

/// Arguments of `start_session`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    /// A configured project's name, or an absolute path.
    pub project: String,
    /// Which agent; the configured default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Which of its models; `slow` if absent and the personal config says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_mode: Option<ThinkingMode>,
    /// What to call it, at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The first message; without one the agent waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Folder inside the project to run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// Whether the session gets a git worktree and branch of its own; the project must be a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<bool>,
    /// Labels it gets: names and values of a-z, 0-9, `.`, `_`, `-`, `/` and `:`, at most 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// An id of the client's own: asking again with the same one starts nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// Arguments of `run_agent_command`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunAgentCommand {
    /// A configured project's name, or an absolute path.
    pub project: String,
    /// The slash command, beginning with `/`.
    pub command: String,
    /// What follows the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
    /// Which agent; the configured default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Which of its models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_mode: Option<ThinkingMode>,
    /// Folder inside the project to run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// An id of the client's own: asking again with the same one starts nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// Arguments of `send_message`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// What to type.
    pub message: String,
    /// An id of the client's own: sending again with the same one types nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Why, where the session is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Arguments of `resume_session` and `interrupt_session`, and of deleting a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Steering {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// Why, where the session is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A session's new title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameSession {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// What to call it, at most 200 characters.
    pub title: String,
    /// The version of its title and labels that was seen: if they have changed since, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<String>,
    /// Why, where the session is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Arguments of `answer_session`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerSession {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// Which question: the `request_id` that get_session shows.
    pub request_id: String,
    /// yes, no, the number of an option, or words.
    pub answer: String,
    /// Why, where the session is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A change of a session's labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSession {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// Labels it gets, by name; one that it has gets the new value.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub set: Labels,
    /// Names of labels it loses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// The version of its title and labels that was seen: if they have changed since, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<String>,
    /// Why, where the session is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a hook was given by its agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportHook {
    /// The event, by the agent's name for it.
    pub event: String,
    /// The agent's words about it, as far as they are of use here.
    #[serde(default)]
    pub input: serde_json::Map<String, serde_json::Value>,
}

/// Arguments of `search_sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchSessions {
    /// Words that must all be there; `"words one after the other"`, `begin*`, `-not`. At most 1,000 bytes.
    pub query: String,
    /// Only in sessions of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only what was said or done at or after this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only what was said or done at or before this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why, to search everybody's sessions (admins): 10 characters or more. It is written down for each session of
    /// somebody else's whose text is shown. Without it only your own sessions are searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Hits at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// Arguments of `end_session`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSession {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// Whether its worktree is removed too; one with something unsaved in it is kept. Its branch stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_worktree: Option<bool>,
    /// Why, where the session is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Form of session content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContentFormat {
    /// Text for people and models.
    #[default]
    Markdown,
    /// One JSON object a line: `at` and `text`.
    Json,
}

/// Arguments of `get_session_data`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetSessionData {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// Only what was shown at or after this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only what was shown at or before this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Characters from the end, 1 to 48,000; 2,000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 48000))]
    pub tail_chars: Option<i64>,
    /// Where the previous page ended; `"0"` begins at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Form of the content; markdown if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ContentFormat>,
    /// Why, where the session is somebody else's: 10 characters or more. It is written down and shown to the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Arguments of attaching to a session's terminal. What follows on the connection is `wire::attach`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachSession {
    /// The session's id, or a unique prefix of at least 8 characters.
    pub session_id: String,
    /// Whether to type, too; otherwise only to see.
    #[serde(default)]
    pub input: bool,
    /// The size of the terminal that it is shown on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TerminalSize>,
    /// Why, where the session is somebody else's: 10 characters or more. It is written down and shown to the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Filters of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAudit {
    /// Only rows of this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only rows about sessions of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only rows about this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Only rows of this action, such as `transcript.read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only rows with this outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AuditOutcome>,
    /// Only rows at or after this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only rows at or before this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Only rows that say this somewhere: actor, action, owner, session, target, reason or detail, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// A personal config layer, as the text of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutMyConfig {
    /// The YAML text, at most 256 KiB.
    pub yaml: String,
    /// Where it came from, for error messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The version that is to be replaced: if another has been taken since, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<String>,
}

/// Whom to explain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainPerson {
    /// An OS user name or a uid.
    pub user: String,
}
