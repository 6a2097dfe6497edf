//! Writes of a server that has the catalog of one change ago in memory: each gets the response of a newly started
//! server, and leaves the counts right.

use std::collections::{BTreeMap, BTreeSet};

use cart_promotions::{app, server};
use serde_json::{Value, json};

use crate::rpcs::{activate, audience, create, deactivate, earn, redeem, replace, revoke};
use crate::support::*;
use crate::terms;
use crate::wallet::{one_to_earn, transaction};

/// First customer of the server with the old catalog.
const BEHIND: i64 = 700_000_000;
/// First customer of the newly started server; each customer is the twin of one above.
const FRESH: i64 = 800_000_000;
/// A promotion whose earning makes the server with the old catalog load the catalog.
const HELD: &str = "00000000000000000000ee01";
const YEAR_START: i64 = 1_735_689_600_000;
const YEAR_END: i64 = 1_924_991_999_999;

/// A change of the catalog: the promotion before it, and the steps to it.
struct CatalogEdit {
    name: &'static str,
    before: fn() -> Value,
    steps: fn() -> Vec<CatalogStep>,
}

/// A step that leads to the change.
enum CatalogStep {
    /// Creates the promotion with these fields.
    Create(Value),
    /// Imports the promotion with these fields.
    Import(Value),
    /// Replaces the promotion, naming these fields.
    Replace(Value),
    Activate,
    Deactivate,
    /// Adds the customers to the audience.
    AddAudience,
    /// Makes each customer earn the promotion this number of times.
    Earn(i64),
    /// Makes the server with the old catalog load the catalog of this moment. Later changes are new to it.
    Hold,
}

use CatalogStep::{Activate, AddAudience, Create, Deactivate, Earn, Hold, Import, Replace};

fn nothing() -> Value {
    Value::Null
}

fn plain() -> Value {
    json!({})
}

fn capped() -> Value {
    terms::cap(2)
}

fn limited() -> Value {
    terms::limited(true)
}

/// Every kind of change of a promotion.
const CHANGES: [CatalogEdit; 21] = [
    CatalogEdit { name: "created", before: nothing, steps: || vec![Hold, Create(capped()), Earn(1)] },
    CatalogEdit { name: "created without a cap", before: nothing, steps: || vec![Hold, Create(plain()), Earn(1)] },
    CatalogEdit { name: "imported", before: nothing, steps: || vec![Hold, Import(capped()), Earn(2)] },
    CatalogEdit { name: "earned first", before: plain, steps: || vec![Hold, Earn(1)] },
    CatalogEdit { name: "cap set", before: plain, steps: || vec![Earn(1), Hold, Replace(capped())] },
    CatalogEdit { name: "cap set below what is held", before: plain, steps: || vec![Earn(3), Hold, Replace(capped())] },
    CatalogEdit {
        name: "cap set before it is earned",
        before: plain,
        steps: || vec![Hold, Replace(capped()), Earn(1)],
    },
    CatalogEdit { name: "cap raised", before: capped, steps: || vec![Earn(2), Hold, Replace(terms::cap(4))] },
    CatalogEdit { name: "cap lowered", before: || terms::cap(4), steps: || vec![Earn(2), Hold, Replace(capped())] },
    CatalogEdit { name: "cap removed", before: capped, steps: || vec![Earn(2), Hold, Replace(terms::unlimited())] },
    CatalogEdit {
        name: "cap removed and set again",
        before: capped,
        steps: || vec![Earn(1), Hold, Replace(terms::unlimited()), Earn(3), Replace(capped())],
    },
    CatalogEdit {
        name: "cap set again",
        before: capped,
        steps: || vec![Earn(1), Replace(terms::unlimited()), Earn(3), Hold, Replace(capped())],
    },
    CatalogEdit { name: "switched off", before: capped, steps: || vec![Earn(1), Hold, Deactivate] },
    CatalogEdit { name: "switched on", before: capped, steps: || vec![Earn(1), Deactivate, Hold, Activate] },
    CatalogEdit { name: "switched off and on", before: capped, steps: || vec![Earn(1), Hold, Deactivate, Activate] },
    CatalogEdit { name: "limited", before: capped, steps: || vec![Earn(1), Hold, Replace(limited())] },
    CatalogEdit {
        name: "limited to the customer",
        before: plain,
        steps: || vec![Earn(1), Hold, Replace(limited()), AddAudience],
    },
    CatalogEdit { name: "no longer limited", before: limited, steps: || vec![Hold, Replace(terms::limited(false))] },
    CatalogEdit {
        name: "ended",
        before: plain,
        steps: || vec![Earn(1), Hold, Replace(json!({"endDate": NOW_MS - 1}))],
    },
    CatalogEdit {
        name: "not begun",
        before: plain,
        steps: || vec![Earn(1), Hold, Replace(json!({"startDate": NOW_MS + 1}))],
    },
    CatalogEdit { name: "expiry changed", before: plain, steps: || vec![Hold, Replace(terms::days(7))] },
];

