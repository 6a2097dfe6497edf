//! Sizes of responses: the part of a page that fits, and the limit of the response to a bulk earning.
//!
//! Clients limit the length of a message; stock gRPC clients read up to 4 MiB. A response has the same content on both
//! endpoints, so its size is that of the larger form. `wallet` and `bulk_earn` call this module.

use std::io;

use prost::Message;
use serde::Serialize;

use crate::earning::{BulkEarn, Entry};

/// Length of a response without its elements: bytes.
const ENVELOPE_BYTES: usize = 200;
/// Length of the framing of an element: bytes.
const FRAME_BYTES: usize = 8;
/// Factor by which a gRPC message may be longer than its JSON form: `1,` in a payload takes 11 bytes.
const MAX_GROWTH: usize = 6;
/// Length of the result of an entry, without the texts of the caller: bytes.
const RESULT_BYTES: usize = 500;
/// Length of an instance, without the texts of the caller: bytes.
const INSTANCE_BYTES: usize = 450;
/// Factor by which an invalid promotion id grows in the message that reports it: characters for each byte.
const MAX_ESCAPED: usize = 12;

/// Returns the first `elements`, as many as a response of `max_bytes` holds, and at least one.
pub fn first_that_fit<M: Message + Serialize>(mut elements: Vec<M>, max_bytes: usize) -> Vec<M> {
    let json: Vec<_> = elements.iter().map(json_bytes).collect();
    let most = json.iter().map(|bytes| MAX_GROWTH * bytes + FRAME_BYTES).sum::<usize>();
    if most + ENVELOPE_BYTES <= max_bytes {
        return elements;
    }
    let mut size = (ENVELOPE_BYTES, ENVELOPE_BYTES);
    let fit = elements.iter().zip(json).take_while(|(element, json)| {
        size = (size.0 + json + FRAME_BYTES, size.1 + element.encoded_len() + FRAME_BYTES);
        size.0.max(size.1) <= max_bytes
    });
    let fit = fit.count().max(1);
    elements.truncate(fit);
    elements
}

/// Returns the bytes of payload that each instance may return while the response to `command` stays within `max_bytes`.
///
/// # Errors
/// Returns the possible length of the response without payloads, if it exceeds the limit.
pub fn payload_room(command: &BulkEarn, max_bytes: usize) -> Result<usize, usize> {
    let event_bytes = text_bytes(&command.event_id);
    let (mut bytes, mut instances) = (ENVELOPE_BYTES, 0);
    for entry in &command.entries {
        let (earned_from_bytes, count) = (text_bytes(&entry.earned_from_id), entry.earn_count as usize);
        bytes += RESULT_BYTES + earned_from_bytes + given_bytes(entry);
        bytes += count * (INSTANCE_BYTES + earned_from_bytes + event_bytes);
        instances += count;
    }
    max_bytes.checked_sub(bytes).map(|room| room / instances.max(1)).ok_or(bytes)
}

/// Returns the length of an invalid promotion id in a response, which repeats it as given and once more in the message.
fn given_bytes(entry: &Entry) -> usize {
    if entry.promotion_id.is_some() { 0 } else { (MAX_GROWTH + MAX_ESCAPED) * entry.promotion_id_given.len() }
}

/// Returns true if a payload of this text takes at most `room` bytes in either form.
pub fn payload_fits(text: &str, room: usize) -> bool {
    let grpc_bytes = || super::payload::Payload::from_text(text).map_or(0, |payload| payload.encoded_len());
    text.len().saturating_mul(MAX_GROWTH) <= room || text.len().max(grpc_bytes()) <= room
}

/// Returns the longest text of which every payload takes at most `room` bytes in either form.
pub fn payload_text_room(room: usize) -> usize {
    room / MAX_GROWTH
}

/// Returns the length of a text as escaped JSON.
fn text_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        ..=0x1f => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

fn json_bytes(message: &impl Serialize) -> usize {
    let mut counter = Counter(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut counter, message);
    counter.0
}

