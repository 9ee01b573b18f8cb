//! People: the directory, and who was seen. A row without a name is somebody seen but not mapped. What admins change of
//! them is in `people_change`, who is banned in `ban`.

use crate::domain::caller::Role;
use crate::domain::people::Known;
use crate::domain::person::{Person, PersonId, PersonStatus, fold};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::person;
use crate::store::error::StoreError;
use crate::store::visitor;
use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
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

/// Somebody who was here.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Their uid.
    pub uid: u32,
    /// The OS user, if the system has a name for it.
    pub os_username: Option<&'a str>,
    /// The person, if they are mapped.
    pub name: Option<&'a str>,
    /// The role that a group mapping gives them, if it is one that maps them.
    pub group_role: Option<Role>,
    /// When.
    pub at: Timestamp,
}

/// Writes down that a uid was seen, as this OS user and (if mapped) this person. A name that is `None` erases nothing,
/// and the first time seen stays. A uid belongs to one person: the last one it was seen as. `fresh` is the key if the
/// row is new; the key in force is returned. One visitor more than there may be takes the place of the one who has been
/// away longest.
pub async fn upsert_seen(conn: &Conn, fresh: PersonId, seen: &Seen<'_>) -> Result<PersonId, StoreError> {
    let os_username = seen.os_username.map(|n| crate::store::clean(n.to_owned()));
    let name = seen.name.map(|n| crate::store::clean(n.to_owned()));
    let of_uid = uid_row(conn, seen.uid).await?;
    let of_name = match &name {
        Some(name) => named(conn, name).await?,
        None => None,
    };
    if let Some(named) = &of_name
        && named.role.is_some()
        && named.uid.is_some_and(|uid| uid != i64::from(seen.uid))
    {
        // Since they were recognised an admin has given them another account.
        return Ok(PersonId(named.id));
    }
    let row = match (of_name, of_uid) {
        (Some(named), Some(other)) if named.id != other.id => {
            // The uid has moved to another person; nobody else keeps it.
            without_uid(conn, PersonId(other.id), seen.at).await?;
            Some(named)
        }
        (Some(named), _) => Some(named),
        // Seen before it had a name, or nothing is said of a name: the same row.
        (None, Some(row)) if name.is_none() || row.name.is_none() => Some(row),
        (None, Some(other)) => {
            without_uid(conn, PersonId(other.id), seen.at).await?;
            None
        }
        (None, None) => None,
    };
    let Some(row) = row else {
        if name.is_none() {
            visitor::make_room(conn).await?;
        }
        let mut row = new_row(fresh, name, os_username, Some(seen.uid), seen.at);
        row.group_role = Set(seen.group_role.map(|role| role.name().to_owned()));
        let again = OnConflict::column(person::Column::Id).do_nothing().to_owned();
        person::Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
        return Ok(fresh);
    };
    let later = CaseStatement::new()
        .case(Expr::col(person::Column::LastSeen).lt(seen.at.micros()), Expr::val(seen.at.micros()))
        .finally(Expr::col(person::Column::LastSeen));
    let mut update = person::Entity::update_many()
        .col_expr(person::Column::Uid, Expr::val(i64::from(seen.uid)))
        .col_expr(person::Column::GroupRole, Expr::val(seen.group_role.map(Role::name)))
        .col_expr(person::Column::LastSeen, later.into());
    let differs = |new: &Option<String>, old: &Option<String>| new.is_some() && new != old;
    if row.uid != Some(i64::from(seen.uid))
        || differs(&os_username, &row.os_username)
        || differs(&name, &row.name)
    {
        update = update.col_expr(person::Column::Updated, Expr::val(seen.at.micros()));
    }
    if let Some(os_username) = os_username {
        update = update
            .col_expr(person::Column::OsUsernameFolded, Expr::val(fold(&os_username)))
            .col_expr(person::Column::OsUsername, Expr::val(os_username));
    }
    if let Some(name) = name {
        update = update
            .col_expr(person::Column::NameFolded, Expr::val(fold(&name)))
            .col_expr(person::Column::Name, Expr::val(name));
    }
    update.filter(person::Column::Id.eq(row.id)).exec(conn).await?;
    Ok(PersonId(row.id))
}

/// Takes the uid from whoever had it.
pub async fn without_uid(conn: &Conn, id: PersonId, at: Timestamp) -> Result<(), StoreError> {
    person::Entity::update_many()
        .col_expr(person::Column::Uid, Expr::val(None::<i64>))
        .col_expr(person::Column::Updated, Expr::val(at.micros()))
        .filter(person::Column::Id.eq(id.0))
        .exec(conn)
        .await?;
    Ok(())
}

/// The person last seen at this uid, mapped or not.
pub async fn by_uid(conn: &Conn, uid: u32) -> Result<Option<Person>, StoreError> {
    uid_row(conn, uid).await?.map(person_of).transpose()
}

/// The mapped person of this name.
pub async fn by_name(conn: &Conn, name: &str) -> Result<Option<Person>, StoreError> {
    named(conn, name).await?.map(person_of).transpose()
}

