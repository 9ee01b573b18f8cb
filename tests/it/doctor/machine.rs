//! A made-up machine below a temporary folder, sound from the beginning, on which tests plant one fault at a time.
//! Files, owners and modes are real, and so are the daemon's socket and the users that agents are tried as; accounts,
//! groups, the service manager and the disks are told.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use teleclaude::config::paths::{Environment, Os};
use teleclaude::daemon::database;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::install::doctor::system::{System, Who, run_as};
use teleclaude::install::doctor::{Report, examine};
use teleclaude::platform::account::{Account, Group};
use teleclaude::platform::command::Output;
use teleclaude::platform::volume::Volume;
use teleclaude::store::connect::{Engine, migrate_now};

/// An admin.
pub const ANN: u32 = 3_000_001;
/// A member.
pub const BOB: u32 = 3_000_002;
/// The service user.
pub const SERVICE: u32 = 3_000_100;
/// A group that ann is in.
pub const DEVS: u32 = 3_000_200;

/// 2026-11-21T12:00:00Z.
pub const NOW: i64 = 1_795_262_400_000_000;

const CONFIG: &str = "computer: { name: here }
people:
  - { name: ann, os_username: ann, role: admin }
  - { name: bob, os_uid: 3000002, role: member }
  - { name: developers, os_group: devs, role: contributor }
projects:
  - { name: work, path: ROOT/srv/work }
agents:
  path: [~/.local/bin, ROOT/usr/bin]
  codex: { enabled: false }
  gemini: { enabled: false }
access: { deny: [bob2] }
runner: { group: devs }
";

const UNITS: &str = "Id=teleclaude.socket
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=teleclaude.service
LoadState=loaded
ActiveState=active
UnitFileState=disabled
NeedDaemonReload=no
ExecStart={ path=ROOT/usr/bin/teleclaude ; argv[]=ROOT/usr/bin/teleclaude daemon ; ignore_errors=no ; pid=7 }
LimitNOFILE=16384
LimitNOFILESoft=16384

Id=teleclaude-runner.socket
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=teleclaude-runner@doctor.service
LoadState=loaded
ActiveState=inactive
UnitFileState=static
NeedDaemonReload=no
ExecStart={ path=ROOT/usr/bin/teleclaude-runner ; argv[]=ROOT/usr/bin/teleclaude-runner ; ignore_errors=no }
";

/// What the made-up daemon answers; nothing for a daemon that hangs.
#[derive(Clone, Debug)]
pub struct Answers {
    pub whoami: Value,
    pub health: Value,
    pub silent: bool,
}

/// The machine.
pub struct Machine {
    folder: tempfile::TempDir,
    pub uid: u32,
    pub os: Os,
    pub vars: BTreeMap<String, String>,
    pub now: Timestamp,
    pub users: Vec<Account>,
    pub groups: BTreeMap<String, Group>,
    /// What commands say, by their first two words.
    pub said: BTreeMap<String, String>,
    pub volume: Volume,
    pub open_files: u64,
    pub answers: Arc<Mutex<Answers>>,
}

fn account(name: &str, uid: u32, groups: &[u32], home: PathBuf, shell: &str) -> Account {
    Account { name: name.to_owned(), uid, groups: groups.to_vec(), home, shell: PathBuf::from(shell) }
}

