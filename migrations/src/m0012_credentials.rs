//! People's own API keys, encrypted, and which encryption keys there were. A key itself is never here.

use crate::column;
use sea_orm_migration::sea_query::{Alias, ColumnDef, ForeignKey, ForeignKeyAction, Index, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0012_credentials"
    }
}

fn id(name: &str) -> Alias {
    Alias::new(name)
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(id("encryption_keys"))
                .col(column::text("computer"))
                .col(column::text("id"))
                .col(column::number("created"))
                .col(column::number_null("retired"))
                .primary_key(Index::create().col(id("computer")).col(id("id")))
                .take(),
        )
        .await?;

        // `holder` says in one text whose it is, since person and uid are both absent where it is the system's.
        m.create_table(
            Table::create()
                .table(id("credentials"))
                .col(column::text("computer"))
                .col(column::text("holder"))
                .col(column::text("name"))
                .col(column::uuid_null("person"))
                .col(column::uid_null("uid"))
                .col(column::text("key_id"))
                .col(ColumnDef::new(id("nonce")).blob().not_null())
                .col(ColumnDef::new(id("sealed")).blob().not_null())
                .col(column::number("created"))
                .col(column::number("updated"))
                .primary_key(Index::create().col(id("computer")).col(id("holder")).col(id("name")))
                .foreign_key(
                    ForeignKey::create()
                        .from(id("credentials"), id("person"))
                        .to(id("people"), id("id"))
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("credentials_key")
                .table(id("credentials"))
                .col(id("computer"))
                .col(id("key_id"))
                .col(id("holder"))
                .col(id("name"))
                .take(),
        )
        .await?;
        // For the day a person is purged.
        m.create_index(
            Index::create().name("credentials_person").table(id("credentials")).col(id("person")).take(),
        )
        .await
    }
}
