//! Visitors: rows of OS users who were here and whom nobody named. There are only so many of them, and they are
//! forgotten. Whoever owns an open session stays. They are told by the folded name, which is absent where the name is:
//! that is what their index is by.

use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::person::{Column, Entity};
use crate::store::entity::session;
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

/// Visitors who are remembered, at most: one OS user may own very many uids.
pub const VISITORS_MAX: u64 = 10_000;

/// Visitors who own no open session, those first who have been away longest.
fn forgettable() -> Select<Entity> {
    use session::Column as S;
    let theirs = |column: S, of: Column| Expr::col((session::Entity, column)).equals((Entity, of));
    let open = Query::select()
        .expr(Expr::val(1))
        .from(session::Entity)
        .and_where(Expr::col((session::Entity, S::Ended)).is_null())
        .and_where(theirs(S::OwnerUid, Column::Uid).or(theirs(S::Owner, Column::Id)))
        .take();
    Entity::find()
        .filter(Column::NameFolded.is_null())
        .filter(Expr::exists(open).not())
        .order_by_asc(Column::LastSeen)
        .order_by_asc(Column::Id)
}

/// A place for one more: if there are as many as there may be, the one who has been away longest is forgotten.
pub(super) async fn make_room(conn: &Conn) -> Result<(), StoreError> {
    if Entity::find().filter(Column::NameFolded.is_null()).count(conn).await? < VISITORS_MAX {
        return Ok(());
    }
    let oldest = forgettable().select_only().column(Column::Id).limit(1).into_tuple().one(conn).await?;
    if let Some(oldest) = oldest {
        let still =
            Entity::delete_many().filter(Column::Id.eq::<Uuid>(oldest)).filter(Column::NameFolded.is_null());
        still.exec(conn).await?;
    }
    Ok(())
}

/// Forgets visitors who were last here before `before`, at most `limit` of them, those first who have been away longest.
/// How many there were.
///
/// # Errors
/// The database.
pub async fn forget(conn: &Conn, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
    let old = forgettable().filter(Column::LastSeen.lt(before.micros()));
    let ids: Vec<Uuid> = old.select_only().column(Column::Id).limit(limit).into_tuple().all(conn).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    // Who has been given a name meanwhile, or was here, by another daemon's doing, stays.
    let gone = Entity::delete_many()
        .filter(Column::Id.is_in(ids))
        .filter(Column::NameFolded.is_null())
        .filter(Column::LastSeen.lt(before.micros()));
    Ok(gone.exec(conn).await?.rows_affected)
}
