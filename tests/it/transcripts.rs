//! Transcripts: an agent's own log is copied while it grows, without credentials, once, whatever the daemon and the
//! file do in between; and read as markdown and JSON by who may.

use crate::postgres::on_both;
use crate::world::{ANN, BOB, CID, World};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use teleclaude::daemon::transcripts;
use tokio_util::sync::CancellationToken;

/// An agent that writes nothing by itself, and whose log is Claude Code's.
pub const SCRIBE: &str = "roles:
  member: { requests_per_minute: 100000, burst: 10000 }
agents:
  scribe:
    enabled: true
    command: /bin/sh
    args: [-c, 'exec sleep 600']
    native_id: ['{id}']
    transcript: claude
    profiles: { full: [], restricted: [] }
";
const LOG: &str = include_str!("../fixtures/transcripts/claude.jsonl");

/// What copies logs.
pub struct Follower {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    /// Follows this world's sessions.
    pub fn of(world: &World) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(transcripts::run(Arc::clone(&world.app), Vec::new(), stop.clone()));
        Self { stop, task }
    }

    /// Ends it.
    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A session whose agent writes nothing by itself; its id, and where its log belongs.
pub async fn session(world: &World) -> (String, PathBuf) {
    let args = json!({ "project": "work", "agent": "scribe", "title": "a talk" });
    let started = world.rest(BOB, "POST", "/sessions", Some(args)).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    let row =
        world.until(BOB, &id, |row| row["status"] == "running" && row["native_session_id"].is_string()).await;
    let folder = world.path("home").join(".claude/projects/-work");
    std::fs::create_dir_all(&folder).unwrap();
    (id, folder.join(format!("{}.jsonl", row["native_session_id"].as_str().unwrap())))
}

/// Writes to a log.
pub fn append(log: &PathBuf, text: &str) {
    OpenOptions::new().create(true).append(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}

/// A record in which the person says this.
pub fn line(said: &str) -> String {
    json!({ "type": "user", "timestamp": "2026-11-21T10:00:00Z", "message": { "content": said } }).to_string()
        + "\n"
}

async fn rows(world: &World, id: &str) -> Vec<Value> {
    let page = world
        .rest(BOB, "GET", &format!("/sessions/{id}/transcript?format=json&tail_chars=48000"), None)
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    let content = page.body["content"].as_str().unwrap();
    content
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|row: &Value| row["seq"].is_i64())
        .collect()
}

