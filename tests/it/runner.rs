//! The runner as the built binary, with people of its own: as whom agents run and with what, and what goes wrong before
//! they do. Beside it: what is refused, that nothing of a tree is left, files. With systemd it is in `tests/system`.

#![cfg(target_os = "linux")]

mod files;
pub mod machine;
mod refused;
mod tree;

use crate::process::until;
use crate::runner::machine::{
    ANN, BOB, Machine, PROJ, SERVICE, Terminal, agent, can_be_made, folder, foreground, shell, tmp_dirs,
    write,
};
use std::collections::BTreeSet;
use std::fs;
use std::fs::Permissions;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use teleclaude::runner::message::{Exited, Place, Reply, Request, Run};

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
        (below("\x1b[2Jx"), "working directory /mnt/shop/\\u{1b}[2Jx: ENOENT: No such file or directory"),
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

#[test]
fn an_agent_is_wired_by_files_of_its_owners_own_in_its_temporary_folder() {
    if !can_be_made("an_agent_is_wired_by_files_of_its_owners_own_in_its_temporary_folder") {
        return;
    }
    let machine = Machine::new(
        "  wired: { enabled: true, command: /bin/sh, args: [-c, 'echo given $*; exec sh -i', wired], profiles: { full: [] }, transcript: claude, hooks: true }\n",
    );
    let (mut call, mut terminal, pid) = machine.run(agent("wired"));
    let tmp_dir = environ(pid).iter().find_map(|e| e.strip_prefix("TMPDIR=").map(str::to_owned)).unwrap();
    let said = terminal.until("mcp.json").to_owned();
    assert!(said.contains("given --settings /tmp/teleclaude-"), "{said}");
    for name in ["hooks.json", "mcp.json"] {
        use std::os::unix::fs::MetadataExt;
        let path = Path::new(&tmp_dir).join(name);
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (ANN, 0o600), "{name}");
        let text = fs::read_to_string(&path).unwrap();
        // The program beside the runner, whoever asks.
        assert!(text.contains(env!("CARGO_BIN_EXE_teleclaude")), "{text}");
        assert!(!text.contains("not-a-real-token"), "{text}");
    }
    terminal.enter("exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    assert!(tmp_dirs().is_empty(), "{:?}", tmp_dirs());
}
