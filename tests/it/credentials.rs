//! Credentials: kept encrypted, listed by name, given to agents, shown to nobody; and the keys they are encrypted with.
//! On both databases. `rotation` is about daemons that are killed in the middle of it.

mod agents;
mod command;
mod rotation;

use crate::postgres::{Db, on_both};
use crate::socket::until;
use crate::store::raw;
use crate::world::{ANN, Answer, BOB, CID, DOT, EVE, STRANGER, World};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use std::sync::Arc;
use teleclaude::config::keys::{self, Key};

/// What no answer, row or log may hold.
const VALUE: &str = "sk-invented-0123456789";

async fn with_key(db: Db) -> World {
    let world = World::everybody(db).start().await;
    let made = world.rest(ANN, "POST", "/keys", Some(json!({}))).await;
    assert_eq!(made.status, 200, "{made:?}");
    world
}

async fn put(world: &World, uid: u32, name: &str, value: &str) -> Answer {
    world.rest(uid, "PUT", &format!("/credentials/{name}"), Some(json!({ "value": value }))).await
}

async fn names(world: &World, uid: u32, query: &str) -> Vec<String> {
    let listed = world.rest(uid, "GET", &format!("/credentials{query}"), None).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let rows = listed.body["credentials"].as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

fn refused(answer: &Answer, code: &str, field: Option<&str>) {
    assert_eq!(answer.body["code"], code, "{answer:?}");
    assert_eq!(answer.body["field"].as_str(), field, "{answer:?}");
    assert!(!answer.body.to_string().contains("invented"), "{answer:?}");
}

/// Everything that the database holds, as text.
async fn dump(db: &Db) -> String {
    let raw = raw(db).await;
    let mut text = String::new();
    for table in ["credentials", "encryption_keys", "audit_log", "outbox", "activity"] {
        let sql = match raw.get_database_backend() {
            sea_orm::DbBackend::Postgres => format!("SELECT t::text AS line FROM {table} t"),
            _ => {
                let columns = format!(
                    "SELECT group_concat('quote(' || name || ')', '||') AS line FROM pragma_table_info('{table}')"
                );
                let found =
                    raw.query_one_raw(Statement::from_string(sea_orm::DbBackend::Sqlite, columns)).await;
                let columns: String = found.unwrap().unwrap().try_get("", "line").unwrap();
                format!("SELECT {columns} AS line FROM {table}")
            }
        };
        let backend = raw.get_database_backend();
        for row in raw.query_all_raw(Statement::from_string(backend, sql)).await.unwrap() {
            text.push_str(&row.try_get::<String>("", "line").unwrap());
            text.push('\n');
        }
    }
    raw.close().await.unwrap();
    assert!(text.contains("credential.put"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_kept_listed_and_deleted_and_never_shown() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        refused(&put(&world, BOB, "A_KEY", VALUE).await, "conflict", None);
        for uid in [BOB, DOT, STRANGER] {
            assert_eq!(world.rest(uid, "POST", "/keys", Some(json!({}))).await.status, 404);
            assert_eq!(world.rest(uid, "GET", "/keys", None).await.status, 404);
        }
        let made = world.rest(ANN, "POST", "/keys", Some(json!({}))).await;
        assert_eq!(made.status, 200, "{made:?}");
        let file = world.path("state/encryption.keys");
        assert_eq!(made.body["source"], file.display().to_string());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let again = world.rest(ANN, "POST", "/keys", Some(json!({}))).await;
        refused(&again, "conflict", None);

        let kept = put(&world, BOB, "A_KEY", VALUE).await;
        assert_eq!(kept.status, 200, "{kept:?}");
        assert_eq!(kept.body["key_id"], made.body["key_id"]);
        assert_eq!(kept.body["created_at"], kept.body["updated_at"]);
        let replaced = put(&world, BOB, "A_KEY", "another-invented").await;
        assert_eq!(replaced.body["created_at"], kept.body["created_at"]);
        assert_ne!(replaced.body["updated_at"], kept.body["updated_at"]);
        put(&world, BOB, "B_KEY", VALUE).await;
        assert_eq!(names(&world, BOB, "").await, ["A_KEY", "B_KEY"]);
        // Nobody else's, not even for an admin.
        assert!(names(&world, CID, "").await.is_empty());
        assert!(names(&world, ANN, "").await.is_empty());
        refused(&world.rest(ANN, "DELETE", "/credentials/A_KEY", None).await, "not_found", None);
        assert_eq!(world.rest(EVE, "GET", "/credentials", None).await.status, 404, "a newcomer");

        // The system's are an admin's.
        let system = json!({ "value": VALUE, "system": true });
        let denied = world.rest(BOB, "PUT", "/credentials/C_KEY", Some(system.clone())).await;
        refused(&denied, "denied", None);
        refused(&world.rest(BOB, "GET", "/credentials?system=true", None).await, "denied", None);
        assert_eq!(world.rest(ANN, "PUT", "/credentials/C_KEY", Some(system)).await.status, 200);
        assert_eq!(names(&world, ANN, "?system=true").await, ["C_KEY"]);
        assert!(names(&world, ANN, "").await.is_empty());
        refused(&world.rest(BOB, "DELETE", "/credentials/C_KEY?system=true", None).await, "denied", None);

        assert_eq!(world.rest(BOB, "DELETE", "/credentials/B_KEY", None).await.status, 200);
        refused(&world.rest(BOB, "DELETE", "/credentials/B_KEY", None).await, "not_found", None);
        assert_eq!(world.rest(ANN, "DELETE", "/credentials/C_KEY?system=true", None).await.status, 200);

        let rows = world.audit().await;
        let told: Vec<String> = rows
            .iter()
            .rev()
            .filter(|row| row["outcome"] == "success")
            .map(|row| format!("{} {} {}", row["actor"], row["action"], row["target_id"]).replace('"', ""))
            .collect();
        let id = made.body["key_id"].as_str().unwrap();
        let expected = [
            format!("ann key.generate {id}"),
            "bob credential.put A_KEY".to_owned(),
            "bob credential.put A_KEY".to_owned(),
            "bob credential.put B_KEY".to_owned(),
            "ann credential.put C_KEY".to_owned(),
            "bob credential.delete B_KEY".to_owned(),
            "ann credential.delete C_KEY".to_owned(),
        ];
        assert_eq!(told, expected, "each once, in the transaction that did it");

        let key = std::fs::read_to_string(&file).unwrap();
        let key = key.lines().last().unwrap().to_owned();
        let dump = dump(&world.db).await;
        assert!(!dump.contains("invented") && !dump.contains(&key), "{dump}");
        let hex: String = VALUE.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!dump.to_lowercase().contains(&hex), "{dump}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_named_and_changes_nothing() {
    on_both(async |db| {
        let world = with_key(db).await;
        for bad in ["a_key", "9A", "A-B", "PATH", "HOME", "LD_PRELOAD", "TELECLAUDE_TOKEN", "A%00", "%20"] {
            refused(&put(&world, BOB, bad, VALUE).await, "invalid", Some("name"));
        }
        refused(&put(&world, BOB, &"A".repeat(129), VALUE).await, "invalid", Some("name"));
        for bad in [String::new(), "a\0b".to_owned(), "x".repeat(16 * 1024 + 1), "x".repeat(1_000_000)] {
            refused(&put(&world, BOB, "A_KEY", &bad).await, "invalid", Some("value"));
        }
        for (body, field) in [
            (json!({}), "value"),
            (json!({ "value": [VALUE] }), "value"),
            (json!({ "value": "x", "system": VALUE }), "system"),
            (json!({ "value": "x", VALUE: 1 }), "body"),
        ] {
            refused(&world.rest(BOB, "PUT", "/credentials/A_KEY", Some(body)).await, "invalid", Some(field));
        }
        let import = async |body: Value| world.rest(BOB, "POST", "/credentials/import", Some(body)).await;
        let one = |name: &str, value: &str| json!({ "name": name, "value": value });
        for (credentials, field) in [
            (json!([]), "credentials"),
            (json!([one("A", VALUE), one("b", VALUE)]), "credentials[1].name"),
            (json!([one("A", VALUE), one("A", VALUE)]), "credentials[1].name"),
            (json!([one("A", VALUE), one("B", "")]), "credentials[1].value"),
            (Value::from((0..101).map(|i| one(&format!("K{i}"), VALUE)).collect::<Vec<_>>()), "credentials"),
        ] {
            refused(&import(json!({ "credentials": credentials })).await, "invalid", Some(field));
        }
        assert!(names(&world, BOB, "").await.is_empty(), "nothing is half done");

        // As many as are kept, and no more; replacing is still possible.
        let all: Vec<Value> = (0..100).map(|i| one(&format!("K{i}"), VALUE)).collect();
        let imported = import(json!({ "credentials": all })).await;
        assert_eq!(imported.body["added"].as_array().unwrap().len(), 100, "{imported:?}");
        refused(&put(&world, BOB, "ONE_MORE", VALUE).await, "limit_reached", None);
        assert_eq!(put(&world, BOB, "K7", VALUE).await.status, 200);
        let again = import(json!({ "credentials": [one("K1", VALUE)] })).await;
        refused(&again, "conflict", Some("credentials"));
        let again = import(json!({ "credentials": [one("K1", VALUE)], "replace": true })).await;
        assert_eq!(again.body["replaced"], json!(["K1"]), "{again:?}");
        let import_row =
            world.audit().await.into_iter().find(|row| row["action"] == "credential.import").unwrap();
        assert!(import_row.to_string().contains("K1") && !import_row.to_string().contains("invented"));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_puts_at_once_one_is_the_last() {
    on_both(async |db| {
        let world = with_key(db).await;
        let puts = (0..16).map(|i| {
            let value = format!("value-{i}");
            let world = &world;
            async move { put(world, BOB, "A_KEY", &value).await.status }
        });
        assert!(futures_util::future::join_all(puts).await.iter().all(|status| *status == 200));
        assert_eq!(names(&world, BOB, "").await, ["A_KEY"]);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_the_secrets_goes_before_and_is_the_operators() {
    on_both(async |db| {
        let world = with_key(db).await;
        put(&world, BOB, "A_KEY", VALUE).await;
        let file = world.path("state/encryption.keys");
        let old = std::fs::read_to_string(&file).unwrap().lines().last().unwrap().to_owned();
        // From the file to the secrets: the file's key becomes the previous one.
        let new = "5e".repeat(32);
        let secrets = |text: String| {
            let path = world.path("secrets.yml");
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        };
        secrets(format!("encryption: {{ key: {} }}\n", &new[1..]));
        let wrong = world.rest(ANN, "POST", "/reload", Some(json!({}))).await;
        assert!(wrong.body.to_string().contains("64 hexadecimal digits"), "{wrong:?}");
        assert!(!wrong.body.to_string().contains("5e5e"), "{wrong:?}");
        secrets(format!("encryption: {{ key: \"{new}\", previous_key: \"{old}\" }}\n"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(world.rest(ANN, "POST", "/reload", Some(json!({}))).await.status, 200);
        let keys = through(&world).await;
        assert!(keys["source"].as_str().unwrap().starts_with("secrets "), "{keys}");
        let rows = keys["keys"].as_array().unwrap();
        assert_eq!(rows.len(), 2, "{keys}");
        assert!(rows[0]["retired_at"].is_string() && rows[0]["credentials"] == 0, "{keys}");
        assert!(rows[1]["in_use"] == true && rows[1]["credentials"] == 1, "{keys}");
        refused(&world.rest(ANN, "POST", "/keys/rotate", Some(json!({}))).await, "conflict", None);
        refused(&world.rest(ANN, "POST", "/keys", Some(json!({}))).await, "conflict", None);
        let shown = world.rest(ANN, "GET", "/config", None).await.body.to_string();
        assert!(shown.contains("encryption.key") && !shown.contains("5e5e"), "{shown}");
        world.end().await;
    })
    .await;
}

/// The keys, once nothing is encrypted anew any longer.
/// A key that is in its file while it cannot be written down is in nobody's use: what was encrypted with it would be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_waits_until_a_key_is_made_or_not() {
    on_both(async |db| {
        let world = with_key(db).await;
        let in_use = || world.app.keys().load().in_use().unwrap().id.clone();
        let before = in_use();
        let turn = world.app.rotation().turn().await;
        let trial = Key::new([3; 32]);
        keys::append(world.app.key_file(), &trial).unwrap();
        let (app, settings) = (Arc::clone(&world.app), world.app.settings());
        let reload = tokio::spawn(async move { app.reload(None).await.is_ok() });
        until(|| !Arc::ptr_eq(&world.app.settings(), &settings)).await;
        for _ in 0..50 {
            tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
        }
        assert!(!reload.is_finished());
        keys::take_out(world.app.key_file(), &trial.id).unwrap();
        drop(turn);
        assert!(reload.await.unwrap());
        assert_eq!(in_use(), before);
    })
    .await;
}

async fn through(world: &World) -> Value {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let keys = world.rest(ANN, "GET", "/keys", None).await.body;
        if keys["rotating"] == false {
            return keys;
        }
        assert!(tokio::time::Instant::now() < deadline, "{keys}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
