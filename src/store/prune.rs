//! Cutting rows off the front of a chain. First the record of it, signed, is put into the log; then the rows go, a few
//! at a time, each time with the trigger that guards them taken away and put back in the same transaction. Whoever
//! stops in between is followed by somebody who goes on: the record says how far.

use crate::domain::checkpoint::Pruned;
use crate::domain::note::{self, VerifierKey};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::connect::plain;
use crate::store::entity::audit::{Column, Entity};
use crate::store::error::StoreError;
use crate::store::hold;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait as _, QueryFilter, QueryOrder,
    QuerySelect, Statement, TransactionTrait as _,
};
use secrecy::SecretString;

/// The action of the rows that hold the records.
pub const PRUNE: &str = "audit.prune";
/// Rows that the owner of the tables removes at a time: while it does, nobody can write.
const OWNER_BATCH: i64 = 2_000;
/// Records of one chain that are looked at: the newest.
const RECORDS: u64 = 100;

/// What `audit.prune` rows hold.
#[derive(serde::Deserialize)]
struct Detail {
    note: String,
}

/// The last row of the prefix all of whose rows are older than `before`, never the chain's last row; and its hash.
/// The order is that of the chain: a row that a clock set back made old ends nothing by standing behind a younger one.
pub async fn prefix(
    conn: &Conn,
    computer: &str,
    before: Timestamp,
) -> Result<Option<(i64, i64, [u8; 32])>, StoreError> {
    let Some((first, last)) = crate::store::audit::ends(conn, computer).await? else { return Ok(None) };
    // The first row that is young enough to stay.
    let stays: Option<Option<i64>> = Entity::find()
        .select_only()
        .column_as(Expr::col(Column::Seq).min(), "stays")
        .filter(Column::Computer.eq(computer))
        .filter(Column::At.gte(before.micros()))
        .into_tuple()
        .one(conn)
        .await?;
    let end = Ord::min(stays.flatten().unwrap_or(last), last) - 1;
    if end < first {
        return Ok(None);
    }
    let hash = crate::store::audit::hash_at(conn, computer, end).await?;
    hash.map(|hash| Ok((first, end, hash))).transpose()
}

/// How many of the rows `first` to `last` there are.
pub async fn many(conn: &Conn, computer: &str, first: i64, last: i64) -> Result<i64, StoreError> {
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Seq.between(first, last))
        .count(conn)
        .await?;
    Ok(i64::try_from(rows).unwrap_or(i64::MAX))
}

/// The newest records of what was cut off a chain, whoever signed them: note by note.
pub async fn records(conn: &Conn, computer: &str) -> Result<Vec<String>, StoreError> {
    let details: Vec<Option<String>> = Entity::find()
        .select_only()
        .column(Column::Detail)
        .filter(Column::Action.eq(PRUNE))
        .filter(Column::Computer.eq(computer))
        .filter(Column::Outcome.eq("success"))
        // Looking what would go is written down under the same name, and may be done every night.
        .filter(Column::Detail.contains("\"note\":"))
        .order_by_desc(Column::At)
        .order_by_desc(Column::Computer)
        .order_by_desc(Column::Seq)
        .limit(RECORDS)
        .into_tuple()
        .all(conn)
        .await?;
    let note = |detail: Option<String>| {
        serde_json::from_str::<Detail>(detail.as_deref().unwrap_or_default()).ok().map(|detail| detail.note)
    };
    Ok(details.into_iter().filter_map(note).collect())
}

/// Those of them that one of `keys` has signed about this chain.
pub async fn proven(conn: &Conn, computer: &str, keys: &[VerifierKey]) -> Result<Vec<Pruned>, StoreError> {
    let notes = records(conn, computer).await?;
    let cut = |note: &String| Pruned::parse(note::open(note, keys).ok()?);
    Ok(notes.iter().filter_map(cut).filter(|cut| cut.origin == computer).collect())
}

/// Whether this connection may cut: on Postgres only the owner of the table may take its trigger away.
pub async fn allowed(conn: &Conn) -> Result<bool, StoreError> {
    if conn.get_database_backend() == DbBackend::Sqlite {
        return Ok(true);
    }
    let sql = "SELECT pg_has_role(current_user, relowner, 'USAGE') AS may FROM pg_class \
               WHERE oid = 'audit_log'::regclass";
    let row = conn.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(row.is_some_and(|row| row.try_get::<bool>("", "may").unwrap_or(false)))
}

/// Removes at most `most` rows up to `last`, from the front; how many. Inside a transaction that writes. None where one
/// of them is on hold: also a hold that was placed after the record keeps what is still there.
pub async fn cut(conn: &Conn, computer: &str, last: i64, most: i64) -> Result<u64, StoreError> {
    let Some((first, _)) = crate::store::audit::ends(conn, computer).await? else { return Ok(0) };
    if first > last {
        return Ok(0);
    }
    let last = Ord::min(last, first.saturating_add(most - 1));
    if hold::covering(conn, computer, last).await?.is_some() {
        return Ok(0);
    }
    let (open, close) = match conn.get_database_backend() {
        DbBackend::Sqlite => (
            "DROP TRIGGER IF EXISTS audit_log_no_delete",
            "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log \
             BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END",
        ),
        _ => (
            "ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_change",
            "ALTER TABLE audit_log ENABLE TRIGGER audit_log_no_change",
        ),
    };
    conn.execute_unprepared(open).await?;
    let gone = Entity::delete_many()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Seq.lte(last))
        .exec(conn)
        .await?;
    conn.execute_unprepared(close).await?;
    Ok(gone.rows_affected)
}

/// How many rows up to `last` there are still to go.
pub async fn left(conn: &Conn, computer: &str, last: i64) -> Result<i64, StoreError> {
    let ends = crate::store::audit::ends(conn, computer).await?;
    Ok(ends.map_or(0, |(first, _)| Ord::max(last - first + 1, 0)))
}

/// Removes, as the owner of the tables on Postgres, what the records of this chain say is to go, where the daemon's own
/// role may not. `progress` is told after each batch how many rows are gone; how many are left is given in the end.
pub async fn as_owner(
    url: &SecretString,
    computer: &str,
    keys: &[VerifierKey],
    mut progress: impl FnMut(u64),
) -> Result<i64, StoreError> {
    let owner = Conn::pool(plain(url, 1).await?);
    let last = proven(&owner, computer, keys).await?.iter().map(|cut| cut.last).max();
    owner.close().await;
    let Some(last) = last else { return Ok(0) };
    let db = plain(url, 1).await?;
    let mut gone = 0;
    loop {
        let tx = Conn::transaction(db.begin().await?);
        let removed = cut(&tx, computer, last, OWNER_BATCH).await?;
        if let Some(tx) = tx.into_transaction() {
            tx.commit().await?;
        }
        gone += removed;
        progress(gone);
        if removed == 0 {
            let conn = Conn::pool(db);
            let left = left(&conn, computer, last).await?;
            conn.close().await;
            return Ok(left);
        }
    }
}
