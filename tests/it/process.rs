//! A daemon as what it is in life: a process of the built binary, in folders of its own, asked over its socket by this
//! user or by others. Used by `kill` and `users`; below are the tests of its beginning and its end. Whatever it
//! started is ended with the value that holds it, by pid.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use teleclaude::host::files::{self, RunFile};
use teleclaude::platform::process;

const EXE: &str = env!("CARGO_BIN_EXE_teleclaude");
/// Longer than anything here takes; only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon's folders, and the daemon while it runs.
pub struct World {
    dir: tempfile::TempDir,
    system: bool,
    env: Vec<(String, String)>,
    exe: PathBuf,
    uid: Option<u32>,
    child: Option<Child>,
}

impl World {
    /// One user's daemon; `config` is the YAML of its file.
    pub fn single(config: &str) -> Self {
        Self::new(false, config)
    }

    /// A machine's daemon with a socket for everybody; `config` comes after where its files are.
    pub fn system(config: &str) -> Self {
        Self::new(true, config)
    }

    fn new(system: bool, config: &str) -> Self {
        // Short, since a socket's path is limited.
        let dir = tempfile::Builder::new().prefix("tcd").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let world = Self { dir, system, env: Vec::new(), exe: EXE.into(), uid: None, child: None };
        for folder in ["home/.config/teleclaude", "etc", "project"] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        world.configure(config);
        world
    }

    /// Sets a variable of the daemon's environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the daemon another user's, from a copy of the program that this user can reach.
    #[cfg(target_os = "linux")]
    pub fn run_by(mut self, uid: u32, exe: &Path) -> Self {
        (self.uid, self.exe) = (Some(uid), exe.to_owned());
        nix::unistd::chown(self.dir.path(), Some(uid.into()), Some(uid.into())).unwrap();
        self
    }

    /// Writes the config anew. `DIR` in it is the folder of this world.
    pub fn configure(&self, config: &str) {
        let head = if self.system {
            "socket: DIR/s.sock\nsocket_mode: '0666'\ncomputer: { name: here }\nlog: { target: stderr }\naudit: { checkpoint: { journald: false } }\n"
        } else {
            "computer: { name: here }\n"
        };
        let text = format!("{head}{config}").replace("DIR", &self.dir.path().to_string_lossy());
        let whole = self.path("config.new");
        fs::write(&whole, text).unwrap();
        fs::rename(&whole, self.config_path()).unwrap();
    }

    /// Where its config is.
    pub fn config_path(&self) -> PathBuf {
        self.path(if self.system { "etc/config.yml" } else { "home/.config/teleclaude/config.yml" })
    }

    /// A path in its folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// The folder in which its agents work.
    pub fn project(&self) -> PathBuf {
        self.path("project")
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.path(if self.system { "s.sock" } else { "home/.teleclaude/run/teleclaude.sock" })
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.path(if self.system { "state" } else { "home/.local/state/teleclaude" })
    }

    /// Where the run files of its session hosts are.
    pub fn run_dir(&self) -> PathBuf {
        self.path(if self.system { "run" } else { "home/.teleclaude/run" })
    }

    /// A session's recording.
    pub fn recording(&self, session: &str) -> PathBuf {
        self.state().join("recordings").join(format!("{session}.cast"))
    }

