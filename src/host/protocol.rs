//! What daemon and host say to each other on the host's socket. A frame is a length (u32, big endian, counting
//! what follows), a kind (u8) and a payload: JSON, or raw bytes for terminal traffic. Both sides ignore kinds and
//! JSON fields that they do not know (a host answers [`FromHost::Unsupported`]), so that a new daemon talks to an
//! old host. No I/O here.

use crate::domain::session::{Exit, SessionActivity, SessionId};
use crate::host::message::{Message, MessageState};
use crate::host::spec::Size;
use serde::{Deserialize, Serialize};

/// The version this binary speaks.
pub const PROTOCOL_VERSION: u32 = 1;
/// Bytes after the length in a frame to a host, at most.
pub const TO_HOST_MAX: usize = 2 << 20;
/// Bytes after the length in a frame from a host, at most.
pub const FROM_HOST_MAX: usize = 16 << 20;
/// The number of the signal that Ctrl-C stands for, the same wherever this runs.
pub const SIGINT: i32 = 2;
/// Bytes of keystrokes in one [`ToHost::Write`], at most.
pub const WRITE_BYTES_MAX: usize = 64 * 1024;

/// The reason in [`FromHost::Dropped`] when another connection claimed the host.
pub const TAKEN_OVER: &str = "another daemon took over";

/// What a host is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToHost {
    /// Kind 1, always first: `{"version":1,"lease":"3f…","claim":true}`. Who claims becomes the host's one
    /// daemon; every earlier connection is closed.
    Hello(Hello),
    /// Kind 2: `{"from":0}`. Output from this sequence number on, as [`FromHost::Output`].
    Subscribe {
        /// Count of output bytes already had.
        from: u64,
    },
    /// Kind 3: raw keystrokes, typed at once.
    Write(Vec<u8>),
    /// Kind 4: `{"id":"0193…","text":"hello","typing":"paste"}`. Typed when the agent is ready, once per id.
    Message(Message),
    /// Kind 5: `{"cols":80,"rows":24}`.
    Resize(Size),
    /// Kind 6: `{"signal":2}`, to the terminal's foreground process group.
    Signal {
        /// The system's number.
        signal: i32,
    },
    /// Kind 7: `{"request":7,"scrollback":100}`.
    Snapshot {
        /// Comes back with the answer.
        request: u64,
        /// Lines above the screen that are wanted in the text.
        scrollback: u32,
    },
    /// Kind 8: `{"request":8}`.
    Status {
        /// Comes back with the answer.
        request: u64,
    },
    /// Kind 9: `{"grace_ms":5000}`. Ask the agent's processes to end, and end them after the grace.
    End {
        /// Milliseconds.
        grace_ms: u64,
    },
    /// Kind 10: `{}`. The exit is safely kept: the host may go.
    Acknowledge,
}

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of who asks.
    pub version: u32,
    /// The lease from the run file.
    pub lease: String,
    /// Whether this is the daemon's controlling connection.
    pub claim: bool,
}

