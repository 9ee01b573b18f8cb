//! That nothing of a run is left, whatever ends it; orders; one run of a session at a time.

use crate::process::until;
use crate::runner::machine::{
    Machine, SERVICE, Terminal, agent, can_be_made, ended, folder, foreground, hide_processes, lives, mount,
    shell, signal, tmp_dirs, write,
};
use nix::sys::signal::Signal;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use teleclaude::runner::message::{Exited, Order, Reply, Request};

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
: > pids
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
fn nothing_is_left_where_proc_hides_the_processes_of_others() {
    if !can_be_made("nothing_is_left_where_proc_hides_the_processes_of_others") {
        return;
    }
    let machine = messy("while :; do sleep 1; done");
    hide_processes();
    let (mut call, _terminal, _) = machine.run(agent("messy"));
    let pids = left_behind();
    assert_eq!(call.close().code(), Some(0));
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
fn what_a_killed_runner_left_behind_is_waited_for() {
    if !can_be_made("what_a_killed_runner_left_behind_is_waited_for") {
        return;
    }
    let machine = Machine::new("");
    // As systemd would show it until it has ended the rest.
    let cgroup = "/system.slice/system-teleclaude\\x2drunner.slice/teleclaude-runner@3-77-0.service";
    mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755");
    let procs = format!("/sys/fs/cgroup{cgroup}/cgroup.procs");
    folder(procs.rsplit_once('/').unwrap().0, 0);
    fs::write(&procs, "4711\n").unwrap();
    let run = shell();
    folder("/mnt/run", 0);
    fs::write(format!("/mnt/run/{}.lock", run.place.session), format!("0::{cgroup}\n")).unwrap();
    assert_eq!(machine.no_run(run.clone()), Reply::Refused("the session is still running".to_owned()));
    fs::write(&procs, "").unwrap();
    let (mut call, mut terminal, _) = machine.run(run);
    terminal.enter("exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
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