    /// The program with this world's environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.path("home")).current_dir("/");
        if self.system {
            command.env("TELECLAUDE_CONFIG_PATH", self.config_path()).env("TELECLAUDE_SYSTEM_MODE", "1");
            command.env("STATE_DIRECTORY", self.path("state")).env("RUNTIME_DIRECTORY", self.path("run"));
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the daemon and does not wait for it.
    pub fn spawn(&mut self) {
        let mut command = self.command(&self.exe);
        if let Some(uid) = self.uid {
            // Drops root's groups too.
            command.uid(uid).gid(uid);
        }
        command.arg("daemon").stdin(Stdio::null()).stdout(Stdio::null());
        self.spawn_as(command);
    }

    /// Starts the daemon by a command of one's own.
    pub fn spawn_as(&mut self, mut command: Command) {
        let log = OpenOptions::new().append(true).create(true).open(self.path("log")).unwrap();
        self.child = Some(command.stderr(log).spawn().unwrap());
    }

    /// Starts the daemon and waits until it answers.
    pub fn up(&mut self) {
        self.spawn();
        self.wait_until_it_answers();
    }

    /// Waits until the daemon answers.
    pub fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.me().get("/health").is_err() {
            let gone = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(gone.is_none() && Instant::now() < deadline, "no daemon ({gone:?}): {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The daemon's pid.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id().cast_signed()
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until the daemon ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("the daemon does not end: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the daemons of this world said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// This user as a client.
    pub fn me(&self) -> Asker {
        Asker { socket: self.socket(), uid: None, token: None }
    }

    /// Another user as a client.
    pub fn user(&self, uid: u32) -> Asker {
        Asker { uid: Some(uid), ..self.me() }
    }

    /// Runs one command of the command line as a process of this or another user.
    pub fn run(&self, uid: Option<u32>, args: &[&str]) -> Output {
        self.typed(uid, args).output().unwrap()
    }

    /// The program where every user can reach it: the built one may lie where only this user can.
    pub fn program(&self) -> PathBuf {
        let exe = self.path("teleclaude");
        if !exe.exists() && fs::hard_link(EXE, &exe).is_err() {
            fs::copy(EXE, &exe).unwrap();
        }
        exe
    }

    /// The same command, not yet run.
    pub fn typed(&self, uid: Option<u32>, args: &[&str]) -> Command {
        let mut command = self.command(&self.program());
        if let Some(uid) = uid {
            let home = self.path(&format!("home-{uid}"));
            fs::create_dir_all(&home).unwrap();
            nix::unistd::chown(&home, Some(uid.into()), Some(uid.into())).unwrap();
            // Drops root's groups too.
            command.uid(uid).gid(uid).env("HOME", home);
        }
        command.arg("--socket").arg(self.socket()).args(args).stdin(Stdio::null());
        command
    }

    /// The same, as JSON, for a command that does not fail.
    pub fn run_json(&self, uid: Option<u32>, args: &[&str]) -> Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        let output = self.run(uid, &args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The run files of the session hosts that are there.
    pub fn hosts(&self) -> Vec<RunFile> {
        let entries = fs::read_dir(self.run_dir()).into_iter().flatten().flatten();
        entries.filter_map(|entry| files::read(&entry.path()).ok()).collect()
    }

    /// The run file of one session's host.
    pub fn host(&self, session: &str) -> Option<RunFile> {
        files::read(&self.run_dir().join(format!("{session}.json"))).ok()
    }

    /// Pids of the living processes that belong to one session.
    pub fn living(&self, session: &str, leader: Option<i32>) -> Vec<i32> {
        process::marked(&format!("TELECLAUDE_SESSION={session}"), leader, process::own_uid())
    }

    /// The database, for looking past the daemon.
    pub async fn database(&self) -> DatabaseConnection {
        let url = self.env.iter().find(|(name, _)| name == "TELECLAUDE_DATABASE__URL");
        let file = || format!("sqlite://{}", self.state().join("teleclaude.db").display());
        let mut options = ConnectOptions::new(url.map_or_else(file, |(_, url)| url.clone()));
        options.max_connections(1).sqlx_logging(false);
        Database::connect(options).await.unwrap()
    }

    /// Starts a session and waits until its agent runs; gives its id.
    pub fn session(&self, who: &Asker, agent: &str) -> String {
        let started = who.post("/sessions", json!({ "project": self.project(), "agent": agent })).unwrap();
        assert_eq!(started.status, 201, "{started:?}");
        let id = started.body["session_id"].as_str().unwrap().to_owned();
        until("the session runs", || self.host(&id).is_some_and(|run| run.agent_pid.is_some()));
        who.until_status(&id, "running");
        id
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let _ = writeln!(io::stderr(), "the daemon's log, newest first:\n{}", tail.join("\n"));
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let mark = format!("TELECLAUDE_SOCKET={}", self.socket().display());
        for _ in 0..200 {
            let hosts: Vec<RunFile> =
                self.hosts().into_iter().filter(|run| process::is_alive(run.pid, run.start_time)).collect();
            let mut left: Vec<i32> = hosts.iter().map(|run| run.pid).collect();
            left.extend(process::marked(&mark, None, process::own_uid()));
            for run in &hosts {
                left.extend(self.living(&run.session_id.to_string(), run.agent_pid));
            }
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = process::kill(pid);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What a command said, for the message of a failed test.
pub fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{:?}\n{out}\n{err}", output.status.code())
}

/// That a command ended with this code, and said this.
#[track_caller]
pub fn ends(output: &Output, code: i32, words: &str) {
    let all = said(output);
    assert!(output.status.code() == Some(code) && all.contains(words), "{words}: {all}");
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether this test may be other users: root may, where the system knows users of single threads.
pub fn can_be_others(test: &str) -> bool {
    if cfg!(target_os = "linux") && nix::unistd::geteuid().is_root() {
        return true;
    }
    let _ = writeln!(io::stderr(), "{test}: needs root on Linux to be several users; not shown here");
    false
}

/// Somebody with a socket to the daemon: who that is, is the kernel's word.
#[derive(Clone, Debug)]
pub struct Asker {
    socket: PathBuf,
    uid: Option<u32>,
    token: Option<String>,
}

/// An answer that came whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Asker {
    /// The same user as the agent that this token belongs to.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A new connection.
    pub fn connect(&self) -> io::Result<UnixStream> {
        let stream = match self.uid {
            None => UnixStream::connect(&self.socket)?,
            Some(uid) => {
                let socket = self.socket.clone();
                // The kernel notes who connects: one thread may be somebody else for that moment.
                std::thread::spawn(move || {
                    become_user(uid)?;
                    UnixStream::connect(socket)
                })
                .join()
                .unwrap()?
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    pub fn get(&self, path: &str) -> io::Result<Answer> {
        self.ask("GET", path, None)
    }

    pub fn post(&self, path: &str, body: Value) -> io::Result<Answer> {
        self.ask("POST", path, Some(body))
    }

    /// One REST request on a connection of its own. An answer that did not come whole is none.
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> io::Result<Answer> {
        let mut stream = self.connect()?;
        stream.write_all(self.request(method, path, body).as_bytes())?;
        answer(&mut stream)
    }

    /// The bytes of one REST request.
    pub fn request(&self, method: &str, path: &str, body: Option<Value>) -> String {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let token = self.token.as_ref().map(|token| format!("Teleclaude-Session-Token: {token}\r\n"));
        format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{body}",
            body.len(),
            token.unwrap_or_default()
        )
    }

    /// A session's row, if it is there for this user.
    pub fn session(&self, id: &str) -> Option<Value> {
        let answer = self.get(&format!("/sessions/{id}")).ok()?;
        (answer.status == 200).then_some(answer.body)
    }

    /// Waits until a session is in this status; gives its row.
    pub fn until_status(&self, id: &str, status: &str) -> Value {
        let mut row = Value::Null;
        until(&format!("session {id} is {status}"), || {
            row = self.session(id).unwrap_or_default();
            row["status"] == status
        });
        row
    }

    /// All rows of a list that comes in pages.
    pub fn all(&self, path: &str, field: &str) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{joint}limit=100{cursor}")).unwrap();
            assert_eq!(page.status, 200, "{page:?}");
            rows.extend(page.body[field].as_array().unwrap().iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }

    /// An MCP connection, past `initialize`.
    pub fn mcp(&self) -> Mcp {
        let stream = self.connect().unwrap();
        let mut mcp = Mcp { reader: BufReader::new(stream), next: 0 };
        let meta = self.token.as_ref().map_or(json!({}), |token| json!({ "teleclaude/token": token }));
        let hello = mcp.ask(
            "initialize",
            json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": { "name": "test", "version": "0" }, "_meta": meta }),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "teleclaude", "{hello}");
        mcp.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        mcp
    }
}

/// Reads one HTTP answer to its end.
pub fn answer(stream: &mut UnixStream) -> io::Result<Answer> {
    let torn = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut bytes = Vec::new();
    stream.take(16 << 20).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| torn())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(torn)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(torn)?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let length = header("content-length").and_then(|n| n.parse::<usize>().ok()).ok_or_else(torn)?;
    if body.len() != length {
        return Err(torn());
    }
    let body = serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()));
    Ok(Answer { status, body })
}

/// A client that speaks lines of JSON.
pub struct Mcp {
    reader: BufReader<UnixStream>,
    next: u64,
}

impl Mcp {
    fn send(&mut self, message: &Value) {
        self.reader.get_mut().write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    /// One request; notifications that come in between are passed over.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "the connection stands");
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == id {
                return answer;
            }
        }
    }

    /// One tool's answer.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// The names of the tools that are listed.
    pub fn tools(&mut self) -> Vec<String> {
        let listed = self.ask("tools/list", json!({}));
        let tools = listed["result"]["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// Makes this one thread another user, for good. The C library would change all threads, so it is not asked.
#[cfg(target_os = "linux")]
fn become_user(uid: u32) -> io::Result<()> {
    let keep = -1_i64;
    // SAFETY: an empty list of groups is never read from.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0_usize, std::ptr::null::<libc::gid_t>()) };
    // SAFETY: plain numbers; it changes this thread's credentials and no memory.
    let group = unsafe { libc::syscall(libc::SYS_setresgid, i64::from(uid), i64::from(uid), keep) };
    // SAFETY: the same.
    let user = unsafe { libc::syscall(libc::SYS_setresuid, i64::from(uid), i64::from(uid), keep) };
    if groups == 0 && group == 0 && user == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn become_user(_uid: u32) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// An agent that counts for as long as it lives.
pub const COUNTER: &str = "  counter:
    enabled: true
    command: /bin/sh
    args: [-c, 'i=0; while :; do i=$((i+1)); echo count $i; sleep 0.05; done']
    profiles: { full: [], restricted: [] }
";

/// The numbers that an agent of [`COUNTER`] showed, by the recording.
pub fn counted(recording: &Path) -> Vec<u64> {
    let shown: String = teleclaude::host::recording::read(recording)
        .unwrap()
        .filter(|event| event.code == teleclaude::host::recording::Code::Output)
        .map(|event| event.data)
        .collect();
    let whole = shown.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.trim().strip_prefix("count ")?.parse().ok()).collect()
}

/// Panics unless these are 1, 2, 3 and so on, `least` of them or more.
pub fn assert_unbroken(numbers: &[u64], least: usize) {
    assert!(numbers.len() >= least, "only {} numbers", numbers.len());
    for (i, number) in numbers.iter().enumerate() {
        assert_eq!(*number, i as u64 + 1, "after {} numbers", i);
    }
}

#[test]
fn a_second_daemon_is_refused_by_socket_and_by_database_and_told_the_first() {
    let mut first = World::single("");
    first.up();
    let pid = first.pid();
    let by_socket = first.command(Path::new(EXE)).arg("daemon").output().unwrap();
    assert_eq!(by_socket.status.code(), Some(1), "{}", said(&by_socket));
    assert!(said(&by_socket).contains(&first.socket().display().to_string()), "{}", said(&by_socket));
    assert!(said(&by_socket).contains(&format!("pid {pid}")), "names the first: {}", said(&by_socket));
    let mut other = first.command(Path::new(EXE));
    other.arg("daemon").env("TELECLAUDE_SOCKET", "").env("XDG_RUNTIME_DIR", first.path("elsewhere"));
    fs::create_dir_all(first.path("elsewhere")).unwrap();
    let by_database = other.output().unwrap();
    assert_eq!(by_database.status.code(), Some(1), "{}", said(&by_database));
    let served = format!("computer `here` is already served by pid {pid} since ");
    assert!(said(&by_database).contains(&served), "{}", said(&by_database));
    // The first notices nothing.
    assert_eq!(first.me().get("/whoami").unwrap().body["role"], "admin");
    assert_eq!(first.pid(), pid);
}

#[tokio::test]
async fn a_database_newer_than_the_binary_is_refused_with_both_versions() {
    let mut world = World::single("");
    world.up();
    world.kill();
    let raw = world.database().await;
    raw.execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)")
        .await
        .unwrap();
    raw.close().await.unwrap();
    let refused = world.command(Path::new(EXE)).arg("daemon").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let text = said(&refused);
    let own = teleclaude::store::migrate::wanted();
    assert!(text.contains("m9999_later") && text.contains(&own), "{text}");
}

#[test]
fn a_wrong_config_is_refused_with_all_its_problems_and_their_places() {
    let world =
        World::single("sockett: /tmp/x\nlimits: { connections: many }\nroles:\n  member: { burst: -1 }\n");
    let refused = world.command(Path::new(EXE)).arg("daemon").output().unwrap();
    let text = said(&refused);
    assert_eq!(refused.status.code(), Some(2), "{text}");
    let file = world.config_path().display().to_string();
    for (line, key) in [(2, "sockett"), (3, "limits.connections"), (5, "roles.member.burst")] {
        let place = format!("{file}:{line}");
        assert!(text.lines().any(|l| l.contains(&place) && l.contains(key)), "{place} {key}: {text}");
    }
    assert!(!world.socket().exists() && !world.state().join("teleclaude.db").exists());
}

#[test]
fn the_socket_of_the_command_line_beats_the_config() {
    let mut world = World::single("");
    let named = world.path("named.sock");
    let log = File::create(world.path("log")).unwrap();
    let mut command = world.command(Path::new(EXE));
    command.arg("--socket").arg(&named).arg("daemon").stdout(Stdio::null()).stderr(log);
    world.child = Some(command.spawn().unwrap());
    let me = Asker { socket: named, uid: None, token: None };
    until("it listens where it was told to", || me.get("/health").is_ok());
    assert!(!world.socket().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_a_request_finish_and_leaves_sessions_alone() {
    let mut world = World::single(&format!("agents:\n{COUNTER}"));
    world.up();
    let me = world.me();
    let id = world.session(&me, "counter");
    let before = world.host(&id).unwrap();
    until("it counts", || counted(&world.recording(&id)).len() >= 5);
    // A request that waits: somebody else has the database's write lock.
    let raw = world.database().await;
    raw.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let mut waiting = me.connect().unwrap();
    let start = json!({ "project": world.project(), "agent": "counter", "client_id": "in flight" });
    let request = me.request("POST", "/sessions", Some(start));
    let request = request.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
    waiting.write_all(head.as_bytes()).unwrap();
    // Asked for the rest, it was begun.
    let mut go_on = [0; 25];
    waiting.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    waiting.write_all(body.as_bytes()).unwrap();
    world.signal(nix::sys::signal::Signal::SIGTERM);
    until("it takes no more connections", || me.connect().is_err());
    raw.execute_unprepared("COMMIT").await.unwrap();
    raw.close().await.unwrap();
    let started = answer(&mut waiting).unwrap();
    assert_eq!(started.status, 201, "{started:?}");
    assert!(world.ended().success(), "{}", world.log());
    assert!(process::is_alive(
        before.agent_pid.unwrap(),
        process::start_time(before.agent_pid.unwrap()).unwrap()
    ));
    world.up();
    let row = me.until_status(&id, "running");
    assert_eq!(row["session_id"], id);
    assert_eq!(world.host(&id).unwrap(), before, "the same host, the same agent");
    // What was promised in flight is done by the next daemon.
    let promised = started.body["session_id"].as_str().unwrap();
    me.until_status(promised, "running");
    let rows = me.all("/audit", "rows");
    let starts = rows.iter().filter(|row| row["action"] == "session.start" && row["session_id"] == promised);
    assert_eq!(starts.count(), 1);
    assert_eq!(rows.iter().filter(|row| row["action"] == "daemon.stop").count(), 1);
    for id in [&id, promised] {
        assert_eq!(me.post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
        assert_eq!(me.until_status(id, "ended")["status"], "ended");
    }
    assert_unbroken(&counted(&world.recording(&id)), 5);
}
