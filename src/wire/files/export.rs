//! The records of an export, as an import reads them.

use super::super::promotion::encode_record;
use crate::earning::{CustomerId, Org, OrgId, Promotion};
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

/// Returns the record of a promotion with its audience.
pub fn promotion(org_id: OrgId, promotion: &Promotion, audience: &[CustomerId]) -> proto::FilePromotion {
    proto::FilePromotion {
        audience: Some(proto::Audience { values: audience.iter().map(|customer| customer.0).collect() }),
        ..encode_record(org_id, promotion)
    }
}

/// Returns the record of a customer.
pub fn customer(org_id: OrgId, customer_id: CustomerId) -> proto::Customer {
    proto::Customer { org_id: Some(org_id.0), customer_id: Some(customer_id.0) }
}
