//! Another encryption key under 10,000 credentials: a real daemon, killed at random moments of it, on both databases.
//! Every credential is readable at each of them, and in the end all are under one key. How long other writers wait
//! meanwhile is printed.

use crate::kill::Random;
use crate::postgres::Cluster;
use crate::process::{Asker, PATIENCE, World};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use teleclaude::config::keys::Keys;
use teleclaude::config::secrets::Secrets;
use teleclaude::domain::credential::{CredentialName, CredentialValue, Holder, Secret};
use teleclaude::domain::person::PersonId;
use teleclaude::store::connect::{Engine, Options, Store, open_read_only};
use teleclaude::store::seal::{self, Which};
use teleclaude::store::{credential, person};

const PEOPLE: u32 = 100;
const EACH: u32 = 100;
const KILLS: usize = 20;

fn keys(world: &World) -> Keys {
    let keys = Keys::read(&Secrets::default(), &world.state().join("encryption.keys"));
    assert_eq!(keys.problem, None);
    keys
}

fn value(holder: &str, name: &str) -> CredentialValue {
    CredentialValue::parse(Secret::from(format!("invented for {holder} {name} {}", "x".repeat(80)))).unwrap()
}

fn engine(world: &World, url: Option<&str>) -> Engine {
    match url {
        Some(url) => Engine::Postgres { url: SecretString::from(url) },
        None => Engine::Sqlite { path: world.state().join("teleclaude.db"), synchronous_full: true },
    }
}

/// Keeps a hundred credentials of somebody under each of so many uids, without a daemon.
async fn seed(world: &World, engine: Engine, people: u32) {
    let options = Options { engine, computer: "here".to_owned(), auto_migrate: false };
    let store = Store::open(options, crate::postgres::clock()).await.unwrap();
    let person: PersonId = person::directory(store.reader()).await.unwrap()[0].id;
    let keys = Arc::new(keys(world));
    for uid in 0..people {
        let keys = Arc::clone(&keys);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let kept = store.write(deadline, move |tx| {
            let keys = Arc::clone(&keys);
            Box::pin(async move {
                let holder = Holder::Person { person, uid: 3_000_000 + uid };
                let whose = holder.key();
                for n in 0..EACH {
                    let name = CredentialName::parse(&format!("KEY_{n}")).unwrap();
                    let which = Which::of("here", &whose, &name);
                    let sealed =
                        seal::seal(keys.in_use().unwrap(), which, &value(&whose, name.as_str())).unwrap();
                    let at = teleclaude::domain::timestamp::Timestamp::from_micros(i64::from(n));
                    credential::put(tx.conn(), "here", &holder, &name, sealed, at).await?;
                }
                Ok::<_, teleclaude::store::error::StoreError>(())
            })
        });
        kept.await.unwrap();
    }
    store.close().await;
}

/// Decrypts everything past the daemon; gives the keys that are named, and how many credentials there are.
async fn all_readable(world: &World, engine: Engine) -> (BTreeSet<String>, u32) {
    let keys = keys(world);
    let conn = open_read_only(engine).await.unwrap();
    let (mut named, mut many) = (BTreeSet::new(), 0);
    for (id, count) in credential::by_key(&conn, "here").await.unwrap() {
        let key =
            keys.get(&id).unwrap_or_else(|| panic!("{count} credentials name the key {id}, which is gone"));
        let mut after: Option<(String, String)> = None;
        loop {
            let place = after.as_ref().map(|(holder, name)| (holder.as_str(), name.as_str()));
            let rows = credential::under(&conn, "here", &id, place, 1_000).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = Some((last.holder.clone(), last.name.clone()));
            for kept in rows {
                let which = Which { computer: "here", holder: &kept.holder, name: &kept.name };
                let opened = seal::open(key, which, &kept.sealed).unwrap();
                assert_eq!(opened, value(&kept.holder, &kept.name), "{} {}", kept.holder, kept.name);
                many += 1;
            }
        }
        named.insert(id.to_string());
    }
    conn.close().await;
    (named, many)
}

