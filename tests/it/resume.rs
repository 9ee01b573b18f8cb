//! Resuming: an ended session runs again as the same one, once, as its owner may today; and what else is done to
//! sessions from outside: interrupting, renaming, ending those that are idle. With real hosts, on both databases.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::postgres::{Cluster, on_both};
use crate::process::{self, until};
use crate::world::{ANN, BOB, CID, DOT, ERAS, World};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::daemon::{jobs, transcripts};
use teleclaude::domain::session::{Session, SessionId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::host::files::{self, RunFile};
use teleclaude::host::recording::{self, Code};
use teleclaude::platform::process as system;
use teleclaude::store::session;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// `talker` says how it was started and what it was told, in slash commands since those are typed bare, and can go on
/// with its session; `stray` does not say which session it was; `mute` cannot go on; `keys` shows what is typed.
const AGENTS: &str = "agents:
  talker:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo began $*; echo token $TELECLAUDE_TOKEN; while read -r line; do echo got $line; [ \"$line\" = /bye ] && exit 3; done', talker]
    native_id: [--new, '{id}']
    resume: [--again, '{id}']
    transcript: claude
    profiles: { full: [--full], restricted: [--restricted] }
  stray:
    enabled: true
    command: /bin/sh
    args: [-c, 'exec sleep 600']
    resume: ['{id}']
    profiles: { full: [], restricted: [] }
  mute:
    enabled: true
    command: /bin/sh
    args: [-c, 'exec sleep 600']
    native_id: ['{id}']
    profiles: { full: [], restricted: [] }
  keys:
    enabled: true
    command: /bin/sh
    args: [-c, 'stty -echo -icanon; echo ready; dd bs=1 count=1 2>/dev/null | od -An -tx1; exec sleep 600']
    profiles: { full: [] }
  shell: { enabled: true, command: /bin/sh, args: [-c, 'trap \"echo caught\" INT; echo ready; while :; do sleep 0.1; done'] }
";
const ROLES: &str = "roles:
  admin: { steer_others: true, requests_per_minute: 100000, burst: 10000 }
  member: { profile: full, max_sessions: 2, requests_per_minute: 100000, burst: 10000 }
";

async fn world(db: crate::postgres::Db) -> World {
    World::everybody(db).config(ROLES).config(AGENTS).start().await
}

async fn start(world: &World, uid: u32, agent: &str) -> (String, Value) {
    let answer =
        world.rest(uid, "POST", "/sessions", Some(json!({ "project": "work", "agent": agent }))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.body["session_id"].as_str().unwrap().to_owned();
    let row = world.until(uid, &id, |row| row["status"] == "running").await;
    (id, row)
}

async fn resume(world: &World, uid: u32, id: &str) -> crate::world::Answer {
    world.rest(uid, "POST", &format!("/sessions/{id}/resume"), Some(json!({}))).await
}

async fn end(world: &World, uid: u32, id: &str) -> Value {
    let answer = world.rest(uid, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    world.until(uid, id, |row| row["status"] == "ended").await
}

async fn says(world: &World, uid: u32, id: &str, text: &str) {
    let body = Some(json!({ "message": text }));
    let answer = world.rest(uid, "POST", &format!("/sessions/{id}/messages"), body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn recorded(path: &Path, code: Code) -> Vec<String> {
    let Ok(events) = recording::read(path) else { return Vec::new() };
    events.filter(|event| event.code == code).map(|event| event.data).collect()
}

fn cast(world: &World, id: &str) -> std::path::PathBuf {
    world.path("state").join("recordings").join(format!("{id}.cast"))
}

fn shown(path: &Path) -> String {
    recorded(path, Code::Output).concat()
}

/// Polls without holding up the daemon, which is in this process.
async fn shows(path: &Path, wanted: &str) {
    eventually(wanted, || shown(path).contains(wanted)).await;
}

async fn eventually(what: &str, so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn run_file(world: &World, id: &str) -> Option<RunFile> {
    files::read(&world.path("run").join(format!("{id}.json"))).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_session_goes_on_as_the_same_one() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, first) = start(&world, BOB, "talker").await;
        let native = first["native_session_id"].as_str().unwrap().to_owned();
        let cast = cast(&world, &id);
        shows(&cast, &format!("began --full --new {native}")).await;
        let still = resume(&world, BOB, &id).await;
        assert_eq!((still.status, &still.body["code"]), (409, &json!("conflict")), "{still:?}");
        assert!(still.body["detail"].as_str().unwrap().contains("is running"), "{still:?}");
        says(&world, BOB, &id, "/bye").await;
        let ended = world.until(BOB, &id, |row| row["status"] == "ended").await;
        assert_eq!(ended["exit"], "code 3");

        let answer = resume(&world, BOB, &id).await;
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("starting")), "{answer:?}");
        assert!(answer.body.get("exit").is_none() && answer.body.get("ended_at").is_none(), "{answer:?}");
        let row = world.until(BOB, &id, |row| row["status"] == "running").await;
        for same in ["native_session_id", "created_at", "project_path", "owner_uid", "actor_person"] {
            assert_eq!(row[same], first[same]);
        }
        shows(&cast, &format!("began --full --again {native}")).await;
        assert_eq!(recorded(&cast, Code::Marker).iter().filter(|m| *m == "session resumed").count(), 1);
        says(&world, BOB, &id, "/still-there").await;
        shows(&cast, "got /still-there").await;
        // Another token, and the old one is worth nothing.
        let text = shown(&cast);
        let tokens: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("token ")).collect();
        assert_eq!(tokens.len(), 2, "{text}");
        let path = format!("/sessions/{id}");
        assert_ne!(world.rest_with(BOB, "GET", &path, None, Some(tokens[0])).await.status, 200);
        assert_eq!(world.rest_with(BOB, "GET", &path, None, Some(tokens[1])).await.status, 200);
        // An agent resumes nobody, itself included.
        let by_agent =
            world.rest_with(BOB, "POST", &format!("{path}/resume"), Some(json!({})), Some(tokens[1])).await;
        assert_eq!(by_agent.status, 404, "{by_agent:?}");

        end(&world, BOB, &id).await;
        for era in ERAS {
            let answer = world.call(BOB, era, "resume_session", json!({ "session_id": id })).await;
            assert_eq!(answer["result"]["structuredContent"]["status"], "starting", "{answer}");
            world.until(BOB, &id, |row| row["status"] == "running").await;
            end(&world, BOB, &id).await;
        }
        let audit = world.audit().await;
        let rows: Vec<&Value> = audit.iter().filter(|row| row["action"] == "session.resume").collect();
        assert_eq!(rows.len(), 3, "{audit:?}");
        assert!(rows.iter().all(|row| row["actor"] == "bob" && row["session_id"] == json!(id)), "{rows:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_resume_at_once_one_wins() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, _) = start(&world, BOB, "talker").await;
        for _ in 0..3 {
            end(&world, BOB, &id).await;
            let all = futures_util::future::join_all((0..8).map(|_| resume(&world, BOB, &id))).await;
            let mut words: Vec<u16> = all.iter().map(|answer| answer.status).collect();
            words.sort_unstable();
            assert_eq!(words, [200, 409, 409, 409, 409, 409, 409, 409], "{all:?}");
            world.until(BOB, &id, |row| row["status"] == "running").await;
            let run = run_file(&world, &id).unwrap();
            let living = system::marked(&format!("TELECLAUDE_SESSION={id}"), None, system::own_uid());
            assert_eq!(living, [run.agent_pid.unwrap()], "one live process tree");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ended_while_it_is_resumed_ends() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, _) = start(&world, BOB, "talker").await;
        for _ in 0..6 {
            end(&world, BOB, &id).await;
            assert_eq!(resume(&world, BOB, &id).await.status, 200);
            let exit = end(&world, BOB, &id).await["exit"].as_str().unwrap().to_owned();
            assert!(exit.starts_with("signal ") || exit == "failed: ended before it began", "{exit}");
            let mark = format!("TELECLAUDE_SESSION={id}");
            let left = || system::marked(&mark, None, system::own_uid());
            eventually("nothing is left", || left().is_empty() && run_file(&world, &id).is_none()).await;
            assert_eq!(resume(&world, BOB, &id).await.status, 200);
            world.until(BOB, &id, |row| row["status"] == "running").await;
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resumed_says_why() {
    on_both(async |db| {
        let world = world(db).await;
        let mut ids = Vec::new();
        for agent in ["stray", "mute", "talker"] {
            let (id, _) = start(&world, BOB, agent).await;
            end(&world, BOB, &id).await;
            ids.push(id);
        }
        let refused = async |id: &str, code: &str, word: &str| {
            let answer = resume(&world, BOB, id).await;
            let detail = answer.body["detail"].as_str().unwrap_or_default();
            assert!(answer.body["code"] == code && detail.contains(word), "{code} {word}: {answer:?}");
        };
        refused(&ids[0], "conflict", "never said which session").await;
        refused(&ids[1], "conflict", "`mute` cannot resume").await;
        let there = elsewhere(&world, &ids[2]).await;
        refused(&there, "unavailable", "lies on there").await;
        // By another it is not there; without a reason not by an admin.
        assert_eq!(resume(&world, CID, &ids[2]).await.status, 404);
        assert_eq!(resume(&world, ANN, &ids[2]).await.body["field"], "reason");
        let _one = start(&world, BOB, "stray").await;
        let _two = start(&world, BOB, "stray").await;
        refused(&ids[2], "limit_reached", "2 open sessions").await;
        end(&world, BOB, &_two.0).await;
        fs::rename(world.path("project"), world.path("elsewhere")).unwrap();
        refused(&ids[2], "conflict", "no such folder").await;
        fs::rename(world.path("elsewhere"), world.path("project")).unwrap();

        world.rewrite_config(|text| {
            text.replace("  talker:\n    enabled: true", "  talker:\n    enabled: false")
        });
        assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
        refused(&ids[2], "conflict", "`talker` is no longer configured").await;
        world.rewrite_config(|text| text.replace("name: work,", "name: work, people: [ann],"));
        assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
        refused(&ids[2], "not_found", "no project `work`").await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_resumed_with_what_its_owner_may_today() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, first) = start(&world, BOB, "talker").await;
        assert_eq!(first["profile"], "full");
        end(&world, BOB, &id).await;
        world.rewrite_config(|text| {
            text.replace(
                &format!("os_uid: {BOB}, role: member"),
                &format!("os_uid: {BOB}, role: contributor"),
            )
        });
        assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
        // By an admin, whose own role has the full profile.
        let body = Some(json!({ "reason": "bob asked me to" }));
        let answer = world.rest(ANN, "POST", &format!("/sessions/{id}/resume"), body).await;
        assert_eq!((answer.status, &answer.body["profile"]), (200, &json!("restricted")), "{answer:?}");
        world.until(BOB, &id, |row| row["status"] == "running" && row["profile"] == "restricted").await;
        shows(&cast(&world, &id), "began --restricted --again").await;
        let audit = world.audit().await;
        let row = audit.iter().find(|row| row["action"] == "session.resume").unwrap();
        assert_eq!((&row["actor"], &row["reason"]), (&json!("ann"), &json!("bob asked me to")), "{row}");
        end(&world, BOB, &id).await;

        world.rewrite_config(|text| {
            text.replace(
                &format!("os_uid: {BOB}, role: contributor"),
                &format!("os_uid: {BOB}, role: newcomer"),
            )
        });
        assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
        assert_eq!(resume(&world, BOB, &id).await.status, 404, "such a path is not theirs");
        let body = Some(json!({ "reason": "bob asked me to" }));
        let answer = world.rest(ANN, "POST", &format!("/sessions/{id}/resume"), body).await;
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("denied")), "{answer:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_log_is_followed_on_whether_it_is_the_same_or_another() {
    on_both(async |db| {
        let world = world(db).await;
        let stop = CancellationToken::new();
        let follower = tokio::spawn(transcripts::run(Arc::clone(&world.app), Vec::new(), stop.clone()));
        let (id, row) = start(&world, BOB, "talker").await;
        let native = row["native_session_id"].as_str().unwrap().to_owned();
        let folder = world.path("home").join(".claude/projects/-work");
        fs::create_dir_all(&folder).unwrap();
        let append = |name: &str, said: &str| {
            let line = json!({ "type": "user", "timestamp": "2026-11-21T10:00:00Z", "message": { "content": said } });
            let mut file = OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap();
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
        };
        let (same, other) = (format!("{native}.jsonl"), format!("{native}-again.jsonl"));
        append(&same, "before");
        said(&world, &id, &["before"]).await;
        end(&world, BOB, &id).await;
        assert_eq!(resume(&world, BOB, &id).await.status, 200);
        append(&same, "after");
        said(&world, &id, &["before", "after"]).await;
        end(&world, BOB, &id).await;
        assert_eq!(resume(&world, BOB, &id).await.status, 200);
        world.until(BOB, &id, |row| row["status"] == "running").await;
        append(&other, "in another");
        said(&world, &id, &["before", "after", "in another"]).await;
        end(&world, BOB, &id).await;
        stop.cancel();
        follower.await.unwrap();
        world.end().await;
    })
    .await;
}

/// Polls until the transcript is this.
async fn said(world: &World, id: &str, expected: &[&str]) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let path = format!("/sessions/{id}/transcript?format=json&tail_chars=48000");
        let page = world.rest(BOB, "GET", &path, None).await;
        let content = page.body["content"].as_str().unwrap_or_else(|| panic!("{page:?}"));
        let rows: Vec<Value> = content.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let texts: Vec<&str> =
            rows.iter().filter(|row| row["seq"].is_i64()).filter_map(|row| row["text"].as_str()).collect();
        if texts == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{texts:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_interrupted_in_its_own_way() {
    on_both(async |db| {
        let world = world(db).await;
        let (keys, _) = start(&world, BOB, "keys").await;
        shows(&cast(&world, &keys), "ready").await;
        let answer = world.tool(BOB, "interrupt_session", json!({ "session_id": keys })).await;
        assert_eq!(answer["status"], "running", "{answer}");
        shows(&cast(&world, &keys), "1b").await;
        let (shell, _) = start(&world, BOB, "shell").await;
        shows(&cast(&world, &shell), "ready").await;
        let path = format!("/sessions/{shell}/interrupt");
        assert_eq!(world.rest(BOB, "POST", &path, Some(json!({}))).await.status, 200);
        shows(&cast(&world, &shell), "caught").await;
        assert_eq!(world.rest(CID, "POST", &path, Some(json!({}))).await.status, 404);
        assert_eq!(world.rest(ANN, "POST", &path, Some(json!({}))).await.body["field"], "reason");
        let why = Some(json!({ "reason": "it eats the processor" }));
        assert_eq!(world.rest(ANN, "POST", &path, why).await.status, 200);
        let audit = world.audit().await;
        let rows: Vec<&Value> = audit.iter().filter(|row| row["action"] == "session.interrupt").collect();
        assert_eq!((rows.len(), &rows[0]["actor"]), (1, &json!("ann")), "one's own is not written down");
        end(&world, BOB, &shell).await;
        assert_eq!(world.rest(BOB, "POST", &path, Some(json!({}))).await.body["code"], "conflict");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_renamed_by_who_may() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, _) = start(&world, BOB, "stray").await;
        let path = format!("/sessions/{id}");
        let rename = async |uid, body: Value| world.rest(uid, "PATCH", &path, Some(body)).await;
        assert_eq!(rename(BOB, json!({ "title": "  the shop " })).await.body["title"], "the shop");
        for bad in
            [json!({}), json!({ "title": "" }), json!({ "title": "two\nlines" }), json!({ "title": 1 })]
        {
            let answer = rename(BOB, bad).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!("title")), "{answer:?}");
        }
        assert_eq!(rename(CID, json!({ "title": "mine" })).await.status, 404);
        assert_eq!(rename(ANN, json!({ "title": "mine" })).await.body["field"], "reason");
        assert_eq!(rename(ANN, json!({ "title": "till", "reason": "a rude word" })).await.status, 200);
        end(&world, BOB, &id).await;
        assert_eq!(rename(BOB, json!({ "title": "over" })).await.body["title"], "over");
        assert_eq!(world.rest(BOB, "GET", &path, None).await.body["title"], "over");
        let audit = world.audit().await;
        let rows: Vec<&Value> = audit.iter().filter(|row| row["action"] == "session.title").collect();
        assert_eq!((rows.len(), &rows[0]["reason"]), (1, &json!("a rude word")), "{rows:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered() {
    on_both(async |db| {
        let world = world(db).await;
        let (ended, row) = start(&world, BOB, "stray").await;
        end(&world, BOB, &ended).await;
        let (mute, _) = start(&world, BOB, "mute").await;
        let (dots, _) = start(&world, DOT, "stray").await;
        let long_ago = row["created_at"].as_str().unwrap();
        for (query, expected) in [
            ("project=work", vec![&dots, &mute, &ended]),
            ("project=play", vec![]),
            ("status=ended", vec![&ended]),
            ("agent=stray", vec![&dots, &ended]),
            ("owner=bob", vec![&mute, &ended]),
            ("owner=bob&agent=stray&status=running", vec![]),
            (&format!("since={long_ago}"), vec![&dots, &mute, &ended]),
            ("since=2199-01-01T00:00:00Z", vec![]),
        ] {
            let mut expected: Vec<&str> = expected.into_iter().map(String::as_str).collect();
            let answer = world.rest(ANN, "GET", &format!("/sessions?{query}"), None).await;
            let rows = answer.body["sessions"].as_array().unwrap();
            let mut listed: Vec<&str> = rows.iter().map(|row| row["session_id"].as_str().unwrap()).collect();
            listed.sort_unstable();
            expected.sort_unstable();
            assert_eq!(listed, expected, "{query}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_idle_for_too_long_is_ended_and_says_so() {
    on_both(async |db| {
        let world = world(db).await;
        let (idle, row) = start(&world, BOB, "talker").await;
        world.until(BOB, &idle, |row| row["activity"] == "idle").await;
        let last = Timestamp::parse(row["last_activity"].as_str().unwrap()).unwrap();
        let hours = |hours: u64| last.plus(Duration::from_secs(hours * 3_600));
        jobs::idle::end_idle(&world.app, hours(71)).await.unwrap();
        assert_eq!(
            world.rest(BOB, "GET", &format!("/sessions/{idle}"), None).await.body["status"],
            "running"
        );
        jobs::idle::end_idle(&world.app, hours(73)).await.unwrap();
        let row = world.until(BOB, &idle, |row| row["status"] == "ended").await;
        assert_eq!(row["exit"], "idle for 72 h");
        jobs::idle::end_idle(&world.app, hours(74)).await.unwrap();
        let audit = world.audit().await;
        let rows: Vec<&Value> = audit.iter().filter(|row| row["action"] == "session.end").collect();
        assert_eq!(rows.len(), 2, "why it was asked for, and how it ended: {rows:?}");
        assert!(rows.iter().all(|row| row["detail"].to_string().contains("idle for 72 h")), "{rows:?}");
        // What ended so can be resumed, and is not idle then.
        assert_eq!(resume(&world, BOB, &idle).await.status, 200);
        world.until(BOB, &idle, |row| row["status"] == "running" && row.get("exit").is_none()).await;
        assert_eq!(
            end(&world, BOB, &idle).await["exit"].as_str().map(|exit| exit.starts_with("idle")),
            Some(false)
        );
        world.end().await;
    })
    .await;
}

/// A copy of a session that another machine on the same database would have; its id.
async fn elsewhere(world: &World, id: &str) -> String {
    let store = world.app.store();
    let here = session::by_id(store.reader(), SessionId(id.parse().unwrap())).await.unwrap().unwrap();
    let there = Session { id: SessionId(Uuid::now_v7()), computer: "there".to_owned(), ..here };
    let copy = there.clone();
    store
        .write(tokio::time::Instant::now() + Duration::from_secs(30), move |tx| {
            let copy = copy.clone();
            Box::pin(async move { session::insert(tx.conn(), &copy).await })
        })
        .await
        .unwrap();
    there.id.to_string()
}

/// A daemon as a process, whose config has the same agents.
fn daemon(database: Option<String>) -> process::World {
    let config = format!(
        "roles: {{ admin: {{ requests_per_minute: 100000, burst: 10000, max_sessions: 3 }} }}\n{AGENTS}"
    );
    let mut world = process::World::single(&config);
    if let Some(url) = database {
        world = world.with("TELECLAUDE_DATABASE__URL", &url);
    }
    world.up();
    world
}

fn on_both_daemons(test: impl Fn(process::World)) {
    test(daemon(None));
    let cluster = Cluster::start();
    test(daemon(Some(cluster.database("resume"))));
}

#[test]
fn a_session_whose_host_was_lost_is_resumed_once_nothing_of_it_is_left() {
    on_both_daemons(|mut world| {
        let me = world.me();
        let id = world.session(&me, "talker");
        let before = world.host(&id).unwrap();
        system::kill(before.pid).unwrap();
        assert_eq!(me.until_status(&id, "ended")["exit"], "lost");
        let answer = me.post(&format!("/sessions/{id}/resume"), json!({})).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        me.until_status(&id, "running");
        let after = world.host(&id).unwrap();
        assert!(!system::is_alive(before.agent_pid.unwrap(), before.agent_start_time.unwrap()));
        until("one tree", || world.living(&id, None) == [after.agent_pid.unwrap()]);
        let markers = recorded(&world.recording(&id), Code::Marker);
        assert_eq!(markers, ["lost: the session's host vanished", "session resumed"]);

        // A reboot: no daemon, no host, run files of another boot.
        let mut run = world.host(&id).unwrap();
        world.kill();
        system::kill(run.pid).unwrap();
        until("the host is gone", || !system::is_alive(run.pid, run.start_time));
        run.boot = "another boot".to_owned();
        files::write_atomically(&world.run_dir().join(format!("{id}.json")), &run).unwrap();
        let other = fs::read_dir(world.run_dir()).unwrap().flatten().map(|e| e.path());
        other
            .filter(|p| p.extension().is_some_and(|e| e == "lock" || e == "sock"))
            .for_each(|p| fs::remove_file(p).unwrap());
        world.up();
        assert_eq!(me.until_status(&id, "ended")["exit"], "lost", "nothing resumes unasked");
        let said = world.run_json(None, &["sessions", "resume", "--all", "--lost", "--yes"]);
        assert_eq!(said, json!({ "resumed": [id], "failed": [] }));
        me.until_status(&id, "running");

        // A reboot that took the run files too.
        let run = world.host(&id).unwrap();
        world.kill();
        system::kill(run.pid).unwrap();
        until("the host is gone", || !system::is_alive(run.pid, run.start_time));
        fs::remove_dir_all(world.run_dir()).unwrap();
        world.up();
        assert_eq!(me.until_status(&id, "ended")["exit"], "lost");
        let shown = world.run(None, &["sessions", "resume", &id[..13]]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("starting"), "{}", process::said(&shown));
        me.until_status(&id, "running");
        until("one tree", || world.living(&id, None) == [world.host(&id).unwrap().agent_pid.unwrap()]);
    });
}

#[test]
fn a_daemon_that_is_killed_while_it_resumes_leaves_one_tree() {
    on_both_daemons(|mut world| {
        let me = world.me();
        let id = world.session(&me, "talker");
        for pause in [0, 3, 10, 25, 60, 120] {
            assert_eq!(me.post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
            me.until_status(&id, "ended");
            assert_eq!(me.post(&format!("/sessions/{id}/resume"), json!({})).unwrap().status, 200);
            std::thread::sleep(Duration::from_millis(pause));
            world.kill();
            world.up();
            me.until_status(&id, "running");
            until("one tree", || {
                world
                    .host(&id)
                    .and_then(|run| run.agent_pid)
                    .is_some_and(|pid| world.living(&id, None) == [pid])
            });
            // It is the daemon's: it answers, and it can be ended.
            let typed = format!("/after-{pause}");
            me.post(&format!("/sessions/{id}/messages"), json!({ "message": typed })).unwrap();
            until("it hears", || shown(&world.recording(&id)).contains(&format!("got {typed}")));
        }
        assert_eq!(me.post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
        me.until_status(&id, "ended");
        until("nothing is left", || world.living(&id, None).is_empty() && world.host(&id).is_none());
    });
}

#[test]
fn all_of_ones_own_are_resumed_until_the_limit_and_ended_by_age() {
    on_both_daemons(|world| {
        let me = world.me();
        let mut ids: Vec<String> = (0..3).map(|_| world.session(&me, "talker")).collect();
        let end_all = |args: &[&str]| {
            let args: Vec<&str> = ["sessions", "end", "--all", "--yes"].iter().chain(args).copied().collect();
            world.run_json(None, &args)
        };
        assert_eq!(end_all(&["--older-than", "1h"])["ended"], json!([]));
        assert_eq!(end_all(&["--older-than", "0s"])["ended"].as_array().unwrap().len(), 3);
        let stray = world.session(&me, "stray");
        let output = world.run(None, &["--json", "sessions", "resume", "--all", "--yes"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", process::said(&output));
        let resumed = said["resumed"].as_array().unwrap();
        assert_eq!((resumed.len(), said["failed"].as_array().unwrap().len()), (2, 1), "{said}");
        ids.retain(|id| !resumed.contains(&json!(id)));
        assert_eq!(said["failed"][0]["session_id"], json!(ids[0]));
        assert_eq!(me.session(&stray).unwrap()["status"], "running");
        let none = world.run_json(None, &["sessions", "resume", "--all", "--yes", "--lost"]);
        assert_eq!(none, json!({ "resumed": [], "failed": [] }));
        assert_eq!(end_all(&[])["ended"].as_array().unwrap().len(), 3);
        let renamed = world.run(None, &["sessions", "rename", &stray, "the", "rest"]);
        assert_eq!(renamed.status.code(), Some(2), "a title is one argument");
        let renamed = world.run_json(None, &["sessions", "rename", &stray, "the rest"]);
        assert_eq!(renamed["title"], "the rest");
        let output = world.run(None, &["sessions", "interrupt", &stray]);
        assert_eq!(output.status.code(), Some(1), "{}", process::said(&output));
    });
}
