//! What happened in a session, a row each: for people to look back, never for deciding.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::activity::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key, a UUIDv7.
    pub id: Uuid,
    /// In which session.
    pub session: SessionId,
    /// When.
    pub at: Timestamp,
    /// What, such as `busy`.
    pub kind: String,
    /// More, as JSON text.
    pub detail: Option<String>,
}

/// Writes an event down; twice with one id is once.
pub async fn insert(conn: &Conn, event: &Event) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: Set(event.id),
        session: Set(event.session.0),
        at: Set(event.at.micros()),
        kind: Set(event.kind.clone()),
        detail: Set(event.detail.clone().map(crate::store::clean)),
    };
    let again = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// A page of a session's events, newest first. `before` is the last row of the page before.
pub async fn page(
    conn: &Conn,
    session: SessionId,
    before: Option<(Timestamp, Uuid)>,
    limit: u64,
) -> Result<Vec<Event>, StoreError> {
    let mut query = Entity::find().filter(Column::Session.eq(session.0));
    if let Some((at, id)) = before {
        query = query.filter(
            Expr::tuple([Expr::col(Column::At), Expr::col(Column::Id)])
                .lt(Expr::tuple([Expr::val(at.micros()), Expr::val(id)])),
        );
    }
    let rows = query.order_by_desc(Column::At).order_by_desc(Column::Id).limit(limit).all(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| Event {
            id: row.id,
            session: SessionId(row.session),
            at: Timestamp::from_micros(row.at),
            kind: row.kind,
            detail: row.detail,
        })
        .collect())
}