/// Every kind of write of a wallet.
const WRITES: [StaleWrite; 6] = [
    StaleWrite::BulkEarn,
    StaleWrite::BulkEarnMore,
    StaleWrite::Earn,
    StaleWrite::Revoke,
    StaleWrite::Redeem,
    StaleWrite::EarnBoth,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StaleWrite {
    BulkEarn,
    /// An earning that is recorded already, with a larger count.
    BulkEarnMore,
    Earn,
    Revoke,
    Redeem,
    /// The promotion and another one that did not change.
    EarnBoth,
}

impl StaleWrite {
    async fn send(self, caller: &TestCaller, case: &WriteAfterChange, customer: i64) -> Answer {
        let endpoint = ENDPOINTS[case.number % 2];
        let id = &case.promotion;
        match self {
            Self::BulkEarn => caller.earn(endpoint, &earning(customer, "new", id, 4)).await,
            Self::BulkEarnMore => caller.earn(endpoint, &earning(customer, "before", id, 6)).await,
            Self::EarnBoth => {
                let mut request = earning(customer, "both", id, 1);
                let other = json!({"promotionId": HELD, "earnCount": 1, "earnedFromId": format!("with {id}")});
                request["earnedPromotions"].as_array_mut().unwrap().push(other);
                caller.earn(endpoint, &request).await
            }
            Self::Earn => {
                let mut request = one_to_earn();
                (request["promotionId"], request["customerId"]) = (id.as_str().into(), customer.into());
                earn(caller, endpoint, request).await
            }
            Self::Revoke => {
                let details = json!([{"promotionId": id, "earnIds": [case.first_of(customer)]}]);
                revoke(caller, endpoint, json!({"customerId": customer, "earnRevokeDetails": details})).await
            }
            Self::Redeem => {
                let name = format!("{id} of {customer}");
                redeem(caller, endpoint, transaction(&name, customer, &[(id, &case.first_of(customer))])).await
            }
        }
    }
}

/// One write after one change, with a promotion and customers of its own.
struct WriteAfterChange {
    number: usize,
    promotion: String,
    /// The earn ids of each customer.
    held: BTreeMap<i64, Vec<String>>,
}

impl WriteAfterChange {
    fn customers(&self) -> [i64; 2] {
        [BEHIND, FRESH].map(|first| first + i64::try_from(self.number).unwrap())
    }

    /// Returns the first earn id of the customer, or an id that does not exist.
    fn first_of(&self, customer: i64) -> String {
        let first = self.held.get(&customer).and_then(|ids| ids.first().cloned());
        first.unwrap_or_else(|| "f".repeat(24))
    }
}

fn earning(customer: i64, event: &str, promotion: &str, count: i64) -> Value {
    let mut request = one_entry(event, promotion, count);
    (request["customerId"], request["eventTime"]) = (customer.into(), NOW_MS.into());
    request
}

/// Returns a promotion to create, with these fields replaced.
fn promotion(id: &str, fields: &Value) -> Value {
    let mut promotion =
        json!({"name": format!("P {id}"), "type": "EARNING", "startDate": YEAR_START, "endDate": YEAR_END});
    promotion.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    promotion
}

fn organization(promotions: Vec<Value>) -> Value {
    let mut all = vec![promotion(HELD, &plain())];
    all[0]["id"] = HELD.into();
    all.extend(promotions);
    for promotion in &mut all {
        promotion["orgId"] = ORG.into();
    }
    json!({
        "orgs": [{"id": ORG, "name": "Demo", "timeZone": "Asia/Kolkata", "maxActivePromotions": 1_000,
            "acceptUnknownCustomers": true}],
        "promotions": all,
        "apiClients": [{"username": "demo", "password": "demo", "orgId": ORG}]
    })
}

fn cases() -> Vec<(&'static CatalogEdit, StaleWrite, WriteAfterChange)> {
    let pairs = CHANGES.iter().flat_map(|change| WRITES.map(|write| (change, write)));
    let case = |(number, (change, write))| {
        (
            change,
            write,
            WriteAfterChange { number, promotion: format!("{:024x}", 0xca5e_0000 + number), held: BTreeMap::new() },
        )
    };
    pairs.enumerate().map(case).collect()
}

/// Returns the response as text, without the differences between twins: the customer, and ids made by the service.
pub fn plainly(answer: &Answer, customer: i64) -> String {
    let text = format!("{} {} {:?} {}", answer.status, answer.code, answer.messages, answer.body);
    let text = text.replace(&customer.to_string(), "CUSTOMER");
    let made = |word: &str| {
        let id = word.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
        // The ids of the promotions here begin with zeros, those of the service with the time.
        let hexadecimal = id.len() == 24 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        (hexadecimal && !id.starts_with('0')).then(|| word.replace(id, "ID"))
    };
    let words = text.split_inclusive(|each: char| !each.is_ascii_alphanumeric());
    words.map(|word| made(word).unwrap_or_else(|| word.to_owned())).collect()
}

/// Makes the change with server `a`, while `b` holds the catalog from before.
async fn bring_about(change: &CatalogEdit, case: &mut WriteAfterChange, a: &Service, b: &Service) {
    for step in (change.steps)() {
        let named = json!({"promotionId": case.promotion});
        let answer = match step {
            Create(fields) => {
                let mut promotion = promotion(&case.promotion, &fields);
                promotion["id"] = case.promotion.as_str().into();
                create(a, Endpoint::Json, json!({"promotion": promotion})).await
            }
            Import(fields) => {
                let mut promotion = promotion(&case.promotion, &fields);
                (promotion["id"], promotion["orgId"]) = (case.promotion.as_str().into(), ORG.into());
                import(a.database(), &json!({"promotions": [promotion]})).await.unwrap();
                continue;
            }
            Replace(fields) => {
                let promotion = promotion(&case.promotion, &fields);
                replace(a, Endpoint::Grpc, json!({"promotionId": case.promotion, "promotion": promotion})).await
            }
            Activate => activate(a, Endpoint::Json, named).await,
            Deactivate => deactivate(a, Endpoint::Grpc, named).await,
            AddAudience => {
                audience(a, Endpoint::Json, json!({"promotionId": case.promotion, "add": case.customers()})).await
            }
            Earn(count) => {
                for customer in case.customers() {
                    let answer = a.earn(Endpoint::Grpc, &earning(customer, "before", &case.promotion, count)).await;
                    let ids = earn_ids(&answer.body);
                    assert!(!ids.is_empty(), "{}: {answer:?}", change.name);
                    case.held.insert(customer, ids);
                }
                continue;
            }
            Hold => b.earn(Endpoint::Json, &earning(1, &case.promotion, HELD, 1)).await,
        };
        assert_eq!(answer.code, 0, "{}: {answer:?}", change.name);
    }
}

/// Asserts that the verifier finds nothing.
pub async fn verify(database: &Database) {
    let store = server::open(&options(database.url(), &[]).common).await.unwrap();
    let mut checks = Vec::new();
    app::verify::verify(&store, |check| checks.push(check)).await.unwrap();
    store.close().await;
    assert!(!checks.is_empty() && checks.iter().all(|check| check.breaches.is_empty()), "{checks:#?}");
}

#[tokio::test]
async fn a_write_of_a_server_that_is_one_change_behind_is_answered_as_by_a_fresh_one() {
    let mut cases = cases();
    let recorded = cases.iter().filter(|(change, ..)| !(change.before)().is_null());
    let recorded = recorded.map(|(change, _, case)| {
        let mut promotion = promotion(&case.promotion, &(change.before)());
        promotion["id"] = case.promotion.as_str().into();
        promotion
    });
    let a = Service::start_with(&organization(recorded.collect()), &[]).await;
    let b = a.beside().await;
    let mut answered = Vec::new();
    for (change, write, case) in &mut cases {
        bring_about(change, case, &a, &b).await;
        let [customer, _] = case.customers();
        answered.push(plainly(&write.send(&b, case, customer).await, customer));
    }
    // No promotion changes from here on, so one new server serves for all of them.
    let c = a.beside().await;
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for ((change, write, case), answered) in cases.iter().zip(answered) {
        let [behind, fresh] = case.customers();
        let expected = plainly(&write.send(&c, case, fresh).await, fresh);
        seen.insert(expected.clone());
        if answered != expected {
            wrong.push(format!("{}, {write:?}:\n  {answered}\n  {expected}", change.name));
        }
        // Both customers can earn the same number more.
        let left = async |customer| {
            plainly(&c.earn(Endpoint::Grpc, &earning(customer, "rest", &case.promotion, 9)).await, customer)
        };
        let (one, other) = (left(behind).await, left(fresh).await);
        if one != other {
            wrong.push(format!("{}, after {write:?}:\n  {one}\n  {other}", change.name));
        }
    }
    assert!(wrong.is_empty(), "answered, and what a fresh server answers:\n{}", wrong.join("\n"));
    assert!(seen.len() > CHANGES.len() * 3, "these are all alike: {seen:#?}");
    verify(a.database()).await;
}

/// A change of an organization's record.
type ChangeOfRecord = fn(&mut Value);

/// Every kind of change of an organization.
const ORGANIZATIONS: [(&str, ChangeOfRecord); 4] = [
    ("another zone", |org| org["timeZone"] = "America/New_York".into()),
    ("only known customers", |org| org["acceptUnknownCustomers"] = false.into()),
    ("fewer active promotions", |org| org["maxActivePromotions"] = 1.into()),
    ("as before", |_| {}),
];

#[tokio::test]
async fn a_change_of_the_organization_is_as_one_of_a_promotion() {
    let days = terms::days(7);
    let mut of_days = promotion("days", &days);
    let id = "00000000000000000000ee02";
    of_days["id"] = id.into();
    let file = organization(vec![of_days]);
    let a = Service::start_with(&file, &[]).await;
    let b = a.beside().await;
    let mut number = 0;
    for (name, change) in ORGANIZATIONS {
        for write in [StaleWrite::BulkEarn, StaleWrite::Earn, StaleWrite::Revoke, StaleWrite::Redeem] {
            number += 1;
            let mut case = WriteAfterChange { number, promotion: id.to_owned(), held: BTreeMap::new() };
            for customer in case.customers() {
                // The day in India differs from that in New York.
                let answer = b.earn(Endpoint::Json, &earning(customer, "before", id, 2)).await;
                case.held.insert(customer, earn_ids(&answer.body));
            }
            assert!(case.held.values().all(|ids| ids.len() == 2), "{name}: {:?}", case.held);
            let mut org = file["orgs"][0].clone();
            change(&mut org);
            import(a.database(), &json!({"orgs": [org]})).await.unwrap();
            let [behind, fresh] = case.customers();
            let answered = plainly(&write.send(&b, &case, behind).await, behind);
            let c = a.beside().await;
            let expected = plainly(&write.send(&c, &case, fresh).await, fresh);
            assert_eq!(answered, expected, "{name}, {write:?}");
            let earns = matches!(write, StaleWrite::BulkEarn | StaleWrite::Earn);
            let told = [("only known customers", "not found"), ("fewer active promotions", "705")];
            for (of, text) in told {
                assert!(name != of || !earns || expected.contains(text), "{name}, {write:?}: {expected}");
            }
            import(a.database(), &json!({"orgs": file["orgs"]})).await.unwrap();
        }
    }
    verify(a.database()).await;
}
