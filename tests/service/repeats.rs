//! One request sent to two servers at once: both return the recorded earnings, whatever changed in the promotion
//! before.

use serde_json::{Value, json};

use crate::rpcs::{activate, audience, create, deactivate, replace, revoke};
use crate::stale::verify;
use crate::support::*;
use crate::terms::{cap, limited, unlimited};

const FIRST_CUSTOMER: i64 = 1_000;
/// Number of customers of each history.
const CUSTOMERS: i64 = 48;
/// Number of customers whose requests are in flight at once.
const AT_ONCE: usize = 4;

/// A history of a promotion before the request. Each step replaces the promotion, or switches it.
struct History {
    name: &'static str,
    before: fn() -> Value,
    then: fn() -> Vec<Value>,
    /// Number that one customer can earn in the end.
    cap: Option<i64>,
}

fn off() -> Value {
    json!({"active": false})
}

fn on() -> Value {
    json!({"active": true})
}

const HISTORIES: [History; 9] = [
    History { name: "no cap", before: || json!({}), then: Vec::new, cap: None },
    History { name: "a cap from the beginning", before: || cap(2), then: Vec::new, cap: Some(2) },
    History { name: "a cap set later", before: || json!({}), then: || vec![cap(1)], cap: Some(1) },
    History { name: "a cap raised", before: || cap(1), then: || vec![cap(2)], cap: Some(2) },
    History { name: "a cap lowered", before: || cap(5), then: || vec![cap(1)], cap: Some(1) },
    History { name: "a cap removed", before: || cap(1), then: || vec![unlimited()], cap: None },
    History {
        name: "a cap removed and set again, twice",
        before: || cap(1),
        then: || vec![unlimited(), cap(3), unlimited(), cap(2)],
        cap: Some(2),
    },
    History { name: "an audience", before: || limited(true), then: || vec![cap(2)], cap: Some(2) },
    History {
        name: "switched off and on",
        before: || json!({}),
        then: || vec![off(), cap(1), on(), off(), on()],
        cap: Some(1),
    },
];

fn promotion(id: &str, fields: &Value) -> Value {
    let mut promotion = json!({"id": id, "name": format!("P {id}"), "type": "EARNING",
        "startDate": 1_735_689_600_000_i64, "endDate": 1_924_991_999_999_i64});
    promotion.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    promotion
}

fn request(customer: i64, event: &str, promotion: &str, count: i64) -> Value {
    let mut request = one_entry(event, promotion, count);
    (request["customerId"], request["eventTime"]) = (customer.into(), NOW_MS.into());
    request
}

/// Starts two servers of an organization that takes any customer.
async fn two_servers() -> [Service; 2] {
    let mut catalog = catalog();
    catalog["orgs"][0]["acceptUnknownCustomers"] = true.into();
    let first = Service::start_with(&catalog, &[]).await;
    let second = first.beside().await;
    [first, second]
}

/// Takes the promotion through this history.
async fn live_through(history: &History, id: &str, a: &Service) {
    let answer = create(a, Endpoint::Json, json!({"promotion": promotion(id, &(history.before)())})).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    let everybody: Vec<_> = (0..CUSTOMERS).map(|number| FIRST_CUSTOMER + number).chain([1]).collect();
    let added = audience(a, Endpoint::Grpc, json!({"promotionId": id, "add": everybody})).await;
    assert_eq!(added.code, 0, "{added:?}");
    // A cap that is set after this earning begins another period.
    let first = a.earn(Endpoint::Json, &request(1, "first", id, 1)).await;
    assert_eq!(earn_ids(&first.body).len(), 1, "{first:?}");
    for step in (history.then)() {
        let named = json!({"promotionId": id});
        let answer = match step["active"].as_bool() {
            Some(true) => activate(a, Endpoint::Grpc, named).await,
            Some(false) => deactivate(a, Endpoint::Grpc, named).await,
            None => replace(a, Endpoint::Json, json!({"promotionId": id, "promotion": promotion(id, &step)})).await,
        };
        assert_eq!(answer.code, 0, "{answer:?}");
    }
}

