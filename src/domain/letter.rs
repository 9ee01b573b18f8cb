//! What one person writes to another: a message, or a summary of work for who asked for it. Pure; it lies in the inbox of
//! each addressee (`notice`), and may be typed into a session of theirs as well.

use crate::domain::caller::PersonRef;
use crate::domain::notice::NoticeKind;
use crate::domain::session::Session;
use uuid::Uuid;

/// Characters of a letter, at most.
pub const LETTER_CHARS: usize = 4_000;

/// Somebody a letter goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Who.
    pub person: PersonRef,
    /// Whether they are an admin now.
    pub admin: bool,
    /// The key that the notice in their inbox gets.
    pub notice: Uuid,
}

/// The text of a letter: not empty, not too long, and of no control characters but line ends and tabs, since it is shown
/// on terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterText(String);

impl LetterText {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace("\r\n", "\n");
        let text = text.trim_end();
        if text.trim_start().is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.chars().nth(LETTER_CHARS).is_some() {
            return Err(format!("may have at most {LETTER_CHARS} characters"));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err("must not contain control characters".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Into which session it is typed as well.
#[derive(Clone, Debug, Default)]
pub enum Into {
    /// None.
    #[default]
    Inbox,
    /// One that was asked for by somebody who may see nobody's but their own.
    Unseen,
    /// This one, under this key.
    Session(Box<Session>, Uuid),
}

/// A letter on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Whether it is a message or a summary.
    pub kind: NoticeKind,
    /// The addressee as they were asked for.
    pub asked: String,
    /// To whom: at least one.
    pub to: Vec<Addressee>,
    /// What it says.
    pub text: LetterText,
    /// Into which session it is typed as well.
    pub into: Into,
    /// Why into that one.
    pub reason: Option<String>,
}

impl Letter {
    /// The session that it is typed into.
    pub fn session(&self) -> Option<&Session> {
        match &self.into {
            Into::Session(session, _) => Some(session),
            Into::Inbox | Into::Unseen => None,
        }
    }

    /// What is typed: who writes, before what they write.
    pub fn typed(&self, from: &str) -> String {
        format!("[teleclaude] A message from {from}:\n{}", self.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{LETTER_CHARS, LetterText};

    #[test]
    fn a_letter_is_text_that_can_be_shown() {
        for (text, read) in [
            ("hello", "hello"),
            ("two\r\nlines\tand\n", "two\nlines\tand"),
            (" - indented", " - indented"),
            ("привет 👋", "привет 👋"),
        ] {
            assert_eq!(LetterText::parse(text).unwrap().as_str(), read);
        }
        let long = "ä".repeat(LETTER_CHARS);
        assert!(LetterText::parse(&long).is_ok());
        for bad in ["", " \n\t ", "a\0b", "\x1b[2J", "a\rb", "\u{9b}2J", &format!("{long}x")] {
            assert!(LetterText::parse(bad).is_err(), "{bad:?}");
        }
    }
}
