//! Calls of every route by one organization that takes any customer, and the checks of a call that waited.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::catalog::inactive;
use crate::rpcs::{METHODS, Rpc, call};
use crate::support::*;
use crate::wallet::transaction;

/// A method and a request of it.
pub type MethodCall = (&'static str, Value);

pub const BULK_EARN: &str = "EarnService/BulkEarn";
/// Credentials of the organization of which no lock is held.
pub const NEIGHBOUR: &str = "other:other";
/// Longest time of a call that does not wait, on a busy machine, which is shorter than the wait for a lock.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Sends a call.
pub async fn send(caller: &TestCaller, endpoint: Endpoint, credentials: &str, call_of: &MethodCall) -> Answer {
    let (method, request) = call_of;
    if *method == BULK_EARN {
        caller.earn_as(endpoint, Some(credentials), request).await
    } else {
        call(caller, endpoint, Rpc { grpc: method, credentials }, request.clone()).await
    }
}

/// Returns a request for `count` instances, of an event of this name.
pub fn earning(customer: i64, event: &str, promotion: &str, count: i64) -> Value {
    json!({
        "customerId": customer,
        "eventTime": NOW_MS,
        "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": event, "type": "BULK_ISSUE"},
        "earnedPromotions": [{"promotionId": promotion, "earnCount": count, "earnedFromId": "earning"}]
    })
}

/// Returns a request to earn one, of an event of this name.
pub fn earning_one(customer: i64, event: &str, promotion: &str) -> Value {
    json!({
        "promotionId": promotion,
        "customerId": customer,
        "eventTime": NOW_MS,
        "earnedFromType": "ACTIVITY",
        "earnedFromId": "earning",
        "eventDetails": {"id": event, "type": "TransactionAdd"}
    })
}

/// Returns a request to revoke these earned promotions.
pub fn revoking(customer: i64, promotion: &str, ids: &[String]) -> Value {
    json!({"customerId": customer, "earnRevokeDetails": [{"promotionId": promotion, "earnIds": ids}]})
}

/// Sends a call of the neighbor, which must be answered at once.
pub async fn at_once(caller: &TestCaller, endpoint: Endpoint, call: &MethodCall) -> Answer {
    let begun = Instant::now();
    let answer = tokio::time::timeout(AT_ONCE, send(caller, endpoint, NEIGHBOUR, call)).await;
    let answer = answer.unwrap_or_else(|_| panic!("{} takes longer than {AT_ONCE:?} ({endpoint:?})", call.0));
    assert_eq!(answer.code, 0, "{} after {:?}: {answer:?}", call.0, begun.elapsed());
    answer
}

/// The neighbor's records that calls name.
pub struct Things {
    tag: String,
    customer: i64,
    /// Two earned promotions.
    earned: Vec<String>,
    /// A promotion of which nothing was earned.
    promotion: String,
}

impl Things {
    /// Creates the records, by calls that must be answered at once.
    pub async fn make(caller: &TestCaller, tag: &str, customer: i64) -> Self {
        let endpoint = if customer % 2 == 0 { Endpoint::Json } else { Endpoint::Grpc };
        let earned = at_once(caller, endpoint, &(BULK_EARN, earning(customer, tag, OTHERS, 2))).await;
        at_once(caller, endpoint, &("CustomerService/UpsertCustomers", json!({"customerIds": [customer]}))).await;
        let created = ("CatalogService/CreatePromotion", json!({"promotion": inactive(tag)}));
        let created = at_once(caller, endpoint, &created).await;
        let promotion = created.body["data"]["id"].as_str().unwrap().to_owned();
        Self { tag: tag.to_owned(), customer, earned: earn_ids(&earned.body), promotion }
    }

    /// Returns a call of every method.
    pub fn calls(&self) -> Vec<MethodCall> {
        let Self { tag, customer, earned, promotion } = self;
        let redeeming = transaction(tag, *customer, &[(OTHERS, &earned[1])]);
        let calls = vec![
            (BULK_EARN, earning(*customer, &format!("{tag} more"), CAPPED, 1)),
            ("EarnService/Earn", earning_one(*customer, &format!("{tag} one"), OTHERS)),
            ("WalletService/ListEarnedPromotions", json!({"customerId": customer, "limit": 5})),
            ("WalletService/GetEarnedPromotion", json!({"earnedPromotionId": earned[0]})),
            ("WalletService/RevokeEarnedPromotions", revoking(*customer, OTHERS, &earned[..1])),
            ("WalletService/Redeem", redeeming),
            ("CatalogService/CreatePromotion", json!({"promotion": inactive(&format!("{tag} more"))})),
            (
                "CatalogService/ReplacePromotion",
                json!({"promotionId": promotion, "promotion": inactive(&format!("{tag} anew"))}),
            ),
            ("CatalogService/ActivatePromotion", json!({"promotionId": promotion})),
            ("CatalogService/DeactivatePromotion", json!({"promotionId": promotion})),
            ("CatalogService/ListPromotions", json!({"promotionIds": [promotion]})),
            ("CatalogService/ListCatalogChanges", json!({"promotionId": promotion})),
            ("CatalogService/ChangeAudience", json!({"promotionId": promotion, "add": [customer], "remove": [1]})),
            ("CustomerService/UpsertCustomers", json!({"customerIds": [customer]})),
            ("CustomerService/GetCustomer", json!({"customerId": customer})),
        ];
        let called: BTreeSet<_> = calls.iter().map(|(method, _)| *method).collect();
        let known: BTreeSet<_> = METHODS.iter().map(|method| method.grpc).collect();
        assert_eq!(called, known, "every method is called");
        calls
    }
}

/// Calls every route for the neighbor, one after the other; each must be answered at once.
pub async fn every_route_at_once(caller: &TestCaller, tag: &str, round: usize) {
    let customer = 50_000 + i64::try_from(round).unwrap();
    let things = Things::make(caller, &format!("{tag} {round}"), customer).await;
    for call in things.calls() {
        at_once(caller, ENDPOINTS[round % 2], &call).await;
    }
}

/// Requires that a call that waited for a lock succeeded, or was refused with the reason.
pub fn assert_waited(answer: &Answer, may_be_slow: bool) {
    if answer.code == 0 {
        return;
    }
    let told = &answer.messages[0];
    let busy = told.contains("is under way; nothing is recorded") || told.contains("other calls hold the connections");
    let slow = may_be_slow && told.contains("took too long");
    assert!(matches!(answer.status, 503 | 14) && answer.code == 500 && (busy || slow), "{answer:?}");
    if answer.status == 14 && busy {
        assert_eq!(answer.reason, "BUSY", "{answer:?}");
    }
}
