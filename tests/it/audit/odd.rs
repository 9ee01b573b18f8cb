//! Rows that a reader of many at once could take for others: odd texts, values of another kind than their column's, places
//! that are none, tables without a key, holes as wide as pages. Each is judged as if rows were read one by one.

use super::tamper::{COLUMNS, Copies, ROWS, draft, first_bad, log_of, proven, unguarded};
use crate::postgres::{Db, on_both};
use futures_util::FutureExt as _;
use sea_orm::ConnectionTrait as _;
use std::time::Duration;
use teleclaude::store::connect::{Engine, Store, open_read_only};
use teleclaude::store::error::StoreError;
use teleclaude::store::verify::{Evidence, prove};
use tokio::time::Instant;

/// More rows than are read at a time, three times over.
const MANY: i64 = 3_500;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn many(store: &Store, rows: i64, reason: impl Fn(i64) -> String) {
    for from in (0..rows).step_by(500) {
        let drafts: Vec<_> =
            (from..(from + 500).min(rows)).map(|n| draft(n).because(Some(&reason(n)))).collect();
        let unit = store.write::<(), StoreError, _>(soon(), move |tx| {
            drafts.iter().for_each(|draft| tx.audit(draft.clone()));
            async { Ok(()) }.boxed()
        });
        unit.await.unwrap();
    }
}

