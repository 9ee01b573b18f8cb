//! Sessions that run as their owners: what the daemon asks of the runner, what becomes of a session when host, runner or
//! daemon vanish, and that the daemon looks into nobody's folders. The runner here is a stand-in, so that none of it
//! needs root; it starts `/bin/sh` as whoever runs the tests.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

#[cfg(target_os = "linux")]
mod real;
mod stand_in;

use crate::owner::stand_in::{Manner, StandIn};
use crate::postgres::Cluster;
use crate::process::{PATIENCE, World, said, until};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use teleclaude::daemon::hosts::{HostEvent, HostEventKind, Hosts, Outcome};
use teleclaude::domain::session::{Exit, Profile, SessionId, ThinkingMode};
use teleclaude::host::files;
use teleclaude::host::message::{Message, Typing};
use teleclaude::host::recording::{self, Code};
use teleclaude::host::spec::{Launch, SPEC_VERSION, Size, StartSpec};
use teleclaude::platform::process;
use teleclaude::runner::message::{Native, Order, Place, Reply, Request, Run};
use uuid::Uuid;

const EXE: &str = env!("CARGO_BIN_EXE_teleclaude");

/// A whole daemon whose sessions run as their owners. Its project is a folder that the daemon cannot see.
struct Machine {
    world: World,
    runner: StandIn,
}

const STUBBORN: &str = "trap '' HUP TERM; setsid sleep 600 & echo started; while :; do sleep 0.1; done";

impl Machine {
    fn new(database: Option<String>) -> Self {
        let config = format!(
            "people: [ {{ name: me, os_uid: {}, role: admin }} ]
roles: {{ admin: {{ requests_per_minute: 100000, burst: 10000 }} }}
projects:
  - {{ name: shop, path: /nowhere/that/the/daemon/could/look }}
  - {{ name: till, path: /nowhere/that/the/daemon/could/look/till }}
agents:
  default: shell
  shell: {{ enabled: true, command: /bin/sh, env: [INVENTED_KEY, OTHER_KEY], share_system_keys: true }}
  plain: {{ enabled: true, command: /bin/sh, env: [INVENTED_KEY], profiles: {{ full: [] }} }}
  keen: {{ enabled: true, command: /bin/sh, native_id: ['{{id}}'], resume: ['{{id}}'], profiles: {{ full: [] }} }}
",
            process::own_uid()
        );
        let mut world = World::system(&config);
        let socket = world.path("runner.sock");
        world = world
            .with("TELECLAUDE_RUNNER_SOCKET", &socket.display().to_string())
            .with("OF_THE_DAEMON", "invented-and-not-for-agents");
        if let Some(url) = database {
            world = world.with("TELECLAUDE_DATABASE__URL", &url);
        }
        let secrets = world.path("etc/secrets.yml");
        fs::write(&secrets, "INVENTED_KEY: an-invented-value\n").unwrap();
        fs::set_permissions(secrets, fs::Permissions::from_mode(0o600)).unwrap();
        let runner = StandIn::listen(&socket);
        world.up();
        Self { world, runner }
    }

    fn start(&self, body: &Value) -> String {
        let started = self.world.me().post("/sessions", body.clone()).unwrap();
        assert_eq!(started.status, 201, "{started:?}");
        started.body["session_id"].as_str().unwrap().to_owned()
    }

    /// A running session, and the pid of its agent.
    fn session(&self) -> (String, i32) {
        let id = self.start(&json!({ "project": "shop" }));
        self.world.me().until_status(&id, "running");
        let agent = self.world.host(&id).unwrap().agent_pid.unwrap();
        (id, agent)
    }

    fn shows(&self, id: &str, wanted: &str) {
        until(wanted, || shown(&self.world.recording(id)).contains(wanted));
    }

    fn ended(&self, id: &str) -> String {
        self.world.me().until_status(id, "ended")["exit"].as_str().unwrap().to_owned()
    }

    /// Nothing is left of a session: no process, no host, no file.
    fn is_gone(&self, id: &str) {
        until("no process is left", || self.world.living(id, None).is_empty());
        until("its host is gone", || self.world.host(id).is_none());
        until("no file is left", || fs::read_dir(self.world.run_dir()).unwrap().count() == 0);
    }
}

