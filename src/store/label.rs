//! Labels of sessions, one row each.

use crate::domain::label::Labels;
use crate::domain::session::SessionId;
use crate::store::conn::Conn;
use crate::store::entity::session_label::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::{OnConflict, Query, SelectStatement};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use std::collections::HashMap;

/// Sets labels; one that was there has the new value.
///
/// # Errors
/// The database.
pub async fn set(conn: &Conn, session: SessionId, labels: &Labels) -> Result<(), StoreError> {
    if labels.is_empty() {
        return Ok(());
    }
    let rows = labels.iter().map(|(name, value)| ActiveModel {
        session: Set(session.0),
        name: Set(name.clone()),
        value: Set(value.clone()),
    });
    let again = OnConflict::columns([Column::Session, Column::Name]).update_column(Column::Value).to_owned();
    Entity::insert_many(rows).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// Takes labels away; one that is not there is no error.
///
/// # Errors
/// The database.
pub async fn remove(conn: &Conn, session: SessionId, names: &[String]) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::Session.eq(session.0))
        .filter(Column::Name.is_in(names.iter().map(String::as_str)))
        .exec(conn)
        .await?;
    Ok(())
}

/// The labels of these sessions; those without any are left out.
///
/// # Errors
/// The database.
pub async fn of(conn: &Conn, sessions: &[SessionId]) -> Result<HashMap<SessionId, Labels>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Session.is_in(sessions.iter().map(|session| session.0)))
        .all(conn)
        .await?;
    let mut found: HashMap<SessionId, Labels> = HashMap::new();
    for row in rows {
        found.entry(SessionId(row.session)).or_default().insert(row.name, row.value);
    }
    Ok(found)
}

/// The sessions with this label, for a filter.
pub(super) fn with(name: &str, value: &str) -> SelectStatement {
    Query::select()
        .column(Column::Session)
        .from(Entity)
        .and_where(Column::Name.eq(name))
        .and_where(Column::Value.eq(value))
        .take()
}
