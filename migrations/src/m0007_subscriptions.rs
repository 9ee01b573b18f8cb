//! Which agents are told when a session that they started stops. Only the agent that started a session may be, so there
//! is at most one a session.

use crate::column;
use sea_orm_migration::sea_query::{
    Alias, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement, Index, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0007_subscriptions"
    }
}

fn id(name: &str) -> Alias {
    Alias::new(name)
}

/// A row goes when either session goes.
fn to_session(column: &str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(id("subscriptions"), id(column))
        .to(id("sessions"), id("id"))
        .on_delete(ForeignKeyAction::Cascade)
        .take()
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(id("subscriptions"))
                .col(column::uuid("session"))
                .col(column::uuid("subscriber"))
                .col(column::number("created"))
                .col(column::text_null("seen"))
                .col(column::number_null("told"))
                .primary_key(Index::create().col(id("session")))
                .foreign_key(&mut to_session("session"))
                .foreign_key(&mut to_session("subscriber"))
                .take(),
        )
        .await?;
        // What goes with its subscriber is found by this.
        m.create_index(
            Index::create()
                .name("subscriptions_by_subscriber")
                .table(id("subscriptions"))
                .col(id("subscriber"))
                .take(),
        )
        .await
    }
}
