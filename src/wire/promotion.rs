//! A promotion of the catalog, in messages and files.

use std::fmt::Display;

use chrono_tz::Tz;
use strum::VariantNames as _;

use super::event::EnumField;
use super::json::{JsonMessage, read_parameters};
use super::text::{at_least_one, check_name, cut};
use super::time::{TimePair, to_iso};
use super::violation::Violations;
use crate::earning::draft::{CAP, EXPIRY};
use crate::earning::limits;
use crate::earning::{CapDraft, Expiry, ObjectId, OrgId, Promotion, PromotionDraft, PromotionType, Timestamp};
use crate::proto;

/// Limits the name of a promotion, in a call and in a file: characters.
const MAX_PROMOTION_NAME_CHARACTERS: usize = limits::promotion::NAME_MAX_LEN;
/// Limits N in "until the Nth day after" to a hundred years: days.
const MAX_EXPIRY_DAYS: i32 = limits::earn_expiry::DAYS_LTE;

/// Returns the paths of the fields of a promotion that a command sets, apart from its ids.
pub fn field_paths() -> Vec<String> {
    let paths = |name: &&'static str| match *name {
        "id" | "orgId" => Vec::new(),
        EXPIRY => proto::EarnExpiry::FIELDS.iter().map(|inner| format!("{EXPIRY}.{inner}")).collect(),
        name => vec![name.to_owned()],
    };
    proto::Promotion::FIELDS.iter().flat_map(paths).collect()
}

/// Reads the fields that a command gives into the message at `at`, as the parameters of a query are read.
pub fn read_fields<'a, M: JsonMessage>(
    message: &mut M,
    at: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Violations {
    let mut violations = Violations::default();
    for found in read_parameters(message, fields).as_slice() {
        violations.add(format_args!("{at}.{}", found.field), found.description.clone());
    }
    violations
}

/// Returns the id of a promotion. Reports an invalid id, and returns a placeholder for it.
pub fn promotion_id(field: impl Display, id: &str, violations: &mut Violations) -> ObjectId {
    ObjectId::parse(id).unwrap_or_else(|| {
        violations.add(field, format!("must be 24 hexadecimal digits, not {:?}", cut(id)));
        ObjectId([0; 12])
    })
}

/// Reads the promotion of a call, which requires its name, its type and its two dates. `at` is its path.
pub fn read_whole(at: &str, id: ObjectId, promotion: proto::Promotion, violations: &mut Violations) -> PromotionDraft {
    let neither = |ms: Option<i64>, iso: &Option<String>| ms.is_none() && iso.is_none();
    let missing = [
        ("startDate", neither(promotion.start_date, &promotion.start_date_iso)),
        ("endDate", neither(promotion.end_date, &promotion.end_date_iso)),
    ];
    let record = promotion.into();
    let draft = read(at, id, &record, violations);
    for (name, _) in missing.into_iter().filter(|(_, missing)| *missing) {
        TimePair { field: &format!("{at}.{name}"), ms: None, iso: None }.read(violations);
    }
    draft
}

impl From<proto::Promotion> for proto::FilePromotion {
    /// Returns the record with the fields of a message, without an audience.
    fn from(promotion: proto::Promotion) -> Self {
        Self {
            id: promotion.id,
            org_id: promotion.org_id,
            name: Some(promotion.name),
            r#type: Some(promotion.r#type),
            active: promotion.active,
            start_date: promotion.start_date,
            start_date_iso: promotion.start_date_iso,
            end_date: promotion.end_date,
            end_date_iso: promotion.end_date_iso,
            max_earning_per_customer: promotion.max_earning_per_customer,
            earn_expiry: promotion.earn_expiry,
            earn_limited_to_specific_audience: promotion.earn_limited_to_specific_audience,
            audience: None,
            unlimited_earning: promotion.unlimited_earning,
        }
    }
}

/// Reads a promotion that may omit any field. `at` is its path.
pub fn read(at: &str, id: ObjectId, record: &proto::FilePromotion, violations: &mut Violations) -> PromotionDraft {
    let field = |name: &str| format!("{at}.{name}");
    if let Some(name) = &record.name {
        check_name(violations, field("name"), name, MAX_PROMOTION_NAME_CHARACTERS);
    }
    let kind = record.r#type.and_then(|number| {
        let kind = proto::promotion::Type::try_from(number).ok();
        let kind = kind.and_then(|kind| kind.as_str_name().parse().ok());
        let names = || PromotionType::VARIANTS.join(", ");
        EnumField { field: field("type"), number }.one_of(violations, kind, names)
    });
    let start = read_time(&field("startDate"), record.start_date, record.start_date_iso.as_deref(), violations);
    let end = read_time(&field("endDate"), record.end_date, record.end_date_iso.as_deref(), violations);
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        violations.add(field("endDate"), "must not be before startDate");
    }
    let cap = record.max_earning_per_customer;
    let cap = cap.map(|cap| CapDraft::AtMost(at_least_one(field(CAP), cap, violations)));
    let unlimited = record.unlimited_earning.unwrap_or_default();
    if unlimited && cap.is_some() {
        violations.add(field("unlimitedEarning"), format!("must not be true together with {CAP}"));
    }
    PromotionDraft {
        id,
        name: record.name.clone(),
        kind,
        active: record.active,
        start,
        end,
        cap: cap.or(unlimited.then_some(CapDraft::Unlimited)),
        expiry: record.earn_expiry.map(|expiry| read_earn_expiry(&field(EXPIRY), expiry, violations)),
        limited_to_audience: record.earn_limited_to_specific_audience,
    }
}

