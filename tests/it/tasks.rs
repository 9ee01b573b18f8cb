//! Tasks through the real mouths, on both databases: who may do what, deadlines as they are typed, what is written down
//! and who is told.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

mod command;

use crate::postgres::{Db, on_both};
use crate::store::change;
use crate::world::{ANN, Answer, BOB, CID, ERAS, EVE, SHELL, World};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::daemon::backend::{Backend as _, Event};
use teleclaude::daemon::retention;
use teleclaude::domain::session::SessionId;
use teleclaude::store::{person, session};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// With a time zone of its own, so that deadlines are the same on every machine; and nobody waits.
const BERLIN: &str = "tasks: { time_zone: Europe/Berlin }\nroles:\n  \
                      admin: &often { requests_per_minute: 100000, burst: 10000 }\n  \
                      member: { requests_per_minute: 100000, burst: 10000, profile: full }\n  newcomer: *often";

async fn start(db: Db) -> World {
    World::everybody(db).config(BERLIN).config(SHELL).start().await
}

fn id_of(task: &Value) -> String {
    task["task_id"].as_str().unwrap().to_owned()
}

fn fault(answer: &Answer) -> (u16, &str, &str) {
    let text = |name: &str| answer.body[name].as_str().unwrap_or_default();
    (answer.status, text("code"), text("field"))
}

/// Ann gives somebody a task.
async fn give(world: &World, user: &str, more: Value) -> Answer {
    let mut asked = json!({ "user": user, "description": "mow the lawn" });
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.rest(ANN, "POST", "/tasks", Some(asked)).await
}

async fn given(world: &World, user: &str, more: Value) -> String {
    let answer = give(world, user, more).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    id_of(&answer.body)
}

async fn update(world: &World, uid: u32, id: &str, asked: Value) -> Answer {
    world.rest(uid, "PATCH", &format!("/tasks/{id}"), Some(asked)).await
}

async fn move_to(world: &World, uid: u32, id: &str, status: &str) -> Answer {
    update(world, uid, id, json!({ "status": status })).await
}

/// What lies in somebody's inbox about tasks, newest first.
async fn told(world: &World, uid: u32) -> Vec<String> {
    let answer = world.rest(uid, "GET", "/inbox", None).await;
    let rows = answer.body["messages"].as_array().unwrap();
    rows.iter()
        .filter(|row| row["kind"] == "task")
        .map(|row| format!("{}: {}", row["from"].as_str().unwrap(), row["text"].as_str().unwrap()))
        .collect()
}

