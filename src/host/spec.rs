//! What a host is told when it starts, and what it answers: the JSON on its stdin and stdout.

use crate::domain::session::SessionId;
use crate::host::message::Message;
use crate::runner::message::{Request, Run};
use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of [`StartSpec`] that this binary writes and reads.
pub const SPEC_VERSION: u32 = 2;
/// Bytes of a spec, at most.
pub const SPEC_BYTES_MAX: usize = 4 << 20;
/// Bytes of a socket path, at most: the system's own limit is 103 on macOS, 107 on Linux.
pub const SOCKET_PATH_MAX: usize = 100;
/// Columns a terminal has at most.
pub const COLS_MAX: u16 = 500;
/// Rows a terminal has at most.
pub const ROWS_MAX: u16 = 300;
/// Lines of scrollback a host keeps at most.
pub const SCROLLBACK_MAX: u32 = 100_000;

/// A terminal's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// The nearest size that a host accepts: 1 to 500 columns, 1 to 300 rows; a zero means 80 and 24.
    pub fn clamped(self) -> Self {
        let cols = if self.cols == 0 { 80 } else { self.cols.min(COLS_MAX) };
        let rows = if self.rows == 0 { 24 } else { self.rows.min(ROWS_MAX) };
        Self { cols, rows }
    }
}

/// Everything a host needs to know. It travels on stdin, never in an argv; its Debug shows no environment and no
/// message.
#[derive(Clone, Serialize, Deserialize)]
pub struct StartSpec {
    /// [`SPEC_VERSION`].
    pub version: u32,
    /// Whose host this is.
    pub session_id: SessionId,
    /// Folder (0700) for run file, lock and socket.
    pub run_dir: PathBuf,
    /// The recording; continued if it exists.
    pub recording_path: PathBuf,
    /// The control socket, at most 100 bytes; see [`crate::host::files::socket_path`].
    pub socket_path: PathBuf,
    /// Where the exit is written when it is over.
    pub exit_path: PathBuf,
    /// Who starts the agent, and what.
    pub launch: Launch,
    /// The first size.
    pub size: Size,
    /// Lines of scrollback.
    pub scrollback_lines: u32,
    /// The recording is synced at most this often, in milliseconds.
    pub fsync_ms: u64,
    /// Bytes of recording beyond which output is left out of it.
    pub max_bytes: u64,
    /// End the session if something cannot be recorded.
    pub strict: bool,
    /// Record what is typed, too.
    pub record_input: bool,
    /// First line of screen and recording.
    pub notice: Option<String>,
    /// Title of the recording.
    pub title: Option<String>,
    /// Typed once the agent is ready.
    pub first_message: Option<Message>,
    /// Who may claim this host shows this.
    pub lease: String,
}

impl std::fmt::Debug for StartSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartSpec")
            .field("session_id", &self.session_id)
            .field("run_dir", &self.run_dir)
            .field("launch", &self.launch)
            .finish_non_exhaustive()
    }
}

/// Who starts the agent, and what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launch {
    /// The host itself, as its own user.
    Own(Program),
    /// The runner, as the session's owner. Command line and environment are the runner's to make.
    Runner {
        /// Where the runner is asked.
        socket: PathBuf,
        /// What it is asked. Its Debug shows no secret.
        #[serde(with = "frame")]
        request: Run,
    },
}

/// A program as the host starts it. Its Debug shows no environment.
#[derive(Clone, Serialize, Deserialize)]
pub struct Program {
    /// Program and arguments. No secrets.
    pub argv: Vec<String>,
    /// The agent's whole environment.
    pub env: Vec<(String, String)>,
    /// Where the agent starts.
    pub cwd: PathBuf,
    /// Private folder for the agent's TMPDIR: made 0700, removed at the end.
    pub tmp_dir: Option<PathBuf>,
    /// Files (0600) to be made in that folder: name and text.
    #[serde(default)]
    pub files: Vec<(String, String)>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("argv", &self.argv).field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

impl Launch {
    fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Own(program) => {
                ensure!(program.argv.first().is_some_and(|name| !name.is_empty()), "argv: must not be empty");
                ensure!(program.cwd.is_absolute(), "cwd: must be absolute");
                if program.argv.iter().any(|a| a.contains('\0')) {
                    bail!("argv: must not contain NUL");
                }
                if program.files.iter().any(|(name, _)| name.is_empty() || name.contains(['/', '\0'])) {
                    bail!("files: a name cannot be used");
                }
                for (name, value) in &program.env {
                    if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                        bail!("env: a name or value cannot be used");
                    }
                }
            }
            Self::Runner { socket, request } => {
                ensure!(socket.is_absolute(), "the runner's socket: must be absolute");
                Request::Run(request.clone()).encode().map_err(|e| anyhow::anyhow!("run: {e}"))?;
            }
        }
        Ok(())
    }
}

