//! People: the directory, who was seen, and who is banned. A row without a name is somebody seen but not mapped.

use crate::domain::caller::Role;
use crate::domain::person::{Person, PersonId, PersonStatus};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::{ban, person};
use crate::store::error::StoreError;
use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

/// The key of the person with this name; a new person gets `fresh`. Doing it again gives the same key.
pub async fn bind(conn: &Conn, name: &str, fresh: PersonId, at: Timestamp) -> Result<PersonId, StoreError> {
    let name = crate::store::clean(name.to_owned());
    let taken = OnConflict::column(person::Column::Name).do_nothing().to_owned();
    person::Entity::insert(new_row(fresh, Some(name.clone()), None, None, at))
        .on_conflict(taken)
        .exec_without_returning(conn)
        .await?;
    let row = named(conn, &name).await?.ok_or(StoreError::Unreadable("person"))?;
    Ok(PersonId(row.id))
}

/// Writes down that `uid` was seen, as this OS user and (if mapped) this person. What is `None` erases nothing, and
/// the first time seen stays. A uid belongs to one person: the last one it was seen as. `fresh` is the key if the
/// row is new; the key in force is returned.
pub async fn upsert_seen(
    conn: &Conn,
    fresh: PersonId,
    uid: u32,
    os_username: Option<&str>,
    name: Option<&str>,
    at: Timestamp,
) -> Result<PersonId, StoreError> {
    let os_username = os_username.map(|n| crate::store::clean(n.to_owned()));
    let name = name.map(|n| crate::store::clean(n.to_owned()));
    let of_uid = uid_row(conn, uid).await?;
    let of_name = match &name {
        Some(name) => named(conn, name).await?,
        None => None,
    };
    let row = match (of_name, of_uid) {
        (Some(named), Some(seen)) if named.id != seen.id => {
            // The uid has moved to another person; nobody else keeps it.
            person::Entity::update_many()
                .col_expr(person::Column::Uid, Expr::val(None::<i64>))
                .filter(person::Column::Id.eq(seen.id))
                .exec(conn)
                .await?;
            Some(named)
        }
        (Some(named), _) => Some(named),
        // Seen before it had a name, or nothing is said of a name: the same row.
        (None, Some(seen)) if name.is_none() || seen.name.is_none() => Some(seen),
        (None, Some(seen)) => {
            person::Entity::update_many()
                .col_expr(person::Column::Uid, Expr::val(None::<i64>))
                .filter(person::Column::Id.eq(seen.id))
                .exec(conn)
                .await?;
            None
        }
        (None, None) => None,
    };
    let Some(row) = row else {
        let again = OnConflict::column(person::Column::Id).do_nothing().to_owned();
        person::Entity::insert(new_row(fresh, name, os_username, Some(uid), at))
            .on_conflict(again)
            .exec_without_returning(conn)
            .await?;
        return Ok(fresh);
    };
    let later = CaseStatement::new()
        .case(Expr::col(person::Column::LastSeen).lt(at.micros()), Expr::val(at.micros()))
        .finally(Expr::col(person::Column::LastSeen));
    let mut update = person::Entity::update_many()
        .col_expr(person::Column::Uid, Expr::val(i64::from(uid)))
        .col_expr(person::Column::LastSeen, later.into());
    if let Some(os_username) = os_username {
        update = update.col_expr(person::Column::OsUsername, Expr::val(os_username));
    }
    if let Some(name) = name {
        update = update.col_expr(person::Column::Name, Expr::val(name));
    }
    update.filter(person::Column::Id.eq(row.id)).exec(conn).await?;
    Ok(PersonId(row.id))
}

/// The person last seen at this uid, mapped or not.
pub async fn by_uid(conn: &Conn, uid: u32) -> Result<Option<Person>, StoreError> {
    uid_row(conn, uid).await?.map(person_of).transpose()
}

/// The mapped person of this name.
pub async fn by_name(conn: &Conn, name: &str) -> Result<Option<Person>, StoreError> {
    named(conn, name).await?.map(person_of).transpose()
}

/// Everybody who is mapped, by name.
pub async fn directory(conn: &Conn) -> Result<Vec<Person>, StoreError> {
    let rows = person::Entity::find()
        .filter(person::Column::Name.is_not_null())
        .order_by_asc(person::Column::Name)
        .all(conn)
        .await?;
    rows.into_iter().map(person_of).collect()
}

