//! Credentials, encrypted: by holder and name, and by the key they are encrypted with. Nothing here decrypts.

use crate::domain::credential::{CredentialName, Holder, KeyId};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::credential::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::seal::Sealed;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Select,
};

/// A kept credential.
#[derive(Clone)]
pub struct Kept {
    /// Whose, as [`Holder::key`] spells it.
    pub holder: String,
    /// Its name.
    pub name: String,
    /// What is kept of its value.
    pub sealed: Sealed,
    /// When it was first put.
    pub created: Timestamp,
    /// When its value was put.
    pub updated: Timestamp,
}

/// Keeps a credential; an earlier value is gone.
pub async fn put(
    conn: &Conn,
    computer: &str,
    holder: &Holder,
    name: &CredentialName,
    sealed: Sealed,
    at: Timestamp,
) -> Result<(), StoreError> {
    let (person, uid) = match holder {
        Holder::System => (None, None),
        Holder::Person { person, uid } => (Some(person.0), Some(i64::from(*uid))),
    };
    let row = ActiveModel {
        computer: Set(computer.to_owned()),
        holder: Set(holder.key()),
        name: Set(name.as_str().to_owned()),
        person: Set(person),
        uid: Set(uid),
        key_id: Set(sealed.key_id.0),
        nonce: Set(sealed.nonce),
        sealed: Set(sealed.sealed),
        created: Set(at.micros()),
        updated: Set(at.micros()),
    };
    let again = OnConflict::columns([Column::Computer, Column::Holder, Column::Name])
        .update_columns([Column::KeyId, Column::Nonce, Column::Sealed, Column::Updated])
        .to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// Deletes one; whether it was there.
pub async fn delete(
    conn: &Conn,
    computer: &str,
    holder: &Holder,
    name: &CredentialName,
) -> Result<bool, StoreError> {
    let key = (computer.to_owned(), holder.key(), name.as_str().to_owned());
    Ok(Entity::delete_by_id(key).exec(conn).await?.rows_affected > 0)
}

/// Everything of one holder by name. The caller sees to there being few.
pub async fn of(conn: &Conn, computer: &str, holder: &Holder) -> Result<Vec<Kept>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Holder.eq(holder.key()))
        .order_by_asc(Column::Name)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(kept).collect())
}

/// Ids of the keys that credentials of this machine name, and how many each.
pub async fn by_key(conn: &Conn, computer: &str) -> Result<Vec<(KeyId, u64)>, StoreError> {
    #[derive(FromQueryResult)]
    struct Count {
        key_id: String,
        many: i64,
    }
    let rows = Entity::find()
        .select_only()
        .column(Column::KeyId)
        .column_as(Expr::col(Column::Name).count(), "many")
        .filter(Column::Computer.eq(computer))
        .group_by(Column::KeyId)
        .into_model::<Count>()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (KeyId(row.key_id), u64::try_from(row.many).unwrap_or(0))).collect())
}

/// Whether a credential of this machine names the key.
pub async fn any_under(conn: &Conn, computer: &str, key: &KeyId) -> Result<bool, StoreError> {
    Ok(!under(conn, computer, key, None, 1).await?.is_empty())
}

/// Credentials of this machine that name the key, by holder and name, behind `after`.
pub async fn under(
    conn: &Conn,
    computer: &str,
    key: &KeyId,
    after: Option<(&str, &str)>,
    limit: u64,
) -> Result<Vec<Kept>, StoreError> {
    let rows = of_key(computer, key, after, limit).all(conn).await?;
    Ok(rows.into_iter().map(kept).collect())
}

fn of_key(computer: &str, key: &KeyId, after: Option<(&str, &str)>, limit: u64) -> Select<Entity> {
    let mut query =
        Entity::find().filter(Column::Computer.eq(computer)).filter(Column::KeyId.eq(key.0.as_str()));
    if let Some((holder, name)) = after {
        let place = Expr::tuple([Expr::col(Column::Holder), Expr::col(Column::Name)]);
        query = query.filter(place.gt(Expr::tuple([Expr::value(holder), Expr::value(name)])));
    }
    query.order_by_asc(Column::Holder).order_by_asc(Column::Name).limit(limit)
}

/// What came of [`reseal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// Holder and name of the last one; none if there was none.
    pub last: Option<(String, String)>,
    /// How many stay as they are.
    pub left: u64,
}

/// The same as [`under`], and puts what `anew` gives in the place of each; where it gives nothing, all stays. When a
/// value was put is not changed by that. In the writer's transaction only: nobody else changes a row meanwhile.
pub async fn reseal(
    conn: &Conn,
    computer: &str,
    key: &KeyId,
    after: Option<(&str, &str)>,
    limit: u64,
    anew: impl Fn(&Kept) -> Option<Sealed>,
) -> Result<Resealed, StoreError> {
    let rows = of_key(computer, key, after, limit).all(conn).await?;
    let last = rows.last().map(|row| (row.holder.clone(), row.name.clone()));
    let mut left = 0;
    let mut changed = Vec::with_capacity(rows.len());
    for row in rows {
        let (person, uid) = (row.person, row.uid);
        let kept = kept(row);
        let Some(sealed) = anew(&kept) else {
            left += 1;
            continue;
        };
        changed.push(ActiveModel {
            computer: Set(computer.to_owned()),
            holder: Set(kept.holder),
            name: Set(kept.name),
            person: Set(person),
            uid: Set(uid),
            key_id: Set(sealed.key_id.0),
            nonce: Set(sealed.nonce),
            sealed: Set(sealed.sealed),
            created: Set(kept.created.micros()),
            updated: Set(kept.updated.micros()),
        });
    }
    if !changed.is_empty() {
        // They are all there: one statement for many updates.
        let again = OnConflict::columns([Column::Computer, Column::Holder, Column::Name])
            .update_columns([Column::KeyId, Column::Nonce, Column::Sealed])
            .to_owned();
        Entity::insert_many(changed).on_conflict(again).exec_without_returning(conn).await?;
    }
    Ok(Resealed { last, left })
}

fn kept(row: Model) -> Kept {
    Kept {
        holder: row.holder,
        name: row.name,
        sealed: Sealed { key_id: KeyId(row.key_id), nonce: row.nonce, sealed: row.sealed },
        created: Timestamp::from_micros(row.created),
        updated: Timestamp::from_micros(row.updated),
    }
}