/// Reads a time that may be absent.
fn read_time(field: &str, ms: Option<i64>, iso: Option<&str>, violations: &mut Violations) -> Option<Timestamp> {
    if ms.is_none() && iso.is_none() { None } else { TimePair { field, ms, iso }.read(violations) }
}

fn read_earn_expiry(at: &str, expiry: proto::EarnExpiry, violations: &mut Violations) -> Expiry {
    use proto::earn_expiry::Type;
    match (expiry.r#type(), expiry.days) {
        (Type::WithPromotion, None) => {}
        (Type::WithPromotion, Some(_)) => {
            violations.add(format_args!("{at}.days"), "goes with type DAYS_FROM_EARNING only");
        }
        (Type::DaysFromEarning, Some(days @ 1..=MAX_EXPIRY_DAYS)) => {
            return Expiry::DaysFromEarning(days.unsigned_abs());
        }
        (Type::DaysFromEarning, _) => {
            violations.add(format_args!("{at}.days"), format!("must be from 1 to {MAX_EXPIRY_DAYS}"));
        }
        (Type::Unspecified, _) => {
            violations.add(format_args!("{at}.type"), "is required: one of WITH_PROMOTION, DAYS_FROM_EARNING");
        }
    }
    Expiry::WithPromotion
}

/// Returns the message of a promotion. Writes ISO 8601 times in `zone`.
pub fn encode(org_id: OrgId, promotion: &Promotion, zone: Tz) -> proto::Promotion {
    use proto::earn_expiry::Type;
    let (rule, days) = match promotion.expiry {
        Expiry::WithPromotion => (Type::WithPromotion, None),
        Expiry::DaysFromEarning(days) => (Type::DaysFromEarning, i32::try_from(days).ok()),
    };
    let kind = proto::promotion::Type::from_str_name(promotion.kind.name()).unwrap_or_default();
    proto::Promotion {
        id: promotion.id.to_string(),
        org_id: Some(org_id.0),
        name: promotion.name.clone(),
        r#type: kind as i32,
        active: Some(promotion.active),
        start_date: Some(promotion.start.millis()),
        start_date_iso: Some(to_iso(promotion.start, zone)),
        end_date: Some(promotion.end.millis()),
        end_date_iso: Some(to_iso(promotion.end, zone)),
        max_earning_per_customer: promotion.cap.map(|cap| i32::try_from(cap).unwrap_or(i32::MAX)),
        earn_expiry: Some(proto::EarnExpiry { r#type: rule as i32, days }),
        earn_limited_to_specific_audience: Some(promotion.limited_to_audience),
        unlimited_earning: None,
    }
}

/// Returns the record of a promotion in a file, without its audience. Times are milliseconds, which lose nothing.
pub fn encode_record(org_id: OrgId, promotion: &Promotion) -> proto::FilePromotion {
    proto::FilePromotion {
        start_date_iso: None,
        end_date_iso: None,
        unlimited_earning: promotion.cap.is_none().then_some(true),
        ..encode(org_id, promotion, Tz::UTC).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{UnknownFields, from_slice};

    #[test]
    fn a_violation_of_each_term_is_listed_under_its_path() {
        for (record, field, message) in [
            (r#"{"maxEarningPerCustomer":0}"#, ".maxEarningPerCustomer", "must be 1 or more, not 0"),
            (
                r#"{"maxEarningPerCustomer":1,"unlimitedEarning":true}"#,
                ".unlimitedEarning",
                "must not be true together with maxEarningPerCustomer",
            ),
            (r#"{"earnExpiry":{}}"#, ".earnExpiry.type", "is required: one of WITH_PROMOTION, DAYS_FROM_EARNING"),
            (r#"{"earnExpiry":{"type":"DAYS_FROM_EARNING"}}"#, ".earnExpiry.days", "must be from 1 to 36500"),
            (
                r#"{"earnExpiry":{"type":"DAYS_FROM_EARNING","days":36501}}"#,
                ".earnExpiry.days",
                "must be from 1 to 36500",
            ),
            (
                r#"{"earnExpiry":{"type":"WITH_PROMOTION","days":1}}"#,
                ".earnExpiry.days",
                "goes with type DAYS_FROM_EARNING only",
            ),
            (r#"{"startDate":5,"endDate":4}"#, ".endDate", "must not be before startDate"),
        ] {
            let (record, mut violations) = from_slice(record.as_bytes(), UnknownFields::Refuse).unwrap();
            read("promotions[0]", ObjectId([0; 12]), &record, &mut violations);
            assert_eq!(violations, Violations::of(&format!("promotions[0]{field}"), message));
        }
    }
}
