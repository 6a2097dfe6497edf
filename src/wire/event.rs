//! What every message about an earning says of its event, and how requests about customers are refused.

use std::fmt::Display;

use super::payload::Payload;
use super::text::check_message_id;
use super::time::TimePair;
use super::violation::Violations;
use crate::earning::time::DAY_MS;
use crate::earning::{CustomerId, EarnedFromType};
use crate::proto;

/// Longest identifier of the caller's own: characters.
pub const MAX_ID_CHARACTERS: usize = 250;
/// Milliseconds by which an event or a transaction may be ahead of the server's clock.
pub const MAX_AHEAD_MS: i64 = DAY_MS;

/// Why a request is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its form is wrong, in these places.
    Invalid(Violations),
    /// Nothing but the customer id is wrong.
    InvalidCustomerId(i64),
    /// Nothing but the promotion id is wrong.
    InvalidPromotionId(String),
}

/// The customer of a request with no other fault than `violations`.
///
/// # Errors
/// Every fault there is.
pub fn customer(customer_id: i64, mut violations: Violations) -> Result<CustomerId, Fault> {
    if violations.is_empty() && customer_id <= 0 {
        return Err(Fault::InvalidCustomerId(customer_id));
    }
    check_message_id(&mut violations, "customerId", customer_id);
    violations.or_ok(CustomerId(customer_id)).map_err(Fault::Invalid)
}

/// When the event occurred.
pub fn read_event_time(ms: Option<i64>, iso: Option<&str>, now_ms: i64, violations: &mut Violations) -> Option<i64> {
    let event_time_ms = TimePair { field: "eventTime", ms, iso }.read(violations)?;
    if event_time_ms > now_ms.saturating_add(MAX_AHEAD_MS) {
        let field = if ms.is_some() { "eventTime" } else { "eventTimeISO" };
        violations.add(field, "must be at most 24 hours ahead of now");
    }
    Some(event_time_ms)
}

/// How a promotion is earned.
pub fn read_type(violations: &mut Violations, field: &str, number: i32) -> Option<EarnedFromType> {
    let given = proto::EarnedFromType::try_from(number).ok();
    let names = || EarnedFromType::ALL.map(EarnedFromType::name).join(", ");
    let read = given.and_then(|given| EarnedFromType::from_name(given.as_str_name()));
    one_of(violations, field, number, read, names)
}

/// `read`, of an enum field with this number; `None` is a fault.
pub fn one_of<T>(
    violations: &mut Violations,
    field: impl Display,
    number: i32,
    read: Option<T>,
    names: impl Fn() -> String,
) -> Option<T> {
    if read.is_none() {
        let problem = if number == 0 { "is required: one of" } else { "must be one of" };
        violations.add(field, format!("{problem} {}", names()));
    }
    read
}

/// The payload of an event as text.
pub fn read_payload(violations: &mut Violations, payload: Option<Payload>) -> Option<Box<str>> {
    match payload?.to_text() {
        Ok(text) => Some(text.into()),
        Err(fault) => {
            violations.add("eventDetails.eventPayload", fault);
            None
        }
    }
}

/// How it was earned, as the messages number it.
pub fn encode_type(earned_from_type: EarnedFromType) -> i32 {
    proto::EarnedFromType::from_str_name(earned_from_type.name()).unwrap_or_default() as i32
}
