//! How often what daemons keep in memory has changed, so that every daemon on this database notices.

use crate::column;
use sea_orm_migration::sea_query::{Alias, Query, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0017_people_changes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let id = Alias::new;
        // One row a thing that is kept in memory; whoever changes it counts up, and waits for whoever does so now.
        m.create_table(
            Table::create()
                .table(id("versions"))
                .col(column::text("name").primary_key())
                .col(column::number("version"))
                .take(),
        )
        .await?;
        m.execute(
            Query::insert()
                .into_table(id("versions"))
                .columns([id("name"), id("version")])
                .values_panic(["people".into(), 0i64.into()])
                .take(),
        )
        .await
    }
}
