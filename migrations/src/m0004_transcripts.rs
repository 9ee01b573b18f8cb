//! What was said and done in sessions, copied from the agents' own logs; from which files; and what it cost.

use crate::column;
use sea_orm_migration::sea_query::{
    Alias, ColumnDef, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement, Index, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0004_transcripts"
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

fn flag(name: &str) -> ColumnDef {
    ColumnDef::new(id(name)).boolean().not_null().take()
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(id("transcript_entries"))
                .col(column::uuid("session"))
                .col(column::number("seq"))
                .col(column::number_null("at"))
                .col(column::word("speaker", &["user", "assistant", "system", "tool"]))
                .col(column::word("kind", &["text", "thinking", "tool_call", "tool_result", "notice"]))
                .col(column::text_null("tool"))
                .col(flag("failed"))
                .col(flag("sub_agent"))
                .col(column::text("text"))
                .primary_key(Index::create().col(id("session")).col(id("seq")))
                .foreign_key(&mut of_session("transcript_entries"))
                .take(),
        )
        .await?;

        // The logs a session's entries came from, in their order; `entries_before` is where its own begin.
        m.create_table(
            Table::create()
                .table(id("transcript_files"))
                .col(column::uuid("session"))
                .col(column::number("place"))
                .col(column::text("path"))
                .col(column::number("entries_before"))
                .col(column::number("usage_before"))
                .col(column::number("first_seen"))
                .primary_key(Index::create().col(id("session")).col(id("place")))
                .foreign_key(&mut of_session("transcript_files"))
                .take(),
        )
        .await?;

        m.create_table(
            Table::create()
                .table(id("usage"))
                .col(column::uuid("session"))
                .col(column::number("seq"))
                .col(column::number_null("at"))
                .col(column::text_null("model"))
                .col(column::number("input"))
                .col(column::number("cached"))
                .col(column::number("output"))
                .primary_key(Index::create().col(id("session")).col(id("seq")))
                .foreign_key(&mut of_session("usage"))
                .take(),
        )
        .await
    }
}
