//! What is decided about people reaches whoever is connected: requests, terminals, transcripts that are followed, events, the
//! audit log's rows and subscriptions, whichever daemon on the database decided. Only that it happens is asserted, and in
//! which order; how fast it must be is told by the patience of these tests and the looks in between.

use crate::postgres::{Db, on_both};
use crate::world::{ANN, BOB, CID, Era, World};
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::domain::person::{BanSource, PersonId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::ban::{self, Ban, Whose};
use teleclaude::store::error::StoreError;
use teleclaude::store::version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);
/// Members run a shell, and admins may act in what is not theirs.
const ROLES: &str = "agents: { shell: { enabled: true, command: /bin/sh } }\n\
    roles: { member: { profile: full }, admin: { steer_others: true } }";
const WHY: &str = "making noise all night";

/// An answer that goes on.
struct Open {
    name: &'static str,
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Open {
    /// Asks, and reads until the answer is on its way.
    async fn of(world: &World, uid: u32, name: &'static str, head: &str, body: &str, sign: &str) -> Self {
        let mut stream = world.connect(uid);
        let request = format!(
            "{head}\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut open = Self { name, stream, heard: Vec::new() };
        while !open.text().contains(sign) {
            assert!(open.more().await, "{name}: {}", open.text());
        }
        open
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.heard)).await;
        read.unwrap_or_else(|_| panic!("{}: nothing comes", self.name)).is_ok_and(|n| n > 0)
    }

    /// Reads until it is over.
    async fn ends(mut self) -> String {
        while self.more().await && !self.text().ends_with("0\r\n\r\n") {}
        self.text()
    }
}

