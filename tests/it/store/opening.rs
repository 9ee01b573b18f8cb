//! Opening: locks, schema versions, file modes.

use crate::postgres::Db;
use crate::postgres::clock;
use crate::postgres::on_both;
use crate::store::{at, draft, raw, soon};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use std::os::unix::fs::PermissionsExt;
use teleclaude::store::connect::Engine;
use teleclaude::store::connect::Options;
use teleclaude::store::connect::Store;
use teleclaude::store::connect::migrate_now;
use teleclaude::store::error::StoreError;
use teleclaude::store::instance;
use teleclaude::store::migrate;
use teleclaude::store::verify::verify;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_daemon_a_computer() {
    on_both(async |db| {
        let store = db.open().await;
        let refused = db.open_as("here").await.err().unwrap();
        let text = refused.to_string();
        assert!(matches!(refused, StoreError::Served { .. }), "{text}");
        let pid = std::process::id();
        assert_eq!(text, format!("computer `here` is already served by pid {pid} since {}", at(0)));
        assert_eq!(store.append(soon(), draft("still")).await, Ok(1));
        if let Engine::Postgres { .. } = db.engine {
            // Another computer on the same server is welcome, and has a chain of its own.
            let there = db.open_as("there").await.unwrap();
            assert_eq!(there.append(soon(), draft("first")).await, Ok(1));
            let names: Vec<String> =
                instance::list(store.reader()).await.unwrap().into_iter().map(|i| i.computer).collect();
            assert_eq!(names, ["here", "there"]);
            let reports = verify(there.reader(), None, |_| {}).await.unwrap();
            assert!(reports.len() == 2 && reports.iter().all(|r| r.rows == 1 && r.first_bad.is_none()));
            there.close().await;
        }
        store.close().await;
        db.open().await.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_computers_may_come_to_an_empty_postgres_at_once() {
    let db = Db::postgres();
    let opened = join_all(["a", "b", "c", "a"].map(|computer| db.open_as(computer))).await;
    let stores: Vec<Store> = opened.into_iter().filter_map(Result::ok).collect();
    assert_eq!(stores.len(), 3, "one of the two `a` is refused");
    for store in stores {
        assert_eq!(store.append(soon(), draft("first")).await, Ok(1));
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused_and_an_old_one_needs_migrating() {
    on_both(async |db| {
        let by_hand = Options { engine: db.engine.clone(), computer: "here".to_owned(), auto_migrate: false };
        let empty = Store::open(by_hand.clone(), clock()).await.err().unwrap();
        assert_eq!(empty, StoreError::Outdated { database: "empty".to_owned(), binary: migrate::wanted() });
        let done = migrate_now(db.engine.clone(), "here", at(0)).await.unwrap();
        assert_eq!(done.last(), Some(&migrate::wanted()));
        assert_eq!(migrate_now(db.engine.clone(), "here", at(0)).await, Ok(Vec::new()));
        let store = db.open().await;
        let served = migrate_now(db.engine.clone(), "here", at(0)).await;
        assert!(matches!(served, Err(StoreError::Served { .. })), "not beside a daemon: {served:?}");
        assert_eq!(migrate::status(store.reader()).await.unwrap().current(), Ok(()));
        store.close().await;
        Store::open(by_hand, clock()).await.unwrap().close().await;

        let raw = raw(&db).await;
        raw.execute_unprepared(
            "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)",
        )
        .await
        .unwrap();
        raw.close().await.unwrap();
        let refused = db.open_as("here").await.err().unwrap();
        assert_eq!(
            refused,
            StoreError::Newer { database: "m9999_later".to_owned(), binary: migrate::wanted() }
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_files_are_private() {
    let db = Db::sqlite();
    let path = db.folder().join("teleclaude.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = db.open().await;
    store.append(soon(), draft("one")).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(db.folder()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["teleclaude.db", "teleclaude.db-shm", "teleclaude.db-wal", "teleclaude.db.lock"]);
    assert!(store.reader().execute_unprepared("DELETE FROM sessions").await.is_err(), "readers cannot write");
    store.close().await;
}
