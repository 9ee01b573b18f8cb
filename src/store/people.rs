//! Everybody in the directory: the names by which one is found.

use crate::domain::directory::{Entry, digits};
use crate::domain::person::{Person, PersonId, PersonStatus};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::person::{Column, Entity};
use crate::store::error::StoreError;
use crate::store::person::{person_of, uid_of};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// Where reading everybody has come to: when the last one changed, and their key.
pub type Changed = (Timestamp, Uuid);

type Names = (
    Uuid,
    i64,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
);

/// What everybody is found by, of those who changed after `after`, the first to change first; and where that ends. `None`
/// is the end.
///
/// # Errors
/// The database.
pub async fn names(
    conn: &Conn,
    after: Option<Changed>,
    limit: u64,
) -> Result<(Vec<Entry>, Option<Changed>), StoreError> {
    use Column as C;
    let mut query = Entity::find()
        .select_only()
        .columns([C::Id, C::Updated, C::Name, C::OsUsername, C::Uid, C::FullName, C::Email, C::Phone])
        .column(C::Status)
        .order_by_asc(C::Updated)
        .order_by_asc(C::Id)
        .limit(limit);
    if let Some((at, id)) = after {
        query = query.filter(
            Expr::tuple([Expr::col(C::Updated), Expr::col(C::Id)])
                .gt(Expr::tuple([Expr::val(at.micros()), Expr::val(id)])),
        );
    }
    let rows: Vec<Names> = query.into_tuple().all(conn).await?;
    let full = rows.len() as u64 == limit;
    let end = rows.last().map(|row| (Timestamp::from_micros(row.1), row.0)).filter(|_| full);
    let entries = rows.into_iter().map(|(id, _, name, os_username, uid, full_name, email, phone, status)| {
        Ok(Entry {
            id: PersonId(id),
            name: name.map(Into::into),
            os_username: os_username.map(Into::into),
            uid: uid_of(uid)?,
            full_name: full_name.map(Into::into),
            email: email.map(Into::into),
            phone: phone.map(|phone| digits(&phone).into()),
            deleted: status == PersonStatus::Deleted.name(),
        })
    });
    Ok((entries.collect::<Result<_, StoreError>>()?, end))
}

/// These people, in no order; who is gone is left out.
///
/// # Errors
/// The database.
pub async fn by_ids(conn: &Conn, ids: &[PersonId]) -> Result<Vec<Person>, StoreError> {
    let rows = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0))).all(conn).await?;
    rows.into_iter().map(person_of).collect()
}
