//! The requests of a script as the service takes them, and its answers in the words of the model.

use serde_json::{Value, json};

use super::oracle::{Earned, Entry, Key, Outcome, PROMOTIONS, Reply, Request, UNKNOWN_CUSTOMER};
use crate::support::{Answer, ORG};

/// Nobody's.
const NOBODY: i64 = 999_999_999;

/// One instance of an earning: the earning, and the ordinal in it.
pub type Slot = (Key, i64);

/// Each run of a script has customers of its own.
pub fn customer_id(run: u32, customer: usize) -> i64 {
    if customer == UNKNOWN_CUSTOMER {
        return NOBODY;
    }
    i64::from(run) * 10 + i64::try_from(customer).unwrap() + 1
}

/// The request, in this run.
pub fn body(request: &Request, run: u32) -> Value {
    let entries = request.entries.iter().map(|Entry { promotion, earned_from, count }| {
        json!({"promotionId": PROMOTIONS[*promotion].id, "earnCount": count, "earnedFromId": earned_from.to_string()})
    });
    json!({
        "orgId": ORG,
        "customerId": customer_id(run, request.customer),
        "eventTime": request.event_time,
        "earnedFromType": request.earned_from_type,
        "eventDetails": event_details(request, request.note),
        "earnedPromotions": entries.collect::<Vec<_>>()
    })
}

fn event_details(request: &Request, note: Option<u8>) -> Value {
    let mut details = json!({"id": request.event.to_string(), "type": request.earned_from_type});
    if let Some(note) = note {
        details["eventPayload"] = json!({"note": note.to_string()});
    }
    details
}

/// What the answer says, and each instance in it with its earn id; or what is wrong with its form.
pub fn read(request: &Request, run: u32, answer: &Answer) -> Result<(Reply, Vec<(Slot, String)>), String> {
    if answer.code != 0 {
        return Ok((Reply::Refused(answer.code), vec![]));
    }
    let data = answer.body["data"].as_array().ok_or("no data")?;
    if data.len() != request.entries.len() || answer.body["errors"] != json!([]) {
        return Err("there is not one element for each entry, or there are errors".to_owned());
    }
    let (mut outcomes, mut ids) = (Vec::new(), Vec::new());
    for (entry, element) in request.entries.iter().zip(data) {
        outcomes.push(read_element((request, entry), run, element, &mut ids)?);
    }
    Ok((Reply::Entries(outcomes), ids))
}

fn read_element(
    (request, entry): (&Request, &Entry),
    run: u32,
    element: &Value,
    ids: &mut Vec<(Slot, String)>,
) -> Result<Outcome, String> {
    let (customer, event) = (request.customer, request.event);
    let key = Key { customer, event, promotion: entry.promotion, earned_from: entry.earned_from };
    let promotion_id = PROMOTIONS[entry.promotion].id;
    let earned_from_id = entry.earned_from.to_string();
    let mut earned = Vec::new();
    for (ordinal, one) in (1..).zip(element["customerEarnedPromotions"].as_array().ok_or("no list of the earned")?) {
        let notes = [None, Some(0), Some(1)];
        let note = notes.into_iter().find(|note| one["eventDetails"] == event_details(request, *note));
        let echoed = one["customerId"] == customer_id(run, customer)
            && one["promotionId"] == promotion_id
            && one["earnedFromId"] == earned_from_id
            && one["earnedFromType"] == request.earned_from_type;
        let (Some(note), true) = (note, echoed) else { return Err(format!("this was not asked for: {one}")) };
        let time = |name: &str| one[name].as_i64().ok_or_else(|| format!("no {name}: {one}"));
        earned.push(Earned { event_time: time("eventTime")?, valid_till: time("validTill")?, note });
        ids.push(((key, ordinal), one["id"].as_str().ok_or("no id")?.to_owned()));
    }
    let echoed = element["promotionId"] == promotion_id && element["earnedFromId"] == earned_from_id;
    if !echoed || element["successfulEarnCount"] != earned.len() {
        return Err(format!("this was not asked for, or does not hold what it counts: {element}"));
    }
    let failed = element["failedEarnCount"].as_i64().ok_or("no failedEarnCount")?;
    let code = match element.get("errorDetails") {
        Some(details) => Some(details["errorCode"].as_i64().ok_or("no errorCode")?),
        None => None,
    };
    Ok(Outcome { failed, code, earned })
}