/// What a host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHost {
    /// Kind 129, the answer to hello:
    /// `{"version":1,"session":"0193…","agent_pid":42,"seq":1204,"activity":"idle","exit":null}`.
    Welcome(Status),
    /// Kind 130: sequence number (u64, big endian) of the first byte, then output as UTF-8.
    Output {
        /// Count of output bytes before these.
        seq: u64,
        /// The output.
        bytes: Vec<u8>,
    },
    /// Kind 131: `{"seq":90000,"dump":"…","size":{"cols":80,"rows":24}}`. What was asked for is no longer held;
    /// the dump paints the screen as it is at `seq`, from where output follows.
    Missed(Missed),
    /// Kind 132: `{"id":"0193…","state":"delivered"}`.
    MessageState {
        /// Which message.
        id: String,
        /// How far it got.
        state: MessageState,
    },
    /// Kind 133: `"idle"`.
    Activity(SessionActivity),
    /// Kind 135: `{"code":0}`. The agent is gone and its processes are ended.
    Exited(Exit),
    /// Kind 136, the answer to snapshot.
    Snapshot(Snapshot),
    /// Kind 137, the answer to status: as kind 129 with `request`.
    Status {
        /// From the question.
        request: u64,
        /// The answer.
        status: Status,
    },
    /// Kind 138: `{"why":"no space left","lost_bytes":1000}`. The recording has a hole here.
    Gap(Gap),
    /// Kind 139: `{"why":"not the lease"}`. The last frame was not done.
    Refused {
        /// Why.
        why: String,
    },
    /// Kind 140: `{"why":"too slow"}`. The connection ends; subscribe again with what was had.
    Dropped {
        /// Why.
        why: String,
    },
    /// Kind 141: `{"kind":77}`. This host does not know that kind.
    Unsupported {
        /// The kind that was sent.
        kind: u8,
    },
    /// Kind 142: `{"cols":80,"rows":24}`. The terminal has this size now.
    Resized(Size),
    /// Kind 143: `{"agent_pid":42}`. The agent runs now; hosts that start it themselves welcome with its pid instead.
    Started {
        /// Its pid.
        agent_pid: i32,
    },
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`PROTOCOL_VERSION`] of the host.
    pub version: u32,
    /// Whose host it is.
    pub session: SessionId,
    /// The agent's pid; None if it never started.
    pub agent_pid: Option<i32>,
    /// Count of output bytes so far.
    pub seq: u64,
    /// Busy or idle.
    pub activity: SessionActivity,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
}

/// What is sent instead of output that is no longer held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Count of output bytes that the dump stands for.
    pub seq: u64,
    /// Escape sequences that paint the screen.
    pub dump: String,
    /// The screen's size.
    pub size: Size,
}

/// The screen at one moment: `{"request":7,"seq":1204,"size":{…},"text":"$ ls\n…","dump":"\u001b[…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// From the question.
    pub request: u64,
    /// Count of output bytes that it stands for.
    pub seq: u64,
    /// The screen's size.
    pub size: Size,
    /// The text, trailing blanks removed, with as much scrollback as was asked for.
    pub text: String,
    /// Escape sequences that paint the screen.
    pub dump: String,
}

/// A hole in a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why.
    pub why: String,
    /// Bytes of output missing so far.
    pub lost_bytes: u64,
}

/// Why bytes are not a frame. After this the connection is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is more than allowed, or zero.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// The payload does not fit the kind.
    #[error("a frame of kind {0} that cannot be read")]
    Payload(u8),
}

/// A kind that was not known, or what the frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// Read.
    Frame(T),
    /// Sent by a newer peer.
    Other(u8),
}

#[derive(Serialize, Deserialize)]
struct Subscribe {
    from: u64,
}
#[derive(Serialize, Deserialize)]
struct SignalNumber {
    signal: i32,
}
#[derive(Serialize, Deserialize)]
struct SnapshotQuestion {
    request: u64,
    scrollback: u32,
}
#[derive(Serialize, Deserialize)]
struct StatusQuestion {
    request: u64,
}
#[derive(Serialize, Deserialize)]
struct EndRequest {
    grace_ms: u64,
}
#[derive(Serialize, Deserialize)]
struct StateOfMessage {
    id: String,
    state: MessageState,
}
#[derive(Serialize, Deserialize)]
struct StatusAnswer {
    request: u64,
    #[serde(flatten)]
    status: Status,
}
#[derive(Serialize, Deserialize)]
struct Reason {
    why: String,
}
#[derive(Serialize, Deserialize)]
struct StartedAs {
    agent_pid: i32,
}
#[derive(Serialize, Deserialize)]
struct Kind {
    kind: u8,
}

