//! Faults and healing: a full queue, a full disk, a locked file, a server that restarts, a daemon that dies.

use crate::postgres::Db;
use crate::postgres::Stop;
use crate::postgres::clock;
use crate::postgres::on_both;
use crate::store::{a_session, change, draft, raw, soon, whole};
use futures_util::FutureExt;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use sea_orm::Statement;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use teleclaude::store::audit;
use teleclaude::store::connect::Options;
use teleclaude::store::connect::Store;
use teleclaude::store::error::StoreError;
use teleclaude::store::session;
use teleclaude::store::verify::ChainReport;
use teleclaude::store::verify::verify;
use teleclaude::store::writer::WriteError;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_busy_and_nothing_runs_late() {
    on_both(async |db| {
        let store = db.open().await;
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let began = Arc::new(tokio::sync::Notify::new());
        let (g, b) = (gate.clone(), began.clone());
        let blocker = {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write(soon(), move |_tx| {
                        let (g, b) = (g.clone(), b.clone());
                        async move {
                            b.notify_one();
                            g.acquire().await.map(drop).map_err(drop)
                        }
                        .boxed()
                    })
                    .await
            })
        };
        began.notified().await;
        let ran = Arc::new(AtomicUsize::new(0));
        let hurried = join_all((0..1100).map(|_| {
            let (store, ran) = (store.clone(), ran.clone());
            async move {
                let deadline = Instant::now() + Duration::from_millis(200);
                store
                    .write::<(), (), _>(deadline, move |_tx| {
                        ran.fetch_add(1, Ordering::SeqCst);
                        async { Ok(()) }.boxed()
                    })
                    .await
            }
        }))
        .await;
        assert!(hurried.iter().all(|r| *r == Err(WriteError::Busy)));
        gate.add_permits(1);
        blocker.await.unwrap().unwrap();
        assert_eq!(store.append(soon(), draft("goes on")).await, Ok(1));
        assert_eq!(ran.load(Ordering::SeqCst), 0, "what was answered `busy` never runs");
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_full_fails_says_so_and_heals() {
    let db = Db::sqlite();
    let store = db.open().await;
    let pages = |n: &'static str| {
        let store = store.clone();
        async move {
            let set = store.write::<(), StoreError, _>(soon(), move |tx| {
                async move {
                    tx.conn().execute_unprepared(n).await?;
                    Ok(())
                }
                .boxed()
            });
            set.await.unwrap();
        }
    };
    pages("PRAGMA max_page_count = 1").await;
    let mut kept = 0;
    let full = loop {
        let mut row = draft("big");
        row.detail = Some("x".repeat(20_000));
        match store.append(soon(), row).await {
            Ok(seq) => kept = seq,
            Err(error) => break error,
        }
        assert!(kept < 1_000);
    };
    assert_eq!(full, WriteError::Store(StoreError::Full));
    assert_eq!(store.problem(), Some(StoreError::Full.to_string()));
    let reads = audit::page(store.reader(), &audit::Filter::default(), None, 10).await.unwrap();
    assert_eq!(reads.first().map_or(0, |r| r.seq), kept, "reading goes on");
    pages("PRAGMA max_page_count = 1000000").await;
    assert_eq!(store.append(soon(), draft("again")).await, Ok(kept + 1));
    assert_eq!(store.problem(), None);
    assert_eq!(whole(&store).await.first_bad, None);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_restarts_lose_nothing_acknowledged() {
    let mut db = Db::postgres();
    let store = db.open().await;
    for how in [Stop::Fast, Stop::Immediate] {
        let stop = tokio_util::sync::CancellationToken::new();
        let callers: Vec<_> = (0..8u32)
            .map(|caller| {
                let (store, stop) = (store.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut acked = Vec::new();
                    let mut n = 0u32;
                    while !stop.is_cancelled() {
                        n += 1;
                        let name = format!("{how:?} {caller} {n}");
                        let row = draft(&name);
                        let answer = if n.is_multiple_of(2) {
                            store.append(soon(), row).await.map(drop)
                        } else {
                            change(&store, move |tx| {
                                tx.audit(row.clone());
                                async { Ok(()) }.boxed()
                            })
                            .await
                        };
                        if answer.is_ok() {
                            acked.push(name);
                        }
                    }
                    acked
                })
            })
            .collect();
        let before = store.append(soon(), draft("before")).await.unwrap();
        let more = async |than: i64| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while Instant::now() < deadline {
                if let Ok(reports) = verify(store.reader(), None, |_| {}).await
                    && reports.iter().any(|r| r.rows > than.unsigned_abs() + 50)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("it did not heal: {:?}", store.problem());
        };
        more(before).await;
        let cluster = db.cluster.as_mut().unwrap();
        cluster.down(how);
        cluster.up();
        let after = whole_soon(&store).await.rows;
        more(i64::try_from(after).unwrap()).await;
        stop.cancel();
        let acked: Vec<String> = join_all(callers).await.into_iter().flat_map(|c| c.unwrap()).collect();
        assert!(!acked.is_empty());
        let raw = raw(&db).await;
        let sql = "SELECT action, count(*) AS n FROM audit_log GROUP BY action";
        let rows =
            raw.query_all_raw(Statement::from_string(sea_orm::DbBackend::Postgres, sql)).await.unwrap();
        let kept: std::collections::HashMap<String, i64> =
            rows.iter().map(|r| (r.try_get("", "action").unwrap(), r.try_get("", "n").unwrap())).collect();
        for name in &acked {
            assert_eq!(kept.get(name), Some(&1), "{name}: acknowledged, so there, and there once");
        }
        raw.close().await.unwrap();
        assert_eq!(whole(&store).await.first_bad, None);
        assert_eq!(store.problem(), None);
    }
    store.close().await;
}

