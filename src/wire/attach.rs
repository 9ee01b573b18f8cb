//! What is said on a connection after it was upgraded to `teleclaude-attach`. A frame is a length (u32, big endian,
//! counting what follows), a kind (u8) and a payload: raw bytes for terminal traffic, else JSON. Both sides pass over
//! kinds and JSON fields that they do not know. No I/O here.

use crate::wire::fault::FaultCode;
use serde::{Deserialize, Serialize};

/// What stands in `Upgrade`.
pub const UPGRADE: &str = "teleclaude-attach";
/// Bytes after the length in a frame, at most. Terminal traffic comes in pieces of [`PIECE_BYTES_MAX`].
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Bytes of terminal traffic in one frame, at most.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A terminal's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TerminalSize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// Somebody who sees a session's terminal now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AttachedRow {
    /// Who, by name.
    pub person: String,
    /// Since when.
    pub since: String,
    /// Whether they may type.
    pub input: bool,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDaemon {
    /// Kind 1: raw keystrokes.
    Input(Vec<u8>),
    /// Kind 2: `{"cols":80,"rows":24}`. The client's terminal has this size now.
    Resize(TerminalSize),
    /// Kind 3, nothing in it: the client leaves.
    Detach,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromDaemon {
    /// Kind 1: raw output. The first, and one after output was left out, begins with a reset and paints the screen.
    Output(Vec<u8>),
    /// Kind 2: `{"cols":80,"rows":24}`. The session's terminal has this size now.
    Resized(TerminalSize),
    /// Kind 3: `[{"person":"ann","since":"2026-…","input":true}]`. Who is attached now.
    Presence(Vec<AttachedRow>),
    /// Kind 4: `{"exit":"code 0"}`. The session has ended; nothing follows.
    Exit {
        /// How.
        exit: String,
    },
    /// Kind 5: `{"code":"denied","message":"…"}`. The daemon ends the attachment, and the session lives; nothing
    /// follows.
    Error {
        /// `denied`, `unavailable`, `timeout` (what was sent was not taken) or `invalid` (what came was no frame).
        code: FaultCode,
        /// In words.
        message: String,
    },
    /// Kind 6: `{"message":"…"}`. Keystrokes were not taken.
    Refused {
        /// Why.
        message: String,
    },
}

/// Why bytes are no frame. After this the connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is more than allowed, or zero.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// The payload does not fit the kind.
    #[error("a frame of kind {0} that cannot be read")]
    Payload(u8),
}

#[derive(Serialize, Deserialize)]
struct ExitText {
    exit: String,
}
#[derive(Serialize, Deserialize)]
struct ErrorText {
    code: FaultCode,
    message: String,
}
#[derive(Serialize, Deserialize)]
struct MessageText {
    message: String,
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + payload.len());
    bytes.extend_from_slice(&u32::try_from(1 + payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    bytes
}

fn json_frame(kind: u8, value: &impl Serialize) -> Vec<u8> {
    // Nothing here can fail to become JSON.
    frame(kind, &serde_json::to_vec(value).unwrap_or_default())
}

fn read<'a, T: Deserialize<'a>>(kind: u8, payload: &'a [u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(|_| FrameError::Payload(kind))
}

/// Takes the first whole frame out of `bytes`: its kind and payload. `None` if there is none yet.
fn take(bytes: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>, FrameError> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err(FrameError::Length(length));
    }
    if bytes.len() < 4 + length {
        return Ok(None);
    }
    let taken = (bytes[4], bytes[5..4 + length].to_vec());
    bytes.drain(..4 + length);
    Ok(Some(taken))
}

impl ToDaemon {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Input(bytes) => frame(1, bytes),
            Self::Resize(size) => json_frame(2, size),
            Self::Detach => frame(3, &[]),
        }
    }

    /// Takes the first whole frame of a known kind out of `bytes`.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, FrameError> {
        while let Some((kind, payload)) = take(bytes)? {
            return Ok(Some(match kind {
                1 if payload.len() > PIECE_BYTES_MAX => return Err(FrameError::Payload(kind)),
                1 => Self::Input(payload),
                2 => Self::Resize(read(kind, &payload)?),
                3 => Self::Detach,
                _ => continue,
            }));
        }
        Ok(None)
    }
}

