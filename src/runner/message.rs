//! What is said to the runner and what it answers: bytes to values and back, and nothing else. It is the one place
//! where a privileged process reads what an unprivileged one wrote, so it is small, has no dependency, allocates no
//! more than a message holds, and is fuzzed. Whether a request is allowed is not decided here.
//!
//! Every message is a frame: a length in 4 bytes, big endian, then that many bytes. Numbers are big endian, a text is its
//! length in 2 bytes and UTF-8, an optional thing is preceded by 0 or 1. What a request carries beside its bytes is
//! one descriptor for `run` (a pseudo-terminal's slave end) and none for the others, sent with the frame's first byte.

mod bytes;
#[cfg(test)]
mod tests;
mod text;

use crate::domain::session::{Profile, SessionId, ThinkingMode};
use crate::runner::message::bytes::{In, Out};
use crate::runner::message::text::{name, plain, relative, variable, without_nul};
use uuid::Uuid;

/// The version of the messages; the first byte of each request.
pub const VERSION: u8 = 1;
/// Bytes of a frame after its length, at most.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Values of environment variables in one request, at most.
pub const VALUES_MAX: usize = 64;

/// Why bytes are no message. Holds nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The frame is longer than [`FRAME_BYTES_MAX`], or empty.
    #[error("a frame of {0} bytes; 1 to {FRAME_BYTES_MAX} are possible")]
    Length(usize),
    /// It ends in the middle of something.
    #[error("it is cut off")]
    Truncated,
    /// Something follows its end.
    #[error("something follows its end")]
    Trailing,
    /// Another version of this program wrote it.
    #[error("version {0} is not known; {VERSION} is")]
    Version(u8),
    /// A number that stands for nothing.
    #[error("{0}: not a known value")]
    Unknown(&'static str),
    /// A text is not what it must be.
    #[error("{field}: {problem}")]
    Text {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What can be asked of the runner; one request a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run an agent on the terminal that comes with it, and end its tree with the connection.
    Run(Run),
    /// Add a worktree of a project for a session: `git worktree add`.
    AddWorktree(Place),
    /// Remove it again if nothing in it is unsaved: `git worktree remove`.
    RemoveWorktree(Place),
    /// Open a file that an agent wrote about its session, for reading.
    Open(Open),
}

/// Which session of whom, where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As whom.
    pub uid: u32,
    /// Which session.
    pub session: SessionId,
    /// The name of a configured project.
    pub project: String,
}

/// An agent to run. Its command line and environment are made by the runner from the config; Debug shows neither token
/// nor values.
#[derive(Clone, PartialEq, Eq)]
pub struct Run {
    /// Whose, and where.
    pub place: Place,
    /// Folder inside the project (or its worktree); relative, without `..`.
    pub subdir: Option<String>,
    /// Whether it runs in the session's worktree instead of the project.
    pub worktree: bool,
    /// The name of a configured agent.
    pub agent: String,
    /// What it may do unasked.
    pub profile: Profile,
    /// How long it thinks.
    pub thinking: ThinkingMode,
    /// The agent's own session.
    pub native: Native,
    /// The session's token, for the agent's environment.
    pub token: String,
    /// Values for names that the agent's config lists under `env`.
    pub values: Vec<(String, String)>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.values.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Run")
            .field("place", &self.place)
            .field("subdir", &self.subdir)
            .field("worktree", &self.worktree)
            .field("agent", &self.agent)
            .field("profile", &self.profile)
            .field("thinking", &self.thinking)
            .field("native", &self.native)
            .field("values", &names)
            .finish_non_exhaustive()
    }
}

/// The agent's own session id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Native {
    /// The agent begins a session; where it takes an id, this one.
    New(Uuid),
    /// It goes on with the session of this id: letters, digits, `-` and `_`.
    Resume(String),
}

/// Which file of the owner's to open: below the folder where agents of this kind keep their transcripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// As whom.
    pub uid: u32,
    /// The name of a configured agent.
    pub agent: String,
    /// Which file.
    pub which: Which,
}

/// How a file is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its path below the agent's folder; relative, without `..`.
    Path(String),
    /// The newest whose name contains this: letters, digits, `-` and `_`.
    NameContains(String),
}

