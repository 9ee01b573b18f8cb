//! What can go wrong with the database, as kinds a caller branches on. No text here ever quotes a value or a URL.

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

/// Why the database did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space left for the database.
    #[error("the database's disk is full")]
    Full,
    /// The database cannot be written.
    #[error("the database is read-only")]
    ReadOnly,
    /// Another process holds the database's write lock.
    #[error("the database is locked by another process")]
    Locked,
    /// No connection, or it was lost.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long; nothing was done.
    #[error("the database took too long")]
    Timeout,
    /// A row with this key exists.
    #[error("it exists already")]
    Conflict,
    /// A daemon serves this computer already.
    #[error("computer `{computer}` is already served by pid {pid} since {since}")]
    Served {
        /// The computer.
        computer: String,
        /// The other daemon's process id; `unknown` if it could not be told.
        pid: String,
        /// When it began.
        since: String,
    },
    /// The database was migrated by a newer binary.
    #[error(
        "the database's schema is {database}, newer than this binary's {binary}: use the newer teleclaude"
    )]
    Newer {
        /// The newest step the database has.
        database: String,
        /// The newest step the binary knows.
        binary: String,
    },
    /// The database wants migrating and `auto_migrate` is off.
    #[error("the database's schema is {database}, this binary wants {binary}: run `teleclaude db migrate`")]
    Outdated {
        /// The newest step the database has, or `empty`.
        database: String,
        /// The newest step the binary knows.
        binary: String,
    },
    /// The file is not a database, or is damaged.
    #[error("the database file is damaged or not a database")]
    Damaged,
    /// A kept value cannot be read.
    #[error("the database holds a value this binary cannot read: {0}")]
    Unreadable(&'static str),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else: a defect of ours, or of the server's settings.
    #[error("database error: {0}")]
    Other(String),
}

impl StoreError {
    /// Whether the connection is gone, so that the same thing may work on a new one.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// Whether it says something about the database's health rather than about what was asked.
    pub fn is_sickness(&self) -> bool {
        matches!(
            self,
            Self::Full | Self::ReadOnly | Self::Locked | Self::Unreachable(_) | Self::Timeout | Self::Damaged
        )
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(_) => Self::Unreachable("no connection in time".to_owned()),
            DbErr::Conn(RuntimeErr::SqlxError(e))
            | DbErr::Exec(RuntimeErr::SqlxError(e))
            | DbErr::Query(RuntimeErr::SqlxError(e)) => from_sqlx(&e),
            DbErr::Type(_) | DbErr::TryIntoErr { .. } | DbErr::Json(_) => Self::Unreadable("column type"),
            DbErr::RecordNotInserted => Self::Conflict,
            _ => Self::Other("the query could not be made".to_owned()),
        }
    }
}

/// What a driver's error means.
pub(super) fn from_sqlx(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(database) => {
            if let Some(pg) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                from_sqlstate(pg.code(), pg.message(), pg.constraint())
            } else {
                let code = database.code().and_then(|c| c.parse::<i32>().ok()).unwrap_or(0);
                from_sqlite(code, database.message())
            }
        }
        sqlx::Error::Io(e) => StoreError::Unreachable(e.kind().to_string()),
        sqlx::Error::Protocol(_) => StoreError::Unreachable("the connection broke".to_owned()),
        sqlx::Error::Tls(_) => StoreError::Unreachable("TLS failed".to_owned()),
        sqlx::Error::PoolTimedOut => StoreError::Unreachable("no connection in time".to_owned()),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            StoreError::Unreachable("the connection is closed".to_owned())
        }
        sqlx::Error::Configuration(_) => {
            StoreError::Other("the database URL or options are wrong".to_owned())
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Unreadable("column type"),
        _ => StoreError::Other("the driver refused".to_owned()),
    }
}

/// SQLite's result codes: the low byte is the kind.
fn from_sqlite(code: i32, message: &str) -> StoreError {
    match (code & 0xff, code) {
        (13, _) => StoreError::Full,
        (8, _) => StoreError::ReadOnly,
        (5 | 6, _) => StoreError::Locked,
        (10, _) => StoreError::Unreachable(format!("input/output error {code}")),
        (14, _) => StoreError::Unreachable("unable to open the database file".to_owned()),
        (11 | 26, _) => StoreError::Damaged,
        (_, 1555 | 2067) => StoreError::Conflict,
        // SQLite's messages name tables and columns, never values.
        _ => StoreError::Other(format!("{message} ({code})")),
    }
}

/// PostgreSQL's SQLSTATE. Its messages may quote values, so only those our own triggers raise are shown.
fn from_sqlstate(code: &str, message: &str, constraint: Option<&str>) -> StoreError {
    match code {
        "53100" => StoreError::Full,
        "25006" => StoreError::ReadOnly,
        "55P03" | "40P01" => StoreError::Locked,
        "57014" => StoreError::Timeout,
        "23505" => StoreError::Conflict,
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => {
            StoreError::Unreachable(format!("the server ended the connection ({code})"))
        }
        "28P01" | "28000" => StoreError::Unreachable("the server refused the login".to_owned()),
        "3D000" => StoreError::Unreachable("there is no such database".to_owned()),
        "53300" => StoreError::Unreachable("the server has too many connections".to_owned()),
        _ if code.starts_with("08") => StoreError::Unreachable(format!("the connection broke ({code})")),
        "P0001" => StoreError::Other(message.to_owned()),
        _ => StoreError::Other(match constraint {
            Some(constraint) => format!("SQLSTATE {code}, constraint {constraint}"),
            None => format!("SQLSTATE {code}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{StoreError, from_sqlite, from_sqlstate};

    #[test]
    fn codes_become_kinds() {
        for (code, kind) in [
            (13, StoreError::Full),
            (8, StoreError::ReadOnly),
            (1032, StoreError::ReadOnly),
            (5, StoreError::Locked),
            (517, StoreError::Locked),
            (26, StoreError::Damaged),
            (1555, StoreError::Conflict),
            (2067, StoreError::Conflict),
        ] {
            assert_eq!(from_sqlite(code, "x"), kind, "{code}");
        }
        assert!(from_sqlite(14, "x").is_lost());
        for (code, kind) in [
            ("53100", StoreError::Full),
            ("25006", StoreError::ReadOnly),
            ("57014", StoreError::Timeout),
            ("23505", StoreError::Conflict),
        ] {
            assert_eq!(from_sqlstate(code, "x", None), kind, "{code}");
        }
        assert!(from_sqlstate("57P01", "x", None).is_lost());
        assert!(from_sqlstate("08006", "x", None).is_lost());
    }

    #[test]
    fn foreign_messages_are_not_shown() {
        let shown = from_sqlstate("22P02", "invalid input: \"hunter2\"", None).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
