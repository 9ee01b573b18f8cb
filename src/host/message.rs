//! A message to an agent and how it is typed: the bytes that go to the terminal, in the order and with the pause
//! that agents need. When it is typed is decided in `serve`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes of a message's text, at most.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a message's id, at most.
pub const MESSAGE_ID_BYTES_MAX: usize = 128;
/// Between text and Enter: programs that look out for pastes take an Enter that comes at once as part of it.
pub const ENTER_AFTER: Duration = Duration::from_millis(120);

/// How a message is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Typing {
    /// As a bracketed paste, then Enter: what agents take as one message, however many lines it has.
    Paste,
    /// As it is, then Enter: slash commands.
    Bare,
    /// Bracketed if the program asked for that (mode 2004), else as it is; then Enter: shells.
    Line,
}

/// Something to type once the agent is ready.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Asking twice with the same id types once.
    pub id: String,
    /// What to type.
    pub text: String,
    /// How.
    pub typing: Typing,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("typing", &self.typing).finish_non_exhaustive()
    }
}

/// How far a message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It waits until the agent is ready, or is being typed.
    Pending,
    /// It was typed and the screen changed.
    Delivered,
    /// It was typed, wholly or in part, and nothing was seen to change.
    Unknown,
    /// It was not typed and will not be.
    Failed,
}

impl Message {
    /// Whether it can be typed.
    ///
    /// # Errors
    /// Says what is wrong, without the text.
    pub fn check(&self) -> Result<(), String> {
        if self.id.is_empty() || self.id.len() > MESSAGE_ID_BYTES_MAX {
            return Err(format!("id: 1 to {MESSAGE_ID_BYTES_MAX} bytes"));
        }
        if self.text.len() > MESSAGE_BYTES_MAX {
            return Err(format!("text: at most {MESSAGE_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// What is typed before Enter; `bracketed` says whether the program asked for bracketed pastes. Control
    /// characters other than tab and newline are left out, so that a text cannot end its own paste or press keys.
    pub fn keystrokes(&self, bracketed: bool) -> String {
        let paste = match self.typing {
            Typing::Paste => true,
            Typing::Bare => false,
            Typing::Line => bracketed,
        };
        let text = self.text.replace("\r\n", "\n");
        let mut keys = String::with_capacity(text.len() + 12);
        if paste {
            keys.push_str("\x1b[200~");
        }
        for c in text.trim_end_matches(['\n', '\r']).chars() {
            match c {
                '\n' | '\r' => keys.push('\r'),
                '\t' => keys.push('\t'),
                c if c.is_control() => {}
                c => keys.push(c),
            }
        }
        if paste {
            keys.push_str("\x1b[201~");
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, typing: Typing) -> Message {
        Message { id: "m".to_owned(), text: text.to_owned(), typing }
    }

    #[test]
    fn typed_as_asked() {
        assert_eq!(message("a\nb\n", Typing::Paste).keystrokes(false), "\x1b[200~a\rb\x1b[201~");
        assert_eq!(message("/compact", Typing::Bare).keystrokes(true), "/compact");
        assert_eq!(message("echo hi\r\n", Typing::Line).keystrokes(false), "echo hi");
        assert_eq!(message("echo hi", Typing::Line).keystrokes(true), "\x1b[200~echo hi\x1b[201~");
    }

    #[test]
    fn a_text_cannot_leave_its_paste() {
        let keys = message("a\x1b[201~\x03rm\u{9b}201~", Typing::Paste).keystrokes(true);
        assert_eq!(keys, "\x1b[200~a[201~rm201~\x1b[201~");
    }

    #[test]
    fn debug_shows_no_text() {
        assert!(!format!("{:?}", message("hunter2", Typing::Bare)).contains("hunter2"));
    }
}