/// Everything that lives on, of somebody who owns this session.
async fn everything(world: &World, uid: u32, id: &str) -> Vec<Open> {
    let attach = format!(
        "POST /api/v1/sessions/{id}/attach HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: teleclaude-attach"
    );
    let follow = format!("GET /api/v1/sessions/{id}/transcript?follow=true HTTP/1.1");
    vec![
        Open::of(world, uid, "attach", &attach, r#"{"input":true}"#, "101 Switching").await,
        Open::of(world, uid, "watch", &attach, r#"{"input":false}"#, "101 Switching").await,
        Open::of(world, uid, "follow", &follow, "", "cursor").await,
        Open::of(world, uid, "events", "GET /api/v1/events HTTP/1.1", "", "listening").await,
    ]
}

async fn may(world: &World, uid: u32) -> bool {
    world.rest(uid, "GET", "/sessions", None).await.status == 200
}

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < give_up, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn done(world: &World, method: &str, path: &str, body: Value) -> Value {
    let answer = world.rest(ANN, method, path, Some(body)).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

/// Bans as another daemon would: behind this one's back.
async fn ban_elsewhere(world: &World, whose: Whose, lifted: bool) {
    let at = Timestamp::from_micros(1_000_000);
    let ban = Ban {
        id: Uuid::from_u128(7),
        whose,
        until: None,
        reason: Some(WHY.to_owned()),
        by: "zoe".to_owned(),
        by_person: None,
        source: BanSource::Admin,
        count: 1,
        created: at,
        updated: at,
        lifted: lifted.then(|| (at, "zoe".to_owned())),
    };
    let kept = world.app.store().write(Instant::now() + PATIENCE, move |tx| {
        let ban = ban.clone();
        Box::pin(async move {
            version::people_change(tx.conn()).await?;
            ban::put(tx.conn(), &ban).await?;
            Ok::<_, StoreError>(())
        })
    });
    kept.await.unwrap();
}

fn key_of(world: &World, name: &str) -> PersonId {
    let settings = world.app.settings();
    let who = teleclaude::domain::people::OsUser {
        uid: if name == "bob" { BOB } else { CID },
        username: None,
        gids: vec![],
        foreign: false,
    };
    settings.people.resolve(&who, Timestamp::from_micros(0)).person.unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends_whatever_lives_on_and_the_session_stays() {
    on_both(async |db| {
        let world = World::everybody(db).config(ROLES).start().await;
        let id = world.shell(BOB).await;
        let open = everything(&world, BOB, &id).await;
        let body = json!({ "person": "bob", "until": "2h", "reason": WHY });
        let banned = done(&world, "POST", "/bans", body).await;
        assert_eq!((&banned["ban"]["person"], &banned["ban"]["active"]), (&json!("bob"), &json!(true)));
        assert!(!may(&world, BOB).await, "in force before it was answered");
        for open in open {
            let name = open.name;
            let said = open.ends().await;
            if matches!(name, "attach" | "watch" | "follow") {
                assert!(said.contains("banned until") && said.contains(WHY), "{name}: {said}");
            }
        }
        let whoami = world.rest(BOB, "GET", "/whoami", None).await;
        assert!(whoami.body["refused"].as_str().unwrap().contains(WHY), "{whoami:?}");
        // What runs runs on, and an admin sees it.
        let row = world.rest(ANN, "GET", &format!("/sessions/{id}"), None).await;
        assert_eq!(row.body["status"], "running", "{row:?}");

        done(&world, "POST", "/bans/lift", json!({ "person": "bob" })).await;
        assert!(may(&world, BOB).await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deactivating_and_the_deny_list_end_it_too_and_a_demotion_narrows() {
    on_both(async |db| {
        let world = World::everybody(db).config(ROLES).start().await;
        let id = world.shell(BOB).await;
        for (path, off, on) in
            [("/people/bob/status", "inactive", "active"), ("/people/bob/status", "suspended", "active")]
        {
            let open = everything(&world, BOB, &id).await;
            done(&world, "PUT", path, json!({ "status": off })).await;
            for open in open {
                open.ends().await;
            }
            assert!(!may(&world, BOB).await);
            done(&world, "PUT", path, json!({ "status": on })).await;
            assert!(may(&world, BOB).await);
        }
        let open = everything(&world, BOB, &id).await;
        world.rewrite_config(|text| format!("{text}\naccess: {{ deny: [{BOB}] }}\n"));
        done(&world, "POST", "/reload", json!({})).await;
        for open in open {
            open.ends().await;
        }
        world.rewrite_config(|text| text.replace(&format!("access: {{ deny: [{BOB}] }}"), ""));
        done(&world, "POST", "/reload", json!({})).await;

        // An admin of the directory watches what is bob's, and follows the audit log; as a member they no longer do.
        let zoe = 3_000_050;
        let added =
            world.rest(ANN, "POST", "/people", Some(json!({ "name": "zoe", "uid": zoe, "role": "admin" })));
        assert_eq!(added.await.status, 201);
        let why = json!({ "reason": "looking into an incident" }).to_string();
        let attach = format!(
            "POST /api/v1/sessions/{id}/attach HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: teleclaude-attach"
        );
        let follow =
            format!("GET /api/v1/sessions/{id}/transcript?follow=true&reason=looking%20into%20it HTTP/1.1");
        let open = vec![
            Open::of(&world, zoe, "watch", &attach, &why, "101 Switching").await,
            Open::of(&world, zoe, "follow", &follow, "", "cursor").await,
            Open::of(&world, zoe, "tail", "GET /api/v1/audit/tail HTTP/1.1", "", "200 OK").await,
        ];
        let mut mcp = world.mcp(zoe, Era::Initialize).await;
        let listed = mcp.ask("tools/list", json!({})).await.to_string();
        assert!(listed.contains("audit_query"), "{listed}");
        done(&world, "PUT", "/people/zoe/role", json!({ "role": "member" })).await;
        for open in open {
            open.ends().await;
        }
        // The same connection, a moment later.
        loop {
            let message = mcp.hear().await;
            if message["method"] == "notifications/tools/list_changed" {
                break;
            }
        }
        let listed = mcp.ask("tools/list", json!({})).await.to_string();
        assert!(!listed.contains("audit_query"), "{listed}");
        assert_eq!(world.rest(zoe, "GET", "/audit", None).await.status, 404);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_tells_nothing_more_of_what_one_may_no_longer_see() {
    on_both(async |db| {
        let world = World::everybody(db).config(ROLES).start().await;
        let id = world.shell(BOB).await;
        let mut mcp = world.mcp(BOB, Era::Initialize).await;
        let subscribed =
            mcp.ask("tools/call", json!({ "name": "subscribe", "arguments": { "session_id": id } })).await;
        assert_ne!(subscribed["result"]["isError"], json!(true), "{subscribed}");
        done(&world, "POST", "/bans", json!({ "uid": BOB, "until": "permanent", "reason": WHY })).await;
        done(&world, "PATCH", &format!("/sessions/{id}"), json!({ "title": "x", "reason": WHY })).await;
        done(&world, "POST", "/bans/lift", json!({ "uid": BOB })).await;
        done(&world, "PATCH", &format!("/sessions/{id}"), json!({ "title": "y", "reason": WHY })).await;
        // Two changes of the title, and the second one alone is told.
        let mut told = 0;
        let give_up = Instant::now() + PATIENCE;
        while told == 0 && Instant::now() < give_up {
            let message = mcp.hear().await;
            told += usize::from(message["method"] == "notifications/resources/updated");
        }
        let quiet = timeout(Duration::from_millis(300), mcp.hear()).await;
        let again = quiet.is_ok_and(|message| message["method"] == "notifications/resources/updated");
        assert!(told == 1 && !again);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_behind_a_daemons_back_is_noticed() {
    on_both(async |db| {
        let world = World::everybody(db).config(ROLES).start().await;
        let id = world.shell(BOB).await;
        let open = everything(&world, BOB, &id).await;
        let bob = key_of(&world, "bob");
        ban_elsewhere(&world, Whose::Person(bob), false).await;
        for open in open {
            open.ends().await;
        }
        until("he is banned", async || !may(&world, BOB).await).await;
        ban_elsewhere(&world, Whose::Person(bob), true).await;
        until("he is not banned any more", async || may(&world, BOB).await).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_daemon_on_the_same_database_bans_and_demotes_here() {
    let here = World::everybody(Db::postgres()).config(ROLES).start().await;
    let there = World::everybody(here.db.beside()).computer("there").start().await;
    let id = here.shell(BOB).await;
    let open = everything(&here, BOB, &id).await;
    done(&there, "POST", "/bans", json!({ "person": "bob", "until": "1h", "reason": WHY })).await;
    for open in open {
        open.ends().await;
    }
    assert!(!may(&here, BOB).await && !may(&there, BOB).await);
    // Whoever is added there is somebody here, and less once they are less there.
    let zoe = 3_000_050;
    let added =
        there.rest(ANN, "POST", "/people", Some(json!({ "name": "zoe", "uid": zoe, "role": "admin" })));
    assert_eq!(added.await.status, 201);
    until("zoe is known here", async || here.rest(zoe, "GET", "/audit", None).await.status == 200).await;
    let tail = Open::of(&here, zoe, "tail", "GET /api/v1/audit/tail HTTP/1.1", "", "200 OK").await;
    done(&there, "PUT", "/people/zoe/role", json!({ "role": "member" })).await;
    tail.ends().await;
    assert_eq!(here.rest(zoe, "GET", "/audit", None).await.status, 404);
    done(&here, "POST", "/bans/lift", json!({ "person": "bob" })).await;
    until("bob may again there", async || may(&there, BOB).await).await;
    there.end().await;
    here.end().await;
}
