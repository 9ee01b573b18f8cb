//! One daemon a computer. SQLite: a lock file beside the database. Postgres: an advisory lock that the writer's own
//! connection carries, so that who loses the connection loses the right to write with it.

use crate::domain::timestamp::Timestamp;
use crate::store::error::StoreError;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A held lock file; free again when dropped, or when the process dies.
pub struct LockFile {
    _file: File,
}

/// Longest text of a lock file that is read back, in bytes.
const LOCK_TEXT_MAX: u64 = 200;

impl LockFile {
    /// Takes `<database>.lock`, or says who has it.
    pub fn take(database: &Path, computer: &str, now: Timestamp) -> Result<Self, StoreError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(PathBuf::from(name))
            .map_err(|e| StoreError::Unreachable(format!("lock file: {}", e.kind())))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(served(computer, &mut file)),
            Err(TryLockError::Error(e)) => {
                return Err(StoreError::Unreachable(format!("lock file: {}", e.kind())));
            }
        }
        // Who has it is for people; the lock itself does not depend on the text.
        let text = format!("{} {now}\n", std::process::id());
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        Ok(Self { _file: file })
    }
}

fn served(computer: &str, file: &mut File) -> StoreError {
    let mut text = String::new();
    let _ = file.take(LOCK_TEXT_MAX).read_to_string(&mut text);
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap_or("unknown").to_owned();
    StoreError::Served { computer: computer.to_owned(), pid: word(), since: word() }
}

/// The advisory lock's key for a computer.
pub fn computer_key(computer: &str) -> i64 {
    key("computer", computer)
}

/// The advisory lock's key for migrating: one for the whole database.
pub fn migrate_key() -> i64 {
    key("migrate", "")
}

fn key(kind: &str, name: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(format!("teleclaude {kind} {name}")).into();
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// Asks a Postgres whether the computer is free, so that the refusal can say who has it. Takes nothing.
pub async fn probe(db: &DatabaseConnection, computer: &str) -> Result<(), StoreError> {
    let key = computer_key(computer);
    let sql = "SELECT CASE WHEN pg_try_advisory_lock($1) THEN pg_advisory_unlock($1) ELSE false END AS free";
    let row = db
        .query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, [key.into()]))
        .await?
        .ok_or(StoreError::Unreadable("advisory lock"))?;
    if row.try_get::<bool>("", "free")? {
        return Ok(());
    }
    let known = crate::store::instance::find(db, computer).await.ok().flatten();
    let (pid, since) = known.map_or_else(
        || ("unknown".to_owned(), "unknown".to_owned()),
        |instance| (instance.pid.to_string(), instance.started.to_string()),
    );
    Err(StoreError::Served { computer: computer.to_owned(), pid, since })
}