/// One frame, ready to be sent.
fn frame(kind: u8, payload: &[&[u8]]) -> Vec<u8> {
    let length = 1 + payload.iter().map(|p| p.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes.push(kind);
    for part in payload {
        bytes.extend_from_slice(part);
    }
    bytes
}

fn json_frame(kind: u8, value: &impl Serialize) -> Vec<u8> {
    // Nothing here can fail to become JSON: no maps with strange keys, no failing Serialize.
    frame(kind, &[&serde_json::to_vec(value).unwrap_or_default()])
}

fn read<'a, T: Deserialize<'a>>(kind: u8, payload: &'a [u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(|_| FrameError::Payload(kind))
}

/// The length of the first frame in `bytes` (its four length bytes included) if it is there in full.
///
/// # Errors
/// [`FrameError::Length`] as soon as the length is seen to be wrong.
pub fn complete(bytes: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length == 0 || length > max {
        return Err(FrameError::Length(length));
    }
    Ok((bytes.len() >= 4 + length).then_some(4 + length))
}

impl ToHost {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => json_frame(1, hello),
            Self::Subscribe { from } => json_frame(2, &Subscribe { from: *from }),
            Self::Write(bytes) => frame(3, &[bytes]),
            Self::Message(message) => json_frame(4, message),
            Self::Resize(size) => json_frame(5, size),
            Self::Signal { signal } => json_frame(6, &SignalNumber { signal: *signal }),
            Self::Snapshot { request, scrollback } => {
                json_frame(7, &SnapshotQuestion { request: *request, scrollback: *scrollback })
            }
            Self::Status { request } => json_frame(8, &StatusQuestion { request: *request }),
            Self::End { grace_ms } => json_frame(9, &EndRequest { grace_ms: *grace_ms }),
            Self::Acknowledge => frame(10, &[b"{}"]),
        }
    }

    /// From kind and payload.
    ///
    /// # Errors
    /// [`FrameError::Payload`].
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Known<Self>, FrameError> {
        Ok(Known::Frame(match kind {
            1 => Self::Hello(read(kind, payload)?),
            2 => Self::Subscribe { from: read::<Subscribe>(kind, payload)?.from },
            3 if payload.len() > WRITE_BYTES_MAX => return Err(FrameError::Payload(kind)),
            3 => Self::Write(payload.to_vec()),
            4 => Self::Message(read(kind, payload)?),
            5 => Self::Resize(read(kind, payload)?),
            6 => Self::Signal { signal: read::<SignalNumber>(kind, payload)?.signal },
            7 => {
                let SnapshotQuestion { request, scrollback } = read(kind, payload)?;
                Self::Snapshot { request, scrollback }
            }
            8 => Self::Status { request: read::<StatusQuestion>(kind, payload)?.request },
            9 => Self::End { grace_ms: read::<EndRequest>(kind, payload)?.grace_ms },
            10 => Self::Acknowledge,
            other => return Ok(Known::Other(other)),
        }))
    }
}

