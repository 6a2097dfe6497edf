//! The wallet: earned promotions, one row per instance.

use sea_orm::entity::prelude::*;

use super::stored::{Id, StoredCriteria, StoredEarnedFromType, StoredStatus};

use crate::earning::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "earned_promotions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub earn_id: Id,
    pub promotion_id: Id,
    pub event_id: String,
    pub earned_from_id: String,
    /// Ordinal of the instance within its earning: 1, 2, …
    pub ordinal: i64,
    pub earned_from_type: StoredEarnedFromType,
    pub event_time_ms: Timestamp,
    pub valid_till_ms: Timestamp,
    pub granted_at_ms: Timestamp,
    pub earned_status: StoredStatus,
    /// Time of the redemption or revocation.
    pub changed_at_ms: Option<Timestamp>,
    /// Transaction that redeemed the earned promotion.
    pub transaction_identifier: Option<String>,
    /// Type of the event if it differs from `earned_from_type`; on the first instance of an earning only.
    pub event_type: Option<String>,
    /// JSON object about the event; on the first instance of an earning only.
    pub event_payload: Option<String>,
    /// Supplementary loyalty program of the earning; on its first instance only.
    pub supplementary_criteria: Option<StoredCriteria>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Name of the index by earning key: organization, event, customer, promotion, `earned_from_id`, ordinal.
pub const EARNING_KEY: &str = "earned_promotions_earning_key";
/// Name of the index by which a wallet is listed: organization, customer, status, end of validity, earn id.
pub const LISTING: &str = "earned_promotions_listing";