/// Counts the bytes written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;
    use crate::earning::decide::tests::promotion;
    use crate::earning::{
        CustomerId, Details, EarnFailure, EarnedFromType, EntryOutcome, Expiry, Instance, ObjectId, OrgId, Promotion,
        PromotionType, Timestamp,
    };
    use crate::proto;
    use crate::wire::payload::Payload;

    /// Returns the length of the longer form.
    fn bytes<M: Message + Serialize>(message: &M) -> usize {
        json_bytes(message).max(message.encoded_len())
    }

    fn entry(name: &str, payload: &str) -> proto::WalletEntry {
        proto::WalletEntry {
            earned_promotion_id: name.to_owned(),
            event_details: Some(proto::EarnEventDetails {
                event_payload: Payload::from_text(payload),
                ..proto::EarnEventDetails::default()
            }),
            ..proto::WalletEntry::default()
        }
    }

    #[test]
    fn a_page_has_what_fits_in_either_form_and_at_least_one() {
        let numbers = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(1_000));
        let text = format!(r#"{{"a":"{}"}}"#, "\\u0001".repeat(1_000));
        for payload in [numbers.as_str(), &text, "{}"] {
            let elements: Vec<_> = (0..100).map(|index| entry(&format!("{index:024}"), payload)).collect();
            let one = bytes(&elements[0]);
            for max_bytes in [1, one, 10 * one, 50 * one, 1_000 * one] {
                let fit = first_that_fit(elements.clone(), max_bytes);
                let page = |count: usize| proto::ListEarnedPromotionsResponse {
                    data: elements[..count].to_vec(),
                    next_page_token: Some("x".repeat(40)),
                    ..proto::ListEarnedPromotionsResponse::default()
                };
                assert!(fit.len() == 1 || bytes(&page(fit.len())) <= max_bytes, "{max_bytes}: {}", fit.len());
                // The page holds at least 10/11 of the elements that fit.
                let more = (fit.len() + 1 + fit.len() / 10).min(100);
                assert!(more == 100 || bytes(&page(more)) + ENVELOPE_BYTES > max_bytes, "{max_bytes}: {}", fit.len());
            }
        }
    }

    /// The first and the last time of the calendar, whose texts are the longest.
    const FIRST: Timestamp = Timestamp::from_millis(-62_135_596_800_000);
    const LAST: Timestamp = Timestamp::from_millis(253_402_300_799_999);

    #[test]
    fn a_thousand_promotions_are_within_any_bound() {
        let longest = Promotion {
            id: ObjectId([255; 12]),
            name: "\u{1}".repeat(50),
            kind: PromotionType::Customer,
            start: FIRST,
            end: LAST,
            cap: Some(u32::MAX),
            expiry: Expiry::DaysFromEarning(u32::MAX >> 1),
            limited_to_audience: false,
            ..promotion(1)
        };
        let promotion = crate::wire::promotion::encode(OrgId(i64::MAX), &longest, Tz::Asia__Kolkata);
        let page = proto::ListPromotionsResponse { data: vec![promotion; 1_000], ..Default::default() };
        assert!(bytes(&page) < 1_000_000, "{}", bytes(&page));
    }

    prop_compose! {
        fn command()(
            texts in prop::collection::vec(("[ -~]{0,30}", "\\PC{1,250}", "[\u{1}-~é€😀]{1,250}", 1..40_u32), 1..5),
            named in prop::collection::vec(any::<bool>(), 5),
        ) -> BulkEarn {
            let entry = |(index, (given, id, _, count)): (usize, &(String, String, String, u32))| Entry {
                promotion_id: named[index].then_some(ObjectId([255; 12])),
                promotion_id_given: if named[index] { ObjectId([255; 12]).to_string() } else { given.clone() },
                earn_count: *count,
                earned_from_id: id.as_str().into(),
            };
            BulkEarn {
                org_id: OrgId(1),
                customer_id: CustomerId(i64::MAX),
                event_time: Timestamp::EPOCH,
                earned_from_type: EarnedFromType::BulkIssue,
                event_id: texts[0].2.as_str().into(),
                details: None,
                max_recorded_payload_bytes: 0,
                entries: texts.iter().enumerate().map(entry).collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn no_payload_is_so_much_longer_on_grpc(json in "[\\[\\]{}1,\":a]{0,40}", list in prop::collection::vec(0..12_i32, 0..300)) {
            let list = serde_json::to_string(&list).unwrap();
            for text in [json, format!(r#"{{"a":{list}}}"#), format!(r#"{{"":[[[{list}]]]}}"#)] {
                if let Some(payload) = Payload::from_text(&text) {
                    prop_assert!(payload.encoded_len() <= MAX_GROWTH * text.len(), "{text}");
                }
            }
        }

        #[test]
        fn no_answer_to_a_bulk_earning_is_longer_than_was_reckoned(command in command(), payload in 0..2_000_usize) {
            let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(payload));
            let details = Arc::new(Details { event_payload: Some(text.as_str().into()), ..Details::default() });
            let outcome = |entry: &Entry| EntryOutcome {
                event_time: LAST,
                details: Some(Arc::clone(&details)),
                instances: entry.promotion_id.map_or_else(Vec::new, |_| {
                    let instance = Instance { earn_id: ObjectId([255; 12]), valid_till: FIRST, revoked: false };
                    vec![instance; entry.earn_count as usize]
                }),
                replayed: 0,
                failure: Some(EarnFailure::PromotionNotFound { given: entry.promotion_id_given.clone() }),
            };
            let outcomes: Vec<_> = command.entries.iter().map(outcome).collect();
            let answer = crate::wire::bulk_earn::encode(&command, &outcomes, Tz::Asia__Kolkata);
            let (most, each) = (bytes(&answer), text.len());
            // With as much room for each payload as it takes, the response is within the limit.
            let max_bytes = (1..1_000_000).map(|step| step * 1_000);
            let mut enough = max_bytes.filter(|max_bytes| payload_room(&command, *max_bytes).is_ok_and(|room| room >= each + 10));
            let max_bytes = enough.next();
            prop_assert!(most <= max_bytes.unwrap(), "{most} > {max_bytes:?}");
        }
    }
}
