//! What the owner is told: the inbox, who read what of theirs, and being told while they listen.

use super::{Asking, DOORS, SECRET, WHY, opened, session, world};
use crate::postgres::on_both;
use crate::world::{ANN, BOB, CID, ERAS, EVE, Era, STRANGER, World};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::domain::notice::{Mark, Notice, NoticeKind, deed};
use teleclaude::domain::person::PersonId;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::error::StoreError;
use teleclaude::store::inbox::{self, Filter, KEPT};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

async fn inbox(world: &World, uid: u32, query: &str) -> Value {
    let answer = world.rest(uid, "GET", &format!("/inbox{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_finds_who_read_what_and_why() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, token) = session(&world, BOB).await;
        assert_eq!(inbox(&world, BOB, "").await, json!({ "messages": [], "unread": 0, "next_cursor": null }));
        let admin = Asking { uid: ANN, token: None, id: &id, why: Some(WHY) };
        for door in DOORS.iter().filter(|door| door.action.is_some()) {
            assert!(opened(&world, door, admin).await.contains(SECRET), "{}", door.name);
        }
        // The same again before it is read is counted, not piled up.
        let all = inbox(&world, BOB, "").await;
        let found: Vec<(&str, i64)> = all["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["text"].as_str().unwrap(), m["times"].as_i64().unwrap()))
            .collect();
        let mut expected: Vec<(&str, i64)> = Vec::new();
        for action in DOORS.iter().filter_map(|door| door.action) {
            let before = expected.iter().position(|(other, _)| *other == action);
            let times = before.map_or(0, |at| expected.remove(at).1);
            expected.insert(0, (action, times + 1));
        }
        let texts: Vec<String> =
            expected.iter().map(|(action, _)| format!("ann {}. Reason: {WHY}", deed(action))).collect();
        let expected: Vec<(&str, i64)> =
            texts.iter().map(String::as_str).zip(expected.iter().map(|(_, times)| *times)).collect();
        assert_eq!(found, expected);
        let kinds = expected.len();
        assert_eq!(all["unread"], kinds);
        let message = &all["messages"][0];
        assert_eq!((&message["kind"], &message["session_id"]), (&json!("access"), &json!(id)));
        assert!(message.get("read_at").is_none() && message.get("from").is_none(), "{message}");

        // By every mouth, page by page.
        let one = inbox(&world, BOB, "?limit=1").await;
        assert_eq!(one["messages"][0], *message);
        let next = one["next_cursor"].as_str().unwrap();
        let rest = inbox(&world, BOB, &format!("?limit=100&cursor={next}")).await;
        assert_eq!(rest["messages"].as_array().unwrap()[..], all["messages"].as_array().unwrap()[1..]);
        for era in ERAS {
            let answer = world.call(BOB, era, "inbox", json!({ "unread": true })).await;
            assert_eq!(answer["result"]["structuredContent"], all, "{answer}");
            let read =
                world.mcp(BOB, era).await.ask("resources/read", json!({ "uri": "teleclaude://inbox" })).await;
            let text = read["result"]["contents"][0]["text"].as_str().unwrap();
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), all, "{read}");
        }
        // Nobody else's, not even an admin's, and an agent hears only of its own session.
        for uid in [ANN, CID, EVE] {
            assert_eq!(inbox(&world, uid, "").await["messages"], json!([]), "{uid}");
        }
        assert_eq!(world.rest(STRANGER, "GET", "/inbox", None).await.status, 404);
        let (_, other) = session(&world, BOB).await;
        for (token, count) in [(&token, kinds), (&other, 0)] {
            let answer = world.rest_with(BOB, "GET", "/inbox", None, Some(token)).await;
            assert_eq!(answer.body["messages"].as_array().map(Vec::len), Some(count), "{answer:?}");
            let mark = json!({ "mark_all": true });
            let refused = world.rest_with(BOB, "POST", "/inbox/read", Some(mark), Some(token)).await;
            assert_eq!(refused.status, 404, "only the human has read it: {refused:?}");
        }

        // Marked as read: one, then all; another's cannot be.
        let named = json!({ "mark_read": [message["message_id"]] });
        let answer = world.rest(CID, "POST", "/inbox/read", Some(named.clone())).await;
        assert_eq!((answer.status, &answer.body["unread"]), (200, &json!(0)));
        assert_eq!(inbox(&world, BOB, "").await["unread"], kinds);
        let answer = world.rest(BOB, "POST", "/inbox/read", Some(named)).await;
        assert_eq!((answer.status, &answer.body["unread"]), (200, &json!(kinds - 1)), "{answer:?}");
        assert!(answer.body["messages"][0]["read_at"].is_string());
        let left = inbox(&world, BOB, "?unread=true").await;
        assert_eq!(left["messages"].as_array().unwrap().len(), kinds - 1);
        let answer = world.tool(BOB, "inbox", json!({ "mark_all": true, "unread": true })).await;
        assert_eq!((&answer["messages"], &answer["unread"]), (&json!([]), &json!(0)));

        // What was read before is not counted on.
        opened(&world, &DOORS[0], admin).await;
        let again = inbox(&world, BOB, "?unread=true").await;
        assert_eq!((&again["messages"][0]["times"], &again["unread"]), (&json!(1), &json!(1)));

        // Who read mine: rows of the log, the ends of live looks among them.
        let deadline = Instant::now() + Duration::from_secs(30);
        let live = ["watch", "attach", "REST transcript, followed"];
        let opened = DOORS.iter().filter(|door| door.action.is_some()).count() + 1;
        let mine = loop {
            let mine = world.rest(BOB, "GET", "/audit/mine?limit=100", None).await.body;
            if mine["rows"].as_array().unwrap().len() >= opened + live.len() {
                break mine;
            }
            assert!(Instant::now() < deadline, "{mine}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let rows = mine["rows"].as_array().unwrap();
        assert_eq!(rows.len(), opened + live.len(), "{mine}");
        assert!(
            rows.iter().all(|r| r["actor"] == "ann" && r["reason"] == WHY && r["session_id"] == json!(id))
        );
        let ends =
            rows.iter().filter(|r| r["detail"].as_str().is_some_and(|d| d.contains("\"end\""))).count();
        assert_eq!(ends, live.len(), "{mine}");
        let since = json!({ "since": rows.last().unwrap()["at"], "limit": 100 });
        let tool = world.tool(BOB, "who_read_my_sessions", since).await;
        assert_eq!(tool, mine);
        let page = world.rest(BOB, "GET", "/audit/mine?limit=6", None).await.body;
        let next = page["next_cursor"].as_str().unwrap();
        let rest = world.rest(BOB, "GET", &format!("/audit/mine?limit=100&cursor={next}"), None).await.body;
        assert_eq!(rest["rows"].as_array().unwrap()[..], rows[6..]);
        let later = world.rest(BOB, "GET", "/audit/mine?since=2200-01-01T00:00:00Z", None).await.body;
        assert_eq!(later["rows"], json!([]));
        for uid in [ANN, CID, EVE] {
            assert_eq!(world.rest(uid, "GET", "/audit/mine", None).await.body["rows"], json!([]), "{uid}");
        }
        assert_eq!(world.rest(STRANGER, "GET", "/audit/mine", None).await.status, 404);

        // What is wrong is named.
        for (method, path, body, field) in [
            ("GET", "/inbox?limit=0", None, "limit"),
            ("GET", "/inbox?cursor=x", None, "cursor"),
            ("GET", "/inbox?unread=maybe", None, "unread"),
            ("POST", "/inbox/read", Some(json!({})), "mark_read"),
            ("POST", "/inbox/read", Some(json!({ "mark_read": [] })), "mark_read"),
            ("POST", "/inbox/read", Some(json!({ "mark_read": ["x"] })), "mark_read"),
            ("POST", "/inbox/read", Some(json!({ "mark_read": [id], "mark_all": true })), "mark_all"),
            ("GET", "/audit/mine?since=yesterday", None, "since"),
            ("GET", "/audit/mine?actor=ann", None, "actor"),
        ] {
            let answer = world.rest(BOB, method, path, body).await;
            assert_eq!(
                (answer.status, answer.body["field"].as_str()),
                (422, Some(field)),
                "{path}: {answer:?}"
            );
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_is_told_at_once_and_steering_is_told_too() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, _) = session(&world, BOB).await;
        let uri = json!({ "uri": "teleclaude://inbox" });
        let mut old = world.mcp(BOB, Era::Initialize).await;
        assert!(old.ask("resources/subscribe", uri.clone()).await["result"].is_object());
        let mut new = world.mcp(BOB, Era::Stateless).await;
        let listen = json!({ "notifications": { "resourceSubscriptions": ["teleclaude://inbox"] } });
        new.begin("subscriptions/listen", listen).await;
        // The first thing said is that it is listened.
        new.hear().await;
        let resources = world.mcp(BOB, Era::Initialize).await.ask("resources/list", json!({})).await;
        assert_eq!(resources["result"]["resources"][0]["uri"], "teleclaude://inbox", "{resources}");
        let refused = world.mcp(STRANGER, Era::Initialize).await.ask("resources/subscribe", uri).await;
        assert!(refused["error"].is_object(), "{refused}");

        let send = json!({ "message": "true", "reason": WHY });
        let sent = world.rest(ANN, "POST", &format!("/sessions/{id}/messages"), Some(send)).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        for mcp in [&mut old, &mut new] {
            loop {
                let heard = timeout(Duration::from_secs(30), mcp.hear()).await.expect("was not told");
                if heard["method"] == "notifications/resources/updated" {
                    assert_eq!(heard["params"]["uri"], "teleclaude://inbox", "{heard}");
                    break;
                }
            }
        }
        let all = inbox(&world, BOB, "").await;
        assert_eq!(
            all["messages"][0]["text"],
            "ann sent a message into a session of yours. Reason: looking into an incident"
        );
        // What one does oneself is told nobody.
        let own = world.rest(BOB, "POST", &format!("/sessions/{id}/interrupt"), Some(json!({}))).await;
        assert_eq!(own.status, 200, "{own:?}");
        assert_eq!(inbox(&world, BOB, "").await, all);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_not_told_where_the_config_says_so_and_see_it_in_the_log_all_the_same() {
    on_both(async |db| {
        let world = World::everybody(db)
            .config("roles: { member: { profile: full } }\naudit: { notify_owner: false }")
            .config(crate::world::SHELL)
            .start()
            .await;
        let id = world.shell(BOB).await;
        world.tool(ANN, "get_session_data", json!({ "session_id": id, "reason": WHY })).await;
        assert_eq!(inbox(&world, BOB, "").await["messages"], json!([]));
        let mine = world.rest(BOB, "GET", "/audit/mine", None).await.body;
        assert_eq!(mine["rows"].as_array().unwrap().len(), 1, "{mine}");
        world.end().await;
    })
    .await;
}

fn notice(n: u128, uid: Option<u32>) -> Notice {
    Notice {
        id: Uuid::from_u128(n),
        person: PersonId(Uuid::from_u128(1)),
        uid,
        from: Some("ann".to_owned()),
        at: Timestamp::from_micros(1),
        read_at: None,
        kind: NoticeKind::Message,
        text: format!("number {n} with a \0 in it"),
        session: None,
        times: 1,
    }
}

/// Who read what of theirs is not pushed out by what others can have put there, before it was seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_pushes_out_who_read_what() {
    on_both(async |db| {
        let store = db.open().await;
        let kept = u128::from(KEPT.unsigned_abs());
        let write = async |notices: Vec<Notice>| {
            let put = store.write::<(), StoreError, _>(Instant::now() + Duration::from_secs(60), move |tx| {
                let notices = notices.clone();
                async move {
                    for notice in &notices {
                        inbox::put(tx.conn(), notice).await?;
                        // As often as it is tried: it is there once.
                        inbox::put(tx.conn(), notice).await?;
                    }
                    Ok(())
                }
                .boxed()
            });
            put.await.unwrap();
        };
        let access = |n| Notice { kind: NoticeKind::Access, ..notice(n, None) };
        let other = |n| Notice { kind: NoticeKind::Task, ..notice(n, None) };
        let filter = |unread| Filter { person: PersonId(Uuid::from_u128(1)), uid: 7, family: None, unread };
        let there = async |n: u128| {
            let all =
                inbox::page(store.reader(), &filter(false), None, 3 * KEPT.unsigned_abs()).await.unwrap();
            all.iter().any(|(_, notice)| notice.id == Uuid::from_u128(n))
        };
        write(vec![access(1), access(2)]).await;
        let these = Mark::These(vec![Uuid::from_u128(2)]);
        let marked = store.write::<(), StoreError, _>(Instant::now() + Duration::from_secs(60), move |tx| {
            let these = these.clone();
            async move { inbox::mark(tx.conn(), &filter(false), &these, Timestamp::from_micros(2)).await }
                .boxed()
        });
        marked.await.unwrap();
        write((10..10 + kept).map(other).collect()).await;
        assert!(
            there(1).await && !there(2).await,
            "what was not seen stays, what was seen goes like the rest"
        );
        write((10_000..10_000 + kept).map(access).collect()).await;
        assert!(!there(1).await, "of these, too, there is a largest number");
        assert_eq!(inbox::unread(store.reader(), &filter(false)).await, Ok(KEPT.unsigned_abs()));
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_is_bounded_and_only_for_its_person_at_its_uid() {
    on_both(async |db| {
        let store = db.open().await;
        let soon = || Instant::now() + Duration::from_secs(60);
        let put = async |from: u128, to: u128, uid| {
            let put = store.write::<(), StoreError, _>(soon(), move |tx| {
                async move {
                    for n in from..to {
                        inbox::put(tx.conn(), &notice(n, uid)).await?;
                    }
                    Ok(())
                }
                .boxed()
            });
            put.await.unwrap();
        };
        let kept = KEPT.unsigned_abs();
        put(1, 1 + u128::from(kept) / 2, Some(7)).await;
        put(1 + u128::from(kept) / 2, 11 + u128::from(kept), None).await;
        let filter = |uid, unread| Filter { person: PersonId(Uuid::from_u128(1)), uid, family: None, unread };
        let newest = inbox::page(store.reader(), &filter(7, false), None, 2).await.unwrap();
        assert_eq!(newest[0].1.text, format!("number {} with a \u{fffd} in it", 10 + kept));
        assert_eq!(inbox::unread(store.reader(), &filter(7, false)).await, Ok(kept), "the oldest are gone");
        // What is for person and uid together is not for the person at another uid.
        let elsewhere = inbox::unread(store.reader(), &filter(8, false)).await.unwrap();
        assert_eq!(elsewhere, kept / 2 + 10);
        let another = Filter { person: PersonId(Uuid::from_u128(2)), ..filter(7, false) };
        assert_eq!(inbox::unread(store.reader(), &another).await, Ok(0));
        // Page by page it is all of it, once each.
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = inbox::page(store.reader(), &filter(7, true), before, 100).await.unwrap();
            let Some((place, last)) = page.last() else { break };
            before = Some((*place, last.id));
            seen.extend(page.iter().map(|(_, notice)| notice.id.as_u128()));
        }
        let expected: Vec<u128> = (11..=10 + u128::from(kept)).rev().collect();
        assert_eq!(seen, expected);
        let marked = store.write::<(), StoreError, _>(soon(), move |tx| {
            async move {
                let these = Mark::These(vec![Uuid::from_u128(11), Uuid::from_u128(12)]);
                // At another uid the first of them is not there.
                inbox::mark(tx.conn(), &filter(8, false), &these, Timestamp::from_micros(2)).await?;
                inbox::mark(tx.conn(), &filter(7, false), &these, Timestamp::from_micros(3)).await
            }
            .boxed()
        });
        marked.await.unwrap();
        assert_eq!(inbox::unread(store.reader(), &filter(7, false)).await, Ok(kept - 2));
        store.close().await;
    })
    .await;
}
