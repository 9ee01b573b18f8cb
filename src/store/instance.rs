//! The computers that have a daemon on this database.

use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::instance::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

/// A computer and its daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The computer's name.
    pub computer: String,
    /// The daemon's process id on that computer.
    pub pid: i64,
    /// When it last began.
    pub started: Timestamp,
    /// Its version.
    pub version: String,
    /// When it last said that it lives (at its start; on Postgres also now and then when idle).
    pub seen: Timestamp,
}

impl From<Model> for Instance {
    fn from(row: Model) -> Self {
        Self {
            computer: row.computer,
            pid: row.pid,
            started: Timestamp::from_micros(row.started),
            version: row.version,
            seen: Timestamp::from_micros(row.seen),
        }
    }
}

/// Most computers a list gives.
const LIST: u64 = 1_000;

/// All computers, by name.
pub async fn list(conn: &Conn) -> Result<Vec<Instance>, StoreError> {
    use sea_orm::QuerySelect;
    let rows = Entity::find().order_by_asc(Column::Computer).limit(LIST).all(conn).await?;
    Ok(rows.into_iter().map(Instance::from).collect())
}

/// One computer, if it has ever had a daemon.
pub(super) async fn find(db: &impl ConnectionTrait, computer: &str) -> Result<Option<Instance>, StoreError> {
    Ok(Entity::find_by_id(computer.to_owned()).one(db).await?.map(Instance::from))
}

/// Writes down that this process serves `computer` from now on.
pub(super) async fn begin(
    db: &impl ConnectionTrait,
    computer: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        computer: Set(computer.to_owned()),
        pid: Set(i64::from(std::process::id())),
        started: Set(at.micros()),
        version: Set(env!("CARGO_PKG_VERSION").to_owned()),
        seen: Set(at.micros()),
    };
    let again = OnConflict::column(Column::Computer)
        .update_columns([Column::Pid, Column::Started, Column::Version, Column::Seen])
        .to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(db).await?;
    Ok(())
}

/// Writes down that `computer`'s daemon lives.
pub(super) async fn seen(db: &impl ConnectionTrait, computer: &str, at: Timestamp) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::Seen, at.micros().into())
        .filter(Column::Computer.eq(computer))
        .exec(db)
        .await?;
    Ok(())
}
