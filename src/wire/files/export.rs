//! The records of an export, as an import reads them.

use crate::earning::{CustomerId, EarnExpiry, Org, OrgId, Promotion};
use crate::proto;

/// Returns the record of an organization.
pub fn org(org: &Org) -> proto::Org {
    proto::Org {
        id: Some(org.id.0),
        name: Some(org.name.clone()),
        time_zone: Some(org.time_zone.name().to_owned()),
        max_active_promotions: Some(i32::try_from(org.max_active_promotions).unwrap_or(i32::MAX)),
        accept_unknown_customers: Some(org.accept_unknown_customers),
    }
}

/// Returns the record of a promotion with its audience. Times are milliseconds, which lose nothing.
pub fn promotion(org_id: OrgId, promotion: &Promotion, audience: &[CustomerId]) -> proto::FilePromotion {
    use proto::earn_expiry::Type;
    let (rule, days) = match promotion.expiry {
        EarnExpiry::WithPromotion => (Type::WithPromotion, None),
        EarnExpiry::DaysFromEarning(days) => (Type::DaysFromEarning, i32::try_from(days).ok()),
    };
    let cap = promotion.cap.map(|cap| i32::try_from(cap).unwrap_or(i32::MAX));
    let kind = proto::promotion::Type::from_str_name(promotion.kind.name()).unwrap_or_default();
    proto::FilePromotion {
        id: promotion.id.to_string(),
        org_id: Some(org_id.0),
        name: Some(promotion.name.clone()),
        r#type: Some(kind as i32),
        active: Some(promotion.active),
        start_date: Some(promotion.start.millis()),
        start_date_iso: None,
        end_date: Some(promotion.end.millis()),
        end_date_iso: None,
        max_earning_per_customer: cap,
        earn_expiry: Some(proto::EarnExpiry { r#type: rule as i32, days }),
        earn_limited_to_specific_audience: Some(promotion.limited_to_audience),
        audience: Some(proto::Audience { values: audience.iter().map(|customer| customer.0).collect() }),
        unlimited_earning: cap.is_none().then_some(true),
    }
}

/// Returns the record of a customer.
pub fn customer(org_id: OrgId, customer_id: CustomerId) -> proto::Customer {
    proto::Customer { org_id: Some(org_id.0), customer_id: Some(customer_id.0) }
}
