//! What can be done, without to what: the rows of the policy's table, and the one name that each has everywhere.

/// What is done, without to what: the rows of the policy's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Who am I?
    Whoami,
    /// Is the daemon well?
    Health,
    /// What can be asked over REST?
    ShowApi,
    /// Projects.
    ListProjects,
    /// Agents.
    ListAgents,
    /// Machines.
    ListComputers,
    /// Shared documents.
    ReadDocs,
    /// What is wrong with them.
    DocProblems,
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
    /// Deleting.
    PurgeSession,
    /// Running again.
    ResumeSession,
    /// Interrupting.
    InterruptSession,
    /// Giving it labels.
    LabelSession,
    /// Calling it something else.
    RenameSession,
    /// Answering what is asked.
    AnswerSession,
    /// Taking it out as a file.
    ExportSession,
    /// Reading content.
    ReadSession,
    /// Searching content.
    SearchSessions,
    /// Seeing a terminal live.
    AttachReadOnly,
    /// Seeing a terminal live and typing into it.
    Attach,
    /// A hook's report.
    ReportHook,
    /// Being told of changes.
    Watch,
    /// One's own inbox.
    ReadInbox,
    /// Marking messages in it as read.
    MarkInbox,
    /// Writing to a person.
    SendToPerson,
    /// Telling who asked for it what was done.
    SendSummary,
    /// Who read what of one's own.
    WhoReadMine,
    /// Giving somebody a task.
    CreateTask,
    /// Everybody's tasks.
    ListTasks,
    /// One's own tasks.
    ListMyTasks,
    /// One task.
    ShowTask,
    /// Moving a task, or changing what it says.
    UpdateTask,
    /// Deleting a task.
    DeleteTask,
    /// The audit log.
    ListAudit,
    /// Checking it.
    VerifyAudit,
    /// Writing it out.
    ExportAudit,
    /// Its rows as they come.
    FollowAudit,
    /// Its public keys.
    ShowAuditKeys,
    /// A new key.
    RotateAuditKey,
    /// Cutting old rows off it.
    PruneAudit,
    /// Keeping rows from that, or no longer.
    HoldAudit,
    /// What is kept.
    ListHolds,
    /// What was used.
    ShowUsage,
    /// Who did what, when.
    ListActivity,
    /// Numbers for a monitoring system.
    ReadMetrics,
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
    /// People.
    ListPeople,
    /// Who is meant.
    FindPerson,
    /// One of them.
    ShowPerson,
    /// How many there are.
    PeopleStats,
    /// Explaining a mapping.
    ExplainPerson,
    /// Adding a person.
    AddPerson,
    /// Changing what is kept of one.
    UpdatePerson,
    /// Giving one another role.
    SetPersonRole,
    /// Switching one on or off.
    SetPersonStatus,
    /// Deleting one; the name stays with sessions and audit.
    DeletePerson,
    /// Removing one.
    PurgePerson,
    /// Making one of two.
    MergePeople,
    /// Changing many.
    BulkPeople,
    /// Warning one.
    WarnPerson,
    /// Banning one.
    BanPerson,
    /// Lifting a ban.
    LiftBan,
    /// Bans.
    ListBans,
    /// Reading the config again.
    Reload,
    /// What the daemon does now and then.
    ListJobs,
    /// Having it done now.
    RunJob,
}

