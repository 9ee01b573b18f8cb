//! A whole daemon in a temporary folder, without a process of its own, and people to ask it things: any uid can be
//! played, through the real mouths, on both databases. Its sentences: `Builder::on(db).person("ann", ANN, "admin")`,
//! `.start().await`, `world.rest(ANN).get("/whoami").await`, `world.tool(BOB, "whoami", json!({})).await`.

use crate::postgres::Db;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use teleclaude::config::load;
use teleclaude::config::paths::{Environment, Os};
use teleclaude::daemon::app::{App, Parts};
use teleclaude::daemon::front::Front;
use teleclaude::daemon::hosts::Hosts;
use teleclaude::daemon::{children, connection, docs as daemon_docs, effects, http, keys, life, people};
use teleclaude::domain::caller::Peer;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::{Clock, Options, Store};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// Uids that no test machine has.
pub const ANN: u32 = 3_000_001;
/// A member.
pub const BOB: u32 = 3_000_002;
/// Another member.
pub const CID: u32 = 3_000_003;
/// A contributor.
pub const DOT: u32 = 3_000_004;
/// A newcomer.
pub const EVE: u32 = 3_000_005;
/// Somebody nobody maps.
pub const STRANGER: u32 = 3_000_009;

/// Config that lets people run a shell: a plain one, since what a login shell reads is the machine's own affair.
pub const SHELL: &str = "agents: { shell: { enabled: true, command: /bin/sh } }";

const PATIENCE: Duration = Duration::from_secs(30);

/// What a world is to be.
pub struct Builder {
    db: Db,
    people: String,
    more: String,
    computer: String,
    folder: tempfile::TempDir,
}

/// A running daemon.
pub struct World {
    pub app: Arc<App>,
    front: Arc<Front>,
    mouth: http::Mouth,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Its database.
    pub db: Db,
    folder: tempfile::TempDir,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    pub body: Value,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (of, value) = line.split_once(": ")?;
            of.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Which of MCP's two ways of beginning a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// `initialize`, then requests.
    Initialize,
    /// Each request for itself, with `_meta`.
    Stateless,
}

/// Both.
pub const ERAS: [Era; 2] = [Era::Initialize, Era::Stateless];

impl World {
    /// With one person of each role, whose names are those of the roles: ann, bob and cid (members), dot, eve.
    pub fn everybody(db: Db) -> Builder {
        Builder::on(db)
            .person("ann", ANN, "admin")
            .person("bob", BOB, "member")
            .person("cid", CID, "member")
            .person("dot", DOT, "contributor")
            .person("eve", EVE, "newcomer")
    }
}

/// Where the shared documents of a world lie.
fn docs(root: &Path) -> PathBuf {
    root.join("usr/local/share/teleclaude/docs")
}

fn lay(folder: &Path, path: &str, front: &str, text: &str) -> PathBuf {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let kind = if front.contains("type:") { "" } else { "type: guide\n" };
    std::fs::write(&path, format!("---\n{kind}description: about it\n{front}\n---\n{text}\n")).unwrap();
    path
}