impl FromDaemon {
    /// As a frame. Output of more than [`PIECE_BYTES_MAX`] is to be given in pieces.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Output(bytes) => frame(1, bytes),
            Self::Resized(size) => json_frame(2, size),
            Self::Presence(rows) => json_frame(3, rows),
            Self::Exit { exit } => json_frame(4, &ExitText { exit: exit.clone() }),
            Self::Error { code, message } => {
                json_frame(5, &ErrorText { code: *code, message: message.clone() })
            }
            Self::Refused { message } => json_frame(6, &MessageText { message: message.clone() }),
        }
    }

    /// Takes the first whole frame of a known kind out of `bytes`.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, FrameError> {
        while let Some((kind, payload)) = take(bytes)? {
            return Ok(Some(match kind {
                1 => Self::Output(payload),
                2 => Self::Resized(read(kind, &payload)?),
                3 => Self::Presence(read(kind, &payload)?),
                4 => Self::Exit { exit: read::<ExitText>(kind, &payload)?.exit },
                5 => {
                    let ErrorText { code, message } = read(kind, &payload)?;
                    Self::Error { code, message }
                }
                6 => Self::Refused { message: read::<MessageText>(kind, &payload)?.message },
                _ => continue,
            }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::{AttachedRow, FRAME_BYTES_MAX, FrameError, FromDaemon, TerminalSize, ToDaemon};
    use crate::wire::fault::FaultCode;
    use proptest::prelude::{any, prop, proptest};

    const SIZE: TerminalSize = TerminalSize { cols: 80, rows: 24 };

    #[test]
    fn what_is_said_is_read_back_in_order_and_strange_kinds_are_passed_over() {
        let said = [ToDaemon::Input(vec![0, 255]), ToDaemon::Resize(SIZE), ToDaemon::Detach];
        let mut bytes = vec![0, 0, 0, 2, 99, 1];
        bytes.extend(said.iter().flat_map(ToDaemon::encode));
        for frame in said {
            assert_eq!(ToDaemon::take(&mut bytes), Ok(Some(frame)));
        }
        assert_eq!((ToDaemon::take(&mut bytes), bytes.len()), (Ok(None), 0));

        let row = AttachedRow { person: "ann".to_owned(), since: "2026".to_owned(), input: true };
        let said = [
            FromDaemon::Output(b"\x1bc".to_vec()),
            FromDaemon::Resized(SIZE),
            FromDaemon::Presence(vec![row]),
            FromDaemon::Exit { exit: "code 0".to_owned() },
            FromDaemon::Error { code: FaultCode::Denied, message: "no".to_owned() },
            FromDaemon::Refused { message: "full".to_owned() },
        ];
        let mut bytes: Vec<u8> = said.iter().flat_map(FromDaemon::encode).collect();
        for frame in said {
            assert_eq!(FromDaemon::take(&mut bytes), Ok(Some(frame)));
        }
    }

    #[test]
    fn wrong_lengths_and_payloads_are_seen() {
        assert_eq!(ToDaemon::take(&mut vec![0, 0, 0, 0]), Err(FrameError::Length(0)));
        assert_eq!(ToDaemon::take(&mut vec![255; 4]), Err(FrameError::Length(u32::MAX as usize)));
        assert!(FRAME_BYTES_MAX < u32::MAX as usize);
        assert_eq!(ToDaemon::take(&mut vec![0, 0, 0, 2, 2, b'x']), Err(FrameError::Payload(2)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            while let Ok(Some(_)) = ToDaemon::take(&mut bytes) {}
            while let Ok(Some(_)) = FromDaemon::take(&mut bytes) {}
        }
    }
}
