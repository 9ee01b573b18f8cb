//! Legal holds: placing, releasing, listing, and what of the log and which sessions they cover. Rows are only added: a
//! release is one of its own.

use crate::domain::hold::{Hold, HoldScope};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::hold::{ActiveModel, Column, Entity, Model};
use crate::store::entity::{audit, hold_release};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::HashMap;
use uuid::Uuid;

/// Holds a list gives at most, and that are in force at most.
pub const LIST: u64 = 1_000;

/// Places a hold that is not released. `false` if as many are in force already as can be looked at.
pub async fn insert(conn: &Conn, hold: &Hold) -> Result<bool, StoreError> {
    if list(conn, false).await?.len() as u64 >= LIST {
        return Ok(false);
    }
    let row = ActiveModel {
        id: Set(hold.id),
        kind: Set(hold.scope.kind().to_owned()),
        target: Set(crate::store::clean(hold.scope.target().to_owned())),
        reason: Set(crate::store::clean(hold.reason.clone())),
        placed_by: Set(hold.placed_by.clone()),
        placed: Set(hold.placed.micros()),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(true)
}

/// The hold of this key.
pub async fn by_id(conn: &Conn, id: Uuid) -> Result<Option<Hold>, StoreError> {
    let row = Entity::find_by_id(id).one(conn).await?;
    Ok(with_releases(conn, row.into_iter().collect()).await?.pop())
}

/// Releases a hold that is in force; whether it was.
pub async fn release(conn: &Conn, id: Uuid, by: &str, at: Timestamp) -> Result<bool, StoreError> {
    if hold_release::Entity::find_by_id(id).one(conn).await?.is_some() {
        return Ok(false);
    }
    let row = hold_release::ActiveModel {
        hold: Set(id),
        released_by: Set(by.to_owned()),
        released: Set(at.micros()),
    };
    // Another computer may be faster.
    let once = OnConflict::column(hold_release::Column::Hold).do_nothing().to_owned();
    let done = hold_release::Entity::insert(row).on_conflict(once).exec_without_returning(conn).await?;
    Ok(done > 0)
}

/// Holds, the oldest first; those in force, or all.
pub async fn list(conn: &Conn, all: bool) -> Result<Vec<Hold>, StoreError> {
    let mut query = Entity::find();
    if !all {
        query = query.filter(in_force());
    }
    let rows = query.order_by_asc(Column::Placed).order_by_asc(Column::Id).limit(LIST).all(conn).await?;
    with_releases(conn, rows).await
}

/// That a row of `audit_holds` is in force.
fn in_force() -> Expr {
    let released = Query::select()
        .expr(Expr::val(1))
        .from("audit_hold_releases")
        .and_where(Expr::col(("audit_hold_releases", "hold")).equals(("audit_holds", "id")))
        .take();
    Expr::exists(released).not()
}

/// Whether a session is held: by itself, by its owner, or with everything.
pub async fn holds_session(conn: &Conn, session: &str, owner: &str) -> Result<Option<Hold>, StoreError> {
    let of =
        |kind: &str, target: &str| Condition::all().add(Column::Kind.eq(kind)).add(Column::Target.eq(target));
    let row = Entity::find()
        .filter(in_force())
        .filter(
            Condition::any()
                .add(of("session", session))
                .add(of("person", owner))
                .add(Column::Kind.eq("everything")),
        )
        .order_by_asc(Column::Placed)
        .one(conn)
        .await?;
    Ok(with_releases(conn, row.into_iter().collect()).await?.pop())
}

/// What is held now.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Everything.
    pub everything: bool,
    /// These sessions.
    pub sessions: Vec<Uuid>,
    /// The sessions of these people.
    pub people: Vec<String>,
}

/// What is held now.
pub async fn held(conn: &Conn) -> Result<Held, StoreError> {
    let mut held = Held::default();
    for hold in list(conn, false).await? {
        match hold.scope {
            HoldScope::Session(session) => {
                held.sessions.push(session.parse().map_err(|_| StoreError::Unreadable("hold"))?);
            }
            HoldScope::Person(person) => held.people.push(person),
            HoldScope::Everything => held.everything = true,
        }
    }
    Ok(held)
}

/// The first hold that covers a row of `computer` up to `last`, and the first row that it covers.
pub async fn covering(conn: &Conn, computer: &str, last: i64) -> Result<Option<(Hold, i64)>, StoreError> {
    let mut first: Option<(Hold, i64)> = None;
    for hold in list(conn, false).await? {
        let held = match &hold.scope {
            HoldScope::Session(session) => {
                vec![first_of(conn, computer, last, audit::Column::Session, session).await?]
            }
            HoldScope::Person(person) => vec![
                first_of(conn, computer, last, audit::Column::Owner, person).await?,
                first_of(conn, computer, last, audit::Column::Actor, person).await?,
            ],
            HoldScope::Everything => vec![Some(1)],
        };
        let Some(seq) = held.into_iter().flatten().min() else { continue };
        if first.as_ref().is_none_or(|(_, before)| seq < *before) {
            first = Some((hold, seq));
        }
    }
    Ok(first)
}

/// The first row up to `last` in whose column this stands.
async fn first_of(
    conn: &Conn,
    computer: &str,
    last: i64,
    column: audit::Column,
    value: &str,
) -> Result<Option<i64>, StoreError> {
    let seq: Option<Option<i64>> = audit::Entity::find()
        .select_only()
        .column_as(Expr::col(audit::Column::Seq).min(), "first")
        .filter(column.eq(value))
        .filter(audit::Column::Computer.eq(computer))
        .filter(audit::Column::Seq.lte(last))
        .into_tuple()
        .one(conn)
        .await?;
    Ok(seq.flatten())
}

/// Rows, with what was written down about their release.
async fn with_releases(conn: &Conn, rows: Vec<Model>) -> Result<Vec<Hold>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let releases =
        hold_release::Entity::find().filter(hold_release::Column::Hold.is_in(ids)).all(conn).await?;
    let mut released: HashMap<Uuid, (String, Timestamp)> = releases
        .into_iter()
        .map(|row| (row.hold, (row.released_by, Timestamp::from_micros(row.released))))
        .collect();
    let hold = |row: Model| {
        Ok(Hold {
            id: row.id,
            scope: HoldScope::parse(&row.kind, row.target).ok_or(StoreError::Unreadable("hold"))?,
            reason: row.reason,
            placed_by: row.placed_by,
            placed: Timestamp::from_micros(row.placed),
            released: released.remove(&row.id),
        })
    };
    rows.into_iter().map(hold).collect()
}
