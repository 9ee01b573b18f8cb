//! The audit chain: under load, with rollback, against forgery.

use crate::postgres::Db;
use crate::postgres::on_both;
use crate::store::{a_session, change, draft, raw, soon, whole};
use futures_util::FutureExt;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use sea_orm::DatabaseConnection;
use teleclaude::store::audit;
use teleclaude::store::connect::Engine;
use teleclaude::store::connect::open_read_only;
use teleclaude::store::error::StoreError;
use teleclaude::store::session;
use teleclaude::store::verify::verify;
use teleclaude::store::writer::WriteError;

async fn drop_triggers(raw: &DatabaseConnection, db: &Db) {
    let sql = match db.engine {
        Engine::Sqlite { .. } => {
            "DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete; DROP TRIGGER audit_log_chain"
        }
        Engine::Postgres { .. } => "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    };
    raw.execute_unprepared(sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_holds_under_64_callers() {
    on_both(async |db| {
        let store = db.open().await;
        let seqs = join_all((0..64u32).map(|caller| {
            let store = store.clone();
            async move {
                let mut seqs = Vec::new();
                for n in 0..6u32 {
                    if n % 3 == 2 {
                        let id = u128::from(caller * 100 + n);
                        change(&store, move |tx| {
                            async move {
                                session::insert(tx.conn(), &a_session(id, 0)).await?;
                                tx.audit(draft("session.start"));
                                Ok(())
                            }
                            .boxed()
                        })
                        .await
                        .unwrap();
                    } else {
                        seqs.push(store.append(soon(), draft("test\0nul")).await.unwrap());
                    }
                }
                seqs
            }
        }))
        .await;
        let mut seqs: Vec<i64> = seqs.into_iter().flatten().collect();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs.len(), 64 * 4, "every append has a seq of its own");
        let report = whole(&store).await;
        assert_eq!((report.rows, report.first_bad), (64 * 6, None));
        assert_eq!(store.problem(), None);
        store.close().await;
        assert_eq!(store.append(soon(), draft("late")).await, Err(WriteError::Store(StoreError::Closed)));
        // Without the daemon, and after it.
        let alone = open_read_only(db.engine.clone()).await.unwrap();
        assert_eq!(verify(&alone, Some("here"), |_| {}).await.unwrap()[0].rows, 64 * 6);
        alone.close().await;
        let again = db.open().await;
        assert_eq!(again.append(soon(), draft("next")).await, Ok(64 * 6 + 1));
        again.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_says_no_leaves_nothing_and_its_neighbours_everything() {
    on_both(async |db| {
        let store = db.open().await;
        let results = join_all((0..40u128).map(|n| {
            let store = store.clone();
            async move {
                store
                    .write(soon(), move |tx| {
                        async move {
                            session::insert(tx.conn(), &a_session(n, 0)).await.map_err(|e| e.to_string())?;
                            tx.audit(draft(if n % 2 == 0 { "kept" } else { "dropped" }));
                            if n % 2 == 1 { Err(format!("no {n}")) } else { Ok(n) }
                        }
                        .boxed()
                    })
                    .await
            }
        }))
        .await;
        for (n, result) in results.into_iter().enumerate() {
            let n = n as u128;
            let wanted =
                if n.is_multiple_of(2) { Ok(n) } else { Err(WriteError::Refused(format!("no {n}"))) };
            assert_eq!(result, wanted);
        }
        let rows = audit::page(store.reader(), &audit::Filter::default(), None, 100).await.unwrap();
        assert_eq!(rows.len(), 20);
        assert!(rows.iter().all(|r| r.draft.action == "kept"));
        let kept = session::page(store.reader(), &session::Filter::default(), None, 100).await.unwrap();
        assert_eq!(kept.len(), 20);
        assert_eq!(whole(&store).await.first_bad, None);

        // A panic, and an error that a unit swallows, fail that unit only.
        let panics = store.write(soon(), |_tx| async { panic!("on purpose") }.boxed());
        let fine = store.append(soon(), draft("beside a panic"));
        let (panicked, fine): (Result<(), WriteError<()>>, _) = tokio::join!(panics, fine);
        assert_eq!(panicked, Err(WriteError::Panicked));
        assert!(fine.is_ok());
        let swallowed: Result<(), WriteError<()>> = store
            .write(soon(), |tx| {
                async move {
                    let _ = tx.conn().execute_unprepared("SELECT * FROM no_such_table").await;
                    tx.audit(draft("never"));
                    Ok(())
                }
                .boxed()
            })
            .await;
        assert!(matches!(swallowed, Err(WriteError::Store(StoreError::Other(_)))), "{swallowed:?}");
        let filter = audit::Filter { action: Some("never".to_owned()), ..Default::default() };
        assert_eq!(audit::page(store.reader(), &filter, None, 10).await.unwrap(), []);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_append_only_and_verify_finds_what_triggers_cannot_stop() {
    on_both(async |db| {
        let store = db.open().await;
        for n in 0..6 {
            store.append(soon(), draft(&format!("row {n}"))).await.unwrap();
        }
        let raw = raw(&db).await;
        let copy = "computer, seq, at, actor, actor_uid, actor_role, via, action, outcome, session, owner, \
                    target_kind, target_id, reason, request_id, detail, prev_hash, hash";
        let changed_seq = copy.replace("seq", "seq + 10");
        let sqlite = matches!(db.engine, Engine::Sqlite { .. });
        let mut refused = vec![
            "UPDATE audit_log SET actor = 'x' WHERE seq = 3".to_owned(),
            "DELETE FROM audit_log WHERE seq = 6".to_owned(),
            "DELETE FROM audit_log".to_owned(),
            format!("INSERT INTO audit_log ({copy}) SELECT {changed_seq} FROM audit_log WHERE seq = 6"),
            format!("INSERT INTO audit_log ({copy}) SELECT {copy} FROM audit_log WHERE seq = 6"),
        ];
        refused.push(if sqlite {
            format!("REPLACE INTO audit_log ({copy}) SELECT {copy} FROM audit_log WHERE seq = 3")
        } else {
            "TRUNCATE audit_log".to_owned()
        });
        for sql in &refused {
            assert!(raw.execute_unprepared(sql).await.is_err(), "{sql}");
        }
        assert_eq!(whole(&store).await.first_bad, None);

        drop_triggers(&raw, &db).await;
        let (forge, restore) = ("UPDATE audit_log SET ", " WHERE computer = 'here' AND seq = 3");
        raw.execute_unprepared(&format!("{forge}actor = 'mallory'{restore}")).await.unwrap();
        let bad = whole(&store).await.first_bad.unwrap();
        assert_eq!((bad.0, bad.1.contains("does not match")), (3, true), "an edit: {bad:?}");
        raw.execute_unprepared(&format!("{forge}actor = 'daemon'{restore}")).await.unwrap();
        assert_eq!(whole(&store).await.first_bad, None);

        for sql in [
            "UPDATE audit_log SET seq = 100 WHERE seq = 3",
            "UPDATE audit_log SET seq = 3 WHERE seq = 4",
            "UPDATE audit_log SET seq = 4 WHERE seq = 100",
        ] {
            raw.execute_unprepared(sql).await.unwrap();
        }
        assert_eq!(whole(&store).await.first_bad.unwrap().0, 3, "a reorder");
        for sql in [
            "UPDATE audit_log SET seq = 100 WHERE seq = 4",
            "UPDATE audit_log SET seq = 4 WHERE seq = 3",
            "UPDATE audit_log SET seq = 3 WHERE seq = 100",
        ] {
            raw.execute_unprepared(sql).await.unwrap();
        }
        assert_eq!(whole(&store).await.first_bad, None);

        raw.execute_unprepared("DROP INDEX audit_log_prev_hash").await.unwrap();
        raw.execute_unprepared(&format!(
            "INSERT INTO audit_log ({copy}) SELECT {} FROM audit_log WHERE seq = 6",
            copy.replace("seq", "seq + 1")
        ))
        .await
        .unwrap();
        assert_eq!(whole(&store).await.first_bad.unwrap().0, 7, "an insert");
        raw.execute_unprepared("DELETE FROM audit_log WHERE seq IN (4, 7)").await.unwrap();
        let report = whole(&store).await;
        let bad = report.first_bad.unwrap();
        assert_eq!((report.rows, bad.0), (4, 5), "a gap");
        assert!(bad.1.contains("missing"), "{bad:?}");
        raw.close().await.unwrap();
        store.close().await;
    })
    .await;
}
