//! Transactions in which earned promotions were redeemed.

use sea_orm::entity::prelude::*;

use crate::earning::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "redemptions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    /// Transaction identifier of the caller.
    #[sea_orm(primary_key, auto_increment = false)]
    pub transaction_identifier: String,
    pub customer_id: i64,
    /// Number of earned promotions that were redeemed.
    pub instances: i64,
    pub redeemed_at_ms: Timestamp,
    /// Digest of the content, with its version in front.
    pub digest: String,
    /// Content apart from the customer, as JSON; `storage/redemption_content.rs` writes and reads it.
    pub content: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
