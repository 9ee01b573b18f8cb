//! What can be asked, by names. `usecase` resolves names to things. Unknown arguments are refused.

use crate::domain::action::Verb;
use crate::domain::session::{SessionStatus, ThinkingMode};
use crate::wire::attach::TerminalSize;
use crate::wire::credential::{DeleteCredential, ImportCredentials, ListCredentials, PutCredential};
use serde::{Deserialize, Serialize};

/// Everything a client can ask. A new verb is one variant here and one of `domain::action::Action`.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Who am I?
    Whoami,
    /// Is the daemon well?
    Health,
    /// Folders I may work in.
    ListProjects,
    /// Agents I may run.
    ListAgents,
    /// Machines this daemon knows.
    ListComputers,
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
    /// Run an ended session again.
    ResumeSession(Steering),
    /// Interrupt what a session's agent does.
    InterruptSession(Steering),
    /// Call a session something else.
    RenameSession(RenameSession),
    /// Read what a session showed.
    ReadSession(GetSessionData),
    /// See a session's terminal live, and type into it.
    Attach(AttachSession),
    /// Be told when a session changes.
    Subscribe(SessionRef),
    /// No longer be told.
    StopNotifications(SessionRef),
    /// Rows of the audit log.
    ListAudit(ListAudit),
    /// Check the audit chain.
    VerifyAudit,
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
    /// Why is this OS user who they are?
    ExplainPerson(ExplainPerson),
    /// Read the config again.
    Reload,
}

impl Request {
    /// What it asks to do, before its names are resolved: the row of the policy's table.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Whoami => Verb::Whoami,
            Self::Health => Verb::Health,
            Self::ListProjects => Verb::ListProjects,
            Self::ListAgents => Verb::ListAgents,
            Self::ListComputers => Verb::ListComputers,
            Self::ListSessions(_) => Verb::ListSessions,
            Self::ShowSession(_) => Verb::ShowSession,
            Self::StartSession(_) | Self::RunAgentCommand(_) => Verb::StartSession,
            Self::SendMessage(_) => Verb::SendMessage,
            Self::EndSession(_) => Verb::EndSession,
            Self::ResumeSession(_) => Verb::ResumeSession,
            Self::InterruptSession(_) => Verb::InterruptSession,
            Self::RenameSession(_) => Verb::RenameSession,
            Self::ReadSession(_) => Verb::ReadSession,
            Self::Attach(args) => match args.input {
                true => Verb::Attach,
                false => Verb::AttachReadOnly,
            },
            Self::Subscribe(_) | Self::StopNotifications(_) => Verb::Watch,
            Self::ListAudit(_) => Verb::ListAudit,
            Self::VerifyAudit => Verb::VerifyAudit,
            Self::ShowConfig => Verb::ShowConfig,
            Self::PutMyConfig(_) => Verb::PutMyConfig,
            Self::ListCredentials(_) => Verb::ListCredentials,
            Self::PutCredential(_) => Verb::PutCredential,
            Self::DeleteCredential(_) => Verb::DeleteCredential,
            Self::ImportCredentials(_) => Verb::ImportCredentials,
            Self::ShowKeys => Verb::ShowKeys,
            Self::GenerateKey => Verb::GenerateKey,
            Self::RotateKey => Verb::RotateKey,
            Self::ExplainPerson(_) => Verb::ExplainPerson,
            Self::Reload => Verb::Reload,
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

/// Arguments of `resume_session` and `interrupt_session`.
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
    /// Why, where the session is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// Only rows at or after this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only rows at or before this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
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
}

/// Whom to explain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainPerson {
    /// An OS user name or a uid.
    pub user: String,
}
