//! Identifiers of another organization, in every place of every request: the response is that for identifiers that do
//! not exist, and equally quick.

#[path = "isolation/neighbour.rs"]
mod neighbour;
#[path = "isolation/places.rs"]
pub mod places;
#[path = "isolation/timing.rs"]
mod timing;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::neighbour::{NEIGHBOUR, NEIGHBOUR_ORG, PRIVATE, record};
use self::places::{Place, RecordKind};
use crate::catalog::{created, inactive, promotion};
use crate::rpcs::{METHODS, Rpc, call};
use crate::support::*;
use crate::terms;
use crate::wallet::{granted, transaction};

/// First of the customers of the other organization, one for each place.
const FIRST_CUSTOMER: i64 = 300_000;
/// A promotion id of both organizations.
const SHARED: &str = "0000000000000000000000c1";
const BULK_EARN: &str = "EarnService/BulkEarn";

/// Returns a request of the caller's organization that succeeds, about records that no other request is about: they
/// have `tag` in their texts.
pub async fn request(caller: &TestCaller, method: &str, tag: &str) -> Value {
    let own = async || granted(caller, tag, TEN_OFF, 1).await.remove(0);
    let event = json!({"id": tag, "type": "BULK_ISSUE"});
    match method {
        BULK_EARN => one_entry(tag, TEN_OFF, 2),
        "EarnService/Earn" => json!({"promotionId": TEN_OFF, "customerId": CUSTOMER, "eventTime": NOW_MS,
            "earnedFromType": "BULK_ISSUE", "earnedFromId": tag, "eventDetails": event}),
        "WalletService/ListEarnedPromotions" => json!({"customerId": CUSTOMER, "limit": 1}),
        "WalletService/GetEarnedPromotion" => json!({"earnedPromotionId": own().await}),
        "WalletService/RevokeEarnedPromotions" => json!({"customerId": CUSTOMER,
            "earnRevokeDetails": [{"promotionId": TEN_OFF, "earnIds": [own().await]}]}),
        "WalletService/Redeem" => {
            let mut request = transaction(tag, CUSTOMER, &[(TEN_OFF, &own().await)]);
            request["redemptions"] = request["lineItems"].clone();
            request
        }
        "CatalogService/CreatePromotion" => json!({"promotion": promotion(tag)}),
        "CatalogService/ReplacePromotion" => {
            let id = created(caller, inactive(tag)).await;
            json!({"promotionId": id, "promotion": inactive(tag)})
        }
        "CatalogService/ListPromotions" => json!({"limit": 2}),
        "CatalogService/ActivatePromotion" | "CatalogService/ListCatalogChanges" => {
            json!({"promotionId": created(caller, inactive(tag)).await})
        }
        "CatalogService/DeactivatePromotion" => json!({"promotionId": created(caller, promotion(tag)).await}),
        "CatalogService/ChangeAudience" => {
            json!({"promotionId": created(caller, inactive(tag)).await, "add": [7], "remove": [8]})
        }
        "CustomerService/UpsertCustomers" => json!({"customerIds": [7]}),
        "CustomerService/GetCustomer" => json!({"customerId": 7}),
        other => panic!("{other} is new: give a request that it answers"),
    }
}

pub async fn send(caller: &TestCaller, endpoint: Endpoint, method: &str, request: &Value) -> Answer {
    if method == BULK_EARN {
        caller.earn(endpoint, request).await
    } else {
        call(caller, endpoint, Rpc::of_demo(method), request.clone()).await
    }
}

/// Returns the response without the sent values, the tag, and ids that were made for it.
fn told(answer: &Answer, sent: &[&Value], tag: &str) -> String {
    let metadata: BTreeMap<_, _> = answer.metadata.iter().collect();
    let mut told =
        format!("{:?}", (answer.status, &answer.body, answer.code, &answer.reason, &answer.messages, metadata));
    let mut texts: Vec<_> =
        sent.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
    // The number of a customer is part of other texts too.
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    for text in texts {
        told = told.replace(&text, "<sent>");
    }
    told = told.replace(tag, "<tag>");
    let mut plain = String::new();
    for word in told.split_inclusive(|each: char| !each.is_ascii_hexdigit()) {
        let digits = word.trim_end_matches(|each: char| !each.is_ascii_hexdigit());
        let made = digits.len() == 24 && digits != TEN_OFF;
        plain.push_str(if made { "<id>" } else { digits });
        plain.push_str(&word[digits.len()..]);
    }
    plain
}

