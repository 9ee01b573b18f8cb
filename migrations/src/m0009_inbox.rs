//! The inbox of each person, and the index by which people find who read what of theirs. A notice stands at a place of
//! its own in its person's inbox: the order of arrival, whatever the clock says.

use crate::column;
use sea_orm_migration::sea_query::{Alias, ConditionalStatement, Expr, ExprTrait, Index, IndexOrder, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0009_inbox"
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
        // The session and the sender are no foreign keys: what is purged leaves its trail.
        m.create_table(
            Table::create()
                .table(id("inbox"))
                .col(column::uuid("id").primary_key())
                .col(column::uuid("person"))
                .col(column::uid_null("uid"))
                .col(column::number("place"))
                .col(column::text_null("sender"))
                .col(column::number("at"))
                .col(column::number_null("read_at"))
                .col(column::word("kind", &["access", "message", "summary", "task"]))
                .col(column::text("text"))
                .col(column::uuid_null("session"))
                .col(column::number("times").check(Expr::col(id("times")).gte(1i64)))
                .take(),
        )
        .await?;
        for (name, unread) in [("inbox_page", false), ("inbox_unread", true)] {
            let mut index = Index::create()
                .name(name)
                .table(id("inbox"))
                .col(id("person"))
                .col((id("place"), IndexOrder::Desc))
                .col((id("id"), IndexOrder::Desc))
                .take();
            if unread {
                index.and_where(Expr::col(id("read_at")).is_null());
            }
            m.create_index(index).await?;
        }
        m.create_index(
            Index::create()
                .name("inbox_session")
                .table(id("inbox"))
                .col(id("person"))
                .col(id("session"))
                .and_where(Expr::col(id("session")).is_not_null())
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("audit_log_target")
                .table(id("audit_log"))
                .col(id("target_id"))
                .col((id("at"), IndexOrder::Desc))
                .col((id("computer"), IndexOrder::Desc))
                .col((id("seq"), IndexOrder::Desc))
                .and_where(Expr::col(id("target_id")).is_not_null())
                .take(),
        )
        .await
    }
}
