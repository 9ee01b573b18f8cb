//! The command line as a door: real commands of real users over a real socket, on both databases. Another's session opens
//! with a reason only, after its row is durable, and says whose it is; to who is no admin it does not exist.

use super::WHY;
use crate::attach::own::{Sitting, has_setsid};
use crate::postgres::Cluster;
use crate::process::{Asker, PATIENCE, World, can_be_others, said, until};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde_json::{Value, json};
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

// Uids that no system gives to anybody.
const ADA: u32 = 61_201;
const MEL: u32 = 61_202;
const MAX: u32 = 61_203;
const CONFIG: &str = "people:
  - { name: ada, os_uid: 61201, role: admin }
  - { name: mel, os_uid: 61202, role: member }
  - { name: max, os_uid: 61203, role: member }
roles:
  admin: { requests_per_minute: 100000, burst: 10000, steer_others: true }
  member: { requests_per_minute: 100000, burst: 10000 }
projects: [ { name: proj, path: DIR/project } ]
sessions: { run_as: service }
agents:
  default: talker
  talker:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo words-of-$((40 + 2)); echo and; echo more; exec sleep 600']
    profiles: { full: [], restricted: [] }
";
/// What the session shows, and nothing else says.
const SECRET: &str = "words-of-42";
const BANNER: &str = "Viewing mel's session. This access is logged.";

/// A command that shows content: its words before and after the session's id, and the row it leaves.
struct Door {
    before: &'static [&'static str],
    after: &'static [&'static str],
    action: &'static str,
    terminal: bool,
}

const fn door(before: &'static [&'static str], after: &'static [&'static str], action: &'static str) -> Door {
    Door { before, after, action, terminal: false }
}

const DOORS: &[Door] = &[
    door(&["transcript"], &[], "transcript.read"),
    door(&["transcript"], &["--all"], "transcript.read"),
    door(&["--json", "transcript"], &[], "transcript.read"),
    door(&["transcript"], &["-f"], "transcript.read"),
    door(&["--json", "transcript"], &["-f"], "transcript.read"),
    door(&["sessions", "export"], &["-f", "md"], "transcript.export"),
    door(&["sessions", "export"], &["-f", "txt"], "transcript.export"),
    door(&["sessions", "export"], &["-f", "jsonl"], "transcript.export"),
    door(&["sessions", "export"], &["-f", "html"], "transcript.export"),
    door(&["sessions", "export"], &["-f", "cast"], "recording.read"),
    Door { before: &["sessions", "watch"], after: &[], action: "session.watch", terminal: true },
    Door { before: &["sessions", "attach"], after: &[], action: "session.attach", terminal: true },
];

impl Door {
    fn words<'a>(&self, id: &'a str, why: Option<&'a str>) -> Vec<&'a str> {
        let why = why.map(|why| ["--reason", why]);
        let mut words: Vec<&str> = self.before.to_vec();
        words.push(id);
        words.extend(self.after);
        words.extend(why.iter().flatten());
        words
    }
}