/// Returns every row of the other organization.
async fn rows_of_neighbour(service: &Service) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for (table, column) in [
        ("orgs", "id"),
        ("promotions", "org_id"),
        ("audiences", "org_id"),
        ("customers", "org_id"),
        ("api_clients", "org_id"),
        ("earned_promotions", "org_id"),
        ("cap_usage", "org_id"),
        ("redemptions", "org_id"),
        ("former_terms", "org_id"),
    ] {
        let found = service.database().rows(&format!("SELECT * FROM {table} WHERE {column} = {NEIGHBOUR_ORG}")).await;
        rows.extend(found.iter().map(|row| format!("{table} {row}")));
    }
    rows
}

/// Returns the places of requests that are tested together.
fn cases() -> Vec<Vec<Place>> {
    let places = places::all();
    let methods: BTreeSet<_> = places.iter().map(|place| place.method.as_str()).collect();
    let known: BTreeSet<_> = METHODS.iter().map(|method| method.grpc).collect();
    assert_eq!(methods, known, "every method has a place");
    let mut cases: Vec<_> = places.iter().map(|place| vec![place.clone()]).collect();
    // All places are tested together too, because one violation may hide later ones. A wrong organization hides
    // everything.
    for method in methods {
        let all = places.iter().filter(|place| place.method == method && place.kind != RecordKind::Org);
        let all: Vec<_> = all.filter(|place| !matches!(place.kind, RecordKind::WalletPage)).cloned().collect();
        if all.len() > 1 {
            cases.push(all);
        }
    }
    cases
}

/// Tests every case over this API.
async fn try_all(service: &Service, endpoint: Endpoint) {
    let cases = cases();
    let mut recorded = Vec::new();
    for (customer, case) in (FIRST_CUSTOMER..).zip(&cases) {
        let of_it = record(service, customer).await;
        let paged = case.iter().any(|place| {
            matches!(place.kind, RecordKind::WalletPage | RecordKind::PromotionsPage | RecordKind::ChangesPage)
        });
        recorded.push(if paged { of_it.with_pages(service).await } else { of_it });
    }
    let before = rows_of_neighbour(service).await;
    for (index, (case, recorded)) in cases.iter().zip(&recorded).enumerate() {
        let mut both = Vec::new();
        for theirs in [true, false] {
            let tag = format!("own {index} {theirs}.");
            let mut request = request(service, &case[0].method, &tag).await;
            let values: Vec<_> = case.iter().map(|place| recorded.values(place)).collect();
            let values: Vec<_> = values.iter().map(|(their, nobodys)| if theirs { their } else { nobodys }).collect();
            for (place, value) in case.iter().zip(&values) {
                place.put(&mut request, value);
            }
            let answer = send(service, endpoint, &case[0].method, &request).await;
            both.push((told(&answer, &values, &tag), request, answer));
        }
        let [(theirs, request, answer), (nobodys, ..)] = &both[..] else { unreachable!() };
        assert_eq!(theirs, nobodys, "{endpoint:?} {case:#?}\n{request:#}");
        let (presented, sent) = (format!("{answer:?}"), request.to_string());
        let seen = |text: &str| presented.contains(text) && !sent.contains(text);
        let seen = seen(PRIVATE) || recorded.earned.iter().any(|id| seen(id));
        assert!(!seen, "{endpoint:?} {case:#?}\n{answer:?}");
    }
    let after = rows_of_neighbour(service).await;
    let changed: Vec<_> = before.symmetric_difference(&after).collect();
    assert!(changed.is_empty(), "{endpoint:?}: {changed:#?}");
}

/// Returns the catalog, with an organization that takes any customer or not, so that not every call ends with an
/// unknown customer.
fn catalog_that_takes(any_customer: bool) -> Value {
    let mut catalog = catalog();
    catalog["orgs"][0]["acceptUnknownCustomers"] = any_customer.into();
    catalog["orgs"][0]["maxActivePromotions"] = 1_000.into();
    catalog["orgs"][2]["maxActivePromotions"] = 1_000.into();
    // The id is part of no other number in a response.
    catalog["orgs"][2]["id"] = NEIGHBOUR_ORG.into();
    for list in ["promotions", "apiClients"] {
        for record in catalog[list].as_array_mut().unwrap().iter_mut().filter(|record| record["orgId"] == 3) {
            record["orgId"] = NEIGHBOUR_ORG.into();
        }
    }
    catalog
}

