//! Every kind of call of a greedy client, beside every kind of a modest client of another organization: the modest
//! client is never refused, and does not wait for the greedy client's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rpcs::{Rpc, call};
use crate::support::*;

/// Number of calls that the greedy client has in flight at any time.
const GREEDY: usize = 40;
/// Longest time of a call of the modest client meanwhile, in an unoptimized build on a busy machine.
const SOON: Duration = Duration::from_secs(4);
/// Time for which the test waits for a state that must come.
const SURELY: Duration = Duration::from_mins(2);
/// Number of earned promotions of the large wallet, with a payload of 8 KB each: about 2.4 MB as a response.
const LARGE: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallKind {
    Earn,
    List,
    Get,
    Revoke,
    Redeem,
    Promotions,
    Switch,
    Audience,
    Customers,
    Customer,
    Token,
}

const KINDS: [CallKind; 11] = [
    CallKind::Earn,
    CallKind::List,
    CallKind::Get,
    CallKind::Revoke,
    CallKind::Redeem,
    CallKind::Promotions,
    CallKind::Switch,
    CallKind::Audience,
    CallKind::Customers,
    CallKind::Customer,
    CallKind::Token,
];

/// One call of a client: its kind, and a number that sets the records it writes apart from those of other calls.
#[derive(Debug, Clone, Copy)]
struct Numbered {
    kind: CallKind,
    number: usize,
}

/// A client, and the records that its calls name.
#[derive(Debug, Clone)]
struct ClientRecords {
    name: &'static str,
    promotion: &'static str,
    customer: i64,
    earn_id: String,
}

impl ClientRecords {
    /// Creates a client with an earned promotion.
    async fn new(caller: &TestCaller, name: &'static str, promotion: &'static str, customer: i64) -> Self {
        let client = Self { name, promotion, customer, earn_id: String::new() };
        let earn_id = client.earned(caller, Endpoint::Json, "first").await;
        Self { earn_id, ..client }
    }

    fn credentials(&self) -> String {
        format!("{0}:{0}", self.name)
    }

    fn earning(&self, event: &str) -> Value {
        json!({"customerId": self.customer, "eventTime": NOW_MS, "earnedFromType": "BULK_ISSUE",
            "eventDetails": {"id": event, "type": "BULK_ISSUE"},
            "earnedPromotions": [{"promotionId": self.promotion, "earnCount": 1, "earnedFromId": "earning"}]})
    }

