//! What an agent's hooks tell of its session, whatever the agent calls it. Reading an agent's own words is `agent::hook`.

use crate::domain::question::Asked;

/// What one call of a hook said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookEvent {
    /// The agent's own session id, if it named one.
    pub native_id: Option<String>,
    /// Where the agent says that it writes its log: its word alone, not yet looked at.
    pub transcript_path: Option<String>,
    /// What happened.
    pub kind: HookKind,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HookKind {
    /// The agent is there and waits.
    Started,
    /// Somebody asked it something: it works.
    Prompted,
    /// It is about to use a tool.
    ToolBegun,
    /// It has used a tool.
    ToolDone {
        /// By this a question about that use is known again: see [`Asked::subject`].
        subject: String,
    },
    /// It waits for an answer.
    Asks(Asked),
    /// It is done with what it was asked.
    Stopped,
    /// It ends.
    Ended,
    /// Nothing that changes what is known.
    #[default]
    Other,
}