/// What the runner answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The agent runs.
    Started {
        /// Its pid.
        pid: i32,
    },
    /// The agent ended; what it left behind is being ended.
    Exited(Exited),
    /// No process of the tree is left. The last message of a `run`.
    Gone,
    /// It is not allowed, or not possible; nothing was done. Holds no secret.
    Refused(String),
    /// It was allowed and went wrong: a step before the agent ran, or git. Holds no secret.
    Failed(String),
    /// The worktree stands; or it stood already.
    Worktree {
        /// Its absolute path.
        path: String,
        /// The branch that is checked out there.
        branch: String,
    },
    /// The worktree is gone, or was never there.
    Removed,
    /// The file, whose descriptor comes with it.
    Opened {
        /// Its path below the agent's folder.
        path: String,
        /// Its size in bytes when it was opened.
        size: u64,
    },
}

/// How an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exited {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What may be said after [`Request::Run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send a signal to those processes of the tree that belong to a process group; group 0: the agent's own.
    Signal {
        /// The signal's number.
        signal: i32,
        /// The group.
        group: i32,
    },
    /// Ask the tree to end, and end it after the grace.
    End {
        /// Milliseconds.
        grace_ms: u32,
    },
}

impl Request {
    /// As a frame, length included.
    ///
    /// # Errors
    /// It does not fit, or a text of it could not be read back.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        let mut out = Out::new();
        out.byte(VERSION);
        match self {
            Self::Run(run) => {
                out.byte(1);
                out.place(&run.place)?;
                out.maybe(run.subdir.as_deref())?;
                out.byte(u8::from(run.worktree));
                out.text(&run.agent)?;
                out.byte(match run.profile {
                    Profile::Full => 0,
                    Profile::Restricted => 1,
                });
                out.byte(match run.thinking {
                    ThinkingMode::Fast => 0,
                    ThinkingMode::Med => 1,
                    ThinkingMode::Slow => 2,
                });
                match &run.native {
                    Native::New(id) => {
                        out.byte(0);
                        out.bytes(id.as_bytes());
                    }
                    Native::Resume(id) => {
                        out.byte(1);
                        out.text(id)?;
                    }
                }
                out.text(&run.token)?;
                out.count(run.values.len())?;
                for (name, value) in &run.values {
                    out.text(name)?;
                    out.text(value)?;
                }
            }
            Self::AddWorktree(place) => {
                out.byte(2);
                out.place(place)?;
            }
            Self::RemoveWorktree(place) => {
                out.byte(3);
                out.place(place)?;
            }
            Self::Open(open) => {
                out.byte(4);
                out.u32(open.uid);
                out.text(&open.agent)?;
                match &open.which {
                    Which::Path(path) => {
                        out.byte(0);
                        out.text(path)?;
                    }
                    Which::NameContains(part) => {
                        out.byte(1);
                        out.text(part)?;
                    }
                }
            }
        }
        let frame = out.frame()?;
        // What could not be read at the other end is not sent.
        Self::decode(&frame[4..])?;
        Ok(frame)
    }

    /// From the bytes of a frame, without its length.
    ///
    /// # Errors
    /// [`MessageError`]: nothing in it is guessed or passed over.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut from = In::new(bytes)?;
        match from.byte()? {
            VERSION => {}
            other => return Err(MessageError::Version(other)),
        }
        let request = match from.byte()? {
            1 => {
                let place = from.place()?;
                let subdir = match from.byte()? {
                    0 => None,
                    1 => Some(relative("subdir", from.text("subdir")?)?),
                    _ => return Err(MessageError::Unknown("subdir")),
                };
                let worktree = from.flag("worktree")?;
                let agent = name("agent", from.text("agent")?)?;
                let profile = match from.byte()? {
                    0 => Profile::Full,
                    1 => Profile::Restricted,
                    _ => return Err(MessageError::Unknown("profile")),
                };
                let thinking = match from.byte()? {
                    0 => ThinkingMode::Fast,
                    1 => ThinkingMode::Med,
                    2 => ThinkingMode::Slow,
                    _ => return Err(MessageError::Unknown("thinking mode")),
                };
                let native = match from.byte()? {
                    0 => Native::New(from.uuid()?),
                    1 => Native::Resume(plain("native id", from.text("native id")?)?),
                    _ => return Err(MessageError::Unknown("native id")),
                };
                let token = plain("token", from.text("token")?)?;
                let count = usize::from(from.u16()?);
                if count > VALUES_MAX {
                    return Err(MessageError::Unknown("number of values"));
                }
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    let name = variable(from.text("name of a value")?)?;
                    values.push((name, without_nul("value", from.text("value")?)?));
                }
                Self::Run(Run { place, subdir, worktree, agent, profile, thinking, native, token, values })
            }
            2 => Self::AddWorktree(from.place()?),
            3 => Self::RemoveWorktree(from.place()?),
            4 => {
                let uid = from.u32()?;
                let agent = name("agent", from.text("agent")?)?;
                let which = match from.byte()? {
                    0 => Which::Path(relative("path", from.text("path")?)?),
                    1 => Which::NameContains(plain("name", from.text("name")?)?),
                    _ => return Err(MessageError::Unknown("file")),
                };
                Self::Open(Open { uid, agent, which })
            }
            _ => return Err(MessageError::Unknown("verb")),
        };
        from.end()?;
        Ok(request)
    }

    /// The verb's name, for a log line.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::AddWorktree(_) => "worktree add",
            Self::RemoveWorktree(_) => "worktree remove",
            Self::Open(_) => "open",
        }
    }

    /// As whom it is to be done.
    pub const fn uid(&self) -> u32 {
        match self {
            Self::Run(run) => run.place.uid,
            Self::AddWorktree(place) | Self::RemoveWorktree(place) => place.uid,
            Self::Open(open) => open.uid,
        }
    }

    /// For which session, if for one.
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Run(run) => Some(run.place.session),
            Self::AddWorktree(place) | Self::RemoveWorktree(place) => Some(place.session),
            Self::Open(_) => None,
        }
    }

    /// How many descriptors come with it.
    pub const fn descriptors(&self) -> usize {
        match self {
            Self::Run(_) => 1,
            Self::AddWorktree(_) | Self::RemoveWorktree(_) | Self::Open(_) => 0,
        }
    }
}