/// Polls until the transcript's last entry is this.
async fn until_said(world: &World, id: &str, last: &str) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let rows = rows(world, id).await;
        if rows.last().is_some_and(|row| row["text"] == last) {
            return rows;
        }
        assert!(tokio::time::Instant::now() < deadline, "never said: {last:?}: {rows:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_copied_as_it_grows_and_once() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        let (first, rest) = LOG.split_at(LOG.len() / 2);
        append(&log, first);
        append(&log, rest);
        let known = until_said(&world, &id, "The tool returned: Exit code 1").await;
        assert_eq!(known.len(), 10);
        assert!(known.iter().map(|row| row["seq"].as_i64().unwrap()).eq(1..=10));
        assert_eq!(
            (&known[2]["role"], &known[2]["kind"], &known[2]["tool"]),
            (&json!("tool"), &json!("tool_result"), &json!("Bash"))
        );

        // Half a line waits; a credential does not arrive.
        let key = ["sk-", "ant-api03-", &"MadeUp0".repeat(6)].concat();
        let said = line(&format!("use {key} please"));
        append(&log, &said[..said.len() / 2]);
        append(&log, &said[said.len() / 2..]);
        until_said(&world, &id, "use [redacted: anthropic key] please").await;

        // The next daemon reads it all again and keeps what is new.
        follower.end().await;
        append(&log, &line("while nobody listened"));
        let follower = Follower::of(&world);
        assert_eq!(until_said(&world, &id, "while nobody listened").await.len(), 12);

        // Replaced by a shorter one: it goes on.
        std::fs::write(&log, line("begun anew")).unwrap();
        let all = until_said(&world, &id, "begun anew").await;
        assert_eq!(all.len(), 13);
        follower.end().await;
        let follower = Follower::of(&world);
        append(&log, &line("and on"));
        assert_eq!(until_said(&world, &id, "and on").await.len(), 14);

        let markdown = world.rest(BOB, "GET", &format!("/sessions/{id}/transcript"), None).await;
        let text = markdown.body["content"].as_str().unwrap();
        assert!(
            text.contains("## User · ") && text.contains("**Bash** false\n\n> error\n> Exit code 1"),
            "{text}"
        );
        assert!(!text.contains(&key));

        // What it says last is kept although it has ended.
        append(&log, &line("goodbye"));
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        until_said(&world, &id, "goodbye").await;
        follower.end().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transcript_is_read_by_who_may_and_an_admin_s_reading_is_written_down() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        append(&log, &line("a private word"));
        until_said(&world, &id, "a private word").await;
        let path = format!("/sessions/{id}/transcript");
        assert_eq!(world.rest(CID, "GET", &path, None).await.status, 404);
        assert_eq!(world.rest(ANN, "GET", &path, None).await.status, 422, "without a reason");
        let read = world.rest(ANN, "GET", &format!("{path}?reason=an%20incident"), None).await;
        assert!(read.body["content"].as_str().unwrap().contains("a private word"), "{read:?}");
        let rows = world.audit().await;
        let row = rows.iter().find(|row| row["action"] == "transcript.read").unwrap();
        assert_eq!((&row["actor"], &row["reason"]), (&json!("ann"), &json!("an incident")));
        follower.end().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_no_file_of_the_owner_s_is_not_read() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let (id, log) = session(&world).await;
        let secret = world.path("secret.jsonl");
        std::fs::write(&secret, line("not for you")).unwrap();
        std::os::unix::fs::symlink(&secret, &log).unwrap();
        let follower = Follower::of(&world);
        // A second log shows that the follower has been round.
        let (other, other_log) = session(&world).await;
        append(&other_log, &line("seen"));
        until_said(&world, &other, "seen").await;
        assert_eq!(rows(&world, &id).await, Vec::<Value>::new());
        follower.end().await;
        world.end().await;
    })
    .await;
}

/// Bytes of a log that say nothing, in lines of 64 KiB.
fn padding(bytes: usize) -> String {
    let line = format!("{{\"type\":\"of the future\",\"pad\":\"{}\"}}\n", "x".repeat(64 << 10));
    line.repeat(bytes / line.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_an_ended_session_wrote_is_taken_and_costs_nobody_else() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        let (other, other_log) = session(&world).await;
        append(&log, &line("hello"));
        until_said(&world, &id, "hello").await;
        // More than is taken at a time, and a line that is longer than one may be.
        append(&log, &(padding(20 << 20) + "not json\n" + &"y".repeat(10 << 20) + "\n" + &line("goodbye")));
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        append(&other_log, &line("seen"));
        until_said(&world, &other, "seen").await;
        let rows = until_said(&world, &id, "goodbye").await;
        let texts: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["hello", &format!("a line of {} bytes was left out", 10 << 20), "goodbye"]);
        follower.end().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_rotated_or_swapped_goes_on_with_the_owner_s_alone() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        append(&log, &line("one"));
        until_said(&world, &id, "one").await;
        // Another file under the same name: what was in the first is there, and what comes is this one's.
        std::fs::rename(&log, world.path("old")).unwrap();
        append(&log, &line("two"));
        assert_eq!(until_said(&world, &id, "two").await.len(), 2);
        // A link in its place leads nowhere.
        let secret = world.path("secret.jsonl");
        std::fs::write(&secret, line("not for you")).unwrap();
        std::fs::rename(&log, world.path("older")).unwrap();
        std::os::unix::fs::symlink(&secret, &log).unwrap();
        append(&world.path("older"), &line("three"));
        until_said(&world, &id, "three").await;
        std::fs::remove_file(&log).unwrap();
        append(&log, &line("four"));
        let rows = until_said(&world, &id, "four").await;
        let texts: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["one", "two", "three", "four"]);
        // The next daemon goes on with it.
        follower.end().await;
        append(&log, &line("five"));
        let follower = Follower::of(&world);
        assert_eq!(until_said(&world, &id, "five").await.len(), 5);
        follower.end().await;
        world.end().await;
    })
    .await;
}