/// Sends the same request to both at once. Returns both responses.
async fn to_both(callers: [TestCaller; 2], request: Value, number: usize) -> [Answer; 2] {
    let [one, other] = &callers;
    let endpoints = [ENDPOINTS[number % 2], ENDPOINTS[number / 2 % 2]];
    let (one, other) = tokio::join!(one.earn(endpoints[0], &request), other.earn(endpoints[1], &request));
    [one, other]
}

/// Returns the entry of the response without the text of its failure, which has the number left: the first of the two
/// calls changes that.
fn entry_of(answer: &Answer) -> Value {
    let mut entry = answer.body["data"][0].clone();
    if let Some(details) = entry.get_mut("errorDetails") {
        details["errorMessages"] = Value::Null;
    }
    entry
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_to_two_servers_at_once_is_answered_alike_whatever_its_promotion_went_through() {
    let [a, b] = two_servers().await;
    let mut wrong = Vec::new();
    for (index, history) in HISTORIES.iter().enumerate() {
        let id = format!("{:024x}", 0xbeef_0000 + index);
        live_through(history, &id, &a).await;
        let customers: Vec<_> = (0..CUSTOMERS).collect();
        for some in customers.chunks(AT_ONCE) {
            let mut calls = tokio::task::JoinSet::new();
            for number in some {
                // The count is less than fits, exactly that, or more.
                let count = 1 + number % 3;
                let request = request(FIRST_CUSTOMER + number, "event", &id, count);
                let callers = [a.caller(), b.caller()];
                let number = usize::try_from(*number).unwrap();
                calls.spawn(async move { (count, to_both(callers, request, number).await) });
            }
            for (count, answers) in calls.join_all().await {
                let expected = usize::try_from(history.cap.map_or(count, |cap| cap.min(count))).unwrap();
                let ids = answers.each_ref().map(|answer| earn_ids(&answer.body));
                if entry_of(&answers[0]) != entry_of(&answers[1]) || ids[0].len() != expected {
                    wrong.push(format!("{}: {count} asked for: {answers:#?}", history.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} were answered otherwise, such as {}", wrong.len(), wrong[0]);
    verify(a.database()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_by_a_server_that_has_not_heard_of_its_cap_no_longer_counts() {
    let [a, b] = two_servers().await;
    for (index, history) in HISTORIES.iter().enumerate().cycle().take(3 * HISTORIES.len()) {
        let number = rand::random::<u32>();
        let id = format!("{:024x}", 0xfeed_0000_0000_0000 + u64::from(number));
        // The server has a catalog of another version in memory.
        let held = b.earn(Endpoint::Grpc, &request(77, &id, TEN_OFF, 1)).await;
        assert_eq!(earn_ids(&held.body).len(), 1, "{held:?}");
        live_through(history, &id, &a).await;
        let customer = FIRST_CUSTOMER + i64::try_from(index).unwrap();
        let cap = history.cap.unwrap_or(4);
        let earned = a.earn(Endpoint::Grpc, &request(customer, "one", &id, cap)).await;
        let ids = earn_ids(&earned.body);
        assert_eq!(ids.len(), usize::try_from(cap).unwrap(), "{}: {earned:?}", history.name);
        let details = json!([{"promotionId": id, "earnIds": &ids[..1]}]);
        let revoked =
            revoke(&b, ENDPOINTS[index % 2], json!({"customerId": customer, "earnRevokeDetails": details})).await;
        assert_eq!(revoked.body["data"]["revokedDetails"][0]["status"], "SUCCESS", "{}: {revoked:?}", history.name);
        // There is room for one again, and for no more.
        let again = a.earn(Endpoint::Json, &request(customer, "two", &id, 2)).await;
        let expected = if history.cap.is_some() { 1 } else { 2 };
        assert_eq!(earn_ids(&again.body).len(), expected, "{}: {again:?}", history.name);
    }
    verify(a.database()).await;
}
