//! Labels of sessions; that a session is being purged; and indexes by which what is old is found.

use crate::column;
use sea_orm_migration::sea_query::{
    Alias, ConditionalStatement, Expr, ExprTrait, ForeignKey, ForeignKeyAction, Index, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0011_retention"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let id = Alias::new;
        m.create_table(
            Table::create()
                .table(id("session_labels"))
                .col(column::uuid("session"))
                .col(column::text("name"))
                .col(column::text("value"))
                .primary_key(Index::create().col(id("session")).col(id("name")))
                .foreign_key(
                    ForeignKey::create()
                        .from(id("session_labels"), id("session"))
                        .to(id("sessions"), id("id"))
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("session_labels_value")
                .table(id("session_labels"))
                .col(id("name"))
                .col(id("value"))
                .col(id("session"))
                .take(),
        )
        .await?;

        // Since when it is being purged; nobody is shown it any more.
        m.alter_table(Table::alter().table(id("sessions")).add_column(column::number_null("purge")).take())
            .await?;
        m.create_index(
            Index::create()
                .name("sessions_ended")
                .table(id("sessions"))
                .col(id("computer"))
                .col(id("ended"))
                .col(id("id"))
                .and_where(Expr::col(id("ended")).is_not_null())
                .take(),
        )
        .await?;
        // What goes with a session is found by it.
        for (name, table) in [("messages_session", "messages"), ("outbox_session", "outbox")] {
            m.create_index(Index::create().name(name).table(id(table)).col(id("session")).take()).await?;
        }
        m.create_index(Index::create().name("activity_old").table(id("activity")).col(id("at")).take()).await
    }
}