/// The names of those whose inbox was told to have changed since.
fn rang(events: &mut broadcast::Receiver<Event>, people: &[(Uuid, &'static str)]) -> Vec<&'static str> {
    let mut names = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Inbox { person, uid: None } = event {
            names.extend(people.iter().find(|(id, _)| *id == person.0).map(|(_, name)| *name));
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_given_accepted_completed_and_reopened() {
    on_both(async |db| {
        let world = start(db).await;
        let mut people = Vec::new();
        for name in ["ann", "bob"] {
            let row = person::by_name(world.app.store().reader(), name).await.unwrap().unwrap();
            people.push((row.id.0, name));
        }
        let mut events = world.app.watch();
        let id = given(&world, "bob", json!({ "deadline": "2090-12-01" })).await;
        assert_eq!(rang(&mut events, &people), ["bob"]);
        let due = "due 2090-12-01 23:59 Europe/Berlin";
        let about = format!("mow the lawn (task {id}, {due})");
        assert_eq!(told(&world, BOB).await, [format!("ann: new task: {about}")]);
        assert_eq!(told(&world, ANN).await, Vec::<String>::new(), "nobody is told what they did themselves");

        for era in ERAS {
            let mine = world.call(BOB, era, "get_my_tasks", json!({})).await;
            let task = &mine["result"]["structuredContent"]["tasks"][0];
            assert_eq!(
                (&task["task_id"], &task["assignee"], &task["creator"], &task["deadline"], &task["version"]),
                (&json!(id), &json!("bob"), &json!("ann"), &json!("2090-12-01T22:59:00Z"), &json!(1)),
                "{mine}"
            );
            assert_eq!((&task["status"], &task["overdue"]), (&json!("pending"), &json!(false)));
        }
        let accepted =
            world.tool(BOB, "update_task_status", json!({ "task_id": id, "status": "accepted" })).await;
        assert_eq!((&accepted["status"], &accepted["version"]), (&json!("accepted"), &json!(2)));
        assert_eq!(rang(&mut events, &people), ["ann"]);
        for era in ERAS {
            // To where it is: nothing happens, nobody is told.
            let again = json!({ "task_id": id, "status": "accepted" });
            let again = world.call(BOB, era, "update_task_status", again).await;
            assert_eq!(again["result"]["structuredContent"]["version"], 2, "{again}");
        }
        let completed = move_to(&world, BOB, &id, "completed").await;
        assert!(completed.status == 200 && completed.body["completed_at"].is_string(), "{completed:?}");
        assert_eq!(
            told(&world, ANN).await,
            [format!("bob: completed the task: {about}"), format!("bob: accepted the task: {about}")]
        );

        // A finished one is finished: to the same status nothing happens, back it goes by whom it came from.
        assert_eq!(move_to(&world, BOB, &id, "completed").await.body["version"], 3);
        let back = move_to(&world, BOB, &id, "accepted").await;
        assert_eq!(fault(&back), (403, "denied", "status"), "{back:?}");
        assert_eq!(back.body["detail"], "the task is completed, and only ann may move it back");
        assert_eq!(back.body["hint"], "ask ann, who gave it");
        let reopened = move_to(&world, ANN, &id, "pending").await;
        assert_eq!((reopened.status, &reopened.body["completed_at"]), (200, &Value::Null), "{reopened:?}");
        assert_eq!(told(&world, BOB).await[0], format!("ann: moved the task back to pending: {about}"));
        // Past a status is on, too.
        assert_eq!(move_to(&world, BOB, &id, "completed").await.body["status"], "completed");

        let shown = world.rest(BOB, "GET", &format!("/tasks/{id}"), None).await;
        let trail: Vec<(&str, &str)> = shown.body["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["actor"].as_str().unwrap(), row["kind"].as_str().unwrap()))
            .collect();
        assert_eq!(
            trail,
            [
                ("bob", "completed"),
                ("ann", "reopened"),
                ("bob", "completed"),
                ("bob", "accepted"),
                ("ann", "created")
            ]
        );
        let detail: Value =
            serde_json::from_str(shown.body["history"][1]["detail"].as_str().unwrap()).unwrap();
        assert_eq!(detail, json!({ "from": "completed", "to": "pending" }));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_know_of_a_task_and_change_it() {
    on_both(async |db| {
        let world = start(db).await;
        let id = given(&world, "bob", json!({})).await;
        // Nobody else knows of it; what they may not see is not there.
        for uid in [CID, EVE] {
            for (method, body) in [("GET", None), ("PATCH", Some(json!({ "status": "accepted" })))] {
                let answer = world.rest(uid, method, &format!("/tasks/{id}"), body).await;
                assert_eq!(fault(&answer), (404, "not_found", ""), "{answer:?}");
                assert_eq!(answer.body["detail"], format!("no task `{id}`"));
            }
            for (method, path) in [("GET", "/tasks".to_owned()), ("DELETE", format!("/tasks/{id}"))] {
                let answer = world.rest(uid, method, &path, None).await;
                assert!(matches!(answer.status, 404 | 405), "{answer:?}");
            }
            let none = world.rest(uid, "GET", "/tasks/mine?status=all", None).await;
            assert_eq!(none.body, json!({ "tasks": [], "next_cursor": null }));
        }
        // The assignee moves it; what it says is not theirs.
        let edited = update(&world, BOB, &id, json!({ "description": "rest a while" })).await;
        assert_eq!(fault(&edited), (403, "denied", ""), "{edited:?}");
        let edited = update(&world, BOB, &id, json!({ "status": "completed", "deadline": null })).await;
        assert_eq!(fault(&edited), (403, "denied", ""), "{edited:?}");
        let still = world.rest(BOB, "GET", &format!("/tasks/{id}"), None).await;
        assert_eq!((&still.body["version"], &still.body["status"]), (&json!(1), &json!("pending")));
        // An admin moves it on, and both are told but for the admin; who gave it edits it.
        assert_eq!(move_to(&world, ANN, &id, "accepted").await.body["status"], "accepted");
        let edited = json!({ "description": "mow the lawn\nand the edges", "deadline": "2090-12-01 09:00" });
        let edited = update(&world, ANN, &id, edited).await;
        assert_eq!(edited.body["deadline"], "2090-12-01T08:00:00Z", "{edited:?}");
        let told = told(&world, BOB).await;
        assert!(told[0].starts_with("ann: changed the task: mow the lawn… (task "), "{told:?}");
        assert!(told[1].starts_with("ann: accepted the task: "), "{told:?}");
        let undated = update(&world, ANN, &id, json!({ "deadline": null })).await;
        assert_eq!((undated.status, &undated.body["deadline"]), (200, &Value::Null));

        let gone = world.rest(ANN, "DELETE", &format!("/tasks/{}", &id), None).await;
        assert_eq!(gone.body, json!({ "task_id": id, "deleted": true }));
        assert_eq!(world.rest(ANN, "DELETE", &format!("/tasks/{id}"), None).await.status, 404);
        let rows = world.audit().await;
        let row = rows.iter().find(|row| row["action"] == "task.delete").unwrap();
        assert_eq!(
            (&row["actor"], &row["owner"], &row["target_kind"], &row["target_id"], &row["outcome"]),
            (&json!("ann"), &json!("bob"), &json!("task"), &json!(id), &json!("success"))
        );
        assert!(!row.to_string().contains("lawn"), "{row}");
        assert!(rows.iter().any(|row| row["action"] == "access.denied" && row["actor"] == "bob"), "{rows:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_reads_and_moves_what_its_owner_is_to_do() {
    let world = start(Db::sqlite()).await;
    let (bobs, cids) = (given(&world, "bob", json!({})).await, given(&world, "cid", json!({})).await);
    let mut tokens = Vec::new();
    for (uid, seed) in [(BOB, 7), (ANN, 8)] {
        let id = world.shell(uid).await;
        let (token, hash) = teleclaude::daemon::tokens::Tokens::make([seed; 32]);
        let id = SessionId(Uuid::parse_str(&id).unwrap());
        world.app.tokens().keep(hash, id, uid);
        change(world.app.store(), move |tx| {
            async move { session::set_token_hash(tx.conn(), id, Some(hash)).await.map(drop) }.boxed()
        })
        .await
        .unwrap();
        tokens.push(secrecy::ExposeSecret::expose_secret(&token).to_owned());
    }
    let ask = async |uid, token: &str, method, path: &str, body| {
        world.rest_with(uid, method, path, body, Some(token)).await
    };
    let mine = ask(BOB, &tokens[0], "GET", "/tasks/mine", None).await;
    assert_eq!(mine.body["tasks"][0]["task_id"], bobs, "{mine:?}");
    let accept = Some(json!({ "status": "accepted" }));
    let path = format!("/tasks/{bobs}");
    assert_eq!(ask(BOB, &tokens[0], "PATCH", &path, accept.clone()).await.status, 200);
    let other = ask(BOB, &tokens[0], "PATCH", &format!("/tasks/{cids}"), accept.clone()).await;
    assert_eq!(fault(&other), (404, "not_found", ""));
    // The agent of an admin is no admin: not what ann gave, not everybody's, nothing new, and nothing deleted.
    for (method, path, body) in [
        ("GET", path.as_str(), None),
        ("PATCH", path.as_str(), accept),
        ("GET", "/tasks", None),
        ("POST", "/tasks", Some(json!({ "user": "bob", "description": "more" }))),
        ("DELETE", path.as_str(), None),
    ] {
        let answer = ask(ANN, &tokens[1], method, path, body).await;
        assert!(matches!(answer.status, 404 | 405), "{method} {path}: {answer:?}");
    }
    // Nor does an agent change what a task says, though its owner gave it.
    let anns = given(&world, "ann", json!({})).await;
    let path = format!("/tasks/{anns}");
    assert_eq!(ask(ANN, &tokens[1], "GET", &path, None).await.status, 200);
    let edited = ask(ANN, &tokens[1], "PATCH", &path, Some(json!({ "description": "other" }))).await;
    assert_eq!(edited.status, 403, "{edited:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_the_field_and_a_way_out() {
    let world = start(Db::sqlite()).await;
    let id = given(&world, "bob", json!({})).await;
    for (more, field, detail, hint) in [
        (
            json!({ "deadline": "2001-01-01" }),
            "deadline",
            "2001-01-01 23:59 Europe/Berlin is in the past",
            "it is ",
        ),
        (json!({ "deadline": "2026-02-30" }), "deadline", "`2026-02-30`: there is no such day", "give a day"),
        (
            json!({ "deadline": "soon" }),
            "deadline",
            "`soon` is no deadline",
            "2026-12-01 09:00 Europe/Berlin",
        ),
        (json!({ "deadline": "" }), "deadline", "must not be empty", "give a day"),
        (
            json!({ "deadline": "2090-01-01 09:00 Europe/Belrin" }),
            "deadline",
            "there is no time zone `Europe/Belrin`; did you mean `Europe/Berlin`?",
            "",
        ),
        (
            json!({ "deadline": "2090-01-01", "time_zone": "Mars/Olympus" }),
            "time_zone",
            "there is no time zone `Mars/Olympus`",
            "",
        ),
        (json!({ "time_zone": "Mars/Olympus" }), "time_zone", "there is no time zone", ""),
        (
            json!({ "deadline": "2090-03-26 02:30" }),
            "deadline",
            "does not exist in Europe/Berlin",
            "before or after",
        ),
        (json!({ "deadline": "2090-10-29 02:30" }), "deadline", "comes twice", "2090-10-29T02:30:00+02:00"),
        (json!({ "description": " " }), "description", "must not be empty", ""),
        (json!({ "description": "a\u{1b}[2J" }), "description", "must not contain control characters", ""),
        (json!({ "description": "x".repeat(4_001) }), "description", "at most 4000 characters", ""),
        (json!({ "what": 1 }), "what", "there is no such argument", ""),
    ] {
        let answer = give(&world, "bob", more.clone()).await;
        assert_eq!(fault(&answer), (422, "invalid", field), "{more}: {answer:?}");
        let text = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
        assert!(text("detail").contains(detail) && text("hint").contains(hint), "{more}: {answer:?}");
    }
    let nobody = give(&world, "nobody", json!({})).await;
    assert_eq!(fault(&nobody), (404, "not_found", "user"), "{nobody:?}");
    for (asked, field) in [
        (json!({}), "status"),
        (json!({ "status": "late" }), "status"),
        (json!({ "deadline": "2001-01-01" }), "deadline"),
        (json!({ "deadline": null, "time_zone": "x" }), "time_zone"),
    ] {
        let answer = update(&world, ANN, &id, asked.clone()).await;
        assert_eq!(fault(&answer), (422, "invalid", field), "{asked}: {answer:?}");
    }
    for (name, code, field) in [("short", "invalid", "task_id"), (&id[..7], "invalid", "task_id")] {
        let answer = world.rest(ANN, "GET", &format!("/tasks/{name}"), None).await;
        assert_eq!(fault(&answer), (422, code, field), "{answer:?}");
    }
    // Eight characters do, while no other begins alike.
    assert_eq!(world.rest(BOB, "GET", &format!("/tasks/{}", &id[..8]), None).await.status, 200);
    let other = given(&world, "bob", json!({})).await;
    let several = world.rest(BOB, "GET", &format!("/tasks/{}", &id[..4]), None).await;
    assert_eq!(fault(&several), (422, "invalid", "task_id"));
    if other[..8] == id[..8] {
        let several = world.rest(BOB, "GET", &format!("/tasks/{}", &id[..8]), None).await;
        let detail = several.body["detail"].as_str().unwrap();
        assert!(
            detail.contains("fits several") && detail.contains(&id) && detail.contains(&other),
            "{detail}"
        );
    }
    // Nothing was half done: but for the two that were given there are none, and nobody was told of more.
    let all = world.rest(ANN, "GET", "/tasks?status=all", None).await;
    assert_eq!(all.body["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(told(&world, BOB).await.len(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages_and_in_their_order() {
    on_both(async |db| {
        let world = start(db).await;
        for n in 0..8 {
            let deadline = match n % 4 {
                0 => json!({}),
                day => {
                    json!({ "deadline": format!("2090-12-0{}", 9 - day), "description": format!("N°{n} ÖL") })
                }
            };
            given(&world, if n < 6 { "bob" } else { "cid" }, deadline).await;
        }
        let read = async |uid, path: &str| {
            let mut seen = Vec::new();
            let mut next = String::new();
            loop {
                let answer = world.rest(uid, "GET", &format!("{path}limit=3{next}"), None).await;
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
                seen.extend(answer.body["tasks"].as_array().unwrap().iter().cloned());
                match answer.body["next_cursor"].as_str() {
                    Some(cursor) => next = format!("&cursor={cursor}"),
                    None => return seen,
                }
            }
        };
        let deadlines = |rows: &[Value]| -> Vec<String> {
            rows.iter()
                .map(|row| row["deadline"].as_str().unwrap_or("-").chars().take(10).collect())
                .collect()
        };
        let all = read(ANN, "/tasks?").await;
        assert_eq!(
            deadlines(&all),
            ["2090-12-06", "2090-12-06", "2090-12-07", "2090-12-07", "2090-12-08", "2090-12-08", "-", "-"]
        );
        assert_eq!(read(ANN, "/tasks?user=cid&").await.len(), 2);
        assert_eq!(read(ANN, "/tasks?creator=bob&").await.len(), 0);
        assert_eq!(read(ANN, "/tasks?text=n%C2%B01%20%C3%B6l&").await.len(), 1);
        assert_eq!(read(BOB, "/tasks/mine?").await.len(), 6);
        let first = id_of(&read(BOB, "/tasks/mine?").await[0]);
        assert_eq!(move_to(&world, BOB, &first, "completed").await.status, 200);
        assert_eq!(read(BOB, "/tasks/mine?").await.len(), 5);
        let done = read(BOB, "/tasks/mine?status=completed&").await;
        assert_eq!(done.iter().map(id_of).collect::<Vec<_>>(), [first]);
        let ever: Vec<String> = read(BOB, "/tasks/mine?status=all&").await.iter().map(id_of).collect();
        assert!(ever.len() == 6 && ever.is_sorted_by(|a, b| a > b), "the newest first: {ever:?}");
        // A cursor of the one order means nothing in the other.
        let page = world.rest(BOB, "GET", "/tasks/mine?limit=2", None).await;
        let cursor = page.body["next_cursor"].as_str().unwrap();
        for path in [format!("/tasks/mine?status=all&cursor={cursor}"), "/tasks/mine?cursor=x".to_owned()] {
            assert_eq!(fault(&world.rest(BOB, "GET", &path, None).await), (422, "invalid", "cursor"));
        }
        for (path, field) in
            [("limit=0", "limit"), ("limit=101", "limit"), ("status=late", "status"), ("text=", "text")]
        {
            let answer = world.rest(ANN, "GET", &format!("/tasks?{path}"), None).await;
            assert_eq!(fault(&answer), (422, "invalid", field), "{path}: {answer:?}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_overdue_is_found_without_anybody_writing_it_down() {
    on_both(async |db| {
        let world = start(db).await;
        let soon = (world.app.now().plus(Duration::from_millis(1_500))).to_string();
        let id = given(&world, "bob", json!({ "deadline": soon })).await;
        given(&world, "bob", json!({ "deadline": "2090-12-01" })).await;
        given(&world, "bob", json!({})).await;
        assert_eq!(world.tool(ANN, "get_overdue_tasks", json!({})).await["tasks"], json!([]));
        tokio::time::sleep(Duration::from_millis(1_600)).await;
        for era in ERAS {
            let late = world.call(ANN, era, "get_overdue_tasks", json!({})).await;
            let late = late["result"]["structuredContent"]["tasks"].as_array().unwrap().clone();
            assert_eq!(late.len(), 1);
            assert_eq!((&late[0]["task_id"], &late[0]["overdue"]), (&json!(id), &json!(true)));
            assert_eq!((&late[0]["status"], &late[0]["version"]), (&json!("pending"), &json!(1)));
        }
        let mine = world.rest(BOB, "GET", "/tasks/mine?overdue=true", None).await;
        assert_eq!(mine.body["tasks"].as_array().unwrap().len(), 1);
        assert_eq!(move_to(&world, BOB, &id, "completed").await.body["overdue"], false);
        assert_eq!(world.tool(ANN, "get_overdue_tasks", json!({})).await["tasks"], json!([]));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_change_what_they_saw_one_does() {
    on_both(async |db| {
        let world = start(db).await;
        let id = given(&world, "bob", json!({})).await;
        let changes = (0..8).map(|n| {
            let asked = json!({ "description": format!("number {n}"), "version": 1 });
            update(&world, ANN, &id, asked)
        });
        let answers = futures_util::future::join_all(changes).await;
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(done, 1, "{answers:?}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(
                (answer.body["code"].as_str(), &answer.body["field"]),
                (Some("conflict"), &json!("version"))
            );
        }
        // Moves without a version: each is judged by what is there then.
        let moves =
            (0..8).map(|n| move_to(&world, BOB, &id, if n % 2 == 0 { "accepted" } else { "completed" }));
        let answers = futures_util::future::join_all(moves).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 403)), "{answers:?}");
        let shown = world.rest(BOB, "GET", &format!("/tasks/{id}"), None).await;
        assert_eq!(shown.body["status"], "completed");
        let rows = shown.body["history"].as_array().unwrap().len() as i64;
        assert_eq!(shown.body["version"].as_i64().unwrap(), rows, "a row each: {shown:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_grows_old_but_for_that_of_people_on_hold() {
    on_both(async |db| {
        let world = World::everybody(db).config("retention: { activity_days: 10 }").start().await;
        let (bobs, cids) = (given(&world, "bob", json!({})).await, given(&world, "cid", json!({})).await);
        let hold = json!({ "person": "bob", "reason": "the case of the lawn" });
        assert_eq!(world.rest(ANN, "POST", "/audit/holds", Some(hold)).await.status, 200);
        let trail = async |id: &str| {
            let shown = world.rest(ANN, "GET", &format!("/tasks/{id}"), None).await;
            shown.body["history"].as_array().unwrap().len()
        };
        let days = |n: u64| world.app.now().plus(Duration::from_secs(n * 86_400));
        retention::delete_old(&world.app, days(9), &CancellationToken::new()).await.unwrap();
        assert_eq!((trail(&bobs).await, trail(&cids).await), (1, 1));
        retention::delete_old(&world.app, days(11), &CancellationToken::new()).await.unwrap();
        assert_eq!((trail(&bobs).await, trail(&cids).await), (1, 0));
        world.end().await;
    })
    .await;
}