impl Builder {
    /// A world on this database, with nobody in it yet.
    pub fn on(db: Db) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { db, people: String::new(), more: String::new(), computer: "here".to_owned(), folder }
    }

    /// Adds a person, mapped by uid.
    pub fn person(mut self, name: &str, uid: u32, role: &str) -> Self {
        let _ = writeln!(self.people, "  - {{ name: {name}, os_uid: {uid}, role: {role} }}");
        self
    }

    /// As another machine than `here`.
    pub fn computer(mut self, name: &str) -> Self {
        name.clone_into(&mut self.computer);
        self
    }

    /// Adds to the config.
    pub fn config(mut self, yaml: &str) -> Self {
        self.more.push_str(yaml);
        self.more.push('\n');
        self
    }

    /// Lays a shared document down. `front` is the rest of its front matter, besides a description and a type.
    pub fn doc(self, path: &str, front: &str, text: &str) -> Self {
        lay(&docs(self.folder.path()), path, front, text);
        self
    }

    /// Starts it.
    pub async fn start(self) -> World {
        let Self { db, people, more, computer, folder } = self;
        let root = folder.path();
        for name in ["state", "run", "home", "project"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let people = if people.is_empty() { String::new() } else { format!("people:\n{people}") };
        let project = root.join("project").display().to_string();
        let yaml = format!(
            "{people}computer: {{ name: {computer} }}\nprojects:\n  - {{ name: work, path: {project} }}\n\
             sessions: {{ run_as: service }}\n{more}"
        );
        let config = root.join("config.yml");
        std::fs::write(&config, yaml).unwrap();
        let environment = Environment {
            vars: [
                ("TELECLAUDE_CONFIG_PATH".to_owned(), config.display().to_string()),
                ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ]
            .into(),
            home: root.join("home"),
            uid: 0,
            hostname: computer.clone(),
            os: Os::HERE,
            root: root.to_owned(),
            socket: None,
        };
        let mut loaded = load::load(&environment).unwrap_or_else(|problems| panic!("{problems}"));
        loaded.paths.state_dir = root.join("state");
        loaded.paths.run_dir = root.join("run");
        let clock: Clock = Arc::new(|| Timestamp::from(SystemTime::now()));
        let options = Options { engine: db.engine.clone(), computer, auto_migrate: true };
        let store = Store::open(options, Arc::clone(&clock)).await.unwrap();
        let (events, happened) = tokio::sync::mpsc::channel(64);
        let exe = PathBuf::from(env!("CARGO_BIN_EXE_teleclaude"));
        let hosts = Hosts::new(root.join("run"), root.join("state"), exe, events);
        let own_uid = users::get_current_uid();
        let app = App::new(Parts { store, loaded, environment, clock, hosts, own_uid }).await.unwrap();
        life::adopt(&app).await.unwrap();
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(life::run(Arc::clone(&app), happened, stop.clone())),
            tokio::spawn(effects::run(Arc::clone(&app), stop.clone())),
            tokio::spawn(children::run(Arc::clone(&app), stop.clone())),
            tokio::spawn(keys::run(Arc::clone(&app), stop.clone())),
            tokio::spawn(daemon_docs::run(Arc::clone(&app), stop.clone())),
            tokio::spawn(people::run(Arc::clone(&app), stop.clone())),
        ];
        let front = Arc::new(Front::new(
            Arc::<App>::clone(&app),
            Arc::clone(app.names()),
            Arc::clone(app.connections()),
        ));
        let mouth = http::Mouth::new(&front);
        World { app, front, mouth, stop, tasks, db, folder }
    }
}

impl World {
    /// Lays a shared document down, as [`Builder::doc`]; gives its path.
    pub fn doc(&self, path: &str, front: &str, text: &str) -> PathBuf {
        lay(&self.docs(), path, front, text)
    }

    /// The folder of the shared documents.
    pub fn docs(&self) -> PathBuf {
        docs(self.folder.path())
    }

    /// A folder of the test's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the config anew; `reload` reads it.
    pub fn rewrite_config(&self, change: impl FnOnce(String) -> String) {
        let path = self.path("config.yml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, change(text)).unwrap();
    }

    /// A connection of this uid's.
    pub fn connect(&self, uid: u32) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = Arc::new(Peer { uid, gid: uid, groups: vec![uid], pid: None, runner: None });
        let (front, mouth) = (Arc::clone(&self.front), self.mouth.clone());
        tokio::spawn(connection::serve(front, mouth, theirs, peer));
        ours
    }

    /// Asks over HTTP. `path` is below `/api/v1`; a body makes it JSON.
    pub async fn rest(&self, uid: u32, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.rest_with(uid, method, path, body, None).await
    }

    /// Asks over HTTP with a session token.
    pub async fn rest_with(
        &self,
        uid: u32,
        method: &str,
        path: &str,
        body: Option<Value>,
        token: Option<&str>,
    ) -> Answer {
        let token = token.map(|token| ("Teleclaude-Session-Token", token));
        self.rest_saying(uid, method, path, body, token.as_slice()).await
    }