/// As [`whole`], from a server that may just have come back.
async fn whole_soon(store: &Store) -> ChainReport {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match verify(store.reader(), Some("here"), |_| {}).await {
            Ok(mut reports) => return reports.pop().unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_killed_gives_the_lock_back_and_the_writer_heals() {
    let db = Db::postgres();
    let store = db.open().await;
    store.append(soon(), draft("one")).await.unwrap();
    let raw = raw(&db).await;
    raw.execute_unprepared(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'teleclaude'",
    )
    .await
    .unwrap();
    let read = audit::page(store.reader(), &audit::Filter::default(), None, 10).await;
    assert_eq!(read.map(|rows| rows.len()), Ok(1), "readers get new connections without anybody noticing");
    assert_eq!(store.append(soon(), draft("two")).await, Ok(2));
    assert!(matches!(db.open_as("here").await, Err(StoreError::Served { .. })), "the lock is held again");
    raw.close().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_never_comes_back_is_given_up_alone() {
    on_both(async |db| {
        let store = db.open().await;
        let began = Arc::new(tokio::sync::Notify::new());
        let b = began.clone();
        let writing = {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write::<(), StoreError, _>(soon(), move |tx| {
                        let b = b.clone();
                        async move {
                            session::insert(tx.conn(), &a_session(1, 0)).await?;
                            tx.audit(draft("never"));
                            b.notify_one();
                            std::future::pending().await
                        }
                        .boxed()
                    })
                    .await
            })
        };
        began.notified().await;
        let answer = writing.await.unwrap();
        assert_eq!(answer, Err(WriteError::Store(StoreError::Timeout)));
        assert_eq!(store.append(soon(), draft("next")).await, Ok(1));
        assert_eq!(session::by_id(store.reader(), a_session(1, 0).id).await.unwrap(), None);
        assert_eq!(whole(&store).await.first_bad, None);
        store.close().await;
    })
    .await;
}

#[test]
fn a_daemon_that_dies_in_a_batch_leaves_a_whole_chain() {
    let calm = tokio::runtime::Runtime::new().unwrap();
    calm.block_on(on_both(async |db| {
        let doomed = tokio::runtime::Runtime::new().unwrap();
        let began = Arc::new(tokio::sync::Notify::new());
        let (b, options) = (
            began.clone(),
            Options { engine: db.engine.clone(), computer: "here".to_owned(), auto_migrate: true },
        );
        doomed.spawn(async move {
            let store = Store::open(options, clock()).await.unwrap();
            store.append(soon(), draft("kept")).await.unwrap();
            store
                .write::<(), StoreError, _>(soon(), move |tx| {
                    let b = b.clone();
                    async move {
                        session::insert(tx.conn(), &a_session(1, 0)).await?;
                        tx.audit(draft("never"));
                        b.notify_one();
                        std::future::pending().await
                    }
                    .boxed()
                })
                .await
        });
        began.notified().await;
        doomed.shutdown_background();
        // The server needs a moment to see that the connection is gone.
        let deadline = Instant::now() + Duration::from_secs(30);
        let store = loop {
            match db.open_as("here").await {
                Ok(store) => break store,
                Err(StoreError::Served { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(session::by_id(store.reader(), a_session(1, 0).id).await.unwrap(), None);
        assert_eq!(store.append(soon(), draft("next")).await, Ok(2));
        assert_eq!(whole(&store).await.first_bad, None);
        store.close().await;
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_locked_by_another_process_fails_says_so_and_heals() {
    let db = Db::sqlite();
    let store = db.open().await;
    let raw = raw(&db).await;
    raw.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(store.append(soon(), draft("locked out")).await, Err(WriteError::Store(StoreError::Locked)));
    assert_eq!(store.problem(), Some(StoreError::Locked.to_string()));
    raw.execute_unprepared("COMMIT").await.unwrap();
    assert_eq!(store.append(soon(), draft("again")).await, Ok(1));
    assert_eq!(store.problem(), None);
    raw.close().await.unwrap();
    store.close().await;
}
