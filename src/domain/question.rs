//! What an agent asks its person: a permission, or a question of its own; and the answer. What is asked is content: only
//! for the session's owner.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use uuid::Uuid;

/// Characters of what is asked that are kept, at most.
pub const ASKED_CHARS_MAX: usize = 4_000;
/// Bytes of an answer, at most.
pub const ANSWER_BYTES_MAX: usize = 4_000;

/// What kind of thing is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QuestionKind {
    /// Whether a tool may be used.
    #[default]
    Permission,
    /// Something else, with answers to choose from.
    Question,
}

impl QuestionKind {
    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Question => "question",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Permission, Self::Question].into_iter().find(|kind| kind.name() == word)
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuestionState {
    /// The agent waits.
    Open,
    /// It was answered from here.
    Answered,
    /// The agent asks no more: answered at its terminal, interrupted, ended.
    Withdrawn,
}

impl QuestionState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Answered, Self::Withdrawn];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == word)
    }
}

/// What an agent asks, as it was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What kind of thing.
    pub kind: QuestionKind,
    /// In words, for people; at most [`ASKED_CHARS_MAX`] characters.
    pub text: String,
    /// What it is about, such as the command; the same in what is heard once the tool was used.
    pub subject: String,
    /// The answers to choose from, if they are known.
    pub options: Vec<String>,
}

/// What an agent asks, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The key, a UUIDv7.
    pub id: Uuid,
    /// In which session.
    pub session: SessionId,
    /// What is asked.
    pub asked: Asked,
    /// Since when.
    pub since: Timestamp,
    /// What became of it.
    pub state: QuestionState,
    /// The answer that was given.
    pub answer: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, this once.
    Yes,
    /// No.
    No,
    /// The one of this number, 1 to 9.
    Option(u8),
    /// In words.
    Text(String),
}

impl Answer {
    /// Reads an answer: `yes`, `no`, a number from 1 to 9, or words.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.to_ascii_lowercase().as_str() {
            "" => Err("must not be empty".to_owned()),
            "yes" | "y" => Ok(Self::Yes),
            "no" | "n" => Ok(Self::No),
            _ if text.len() > ANSWER_BYTES_MAX => Err(format!("may have at most {ANSWER_BYTES_MAX} bytes")),
            _ if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => {
                Err("must not contain control characters".to_owned())
            }
            _ => match text.parse::<u8>() {
                Ok(number @ 1..=9) => Ok(Self::Option(number)),
                Ok(_) => Err("an option's number is 1 to 9".to_owned()),
                Err(_) => Ok(Self::Text(text.to_owned())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ANSWER_BYTES_MAX, Answer};

    #[test]
    fn answers_are_yes_no_a_number_or_words() {
        for (text, expected) in [
            ("yes", Some(Answer::Yes)),
            (" Y ", Some(Answer::Yes)),
            ("No", Some(Answer::No)),
            ("2", Some(Answer::Option(2))),
            ("use the other file", Some(Answer::Text("use the other file".to_owned()))),
            ("12 files", Some(Answer::Text("12 files".to_owned()))),
            ("0", None),
            ("10", None),
            ("", None),
            ("a\x1b[A", None),
        ] {
            assert_eq!(Answer::parse(text).ok(), expected, "{text:?}");
        }
        assert!(Answer::parse(&"x".repeat(ANSWER_BYTES_MAX + 1)).is_err());
    }
}
