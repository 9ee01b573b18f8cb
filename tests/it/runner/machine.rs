//! A machine for the runner without touching this one: in a mount namespace of the test's own thread lie two people,
//! their homes, a project and a config of root's. The runner is the built binary; the service manager is the test,
//! which accepts a connection and starts a runner with it. Everything here is the test's thread's: use it there.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::process::{PATIENCE, until};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;
use teleclaude::domain::session::{Profile, SessionId, ThinkingMode};
use teleclaude::runner::client::Connection;
use teleclaude::runner::message::{Exited, Native, Order, Place, Reply, Request, Run};
use uuid::Uuid;

pub const ANN: u32 = 4_242_001;
pub const BOB: u32 = 4_242_002;
/// Nobody whom the config maps.
pub const EVE: u32 = 4_242_003;
pub const SERVICE: u32 = 4_242_900;
/// A group that ann is in besides her own.
pub const PROJ: u32 = 4_242_500;
/// Where everything is; a file system of its own, root's all the way.
pub const AT: &str = "/mnt";

/// The config of every machine; agents that a test wants come after it.
const CONFIG: &str = "socket: /mnt/daemon.sock
computer: { name: here }
people:
  - { name: ann, os_uid: 4242001, role: member }
  - { name: bob, os_uid: 4242002, role: member }
projects:
  - { name: shop, path: /mnt/shop }
  - { name: plain, path: /mnt/plain, worktrees: false }
agents:
  default: sh
  path: [~/bin, /usr/local/bin, /usr/bin, /bin]
  claude: { enabled: true, command: 'no-such-claude', profiles: { full: [], restricted: [] }, transcript: claude }
  off: { enabled: false, command: /bin/sh, profiles: { full: [] } }
  sh:
    enabled: true
    command: sh
    profiles: { full: [] }
    models: { slow: [-i] }
    env: [API_KEY]
";

pub struct Machine {
    listener: UnixListener,
}

/// A call that was begun.
pub struct Call {
    pub connection: Option<Connection>,
    pub runner: Child,
}

/// The master end of a terminal, and what came out of it.
pub struct Terminal {
    master: File,
    said: String,
    pub slave: Option<OwnedFd>,
}

/// Whether a machine can be made here: that takes root.
pub fn can_be_made(test: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    let _ = writeln!(io::stderr(), "{test}: needs root to make users of its own; not shown here");
    false
}

impl Machine {
    /// A machine with agents besides those of every machine: lines of YAML, two blanks in.
    pub fn new(agents: &str) -> Self {
        own_mounts();
        mount("tmpfs", AT, "tmpfs", 0, "mode=755");
        mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777");
        let accounts = format!(
            "ann:x:{ANN}:{ANN}:Ann:/mnt/home/ann:/bin/sh\nbob:x:{BOB}:{BOB}::/mnt/home/bob:/bin/sh\neve:x:{EVE}:{EVE}::/mnt/home/eve:/bin/sh\nservice:x:{SERVICE}:{SERVICE}::/:/usr/sbin/nologin\n"
        );
        let groups =
            format!("ann:x:{ANN}:\nbob:x:{BOB}:\neve:x:{EVE}:\nservice:x:{SERVICE}:\nproj:x:{PROJ}:ann\n");
        for (file, more) in [("passwd", accounts), ("group", groups)] {
            let whole = fs::read_to_string(format!("/etc/{file}")).unwrap();
            fs::write(format!("{AT}/{file}"), whole + &more).unwrap();
            mount(&format!("{AT}/{file}"), &format!("/etc/{file}"), "", libc::MS_BIND, "");
        }
        fs::create_dir(format!("{AT}/home")).unwrap();
        for (folder, uid) in [
            ("home/ann", ANN),
            ("home/bob", BOB),
            ("home/eve", EVE),
            ("shop", ANN),
            ("plain", BOB),
            ("etc", 0),
        ] {
            let path = format!("{AT}/{folder}");
            fs::create_dir(&path).unwrap();
            own(&path, uid);
            fs::set_permissions(&path, Permissions::from_mode(if uid == 0 { 0o755 } else { 0o700 })).unwrap();
        }
        let listener = UnixListener::bind(format!("{AT}/runner.sock")).unwrap();
        fs::set_permissions(format!("{AT}/runner.sock"), Permissions::from_mode(0o666)).unwrap();
        let machine = Self { listener };
        machine.configure(&format!("{CONFIG}{agents}"));
        machine
    }

    /// Writes the config anew.
    pub fn configure(&self, text: &str) {
        fs::write(format!("{AT}/etc/config.yml"), text).unwrap();
    }

