//! The forms in which a session is taken out as a file. How each of them is made is `usecase::export`.

use serde::{Deserialize, Serialize};

/// What a session is taken out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// The recording as it is: asciicast v3.
    Cast,
    /// The text that was on the screen, line by line.
    Txt,
    /// What was said and done, as markdown.
    Md,
    /// What was said and done, one JSON object a line.
    Jsonl,
    /// One page that plays the recording, with what was said and done beside it.
    Html,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cast, Self::Txt, Self::Md, Self::Jsonl, Self::Html];

    /// The word as the wire spells it, which is also how the names of such files end.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cast => "cast",
            Self::Txt => "txt",
            Self::Md => "md",
            Self::Jsonl => "jsonl",
            Self::Html => "html",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == word)
    }
}
