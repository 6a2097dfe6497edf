//! Promotions of the catalog.

use sea_orm::entity::prelude::*;

use super::stored::{Id, StoredPromotionType};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "promotions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    pub name: String,
    #[sea_orm(column_name = "type")]
    pub kind: StoredPromotionType,
    pub active: bool,
    pub start_ms: i64,
    /// Last millisecond of the promotion.
    pub end_ms: i64,
    /// Cap; null without a cap.
    pub max_earning_per_customer: Option<i64>,
    /// Number of times that a cap was set after the promotion had been earned without one. Counts of an earlier cap
    /// period are not used.
    pub cap_period: i64,
    /// N of "until the Nth day after the event's day"; null if earned promotions are valid until `end_ms`.
    pub earn_expiry_days: Option<i64>,
    pub earn_limited_to_specific_audience: bool,
    /// True once the promotion was earned.
    pub earned: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
