//! Terminals that are measured: a session host in a process of its own with a connection to it, and a bare terminal
//! without a host. Both are read and written by one blocking thread, so that what is between them is the host.

use crate::daemon::{Home, PATIENCE, Process, private};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use teleclaude::domain::session::SessionId;
use teleclaude::host::files;
use teleclaude::host::protocol::{
    FROM_HOST_MAX, FromHost, Hello, Known, PROTOCOL_VERSION, Status, ToHost, complete,
};
use teleclaude::host::spec::{Launch, Program, Ready, SPEC_VERSION, Size, StartSpec};
use uuid::Uuid;

/// The size of every terminal here.
pub const SIZE: Size = Size { cols: 120, rows: 40 };
const LEASE: &str = "a lease";

/// A host that serves. Its processes end with the value.
pub struct Host {
    process: Process,
    socket: PathBuf,
    recording: PathBuf,
}

impl Host {
    /// Starts one, as the daemon does, for what `/bin/sh` makes of `script`. The recording takes up to `max_bytes`.
    pub fn start(home: &Home, script: &str, max_bytes: u64) -> Self {
        let run_dir = home.path("h");
        std::fs::create_dir_all(&run_dir).unwrap();
        private(&run_dir);
        let session = SessionId(Uuid::now_v7());
        let mut env = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        env.push(("TELECLAUDE_SESSION".to_owned(), session.to_string()));
        let spec = StartSpec {
            version: SPEC_VERSION,
            session_id: session,
            recording_path: home.path(&format!("{session}.cast")),
            socket_path: files::socket_path(&run_dir, session),
            exit_path: home.path(&format!("{session}.exit")),
            launch: Launch::Own(Program {
                argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
                env,
                cwd: run_dir.clone(),
                tmp_dir: None,
                files: Vec::new(),
            }),
            size: SIZE,
            scrollback_lines: 10_000,
            fsync_ms: 250,
            max_bytes,
            strict: false,
            record_input: false,
            notice: None,
            title: None,
            first_message: None,
            lease: LEASE.to_owned(),
            run_dir,
        };
        let mut command = home.command("session-host");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let mut stdin = process.0.stdin.take().unwrap();
        stdin.write_all(&serde_json::to_vec(&spec).unwrap()).unwrap();
        drop(stdin);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(matches!(serde_json::from_str(&line).unwrap(), Ready::Up { .. }), "{line}");
        Self { process, socket: spec.socket_path, recording: spec.recording_path }
    }

    /// Its process.
    pub fn id(&self) -> i32 {
        self.process.id()
    }

    /// Where it records.
    pub fn recording(&self) -> &Path {
        &self.recording
    }

    /// Connects as its daemon.
    pub fn connect(&self) -> Line {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut line = Line { stream, buffer: Vec::new() };
        let hello = Hello { version: PROTOCOL_VERSION, lease: LEASE.to_owned(), claim: true };
        line.say(&ToHost::Hello(hello));
        assert!(matches!(line.next(), FromHost::Welcome(_)));
        line
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for pid in teleclaude::platform::process::descendants(self.id()) {
            let _ = teleclaude::platform::process::kill(pid);
        }
        self.process.stop();
    }
}

/// A connection to a host.
pub struct Line {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Line {
    /// Sends a frame.
    pub fn say(&mut self, frame: &ToHost) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    /// The next frame. A hole in the recording is no measurement.
    fn next(&mut self) -> FromHost {
        loop {
            while let Some(end) = complete(&self.buffer, FROM_HOST_MAX).unwrap() {
                let known = FromHost::decode(self.buffer[4], &self.buffer[5..end]).unwrap();
                self.buffer.drain(..end);
                match known {
                    Known::Frame(FromHost::Gap(gap)) => panic!("the recording has a hole: {gap:?}"),
                    Known::Frame(frame) => return frame,
                    Known::Other(_) => {}
                }
            }
            let mut piece = [0; 16 * 1024];
            let read = self.stream.read(&mut piece).unwrap();
            assert_ne!(read, 0, "the host has closed");
            self.buffer.extend_from_slice(&piece[..read]);
        }
    }

    /// The next output.
    pub fn output(&mut self) -> Vec<u8> {
        loop {
            if let FromHost::Output { bytes, .. } = self.next() {
                return bytes;
            }
        }
    }

    /// How it stands now.
    pub fn status(&mut self) -> Status {
        self.say(&ToHost::Status { request: 1 });
        loop {
            if let FromHost::Status { status, .. } = self.next() {
                return status;
            }
        }
    }
}

/// A terminal without a host.
pub struct Bare {
    master: File,
    /// Ends with the value.
    _process: Process,
}

impl Bare {
    /// Starts what `/bin/sh` makes of `script` at its other end.
    pub fn start(script: &str) -> Self {
        let size = nix::pty::Winsize { ws_row: SIZE.rows, ws_col: SIZE.cols, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = nix::pty::openpty(Some(&size), None).unwrap();
        for end in [&ends.master, &ends.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let end = || Stdio::from(ends.slave.try_clone().unwrap());
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).env_clear().env("PATH", "/usr/bin:/bin");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { master: File::from(ends.master), _process: Process(child) }
    }

    /// Types.
    pub fn write(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
    }

    /// The next output, into a buffer: how many bytes.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()).unwrap();
        assert_ne!(ready, 0, "nothing comes");
        self.master.read(buffer).unwrap()
    }
}