impl Verb {
    /// Every verb, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::Whoami,
        Self::Health,
        Self::ShowApi,
        Self::ListProjects,
        Self::ListAgents,
        Self::ListComputers,
        Self::ReadDocs,
        Self::DocProblems,
        Self::ListSessions,
        Self::ShowSession,
        Self::StartSession,
        Self::SendMessage,
        Self::EndSession,
        Self::PurgeSession,
        Self::ResumeSession,
        Self::InterruptSession,
        Self::LabelSession,
        Self::RenameSession,
        Self::AnswerSession,
        Self::ExportSession,
        Self::ReadSession,
        Self::SearchSessions,
        Self::AttachReadOnly,
        Self::Attach,
        Self::ReportHook,
        Self::Watch,
        Self::ReadInbox,
        Self::MarkInbox,
        Self::SendToPerson,
        Self::SendSummary,
        Self::WhoReadMine,
        Self::CreateTask,
        Self::ListTasks,
        Self::ListMyTasks,
        Self::ShowTask,
        Self::UpdateTask,
        Self::DeleteTask,
        Self::ListAudit,
        Self::VerifyAudit,
        Self::ExportAudit,
        Self::FollowAudit,
        Self::ShowAuditKeys,
        Self::RotateAuditKey,
        Self::PruneAudit,
        Self::HoldAudit,
        Self::ListHolds,
        Self::ShowUsage,
        Self::ListActivity,
        Self::ReadMetrics,
        Self::ShowConfig,
        Self::PutMyConfig,
        Self::ListCredentials,
        Self::PutCredential,
        Self::DeleteCredential,
        Self::ImportCredentials,
        Self::ShowKeys,
        Self::GenerateKey,
        Self::RotateKey,
        Self::ListPeople,
        Self::FindPerson,
        Self::ShowPerson,
        Self::PeopleStats,
        Self::ExplainPerson,
        Self::AddPerson,
        Self::UpdatePerson,
        Self::SetPersonRole,
        Self::SetPersonStatus,
        Self::DeletePerson,
        Self::PurgePerson,
        Self::MergePeople,
        Self::BulkPeople,
        Self::WarnPerson,
        Self::BanPerson,
        Self::LiftBan,
        Self::ListBans,
        Self::Reload,
        Self::ListJobs,
        Self::RunJob,
    ];

    /// The name as `whoami`, refusals and the audit log spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whoami => "whoami",
            Self::Health => "health",
            Self::ShowApi => "api.show",
            Self::ListProjects => "projects.list",
            Self::ListAgents => "agents.list",
            Self::ListComputers => "computers.list",
            Self::ReadDocs => "docs.read",
            Self::DocProblems => "docs.problems",
            Self::ListSessions => "sessions.list",
            Self::ShowSession => "session.show",
            Self::StartSession => "session.start",
            Self::SendMessage => "session.send",
            Self::EndSession => "session.end",
            Self::PurgeSession => "session.purge",
            Self::ResumeSession => "session.resume",
            Self::InterruptSession => "session.interrupt",
            Self::LabelSession => "session.label",
            Self::RenameSession => "session.title",
            Self::AnswerSession => "session.answer",
            Self::ExportSession => "transcript.export",
            Self::ReadSession => "transcript.read",
            Self::SearchSessions => "transcript.search",
            Self::AttachReadOnly => "session.watch",
            Self::Attach => "session.attach",
            Self::ReportHook => "session.hook",
            Self::Watch => "session.subscribe",
            Self::ReadInbox => "inbox.read",
            Self::MarkInbox => "inbox.mark",
            Self::SendToPerson => "message.send",
            Self::SendSummary => "summary.send",
            Self::WhoReadMine => "audit.mine",
            Self::CreateTask => "task.create",
            Self::ListTasks => "tasks.list",
            Self::ListMyTasks => "tasks.mine",
            Self::ShowTask => "task.show",
            Self::UpdateTask => "task.update",
            Self::DeleteTask => "task.delete",
            Self::ListAudit => "audit.list",
            Self::VerifyAudit => "audit.verify",
            Self::ExportAudit => "audit.export",
            Self::FollowAudit => "audit.follow",
            Self::ShowAuditKeys => "audit.keys",
            Self::RotateAuditKey => "audit.key_rotate",
            Self::PruneAudit => "audit.prune",
            Self::HoldAudit => "audit.hold",
            Self::ListHolds => "audit.holds",
            Self::ShowUsage => "usage.show",
            Self::ListActivity => "activity.list",
            Self::ReadMetrics => "metrics.read",
            Self::ShowConfig => "config.show",
            Self::PutMyConfig => "config.put_mine",
            Self::ListCredentials => "credentials.list",
            Self::PutCredential => "credential.put",
            Self::DeleteCredential => "credential.delete",
            Self::ImportCredentials => "credential.import",
            Self::ShowKeys => "key.show",
            Self::GenerateKey => "key.generate",
            Self::RotateKey => "key.rotate",
            Self::ListPeople => "people.list",
            Self::FindPerson => "people.find",
            Self::ShowPerson => "people.show",
            Self::PeopleStats => "people.stats",
            Self::ExplainPerson => "people.explain",
            Self::AddPerson => "person.add",
            Self::UpdatePerson => "person.update",
            Self::SetPersonRole => "person.role",
            Self::SetPersonStatus => "person.status",
            Self::DeletePerson => "person.delete",
            Self::PurgePerson => "person.purge",
            Self::MergePeople => "person.merge",
            Self::BulkPeople => "person.bulk",
            Self::WarnPerson => "person.warn",
            Self::BanPerson => "ban.add",
            Self::LiftBan => "ban.lift",
            Self::ListBans => "bans.list",
            Self::Reload => "config.reload",
            Self::ListJobs => "jobs.list",
            Self::RunJob => "jobs.run",
        }
    }
}
