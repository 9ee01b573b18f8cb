//! The command line on a terminal of its own, and a daemon that goes away under it.

use crate::process::{Asker, PATIENCE, World, can_be_others, said, until};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const EXE: &str = env!("CARGO_BIN_EXE_teleclaude");
// Uids that no system gives to anybody.
const ADA: u32 = 61_101;
const MEL: u32 = 61_102;
const SHELL: &str = "agents: { shell: { enabled: true, command: /bin/sh } }\n";

/// A command on a terminal of its own. Ended with the value, by pid.
pub struct Sitting {
    child: Child,
    keys: File,
    /// Kept open, so that the terminal can be looked at after the command.
    terminal: OwnedFd,
    before: Termios,
    shown: Arc<Mutex<String>>,
}

impl Sitting {
    fn start(world: &World, args: &[&str]) -> Self {
        Self::start_as(world, None, EXE.as_ref(), args)
    }

    /// The same as another user, by a copy of the program that this user can reach.
    pub fn start_as(world: &World, uid: Option<u32>, exe: &Path, args: &[&str]) -> Self {
        let size = nix::pty::Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = nix::pty::openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&ends.slave).unwrap();
        let end = || Stdio::from(ends.slave.try_clone().unwrap());
        // A session and a controlling terminal of its own, so that signals of the terminal reach it.
        let mut command = world.command("/usr/bin/setsid".as_ref());
        command.arg("--ctty").arg("--wait").arg(exe).arg("--socket").arg(world.socket()).args(args);
        if let Some(uid) = uid {
            nix::unistd::fchown(&ends.slave, Some(uid.into()), None).unwrap();
            command.uid(uid).gid(uid).env("HOME", world.path(&format!("home-{uid}")));
        }
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let keys = File::from(ends.master.try_clone().unwrap());
        let mut from = File::from(ends.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..n]);
                all.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { child, keys, terminal: ends.slave, before, shown }
    }

    /// All that it said.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what it said is so.
    pub fn until(&mut self, what: &str, so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so(&self.shown()) {
            assert!(Instant::now() < deadline, "never: {what}: {:?}", self.shown());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Types.
    pub fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(self.terminal.as_fd()).unwrap().local_flags.contains(LocalFlags::ICANON)
    }

    /// Waits until control keys are keys like any other.
    fn until_raw(&self) {
        until("the terminal is raw", || self.is_raw());
    }

    /// Waits for its end: its code, and that the terminal is as it was.
    pub fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.shown());
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let now = tcgetattr(self.terminal.as_fd()).unwrap();
        assert_eq!(
            (now.local_flags, now.input_flags, now.output_flags, now.control_chars),
            (
                self.before.local_flags,
                self.before.input_flags,
                self.before.output_flags,
                self.before.control_chars
            )
        );
        status.code()
    }

    /// The pid of the command itself: `setsid` is its parent, unless it is itself.
    fn pid(&self) -> Pid {
        let own = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let pid =
            children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(own.cast_signed());
        Pid::from_raw(pid)
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|gone| gone.is_none()) {
            let _ = kill(self.pid(), Signal::SIGKILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub fn has_setsid() -> bool {
    Command::new("/usr/bin/setsid").arg("--version").output().is_ok_and(|o| o.status.success())
}

fn begin() -> Option<(World, Asker, String)> {
    if !has_setsid() {
        let _ = writeln!(std::io::stderr(), "needs setsid for a terminal of its own; not shown here");
        return None;
    }
    let mut world = World::single(SHELL);
    world.up();
    let me = world.me();
    let id = world.session(&me, "shell");
    Some((world, me, id))
}

fn end(me: &Asker, id: &str) {
    assert_eq!(me.post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
    me.until_status(id, "ended");
}

#[test]
fn a_person_attaches_types_resizes_detaches_and_the_terminal_is_as_it_was() {
    let Some((world, me, id)) = begin() else { return };
    let mut sitting = Sitting::start(&world, &["sessions", "attach", &id[..13]]);
    sitting.until("it is raw", |shown| shown.contains("Ctrl-\\ twice detaches"));
    sitting.type_in("printf 'size-%s\\n' \"$(stty size)\"\r");
    sitting.until("the size", |shown| shown.contains("size-30 100"));
    assert!(sitting.is_raw());
    let show = String::from_utf8(world.run(None, &["sessions", "show", &id]).stdout).unwrap();
    assert!(show.contains("Attached") && show.contains("(typing, since "), "{show}");
    let size = nix::pty::Winsize { ws_row: 20, ws_col: 70, ws_xpixel: 0, ws_ypixel: 0 };
    nix::ioctl_write_ptr_bad!(set_size, nix::libc::TIOCSWINSZ, nix::pty::Winsize);
    // SAFETY: the descriptor is a terminal's, and the size is whole.
    unsafe { set_size(std::os::fd::AsRawFd::as_raw_fd(&sitting.keys), &size) }.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !sitting.shown().contains("size-20 70") {
        assert!(Instant::now() < deadline, "{:?}", sitting.shown());
        sitting.type_in("printf 'size-%s\\n' \"$(stty size)\"\r");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    sitting.type_in("\x1c\x1c");
    assert_eq!(sitting.ended(), Some(0), "{:?}", sitting.shown());
    sitting.until("it says so", |shown| shown.contains("Detached; the session goes on"));
    assert!(!sitting.shown().contains("\x1bc"), "a full reset would empty the scrollback");
    assert_eq!(me.session(&id).unwrap()["status"], "running");

    // Back, and to the session's end.
    let mut sitting = Sitting::start(&world, &["sessions", "attach", &id]);
    sitting.until("the screen is painted", |shown| shown.contains("size-20 70"));
    sitting.type_in("exit 3\r");
    assert_eq!(sitting.ended(), Some(0), "{:?}", sitting.shown());
    sitting.until("it says how", |shown| shown.contains("The session has ended (code 3)."));
}

#[test]
fn who_watches_types_nothing_and_leaves_with_the_usual_key() {
    let Some((world, me, id)) = begin() else { return };
    let mut sitting = Sitting::start(&world, &["sessions", "watch", &id]);
    sitting.until("it is raw", |shown| shown.contains("ends watching"));
    sitting.type_in("echo nev''er\r");
    let hi = json!({ "message": "printf 's%s\\n' een" });
    assert_eq!(me.post(&format!("/sessions/{id}/messages"), hi).unwrap().status, 200);
    sitting.until("what is sent is seen", |shown| shown.contains("seen"));
    sitting.until_raw();
    sitting.type_in("\x03");
    assert_eq!(sitting.ended(), Some(0), "{:?}", sitting.shown());
    assert!(!sitting.shown().contains("never"), "{:?}", sitting.shown());
    end(&me, &id);
}

#[test]
fn a_signal_or_a_lost_daemon_gives_the_terminal_back_and_the_session_lives() {
    let Some((mut world, me, id)) = begin() else { return };
    let host = world.host(&id).unwrap();
    let attach = |world: &World| {
        let mut sitting = Sitting::start(world, &["sessions", "attach", &id]);
        sitting.type_in("printf 'he%s\\n' re\r");
        sitting.until("it is attached", |shown| shown.contains("here"));
        assert!(sitting.is_raw());
        sitting
    };
    let mut sitting = attach(&world);
    kill(sitting.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(sitting.ended(), Some(1), "{:?}", sitting.shown());
    sitting.until("it says so", |shown| shown.contains("detached by a signal"));

    let mut sitting = attach(&world);
    world.signal(Signal::SIGTERM);
    assert_eq!(sitting.ended(), Some(1), "{:?}", sitting.shown());
    sitting.until("it says so", |shown| shown.contains("the daemon stops"));
    assert!(world.ended().success(), "{}", world.log());
    world.up();
    me.until_status(&id, "running");

    let mut sitting = attach(&world);
    world.kill();
    assert_eq!(sitting.ended(), Some(1), "{:?}", sitting.shown());
    sitting.until("it says so", |shown| shown.contains("connection to the daemon was lost"));
    world.up();
    me.until_status(&id, "running");
    assert_eq!(world.host(&id).unwrap(), host, "the same host, the same agent");
    let mut sitting = attach(&world);
    sitting.type_in("\x1c\x1c");
    assert_eq!(sitting.ended(), Some(0));
    end(&me, &id);
}

#[test]
fn without_a_terminal_it_is_refused_with_a_hint() {
    let mut world = World::single(SHELL);
    world.up();
    let me = world.me();
    let id = world.session(&me, "shell");
    for command in ["attach", "watch"] {
        let refused = world.run(None, &["sessions", command, &id]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains("teleclaude transcript"), "{}", said(&refused));
    }
    end(&me, &id);
}

/// Ada and mel on one machine, with mel's shell; this user is an admin, too.
fn machine() -> (World, Asker, Asker, String) {
    let mut world = World::system(&format!(
        "people:\n  - {{ name: ada, os_uid: {ADA}, role: admin }}\n  - {{ name: mel, os_uid: {MEL}, role: member }}\n  \
         - {{ name: rut, os_uid: 0, role: admin }}\nprojects: [ {{ name: proj, path: DIR/project }} ]\n\
         sessions: {{ run_as: service }}\nroles: {{ member: {{ profile: full }} }}\n{SHELL}"
    ));
    world.up();
    let (ada, mel) = (world.user(ADA), world.user(MEL));
    let started = mel.post("/sessions", json!({ "project": "proj", "agent": "shell" })).unwrap();
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    mel.until_status(&id, "running");
    (world, ada, mel, id)
}

#[test]
fn an_admin_is_asked_for_a_reason_and_told_that_it_is_logged() {
    if !can_be_others("attach") || !has_setsid() {
        return;
    }
    let (world, ada, mel, id) = machine();
    let mut sitting = Sitting::start(&world, &["sessions", "watch", &id]);
    sitting.until("it asks", |shown| shown.contains("Your reason"));
    sitting.type_in("looking into an incident\r");
    sitting.until("it warns", |shown| shown.contains("Viewing mel's session. This access is logged."));
    let row = mel.session(&id).unwrap();
    assert_eq!((&row["attached"][0]["person"], &row["attached"][0]["input"]), (&json!("rut"), &json!(false)));
    sitting.until_raw();
    sitting.type_in("\x03");
    assert_eq!(sitting.ended(), Some(0), "{:?}", sitting.shown());
    until("both rows are there", || ada.all("/audit?action=session.watch", "rows").len() == 2);
    let mut denied =
        Sitting::start(&world, &["sessions", "attach", &id, "--reason", "looking into an incident"]);
    assert_eq!(denied.ended(), Some(3), "{:?}", denied.shown());
    end(&mel, &id);
}

#[test]
fn a_daemon_that_was_killed_leaves_no_attachment_without_an_end() {
    if !can_be_others("attach") {
        return;
    }
    let (mut world, ada, mel, id) = machine();
    let watch = |why: &str| {
        let body = json!({ "reason": why });
        let request = ada.request("POST", &format!("/sessions/{id}/attach"), Some(body));
        let request =
            request.replace("Connection: close", "Connection: upgrade\r\nUpgrade: teleclaude-attach");
        let mut stream = ada.connect().unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
        stream
    };
    let trail = || {
        let rows = ada.all("/audit?action=session.watch", "rows");
        let of = |row: &serde_json::Value| {
            (row["reason"].clone(), row["detail"].as_str().unwrap().contains("end"))
        };
        rows.iter().rev().map(of).collect::<Vec<_>>()
    };
    drop(watch("this one ends by itself"));
    until("its end is written down", || trail().len() == 2);
    let left = watch("this one is cut short");
    world.kill();
    drop(left);
    world.up();
    let wanted = [
        (json!("this one ends by itself"), false),
        (json!("this one ends by itself"), true),
        (json!("this one is cut short"), false),
        (json!("this one is cut short"), true),
    ];
    assert_eq!(trail(), wanted);
    world.kill();
    world.up();
    assert_eq!(trail(), wanted, "once is enough");
    assert_eq!(ada.get("/audit/verify").unwrap().body["ok"], true);
    let reason = json!({ "reason": "the end of this test" });
    assert_eq!(ada.post(&format!("/sessions/{id}/end"), reason).unwrap().status, 200);
    mel.until_status(&id, "ended");
}
