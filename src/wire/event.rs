//! The event of an earning, as every message tells it, and the violations of requests about customers.

use std::fmt::Display;

use strum::VariantNames as _;

use super::payload::Payload;
use super::text::check_message_id;
use super::time::TimePair;
use super::violation::Violations;
use crate::earning::limits::{bulk_earn_request, earn_request};
use crate::earning::{CustomerId, EarnedFromType, Timestamp};
use crate::proto;

/// The violation for which a request is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRequest {
    /// Violations of the form.
    Invalid(Violations),
    /// The customer id alone is invalid.
    InvalidCustomerId(i64),
    /// The promotion id alone is invalid.
    InvalidPromotionId(String),
}

/// Returns the customer of a request whose other violations are `violations`.
///
/// # Errors
/// Returns every violation of the request.
pub fn customer(customer_id: i64, mut violations: Violations) -> Result<CustomerId, InvalidRequest> {
    if violations.is_empty() && customer_id <= 0 {
        return Err(InvalidRequest::InvalidCustomerId(customer_id));
    }
    check_message_id(&mut violations, "customerId", customer_id);
    violations.or_ok(CustomerId(customer_id)).map_err(InvalidRequest::Invalid)
}

// Both ways to earn are read by the same checks.
const _: () =
    assert!(bulk_earn_request::EVENT_TIME_MAX_AHEAD.as_millis() == earn_request::EVENT_TIME_MAX_AHEAD.as_millis());

/// The circumstances in which a request was received.
#[derive(Debug)]
pub struct Reception {
    /// Time of the service.
    pub now: Timestamp,
    /// Violations that the JSON reader found; a field that it could not read is not reported again.
    pub found: Violations,
}

/// Returns the time of the event.
pub fn read_event_time(
    ms: Option<i64>,
    iso: Option<&str>,
    now: Timestamp,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let event_time = TimePair { field: "eventTime", ms, iso }.read(violations)?;
    if event_time > now + bulk_earn_request::EVENT_TIME_MAX_AHEAD {
        let field = if ms.is_some() { "eventTime" } else { "eventTimeISO" };
        violations.add(field, format!("must be at most 24 hours ahead of now, {now}: it is {event_time}"));
    }
    Some(event_time)
}

/// Returns the way in which a promotion is earned.
pub fn read_type(violations: &mut Violations, field: &str, number: i32) -> Option<EarnedFromType> {
    let given = proto::EarnedFromType::try_from(number).ok();
    let names = || EarnedFromType::VARIANTS.join(", ");
    let read = given.and_then(|given| given.as_str_name().parse().ok());
    EnumField { field, number }.one_of(violations, read, names)
}

/// An enum field: its path, and the number that it has.
#[derive(Debug)]
pub struct EnumField<F> {
    /// Path of the field.
    pub field: F,
    /// Number of its value.
    pub number: i32,
}

impl<F: Display> EnumField<F> {
    /// Returns `read`, the value of the field. Reports a violation with the names of the enum if it is `None`.
    pub fn one_of<T>(self, violations: &mut Violations, read: Option<T>, names: impl Fn() -> String) -> Option<T> {
        if read.is_none() {
            let problem = if self.number == 0 { "is required: one of" } else { "must be one of" };
            violations.add(self.field, format!("{problem} {}", names()));
        }
        read
    }
}

/// Returns the payload of an event as text.
pub fn read_payload(violations: &mut Violations, payload: Option<Payload>) -> Option<Box<str>> {
    match payload?.to_text() {
        Ok(text) => Some(text.into()),
        Err(problem) => {
            violations.add("eventDetails.eventPayload", problem);
            None
        }
    }
}

/// Returns the number that messages use for the way in which a promotion is earned.
pub fn encode_type(earned_from_type: EarnedFromType) -> i32 {
    proto::EarnedFromType::from_str_name(earned_from_type.name()).unwrap_or_default() as i32
}