fn shown(recording: &Path) -> String {
    let Ok(events) = recording::read(recording) else { return String::new() };
    events.filter(|event| event.code == Code::Output).map(|event| event.data).collect()
}

fn on_both(test: impl Fn(Machine)) {
    test(Machine::new(None));
    let cluster = Cluster::start();
    test(Machine::new(Some(cluster.database("owner"))));
}

#[test]
fn an_owner_s_own_credential_goes_before_the_shared_one() {
    on_both(|machine| {
        let me = machine.world.me();
        assert_eq!(me.post("/keys", json!({})).unwrap().status, 200);
        for name in ["INVENTED_KEY", "UNLISTED_KEY"] {
            let value = json!({ "value": "an-invented-credential" });
            assert_eq!(me.ask("PUT", &format!("/credentials/{name}"), Some(value)).unwrap().status, 200);
        }
        let own = [("INVENTED_KEY".to_owned(), "an-invented-credential".to_owned())];
        for (asked, agent) in ["shell", "plain"].into_iter().enumerate() {
            let id = machine.start(&json!({ "project": "shop", "agent": agent }));
            me.until_status(&id, "running");
            let (run, _) = machine.runner.asked().remove(asked);
            assert_eq!(run.values, own, "{agent}");
        }
        assert!(!machine.world.log().contains("invented"), "{}", machine.world.log());
    });
}

#[test]
fn the_runner_is_asked_for_what_was_asked_for_and_told_nothing_else() {
    on_both(|machine| {
        let me = machine.world.me();
        let id = machine.start(&json!({
            "project": "shop", "subdir": "./api//v1/", "thinking_mode": "fast", "message": "echo typed-$((40 + 2))",
        }));
        me.until_status(&id, "running");
        machine.shows(&id, "subject to admin audit");
        machine.shows(&id, "\r\ntyped-42\r\n");
        let (run, mode) = machine.runner.asked().remove(0);
        let place = Place {
            uid: process::own_uid(),
            session: SessionId(id.parse::<Uuid>().unwrap()),
            project: "shop".to_owned(),
        };
        assert_eq!((&run.place, mode), (&place, 0o600));
        assert_eq!((run.subdir.as_deref(), run.worktree), (Some("api/v1"), false));
        assert_eq!(
            (run.agent.as_str(), run.profile, run.thinking),
            ("shell", Profile::Full, ThinkingMode::Fast)
        );
        assert!(matches!(run.native, Native::New(_)), "{run:?}");
        assert_eq!(run.values, [("INVENTED_KEY".to_owned(), "an-invented-value".to_owned())]);
        // The token is the session's.
        let who = me.with_token(&run.token).get("/whoami").unwrap();
        assert_eq!(who.body["agent_of"], id.as_str(), "{who:?}");
        // What an agent's config does not share is not sent.
        let other =
            machine.start(&json!({ "project": "/nowhere/that/the/daemon/could/look", "agent": "plain" }));
        me.until_status(&other, "running");
        let (run, _) = machine.runner.asked().remove(1);
        assert_eq!((run.values, run.subdir, run.place.project.as_str()), (vec![], None, "shop"));
        // The host knows nothing of the daemon's, and where the owner's files are.
        let host = machine.world.host(&id).unwrap();
        let of_host = format!("/proc/{}", host.pid);
        assert_eq!(fs::read_to_string(format!("{of_host}/environ")).unwrap_or_default(), "");
        assert!(host.by_runner && host.tmp_dir.is_none());
        for file in ["cmdline", "environ"] {
            let text = fs::read_to_string(format!("{of_host}/{file}")).unwrap_or_default();
            assert!(!text.contains("an-invented-value"), "{text}");
        }
        let ended = machine.world.run(None, &["sessions", "end", "--all"]);
        assert!(ended.status.success() && said(&ended).contains("2 ended, 0 failed"), "{}", said(&ended));
        for id in [&id, &other] {
            assert_ne!(machine.ended(id), "lost");
        }
        machine.is_gone(&id);
        assert!(!machine.world.log().contains("an-invented-value"));
    });
}

