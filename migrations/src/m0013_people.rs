//! What is kept of people beside their names: how they are called and reached, notes, warnings, what they are searched
//! by; and of bans how many there were and of which kind.

use crate::column;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend, Statement};
use sea_orm_migration::sea_query::{
    Alias, ColumnDef, ConditionalStatement, Expr, ExprTrait, Index, IndexOrder, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0013_people"
    }
}

fn id(name: &str) -> Alias {
    Alias::new(name)
}

const ROLES: &[&str] = &["public", "newcomer", "contributor", "member", "admin"];

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            column::text_null("full_name"),
            column::text_null("email"),
            column::text_null("phone"),
            column::text("notes").default("").take(),
            counted("warnings", 0),
            counted("created", 0),
            counted("updated", 0),
            // What a group of the config gave them when they were last seen.
            column::word_null("group_role", ROLES),
            column::text_null("name_folded"),
            column::text_null("os_username_folded"),
            column::text_null("full_name_folded"),
            column::text_null("email_folded"),
        ] {
            add(m, "people", column).await?;
        }
        fold(m).await?;
        for column in [
            column::word("source", &["admin", "warnings"]).default("admin").take(),
            counted("count", 1),
            counted("updated", 0),
            column::uuid_null("by_person"),
            column::text_null("lifted_by"),
        ] {
            add(m, "bans", column).await?;
        }
        m.get_connection().execute_unprepared("UPDATE bans SET updated = created").await?;
        indexes(m).await
    }
}

fn counted(name: &str, from: i64) -> ColumnDef {
    column::number(name).default(from).take()
}

async fn add(m: &SchemaManager<'_>, table: &str, column: ColumnDef) -> Result<(), DbErr> {
    m.alter_table(Table::alter().table(id(table)).add_column(column).take()).await
}

/// Whoever is there already is found like those who come: databases do not agree on what small letters are, so Rust
/// makes them.
async fn fold(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = m.get_connection();
    let backend = db.get_database_backend();
    db.execute_unprepared("UPDATE people SET created = first_seen, updated = first_seen").await?;
    let known = Statement::from_string(backend, "SELECT id, name, os_username FROM people");
    for row in db.query_all_raw(known).await? {
        let person: sea_orm_migration::sea_orm::prelude::Uuid = row.try_get("", "id")?;
        let name: Option<String> = row.try_get("", "name")?;
        let os_username: Option<String> = row.try_get("", "os_username")?;
        // SQLite has no type for what is bound; PostgreSQL must be told that an absent text is one.
        let text = if backend == DatabaseBackend::Postgres { "::text" } else { "" };
        let sql =
            format!("UPDATE people SET name_folded = $1{text}, os_username_folded = $2{text} WHERE id = $3");
        let values = [name.map(small).into(), os_username.map(small).into(), person.into()];
        db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

/// As the program that has this step folds text.
fn small(text: String) -> String {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

async fn indexes(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    for (name, table) in [("people_page", "people"), ("bans_page", "bans")] {
        m.create_index(
            Index::create()
                .name(name)
                .table(id(table))
                .col((id("created"), IndexOrder::Desc))
                .col((id("id"), IndexOrder::Desc))
                .take(),
        )
        .await?;
    }
    // What has changed since it was read.
    m.create_index(
        Index::create().name("people_updated").table(id("people")).col(id("updated")).col(id("id")).take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("people_visitors")
            .table(id("people"))
            .col(id("last_seen"))
            .col(id("id"))
            .and_where(Expr::col(id("name_folded")).is_null())
            .take(),
    )
    .await?;
    // Those with a name only: SQLite would take it for finding those without.
    m.create_index(
        Index::create()
            .name("people_name_folded")
            .table(id("people"))
            .col(id("name_folded"))
            .and_where(Expr::col(id("name_folded")).is_not_null())
            .take(),
    )
    .await?;
    for (name, column) in
        [("people_os_username", "os_username"), ("people_os_username_folded", "os_username_folded")]
    {
        m.create_index(Index::create().name(name).table(id("people")).col(id(column)).take()).await?;
    }
    // An address is one person's, as long as they are not gone.
    m.create_index(
        Index::create()
            .name("people_email")
            .table(id("people"))
            .col(id("email_folded"))
            .unique()
            .and_where(Expr::col(id("email_folded")).is_not_null())
            .and_where(Expr::col(id("status")).ne(Expr::cust("'deleted'")))
            .take(),
    )
    .await?;
    for (name, column) in [("bans_person", "person"), ("bans_uid", "uid")] {
        m.create_index(
            Index::create()
                .name(name)
                .table(id("bans"))
                .col(id(column))
                .and_where(Expr::col(id("lifted")).is_null())
                .take(),
        )
        .await?;
    }
    Ok(())
}
