//! Rows of `people`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "people")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: Option<String>,
    pub os_username: Option<String>,
    pub uid: Option<i64>,
    pub role: Option<String>,
    pub status: String,
    pub first_seen: i64,
    pub last_seen: i64,
    pub full_name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub notes: String,
    pub warnings: i64,
    pub created: i64,
    pub updated: i64,
    pub group_role: Option<String>,
    pub name_folded: Option<String>,
    pub os_username_folded: Option<String>,
    pub full_name_folded: Option<String>,
    pub email_folded: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
