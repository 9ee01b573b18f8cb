//! People writing to each other: who may write to whom, what lies in the inbox afterwards, what is typed into a session,
//! whom a summary reaches, and what is refused.

use crate::postgres::{Db, on_both};
use crate::process::until;
use crate::world::{ANN, BOB, CID, DOT, ERAS, EVE, World};
use serde_json::{Value, json};
use teleclaude::daemon::backend::{Backend as _, Event};
use teleclaude::domain::caller::PersonRef;
use teleclaude::domain::session::SessionId;
use teleclaude::domain::task::{Task, TaskId, TaskStatus, TaskText};
use teleclaude::store::error::StoreError;
use teleclaude::store::{message, person, task};
use teleclaude::usecase::letter::LETTERS_AN_HOUR;
use tokio::time::Instant;
use uuid::Uuid;

const OFTEN: &str = "{ requests_per_minute: 100000, burst: 10000, profile: full }";
const TALKER: &str = "agents:
  talker:
    enabled: true
    command: /bin/sh
    args:
      - -c
      - 'stty -echo; echo $TELECLAUDE_TOKEN > new-$TELECLAUDE_SESSION; mv new-$TELECLAUDE_SESSION token-$TELECLAUDE_SESSION; echo ready; while read -r line; do echo got $line; done'
    profiles: { full: [], restricted: [] }
  shell: { enabled: true, command: /bin/sh }
";

async fn world(db: Db, steer: bool) -> World {
    let roles = format!(
        "roles:\n  member: {OFTEN}\n  admin: {{ requests_per_minute: 100000, burst: 10000, steer_others: {steer} }}"
    );
    World::everybody(db).config(&roles).config(TALKER).start().await
}

async fn send(world: &World, uid: u32, user: &str, body: Value) -> crate::world::Answer {
    world.rest(uid, "POST", &format!("/people/{user}/messages"), Some(body)).await
}

/// Messages of this kind, newest first.
async fn inbox(world: &World, uid: u32, kind: &str) -> Vec<Value> {
    let answer = world.rest(uid, "GET", "/inbox?limit=100", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.body["messages"].as_array().unwrap().clone();
    all.into_iter().filter(|message| message["kind"] == kind).collect()
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["text"].as_str().unwrap()).collect()
}

async fn session(world: &World, uid: u32, agent: &str) -> String {
    let body = json!({ "project": "work", "agent": agent });
    let started = world.rest(uid, "POST", "/sessions", Some(body)).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    world.until(uid, &id, |row| row["status"] == "running").await;
    id
}

/// What was, or is to be, typed into a session.
async fn typed(world: &World, session: &str) -> Vec<String> {
    let (reader, id) = (world.app.store().reader(), SessionId(session.parse().unwrap()));
    let mut all = message::delivered(reader, id, 100).await.unwrap();
    all.extend(message::pending(reader, id, 100).await.unwrap());
    all.into_iter().map(|message| message.text).collect()
}

async fn who(world: &World, name: &str) -> PersonRef {
    let person = person::by_name(world.app.store().reader(), name).await.unwrap().unwrap();
    PersonRef { id: person.id, name: person.name }
}

