//! Load that retries, and remembers the answers, for tests that break something meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rpcs::{Rpc, call, try_call};
use crate::support::*;
use crate::wallet::transaction;

/// The customers of the load: few, so that their requests conflict.
pub const CUSTOMERS: [i64; 6] = [CUSTOMER, 7, 1001, 1002, 1003, 1004];
const PROMOTIONS: [&str; 3] = [TEN_OFF, FREE_DELIVERY, CAPPED];
/// Number of requests in flight at any time.
const WORKERS: u64 = 12;
/// Longest time in which one request is retried: longer than the consecutive pauses of processes in a long soak.
pub const ANSWERED_WITHIN: Duration = Duration::from_mins(5);
/// Time for which a repeatable call waits for one server, which may be paused, before it is sent to another one.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);
/// Default duration of the load.
const LOAD: Duration = Duration::from_secs(8);
/// Longest extension of the load.
const LONGER: Duration = Duration::from_mins(1);
/// The beginning of the ids of promotions of other loads.
pub const OF_OTHERS: &str = "facade";
/// Number of acknowledged earnings that a meaningful test needs.
const ENOUGH: usize = 100;

/// Returns the documented catalog with the customers of this load.
pub fn load_catalog() -> Value {
    let mut catalog = catalog();
    let customers = CUSTOMERS.iter().map(|id| json!({"orgId": ORG, "customerId": id}));
    catalog["customers"] = customers.collect();
    endless(catalog)
}

/// The name of an earning: customer, promotion, event.
type EarningName = (i64, String, String);

/// The requested count of an earning, and each answer: the earn ids, in order.
#[derive(Debug, Default, Clone)]
struct EarningAnswers {
    answers: BTreeSet<Vec<String>>,
    most_asked: i64,
}

/// The answers to all workers.
#[derive(Debug, Default)]
pub struct Ledger {
    told: Mutex<BTreeMap<EarningName, EarningAnswers>>,
    /// The acknowledged changes of earned promotions: revoked, or redeemed by a transaction.
    became: Mutex<BTreeMap<String, Option<String>>>,
}

impl Ledger {
    fn asks(&self, key: &EarningName, count: i64) {
        let mut told = self.told.lock().unwrap();
        let told = told.entry(key.clone()).or_default();
        told.most_asked = told.most_asked.max(count);
    }

    fn hears(&self, key: &EarningName, ids: Vec<String>) {
        self.told.lock().unwrap().entry(key.clone()).or_default().answers.insert(ids);
    }

    /// Records an acknowledged change of these earned promotions, which must have no other change.
    fn hears_of(&self, ids: &[String], by: Option<&str>) {
        let mut became = self.became.lock().unwrap();
        for id in ids {
            let before = became.insert(id.clone(), by.map(str::to_owned));
            assert!(before.is_none_or(|before| before.as_deref() == by), "{id}: revoked and redeemed, or twice");
        }
    }

    /// Returns the number of acknowledged earnings.
    fn acknowledged(&self) -> usize {
        let told = self.told.lock().unwrap();
        told.values().filter(|told| told.answers.iter().any(|ids| !ids.is_empty())).count()
    }

    /// Compares the ledger with the wallet: every answered earn id is there, in order, nothing exceeds the requests,
    /// and every acknowledged change is there.
    pub async fn compare(&self, database: &Database) {
        let rows = format!(
            "SELECT customer_id, promotion_id, event_id, earn_id, earned_status, transaction_identifier
             FROM earned_promotions WHERE promotion_id NOT LIKE '{OF_OTHERS}%' ORDER BY ordinal"
        );
        let rows = database.rows(&rows).await;
        let mut held = BTreeMap::<EarningName, Vec<String>>::new();
        let mut became = self.became.lock().unwrap().clone();
        for row in &rows {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let key = (row["customer_id"].as_i64().unwrap(), text("promotion_id"), text("event_id"));
            let (id, status) = (text("earn_id"), text("earned_status"));
            if let Some(by) = became.remove(&id) {
                let (told, by) = by.map_or(("REVOKED", String::new()), |by| ("REDEEMED", by));
                assert_eq!((told, by), (status.as_str(), text("transaction_identifier")), "{row}");
            }
            held.entry(key).or_default().push(id);
        }
        assert!(became.is_empty(), "these are nowhere: {became:?}");
        let told = self.told.lock().unwrap();
        for (key, told) in &*told {
            let held = held.get(key).cloned().unwrap_or_default();
            for ids in &told.answers {
                // A revoked instance is no longer answered.
                let places = ids.iter().map(|id| held.iter().position(|other| other == id));
                assert!(
                    places.clone().all(|place| place.is_some()) && places.is_sorted(),
                    "{key:?}: told {ids:?}, held {held:?}"
                );
            }
            assert!(i64::try_from(held.len()).unwrap() <= told.most_asked, "{key:?}: told {told:?}, held {held:?}");
        }
        let (asked, found) = (told.keys().collect::<BTreeSet<_>>(), held.keys().collect::<BTreeSet<_>>());
        assert!(found.is_subset(&asked), "nobody asked for these");
        drop(told);
        assert!(self.acknowledged() > ENOUGH, "{} earnings", self.acknowledged());
        let became = self.became.lock().unwrap();
        let redeemed = became.values().filter(|by| by.is_some()).count();
        assert!(redeemed > 0 && became.len() > redeemed, "{redeemed} of {} redeemed", became.len());
    }
}

