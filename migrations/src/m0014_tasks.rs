//! Work that people were given, and the trail of what became of it. `due` is the deadline, or the end of time where
//! there is none: so what is undated comes last in both engines, and one comparison finds what is overdue. An id is a
//! UUIDv7: its order is the order of creation.

use crate::column;
use sea_orm_migration::sea_query::{Alias, ConditionalStatement, Expr, ExprTrait, Index, IndexOrder, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0014_tasks"
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
        // People are no foreign keys: a task outlives who gave it.
        let completed = Expr::col(id("status")).eq("completed");
        let finished = completed.clone().and(Expr::col(id("completed")).is_not_null());
        let open = completed.not().and(Expr::col(id("completed")).is_null());
        m.create_table(
            Table::create()
                .table(id("tasks"))
                .col(column::uuid("id").primary_key())
                .col(column::uuid("assignee"))
                .col(column::uuid("creator"))
                .col(column::text("description"))
                .col(column::text("folded"))
                .col(column::number("due"))
                .col(column::word("status", &["pending", "accepted", "completed"]))
                .col(column::number("created"))
                .col(column::number("updated"))
                .col(column::number_null("completed"))
                .col(column::number("version").check(Expr::col(id("version")).gte(1i64)))
                .check(finished.or(open))
                .take(),
        )
        .await?;
        for (name, whose) in [
            ("tasks_open_of_assignee", Some("assignee")),
            ("tasks_open_of_creator", Some("creator")),
            ("tasks_open", None),
        ] {
            let mut index = Index::create().name(name).table(id("tasks")).take();
            if let Some(whose) = whose {
                index.col(id(whose));
            }
            index.col(id("due")).col(id("id")).and_where(Expr::col(id("completed")).is_null());
            m.create_index(index).await?;
        }
        for (name, whose) in [("tasks_of_assignee", "assignee"), ("tasks_of_creator", "creator")] {
            m.create_index(
                Index::create()
                    .name(name)
                    .table(id("tasks"))
                    .col(id(whose))
                    .col((id("id"), IndexOrder::Desc))
                    .take(),
            )
            .await?;
        }

        // The task is no foreign key: what is deleted leaves its trail.
        m.create_table(
            Table::create()
                .table(id("task_events"))
                .col(column::uuid("id").primary_key())
                .col(column::uuid("task"))
                .col(column::number("at"))
                .col(column::uuid_null("actor"))
                .col(column::text("actor_name"))
                .col(column::uuid("assignee"))
                .col(column::word(
                    "kind",
                    &["created", "accepted", "completed", "reopened", "edited", "deleted"],
                ))
                .col(column::text_null("detail"))
                .take(),
        )
        .await?;
        for (name, of) in [
            ("task_events_of_task", Some("task")),
            ("task_events_of_actor", Some("actor")),
            ("task_events_page", None),
        ] {
            let mut index = Index::create().name(name).table(id("task_events")).take();
            if let Some(of) = of {
                index.col(id(of));
            }
            index.col((id("at"), IndexOrder::Desc)).col((id("id"), IndexOrder::Desc));
            m.create_index(index).await?;
        }
        Ok(())
    }
}