/// What is said of the first bad row, if there is one.
async fn found(db: &Db) -> Option<(i64, String)> {
    proven(db, &Evidence::default()).await.first_bad
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_every_kind_are_what_they_are() {
    on_both(async |db| {
        let store = db.open().await;
        let mut texts: Vec<String> = [
            "",
            "\n",
            "a\nb\r\n",
            "\"",
            "\\",
            "\\u0000",
            "\u{1}\u{1f}\u{7f}\u{80}",
            "null",
            "[1,2]",
            "\u{2028}",
            "\u{fffd}",
            "\u{10ffff}",
            "ä\u{308}",
            "🙂",
            "'; DROP TABLE audit_log; --",
            "\u{feff}x",
            "1e5",
            " ",
        ]
        .map(str::to_owned)
        .into();
        texts.push("long ".repeat(200_000));
        texts.push("\u{1}".repeat(100_000));
        if let Engine::Sqlite { .. } = db.engine {
            texts.extend(["\0", "a\0b", "\0\0\0"].map(str::to_owned));
        }
        let count = texts.len() as u64;
        for text in texts {
            let mut row = draft(1).because(Some(&text));
            row.detail = Some(text.clone());
            // What is indexed has its limits.
            if text.len() < 100 {
                row.actor.clone_from(&text);
                row.target = Some((text.clone(), text));
            }
            store.append(soon(), row).await.unwrap();
        }
        let report = proven(&db, &Evidence::default()).await;
        assert_eq!((first_bad(&report), report.rows), (None, count), "{report:?}");
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_not_what_their_column_says_are_found_where_they_are() {
    let db = Db::sqlite();
    log_of(&db).await;
    let copies = Copies::of(&db).await;
    let set = |what: &str| format!("UPDATE audit_log SET {what} WHERE seq = 5");
    let added = |seq: &str| {
        let columns = COLUMNS.replacen("seq", seq, 1);
        format!("INSERT INTO audit_log ({COLUMNS}) SELECT {columns} FROM audit_log WHERE seq = 5")
    };
    let keyless = |columns: &str| {
        format!(
            "CREATE TABLE other ({columns}); INSERT INTO other SELECT {COLUMNS} FROM audit_log; \
             DROP TABLE audit_log; ALTER TABLE other RENAME TO audit_log; "
        )
    };
    let untyped = keyless(COLUMNS);
    let no_case = keyless(&COLUMNS.replacen("computer", "computer COLLATE NOCASE", 1));
    let (content, unreadable, number) =
        ("its content does not match", "it cannot be read", "no whole number");
    for (what, seq, words) in [
        // Text of another kind, though its bytes may be the same.
        (set("reason = CAST(reason AS BLOB)"), 5, unreadable),
        (set("actor = CAST(actor AS BLOB)"), 5, unreadable),
        (set("detail = x''"), 5, unreadable),
        // JSON in its binary form: null, the number 7, and texts.
        (set("detail = x'00'"), 5, unreadable),
        (set("owner = x'00'"), 5, unreadable),
        (set("actor_uid = x'1337'"), 5, unreadable),
        (set("reason = CAST(x'97' || reason AS BLOB)"), 5, unreadable),
        (set("actor = x'676461656d6f6e'"), 5, unreadable),
        (set("via = x'686461656d6f6e'"), 5, unreadable),
        (set("reason = CAST(x'ff41' AS TEXT)"), 5, unreadable),
        (set("reason = CAST(x'eda080' AS TEXT)"), 5, unreadable),
        (set("reason = reason || char(0)"), 5, content),
        (set("reason = char(0) || reason"), 5, content),
        (set("reason = reason || char(10)"), 5, content),
        (set("reason = ''"), 5, content),
        (set("reason = NULL"), 5, content),
        (set("detail = ''"), 5, content),
        (set("detail = 'null'"), 5, content),
        (set("owner = session, session = 'x'"), 5, content),
        (set("reason = hex(zeroblob(2000000))"), 5, content),
        (set("reason = CAST(zeroblob(2000000) AS TEXT)"), 5, content),
        (set("target_kind = 'x'"), 5, "half a target"),
        (set("actor_role = 'boss'"), 5, "actor_role"),
        (set("outcome = 'Success'"), 5, "outcome"),
        // Numbers of another kind, or too large.
        (set("actor_uid = 4294967296"), 5, "actor_uid"),
        (set("actor_uid = -1"), 5, "actor_uid"),
        (set("actor_uid = 7.5"), 5, unreadable),
        (set("actor_uid = 1e300"), 5, unreadable),
        (set("actor_uid = 'seven'"), 5, unreadable),
        (set("at = x'00'"), 5, unreadable),
        (set("at = 'noon'"), 5, unreadable),
        (set("at = 9223372036854775807"), 5, content),
        (set("at = -9223372036854775808"), 5, content),
        (set("hash = zeroblob(31)"), 5, "hash"),
        (set("hash = zeroblob(32)"), 5, content),
        (set("hash = x''"), 5, "hash"),
        (set("prev_hash = hex(prev_hash)"), 5, "hash"),
        (set("prev_hash = zeroblob(33)"), 5, "hash"),
        (set("prev_hash = 7"), 5, unreadable),
        // Places that are none.
        (set("seq = 5.5"), 5, number),
        (set("seq = 'five'"), 6, "rows 5 to 5 are missing"),
        (set("seq = x'05'"), 6, "rows 5 to 5 are missing"),
        (set("seq = 9223372036854775807"), 6, "rows 5 to 5 are missing"),
        (set("seq = -3"), -3, "begin with 1"),
        (added("5.5"), 6, number),
        (added("0.5"), ROWS + 1, number),
        (added("12.5"), ROWS + 1, number),
        (added("1e300"), ROWS + 1, number),
        (added("'five'"), ROWS + 1, number),
        (added("x'05'"), ROWS + 1, number),
        (added("9223372036854775807"), i64::MAX, "are missing"),
        ("UPDATE audit_log SET seq = 'n' || seq".to_owned(), 1, number),
        // Tables without a key, and without kinds.
        (format!("{no_case}{}", set("computer = 'HERE'")), 5, content),
        (format!("{untyped}{}", added("5")), 5, "row 5 is there twice"),
        (format!("{untyped}{}", set("seq = '5'")), 6, "rows 5 to 5 are missing"),
        (format!("{untyped}{}", added("'5'")), ROWS + 1, number),
        (format!("{untyped}{}", added("NULL")), ROWS + 1, number),
        (format!("{untyped}{}", set("actor_uid = '7'")), 5, unreadable),
        (format!("{untyped}{}", set("actor_uid = 7.0")), 5, unreadable),
        (format!("{untyped}{}", set("actor = 7")), 5, unreadable),
        (format!("{untyped}{}", set("actor = NULL")), 5, unreadable),
        (format!("{untyped}{}", set("hash = 'x'")), 5, "hash"),
    ] {
        // Alone, and with a later row of its page that makes it be read row by row.
        for also in [false, true] {
            copies.again().await;
            let raw = unguarded(&db).await;
            raw.execute_unprepared("PRAGMA ignore_check_constraints = ON").await.unwrap();
            raw.execute_unprepared(&what).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            if also {
                let later = "UPDATE audit_log SET detail = x'00' WHERE seq = 11";
                raw.execute_unprepared(later).await.unwrap();
            }
            raw.close().await.unwrap();
            let bad = found(&db).await;
            let (at, problem) = bad.unwrap_or_else(|| panic!("{what}: nothing was found"));
            // What stands behind the later row is not looked at any more.
            let expected = if !also || seq <= 11 { (seq, words) } else { (11, unreadable) };
            assert!(
                (at, problem.contains(expected.1)) == (expected.0, true),
                "{what} (and later: {also}): {at} {problem}"
            );
        }
    }
    // What is nobody's business: a column more, and a table without a key whose rows are all there.
    for what in ["ALTER TABLE audit_log ADD COLUMN more".to_owned(), untyped, no_case] {
        copies.again().await;
        let raw = unguarded(&db).await;
        raw.execute_unprepared(&what).await.unwrap();
        raw.close().await.unwrap();
        assert_eq!(found(&db).await, None, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_many_pages_are_all_looked_at() {
    on_both(async |db| {
        let store = db.open().await;
        many(&store, MANY, |n| format!("row {n}")).await;
        store.close().await;
        let whole = proven(&db, &Evidence::default()).await;
        assert_eq!((first_bad(&whole), whole.rows), (None, MANY.unsigned_abs()), "{whole:?}");
        for (what, seq, words) in [
            // Kept in such an order that what is done stays beside what was done before.
            ("UPDATE audit_log SET reason = 'x' WHERE seq = 3500".to_owned(), 3_500, "content"),
            ("UPDATE audit_log SET reason = 'x' WHERE seq = 2001".to_owned(), 2_001, "content"),
            ("DELETE FROM audit_log WHERE seq BETWEEN 1000 AND 2000".to_owned(), 2_001, "rows 1000 to 2000"),
            ("DELETE FROM audit_log WHERE seq BETWEEN 2001 AND 3200".to_owned(), 3_201, "rows 1000 to 3200"),
            ("UPDATE audit_log SET reason = 'x' WHERE seq = 999".to_owned(), 999, "content"),
            ("DELETE FROM audit_log WHERE seq > 1".to_owned(), 0, ""),
        ] {
            let raw = unguarded_once(&db).await;
            raw.execute_unprepared(&what).await.unwrap();
            raw.close().await.unwrap();
            match found(&db).await {
                Some((at, problem)) => {
                    assert!(at == seq && problem.contains(words), "{what}: {at} {problem}");
                }
                None => assert_eq!(seq, 0, "{what}"),
            }
        }
    })
    .await;
}

/// The same whether its guards are gone already or not.
async fn unguarded_once(db: &Db) -> sea_orm::DatabaseConnection {
    let raw = super::tamper::unguarded_again(db).await;
    let sql = match db.engine {
        Engine::Sqlite { .. } => {
            "DROP TRIGGER IF EXISTS audit_log_no_update; DROP TRIGGER IF EXISTS audit_log_no_delete"
        }
        Engine::Postgres { .. } => "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    };
    raw.execute_unprepared(sql).await.unwrap();
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_no_chain_is_found_when_all_are_asked_for() {
    let db = Db::sqlite();
    log_of(&db).await;
    let copies = Copies::of(&db).await;
    let columns = COLUMNS.replacen("computer", "x'ff'", 1);
    for (what, gap) in [
        ("UPDATE audit_log SET computer = CAST(computer AS BLOB) WHERE seq = 5".to_owned(), true),
        ("UPDATE audit_log SET computer = x'' WHERE seq = 5".to_owned(), true),
        (format!("INSERT INTO audit_log ({COLUMNS}) SELECT {columns} FROM audit_log WHERE seq = 5"), false),
    ] {
        copies.again().await;
        let raw = unguarded(&db).await;
        raw.execute_unprepared(&what).await.unwrap();
        raw.close().await.unwrap();
        let conn = open_read_only(db.engine.clone()).await.unwrap();
        let reports = prove(&conn, None, &Evidence::default(), |_| {}).await.unwrap();
        conn.close().await;
        let bad: Vec<_> = reports.iter().map(|report| report.first_bad.clone()).collect();
        let [of_here, Some((5, stray))] = bad.as_slice() else { panic!("{what}: {reports:?}") };
        assert!(stray.contains("no text"), "{what}: {stray}");
        assert_eq!(of_here.as_ref().map(|(at, _)| *at), gap.then_some(6), "{what}: {of_here:?}");
    }
}
