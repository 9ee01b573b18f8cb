//! What is said to the runner and what it answers: bytes to values and back, and nothing else. It is the one place
//! where a privileged process reads what an unprivileged one wrote, so it is small, has no dependency, allocates no
//! more than a message holds, and is fuzzed. Whether a request is allowed is not decided here.
//!
//! Every message is a frame: a length in 4 bytes, big endian, then that many bytes. Numbers are big endian, a text is its
//! length in 2 bytes and UTF-8, an optional thing is preceded by 0 or 1. What a request carries beside its bytes is
//! one descriptor for `run` (a pseudo-terminal's slave end) and none for the others, sent with the frame's first byte.

use crate::domain::session::{Profile, SessionId, ThinkingMode};
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

/// A name as configs have them: 1 to 64 bytes without control characters or `/`.
fn name(field: &'static str, text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field, problem });
    if text.is_empty() || text.len() > 64 {
        return problem("must have 1 to 64 bytes");
    }
    if text.contains('/') || text.chars().any(char::is_control) {
        return problem("must not contain `/` or control characters");
    }
    Ok(text.to_owned())
}

/// Letters, digits, `-` and `_`, not beginning with `-`: it may stand in a command line or a file's name.
fn plain(field: &'static str, text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field, problem });
    if text.is_empty() || text.len() > 256 {
        return problem("must have 1 to 256 bytes");
    }
    if text.starts_with('-') || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return problem("must be letters, digits, `-` and `_`, and not begin with `-`");
    }
    Ok(text.to_owned())
}

/// The name of an environment variable.
fn variable(text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field: "name of a value", problem });
    if text.is_empty() || text.len() > 128 {
        return problem("must have 1 to 128 bytes");
    }
    if text.as_bytes()[0].is_ascii_digit() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return problem("must be letters, digits and `_`");
    }
    Ok(text.to_owned())
}

/// A path that stays below where it begins, as far as its text says: relative, no empty part, no `.`, no `..`.
fn relative(field: &'static str, text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field, problem });
    if text.is_empty() || text.len() > 4_096 {
        return problem("must have 1 to 4,096 bytes");
    }
    if text.contains('\0') {
        return problem("must not contain NUL");
    }
    if text.starts_with('/') {
        return problem("must be relative");
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return problem("must not have an empty part, `.` or `..`");
    }
    Ok(text.to_owned())
}

fn without_nul(field: &'static str, text: &str) -> Result<String, MessageError> {
    if text.contains('\0') {
        return Err(MessageError::Text { field, problem: "must not contain NUL" });
    }
    Ok(text.to_owned())
}

/// Bytes on their way out; the first four are the length's.
struct Out(Vec<u8>);

