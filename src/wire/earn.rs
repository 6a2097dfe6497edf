//! The command of a request to `EarnService.Earn`, with one entry, and the response of its outcome.

use chrono_tz::Tz;
use strum::VariantNames as _;

use super::event::{
    EnumField, InvalidRequest, Reception, customer, encode_type, read_event_time, read_payload, read_type,
};
use super::payload::Payload;
use super::text::{check_message_id, check_text};
use super::time::to_iso;
use super::violation::Violations;
use crate::earning::limits::{earn_event_details, earn_request};
use crate::earning::{
    BulkEarn, Details, EarnedFromType, Entry, EntryOutcome, ObjectId, OrgId, ProgramType, SupplementaryCriteria,
    Timestamp,
};
use crate::proto;
use crate::proto::supplementary_criteria::ProgramType as ProgramTypeProto;

/// Returns the command of `request`, for a caller of `org_id`. `found` holds the violations that the JSON reader found.
///
/// # Errors
/// Returns every violation of the form of the request.
pub fn parse(request: proto::EarnRequest, org_id: OrgId, received: Reception) -> Result<BulkEarn, InvalidRequest> {
    let Reception { now, found: mut violations } = received;
    let iso = request.event_time_iso.as_deref();
    let event_time = read_event_time(request.event_time, iso, now, &mut violations);
    let earned_from_type = read_type(&mut violations, "earnedFromType", request.earned_from_type);
    check_text(&mut violations, "promotionId", &request.promotion_id, usize::MAX);
    check_text(&mut violations, "earnedFromId", &request.earned_from_id, earn_request::EARNED_FROM_ID_MAX_LEN);
    let event = request.event_details.unwrap_or_else(|| {
        violations.add("eventDetails", "is required");
        proto::EarnEventDetails::default()
    });
    check_text(&mut violations, "eventDetails.id", &event.id, earn_event_details::ID_MAX_LEN);
    check_text(&mut violations, "eventDetails.type", &event.r#type, earn_event_details::TYPE_MAX_LEN);
    let event_payload = read_payload(&mut violations, event.event_payload);
    let criteria = request.supplementary_criteria.and_then(|criteria| read_criteria(criteria, &mut violations));
    let customer_id = customer(request.customer_id, violations)?;
    let earned_from_type = earned_from_type.unwrap_or(EarnedFromType::Activity);
    let details = Details {
        event_type: (event.r#type != earned_from_type.name()).then(|| event.r#type.into()),
        event_payload,
        supplementary_criteria: criteria,
    };
    Ok(BulkEarn {
        org_id,
        customer_id,
        // Without violations both were read, so the defaults are never used.
        event_time: event_time.unwrap_or(Timestamp::EPOCH),
        earned_from_type,
        event_id: event.id.into(),
        details: details.shared(),
        // A single instance fits into the response with any recorded payload.
        max_recorded_payload_bytes: usize::MAX,
        entries: vec![Entry {
            promotion_id: ObjectId::parse(&request.promotion_id),
            promotion_id_given: request.promotion_id,
            earn_count: 1,
            earned_from_id: request.earned_from_id.into(),
        }],
    })
}

fn read_criteria(criteria: proto::SupplementaryCriteria, violations: &mut Violations) -> Option<SupplementaryCriteria> {
    let field = |name: &str| format!("supplementaryCriteria.{name}");
    check_message_id(violations, field("loyaltyProgramId"), criteria.loyalty_program_id);
    check_message_id(violations, field("partnerProgramId"), criteria.partner_program_id);
    let number = criteria.program_type;
    let given = ProgramTypeProto::try_from(number).ok();
    let read = given.and_then(|given| given.as_str_name().parse().ok());
    let names = || ProgramType::VARIANTS.join(", ");
    Some(SupplementaryCriteria {
        loyalty_program_id: criteria.loyalty_program_id,
        program_type: EnumField { field: field("programType"), number }.one_of(violations, read, names)?,
        partner_program_id: criteria.partner_program_id,
    })
}

/// Returns the response to `command` with this outcome, or `None` if nothing was granted. Writes ISO 8601 times in
/// `zone`.
pub fn encode(command: &BulkEarn, outcome: &EntryOutcome, zone: Tz) -> Option<proto::EarnResponse> {
    let (entry, instance) = (command.entries.first()?, outcome.instances.first()?);
    let (event_details, supplementary_criteria) =
        encode_event(&command.event_id, command.earned_from_type, outcome.details.as_deref());
    let data = proto::EarnedPromotionData {
        id: instance.earn_id.to_string(),
        customer_id: command.customer_id.0,
        promotion_id: entry.promotion_id.map(|id| id.to_string()).unwrap_or_default(),
        earned_from_type: encode_type(command.earned_from_type),
        earned_from_id: entry.earned_from_id.as_ref().to_owned(),
        event_time: outcome.event_time.millis(),
        event_time_iso: to_iso(outcome.event_time, zone),
        event_details: Some(event_details),
        valid_till: instance.valid_till.millis(),
        valid_till_iso: to_iso(instance.valid_till, zone),
        supplementary_criteria,
    };
    Some(proto::EarnResponse { data: Some(data), errors: Vec::new() })
}

/// Returns the event of an earning and its supplementary program.
pub fn encode_event(
    event_id: &str,
    earned_from_type: EarnedFromType,
    details: Option<&Details>,
) -> (proto::EarnEventDetails, Option<proto::SupplementaryCriteria>) {
    let event_type = details.and_then(|details| details.event_type.as_deref());
    let event = proto::EarnEventDetails {
        id: event_id.to_owned(),
        r#type: event_type.unwrap_or(earned_from_type.name()).to_owned(),
        event_payload: details.and_then(|details| details.event_payload.as_deref()).and_then(Payload::from_text),
    };
    let criteria = details.and_then(|details| details.supplementary_criteria);
    let criteria = criteria.map(|criteria| proto::SupplementaryCriteria {
        loyalty_program_id: criteria.loyalty_program_id,
        program_type: ProgramTypeProto::from_str_name(criteria.program_type.name()).unwrap_or_default() as i32,
        partner_program_id: criteria.partner_program_id,
    });
    (event, criteria)
}
