//! The store on both engines: the chain under load, rollback, locks, pages, faults and healing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail here")]

use crate::postgres::{Db, NOW, Stop, clock, on_both};
use futures_util::FutureExt;
use futures_util::future::join_all;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use secrecy::ExposeSecret;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::caller::Role;
use teleclaude::domain::person::{PersonId, PersonStatus};
use teleclaude::domain::session::{
    Exit, Profile, Session, SessionActivity, SessionId, SessionStatus, SessionTitle, ThinkingMode,
};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::{Engine, Options, Store, migrate_now, open_read_only};
use teleclaude::store::error::StoreError;
use teleclaude::store::message::MessageState;
use teleclaude::store::verify::{ChainReport, verify};
use teleclaude::store::writer::{Tx, WriteError};
use teleclaude::store::{
    activity, audit, host, instance, message, migrate, outbox, person, session, setting,
};
use tokio::time::Instant;
use uuid::Uuid;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(NOW + second * 1_000_000)
}

fn draft(action: &str) -> AuditDraft {
    AuditDraft::by_daemon(7, action, AuditOutcome::Success, at(0))
}

fn a_session(n: u128, second: i64) -> Session {
    Session {
        id: SessionId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n)),
        title: Some(SessionTitle::parse("a title").unwrap()),
        owner: PersonId(Uuid::from_u128(1)),
        owner_name: "ann".to_owned(),
        owner_uid: u32::MAX - 1,
        actor_name: "ann".to_owned(),
        computer: "here".to_owned(),
        project: Some("site".to_owned()),
        project_path: "/srv/site".to_owned(),
        subdir: None,
        agent: "claude".to_owned(),
        thinking_mode: ThinkingMode::Slow,
        profile: Profile::Restricted,
        status: SessionStatus::Starting,
        activity: None,
        exit: None,
        parent: None,
        native_id: None,
        client_id: None,
        created: at(second),
        last_activity: at(second),
        ended: None,
    }
}

/// Runs one change with its rows.
async fn change<T: Send + 'static>(
    store: &Store,
    unit: impl for<'a> FnMut(&'a mut Tx) -> futures_util::future::BoxFuture<'a, Result<T, StoreError>>
    + Send
    + 'static,
) -> Result<T, WriteError<StoreError>> {
    store.write(soon(), unit).await
}

async fn keep(store: &Store, session: Session) {
    change(store, move |tx| {
        let session = session.clone();
        async move { session::insert(tx.conn(), &session).await }.boxed()
    })
    .await
    .unwrap();
}

/// A connection beside the store, that may do anything.
async fn raw(db: &Db) -> DatabaseConnection {
    let url = match &db.engine {
        Engine::Sqlite { path, .. } => format!("sqlite://{}", path.display()),
        Engine::Postgres { url } => url.expose_secret().to_owned(),
    };
    let mut o = ConnectOptions::new(url);
    o.max_connections(1).sqlx_logging(false);
    Database::connect(o).await.unwrap()
}