    /// Changes the config.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let before = fs::read_to_string(format!("{AT}/etc/config.yml")).unwrap();
        assert!(before.contains(from), "{before}");
        self.configure(&before.replace(from, to));
    }

    /// A request as the service user.
    pub fn ask(&self, request: &Request, descriptor: Option<BorrowedFd<'_>>) -> Call {
        self.ask_as(SERVICE, request, descriptor)
    }

    /// A request as somebody.
    pub fn ask_as(&self, uid: u32, request: &Request, descriptor: Option<BorrowedFd<'_>>) -> Call {
        let path = format!("{AT}/runner.sock");
        let connection = as_user(uid, || Connection::ask(Path::new(&path), request, descriptor)).unwrap();
        Call { connection: Some(connection), runner: self.start() }
    }

    /// A connection as the service user, on which nothing was said yet.
    pub fn connect(&self) -> (UnixStream, Child) {
        let stream = as_user(SERVICE, || UnixStream::connect(format!("{AT}/runner.sock"))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        (stream, self.start())
    }

    /// What the service manager does for each connection. The environment would mislead a runner that believed it.
    pub fn start(&self) -> Child {
        let (stream, _) = self.listener.accept().unwrap();
        let log = File::options().create(true).append(true).open(format!("{AT}/log")).unwrap();
        let mut runner = Command::new(env!("CARGO_BIN_EXE_teleclaude-runner"));
        confine(&mut runner);
        runner
            .args(["--config", "/mnt/etc/config.yml", "--run-dir", "/mnt/run"])
            .args(["--service-user", &SERVICE.to_string()])
            .env_clear()
            .env("HOME", "/root")
            .env("TELECLAUDE_CONFIG_PATH", "/nowhere")
            .env("TELECLAUDE_SESSIONS__RUN_AS", "service")
            .env("API_KEY", "of the runner")
            .current_dir("/")
            .stdin(OwnedFd::from(stream))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// What the runners logged.
    pub fn log(&self) -> String {
        fs::read_to_string(format!("{AT}/log")).unwrap_or_default()
    }

    /// A run on a terminal, which has begun.
    pub fn run(&self, run: Run) -> (Call, Terminal, i32) {
        let terminal = Terminal::open(SERVICE);
        let mut call = self.ask(&Request::Run(run), terminal.slave.as_ref().map(AsFd::as_fd));
        match call.reply() {
            Reply::Started { pid } => (call, terminal.handed_over(), pid),
            other => panic!("{other:?}: {}", self.log()),
        }
    }

    /// The answer to a run that does not begin.
    pub fn no_run(&self, run: Run) -> Reply {
        let terminal = Terminal::open(SERVICE);
        self.ask(&Request::Run(run), terminal.slave.as_ref().map(AsFd::as_fd)).reply()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(io::stderr(), "the runners' log:\n{}", self.log());
        }
    }
}

impl Call {
    /// The next answer.
    pub fn reply(&mut self) -> Reply {
        self.opened().0
    }

    /// The next answer with its descriptor.
    pub fn opened(&mut self) -> (Reply, Option<OwnedFd>) {
        self.connection.as_mut().unwrap().wait(Instant::now() + PATIENCE).unwrap()
    }

    pub fn order(&mut self, order: Order) {
        self.connection.as_mut().unwrap().order(order).unwrap();
    }

    /// Closes the connection and gives the runner's exit status.
    pub fn close(&mut self) -> ExitStatus {
        self.connection = None;
        ended(&mut self.runner)
    }

