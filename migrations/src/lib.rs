//! The schema of teleclaude's database, step by step, for SQLite and PostgreSQL. One file a step; a step that has
//! been released never changes. Nothing here knows today's entities. Column types are those both engines order and
//! compare alike: times are `bigint` microseconds, uids `bigint` with a CHECK, enums text with a CHECK.

mod m0001_people;
mod m0002_sessions;
mod m0003_audit;
mod m0004_transcripts;
mod m0005_worktrees;
mod m0006_needs_input;
mod m0007_subscriptions;
mod m0008_search;
mod m0009_inbox;
mod m0010_checkpoints;
mod m0011_retention;
mod m0012_credentials;
mod m0013_people;
mod m0014_tasks;
mod m0015_jobs;
mod m0016_usage;
mod m0017_people_changes;

use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use sea_orm_migration::sea_query::{Alias, Query};
use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_people::Step),
            Box::new(m0002_sessions::Step),
            Box::new(m0003_audit::Step),
            Box::new(m0004_transcripts::Step),
            Box::new(m0005_worktrees::Step),
            Box::new(m0006_needs_input::Step),
            Box::new(m0007_subscriptions::Step),
            Box::new(m0008_search::Step),
            Box::new(m0009_inbox::Step),
            Box::new(m0010_checkpoints::Step),
            Box::new(m0011_retention::Step),
            Box::new(m0012_credentials::Step),
            Box::new(m0013_people::Step),
            Box::new(m0014_tasks::Step),
            Box::new(m0015_jobs::Step),
            Box::new(m0016_usage::Step),
            Box::new(m0017_people_changes::Step),
        ]
    }
}

/// Names of the steps this binary knows, oldest first. The last one is the binary's schema version.
pub fn known() -> Vec<String> {
    Migrator::migrations().iter().map(|step| step.name().to_owned()).collect()
}

/// Names of the steps the database has, oldest first. Creates nothing; a database without any gives an empty list.
pub async fn applied(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let table = Migrator::migration_table_name();
    if !has_table(db, &table.to_string()).await? {
        return Ok(Vec::new());
    }
    let version = Alias::new("version");
    let query = Query::select()
        .column(version.clone())
        .from(table)
        .order_by(version, sea_orm_migration::sea_query::Order::Asc)
        .take();
    db.query_all(&query).await?.iter().map(|row| row.try_get("", "version")).collect()
}

/// Brings the database up to [`known`]. The caller holds the instance lock: two migrators at once would collide.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(db, None).await
}

/// Makes the database what it was with the first `steps` of them, so that bringing it up from there can be tried.
pub async fn up_first(db: &DatabaseConnection, steps: u32) -> Result<(), DbErr> {
    Migrator::up(db, Some(steps)).await
}

async fn has_table(db: &impl ConnectionTrait, name: &str) -> Result<bool, DbErr> {
    use sea_orm_migration::sea_orm::{DbBackend, Statement};
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = $1",
        _ => {
            "SELECT 1 AS found FROM pg_catalog.pg_class WHERE relname = $1 AND relkind IN ('r','p') AND pg_table_is_visible(oid)"
        }
    };
    let found = db.query_one_raw(Statement::from_sql_and_values(backend, sql, [name.into()])).await?;
    Ok(found.is_some())
}

/// What the steps share: columns in the types both engines treat alike.
mod column {
    use sea_orm_migration::sea_query::{Alias, ColumnDef, Expr, ExprTrait};

    /// A UUID that must be there.
    pub fn uuid(name: &str) -> ColumnDef {
        ColumnDef::new(Alias::new(name)).uuid().not_null().take()
    }

    /// A UUID that may be absent.
    pub fn uuid_null(name: &str) -> ColumnDef {
        ColumnDef::new(Alias::new(name)).uuid().take()
    }

    /// Text that must be there.
    pub fn text(name: &str) -> ColumnDef {
        ColumnDef::new(Alias::new(name)).text().not_null().take()
    }

    /// Text that may be absent.
    pub fn text_null(name: &str) -> ColumnDef {
        ColumnDef::new(Alias::new(name)).text().take()
    }

    /// A count, a moment in microseconds or a process id that must be there.
    pub fn number(name: &str) -> ColumnDef {
        ColumnDef::new(Alias::new(name)).big_integer().not_null().take()
    }

    /// The same, absent allowed.
    pub fn number_null(name: &str) -> ColumnDef {
        ColumnDef::new(Alias::new(name)).big_integer().take()
    }

    /// A uid that must be there: 0 to 4,294,967,295.
    pub fn uid(name: &str) -> ColumnDef {
        number(name).check(Expr::col(Alias::new(name)).between(0i64, 4_294_967_295i64)).take()
    }

    /// A uid that may be absent.
    pub fn uid_null(name: &str) -> ColumnDef {
        number_null(name).check(Expr::col(Alias::new(name)).between(0i64, 4_294_967_295i64)).take()
    }

    /// One of these words.
    pub fn word(name: &str, words: &[&str]) -> ColumnDef {
        text(name).check(Expr::col(Alias::new(name)).is_in(words.iter().copied())).take()
    }

    /// One of these words, or absent.
    pub fn word_null(name: &str, words: &[&str]) -> ColumnDef {
        text_null(name).check(Expr::col(Alias::new(name)).is_in(words.iter().copied())).take()
    }
}
