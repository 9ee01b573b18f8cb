//! On which day people were last told of which task.

use crate::domain::task::TaskId;
use crate::store::conn::Conn;
use crate::store::entity::task_reminder::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::HashSet;
use uuid::Uuid;

/// Those of these tasks of which people were told on this day (`2026-11-21`) or a later one.
///
/// # Errors
/// The database.
pub async fn told(conn: &Conn, tasks: &[TaskId], day: &str) -> Result<HashSet<TaskId>, StoreError> {
    let ids: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Task)
        .filter(Column::Task.is_in(tasks.iter().map(|task| task.0)))
        .filter(Column::Day.gte(day))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Keeps that people were told of these tasks on this day.
///
/// # Errors
/// The database.
pub async fn put(conn: &Conn, tasks: &[TaskId], day: &str) -> Result<(), StoreError> {
    if tasks.is_empty() {
        return Ok(());
    }
    let row = |task: &TaskId| ActiveModel { task: Set(task.0), day: Set(day.to_owned()) };
    let again = OnConflict::column(Column::Task).update_column(Column::Day).to_owned();
    Entity::insert_many(tasks.iter().map(row)).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// Forgets what was told before this day, at most `limit`; how many.
///
/// # Errors
/// The database.
pub async fn forget(conn: &Conn, before: &str, limit: u64) -> Result<u64, StoreError> {
    let old: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Task)
        .filter(Column::Day.lt(before))
        .order_by_asc(Column::Day)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    if old.is_empty() {
        return Ok(0);
    }
    Ok(Entity::delete_many().filter(Column::Task.is_in(old)).exec(conn).await?.rows_affected)
}
