//! What admins change of people: rows of `people`, and of what is a person's own when two become one.

use crate::domain::caller::Role;
use crate::domain::people::Known;
use crate::domain::people_change::Bulk;
use crate::domain::person::{Person, PersonId, PersonStatus, fold};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::{inbox, person, session};
use crate::store::error::StoreError;
use crate::store::person::{KNOWN, Row, known, person_of};
use sea_orm::sea_query::{Condition, Expr, ExprTrait};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

/// Names of the config that one statement asks for.
const NAMES: usize = 500;

/// Writes a person down as they are now; one who is not there yet is made. When they were seen is not touched.
///
/// # Errors
/// The database.
pub async fn put(conn: &Conn, one: &Person) -> Result<(), StoreError> {
    let clean = |text: &Option<String>| text.clone().map(crate::store::clean);
    let folded = |text: &Option<String>| text.as_deref().map(fold);
    let name = (!one.visitor).then(|| crate::store::clean(one.name.clone()));
    let is_there = person::Entity::find_by_id(one.id.0).one(conn).await?.is_some();
    let row = person::ActiveModel {
        id: Set(one.id.0),
        name_folded: Set(folded(&name)),
        name: Set(name),
        os_username: Set(clean(&one.os_username)),
        os_username_folded: Set(folded(&one.os_username)),
        uid: Set(one.uid.map(i64::from)),
        role: Set(one.role.map(|role| role.name().to_owned())),
        group_role: Set(one.group_role.map(|role| role.name().to_owned())),
        status: Set(one.status.name().to_owned()),
        first_seen: if is_there { NotSet } else { Set(one.first_seen.micros()) },
        last_seen: if is_there { NotSet } else { Set(one.last_seen.micros()) },
        full_name: Set(clean(&one.full_name)),
        full_name_folded: Set(folded(&one.full_name)),
        email: Set(clean(&one.email)),
        email_folded: Set(folded(&one.email)),
        phone: Set(clean(&one.phone)),
        notes: Set(crate::store::clean(one.notes.clone())),
        warnings: Set(i64::from(one.warnings)),
        created: if is_there { NotSet } else { Set(one.created.micros()) },
        updated: Set(one.updated.micros()),
    };
    if is_there {
        person::Entity::update(row).exec(conn).await?;
    } else {
        person::Entity::insert(row).exec_without_returning(conn).await?;
    }
    Ok(())
}

/// Somebody else with a name who has one of these: the name in any case, the uid, the OS user, or (unless they are
/// deleted) the address in any case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims<'a> {
    /// The name.
    pub name: Option<&'a str>,
    /// The uid.
    pub uid: Option<u32>,
    /// The OS user.
    pub os_username: Option<&'a str>,
    /// The address.
    pub email: Option<&'a str>,
}

/// Whoever but `but` has what is claimed, the first by key.
///
/// # Errors
/// The database.
pub async fn holder(
    conn: &Conn,
    claims: &Claims<'_>,
    but: Option<PersonId>,
) -> Result<Option<Person>, StoreError> {
    use person::Column as C;
    let mut any = Condition::any();
    if let Some(name) = claims.name {
        any = any.add(C::NameFolded.eq(fold(name)));
    }
    if let Some(uid) = claims.uid {
        any = any.add(C::Uid.eq(i64::from(uid)));
    }
    if let Some(user) = claims.os_username {
        any = any.add(C::OsUsername.eq(user));
    }
    if let Some(email) = claims.email {
        let theirs = C::EmailFolded.eq(fold(email)).and(C::Status.ne(PersonStatus::Deleted.name()));
        any = any.add(theirs);
    }
    if any.is_empty() {
        return Ok(None);
    }
    let mut query = person::Entity::find().filter(any).filter(C::Name.is_not_null());
    if let Some(but) = but {
        query = query.filter(C::Id.ne(but.0));
    }
    query.order_by_asc(C::Id).one(conn).await?.map(person_of).transpose()
}