async fn give(world: &World, assignee: &str, creator: &str, status: TaskStatus) -> TaskId {
    let now = world.app.now();
    let task = Task {
        id: TaskId(Uuid::now_v7()),
        assignee: who(world, assignee).await,
        creator: who(world, creator).await,
        description: TaskText::parse("mend the roof").unwrap(),
        deadline: None,
        status,
        created: now,
        updated: now,
        completed: (status == TaskStatus::Completed).then_some(now),
        version: 1,
    };
    let id = task.id;
    let deadline = Instant::now() + std::time::Duration::from_secs(20);
    let kept = world.app.store().write(deadline, move |tx| {
        let task = task.clone();
        Box::pin(async move { task::insert(tx.conn(), &task).await })
    });
    kept.await.map_err(|error: teleclaude::store::writer::WriteError<StoreError>| error).unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_of_tasks_is_no_letter() {
    on_both(async |db| {
        let world = world(db, false).await;
        for n in 0..LETTERS_AN_HOUR {
            let task = json!({ "user": "bob", "description": format!("task {n}") });
            let given = world.rest(ANN, "POST", "/tasks", Some(task)).await;
            assert_eq!(given.status, 201, "{given:?}");
        }
        let sent = send(&world, ANN, "bob", json!({ "message": "and how are you?" })).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_write_to_anybody_and_others_to_admins() {
    on_both(async |db| {
        let world = world(db, false).await;
        let mut events = world.app.watch();
        for era in ERAS {
            let args = json!({ "user": "bob", "message": "lunch\r\nat noon?" });
            let answer = world.call(ANN, era, "send_to_user", args).await;
            let sent = &answer["result"]["structuredContent"];
            assert_eq!(sent["to"], json!(["bob"]), "{answer}");
            let messages = inbox(&world, BOB, "message").await;
            assert_eq!(messages[0]["message_id"], sent["message_id"]);
            assert_eq!(
                (&messages[0]["from"], &messages[0]["text"]),
                (&json!("ann"), &json!("lunch\nat noon?"))
            );
        }
        let bobs = who(&world, "bob").await.id;
        while !matches!(events.recv().await.unwrap(), Event::Inbox { person, uid: None } if person == bobs) {}
        // The same words twice are two messages.
        assert_eq!(inbox(&world, BOB, "message").await.len(), 2);
        assert_eq!(world.rest(BOB, "GET", "/inbox?unread=true", None).await.body["unread"], 2);
        // By what finds people elsewhere, too.
        assert_eq!(send(&world, ANN, "@CI", json!({ "message": "you" })).await.body["to"], json!(["cid"]));

        for (uid, name) in [(BOB, "bob"), (DOT, "dot"), (EVE, "eve")] {
            for user in ["ann", "ANN", "@ann", "admins"] {
                let text = format!("{name} to {user}");
                let sent = send(&world, uid, user, json!({ "message": text })).await;
                assert_eq!((sent.status, &sent.body["to"]), (200, &json!(["ann"])), "{sent:?}");
            }
            // Nobody learns whom else there is.
            let of = |answer: crate::world::Answer, name: &str| {
                (answer.status, answer.body.to_string().replace(name, "NAME"))
            };
            let there = of(send(&world, uid, "cid", json!({ "message": "psst" })).await, "cid");
            let nowhere = of(send(&world, uid, "zoe", json!({ "message": "psst" })).await, "zoe");
            assert_eq!((there.0, &there), (404, &nowhere));
        }
        assert_eq!(inbox(&world, CID, "message").await.len(), 1, "only ann's");
        let anns = inbox(&world, ANN, "message").await;
        assert_eq!((anns.len(), texts(&anns)[0]), (12, "eve to admins"));
        assert!(
            anns.iter().all(|message| message["text"]
                .as_str()
                .unwrap()
                .starts_with(message["from"].as_str().unwrap()))
        );
        // Who it is from is nothing to be said.
        let forged = send(&world, BOB, "ann", json!({ "message": "x", "from": "cid" })).await;
        assert_eq!((forged.status, &forged.body["field"]), (422, &json!("from")), "{forged:?}");
        // A message is nobody's business but theirs: no row of the log, but for the refusals.
        assert!(
            world
                .audit()
                .await
                .iter()
                .all(|row| row["outcome"] == "denied" || row["action"] != "message.send")
        );
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_says_why_and_leaves_nothing() {
    on_both(async |db| {
        let world = world(db, true).await;
        let long = "ä".repeat(4_001);
        let missing = "0193b2a0-0000-7000-8000-00000000dead";
        let why = "looking into an incident";
        let anns = session(&world, ANN, "talker").await;
        for (user, body, field) in [
            ("bob", json!({ "message": "" }), "message"),
            ("bob", json!({ "message": " \n" }), "message"),
            ("bob", json!({ "message": long }), "message"),
            ("bob", json!({ "message": "a\u{1b}[2Jb" }), "message"),
            ("bob", json!({ "message": "a\u{0}b" }), "message"),
            ("bob", json!({ "message": 5 }), "message"),
            ("bob", json!({}), "message"),
            ("@", json!({ "message": "x" }), "user"),
            ("nobody-of-this-name", json!({ "message": "x" }), "user"),
            ("bob", json!({ "message": "x", "into_session": "" , "reason": why }), "into_session"),
            ("bob", json!({ "message": "x", "into_session": missing, "reason": why }), "into_session"),
            ("bob", json!({ "message": "x", "into_session": "newest", "reason": why }), "into_session"),
            ("bob", json!({ "message": "x", "into_session": anns, "reason": why }), "into_session"),
            ("admins", json!({ "message": "x", "into_session": "newest" , "reason": "short" }), "reason"),
        ] {
            let refused = send(&world, ANN, user, body.clone()).await;
            assert!([422, 404].contains(&refused.status), "{body}: {refused:?}");
            assert_eq!(refused.body["field"], field, "{body}: {refused:?}");
        }
        for (body, field) in [
            (json!({ "summary": " " }), "summary"),
            (json!({ "summary": long }), "summary"),
            (json!({ "summary": "x", "task_id": "1" }), "task_id"),
            (json!({ "summary": "x", "task_id": missing }), "task_id"),
        ] {
            let refused = world.rest(BOB, "POST", "/inbox/summaries", Some(body.clone())).await;
            assert_eq!(refused.body["field"], field, "{body}: {refused:?}");
        }
        for uid in [ANN, BOB] {
            assert_eq!(world.rest(uid, "GET", "/inbox", None).await.body["messages"], json!([]));
        }
        assert_eq!(typed(&world, &anns).await, [""; 0]);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_writes_without_end_is_stopped_and_pushes_nothing_out() {
    on_both(async |db| {
        let world = world(db, false).await;
        for n in 0..60 {
            let sent = send(&world, BOB, "ann", json!({ "message": format!("letter {n}") })).await;
            assert_eq!(sent.status, 200, "{n}: {sent:?}");
        }
        let refused = send(&world, BOB, "ann", json!({ "message": "one more" })).await;
        assert_eq!((refused.status, &refused.body["code"]), (429, &json!("rate_limited")), "{refused:?}");
        let wait = refused.body["retry_after_ms"].as_i64().unwrap();
        assert!((3_000_000..=3_600_000).contains(&wait), "{wait}");
        let summary =
            world.rest(BOB, "POST", "/inbox/summaries", Some(json!({ "summary": "as well" }))).await;
        assert_eq!(summary.status, 429, "{summary:?}");
        assert_eq!(send(&world, CID, "ann", json!({ "message": "I may" })).await.status, 200);
        assert_eq!(inbox(&world, ANN, "message").await.len(), 61);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_it_into_a_session_is_steering_and_no_way_around_that() {
    on_both(async |db| {
        let world = world(db, false).await;
        let bobs = session(&world, BOB, "talker").await;
        let anns = session(&world, ANN, "talker").await;
        let why = "the build is broken";
        // Off, as it is unless the config says otherwise.
        for into in ["newest", &bobs] {
            let body = json!({ "message": "stop that", "into_session": into, "reason": why });
            let refused = send(&world, ANN, "bob", body).await;
            assert_eq!((refused.status, &refused.body["code"]), (403, &json!("denied")), "{refused:?}");
        }
        for (uid, into) in [(BOB, "newest"), (BOB, &*anns), (EVE, "newest"), (BOB, &*bobs)] {
            let body = json!({ "message": "stop that", "into_session": into, "reason": why });
            let refused = send(&world, uid, "ann", body).await;
            assert_eq!((refused.status, &refused.body["code"]), (403, &json!("denied")), "{refused:?}");
        }
        assert!(
            inbox(&world, BOB, "message").await.is_empty() && inbox(&world, ANN, "message").await.is_empty()
        );
        // One's own is one's own.
        let own = send(&world, ANN, "ann", json!({ "message": "a note", "into_session": anns })).await;
        assert_eq!((own.status, &own.body["session_id"]), (200, &json!(anns)), "{own:?}");
        assert_eq!(typed(&world, &anns).await, ["[teleclaude] A message from ann:\na note"]);

        world.rewrite_config(|text| text.replace("steer_others: false", "steer_others: true"));
        assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
        let without = json!({ "message": "stop that", "into_session": "newest" });
        let refused = send(&world, ANN, "bob", without).await;
        assert_eq!((refused.status, &refused.body["field"]), (422, &json!("reason")), "{refused:?}");
        let shell = session(&world, BOB, "shell").await;
        let body =
            |into: &str| json!({ "message": "stop that\nplease", "into_session": into, "reason": why });
        let refused = send(&world, ANN, "bob", body(&shell)).await;
        assert_eq!((refused.status, &refused.body["field"]), (422, &json!("into_session")), "{refused:?}");
        // The newest that takes messages, though a shell is newer.
        let sent = send(&world, ANN, "bob", body("newest")).await;
        assert_eq!((sent.status, &sent.body["session_id"]), (200, &json!(bobs)), "{sent:?}");
        assert_eq!(typed(&world, &bobs).await, ["[teleclaude] A message from ann:\nstop that\nplease"]);
        until("it is typed", || {
            let recording = std::fs::read_to_string(world.path(&format!("state/recordings/{bobs}.cast")));
            recording.unwrap_or_default().contains("A message from ann")
        });
        let rows = world.audit().await;
        let row = rows.iter().find(|row| row["action"] == "session.send").unwrap();
        assert_eq!(
            (&row["actor"], &row["session_id"], &row["reason"]),
            (&json!("ann"), &json!(bobs), &json!(why))
        );
        assert_eq!(texts(&inbox(&world, BOB, "message").await), ["stop that\nplease"]);
        let told = inbox(&world, BOB, "access").await;
        assert!(
            texts(&told).iter().any(|text| text.contains("sent a message into a session of yours")),
            "{told:?}"
        );

        // What is over takes nothing, and nothing is sent.
        assert_eq!(world.rest(BOB, "POST", &format!("/sessions/{bobs}/end"), None).await.status, 200);
        world.until(BOB, &bobs, |row| row["status"] == "ended").await;
        let refused = send(&world, ANN, "bob", body(&bobs)).await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("conflict")), "{refused:?}");
        assert_eq!(inbox(&world, BOB, "message").await.len(), 1);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_summary_goes_to_who_gave_the_task_else_to_the_admins() {
    on_both(async |db| {
        let world = world(db, false).await;
        let report = async |uid, body: Value| {
            let sent = world.rest(uid, "POST", "/inbox/summaries", Some(body)).await;
            assert_eq!(sent.status, 200, "{sent:?}");
            sent.body["to"].clone()
        };
        assert_eq!(report(BOB, json!({ "summary": "no task" })).await, json!(["ann"]));
        let older = give(&world, "bob", "dot", TaskStatus::Accepted).await;
        let newer = give(&world, "bob", "cid", TaskStatus::Pending).await;
        give(&world, "bob", "ann", TaskStatus::Completed).await;
        let others = give(&world, "eve", "ann", TaskStatus::Pending).await;
        assert_eq!(report(BOB, json!({ "summary": "newest" })).await, json!(["cid"]));
        let prefix = older.0.to_string();
        assert_eq!(report(BOB, json!({ "summary": "older", "task_id": prefix })).await, json!(["dot"]));
        for era in ERAS {
            let args = json!({ "summary": "by tool", "task_id": newer.0.to_string() });
            let sent = world.call(BOB, era, "send_summary_to_owner", args).await;
            assert_eq!(sent["result"]["structuredContent"]["to"], json!(["cid"]), "{sent}");
            // Another's task is none.
            let args = json!({ "summary": "by tool", "task_id": others.0.to_string() });
            let refused = world.call(BOB, era, "send_summary_to_owner", args).await;
            assert_eq!(refused["result"]["structuredContent"]["code"], "not_found", "{refused}");
        }
        assert_eq!(texts(&inbox(&world, CID, "summary").await), ["by tool", "by tool", "newest"]);
        assert_eq!(texts(&inbox(&world, DOT, "summary").await), ["older"]);
        // Who is kept out for now would not read it.
        let ban = json!({ "person": "dot", "until": "1h", "reason": "out until this is over" });
        let banned = world.rest(ANN, "POST", "/bans", Some(ban)).await;
        assert_eq!(banned.status, 200, "{banned:?}");
        assert_eq!(report(BOB, json!({ "summary": "out", "task_id": prefix })).await, json!(["ann"]));

        // An agent reports for its owner, as its owner, and says from which session.
        let id = session(&world, BOB, "talker").await;
        let path = world.path("project").join(format!("token-{id}"));
        until("it has its token", || path.exists());
        let token = std::fs::read_to_string(path).unwrap().trim().to_owned();
        let mut agent = world.mcp_with(BOB, ERAS[0], Some(&token)).await;
        let call = json!({ "name": "send_summary_to_owner", "arguments": { "summary": "by agent" } });
        let sent = agent.ask("tools/call", call).await;
        assert_eq!(sent["result"]["structuredContent"]["to"], json!(["cid"]), "{sent}");
        let cids = inbox(&world, CID, "summary").await;
        assert_eq!((&cids[0]["from"], &cids[0]["session_id"]), (&json!("bob"), &json!(id)));
        let call = json!({ "name": "send_to_user", "arguments": { "user": "ann", "message": "by agent" } });
        let refused = agent.ask("tools/call", call).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        world.end().await;
    })
    .await;
}