impl Out {
    fn new() -> Self {
        Self(vec![0; 4])
    }

    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u32(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes());
    }

    fn i32(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    fn count(&mut self, count: usize) -> Result<(), MessageError> {
        let count = u16::try_from(count).map_err(|_| MessageError::Length(count))?;
        self.bytes(&count.to_be_bytes());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), MessageError> {
        self.count(text.len())?;
        self.bytes(text.as_bytes());
        Ok(())
    }

    fn cut_text(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(8_192)];
        self.bytes(&u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    fn maybe(&mut self, text: Option<&str>) -> Result<(), MessageError> {
        self.byte(u8::from(text.is_some()));
        text.map_or(Ok(()), |text| self.text(text))
    }

    fn place(&mut self, place: &Place) -> Result<(), MessageError> {
        self.u32(place.uid);
        self.bytes(place.session.0.as_bytes());
        self.text(&place.project)
    }

    fn frame(self) -> Result<Vec<u8>, MessageError> {
        let length = self.0.len() - 4;
        if length > FRAME_BYTES_MAX { Err(MessageError::Length(length)) } else { Ok(self.finished()) }
    }

    fn finished(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// Bytes that are being read.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, MessageError> {
        if bytes.is_empty() || bytes.len() > FRAME_BYTES_MAX {
            return Err(MessageError::Length(bytes.len()));
        }
        Ok(Self(bytes))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(MessageError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, MessageError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, MessageError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(MessageError::Unknown(field)),
        }
    }

    fn u16(&mut self) -> Result<u16, MessageError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, MessageError> {
        self.take().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, MessageError> {
        self.take().map(i32::from_be_bytes)
    }

    fn uuid(&mut self) -> Result<Uuid, MessageError> {
        self.take().map(Uuid::from_bytes)
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, MessageError> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(MessageError::Truncated)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| MessageError::Text { field, problem: "is not UTF-8" })
    }

    fn place(&mut self) -> Result<Place, MessageError> {
        Ok(Place {
            uid: self.u32()?,
            session: SessionId(self.uuid()?),
            project: name("project", self.text("project")?)?,
        })
    }

    fn end(&self) -> Result<(), MessageError> {
        if self.0.is_empty() { Ok(()) } else { Err(MessageError::Trailing) }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Exited, FRAME_BYTES_MAX, MessageError, Native, Open, Order, Place, Reply, Request, Run, VALUES_MAX,
        Which, frame_length,
    };
    use crate::domain::session::{Profile, SessionId, ThinkingMode};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use uuid::Uuid;

    fn run() -> Run {
        Run {
            place: Place { uid: 1000, session: SessionId(Uuid::from_u128(7)), project: "shop".to_owned() },
            subdir: Some("api/v1".to_owned()),
            worktree: false,
            agent: "claude".to_owned(),
            profile: Profile::Restricted,
            thinking: ThinkingMode::Slow,
            native: Native::Resume("abc-1".to_owned()),
            token: "not-a-real-token".to_owned(),
            values: vec![("API_KEY".to_owned(), "invented value".to_owned())],
        }
    }

    fn requests() -> Vec<Request> {
        let place = run().place;
        let open = |which| Request::Open(Open { uid: 1000, agent: "claude".to_owned(), which });
        vec![
            Request::Run(run()),
            Request::Run(Run {
                subdir: None,
                native: Native::New(Uuid::from_u128(9)),
                values: vec![],
                ..run()
            }),
            Request::AddWorktree(place.clone()),
            Request::RemoveWorktree(place),
            open(Which::Path("a/b.jsonl".to_owned())),
            open(Which::NameContains("0d9a-7".to_owned())),
        ]
    }

    fn replies() -> Vec<Reply> {
        vec![
            Reply::Started { pid: 42 },
            Reply::Exited(Exited::Code(3)),
            Reply::Exited(Exited::Signal(9)),
            Reply::Gone,
            Reply::Refused("uid 0".to_owned()),
            Reply::Failed("no such folder".to_owned()),
            Reply::Worktree { path: "/home/ann/x".to_owned(), branch: "b".to_owned() },
            Reply::Removed,
            Reply::Opened { path: "a.jsonl".to_owned(), size: 1 << 40 },
        ]
    }

    #[test]
    fn what_is_written_is_read_back_and_no_beginning_of_it_is() {
        for request in requests() {
            let frame = request.encode().unwrap();
            assert_eq!(frame_length(&frame), Ok(Some(frame.len() - 4)));
            assert_eq!(Request::decode(&frame[4..]), Ok(request.clone()));
            for end in 5..frame.len() {
                assert!(Request::decode(&frame[4..end]).is_err(), "{request:?} cut at {end}");
            }
            let mut longer = frame[4..].to_vec();
            longer.push(0);
            assert_eq!(Request::decode(&longer), Err(MessageError::Trailing));
        }
        for reply in replies() {
            assert_eq!(Reply::decode(&reply.encode()[4..]), Ok(reply));
        }
        for order in [Order::Signal { signal: 2, group: 0 }, Order::End { grace_ms: 5_000 }] {
            assert_eq!(Order::decode(&order.encode()[4..]), Ok(order));
        }
    }

    #[test]
    fn paths_that_lead_out_are_no_messages() {
        let long = "x".repeat(4_097);
        for path in ["", "/etc/shadow", "..", "a/../b", "a//b", "./a", "a/", "a\0b", &long] {
            let with_subdir = Request::Run(Run { subdir: Some(path.to_owned()), ..run() });
            assert!(with_subdir.encode().is_err(), "{path:?}");
            let open = Open { uid: 1, agent: "a".to_owned(), which: Which::Path(path.to_owned()) };
            assert!(Request::Open(open).encode().is_err(), "{path:?}");
        }
    }

    #[test]
    fn texts_that_could_mean_more_are_no_messages() {
        let bad = [
            Run { native: Native::Resume("--help".to_owned()), ..run() },
            Run { native: Native::Resume("a b".to_owned()), ..run() },
            Run { agent: "../claude".to_owned(), ..run() },
            Run { agent: String::new(), ..run() },
            Run { token: "a\nb".to_owned(), ..run() },
            Run { values: vec![("A=B".to_owned(), String::new())], ..run() },
            Run { values: vec![("A".to_owned(), "a\0b".to_owned())], ..run() },
            Run { values: vec![("A".to_owned(), String::new()); VALUES_MAX + 1], ..run() },
            Run {
                values: vec![("A".to_owned(), "x".repeat(60_000)), ("B".to_owned(), "x".repeat(60_000))],
                ..run()
            },
        ];
        for run in bad {
            assert!(Request::Run(run.clone()).encode().is_err(), "{run:?}");
        }
    }

    #[test]
    fn lengths_and_orders_have_bounds() {
        assert_eq!(frame_length(&[0, 0, 0]), Ok(None));
        assert_eq!(frame_length(&[0, 0, 0, 0]), Err(MessageError::Length(0)));
        assert!(frame_length(&[0xff; 4]).is_err());
        assert!(Request::decode(&vec![1; FRAME_BYTES_MAX + 1]).is_err());
        for (signal, group) in [(0, 0), (65, 0), (-1, 0), (9, -1)] {
            assert!(Order::decode(&Order::Signal { signal, group }.encode()[4..]).is_err());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", run());
        assert!(!shown.contains("not-a-real-token") && !shown.contains("invented value"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = (Request::decode(&bytes), Reply::decode(&bytes), Order::decode(&bytes), frame_length(&bytes));
        }

        #[test]
        fn what_is_read_is_written_the_same(at in 0_usize..200, byte in any::<u8>(), which in 0_usize..6) {
            let mut frame = requests().swap_remove(which).encode().unwrap();
            let at = 4 + at % (frame.len() - 4);
            frame[at] = byte;
            if let Ok(request) = Request::decode(&frame[4..]) {
                let again = request.encode();
                prop_assert!(again.is_ok());
                prop_assert_eq!(again.unwrap(), frame);
            }
        }
    }
}
