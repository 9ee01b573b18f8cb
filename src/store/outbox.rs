//! Effects to be done after their transaction committed: start, send, end. Written in the transaction, done by a
//! worker, who deduplicates by id.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::outbox::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// An effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The key, a UUIDv7: the doer deduplicates by it.
    pub id: Uuid,
    /// The computer whose daemon does it.
    pub computer: String,
    /// What: `start`, `send`, `end`.
    pub kind: String,
    /// To which session.
    pub session: SessionId,
    /// What the doer needs, as JSON text without secrets.
    pub payload: String,
    /// When it was asked for.
    pub created: Timestamp,
}

/// Writes an effect down; twice with one id is once.
pub async fn insert(conn: &Conn, effect: &Effect) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: Set(effect.id),
        computer: Set(effect.computer.clone()),
        kind: Set(effect.kind.clone()),
        session: Set(effect.session.0),
        payload: Set(crate::store::clean(effect.payload.clone())),
        created: Set(effect.created.micros()),
        done: Set(None),
    };
    let again = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// What `computer` has still to do, oldest first, at most `limit`.
pub async fn pending(conn: &Conn, computer: &str, limit: u64) -> Result<Vec<Effect>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Done.is_null())
        .order_by_asc(Column::Created)
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(effect).collect())
}

/// A session's effect of this kind that is still to be done: the oldest.
pub async fn pending_of(
    conn: &Conn,
    computer: &str,
    session: SessionId,
    kind: &str,
) -> Result<Option<Effect>, StoreError> {
    let row = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Session.eq(session.0))
        .filter(Column::Kind.eq(kind))
        .filter(Column::Done.is_null())
        .order_by_asc(Column::Created)
        .order_by_asc(Column::Id)
        .one(conn)
        .await?;
    Ok(row.map(effect))
}

/// Another daemon, or another try, finds it with this payload.
pub async fn set_payload(conn: &Conn, id: Uuid, payload: &str) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::Payload, Expr::val(crate::store::clean(payload.to_owned())))
        .filter(Column::Id.eq(id))
        .exec(conn)
        .await?;
    Ok(())
}

/// It has been done. `false` if it had been, or is not there.
pub async fn mark_done(conn: &Conn, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
    let done = Entity::update_many()
        .col_expr(Column::Done, Expr::val(at.micros()))
        .filter(Column::Id.eq(id))
        .filter(Column::Done.is_null())
        .exec(conn)
        .await?;
    Ok(done.rows_affected > 0)
}

fn effect(row: Model) -> Effect {
    Effect {
        id: row.id,
        computer: row.computer,
        kind: row.kind,
        session: SessionId(row.session),
        payload: row.payload,
        created: Timestamp::from_micros(row.created),
    }
}
