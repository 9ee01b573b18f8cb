//! Whoever gets at the database's files can change them. What they did is found, and the first bad row named: by the
//! chain alone, by the checkpoints beside it, and by those kept elsewhere.

use crate::postgres::{Db, on_both};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use secrecy::ExposeSecret as _;
use std::time::Duration;
use teleclaude::domain::audit::{self, AuditDraft, AuditEntry, AuditOutcome};
use teleclaude::domain::checkpoint::Checkpoint;
use teleclaude::domain::note::SigningKey;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::{Engine, Store, open_read_only};
use teleclaude::store::verify::{ChainReport, Evidence, prove};
use teleclaude::store::{audit as log, checkpoint};
use tokio::time::Instant;

/// Rows of the log that is tampered with.
pub(super) const ROWS: i64 = 12;
/// The rows that are signed in it.
const SIGNED: [i64; 2] = [6, 12];

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed("here", [byte; 32]).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(crate::postgres::NOW + second * 1_000_000)
}

pub(super) fn draft(n: i64) -> AuditDraft {
    // The clock goes back now and then: the order is that of the chain.
    AuditDraft::by_daemon(7, "test.row", AuditOutcome::Success, at(if n % 3 == 0 { -n } else { n }))
        .because(Some("as it was"))
}

/// A log with two checkpoints of it, one of them in its table only; and the notes of both.
pub(super) async fn log_of(db: &Db) -> Vec<String> {
    let store = db.open().await;
    let mut notes = Vec::new();
    for n in 1..=ROWS {
        let deadline = Instant::now() + Duration::from_secs(30);
        store.append(deadline, draft(n)).await.unwrap();
        if SIGNED.contains(&n) {
            notes.push(sign(&store).await);
        }
    }
    store.close().await;
    notes
}

/// Signs the head and keeps the checkpoint.
async fn sign(store: &Store) -> String {
    let (seq, hash) = log::last(store.reader(), "here").await.unwrap().unwrap();
    let point = Checkpoint { origin: "here".to_owned(), seq, hash, at: at(100 + seq) };
    let note = key(1).sign(&point.text());
    let kept = (point, note.clone());
    let deadline = Instant::now() + Duration::from_secs(30);
    store
        .write(deadline, move |tx| {
            let (point, note) = kept.clone();
            Box::pin(async move { checkpoint::insert(tx.conn(), &point, &note).await })
        })
        .await
        .unwrap();
    note
}

/// A connection of somebody who may do anything, with every guard of the log taken away.
pub(super) async fn unguarded(db: &Db) -> DatabaseConnection {
    let (url, sql) = match &db.engine {
        Engine::Sqlite { path, .. } => (
            format!("sqlite://{}", path.display()),
            "DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete; DROP TRIGGER audit_log_chain; \
             DROP TRIGGER audit_checkpoints_no_update; DROP TRIGGER audit_checkpoints_no_delete; \
             DROP INDEX audit_log_prev_hash",
        ),
        Engine::Postgres { url } => (
            url.expose_secret().to_owned(),
            "ALTER TABLE audit_log DISABLE TRIGGER ALL; ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL; \
             DROP INDEX audit_log_prev_hash",
        ),
    };
    let mut o = ConnectOptions::new(url);
    o.max_connections(1).sqlx_logging(false);
    let raw = Database::connect(o).await.unwrap();
    raw.execute_unprepared(sql).await.unwrap();
    raw
}

pub(super) async fn proven(db: &Db, evidence: &Evidence) -> ChainReport {
    let conn = open_read_only(db.engine.clone()).await.unwrap();
    let mut reports = prove(&conn, Some("here"), evidence, |_| {}).await.unwrap();
    conn.close().await;
    reports.pop().unwrap()
}

pub(super) const COLUMNS: &str = "computer, seq, at, actor, actor_uid, actor_role, via, action, outcome, session, owner, \
                       target_kind, target_id, reason, request_id, detail, prev_hash, hash";

/// One way to tamper: what is done, where it first shows by the chain alone (if it does), and where with the
/// checkpoints in the table.
struct Mutation {
    name: &'static str,
    sql: Vec<String>,
    by_chain: Option<i64>,
    by_table: Option<i64>,
}

fn mutations() -> Vec<Mutation> {
    let insert = COLUMNS.replace("seq", "seq + 1");
    vec![
        Mutation {
            name: "edit",
            sql: vec!["UPDATE audit_log SET reason = 'as it was not' WHERE seq = 5".to_owned()],
            by_chain: Some(5),
            by_table: Some(5),
        },
        Mutation {
            name: "insert",
            // Room is made at the end of the chain, and a row of its own put in.
            sql: vec![format!(
                "INSERT INTO audit_log ({COLUMNS}) SELECT {insert} FROM audit_log WHERE seq = {ROWS}"
            )],
            by_chain: Some(ROWS + 1),
            by_table: Some(ROWS + 1),
        },
        Mutation {
            name: "move",
            sql: vec![
                "UPDATE audit_log SET seq = 100 WHERE seq = 8".to_owned(),
                "UPDATE audit_log SET seq = 8 WHERE seq = 9".to_owned(),
                "UPDATE audit_log SET seq = 9 WHERE seq = 100".to_owned(),
            ],
            by_chain: Some(8),
            by_table: Some(8),
        },
        Mutation {
            name: "delete",
            sql: vec!["DELETE FROM audit_log WHERE seq = 3".to_owned()],
            by_chain: Some(4),
            by_table: Some(4),
        },
        Mutation {
            name: "truncate",
            sql: vec!["DELETE FROM audit_log WHERE seq > 10".to_owned()],
            by_chain: None,
            by_table: Some(11),
        },
        Mutation {
            name: "wipe",
            sql: vec!["DELETE FROM audit_log".to_owned()],
            by_chain: None,
            by_table: Some(1),
        },
    ]
}

