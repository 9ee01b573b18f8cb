//! People, their bans, and settings by uid.

use crate::column;
use sea_orm_migration::sea_query::{Alias, ConditionalStatement, Expr, ExprTrait, Index, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0001_people"
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
                .table(id("people"))
                .col(column::uuid("id").primary_key())
                .col(column::text_null("name"))
                .col(column::text_null("os_username"))
                .col(column::uid_null("uid"))
                .col(column::word_null("role", &["public", "newcomer", "contributor", "member", "admin"]))
                .col(column::word("status", &["active", "inactive", "suspended", "deleted"]))
                .col(column::number("first_seen"))
                .col(column::number("last_seen"))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create().name("people_name").table(id("people")).col(id("name")).unique().take(),
        )
        .await?;
        m.create_index(Index::create().name("people_uid").table(id("people")).col(id("uid")).unique().take())
            .await?;

        m.create_table(
            Table::create()
                .table(id("bans"))
                .col(column::uuid("id").primary_key())
                .col(column::uuid_null("person"))
                .col(column::uid_null("uid"))
                .col(column::number_null("until"))
                .col(column::text_null("reason"))
                .col(column::text("by_name"))
                .col(column::number("created"))
                .col(column::number_null("lifted"))
                .check(Expr::col(id("person")).is_not_null().or(Expr::col(id("uid")).is_not_null()))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("bans_active")
                .table(id("bans"))
                .col(id("created"))
                .and_where(Expr::col(id("lifted")).is_null())
                .take(),
        )
        .await?;

        m.create_table(
            Table::create()
                .table(id("settings"))
                .col(column::uid("uid"))
                .col(column::text("name"))
                .col(column::text("value"))
                .col(column::number("updated"))
                .primary_key(Index::create().col(id("uid")).col(id("name")))
                .take(),
        )
        .await
    }
}
