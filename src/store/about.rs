//! What a database says of itself, for people who look after it: whether it keeps what it acknowledges, and whether
//! this login could change the audit log. Reads only, and needs no schema.

use crate::store::conn::Conn;
use crate::store::error::StoreError;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A file.
    Sqlite {
        /// `wal` where it is as it should be.
        journal_mode: String,
    },
    /// A server.
    Postgres(Server),
}

/// What a PostgreSQL server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its version as a number: 160004 is 16.4.
    pub version: i32,
    /// Whether it waits for the disk at all.
    pub fsync: bool,
    /// Whether pages that were half written at a power cut can be mended.
    pub full_page_writes: bool,
    /// `on` unless somebody chose otherwise. The daemon does not commit with `off`.
    pub synchronous_commit: String,
    /// A copy of another server that takes no writes.
    pub standby: bool,
    /// Whether this login is a superuser.
    pub superuser: bool,
    /// Whether this login may change or remove rows of the audit log, were it not for its triggers; nothing where
    /// there is no such table yet.
    pub audit_changeable: Option<bool>,
}

/// Asks it.
pub async fn about(conn: &Conn) -> Result<About, StoreError> {
    let backend = conn.get_database_backend();
    let missing = StoreError::Unreadable("what the database says of itself");
    if backend == DbBackend::Sqlite {
        let row = conn
            .query_one_raw(Statement::from_string(backend, "PRAGMA journal_mode"))
            .await?
            .ok_or(missing)?;
        return Ok(About::Sqlite { journal_mode: row.try_get("", "journal_mode")? });
    }
    let sql = "SELECT current_setting('server_version_num')::int4 AS version, \
               current_setting('fsync') = 'on' AS fsync, \
               current_setting('full_page_writes') = 'on' AS full_page_writes, \
               current_setting('synchronous_commit') AS synchronous_commit, \
               pg_is_in_recovery() AS standby, \
               (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser, \
               has_table_privilege(to_regclass('audit_log'), 'UPDATE, DELETE, TRUNCATE') AS audit_changeable";
    let row = conn.query_one_raw(Statement::from_string(backend, sql)).await?.ok_or(missing)?;
    Ok(About::Postgres(Server {
        version: row.try_get("", "version")?,
        fsync: row.try_get("", "fsync")?,
        full_page_writes: row.try_get("", "full_page_writes")?,
        synchronous_commit: row.try_get("", "synchronous_commit")?,
        standby: row.try_get("", "standby")?,
        superuser: row.try_get("", "superuser")?,
        audit_changeable: row.try_get("", "audit_changeable")?,
    }))
}