/// A request travels as the frame that the runner gets, so that there is one way to write it down.
mod frame {
    use crate::runner::message::{Request, Run, frame_length};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(run: &Run, to: S) -> Result<S::Ok, S::Error> {
        Request::Run(run.clone()).encode().map_err(ser::Error::custom)?.serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Run, D::Error> {
        let frame = Vec::<u8>::deserialize(from)?;
        match frame_length(&frame).map_err(de::Error::custom)? {
            Some(length) if frame.len() == 4 + length => {}
            _ => return Err(de::Error::custom("not one frame")),
        }
        match Request::decode(&frame[4..]).map_err(de::Error::custom)? {
            Request::Run(run) => Ok(run),
            other => Err(de::Error::custom(other.verb())),
        }
    }
}

impl StartSpec {
    /// Whether a host can begin with it.
    ///
    /// # Errors
    /// Says which field cannot be used, without its value.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.version == SPEC_VERSION, "start spec: version {} is not known", self.version);
        let socket = self.socket_path.as_os_str().len();
        ensure!(
            socket <= SOCKET_PATH_MAX,
            "socket path: {socket} bytes, at most {SOCKET_PATH_MAX} are possible"
        );
        ensure!(!self.lease.is_empty() && self.lease.len() <= 128, "lease: 1 to 128 bytes");
        self.launch.check()?;
        if let Some(message) = &self.first_message {
            message.check().map_err(|e| anyhow::anyhow!("first message: {e}"))?;
        }
        Ok(())
    }

    /// The private folder that the host makes for the agent, if it makes one.
    pub fn tmp_dir(&self) -> Option<&PathBuf> {
        match &self.launch {
            Launch::Own(program) => program.tmp_dir.as_ref(),
            Launch::Runner { .. } => None,
        }
    }

    /// How its processes can be recognised: `TELECLAUDE_SESSION=<id>`.
    pub fn mark(session: SessionId) -> String {
        format!("TELECLAUDE_SESSION={session}")
    }
}

/// A host's one answer on stdout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ready", rename_all = "snake_case")]
pub enum Ready {
    /// It serves its socket; the agent was started, or its failure is in the exit file.
    Up {
        /// The host's pid.
        pid: i32,
        /// When the host started, as [`crate::platform::process::start_time`] counts.
        start_time: u64,
    },
    /// It could not begin, and nothing is left.
    Failed {
        /// Why; holds no secret.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::{Launch, Program, SPEC_VERSION, Size, StartSpec};
    use crate::domain::session::{Profile, SessionId, ThinkingMode};
    use crate::runner::message::{Native, Place, Run};
    use std::path::PathBuf;
    use uuid::Uuid;

    fn spec(launch: Launch) -> StartSpec {
        StartSpec {
            version: SPEC_VERSION,
            session_id: SessionId(Uuid::from_u128(7)),
            run_dir: PathBuf::from("/run/x"),
            recording_path: PathBuf::from("/state/x.cast"),
            socket_path: PathBuf::from("/run/x/s.sock"),
            exit_path: PathBuf::from("/state/x.json"),
            launch,
            size: Size { cols: 80, rows: 24 },
            scrollback_lines: 10,
            fsync_ms: 250,
            max_bytes: 1 << 20,
            strict: false,
            record_input: false,
            notice: None,
            title: None,
            first_message: None,
            lease: "lease".to_owned(),
        }
    }

    fn by_runner(project: &str) -> StartSpec {
        let place = Place { uid: 1_000, session: SessionId(Uuid::from_u128(7)), project: project.to_owned() };
        spec(Launch::Runner {
            socket: PathBuf::from("/run/r.sock"),
            request: Run {
                place,
                subdir: Some("api".to_owned()),
                worktree: false,
                agent: "claude".to_owned(),
                profile: Profile::Full,
                thinking: ThinkingMode::Med,
                native: Native::New(Uuid::from_u128(9)),
                token: "not-a-real-token".to_owned(),
                values: vec![("API_KEY".to_owned(), "invented value".to_owned())],
            },
        })
    }

    fn by_host() -> StartSpec {
        spec(Launch::Own(Program {
            argv: vec!["/bin/sh".to_owned()],
            env: vec![("API_KEY".to_owned(), "invented value".to_owned())],
            cwd: PathBuf::from("/srv"),
            tmp_dir: None,
            files: Vec::new(),
        }))
    }

    #[test]
    fn what_is_asked_of_the_runner_arrives_at_the_host() {
        let (written, read) = (by_runner("shop"), serde_json::to_vec(&by_runner("shop")).unwrap());
        let read: StartSpec = serde_json::from_slice(&read).unwrap();
        let (Launch::Runner { request: a, .. }, Launch::Runner { request: b, .. }) =
            (&written.launch, &read.launch)
        else {
            panic!("another launch")
        };
        assert_eq!(a, b);
        assert!(read.check().is_ok());
        assert!(by_runner("a/b").check().is_err(), "what the runner would not read is not begun");
        assert!(serde_json::to_vec(&by_runner("")).is_err());
        let torn = serde_json::json!({ "runner": { "socket": "/r", "request": [0, 0, 0, 9, 1, 1] } });
        assert!(serde_json::from_value::<Launch>(torn).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        for spec in [by_runner("shop"), by_host()] {
            let shown = format!("{spec:?}");
            assert!(!shown.contains("not-a-real-token") && !shown.contains("invented value"), "{shown}");
        }
    }
}
