//! Who did what, when: one's own for everybody, everybody's for admins, and never a word of what was said.

use crate::postgres::on_both;
use crate::world::{ANN, BOB, CID, DOT, SHELL, World};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::person::PersonId;
use teleclaude::domain::task::{TaskEvent, TaskEventKind, TaskId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::domain::verb::Verb;
use teleclaude::store::{person, task_event};
use uuid::Uuid;

async fn page(world: &World, uid: u32, query: &str) -> Value {
    let answer = world.rest(uid, "GET", &format!("/activity{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn whats(page: &Value) -> Vec<&str> {
    page["activity"].as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect()
}

/// Page by page, so many rows each.
async fn all(world: &World, uid: u32, query: &str, limit: usize) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = page(world, uid, &format!("?limit={limit}{query}{cursor}")).await;
        rows.extend(answer["activity"].as_array().unwrap().clone());
        match answer["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// The key of the person of this name.
async fn key(world: &World, name: &str) -> PersonId {
    person::by_name(world.app.store().reader(), name).await.unwrap().unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_their_own_and_nobody_sees_content() {
    on_both(async |db| {
        let world =
            World::everybody(db).config("roles: { member: { profile: full } }").config(SHELL).start().await;
        let id = world.shell(BOB).await;
        let secret = "a needle in the words";
        let say = json!({ "message": format!("true {secret}"), "client_id": "one" });
        for _ in 0..2 {
            let sent = world.rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(say.clone())).await;
            assert_eq!(sent.status, 200, "{sent:?}");
        }
        let title = json!({ "title": secret });
        assert_eq!(world.rest(BOB, "PATCH", &format!("/sessions/{id}"), Some(title)).await.status, 200);
        assert_eq!(world.rest(BOB, "POST", &format!("/sessions/{id}/end"), None).await.status, 200);
        world.until(BOB, &id, |row| row["status"] == "ended").await;

        let own = page(&world, BOB, "").await;
        let rows = own["activity"].as_array().unwrap();
        let one = |what: &str| {
            let found: Vec<&Value> = rows.iter().filter(|row| row["what"] == what).collect();
            assert_eq!(found.len(), 1, "{what}: {own}");
            found[0]
        };
        for (what, actor) in [
            ("session.created", json!("bob")),
            ("session.started", Value::Null),
            // The same message twice is one.
            ("session.message_queued", json!("bob")),
            ("session.renamed", json!("bob")),
            ("session.ended", Value::Null),
        ] {
            let row = one(what);
            assert_eq!((&row["actor"], &row["person"]), (&actor, &json!("bob")), "{row}");
            assert_eq!(row["session_id"], json!(id));
        }
        assert!(one("session.ended")["exit"].is_string());
        let at = |row: &Value| Timestamp::parse(row["at"].as_str().unwrap()).unwrap();
        assert!(rows.is_sorted_by(|a, b| at(a) >= at(b)), "{own}");
        assert!(!own.to_string().contains("needle"), "{own}");

        let everybodys = page(&world, ANN, "").await;
        assert_eq!(whats(&everybodys).len(), rows.len());
        assert_eq!(page(&world, ANN, "?person=bob").await, everybodys);
        assert_eq!(
            page(&world, ANN, &format!("?session_id={}", &id[..8])).await["activity"],
            own["activity"]
        );
        for nobody in [page(&world, CID, "").await, page(&world, ANN, "?person=cid").await] {
            assert_eq!(nobody, json!({ "activity": [], "next_cursor": null }));
        }
        for (uid, query, status, field) in [
            (CID, "?person=bob".to_owned(), 404, Value::Null),
            (CID, "?person=nobody".to_owned(), 404, Value::Null),
            (CID, format!("?session_id={id}"), 404, Value::Null),
            (ANN, "?person=nobody-at-all".to_owned(), 404, json!("person")),
            (DOT, format!("?session_id={id}&person=dot"), 422, json!("person")),
            (DOT, "?since=yesterday".to_owned(), 422, json!("since")),
            (DOT, "?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z".to_owned(), 422, json!("until")),
            (DOT, "?limit=101".to_owned(), 422, json!("limit")),
            (DOT, "?cursor=s1-2".to_owned(), 422, json!("cursor")),
            (DOT, "?what=x".to_owned(), 422, json!("what")),
        ] {
            let answer = world.rest(uid, "GET", &format!("/activity{query}"), None).await;
            assert_eq!((answer.status, &answer.body["field"]), (status, &field), "{query}: {answer:?}");
        }
        // What is purged is gone from here; the audit log keeps its trail.
        assert_eq!(world.rest(BOB, "DELETE", &format!("/sessions/{id}"), None).await.status, 200);
        assert_eq!(page(&world, BOB, "").await["activity"], json!([]));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_tasks_and_people_stand_in_one_order_and_pages_lose_nothing() {
    on_both(async |db| {
        let world =
            World::everybody(db).config("roles: { member: { profile: full } }").config(SHELL).start().await;
        let id = world.shell(BOB).await;
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), None).await;
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        let sessions = page(&world, ANN, "").await["activity"].as_array().unwrap().clone();
        // Events of all three kinds at the moments of the session's, and between them.
        let moments: Vec<Timestamp> =
            sessions.iter().map(|row| Timestamp::parse(row["at"].as_str().unwrap()).unwrap()).collect();
        let (ann, bob) = (key(&world, "ann").await, key(&world, "bob").await);
        let about_people: Vec<&str> = Verb::ALL
            .iter()
            .map(|verb| verb.name())
            .filter(|name| name.starts_with("person.") || name.starts_with("ban."))
            .collect();
        let mut events = Vec::new();
        let mut drafts = Vec::new();
        for (n, at) in moments.iter().enumerate() {
            for (k, shift) in [0i64, 0, 1].into_iter().enumerate() {
                let at = Timestamp::from_micros(at.micros() + shift);
                events.push(TaskEvent {
                    id: Uuid::from_u128((n * 10 + k + 1) as u128),
                    task: TaskId(Uuid::from_u128(7)),
                    at,
                    actor: (k > 0).then_some(ann),
                    actor_name: "ann".to_owned(),
                    assignee: bob,
                    kind: TaskEventKind::Edited,
                    detail: None,
                });
                if let Some(action) = about_people.get(n % about_people.len().max(1)) {
                    let draft = AuditDraft::by_daemon(7, action, AuditOutcome::Success, at);
                    let target = Some(("person".to_owned(), "eve".to_owned()));
                    drafts.push(AuditDraft { actor: "ann".to_owned(), target, ..draft });
                }
            }
        }
        let (tasks, people) = (events.len(), drafts.len());
        crate::store::change(world.app.store(), move |tx| {
            let (events, drafts) = (events.clone(), drafts.clone());
            async move {
                for event in &events {
                    task_event::insert(tx.conn(), event).await?;
                }
                drafts.into_iter().for_each(|draft| tx.audit(draft));
                Ok(())
            }
            .boxed()
        })
        .await
        .unwrap();

        let whole = all(&world, ANN, "", 100).await;
        assert_eq!(whole.len(), sessions.len() + tasks + people);
        let at = |row: &Value| Timestamp::parse(row["at"].as_str().unwrap()).unwrap();
        assert!(whole.is_sorted_by(|a, b| at(a) >= at(b)), "{whole:?}");
        for limit in [1, 2, 7] {
            assert_eq!(all(&world, ANN, "", limit).await, whole, "{limit} a page");
        }
        let (since, until) = (moments[moments.len() - 1], moments[0]);
        let between = format!("&since={since}&until={until}");
        let within = whole.iter().filter(|row| (since..=until).contains(&at(row))).count();
        assert!(within < whole.len());
        assert_eq!(all(&world, ANN, &between, 3).await.len(), within);

        // Bob's: his session, and what was done with his task; of people only admins see anything.
        assert_eq!(all(&world, BOB, "", 4).await.len(), sessions.len() + tasks);
        assert_eq!(all(&world, ANN, "&person=bob", 4).await.len(), sessions.len() + tasks);
        // Ann's own: what she did, with tasks and people.
        let anns = tasks / 3 * 2 + people;
        assert_eq!(all(&world, ANN, "&person=ann", 5).await.len(), anns);
        assert_eq!(all(&world, CID, "", 5).await.len(), 0);
        world.end().await;
    })
    .await;
}
