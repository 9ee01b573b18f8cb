//! What is written down, and that it is written first. Each on both databases, through the real mouths.

mod checkpoints;
mod command;
mod export;
mod odd;
mod prune;
mod tamper;

use crate::postgres::on_both;
use crate::world::{ANN, BOB, CID, ERAS, EVE, SHELL, STRANGER, World};
use serde_json::{Value, json};

/// Everybody, with a shell that members may run.
async fn world(db: crate::postgres::Db) -> World {
    World::everybody(db).config("roles: { member: { profile: full } }").config(SHELL).start().await
}

fn about<'a>(rows: &'a [Value], action: &str) -> Vec<&'a Value> {
    rows.iter().filter(|r| r["action"] == action).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ones_session_is_read_only_with_a_reason_and_a_row() {
    on_both(async |db| {
        let world = world(db).await;
        let id = world.shell(BOB).await;
        let args = json!({ "session_id": id });
        for era in ERAS {
            let answer = world.call(ANN, era, "get_session_data", args.clone()).await;
            assert_eq!(answer["result"]["structuredContent"]["field"], "reason", "{answer}");
            assert!(!answer.to_string().contains("content_of"), "{answer}");
        }
        assert!(about(&world.audit().await, "transcript.read").is_empty(), "nothing was read yet");

        let reason = "bob asked me to look at it";
        let args = json!({ "session_id": id, "reason": reason });
        let page = world.tool(ANN, "get_session_data", args).await;
        assert_eq!(page["session_id"], json!(id));
        let rows = world.audit().await;
        let [row] = about(&rows, "transcript.read")[..] else { panic!("{rows:?}") };
        assert_eq!(
            (&row["actor"], &row["owner"], &row["session_id"], &row["reason"], &row["outcome"], &row["via"]),
            (&json!("ann"), &json!("bob"), &json!(id), &json!(reason), &json!("success"), &json!("mcp"))
        );

        // One's own is nobody's business.
        world.tool(BOB, "get_session_data", json!({ "session_id": id })).await;
        assert_eq!(about(&world.audit().await, "transcript.read").len(), 1);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_reasons_open_nothing_by_any_mouth() {
    on_both(async |db| {
        let world = World::everybody(db)
            .config(
                "roles: { admin: { requests_per_minute: 100000, burst: 10000, steer_others: true }, member: { profile: full } }",
            )
            .config(SHELL)
            .start()
            .await;
        let id = world.shell(BOB).await;
        let mut reasons: Vec<String> =
            ["", " ", "because", "  because  ", "          "].map(str::to_owned).into();
        reasons.push("x".repeat(1_001));
        reasons.push("ж".repeat(1_001));
        // As large as a line may be, and more than a reason may be.
        reasons.push("x".repeat(1_000_000));
        for control in ["\n", "\r", "\t", "\0", "\u{1b}[31m", "\u{7f}", "\u{9b}2J"] {
            reasons.push(format!("looking {control} into it"));
        }
        for reason in reasons {
            let said: String = reason.chars().take(20).collect();
            for era in ERAS {
                for (tool, more) in [
                    ("get_session_data", json!({ "session_id": id })),
                    ("send_message", json!({ "session_id": id, "message": "true" })),
                    ("end_session", json!({ "session_id": id })),
                    ("search_sessions", json!({ "query": "anything" })),
                ] {
                    let mut args = more;
                    args["reason"] = json!(reason);
                    let answer = world.call(ANN, era, tool, args).await;
                    assert_eq!(answer["result"]["isError"], true, "{tool} {said:?}: {answer}");
                    let fault = &answer["result"]["structuredContent"];
                    assert_eq!(fault["field"], "reason", "{tool} {said:?}: {fault}");
                }
            }
            for (path, more) in [
                (format!("/sessions/{id}/end"), json!({})),
                (format!("/sessions/{id}/messages"), json!({ "message": "true" })),
                ("/audit/holds".to_owned(), json!({ "everything": true })),
            ] {
                let mut body = more;
                body["reason"] = json!(reason);
                let answer = world.rest(ANN, "POST", &path, Some(body)).await;
                assert_eq!(
                    (answer.status, &answer.body["field"]),
                    (422, &json!("reason")),
                    "{path} {said:?}"
                );
            }
            // In an address there is less room.
            if reason.len() < 5_000 {
                let encoded: String = reason.bytes().map(|byte| format!("%{byte:02X}")).collect();
                for path in [
                    format!("/sessions/{id}/transcript?reason={encoded}"),
                    format!("/sessions/{id}/transcript?follow=true&reason={encoded}"),
                    format!("/sessions/{id}/export?format=cast&reason={encoded}"),
                    format!("/search?query=anything&reason={encoded}"),
                ] {
                    let answer = world.rest(ANN, "GET", &path, None).await;
                    assert_eq!((answer.status, &answer.body["field"]), (422, &json!("reason")), "{said:?}");
                }
            }
        }
        // More than a line may be is no message at all.
        let args = json!({ "session_id": id, "reason": "x".repeat(1 << 20) });
        let mut mcp = world.mcp(ANN, ERAS[0]).await;
        mcp.begin("tools/call", json!({ "name": "get_session_data", "arguments": args })).await;
        assert_eq!(mcp.hear().await["error"]["message"], "message too large");
        let rows = world.audit().await;
        let done: Vec<_> = rows
            .iter()
            .filter(|row| {
                row["actor"] == "ann"
                    && !["access.denied", "session.start"].contains(&row["action"].as_str().unwrap())
            })
            .collect();
        assert!(done.is_empty(), "{done:?}");
        assert_eq!(world.rest(BOB, "GET", &format!("/sessions/{id}"), None).await.body["status"], "running");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_are_a_door_too() {
    on_both(async |db| {
        let world = world(db).await;
        let id = world.shell(BOB).await;
        for (uid, uri) in [
            (ANN, format!("teleclaude://sessions/{id}/transcript")),
            (CID, format!("teleclaude://sessions/{id}/transcript")),
            (CID, format!("teleclaude://sessions/{id}")),
            (STRANGER, format!("teleclaude://sessions/{id}")),
        ] {
            for era in ERAS {
                let answer = world.mcp(uid, era).await.ask("resources/read", json!({ "uri": uri })).await;
                assert!(answer["error"].is_object(), "{uid} {uri} {era:?}: {answer}");
            }
        }
        assert!(about(&world.audit().await, "transcript.read").is_empty());
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_nothing_is_shown() {
    on_both(async |db| {
        let world = world(db).await;
        let id = world.shell(BOB).await;
        let end = world.rest(BOB, "POST", &format!("/sessions/{id}/end"), None).await;
        assert_eq!(end.status, 200, "{end:?}");
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        world.db.refuse_audit_rows().await;
        let path = format!("/sessions/{id}/transcript?reason=looking%20into%20it");
        let answer = world.rest(ANN, "GET", &path, None).await;
        assert_eq!(answer.body["code"], "audit_unavailable", "{answer:?}");
        assert!(answer.body.get("content").is_none(), "{answer:?}");
        let own = world.rest(BOB, "GET", &format!("/sessions/{id}/transcript"), None).await;
        assert_eq!(own.status, 200, "one's own needs no row: {own:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_rows_and_a_flood_of_them_is_one() {
    on_both(async |db| {
        let world = world(db).await;
        let id = world.shell(BOB).await;
        for _ in 0..5 {
            assert_eq!(world.rest(CID, "GET", &format!("/people/{BOB}/explain"), None).await.status, 404);
            assert_eq!(world.rest(EVE, "GET", "/audit", None).await.status, 404);
            let send = json!({ "session_id": id, "message": "true" });
            world.call(ANN, ERAS[0], "send_message", send).await;
        }
        let rows = world.audit().await;
        let denied = about(&rows, "access.denied");
        let mut who: Vec<(String, String)> = denied
            .iter()
            .map(|r| (r["actor"].as_str().unwrap().to_owned(), r["detail"].as_str().unwrap().to_owned()))
            .collect();
        who.sort();
        let expected = [
            ("ann", r#"{"action":"session.send"}"#),
            ("cid", r#"{"action":"people.explain"}"#),
            ("eve", r#"{"action":"audit.list"}"#),
        ]
        .map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(who, expected);
        assert!(denied.iter().all(|r| r["outcome"] == "denied"));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_leaves_its_start_and_its_end() {
    on_both(async |db| {
        let world = world(db).await;
        let id = world.shell(BOB).await;
        let body = json!({ "reason": "the machine is needed" });
        let end = world.rest(ANN, "POST", &format!("/sessions/{id}/end"), Some(body)).await;
        assert_eq!(end.status, 200, "{end:?}");
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        let rows = world.audit().await;
        let mut of_session: Vec<[&str; 3]> = rows
            .iter()
            .filter(|r| r["session_id"] == json!(id))
            .map(|r| ["actor", "action", "via"].map(|k| r[k].as_str().unwrap()))
            .collect();
        of_session.reverse();
        assert_eq!(
            of_session,
            [
                ["bob", "session.start", "http"],
                ["ann", "session.end", "http"],
                ["daemon", "session.end", "host"]
            ]
        );
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_is_written_down_and_changes_nothing() {
    on_both(async |db| {
        let world = world(db).await;
        let old = std::fs::read_to_string(world.path("config.yml")).unwrap();
        world.rewrite_config(|text| text + "nonsense: true\n");
        let answer = world.rest(ANN, "POST", "/reload", None).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains("nonsense"), "{answer:?}");
        assert_eq!(world.rest(CID, "GET", "/sessions", None).await.status, 200, "the old config is in force");
        assert_eq!(about(&world.audit().await, "config.rejected").len(), 1);

        // A role that is taken away is gone at the next request of a connection that is open.
        let mut open = world.mcp(CID, ERAS[0]).await;
        let list = json!({ "name": "list_sessions", "arguments": {} });
        assert!(open.ask("tools/call", list.clone()).await["result"].is_object());
        world.rewrite_config(|_| {
            old.replace(
                "{ name: cid, os_uid: 3000003, role: member }",
                "{ name: cid, os_uid: 3000003, role: public }",
            )
        });
        let answer = world.rest(ANN, "POST", "/reload", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let refused = open.ask("tools/call", list).await;
        assert_eq!(refused["error"]["code"], json!(-32602), "{refused}");
        assert_eq!(about(&world.audit().await, "config.reload").len(), 1);
        world.end().await;
    })
    .await;
}
