//! A session's own worktree of its project: whether it has one, where it stands, and its branch.

use crate::column;
use sea_orm_migration::sea_query::{Alias, ColumnDef, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0005_worktrees"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let wanted = ColumnDef::new(Alias::new("worktree")).boolean().not_null().default(false).take();
        // SQLite adds one column at a time.
        for column in [wanted, column::text_null("worktree_path"), column::text_null("worktree_branch")] {
            m.alter_table(Table::alter().table(Alias::new("sessions")).add_column(column).take()).await?;
        }
        Ok(())
    }
}
