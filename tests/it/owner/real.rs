//! The runner itself, people of its own, and a daemon that is the service user's: as on a machine, but for systemd.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::owner::{EXE, shown};
use crate::process::{World, until};
use crate::runner::machine::{ANN, BOB, EVE, Machine, SERVICE, can_be_made, folder, lives, mount, run_as};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use teleclaude::platform::process;

const SHELL: &str = "  shell: { enabled: true, command: /bin/sh, args: [-i], profiles: { full: [] } }
  keen:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo $1 at $(pwd) on $(git branch --show-current) as $(id -un); exec sleep 600', keen]
    native_id: [began, '{id}']
    resume: [again, '{id}']
    profiles: { full: [] }
";

struct Real {
    world: World,
    /// Pids of the runners, in the order in which they were started.
    runners: Arc<Mutex<Vec<i32>>>,
}

impl Real {
    fn new() -> Self {
        let machine = Machine::new(SHELL);
        folder("/mnt/shop/api", ANN);
        fs::write("/mnt/teleclaude", "").unwrap();
        mount(EXE, "/mnt/teleclaude", "", libc::MS_BIND, "");
        let runners: Arc<Mutex<Vec<i32>>> = Arc::default();
        let each = Arc::clone(&runners);
        // What this thread starts has its mounts.
        std::thread::spawn(move || {
            loop {
                let mut runner = machine.start();
                each.lock().unwrap().push(runner.id().cast_signed());
                std::thread::spawn(move || runner.wait());
            }
        });
        let config = format!(
            "people:
  - {{ name: ann, os_uid: {ANN}, role: member }}
  - {{ name: bob, os_uid: {BOB}, role: admin }}
roles: {{ member: {{ profile: full }} }}
projects: [ {{ name: shop, path: /mnt/shop }} ]
agents:
  default: shell
{SHELL}"
        );
        let mut world = World::system(&config)
            .with("TELECLAUDE_RUNNER_SOCKET", "/mnt/runner.sock")
            .run_by(SERVICE, Path::new("/mnt/teleclaude"));
        world.up();
        Self { world, runners }
    }

    /// A running session of ann's, and her agent's pid.
    fn session(&self) -> (String, i32) {
        let ann = self.world.user(ANN);
        let body = json!({ "project": "shop", "subdir": "api", "message": "echo $(id -un):$(pwd):$TMPDIR" });
        let started = ann.post("/sessions", body).unwrap();
        assert_eq!(started.status, 201, "{started:?}");
        let id = started.body["session_id"].as_str().unwrap().to_owned();
        ann.until_status(&id, "running");
        let wanted = "ann:/mnt/shop/api:/tmp/teleclaude-";
        until(wanted, || shown(&self.world.recording(&id)).contains(wanted));
        let agent = self.world.host(&id).unwrap().agent_pid.unwrap();
        (id, agent)
    }

    fn ended(&self, id: &str) -> String {
        let row = self.world.user(ANN).until_status(id, "ended");
        until("its host is gone", || self.world.host(id).is_none());
        row["exit"].as_str().unwrap().to_owned()
    }
}

fn owner(pid: i32) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}")).unwrap().uid()
}

