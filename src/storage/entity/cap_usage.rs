//! How many of a capped promotion each customer holds. There is no row where there is no cap.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cap_usage")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub promotion_id: String,
    /// How many the customer holds; never more than `cap`.
    pub used: i64,
    /// The cap under which the last one was granted, or what was found held when the cap was set below it.
    pub cap: i64,
    /// When `used` was last counted from the wallet: since then every writer adds to it.
    pub counted_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
