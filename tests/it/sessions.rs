//! Sessions through the mouths: what may be asked for, and what wrong input gets. On both databases.

use crate::postgres::on_both;
use crate::world::{ANN, BOB, DOT, ERAS, World};
use serde_json::{Value, json};

async fn world(db: crate::postgres::Db) -> World {
    World::everybody(db)
        .config("roles: { member: { profile: full, max_sessions: 2 } }")
        .config("agents: { shell: { enabled: true } }")
        .start()
        .await
}

fn start(project: &str) -> Value {
    json!({ "project": project, "agent": "shell" })
}

fn with(mut args: Value, key: &str, value: Value) -> Value {
    args[key] = value;
    args
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_are_named() {
    on_both(async |db| {
        let world = world(db).await;
        let outside = world.path("outside");
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, world.path("project").join("out")).unwrap();
        std::fs::write(world.path("project").join("file"), "").unwrap();
        let cases = [
            ("title", with(start("work"), "title", json!("x".repeat(1 << 19)))),
            ("title", with(start("work"), "title", json!("two\nlines"))),
            ("title", with(start("work"), "title", json!("  "))),
            ("subdir", with(start("work"), "subdir", json!("../outside"))),
            ("subdir", with(start("work"), "subdir", json!("out"))),
            ("subdir", with(start("work"), "subdir", json!("/etc"))),
            ("subdir", with(start("work"), "subdir", json!("a\u{0}b"))),
            ("subdir", with(start("work"), "subdir", json!("nowhere"))),
            ("subdir", with(start("work"), "subdir", json!("file"))),
            ("project", start("")),
            ("project", start(&"x".repeat(5_000))),
            ("project", start("/srv/../etc")),
            ("message", with(start("work"), "message", json!(" "))),
            ("message", with(start("work"), "message", json!("a\u{0}b"))),
            ("message", with(start("work"), "message", json!("x".repeat(300_000)))),
            ("client_id", with(start("work"), "client_id", json!(""))),
            ("thinking_mode", with(start("work"), "thinking_mode", json!("hard"))),
            ("worktree_please", with(start("work"), "worktree_please", json!(true))),
        ];
        for (field, args) in cases {
            let rest = world.rest(BOB, "POST", "/sessions", Some(args.clone())).await;
            let shown: String = args.to_string().chars().take(120).collect();
            assert_eq!((rest.status, &rest.body["code"]), (422, &json!("invalid")), "{shown}: {rest:?}");
            assert_eq!(rest.body["field"], json!(field), "{shown}: {rest:?}");
            for era in ERAS {
                let mcp = world.call(BOB, era, "start_session", args.clone()).await;
                assert_eq!(mcp["result"]["structuredContent"]["field"], json!(field), "{shown}: {mcp}");
            }
        }
        let sessions = world.rest(BOB, "GET", "/sessions", None).await;
        assert_eq!(sessions.body["sessions"], json!([]), "nothing was half done");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_open_to_somebody_is_not_there() {
    on_both(async |db| {
        let world = world(db).await;
        for project in ["nowhere", "/etc", "/root", "/no/such/folder"] {
            let answer = world.rest(BOB, "POST", "/sessions", Some(start(project))).await;
            assert_eq!(answer.status, 404, "{project}: {answer:?}");
            assert_eq!(answer.body["detail"], json!(format!("no project `{project}`")));
        }
        let restricted = world.rest(DOT, "POST", "/sessions", Some(start("work"))).await;
        assert_eq!(restricted.body["code"], "denied", "a shell has no restricted profile: {restricted:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_client_id_starts_and_sends_once_and_limits_hold() {
    on_both(async |db| {
        let world = world(db).await;
        let args = with(start("work"), "client_id", json!("mine-1"));
        let first = world.tool(BOB, "start_session", args.clone()).await;
        let again = world.tool(BOB, "start_session", args).await;
        assert_eq!(first["session_id"], again["session_id"]);
        let id = first["session_id"].as_str().unwrap().to_owned();
        world.until(BOB, &id, |row| row["status"] == "running").await;

        let send = json!({ "session_id": id, "message": "echo only-once", "client_id": "m-1" });
        let one = world.tool(BOB, "send_message", send.clone()).await;
        let two = world.tool(BOB, "send_message", send).await;
        assert_eq!(one["message_id"], two["message_id"]);

        world.shell(BOB).await;
        let third = world.rest(BOB, "POST", "/sessions", Some(start("work"))).await;
        assert_eq!(third.body["code"], "limit_reached", "{third:?}");

        let ended = world.tool(BOB, "end_session", json!({ "session_id": id })).await;
        assert!(["ending", "ended"].contains(&ended["status"].as_str().unwrap()), "{ended}");
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        let again = world.tool(BOB, "end_session", json!({ "session_id": id })).await;
        assert_eq!(again["status"], "ended");
        let late = world
            .rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(json!({ "message": "hi" })))
            .await;
        assert_eq!((late.status, &late.body["code"]), (409, &json!("conflict")), "{late:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_typed_and_shown_is_read_back() {
    on_both(async |db| {
        let world = world(db).await;
        let args = with(start("work"), "message", json!("echo one-$((40 + 2)); pwd"));
        let started = world.tool(BOB, "start_session", args).await;
        assert!(started["notice"].as_str().unwrap().contains("audit"), "{started}");
        let id = started["session_id"].as_str().unwrap().to_owned();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let page = world.tool(BOB, "get_session_data", json!({ "session_id": id })).await;
            let text = page["content"].as_str().unwrap();
            if text.contains("one-42") && text.contains("/project") {
                assert!(text.contains("subject to admin audit"), "the notice comes first: {text}");
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{text}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let short = &id[..13];
        assert_eq!(
            world.rest(BOB, "GET", &format!("/sessions/{short}"), None).await.body["session_id"],
            json!(id)
        );
        let whole = world
            .tool(BOB, "get_session_data", json!({ "session_id": id, "cursor": "0", "format": "json" }))
            .await;
        let line = whole["content"].as_str().unwrap().lines().next().unwrap();
        assert!(serde_json::from_str::<Value>(line).unwrap()["at"].is_string(), "{line}");
        let listed = world.rest(ANN, "GET", "/sessions?owner=bob", None).await;
        let row = &listed.body["sessions"][0];
        assert_eq!(row["owner_person"], "bob");
        for content in ["content", "last_input", "last_output", "summary"] {
            assert!(row.get(content).is_none(), "a list shows metadata only: {row}");
        }
        world.end().await;
    })
    .await;
}
