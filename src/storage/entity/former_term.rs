//! Terms under which promotions were earned before the terms changed; `verify` compares older earned promotions with
//! them.

use sea_orm::entity::prelude::*;

use super::stored::Id;

use crate::earning::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "former_terms")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub promotion_id: Id,
    /// End of the promotion at that time.
    #[sea_orm(primary_key, auto_increment = false)]
    pub end_ms: Timestamp,
    /// Time zone of the organization at that time, by its IANA name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub time_zone: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