async fn tampered(db: &Db, mutations: &[&Mutation]) {
    let raw = unguarded(db).await;
    for mutation in mutations {
        for sql in &mutation.sql {
            raw.execute_unprepared(sql).await.unwrap_or_else(|e| panic!("{}: {sql}: {e}", mutation.name));
        }
    }
    raw.close().await.unwrap();
}

/// A database that is a copy of this one.
pub(super) struct Copies<'a> {
    db: &'a Db,
    undo: Option<tempfile::TempDir>,
}

impl<'a> Copies<'a> {
    pub(super) async fn of(db: &'a Db) -> Self {
        let undo = match &db.engine {
            Engine::Sqlite { path, .. } => {
                let folder = tempfile::tempdir().unwrap();
                // All of it in the one file.
                let raw = Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
                raw.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
                raw.close().await.unwrap();
                std::fs::copy(path, folder.path().join("kept.db")).unwrap();
                Some(folder)
            }
            Engine::Postgres { url } => {
                let raw = Database::connect(url.expose_secret()).await.unwrap();
                for table in ["audit_log", "audit_checkpoints"] {
                    raw.execute_unprepared(&format!("CREATE TABLE kept_{table} AS TABLE {table}"))
                        .await
                        .unwrap();
                }
                raw.close().await.unwrap();
                None
            }
        };
        Self { db, undo }
    }

    /// As it was.
    pub(super) async fn again(&self) {
        match &self.db.engine {
            Engine::Sqlite { path, .. } => {
                for more in ["-wal", "-shm"] {
                    let mut name = path.as_os_str().to_owned();
                    name.push(more);
                    let _ = std::fs::remove_file(name);
                }
                std::fs::copy(self.undo.as_ref().unwrap().path().join("kept.db"), path).unwrap();
            }
            Engine::Postgres { url } => {
                let raw = Database::connect(url.expose_secret()).await.unwrap();
                for table in ["audit_log", "audit_checkpoints"] {
                    raw.execute_unprepared(&format!(
                        "ALTER TABLE {table} DISABLE TRIGGER ALL; DELETE FROM {table}; \
                         INSERT INTO {table} SELECT * FROM kept_{table}"
                    ))
                    .await
                    .unwrap();
                }
                raw.execute_unprepared(
                    "CREATE UNIQUE INDEX IF NOT EXISTS audit_log_prev_hash ON audit_log (computer, prev_hash)",
                )
                .await
                .unwrap();
                raw.close().await.unwrap();
            }
        }
    }
}