fn through(me: &Asker) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let keys = me.get("/keys").unwrap();
        assert_eq!(keys.status, 200, "{keys:?}");
        if keys.body["rotating"] == false {
            return keys.body;
        }
        assert!(Instant::now() < deadline, "{keys:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long one write of somebody else's takes.
fn write(me: &Asker) -> Duration {
    let began = Instant::now();
    let answer = me.ask("PUT", "/me/config", Some(json!({ "yaml": "thinking_mode: fast\n" }))).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    began.elapsed()
}

/// Half, 99 of 100, and the longest.
fn spread(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |n: usize| took[(took.len() - 1) * n / 100].as_secs_f64() * 1e3;
    format!("{} writes, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", took.len(), at(50), at(99), at(100))
}

async fn killed_in_the_middle(engine_name: &str, mut world: World, url: Option<String>) {
    let mut random = Random::new();
    let engine = |world: &World| engine(world, url.as_deref());
    world.up();
    let me = world.me();
    assert_eq!(me.post("/keys", json!({})).unwrap().status, 200);
    world.kill();
    seed(&world, engine(&world), PEOPLE).await;
    let (mut moved, mut between) = (0, 0);
    for kill in 0..KILLS {
        world.up();
        let asker = me.clone();
        let asked = std::thread::spawn(move || asker.post("/keys/rotate", json!({})));
        std::thread::sleep(random.pause(700));
        world.kill();
        // Asked or not, answered or not: that is what the moment is for.
        let _ = asked.join().unwrap();
        let (named, many) = all_readable(&world, engine(&world)).await;
        assert_eq!(many, PEOPLE * EACH, "kill {kill}");
        between += usize::from(named.len() > 1);
        moved += 1;
    }
    world.up();
    let before = me.get("/keys").unwrap().body["keys"].as_array().unwrap().len();
    through(&me);

    // Once more without a kill, and somebody else who writes.
    let idle = spread((0..300).map(|_| write(&me)).collect());
    let began = Instant::now();
    assert_eq!(me.post("/keys/rotate", json!({})).unwrap().body["rotating"], true);
    let mut meanwhile = Vec::new();
    while me.get("/keys").unwrap().body["rotating"] == true {
        meanwhile.push(write(&me));
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "rotation on {engine_name}: {moved} kills, {between} of them with credentials under several keys, {before} keys; \
         10,000 credentials in {:.2} s\n  other writers before:    {idle}\n  other writers meanwhile: {}",
        began.elapsed().as_secs_f64(),
        spread(meanwhile)
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
    let state = through(&me);
    world.kill();
    let (named, many) = all_readable(&world, engine(&world)).await;
    assert_eq!(many, PEOPLE * EACH);
    let in_use = state["key_id"].as_str().unwrap().to_owned();
    assert_eq!(named, BTreeSet::from([in_use.clone()]), "under exactly one key");
    for key in state["keys"].as_array().unwrap() {
        let retired = key["retired_at"].is_string();
        assert_eq!(retired, key["key_id"] != in_use.as_str(), "{key}");
        assert_eq!(key["credentials"] == 0, retired, "{key}");
    }
    assert!(between > 0, "no kill came in the middle");
    // Nothing of a key or of a value is in any daemon's log.
    let log = world.log();
    assert!(!log.contains("invented"), "{log}");
    let file: PathBuf = world.state().join("encryption.keys");
    for key in std::fs::read_to_string(&file).unwrap().lines().filter(|line| !line.starts_with('#')) {
        assert!(!log.contains(key));
    }
    world.up();
    let verified = me.post("/audit/verify", json!({})).unwrap();
    assert_eq!(verified.body["ok"], true, "{verified:?}");
}

const OFTEN: &str = "roles: { admin: { requests_per_minute: 100000, burst: 10000 } }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_killed_daemons_leave_every_credential_readable() {
    killed_in_the_middle("SQLite", World::single(OFTEN), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_killed_daemons_leave_every_credential_readable_on_postgres() {
    let cluster = Cluster::start();
    let url = cluster.database("teleclaude");
    let world = World::single(OFTEN).with("TELECLAUDE_DATABASE__URL", &url);
    killed_in_the_middle("PostgreSQL", world, Some(url)).await;
}

/// Killed just when the key is made: it is whole or not there, and what names it can be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_being_made_is_there_whole_or_not_at_all() {
    let mut random = Random::new();
    let mut world = World::single(OFTEN);
    world.up();
    let me = world.me();
    assert_eq!(me.post("/keys", json!({})).unwrap().status, 200);
    world.kill();
    seed(&world, engine(&world, None), 1).await;
    for kill in 0..KILLS {
        world.up();
        through(&me);
        let asker = me.clone();
        let asked = std::thread::spawn(move || asker.post("/keys/rotate", json!({})));
        std::thread::sleep(random.pause(25));
        world.kill();
        let answered = asked.join().unwrap();
        let (named, many) = all_readable(&world, engine(&world, None)).await;
        assert_eq!(many, EACH, "kill {kill}");
        let in_use = keys(&world).in_use().unwrap().id.to_string();
        if let Ok(answer) = answered {
            assert_eq!(answer.body["key_id"], in_use.as_str(), "what was acknowledged is there");
        }
        assert!(named.len() <= 2, "{named:?}");
    }
    world.up();
    let state = through(&me);
    let known = state["keys"].as_array().unwrap();
    let in_use: Vec<&Value> = known.iter().filter(|key| key["retired_at"].is_null()).collect();
    assert!(in_use.len() == 1 && in_use[0]["credentials"] == EACH, "{state}");
    assert!(known.len() > 1, "no key was made: {state}");
}
