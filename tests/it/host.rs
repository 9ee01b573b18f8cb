//! Session hosts as real processes: their whole life, what they survive, and what they leave behind (nothing).
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use crate::streams;
use proptest::prelude::*;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use teleclaude::daemon::hosts::{HostError, HostEvent, HostEventKind, Hosts, Outcome};
use teleclaude::domain::session::{Exit, SessionActivity, SessionId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::host::client::Receiver;
use teleclaude::host::files;
use teleclaude::host::message::{Message, Typing};
use teleclaude::host::protocol::{FromHost, Hello, PROTOCOL_VERSION, ToHost};
use teleclaude::host::recording::{self, Code, Event, Header, Reader, Writer};
use teleclaude::host::screen::Decoder;
use teleclaude::host::spec::{Launch, Program, SPEC_VERSION, Size, StartSpec};
use teleclaude::host::text;
use teleclaude::platform::process;
use tokio::sync::mpsc;

const EXE: &str = env!("CARGO_BIN_EXE_teleclaude");
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon's part of the world: folders, hosts, events. Ends what it started.
struct World {
    dir: tempfile::TempDir,
    session: SessionId,
    hosts: Hosts,
    events: mpsc::Receiver<HostEvent>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (hosts, events) = hosts(dir.path());
        Self { dir, session: SessionId(uuid::Uuid::now_v7()), hosts, events }
    }

    /// A new daemon that knows nothing; the old one is gone.
    fn restart_daemon(&mut self) {
        (self.hosts, self.events) = hosts(self.dir.path());
    }

    fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    fn spec(&self, argv: &[&str]) -> StartSpec {
        let paths = self.hosts.paths(self.session);
        let env = [("PATH", "/usr/bin:/bin"), ("TERM", "xterm-256color"), ("PS1", "$ ")];
        let mut env: Vec<(String, String)> =
            env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        env.push(("TELECLAUDE_SESSION".to_owned(), self.session.to_string()));
        StartSpec {
            version: SPEC_VERSION,
            session_id: self.session,
            run_dir: self.run_dir(),
            recording_path: paths.recording,
            socket_path: paths.socket,
            exit_path: paths.exit,
            launch: Launch::Own(Program {
                argv: argv.iter().map(|a| (*a).to_owned()).collect(),
                env,
                cwd: self.dir.path().to_owned(),
                tmp_dir: Some(paths.tmp),
                files: Vec::new(),
            }),
            size: Size { cols: 80, rows: 24 },
            scrollback_lines: 1_000,
            fsync_ms: 250,
            max_bytes: 64 << 20,
            strict: false,
            record_input: false,
            notice: None,
            title: None,
            first_message: None,
            lease: "a lease".to_owned(),
        }
    }

    async fn event<T>(&mut self, mut want: impl FnMut(&HostEventKind) -> Option<T>) -> T {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.expect("events go on");
                assert_eq!(event.session, self.session);
                if let Some(found) = want(&event.kind) {
                    return found;
                }
            }
        })
        .await
        .expect("the event comes")
    }

    async fn exited(&mut self) -> Exit {
        self.event(|kind| match kind {
            HostEventKind::Exited { exit, .. } => Some(exit.clone()),
            _ => None,
        })
        .await
    }

    async fn agent_pid(&mut self) -> i32 {
        self.event(|kind| match kind {
            HostEventKind::Running { agent_pid } => Some(*agent_pid),
            _ => None,
        })
        .await
    }

    /// The screen, once `wanted` stands on it.
    async fn screen_with(&self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.hosts.snapshot(self.session, 1_000).await.unwrap().text;
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < deadline, "no `{wanted}` in {text:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn line(&self, id: &str, text: &str) -> Outcome {
        let message = Message { id: id.to_owned(), text: text.to_owned(), typing: Typing::Line };
        self.hosts.send(self.session, message).await.unwrap()
    }

    fn recording(&self) -> Vec<Event> {
        recording::read(&self.hosts.paths(self.session).recording).unwrap().collect()
    }

    fn recorded(&self, code: Code) -> String {
        self.recording().into_iter().filter(|e| e.code == code).map(|e| e.data).collect()
    }

    fn living(&self) -> Vec<i32> {
        process::marked(&StartSpec::mark(self.session), None, process::own_uid())
    }

    fn files_in_run_dir(&self) -> Vec<PathBuf> {
        fs::read_dir(self.run_dir()).unwrap().map(|e| e.unwrap().path()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(run) = files::read::<files::RunFile>(&files::run_path(&self.run_dir(), self.session))
            && process::is_alive(run.pid, run.start_time)
        {
            let _ = process::kill(run.pid);
        }
        for pid in self.living() {
            let _ = process::kill(pid);
        }
    }
}

