//! What is deleted because it is old, or because its session is purged: a bounded number of rows at a time, so that
//! nobody waits for it. What a legal hold covers does not grow old. The audit log is never touched.

use crate::domain::session::{Session, SessionId, SessionStatus};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::session::{Aside, Column, Entity};
use crate::store::error::StoreError;
use crate::store::hold::{self, Held};
use crate::store::session;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
    Value,
};

/// That a session is on no hold.
fn free(held: &Held) -> Condition {
    Condition::all()
        .add(Column::Id.is_not_in(held.sessions.iter().copied()))
        .add(Column::OwnerName.is_not_in(held.people.iter().cloned()))
}

/// Sessions of a computer that are on no hold, ended before `before` and of which a transcript is kept, or what was asked,
/// the first to end first.
///
/// # Errors
/// The database.
pub async fn old_transcripts(
    conn: &Conn,
    computer: &str,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<Session>, StoreError> {
    let held = hold::held(conn).await?;
    if held.everything {
        return Ok(Vec::new());
    }
    let kept = |table: &'static str| {
        let of_it = Expr::col((table, "session")).equals(("sessions", "id"));
        Expr::exists(Query::select().expr(Expr::val(1)).from(table).and_where(of_it).take())
    };
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Ended.lt(before.micros()))
        .filter(free(&held))
        .filter(kept("transcript_entries").or(kept("needs_input")))
        .order_by_asc(Column::Ended)
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(session::session).collect()
}

/// Those of these sessions that are of this computer, on no hold, and ended before `before`.
///
/// # Errors
/// The database.
pub async fn ended_before(
    conn: &Conn,
    computer: &str,
    sessions: &[SessionId],
    before: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let held = hold::held(conn).await?;
    if held.everything {
        return Ok(Vec::new());
    }
    let rows = Entity::find()
        .filter(free(&held))
        .filter(Column::Id.is_in(sessions.iter().map(|session| session.0)))
        .filter(Column::Computer.eq(computer))
        .filter(Column::Ended.lt(before.micros()))
        .all(conn)
        .await?;
    rows.into_iter().map(session::session).collect()
}

/// Deletes entries of a session's transcript, its first, if it ended before `before` and is on no hold: about `limit` of
/// them, with what the index has of them; after the last of them what its agent asked. How many rows there were.
///
/// # Errors
/// The database.
pub async fn delete_entries(
    conn: &Conn,
    session: &Session,
    before: Timestamp,
    limit: u64,
) -> Result<u64, StoreError> {
    if hold::holds_session(conn, &session.id.to_string(), &session.owner_name).await?.is_some() {
        return Ok(0);
    }
    let gone = numbered(conn, "transcript_entries", session.id, before, limit).await?;
    if gone > 0 {
        return Ok(gone);
    }
    let sql = "DELETE FROM needs_input WHERE id IN (SELECT id FROM needs_input WHERE session = $1 LIMIT $2) \
               AND EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND ended < $3)";
    run(conn, sql, vec![session.id.0.into(), count(limit), before.micros().into()]).await
}

/// Deletes some rows of what belongs to a session that is over. How many there were; 0 once nothing is left but the
/// session's own row and what is small.
///
/// # Errors
/// The database.
pub async fn delete_some(conn: &Conn, session: SessionId, limit: u64) -> Result<u64, StoreError> {
    let ever = Timestamp::from_micros(i64::MAX);
    for table in ["transcript_entries", "usage"] {
        let gone = numbered(conn, table, session, ever, limit).await?;
        if gone > 0 {
            return Ok(gone);
        }
    }
    for table in ["activity", "messages", "needs_input"] {
        let sql =
            format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE session = $1 LIMIT $2)");
        let gone = run(conn, &sql, vec![session.0.into(), count(limit)]).await?;
        if gone > 0 {
            return Ok(gone);
        }
    }
    Ok(0)
}

/// The numbers of a session's rows leave no holes, so that so many numbers are so many rows.
async fn numbered(
    conn: &Conn,
    table: &str,
    session: SessionId,
    before: Timestamp,
    limit: u64,
) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM {table} WHERE session = $1 \
         AND seq < (SELECT min(seq) FROM {table} WHERE session = $1) + $2 \
         AND EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND ended < $3)"
    );
    run(conn, &sql, vec![session.0.into(), count(limit), before.micros().into()]).await
}

/// Deletes rows of what happened in sessions of this computer that are on no hold before `before`, the oldest. How many
/// there were.
///
/// # Errors
/// The database.
pub async fn delete_activity(
    conn: &Conn,
    computer: &str,
    before: Timestamp,
    limit: u64,
) -> Result<u64, StoreError> {
    let held = hold::held(conn).await?;
    if held.everything {
        return Ok(0);
    }
    let mut values: Vec<Value> = vec![before.micros().into(), computer.into(), count(limit)];
    let mut free = String::new();
    for (column, held) in [
        ("s.id", held.sessions.into_iter().map(Value::from).collect::<Vec<_>>()),
        ("s.owner_name", held.people.into_iter().map(Value::from).collect()),
    ] {
        for value in held {
            values.push(value);
            free.push_str(&format!(" AND {column} <> ${}", values.len()));
        }
    }
    let sql = format!(
        "DELETE FROM activity WHERE id IN (SELECT a.id FROM activity a JOIN sessions s ON s.id = a.session \
         WHERE a.at < $1 AND s.computer = $2{free} ORDER BY a.at LIMIT $3)"
    );
    run(conn, &sql, values).await
}

/// A session is to be purged from now on: nobody is shown it any more, and its client's id is free again. `false` if
/// it is not over, or is being purged already.
///
/// # Errors
/// The database.
pub async fn begin_purge(conn: &Conn, id: SessionId, at: Timestamp) -> Result<bool, StoreError> {
    let update = Entity::update_many()
        .filter(Column::Id.eq(id.0))
        .filter(Column::Status.eq(SessionStatus::Ended.name()))
        .filter(Expr::col(Aside::Purge).is_null())
        .col_expr(Aside::Purge, Expr::val(at.micros()))
        .col_expr(Column::ClientId, Expr::val(None::<String>));
    Ok(update.exec(conn).await?.rows_affected > 0)
}

/// Deletes a session that is being purged, and what is left of it.
///
/// # Errors
/// The database.
pub async fn delete_session(conn: &Conn, id: SessionId) -> Result<bool, StoreError> {
    let delete =
        Entity::delete_many().filter(Column::Id.eq(id.0)).filter(Expr::col(Aside::Purge).is_not_null());
    Ok(delete.exec(conn).await?.rows_affected > 0)
}

fn count(limit: u64) -> Value {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}

async fn run(conn: &Conn, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    Ok(conn.execute_raw(statement).await?.rows_affected())
}
