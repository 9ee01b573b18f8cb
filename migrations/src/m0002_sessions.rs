//! Sessions and what belongs to one: activity, messages, effects still to be done, host leases. And the computers.

use crate::column;
use sea_orm_migration::sea_query::{
    Alias, ConditionalStatement, Expr, ExprTrait, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement,
    Index, IndexOrder, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0002_sessions"
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
        sessions(m).await?;

        m.create_table(
            Table::create()
                .table(id("activity"))
                .col(column::uuid("id").primary_key())
                .col(column::uuid("session"))
                .col(column::number("at"))
                .col(column::text("kind"))
                .col(column::text_null("detail"))
                .foreign_key(&mut of_session("activity"))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("activity_page")
                .table(id("activity"))
                .col(id("session"))
                .col((id("at"), IndexOrder::Desc))
                .col((id("id"), IndexOrder::Desc))
                .take(),
        )
        .await?;

        m.create_table(
            Table::create()
                .table(id("messages"))
                .col(column::uuid("id").primary_key())
                .col(column::uuid("session"))
                .col(column::text("text"))
                .col(column::text_null("client_id"))
                .col(sea_orm_migration::sea_query::ColumnDef::new(id("slash")).boolean().not_null())
                .col(column::word("state", &["pending", "delivered", "failed", "unknown"]))
                .col(column::number("created"))
                .col(column::number_null("settled"))
                .col(column::text_null("problem"))
                .foreign_key(&mut of_session("messages"))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("messages_client_id")
                .table(id("messages"))
                .col(id("session"))
                .col(id("client_id"))
                .unique()
                .and_where(Expr::col(id("client_id")).is_not_null())
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("messages_pending")
                .table(id("messages"))
                .col(id("session"))
                .col(id("created"))
                .col(id("id"))
                .and_where(Expr::col(id("state")).eq(Expr::cust("'pending'")))
                .take(),
        )
        .await?;

        m.create_table(
            Table::create()
                .table(id("outbox"))
                .col(column::uuid("id").primary_key())
                .col(column::text("computer"))
                .col(column::text("kind"))
                .col(column::uuid("session"))
                .col(column::text("payload"))
                .col(column::number("created"))
                .col(column::number_null("done"))
                .foreign_key(&mut of_session("outbox"))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("outbox_pending")
                .table(id("outbox"))
                .col(id("computer"))
                .col(id("created"))
                .col(id("id"))
                .and_where(Expr::col(id("done")).is_null())
                .take(),
        )
        .await?;

        m.create_table(
            Table::create()
                .table(id("hosts"))
                .col(column::uuid("session").primary_key())
                .col(column::text("computer"))
                .col(column::uuid("lease"))
                .col(column::number("pid"))
                .col(column::number("pid_started"))
                .col(column::number("claimed"))
                .foreign_key(&mut of_session("hosts"))
                .take(),
        )
        .await?;

        m.create_table(
            Table::create()
                .table(id("instances"))
                .col(column::text("computer").primary_key())
                .col(column::number("pid"))
                .col(column::number("started"))
                .col(column::text("version"))
                .col(column::number("seen"))
                .take(),
        )
        .await
    }
}

async fn sessions(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    m.create_table(
        Table::create()
            .table(id("sessions"))
            .col(column::uuid("id").primary_key())
            .col(column::text_null("title"))
            .col(column::uuid("owner"))
            .col(column::text("owner_name"))
            .col(column::uid("owner_uid"))
            .col(column::text("actor_name"))
            .col(column::text("computer"))
            .col(column::text_null("project"))
            .col(column::text("project_path"))
            .col(column::text_null("subdir"))
            .col(column::text("agent"))
            .col(column::word("thinking_mode", &["fast", "med", "slow"]))
            .col(column::word("profile", &["restricted", "full"]))
            .col(column::word("status", &["starting", "running", "ending", "ended"]))
            .col(column::word_null("activity", &["busy", "idle"]))
            .col(column::text_null("exit"))
            .col(column::uuid_null("parent"))
            .col(column::text_null("native_id"))
            .col(column::text_null("client_id"))
            .col(column::number("created"))
            .col(column::number("last_activity"))
            .col(column::number_null("ended"))
            .col(column::number_null("pid"))
            .col(sea_orm_migration::sea_query::ColumnDef::new(id("token_hash")).blob())
            .take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("sessions_mine")
            .table(id("sessions"))
            .col(id("owner"))
            .col(id("owner_uid"))
            .col((id("last_activity"), IndexOrder::Desc))
            .col((id("id"), IndexOrder::Desc))
            .take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("sessions_all")
            .table(id("sessions"))
            .col((id("last_activity"), IndexOrder::Desc))
            .col((id("id"), IndexOrder::Desc))
            .take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("sessions_open_on")
            .table(id("sessions"))
            .col(id("computer"))
            .col(id("id"))
            .and_where(Expr::col(id("status")).ne(Expr::cust("'ended'")))
            .take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("sessions_open_of")
            .table(id("sessions"))
            .col(id("owner"))
            .and_where(Expr::col(id("status")).ne(Expr::cust("'ended'")))
            .take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("sessions_client_id")
            .table(id("sessions"))
            .col(id("owner"))
            .col(id("client_id"))
            .unique()
            .and_where(Expr::col(id("client_id")).is_not_null())
            .take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("sessions_token_hash")
            .table(id("sessions"))
            .col(id("token_hash"))
            .unique()
            .take(),
    )
    .await?;
    m.create_index(
        Index::create()
            .name("sessions_parent")
            .table(id("sessions"))
            .col(id("parent"))
            .col((id("last_activity"), IndexOrder::Desc))
            .col((id("id"), IndexOrder::Desc))
            .and_where(Expr::col(id("parent")).is_not_null())
            .take(),
    )
    .await
}
