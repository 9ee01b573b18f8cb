//! Signed checkpoints as they are kept: appended, never changed. What they prove is `verify`.

use crate::domain::checkpoint::Checkpoint;
use crate::store::conn::Conn;
use crate::store::entity::checkpoint::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

/// Checkpoints of a page.
const PAGE: u64 = 1_000;

/// A kept note, and where it says it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The computer.
    pub computer: String,
    /// The row it is about.
    pub seq: i64,
    /// The moment, in microseconds: part of the key.
    pub at: i64,
    /// The signed note.
    pub note: String,
}

/// Appends a signed checkpoint.
pub async fn insert(conn: &Conn, point: &Checkpoint, note: &str) -> Result<(), StoreError> {
    let row = ActiveModel {
        computer: Set(point.origin.clone()),
        seq: Set(point.seq),
        at: Set(point.at.micros()),
        note: Set(note.to_owned()),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// A page of all checkpoints, in the order of computer, row and time.
pub async fn page(conn: &Conn, after: Option<&Kept>) -> Result<Vec<Kept>, StoreError> {
    let mut query = Entity::find();
    if let Some(after) = after {
        query = query.filter(
            Expr::tuple([Expr::col(Column::Computer), Expr::col(Column::Seq), Expr::col(Column::At)]).gt(
                Expr::tuple([Expr::val(after.computer.as_str()), Expr::val(after.seq), Expr::val(after.at)]),
            ),
        );
    }
    let rows = query
        .order_by_asc(Column::Computer)
        .order_by_asc(Column::Seq)
        .order_by_asc(Column::At)
        .limit(PAGE)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(kept).collect())
}

/// Those of one computer about the rows `first` to `last`; of more than 10,000 the last ones, which say the most.
pub async fn between(conn: &Conn, computer: &str, first: i64, last: i64) -> Result<Vec<Kept>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Seq.between(first, last))
        .order_by_desc(Column::Seq)
        .order_by_desc(Column::At)
        .limit(10_000)
        .all(conn)
        .await?;
    Ok(rows.into_iter().rev().map(kept).collect())
}

fn kept(row: crate::store::entity::checkpoint::Model) -> Kept {
    Kept { computer: row.computer, seq: row.seq, at: row.at, note: row.note }
}