#[tokio::test]
async fn what_another_organization_has_is_answered_over_json_as_what_does_not_exist() {
    for any_customer in [false, true] {
        try_all(&Service::start_with(&catalog_that_takes(any_customer), &[]).await, Endpoint::Json).await;
    }
}

#[tokio::test]
async fn what_another_organization_has_is_answered_over_grpc_as_what_does_not_exist() {
    for any_customer in [false, true] {
        try_all(&Service::start_with(&catalog_that_takes(any_customer), &[]).await, Endpoint::Grpc).await;
    }
}

#[tokio::test]
async fn two_organizations_may_have_the_same_identifiers_and_each_has_its_own() {
    let service = Service::start_with(&catalog_that_takes(true), &[]).await;
    let limited = |name: &str| {
        let mut limited = promotion(name);
        limited["id"] = SHARED.into();
        terms::set(&mut limited, &terms::cap(1));
        terms::set(&mut limited, &terms::limited(true));
        json!({"promotion": limited})
    };
    let mut request = one_entry("event", SHARED, 1);
    request.as_object_mut().unwrap().remove("orgId");
    request["eventTime"] = NOW_MS.into();
    // The neighbor's customer is in the audience, has used its cap, and redeemed what it earned.
    let as_neighbour = async |method, request| {
        let answer = call(&service, Endpoint::Json, Rpc { grpc: method, credentials: NEIGHBOUR }, request).await;
        assert_eq!(answer.code, 0, "{method}: {answer:?}");
    };
    as_neighbour("CatalogService/CreatePromotion", limited("Theirs")).await;
    let audience = json!({"promotionId": SHARED, "add": [CUSTOMER, 7]});
    as_neighbour("CatalogService/ChangeAudience", audience.clone()).await;
    let theirs = earn_ids(&service.earn_as(Endpoint::Json, Some(NEIGHBOUR), &request).await.body).remove(0);
    as_neighbour("WalletService/Redeem", transaction("transaction", CUSTOMER, &[(SHARED, &theirs)])).await;
    let before = rows_of_neighbour(&service).await;

    // The caller's own customer is in no audience yet, and has used nothing.
    let ours = async |method, request| send(&service, Endpoint::Grpc, method, &request).await;
    assert_eq!(ours("CatalogService/CreatePromotion", limited("Ours")).await.code, 0);
    let refused = service.earn(Endpoint::Grpc, &request).await;
    assert_eq!(refused.body["data"][0]["errorDetails"]["errorCode"], 715, "{refused:?}");
    let removed = ours("CatalogService/ChangeAudience", json!({"promotionId": SHARED, "remove": [CUSTOMER, 7]})).await;
    assert_eq!(removed.body["data"]["removed"], 0, "{removed:?}");
    assert_eq!(ours("CatalogService/ChangeAudience", audience).await.body["data"]["added"], 2);
    let id = earn_ids(&service.earn(Endpoint::Grpc, &request).await.body).remove(0);
    assert_ne!(id, theirs);
    let redeemed = ours("WalletService/Redeem", transaction("transaction", CUSTOMER, &[(SHARED, &id)])).await;
    assert_eq!(redeemed.code, 0, "{redeemed:?}");
    assert_eq!(ours("CatalogService/DeactivatePromotion", json!({"promotionId": SHARED})).await.code, 0);
    assert_eq!(rows_of_neighbour(&service).await, before);
}

#[tokio::test]
async fn each_request_is_answered_when_everything_in_it_is_our_own() {
    // Otherwise the responses could be equal because both calls were refused for another reason.
    let service = Service::start_with(&catalog_that_takes(false), &[]).await;
    for (index, method) in METHODS.iter().map(|method| method.grpc).enumerate() {
        for endpoint in ENDPOINTS {
            let tag = format!("own {index} {endpoint:?}.");
            let request = request(&service, method, &tag).await;
            let answer = send(&service, endpoint, method, &request).await;
            assert_eq!(answer.code, 0, "{method}: {answer:?}");
        }
    }
    let theirs = call(
        &service,
        Endpoint::Json,
        Rpc { grpc: "CatalogService/ListPromotions", credentials: NEIGHBOUR },
        json!({}),
    )
    .await;
    assert_eq!(theirs.body["data"].as_array().unwrap().len(), 2, "{theirs:?}");
}