/// Calls servers at random until the default duration is over.
pub async fn run(callers: Vec<TestCaller>) -> Arc<Ledger> {
    run_for(callers, LOAD).await
}

/// Like [`run`], for this duration, and longer until there are enough acknowledged earnings.
pub async fn run_for(callers: Vec<TestCaller>, duration: Duration) -> Arc<Ledger> {
    let ledger = Arc::new(Ledger::default());
    let begun = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let (callers, ledger) = (callers.clone(), Arc::clone(&ledger));
        workers.spawn(async move {
            let mut number = 0_u64;
            let has_enough = || ledger.acknowledged() > ENOUGH || begun.elapsed() > duration + LONGER;
            while begun.elapsed() < duration || !has_enough() {
                number += 1;
                // The event is one of this worker or a shared one, and new or asked for before.
                let (whose, which) = (random(3), number.saturating_sub(random(4)));
                let event = if whose == 0 { format!("shared {which}") } else { format!("{worker} {which}") };
                ask(&callers, &ledger, &event).await;
            }
        });
    }
    workers.join_all().await;
    ledger
}

pub fn random(below: u64) -> u64 {
    rand::random_range(0..below)
}

pub fn pick(count: usize) -> usize {
    usize::try_from(random(count as u64)).unwrap()
}

/// Asks for an earning, and then for a change of it.
async fn ask(callers: &[TestCaller], ledger: &Ledger, event: &str) {
    let (customer, promotion) = (CUSTOMERS[pick(CUSTOMERS.len())], PROMOTIONS[pick(PROMOTIONS.len())]);
    let count = 1 + i64::try_from(random(4)).unwrap();
    let mut request = one_entry(event, promotion, count);
    request["customerId"] = customer.into();
    let key = (customer, promotion.to_owned(), event.to_owned());
    ledger.asks(&key, count);
    let answer = answered(callers, None, &request).await;
    let ids = earn_ids(&answer.body);
    ledger.hears(&key, ids.clone());
    let some = &ids[..pick(ids.len() + 1)];
    match random(3) {
        0 if !some.is_empty() => {
            let details = json!([{"promotionId": promotion, "earnIds": some}]);
            let request = json!({"customerId": customer, "earnRevokeDetails": details});
            let method = "WalletService/RevokeEarnedPromotions";
            let answer = answered(callers, Some(method), &request).await;
            let revoked = answer.body["data"]["revokedDetails"][0]["revokedEarnIds"].as_array().unwrap();
            let revoked: Vec<_> = revoked.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
            ledger.hears_of(&revoked, None);
        }
        1 if !some.is_empty() => {
            let name = format!("{event} {customer} {promotion} {}", random(3));
            let lines: Vec<_> = some.iter().map(|id| (promotion, id.as_str())).collect();
            let request = transaction(&name, customer, &lines);
            let answer = answered(callers, Some("WalletService/Redeem"), &request).await;
            if answer.code == 0 {
                ledger.hears_of(some, Some(&name));
            }
        }
        _ => {}
    }
}

/// Sends a request of this method, or a bulk earning, again as long as it is refused with 503. Returns the answer.
pub async fn until_answered(caller: &TestCaller, method: Option<&str>, request: &Value) -> Answer {
    let answered = async {
        loop {
            let endpoint = ENDPOINTS[pick(2)];
            let answer = match method {
                None => caller.earn(endpoint, request).await,
                Some(method) => call(caller, endpoint, Rpc::of_demo(method), request.clone()).await,
            };
            if !matches!(answer.status, 503 | 14) {
                assert_eq!(answer.code, 0, "{answer:?}");
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(random(20))).await;
        }
    };
    tokio::time::timeout(ANSWERED_WITHIN, answered).await.unwrap_or_else(|_| panic!("no answer: {request}"))
}

/// Sends a request of this method, or a bulk earning, to any server until one answers. Returns the answer.
pub async fn answered(callers: &[TestCaller], method: Option<&str>, request: &Value) -> Answer {
    let answered = async {
        loop {
            match try_once(callers, method, request).await {
                // Any other refusal must invite a retry.
                Some(answer) if !matches!(answer.status, 503 | 14) => {
                    assert!(matches!(answer.code, 0 | 706 | 729 | 731 | 800), "{answer:?}");
                    return answer;
                }
                _ => tokio::time::sleep(Duration::from_millis(5 + random(30))).await,
            }
        }
    };
    tokio::time::timeout(ANSWERED_WITHIN, answered).await.unwrap_or_else(|_| panic!("no answer: {request}"))
}

/// Returns the answer of one server, if it answers. A change of the catalog has no time-out: a late one could take
/// effect after its successor.
pub async fn try_once(callers: &[TestCaller], method: Option<&str>, request: &Value) -> Option<Answer> {
    let (caller, endpoint) = (&callers[pick(callers.len())], ENDPOINTS[pick(2)]);
    let Some(method) = method else {
        return tokio::time::timeout(GIVEN_UP_AFTER, caller.try_earn(endpoint, request)).await.ok().flatten();
    };
    let call = try_call(caller, endpoint, Rpc::of_demo(method), request);
    if method.starts_with("CatalogService/") {
        return call.await;
    }
    tokio::time::timeout(GIVEN_UP_AFTER, call).await.ok().flatten()
}
