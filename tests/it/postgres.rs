//! A throwaway PostgreSQL cluster for a test, and running a test on both engines. The cluster is a copy of one that
//! was initialised once below target/, runs as a user that is not root, listens on a private socket only, syncs to
//! disk as a real one does, and ends with the value that holds it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail here")]

use secrecy::SecretString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::{Clock, Engine, Options, Store};
use teleclaude::store::error::StoreError;

/// The superuser of every throwaway cluster.
const USER: &str = "teleclaude_test";
/// Longest wait for a server to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, in a folder of its own.
pub struct Cluster {
    bin: PathBuf,
    folder: tempfile::TempDir,
    server: Option<Child>,
}

/// How to end a server.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// As an operator does: connections are ended, data is written.
    Fast,
    /// As a crash does: everything is dropped at once.
    Immediate,
}

impl Cluster {
    /// A new, empty cluster, running. Called from the test's own thread: on Linux the server ends with the thread
    /// that started it, so that a test that is killed leaves nothing behind.
    pub fn start() -> Self {
        let bin = binaries();
        let template = template(&bin);
        let folder = scratch();
        run(Command::new("cp").arg("-a").arg(&template).arg(folder.path().join("data")));
        own(folder.path());
        let mut cluster = Self { bin, folder, server: None };
        cluster.up();
        cluster
    }