impl Machine {
    /// One in system mode. Root only: it makes files of several users.
    pub fn system() -> Self {
        let mut m = Self::bare();
        for dir in [
            "etc/teleclaude",
            "usr/bin",
            "var/lib",
            "run/systemd/journal",
            "home/ann",
            "home/bob",
            "srv/work",
            "usr/local/share/teleclaude/docs",
        ] {
            m.folder_at(dir);
        }
        for dir in ["var/lib/teleclaude", "var/lib/teleclaude/recordings"] {
            m.folder_at(dir);
            m.own(dir, SERVICE);
            m.mode(dir, 0o700);
        }
        m.folder_at("run/teleclaude");
        m.own("run/teleclaude", SERVICE);
        m.mode("run/teleclaude", 0o750);
        symlink(m.at("run"), m.at("var/run")).unwrap();
        m.own("home/ann", ANN);
        m.own("home/bob", BOB);
        m.mode("home/ann", 0o700);
        m.mode("srv/work", 0o777);
        m.write("etc/teleclaude/config.yml", &CONFIG.replace("ROOT", &m.root()));
        m.write("run/systemd/journal/socket", "");
        for program in ["teleclaude", "teleclaude-runner", "claude"] {
            m.write(&format!("usr/bin/{program}"), "");
            m.mode(&format!("usr/bin/{program}"), 0o755);
        }
        fs::write(m.at("var/lib/teleclaude/teleclaude.db"), empty_database()).unwrap();
        m.own("var/lib/teleclaude/teleclaude.db", SERVICE);
        m.mode("var/lib/teleclaude/teleclaude.db", 0o600);
        m.listen("run/teleclaude-runner.sock", 0o600, None);
        m.own("run/teleclaude-runner.sock", SERVICE);
        m.listen("run/teleclaude.sock", 0o666, None);
        m.users.push(account("teleclaude", SERVICE, &[SERVICE], "/nonexistent".into(), "/usr/sbin/nologin"));
        m.groups.insert("devs".to_owned(), Group { gid: DEVS, members: vec!["ann".to_owned()] });
        m.said.insert("systemctl show".to_owned(), UNITS.replace("ROOT", &m.root()));
        m.said.insert("systemctl cat".to_owned(), "LoadCredential=secrets.yml:/etc/x\n".to_owned());
        m
    }

    /// One in system mode with the layout of macOS.
    pub fn mac() -> Self {
        let mut m = Self::system();
        m.os = Os::MacOs;
        m.config("runner:", "log: { target: stderr }\nrunner:");
        for (from, to) in [
            ("etc/teleclaude", "usr/local/etc/teleclaude"),
            ("var/lib/teleclaude", "usr/local/var/lib/teleclaude"),
            ("run/teleclaude", "usr/local/var/run/teleclaude"),
            ("run/teleclaude-runner.sock", "usr/local/var/run/teleclaude-runner.sock"),
        ] {
            m.folder_at(Path::new(to).parent().unwrap().to_str().unwrap());
            fs::rename(m.at(from), m.at(to)).unwrap();
        }
        for label in ["ai.instrukt.teleclaude", "ai.instrukt.teleclaude-runner"] {
            m.write(&format!("Library/LaunchDaemons/{label}.plist"), "");
        }
        m.user("teleclaude").name = "_teleclaude".to_owned();
        m.said = BTreeMap::from([("launchctl print".to_owned(), "system/… = {}\n".to_owned())]);
        m
    }

    /// One in single-user mode, with a daemon running.
    pub fn single_user() -> Self {
        let mut m = Self::bare();
        for dir in ["home/me/.local/bin", "home/me/.config/teleclaude", "run/user", "bin"] {
            m.folder_at(dir);
        }
        for dir in ["run/user", "home/me"] {
            m.mode(dir, 0o700);
        }
        for program in ["home/me/.local/bin/claude", "bin/shell", "bin/codex", "bin/gemini"] {
            m.write(program, "");
            m.mode(program, 0o755);
        }
        m.users.push(account("me", 0, &[0], m.at("home/me"), &m.at("bin/shell").display().to_string()));
        m.vars.insert("XDG_RUNTIME_DIR".to_owned(), m.at("run/user").display().to_string());
        m.vars.insert("PATH".to_owned(), m.at("bin").display().to_string());
        m.vars.insert("TELECLAUDE_SYSTEM_MODE".to_owned(), "0".to_owned());
        m.folder_at("home/me/.local/state/teleclaude");
        m.mode("home/me/.local/state/teleclaude", 0o700);
        let database = "home/me/.local/state/teleclaude/teleclaude.db";
        fs::write(m.at(database), empty_database()).unwrap();
        m.mode(database, 0o600);
        m.listen("run/user/teleclaude.sock", 0o600, None);
        let mut answers = m.answers.lock().unwrap();
        answers.whoami["single_user"] = json!(true);
        answers.whoami["mode"] = json!("single-user");
        drop(answers);
        m
    }

    fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers {
            whoami: json!({
                "person": "ann", "role": "admin", "os_username": "ann", "uid": ANN, "gid": ANN, "groups": [],
                "mode": "system", "single_user": false, "may": [],
                "rule": { "text": "person \"ann\" by os_username", "origin": "config.yml:3" }
            }),
            health: json!({ "status": "ok", "detail": {
                "version": env!("CARGO_PKG_VERSION"), "computer": "here", "database": "sqlite",
                "uptime_seconds": 1, "connections": 1, "sessions": 0, "problems": []
            } }),
            silent: false,
        };
        let users = vec![
            account("ann", ANN, &[ANN, DEVS], folder.path().join("home/ann"), "/bin/sh"),
            account("bob", BOB, &[BOB], folder.path().join("home/bob"), "/bin/sh"),
            account("bob2", BOB + 1, &[BOB], folder.path().join("home/bob2"), "/bin/sh"),
            account("daemon", 3, &[3], "/".into(), "/bin/sh"),
        ];
        let m = Self {
            folder,
            uid: 0,
            os: Os::Linux,
            vars: BTreeMap::new(),
            now: Timestamp::from_micros(NOW),
            users,
            groups: BTreeMap::new(),
            said: BTreeMap::from([("timedatectl show".to_owned(), "yes\n".to_owned())]),
            volume: Volume {
                free_bytes: 1 << 40,
                total_bytes: 1 << 41,
                free_files: Some(1 << 30),
                network: None,
            },
            open_files: 1 << 20,
            answers: Arc::new(Mutex::new(answers)),
        };
        m.mode("", 0o755);
        for dir in ["tmp", "proc/self", "proc/sys/kernel", "etc"] {
            m.folder_at(dir);
        }
        m.write("proc/self/uid_map", "         0          0 4294967295\n");
        m.write("proc/sys/kernel/overflowuid", "65534\n");
        m.write("etc/login.defs", "# a comment\nUID_MIN\t\t 1000\nUID_MAX 60000\n");
        m
    }

    /// The root as text.
    pub fn root(&self) -> String {
        self.folder.path().display().to_string()
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn folder_at(&self, path: &str) {
        let mut at = self.folder.path().to_owned();
        for part in Path::new(path) {
            at.push(part);
            if !at.exists() {
                fs::create_dir(&at).unwrap();
                fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn own(&self, path: &str, uid: u32) {
        chown(self.at(path), Some(uid), Some(uid)).unwrap();
    }

    /// Writes a file of root's with mode 0644, and the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        if let Some(parent) = Path::new(path).parent() {
            self.folder_at(parent.to_str().unwrap());
        }
        fs::write(self.at(path), text).unwrap();
        self.mode(path, 0o644);
    }

    pub fn remove(&self, path: &str) {
        let at = self.at(path);
        if at.is_dir() { fs::remove_dir_all(at).unwrap() } else { fs::remove_file(at).unwrap() }
    }

    /// Changes the config: the first occurrence of `from` becomes `to`, in which `ROOT` is the machine's root.
    pub fn config(&self, from: &str, to: &str) {
        let root = self.root();
        let path = self.at("etc/teleclaude/config.yml");
        let text = fs::read_to_string(&path).unwrap();
        let from = from.replace("ROOT", &root);
        assert!(text.contains(&from), "{from} is not in the config");
        fs::write(&path, text.replacen(&from, &to.replace("ROOT", &root), 1)).unwrap();
    }

    /// Changes what a command says.
    pub fn says(&mut self, command: &str, from: &str, to: &str) {
        let text = self.said.get_mut(command).unwrap();
        assert!(text.contains(from), "{from} is not in what {command} says");
        *text = text.replacen(from, to, 1);
    }

    pub fn user(&mut self, name: &str) -> &mut Account {
        self.users.iter_mut().find(|u| u.name == name).unwrap()
    }

    /// Listens there in place of whoever did, as this uid, and answers as a daemon does.
    pub fn listen(&self, path: &str, mode: u32, uid: Option<u32>) {
        let at = self.at(path);
        let _ = fs::remove_file(&at);
        let answers = Arc::clone(&self.answers);
        let (tell, bound) = std::sync::mpsc::channel();
        let here = at.clone();
        std::thread::spawn(move || {
            let (listener, parent) = (UnixListener::bind(&here).unwrap(), here);
            if let Some(uid) = uid {
                fs::set_permissions(parent, fs::Permissions::from_mode(0o777)).unwrap();
                listen_as(&listener, uid);
            }
            tell.send(()).unwrap();
            for stream in listener.incoming().flatten() {
                let answers = Arc::clone(&answers);
                std::thread::spawn(move || answer(stream, &answers));
            }
        });
        bound.recv().unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What the doctor finds.
    pub fn examine(&self, only: &[&str]) -> Report {
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        // Long enough for the slowest machine: what is late is another test's affair.
        examine(self.value(), &only, Duration::from_secs(60), &mut |_| {})
    }

    /// The machine as the doctor sees it.
    pub fn value(&self) -> System {
        let (users, groups, said, volume) =
            (self.users.clone(), self.groups.clone(), self.said.clone(), self.volume);
        System {
            environment: Environment {
                vars: self.vars.clone(),
                home: self.at("home/me"),
                uid: self.uid,
                hostname: "here".to_owned(),
                os: self.os,
                root: self.folder.path().to_owned(),
                socket: None,
            },
            now: self.now,
            exe: self.at("usr/bin/teleclaude"),
            open_files: self.open_files,
            account: Arc::new(move |who| {
                let is = |user: &&Account| match who {
                    Who::Name(name) => user.name == name,
                    Who::Uid(uid) => user.uid == uid,
                };
                users.iter().find(is).cloned()
            }),
            group: Arc::new(move |name| groups.get(name).cloned()),
            run: Arc::new(move |argv| {
                let text = said.get(&argv[..2].join(" "))?.clone();
                Some(Output { success: true, text })
            }),
            run_as: Arc::new(run_as),
            database: database::options,
            volume: Arc::new(move |_| Ok(volume)),
        }
    }
}

/// A database that was just made, as bytes.
fn empty_database() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teleclaude.db");
        let engine = Engine::Sqlite { path: path.clone(), synchronous_full: false };
        let made = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(migrate_now(engine, "here", Timestamp::from_micros(NOW))).unwrap();
        });
        made.join().unwrap();
        assert!(!folder.path().join("teleclaude.db-wal").exists(), "everything is in the file");
        fs::read(path).unwrap()
    })
}

/// Makes the kernel believe that another user listens: it notes who called `listen`, which may be called again.
#[cfg(target_os = "linux")]
fn listen_as(listener: &UnixListener, uid: u32) {
    use std::os::fd::AsRawFd;
    // SAFETY: plain numbers; they change this one thread's credentials and the queue of a socket that is open.
    let failed = unsafe {
        libc::syscall(libc::SYS_setresuid, i64::from(uid), i64::from(uid), -1_i64)
            | i64::from(libc::listen(listener.as_raw_fd(), 8))
    };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

#[cfg(not(target_os = "linux"))]
fn listen_as(_listener: &UnixListener, _uid: u32) {}

fn answer(stream: UnixStream, answers: &Mutex<Answers>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or(0) > 0 && line != "\r\n" {
            if first.is_empty() {
                first.clone_from(&line);
            }
            line.clear();
        }
        let answers = answers.lock().unwrap().clone();
        if first.is_empty() {
            return;
        }
        if answers.silent {
            // Until the client gives up: its end closes then.
            let _ = reader.read_line(&mut line);
            return;
        }
        let body = if first.contains("/whoami") { answers.whoami } else { answers.health }.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if reader.get_mut().write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}
