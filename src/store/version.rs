//! How often what daemons keep in memory has changed: whoever changes it counts up in the same transaction, and a daemon
//! whose number is another reads it again.

use crate::store::conn::Conn;
use crate::store::entity::version::{Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

/// People and bans.
const PEOPLE: &str = "people";

/// How often people and bans have changed.
///
/// # Errors
/// The database.
pub async fn of_people(conn: &Conn) -> Result<i64, StoreError> {
    let row = Entity::find_by_id(PEOPLE).one(conn).await?;
    row.map(|row| row.version).ok_or(StoreError::Unreadable("version of people"))
}

/// People or bans are about to change. To be called first: whoever changes them at the same time, also by another daemon,
/// waits here until this transaction has ended, and then sees what it did.
///
/// # Errors
/// The database.
pub async fn people_change(conn: &Conn) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1i64))
        .filter(Column::Name.eq(PEOPLE))
        .exec(conn)
        .await?;
    Ok(())
}
