//! Which agent is told when a session that it started stops: a row from `subscribe` until `stop_notifications`, over
//! every restart. What it is told, and when, is `usecase::children`.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::subscription::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

/// A session whose agent is told of another's stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Whose agent is told.
    pub subscriber: SessionId,
    /// When it was last told that the session waits for a message.
    pub told: Option<Timestamp>,
}

/// The agent of `subscriber` is told of `session` from now on. `false` if it was already.
pub async fn add(
    conn: &Conn,
    session: SessionId,
    subscriber: SessionId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let row = ActiveModel {
        session: Set(session.0),
        subscriber: Set(subscriber.0),
        created: Set(at.micros()),
        told: Set(None),
    };
    let again = OnConflict::column(Column::Session).do_nothing().to_owned();
    let added = Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(added > 0)
}

/// The agent of `subscriber` is told no longer. `false` if it was not told.
pub async fn remove(conn: &Conn, session: SessionId, subscriber: SessionId) -> Result<bool, StoreError> {
    let gone = Entity::delete_many()
        .filter(Column::Session.eq(session.0))
        .filter(Column::Subscriber.eq(subscriber.0))
        .exec(conn)
        .await?;
    Ok(gone.rows_affected > 0)
}

/// Who is told of this session.
pub async fn of(conn: &Conn, session: SessionId) -> Result<Option<Subscription>, StoreError> {
    let row = Entity::find_by_id(session.0).one(conn).await?;
    Ok(row.map(|row| Subscription {
        subscriber: SessionId(row.subscriber),
        told: row.told.map(Timestamp::from_micros),
    }))
}

/// It was told that the session waits for a message.
pub async fn told(conn: &Conn, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::Told, Expr::val(at.micros()))
        .filter(Column::Session.eq(session.0))
        .exec(conn)
        .await?;
    Ok(())
}