pub(super) fn first_bad(report: &ChainReport) -> Option<i64> {
    report.first_bad.as_ref().map(|(seq, _)| *seq)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mutation_and_each_pair_of_them_is_named_by_its_first_bad_row() {
    on_both(async |db| {
        let notes = log_of(&db).await;
        let copies = Copies::of(&db).await;
        let nothing = Evidence::default();
        let own = Evidence { keys: vec![key(1).verifier()], notes: Vec::new() };
        let elsewhere = Evidence { keys: vec![key(1).verifier()], notes };
        let whole = proven(&db, &elsewhere).await;
        assert_eq!((first_bad(&whole), whole.rows, whole.checkpoints), (None, 12, 4), "{whole:?}");

        let all = mutations();
        for one in &all {
            copies.again().await;
            tampered(&db, &[one]).await;
            let report = proven(&db, &nothing).await;
            assert_eq!(first_bad(&report), one.by_chain, "{} by the chain: {report:?}", one.name);
            let report = proven(&db, &own).await;
            assert_eq!(first_bad(&report), one.by_table, "{} by the table: {report:?}", one.name);
            // The one who cuts the log off would cut the table off too.
            let raw = unguarded_again(&db).await;
            raw.execute_unprepared("DELETE FROM audit_checkpoints").await.unwrap();
            raw.close().await.unwrap();
            let report = proven(&db, &own).await;
            assert_eq!(first_bad(&report), one.by_chain, "{} without the table: {report:?}", one.name);
            let report = proven(&db, &elsewhere).await;
            assert_eq!(first_bad(&report), one.by_table, "{} from elsewhere: {report:?}", one.name);
        }
        for one in &all {
            for other in &all {
                if one.name == other.name || "wipe" == one.name {
                    continue;
                }
                copies.again().await;
                tampered(&db, &[one, other]).await;
                let report = proven(&db, &elsewhere).await;
                let (Some(a), Some(b)) = (one.by_table, other.by_table) else { unreachable!() };
                // A row that was put in after one that is not there any more shows as what is missing before it.
                let names = (one.name, other.name);
                let expected = match names {
                    (_, "wipe") => 1,
                    ("truncate", "insert") => 11,
                    ("insert", "truncate") => 11,
                    _ => a.min(b),
                };
                assert_eq!(first_bad(&report), Some(expected), "{names:?}: {report:?}");
            }
        }
    })
    .await;
}

/// The same without taking away again what is gone already.
pub(super) async fn unguarded_again(db: &Db) -> DatabaseConnection {
    let url = match &db.engine {
        Engine::Sqlite { path, .. } => format!("sqlite://{}", path.display()),
        Engine::Postgres { url } => url.expose_secret().to_owned(),
    };
    let mut o = ConnectOptions::new(url);
    o.max_connections(1).sqlx_logging(false);
    Database::connect(o).await.unwrap()
}

/// Changes row `from` and computes the chain anew from there: no link of it is broken.
async fn rewrite(db: &Db, from: i64) {
    let conn = open_read_only(db.engine.clone()).await.unwrap();
    let rows = log::chain_page(&conn, "here", from - 1, i64::MAX, 100).await.unwrap();
    conn.close().await;
    let raw = unguarded(db).await;
    let mut prev = rows[0].prev_hash;
    for AuditEntry { seq, mut draft, .. } in rows {
        draft.reason = Some("as it never was".to_owned());
        let hash = audit::hash("here", seq, &draft, &prev);
        let bytes = |hash: &[u8; 32]| {
            let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
            match db.engine {
                Engine::Sqlite { .. } => format!("x'{hex}'"),
                Engine::Postgres { .. } => format!("decode('{hex}', 'hex')"),
            }
        };
        raw.execute_unprepared(&format!(
            "UPDATE audit_log SET reason = 'as it never was', prev_hash = {}, hash = {} WHERE seq = {seq}",
            bytes(&prev),
            bytes(&hash)
        ))
        .await
        .unwrap();
        prev = hash;
    }
    raw.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_was_computed_anew_does_not_fit_its_checkpoints() {
    on_both(async |db| {
        log_of(&db).await;
        rewrite(&db, 8).await;
        assert_eq!(
            first_bad(&proven(&db, &Evidence::default()).await),
            None,
            "the chain alone knows nothing"
        );
        let own = Evidence { keys: vec![key(1).verifier()], notes: Vec::new() };
        let report = proven(&db, &own).await;
        let (seq, problem) = report.first_bad.unwrap();
        assert_eq!(seq, 12);
        assert!(problem.contains("one of the rows 7 to 12"), "{problem}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_by_another_key_prove_nothing_and_changed_ones_are_found() {
    on_both(async |db| {
        let notes = log_of(&db).await;
        let other = Evidence { keys: vec![key(2).verifier()], notes: Vec::new() };
        let report = proven(&db, &other).await;
        assert_eq!((report.checkpoints, report.unknown, first_bad(&report)), (0, 2, None), "{report:?}");

        // A note by a stranger about rows that never were says nothing either.
        let point = Checkpoint { origin: "here".to_owned(), seq: 99, hash: [9; 32], at: at(0) };
        let forged = Evidence { keys: vec![key(1).verifier()], notes: vec![key(2).sign(&point.text())] };
        let report = proven(&db, &forged).await;
        assert_eq!((report.checkpoints, report.unknown, first_bad(&report)), (2, 1, None), "{report:?}");

        let raw = unguarded(&db).await;
        let changed = notes[0].replacen("\n6\n", "\n5\n", 1);
        assert_ne!(changed, notes[0]);
        raw.execute_unprepared(&format!("UPDATE audit_checkpoints SET note = '{changed}' WHERE seq = 6"))
            .await
            .unwrap();
        raw.close().await.unwrap();
        let own = Evidence { keys: vec![key(1).verifier()], notes: Vec::new() };
        let (seq, problem) = proven(&db, &own).await.first_bad.unwrap();
        assert_eq!(seq, 6);
        assert!(problem.contains("checkpoint"), "{problem}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_only_ever_added() {
    on_both(async |db| {
        log_of(&db).await;
        let raw = unguarded_again(&db).await;
        let mut refused = vec![
            "UPDATE audit_checkpoints SET note = 'x'",
            "DELETE FROM audit_checkpoints WHERE seq = 6",
            "DELETE FROM audit_checkpoints",
        ];
        refused.push(match db.engine {
            Engine::Sqlite { .. } => "REPLACE INTO audit_checkpoints SELECT * FROM audit_checkpoints",
            Engine::Postgres { .. } => "TRUNCATE audit_checkpoints",
        });
        for sql in refused {
            let error = raw.execute_unprepared(sql).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
        raw.close().await.unwrap();
    })
    .await;
}
