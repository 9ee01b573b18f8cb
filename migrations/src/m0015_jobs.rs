//! What the daemon does now and then by itself: when each job was done last and is to be done next, a row a computer and
//! job; and on which day people were last told of which task.

use crate::column;
use sea_orm_migration::sea_query::{Alias, Expr, ExprTrait, Index, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0015_jobs"
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
                .table(id("jobs"))
                .col(column::text("computer"))
                .col(column::text("name"))
                .col(column::number_null("last_started"))
                .col(column::number_null("last_finished"))
                .col(column::number_null("last_ok"))
                .col(column::text_null("error"))
                .col(column::number("next_run"))
                .col(column::number("runs").check(Expr::col(id("runs")).gte(0i64)))
                .col(column::number("failures").check(Expr::col(id("failures")).gte(0i64)))
                .primary_key(Index::create().col(id("computer")).col(id("name")))
                .take(),
        )
        .await?;
        // The task is no foreign key: of one that is deleted the row goes with the days.
        m.create_table(
            Table::create()
                .table(id("task_reminders"))
                .col(column::uuid("task").primary_key())
                .col(column::text("day"))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create().name("task_reminders_day").table(id("task_reminders")).col(id("day")).take(),
        )
        .await
    }
}
