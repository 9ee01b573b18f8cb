//! Leases of session hosts: one live host a session, kept by the primary key.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::host::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

/// A host's hold on its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The session.
    pub session: SessionId,
    /// The computer the host runs on.
    pub computer: String,
    /// The lease's key.
    pub lease: Uuid,
    /// The host's process id.
    pub pid: i32,
    /// When that process began, in the system's own count: with the pid it names one process.
    pub pid_started: i64,
    /// When the lease was claimed.
    pub claimed: Timestamp,
}

/// Claims a session for a host. Gives the lease in force: the caller's own if it won (or had won before), else the
/// other's.
pub async fn claim(conn: &Conn, lease: &Lease) -> Result<Lease, StoreError> {
    let row = ActiveModel {
        session: Set(lease.session.0),
        computer: Set(lease.computer.clone()),
        lease: Set(lease.lease),
        pid: Set(i64::from(lease.pid)),
        pid_started: Set(lease.pid_started),
        claimed: Set(lease.claimed.micros()),
    };
    let taken = OnConflict::column(Column::Session).do_nothing().to_owned();
    Entity::insert(row).on_conflict(taken).exec_without_returning(conn).await?;
    by_session(conn, lease.session).await?.ok_or(StoreError::Unreadable("lease"))
}

/// The lease on this session.
pub async fn by_session(conn: &Conn, session: SessionId) -> Result<Option<Lease>, StoreError> {
    Entity::find_by_id(session.0).one(conn).await?.map(lease_of).transpose()
}

/// Gives a lease back. `false` if it is not in force.
pub async fn release(conn: &Conn, session: SessionId, lease: Uuid) -> Result<bool, StoreError> {
    let gone = Entity::delete_many()
        .filter(Column::Session.eq(session.0))
        .filter(Column::Lease.eq(lease))
        .exec(conn)
        .await?;
    Ok(gone.rows_affected > 0)
}

/// All leases of a computer.
pub async fn all_on(conn: &Conn, computer: &str) -> Result<Vec<Lease>, StoreError> {
    let rows =
        Entity::find().filter(Column::Computer.eq(computer)).order_by_asc(Column::Session).all(conn).await?;
    rows.into_iter().map(lease_of).collect()
}

fn lease_of(row: Model) -> Result<Lease, StoreError> {
    Ok(Lease {
        session: SessionId(row.session),
        computer: row.computer,
        lease: row.lease,
        pid: i32::try_from(row.pid).map_err(|_| StoreError::Unreadable("pid"))?,
        pid_started: row.pid_started,
        claimed: Timestamp::from_micros(row.claimed),
    })
}
