//! What was said and done in a session, entry by entry, whichever agent wrote it down. How each agent writes is
//! `agent::transcript`; how it is shown is not here.

use crate::domain::timestamp::Timestamp;

/// Who an entry is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speaker {
    /// The person.
    User,
    /// The agent.
    Assistant,
    /// The agent's own program: compactions, errors, what was left out.
    System,
    /// A tool that the agent called.
    Tool,
}

impl Speaker {
    /// All of them, for CHECK constraints and tests.
    pub const ALL: [Self; 4] = [Self::User, Self::Assistant, Self::System, Self::Tool];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Words.
    Text,
    /// What the agent thought, as far as it shows it.
    Thinking,
    /// A tool is called; the text is its arguments as JSON.
    ToolCall,
    /// What a tool gave.
    ToolResult,
    /// Something about the conversation itself.
    Notice,
}

impl EntryKind {
    /// All of them, for CHECK constraints and tests.
    pub const ALL: [Self; 5] = [Self::Text, Self::Thinking, Self::ToolCall, Self::ToolResult, Self::Notice];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Thinking => "thinking",
            Self::ToolCall => "tool_call",
            Self::ToolResult => "tool_result",
            Self::Notice => "notice",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == word)
    }
}

/// One thing that was said or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, if the agent says.
    pub at: Option<Timestamp>,
    /// Who.
    pub speaker: Speaker,
    /// What.
    pub kind: EntryKind,
    /// The tool's name, of calls and of results whose call is known.
    pub tool: Option<String>,
    /// Whether a tool's result is an error.
    pub failed: bool,
    /// Whether an agent that this agent started said it.
    pub sub_agent: bool,
    /// The text, at most [`TEXT_BYTES_MAX`].
    pub text: String,
}

/// Bytes of one entry's text, at most; what is beyond is left out and said so.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

impl Entry {
    /// An entry of these; text that is too long is cut and says how much is missing.
    pub fn new(at: Option<Timestamp>, speaker: Speaker, kind: EntryKind, mut text: String) -> Self {
        if text.len() > TEXT_BYTES_MAX {
            let cut = text.floor_char_boundary(TEXT_BYTES_MAX - 64);
            let missing = text.len() - cut;
            text.truncate(cut);
            text.push_str(&format!("\n[{missing} bytes left out]"));
        }
        Self { at, speaker, kind, tool: None, failed: false, sub_agent: false, text }
    }
}

/// What one answer of a model cost, in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// When, if the agent says.
    pub at: Option<Timestamp>,
    /// The model, if the agent says.
    pub model: Option<String>,
    /// Read, without what came from a cache or was put into one.
    pub input: u64,
    /// Read from a cache.
    pub cached: u64,
    /// Read and put into a cache.
    pub cache_write: u64,
    /// Written, thinking included.
    pub output: u64,
}
