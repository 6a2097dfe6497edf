//! The requests of a script in the form of the service, and its responses in the terms of the model.

use serde_json::{Value, json};

use super::oracle::{
    Earn, EarnedFacts, NewTerms, Outcome, PROMOTIONS, Reply, Request, ScriptedCatalogChange, ScriptedChange,
    ScriptedEntry, ScriptedKey, ScriptedTerms, UNKNOWN_CUSTOMER, transaction_date,
};
use crate::support::{Answer, ORG};
use crate::terms;

/// A customer that is not recorded.
const NOBODY: i64 = 999_999_999;

/// One instance of an earning: the earning, and the ordinal in it.
pub type ScriptedInstance = (ScriptedKey, i64);

/// Returns the id of a customer; each run of a script has customers of its own.
pub fn customer_id(run: u32, customer: usize) -> i64 {
    if customer == UNKNOWN_CUSTOMER {
        return NOBODY;
    }
    i64::from(run) * 10 + i64::try_from(customer).unwrap() + 1
}

/// Returns the name of a transaction; each run has its own.
pub fn transaction_name(run: u32, transaction: u8) -> String {
    format!("run {run} transaction {transaction}")
}

/// Returns the request to earn, in this run.
pub fn earn_body(request: &Earn, run: u32) -> Value {
    let entries = request.entries.iter().map(|ScriptedEntry { promotion, earned_from, count }| {
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

/// Returns the earn ids that a change names.
fn earn_ids(change: &ScriptedChange) -> Vec<String> {
    let ids = change.known.iter().enumerate();
    ids.map(|(index, id)| id.clone().unwrap_or_else(|| format!("ffffffffffffffffffff{index:04x}"))).collect()
}

/// Returns the request to revoke, in this run, grouped by promotion because a request names each promotion once.
pub fn revoke_body(change: &ScriptedChange, run: u32) -> Value {
    let mut details: Vec<Value> = Vec::new();
    for ((key, _), id) in change.slots.iter().zip(earn_ids(change)) {
        let promotion = PROMOTIONS[key.promotion].id;
        match details.iter_mut().find(|detail| detail["promotionId"] == promotion) {
            Some(detail) => detail["earnIds"].as_array_mut().unwrap().push(id.into()),
            None => details.push(json!({"promotionId": promotion, "earnIds": [id]})),
        }
    }
    json!({"customerId": customer_id(run, change.customer), "earnRevokeDetails": details})
}

/// Returns the request to redeem, in this run.
pub fn redeem_body(transaction: u8, change: &ScriptedChange, run: u32) -> Value {
    let name = transaction_name(run, transaction);
    let lines = change.slots.iter().zip(earn_ids(change)).map(|((key, _), id)| {
        json!({"promotionId": PROMOTIONS[key.promotion].id, "earnedPromotionId": id,
            "redemptionCount": 1, "discount": 1, "discountAppliedOnQuantity": 1, "promotionAppliedOnQuantity": 1})
    });
    json!({"customerId": customer_id(run, change.customer), "transactionIdentifier": name, "transactionNumber": name,
        "transactionDate": transaction_date(transaction), "amount": 1, "redemptions": lines.collect::<Vec<_>>()})
}

/// Returns the method and the request of this change of the catalog, in this run.
pub fn catalog_body(change: &ScriptedCatalogChange, run: u32) -> (&'static str, Value) {
    let id = PROMOTIONS[change.promotion].id;
    let replaced = |term: Value| {
        let promotion = terms::with(PROMOTIONS[change.promotion].fixed(), &term);
        ("CatalogService/ReplacePromotion", json!({"promotionId": id, "promotion": promotion}))
    };
    match change.to {
        NewTerms::Cap(cap) => replaced(terms::cap_or_none(cap)),
        NewTerms::Limited(limited) => replaced(terms::limited(limited)),
        NewTerms::Active(true) => ("CatalogService/ActivatePromotion", json!({"promotionId": id})),
        NewTerms::Active(false) => ("CatalogService/DeactivatePromotion", json!({"promotionId": id})),
        NewTerms::Audience(customer, joins) => {
            let list = if joins { "add" } else { "remove" };
            ("CatalogService/ChangeAudience", json!({"promotionId": id, list: [customer_id(run, customer)]}))
        }
    }
}

/// Returns the request that resets the promotion at this place to its first terms.
pub fn restored(promotion: usize) -> Value {
    let ScriptedTerms { active, cap, limited, .. } = ScriptedTerms::first(promotion);
    let mut record = PROMOTIONS[promotion].fixed();
    record["active"] = active.into();
    terms::set(&mut record, &terms::limited(limited));
    terms::set(&mut record, &terms::cap_or_none(cap));
    json!({"promotionId": PROMOTIONS[promotion].id, "promotion": record})
}

fn event_details(request: &Earn, note: Option<u8>) -> Value {
    let mut details = json!({"id": request.event.to_string(), "type": request.earned_from_type});
    if let Some(note) = note {
        details["eventPayload"] = json!({"note": note.to_string()});
    }
    details
}

/// Returns the reply and each instance in the response, in order, with its earning and earn id. Returns an error if the
/// response is malformed.
pub fn read(request: &Request, run: u32, answer: &Answer) -> Result<(Reply, Vec<(ScriptedKey, String)>), String> {
    if answer.code != 0 {
        return Ok((Reply::Refused(answer.code), vec![]));
    }
    match request {
        Request::Earn(earn) => read_earned(earn, run, answer),
        Request::Revoke(change) => Ok((Reply::Revoked(read_revoked(change, answer)?), vec![])),
        Request::Redeem(transaction, _) => {
            let named = answer.body["data"]["transactionIdentifier"] == transaction_name(run, *transaction);
            if named { Ok((Reply::Redeemed, vec![])) } else { Err("another transaction".to_owned()) }
        }
        Request::Catalog(change) => Ok((read_catalog(change, &answer.body["data"])?, vec![])),
    }
}

fn read_catalog(change: &ScriptedCatalogChange, data: &Value) -> Result<Reply, String> {
    if let NewTerms::Audience(..) = change.to {
        let number = |name: &str| data[name].as_i64().ok_or_else(|| format!("no {name}: {data}"));
        return Ok(Reply::Audience(number("added")?, number("removed")?));
    }
    let known = |name: &str| data[name].as_bool().ok_or_else(|| format!("no {name}: {data}"));
    let cap = data[terms::CAP].as_i64();
    Ok(Reply::Promotion(known("active")?, known(terms::LIMITED)?, cap))
}

/// Returns the code of each instance.
fn read_revoked(change: &ScriptedChange, answer: &Answer) -> Result<Vec<i64>, String> {
    let errors = answer.body["errors"].as_array().ok_or("no errors")?;
    let details = answer.body["data"]["revokedDetails"].as_array().ok_or("no details")?;
    let code = |(slot, id): (&ScriptedInstance, String)| {
        let promotion = PROMOTIONS[slot.0.promotion].id;
        let has = |list: &Value| list.as_array().is_some_and(|ids| ids.iter().any(|other| *other == id));
        let mut of_it = errors.iter().filter(|error| error["promotionId"] == promotion && has(&error["earnIds"]));
        let failed = of_it.next().map(|error| error["code"].as_i64().unwrap_or(-1));
        let revoked = details.iter().any(|detail| detail["promotionId"] == promotion && has(&detail["revokedEarnIds"]));
        match (failed, revoked) {
            (Some(code), false) => Ok(code),
            (None, true) => Ok(0),
            other => Err(format!("{id} is {other:?}")),
        }
    };
    change.slots.iter().zip(earn_ids(change)).map(code).collect()
}

fn read_earned(request: &Earn, run: u32, answer: &Answer) -> Result<(Reply, Vec<(ScriptedKey, String)>), String> {
    let data = answer.body["data"].as_array().ok_or("no data")?;
    if data.len() != request.entries.len() || answer.body["errors"] != json!([]) {
        return Err("there is not one element for each entry, or there are errors".to_owned());
    }
    let (mut outcomes, mut ids) = (Vec::new(), Vec::new());
    for (entry, element) in request.entries.iter().zip(data) {
        outcomes.push(read_element(&AskedEntry { request, entry, run }, element, &mut ids)?);
    }
    Ok((Reply::Entries(outcomes), ids))
}

/// An entry as it was asked for.
struct AskedEntry<'a> {
    request: &'a Earn,
    entry: &'a ScriptedEntry,
    run: u32,
}

fn read_element(
    asked: &AskedEntry<'_>,
    element: &Value,
    ids: &mut Vec<(ScriptedKey, String)>,
) -> Result<Outcome, String> {
    let AskedEntry { request, entry, run } = *asked;
    let (customer, event) = (request.customer, request.event);
    let key = ScriptedKey { customer, event, promotion: entry.promotion, earned_from: entry.earned_from };
    let promotion_id = PROMOTIONS[entry.promotion].id;
    let earned_from_id = entry.earned_from.to_string();
    let mut earned = Vec::new();
    for one in element["customerEarnedPromotions"].as_array().ok_or("no list of the earned")? {
        let notes = [None, Some(0), Some(1)];
        let note = notes.into_iter().find(|note| one["eventDetails"] == event_details(request, *note));
        let echoed = one["customerId"] == customer_id(run, customer)
            && one["promotionId"] == promotion_id
            && one["earnedFromId"] == earned_from_id
            && one["earnedFromType"] == request.earned_from_type;
        let (Some(note), true) = (note, echoed) else { return Err(format!("this was not asked for: {one}")) };
        let time = |name: &str| one[name].as_i64().ok_or_else(|| format!("no {name}: {one}"));
        earned.push(EarnedFacts { event_time: time("eventTime")?, valid_till: time("validTill")?, note });
        ids.push((key, one["id"].as_str().ok_or("no id")?.to_owned()));
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
