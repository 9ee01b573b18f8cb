//! The daemon as a service manager's child, with the manager's ends in the test's hands: the socket it hands over, the
//! socket it is told things on, and journald's. Linux only. What real systemd makes of it is shown by `tests/system`.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::process::{PATIENCE, World, answer, said};
use nix::sys::signal::Signal;
use sea_orm::ConnectionTrait as _;
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Single-user config in which a plain shell may run.
const SHELL: &str = "agents: { shell: { enabled: true, command: /bin/sh } }\n";

/// A command that finds `fds` as systemd hands them over: from 3 on, announced to the pid that it runs as.
fn handed(world: &World, fds: Vec<OwnedFd>, names: &str) -> Command {
    let count = fds.len();
    let mut fds = fds.into_iter();
    // The shell moves them to where they belong and becomes the daemon.
    let script = "exec 3<&0 </dev/null; [ \"$LISTEN_FDS\" = 1 ] || exec 4<&1; exec >/dev/null
        LISTEN_PID=$$; export LISTEN_PID; exec \"$0\" daemon";
    let mut command = world.command(Path::new("/bin/sh"));
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_teleclaude"));
    command.env("LISTEN_FDS", count.to_string()).env("LISTEN_FDNAMES", names);
    command.stdin(Stdio::from(fds.next().unwrap()));
    command.stdout(fds.next().map_or_else(Stdio::null, Stdio::from));
    command
}

/// The manager's end of what a daemon tells it.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message, as lines.
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    /// Messages up to the one that has this line.
    fn until(&self, line: &str) -> Vec<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            assert!(Instant::now() < deadline, "never told {line}: {all:?}");
            all.push(self.next());
            if all.last().unwrap().iter().any(|l| l == line) {
                return all;
            }
        }
    }
}

fn environ(pid: i32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap()).replace('\0', "\n")
}

#[test]
fn a_socket_that_was_handed_over_is_served_and_stays_with_the_daemon_alone() {
    let mut world = World::single(SHELL);
    let notify = world.path("notify");
    let manager = Manager::at(&notify);
    fs::create_dir_all(world.socket().parent().unwrap()).unwrap();
    let listener = UnixListener::bind(world.socket()).unwrap();
    let kept = listener.try_clone().unwrap();
    let mut command = handed(&world, vec![listener.into()], "teleclaude.socket");
    command.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "30000000");
    world.spawn_as(command);
    world.wait_until_it_answers();
    manager.until("READY=1");
    let lock = world.socket().with_extension("sock.lock");
    assert!(!lock.exists(), "it did not bind for itself");
    assert!(!world.log().contains("not where the config says"), "{}", world.log());

    let id = world.session(&world.me(), "shell");
    let run = world.host(&id).unwrap();
    let agent = run.agent_pid.unwrap();
    assert!(environ(agent).contains(&format!("TELECLAUDE_SESSION={id}")));
    for pid in [run.pid, agent] {
        let environment = environ(pid);
        for name in ["LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"] {
            assert!(!environment.contains(name), "{name} reached {pid}: {environment}");
        }
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let ours = kept_inode(&kept);
        let leaked = open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|to| to == Path::new(&ours));
        assert!(!leaked, "the listening socket reached {pid}");
    }

    // Who comes while nobody serves waits in the socket, which outlives the daemon.
    world.signal(Signal::SIGTERM);
    assert!(world.ended().success());
    let stopping = manager.until("STOPPING=1");
    assert!(!stopping.is_empty());
    let mut early = world.me().connect().unwrap();
    world.spawn_as(handed(&world, vec![kept.into()], "teleclaude.socket"));
    early.write_all(world.me().request("GET", "/health", None).as_bytes()).unwrap();
    assert_eq!(answer(&mut early).unwrap().status, 200);
    world.me().until_status(&id, "running");
}

/// How `/proc/PID/fd` names a socket.
fn kept_inode(listener: &UnixListener) -> String {
    fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap().to_string_lossy().into_owned()
}

