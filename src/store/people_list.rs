//! Lists of people and counts of them. The role that counts is the one in force: the config's, else a group's, else the
//! one that an admin gave, else public.

use crate::domain::caller::Role;
use crate::domain::people_query::{PeopleQuery, Roles};
use crate::domain::person::{Person, PersonId, PersonStatus};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::person::{Column, Entity};
use crate::store::entity::session;
use crate::store::error::StoreError;
use crate::store::person::{person_of, role_of, status_of};
use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait, Func, LikeExpr, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// A pattern for texts in which this one stands: nothing in it is a wildcard.
fn within(text: &str) -> LikeExpr {
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

/// The role of somebody whom the config does not name.
fn role_at_run_time(roles: &Roles) -> SimpleExpr {
    let mut by = Vec::new();
    if roles.groups {
        by.push(Expr::col(Column::GroupRole));
    }
    if roles.given {
        by.push(Expr::col(Column::Role));
    }
    let public = Expr::val(Role::Public.name());
    if by.is_empty() {
        // SQLite's coalesce takes two at least.
        by.push(public.clone());
    }
    by.push(public);
    Func::coalesce(by).into()
}

fn with_role(role: Role, roles: &Roles) -> Condition {
    let named = |names: &mut dyn Iterator<Item = &(String, Role)>| -> Vec<String> {
        names.map(|(name, _)| name.clone()).collect()
    };
    let theirs = named(&mut roles.config.iter().filter(|(_, of)| *of == role));
    let all = named(&mut roles.config.iter());
    let elsewhere = Condition::any().add(Column::Name.is_null()).add(Column::Name.is_not_in(all));
    Condition::any()
        .add(Column::Name.is_in(theirs))
        .add(Condition::all().add(elsewhere).add(role_at_run_time(roles).eq(role.name())))
}

/// A page of people: with a text those first in whose name it stands, then the newest first. The second of each is
/// whether it does.
///
/// # Errors
/// The database.
pub async fn page(
    conn: &Conn,
    query: &PeopleQuery,
    roles: &Roles,
) -> Result<Vec<(Person, bool)>, StoreError> {
    use Column as C;
    let mut rows =
        Entity::find().filter(if query.visitors { C::NameFolded.is_null() } else { C::Name.is_not_null() });
    rows = match query.status {
        Some(status) => rows.filter(C::Status.eq(status.name())),
        None => rows.filter(C::Status.ne(PersonStatus::Deleted.name())),
    };
    if let Some(role) = query.role {
        rows = rows.filter(with_role(role, roles));
    }
    let place = [Expr::col(C::Created), Expr::col(C::Id)];
    match &query.text {
        None => {
            if let Some(after) = query.after {
                let there = [Expr::val(after.created.micros()), Expr::val(after.id)];
                rows = rows.filter(Expr::tuple(place).lt(Expr::tuple(there)));
            }
        }
        Some(text) => {
            let like = |column: C| Expr::col(column).like(within(text));
            let named: SimpleExpr =
                CaseStatement::new().case(like(C::NameFolded), Expr::val(1)).finally(Expr::val(0)).into();
            let anywhere = [C::NameFolded, C::OsUsernameFolded, C::FullNameFolded, C::EmailFolded];
            rows = rows.filter(anywhere.into_iter().fold(Condition::any(), |any, c| any.add(like(c))));
            if let Some(after) = query.after {
                let [created, id] = place;
                let there = [
                    Expr::val(i32::from(after.named)),
                    Expr::val(after.created.micros()),
                    Expr::val(after.id),
                ];
                let here = [named.clone(), created, id];
                rows = rows.filter(Expr::tuple(here).lt(Expr::tuple(there)));
            }
            rows = rows.order_by_desc(named);
        }
    }
    let rows = rows.order_by_desc(C::Created).order_by_desc(C::Id).limit(query.limit).all(conn).await?;
    let named = |row: &crate::store::entity::person::Model| {
        let text = query.text.as_deref();
        text.is_some_and(|text| row.name_folded.as_deref().is_some_and(|name| name.contains(text)))
    };
    rows.into_iter()
        .map(|row| {
            let named = named(&row);
            Ok((person_of(row)?, named))
        })
        .collect()
}

/// What is known of somebody's sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// How many are open.
    pub open: i64,
    /// When there last was activity in one.
    pub last: Option<Timestamp>,
}

/// The sessions of these people. Who has none is left out.
///
/// # Errors
/// The database.
pub async fn sessions(conn: &Conn, people: &[PersonId]) -> Result<HashMap<PersonId, Sessions>, StoreError> {
    use session::Column as S;
    let open = CaseStatement::new().case(S::Ended.is_null(), Expr::val(1));
    let rows: Vec<(Uuid, i64, Option<i64>)> = session::Entity::find()
        .select_only()
        .column(S::Owner)
        .column_as(SimpleExpr::from(Func::count(open)), "open")
        .column_as(S::LastActivity.max(), "last")
        .filter(S::Owner.is_in(people.iter().map(|id| id.0)))
        .filter(S::Purge.is_null())
        .group_by(S::Owner)
        .into_tuple()
        .all(conn)
        .await?;
    let of = |(owner, open, last): (Uuid, i64, Option<i64>)| {
        (PersonId(owner), Sessions { open, last: last.map(Timestamp::from_micros) })
    };
    Ok(rows.into_iter().map(of).collect())
}

