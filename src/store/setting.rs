//! Settings by uid and name, such as the personal config layer.

use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::setting::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};

/// The name of the personal config layer, as YAML text.
pub const CONFIG: &str = "config";

/// Keeps a value; an earlier one is gone.
pub async fn put(conn: &Conn, uid: u32, name: &str, value: &str, at: Timestamp) -> Result<(), StoreError> {
    let row = ActiveModel {
        uid: Set(i64::from(uid)),
        name: Set(name.to_owned()),
        value: Set(crate::store::clean(value.to_owned())),
        updated: Set(at.micros()),
    };
    let again = OnConflict::columns([Column::Uid, Column::Name])
        .update_columns([Column::Value, Column::Updated])
        .to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// The kept value and when it was put.
pub async fn get(conn: &Conn, uid: u32, name: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
    let row = Entity::find_by_id((i64::from(uid), name.to_owned())).one(conn).await?;
    Ok(row.map(|row| (row.value, Timestamp::from_micros(row.updated))))
}