    /// Waits for the run's end.
    pub fn exited(&mut self) -> Exited {
        match self.reply() {
            Reply::Exited(exited) => {
                assert_eq!(self.reply(), Reply::Gone);
                assert_eq!(ended(&mut self.runner).code(), Some(0));
                exited
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The runner ends its tree when the connection ends.
        self.connection = None;
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.runner.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.runner.kill();
        let _ = self.runner.wait();
    }
}

/// Waits for a runner's end.
pub fn ended(runner: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the runner ends", || {
        status = runner.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

impl Terminal {
    /// A new one, whose slave end belongs to `uid` as if they had opened it.
    pub fn open(uid: u32) -> Self {
        let ends = nix::pty::openpty(None, None).unwrap();
        for end in [&ends.master, &ends.slave] {
            use nix::fcntl::{FcntlArg, FdFlag, fcntl};
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(&ends.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR)).unwrap();
        nix::unistd::fchown(&ends.slave, Some(uid.into()), None).unwrap();
        Self { master: ends.master.into(), said: String::new(), slave: Some(ends.slave) }
    }

    /// As a host keeps it: without the slave end.
    fn handed_over(mut self) -> Self {
        self.slave = None;
        self
    }

    pub fn enter(&mut self, line: &str) {
        self.master.write_all(line.as_bytes()).unwrap();
        self.master.write_all(b"\n").unwrap();
    }

    /// Waits until a text came out; gives everything that came out.
    pub fn until(&mut self, text: &str) -> &str {
        until(&format!("the terminal says {text:?}"), || {
            let mut chunk = [0; 4_096];
            while let Ok(read @ 1..) = self.master.read(&mut chunk) {
                self.said.push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
            self.said.contains(text)
        });
        &self.said
    }
}

/// A run of ann's in the project, by an interactive shell.
pub fn shell() -> Run {
    Run {
        place: Place { uid: ANN, session: SessionId(Uuid::now_v7()), project: "shop".to_owned() },
        subdir: None,
        worktree: false,
        agent: "sh".to_owned(),
        profile: Profile::Full,
        thinking: ThinkingMode::Slow,
        native: Native::New(Uuid::nil()),
        token: "not-a-real-token".to_owned(),
        values: vec![("API_KEY".to_owned(), "invented-value".to_owned())],
    }
}

/// A run of another agent.
pub fn agent(name: &str) -> Run {
    Run { agent: name.to_owned(), values: Vec::new(), ..shell() }
}

/// Writes a file that belongs to somebody.
pub fn write(path: &str, uid: u32, text: &str) {
    fs::write(path, text).unwrap();
    own(path, uid);
}

/// Makes folders that belong to somebody.
pub fn folder(path: &str, uid: u32) {
    if !Path::new(path).exists() {
        folder(path.rsplit_once('/').unwrap().0, uid);
        fs::create_dir(path).unwrap();
        own(path, uid);
    }
}

pub fn own(path: &str, uid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(uid)).unwrap();
}

/// Runs a program as somebody, in a folder; it must succeed.
pub fn run_as(uid: u32, folder: &str, line: &str) {
    use std::os::unix::process::CommandExt;
    let home = if uid == ANN { "/mnt/home/ann" } else { "/mnt/home/bob" };
    let mut command = Command::new("/bin/sh");
    command.args(["-ec", line]).uid(uid).gid(uid).current_dir(folder).env_clear();
    let output = command.env("HOME", home).env("PATH", "/usr/local/bin:/usr/bin:/bin").output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What lies in `/tmp`.
pub fn tmp_dirs() -> Vec<String> {
    let entries = fs::read_dir("/tmp").unwrap().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// The process group in the foreground of a process's terminal.
pub fn foreground(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(5).unwrap().parse().unwrap()
}

/// Whether a process lives.
pub fn lives(pid: i32) -> bool {
    teleclaude::platform::process::start_time(pid).is_some()
}

pub fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid), signal).unwrap();
}

/// Does something as another user: in a thread, which is that user from then on.
pub fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user(uid);
            work()
        });
        thread.join().unwrap()
    })
}

/// The C library would change all threads, so it is not asked.
fn become_user(uid: u32) {
    // SAFETY: plain numbers, and an empty list that is never read; they change this thread's credentials only.
    let done = unsafe {
        let all = i64::from(uid);
        libc::syscall(libc::SYS_setgroups, 0_usize, std::ptr::null::<libc::gid_t>()) == 0
            && libc::syscall(libc::SYS_setresgid, all, all, all) == 0
            && libc::syscall(libc::SYS_setresuid, all, all, all) == 0
    };
    assert!(done, "{}", io::Error::last_os_error());
}

/// Gives a program no more rights than the runner's unit does, and a descriptor that it did not ask for.
fn confine(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // CAP_CHOWN, CAP_KILL, CAP_SETGID and CAP_SETUID, by the kernel's numbers.
    const KEPT: [libc::c_ulong; 4] = [0, 5, 6, 7];
    const LAST: libc::c_ulong = 63;
    // SAFETY: between fork and exec only prctl and dup2 are called, with numbers. Those of no capability are refused.
    unsafe {
        command.pre_exec(|| {
            for capability in (0..=LAST).filter(|capability| !KEPT.contains(capability)) {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            nix::sys::prctl::set_no_new_privs()?;
            libc::dup2(2, 9);
            Ok(())
        });
    }
}

/// From here on this thread's mounts, and those of what it starts, are its own.
fn own_mounts() {
    // SAFETY: takes a number; the other threads keep their namespace.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "{}", io::Error::last_os_error());
    mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
}

/// From here on `/proc` shows processes of others only to who may trace them, as some systems are set up.
pub fn hide_processes() {
    mount("proc", "/proc", "proc", 0, "hidepid=2");
}

pub fn mount(what: &str, at: &str, kind: &str, flags: libc::c_ulong, options: &str) {
    let [what, target, kind, options] = [what, at, kind, options].map(|text| CString::new(text).unwrap());
    // SAFETY: four texts that end with a zero byte and live through the call.
    let done =
        unsafe { libc::mount(what.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    assert_eq!(done, 0, "{at}: {}", io::Error::last_os_error());
}
