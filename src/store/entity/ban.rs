//! Rows of `bans`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bans")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub person: Option<Uuid>,
    pub uid: Option<i64>,
    pub until: Option<i64>,
    pub reason: Option<String>,
    pub by_name: String,
    pub created: i64,
    pub lifted: Option<i64>,
    pub source: String,
    pub count: i64,
    pub updated: i64,
    pub by_person: Option<Uuid>,
    pub lifted_by: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
