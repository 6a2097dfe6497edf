//! Counts: the number of unrevoked instances of a capped promotion that a customer holds.

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
    /// Number held; at most `cap`.
    pub used: i64,
    /// Cap at the last grant, or the number held when the count was made from the wallet.
    pub cap: i64,
    /// Cap period of the promotion in which `used` was counted. A count of another period is not used.
    pub cap_period: i64,
    /// Number that the last grant added, or the last revocation subtracted. A write brings this change in addition to
    /// `used`, so that an existing count can be adjusted by it.
    pub last_change: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
