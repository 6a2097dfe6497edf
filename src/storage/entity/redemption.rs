//! Transactions in which earned promotions were redeemed.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "redemptions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    /// The caller's.
    #[sea_orm(primary_key, auto_increment = false)]
    pub transaction_identifier: String,
    pub customer_id: i64,
    /// How many earned promotions were redeemed.
    pub instances: i64,
    pub redeemed_at_ms: i64,
    /// All that was told of it, as JSON: the same content has the same text.
    pub content: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
