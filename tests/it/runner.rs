//! The runner as the built binary, with people of its own: as whom agents run and with what, what is refused, that
//! nothing of a tree is left, worktrees, and files of the owner's. What has names of systemd is in `tests/system`.

#![cfg(target_os = "linux")]

pub mod machine;

use crate::process::until;
use crate::runner::machine::{
    ANN, BOB, Call, EVE, Machine, PROJ, SERVICE, Terminal, agent, as_user, can_be_made, ended, folder, lives,
    own, run_as, shell, signal, write,
};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use teleclaude::domain::session::Profile;
use teleclaude::runner::message::{
    Exited, FRAME_BYTES_MAX, Native, Open, Order, Place, Reply, Request, Run, Which, frame_length,
};

/// One line of `/proc/PID/status`.
fn status(pid: i32, field: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect()
}

fn environ(pid: i32) -> BTreeSet<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    bytes
        .split(|b| *b == 0)
        .filter(|e| !e.is_empty())
        .map(|e| String::from_utf8_lossy(e).into_owned())
        .collect()
}

fn tmp_dirs() -> Vec<String> {
    let entries = fs::read_dir("/tmp").unwrap().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_agent_is_its_owner_and_has_what_the_config_says_and_nothing_else() {
    if !can_be_made("an_agent_is_its_owner_and_has_what_the_config_says_and_nothing_else") {
        return;
    }
    let machine = Machine::new("");
    folder("/mnt/shop/api", ANN);
    let run = Run { subdir: Some("api".to_owned()), ..shell() };
    let session = run.place.session;
    let (mut call, mut terminal, pid) = machine.run(run);
    terminal.enter("echo here=$(pwd) umask=$(umask) tty=$(tty) id=$(id -un)");
    let said = terminal.until("id=ann").to_owned();
    assert!(said.contains("here=/mnt/shop/api umask=0022 tty=/dev/pts/"), "{said}");

    let (uid, gid) = (ANN.to_string(), ANN.to_string());
    assert_eq!(status(pid, "Uid"), [uid.as_str(); 4]);
    assert_eq!(status(pid, "Gid"), [gid.as_str(); 4]);
    assert_eq!(status(pid, "Groups"), [gid, PROJ.to_string()]);
    assert_eq!(status(pid, "NoNewPrivs"), ["1"]);
    for field in ["CapPrm", "CapEff", "CapAmb", "CapInh", "SigBlk"] {
        assert_eq!(status(pid, field), ["0000000000000000"], "{field}");
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/mnt/shop/api"));
    let process = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = process.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[2], fields[3]), (pid.to_string().as_str(), pid.to_string().as_str()), "leads both");

    let environ = environ(pid);
    let tmp_dir = environ.iter().find_map(|e| e.strip_prefix("TMPDIR=")).unwrap().to_owned();
    let expected = [
        "API_KEY=invented-value".to_owned(),
        "COLORTERM=truecolor".to_owned(),
        "HOME=/mnt/home/ann".to_owned(),
        "LANG=C.UTF-8".to_owned(),
        "LOGNAME=ann".to_owned(),
        "PATH=/mnt/home/ann/bin:/usr/local/bin:/usr/bin:/bin".to_owned(),
        "SHELL=/bin/sh".to_owned(),
        format!("TELECLAUDE_SESSION={session}"),
        "TELECLAUDE_SOCKET=/mnt/daemon.sock".to_owned(),
        "TELECLAUDE_TOKEN=not-a-real-token".to_owned(),
        "TERM=xterm-256color".to_owned(),
        format!("TMPDIR={tmp_dir}"),
        "USER=ann".to_owned(),
    ];
    assert_eq!(environ, BTreeSet::from(expected));
    assert!(tmp_dir.starts_with("/tmp/teleclaude-"));
    let found = fs::metadata(&tmp_dir).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((found.uid(), found.mode() & 0o7777), (ANN, 0o700));

    // The shell itself keeps a copy of the terminal beyond the three; nothing else is open.
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap();
        let target = target.to_string_lossy();
        assert!(target.starts_with("/dev/pts/") || target == "/dev/tty", "{target}");
    }
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(line, b"sh\0-i\0");

    // Job control works: the terminal is its own.
    terminal.enter("sleep 600");
    terminal.until("sleep 600\r\n");
    until("a job in the foreground", || foreground(pid) != pid);
    terminal.enter("\x03echo after=$((1+1))");
    terminal.until("after=2");
    terminal.enter("echo kept > $TMPDIR/file; ln -s /mnt/shop $TMPDIR/link; exit 7");
    assert_eq!(call.exited(), Exited::Code(7));
    assert!(tmp_dirs().is_empty() && Path::new("/mnt/shop/api").is_dir(), "{:?}", tmp_dirs());
    let log = machine.log();
    assert_eq!(log, format!("run uid={ANN} session={session}: started, pid {pid}\n"));
    assert!(fs::read_dir("/mnt/run").unwrap().next().is_none(), "no lock is left");
}

/// The process group in the foreground of a process's terminal.
fn foreground(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(5).unwrap().parse().unwrap()
}