/// A command that runs, and what it has said so far. Ended with the value.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    fn start(world: &World, uid: u32, words: &[&str]) -> Self {
        let mut command = world.typed(Some(uid), words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let ends: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for mut end in ends {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                let mut some = [0; 4_096];
                while let Ok(n @ 1..) = end.read(&mut some) {
                    said.lock().unwrap().push_str(&String::from_utf8_lossy(&some[..n]));
                }
            });
        }
        Self { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a command has said all of these.
#[track_caller]
fn says(name: &str, running: &Running, words: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    while !words.iter().all(|words| running.said().contains(words)) {
        assert!(Instant::now() < deadline, "{name} never says {words:?}: {}", running.said());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn rows(admin: &Asker, action: &str) -> Vec<Value> {
    let all = admin.all(&format!("/audit?action={action}"), "rows");
    all.into_iter().filter(|row| !row["detail"].to_string().contains("\\\"end\\\"")).collect()
}

fn looks(admin: &Asker) -> usize {
    ["transcript.read", "transcript.export", "recording.read", "session.watch", "session.attach"]
        .iter()
        .map(|action| rows(admin, action).len())
        .sum()
}

/// Nobody writes a row until this is rolled back.
async fn held(world: &World, engine: &str) -> DatabaseConnection {
    let raw = world.database().await;
    let lock = match engine {
        "sqlite" => "BEGIN IMMEDIATE",
        _ => "BEGIN; LOCK TABLE audit_log IN EXCLUSIVE MODE",
    };
    raw.execute_unprepared(lock).await.unwrap();
    raw
}

async fn let_go(raw: DatabaseConnection) {
    raw.execute_unprepared("ROLLBACK").await.unwrap();
    raw.close().await.unwrap();
}

async fn every_command(mut world: World, engine: &str) {
    world.up();
    let (ada, mel) = (world.user(ADA), world.user(MEL));
    let started = mel.post("/sessions", json!({ "project": "proj" })).unwrap();
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    mel.until_status(&id, "running");
    until("it says its words", || {
        let page = mel.get(&format!("/sessions/{id}/transcript")).unwrap();
        page.body["content"].as_str().is_some_and(|text| text.contains(SECRET))
    });
    for uid in [ADA, MEL, MAX] {
        world.run(Some(uid), &["whoami"]);
    }
    for door in DOORS {
        let name = door.words("ID", None).join(" ");
        let before = looks(&ada);
        if door.terminal {
            if !has_setsid() {
                continue;
            }
            let sit =
                |uid, why| Sitting::start_as(&world, Some(uid), &world.program(), &door.words(&id, why));
            let mut own = sit(MEL, None);
            own.until("one's own is shown", |shown| shown.contains(SECRET));
            assert!(!own.shown().contains("Viewing"), "{name}: {}", own.shown());
            drop(own);
            // On a terminal one is asked why.
            let mut asked = sit(ADA, None);
            asked.until("it asks why", |shown| shown.contains("Your reason"));
            asked.type_in("because\r");
            assert_ne!(asked.ended(), Some(0), "{name}");
            assert!(!asked.shown().contains(SECRET), "{name}: {}", asked.shown());
            let mut other = sit(MAX, Some(WHY));
            assert_eq!(other.ended(), Some(4), "{name}: {}", other.shown());
            assert_eq!(looks(&ada), before, "{name}");

            let gate = held(&world, engine).await;
            let mut admin = sit(ADA, Some(WHY));
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert!(!admin.shown().contains(SECRET), "{name} before its row: {}", admin.shown());
            let_go(gate).await;
            admin.until("it is shown", |shown| shown.contains(SECRET) && shown.contains(BANNER));
        } else {
            let own = Running::start(&world, MEL, &door.words(&id, None));
            says(&name, &own, &[SECRET]);
            assert!(!own.said().contains("Viewing"), "{name}: {}", own.said());
            drop(own);
            for (who, uid, why, code) in [
                ("an admin without a reason", ADA, None, 2),
                ("an admin with a short one", ADA, Some("because"), 2),
                ("an admin with one that is no line", ADA, Some("looking\ninto it at once"), 2),
                ("another member", MAX, Some(WHY), 4),
            ] {
                let output = world.run(Some(uid), &door.words(&id, why));
                assert_eq!(output.status.code(), Some(code), "{name} for {who}: {}", said(&output));
                assert!(!said(&output).contains(SECRET), "{name} for {who}: {}", said(&output));
            }
            assert_eq!(looks(&ada), before, "{name}");

            let gate = held(&world, engine).await;
            let admin = Running::start(&world, ADA, &door.words(&id, Some(WHY)));
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert_eq!(admin.said(), "", "{name} before its row");
            let_go(gate).await;
            says(&name, &admin, &[SECRET, BANNER]);
        }
        assert_eq!(looks(&ada), before + 1, "{name}");
        let row = &rows(&ada, door.action)[0];
        assert_eq!(
            (&row["actor"], &row["owner"], &row["session_id"], &row["reason"]),
            (&json!("ada"), &json!("mel"), &json!(id), &json!(WHY)),
            "{name}"
        );
    }
    // Searching, too: that nothing is found is an answer about everybody's sessions.
    let words = ["search", "nowhere", "--reason", WHY];
    let gate = held(&world, engine).await;
    let admin = Running::start(&world, ADA, &words);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(admin.said(), "", "a search before its row");
    let_go(gate).await;
    says("search", &admin, &["Nothing found"]);
    let [row] = &rows(&ada, "transcript.search")[..] else { panic!("one search is one row") };
    assert_eq!((&row["actor"], &row["reason"]), (&json!("ada"), &json!(WHY)), "{row}");
    let own = world.run(Some(MAX), &words);
    assert!(said(&own).contains("Only your own sessions were searched"), "{}", said(&own));
    assert_eq!(rows(&ada, "transcript.search").len(), 1);

    let inbox = said(&world.run(Some(MEL), &["inbox"]));
    assert!(inbox.contains("ada read the transcript of a session of yours"), "{inbox}");
    let mine = said(&world.run(Some(MEL), &["audit", "mine"]));
    assert!(mine.contains("session.attach") && mine.contains(WHY), "{mine}");
    let end = json!({ "reason": "the end of this test" });
    assert_eq!(mel.post(&format!("/sessions/{id}/end"), end).unwrap().status, 200);
    mel.until_status(&id, "ended");
    let verified = ada.post("/audit/verify", json!({})).unwrap();
    assert_eq!(verified.body["ok"], true, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_that_shows_content_on_sqlite() {
    if can_be_others("every_command_that_shows_content_on_sqlite") {
        every_command(World::system(CONFIG), "sqlite").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_that_shows_content_on_postgres() {
    if can_be_others("every_command_that_shows_content_on_postgres") {
        let cluster = Cluster::start();
        let url = cluster.database("teleclaude");
        every_command(World::system(CONFIG).with("TELECLAUDE_DATABASE__URL", &url), "postgresql").await;
    }
}