    async fn earned(&self, caller: &TestCaller, endpoint: Endpoint, event: &str) -> String {
        let answer = caller.earn_as(endpoint, Some(&self.credentials()), &self.earning(event)).await;
        earn_ids(&answer.body).pop().unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// Makes this call, with the earning before it that it may need. Returns the code of a refusal.
    async fn ask(&self, caller: &TestCaller, endpoint: Endpoint, numbered: Numbered) -> i64 {
        let Numbered { kind, number } = numbered;
        let (promotion, customer) = (self.promotion, self.customer);
        let (method, request) = match kind {
            CallKind::Earn => {
                let request = self.earning(&format!("{} {number}", self.name));
                return caller.earn_as(endpoint, Some(&self.credentials()), &request).await.code;
            }
            CallKind::Token => return self.token(caller).await,
            CallKind::List => ("WalletService/ListEarnedPromotions", json!({"customerId": customer, "limit": 1000})),
            CallKind::Get => ("WalletService/GetEarnedPromotion", json!({"earnedPromotionId": self.earn_id})),
            // The id is not an earn id, which the response reports.
            CallKind::Revoke => (
                "WalletService/RevokeEarnedPromotions",
                json!({"customerId": customer,
                    "earnRevokeDetails": [{"promotionId": promotion, "earnIds": ["0".repeat(24)]}]}),
            ),
            CallKind::Redeem => {
                let name = format!("{} {number}", self.name);
                let earn_id = self.earned(caller, endpoint, &format!("to redeem {name}")).await;
                let line = json!({"promotionId": promotion, "earnedPromotionId": earn_id, "redemptionCount": 1,
                    "discount": 1, "discountAppliedOnQuantity": 1, "promotionAppliedOnQuantity": 1});
                (
                    "WalletService/Redeem",
                    json!({"customerId": customer, "transactionIdentifier": name, "transactionNumber": name,
                        "transactionDate": NOW_MS, "amount": 1, "lineItems": [line]}),
                )
            }
            CallKind::Promotions => ("CatalogService/ListPromotions", json!({"limit": 1000})),
            CallKind::Switch if number.is_multiple_of(2) => {
                ("CatalogService/ActivatePromotion", json!({"promotionId": CAPPED}))
            }
            CallKind::Switch => ("CatalogService/DeactivatePromotion", json!({"promotionId": CAPPED})),
            CallKind::Audience => (
                "CatalogService/ChangeAudience",
                json!({"promotionId": promotion, "add": [number + 1], "remove": [number]}),
            ),
            CallKind::Customers => ("CustomerService/UpsertCustomers", json!({"customerIds": [number + 1]})),
            CallKind::Customer => ("CustomerService/GetCustomer", json!({"customerId": customer})),
        };
        call(caller, endpoint, Rpc { grpc: method, credentials: &self.credentials() }, request).await.code
    }

    async fn token(&self, caller: &TestCaller) -> i64 {
        let url = caller.url("/v3/oauth/token/generate");
        let body = json!({"key": self.name, "secret": self.name}).to_string();
        let request = caller.http().post(url).header("content-type", "application/json").body(body);
        let status = request.send().await.unwrap().status().as_u16();
        if status == 200 { 0 } else { status.into() }
    }
}

/// The greedy client, which makes calls of one kind until it is stopped.
struct Flood {
    calls: JoinSet<()>,
    answered: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Flood {
    fn begin(client: &ClientRecords, caller: &TestCaller, endpoint: Endpoint, kind: CallKind) -> Self {
        let (answered, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut calls = JoinSet::new();
        for index in 0..GREEDY {
            let (client, caller) = (client.clone(), caller.clone());
            let (answered, over) = (Arc::clone(&answered), Arc::clone(&over));
            calls.spawn(async move {
                for number in 1_000_000 * (index + 1).. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // The greedy client may be refused calls beyond its share.
                    client.ask(&caller, endpoint, Numbered { kind, number }).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { calls, answered, over }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until this number of further calls is answered.
    async fn answered_again(&self, times: usize) {
        let enough = self.answered() + times;
        let full = async {
            while self.answered() < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SURELY, full).await.expect("the greedy client is served");
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.calls.join_all().await;
    }
}

/// Fills the wallet that the greedy client lists.
async fn fill(caller: &TestCaller, client: &ClientRecords) {
    for event in 0..3 {
        let mut request = client.earning(&format!("large {event}"));
        request["eventDetails"]["eventPayload"] = json!({"a": "x".repeat(8_000)});
        request["earnedPromotions"][0]["earnCount"] = (LARGE / 3).into();
        assert_eq!(caller.earn_as(Endpoint::Json, Some("demo:demo"), &request).await.code, 0);
    }
}

async fn clients(service: &Service) -> (ClientRecords, ClientRecords) {
    let greedy = ClientRecords::new(service, "demo", TEN_OFF, CUSTOMER).await;
    fill(service, &greedy).await;
    let modest = ClientRecords::new(service, "other", OTHERS, 7).await;
    assert_eq!(
        modest.ask(service, Endpoint::Json, Numbered { kind: CallKind::Customers, number: 6 }).await,
        0,
        "its customer is recorded"
    );
    (greedy, modest)
}

async fn every_kind_beside_every_kind(endpoint: Endpoint) {
    let service = Service::start().await;
    let (greedy, modest) = clients(&service).await;
    // The neighbor has connections of its own.
    let neighbour = TestCaller::of(service.address);
    let mut number = 0;
    for greedy_kind in KINDS {
        let flood = Flood::begin(&greedy, &neighbour, endpoint, greedy_kind);
        flood.answered_again(1).await;
        for kind in KINDS {
            number += 1;
            let begun = Instant::now();
            let code = modest.ask(&service, ENDPOINTS[number % 2], Numbered { kind, number }).await;
            let took = begun.elapsed();
            assert_eq!(code, 0, "{kind:?} beside {greedy_kind:?} is refused after {took:?}");
            assert!(took < SOON, "{kind:?} beside {greedy_kind:?} took {took:?}");
        }
        flood.answered_again(1).await;
        flood.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kind_of_call_over_one_connection_keeps_another_client_from_any() {
    every_kind_beside_every_kind(Endpoint::Grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kind_of_call_over_many_connections_keeps_another_client_from_any() {
    every_kind_beside_every_kind(Endpoint::Json).await;
}

/// Measures the greedy client's responses meanwhile, not time, so the result does not depend on the load of the
/// machine. In a shared queue the greedy client would get responses to all of its calls in flight.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_the_listings_that_another_client_has_waiting() {
    let service = Service::start().await;
    let (greedy, modest) = clients(&service).await;
    let flood = Flood::begin(&greedy, &TestCaller::of(service.address), Endpoint::Json, CallKind::List);
    flood.answered_again(1).await;
    let kinds = [CallKind::List, CallKind::Get, CallKind::Promotions, CallKind::Customer, CallKind::Earn];
    let mut passed_by = Vec::new();
    for number in 0..2 * kinds.len() {
        let before = flood.answered();
        let numbered = Numbered { kind: kinds[number / 2], number };
        assert_eq!(modest.ask(&service, ENDPOINTS[number % 2], numbered).await, 0);
        passed_by.push(flood.answered() - before);
    }
    flood.end().await;
    let total: usize = passed_by.iter().sum();
    assert!(total < passed_by.len() * GREEDY / 4, "listings of the greedy client meanwhile: {passed_by:?}");
}
