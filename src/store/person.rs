//! People: the directory, who was seen, and who is banned. A row without a name is somebody seen but not mapped.

use crate::domain::caller::Role;
use crate::domain::people::Known;
use crate::domain::person::{BanSource, Person, PersonId, PersonStatus, fold};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::{ban, person};
use crate::store::error::StoreError;
use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
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
    let row = match (of_name, of_uid) {
        (Some(named), Some(other)) if named.id != other.id => {
            // The uid has moved to another person; nobody else keeps it.
            without_uid(conn, other.id, seen.at).await?;
            Some(named)
        }
        (Some(named), _) => Some(named),
        // Seen before it had a name, or nothing is said of a name: the same row.
        (None, Some(row)) if name.is_none() || row.name.is_none() => Some(row),
        (None, Some(other)) => {
            without_uid(conn, other.id, seen.at).await?;
            None
        }
        (None, None) => None,
    };
    let Some(row) = row else {
        if name.is_none() {
            make_room(conn).await?;
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

/// Visitors who are remembered at most: one OS user may own very many uids.
pub const VISITORS_MAX: u64 = 10_000;

/// A place for one more visitor. Whoever owns an open session keeps theirs.
async fn make_room(conn: &Conn) -> Result<(), StoreError> {
    use crate::store::entity::session::Column as S;
    let visitors = person::Entity::find().filter(person::Column::Name.is_null());
    if visitors.clone().count(conn).await? < VISITORS_MAX {
        return Ok(());
    }
    let open = Query::select()
        .expr(Expr::val(1))
        .from(crate::store::entity::session::Entity)
        .and_where(Expr::col((crate::store::entity::session::Entity, S::Ended)).is_null())
        .and_where(
            Expr::col((crate::store::entity::session::Entity, S::OwnerUid))
                .equals((person::Entity, person::Column::Uid)),
        )
        .take();
    let gone: Option<Uuid> = visitors
        .select_only()
        .column(person::Column::Id)
        .filter(Expr::exists(open).not())
        .order_by_asc(person::Column::LastSeen)
        .order_by_asc(person::Column::Id)
        .limit(1)
        .into_tuple()
        .one(conn)
        .await?;
    if let Some(gone) = gone {
        person::Entity::delete_by_id(gone).exec(conn).await?;
    }
    Ok(())
}

/// Takes the uid from whoever had it.
async fn without_uid(conn: &Conn, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
    person::Entity::update_many()
        .col_expr(person::Column::Uid, Expr::val(None::<i64>))
        .col_expr(person::Column::Updated, Expr::val(at.micros()))
        .filter(person::Column::Id.eq(id))
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

/// Everybody who has a name, by name: what the mapping needs of them.
pub async fn directory(conn: &Conn) -> Result<Vec<Known>, StoreError> {
    use person::Column as C;
    type Row = (Uuid, String, Option<String>, Option<i64>, Option<String>, String);
    let rows: Vec<Row> = person::Entity::find()
        .select_only()
        .columns([C::Id, C::Name, C::OsUsername, C::Uid, C::Role, C::Status])
        .filter(C::Name.is_not_null())
        .order_by_asc(C::Name)
        .into_tuple()
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|(id, name, os_username, uid, role, status)| {
            Ok(Known {
                id: PersonId(id),
                name,
                os_username,
                uid: uid_of(uid)?,
                role: role_of(role)?,
                status: status_of(&status)?,
            })
        })
        .collect()
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
    /// Whether it was an admin or the last warning.
    pub source: BanSource,
    /// How often they were banned over one another: 1, if once.
    pub count: u32,
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
        source: Set(ban.source.name().to_owned()),
        count: Set(i64::from(ban.count)),
        updated: Set(ban.created.micros()),
        by_person: Set(None),
        lifted_by: Set(None),
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
                source: BanSource::parse(&row.source).ok_or(StoreError::Unreadable("ban source"))?,
                count: u32::try_from(row.count).map_err(|_| StoreError::Unreadable("ban count"))?,
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

fn role_of(word: Option<String>) -> Result<Option<Role>, StoreError> {
    word.map(|word| Role::ALL.into_iter().find(|r| r.name() == word).ok_or(StoreError::Unreadable("role")))
        .transpose()
}

fn status_of(word: &str) -> Result<PersonStatus, StoreError> {
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
