//! kill -9 of the daemon in the middle of audited reads and writes, on both databases: whoever got a byte of another's
//! session has a row, what was acknowledged is there once, and the chain is one. `TELECLAUDE_TEST_KILLS` says how often;
//! what was done is printed, so that a long run can be shown.

use super::{Random, config, rewrite};
use crate::postgres::Cluster;
use crate::process::{Asker, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

fn rounds(least: usize) -> usize {
    std::env::var("TELECLAUDE_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(least)
}

/// Reads another's session over a connection of its own; whether a byte of it came, whatever else happened.
fn saw(me: &Asker, id: &str, reason: &str) -> bool {
    let Ok(mut stream) = me.connect() else { return false };
    let request = format!(
        "GET /api/v1/sessions/{id}/transcript?reason={reason} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    if stream.write_all(request.as_bytes()).is_err() {
        return false;
    }
    let mut bytes = Vec::new();
    let mut some = [0; 512];
    while let Ok(n @ 1..) = stream.read(&mut some) {
        bytes.extend_from_slice(&some[..n]);
    }
    String::from_utf8_lossy(&bytes).contains("\"content\":\"")
}

async fn killed_while_it_is_read(mut world: World, engine: &str, rounds: usize) {
    let mut random = Random::new();
    world.up();
    let me = world.me();
    let id = world.session(&me, "listener");
    // Somebody else's now, at a uid that nobody has: each look at it is written down.
    rewrite(&world, "UPDATE sessions SET owner_uid = 3999999999").await;
    let (seen, renamed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    for round in 0..rounds {
        let over = AtomicBool::new(false);
        // The first moments of a daemon are as good as any other.
        if round % 4 != 0 {
            world.wait_until_it_answers();
        }
        let moment = random.pause(500);
        std::thread::scope(|threads| {
            for reader in 0..3 {
                let (over, seen, me, id) = (&over, &seen, &me, &id);
                threads.spawn(move || {
                    let mut n = 0;
                    while !over.load(Ordering::SeqCst) {
                        n += 1;
                        let reason = format!("read-number-{round}.{reader}.{n}");
                        if saw(me, id, &reason) {
                            seen.lock().unwrap().push(reason);
                        }
                    }
                });
            }
            threads.spawn(|| {
                let mut n = 0;
                while !over.load(Ordering::SeqCst) {
                    n += 1;
                    let reason = format!("write-number-{round}.{n}");
                    let body = json!({ "title": reason, "reason": reason });
                    let answer = me.ask("PATCH", &format!("/sessions/{id}"), Some(body));
                    if answer.is_ok_and(|answer| answer.status == 200) {
                        renamed.lock().unwrap().push(reason);
                    }
                }
            });
            std::thread::sleep(moment);
            world.kill();
            over.store(true, Ordering::SeqCst);
        });
        world.spawn();
    }
    world.wait_until_it_answers();
    let (seen, renamed) = (seen.into_inner().unwrap(), renamed.into_inner().unwrap());
    let verified = me.post("/audit/verify", json!({})).unwrap();
    assert_eq!(verified.body["ok"], true, "{verified:?}");
    let reasons = |action: &str| {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for row in me.all(&format!("/audit?action={action}"), "rows") {
            *count.entry(row["reason"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        count
    };
    for (action, acknowledged) in [("transcript.read", &seen), ("session.title", &renamed)] {
        let rows = reasons(action);
        for reason in acknowledged {
            assert_eq!(rows.get(reason), Some(&1), "{action}: {reason} was answered and is no row, or two");
        }
        assert!(rows.values().all(|n| *n == 1), "{action}: written twice");
    }
    let title = me.get(&format!("/sessions/{id}")).unwrap().body["title"].clone();
    let last = |title: &Value| {
        title.as_str().is_some_and(|t| t.starts_with(&format!("write-number-{}", rounds - 1)))
    };
    assert!(renamed.is_empty() || title.is_string(), "{title}");
    // With enough rounds the last one is hardly one in which nothing was answered; then its title is the one.
    let of_last_round = renamed.iter().any(|reason| last(&json!(reason)));
    assert!(!of_last_round || last(&title), "{title}: an acknowledged change is gone");
    assert!(rounds < 20 || !(seen.is_empty() || renamed.is_empty()), "nothing was ever answered");
    let _ = writeln!(
        std::io::stdout(),
        "{engine}: {rounds} times kill -9, {} audited reads and {} audited writes answered, {} rows: 0 forks, 0 reads \
         without a row, 0 acknowledged rows lost",
        seen.len(),
        renamed.len(),
        verified.body["rows"]
    );
    let body = json!({ "reason": "the end of this test" });
    assert_eq!(me.post(&format!("/sessions/{id}/end"), body).unwrap().status, 200);
    me.until_status(&id, "ended");
}

fn settings() -> String {
    config().replace("burst: 10000 }", "burst: 10000, steer_others: true }")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn killed_while_others_sessions_are_read_on_sqlite() {
    killed_while_it_is_read(World::single(&settings()), "sqlite", rounds(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn killed_while_others_sessions_are_read_on_postgres() {
    let cluster = Cluster::start();
    let url = cluster.database("teleclaude");
    let world = World::single(&settings()).with("TELECLAUDE_DATABASE__URL", &url);
    killed_while_it_is_read(world, "postgresql", rounds(8)).await;
}