impl FromHost {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome(status) => json_frame(129, status),
            Self::Output { seq, bytes } => frame(130, &[&seq.to_be_bytes(), bytes]),
            Self::Missed(missed) => json_frame(131, missed),
            Self::MessageState { id, state } => {
                json_frame(132, &StateOfMessage { id: id.clone(), state: *state })
            }
            Self::Activity(activity) => json_frame(133, activity),
            Self::Exited(exit) => json_frame(135, exit),
            Self::Snapshot(snapshot) => json_frame(136, snapshot),
            Self::Status { request, status } => {
                json_frame(137, &StatusAnswer { request: *request, status: status.clone() })
            }
            Self::Gap(gap) => json_frame(138, gap),
            Self::Refused { why } => json_frame(139, &Reason { why: why.clone() }),
            Self::Dropped { why } => json_frame(140, &Reason { why: why.clone() }),
            Self::Unsupported { kind } => json_frame(141, &Kind { kind: *kind }),
            Self::Resized(size) => json_frame(142, size),
            Self::Started { agent_pid } => json_frame(143, &StartedAs { agent_pid: *agent_pid }),
        }
    }

    /// From kind and payload.
    ///
    /// # Errors
    /// [`FrameError::Payload`].
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Known<Self>, FrameError> {
        Ok(Known::Frame(match kind {
            129 => Self::Welcome(read(kind, payload)?),
            130 => {
                let (seq, bytes) = payload.split_first_chunk::<8>().ok_or(FrameError::Payload(kind))?;
                Self::Output { seq: u64::from_be_bytes(*seq), bytes: bytes.to_vec() }
            }
            131 => Self::Missed(read(kind, payload)?),
            132 => {
                let StateOfMessage { id, state } = read(kind, payload)?;
                Self::MessageState { id, state }
            }
            133 => Self::Activity(read(kind, payload)?),
            135 => Self::Exited(read(kind, payload)?),
            136 => Self::Snapshot(read(kind, payload)?),
            137 => {
                let StatusAnswer { request, status } = read(kind, payload)?;
                Self::Status { request, status }
            }
            138 => Self::Gap(read(kind, payload)?),
            139 => Self::Refused { why: read::<Reason>(kind, payload)?.why },
            140 => Self::Dropped { why: read::<Reason>(kind, payload)?.why },
            141 => Self::Unsupported { kind: read::<Kind>(kind, payload)?.kind },
            142 => Self::Resized(read(kind, payload)?),
            143 => Self::Started { agent_pid: read::<StartedAs>(kind, payload)?.agent_pid },
            other => return Ok(Known::Other(other)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::message::Typing;
    use uuid::Uuid;

    const SIZE: Size = Size { cols: 80, rows: 24 };

    fn status() -> Status {
        Status {
            version: PROTOCOL_VERSION,
            session: SessionId(Uuid::nil()),
            agent_pid: Some(42),
            seq: u64::MAX,
            activity: SessionActivity::Idle,
            exit: Some(Exit::Failed("x".to_owned())),
        }
    }

    #[test]
    fn what_is_asked_is_read_back() {
        for asked in [
            ToHost::Hello(Hello { version: 1, lease: "l".to_owned(), claim: true }),
            ToHost::Subscribe { from: u64::MAX },
            ToHost::Write(vec![0, 255]),
            ToHost::Message(Message {
                id: "i".to_owned(),
                text: "\u{1b}\n".to_owned(),
                typing: Typing::Paste,
            }),
            ToHost::Resize(SIZE),
            ToHost::Signal { signal: 2 },
            ToHost::Snapshot { request: 7, scrollback: 3 },
            ToHost::Status { request: 8 },
            ToHost::End { grace_ms: 5 },
            ToHost::Acknowledge,
        ] {
            let bytes = asked.encode();
            assert_eq!(complete(&bytes, TO_HOST_MAX), Ok(Some(bytes.len())));
            assert_eq!(complete(&bytes[..bytes.len() - 1], TO_HOST_MAX), Ok(None));
            assert_eq!(ToHost::decode(bytes[4], &bytes[5..]), Ok(Known::Frame(asked)));
        }
    }

    #[test]
    fn what_is_said_is_read_back() {
        let text = || "t".to_owned();
        for said in [
            FromHost::Welcome(status()),
            FromHost::Output { seq: 1 << 40, bytes: vec![1, 2] },
            FromHost::Missed(Missed { seq: 9, dump: text(), size: SIZE }),
            FromHost::MessageState { id: text(), state: MessageState::Unknown },
            FromHost::Activity(SessionActivity::Busy),
            FromHost::Exited(Exit::Signal(9)),
            FromHost::Snapshot(Snapshot { request: 1, seq: 2, size: SIZE, text: text(), dump: text() }),
            FromHost::Status { request: 3, status: status() },
            FromHost::Gap(Gap { why: text(), lost_bytes: 4 }),
            FromHost::Refused { why: text() },
            FromHost::Dropped { why: text() },
            FromHost::Unsupported { kind: 77 },
            FromHost::Resized(SIZE),
            FromHost::Started { agent_pid: 42 },
        ] {
            let bytes = said.encode();
            assert_eq!(FromHost::decode(bytes[4], &bytes[5..]), Ok(Known::Frame(said)));
        }
    }

    #[test]
    fn newer_peers_are_understood_as_far_as_possible() {
        assert_eq!(ToHost::decode(77, b"?"), Ok(Known::Other(77)));
        assert_eq!(FromHost::decode(200, b"?"), Ok(Known::Other(200)));
        let more = br#"{"grace_ms":5,"and":"more"}"#;
        assert_eq!(ToHost::decode(9, more), Ok(Known::Frame(ToHost::End { grace_ms: 5 })));
        assert_eq!(ToHost::decode(9, b"{"), Err(FrameError::Payload(9)));
        assert_eq!(complete(&[0, 0, 0, 0], 10), Err(FrameError::Length(0)));
        assert_eq!(complete(&[0, 0, 0, 11], 10), Err(FrameError::Length(11)));
    }
}
