//! Counts of the earned promotions that each customer holds of a capped promotion, revoked ones left out.

use sea_orm::entity::prelude::*;

use super::stored::Id;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cap_usage")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub promotion_id: Id,
    /// Number held; never more than `cap`.
    pub used: i64,
    /// The cap under which the last one was granted, or the number held when the cap was set below it.
    pub cap: i64,
    /// The promotion's `cap_period` in which `used` was counted. A count of another period is not used.
    pub cap_period: i64,
    /// Number that the last grant added, or the last revocation took off. A write carries it beside the number held, of
    /// which it is the part that is new.
    pub last_change: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
