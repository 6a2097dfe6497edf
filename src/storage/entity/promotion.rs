//! Promotions of the catalogue.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "promotions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org_id: i64,
    /// 24 lower-case hexadecimal digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub name: String,
    /// POS, CODE, CUSTOMER, EARNING or REWARD.
    #[sea_orm(column_name = "type")]
    pub kind: String,
    pub active: bool,
    pub start_ms: i64,
    /// Inclusive.
    pub end_ms: i64,
    /// Null: no cap.
    pub max_earning_per_customer: Option<i64>,
    /// When it was given a cap that it had not from its beginning. Null: it never was.
    pub capped_since_ms: Option<i64>,
    /// N of "until the Nth day after the event's day". Null: valid until `end_ms`.
    pub earn_expiry_days: Option<i64>,
    pub earn_limited_to_specific_audience: bool,
    /// When its type, end, cap or expiry, or its organization's zone, last changed. Null: they are those of its beginning.
    pub rules_changed_at_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
