//! The queue of messages: first in, first out, whoever sends at once; once for each of a client's ids; waiting while a
//! session starts; and whole after kill -9 of the daemon or of a session's host, in whatever state a message is.

use crate::postgres::{Cluster, on_both};
use crate::process::{self, until};
use crate::world::{BOB, World};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::host::recording::{self, Code};
use tokio::time::Instant;

/// `late` is ready once there is a file `go` in its folder.
const AGENTS: &str = "agents:
  listener:
    enabled: true
    command: /bin/sh
    args: [-c, 'stty -echo; echo ready; while read -r line; do echo got $line.; done']
    profiles: { full: [] }
  late:
    enabled: true
    command: /bin/sh
    args: [-c, 'stty -echo; while [ ! -e go ]; do sleep 0.05; done; echo ready; while read -r line; do echo got $line.; done']
    profiles: { full: [] }
roles:
  admin: { requests_per_minute: 100000, burst: 10000 }
  member: { requests_per_minute: 100000, burst: 10000, profile: full }
";
const PATIENCE: Duration = Duration::from_secs(120);
const SENDERS: usize = 32;

/// What was typed, in order, as the agent says it.
fn typed(shown: &str) -> Vec<String> {
    let got = shown.lines().filter_map(|line| line.split_once("got ")?.1.trim().strip_suffix('.'));
    got.map(|word| word.replace("\u{1b}[200~", "").replace("\u{1b}[201~", "")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_at_once_are_typed_in_order_and_each_id_once() {
    on_both(async |db| {
        let world = Arc::new(World::everybody(db).config(AGENTS).start().await);
        let args = json!({ "project": "work", "agent": "listener", "message": "first" });
        let started = world.rest(BOB, "POST", "/sessions", Some(args)).await;
        assert_eq!(started.status, 201, "{started:?}");
        let id = started.body["session_id"].as_str().unwrap().to_owned();
        // While it starts, and from all sides: each sends two, and each of them twice.
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (world, id) = (Arc::clone(&world), id.clone());
                tokio::spawn(async move {
                    for n in 0..2 {
                        let word = format!("s{sender}n{n}");
                        let body = json!({ "message": word, "client_id": word });
                        let path = format!("/sessions/{id}/messages");
                        let one = world.rest(BOB, "POST", &path, Some(body.clone())).await;
                        let two = world.rest(BOB, "POST", &path, Some(body)).await;
                        assert_eq!((one.status, two.status), (200, 200), "{one:?} {two:?}");
                        assert_eq!(one.body["message_id"], two.body["message_id"]);
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        let got = loop {
            let path = format!("/sessions/{id}/transcript?tail_chars=48000");
            let page = world.rest(BOB, "GET", &path, None).await;
            let got = typed(page.body["content"].as_str().unwrap_or_default());
            if got.len() > 2 * SENDERS {
                break got;
            }
            assert!(Instant::now() < deadline, "{got:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(got[0], "first");
        assert_eq!(got.len(), 2 * SENDERS + 1, "{got:?}");
        assert_eq!(got.iter().collect::<BTreeSet<_>>().len(), got.len(), "{got:?}");
        for sender in 0..SENDERS {
            let place = |n| got.iter().position(|word| *word == format!("s{sender}n{n}")).unwrap();
            assert!(place(0) < place(1), "{sender}: {got:?}");
        }
        Arc::into_inner(world).unwrap().end().await;
    })
    .await;
}

/// The messages of a session: what and what became of it, in the order of the queue.
async fn states(world: &process::World, id: &str) -> Vec<(String, String)> {
    let raw = world.database().await;
    let sql = "SELECT text, state, CAST(session AS text) AS sid FROM messages ORDER BY created, id";
    let sql = if raw.get_database_backend() == sea_orm::DbBackend::Sqlite {
        sql.replace("CAST(session AS text)", "lower(hex(session))")
    } else {
        sql.to_owned()
    };
    let rows = raw.query_all_raw(Statement::from_string(raw.get_database_backend(), sql)).await.unwrap();
    let wanted = id.replace('-', "");
    let of = rows.iter().filter(|row| row.try_get::<String>("", "sid").unwrap().replace('-', "") == wanted);
    let states =
        of.map(|row| (row.try_get("", "text").unwrap(), row.try_get("", "state").unwrap())).collect();
    raw.close().await.unwrap();
    states
}

async fn until_states(world: &process::World, id: &str, wanted: &[(&str, &str)]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let states = states(world, id).await;
        if states.iter().map(|(text, state)| (text.as_str(), state.as_str())).eq(wanted.iter().copied()) {
            return;
        }
        assert!(Instant::now() < deadline, "{states:?} and not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn got(world: &process::World, id: &str) -> Vec<String> {
    let events = recording::read(&world.recording(id)).unwrap();
    let shown: String = events.filter(|event| event.code == Code::Output).map(|event| event.data).collect();
    typed(&shown)
}

async fn killed_in_every_state(mut world: process::World) {
    world.up();
    let me = world.me();
    let send = |id: &str, word: &str| {
        let body = json!({ "message": word, "client_id": word });
        let answer = me.post(&format!("/sessions/{id}/messages"), body).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let start = |world: &process::World, agent: &str| {
        let body = json!({ "project": world.project(), "agent": agent });
        let answer = me.post("/sessions", body).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["session_id"].as_str().unwrap().to_owned()
    };

    // The daemon, while the session starts; then while its agent is not ready; each time nothing is typed yet.
    let id = start(&world, "late");
    send(&id, "one");
    world.kill();
    until_states(&world, &id, &[("one", "pending")]).await;
    world.up();
    me.until_status(&id, "running");
    send(&id, "two");
    world.kill();
    world.up();
    send(&id, "one");
    send(&id, "three");
    std::fs::write(world.project().join("go"), "").unwrap();
    let all = [("one", "delivered"), ("two", "delivered"), ("three", "delivered")];
    until_states(&world, &id, &all).await;
    assert_eq!(got(&world, &id), ["one", "two", "three"]);

    // The daemon, after the host typed it and before that was written down: it is not typed again.
    world.kill();
    let raw = world.database().await;
    raw.execute_unprepared("UPDATE messages SET state = 'pending', settled = NULL").await.unwrap();
    raw.close().await.unwrap();
    world.up();
    until_states(&world, &id, &all).await;
    send(&id, "four");
    until_states(&world, &id, &[all[0], all[1], all[2], ("four", "delivered")]).await;
    assert_eq!(got(&world, &id), ["one", "two", "three", "four"]);

    // The host, when all was typed: what is delivered stays so. And a host whose agent never was ready: nothing of it
    // was typed, and nothing will be.
    std::fs::remove_file(world.project().join("go")).unwrap();
    let mute = start(&world, "late");
    me.until_status(&mute, "running");
    send(&mute, "five");
    send(&mute, "six");
    for host in [&id, &mute] {
        teleclaude::platform::process::kill(world.host(host).unwrap().pid).unwrap();
        me.until_status(host, "ended");
    }
    until_states(&world, &id, &[all[0], all[1], all[2], ("four", "delivered")]).await;
    until("what waited has an end", || !got(&world, &mute).iter().any(|word| word == "five"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let states = states(&world, &mute).await;
        // The first may have been on its way to the terminal, for all that the daemon knows.
        if ["failed", "unknown"].contains(&states[0].1.as_str()) && states[1].1 == "failed" {
            break;
        }
        assert!(Instant::now() < deadline, "{states:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let late = me.post(&format!("/sessions/{mute}/messages"), json!({ "message": "x" })).unwrap();
    assert_eq!((late.status, &late.body["code"]), (409, &Value::from("conflict")), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_survive_kills_in_every_state() {
    killed_in_every_state(process::World::single(AGENTS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_survive_kills_in_every_state_on_postgres() {
    let cluster = Cluster::start();
    let url = cluster.database("teleclaude");
    killed_in_every_state(process::World::single(AGENTS).with("TELECLAUDE_DATABASE__URL", &url)).await;
}