/// The person with this key, whatever their status.
pub async fn by_id(conn: &Conn, id: PersonId) -> Result<Option<Person>, StoreError> {
    person::Entity::find_by_id(id.0).one(conn).await?.map(person_of).transpose()
}

/// The same, who stays as they are until this transaction has ended: nobody, not even another daemon that sees them,
/// changes the row meanwhile.
pub async fn by_id_held(conn: &Conn, id: PersonId) -> Result<Option<Person>, StoreError> {
    person::Entity::find_by_id(id.0).lock_exclusive().one(conn).await?.map(person_of).transpose()
}

/// Everybody who has a name, by name: what the mapping needs of them.
pub async fn directory(conn: &Conn) -> Result<Vec<Known>, StoreError> {
    let rows: Vec<Row> = person::Entity::find()
        .select_only()
        .columns(KNOWN)
        .filter(person::Column::Name.is_not_null())
        .order_by_asc(person::Column::Name)
        .into_tuple()
        .all(conn)
        .await?;
    rows.into_iter().map(known).collect()
}

/// The columns of a [`Row`].
pub(super) const KNOWN: [person::Column; 6] = {
    use person::Column as C;
    [C::Id, C::Name, C::OsUsername, C::Uid, C::Role, C::Status]
};
/// What the mapping needs of somebody who has a name.
pub(super) type Row = (Uuid, String, Option<String>, Option<i64>, Option<String>, String);

/// As the mapping has it.
pub(super) fn known((id, name, os_username, uid, role, status): Row) -> Result<Known, StoreError> {
    Ok(Known {
        id: PersonId(id),
        name,
        os_username,
        uid: uid_of(uid)?,
        role: role_of(role)?,
        status: status_of(&status)?,
    })
}

/// Those who were made admins at run time and, if `by_group`, those who were it by an OS group when they were last seen;
/// by name, at most `limit`.
///
/// # Errors
/// The database.
pub async fn admins(conn: &Conn, by_group: bool, limit: u64) -> Result<Vec<Person>, StoreError> {
    let mut any = Condition::any().add(person::Column::Role.eq(Role::Admin.name()));
    if by_group {
        any = any.add(person::Column::GroupRole.eq(Role::Admin.name()));
    }
    let rows = person::Entity::find()
        .filter(person::Column::Name.is_not_null())
        .filter(any)
        .order_by_asc(person::Column::Name)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(person_of).collect()
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
        name_folded: Set(name.as_deref().map(fold)),
        os_username_folded: Set(os_username.as_deref().map(fold)),
        name: Set(name),
        os_username: Set(os_username),
        uid: Set(uid.map(i64::from)),
        role: Set(None),
        status: Set(PersonStatus::Active.name().to_owned()),
        first_seen: Set(at.micros()),
        last_seen: Set(at.micros()),
        full_name: Set(None),
        email: Set(None),
        phone: Set(None),
        notes: Set(String::new()),
        warnings: Set(0),
        created: Set(at.micros()),
        updated: Set(at.micros()),
        group_role: Set(None),
        full_name_folded: Set(None),
        email_folded: Set(None),
    }
}

async fn named(conn: &Conn, name: &str) -> Result<Option<person::Model>, StoreError> {
    Ok(person::Entity::find().filter(person::Column::Name.eq(name)).one(conn).await?)
}

async fn uid_row(conn: &Conn, uid: u32) -> Result<Option<person::Model>, StoreError> {
    Ok(person::Entity::find().filter(person::Column::Uid.eq(i64::from(uid))).one(conn).await?)
}

pub(super) fn uid_of(uid: Option<i64>) -> Result<Option<u32>, StoreError> {
    uid.map(u32::try_from).transpose().map_err(|_| StoreError::Unreadable("uid"))
}

pub(super) fn role_of(word: Option<String>) -> Result<Option<Role>, StoreError> {
    word.map(|word| Role::ALL.into_iter().find(|r| r.name() == word).ok_or(StoreError::Unreadable("role")))
        .transpose()
}

pub(super) fn status_of(word: &str) -> Result<PersonStatus, StoreError> {
    PersonStatus::parse(word).ok_or(StoreError::Unreadable("person status"))
}

pub(super) fn person_of(row: person::Model) -> Result<Person, StoreError> {
    let uid = uid_of(row.uid)?;
    let visitor = row.name.is_none();
    let name = row.name.or_else(|| row.os_username.clone());
    Ok(Person {
        id: PersonId(row.id),
        name: name.unwrap_or_else(|| uid.map_or_else(|| "unknown".to_owned(), |uid| format!("uid {uid}"))),
        visitor,
        os_username: row.os_username,
        uid,
        role: role_of(row.role)?,
        group_role: role_of(row.group_role)?,
        status: status_of(&row.status)?,
        first_seen: Timestamp::from_micros(row.first_seen),
        last_seen: Timestamp::from_micros(row.last_seen),
        full_name: row.full_name,
        email: row.email,
        phone: row.phone,
        notes: row.notes,
        warnings: u32::try_from(row.warnings).map_err(|_| StoreError::Unreadable("warnings"))?,
        created: Timestamp::from_micros(row.created),
        updated: Timestamp::from_micros(row.updated),
    })
}
