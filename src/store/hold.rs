//! Legal holds: placing, releasing, listing, and what of the log they cover.

use crate::domain::hold::{Hold, HoldScope};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::audit;
use crate::store::entity::hold::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// Holds a list gives at most.
const LIST: u64 = 1_000;

/// Places a hold.
pub async fn insert(conn: &Conn, hold: &Hold) -> Result<(), StoreError> {
    let (released_by, released) = hold.released.clone().unzip();
    let row = ActiveModel {
        id: Set(hold.id),
        kind: Set(hold.scope.kind().to_owned()),
        target: Set(crate::store::clean(hold.scope.target().to_owned())),
        reason: Set(crate::store::clean(hold.reason.clone())),
        placed_by: Set(hold.placed_by.clone()),
        placed: Set(hold.placed.micros()),
        released_by: Set(released_by),
        released: Set(released.map(Timestamp::micros)),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// The hold of this key.
pub async fn by_id(conn: &Conn, id: Uuid) -> Result<Option<Hold>, StoreError> {
    Entity::find_by_id(id).one(conn).await?.map(hold).transpose()
}

/// Releases a hold that is in force; whether it was.
pub async fn release(conn: &Conn, id: Uuid, by: &str, at: Timestamp) -> Result<bool, StoreError> {
    let done = Entity::update_many()
        .col_expr(Column::ReleasedBy, Expr::value(by))
        .col_expr(Column::Released, at.micros().into())
        .filter(Column::Id.eq(id))
        .filter(Column::Released.is_null())
        .exec(conn)
        .await?;
    Ok(done.rows_affected > 0)
}

/// Holds, the oldest first; those in force, or all.
pub async fn list(conn: &Conn, all: bool) -> Result<Vec<Hold>, StoreError> {
    let mut query = Entity::find();
    if !all {
        query = query.filter(Column::Released.is_null());
    }
    let rows = query.order_by_asc(Column::Placed).order_by_asc(Column::Id).limit(LIST).all(conn).await?;
    rows.into_iter().map(hold).collect()
}

/// Whether a session is held: by itself, by its owner, or with everything.
pub async fn holds_session(conn: &Conn, session: &str, owner: &str) -> Result<Option<Hold>, StoreError> {
    let of =
        |kind: &str, target: &str| Condition::all().add(Column::Kind.eq(kind)).add(Column::Target.eq(target));
    let row = Entity::find()
        .filter(Column::Released.is_null())
        .filter(
            Condition::any()
                .add(of("session", session))
                .add(of("person", owner))
                .add(Column::Kind.eq("everything")),
        )
        .order_by_asc(Column::Placed)
        .one(conn)
        .await?;
    row.map(hold).transpose()
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

fn hold(row: Model) -> Result<Hold, StoreError> {
    Ok(Hold {
        id: row.id,
        scope: HoldScope::parse(&row.kind, row.target).ok_or(StoreError::Unreadable("hold"))?,
        reason: row.reason,
        placed_by: row.placed_by,
        placed: Timestamp::from_micros(row.placed),
        released: row.released_by.zip(row.released.map(Timestamp::from_micros)),
    })
}