/// What somebody has done: sessions, messages to them, tasks given to them, and those of the tasks that are open.
///
/// # Errors
/// The database.
pub async fn activity(conn: &Conn, person: PersonId) -> Result<[i64; 4], StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM sessions WHERE owner = $1 AND purge IS NULL) AS sessions, \
               (SELECT COUNT(*) FROM messages WHERE session IN \
               (SELECT id FROM sessions WHERE owner = $1 AND purge IS NULL)) AS messages, \
               (SELECT COUNT(*) FROM tasks WHERE assignee = $1) AS tasks, \
               (SELECT COUNT(*) FROM tasks WHERE assignee = $1 AND completed IS NULL) AS open_tasks";
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, [person.0.into()]);
    let Some(row) = conn.query_one_raw(statement).await? else { return Ok([0; 4]) };
    let count = |name| row.try_get::<i64>("", name);
    Ok([count("sessions")?, count("messages")?, count("tasks")?, count("open_tasks")?])
}

/// How many people there are, of those with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of each status, deleted people too.
    pub by_status: BTreeMap<PersonStatus, i64>,
    /// Of each role that is in force; without deleted people.
    pub by_role: BTreeMap<Role, i64>,
    /// Added at or after each of the moments that were asked for; without deleted people.
    pub since: [i64; 3],
    /// Those without a name.
    pub visitors: i64,
    /// Who was added first, and who last; without deleted people.
    pub oldest: Option<(String, Timestamp)>,
    /// Who was added last.
    pub newest: Option<(String, Timestamp)>,
}

/// Counts everybody, and those who were added since each of three moments.
///
/// # Errors
/// The database.
pub async fn counts(conn: &Conn, roles: &Roles, since: [Timestamp; 3]) -> Result<Counts, StoreError> {
    use Column as C;
    let mut counts = Counts::default();
    let config: Vec<String> = roles.config.iter().map(|(name, _)| name.clone()).collect();
    let role = role_at_run_time(roles);
    let rows: Vec<(String, String, i64)> = Entity::find()
        .select_only()
        .column(C::Status)
        .column_as(role, "role_now")
        .column_as(C::Id.count(), "people")
        .filter(C::Name.is_not_null())
        .filter(C::Name.is_not_in(config.clone()))
        .group_by(C::Status)
        .group_by(Expr::cust("2"))
        .into_tuple()
        .all(conn)
        .await?;
    let mut add = |status: PersonStatus, role: Role, people: i64| {
        *counts.by_status.entry(status).or_default() += people;
        if status != PersonStatus::Deleted {
            *counts.by_role.entry(role).or_default() += people;
        }
    };
    for (status, role, people) in rows {
        let role = role_of(Some(role))?.ok_or(StoreError::Unreadable("role"))?;
        add(status_of(&status)?, role, people);
    }
    let rows: Vec<(String, String)> = Entity::find()
        .select_only()
        .columns([C::Name, C::Status])
        .filter(C::Name.is_in(config))
        .into_tuple()
        .all(conn)
        .await?;
    for (name, status) in rows {
        let role = roles.config.iter().find(|(of, _)| *of == name).map_or(Role::Public, |(_, role)| *role);
        add(status_of(&status)?, role, 1);
    }
    let here = || {
        let here = Entity::find().filter(C::Name.is_not_null());
        here.filter(C::Status.ne(PersonStatus::Deleted.name()))
    };
    let added = |at: Timestamp| -> SimpleExpr {
        Func::count(CaseStatement::new().case(C::Created.gte(at.micros()), Expr::val(1))).into()
    };
    let row: Option<(i64, i64, i64)> = here()
        .select_only()
        .column_as(added(since[0]), "one")
        .column_as(added(since[1]), "two")
        .column_as(added(since[2]), "three")
        .into_tuple()
        .one(conn)
        .await?;
    counts.since = row.map_or([0; 3], |(one, two, three)| [one, two, three]);
    let visitors = Entity::find().filter(C::NameFolded.is_null()).count(conn).await?;
    counts.visitors = i64::try_from(visitors).unwrap_or(i64::MAX);
    let one = |(name, at): (String, i64)| (name, Timestamp::from_micros(at));
    let ends = || here().select_only().columns([C::Name, C::Created]).limit(1);
    let oldest = ends().order_by_asc(C::Created).order_by_asc(C::Id).into_tuple().one(conn).await?;
    let newest = ends().order_by_desc(C::Created).order_by_desc(C::Id).into_tuple().one(conn).await?;
    (counts.oldest, counts.newest) = (oldest.map(one), newest.map(one));
    Ok(counts)
}
