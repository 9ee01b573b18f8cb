//! What is deleted: transcripts, recordings and activity that are old, and sessions that somebody purges; what stays;
//! and that a daemon killed in the middle leaves the rest to the next one.

use crate::postgres::{Db, on_both};
use crate::search::{FULL, count, ended_of, say};
use crate::world::{ANN, BOB, CID, DOT, EVE, SHELL, World};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use teleclaude::daemon::retention;
use teleclaude::domain::export::ExportFormat;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::question::Asked;
use teleclaude::domain::session::SessionId;
use teleclaude::domain::task::{TaskEvent, TaskEventKind, TaskId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::domain::transcript::EntryKind;
use teleclaude::store::{self, activity, outbox, question, task_event};
use teleclaude::usecase::export::Export;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// In µs.
const DAY: i64 = 86_400 * 1_000_000;

async fn rows(db: &Db, table: &str) -> i64 {
    count(db, &format!("SELECT count(*) AS n FROM {table}")).await
}

async fn actions(world: &World, action: &str) -> Vec<Value> {
    world.audit().await.into_iter().filter(|row| row["action"] == action).collect()
}

/// As if this session's agent asked something.
async fn ask(world: &World, id: SessionId) {
    crate::store::change(world.app.store(), move |tx| {
        Box::pin(async move {
            let asked = Asked { text: "May I?".to_owned(), ..Asked::default() };
            question::ask(tx.conn(), Uuid::now_v7(), id, &asked, crate::store::at(4)).await
        })
    })
    .await
    .unwrap();
}

/// An ended shell session of this person's.
async fn ended_shell(world: &World, uid: u32) -> String {
    let id = world.shell(uid).await;
    let answer = world.rest(uid, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    world.until(uid, &id, |row| row["status"] == "ended").await;
    id
}

async fn until_gone(world: &World, table: &str, left: i64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while rows(&world.db, table).await > left {
        assert!(tokio::time::Instant::now() < deadline, "{table} never went");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_goes_and_the_session_stays() {
    on_both(async |db| {
        let world = World::everybody(db)
            .config("retention: { transcripts_days: 10, recordings_days: 20, activity_days: 30 }")
            .config(FULL)
            .config(SHELL)
            .start()
            .await;
        let old = ended_of(&world, BOB, "bob", 1).await;
        let running = SessionId(Uuid::parse_str(&world.shell(BOB).await).unwrap());
        for id in [old, running] {
            say(world.app.store(), id, 1, &[(EntryKind::Text, "some needle"); 300]).await;
        }
        let recordings = world.path("state").join("recordings");
        std::fs::create_dir_all(&recordings).unwrap();
        let (file, other) = (recordings.join(format!("{old}.cast")), recordings.join("notes.txt"));
        std::fs::write(&file, "x").unwrap();
        std::fs::write(&other, "x").unwrap();
        let ended = crate::store::at(5).micros();
        for id in [old, running] {
            ask(&world, id).await;
        }
        let row = activity::Event {
            id: Uuid::now_v7(),
            session: old,
            at: Timestamp::from_micros(ended),
            kind: "x".to_owned(),
            detail: None,
            actor: None,
        };
        let done = TaskEvent {
            id: Uuid::now_v7(),
            task: TaskId(Uuid::now_v7()),
            at: Timestamp::from_micros(ended),
            actor: None,
            actor_name: "ann".to_owned(),
            assignee: PersonId(Uuid::nil()),
            kind: TaskEventKind::Created,
            detail: None,
        };
        crate::store::change(world.app.store(), move |tx| {
            let (row, done) = (row.clone(), done.clone());
            Box::pin(async move {
                task_event::insert(tx.conn(), &done).await?;
                activity::insert(tx.conn(), &row).await
            })
        })
        .await
        .unwrap();
        let stop = CancellationToken::new();
        let kept_activity = rows(&world.db, "activity").await - 1;
        let after = |days: i64| Timestamp::from_micros(ended + days * DAY + 1);
        let entries = async || {
            let of_old = format!(
                "session = {}",
                if world.app.store().engine() == "sqlite" {
                    format!("x'{}'", old.0.simple())
                } else {
                    format!("'{old}'::uuid")
                }
            );
            count(&world.db, &format!("SELECT count(*) AS n FROM transcript_entries WHERE {of_old}")).await
        };

        retention::delete_old(&world.app, after(9), &stop).await.unwrap();
        assert_eq!((entries().await, rows(&world.db, "needs_input").await), (300, 2));
        retention::delete_old(&world.app, after(10), &stop).await.unwrap();
        assert_eq!((entries().await, rows(&world.db, "transcript_index").await), (0, 300));
        assert_eq!(rows(&world.db, "needs_input").await, 1, "what is asked is content, too");
        assert!(file.exists());
        retention::delete_old(&world.app, after(20), &stop).await.unwrap();
        assert!(!file.exists() && other.exists());
        retention::delete_old(&world.app, after(29), &stop).await.unwrap();
        assert_eq!(rows(&world.db, "activity").await, kept_activity + 1);
        assert_eq!(rows(&world.db, "task_events").await, 1);
        retention::delete_old(&world.app, after(31), &stop).await.unwrap();
        assert_eq!(rows(&world.db, "task_events").await, 0);
        assert!(rows(&world.db, "activity").await <= kept_activity);
        // Twice is once.
        retention::delete_old(&world.app, after(31), &stop).await.unwrap();
        for action in ["transcript.expire", "recording.expire"] {
            let rows = actions(&world, action).await;
            assert_eq!(rows.len(), 1, "{action}: {rows:?}");
            assert_eq!(
                (&rows[0]["actor"], &rows[0]["session_id"]),
                (&json!("daemon"), &json!(old.to_string()))
            );
        }
        let row = world.rest(BOB, "GET", &format!("/sessions/{old}"), None).await;
        assert_eq!((row.status, &row.body["status"]), (200, &json!("ended")));
        let found = world.rest(BOB, "GET", "/search?query=needle&limit=100", None).await;
        let hits = found.body["hits"].as_array().unwrap();
        assert!(hits.len() == 100 && hits.iter().all(|hit| hit["session_id"] == running.to_string()));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_ever_is_for_ever() {
    let world = World::everybody(Db::sqlite())
        .config("retention: { transcripts_days: 0, recordings_days: 0, activity_days: 0 }")
        .start()
        .await;
    let old = ended_of(&world, BOB, "bob", 1).await;
    say(world.app.store(), old, 1, &[(EntryKind::Text, "kept")]).await;
    let never = Timestamp::from_micros(i64::MAX);
    retention::delete_old(&world.app, never, &CancellationToken::new()).await.unwrap();
    assert_eq!(rows(&world.db, "transcript_entries").await, 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_purged_and_its_trail_stays() {
    on_both(async |db| {
        let world = World::everybody(db).config(FULL).config(SHELL).start().await;
        let (id, other) = (ended_shell(&world, BOB).await, ended_shell(&world, BOB).await);
        let session = SessionId(Uuid::parse_str(&id).unwrap());
        say(world.app.store(), session, 1, &[(EntryKind::Text, "some needle"); 500]).await;
        ask(&world, session).await;
        let recording = world.path("state").join(format!("recordings/{id}.cast"));
        assert!(recording.exists());
        let path = format!("/sessions/{id}");
        // Who may not, and what cannot be.
        let open = world.shell(BOB).await;
        let answer = world.rest(BOB, "DELETE", &format!("/sessions/{open}"), None).await;
        assert_eq!((answer.status, &answer.body["code"]), (409, &json!("conflict")), "{answer:?}");
        assert_eq!(world.rest(CID, "DELETE", &path, None).await.status, 404);
        assert_eq!(world.rest(DOT, "DELETE", &path, None).await.status, 404);
        assert_eq!(world.rest(EVE, "DELETE", &path, None).await.status, 404);
        let answer = world.rest(ANN, "DELETE", &path, None).await;
        assert_eq!((answer.status, &answer.body["field"]), (422, &json!("reason")), "{answer:?}");
        assert!(actions(&world, "session.purge").await.is_empty());

        let answer = world.rest(BOB, "DELETE", &path, None).await;
        assert_eq!((answer.status, &answer.body["session_id"]), (200, &json!(id)), "{answer:?}");
        // From now on it is there for nobody, though its rows may still be.
        assert_eq!(world.rest(BOB, "GET", &path, None).await.status, 404);
        assert_eq!(
            world.rest(ANN, "GET", &format!("{path}/transcript?reason=an%20incident"), None).await.status,
            404
        );
        assert_eq!(world.rest(BOB, "POST", &format!("{path}/resume"), Some(json!({}))).await.status, 404);
        assert_eq!(world.rest(BOB, "DELETE", &path, None).await.status, 404);
        let found = world.rest(BOB, "GET", "/search?query=needle", None).await;
        assert!(found.body["hits"].as_array().unwrap().is_empty(), "{found:?}");
        until_gone(&world, "sessions", 2).await;
        for table in ["transcript_entries", "transcript_index", "needs_input"] {
            assert_eq!(rows(&world.db, table).await, 0, "{table}");
        }
        assert!(!recording.exists());
        let trail = actions(&world, "session.purge").await;
        let actors: Vec<&str> = trail.iter().map(|row| row["actor"].as_str().unwrap()).collect();
        assert_eq!(actors, ["daemon", "bob"]);
        assert!(trail.iter().all(|row| row["session_id"] == json!(id) && row["owner"] == "bob"));
        assert!(!actions(&world, "session.start").await.is_empty());

        // An admin, with a reason, any that has ended.
        let why = json!({ "reason": "asked to by its owner" });
        let answer = world.rest(ANN, "DELETE", &format!("/sessions/{other}"), Some(why)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        until_gone(&world, "sessions", 1).await;
        assert_eq!(actions(&world, "session.purge").await[1]["reason"], "asked to by its owner");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_daemon_began_the_next_one_finishes() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let id = ended_of(&world, BOB, "bob", 1).await;
        let kept = ended_of(&world, BOB, "bob", 2).await;
        for id in [id, kept] {
            say(world.app.store(), id, 1, &[(EntryKind::Text, "some needle"); 200]).await;
        }
        // As a daemon leaves it that is killed in the middle: acknowledged, and a part of it done.
        let (at, effect) = (Timestamp::from_micros(1), Uuid::now_v7());
        crate::store::change(world.app.store(), move |tx| {
            Box::pin(async move {
                assert!(store::retention::begin_purge(tx.conn(), id, at).await?);
                assert!(!store::retention::begin_purge(tx.conn(), id, at).await?);
                assert_eq!(store::retention::delete_some(tx.conn(), id, 50).await?, 50);
                let effect = outbox::Effect {
                    id: effect,
                    computer: "here".to_owned(),
                    kind: "purge".to_owned(),
                    session: id,
                    payload: "{}".to_owned(),
                    created: at,
                };
                outbox::insert(tx.conn(), &effect).await
            })
        })
        .await
        .unwrap();
        until_gone(&world, "sessions", 1).await;
        assert_eq!((rows(&world.db, "transcript_entries").await, rows(&world.db, "outbox").await), (200, 0));
        assert_eq!(actions(&world, "session.purge").await.len(), 1);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_while_it_is_taken_out_is_not_taken_for_a_whole() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let id = ended_of(&world, BOB, "bob", 1).await;
        let store = world.app.store();
        say(store, id, 1, &[(EntryKind::Text, "words"); 200]).await;
        let session = store::session::by_id(store.reader(), id).await.unwrap().unwrap();
        let open = async || {
            let recorded = (&session, Path::new("/nowhere"));
            Export::open(store, recorded, ExportFormat::Jsonl, BOB, crate::store::at(9)).await.unwrap()
        };
        let (mut export, mut lines) = (open().await, 0);
        while let Some(piece) = export.next().await.unwrap() {
            lines += piece.iter().filter(|&&byte| byte == b'\n').count();
        }
        assert_eq!(lines, 200);
        for gone in [60, 1_000] {
            let mut export = open().await;
            export.next().await.unwrap();
            let of = session.clone();
            crate::store::change(store, move |tx| {
                let (of, never) = (of.clone(), Timestamp::from_micros(i64::MAX));
                Box::pin(async move { store::retention::delete_entries(tx.conn(), &of, never, gone).await })
            })
            .await
            .unwrap();
            assert!(export.next().await.is_err(), "{gone}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_reaches_own_patterns() {
    let world = World::everybody(Db::sqlite()).start().await;
    assert!(world.app.settings().loaded.config.sessions.redact.is_empty());
    world.rewrite_config(|text| text.replace("run_as: service", "run_as: service, redact: ['ok', '(']"));
    let answer = world.rest(ANN, "POST", "/reload", None).await;
    assert_ne!(answer.status, 200);
    assert!(
        answer.body.to_string().contains("sessions.redact[1]: is no pattern: unclosed group"),
        "{answer:?}"
    );
    world.rewrite_config(|text| text.replace("'('", r"'\bCASE-\d+'"));
    let answer = world.rest(ANN, "POST", "/reload", None).await;
    assert_eq!((answer.status, &answer.body["changed"]), (200, &json!(["sessions.redact"])), "{answer:?}");
    world.end().await;
}

/// The uuid as a literal of the engine's.
fn literal(world: &World, id: SessionId) -> String {
    match world.app.store().engine() {
        "sqlite" => format!("x'{}'", id.0.simple()),
        _ => format!("'{id}'::uuid"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_hold_is_neither_old_nor_purged() {
    on_both(async |db| {
        let world = World::everybody(db)
            .config("retention: { transcripts_days: 10, recordings_days: 10, activity_days: 10 }")
            .start()
            .await;
        let (held, free) = (ended_of(&world, BOB, "bob", 1).await, ended_of(&world, BOB, "bob", 2).await);
        let cids = ended_of(&world, CID, "cid", 3).await;
        let recordings = world.path("state").join("recordings");
        std::fs::create_dir_all(&recordings).unwrap();
        for id in [held, free, cids] {
            say(world.app.store(), id, 1, &[(EntryKind::Text, "some needle"); 100]).await;
            std::fs::write(recordings.join(format!("{id}.cast")), "x").unwrap();
            let row = activity::Event {
                id: Uuid::now_v7(),
                session: id,
                at: crate::store::at(5),
                kind: "x".to_owned(),
                detail: None,
                actor: None,
            };
            crate::store::change(world.app.store(), move |tx| {
                let row = row.clone();
                Box::pin(async move { activity::insert(tx.conn(), &row).await })
            })
            .await
            .unwrap();
        }
        let left = async |id: SessionId| {
            let of = literal(&world, id);
            let mut left = Vec::new();
            for table in ["transcript_entries", "activity"] {
                let sql = format!("SELECT count(*) AS n FROM {table} WHERE session = {of}");
                left.push(count(&world.db, &sql).await);
            }
            (left[0], left[1], recordings.join(format!("{id}.cast")).exists())
        };
        let place = async |mut what: Value| {
            what["reason"] = json!("case 12 of the district court");
            let placed = world.rest(ANN, "POST", "/audit/holds", Some(what)).await;
            assert_eq!(placed.status, 200, "{placed:?}");
            placed.body["id"].as_str().unwrap().to_owned()
        };
        let release = async |id: &str| {
            let why = json!({ "reason": "the case is closed" });
            let path = format!("/audit/holds/{id}/release");
            assert_eq!(world.rest(ANN, "POST", &path, Some(why)).await.status, 200);
        };
        let now = Timestamp::from_micros(crate::store::at(5).micros() + 11 * DAY);
        let stop = CancellationToken::new();
        let delete = async || retention::delete_old(&world.app, now, &stop).await.unwrap();

        let everything = place(json!({ "everything": true })).await;
        delete().await;
        assert_eq!(left(free).await, (100, 1, true));
        release(&everything).await;
        let (of_session, of_person) =
            (place(json!({ "session_id": held.to_string() })).await, place(json!({ "person": "cid" })).await);
        delete().await;
        assert_eq!(left(free).await, (0, 0, false));
        assert_eq!((left(held).await, left(cids).await), ((100, 1, true), (100, 1, true)));
        // One that was placed after it was looked up what is old counts, too.
        let session = store::session::by_id(world.app.store().reader(), held).await.unwrap().unwrap();
        let gone = crate::store::change(world.app.store(), move |tx| {
            let session = session.clone();
            Box::pin(async move { store::retention::delete_entries(tx.conn(), &session, now, 10).await })
        });
        assert_eq!(gone.await.unwrap(), 0);

        // Nor by its owner or an admin, who are told by which hold, and nothing is half done.
        for (uid, id, hold) in [(BOB, held, &of_session), (CID, cids, &of_person), (ANN, held, &of_session)] {
            let why = (uid == ANN).then(|| json!({ "reason": "asked to by its owner" }));
            let answer = world.rest(uid, "DELETE", &format!("/sessions/{id}"), why).await;
            assert_eq!((answer.status, &answer.body["code"]), (409, &json!("conflict")), "{answer:?}");
            let text = answer.body.to_string();
            assert!(text.contains(hold) && text.contains("ann"), "{text}");
            assert!(!text.contains("case 12"), "why is not told: {text}");
        }
        assert!(actions(&world, "session.purge").await.is_empty());
        assert_eq!(world.rest(BOB, "GET", &format!("/sessions/{held}"), None).await.status, 200);

        release(&of_session).await;
        release(&of_person).await;
        let answer = world.rest(BOB, "DELETE", &format!("/sessions/{held}"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        until_gone(&world, "sessions", 2).await;
        delete().await;
        assert_eq!(left(cids).await, (0, 0, false));
        world.end().await;
    })
    .await;
}
