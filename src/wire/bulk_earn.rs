//! The command of a request to `EarnService.BulkEarn`, with every violation of its form, and the response of an
//! outcome.

use std::sync::Arc;

use chrono_tz::Tz;
use foldhash::{HashMap, HashMapExt};

use super::count;
use super::event::{InvalidRequest, Reception, customer, encode_type, read_event_time, read_payload, read_type};
use super::payload::Payload;
use super::response_size::{payload_fits, payload_room, payload_text_room};
use super::text::check_text;
use super::time::IsoTimes;
use super::violation::Violations;
use crate::earning::limits::{bulk_earn_request, event_details, promotion_to_earn};
use crate::earning::{BulkEarn, Details, EarnedFromType, Entry, EntryOutcome, ObjectId, OrgId, Timestamp};
use crate::proto;

/// Limits of one request and of its response.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Entries of one request.
    pub max_entries: usize,
    /// Sum of the earn counts of one request.
    pub max_earn_count: u32,
    /// Length of a response that grows with the request or with the rows found: bytes.
    pub max_response_bytes: usize,
}

impl RequestLimits {
    /// Entries, unless the operator says otherwise.
    pub const MAX_ENTRIES: usize = bulk_earn_request::EARNED_PROMOTIONS_MAX_ITEMS;
    /// Sum of the earn counts, unless the operator says otherwise.
    pub const MAX_EARN_COUNT: u32 = promotion_to_earn::EARN_COUNT_MAX_TOTAL;
}

