//! The daemon signs its log: the key, where checkpoints go, what makes it unwell, and what a log that lost rows is
//! told by.

use crate::postgres::{Db, on_both};
use crate::world::{ANN, World};
use sea_orm::ConnectionTrait as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use teleclaude::daemon::checkpoints;
use teleclaude::daemon::notary::Notary;
use teleclaude::domain::checkpoint::Checkpoint;
use teleclaude::domain::note::{self, VerifierKey};
use teleclaude::store::connect::Engine;

async fn verified(world: &World, body: Value) -> crate::world::Answer {
    world.rest(ANN, "POST", "/audit/verify", Some(body)).await
}

async fn keys(world: &World) -> Vec<String> {
    let answer = world.rest(ANN, "GET", "/audit/keys", None).await;
    answer.body["keys"].as_array().unwrap().iter().map(|k| k["key"].as_str().unwrap().to_owned()).collect()
}

/// Cuts rows and checkpoints off the end, as somebody with the database's own password can.
async fn cut_off(db: &Db, after: i64) {
    let (url, guards) = match &db.engine {
        Engine::Sqlite { path, .. } => (
            format!("sqlite://{}", path.display()),
            "DROP TRIGGER audit_log_no_delete; DROP TRIGGER audit_checkpoints_no_delete",
        ),
        Engine::Postgres { url } => (
            url.expose_secret().to_owned(),
            "ALTER TABLE audit_log DISABLE TRIGGER ALL; ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL",
        ),
    };
    let raw = sea_orm::Database::connect(url).await.unwrap();
    for sql in
        [guards, &format!("DELETE FROM audit_log WHERE seq > {after}"), "DELETE FROM audit_checkpoints"]
    {
        raw.execute_unprepared(sql).await.unwrap();
    }
    raw.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_go_to_the_table_the_file_and_the_journal() {
    on_both(async |db| {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("checkpoints");
        let config = format!("audit: {{ checkpoint: {{ file: {}, journald: true }} }}", file.display());
        let world = World::everybody(db).config(&config).start().await;
        let journal = world.path("run/systemd/journal");
        std::fs::create_dir_all(&journal).unwrap();
        let journal = UnixDatagram::bind(journal.join("socket")).unwrap();

        world.audit().await;
        assert!(checkpoints::make(&world.app).await);
        world.audit().await;
        assert!(checkpoints::make(&world.app).await);
        let trusted: Vec<VerifierKey> =
            keys(&world).await.iter().map(|k| VerifierKey::parse(k).unwrap()).collect();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let notes = note::split(&text);
        assert_eq!(notes.len(), 2, "{text}");
        let points: Vec<Checkpoint> = notes
            .iter()
            .map(|text| Checkpoint::parse(note::open(text, &trusted).unwrap()).unwrap())
            .collect();
        assert!(points[0].seq < points[1].seq && points[1].origin == "here", "{points:?}");
        let mut datagram = [0; 4_096];
        let bytes = journal.recv(&mut datagram).unwrap();
        let said = String::from_utf8_lossy(&datagram[..bytes]).into_owned();
        assert!(said.contains("TELECLAUDE_AUDIT_CHECKPOINT\n") && said.contains(&notes[0]), "{said}");

        let answer = verified(&world, json!({})).await;
        assert_eq!(answer.body["ok"], true, "{answer:?}");
        // Both in the table, and the last one again from the state directory.
        assert_eq!(answer.body["chains"][0]["checkpoints"], 3, "{answer:?}");
        let secret = world.path("state/audit.key");
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        let secret = std::fs::read_to_string(secret).unwrap();
        let half = secret.trim().rsplit('+').next().unwrap();
        assert!(!format!("{:?}", world.app.notary().keys()).contains(half));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_cannot_be_kept_makes_the_daemon_unwell_until_it_can() {
    on_both(async |db| {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("not/yet");
        let config = format!("audit: {{ checkpoint: {{ file: {} }} }}", file.display());
        let world = World::everybody(db).config(&config).start().await;
        assert!(!checkpoints::make(&world.app).await);
        let health = world.rest(ANN, "GET", "/health", None).await;
        assert_eq!(health.body["status"], "degraded", "{health:?}");
        assert!(health.body.to_string().contains("audit.checkpoint.file"), "{health:?}");
        assert_eq!(world.rest(ANN, "GET", "/sessions", None).await.status, 200, "it goes on");
        std::fs::create_dir(elsewhere.path().join("not")).unwrap();
        assert!(checkpoints::make(&world.app).await);
        let health = world.rest(ANN, "GET", "/health", None).await;
        assert_eq!(health.body["status"], "ok", "{health:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_leaves_what_the_old_one_signed_proven() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        world.audit().await;
        assert!(checkpoints::make(&world.app).await);
        let old = keys(&world).await;
        let rotated = world.rest(ANN, "POST", "/audit/keys/rotate", None).await;
        assert_eq!(rotated.status, 200, "{rotated:?}");
        let new = keys(&world).await;
        assert_eq!((old.len(), new.len(), &new[0]), (1, 2, &old[0]));
        let row = world.audit().await.into_iter().find(|row| row["action"] == "key.rotate").unwrap();
        assert_eq!((&row["outcome"], &row["target_id"]), (&json!("success"), &json!(new[1])), "{row}");
        let answer = verified(&world, json!({})).await;
        assert_eq!(
            (&answer.body["ok"], &answer.body["chains"][0]["unknown_checkpoints"]),
            (&json!(true), &json!(0))
        );
        assert!(answer.body["chains"][0]["checkpoints"].as_i64().unwrap() >= 3, "{answer:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_is_not_signed_any_more_and_says_so() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        for _ in 0..5 {
            world.audit().await;
        }
        assert!(checkpoints::make(&world.app).await);
        let note = std::fs::read_to_string(world.path("state/audit.checkpoint")).unwrap();
        cut_off(&world.db, 2).await;

        assert!(!checkpoints::make(&world.app).await, "what lost rows is not signed");
        let health = world.rest(ANN, "GET", "/health", None).await;
        assert!(health.body.to_string().contains("not the one that was signed"), "{health:?}");
        // The writer does not know yet that its head is gone: it takes one look to learn that.
        world.rest(ANN, "GET", "/audit", None).await;
        // By the checkpoint in the state directory, with the table's all gone.
        let answer = verified(&world, json!({})).await;
        assert_eq!(answer.body["ok"], false, "{answer:?}");
        let problem = answer.body["chains"][0]["problem"].as_str().unwrap();
        // PostgreSQL's guards are off, so rows that came later stand behind a hole.
        let words = ["truncated", "computed anew", "are missing"];
        assert!(words.iter().any(|word| problem.contains(word)), "{problem}");

        // And by one from elsewhere, where that is gone too.
        std::fs::remove_file(world.path("state/audit.checkpoint")).unwrap();
        let answer = verified(&world, json!({ "checkpoints": [note] })).await;
        assert_eq!(answer.body["ok"], false, "{answer:?}");
        let stranger = teleclaude::domain::note::SigningKey::from_seed("here", [9; 32]).unwrap();
        let point = note::unproven(&note).unwrap();
        let answer = verified(&world, json!({ "checkpoints": [stranger.sign(point)] })).await;
        assert_eq!((answer.status, &answer.body["field"]), (422, &json!("checkpoints")), "{answer:?}");
        for (field, body) in [
            ("checkpoints", json!({ "checkpoints": ["hello"] })),
            ("keys", json!({ "keys": ["hello"] })),
            ("checkpoint", json!({ "checkpoint": [] })),
        ] {
            let answer = verified(&world, body).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)), "{answer:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_elsewhere_that_hangs_is_tried_once_at_a_time() {
    on_both(async |db| {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("checkpoints");
        let config = format!("audit: {{ checkpoint: {{ file: {} }} }}", file.display());
        let world = World::everybody(db).config(&config).start().await;
        let hanging = world.app.notary().elsewhere().lock_owned().await;
        assert!(!checkpoints::make(&world.app).await);
        let health = world.rest(ANN, "GET", "/health", None).await;
        assert!(health.body.to_string().contains("still being written"), "{health:?}");
        drop(hanging);
        assert!(checkpoints::make(&world.app).await);
        assert_eq!(note::split(&std::fs::read_to_string(&file).unwrap()).len(), 1);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_others_can_read_signs_nothing_and_what_it_signed_stays_proven() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("audit.key");
    let notary = Notary::open(folder.path(), "here");
    let signed = notary.sign("text\n").unwrap();
    // What a crash left beside it gives the next key neither its mode nor its place.
    let left = folder.path().join("audit.key.new");
    std::fs::write(&left, "").unwrap();
    std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o644)).unwrap();
    notary.rotate("here").await.unwrap();
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(notary.wrong().is_empty());

    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).unwrap();
    let notary = Notary::open(folder.path(), "here");
    assert_eq!(notary.sign("text\n"), None);
    assert!(notary.wrong()[0].contains("mode 0600"), "{:?}", notary.wrong());
    assert_eq!(note::open(&signed, &notary.keys()), Ok("text\n"));
}
