//! Tasks: pages of them for people, and what is due for the daemon's own reminders. What happened to one is
//! `task_event`.

use crate::domain::caller::PersonRef;
use crate::domain::person::PersonId;
use crate::domain::task::{Task, TaskFilter, TaskId, TaskPlace, TaskQuery, TaskStatus, TaskText};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::person;
use crate::store::entity::task::{ActiveModel, Column, Entity, Model};
use crate::store::entity::task_event;
use crate::store::error::StoreError;
use crate::store::session;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, LikeExpr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// What is kept in the place of a deadline where there is none.
const NEVER: i64 = i64::MAX;
/// Ids that are looked at to say which a beginning fits.
const NAMED: u64 = 6;

/// What a beginning of an id was found to mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one.
    One(Box<Task>),
    /// None.
    None,
    /// Several; some of them.
    Ambiguous(Vec<TaskId>),
}

/// Keeps a new task; one that is there stays as it is.
pub async fn insert(conn: &Conn, task: &Task) -> Result<(), StoreError> {
    let again = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row(task)).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// Keeps a changed task. `false` if it is not there any more as it was one version before.
pub async fn update(conn: &Conn, task: &Task) -> Result<bool, StoreError> {
    let done = Entity::update_many()
        .set(row(task))
        .filter(Column::Id.eq(task.id.0))
        .filter(Column::Version.eq(task.version - 1))
        .exec(conn)
        .await?;
    Ok(done.rows_affected > 0)
}

/// Deletes a task; whether it was there. Its trail stays.
pub async fn delete(conn: &Conn, id: TaskId) -> Result<bool, StoreError> {
    Ok(Entity::delete_by_id(id.0).exec(conn).await?.rows_affected > 0)
}

/// The task with this id.
pub async fn by_id(conn: &Conn, id: TaskId) -> Result<Option<Task>, StoreError> {
    Ok(tasks(conn, Entity::find_by_id(id.0).all(conn).await?).await?.pop())
}

/// The task with this id or, unambiguously, this beginning of one (hexadecimal, with or without hyphens), among all or
/// among those that this person was given, or (if `gave`) has given. The caller sees to the beginning being long enough.
pub async fn find(conn: &Conn, name: &str, of: Option<PersonId>, gave: bool) -> Result<Found, StoreError> {
    let Some((first, last)) = session::range(name) else { return Ok(Found::None) };
    let mut query = Entity::find().filter(Column::Id.gte(first)).filter(Column::Id.lte(last));
    if let Some(person) = of {
        let mut any = Condition::any().add(Column::Assignee.eq(person.0));
        if gave {
            any = any.add(Column::Creator.eq(person.0));
        }
        query = query.filter(any);
    }
    let mut rows = query.order_by_asc(Column::Id).limit(NAMED).all(conn).await?;
    if rows.len() > 1 {
        return Ok(Found::Ambiguous(rows.drain(..).map(|row| TaskId(row.id)).collect()));
    }
    Ok(tasks(conn, rows).await?.pop().map_or(Found::None, |task| Found::One(Box::new(task))))
}

/// A page: those due first stand first, undated ones last, then the oldest; with completed ones among them the newest
/// stand first. `now` decides what is overdue, if only that is asked for.
pub async fn page(conn: &Conn, query: &TaskQuery, now: Timestamp) -> Result<Vec<Task>, StoreError> {
    let mut select = Entity::find();
    if let Some(assignee) = query.assignee {
        select = select.filter(Column::Assignee.eq(assignee.0));
    }
    if let Some(creator) = query.creator {
        select = select.filter(Column::Creator.eq(creator.0));
    }
    if query.overdue || !query.status.newest_first() {
        select = open(select);
    }
    if query.overdue {
        select = select.filter(Column::Due.lt(now.micros()));
    }
    let status = match query.status {
        TaskFilter::Pending => Some(TaskStatus::Pending),
        TaskFilter::Accepted => Some(TaskStatus::Accepted),
        TaskFilter::Completed => Some(TaskStatus::Completed),
        TaskFilter::Open | TaskFilter::All => None,
    };
    if let Some(status) = status {
        select = select.filter(Column::Status.eq(status.name()));
    }
    if let Some(text) = &query.text {
        select = select.filter(Expr::col(Column::Folded).like(containing(text)));
    }
    select = match query.after {
        None => select,
        Some(TaskPlace::Newest(id)) => select.filter(Column::Id.lt(id.0)),
        Some(TaskPlace::Due(deadline, id)) => select.filter(
            Expr::tuple([Expr::col(Column::Due), Expr::col(Column::Id)])
                .gt(Expr::tuple([Expr::val(due_of(deadline)), Expr::val(id.0)])),
        ),
    };
    select = if query.status.newest_first() {
        select.order_by_desc(Column::Id)
    } else {
        select.order_by_asc(Column::Due).order_by_asc(Column::Id)
    };
    tasks(conn, select.limit(query.limit).all(conn).await?).await
}

/// What is due, of which reminders are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Open, and its time is over.
    Overdue,
    /// Open, and its time is over within so many hours, but is not yet.
    Within(u32),
}

