//! Defects that a review found, one test each, by the name of what went wrong.

use crate::postgres::{Db, on_both};
use crate::world::{ANN, BOB, CID, EVE, STRANGER, World};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::daemon::hosts::Hosts;
use teleclaude::daemon::life;
use teleclaude::daemon::tokens::Tokens;
use teleclaude::domain::people::OsUser;
use teleclaude::domain::person::Standing;
use teleclaude::domain::session::{Session, SessionId, SessionStatus};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::host::files;
use teleclaude::store::error::StoreError;
use teleclaude::store::{activity, message, outbox, session};
use teleclaude::usecase::sessions::START;
use tokio::time::Instant;
use uuid::Uuid;

const MISSING: &str = "0193b2a0-0000-7000-8000-00000000dead";

fn db_world(db: Db) -> crate::world::Builder {
    World::everybody(db).config("agents: { shell: { enabled: true } }\nroles: { member: { profile: full } }")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let deadline = soon();
    while !so().await {
        assert!(Instant::now() < deadline, "it never came to be so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn id_of(text: &str) -> SessionId {
    SessionId(text.parse().unwrap())
}

async fn row(world: &World, id: &str) -> Session {
    session::by_id(world.app.store().reader(), id_of(id)).await.unwrap().unwrap()
}

/// A session that is only a row: like this one, but for what `change` makes of it.
async fn twin(world: &World, of: &str, change: impl FnOnce(&mut Session)) -> String {
    let mut twin = row(world, of).await;
    twin.id = SessionId(Uuid::now_v7());
    change(&mut twin);
    let id = twin.id.to_string();
    world
        .app
        .store()
        .write(soon(), move |tx| {
            let twin = twin.clone();
            Box::pin(async move { session::insert(tx.conn(), &twin).await })
        })
        .await
        .unwrap();
    id
}

async fn end(world: &World, uid: u32, id: &str) {
    let answer = world.rest(uid, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_overtakes_the_start_leaves_no_host_behind() {
    let world = db_world(Db::sqlite()).start().await;
    for _ in 0..4 {
        let body = json!({ "project": "work", "agent": "shell" });
        let started = world.rest(BOB, "POST", "/sessions", Some(body)).await;
        let id = started.body["session_id"].as_str().unwrap().to_owned();
        end(&world, BOB, &id).await;
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        until("no host is left", async || !files::is_locked(&world.path("run"), id_of(&id))).await;
        assert!(session::open_tokens(world.app.store().reader(), "here").await.unwrap().is_empty());
    }
    assert!(world.app.tokens().is_empty(), "no token outlives its session");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_told_again_takes_no_token_from_a_living_agent() {
    let world = db_world(Db::sqlite()).start().await;
    let id = world.shell(BOB).await;
    let reader = world.app.store().reader();
    let before = session::open_tokens(reader, "here").await.unwrap();
    // As after a crash between the host's start and the effect's end.
    let again = outbox::Effect {
        id: Uuid::now_v7(),
        computer: "here".to_owned(),
        kind: START.to_owned(),
        session: id_of(&id),
        payload: "{}".to_owned(),
        created: Timestamp::from_micros(1),
    };
    let session = id_of(&id);
    world
        .app
        .store()
        .write(soon(), move |tx| {
            let again = again.clone();
            Box::pin(async move {
                session::set_status(tx.conn(), session, SessionStatus::Starting).await?;
                outbox::insert(tx.conn(), &again).await
            })
        })
        .await
        .unwrap();
    world.app.work().notify_one();
    until("the effect is done", async || outbox::pending(reader, "here", 9).await.unwrap().is_empty()).await;
    assert_eq!(session::open_tokens(reader, "here").await.unwrap(), before);
    assert_eq!(world.app.tokens().len(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_host_out_of_sight_is_not_written_off_as_lost() {
    let world = db_world(Db::sqlite()).start().await;
    let id = world.shell(BOB).await;
    // Another daemon claims the host, and goes.
    let (events, _taken) = tokio::sync::mpsc::channel(64);
    let other = Hosts::new(world.path("run"), world.path("state"), "/nowhere".into(), events);
    assert_eq!(other.adopt().await.unwrap().live, [id_of(&id)]);
    end(&world, BOB, &id).await;
    let over = world.until(BOB, &id, |row| row["status"] == "ended").await;
    assert_ne!(over["exit"], "lost", "{over}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopting_again_ends_nothing_that_lives() {
    let world = db_world(Db::sqlite()).start().await;
    let id = world.shell(BOB).await;
    life::adopt(&world.app).await.unwrap();
    assert_eq!(row(&world, &id).await.status, SessionStatus::Running);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_the_host_never_heard_is_said_again() {
    let world = db_world(Db::sqlite()).start().await;
    let id = world.shell(BOB).await;
    let session = id_of(&id);
    // As after a crash of the daemon between the effect's end and the host's ear.
    let (events, _taken) = tokio::sync::mpsc::channel(64);
    let other = Hosts::new(world.path("run"), world.path("state"), "/nowhere".into(), events);
    assert_eq!(other.adopt().await.unwrap().live, [session]);
    let store = world.app.store();
    store
        .write(soon(), move |tx| {
            Box::pin(async move { session::set_status(tx.conn(), session, SessionStatus::Ending).await })
        })
        .await
        .unwrap();
    until("it ended", async || {
        // What the next daemon does.
        world.app.hosts().find(session).await;
        row(&world, &id).await.status == SessionStatus::Ended
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_before_it_begins_ends_like_any_other() {
    on_both(async |db| {
        let world = db_world(db).start().await;
        let real = world.shell(BOB).await;
        let id = twin(&world, &real, |twin| twin.status = SessionStatus::Starting).await;
        let hello = json!({ "message": "hello" });
        let sent = world.rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(hello)).await;
        let message: Uuid = sent.body["message_id"].as_str().unwrap().parse().unwrap();
        end(&world, BOB, &id).await;
        let over = world.until(BOB, &id, |row| row["status"] == "ended").await;
        assert_eq!(over["exit"], "failed: ended before it began");
        let reader = world.app.store().reader();
        until("the message failed", async || {
            message::by_id(reader, message).await.unwrap().unwrap().state == message::MessageState::Failed
        })
        .await;
        let of = activity::Filter { session: Some(id_of(&id)), ..Default::default() };
        let happened = activity::page(reader, &of, None, 9).await.unwrap();
        assert!(happened.iter().any(|(event, _)| event.kind == "ended"), "{happened:?}");
        let ends = world.audit().await;
        let ends: Vec<&Value> = ends
            .iter()
            .filter(|row| row["action"] == "session.end" && row["session_id"] == json!(id))
            .collect();
        assert_eq!(ends.len(), 2, "asked for, and done: {ends:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_another_computer_is_ended_there_and_not_written_off_here() {
    on_both(async |db| {
        let world = db_world(db).start().await;
        let real = world.shell(BOB).await;
        let there = twin(&world, &real, |twin| twin.computer = "there".to_owned()).await;
        end(&world, BOB, &there).await;
        // What was asked for here afterwards is done; so the other was not merely not yet looked at.
        end(&world, BOB, &real).await;
        world.until(BOB, &real, |row| row["status"] == "ended").await;
        assert_eq!(row(&world, &there).await.status, SessionStatus::Ending);
        let waiting = outbox::pending(world.app.store().reader(), "there", 9).await.unwrap();
        assert_eq!(waiting.iter().map(|e| e.session).collect::<Vec<_>>(), [id_of(&there)]);
        let read = world.rest(BOB, "GET", &format!("/sessions/{there}/transcript"), None).await;
        assert_eq!(read.status, 503, "no empty page instead of one that lies elsewhere: {read:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_learns_nothing_of_its_owners_other_sessions() {
    on_both(async |db| {
        let world = db_world(db).start().await;
        let own = world.shell(BOB).await;
        let other = twin(&world, &own, |twin| {
            twin.client_id = Some("mine".to_owned());
            // The same first eight digits, as sessions of one minute have them.
            twin.id = SessionId(Uuid::from_u128(id_of(&own).0.as_u128() ^ 1));
        })
        .await;
        let (token, hash) = Tokens::make([7; 32]);
        world.app.tokens().keep(hash, id_of(&own), BOB);
        let token = Some(token.expose_secret());
        let said = async |method, path: &str, id: &str, body: Option<Value>| {
            let answer = world.rest_with(BOB, method, &path.replace("ID", id), body, token).await;
            (answer.status, answer.body.to_string().replace(id, "ID"))
        };
        let hello = json!({ "message": "hello" });
        for (method, path, body) in [
            ("GET", "/sessions/ID", None),
            ("GET", "/sessions/ID/transcript", None),
            ("POST", "/sessions/ID/messages", Some(hello)),
            ("POST", "/sessions/ID/end", Some(json!({}))),
            ("PUT", "/sessions/ID/watch", None),
            ("GET", "/sessions?children_of=ID", None),
        ] {
            let missing = said(method, path, MISSING, body.clone()).await;
            assert_eq!(missing.0, 404, "{path}: {missing:?}");
            assert_eq!(said(method, path, &other, body).await, missing, "{path}");
        }
        let prefix = world.rest_with(BOB, "GET", &format!("/sessions/{}", &own[..8]), None, token).await;
        assert_eq!(prefix.body["session_id"], json!(own), "{prefix:?}");
        // Nor by the id of a request that its owner made.
        let same = json!({ "project": "work", "agent": "shell", "client_id": "mine" });
        let answer = world.rest_with(BOB, "POST", "/sessions", Some(same), token).await;
        assert_eq!((answer.status, &answer.body["session_id"]), (409, &Value::Null), "{answer:?}");
        end(&world, BOB, &other).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_id_does_not_turn_another_request_into_a_success() {
    on_both(async |db| {
        let world = db_world(db).start().await;
        std::fs::create_dir(world.path("project").join("sub")).unwrap();
        let ask = |more: Value| {
            let mut body = json!({ "project": "work", "agent": "shell", "client_id": "once" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Some(body)
        };
        let first = world.rest(BOB, "POST", "/sessions", ask(json!({}))).await;
        let again = world.rest(BOB, "POST", "/sessions", ask(json!({}))).await;
        assert_eq!(again.body["session_id"], first.body["session_id"]);
        let other = world.rest(BOB, "POST", "/sessions", ask(json!({ "subdir": "sub" }))).await;
        assert_eq!((other.status, &other.body["field"]), (409, &json!("client_id")), "{other:?}");
        let cids = world.rest(CID, "POST", "/sessions", ask(json!({}))).await;
        assert_eq!(cids.status, 201, "it is each person's own: {cids:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_explain_says_the_same_of_who_exists_and_who_does_not() {
    let world = db_world(Db::sqlite()).start().await;
    let said = async |who: &str| {
        let answer = world.rest(CID, "GET", &format!("/people/{who}/explain"), None).await;
        (answer.status, answer.body.to_string().replace(&format!("`{who}`"), "WHO"))
    };
    let nobody = said("nosuchuserhere").await;
    assert_eq!(nobody.0, 404);
    for who in ["root", "0", "3999999999", &BOB.to_string()] {
        assert_eq!(said(who).await, nobody, "{who}");
    }
    assert_eq!(said(&CID.to_string()).await.0, 200);
    let refusals = world.audit().await;
    assert!(refusals.iter().any(|row| row["action"] == "access.denied" && row["actor"] == "cid"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_project_is_not_entered_through_the_one_around_it() {
    let world = db_world(Db::sqlite()).start().await;
    let vault = world.path("project").join("vault");
    std::fs::create_dir_all(vault.join("deep")).unwrap();
    std::os::unix::fs::symlink(&vault, world.path("project").join("door")).unwrap();
    world.rewrite_config(|text| {
        let vault = format!("projects:\n  - {{ name: vault, path: {}, people: [ann] }}\n", vault.display());
        text.replace("projects:\n", &vault)
    });
    assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
    let said = async |body: Value| {
        let answer = world.rest(BOB, "POST", "/sessions", Some(body.clone())).await;
        let typed = body["subdir"].as_str().unwrap_or("nothing typed");
        (answer.status, answer.body.to_string().replace(typed, "SUB"))
    };
    let inside = |sub: &str| json!({ "project": "work", "agent": "shell", "subdir": sub });
    let missing = said(inside("nope")).await;
    assert_eq!(missing.0, 422, "{missing:?}");
    assert_eq!(said(inside("vault")).await, missing);
    assert_eq!(said(inside("vault/deep")).await, missing);
    assert_eq!(said(inside("door")).await.0, 422);
    let by_path = said(json!({ "project": vault.display().to_string(), "agent": "shell" })).await;
    assert_eq!(by_path.0, 404, "{by_path:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmapped_refuse_refuses() {
    let world = db_world(Db::sqlite()).config("access: { unmapped: refuse }").start().await;
    let answer = world.rest(STRANGER, "GET", "/whoami", None).await;
    assert_eq!((answer.status, &answer.body["code"]), (403, &json!("denied")), "{answer:?}");
    assert_eq!(world.rest(EVE, "GET", "/whoami", None).await.status, 200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_by_name_is_denied_when_the_directory_of_names_is_silent() {
    let world =
        db_world(Db::sqlite()).person("boss", 0, "admin").config("access: { deny: [root] }").start().await;
    let who = OsUser { uid: 0, username: None, gids: vec![0], foreign: false };
    let resolved = world.app.settings().people.resolve(&who, world.app.now());
    assert_eq!((resolved.standing, resolved.person), (Standing::Denied, None));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_tokens_costs_as_much_as_any_request() {
    let world =
        db_world(Db::sqlite()).person("fay", 3_000_006, "newcomer").config("limits: {}").start().await;
    world.rewrite_config(|text| {
        text.replace(
            "roles: { member: { profile: full } }",
            "roles: { member: { profile: full }, newcomer: { requests_per_minute: 1, burst: 3 } }",
        )
    });
    assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
    let mut codes = Vec::new();
    for n in 0..5 {
        let token = format!("{n:064x}");
        codes.push(world.rest_with(3_000_006, "GET", "/whoami", None, Some(&token)).await.status);
    }
    assert_eq!(codes, [403, 403, 403, 429, 429]);
    world.end().await;
}

#[test]
fn a_store_conflict_is_no_outage() {
    let fault = teleclaude::usecase::resolve::unavailable(StoreError::Conflict);
    assert_eq!(fault.code.http_status(), 409);
}