#[test]
fn a_worktree_is_the_runners_to_add_and_a_resumption_names_the_agents_own_session() {
    on_both(|machine| {
        let me = machine.world.me();
        let id = machine.start(&json!({ "project": "shop", "agent": "keen", "worktree": true }));
        let row = me.until_status(&id, "running");
        let (path, branch) = (format!("/nowhere/{id}"), format!("teleclaude/{id}"));
        assert_eq!((&row["worktree_path"], &row["worktree_branch"]), (&json!(path), &json!(branch)));
        let (first, _) = machine.runner.asked().remove(0);
        let Native::New(native) = first.native else { panic!("{first:?}") };
        assert!(first.worktree);
        assert_eq!(row["native_session_id"], json!(native));
        me.post(&format!("/sessions/{id}/end"), json!({})).unwrap();
        machine.ended(&id);
        assert_eq!(me.post(&format!("/sessions/{id}/resume"), json!({})).unwrap().status, 200);
        me.until_status(&id, "running");
        let (again, _) = machine.runner.asked().remove(1);
        assert_eq!((&again.native, again.worktree), (&Native::Resume(native.to_string()), true));
        assert_eq!((&again.place, again.agent.as_str()), (&first.place, "keen"));
        assert_ne!(again.token, first.token);
        me.post(&format!("/sessions/{id}/end"), json!({ "remove_worktree": true })).unwrap();
        machine.ended(&id);
        until("it is removed", || me.session(&id).is_some_and(|row| row.get("worktree_path").is_none()));
        let (add, remove) = (Request::AddWorktree(first.place.clone()), Request::RemoveWorktree(first.place));
        assert_eq!(machine.runner.shared().worktrees, [add.clone(), add, remove]);
        machine.is_gone(&id);
    });
}

#[test]
fn only_the_text_of_a_place_is_looked_at_and_nothing_leads_out_of_it() {
    let machine = Machine::new(None);
    let me = machine.world.me();
    for subdir in ["../x", "a/../../x", "/etc", "", "a\u{0}b"] {
        let refused = me.post("/sessions", json!({ "project": "shop", "subdir": subdir })).unwrap();
        assert_eq!(
            (refused.status, &refused.body["field"]),
            (422, &json!("subdir")),
            "{subdir}: {refused:?}"
        );
    }
    let refused = me.post("/sessions", json!({ "project": "/etc" })).unwrap();
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(machine.runner.asked().is_empty());
    // A folder that lies in two projects is the inner one's.
    let id = machine.start(&json!({ "project": "/nowhere/that/the/daemon/could/look/till/drawer" }));
    machine.world.me().until_status(&id, "running");
    let (run, _) = machine.runner.asked().remove(0);
    assert_eq!((run.place.project.as_str(), run.subdir.as_deref()), ("till", Some("drawer")));
}

#[test]
fn what_the_runner_says_no_to_is_the_sessions_end() {
    on_both(|machine| {
        for (manner, exit) in [
            (Manner::Says(Reply::Refused("uid 0".to_owned())), "failed: the runner refused: uid 0"),
            (
                Manner::Says(Reply::Failed("shop/x: no such folder".to_owned())),
                "failed: shop/x: no such folder",
            ),
            (Manner::Leaves, "failed: teleclaude-runner did not say that the agent runs"),
            (Manner::Says(Reply::Removed), "failed: teleclaude-runner did not say that the agent runs"),
        ] {
            machine.runner.behave(manner.clone());
            let id = machine.start(&json!({ "project": "shop", "message": "nobody hears this" }));
            let got = machine.ended(&id);
            assert!(got.starts_with(exit), "{manner:?}: {got}");
            machine.is_gone(&id);
        }
    });
}

#[test]
fn without_the_runners_socket_nothing_is_started_and_it_is_said_how_to_mend_it() {
    let machine = Machine::new(None);
    fs::remove_file(machine.world.path("runner.sock")).unwrap();
    let refused = machine.world.me().post("/sessions", json!({ "project": "shop" })).unwrap();
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("needs_runner")), "{refused:?}");
    let hint = refused.body["hint"].as_str().unwrap();
    assert!(
        cfg!(target_os = "macos") || hint.contains("systemctl enable --now teleclaude-runner.socket"),
        "{hint}"
    );
    assert_eq!(machine.world.me().all("/sessions", "sessions"), Vec::<Value>::new());
    // What failed is in the log with who asked.
    let log = machine.world.log();
    let line = log.lines().find(|line| line.contains("not by its asker")).unwrap();
    let uid = format!("uid={}", process::own_uid());
    for field in ["request_id=", uid.as_str(), "person=\"me\"", "action=\"session.start\""] {
        assert!(line.contains(field), "{field}: {line}");
    }
    // A socket that nobody listens on is found out by the host.
    drop(UnixListener::bind(machine.world.path("runner.sock")).unwrap());
    let id = machine.start(&json!({ "project": "shop" }));
    let exit = machine.ended(&id);
    assert!(exit.starts_with("failed: the runner: ") && exit.contains("runner.sock"), "{exit}");
}