/// The nameless row of this uid.
///
/// # Errors
/// The database.
pub async fn visitor(conn: &Conn, uid: u32) -> Result<Option<Person>, StoreError> {
    use person::Column as C;
    let row = person::Entity::find().filter(C::Uid.eq(i64::from(uid))).filter(C::Name.is_null()).one(conn);
    row.await?.map(person_of).transpose()
}

/// What the mapping of one OS user depends on: the rows of this key, this uid and this OS user.
///
/// # Errors
/// The database.
pub async fn mapping(
    conn: &Conn,
    id: PersonId,
    uid: u32,
    os_username: Option<&str>,
) -> Result<Vec<Known>, StoreError> {
    use person::Column as C;
    let mut any = Condition::any().add(C::Id.eq(id.0)).add(C::Uid.eq(i64::from(uid)));
    if let Some(user) = os_username {
        any = any.add(C::OsUsername.eq(user)).add(C::Name.eq(user));
    }
    known_of(conn, any).await
}

/// Those who were made admins at run time, and those of these names.
///
/// # Errors
/// The database.
pub async fn admins(conn: &Conn, names: &[String]) -> Result<Vec<Known>, StoreError> {
    use person::Column as C;
    let mut found = known_of(conn, Condition::all().add(C::Role.eq(Role::Admin.name()))).await?;
    for some in names.chunks(NAMES) {
        let by_config = known_of(conn, Condition::all().add(C::Name.is_in(some))).await?;
        found.extend(by_config.into_iter().filter(|one| one.role != Some(Role::Admin)));
    }
    Ok(found)
}

async fn known_of(conn: &Conn, which: Condition) -> Result<Vec<Known>, StoreError> {
    let rows: Vec<Row> = person::Entity::find()
        .select_only()
        .columns(KNOWN)
        .filter(person::Column::Name.is_not_null())
        .filter(which)
        .order_by_asc(person::Column::Name)
        .into_tuple()
        .all(conn)
        .await?;
    rows.into_iter().map(known).collect()
}

/// How many sessions name this person as their owner, on any machine.
///
/// # Errors
/// The database.
pub async fn sessions_of(conn: &Conn, id: PersonId) -> Result<u64, StoreError> {
    Ok(session::Entity::find().filter(session::Column::Owner.eq(id.0)).count(conn).await?)
}

/// Removes a person's row, their inbox and (by the database itself) their credentials.
///
/// # Errors
/// The database.
pub async fn purge(conn: &Conn, id: PersonId) -> Result<(), StoreError> {
    inbox::Entity::delete_many().filter(inbox::Column::Person.eq(id.0)).exec(conn).await?;
    person::Entity::delete_by_id(id.0).exec(conn).await?;
    Ok(())
}

/// Puts the messages of one person behind those of another, as many as an inbox holds. What is about a session belongs to
/// person and uid together and stays. Gives how many moved.
///
/// # Errors
/// The database.
pub async fn move_inbox(conn: &Conn, from: PersonId, to: PersonId) -> Result<u64, StoreError> {
    use inbox::Column as C;
    let last: Option<Option<i64>> = inbox::Entity::find()
        .select_only()
        .column_as(Expr::col(C::Place).max(), "last")
        .filter(C::Person.eq(to.0))
        .into_tuple()
        .one(conn)
        .await?;
    let last = last.flatten().unwrap_or(0);
    let moved = inbox::Entity::update_many()
        .col_expr(C::Person, Expr::val(to.0))
        .col_expr(C::Place, Expr::col(C::Place).add(last))
        .filter(C::Person.eq(from.0))
        .filter(C::Uid.is_null())
        .exec(conn)
        .await?
        .rows_affected;
    let newest: Option<Option<i64>> = inbox::Entity::find()
        .select_only()
        .column_as(Expr::col(C::Place).max(), "newest")
        .filter(C::Person.eq(to.0))
        .into_tuple()
        .one(conn)
        .await?;
    let newest = newest.flatten().unwrap_or(0);
    inbox::Entity::delete_many()
        .filter(C::Person.eq(to.0))
        .filter(C::Place.lte(newest - crate::store::inbox::KEPT))
        .exec(conn)
        .await?;
    Ok(moved)
}

