//! Which encryption keys this machine has had, by id. The keys themselves are never in the database.

use crate::domain::credential::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::credential;
use crate::store::entity::encryption_key::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

/// A key that there is or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is called.
    pub id: KeyId,
    /// Since when it is known.
    pub created: Timestamp,
    /// When nothing was encrypted with it any longer.
    pub retired: Option<Timestamp>,
}

/// All of them, oldest first. There is one a rotation.
pub async fn all(conn: &Conn, computer: &str) -> Result<Vec<Known>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .order_by_asc(Column::Created)
        .order_by_asc(Column::Id)
        .all(conn)
        .await?;
    let known = rows.into_iter().map(|row| Known {
        id: KeyId(row.id),
        created: Timestamp::from_micros(row.created),
        retired: row.retired.map(Timestamp::from_micros),
    });
    Ok(known.collect())
}

/// Writes down that a key is in use; whether that is news. One that had been retired no longer is.
pub async fn begin(conn: &Conn, computer: &str, id: &KeyId, at: Timestamp) -> Result<bool, StoreError> {
    let found = Entity::find_by_id((computer.to_owned(), id.0.clone())).one(conn).await?;
    match found {
        Some(row) if row.retired.is_none() => return Ok(false),
        Some(_) => {
            Entity::update_many()
                .col_expr(Column::Retired, Expr::value(None::<i64>))
                .filter(Column::Computer.eq(computer))
                .filter(Column::Id.eq(id.0.as_str()))
                .exec(conn)
                .await?;
        }
        None => {
            let row = ActiveModel {
                computer: Set(computer.to_owned()),
                id: Set(id.0.clone()),
                created: Set(at.micros()),
                retired: Set(None),
            };
            Entity::insert(row).exec_without_returning(conn).await?;
        }
    }
    Ok(true)
}

/// Retires every key but the one in use that no credential names; gives those.
pub async fn retire(
    conn: &Conn,
    computer: &str,
    in_use: &KeyId,
    at: Timestamp,
) -> Result<Vec<KeyId>, StoreError> {
    let mut retired = Vec::new();
    for key in all(conn, computer).await? {
        if key.id == *in_use
            || key.retired.is_some()
            || credential::any_under(conn, computer, &key.id).await?
        {
            continue;
        }
        Entity::update_many()
            .col_expr(Column::Retired, Expr::value(at.micros()))
            .filter(Column::Computer.eq(computer))
            .filter(Column::Id.eq(key.id.0.as_str()))
            .exec(conn)
            .await?;
        retired.push(key.id);
    }
    Ok(retired)
}