    /// The URL of a database in it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@localhost/{database}?host={}", self.folder.path().display())
    }

    /// The socket it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// A new, empty database; gives its URL.
    pub fn database(&self, name: &str) -> String {
        run(self.tool("createdb").arg(name));
        self.url(name)
    }

    /// Starts a stopped server and waits until it serves.
    pub fn up(&mut self) {
        let data = self.folder.path().join("data");
        let log = File::create(self.folder.path().join("log")).unwrap();
        let mut command = as_other(&self.bin.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(self.folder.path());
        for setting in [
            "listen_addresses=",
            "fsync=on",
            "max_connections=60",
            "shared_buffers=16MB",
            "unix_socket_permissions=0700",
        ] {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).current_dir("/");
        self.server = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while !self.tool("pg_isready").stdout(Stdio::null()).status().unwrap().success() {
            let gone = self.server.as_mut().unwrap().try_wait().unwrap();
            if gone.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("postgres did not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server and waits until it is gone.
    pub fn down(&mut self, how: Stop) {
        let Some(mut server) = self.server.take() else { return };
        let signal = match how {
            Stop::Fast => nix::sys::signal::Signal::SIGINT,
            Stop::Immediate => nix::sys::signal::Signal::SIGQUIT,
        };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(server.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, signal);
        let deadline = Instant::now() + PATIENCE;
        while server.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = server.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One of the programs that come with it, as its superuser.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.arg("-h").arg(self.folder.path()).arg("-U").arg(USER);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.down(Stop::Immediate);
    }
}

/// Where the server's programs are; a machine without them cannot prove that both engines behave the same.
fn binaries() -> PathBuf {
    let mut places: Vec<PathBuf> =
        std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let mut found: Vec<PathBuf> =
            fs::read_dir(parent).into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
        found.sort();
        found.reverse();
        places.append(&mut found);
    }
    places
        .into_iter()
        .find(|bin| ["initdb", "postgres", "createdb", "pg_isready"].iter().all(|name| bin.join(name).exists()))
        .expect("initdb and postgres are needed: install the package `postgresql` (Debian, Fedora: postgresql-server; Homebrew: postgresql@17)")
}

/// An initialised data folder that is copied for each cluster; made once for each server version.
fn template(bin: &Path) -> PathBuf {
    let version = Command::new(bin.join("postgres")).arg("--version").output().unwrap().stdout;
    let version: String =
        String::from_utf8_lossy(&version).chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let user = if nix::unistd::geteuid().is_root() { "other" } else { "self" };
    let shelf = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(shelf).unwrap();
    let template = shelf.join(format!("postgres-{version}-{user}"));
    let guard = File::create(shelf.join("postgres.lock")).unwrap();
    guard.lock().unwrap();
    if !template.exists() {
        let folder = scratch();
        let data = folder.path().join("data");
        let mut initdb = as_other(&bin.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8"]);
        initdb.args(["--locale=C"]).current_dir("/").stdout(Stdio::null());
        run(&mut initdb);
        let half = shelf.join(format!("postgres-{version}-{user}.half"));
        let _ = fs::remove_dir_all(&half);
        run(Command::new("cp").arg("-a").arg(&data).arg(&half));
        fs::rename(&half, &template).unwrap();
    }
    template
}

/// A folder with a short path (a socket's path is limited) that the server's user may use.
fn scratch() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("tcpg").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    own(folder.path());
    folder
}

/// Whom the server runs as: it refuses root.
fn other() -> Option<nix::unistd::User> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = ["postgres", "_postgres", "nobody"]
        .into_iter()
        .find_map(|name| nix::unistd::User::from_name(name).unwrap());
    Some(user.expect("root cannot run postgres, and there is no user postgres or nobody"))
}

fn own(folder: &Path) {
    if let Some(user) = other() {
        nix::unistd::chown(folder, Some(user.uid), Some(user.gid)).unwrap();
    }
}

/// A command that runs as that user and, where the system can, ends with this test.
fn as_other(program: &Path) -> Command {
    let user = other();
    if cfg!(target_os = "linux") {
        let mut command = Command::new("setpriv");
        if let Some(user) = user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
            command.arg("--clear-groups");
        }
        command.arg("--pdeathsig=QUIT").arg(program);
        return command;
    }
    let mut command = Command::new(program);
    if let Some(user) = user {
        use std::os::unix::process::CommandExt;
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A moment that all tests agree on, in microseconds: nothing in a test reads the real clock.
pub const NOW: i64 = 1_795_271_509_123_456;

/// An empty database for one test.
pub struct Db {
    /// How to open it.
    pub engine: Engine,
    /// The server, if it is one.
    pub cluster: Option<Cluster>,
    folder: tempfile::TempDir,
}

impl Db {
    /// An empty SQLite database that is not there yet.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teleclaude.db");
        Self { engine: Engine::Sqlite { path, synchronous_full: true }, cluster: None, folder }
    }

    /// An empty database on a server of its own.
    pub fn postgres() -> Self {
        let cluster = Cluster::start();
        let url = SecretString::from(cluster.database("teleclaude"));
        Self {
            engine: Engine::Postgres { url },
            cluster: Some(cluster),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A database on a server that is there, opened like this.
    pub fn on(cluster: Cluster, engine: Engine) -> Self {
        Self { engine, cluster: Some(cluster), folder: tempfile::tempdir().unwrap() }
    }

    /// The same database, for a daemon beside the one that has this. Lives no longer than it.
    pub fn beside(&self) -> Self {
        Self { engine: self.engine.clone(), cluster: None, folder: tempfile::tempdir().unwrap() }
    }

    /// The test's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on the database takes no audit row, as if its log had broken.
    pub async fn refuse_audit_rows(&self) {
        use sea_orm::ConnectionTrait as _;
        let (url, sql) = match &self.engine {
            Engine::Sqlite { path, .. } => (
                format!("sqlite://{}", path.display()),
                "CREATE TRIGGER broken BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'broken'); END",
            ),
            Engine::Postgres { url } => (
                secrecy::ExposeSecret::expose_secret(url).to_owned(),
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'broken'; END $$; \
                 CREATE TRIGGER broken BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION broken()",
            ),
        };
        let conn = sea_orm::Database::connect(url).await.unwrap();
        conn.execute_unprepared(sql).await.unwrap();
        conn.close().await.unwrap();
    }

    /// Opens it as the computer `here`.
    pub async fn open(&self) -> Store {
        self.open_as("here").await.unwrap()
    }

    /// Opens it as another computer.
    pub async fn open_as(&self, computer: &str) -> Result<Store, StoreError> {
        let computer = computer.to_owned();
        Store::open(Options { engine: self.engine.clone(), computer, auto_migrate: true }, clock()).await
    }
}

/// A clock that stands still.
pub fn clock() -> Clock {
    Arc::new(|| Timestamp::from_micros(NOW))
}

/// Runs a test on an empty SQLite database, then on an empty PostgreSQL one.
pub async fn on_both(test: impl AsyncFn(Db)) {
    test(Db::sqlite()).await;
    test(Db::postgres()).await;
}
