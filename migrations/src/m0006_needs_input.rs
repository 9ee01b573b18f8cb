//! What agents ask their persons, and what a session's hooks have told of its agent in this run.

use crate::column;
use sea_orm_migration::sea_query::{
    Alias, ColumnDef, ConditionalStatement, Expr, ExprTrait, ForeignKey, ForeignKeyAction,
    ForeignKeyCreateStatement, Index, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0006_needs_input"
    }
}

fn id(name: &str) -> Alias {
    Alias::new(name)
}

/// The rows go when their session goes.
fn of_session(table: &str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(id(table), id("session"))
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
        // Beside `activity`, whose words SQLite would not let grow: one that asks is idle in it.
        let asks = ColumnDef::new(id("asks")).boolean().not_null().default(false).take();
        m.alter_table(Table::alter().table(id("sessions")).add_column(asks).take()).await?;
        m.create_table(
            Table::create()
                .table(id("needs_input"))
                .col(column::uuid("id").primary_key())
                .col(column::uuid("session"))
                .col(column::word("kind", &["permission", "question"]))
                .col(column::text("asked"))
                .col(column::text("subject"))
                .col(column::text("options"))
                .col(column::number("since"))
                .col(column::word("state", &["open", "answered", "withdrawn"]))
                .col(column::text_null("answer"))
                .col(column::number_null("settled"))
                .foreign_key(&mut of_session("needs_input"))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("needs_input_open")
                .table(id("needs_input"))
                .col(id("session"))
                .and_where(Expr::col(id("state")).eq(Expr::cust("'open'")))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create().name("needs_input_session").table(id("needs_input")).col(id("session")).take(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table(id("hook_state"))
                .col(column::uuid("session").primary_key())
                .col(column::number("heard"))
                .col(column::text_null("transcript_path"))
                .foreign_key(&mut of_session("hook_state"))
                .take(),
        )
        .await
    }
}