impl Reply {
    /// As a frame, length included. Texts that are too long are cut.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out::new();
        match self {
            Self::Started { pid } => {
                out.byte(1);
                out.i32(*pid);
            }
            Self::Exited(Exited::Code(code)) => {
                out.byte(2);
                out.byte(0);
                out.i32(*code);
            }
            Self::Exited(Exited::Signal(signal)) => {
                out.byte(2);
                out.byte(1);
                out.i32(*signal);
            }
            Self::Gone => out.byte(3),
            Self::Refused(why) => {
                out.byte(4);
                out.cut_text(why);
            }
            Self::Failed(why) => {
                out.byte(5);
                out.cut_text(why);
            }
            Self::Worktree { path, branch } => {
                out.byte(6);
                out.cut_text(path);
                out.cut_text(branch);
            }
            Self::Removed => out.byte(7),
            Self::Opened { path, size } => {
                out.byte(8);
                out.cut_text(path);
                out.bytes(&size.to_be_bytes());
            }
        }
        out.finished()
    }

    /// From the bytes of a frame, without its length.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut from = In::new(bytes)?;
        let reply = match from.byte()? {
            1 => Self::Started { pid: from.i32()? },
            2 => Self::Exited(match from.byte()? {
                0 => Exited::Code(from.i32()?),
                1 => Exited::Signal(from.i32()?),
                _ => return Err(MessageError::Unknown("exit")),
            }),
            3 => Self::Gone,
            4 => Self::Refused(from.text("refusal")?.to_owned()),
            5 => Self::Failed(from.text("failure")?.to_owned()),
            6 => Self::Worktree {
                path: from.text("path")?.to_owned(),
                branch: from.text("branch")?.to_owned(),
            },
            7 => Self::Removed,
            8 => Self::Opened { path: from.text("path")?.to_owned(), size: u64::from_be_bytes(from.take()?) },
            _ => return Err(MessageError::Unknown("reply")),
        };
        from.end()?;
        Ok(reply)
    }
}

impl Order {
    /// As a frame, length included.
    pub fn encode(self) -> Vec<u8> {
        let mut out = Out::new();
        match self {
            Self::Signal { signal, group } => {
                out.byte(1);
                out.i32(signal);
                out.i32(group);
            }
            Self::End { grace_ms } => {
                out.byte(2);
                out.u32(grace_ms);
            }
        }
        out.finished()
    }

    /// From the bytes of a frame, without its length.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut from = In::new(bytes)?;
        let order = match from.byte()? {
            1 => {
                let (signal, group) = (from.i32()?, from.i32()?);
                if !(1..=64).contains(&signal) {
                    return Err(MessageError::Unknown("signal"));
                }
                if group < 0 {
                    return Err(MessageError::Unknown("process group"));
                }
                Self::Signal { signal, group }
            }
            2 => Self::End { grace_ms: from.u32()? },
            _ => return Err(MessageError::Unknown("order")),
        };
        from.end()?;
        Ok(order)
    }
}

/// How long the frame is that begins with these bytes; `None` while fewer than 4 are there.
///
/// # Errors
/// [`MessageError::Length`].
pub fn frame_length(bytes: &[u8]) -> Result<Option<usize>, MessageError> {
    let Some((length, _)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err(MessageError::Length(length));
    }
    Ok(Some(length))
}
