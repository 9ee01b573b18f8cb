//! What a host is told when it starts, and what it answers: the JSON on its stdin and stdout.

use crate::domain::session::SessionId;
use crate::host::message::Message;
use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of [`StartSpec`] that this binary writes and reads.
pub const SPEC_VERSION: u32 = 1;
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
    /// Private folder for the agent's TMPDIR: made 0700, removed at the end.
    pub tmp_dir: Option<PathBuf>,
    /// Program and arguments. No secrets.
    pub argv: Vec<String>,
    /// The agent's whole environment.
    pub env: Vec<(String, String)>,
    /// Where the agent starts.
    pub cwd: PathBuf,
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
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
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
        ensure!(!self.argv.is_empty() && !self.argv[0].is_empty(), "argv: must not be empty");
        ensure!(self.cwd.is_absolute(), "cwd: must be absolute");
        ensure!(!self.lease.is_empty() && self.lease.len() <= 128, "lease: 1 to 128 bytes");
        if self.argv.iter().any(|a| a.contains('\0')) {
            bail!("argv: must not contain NUL");
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                bail!("env: a name or value cannot be used");
            }
        }
        if let Some(message) = &self.first_message {
            message.check().map_err(|e| anyhow::anyhow!("first message: {e}"))?;
        }
        Ok(())
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
