//! Processes that are measured: a daemon or a host or a floor in a home of its own, what the kernel says it used, and
//! its end. Each is ended by the pid we started it with.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Another build that is measured instead of the one made with this program.
pub static OTHER: OnceLock<PathBuf> = OnceLock::new();

/// The program.
pub fn exe() -> &'static Path {
    OTHER.get().map_or(Path::new(env!("CARGO_BIN_EXE_teleclaude")), PathBuf::as_path)
}

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with this value.
pub struct Process(pub Child);

impl Process {
    /// Its id.
    pub fn id(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// Asks it to end and waits; past the patience it is killed.
    pub fn stop(&mut self) {
        let _ = teleclaude::platform::process::send(self.id(), 15);
        let deadline = Instant::now() + Duration::from_secs(8);
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// A home folder in which nothing is configured.
pub struct Home(tempfile::TempDir);

impl Home {
    /// An empty one. Its path is short: it holds sockets.
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("tcb").tempdir_in("/tmp").unwrap())
    }

    /// A path below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where its daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.path("run/teleclaude.sock")
    }

    /// Its daemon's database.
    pub fn database(&self) -> PathBuf {
        self.path(".local/state/teleclaude/teleclaude.db")
    }

    /// The program, with an environment that knows this home and nothing else. The bounds that protect a daemon from
    /// one user are opened as far as they go: one user is all there is here.
    pub fn command(&self, word: &str) -> Command {
        std::fs::create_dir_all(self.path("run")).unwrap();
        private(&self.path("run"));
        let mut command = Command::new(exe());
        command.arg(word).env_clear().current_dir(self.0.path());
        command.env("HOME", self.0.path()).env("XDG_RUNTIME_DIR", self.path("run"));
        command
            .env("PATH", "/usr/bin:/bin")
            .env("TELECLAUDE_SYSTEM_MODE", "0")
            .env("TELECLAUDE_LOG", "error");
        for (name, value) in [
            ("LIMITS__CONNECTIONS_PER_UID", "4000"),
            ("LIMITS__IN_FLIGHT_PER_UID", "100000"),
            ("ROLES__ADMIN__REQUESTS_PER_MINUTE", "1000000000"),
            ("ROLES__ADMIN__BURST", "1000000000"),
        ] {
            command.env(format!("TELECLAUDE_{name}"), value);
        }
        command
    }

    /// A daemon that serves.
    pub async fn daemon(&self) -> Process {
        let mut command = self.command("daemon");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = Process(command.spawn().unwrap());
        crate::load::wait_for(&self.socket()).await;
        process
    }
}

/// Makes a folder ours alone.
pub fn private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// CPU time a process has used so far, its threads together; the kernel counts in steps of 10 ms.
pub fn cpu(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = &stat[stat.rfind(')').unwrap() + 2..];
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// A line of `/proc/PID/FILE` in KiB.
fn kib(pid: i32, file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Memory of a process that is resident, in KiB.
pub fn resident(pid: i32) -> f64 {
    kib(pid, "status", "VmRSS:")
}

/// The same, shared pages counted by their share.
pub fn proportional(pid: i32) -> f64 {
    kib(pid, "smaps_rollup", "Pss:")
}

/// What it has written to: the program's code, which every process of it shares, is left out.
pub fn written(pid: i32) -> f64 {
    kib(pid, "smaps_rollup", "Private_Dirty:")
}
