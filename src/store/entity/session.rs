//! Rows of `sessions`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DeriveIden, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub title: Option<String>,
    pub owner: Uuid,
    pub owner_name: String,
    pub owner_uid: i64,
    pub actor_name: String,
    pub computer: String,
    pub project: Option<String>,
    pub project_path: String,
    pub subdir: Option<String>,
    pub agent: String,
    pub thinking_mode: String,
    pub profile: String,
    pub status: String,
    pub activity: Option<String>,
    pub asks: bool,
    pub exit: Option<String>,
    pub parent: Option<Uuid>,
    pub native_id: Option<String>,
    pub client_id: Option<String>,
    pub created: i64,
    pub last_activity: i64,
    pub ended: Option<i64>,
    pub worktree: bool,
    pub worktree_path: Option<String>,
    pub worktree_branch: Option<String>,
}

/// Columns that no row of a list needs: each that is read costs, 50 times a page.
#[derive(Copy, Clone, Debug, DeriveIden)]
pub enum Aside {
    Pid,
    TokenHash,
    Purge,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