async fn drop_triggers(raw: &DatabaseConnection, db: &Db) {
    let sql = match db.engine {
        Engine::Sqlite { .. } => {
            "DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete; DROP TRIGGER audit_log_chain"
        }
        Engine::Postgres { .. } => "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    };
    raw.execute_unprepared(sql).await.unwrap();
}

async fn whole(store: &Store) -> ChainReport {
    let mut reports = verify(store.reader(), None, |_| {}).await.unwrap();
    assert_eq!(reports.len(), 1);
    reports.pop().unwrap()
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_complete_and_stable() {
    on_both(async |db| {
        let store = db.open().await;
        // Many sessions of the same moment, so that the id decides.
        for n in 0..30u128 {
            keep(&store, a_session(n, i64::try_from(n / 10).unwrap())).await;
            let mut row = draft("paged");
            row.at = at(i64::try_from(n / 10).unwrap());
            row.owner = Some("ann".to_owned());
            store.append(soon(), row).await.unwrap();
        }
        let filter = session::Filter {
            owner: Some((PersonId(Uuid::from_u128(1)), u32::MAX - 1)),
            ..Default::default()
        };
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = session::page(store.reader(), &filter, after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.last_activity, last.id));
            seen.extend(page.iter().map(|s| (s.last_activity, s.id)));
            // A newer one in between moves nothing that is still to come.
            keep(&store, a_session(1_000 + seen.len() as u128, 50)).await;
        }
        assert_eq!(seen.len(), 30);
        assert!(seen.windows(2).all(|w| w[0] > w[1]));
        let other_uid =
            session::Filter { owner: Some((PersonId(Uuid::from_u128(1)), 5)), ..Default::default() };
        assert_eq!(session::page(store.reader(), &other_uid, None, 7).await.unwrap(), []);

        let filter =
            audit::Filter { owner: Some("ann".to_owned()), since: Some(at(1)), ..Default::default() };
        let mut seqs = Vec::new();
        let mut before = None;
        loop {
            let page = audit::page(store.reader(), &filter, before.as_ref(), 7).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(audit::Place::from(last));
            seqs.extend(page.iter().map(|r| r.seq));
        }
        assert_eq!(seqs, (11..=30).rev().collect::<Vec<i64>>());
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_from_birth_to_end() {
    on_both(async |db| {
        let store = db.open().await;
        let mut born = a_session(1, 10);
        born.client_id = Some("one".to_owned());
        born.subdir = Some("a\0b".to_owned());
        keep(&store, born.clone()).await;
        keep(&store, born.clone()).await;
        born.subdir = Some("a\u{fffd}b".to_owned());
        let id = born.id;
        assert_eq!(session::by_id(store.reader(), id).await.unwrap(), Some(born.clone()));
        assert_eq!(
            session::by_client_id(store.reader(), born.owner, "one").await.unwrap(),
            Some(born.clone())
        );
        let mut twin = a_session(2, 10);
        twin.client_id = Some("one".to_owned());
        let refused = change(&store, move |tx| {
            let twin = twin.clone();
            async move { session::insert(tx.conn(), &twin).await }.boxed()
        })
        .await;
        assert_eq!(refused, Err(WriteError::Refused(StoreError::Conflict)));

        let lived = change(&store, move |tx| {
            async move {
                let c = tx.conn();
                assert!(session::set_token_hash(c, id, Some([9; 32])).await?);
                assert!(session::started(c, id, 4321, at(11)).await?);
                assert!(session::activity(c, id, SessionActivity::Busy, at(20)).await?);
                assert!(session::activity(c, id, SessionActivity::Idle, at(15)).await?);
                assert!(session::native_id(c, id, "native").await?);
                session::by_id(c, id).await
            }
            .boxed()
        })
        .await
        .unwrap()
        .unwrap();
        assert_eq!((lived.status, lived.activity), (SessionStatus::Running, Some(SessionActivity::Idle)));
        assert_eq!(lived.last_activity, at(20), "it never goes back");
        assert_eq!(session::pid(store.reader(), id).await.unwrap(), Some(4321));
        assert_eq!(session::by_token_hash(store.reader(), &[9; 32]).await.unwrap(), Some(lived));
        assert_eq!(session::open_count(store.reader(), born.owner).await.unwrap(), 1);
        assert_eq!(session::open_on(store.reader(), "here").await.unwrap().len(), 1);
        assert_eq!(session::open_on(store.reader(), "there").await.unwrap(), []);

        let first = change(&store, move |tx| async move { ends_of(tx, id).await }.boxed()).await.unwrap();
        let second = change(&store, move |tx| async move { ends_of(tx, id).await }.boxed()).await.unwrap();
        assert_eq!((first, second), (true, false));
        let over = session::by_id(store.reader(), id).await.unwrap().unwrap();
        assert_eq!((over.exit, over.ended, over.last_activity), (Some(Exit::Code(3)), Some(at(12)), at(20)));
        assert_eq!(
            session::by_token_hash(store.reader(), &[9; 32]).await.unwrap(),
            None,
            "the token is revoked"
        );
        assert_eq!(session::open_count(store.reader(), born.owner).await.unwrap(), 0);

        keep(&store, a_session(3, 10)).await;
        let found = async |name: &str| session::find(store.reader(), name, Some("here")).await.unwrap();
        assert!(matches!(found(&id.to_string()).await, session::Found::One(s) if s.id == id));
        assert!(matches!(found("01990000").await, session::Found::Ambiguous(ids) if ids.len() == 2));
        assert_eq!(found("0199000000007000800000000000000").await, found("01990000").await);
        assert_eq!(found("ffffffff").await, session::Found::None);
        assert_eq!(
            session::find(store.reader(), "01990000", Some("there")).await.unwrap(),
            session::Found::None
        );
        store.close().await;
    })
    .await;
}

async fn ends_of(tx: &mut Tx, id: SessionId) -> Result<bool, StoreError> {
    session::ended(tx.conn(), id, &Exit::Code(3), at(12)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_leases_people_and_settings() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        let s = a_session(1, 0).id;
        let uuid = |n: u128| Uuid::from_u128(n);
        change(&store, move |tx| {
            async move {
                let c = tx.conn();
                let first = message::enqueue(c, s, uuid(11), "one", Some("x"), false, at(1)).await?;
                let again = message::enqueue(c, s, uuid(12), "two", Some("x"), false, at(2)).await?;
                assert_eq!(first, again);
                message::enqueue(c, s, uuid(13), "/three", None, true, at(3)).await?;
                assert_eq!(message::next_pending(c, s).await?.unwrap().text, "one");
                assert!(message::settle(c, uuid(11), MessageState::Delivered, None, at(4)).await?);
                assert!(!message::settle(c, uuid(11), MessageState::Failed, None, at(5)).await?);
                assert_eq!(message::waiting_sessions(c, "here").await?, [s]);
                assert_eq!(message::next_pending(c, s).await?.unwrap().id, uuid(13));
                assert_eq!(message::settle_all(c, s, MessageState::Unknown, Some("lost"), at(6)).await?, 1);
                assert_eq!(message::by_id(c, uuid(13)).await?.unwrap().problem.as_deref(), Some("lost"));
                assert_eq!(message::pending(c, s, 10).await?, []);

                let effect = outbox::Effect {
                    id: uuid(21),
                    computer: "here".to_owned(),
                    kind: "start".to_owned(),
                    session: s,
                    payload: "{}".to_owned(),
                    created: at(1),
                };
                outbox::insert(c, &effect).await?;
                outbox::insert(c, &effect).await?;
                assert_eq!(outbox::pending(c, "here", 10).await?, [effect]);
                assert_eq!(outbox::pending(c, "there", 10).await?, []);
                assert!(outbox::mark_done(c, uuid(21), at(2)).await?);
                assert!(!outbox::mark_done(c, uuid(21), at(2)).await?);
                assert_eq!(outbox::pending(c, "here", 10).await?, []);

                let lease = |n: u128| host::Lease {
                    session: s,
                    computer: "here".to_owned(),
                    lease: uuid(n),
                    pid: 77,
                    pid_started: 123,
                    claimed: at(1),
                };
                assert_eq!(host::claim(c, &lease(31)).await?, lease(31));
                assert_eq!(host::claim(c, &lease(31)).await?, lease(31));
                assert_eq!(host::claim(c, &lease(32)).await?, lease(31), "one live host a session");
                assert!(!host::release(c, s, uuid(32)).await?);
                assert_eq!(host::all_on(c, "here").await?.len(), 1);
                assert!(host::release(c, s, uuid(31)).await?);

                for n in 0..3u128 {
                    let event = activity::Event {
                        id: uuid(40 + n),
                        session: s,
                        at: at(1),
                        kind: "busy".to_owned(),
                        detail: None,
                    };
                    activity::insert(c, &event).await?;
                }
                let events = activity::page(c, s, None, 2).await?;
                assert_eq!(events.iter().map(|e| e.id).collect::<Vec<_>>(), [uuid(42), uuid(41)]);
                let rest = activity::page(c, s, Some((events[1].at, events[1].id)), 2).await?;
                assert_eq!(rest.iter().map(|e| e.id).collect::<Vec<_>>(), [uuid(40)]);

                setting::put(c, 5, setting::CONFIG, "a: 1", at(1)).await?;
                setting::put(c, 5, setting::CONFIG, "a: 2", at(2)).await?;
                assert_eq!(setting::get(c, 5, setting::CONFIG).await?, Some(("a: 2".to_owned(), at(2))));
                assert_eq!(setting::get(c, 6, setting::CONFIG).await?, None);
                Ok(())
            }
            .boxed()
        })
        .await
        .unwrap();
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_keep_their_key_and_what_is_known() {
    on_both(async |db| {
        let store = db.open().await;
        let key = |n: u128| PersonId(Uuid::from_u128(n));
        change(&store, move |tx| {
            async move {
                let c = tx.conn();
                assert_eq!(person::bind(c, "ann", key(1), at(1)).await?, key(1));
                assert_eq!(person::bind(c, "ann", key(2), at(2)).await?, key(1));
                assert_eq!(
                    person::upsert_seen(c, key(3), 1000, Some("ann_os"), Some("ann"), at(5)).await?,
                    key(1)
                );
                assert_eq!(person::upsert_seen(c, key(3), 1000, None, None, at(4)).await?, key(1));
                let ann = person::by_uid(c, 1000).await?.unwrap();
                assert_eq!((ann.os_username.as_deref(), ann.name.as_str()), (Some("ann_os"), "ann"));
                assert_eq!((ann.first_seen, ann.last_seen), (at(1), at(5)));

                // Somebody unmapped, who is mapped later: the same key.
                assert_eq!(person::upsert_seen(c, key(4), 1001, Some("bob"), None, at(5)).await?, key(4));
                assert_eq!(person::directory(c).await?.len(), 1);
                assert_eq!(person::upsert_seen(c, key(5), 1001, None, Some("bob"), at(6)).await?, key(4));
                assert_eq!(person::directory(c).await?.len(), 2);

                // A uid that moves to somebody else leaves the person it was.
                assert_eq!(
                    person::upsert_seen(c, key(6), 1001, Some("cy"), Some("ann"), at(7)).await?,
                    key(1)
                );
                assert_eq!(person::by_uid(c, 1001).await?.unwrap().name, "ann");
                assert_eq!(person::by_name(c, "bob").await?.unwrap().uid, None);
                assert_eq!(person::upsert_seen(c, key(7), 1001, None, Some("dee"), at(8)).await?, key(7));
                assert_eq!(person::by_name(c, "ann").await?.unwrap().uid, None);

                assert!(person::set_status(c, key(1), PersonStatus::Suspended).await?);
                assert_eq!(person::by_name(c, "ann").await?.unwrap().status, PersonStatus::Suspended);

                let ban = |n: u128, until| person::Ban {
                    id: Uuid::from_u128(n),
                    person: Some(key(1)),
                    uid: Some(u32::MAX),
                    until,
                    reason: None,
                    by: "ann".to_owned(),
                    created: at(i64::try_from(n).unwrap()),
                };
                person::ban(c, &ban(1, Some(at(10)))).await?;
                person::ban(c, &ban(2, None)).await?;
                assert_eq!(person::active_bans(c, at(9)).await?, [ban(1, Some(at(10))), ban(2, None)]);
                assert_eq!(person::active_bans(c, at(10)).await?, [ban(2, None)]);
                assert!(person::lift_ban(c, Uuid::from_u128(2), at(11)).await?);
                assert_eq!(person::active_bans(c, at(10)).await?, []);
                Ok(())
            }
            .boxed()
        })
        .await
        .unwrap();
        store.close().await;
    })
    .await;
}

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
async fn the_store_s_own_queries_use_their_indexes() {
    let db = Db::postgres();
    db.open().await.close().await;
    let raw = raw(&db).await;
    // A small table is read whole whatever the index.
    raw.execute_unprepared("ALTER DATABASE teleclaude SET enable_seqscan = off").await.unwrap();
    raw.execute_unprepared("ALTER DATABASE teleclaude SET enable_sort = off").await.unwrap();
    raw.execute_unprepared("SELECT pg_stat_reset()").await.unwrap();
    let store = db.open().await;
    keep(&store, a_session(1, 0)).await;
    let s = a_session(1, 0);
    let c = store.reader();
    let owner = session::Filter { owner: Some((s.owner, s.owner_uid)), ..Default::default() };
    session::page(c, &owner, Some((at(5), s.id)), 50).await.unwrap();
    session::page(c, &session::Filter::default(), Some((at(5), s.id)), 50).await.unwrap();
    session::page(c, &session::Filter { parent: Some(s.id), ..Default::default() }, None, 50).await.unwrap();
    session::by_client_id(c, s.owner, "x").await.unwrap();
    session::by_token_hash(c, &[1; 32]).await.unwrap();
    session::open_on(c, "here").await.unwrap();
    session::open_count(c, s.owner).await.unwrap();
    message::pending(c, s.id, 10).await.unwrap();
    outbox::pending(c, "here", 10).await.unwrap();
    activity::page(c, s.id, Some((at(5), s.id.0)), 10).await.unwrap();
    let before = audit::Place { at: at(5), computer: "here".to_owned(), seq: 5 };
    for filter in [
        audit::Filter::default(),
        audit::Filter { actor: Some("x".to_owned()), ..Default::default() },
        audit::Filter { owner: Some("x".to_owned()), ..Default::default() },
        audit::Filter { session: Some("x".to_owned()), ..Default::default() },
    ] {
        audit::page(c, &filter, Some(&before), 50).await.unwrap();
    }
    store.close().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let sql = "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan > 0";
        let rows =
            raw.query_all_raw(Statement::from_string(sea_orm::DbBackend::Postgres, sql)).await.unwrap();
        let used: Vec<String> = rows.iter().map(|r| r.try_get("", "indexrelname").unwrap()).collect();
        let missing: Vec<&str> = [
            "sessions_mine",
            "sessions_all",
            "sessions_parent",
            "sessions_client_id",
            "sessions_token_hash",
            "sessions_open_on",
            "sessions_open_of",
            "messages_pending",
            "outbox_pending",
            "activity_page",
            "audit_log_page",
            "audit_log_actor",
            "audit_log_owner",
            "audit_log_session",
        ]
        .into_iter()
        .filter(|index| !used.iter().any(|u| u == index))
        .collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "never used: {missing:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    raw.close().await.unwrap();
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
async fn hot_queries_use_their_indexes() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        store.append(soon(), draft("one")).await.unwrap();
        let raw = raw(&db).await;
        let sqlite = matches!(db.engine, Engine::Sqlite { .. });
        if !sqlite {
            // A small table is read whole whatever the index.
            raw.execute_unprepared("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
        }
        let uuid = |n: u128| {
            let id = Uuid::from_u128(n);
            if sqlite { format!("x'{}'", id.simple()) } else { format!("'{id}'::uuid") }
        };
        let one = uuid(1);
        let mine = format!(
            "SELECT * FROM sessions WHERE owner = {one} AND owner_uid = 5 AND (last_activity, id) < (5, {one}) \
             ORDER BY last_activity DESC, id DESC LIMIT 50"
        );
        let all = format!(
            "SELECT * FROM sessions WHERE (last_activity, id) < (5, {one}) ORDER BY last_activity DESC, id DESC LIMIT 50"
        );
        let pending = format!(
            "SELECT * FROM messages WHERE session = {one} AND state = 'pending' ORDER BY created, id LIMIT 1"
        );
        let audit_order = "ORDER BY at DESC, computer DESC, seq DESC LIMIT 50";
        for (sql, index) in [
            (mine.as_str(), "sessions_mine"),
            (all.as_str(), "sessions_all"),
            (pending.as_str(), "messages_pending"),
            ("SELECT * FROM sessions WHERE computer = 'here' AND status <> 'ended' ORDER BY id", "sessions_open_on"),
            (
                "SELECT * FROM outbox WHERE computer = 'here' AND done IS NULL ORDER BY created, id LIMIT 9",
                "outbox_pending",
            ),
            (&format!("SELECT * FROM audit_log WHERE (at, computer, seq) < (5, 'x', 1) {audit_order}"), "audit_log_page"),
            (&format!("SELECT * FROM audit_log WHERE actor = 'x' {audit_order}"), "audit_log_actor"),
            (&format!("SELECT * FROM audit_log WHERE session = 'x' {audit_order}"), "audit_log_session"),
            (&format!("SELECT * FROM audit_log WHERE owner = 'x' {audit_order}"), "audit_log_owner"),
        ] {
            let explain = if sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
            let backend = raw.get_database_backend();
            let rows = raw
                .query_all_raw(Statement::from_string(backend, format!("{explain} {sql}")))
                .await
                .unwrap();
            let column = if sqlite { "detail" } else { "QUERY PLAN" };
            let plan: Vec<String> = rows.iter().map(|r| r.try_get("", column).unwrap()).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(index), "{sql}\n{plan}");
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
        raw.close().await.unwrap();
        store.close().await;
    })
    .await;
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

#[test]
fn roles_in_the_schema_are_those_of_the_domain() {
    let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
    assert_eq!(names, ["public", "newcomer", "contributor", "member", "admin"]);
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

/// Where a connection is cut when COMMIT passes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Before,
    After,
}

/// Stands between the store and the server and, when told to, loses the next COMMIT or its answer.
struct Cutter {
    folder: tempfile::TempDir,
    next: Arc<std::sync::Mutex<Option<Cut>>>,
}

impl Cutter {
    fn start(server: std::path::PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("tccut").tempdir_in("/tmp").unwrap();
        let listener = tokio::net::UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let next = Arc::new(std::sync::Mutex::new(None));
        let told = next.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Self::pass(client, server.clone(), told.clone()));
            }
        });
        Self { folder, next }
    }

    async fn pass(
        client: tokio::net::UnixStream,
        server: std::path::PathBuf,
        told: Arc<std::sync::Mutex<Option<Cut>>>,
    ) -> std::io::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let server = tokio::net::UnixStream::connect(server).await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                n = from_client.read(&mut asked) => {
                    let n = n?;
                    if n == 0 {
                        return Ok(());
                    }
                    let commit = asked[..n].windows(6).any(|w| w == b"COMMIT");
                    let cut = if commit { told.lock().unwrap().take() } else { None };
                    if cut == Some(Cut::Before) {
                        return Ok(());
                    }
                    to_server.write_all(&asked[..n]).await?;
                    if cut == Some(Cut::After) {
                        // The answer to COMMIT means that it is done; nobody hears of it.
                        from_server.read(&mut answered).await?;
                        return Ok(());
                    }
                }
                n = from_server.read(&mut answered) => {
                    let n = n?;
                    if n == 0 {
                        return Ok(());
                    }
                    to_client.write_all(&answered[..n]).await?;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_done_once() {
    let db = Db::postgres();
    let cutter = Cutter::start(db.cluster.as_ref().unwrap().socket());
    let Engine::Postgres { url } = &db.engine else { unreachable!() };
    let through = url.expose_secret().replace(
        &db.cluster.as_ref().unwrap().socket().parent().unwrap().display().to_string(),
        &cutter.folder.path().display().to_string(),
    );
    let options = Options {
        engine: Engine::Postgres { url: through.into() },
        computer: "here".to_owned(),
        auto_migrate: true,
    };
    let store = Store::open(options, clock()).await.unwrap();
    let cases =
        [(Cut::After, true, 1), (Cut::Before, true, 2), (Cut::After, false, 2), (Cut::Before, false, 2)];
    for (n, (cut, audited, runs)) in cases.into_iter().enumerate() {
        let id = 100 + n as u128;
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = ran.clone();
        *cutter.next.lock().unwrap() = Some(cut);
        let done = change(&store, move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                session::insert(tx.conn(), &a_session(id, 0)).await?;
                if audited {
                    tx.audit(draft(&format!("commit {id}")));
                }
                Ok(id)
            }
            .boxed()
        })
        .await;
        assert_eq!(done, Ok(id), "{cut:?} {audited}");
        assert_eq!(*cutter.next.lock().unwrap(), None, "the cut was made");
        assert_eq!(ran.load(Ordering::SeqCst), runs, "{cut:?} {audited}");
        assert!(session::by_id(store.reader(), a_session(id, 0).id).await.unwrap().is_some());
    }
    let report = whole(&store).await;
    assert_eq!((report.rows, report.first_bad), (2, None));

    // With the server gone for good, nobody can tell, and nobody pretends to.
    *cutter.next.lock().unwrap() = Some(Cut::After);
    std::fs::remove_file(cutter.folder.path().join(".s.PGSQL.5432")).unwrap();
    let answer = store
        .write::<(), StoreError, _>(Instant::now() + Duration::from_millis(700), |tx| {
            tx.audit(draft("who knows"));
            async { Ok(()) }.boxed()
        })
        .await;
    assert_eq!(answer, Err(WriteError::OutcomeUnknown));
    assert!(store.problem().is_some());
}