    /// Asks over HTTP with these headers.
    pub async fn rest_saying(
        &self,
        uid: u32,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut stream = self.connect(uid);
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, async {
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        })
        .await
        .expect("no answer over HTTP");
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
    }

    /// Calls a tool over raw MCP in this era; the JSON-RPC answer.
    pub async fn call(&self, uid: u32, era: Era, tool: &str, arguments: Value) -> Value {
        let mut mcp = self.mcp(uid, era).await;
        mcp.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Calls a tool that must succeed; its structured content.
    pub async fn tool(&self, uid: u32, tool: &str, arguments: Value) -> Value {
        let answer = self.call(uid, Era::Initialize, tool, arguments).await;
        assert_ne!(answer["result"]["isError"], json!(true), "{tool}: {answer}");
        answer["result"]["structuredContent"].clone()
    }

    /// A raw MCP conversation.
    pub async fn mcp(&self, uid: u32, era: Era) -> Mcp {
        self.mcp_with(uid, era, None).await
    }

    /// The same with a session token, shown with each request.
    pub async fn mcp_with(&self, uid: u32, era: Era, token: Option<&str>) -> Mcp {
        self.mcp_that_can(uid, era, token, json!({})).await
    }

    /// The same with a client that has these capabilities.
    pub async fn mcp_that_can(&self, uid: u32, era: Era, token: Option<&str>, can: Value) -> Mcp {
        let token = token.map(str::to_owned);
        let mut mcp =
            Mcp { stream: BufReader::new(self.connect(uid)), era, token, can: can.clone(), next: 1 };
        if era == Era::Initialize {
            let client = json!({
                "protocolVersion": "2025-11-25", "capabilities": can,
                "clientInfo": { "name": "world", "version": "1" },
            });
            let answer = mcp.ask("initialize", client).await;
            assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
            mcp.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        }
        mcp
    }

    /// Starts a shell session of this uid's and waits until it runs; its id.
    pub async fn shell(&self, uid: u32) -> String {
        let answer =
            self.rest(uid, "POST", "/sessions", Some(json!({ "project": "work", "agent": "shell" }))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = answer.body["session_id"].as_str().unwrap().to_owned();
        self.until(uid, &id, |row| row["status"] == "running").await;
        id
    }

    /// Waits until a session's row is so.
    pub async fn until(&self, uid: u32, id: &str, so: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let row = self.rest(uid, "GET", &format!("/sessions/{id}"), None).await;
            if row.status == 200 && so(&row.body) {
                return row.body;
            }
            assert!(tokio::time::Instant::now() < deadline, "it never came to be so: {row:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it is written down that these uids were here.
    pub async fn until_seen(&self, uids: &[u32]) {
        for uid in uids {
            // Asking is being here.
            self.rest(*uid, "GET", "/whoami", None).await;
            let until = tokio::time::Instant::now() + PATIENCE;
            while teleclaude::store::person::by_uid(self.app.store().reader(), *uid).await.unwrap().is_none()
            {
                assert!(tokio::time::Instant::now() < until, "{uid} was never written down");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// The audit log as an admin sees it, newest first, without the rows about the log itself.
    pub async fn audit(&self) -> Vec<Value> {
        let answer = self.rest(ANN, "GET", "/audit?limit=100", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let rows = answer.body["rows"].as_array().unwrap().clone();
        rows.into_iter().filter(|r| r["action"] != "audit.read").collect()
    }

    /// Ends every session, then the daemon. Nothing of it is left, and the audit chain is whole.
    pub async fn end(mut self) {
        for session in
            self.rest(ANN, "GET", "/sessions?limit=100", None).await.body["sessions"].as_array().unwrap()
        {
            let id = session["session_id"].as_str().unwrap();
            let body = json!({ "reason": "the end of this test" });
            let answer = self.rest(ANN, "POST", &format!("/sessions/{id}/end"), Some(body)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            self.until(ANN, id, |row| row["status"] == "ended").await;
        }
        let verified = self.rest(ANN, "POST", "/audit/verify", None).await;
        assert_eq!(verified.body["ok"], json!(true), "{verified:?}");
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            task.await.unwrap();
        }
        self.app.store().close().await;
    }
}

/// A raw MCP conversation.
pub struct Mcp {
    stream: BufReader<UnixStream>,
    era: Era,
    token: Option<String>,
    can: Value,
    next: i64,
}

impl Mcp {
    /// Sends one message.
    pub async fn say(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.stream.get_mut().write_all(line.as_bytes()).await.unwrap();
    }

    /// Sends a request and waits for its answer; notifications in between are passed over.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params).await;
        loop {
            let message = self.hear().await;
            if message["id"] == json!(id) {
                return message;
            }
        }
    }

    /// Sends a request; gives its id.
    pub async fn begin(&mut self, method: &str, mut params: Value) -> i64 {
        let id = self.next;
        self.next += 1;
        if self.era == Era::Stateless {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": self.can,
                "io.modelcontextprotocol/clientInfo": { "name": "world", "version": "1" },
            });
        }
        if let Some(token) = &self.token {
            params["_meta"]["teleclaude/token"] = json!(token);
        }
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        id
    }

    /// The connection itself, for what the next answer's bytes are.
    pub fn into_stream(self) -> UnixStream {
        self.stream.into_inner()
    }

    /// The next message.
    pub async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await;
        read.expect("no answer over MCP").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }
}

/// A test that failed in the middle leaves no host behind. After `end` there is none.
impl Drop for World {
    fn drop(&mut self) {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("run")) else { return };
        for file in files.flatten().filter(|f| f.path().extension().is_some_and(|e| e == "json")) {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let run: Value = serde_json::from_str(&text).unwrap_or_default();
            for pid in ["pid", "agent_pid"].iter().filter_map(|key| run[*key].as_i64()).filter(|pid| *pid > 1)
            {
                let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}