/// A page of what is due, by assignee, then by deadline: so that each person's stand together. `after` is the last row
/// of the page before; whoever gathers a person's may find them cut by the end of a page.
pub async fn due(
    conn: &Conn,
    which: Due,
    now: Timestamp,
    after: Option<&Task>,
    limit: u64,
) -> Result<Vec<Task>, StoreError> {
    let now = now.micros();
    let mut select = open(Entity::find());
    select = match which {
        Due::Overdue => select.filter(Column::Due.lt(now)),
        Due::Within(hours) => {
            let until = now.saturating_add(i64::from(hours).saturating_mul(3_600_000_000));
            // What has no deadline is never due.
            select.filter(Column::Due.gte(now)).filter(Column::Due.lte(std::cmp::Ord::min(until, NEVER - 1)))
        }
    };
    if let Some(task) = after {
        let place = [Column::Assignee, Column::Due, Column::Id].map(Expr::col);
        let last = [Expr::val(task.assignee.id.0), Expr::val(due_of(task.deadline)), Expr::val(task.id.0)];
        select = select.filter(Expr::tuple(place).gt(Expr::tuple(last)));
    }
    let rows = select
        .order_by_asc(Column::Assignee)
        .order_by_asc(Column::Due)
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    tasks(conn, rows).await
}

/// The newest open task of this person.
pub async fn newest_open(conn: &Conn, assignee: PersonId) -> Result<Option<Task>, StoreError> {
    let rows = open(Entity::find())
        .filter(Column::Assignee.eq(assignee.0))
        .order_by_desc(Column::Id)
        .limit(1)
        .all(conn)
        .await?;
    Ok(tasks(conn, rows).await?.pop())
}

/// Whether this person has `many` open tasks or more: looks at no more than that.
pub async fn has_open(conn: &Conn, assignee: PersonId, many: u64) -> Result<bool, StoreError> {
    let ids: Vec<Uuid> = open(Entity::find())
        .select_only()
        .column(Column::Id)
        .filter(Column::Assignee.eq(assignee.0))
        .limit(many)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(ids.len() as u64 >= many)
}

/// Whether this person was given a task, or gave one, that is still kept.
pub async fn names(conn: &Conn, person: PersonId) -> Result<bool, StoreError> {
    for whose in [Column::Assignee, Column::Creator] {
        let id: Option<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(whose.eq(person.0))
            .limit(1)
            .into_tuple()
            .one(conn)
            .await?;
        if id.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes everything that one person was given or gave another's, and what they did in the trail: for when the two turn
/// out to be one. How often a task was changed by it.
pub async fn hand_over(conn: &Conn, from: PersonId, to: PersonId) -> Result<u64, StoreError> {
    let mut many = 0;
    for whose in [Column::Assignee, Column::Creator] {
        let done = Entity::update_many()
            .col_expr(whose, Expr::val(to.0))
            .col_expr(Column::Version, Expr::col(Column::Version).add(1i64))
            .filter(whose.eq(from.0))
            .exec(conn)
            .await?;
        many += done.rows_affected;
    }
    task_event::Entity::update_many()
        .col_expr(task_event::Column::Actor, Expr::val(to.0))
        .filter(task_event::Column::Actor.eq(from.0))
        .exec(conn)
        .await?;
    Ok(many)
}

fn open(select: Select<Entity>) -> Select<Entity> {
    select.filter(Column::Completed.is_null())
}

fn due_of(deadline: Option<Timestamp>) -> i64 {
    deadline.map_or(NEVER, Timestamp::micros)
}

/// A pattern for what has this text in it, whatever signs it is made of.
fn containing(text: &str) -> LikeExpr {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}

fn row(task: &Task) -> ActiveModel {
    let description = crate::store::clean(task.description.as_str().to_owned());
    ActiveModel {
        id: Set(task.id.0),
        assignee: Set(task.assignee.id.0),
        creator: Set(task.creator.id.0),
        folded: Set(description.to_lowercase()),
        description: Set(description),
        due: Set(due_of(task.deadline)),
        status: Set(task.status.name().to_owned()),
        created: Set(task.created.micros()),
        updated: Set(task.updated.micros()),
        completed: Set(task.completed.map(Timestamp::micros)),
        version: Set(task.version),
    }
}

/// The tasks, with the names that their people have now.
async fn tasks(conn: &Conn, rows: Vec<Model>) -> Result<Vec<Task>, StoreError> {
    let ids: BTreeSet<Uuid> = rows.iter().flat_map(|row| [row.assignee, row.creator]).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let people: Vec<(Uuid, Option<String>)> = person::Entity::find()
        .select_only()
        .column(person::Column::Id)
        .column(person::Column::Name)
        .filter(person::Column::Id.is_in(ids))
        .into_tuple()
        .all(conn)
        .await?;
    let names: HashMap<Uuid, String> =
        people.into_iter().filter_map(|(id, name)| Some((id, name?))).collect();
    rows.into_iter().map(|row| task(row, &names)).collect()
}

fn task(row: Model, names: &HashMap<Uuid, String>) -> Result<Task, StoreError> {
    let person = |id: Uuid| PersonRef {
        id: PersonId(id),
        // Somebody of whom no row is left.
        name: names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
    };
    Ok(Task {
        id: TaskId(row.id),
        assignee: person(row.assignee),
        creator: person(row.creator),
        description: TaskText::from_kept(row.description),
        deadline: (row.due != NEVER).then(|| Timestamp::from_micros(row.due)),
        status: TaskStatus::parse(&row.status).ok_or(StoreError::Unreadable("status of a task"))?,
        created: Timestamp::from_micros(row.created),
        updated: Timestamp::from_micros(row.updated),
        completed: row.completed.map(Timestamp::from_micros),
        version: row.version,
    })
}
