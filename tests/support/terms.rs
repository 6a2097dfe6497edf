//! The terms of a promotion as requests, files, answers, commands and rows spell them. Tests and the bench spell them here alone.

use serde_json::{Value, json};

/// Name of the cap in messages.
pub const CAP: &str = "maxEarningPerCustomer";
/// Name in messages of the field that removes the cap.
pub const UNLIMITED: &str = "unlimitedEarning";
/// Name in messages of the rule that sets the validity of an earned promotion.
pub const EXPIRY: &str = "earnExpiry";
/// Name in messages of the limitation to an audience.
pub const LIMITED: &str = "earnLimitedToSpecificAudience";

/// Column of the cap.
pub const CAP_COLUMN: &str = "max_earning_per_customer";
/// Column of the days in the rule that sets the validity.
pub const EXPIRY_COLUMN: &str = "earn_expiry_days";
/// Column of the limitation to an audience.
pub const LIMITED_COLUMN: &str = "earn_limited_to_specific_audience";

/// Returns the term of a cap; null is no statement about the cap.
pub fn cap(most: impl Into<Value>) -> Value {
    json!({CAP: most.into()})
}

/// Returns the term of no cap, which removes a recorded one.
pub fn unlimited() -> Value {
    json!({UNLIMITED: true})
}

/// Returns the term of a cap, or of none.
pub fn cap_or_none(most: Option<i64>) -> Value {
    most.map_or_else(unlimited, cap)
}

/// Returns the term of a validity to the end of the promotion.
pub fn to_its_end() -> Value {
    json!({EXPIRY: {"type": "WITH_PROMOTION"}})
}

/// Returns the term of a validity of some days.
pub fn days(days: i64) -> Value {
    json!({EXPIRY: {"type": "DAYS_FROM_EARNING", "days": days}})
}

/// Returns the term of a limitation to the audience, or of none.
pub fn limited(limited: bool) -> Value {
    json!({LIMITED: limited})
}

/// Returns all terms that an answer shows of a promotion without a cap, by default.
pub fn defaults() -> Value {
    with(to_its_end(), &limited(false))
}

/// Returns the fields of a promotion as the command line takes them, a field of a field by its path.
pub fn arguments(fields: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let of_field = |(name, value): (&String, &Value)| match value {
        Value::Object(_) => arguments(value).iter().map(|inner| format!("{name}.{inner}")).collect(),
        value => vec![format!("{name}={}", text(value))],
    };
    fields.as_object().unwrap().iter().flat_map(of_field).collect()
}

/// Sets these fields of a promotion.
pub fn set(promotion: &mut Value, terms: &Value) {
    let fields = terms.as_object().unwrap().clone();
    promotion.as_object_mut().unwrap().extend(fields);
}

/// Returns the promotion with these fields.
pub fn with(mut promotion: Value, terms: &Value) -> Value {
    set(&mut promotion, terms);
    promotion
}