/// Whom a filter leaves. The config decides the role of its own people, whose names and roles are `config`.
#[derive(Clone, Debug)]
pub struct Many<'a> {
    /// The filter.
    pub bulk: &'a Bulk,
    /// People of the config: name and role.
    pub config: &'a [(String, Role)],
    /// Who is left out: the asker.
    pub but: PersonId,
}

impl Many<'_> {
    fn query(&self) -> Select<person::Entity> {
        use person::Column as C;
        let Self { bulk, config, but } = self;
        let mut query = person::Entity::find()
            .filter(C::Name.is_not_null())
            .filter(C::Id.ne(but.0))
            .filter(C::Status.ne(bulk.to.name()));
        query = match bulk.status {
            Some(status) => query.filter(C::Status.eq(status.name())),
            None => query.filter(C::Status.ne(PersonStatus::Deleted.name())),
        };
        if let Some(before) = bulk.last_seen_before {
            query = query.filter(C::LastSeen.lt(before.micros()));
        }
        if let Some(role) = bulk.role {
            let names = |of: fn(bool) -> bool| {
                config.iter().filter(move |(_, theirs)| of(*theirs == role)).map(|(name, _)| name.as_str())
            };
            // A group of the config decides before what was given at run time does.
            let group = C::GroupRole.eq(role.name());
            let given = C::GroupRole.is_null().and(C::Role.eq(role.name()));
            let not_of_config = Condition::any().add(group).add(given);
            query = query.filter(
                Condition::any()
                    .add(C::Name.is_in(names(|same| same)))
                    .add(Condition::all().add(not_of_config).add(C::Name.is_not_in(names(|_| true)))),
            );
        }
        query
    }
}

/// The first of them, by name.
///
/// # Errors
/// The database.
pub async fn many(conn: &Conn, who: &Many<'_>, limit: u64) -> Result<Vec<(PersonId, String)>, StoreError> {
    let rows: Vec<(Uuid, String)> = who
        .query()
        .select_only()
        .columns([person::Column::Id, person::Column::Name])
        .order_by_asc(person::Column::Name)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|(id, name)| (PersonId(id), name)).collect())
}

/// How many there are.
///
/// # Errors
/// The database.
pub async fn count(conn: &Conn, who: &Many<'_>) -> Result<u64, StoreError> {
    Ok(who.query().count(conn).await?)
}

/// Gives all of these a status.
///
/// # Errors
/// The database.
pub async fn set_statuses(
    conn: &Conn,
    ids: &[PersonId],
    status: PersonStatus,
    at: Timestamp,
) -> Result<(), StoreError> {
    use person::Column as C;
    // Later than whatever was read of them.
    let later = sea_orm::sea_query::CaseStatement::new()
        .case(Expr::col(C::Updated).lt(at.micros()), Expr::val(at.micros()))
        .finally(Expr::col(C::Updated).add(1i64));
    person::Entity::update_many()
        .col_expr(C::Status, Expr::val(status.name()))
        .col_expr(C::Updated, later.into())
        .filter(C::Id.is_in(ids.iter().map(|id| id.0)))
        .exec(conn)
        .await?;
    Ok(())
}

/// Names of these people; of who is gone there is none.
///
/// # Errors
/// The database.
pub async fn names(conn: &Conn, ids: &[PersonId]) -> Result<Vec<(PersonId, String)>, StoreError> {
    let rows =
        person::Entity::find().filter(person::Column::Id.is_in(ids.iter().map(|id| id.0))).all(conn).await?;
    rows.into_iter().map(|row| person_of(row).map(|one| (one.id, one.name))).collect()
}
