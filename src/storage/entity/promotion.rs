//! Promotions of the catalog: the table, and its rows from and to the promotions of the rules.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::Iterable as _;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use super::stored::{Id, StoredPromotionType, count};
use crate::earning::{Expiry, Promotion, Timestamp};

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
    #[sea_orm(column_name = "max_earning_per_customer")]
    pub cap: Option<i64>,
    /// Number of times that a cap was set after the promotion had been earned without one. Counts of an earlier cap
    /// period are not used.
    pub cap_period: i64,
    /// N of "until the Nth day after the event's day"; null if earned promotions are valid until `end_ms`.
    #[sea_orm(column_name = "earn_expiry_days")]
    pub expiry_days: Option<i64>,
    #[sea_orm(column_name = "earn_limited_to_specific_audience")]
    pub limited_to_audience: bool,
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
            cap: row.cap.map(count),
            cap_period: row.cap_period,
            expiry: expiry(row.expiry_days.map(count)),
            limited_to_audience: row.limited_to_audience,
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
            cap: Set(promotion.cap.map(Into::into)),
            cap_period: Set(promotion.cap_period),
            expiry_days: Set(match promotion.expiry {
                Expiry::WithPromotion => None,
                Expiry::DaysFromEarning(days) => Some(days.into()),
            }),
            limited_to_audience: Set(promotion.limited_to_audience),
            earned: Set(promotion.earned),
        }
    }
}

/// Returns the rule that the days of a row state.
pub fn expiry(days: Option<u32>) -> Expiry {
    days.map_or(Expiry::WithPromotion, Expiry::DaysFromEarning)
}

/// Returns the action of an insertion whose promotion is recorded already: everything is replaced but the key, and
/// whether it was earned, which only earning sets.
pub fn replace_recorded() -> OnConflict {
    let kept = |column: &Column| matches!(column, Column::OrgId | Column::Id | Column::Earned);
    OnConflict::columns([Column::OrgId, Column::Id])
        .update_columns(Column::iter().filter(|each| !kept(each)))
        .to_owned()
}
