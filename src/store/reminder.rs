//! On which day people were last told of which task.

use crate::domain::task::TaskId;
use crate::store::conn::Conn;
use crate::store::entity::task_reminder::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
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

/// Keeps that people are told of these tasks on this day, and gives those of which they were not yet: whoever
/// else keeps the same at the same time, also another daemon, waits for this transaction and gets none of them.
///
/// # Errors
/// The database.
pub async fn claim(conn: &Conn, tasks: &[TaskId], day: &str) -> Result<HashSet<TaskId>, StoreError> {
    if tasks.is_empty() {
        return Ok(HashSet::new());
    }
    // All in one order: two who claim the same wait for each other, and not both.
    let mut ids: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let row = |task: Uuid| ActiveModel { task: Set(task), day: Set(day.to_owned()) };
    let earlier = Expr::col((Entity, Column::Day)).lt(day);
    let again =
        OnConflict::column(Column::Task).update_column(Column::Day).action_and_where(earlier).to_owned();
    let claimed = Entity::insert_many(ids.into_iter().map(row)).on_conflict(again);
    let claimed = claimed.exec_with_returning(conn).await?;
    Ok(claimed.into_iter().map(|row| TaskId(row.task)).collect())
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