#[test]
fn an_agents_own_end_is_the_sessions() {
    let machine = Machine::new(None);
    machine.runner.behave(Manner::Runs("setsid sleep 600 & echo bye; exit 7", Duration::ZERO));
    let id = machine.start(&json!({ "project": "shop" }));
    assert_eq!(machine.ended(&id), "code 7");
    assert!(shown(&machine.world.recording(&id)).contains("bye"));
    machine.is_gone(&id);
}

#[test]
fn an_end_that_is_asked_for_ends_the_stubborn_too() {
    let machine = Machine::new(None);
    machine.runner.behave(Manner::Runs(STUBBORN, Duration::ZERO));
    let (id, _) = machine.session();
    machine.shows(&id, "started");
    assert_eq!(machine.world.me().post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
    assert_eq!(machine.ended(&id), "signal 9");
    machine.is_gone(&id);
    assert!(machine.runner.shared().orders.contains(&Order::End { grace_ms: 5_000 }));
}

#[test]
fn a_session_whose_host_is_killed_is_lost_only_once_its_agent_is_gone() {
    on_both(|machine| {
        machine.runner.behave(Manner::Runs(STUBBORN, Duration::from_secs(1)));
        let (id, agent) = machine.session();
        machine.shows(&id, "started");
        let host = machine.world.host(&id).unwrap();
        assert_eq!((host.agent_pid, host.agent_start_time), (Some(agent), process::start_time(agent)));
        assert!(host.agent_start_time.is_some());
        process::kill(host.pid).unwrap();
        assert_eq!(machine.ended(&id), "lost");
        assert_eq!(process::start_time(agent), None, "it was waited for");
        machine.is_gone(&id);
    });
}

#[test]
fn a_session_whose_runner_is_killed_is_lost_once_the_terminal_has_hung_up() {
    on_both(|machine| {
        machine.runner.behave(Manner::Runs(
            "echo up; trap '' HUP TERM; while :; do sleep 0.1; done",
            Duration::from_secs(1),
        ));
        let (id, agent) = machine.session();
        machine.shows(&id, "up");
        assert!(process::start_time(agent).is_some());
        machine.runner.shared().killed = true;
        assert_eq!(machine.ended(&id), "lost");
        assert_eq!(process::start_time(agent), None, "it was waited for");
        machine.is_gone(&id);
    });
}

#[test]
fn an_agent_that_outlives_its_runner_for_long_is_waited_for_all_the_same() {
    let machine = Machine::new(None);
    let script = "echo up; trap '' HUP TERM; while :; do sleep 0.1; done";
    machine.runner.behave(Manner::Runs(script, Duration::from_secs(9)));
    let (id, agent) = machine.session();
    machine.shows(&id, "up");
    let host = machine.world.host(&id).unwrap();
    machine.runner.shared().killed = true;
    let exit = machine.world.state().join("exits").join(format!("{id}.json"));
    until("the host has given up", || exit.exists() || machine.world.host(&id).is_none());
    // In this order: who is ended by the row is gone.
    let row = machine.world.me().session(&id).unwrap();
    let alive = process::is_alive(agent, host.agent_start_time.unwrap());
    assert!(row["status"] == "running" || !alive, "{row}");
    assert_eq!(machine.ended(&id), "lost");
    assert_eq!(process::start_time(agent), None, "it was waited for");
    machine.is_gone(&id);
}

#[test]
fn a_killed_daemon_takes_nothing_with_it_and_the_next_one_finds_everything() {
    on_both(|mut machine| {
        let (id, agent) = machine.session();
        let (lost, of_lost) = machine.session();
        let before = machine.world.host(&id).unwrap();
        machine.world.kill();
        // One host dies while no daemon is there.
        let host = machine.world.host(&lost).unwrap();
        process::kill(host.pid).unwrap();
        until("it is dead", || process::start_time(of_lost).is_none());
        machine.world.up();
        let me = machine.world.me();
        assert_eq!(machine.ended(&lost), "lost");
        assert_eq!(me.until_status(&id, "running")["status"], "running");
        assert_eq!(machine.world.host(&id).unwrap(), before);
        assert!(process::is_alive(agent, before.agent_start_time.unwrap()));
        let typed =
            me.post(&format!("/sessions/{id}/messages"), json!({ "message": "echo again-$((1 + 1))" }));
        assert_eq!(typed.unwrap().status, 200);
        machine.shows(&id, "\r\nagain-2\r\n");
        let ended = machine.world.run(None, &["sessions", "end", &id]);
        assert!(ended.status.success(), "{}", said(&ended));
        machine.ended(&id);
        machine.is_gone(&id);
        assert_eq!(machine.runner.asked().len(), 2, "no agent was started twice");
    });
}

/// A control group as the service manager makes one for an instance of the runner. None where this user may not.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let name = format!("teleclaude-runner@1-{}-995.service", std::process::id());
        let roots = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let made = roots
            .iter()
            .map(|root| Path::new(root).join(&name))
            .find(|path| fs::create_dir(path).is_ok() && path.join("cgroup.procs").exists());
        if made.is_none() {
            let _ = writeln!(std::io::stderr(), "no control group may be made here; nothing is shown");
        }
        made.map(Self)
    }

    fn pids(&self) -> Vec<i32> {
        let pids = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        pids.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..200 {
            for pid in self.pids() {
                let _ = process::kill(pid);
            }
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn whoever_asks_from_a_runners_control_group_is_its_sessions_agent_without_a_token_too() {
    let Some(group) = Group::new() else { return };
    let mut machine = Machine::new(None);
    let (other, _) = machine.session();
    machine.runner.shared().group = Some(group.0.clone());
    let socket = machine.world.socket();
    let ask = format!(
        "echo ready; while read -r words; do env -i '{EXE}' --socket '{}' --json $words 2>&1 | tr -d '\r\n '; echo; done",
        socket.display()
    );
    machine.runner.behave(Manner::Runs(Box::leak(ask.into_boxed_str()), Duration::ZERO));
    let (id, agent) = machine.session();
    assert!(group.pids().contains(&agent));
    let says = |words: &str, wanted: &str| {
        let message = json!({ "message": words });
        let sent = machine.world.me().post(&format!("/sessions/{id}/messages"), message).unwrap();
        assert_eq!(sent.status, 200, "{sent:?}");
        // Lines are folded to the terminal's width.
        let folded = || shown(&machine.world.recording(&id)).replace(['\r', '\n'], "");
        until(wanted, || folded().contains(wanted));
        folded()
    };
    says("whoami", &format!("\"agent_of\":\"{id}\""));
    let listed = says("sessions", "\"next_cursor\"");
    assert!(!listed.contains(&other), "an agent sees nothing else of its human's: {listed}");
    says("audit list", "error:");
    // Who lies elsewhere is the human.
    let human = machine.world.run_json(None, &["whoami"]);
    assert!(human.get("agent_of").is_none_or(Value::is_null), "{human}");
    // The next daemon finds it out again.
    machine.world.kill();
    machine.world.up();
    machine.world.me().until_status(&id, "running");
    until("the host is claimed", || machine.world.log().matches("session hosts adopted live=2").count() == 1);
    let before = shown(&machine.world.recording(&id)).matches("agent_of").count();
    let message = json!({ "message": "whoami" });
    machine.world.me().post(&format!("/sessions/{id}/messages"), message).unwrap();
    until("it is the agent again", || {
        shown(&machine.world.recording(&id)).matches("agent_of").count() > before
    });
}

/// One host and the stand-in, without a daemon's rows.
struct Bare {
    dir: tempfile::TempDir,
    session: SessionId,
    hosts: Hosts,
    events: tokio::sync::mpsc::Receiver<HostEvent>,
    runner: StandIn,
}

impl Bare {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("tcr").tempdir_in("/tmp").unwrap();
        let (sender, events) = tokio::sync::mpsc::channel(256);
        let hosts = Hosts::new(dir.path().join("run"), dir.path().join("state"), EXE.into(), sender);
        let runner = StandIn::listen(&dir.path().join("runner.sock"));
        Self { session: SessionId(Uuid::now_v7()), hosts, events, runner, dir }
    }

    async fn start(&self) {
        let paths = self.hosts.paths(self.session);
        let request = Run {
            place: Place { uid: process::own_uid(), session: self.session, project: "shop".to_owned() },
            subdir: None,
            worktree: false,
            agent: "shell".to_owned(),
            profile: Profile::Full,
            thinking: ThinkingMode::Slow,
            native: Native::New(Uuid::from_u128(1)),
            token: "not-a-real-token".to_owned(),
            values: vec![],
        };
        let spec = StartSpec {
            version: SPEC_VERSION,
            session_id: self.session,
            run_dir: self.hosts.run_dir().to_owned(),
            recording_path: paths.recording,
            socket_path: paths.socket,
            exit_path: paths.exit,
            launch: Launch::Runner { socket: self.dir.path().join("runner.sock"), request },
            size: Size { cols: 80, rows: 24 },
            scrollback_lines: 1_000,
            fsync_ms: 250,
            max_bytes: 1 << 20,
            strict: false,
            record_input: false,
            notice: None,
            title: None,
            first_message: None,
            lease: "a lease".to_owned(),
        };
        self.hosts.start(spec).await.unwrap();
    }

    async fn event<T>(&mut self, mut want: impl FnMut(&HostEventKind) -> Option<T>) -> T {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.expect("events go on");
                if let Some(found) = want(&event.kind) {
                    return found;
                }
            }
        })
        .await
        .expect("the event comes")
    }

    async fn running(&mut self) -> i32 {
        self.event(|kind| match kind {
            HostEventKind::Running { agent_pid } => Some(*agent_pid),
            _ => None,
        })
        .await
    }

    async fn exited(&mut self) -> Exit {
        self.event(|kind| match kind {
            HostEventKind::Exited { exit, .. } => Some(exit.clone()),
            _ => None,
        })
        .await
    }

    async fn line(&self, id: &str, text: &str) -> Outcome {
        let message = Message { id: id.to_owned(), text: text.to_owned(), typing: Typing::Line };
        self.hosts.send(self.session, message).await.unwrap()
    }

    async fn screen_with(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.hosts.snapshot(self.session, 1_000).await.unwrap().text;
            if text.contains(wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "no `{wanted}` in {text:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let run = files::run_path(self.hosts.run_dir(), self.session);
        if let Ok(run) = files::read::<files::RunFile>(&run)
            && process::is_alive(run.pid, run.start_time)
        {
            let _ = process::kill(run.pid);
        }
        for pid in process::marked(&StartSpec::mark(self.session), None, process::own_uid()) {
            let _ = process::kill(pid);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupt_reaches_the_foreground_job_and_not_the_agent() {
    let mut bare = Bare::new();
    bare.runner.behave(Manner::Runs("exec /bin/sh -i", Duration::ZERO));
    bare.start().await;
    let agent = bare.running().await;
    bare.line("a", "sh -c 'trap \"echo interrupted; exit 3\" INT; echo trap-$((1+1)); while :; do sleep 0.1; done'; echo left-$?")
        .await;
    bare.screen_with("trap-2").await;
    bare.hosts.signal(bare.session, 2).await.unwrap();
    bare.screen_with("\ninterrupted").await;
    bare.screen_with("\nleft-3").await;
    let group = bare.runner.shared().orders.iter().find_map(|order| match order {
        Order::Signal { signal: 2, group } => Some(*group),
        _ => None,
    });
    assert!(group.is_some_and(|group| group > 1 && group != agent), "{group:?}");
    assert_eq!(bare.line("b", "exit 5").await, Outcome::Delivered);
    assert_eq!(bare.exited().await, Exit::Code(5));
    bare.hosts.acknowledge(bare.session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_runner_that_says_nothing_keeps_no_session_starting_once_it_is_to_end() {
    let mut bare = Bare::new();
    bare.runner.behave(Manner::Hangs);
    bare.start().await;
    bare.hosts.end(bare.session, Duration::ZERO).await.unwrap();
    let exit = bare.exited().await;
    assert!(matches!(&exit, Exit::Failed(why) if why.contains("did not say")), "{exit:?}");
    bare.hosts.acknowledge(bare.session).await;
}