/// Switches a person on or off. `false` if there is no such person.
pub async fn set_status(conn: &Conn, id: PersonId, status: PersonStatus) -> Result<bool, StoreError> {
    let done = person::Entity::update_many()
        .col_expr(person::Column::Status, Expr::val(status.name()))
        .filter(person::Column::Id.eq(id.0))
        .exec(conn)
        .await?;
    Ok(done.rows_affected > 0)
}

/// A ban, of a person or of a uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The key.
    pub id: Uuid,
    /// Who, as a person …
    pub person: Option<PersonId>,
    /// … or as a uid. One of the two is there.
    pub uid: Option<u32>,
    /// When it ends by itself; `None` is for good.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Who banned, by name.
    pub by: String,
    /// Since when.
    pub created: Timestamp,
}

/// Writes a ban down; twice with one id is once.
pub async fn ban(conn: &Conn, ban: &Ban) -> Result<(), StoreError> {
    let row = ban::ActiveModel {
        id: Set(ban.id),
        person: Set(ban.person.map(|p| p.0)),
        uid: Set(ban.uid.map(i64::from)),
        until: Set(ban.until.map(Timestamp::micros)),
        reason: Set(ban.reason.clone().map(crate::store::clean)),
        by_name: Set(ban.by.clone()),
        created: Set(ban.created.micros()),
        lifted: Set(None),
    };
    let again = OnConflict::column(ban::Column::Id).do_nothing().to_owned();
    ban::Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// Lifts a ban before its time. `false` if it is not in force.
pub async fn lift_ban(conn: &Conn, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
    let done = ban::Entity::update_many()
        .col_expr(ban::Column::Lifted, Expr::val(at.micros()))
        .filter(ban::Column::Id.eq(id))
        .filter(ban::Column::Lifted.is_null())
        .exec(conn)
        .await?;
    Ok(done.rows_affected > 0)
}

/// The bans in force at `now`, oldest first.
pub async fn active_bans(conn: &Conn, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
    let rows = ban::Entity::find()
        .filter(ban::Column::Lifted.is_null())
        .filter(Condition::any().add(ban::Column::Until.is_null()).add(ban::Column::Until.gt(now.micros())))
        .order_by_asc(ban::Column::Created)
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Ban {
                id: row.id,
                person: row.person.map(PersonId),
                uid: uid_of(row.uid)?,
                until: row.until.map(Timestamp::from_micros),
                reason: row.reason,
                by: row.by_name,
                created: Timestamp::from_micros(row.created),
            })
        })
        .collect()
}

fn new_row(
    id: PersonId,
    name: Option<String>,
    os_username: Option<String>,
    uid: Option<u32>,
    at: Timestamp,
) -> person::ActiveModel {
    person::ActiveModel {
        id: Set(id.0),
        name: Set(name),
        os_username: Set(os_username),
        uid: Set(uid.map(i64::from)),
        role: Set(None),
        status: Set(PersonStatus::Active.name().to_owned()),
        first_seen: Set(at.micros()),
        last_seen: Set(at.micros()),
    }
}

async fn named(conn: &Conn, name: &str) -> Result<Option<person::Model>, StoreError> {
    Ok(person::Entity::find().filter(person::Column::Name.eq(name)).one(conn).await?)
}

async fn uid_row(conn: &Conn, uid: u32) -> Result<Option<person::Model>, StoreError> {
    Ok(person::Entity::find().filter(person::Column::Uid.eq(i64::from(uid))).one(conn).await?)
}

fn uid_of(uid: Option<i64>) -> Result<Option<u32>, StoreError> {
    uid.map(u32::try_from).transpose().map_err(|_| StoreError::Unreadable("uid"))
}

fn person_of(row: person::Model) -> Result<Person, StoreError> {
    let uid = uid_of(row.uid)?;
    let role = match row.role {
        Some(word) => {
            Some(Role::ALL.into_iter().find(|r| r.name() == word).ok_or(StoreError::Unreadable("role"))?)
        }
        None => None,
    };
    let name = row.name.or_else(|| row.os_username.clone());
    Ok(Person {
        id: PersonId(row.id),
        name: name.unwrap_or_else(|| uid.map_or_else(|| "unknown".to_owned(), |uid| format!("uid {uid}"))),
        os_username: row.os_username,
        uid,
        role,
        status: PersonStatus::parse(&row.status).ok_or(StoreError::Unreadable("person status"))?,
        first_seen: Timestamp::from_micros(row.first_seen),
        last_seen: Timestamp::from_micros(row.last_seen),
    })
}