fn hosts(dir: &Path) -> (Hosts, mpsc::Receiver<HostEvent>) {
    let (sender, events) = mpsc::channel(256);
    (Hosts::new(dir.join("run"), dir.join("state"), PathBuf::from(EXE), sender), events)
}

fn own(spec: &mut StartSpec) -> &mut Program {
    match &mut spec.launch {
        Launch::Own(program) => program,
        Launch::Runner { .. } => panic!("not the host's own"),
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn output_until(receiver: &mut Receiver, wanted: &str) -> Vec<(u64, Vec<u8>)> {
    let mut got: Vec<(u64, Vec<u8>)> = Vec::new();
    loop {
        let all: Vec<u8> = got.iter().flat_map(|(_, b)| b.clone()).collect();
        if String::from_utf8_lossy(&all).contains(wanted) {
            return got;
        }
        let frame = tokio::time::timeout(PATIENCE, receiver.next()).await.unwrap().unwrap().unwrap();
        if let FromHost::Output { seq, bytes } = frame {
            got.push((seq, bytes));
        }
    }
}

#[tokio::test]
async fn a_session_lives_is_recorded_and_ends() {
    let mut w = World::new();
    let mut spec = w.spec(&["/bin/sh"]);
    spec.notice = Some("this is watched".to_owned());
    spec.title = Some("a title".to_owned());
    let secret = "echo from-the-first-message";
    spec.first_message =
        Some(Message { id: "first".to_owned(), text: secret.to_owned(), typing: Typing::Line });
    let started = w.hosts.start(spec).await.unwrap();
    let agent = w.agent_pid().await;
    for pid in [started.pid, agent] {
        let argv = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!argv.contains("first-message") && !argv.contains("lease"), "{argv}");
    }
    assert_eq!(fs::read_to_string(format!("/proc/{}/environ", started.pid)).unwrap_or_default(), "");
    w.event(|kind| match kind {
        HostEventKind::MessageState { message_id, .. } if message_id == "first" => Some(()),
        _ => None,
    })
    .await;
    w.screen_with("\nfrom-the-first-message").await;
    w.event(|kind| (*kind == HostEventKind::Activity(SessionActivity::Idle)).then_some(())).await;
    assert_eq!(w.line("again", "echo one; sleep 0.3; exit 7").await, Outcome::Delivered);
    assert_eq!(w.exited().await, Exit::Code(7));

    let paths = w.hosts.paths(w.session);
    for path in [&paths.recording, &paths.exit, &files::run_path(&w.run_dir(), w.session)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    assert_eq!(fs::metadata(&paths.socket).unwrap().permissions().mode() & 0o077, 0);
    let shown = w.recorded(Code::Output);
    assert!(shown.starts_with("this is watched\r\n") && shown.contains("\r\nfrom-the-first-message\r\n"));
    assert_eq!(w.recorded(Code::Exit), "7");
    assert_eq!(w.recorded(Code::Input), "");
    let text = text::render(&paths.recording, None, None, text::Limits::default()).unwrap();
    assert!(text.lines.iter().any(|l| l.text == "from-the-first-message"), "{text:?}");

    w.hosts.acknowledge(w.session).await;
    assert!(!process::is_alive(started.pid, started.start_time));
    assert_eq!(w.files_in_run_dir(), Vec::<PathBuf>::new());
    assert!(!paths.exit.exists() && !paths.tmp.exists());
    assert!(matches!(w.hosts.snapshot(w.session, 0).await, Err(HostError::NoHost)));
}

#[tokio::test]
async fn a_host_survives_its_starter_and_is_adopted() {
    let mut w = World::new();
    let spec = w.dir.path().join("spec.json");
    fs::write(&spec, serde_json::to_vec(&w.spec(&["/bin/sh"])).unwrap()).unwrap();
    let script = format!("'{EXE}' session-host <'{}'; sleep 1000", spec.display());
    let mut starter = Command::new("/bin/sh").arg("-c").arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut answer = [0; 14];
    starter.stdout.take().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(&answer, br#"{"ready":"up","#.first_chunk().unwrap());
    starter.kill().unwrap();
    starter.wait().unwrap();

    let adoption = w.hosts.adopt().await.unwrap();
    assert_eq!((adoption.live, adoption.gone), (vec![w.session], vec![]));
    let agent = w.agent_pid().await;
    assert_eq!(w.line("a", "echo before").await, Outcome::Delivered);
    w.screen_with("\nbefore").await;

    // The next daemon takes the host; the earlier one loses it.
    let earlier = w.hosts.clone();
    w.restart_daemon();
    assert_eq!(w.hosts.adopt().await.unwrap().live, [w.session]);
    assert_eq!(w.agent_pid().await, agent);
    let deadline = Instant::now() + PATIENCE;
    while earlier.end(w.session, Duration::ZERO).await.is_ok() {
        assert!(Instant::now() < deadline, "the earlier daemon still holds the host");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(w.hosts.start(w.spec(&["/bin/sh"])).await, Err(HostError::AlreadyRunning)));
    let stranger = hosts(w.dir.path()).0;
    assert!(matches!(stranger.start(w.spec(&["/bin/sh"])).await, Err(HostError::AlreadyRunning)));
    assert_eq!(w.line("a", "echo twice").await, Outcome::Delivered, "a known id is not typed again");
    assert_eq!(w.line("b", "echo after").await, Outcome::Delivered);
    let screen = w.screen_with("\nafter").await;
    assert!(screen.contains("\nbefore") && !screen.contains("twice"), "{screen}");
    w.hosts.end(w.session, Duration::from_secs(1)).await.unwrap();
    w.exited().await;
    let shown = w.recorded(Code::Output);
    assert!(shown.contains("\r\nbefore\r\n") && shown.contains("\r\nafter\r\n"));
    w.hosts.acknowledge(w.session).await;
}

const ESCAPEES: &str = "setsid nohup sleep 1000 >/dev/null 2>&1 & (setsid sh -c 'sleep 1001 & sleep 1002' &) ; \
                        sleep 1003 & trap '' HUP TERM; echo all-started; while :; do sleep 1; done";

#[tokio::test]
async fn nothing_is_left_when_a_host_is_killed() {
    let mut w = World::new();
    let started = w.hosts.start(w.spec(&["/bin/sh", "-c", ESCAPEES])).await.unwrap();
    let agent = w.agent_pid().await;
    w.screen_with("all-started").await;
    until("all sleep", || w.living().len() >= 6).await;
    process::kill(started.pid).unwrap();
    assert_eq!(w.exited().await, Exit::Lost);
    assert_eq!(w.living(), Vec::<i32>::new());
    assert_eq!(process::start_time(agent), None);
    assert_eq!(w.recorded(Code::Exit), "137");
    assert!(w.recorded(Code::Marker).contains("lost"));

    // A daemon that dies before it kept the exit hears of it again.
    w.restart_daemon();
    assert_eq!(w.hosts.adopt().await.unwrap().gone, [w.session]);
    assert_eq!(w.exited().await, Exit::Lost);
    w.hosts.acknowledge(w.session).await;
    assert_eq!(w.files_in_run_dir(), Vec::<PathBuf>::new());
    assert_eq!(w.hosts.adopt().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_host_that_vanished_while_no_daemon_ran_is_swept_at_adoption() {
    let mut w = World::new();
    let started = w.hosts.start(w.spec(&["/bin/sh", "-c", ESCAPEES])).await.unwrap();
    w.screen_with("all-started").await;
    w.restart_daemon();
    process::kill(started.pid).unwrap();
    // Its threads end one by one: it is dead when the last one has let go of the lock.
    let locked = || files::is_locked(&w.run_dir(), w.session);
    until("the host is dead", || !process::is_alive(started.pid, started.start_time) && !locked()).await;
    // A torn last line, as a power cut leaves it.
    let path = w.hosts.paths(w.session).recording;
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"[0.1, \"o\", \"half").unwrap();
    assert_eq!(w.hosts.adopt().await.unwrap().gone, [w.session]);
    assert_eq!(w.exited().await, Exit::Lost);
    assert_eq!(w.living(), Vec::<i32>::new());
    assert_valid(&path);
    assert_eq!(w.recorded(Code::Exit), "137");
    w.hosts.acknowledge(w.session).await;
}

#[tokio::test]
async fn ending_a_session_ends_the_whole_tree() {
    let mut w = World::new();
    // Without the mark in the environment, too: the host is the parent of every orphan.
    let script = format!("env -i /usr/bin/setsid /bin/sleep 2001 & echo pid=$!; {ESCAPEES}");
    let started = w.hosts.start(w.spec(&["/bin/sh", "-c", &script])).await.unwrap();
    w.screen_with("all-started").await;
    until("all sleep", || w.living().len() >= 6).await;
    let below = process::descendants(started.pid);
    assert!(below.len() >= 7, "{below:?}");
    w.hosts.end(w.session, Duration::from_millis(300)).await.unwrap();
    assert_eq!(w.exited().await, Exit::Signal(9));
    assert_eq!(w.living(), Vec::<i32>::new());
    assert_eq!(process::descendants(started.pid), Vec::<i32>::new());
    assert!(below.into_iter().all(|pid| process::start_time(pid).is_none()));
    assert_eq!(w.recorded(Code::Exit), "137");
    w.hosts.acknowledge(w.session).await;
}

#[tokio::test]
async fn what_an_agent_leaves_behind_is_ended_with_it() {
    let mut w = World::new();
    w.hosts
        .start(w.spec(&["/bin/sh", "-c", "setsid nohup sleep 1000 & echo bye; kill -USR1 $$"]))
        .await
        .unwrap();
    assert_eq!(w.exited().await, Exit::Signal(10));
    assert_eq!(w.living(), Vec::<i32>::new());
    assert!(w.recorded(Code::Output).contains("bye"));
    assert_eq!(w.recorded(Code::Exit), "138");
    w.hosts.acknowledge(w.session).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_agent_gets_exactly_its_environment_and_three_descriptors() {
    let mut w = World::new();
    let mut spec = w.spec(&["/bin/sh", "-c", "ls -l /proc/self/fd; echo listed; sleep 1000"]);
    let program = own(&mut spec);
    program.env.push(("TELECLAUDE_TOKEN".to_owned(), "not-a-real-token".to_owned()));
    let expected: std::collections::BTreeMap<String, String> = program.env.iter().cloned().collect();
    let tmp = program.tmp_dir.clone().unwrap();
    w.hosts.start(spec).await.unwrap();
    let agent = w.agent_pid().await;
    let screen = w.screen_with("listed").await;
    let environ = fs::read_to_string(format!("/proc/{agent}/environ")).unwrap();
    let got: std::collections::BTreeMap<String, String> = environ
        .split_terminator('\0')
        .map(|e| e.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap())
        .collect();
    assert_eq!(got, expected);
    assert_eq!(fs::metadata(tmp).unwrap().permissions().mode() & 0o777, 0o700);
    // 0, 1, 2 and the folder that ls reads.
    assert_eq!(screen.matches(" -> ").count(), 4, "{screen}");
    assert_eq!(screen.matches("/dev/pts/").count(), 3, "{screen}");
    let stat = fs::read_to_string(format!("/proc/{agent}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let own = agent.to_string();
    assert_eq!((fields[2], fields[3]), (own.as_str(), own.as_str()), "leads its group and session");
    assert_ne!(fields[4], "0", "has a controlling terminal");
}

#[tokio::test]
async fn an_agent_that_cannot_start_is_a_failed_exit() {
    let mut w = World::new();
    w.hosts.start(w.spec(&["/nonexistent/agent"])).await.unwrap();
    let Exit::Failed(why) = w.exited().await else { panic!("not failed") };
    assert!(why.contains("/nonexistent/agent"), "{why}");
    assert_eq!(w.recorded(Code::Exit), "127");
    w.hosts.acknowledge(w.session).await;

    let mut spec = w.spec(&["/bin/sh"]);
    own(&mut spec).cwd = PathBuf::from("/nonexistent/folder");
    w.hosts.start(spec).await.unwrap();
    let Exit::Failed(why) = w.exited().await else { panic!("not failed") };
    assert!(why.contains("/nonexistent/folder"), "{why}");
    w.hosts.acknowledge(w.session).await;
    assert_eq!(w.files_in_run_dir(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_host_that_cannot_start_leaves_nothing() {
    let w = World::new();
    let mut spec = w.spec(&["/bin/sh"]);
    spec.recording_path = PathBuf::from("/proc/no/recording.cast");
    let error = w.hosts.start(spec).await.unwrap_err().to_string();
    assert!(error.contains("recording"), "{error}");
    assert_eq!(w.living(), Vec::<i32>::new());
    assert_eq!(w.files_in_run_dir(), Vec::<PathBuf>::new());
    let mut spec = w.spec(&["/bin/sh"]);
    spec.socket_path = w.run_dir().join("x".repeat(100));
    assert!(matches!(w.hosts.start(spec).await, Err(HostError::Start(why)) if why.contains("at most 100")));
}

#[tokio::test]
async fn a_flood_is_bounded_and_moves_nobody() {
    let mut w = World::new();
    let mut spec =
        w.spec(&["/bin/sh", "-c", "read go; head -c 100000000 /dev/zero | tr '\\0' x; echo; exec sh"]);
    spec.max_bytes = 1 << 20;
    spec.scrollback_lines = 100;
    let started = w.hosts.start(spec).await.unwrap();
    // Subscribes and never reads.
    let (mut slow, mut slow_frames, _) = w.hosts.attach(w.session).await.unwrap();
    slow.send(&ToHost::Subscribe { from: 0 }).await.unwrap();
    slow.send(&ToHost::Write(b"\r".to_vec())).await.unwrap();
    let gap = w
        .event(|kind| match kind {
            HostEventKind::RecordingGap(gap) => Some(gap.clone()),
            _ => None,
        })
        .await;
    assert!(gap.why.contains("limit"), "{gap:?}");
    assert_eq!(w.line("after", "echo after-the-flood-$((1+1))").await, Outcome::Delivered);
    // What was typed may stand in the middle of the flood; what it does comes after.
    w.screen_with("after-the-flood-2").await;
    let status = fs::read_to_string(format!("/proc/{}/status", started.pid)).unwrap_or_default();
    if let Some(rss) = status.lines().find_map(|l| l.strip_prefix("VmRSS:")) {
        let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 64 * 1024, "the host holds {kib} KiB");
    }
    let mut why = None;
    while let Ok(Some(frame)) = tokio::time::timeout(PATIENCE, slow_frames.next()).await.unwrap() {
        if let FromHost::Dropped { why: said } = frame {
            why = Some(said);
        }
    }
    // It may also have been closed before it read that.
    assert!(why.is_none_or(|why| why == "too slow"));
    w.line("end", "exit 0").await;
    assert_eq!(w.exited().await, Exit::Code(0));
    let path = w.hosts.paths(w.session).recording;
    assert!(fs::metadata(&path).unwrap().len() <= 1 << 20);
    assert_valid(&path);
    let notes = w.recorded(Code::Marker);
    assert!(notes.contains("recording stops here") && notes.contains("bytes were left out"), "{notes}");
    w.hosts.acknowledge(w.session).await;
}

#[tokio::test]
async fn strict_ends_the_session_that_cannot_be_recorded() {
    let mut w = World::new();
    let mut spec = w.spec(&["/bin/sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"]);
    spec.max_bytes = 64 << 10;
    spec.strict = true;
    w.hosts.start(spec).await.unwrap();
    assert!(matches!(w.exited().await, Exit::Signal(_)));
    w.hosts.acknowledge(w.session).await;
}

#[tokio::test]
async fn sizes_are_clamped_and_reach_the_agent() {
    let mut w = World::new();
    w.hosts.start(w.spec(&["/bin/sh"])).await.unwrap();
    for (i, (cols, rows, shown)) in
        [(100, 30, "30 100"), (10_000, 10_000, "300 500"), (0, 0, "24 80"), (1, 1, "1 1")]
            .into_iter()
            .enumerate()
    {
        w.hosts.resize(w.session, Size { cols, rows }).await.unwrap();
        w.line(&format!("a{i}"), "stty size").await;
        // On a screen of one cell only the recording shows it.
        until(shown, || w.recorded(Code::Output).contains(&format!("\n{shown}\r"))).await;
    }
    assert_eq!(w.recorded(Code::Resize), "100x30500x30080x241x1");
    w.hosts.end(w.session, Duration::from_millis(100)).await.unwrap();
    w.exited().await;
    w.hosts.acknowledge(w.session).await;
}

#[tokio::test]
async fn signals_reach_the_foreground_and_input_is_recorded_if_wanted() {
    let mut w = World::new();
    let mut spec = w.spec(&["/bin/sh"]);
    spec.record_input = true;
    w.hosts.start(spec).await.unwrap();
    w.line("a", "trap 'echo interrupted' INT; echo trap-$((1+1)); while :; do sleep 0.1; done").await;
    w.screen_with("trap-2").await;
    w.hosts.signal(w.session, 2).await.unwrap();
    w.screen_with("\ninterrupted").await;
    assert!(w.recorded(Code::Input).starts_with("trap 'echo interrupted'"));
    w.hosts.end(w.session, Duration::from_millis(100)).await.unwrap();
    w.exited().await;
    w.hosts.acknowledge(w.session).await;
}

#[tokio::test]
async fn a_late_watcher_gets_what_it_missed_or_the_screen() {
    let w = World::new();
    let script = "stty -echo; echo first; read x; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i of many; \
                  done; echo last; sleep 1000";
    w.hosts.start(w.spec(&["/bin/sh", "-c", script])).await.unwrap();
    w.screen_with("first").await;
    let (mut sender, mut frames, status) = w.hosts.attach(w.session).await.unwrap();
    assert_eq!(status.session, w.session);
    sender.send(&ToHost::Subscribe { from: 0 }).await.unwrap();
    assert_eq!(output_until(&mut frames, "first").await[0].0, 0);
    sender.send(&ToHost::Write(b"\r".to_vec())).await.unwrap();
    let got = output_until(&mut frames, "last").await;
    for pair in got.windows(2) {
        assert_eq!(pair[0].0 + pair[0].1.len() as u64, pair[1].0, "no hole, no overlap");
    }
    let (mut sender, mut frames, _) = w.hosts.attach(w.session).await.unwrap();
    sender.send(&ToHost::Subscribe { from: 0 }).await.unwrap();
    let Some(FromHost::Missed(missed)) = frames.next().await.unwrap() else { panic!("not the screen") };
    assert!(missed.dump.contains("last") && !missed.dump.contains("first"));
}

#[tokio::test]
async fn garbage_closes_only_who_sent_it() {
    let w = World::new();
    w.hosts.start(w.spec(&["/bin/sh"])).await.unwrap();
    let socket = w.hosts.paths(w.session).socket;
    let hello = |lease: &str| {
        ToHost::Hello(Hello { version: PROTOCOL_VERSION, lease: lease.to_owned(), claim: false }).encode()
    };
    let mut long = hello("a lease");
    long.extend_from_slice(&u32::MAX.to_be_bytes());
    let mut bad_json = hello("a lease");
    bad_json.extend_from_slice(&[0, 0, 0, 3, 5, b'{', b'x']);
    let cases = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0, 0, 0, 0],
        vec![0; 64 * 1024],
        hello("another lease"),
        ToHost::End { grace_ms: 0 }.encode(),
        long,
        bad_json,
    ];
    for case in cases {
        let mut stream = StdStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(&case);
        let mut answer = Vec::new();
        // Reset instead of a clean end is as good: it is closed either way.
        if let Err(e) = stream.read_to_end(&mut answer) {
            assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "{case:?}");
        }
    }
    // Half a frame waits, and an unknown kind is answered.
    let mut half = StdStream::connect(&socket).unwrap();
    half.write_all(&hello("a lease")[..7]).unwrap();
    let mut newer = StdStream::connect(&socket).unwrap();
    newer.set_read_timeout(Some(PATIENCE)).unwrap();
    newer.write_all(&[hello("a lease"), vec![0, 0, 0, 2, 77, 1]].concat()).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&seen).contains("{\"kind\":77}") {
        let n = newer.read(&mut buffer).unwrap();
        assert_ne!(n, 0);
        seen.extend_from_slice(&buffer[..n]);
    }
    assert_eq!(w.line("a", "echo still-here").await, Outcome::Delivered);
    w.screen_with("\nstill-here").await;
}

#[tokio::test]
async fn messages_with_the_same_id_are_typed_once() {
    let w = World::new();
    w.hosts.start(w.spec(&["/bin/sh"])).await.unwrap();
    let (a, b, c) =
        tokio::join!(w.line("m", "echo typed"), w.line("m", "echo typed"), w.line("n", "echo next"));
    assert_eq!((a, b, c), (Outcome::Delivered, Outcome::Delivered, Outcome::Delivered));
    w.screen_with("\nnext").await;
    // Its echo and its output.
    assert_eq!(w.recorded(Code::Output).matches("typed").count(), 2);
}

#[tokio::test]
async fn of_many_starts_at_once_one_wins() {
    let mut w = World::new();
    let others: Vec<Hosts> = (0..3).map(|_| hosts(w.dir.path()).0).collect();
    let spec = w.spec(&["/bin/sh"]);
    let (a, b, c, d) = tokio::join!(
        w.hosts.start(spec.clone()),
        w.hosts.start(spec.clone()),
        others[0].start(spec.clone()),
        others[1].start(spec.clone()),
    );
    let mut started = 0;
    for result in [a, b, c, d] {
        match result {
            Ok(_) => started += 1,
            Err(e) => assert!(matches!(e, HostError::AlreadyRunning), "{e}"),
        }
    }
    assert_eq!(started, 1);
    assert_eq!(w.living().len(), 1, "one agent");
    w.restart_daemon();
    assert_eq!(w.hosts.adopt().await.unwrap().live, [w.session]);
    w.agent_pid().await;
    assert_eq!(w.line("a", "exit 0").await, Outcome::Delivered);
    assert_eq!(w.exited().await, Exit::Code(0));
    w.hosts.acknowledge(w.session).await;
}

#[tokio::test]
async fn a_resumed_session_continues_its_recording() {
    let mut w = World::new();
    for run in ["one", "two"] {
        w.hosts.start(w.spec(&["/bin/echo", run])).await.unwrap();
        assert_eq!(w.exited().await, Exit::Code(0));
        w.hosts.acknowledge(w.session).await;
    }
    let path = w.hosts.paths(w.session).recording;
    assert_valid(&path);
    assert_eq!(w.recorded(Code::Output), "one\r\ntwo\r\n");
    let at: Vec<Timestamp> = w.recording().into_iter().map(|e| e.at).collect();
    assert!(at.is_sorted());
    assert!(Timestamp::from(std::time::SystemTime::now()).since(at[at.len() - 1]) < PATIENCE);
}

#[tokio::test]
async fn what_a_host_recorded_leads_to_the_screen_it_shows() {
    for _ in 0..3 {
        let mut w = World::new();
        fs::write(w.dir.path().join("bytes"), streams::any_bytes(400)).unwrap();
        let script = "stty raw -echo; cat bytes; printf the-end-of-it; exec sleep 1000";
        let mut spec = w.spec(&["/bin/sh", "-c", script]);
        spec.scrollback_lines = 200;
        w.hosts.start(spec).await.unwrap();
        for (cols, rows) in [(60, 20), (100, 3), (1, 1), (10_000, 40), (81, 25)] {
            w.hosts.resize(w.session, Size { cols, rows }).await.unwrap();
        }
        until("all of it came", || w.recorded(Code::Output).contains("the-end-of-it")).await;
        until("it has its last size", || w.recorded(Code::Resize).ends_with("81x25")).await;
        let seen = w.hosts.snapshot(w.session, 200).await.unwrap();
        let again = streams::replayed(&w.hosts.paths(w.session).recording, 200);
        assert_eq!((seen.dump, seen.text), (again.dump(), again.text(200)));
        w.hosts.end(w.session, Duration::ZERO).await.unwrap();
        w.exited().await;
        w.hosts.acknowledge(w.session).await;
    }
}

/// Every line is what asciicast v3 says: a header, then `[interval, code, data]`.
fn assert_valid(path: &Path) {
    let text = fs::read_to_string(path).expect("UTF-8");
    assert!(text.ends_with('\n'));
    let mut lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"));
    let header = lines.next().expect("a header");
    assert_eq!(header["version"], 3);
    assert!(header["term"]["cols"].as_u64().unwrap() > 0 && header["term"]["rows"].as_u64().unwrap() > 0);
    assert!(header["timestamp"].is_i64());
    for line in lines {
        let event = line.as_array().expect("an array");
        assert_eq!(event.len(), 3);
        assert!(event[0].as_f64().expect("an interval") >= 0.0);
        assert!(["o", "i", "m", "r", "x"].contains(&event[1].as_str().expect("a code")));
        assert!(event[2].is_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_make_a_valid_recording(
        chunks in prop::collection::vec((0u64..5_000_000, prop::collection::vec(any::<u8>(), 0..64)), 0..20),
        torn in prop::collection::vec(any::<u8>(), 0..32),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        let start = Timestamp::from_micros(1_700_000_000_123_456);
        let size = Size { cols: 80, rows: 24 };
        let mut writer = Writer::open(&path, &Header::new(size, start, None), start, 1 << 30).unwrap();
        let mut decoder = Decoder::default();
        let (mut at, mut expected) = (start, Vec::new());
        for (micros, bytes) in &chunks {
            at = at.plus(Duration::from_micros(*micros));
            let text = decoder.push(bytes);
            writer.output(&text, at);
            if !text.is_empty() {
                expected.push(Event { at, code: Code::Output, data: text });
            }
        }
        let all: Vec<u8> = chunks.iter().flat_map(|(_, b)| b.clone()).collect();
        let shown: String = expected.iter().map(|e| e.data.as_str()).chain([decoder.finish()]).collect();
        prop_assert_eq!(shown.replace('\u{fffd}', ""), String::from_utf8_lossy(&all).replace('\u{fffd}', ""));
        assert_valid(&path);
        prop_assert_eq!(&Reader::open(&path).unwrap().collect::<Vec<_>>(), &expected);

        // Killed in the middle of a write.
        let torn: Vec<u8> = torn.into_iter().filter(|b| *b != b'\n').collect();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&torn).unwrap();
        prop_assert_eq!(&Reader::open(&path).unwrap().collect::<Vec<_>>(), &expected);
        recording::repair(&path, "lost", at).unwrap();
        assert_valid(&path);
        let repaired = fs::read(&path).unwrap();
        recording::repair(&path, "lost", at).unwrap();
        prop_assert_eq!(repaired, fs::read(&path).unwrap());
        text::render(&path, None, None, text::Limits::default()).unwrap();
    }
}