#[test]
fn what_is_not_one_listening_socket_is_refused_and_the_error_says_what_it_is() {
    let world = World::single("");
    let listener = |name: &str| UnixListener::bind(world.path(name)).unwrap();
    let (connected, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = fs::File::create(world.path("file")).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UnixDatagram::bind(world.path("d")).unwrap();
    let cases: [(Vec<OwnedFd>, &str, &[&str]); 5] = [
        (
            vec![listener("a").into(), listener("b").into()],
            "one:two",
            &["2 descriptors", "one:two", "ListenStream="],
        ),
        (vec![connected.into()], "teleclaude.socket", &["teleclaude.socket", "Accept=no"]),
        (vec![file.into()], "teleclaude.socket", &["teleclaude.socket", "not a socket"]),
        (vec![tcp.into()], "", &["must be a path"]),
        (vec![datagrams.into()], "", &["must be a path"]),
    ];
    for (fds, names, words) in cases {
        let output = handed(&world, fds, names).stderr(Stdio::piped()).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("service manager handed over"), "{text}");
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    assert!(!world.socket().exists(), "nothing was bound instead");
}

#[test]
fn what_was_announced_to_another_process_is_not_taken() {
    let mut world = World::single("");
    let other = UnixListener::bind(world.path("other")).unwrap();
    let mut command = world.command(Path::new("/bin/sh"));
    command.args(["-c", "exec 3<&0 </dev/null; exec \"$0\" daemon", env!("CARGO_BIN_EXE_teleclaude")]);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").stdin(Stdio::from(OwnedFd::from(other)));
    world.spawn_as(command);
    world.wait_until_it_answers();
    assert!(world.socket().exists());
}

#[test]
fn a_socket_elsewhere_than_the_config_says_is_served_with_a_warning() {
    let mut world = World::single("");
    let notify = world.path("notify");
    let manager = Manager::at(&notify);
    let elsewhere = UnixListener::bind(world.path("elsewhere")).unwrap();
    let mut command = handed(&world, vec![elsewhere.into()], "");
    command.env("NOTIFY_SOCKET", &notify);
    world.spawn_as(command);
    manager.until("READY=1");
    let log = world.log();
    assert!(log.contains("not where the config says") && log.contains("elsewhere"), "{log}");
}

#[test]
fn the_manager_is_told_of_start_reload_health_and_stop() {
    let mut world = World::single(SHELL);
    let notify = world.path("notify");
    let manager = Manager::at(&notify);
    let mut command = world.command(Path::new(env!("CARGO_BIN_EXE_teleclaude")));
    command.arg("daemon").env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "300000");
    world.spawn_as(command);
    let begun = manager.until("READY=1");
    assert!(begun[0].contains(&"STATUS=opening the database".to_owned()), "{begun:?}");
    assert!(begun.last().unwrap().contains(&"STATUS=serving; open sessions: 0".to_owned()), "{begun:?}");
    // Fed again and again.
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    let id = world.session(&world.me(), "shell");
    manager.until("STATUS=serving; open sessions: 1");

    world.signal(Signal::SIGHUP);
    let reloading = manager.until("RELOADING=1").pop().unwrap();
    let usec = reloading.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(usec.parse::<u64>().unwrap() > 0, "{reloading:?}");
    manager.until("READY=1");
    // A config that is refused: ready all the same, and the status says why, on one line.
    world.configure("nonsense: 5\nlimits: { connections: lots }\n");
    world.signal(Signal::SIGHUP);
    manager.until("RELOADING=1");
    let refused = manager.until("READY=1").pop().unwrap();
    let status = refused.iter().find_map(|line| line.strip_prefix("STATUS=")).unwrap();
    assert!(status.contains("refused") && status.contains("nonsense"), "{refused:?}");
    assert_eq!(refused.len(), 2, "{refused:?}");

    assert_eq!(world.me().post(&format!("/sessions/{id}/end"), serde_json::json!({})).unwrap().status, 200);
    manager.until("STATUS=serving; open sessions: 0");
    world.signal(Signal::SIGTERM);
    assert!(world.ended().success());
    manager.until("STOPPING=1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_database_that_somebody_else_holds_is_told_and_is_no_reason_to_be_killed() {
    let mut world = World::single("");
    let notify = world.path("notify");
    let manager = Manager::at(&notify);
    let mut command = world.command(Path::new(env!("CARGO_BIN_EXE_teleclaude")));
    command.arg("daemon").env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "3000000");
    world.spawn_as(command);
    manager.until("READY=1");
    let raw = world.database().await;
    raw.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    manager.until("STATUS=serving; open sessions: 0; the database is locked by another process");
    manager.until("WATCHDOG=1");
    raw.execute_unprepared("COMMIT").await.unwrap();
    raw.close().await.unwrap();
    manager.until("STATUS=serving; open sessions: 0");
}