#[test]
fn exits_and_signals_are_told_as_they_were() {
    if !can_be_made("exits_and_signals_are_told_as_they_were") {
        return;
    }
    let machine = Machine::new("");
    for (line, expected) in [
        ("exit 0", Exited::Code(0)),
        ("exit 255", Exited::Code(255)),
        ("kill -KILL $$", Exited::Signal(9)),
        ("kill -34 $$", Exited::Signal(34)),
    ] {
        let (mut call, mut terminal, _) = machine.run(shell());
        terminal.enter(line);
        assert_eq!(call.exited(), expected, "{line}");
    }
}

/// An agent that leaves behind whatever can be left behind, says so in a file, and goes on or ends.
const MESSY: &str = "  messy:
    enabled: true
    command: /bin/sh
    args: [/mnt/messy.sh]
    profiles: { full: [] }
";

fn messy(then: &str) -> Machine {
    let machine = Machine::new(MESSY);
    let script = format!(
        "cd /mnt/shop
setsid nohup sh -c 'trap \"\" TERM HUP INT; echo $$ >> pids; while :; do sleep 1; done' >/dev/null 2>&1 &
(setsid sh -c '(trap \"\" TERM HUP; echo $(exec sh -c \"echo \\$PPID\") >> pids; while :; do sleep 1; done) &' >/dev/null 2>&1 &)
env -i setsid sh -c 'trap \"\" TERM; echo $$ >> pids; exec sleep 600' >/dev/null 2>&1 &
sh -c 'echo $$ >> pids; kill -STOP $$; sleep 600' &
sh -c 'echo $$ >> pids; exec sleep 600' &
while [ \"$(wc -l < pids)\" -lt 5 ]; do sleep 0.01; done
echo $$ >> pids
{then}
"
    );
    write("/mnt/messy.sh", 0, &script);
    machine
}

fn left_behind() -> Vec<i32> {
    let file = "/mnt/shop/pids";
    until("the mess is made", || {
        fs::read_to_string(file).is_ok_and(|pids| pids.lines().count() == 6 && pids.ends_with('\n'))
    });
    let pids = fs::read_to_string(file).unwrap();
    fs::remove_file(file).unwrap();
    pids.lines().map(|pid| pid.parse().unwrap()).collect()
}

fn assert_gone(pids: &[i32]) {
    let left: Vec<&i32> = pids.iter().filter(|pid| lives(**pid)).collect();
    assert!(left.is_empty(), "{left:?} of {pids:?}");
}

#[test]
fn nothing_is_left_when_the_agent_ends() {
    if !can_be_made("nothing_is_left_when_the_agent_ends") {
        return;
    }
    let machine = messy("exit 3");
    let (mut call, _terminal, _) = machine.run(agent("messy"));
    let pids = left_behind();
    assert_eq!(call.reply(), Reply::Exited(Exited::Code(3)));
    assert_eq!(call.reply(), Reply::Gone);
    assert_gone(&pids);
    assert_eq!(ended(&mut call.runner).code(), Some(0));
    assert!(tmp_dirs().is_empty(), "{:?}", tmp_dirs());
}

#[test]
fn nothing_is_left_when_the_connection_ends() {
    if !can_be_made("nothing_is_left_when_the_connection_ends") {
        return;
    }
    let machine = messy("trap '' TERM HUP INT; while :; do sleep 1; done");
    let (mut call, _terminal, _) = machine.run(agent("messy"));
    let pids = left_behind();
    assert!(pids.iter().all(|pid| lives(*pid)), "{pids:?}");
    assert_eq!(call.close().code(), Some(0));
    assert_gone(&pids);
    assert!(tmp_dirs().is_empty(), "{:?}", tmp_dirs());
}

#[test]
fn nothing_is_left_when_the_host_is_killed() {
    if !can_be_made("nothing_is_left_when_the_host_is_killed") {
        return;
    }
    let machine = messy("while :; do sleep 1; done");
    let (mut call, _terminal, _) = machine.run(agent("messy"));
    let pids = left_behind();
    // Another process holds the connection, and nobody else.
    let connection = call.connection.take().unwrap();
    let stdin = connection.as_fd().try_clone_to_owned().unwrap();
    let mut host = Command::new("/bin/sleep").arg("600").stdin(stdin).spawn().unwrap();
    drop(connection);
    assert!(call.runner.try_wait().unwrap().is_none());
    host.kill().unwrap();
    host.wait().unwrap();
    ended(&mut call.runner);
    assert_gone(&pids);
}

#[test]
fn an_order_to_end_gives_the_grace_and_no_more() {
    if !can_be_made("an_order_to_end_gives_the_grace_and_no_more") {
        return;
    }
    let machine = messy("trap 'echo saved > saved; exit 5' TERM HUP; while :; do sleep 0.05; done");
    let (mut call, _terminal, _) = machine.run(agent("messy"));
    let pids = left_behind();
    call.order(Order::End { grace_ms: 60_000 });
    assert_eq!(call.reply(), Reply::Exited(Exited::Code(5)), "it had its time");
    assert_eq!(call.reply(), Reply::Gone);
    assert_gone(&pids);
    assert_eq!(fs::read_to_string("/mnt/shop/saved").unwrap(), "saved\n");
    let (mut call, mut terminal, pid) = machine.run(shell());
    terminal.enter("trap '' TERM HUP; echo trapped=$((1+1))");
    terminal.until("trapped=2");
    call.order(Order::End { grace_ms: 0 });
    assert_eq!(call.exited(), Exited::Signal(9));
    assert_gone(&[pid]);
}

#[test]
fn the_service_managers_stop_ends_the_tree_in_order() {
    if !can_be_made("the_service_managers_stop_ends_the_tree_in_order") {
        return;
    }
    let machine = messy("while :; do sleep 1; done");
    let (mut call, _terminal, _) = machine.run(agent("messy"));
    let pids = left_behind();
    signal(call.runner.id().cast_signed(), Signal::SIGTERM);
    assert!(matches!(call.reply(), Reply::Exited(_)));
    assert_eq!(call.reply(), Reply::Gone);
    assert_gone(&pids);
    assert_eq!(ended(&mut call.runner).code(), Some(0));
}

#[test]
fn a_signal_reaches_the_named_group_of_the_tree_and_nobody_else() {
    if !can_be_made("a_signal_reaches_the_named_group_of_the_tree_and_nobody_else") {
        return;
    }
    use std::os::unix::process::CommandExt;
    let machine = Machine::new("");
    let (mut call, mut terminal, pid) = machine.run(shell());
    // A process of root's that is not of the tree.
    let mut other =
        Command::new("/bin/sleep").arg("600").process_group(0).stdin(Stdio::null()).spawn().unwrap();
    call.order(Order::Signal { signal: 9, group: other.id().cast_signed() });
    terminal.enter("trap 'echo got=$((40+2)); exit 4' USR1; sleep 601");
    until("a job in the foreground", || foreground(pid) != pid);
    let job = foreground(pid);
    call.order(Order::Signal { signal: Signal::SIGINT as i32, group: job });
    until("the job is gone", || !lives(job));
    call.order(Order::Signal { signal: Signal::SIGUSR1 as i32, group: 0 });
    // A shell runs its traps between commands.
    terminal.enter("while :; do sleep 0.05; done");
    terminal.until("got=42");
    assert_eq!(call.exited(), Exited::Code(4));
    assert!(other.try_wait().unwrap().is_none(), "it lives");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn nonsense_in_place_of_an_order_ends_the_tree() {
    if !can_be_made("nonsense_in_place_of_an_order_ends_the_tree") {
        return;
    }
    let machine = Machine::new("");
    for nonsense in [&[0, 0, 0, 1, 9][..], &[0xff; 4], &[0, 0, 1, 0]] {
        let (mut call, _terminal, pid) = machine.run(shell());
        let descriptor = call.connection.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
        File::from(descriptor).write_all(nonsense).unwrap();
        assert!(matches!(call.reply(), Reply::Exited(_)), "{nonsense:?}");
        assert_eq!(call.reply(), Reply::Gone);
        assert_gone(&[pid]);
    }
}

#[test]
fn one_session_is_never_run_twice_at_a_time() {
    if !can_be_made("one_session_is_never_run_twice_at_a_time") {
        return;
    }
    let machine = Machine::new("");
    let run = shell();
    let (mut first, mut terminal, pid) = machine.run(run.clone());
    // Another session of the same person is another matter.
    let (mut other, mut others, _) = machine.run(shell());
    others.enter("exit 0");
    assert_eq!(other.exited(), Exited::Code(0));
    assert_eq!(machine.no_run(run.clone()), Reply::Refused("the session is still running".to_owned()));
    // Who waits for its end gets it.
    let next = Terminal::open(SERVICE);
    let mut second = machine.ask(&Request::Run(run.clone()), next.slave.as_ref().map(AsFd::as_fd));
    terminal.enter("exit 0");
    assert_eq!(first.exited(), Exited::Code(0));
    assert!(matches!(second.reply(), Reply::Started { .. }));
    assert!(!lives(pid));
    // A lock that a killed runner left behind keeps nobody.
    signal(second.runner.id().cast_signed(), Signal::SIGKILL);
    second.runner.wait().unwrap();
    let (mut third, mut terminal, _) = machine.run(run);
    terminal.enter("exit 0");
    assert_eq!(third.exited(), Exited::Code(0));
}

#[test]
fn the_agent_dies_with_a_runner_that_is_killed() {
    if !can_be_made("the_agent_dies_with_a_runner_that_is_killed") {
        return;
    }
    let machine = Machine::new("");
    let (mut call, _terminal, pid) = machine.run(shell());
    signal(call.runner.id().cast_signed(), Signal::SIGKILL);
    call.runner.wait().unwrap();
    until("the agent is gone", || !lives(pid));
}

#[test]
fn who_and_what_is_refused() {
    if !can_be_made("who_and_what_is_refused") {
        return;
    }
    let machine = Machine::new("");
    machine.reconfigure("people:", "access: { deny: [bob] }\npeople:");
    let of = |uid| Run { place: Place { uid, ..shell().place }, ..shell() };
    let table = [
        (of(0), "nothing is run as root"),
        (of(1), "uid 1 is a system user's: those of people begin at 1000"),
        (of(65_534), "uid 65534 is nobody"),
        (of(u32::MAX), "uid 4294967295 is nobody"),
        (of(SERVICE), "uid 4242900 is the service's own"),
        (of(EVE), "uid 4242003 is nobody's under `people`, nor of the group `runner.group`"),
        (of(4_242_004), "the system knows no user of uid 4242004"),
        (of(BOB), "uid 4242002 is on access.deny"),
        (agent("bash"), "there is no agent \"bash\" in the config"),
        (agent("off"), "the agent \"off\" is not enabled"),
        (Run { profile: Profile::Restricted, ..shell() }, "the agent \"sh\" has no profile `restricted`"),
        (
            Run { native: Native::Resume("x".to_owned()), ..shell() },
            "the agent \"sh\" cannot resume a session",
        ),
        (
            Run { values: vec![("LD_PRELOAD".to_owned(), "invented-value".to_owned())], ..shell() },
            "LD_PRELOAD is not among the names that the agent \"sh\" is given",
        ),
        (
            Run { place: Place { project: "other".to_owned(), ..shell().place }, ..shell() },
            "there is no project \"other\" in the config",
        ),
    ];
    for (run, expected) in table {
        let session = run.place.session;
        let uid = run.place.uid;
        let terminal = Terminal::open(SERVICE);
        let mut call = machine.ask(&Request::Run(run), terminal.slave.as_ref().map(AsFd::as_fd));
        assert_eq!(call.reply(), Reply::Refused(expected.to_owned()));
        assert_eq!(ended(&mut call.runner).code(), Some(0));
        let line = format!("run uid={uid} session={session}: refused: {expected}\n");
        assert!(machine.log().ends_with(&line), "{line}: {}", machine.log());
    }
    for secret in ["not-a-real-token", "invented-value"] {
        assert!(!machine.log().contains(secret));
    }
    machine.reconfigure("agents:", "runner: { group: eve }\nagents:");
    assert!(
        matches!(machine.no_run(of(EVE)), Reply::Failed(why) if why == "working directory /mnt/shop: EACCES: Permission denied")
    );
    machine.reconfigure("agents:", "sessions: { run_as: service }\nagents:");
    let expected = "sessions.run_as is not `owner` in the config";
    assert_eq!(machine.no_run(shell()), Reply::Refused(expected.to_owned()));
}

#[test]
fn only_the_service_user_is_heard() {
    if !can_be_made("only_the_service_user_is_heard") {
        return;
    }
    let machine = Machine::new("");
    for uid in [0, ANN, BOB] {
        let terminal = Terminal::open(uid);
        let request = Request::Run(shell());
        let mut call = machine.ask_as(uid, &request, terminal.slave.as_ref().map(AsFd::as_fd));
        let expected = format!("uid {uid} asks, who is not the service user");
        assert_eq!(call.reply(), Reply::Refused(expected.clone()));
        assert_eq!(ended(&mut call.runner).code(), Some(1));
        assert!(machine.log().ends_with(&format!("refused: {expected}\n")), "{}", machine.log());
    }
}

#[test]
fn a_config_that_others_could_have_written_is_not_believed() {
    if !can_be_made("a_config_that_others_could_have_written_is_not_believed") {
        return;
    }
    let machine = Machine::new("");
    let refused = |expected: &str| {
        let Reply::Refused(why) = machine.no_run(shell()) else { panic!("not refused: {expected}") };
        assert!(why.contains(expected), "{why}");
    };
    let mode = |path: &str, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode("/mnt/etc/config.yml", 0o664);
    refused("/mnt/etc/config.yml: can be written by others than root");
    mode("/mnt/etc/config.yml", 0o644);
    mode("/mnt/etc", 0o777);
    refused("/mnt/etc: can be written by others than root");
    mode("/mnt/etc", 0o755);
    own("/mnt/etc/config.yml", ANN);
    refused("/mnt/etc/config.yml: belongs to uid 4242001, not to root");
    own("/mnt/etc/config.yml", 0);
    fs::create_dir("/mnt/etc/config.d").unwrap();
    write("/mnt/etc/config.d/a.yml", ANN, "runner: { group: eve }\n");
    refused("/mnt/etc/config.d/a.yml: belongs to uid 4242001, not to root");
    fs::remove_file("/mnt/etc/config.d/a.yml").unwrap();
    std::os::unix::fs::symlink("/mnt/shop/x.yml", "/mnt/etc/config.d/a.yml").unwrap();
    refused("/mnt/etc/config.d/a.yml: is a symbolic link");
    fs::remove_file("/mnt/etc/config.d/a.yml").unwrap();
    write("/mnt/etc/config.d/a.yml", 0, "access: { deny: [ann] }\n");
    refused("uid 4242001 is on access.deny");
    write("/mnt/etc/config.d/a.yml", 0, "acces: {}\n");
    refused("/mnt/etc/config.d/a.yml:1: acces: ");
    fs::remove_file("/mnt/etc/config.d/a.yml").unwrap();
    // Secrets are not the runner's business, not even broken ones.
    write("/mnt/etc/secrets.yml", 0, "{ not: [valid");
    let (mut call, mut terminal, _) = machine.run(shell());
    terminal.enter("exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    fs::remove_file("/mnt/etc/config.yml").unwrap();
    refused("/mnt/etc/config.yml: No such file");
}

#[test]
fn only_a_terminal_of_the_asker_is_taken() {
    if !can_be_made("only_a_terminal_of_the_asker_is_taken") {
        return;
    }
    let machine = Machine::new("");
    let file = File::options().read(true).write(true).create(true).truncate(true).open("/mnt/file").unwrap();
    own("/mnt/file", SERVICE);
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let bobs = Terminal::open(BOB);
    let name = nix::unistd::ttyname(bobs.slave.as_ref().unwrap()).unwrap();
    // What anybody can do with anybody's terminal.
    let path_only =
        as_user(SERVICE, || File::options().read(true).custom_flags(libc::O_PATH).open(&name)).unwrap();
    let own_terminal = Terminal::open(SERVICE);
    let own_name = nix::unistd::ttyname(own_terminal.slave.as_ref().unwrap()).unwrap();
    let read_only = File::options().read(true).custom_flags(libc::O_NOCTTY).open(own_name).unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let no_terminal = "the descriptor is not the end of a pseudo-terminal";
    let table: [(OwnedFd, &str); 6] = [
        (file.into(), no_terminal),
        (null.into(), no_terminal),
        (path_only.into(), "the descriptor was opened without rights to the file"),
        (bobs.slave.unwrap(), "the terminal belongs to uid 4242002, not to who sent it"),
        (read_only.into(), "the descriptor is not open for reading and writing"),
        (socket.into(), no_terminal),
    ];
    for (descriptor, expected) in table {
        let mut call = machine.ask(&Request::Run(shell()), Some(descriptor.as_fd()));
        assert_eq!(call.reply(), Reply::Refused(expected.to_owned()));
    }
    let master = nix::pty::openpty(None, None).unwrap().master;
    let mut call = machine.ask(&Request::Run(shell()), Some(master.as_fd()));
    assert_eq!(call.reply(), Reply::Refused(no_terminal.to_owned()), "the other end");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&name).unwrap().uid(), BOB, "nothing changed hands");
    assert_eq!(fs::metadata("/mnt/file").unwrap().uid(), SERVICE);
}

/// What the runner answers to these bytes, and its exit status.
fn answer_to(machine: &Machine, bytes: &[u8], descriptors: &[OwnedFd], close: bool) -> (Reply, Option<i32>) {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::os::fd::AsRawFd;
    let (mut stream, mut runner) = machine.connect();
    let raw: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    let parts = [std::io::IoSlice::new(bytes)];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, control, MsgFlags::empty(), None).unwrap();
    assert_eq!(sent, bytes.len());
    if close {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; frame_length(&head).unwrap().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (Reply::decode(&body).unwrap(), ended(&mut runner).code())
}

#[test]
fn bytes_that_are_no_request_are_refused_and_logged() {
    if !can_be_made("bytes_that_are_no_request_are_refused_and_logged") {
        return;
    }
    let machine = Machine::new("");
    let good = Request::Run(shell()).encode().unwrap();
    let place = shell().place;
    let without = Request::AddWorktree(place).encode().unwrap();
    let terminals = |count: usize| -> Vec<OwnedFd> {
        (0..count).map(|_| Terminal::open(SERVICE).slave.unwrap()).collect()
    };
    let mut relative = good.clone();
    // The project's name, which comes behind version, verb, uid and session id, with a slash in it.
    relative[4 + 2 + 4 + 16 + 2] = b'/';
    let too_long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    let mut other_version = good.clone();
    other_version[4] = 9;
    let table: [(&[u8], Vec<OwnedFd>, bool, &str); 10] = [
        (&good[..20], terminals(1), true, "the request: it is cut off"),
        (&good[..2], vec![], true, "the request: it is cut off"),
        (&too_long, vec![], false, "the request: a frame of 65537 bytes; 1 to 65536 are possible"),
        (&[0; 4], vec![], false, "the request: a frame of 0 bytes; 1 to 65536 are possible"),
        (&relative, terminals(1), false, "the request: project: must not contain `/` or control characters"),
        (&other_version, terminals(1), false, "the request: version 9 is not known; 1 is"),
        (&[0, 0, 0, 2, 1, 99], vec![], false, "the request: verb: not a known value"),
        (&good, terminals(0), false, "the request came with 0 descriptors, not with 1"),
        (&good, terminals(2), false, "the request came with 2 descriptors, not with 1"),
        (&without, terminals(1), false, "the request came with 1 descriptors, not with 0"),
    ];
    for (bytes, descriptors, close, expected) in table {
        let (reply, code) = answer_to(&machine, bytes, &descriptors, close);
        assert_eq!(reply, Reply::Refused(expected.to_owned()));
        assert_eq!(code, Some(1), "{expected}");
        assert!(machine.log().ends_with(&format!("refused: {expected}\n")), "{}", machine.log());
    }
    let many: Vec<OwnedFd> =
        terminals(1).into_iter().chain((0..200).map(|_| File::open("/").unwrap().into())).collect();
    assert!(
        matches!(answer_to(&machine, &good, &many, false).0, Reply::Refused(why) if why.contains("201 descriptors"))
    );
    // A request at the largest size is one: it is judged.
    let value = "x".repeat(FRAME_BYTES_MAX + 4 - good.len());
    let mut large = shell();
    large.values[0].1.push_str(&value);
    let frame = Request::Run(Run { token: large.token, values: large.values, ..shell() }).encode();
    assert_eq!(frame.unwrap().len(), FRAME_BYTES_MAX + 4);
}

#[test]
fn a_slow_sender_is_not_waited_for() {
    if !can_be_made("a_slow_sender_is_not_waited_for") {
        return;
    }
    let machine = Machine::new("");
    let good = Request::Run(shell()).encode().unwrap();
    let (reply, code) = answer_to(&machine, &good[..30], &[], false);
    assert_eq!(reply, Reply::Refused("the request did not come in time".to_owned()));
    assert_eq!(code, Some(1));
}

#[test]
fn what_goes_wrong_before_the_agent_runs_is_told_and_leaves_nothing() {
    if !can_be_made("what_goes_wrong_before_the_agent_runs_is_told_and_leaves_nothing") {
        return;
    }
    let agents = "  script: { enabled: true, command: /mnt/plain.txt, profiles: { full: [] } }\n  nowhere: { enabled: true, command: /nowhere/agent, profiles: { full: [] } }\n";
    let machine = Machine::new(agents);
    write("/mnt/plain.txt", 0, "no program");
    std::os::unix::fs::symlink("/mnt/home", "/mnt/shop/out").unwrap();
    write("/mnt/shop/file", ANN, "");
    folder("/mnt/shop/closed", BOB);
    fs::set_permissions("/mnt/shop/closed", Permissions::from_mode(0o700)).unwrap();
    let below = |subdir: &str| Run { subdir: Some(subdir.to_owned()), ..shell() };
    let of_bob = |project: &str| Run {
        place: Place { uid: BOB, project: project.to_owned(), ..shell().place },
        ..shell()
    };
    let table = [
        (below("none"), "working directory /mnt/shop/none: ENOENT: No such file or directory"),
        (below("file"), "working directory /mnt/shop/file: ENOTDIR: Not a directory"),
        (below("closed"), "working directory /mnt/shop/closed: EACCES: Permission denied"),
        (below("out/ann"), "working directory /mnt/shop/out/ann: leads out of /mnt/shop"),
        (of_bob("shop"), "working directory /mnt/shop: EACCES: Permission denied"),
        (Run { worktree: true, ..shell() }, "/mnt/home/ann/.local/share/teleclaude/worktrees/shop/"),
        (agent("claude"), "no-such-claude: not found in /mnt/home/ann/bin:/usr/local/bin:/usr/bin:/bin"),
        (agent("nowhere"), "/nowhere/agent: ENOENT"),
        (agent("script"), "/mnt/plain.txt: EACCES"),
    ];
    for (run, expected) in table {
        let Reply::Failed(why) = machine.no_run(run) else { panic!("not failed: {expected}") };
        assert!(why.contains(expected), "{why}: not {expected}");
        assert!(tmp_dirs().is_empty(), "{:?}", tmp_dirs());
    }
    // In their own folder they are at home.
    let (mut call, mut terminal, _) = machine.run(of_bob("plain"));
    terminal.enter("echo home=$HOME here=$(pwd)");
    terminal.until("home=/mnt/home/bob here=/mnt/plain");
    terminal.enter("exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    // A terminal that is somebody's already is not taken from them.
    let taken = Terminal::open(SERVICE);
    let slave = taken.slave.as_ref().unwrap().try_clone().unwrap();
    let mut holder = Command::new("/usr/bin/setsid");
    let mut holder = holder.args(["-c", "-w", "sleep", "600"]).stdin(slave).spawn().unwrap();
    let pid = holder.id().cast_signed();
    until("the terminal is taken", || foreground(pid) > 0);
    let mut call = machine.ask(&Request::Run(shell()), taken.slave.as_ref().map(AsFd::as_fd));
    let reply = call.reply();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(matches!(&reply, Reply::Failed(why) if why.starts_with("controlling terminal: ")), "{reply:?}");
}

#[test]
fn each_run_looks_the_account_up_anew() {
    if !can_be_made("each_run_looks_the_account_up_anew") {
        return;
    }
    let machine = Machine::new("");
    let run = shell();
    let (mut call, mut terminal, _) = machine.run(run.clone());
    terminal.enter("echo $USER:$HOME:$(id -G)");
    terminal.until(&format!("ann:/mnt/home/ann:{ANN} {PROJ}"));
    terminal.enter("exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    // Renamed, moved, and out of the group.
    fs::rename("/mnt/home/ann", "/mnt/home/anna").unwrap();
    for file in ["/mnt/passwd", "/mnt/group"] {
        let text = fs::read_to_string(file).unwrap();
        let text = text.replace(
            "ann:x:4242001:4242001:Ann:/mnt/home/ann:",
            "anna:x:4242001:4242001:Ann:/mnt/home/anna:",
        );
        fs::write(file, text.replace("proj:x:4242500:ann", "proj:x:4242500:")).unwrap();
    }
    let (mut call, mut terminal, _) = machine.run(run.clone());
    terminal.enter("echo $USER:$HOME:$(id -G):$(id -un)");
    terminal.until(&format!("anna:/mnt/home/anna:{ANN}:anna"));
    terminal.enter("exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    // Who was mapped by that name is no longer.
    machine.reconfigure("os_uid: 4242001", "os_username: ann");
    let expected = "uid 4242001 is nobody's under `people`, nor of the group `runner.group`";
    assert_eq!(machine.no_run(run), Reply::Refused(expected.to_owned()));
}

fn with_repository(machine: &Machine) -> Place {
    run_as(
        ANN,
        "/mnt/shop",
        "git init -q -b main . && git config user.email ann@example.org && git config user.name Ann && echo one > file && git add . && git commit -qm one",
    );
    assert!(machine.log().is_empty());
    shell().place
}

fn reply_to(machine: &Machine, request: Request) -> Reply {
    let mut call = machine.ask(&request, None);
    let reply = call.reply();
    assert_eq!(ended(&mut call.runner).code(), Some(0));
    reply
}

#[test]
fn a_worktree_is_added_run_in_and_removed_as_the_owner() {
    if !can_be_made("a_worktree_is_added_run_in_and_removed_as_the_owner") {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let machine = Machine::new("");
    let place = with_repository(&machine);
    // A hook that leaves something running keeps nobody.
    write("/mnt/shop/.git/hooks/post-checkout", ANN, "#!/bin/sh\necho $$ > /mnt/shop/hook\nsleep 600 &\n");
    fs::set_permissions("/mnt/shop/.git/hooks/post-checkout", Permissions::from_mode(0o755)).unwrap();
    let add = || reply_to(&machine, Request::AddWorktree(place.clone()));
    let Reply::Worktree { path, branch } = add() else { panic!("not added: {}", machine.log()) };
    assert!(path.starts_with("/mnt/home/ann/.local/share/teleclaude/worktrees/shop/"), "{path}");
    assert_eq!(branch, format!("teleclaude/{}", path.rsplit_once('/').unwrap().1));
    assert_eq!(fs::metadata(format!("{path}/file")).unwrap().uid(), ANN);
    assert_eq!(fs::metadata("/mnt/home/ann/.local").unwrap().mode() & 0o7777, 0o700);
    assert_eq!(add(), Reply::Worktree { path: path.clone(), branch: branch.clone() }, "twice is once");
    let run = Run { place: place.clone(), worktree: true, ..shell() };
    let (mut call, mut terminal, _) = machine.run(run);
    terminal.enter("echo here=$(pwd) on=$(git branch --show-current)");
    terminal.until(&format!("here={path} on={branch}"));
    terminal.enter("echo two > unsaved; exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    let remove = || reply_to(&machine, Request::RemoveWorktree(place.clone()));
    let Reply::Failed(why) = remove() else { panic!("removed what was not saved") };
    assert!(why.contains("contains modified or untracked files"), "{why}");
    assert!(Path::new(&path).join("unsaved").exists());
    fs::remove_file(format!("{path}/unsaved")).unwrap();
    assert_eq!(remove(), Reply::Removed);
    assert!(!Path::new(&path).exists());
    assert_eq!(remove(), Reply::Removed, "what is not there is removed");
    // The branch is still there, and comes back.
    assert_eq!(add(), Reply::Worktree { path: path.clone(), branch });
    fs::remove_dir_all(&path).unwrap();
    assert!(matches!(add(), Reply::Worktree { .. }), "removed behind git's back");
    assert!(Path::new(&path).join("file").exists());
}

#[test]
fn worktrees_that_cannot_be_are_refused_or_told() {
    if !can_be_made("worktrees_that_cannot_be_are_refused_or_told") {
        return;
    }
    let machine = Machine::new("");
    let place = with_repository(&machine);
    let plain = Place { uid: BOB, project: "plain".to_owned(), ..place.clone() };
    let refused = Reply::Refused("the project \"plain\" has no worktrees".to_owned());
    assert_eq!(reply_to(&machine, Request::AddWorktree(plain)), refused);
    let of_bob = Place { uid: BOB, ..place };
    let Reply::Failed(why) = reply_to(&machine, Request::AddWorktree(of_bob.clone())) else { panic!() };
    assert!(why.starts_with("git in /mnt/shop: Permission denied"), "{why}");
    assert_eq!(reply_to(&machine, Request::RemoveWorktree(of_bob)), Reply::Removed);
    run_as(ANN, "/mnt/shop", "rm -rf .git");
    let place = shell().place;
    let Reply::Failed(why) = reply_to(&machine, Request::AddWorktree(place)) else { panic!() };
    assert!(why.contains("not a git repository"), "{why}");
}

fn open(which: Which) -> Request {
    Request::Open(Open { uid: ANN, agent: "claude".to_owned(), which })
}

fn path(path: &str) -> Which {
    Which::Path(path.to_owned())
}

fn opened(call: &mut Call) -> (String, u64, String) {
    match call.opened() {
        (Reply::Opened { path, size }, Some(file)) => {
            let mut text = String::new();
            let mut file = File::from(file);
            file.read_to_string(&mut text).unwrap();
            assert!(file.write_all(b"x").is_err(), "for reading only");
            (path, size, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_the_owners_is_opened_by_path_or_by_name() {
    if !can_be_made("a_file_of_the_owners_is_opened_by_path_or_by_name") {
        return;
    }
    let machine = Machine::new("");
    let root = "/mnt/home/ann/.claude/projects";
    folder(&format!("{root}/p/deep"), ANN);
    write(&format!("{root}/p/a-17.jsonl"), ANN, "older\n");
    write(&format!("{root}/p/deep/b-17.jsonl"), ANN, "newer\n");
    write(&format!("{root}/p/other.jsonl"), ANN, "newest\n");
    fs::set_permissions("/mnt/home/ann/.claude", Permissions::from_mode(0o700)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    File::options().write(true).open(format!("{root}/p/a-17.jsonl")).unwrap().set_modified(old).unwrap();
    let mut call = machine.ask(&open(path("p/a-17.jsonl")), None);
    assert_eq!(opened(&mut call), ("p/a-17.jsonl".to_owned(), 6, "older\n".to_owned()));
    assert_eq!(ended(&mut call.runner).code(), Some(0));
    assert!(machine.log().ends_with(&format!("open uid={ANN}: opened\n")), "{}", machine.log());
    let mut call = machine.ask(&open(Which::NameContains("17".to_owned())), None);
    assert_eq!(opened(&mut call), ("p/deep/b-17.jsonl".to_owned(), 6, "newer\n".to_owned()));
}

#[test]
fn nothing_else_is_opened() {
    if !can_be_made("nothing_else_is_opened") {
        return;
    }
    let machine = Machine::new("");
    let root = "/mnt/home/ann/.claude/projects";
    folder(&format!("{root}/p"), ANN);
    let link =
        |target: &str, name: &str| std::os::unix::fs::symlink(target, format!("{root}/{name}")).unwrap();
    write("/mnt/outside", ANN, "outside");
    link("/mnt/outside", "p/link-9");
    link("/mnt", "away");
    link("p", "inside");
    write(&format!("{root}/p/file"), ANN, "");
    write(&format!("{root}/p/bobs-8"), BOB, "bob's");
    nix::unistd::mkfifo(Path::new(&format!("{root}/p/pipe-7")), nix::sys::stat::Mode::S_IRUSR).unwrap();
    own(&format!("{root}/p/pipe-7"), ANN);
    write(&format!("{root}/p/large"), ANN, "");
    File::options().write(true).open(format!("{root}/p/large")).unwrap().set_len((1 << 30) + 1).unwrap();
    let name = |part: &str| Which::NameContains(part.to_owned());
    let table = [
        (path("p/none"), "p/none: ENOENT"),
        (path("p/link-9"), "p/link-9: a link, or no folder, is on the way"),
        (path("away/outside"), "away/outside: a link, or no folder, is on the way"),
        (path("inside/file"), "inside/file: a link, or no folder, is on the way"),
        (path("p/file/x"), "p/file/x: a link, or no folder, is on the way"),
        (path("p"), "p: is not a regular file"),
        (path("p/pipe-7"), "p/pipe-7: is not a regular file"),
        (path("p/bobs-8"), "p/bobs-8: belongs to somebody else"),
        (path("p/large"), "p/large: is larger than 1 GiB"),
        (name("k-9"), "no file with \"k-9\" in its name"),
        (name("pipe-7"), "no file with \"pipe-7\" in its name"),
        (name("none"), "no file with \"none\" in its name"),
    ];
    for (which, expected) in table {
        let mut call = machine.ask(&open(which), None);
        let (reply, file) = call.opened();
        let Reply::Failed(why) = reply else { panic!("{reply:?}: not {expected}") };
        assert!(why.starts_with(expected) && file.is_none(), "{why}: not {expected}");
    }
    let shells = Request::Open(Open { uid: ANN, agent: "sh".to_owned(), which: path("p/file") });
    let expected = "the agent \"sh\" has no transcript of its own";
    assert_eq!(machine.ask(&shells, None).reply(), Reply::Refused(expected.to_owned()));
    // Too many entries, and too deep.
    folder(&format!("{root}/1/2/3/4/5/6/7/8"), ANN);
    write(&format!("{root}/1/2/3/4/5/6/7/inmost-6"), ANN, "in");
    write(&format!("{root}/1/2/3/4/5/6/7/8/tooout-6"), ANN, "out");
    let mut call = machine.ask(&open(name("t-6")), None);
    assert_eq!(opened(&mut call).0, "1/2/3/4/5/6/7/inmost-6");
    let bobs = Request::Open(Open { uid: BOB, agent: "claude".to_owned(), which: path("p/file") });
    assert!(matches!(machine.ask(&bobs, None).reply(), Reply::Failed(why) if why.contains("ENOENT")));
}
