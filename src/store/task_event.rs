//! What happened to tasks, a row each: for people to look back, never for deciding. It outlives the task.

use crate::domain::person::PersonId;
use crate::domain::task::{TaskEvent, TaskEventKind, TaskId};
use crate::domain::timestamp::Timestamp;
use crate::store::activity::{Before, Span};
use crate::store::conn::Conn;
use crate::store::entity::person;
use crate::store::entity::task_event::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::hold;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// Whose trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of all tasks.
    All,
    /// This task's.
    Task(TaskId),
    /// What this person did with tasks.
    Actor(PersonId),
    /// What was done with tasks that were this person's then.
    Assignee(PersonId),
}

/// Writes an event down; twice with one id is once.
pub async fn insert(conn: &Conn, event: &TaskEvent) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: Set(event.id),
        task: Set(event.task.0),
        at: Set(event.at.micros()),
        actor: Set(event.actor.map(|person| person.0)),
        actor_name: Set(crate::store::clean(event.actor_name.clone())),
        assignee: Set(event.assignee.0),
        kind: Set(event.kind.name().to_owned()),
        detail: Set(event.detail.clone().map(crate::store::clean)),
    };
    let again = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// A page of a trail, newest first.
pub async fn page(
    conn: &Conn,
    of: Of,
    span: &Span,
    before: Option<Before>,
    limit: u64,
) -> Result<Vec<TaskEvent>, StoreError> {
    let mut query = Entity::find();
    query = match of {
        Of::All => query,
        Of::Task(task) => query.filter(Column::Task.eq(task.0)),
        Of::Actor(person) => query.filter(Column::Actor.eq(person.0)),
        Of::Assignee(person) => query.filter(Column::Assignee.eq(person.0)),
    };
    if let Some(since) = span.since {
        query = query.filter(Column::At.gte(since.micros()));
    }
    if let Some(until) = span.until {
        query = query.filter(Column::At.lte(until.micros()));
    }
    query = match before {
        None => query,
        Some(Before::Moment(at)) => query.filter(Column::At.lt(at.micros())),
        Some(Before::Until(at)) => query.filter(Column::At.lte(at.micros())),
        Some(Before::Row(at, id)) => query.filter(
            Expr::tuple([Expr::col(Column::At), Expr::col(Column::Id)])
                .lt(Expr::tuple([Expr::val(at.micros()), Expr::val(id)])),
        ),
    };
    let rows = query.order_by_desc(Column::At).order_by_desc(Column::Id).limit(limit).all(conn).await?;
    rows.into_iter().map(event).collect()
}

/// Deletes events from before `before`, at most `limit` of them, but for what people on hold did, or were to do. How many
/// there were.
pub async fn delete_old(conn: &Conn, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
    let held = hold::held(conn).await?;
    if held.everything {
        return Ok(0);
    }
    let mut old = Entity::find();
    if !held.people.is_empty() {
        let theirs = Query::select()
            .column(person::Column::Id)
            .from(person::Entity)
            .and_where(person::Column::Name.is_in(held.people.iter().cloned()))
            .take();
        old = old
            .filter(Column::ActorName.is_not_in(held.people))
            .filter(Column::Assignee.not_in_subquery(theirs));
    }
    let ids: Vec<Uuid> = old
        .select_only()
        .column(Column::Id)
        .filter(Column::At.lt(before.micros()))
        .order_by_asc(Column::At)
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(Entity::delete_many().filter(Column::Id.is_in(ids)).exec(conn).await?.rows_affected)
}

fn event(row: Model) -> Result<TaskEvent, StoreError> {
    Ok(TaskEvent {
        id: row.id,
        task: TaskId(row.task),
        at: Timestamp::from_micros(row.at),
        actor: row.actor.map(PersonId),
        actor_name: row.actor_name,
        assignee: PersonId(row.assignee),
        kind: TaskEventKind::parse(&row.kind).ok_or(StoreError::Unreadable("kind of what happened"))?,
        detail: row.detail,
    })
}