#[test]
fn a_watchdog_of_somebody_else_or_of_no_time_is_not_fed() {
    let mut world = World::single("");
    let notify = world.path("notify");
    let manager = Manager::at(&notify);
    for (pid, usec) in [("1", "300000"), ("", "0"), ("", "soon")] {
        let mut command = world.command(Path::new(env!("CARGO_BIN_EXE_teleclaude")));
        command.arg("daemon").env("NOTIFY_SOCKET", &notify);
        command.env("WATCHDOG_USEC", usec).env("WATCHDOG_PID", pid);
        world.spawn_as(command);
        world.wait_until_it_answers();
        world.signal(Signal::SIGTERM);
        assert!(world.ended().success());
        let all = manager.until("STOPPING=1");
        assert!(!all.iter().flatten().any(|line| line == "WATCHDOG=1"), "{pid} {usec}: {all:?}");
    }
}

/// The fields of one message to journald: `NAME`, eight bytes of length, the value. Other forms are not read.
fn journal_fields(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while let Some(at) = bytes.iter().position(|&b| b == b'\n') {
        let name = String::from_utf8(bytes[..at].to_vec()).unwrap();
        bytes = &bytes[at + 1..];
        if let Some((name, value)) = name.split_once('=') {
            fields.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
        fields.push((name, String::from_utf8_lossy(&rest[..length]).into_owned()));
        bytes = &rest[length + 1..];
    }
    fields
}

fn field<'a>(entry: &'a [(String, String)], name: &str) -> Option<&'a str> {
    entry.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_journal_gets_fields_with_plain_names() {
    // journald's socket is at a fixed place: the daemon gets a /run of its own, in which it is ours.
    let mut world = World::single(&format!("log: {{ target: journald }}\n{SHELL}"));
    let folder = world.path("journal");
    fs::create_dir_all(&folder).unwrap();
    let script = "set -e; mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal
        mount --bind \"$1\" /run/systemd/journal; shift; exec \"$@\"";
    let inside = |command: &mut Command| {
        command.args(["--mount", "/bin/sh", "-c", script, "sh"]).arg(&folder);
    };
    let mut probe = Command::new("unshare");
    inside(&mut probe);
    let may = probe.arg("true").output().is_ok_and(|output| output.status.success());
    if !may {
        let test = "the_journal_gets_fields_with_plain_names";
        let _ = writeln!(std::io::stderr(), "{test}: needs root and mount namespaces; not shown here");
        return;
    }
    let journal = UnixDatagram::bind(folder.join("socket")).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = world.command(Path::new("/usr/bin/unshare"));
    inside(&mut command);
    command.arg(env!("CARGO_BIN_EXE_teleclaude")).arg("daemon");
    world.spawn_as(command);
    world.wait_until_it_answers();
    let entry = |message: &str| loop {
        let mut bytes = [0; 65536];
        let length = journal.recv(&mut bytes).unwrap();
        let fields = journal_fields(&bytes[..length]);
        if fields.contains(&("MESSAGE".to_owned(), message.to_owned())) {
            return fields;
        }
    };
    let serving = entry("serving");
    assert_eq!(field(&serving, "SOCKET"), world.socket().to_str(), "{serving:?}");
    assert_eq!(field(&serving, "DATABASE"), Some("sqlite"), "{serving:?}");
    assert_eq!(field(&serving, "SYSLOG_IDENTIFIER"), Some("teleclaude"), "{serving:?}");
    assert_eq!(field(&serving, "PRIORITY"), Some("6"), "{serving:?}");

    // A request's line has the fields of the span around it: who, which session, which request.
    let id = world.session(&world.me(), "shell");
    let started = entry("done");
    let uid = nix::unistd::geteuid().to_string();
    for (name, value) in [("SESSION", &id), ("UID", &uid), ("ACTION", &"session.start".to_owned())] {
        assert_eq!(field(&started, name), Some(value.as_str()), "{started:?}");
    }
    assert!(field(&started, "PERSON").is_some_and(|person| !person.is_empty()), "{started:?}");
    assert!(field(&started, "REQUEST_ID").is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()), "{started:?}");
    for (name, _) in serving.iter().chain(&started) {
        assert!(!name.starts_with("F_") && !name.starts_with("TELECLAUDE_"), "{name}");
    }
    assert!(!world.log().contains("serving"), "{}", world.log());
}