#[test]
fn a_session_is_its_owners_from_the_first_to_the_last() {
    if !can_be_made("a_session_is_its_owners_from_the_first_to_the_last") {
        return;
    }
    let real = Real::new();
    let ann = real.world.user(ANN);
    let (id, agent) = real.session();
    let host = real.world.host(&id).unwrap();
    assert_eq!((owner(agent), owner(host.pid), owner(real.world.pid())), (ANN, SERVICE, SERVICE));
    assert_eq!(host.agent_start_time, process::start_time(agent));
    // Its daemon is told what it does, by the same person, and by nobody else.
    assert_eq!(real.world.user(BOB).session(&id).unwrap()["owner_uid"], ANN);
    assert_eq!(real.world.user(EVE).get(&format!("/sessions/{id}")).unwrap().status, 404);
    let type_line = |line: &str| {
        let sent = ann.post(&format!("/sessions/{id}/messages"), json!({ "message": line })).unwrap();
        assert_eq!(sent.status, 200, "{sent:?}");
    };
    type_line("tty; stat -c %U:%a $(tty); sleep 600");
    until("its terminal is its own", || shown(&real.world.recording(&id)).contains("ann:600"));
    assert_eq!(ann.post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
    let exit = real.ended(&id);
    assert!(exit.starts_with("signal ") || exit.starts_with("code "), "{exit}");
    assert!(!lives(agent));

    let (id, _) = real.session();
    ann.post(&format!("/sessions/{id}/messages"), json!({ "message": "exit 7" })).unwrap();
    assert_eq!(real.ended(&id), "code 7");

    // What the daemon cannot see, the runner finds out.
    for (subdir, why) in [("none", "No such file"), ("api/file", "Not a directory"), ("out", "leads out of")]
    {
        fs::write("/mnt/shop/api/file", "").unwrap();
        let _ = std::os::unix::fs::symlink("/etc", "/mnt/shop/out");
        let started = ann.post("/sessions", json!({ "project": "shop", "subdir": subdir })).unwrap();
        let exit = real.ended(started.body["session_id"].as_str().unwrap());
        assert!(exit.starts_with("failed: working directory /mnt/shop/") && exit.contains(why), "{exit}");
    }
    // Bob may do all, and the folder is not his.
    let started = real.world.user(BOB).post("/sessions", json!({ "project": "shop" })).unwrap();
    let id = started.body["session_id"].as_str().unwrap();
    let row = real.world.user(BOB).until_status(id, "ended");
    assert!(row["exit"].as_str().unwrap().contains("Permission denied"), "{row}");
    let left = fs::read_dir("/tmp").unwrap().flatten();
    let left: Vec<_> = left.filter(|e| e.file_name().to_string_lossy().starts_with("teleclaude-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_session_in_its_owners_worktree_is_lost_and_resumed_there() {
    if !can_be_made("a_session_in_its_owners_worktree_is_lost_and_resumed_there") {
        return;
    }
    let real = Real::new();
    let make = "git init -q -b main . && git config user.email ann@example.org && git config user.name Ann && \
                echo one > file && git add file && git commit -qm one";
    run_as(ANN, "/mnt/shop", make);
    let ann = real.world.user(ANN);
    let body = json!({ "project": "shop", "agent": "keen", "worktree": true });
    let started = ann.post("/sessions", body).unwrap();
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    let row = ann.until_status(&id, "running");
    let text = |field: &str| row[field].as_str().unwrap().to_owned();
    let (path, branch) = (text("worktree_path"), text("worktree_branch"));
    assert!(path.starts_with("/mnt/home/ann/.local/share/teleclaude/worktrees/shop/"), "{path}");
    let shows = |word: &str| {
        let line = format!("{word} at {path} on {branch} as ann");
        until(&line, || shown(&real.world.recording(&id)).contains(&line));
    };
    shows("began");
    let before = real.world.host(&id).unwrap();
    process::kill(before.pid).unwrap();
    assert_eq!(real.ended(&id), "lost");
    // Nobody but an admin who may steer others, and ann.
    assert_eq!(real.world.user(EVE).post(&format!("/sessions/{id}/resume"), json!({})).unwrap().status, 404);
    assert_eq!(ann.post(&format!("/sessions/{id}/resume"), json!({})).unwrap().status, 200);
    ann.until_status(&id, "running");
    shows("again");
    let after = real.world.host(&id).unwrap();
    assert!(!lives(before.agent_pid.unwrap()) && lives(after.agent_pid.unwrap()));
    assert_eq!(owner(after.agent_pid.unwrap()), ANN);
    ann.post(&format!("/sessions/{id}/end"), json!({ "remove_worktree": true })).unwrap();
    real.ended(&id);
    until("it is removed", || ann.session(&id).is_some_and(|row| row.get("worktree_path").is_none()));
    assert!(!Path::new(&path).exists());
}

#[test]
fn what_is_killed_takes_the_agent_with_it_and_the_daemon_does_not() {
    if !can_be_made("what_is_killed_takes_the_agent_with_it_and_the_daemon_does_not") {
        return;
    }
    let mut real = Real::new();
    let (id, agent) = real.session();
    process::kill(real.world.host(&id).unwrap().pid).unwrap();
    assert_eq!(real.ended(&id), "lost");
    assert!(!lives(agent));

    let (id, agent) = real.session();
    let runner = *real.runners.lock().unwrap().last().unwrap();
    process::kill(runner).unwrap();
    assert_eq!(real.ended(&id), "lost");
    assert!(!lives(agent));

    let (id, agent) = real.session();
    let before = real.world.host(&id).unwrap();
    real.world.kill();
    std::thread::sleep(Duration::from_millis(50));
    assert!(lives(agent));
    real.world.up();
    let ann = real.world.user(ANN);
    until("it is the same", || real.world.host(&id) == Some(before.clone()));
    let typed = json!({ "message": "echo again-$((1 + 1)); exit 4" });
    assert_eq!(ann.post(&format!("/sessions/{id}/messages"), typed).unwrap().status, 200);
    assert_eq!(real.ended(&id), "code 4");
    assert!(shown(&real.world.recording(&id)).contains("again-2"));
    let ended = ann.all("/sessions?status=ended", "sessions");
    assert_eq!(ended.iter().filter(|row| row["exit"] == "lost").count(), 2, "{ended:?}");
}