/// Returns the command of `request`, for a caller of `org_id`.
///
/// `found` holds the violations that the JSON reader found; a field that it could not read is not reported again.
///
/// # Errors
/// Returns every violation of the form of the request.
pub fn parse(
    request: proto::BulkEarnRequest,
    org_id: OrgId,
    limits: RequestLimits,
    received: Reception,
) -> Result<BulkEarn, InvalidRequest> {
    let Reception { now, found: mut violations } = received;

    let iso = request.event_time_iso.as_deref();
    let event_time = read_event_time(request.event_time, iso, now, &mut violations);
    let earned_from_type = read_type(&mut violations, "earnedFromType", request.earned_from_type);
    let event = request.event_details.unwrap_or_else(|| {
        violations.add("eventDetails", "is required");
        proto::EventDetails::default()
    });
    check_text(&mut violations, "eventDetails.id", &event.id, event_details::ID_MAX_LEN);
    let event_type = read_type(&mut violations, "eventDetails.type", event.r#type);
    if let (Some(one), Some(other)) = (earned_from_type, event_type)
        && one != other
    {
        violations.add("eventDetails.type", format!("must equal earnedFromType, {}", one.name()));
    }
    let event_payload = read_payload(&mut violations, event.event_payload);
    let entries = read_entries(request.earned_promotions, limits, &mut violations);
    let customer_id = customer(request.customer_id, violations)?;
    let mut command = BulkEarn {
        org_id,
        customer_id,
        // Without violations both were read, so the defaults are never used.
        event_time: event_time.unwrap_or(Timestamp::EPOCH),
        earned_from_type: earned_from_type.unwrap_or(EarnedFromType::BulkIssue),
        event_id: event.id.into(),
        details: Details { event_payload, ..Details::default() }.shared(),
        max_recorded_payload_bytes: 0,
        entries,
    };
    command.max_recorded_payload_bytes =
        room_in_the_answer(&command, limits.max_response_bytes).map_err(InvalidRequest::Invalid)?;
    Ok(command)
}

/// Limits the payload so that the response stays within `max_bytes`, because every instance returns the texts of its
/// event. Returns the length up to which a recorded payload may be returned: bytes.
fn room_in_the_answer(command: &BulkEarn, max_bytes: usize) -> Result<usize, Violations> {
    let too_long = |field, advice| {
        let problem = format!("would make the response longer than {max_bytes} bytes; {advice}");
        Violations::of(field, problem)
    };
    let Ok(room) = payload_room(command, max_bytes) else {
        return Err(too_long("earnedPromotions", "request fewer at a time"));
    };
    let payload = command.details.as_ref().and_then(|details| details.event_payload.as_deref());
    if payload.is_some_and(|payload| !payload_fits(payload, room)) {
        return Err(too_long("eventDetails.eventPayload", "shorten it, or request fewer promotions at a time"));
    }
    Ok(payload_text_room(room))
}

fn read_entries(given: Vec<proto::PromotionToEarn>, limits: RequestLimits, violations: &mut Violations) -> Vec<Entry> {
    let mut seen = HashMap::with_capacity(given.len());
    let mut sum = 0_i64;
    let mut entries = Vec::with_capacity(given.len());
    for (index, entry) in given.into_iter().enumerate() {
        let at = format_args!("earnedPromotions[{index}]");
        // A promotion is named by any text, of any length.
        check_text(violations, format_args!("{at}.promotionId"), &entry.promotion_id, usize::MAX);
        check_text(
            violations,
            format_args!("{at}.earnedFromId"),
            &entry.earned_from_id,
            promotion_to_earn::EARNED_FROM_ID_MAX_LEN,
        );
        if entry.earn_count < 1 {
            let description = format!("must be 1 or more, not {}", entry.earn_count);
            violations.add(format_args!("{at}.earnCount"), description);
        }
        sum += i64::from(entry.earn_count.max(0));
        let entry = Entry {
            promotion_id: ObjectId::parse(&entry.promotion_id),
            promotion_id_given: entry.promotion_id,
            earn_count: u32::try_from(entry.earn_count).unwrap_or(0),
            earned_from_id: entry.earned_from_id.into(),
        };
        // Compared as an id if the text is one, because its digits may be written in upper or lower case.
        let promotion = entry.promotion_id.ok_or_else(|| entry.promotion_id_given.clone());
        if let Some(first) = seen.insert((promotion, Arc::clone(&entry.earned_from_id)), index)
            && !entry.earned_from_id.is_empty()
        {
            let description = format!("repeats that of earnedPromotions[{first}] for the same promotionId");
            violations.add(format_args!("{at}.earnedFromId"), description);
        }
        entries.push(entry);
    }
    check_limits(violations, entries.len(), sum, limits);
    entries
}

/// Runs after the entries, because a violation of the whole list covers theirs. Reports at most one, for the same
/// reason.
fn check_limits(violations: &mut Violations, entries: usize, sum: i64, limits: RequestLimits) {
    let mut problems = Vec::new();
    if entries == 0 {
        problems.push("must have at least 1 entry".to_owned());
    }
    if entries > limits.max_entries {
        problems.push(format!("must have at most {} entries, not {entries}", limits.max_entries));
    }
    if sum > i64::from(limits.max_earn_count) {
        problems.push(format!("must have earn counts summing to at most {}, not {sum}", limits.max_earn_count));
    }
    if !problems.is_empty() {
        violations.add("earnedPromotions", problems.join("; "));
    }
}

/// Returns the response to `command` with these outcomes. Writes ISO 8601 times in `zone`.
pub fn encode(command: &BulkEarn, outcomes: &[EntryOutcome], zone: Tz) -> proto::BulkEarnResponse {
    let mut times = EntryTimes { event: IsoTimes::in_zone(zone), valid_till: IsoTimes::in_zone(zone) };
    let entries = command.entries.iter().zip(outcomes);
    let data = entries.map(|(entry, outcome)| encode_entry(command, entry, outcome, &mut times));
    proto::BulkEarnResponse { data: data.collect(), errors: Vec::new() }
}

/// Formatters of the two times of an entry, which are often those of the entry before.
struct EntryTimes {
    event: IsoTimes,
    valid_till: IsoTimes,
}

fn encode_entry(
    command: &BulkEarn,
    entry: &Entry,
    outcome: &EntryOutcome,
    times: &mut EntryTimes,
) -> proto::EarnResult {
    let earned_from_type = encode_type(command.earned_from_type);
    let event_time_iso = times.event.write(outcome.event_time);
    let payload = outcome.details.as_ref().and_then(|details| details.event_payload.as_deref());
    let event_details = proto::EventDetails {
        id: command.event_id.as_ref().to_owned(),
        r#type: earned_from_type,
        event_payload: payload.and_then(Payload::from_text),
    };
    let promotion_id = entry.promotion_id.map(|id| id.to_string()).unwrap_or_default();
    let earned = outcome.instances.iter().map(|instance| proto::EarnedPromotion {
        id: instance.earn_id.to_string(),
        customer_id: command.customer_id.0,
        promotion_id: promotion_id.clone(),
        earned_from_type,
        earned_from_id: entry.earned_from_id.as_ref().to_owned(),
        event_time: outcome.event_time.millis(),
        event_time_iso: event_time_iso.clone(),
        event_details: Some(event_details.clone()),
        valid_till: instance.valid_till.millis(),
        valid_till_iso: times.valid_till.write(instance.valid_till),
    });
    let customer_earned_promotions: Vec<_> = earned.collect();
    let successful = u32::try_from(customer_earned_promotions.len()).unwrap_or(entry.earn_count);
    proto::EarnResult {
        earned_from_id: entry.earned_from_id.as_ref().to_owned(),
        promotion_id: entry.promotion_id_given.clone(),
        successful_earn_count: count(successful),
        failed_earn_count: count(entry.earn_count - successful),
        error_details: outcome
            .failure
            .as_ref()
            .map(|failure| proto::EarnErrorDetails { error_code: failure.code(), error_messages: failure.to_string() }),
        customer_earned_promotions,
    }
}
