//! Promotions of the catalog: the table, and its rows from and to the promotions of the rules.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::Iterable as _;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use super::stored::{Id, StoredPromotionType, count};
use crate::earning::{EarnExpiry, Promotion, Timestamp};

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
    pub start_ms: Timestamp,
    /// Last millisecond of the promotion.
    pub end_ms: Timestamp,
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

impl From<Model> for Promotion {
    fn from(row: Model) -> Self {
        Self {
            id: row.id.0,
            name: row.name,
            kind: row.kind.into(),
            active: row.active,
            start: row.start_ms,
            end: row.end_ms,
            cap: row.max_earning_per_customer.map(count),
            cap_period: row.cap_period,
            expiry: expiry(row.earn_expiry_days.map(count)),
            limited_to_audience: row.earn_limited_to_specific_audience,
            earned: row.earned,
        }
    }
}

impl From<&Promotion> for ActiveModel {
    /// Returns the row of a promotion, without its organization.
    fn from(promotion: &Promotion) -> Self {
        Self {
            org_id: NotSet,
            id: Set(Id(promotion.id)),
            name: Set(promotion.name.clone()),
            kind: Set(promotion.kind.into()),
            active: Set(promotion.active),
            start_ms: Set(promotion.start),
            end_ms: Set(promotion.end),
            max_earning_per_customer: Set(promotion.cap.map(Into::into)),
            cap_period: Set(promotion.cap_period),
            earn_expiry_days: Set(match promotion.expiry {
                EarnExpiry::WithPromotion => None,
                EarnExpiry::DaysFromEarning(days) => Some(days.into()),
            }),
            earn_limited_to_specific_audience: Set(promotion.limited_to_audience),
            earned: Set(promotion.earned),
        }
    }
}

/// Returns the rule that `days` of the column `earn_expiry_days` state.
pub fn expiry(days: Option<u32>) -> EarnExpiry {
    days.map_or(EarnExpiry::WithPromotion, EarnExpiry::DaysFromEarning)
}

/// Returns the action of an insertion whose promotion is recorded already: everything is replaced but the key, and
/// whether it was earned, which only earning sets.
pub fn replace_recorded() -> OnConflict {
    let kept = |column: &Column| matches!(column, Column::OrgId | Column::Id | Column::Earned);
    OnConflict::columns([Column::OrgId, Column::Id])
        .update_columns(Column::iter().filter(|each| !kept(each)))
        .to_owned()
}
