//! The schema's version: what the database has, what this binary wants, and bringing one to the other.

use crate::store::conn::Conn;
use crate::store::error::StoreError;
use sea_orm::{ConnectionTrait, DatabaseConnection};

/// The steps of the schema, and which of them the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Steps the database has, oldest first.
    pub applied: Vec<String>,
    /// Steps this binary knows and the database has not, oldest first.
    pub pending: Vec<String>,
    /// Steps the database has and this binary does not know: made by a newer one.
    pub unknown: Vec<String>,
}

impl Status {
    fn of(applied: Vec<String>, known: &[String]) -> Self {
        let pending = known.iter().filter(|step| !applied.contains(step)).cloned().collect();
        let unknown = applied.iter().filter(|step| !known.contains(step)).cloned().collect();
        Self { applied, pending, unknown }
    }

    /// Refuses a database that a newer binary made.
    pub fn not_newer(&self) -> Result<(), StoreError> {
        match self.unknown.last() {
            None => Ok(()),
            Some(newest) => Err(StoreError::Newer { database: newest.clone(), binary: wanted() }),
        }
    }

    /// Refuses any database but one at exactly this binary's version.
    pub fn current(&self) -> Result<(), StoreError> {
        self.not_newer()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let database = self.applied.last().cloned().unwrap_or_else(|| "empty".to_owned());
        Err(StoreError::Outdated { database, binary: wanted() })
    }
}

/// The newest step this binary knows: its schema version.
pub fn wanted() -> String {
    migrations::known().pop().unwrap_or_default()
}

/// What the database has. Reads only.
pub async fn status(conn: &Conn) -> Result<Status, StoreError> {
    status_of(conn).await
}

pub(super) async fn status_of(conn: &impl ConnectionTrait) -> Result<Status, StoreError> {
    Ok(Status::of(migrations::applied(conn).await?, &migrations::known()))
}

/// Brings the database up to this binary's version; gives the steps that were done. The instance lock is held.
pub(super) async fn up(db: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    let before = status_of(db).await?;
    before.not_newer()?;
    if !before.pending.is_empty() {
        migrations::up(db).await?;
    }
    Ok(before.pending)
}

#[cfg(test)]
mod tests {
    use super::{Status, wanted};
    use crate::store::error::StoreError;

    #[test]
    fn newer_and_older_are_told_apart() {
        let known = migrations::known();
        assert_eq!(Status::of(known.clone(), &known).current(), Ok(()));
        let old = Status::of(known[..1].to_vec(), &known);
        assert_eq!(old.not_newer(), Ok(()));
        assert_eq!(old.current(), Err(StoreError::Outdated { database: known[0].clone(), binary: wanted() }));
        let mut newer = known.clone();
        newer.push("m9999_later".to_owned());
        let error = Status::of(newer, &known).current().unwrap_err();
        assert!(error.to_string().contains("m9999_later") && error.to_string().contains(&wanted()));
    }
}
