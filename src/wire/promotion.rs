//! A promotion of the catalogue, as messages and files tell it.

use std::fmt::Display;

use chrono_tz::Tz;

use super::event::one_of;
use super::text::{at_least_one, check_text};
use super::time::{TimePair, to_iso};
use super::violation::Violations;
use crate::earning::{EarnExpiry, ObjectId, OrgId, Promotion, PromotionType};
use crate::proto;

const MAX_PROMOTION_NAME_CHARACTERS: usize = 50;
/// Highest N of "until the Nth day after": a hundred years.
const MAX_EXPIRY_DAYS: i32 = 36_500;

/// The id of a promotion; of what is none, one that stands for it.
pub fn promotion_id(field: impl Display, id: &str, violations: &mut Violations) -> ObjectId {
    ObjectId::parse(id).unwrap_or_else(|| {
        violations.add(field, "must be 24 hexadecimal digits");
        ObjectId([0; 12])
    })
}

/// The promotion that `promotion` tells, with this `id` and without history. `at` is its path.
pub fn read(at: &str, id: ObjectId, promotion: proto::Promotion, violations: &mut Violations) -> Promotion {
    let field = |name: &str| format!("{at}.{name}");
    check_text(violations, field("name"), &promotion.name, MAX_PROMOTION_NAME_CHARACTERS);
    let kind = proto::promotion::Type::try_from(promotion.r#type).ok();
    let kind = kind.and_then(|kind| PromotionType::from_name(kind.as_str_name()));
    let names = || PromotionType::ALL.map(PromotionType::name).join(", ");
    let kind = one_of(violations, field("type"), promotion.r#type, kind, names).unwrap_or(PromotionType::Earning);
    let (start, end) = (field("startDate"), field("endDate"));
    let start_ms = TimePair { field: &start, ms: promotion.start_date, iso: promotion.start_date_iso.as_deref() };
    let end_ms = TimePair { field: &end, ms: promotion.end_date, iso: promotion.end_date_iso.as_deref() };
    let (start_ms, end_ms) = (start_ms.read(violations), end_ms.read(violations));
    if let (Some(start_ms), Some(end_ms)) = (start_ms, end_ms)
        && end_ms < start_ms
    {
        violations.add(&end, "must not be before startDate");
    }
    let cap = promotion.max_earning_per_customer;
    Promotion {
        id,
        name: promotion.name,
        kind,
        active: promotion.active.unwrap_or(true),
        start_ms: start_ms.unwrap_or_default(),
        end_ms: end_ms.unwrap_or_default(),
        max_earning_per_customer: cap.map(|cap| at_least_one(field("maxEarningPerCustomer"), cap, violations)),
        earn_expiry: read_earn_expiry(&field("earnExpiry"), promotion.earn_expiry, violations),
        cap_period: 0,
        limited_to_audience: promotion.earn_limited_to_specific_audience,
        earned: false,
    }
}

fn read_earn_expiry(at: &str, expiry: Option<proto::EarnExpiry>, violations: &mut Violations) -> EarnExpiry {
    use proto::earn_expiry::Type;
    let Some(expiry) = expiry else { return EarnExpiry::WithPromotion };
    match (expiry.r#type(), expiry.days) {
        (Type::WithPromotion, None) => {}
        (Type::WithPromotion, Some(_)) => {
            violations.add(format_args!("{at}.days"), "goes with type DAYS_FROM_EARNING only");
        }
        (Type::DaysFromEarning, Some(days @ 1..=MAX_EXPIRY_DAYS)) => {
            return EarnExpiry::DaysFromEarning(days.unsigned_abs());
        }
        (Type::DaysFromEarning, _) => {
            violations.add(format_args!("{at}.days"), format!("must be from 1 to {MAX_EXPIRY_DAYS}"));
        }
        (Type::Unspecified, _) => {
            violations.add(format_args!("{at}.type"), "is required: one of WITH_PROMOTION, DAYS_FROM_EARNING");
        }
    }
    EarnExpiry::WithPromotion
}

/// The promotion as messages tell it; times are also written in the `zone` of the server.
pub fn encode(org_id: OrgId, promotion: &Promotion, zone: Tz) -> proto::Promotion {
    use proto::earn_expiry::Type;
    let (rule, days) = match promotion.earn_expiry {
        EarnExpiry::WithPromotion => (Type::WithPromotion, None),
        EarnExpiry::DaysFromEarning(days) => (Type::DaysFromEarning, i32::try_from(days).ok()),
    };
    let kind = proto::promotion::Type::from_str_name(promotion.kind.name()).unwrap_or_default();
    proto::Promotion {
        id: promotion.id.to_string(),
        org_id: Some(org_id.0),
        name: promotion.name.clone(),
        r#type: kind as i32,
        active: Some(promotion.active),
        start_date: Some(promotion.start_ms),
        start_date_iso: Some(to_iso(promotion.start_ms, zone)),
        end_date: Some(promotion.end_ms),
        end_date_iso: Some(to_iso(promotion.end_ms, zone)),
        max_earning_per_customer: promotion.max_earning_per_customer.map(|cap| i32::try_from(cap).unwrap_or(i32::MAX)),
        earn_expiry: Some(proto::EarnExpiry { r#type: rule as i32, days }),
        earn_limited_to_specific_audience: promotion.limited_to_audience,
    }
}
