//! Bans: of a person or of a uid, until a moment or for good. At most one of each is in force; what ended or was lifted
//! stays as a row.

use crate::domain::people;
use crate::domain::person::{BanSource, PersonId};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::ban::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Condition, Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

/// Whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A person's, whichever OS user they come as.
    Person(PersonId),
    /// A uid's, whoever that is.
    Uid(u32),
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The key.
    pub id: Uuid,
    /// Whose.
    pub whose: Whose,
    /// When it ends by itself; `None` is for good.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Who banned last, by name …
    pub by: String,
    /// … and by key.
    pub by_person: Option<PersonId>,
    /// Whether it was an admin or the last warning.
    pub source: BanSource,
    /// How often they were banned over one another: 1, if once.
    pub count: u32,
    /// Since when.
    pub created: Timestamp,
    /// When they were banned last.
    pub updated: Timestamp,
    /// When it was lifted, or seen to have ended, and by whom.
    pub lifted: Option<(Timestamp, String)>,
}

impl Ban {
    /// As the people map has it.
    pub fn in_map(self) -> people::Ban {
        let (person, uid) = match self.whose {
            Whose::Person(person) => (Some(person), None),
            Whose::Uid(uid) => (None, Some(uid)),
        };
        people::Ban { person, uid, until: self.until, reason: self.reason }
    }

    /// Whether it is in force.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.lifted.is_none() && self.until.is_none_or(|until| until > now)
    }
}

/// Writes a ban down, or what has become of one that is there.
///
/// # Errors
/// The database.
pub async fn put(conn: &Conn, ban: &Ban) -> Result<(), StoreError> {
    let row = row(ban);
    match Entity::find_by_id(ban.id).one(conn).await? {
        Some(_) => _ = Entity::update(row.reset_all()).exec(conn).await?,
        None => _ = Entity::insert(row).exec_without_returning(conn).await?,
    }
    Ok(())
}

/// Those in force at `now`, oldest first.
///
/// # Errors
/// The database.
pub async fn active(conn: &Conn, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
    let rows = Entity::find().filter(in_force(now)).order_by_asc(Column::Created).all(conn).await?;
    rows.into_iter().map(ban).collect()
}

/// Those in force at `now` of these people and uids.
///
/// # Errors
/// The database.
pub async fn active_of(
    conn: &Conn,
    people: &[PersonId],
    uids: &[u32],
    now: Timestamp,
) -> Result<Vec<Ban>, StoreError> {
    let theirs = Condition::any()
        .add(Column::Person.is_in(people.iter().map(|person| person.0)))
        .add(Column::Uid.is_in(uids.iter().copied().map(i64::from)));
    let rows =
        Entity::find().filter(theirs).filter(in_force(now)).order_by_asc(Column::Created).all(conn).await?;
    rows.into_iter().map(ban).collect()
}

/// Those that have ended by themselves and were not seen to yet, oldest first.
///
/// # Errors
/// The database.
pub async fn over(conn: &Conn, now: Timestamp, limit: u64) -> Result<Vec<Ban>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Lifted.is_null())
        .filter(Column::Until.lte(now.micros()))
        .order_by_asc(Column::Created)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(ban).collect()
}

/// A page, newest first; only those in force at `now`, or all.
///
/// # Errors
/// The database.
pub async fn page(
    conn: &Conn,
    only_active: Option<Timestamp>,
    before: Option<(Timestamp, Uuid)>,
    limit: u64,
) -> Result<Vec<Ban>, StoreError> {
    let mut query = Entity::find();
    if let Some(now) = only_active {
        query = query.filter(in_force(now));
    }
    if let Some((created, id)) = before {
        let here = Expr::tuple([Expr::col(Column::Created), Expr::col(Column::Id)]);
        query = query.filter(here.lt(Expr::tuple([Expr::val(created.micros()), Expr::val(id)])));
    }
    let rows = query.order_by_desc(Column::Created).order_by_desc(Column::Id).limit(limit).all(conn).await?;
    rows.into_iter().map(ban).collect()
}

/// Removes every trace of a person's.
///
/// # Errors
/// The database.
pub async fn purge(conn: &Conn, person: PersonId) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::Person.eq(person.0)).exec(conn).await?;
    Ok(())
}

fn in_force(now: Timestamp) -> Condition {
    let lasts = Condition::any().add(Column::Until.is_null()).add(Column::Until.gt(now.micros()));
    Condition::all().add(Column::Lifted.is_null()).add(lasts)
}

fn row(ban: &Ban) -> ActiveModel {
    let (person, uid) = match ban.whose {
        Whose::Person(person) => (Some(person.0), None),
        Whose::Uid(uid) => (None, Some(i64::from(uid))),
    };
    ActiveModel {
        id: Set(ban.id),
        person: Set(person),
        uid: Set(uid),
        until: Set(ban.until.map(Timestamp::micros)),
        reason: Set(ban.reason.clone().map(crate::store::clean)),
        by_name: Set(ban.by.clone()),
        created: Set(ban.created.micros()),
        lifted: Set(ban.lifted.as_ref().map(|(at, _)| at.micros())),
        source: Set(ban.source.name().to_owned()),
        count: Set(i64::from(ban.count)),
        updated: Set(ban.updated.micros()),
        by_person: Set(ban.by_person.map(|person| person.0)),
        lifted_by: Set(ban.lifted.as_ref().map(|(_, by)| by.clone())),
    }
}

fn ban(row: Model) -> Result<Ban, StoreError> {
    let whose = match (row.person, row.uid) {
        (Some(person), _) => Whose::Person(PersonId(person)),
        (None, Some(uid)) => Whose::Uid(u32::try_from(uid).map_err(|_| StoreError::Unreadable("uid"))?),
        (None, None) => return Err(StoreError::Unreadable("ban")),
    };
    Ok(Ban {
        id: row.id,
        whose,
        until: row.until.map(Timestamp::from_micros),
        reason: row.reason,
        by: row.by_name,
        by_person: row.by_person.map(PersonId),
        source: BanSource::parse(&row.source).ok_or(StoreError::Unreadable("ban source"))?,
        count: u32::try_from(row.count).map_err(|_| StoreError::Unreadable("ban count"))?,
        created: Timestamp::from_micros(row.created),
        updated: Timestamp::from_micros(row.updated),
        lifted: row.lifted.map(|at| (Timestamp::from_micros(at), row.lifted_by.unwrap_or_default())),
    })
}
