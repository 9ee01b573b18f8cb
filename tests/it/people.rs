//! People through the mouths: lists, finding, showing, counting, on both databases.

mod command;

use crate::postgres::on_both;
use crate::store::raw;
use crate::world::{ANN, BOB, DOT, EVE, SHELL, STRANGER, World};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::person::{self, Seen};
use teleclaude::store::visitor::VISITORS_MAX;
use teleclaude::usecase::visitors;
use tokio::time::Instant;
use uuid::Uuid;

fn names(reply: &Value) -> Vec<&str> {
    reply["people"].as_array().unwrap().iter().map(|person| person["name"].as_str().unwrap()).collect()
}

/// Changes people behind the daemon's back, as another machine's daemon would.
async fn sql(world: &World, sql: &str) {
    let raw = raw(&world.db).await;
    raw.execute_unprepared(sql).await.unwrap();
    raw.close().await.unwrap();
}

/// Name, full name, email, role and when.
type ByHand<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, i64);

/// Adds people by hand: name, full name, email, role and when, in µs before now.
async fn add(world: &World, people: &[ByHand<'_>]) {
    for (n, (name, full_name, email, role, ago)) in people.iter().enumerate() {
        let text = |text: Option<&str>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
        let small = |t: Option<&str>| text(t.map(teleclaude::domain::person::fold).as_deref());
        let at = world.app.now().micros() - ago;
        let key = Uuid::from_u128(0xabc0 + n as u128);
        let sqlite = matches!(world.db.engine, teleclaude::store::connect::Engine::Sqlite { .. });
        let key = if sqlite { format!("x'{}'", key.simple()) } else { format!("'{key}'") };
        sql(
            world,
            &format!(
                "INSERT INTO people (id, name, role, status, first_seen, last_seen, full_name, email, created, \
                 updated, name_folded, full_name_folded, email_folded) VALUES ({key}, '{name}', {}, 'active', {at}, \
                 {at}, {}, {}, {at}, {at}, {}, {}, {})",
                text(*role),
                text(*full_name),
                text(*email),
                small(Some(name)),
                small(*full_name),
                small(*email),
            ),
        )
        .await;
    }
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_filters_pages_and_no_wildcards() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        add(
            &world,
            &[
                ("old_ann", None, None, Some("member"), 40 * DAY),
                ("zed", Some("Анна Ивановна"), Some("ZED@example.org"), Some("admin"), 2 * DAY),
                ("100%", None, None, None, 10 * DAY),
                (r"back\slash", None, None, None, 11 * DAY),
            ],
        )
        .await;
        let list = async |path: &str| {
            let answer = world.rest(ANN, "GET", path, None).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            answer.body
        };
        // Names first, then the newest; nothing in what is looked for is a wildcard.
        let cases: [(&str, &[&str]); 9] = [
            ("ann", &["ann", "old_ann"]),
            ("%25", &["100%"]),
            ("_", &["old_ann"]),
            ("%5C", &[r"back\slash"]),
            ("%D0%90%D0%9D%D0%9D%D0%90", &["zed"]),
            ("EXAMPLE", &["zed"]),
            ("ed&role=admin", &["zed"]),
            ("o&role=member", &["bob", "old_ann"]),
            ("nobody-like-this", &[]),
        ];
        for (query, expected) in cases {
            let found = list(&format!("/people?query={query}")).await;
            assert_eq!(names(&found), expected, "{query}");
        }
        // The config's roles beat those of the database; whoever has none is public.
        assert_eq!(names(&list("/people?role=admin").await), ["ann", "zed"]);
        assert_eq!(names(&list("/people?role=public").await), ["100%", r"back\slash"]);
        assert_eq!(names(&list("/people?role=newcomer").await), ["eve"]);
        let rows = list("/people?role=admin").await;
        let from = |n: usize| rows["people"][n]["role_from"].clone();
        assert_eq!((from(0), from(1)), (json!("config"), json!("directory")));
        // Pages hold each once, with and without a text.
        for query in ["", "query=a&"] {
            let all = list(&format!("/people?{query}")).await;
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = list(&format!("/people?{query}limit=2{cursor}")).await;
                seen.extend(names(&page).into_iter().map(str::to_owned));
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(seen, names(&all), "{query}");
            assert!(seen.len() >= 4, "{query}");
        }
        sql(&world, "UPDATE people SET status = 'deleted', updated = updated + 1 WHERE name = 'old_ann'")
            .await;
        assert_eq!(names(&list("/people?query=ann").await), ["ann"]);
        assert_eq!(names(&list("/people?status=deleted").await), ["old_ann"]);
        for (path, field) in [
            ("/people?query=%40", "query"),
            ("/people?limit=101", "limit"),
            ("/people?limit=0", "limit"),
            ("/people?cursor=x", "cursor"),
            ("/people?role=king", "role"),
            ("/people?status=asleep", "status"),
            ("/people/find?query=%20", "query"),
        ] {
            let answer = world.rest(ANN, "GET", path, None).await;
            assert_eq!(
                (answer.status, answer.body["field"].as_str()),
                (422, Some(field)),
                "{path}: {answer:?}"
            );
        }
        let stats = list("/people/stats").await;
        assert_eq!(stats["total"], 8, "{stats}");
        assert_eq!(stats["by_status"], json!({ "active": 8, "deleted": 1 }), "{stats}");
        assert_eq!(
            stats["by_role"],
            json!({ "admin": 2, "member": 2, "contributor": 1, "newcomer": 1, "public": 2 }),
            "{stats}"
        );
        assert_eq!(
            (&stats["new_24h"], &stats["new_7d"], &stats["new_30d"]),
            (&json!(5), &json!(6), &json!(8))
        );
        assert_eq!(
            (&stats["admins"], &stats["oldest"]["name"]),
            (&json!(2), &json!(r"back\slash")),
            "{stats}"
        );
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_is_found_as_soon_as_they_are_there_and_no_longer_once_they_are_gone() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let find = async |query: &str| world.tool(ANN, "resolve_user", json!({ "query": query })).await;
        assert_eq!(find("BOB").await["person"]["name"], "bob");
        assert_eq!(find("Ivan").await, json!({ "candidates": [], "more": false }));
        add(
            &world,
            &[
                ("ip", Some("Ivan Petrov"), None, Some("member"), 5 * SECOND),
                ("is", Some("Ivan Sidorov"), None, Some("member"), 4 * SECOND),
            ],
        )
        .await;
        let both = find("ivan").await;
        assert_eq!((&both["person"], &both["found_by"]), (&Value::Null, &json!("name_part")), "{both}");
        let candidates: Vec<&Value> = both["candidates"].as_array().unwrap().iter().collect();
        assert_eq!(candidates.len(), 2);
        assert_eq!((&candidates[0]["name"], &candidates[0]["score"]), (&json!("ip"), &json!(1.0)), "{both}");
        assert_eq!(find("sidor").await["person"]["name"], "is");
        // What one person only could be shown names those who fit.
        let answer = world.rest(ANN, "GET", "/people/ivan", None).await;
        assert_eq!((answer.status, answer.body["field"].as_str()), (422, Some("person")), "{answer:?}");
        let told = answer.body["detail"].as_str().unwrap();
        assert!(told.contains("ip (Ivan Petrov") && told.contains("is (Ivan Sidorov"), "{told}");
        // Deleted: only if asked for; shown by an admin all the same.
        let now = world.app.now().micros();
        sql(&world, &format!("UPDATE people SET status = 'deleted', updated = {now} WHERE name = 'ip'"))
            .await;
        assert_eq!(find("ivan").await["person"]["name"], "is");
        let deleted = world.tool(ANN, "resolve_user", json!({ "query": "petrov", "deleted": true })).await;
        assert_eq!(deleted["person"]["status"], "deleted");
        assert_eq!(world.tool(ANN, "user_info", json!({ "person": "petrov" })).await["status"], "deleted");
        // Purged, without a trace of when.
        sql(&world, "DELETE FROM people WHERE name = 'is'").await;
        assert_eq!(find("ivan").await["person"], Value::Null);
        assert_eq!(find("sidorov").await["candidates"], json!([]));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_themselves_and_admins_see_everybody() {
    on_both(async |db| {
        let world =
            World::everybody(db).config(SHELL).config("roles: { member: { profile: full } }").start().await;
        world.shell(BOB).await;
        // Whoever asks is written down beside the request.
        world.until_seen(&[ANN, BOB, EVE]).await;
        sql(
            &world,
            "UPDATE people SET notes = 'likes tea', warnings = 1, phone = '555-0100' WHERE name = 'bob'",
        )
        .await;
        let bob = world.tool(ANN, "user_info", json!({ "person": "Bob" })).await;
        let expected = json!({
            "name": "bob", "role": "member", "role_from": "config", "status": "active", "notes": "likes tea",
            "warnings": 1, "open_sessions": 1, "uid": BOB,
        });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&bob[field], value, "{field}: {bob}");
        }
        assert_eq!(bob["activity"], json!({ "sessions": 1, "messages": 0, "tasks": 0, "open_tasks": 0 }));
        let own = world.tool(BOB, "user_info", json!({})).await;
        assert_eq!((&own["name"], &own["phone"]), (&json!("bob"), &json!("555-0100")));
        assert!(own.get("notes").is_none() && own.get("warnings").is_none(), "{own}");
        for oneself in ["bob", "BOB", &BOB.to_string(), own["person_id"].as_str().unwrap()] {
            let answer = world.rest(BOB, "GET", &format!("/people/{oneself}"), None).await;
            assert_eq!(answer.status, 200, "{oneself}: {answer:?}");
        }
        // Others are as if they were not there: the same words for who is and for who is not.
        let there = world.rest(BOB, "GET", "/people/ann", None).await;
        let not_there = world.rest(BOB, "GET", "/people/qqq", None).await;
        assert_eq!((there.status, not_there.status), (404, 404));
        let words = |body: &Value| body["detail"].as_str().unwrap().replace("ann", "X").replace("qqq", "X");
        assert_eq!(words(&there.body), words(&not_there.body));
        assert_eq!(world.rest(EVE, "GET", "/people/me", None).await.status, 200);
        for path in ["/people", "/people/find?query=bob", "/people/stats", "/people/me"] {
            for uid in [DOT, STRANGER].into_iter().filter(|uid| *uid == STRANGER || path != "/people/me") {
                let answer = world.rest(uid, "GET", path, None).await;
                assert!([403, 404].contains(&answer.status), "{path} as {uid}: {answer:?}");
            }
        }
        // An export is one row, however many pages it has.
        for cursor in ["", "&cursor=p0-7fffffffffffffff-ffffffffffffffffffffffffffffffff"] {
            let path = format!("/people?export=true&sessions=true{cursor}");
            assert_eq!(world.rest(ANN, "GET", &path, None).await.status, 200);
        }
        let rows = world.audit().await;
        let exports = rows.iter().filter(|row| row["action"] == "people.export").count();
        assert_eq!(exports, 1, "{rows:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_are_forgotten_after_their_days_and_are_never_too_many() {
    on_both(async |db| {
        let store = db.open().await;
        let visit = async |n: u32, at: i64| {
            let answer = store.write(Instant::now() + Duration::from_secs(30), move |tx| {
                Box::pin(async move {
                    let seen = Seen {
                        uid: n,
                        os_username: Some("sub"),
                        name: None,
                        group_role: None,
                        at: Timestamp::from_micros(at),
                    };
                    person::upsert_seen(
                        tx.conn(),
                        PersonId(Uuid::from_u128(0xfee_0000 + u128::from(n))),
                        &seen,
                    )
                    .await
                })
            });
            answer.await.unwrap();
        };
        for (uid, days) in [(9_001, 40), (9_002, 31), (9_003, 29), (9_004, 0)] {
            visit(uid, (100 - days) * DAY).await;
        }
        let now = Timestamp::from_micros(100 * DAY);
        // Whoever owns an open session stays, by whichever of its columns.
        let session = crate::store::a_session(1, 0);
        let owner = session.owner_uid;
        crate::store::keep(&store, session).await;
        visit(owner, DAY).await;
        assert_eq!(visitors::forget(&store, 30, now, || false).await.unwrap(), 0);
        assert_eq!(visitors::forget(&store, 30, now, || true).await.unwrap(), 2);
        assert_eq!(visitors::forget(&store, 30, now, || true).await.unwrap(), 0);
        for (uid, there) in [(9_001, false), (9_002, false), (9_003, true), (9_004, true), (owner, true)] {
            let row = person::by_uid(store.reader(), uid).await.unwrap();
            assert_eq!(row.is_some(), there, "{uid}");
        }
        // As many as there may be: one more takes the place of the one who has been away longest.
        let raw = raw(&db).await;
        let missing = VISITORS_MAX - 3;
        let sqlite = matches!(db.engine, teleclaude::store::connect::Engine::Sqlite { .. });
        let key = if sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
        let many = format!(
            "INSERT INTO people (id, uid, status, first_seen, last_seen, created, updated) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {missing}) \
             SELECT {key}, 100000 + i, 'active', {at}, {at}, {at}, {at} FROM n",
            at = 99 * DAY
        );
        raw.execute_unprepared(&many).await.unwrap();
        raw.close().await.unwrap();
        visit(50_000, 100 * DAY).await;
        // The third had been away longest of those without a session.
        assert!(person::by_uid(store.reader(), 9_003).await.unwrap().is_none());
        for uid in [9_004, owner, 50_000, 100_001] {
            assert!(person::by_uid(store.reader(), uid).await.unwrap().is_some(), "{uid}");
        }
        let far = Timestamp::from_micros(1_000 * DAY);
        assert_eq!(visitors::forget(&store, 30, far, || true).await.unwrap(), VISITORS_MAX - 1);
        store.close().await;
    })
    .await;
}
