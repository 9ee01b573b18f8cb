//! Paths about sessions: starting, steering, ending.

use crate::daemon::http::routes::row::{Route, delete, get, patch, post, put};
use crate::domain::verb::Verb;
use crate::wire::attach::UPGRADE;
use crate::wire::request::Request;
use crate::wire::session::{
    AnsweredReply, EndedReply, HeardReply, PurgedReply, SentReply, SessionReply, SessionsReply, StartedReply,
    WatchingReply,
};

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/sessions",
            "list_sessions",
            Verb::ListSessions,
            "Lists sessions you may see, the latest active first.",
        )
        .query(Request::ListSessions)
        .gives::<SessionsReply>(),
        post("/sessions", "start_session", Verb::StartSession, "Starts a coding agent in a project.")
            .body(Request::StartSession)
            .created::<StartedReply>(),
        post(
            "/sessions/command",
            "run_agent_command",
            Verb::StartSession,
            "Starts a coding agent whose first message is a slash command.",
        )
        .body(Request::RunAgentCommand)
        .created::<StartedReply>(),
        get("/sessions/{session_id}", "get_session", Verb::ShowSession, "Shows one session's metadata.")
            .path(Request::ShowSession)
            .versioned("version")
            .gives::<SessionReply>(),
        patch(
            "/sessions/{session_id}",
            "rename_session",
            Verb::RenameSession,
            "Gives a session another title.",
        )
        .body(Request::RenameSession)
        .guarded("if_version")
        .versioned("version")
        .gives::<SessionReply>(),
        delete(
            "/sessions/{session_id}",
            "purge_session",
            Verb::PurgeSession,
            "Deletes an ended session and all that is kept of it.",
        )
        .body(Request::PurgeSession)
        .gives::<PurgedReply>(),
        patch(
            "/sessions/{session_id}/labels",
            "label_session",
            Verb::LabelSession,
            "Gives a session labels, or takes some away.",
        )
        .body(Request::LabelSession)
        .guarded("if_version")
        .versioned("version")
        .gives::<SessionReply>(),
        post(
            "/sessions/{session_id}/messages",
            "send_message",
            Verb::SendMessage,
            "Types a message into a running session.",
        )
        .body(Request::SendMessage)
        .gives::<SentReply>(),
        post(
            "/sessions/{session_id}/end",
            "end_session",
            Verb::EndSession,
            "Ends a session and all its processes.",
        )
        .body(Request::EndSession)
        .gives::<EndedReply>(),
        post(
            "/sessions/{session_id}/resume",
            "resume_session",
            Verb::ResumeSession,
            "Runs an ended session again.",
        )
        .body(Request::ResumeSession)
        .gives::<SessionReply>(),
        post(
            "/sessions/{session_id}/interrupt",
            "interrupt_session",
            Verb::InterruptSession,
            "Stops what a session's agent is doing.",
        )
        .body(Request::InterruptSession)
        .gives::<SessionReply>(),
        post(
            "/sessions/{session_id}/answer",
            "answer_session",
            Verb::AnswerSession,
            "Answers what a session's agent asks and waits for.",
        )
        .body(Request::AnswerSession)
        .gives::<AnsweredReply>(),
        post(
            "/sessions/{session_id}/attach",
            "attach",
            Verb::AttachReadOnly,
            "Shows a session's terminal live, and types into it: takes `Upgrade: teleclaude-attach`.",
        )
        .body(Request::Attach)
        .switches(UPGRADE),
        put("/sessions/{session_id}/watch", "subscribe", Verb::Watch, "Has you told when a session changes.")
            .path(Request::Subscribe)
            .gives::<WatchingReply>(),
        delete(
            "/sessions/{session_id}/watch",
            "stop_notifications",
            Verb::Watch,
            "Ends what watching a session began.",
        )
        .path(Request::StopNotifications)
        .gives::<WatchingReply>(),
        post(
            "/hook",
            "report_hook",
            Verb::ReportHook,
            "Takes what a hook of an agent tells of its own session.",
        )
        .body(Request::ReportHook)
        .gives::<HeardReply>(),
    ]
}
