//! The wallet: earned promotions, one row per granted instance.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "earned_promotions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: i64,
    /// 24 lower-case hexadecimal digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub earn_id: String,
    pub promotion_id: String,
    pub event_id: String,
    pub earned_from_id: String,
    /// Which instance of its earning this is: 1, 2, …
    pub ordinal: i64,
    /// `BULK_ISSUE`, ACTIVITY, MILESTONE or REWARD.
    pub earned_from_type: String,
    pub event_time_ms: i64,
    pub valid_till_ms: i64,
    pub granted_at_ms: i64,
    /// UNLOCKED, REDEEMED or REVOKED.
    pub earned_status: String,
    /// When it was redeemed or revoked.
    pub changed_at_ms: Option<i64>,
    /// The transaction that redeemed it.
    pub transaction_identifier: Option<String>,
    /// Type of the event where it is not `earned_from_type`; on the first instance of an earning only.
    pub event_type: Option<String>,
    /// JSON object of the earning; on its first instance only.
    pub event_payload: Option<String>,
    /// Loyalty programme, its kind and partner programme with a space between; on the first instance only.
    pub supplementary_criteria: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
