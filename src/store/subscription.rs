//! Which agent is told when a session that it started stops: a row from `subscribe` until `stop_notifications`, over
//! every restart, with what was told last. What it is told, and when, is `usecase::children`.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::session;
use crate::store::entity::subscription::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use crate::store::session::still_open;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// What the name of a state begins with in which nothing more happens by itself.
pub const ENDED: &str = "ended";

/// A session whose agent is told of another's stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Whose agent is told.
    pub subscriber: SessionId,
    /// The state in which the session was when it was last looked at.
    pub seen: Option<String>,
    /// When it was last told that the session waits for a message.
    pub told: Option<Timestamp>,
}

/// The agent of `subscriber` is told of `session` from now on; if it was already, nothing changes.
pub async fn add(
    conn: &Conn,
    session: SessionId,
    subscriber: SessionId,
    at: Timestamp,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        session: Set(session.0),
        subscriber: Set(subscriber.0),
        created: Set(at.micros()),
        seen: Set(None),
        told: Set(None),
    };
    let again = OnConflict::column(Column::Session).do_nothing().to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
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
        seen: row.seen,
        told: row.told.map(Timestamp::from_micros),
    }))
}

/// Sessions of a computer that somebody is told of, but for those whose end was seen or whose subscriber is over; in the
/// order of birth, at most `limit`, of those after `after`.
pub async fn open_on(
    conn: &Conn,
    computer: &str,
    after: Option<SessionId>,
    limit: u64,
) -> Result<Vec<SessionId>, StoreError> {
    let sessions =
        |that: Expr| Query::select().column(session::Column::Id).from(session::Entity).and_where(that).take();
    let here = sessions(Expr::col(session::Column::Computer).eq(computer));
    let mut query = Entity::find()
        .select_only()
        .column(Column::Session)
        .filter(Column::Session.in_subquery(here))
        .filter(Column::Subscriber.in_subquery(sessions(still_open())))
        .filter(Column::Seen.is_null().or(Column::Seen.not_like(format!("{ENDED}%"))));
    if let Some(after) = after {
        query = query.filter(Column::Session.gt(after.0));
    }
    let ids: Vec<Uuid> = query.order_by_asc(Column::Session).limit(limit).into_tuple().all(conn).await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// The session was looked at in this state; `told` if it was told that it waits for a message.
pub async fn seen(
    conn: &Conn,
    session: SessionId,
    state: &str,
    told: Option<Timestamp>,
) -> Result<(), StoreError> {
    let mut update =
        Entity::update_many().col_expr(Column::Seen, Expr::val(state)).filter(Column::Session.eq(session.0));
    if let Some(at) = told {
        update = update.col_expr(Column::Told, Expr::val(at.micros()));
    }
    update.exec(conn).await?;
    Ok(())
}
