//! What agents are given: their owner's credentials first, then the system's where that may be; and what is said when
//! one cannot be decrypted.

use super::{VALUE, put, refused, through, with_key};
use crate::postgres::on_both;
use crate::world::{ANN, BOB, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use teleclaude::daemon::credentials::of_agent;
use teleclaude::domain::session::SessionId;
use teleclaude::store::session;

/// An agent that writes its environment down.
fn agent(name: &str, more: &str) -> String {
    format!(
        "  {name}:
    enabled: true
    command: /bin/sh
    args: [-c, 'env > $TELECLAUDE_SESSION.new; mv $TELECLAUDE_SESSION.new env-$TELECLAUDE_SESSION; exec sleep 600']
    profiles: {{ full: [], restricted: [] }}
    {more}
"
    )
}

async fn start(world: &World, agent: &str) -> crate::world::Answer {
    world.rest(BOB, "POST", "/sessions", Some(json!({ "project": "work", "agent": agent }))).await
}

/// The environment of a new session's agent.
async fn environment(world: &World, agent: &str) -> BTreeMap<String, String> {
    let started = start(world, agent).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.body["session_id"].as_str().unwrap();
    world.until(BOB, id, |row| row["status"] == "running").await;
    let file = world.path(&format!("project/env-{id}"));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        if let Ok(text) = std::fs::read_to_string(&file) {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            return pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        }
        assert!(tokio::time::Instant::now() < deadline, "the agent never began");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_gets_its_owners_credentials_before_the_systems_and_no_others() {
    on_both(async |db| {
        let env = "env: [A_KEY, B_KEY, C_KEY, D_KEY]";
        let shares = agent("shares", &format!("{env}\n    share_system_keys: true"));
        let agents = format!("agents:\n{shares}{}{}", agent("alone", env), agent("nothing", ""));
        let world = World::everybody(db).config(&agents).start().await;
        std::fs::write(world.path("secrets.yml"), "B_KEY: of-the-file\nC_KEY: of-the-file\n").unwrap();
        std::fs::set_permissions(world.path("secrets.yml"), PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(world.rest(ANN, "POST", "/reload", Some(json!({}))).await.status, 200);
        let made = world.rest(ANN, "POST", "/keys", Some(json!({}))).await;
        assert_eq!(made.status, 200, "{made:?}");
        for (uid, name, value, system) in [
            (BOB, "A_KEY", "bobs", false),
            (BOB, "UNLISTED", "bobs", false),
            (ANN, "A_KEY", "anns", false),
            (ANN, "D_KEY", "anns", false),
            (ANN, "A_KEY", "of-the-system", true),
            (ANN, "B_KEY", "of-the-system", true),
        ] {
            let body = json!({ "value": value, "system": system });
            let kept = world.rest(uid, "PUT", &format!("/credentials/{name}"), Some(body)).await;
            assert_eq!(kept.status, 200, "{kept:?}");
        }
        let found = |env: &BTreeMap<String, String>| -> Vec<Option<String>> {
            ["A_KEY", "B_KEY", "C_KEY", "D_KEY", "UNLISTED"]
                .iter()
                .map(|name| env.get(*name).cloned())
                .collect()
        };
        let is = |values: [Option<&str>; 5]| values.map(|value| value.map(str::to_owned)).to_vec();
        let shares = environment(&world, "shares").await;
        assert_eq!(
            found(&shares),
            is([Some("bobs"), Some("of-the-system"), Some("of-the-file"), None, None])
        );
        let alone = environment(&world, "alone").await;
        assert_eq!(found(&alone), is([Some("bobs"), None, None, None, None]));
        assert_eq!(found(&environment(&world, "nothing").await), is([None; 5]));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_gone_is_said_by_name_and_stops_nothing_else() {
    on_both(async |db| {
        let world = World::everybody(db)
            .config(
                "agents:\n  default: one\n  one: { enabled: true, command: /bin/sh, profiles: { full: [], restricted: [] }, env: [A_KEY] }\n  \
                 other: { enabled: true, command: /bin/sh, profiles: { full: [], restricted: [] } }",
            )
            .start()
            .await;
        let made = world.rest(ANN, "POST", "/keys", Some(json!({}))).await;
        let id = made.body["key_id"].as_str().unwrap().to_owned();
        put(&world, BOB, "A_KEY", VALUE).await;
        let first = start(&world, "one").await;
        assert_eq!(first.status, 201, "{first:?}");

        let file = world.path("state/encryption.keys");
        let aside = world.path("aside");
        std::fs::rename(&file, &aside).unwrap();
        assert_eq!(world.rest(ANN, "POST", "/reload", Some(json!({}))).await.status, 200);
        let without = start(&world, "one").await;
        refused(&without, "conflict", None);
        let text = without.body["detail"].as_str().unwrap();
        assert!(text.contains("`A_KEY`") && text.contains(&id), "{text}");
        assert_eq!(start(&world, "other").await.status, 201, "one that needs none");
        // The same where it is found out only when the agent is to be started.
        let first: SessionId = SessionId(first.body["session_id"].as_str().unwrap().parse().unwrap());
        let row = session::by_id(world.app.store().reader(), first).await.unwrap().unwrap();
        let why = of_agent(&world.app, &world.app.settings(), &row).await.unwrap().unwrap_err();
        assert!(why.contains("`A_KEY`") && why.contains(&id), "{why}");

        // A file that others may read is no better than none, and is not overwritten.
        std::fs::rename(&aside, &file).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(world.rest(ANN, "POST", "/reload", Some(json!({}))).await.status, 200);
        let kept = put(&world, BOB, "B_KEY", VALUE).await;
        refused(&kept, "unavailable", None);
        assert!(kept.body["detail"].as_str().unwrap().contains("mode 0600"), "{kept:?}");
        for path in ["/keys", "/keys/rotate"] {
            refused(&world.rest(ANN, "POST", path, Some(json!({}))).await, "unavailable", None);
        }
        let health = world.rest(ANN, "GET", "/health", None).await.body.to_string();
        assert!(health.contains("mode 0600"), "{health}");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(world.rest(ANN, "POST", "/reload", Some(json!({}))).await.status, 200);
        assert_eq!(start(&world, "one").await.status, 201);

        // Somebody changed the row: it is not what was put, and is not used.
        let raw = crate::store::raw(&world.db).await;
        let swap = "UPDATE credentials SET name = 'B_KEY' WHERE name = 'A_KEY'";
        sea_orm::ConnectionTrait::execute_unprepared(&raw, swap).await.unwrap();
        raw.close().await.unwrap();
        world.rewrite_config(|text| text.replace("[A_KEY]", "[B_KEY]"));
        assert_eq!(world.rest(ANN, "POST", "/reload", Some(json!({}))).await.status, 200);
        let moved = start(&world, "one").await;
        refused(&moved, "conflict", None);
        assert!(moved.body["detail"].as_str().unwrap().contains("was changed"), "{moved:?}");
        // A rotation leaves it where it is and says so.
        assert_eq!(world.rest(ANN, "POST", "/keys/rotate", Some(json!({}))).await.status, 200);
        let keys = through(&world).await;
        assert_eq!(keys["unreadable"], 1, "{keys}");
        let old = keys["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == id.as_str()).unwrap();
        assert!(old["retired_at"] == Value::Null && old["credentials"] == 1, "{keys}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_token_opens_no_credentials() {
    on_both(async |db| {
        let world = with_key(db).await;
        world.rewrite_config(|text| {
            format!("{text}roles: {{ member: {{ profile: full }} }}\nagents: {{ shell: {{ enabled: true, command: /bin/sh }} }}\n")
        });
        assert_eq!(world.rest(ANN, "POST", "/reload", Some(json!({}))).await.status, 200);
        put(&world, BOB, "A_KEY", VALUE).await;
        let id = world.shell(BOB).await;
        let say = json!({ "message": "echo token=$TELECLAUDE_TOKEN > token.new; mv token.new token" });
        assert_eq!(world.rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(say)).await.status, 200);
        let file = world.path("project/token");
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        let token = loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                break text.trim().trim_start_matches("token=").to_owned();
            }
            assert!(tokio::time::Instant::now() < deadline, "no token");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        let body = Some(json!({ "value": VALUE }));
        for (method, path, body) in [
            ("GET", "/credentials", None),
            ("PUT", "/credentials/A_KEY", body),
            ("DELETE", "/credentials/A_KEY", None),
        ] {
            let answer = world.rest_with(BOB, method, path, body, Some(&token)).await;
            assert_eq!(answer.status, 404, "{method}: {answer:?}");
        }
        world.end().await;
    })
    .await;
}
