//! The catalog and the customer base, through the API.

use serde_json::{Value, json};

use crate::rpcs::{
    Rpc, activate, audience, call, create, customer, deactivate, earn, list, promotions, replace, upsert_customers,
};
use crate::support::*;
use crate::terms::{self, CAP, EXPIRY};
use crate::wallet::one_to_earn;

/// Returns a promotion to create, which begins in 2025 and ends with 2030.
pub fn promotion(name: &str) -> Value {
    json!({"name": name, "type": "EARNING", "startDate": 1_735_689_600_000_i64, "endDateISO": "2030-12-31T23:59:59.999Z"})
}

/// Returns [`promotion`], deactivated.
pub fn inactive(name: &str) -> Value {
    let mut promotion = promotion(name);
    promotion["active"] = false.into();
    promotion
}

/// Creates the promotion and returns its id.
pub async fn created(caller: &TestCaller, promotion: Value) -> String {
    let answer = create(caller, Endpoint::Json, json!({"promotion": promotion})).await;
    answer.body["data"]["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn earning(event: &str, promotion: &str) -> Value {
    let mut request = one_to_earn();
    request["promotionId"] = promotion.into();
    request["eventDetails"]["id"] = event.into();
    request
}

#[tokio::test]
async fn a_promotion_is_created_with_defaults_shown_and_earned_at_once() {
    let service = Service::start().await;
    for (index, endpoint) in ENDPOINTS.into_iter().enumerate() {
        let answer = create(&service, endpoint, json!({"promotion": promotion(&format!("New {index}"))})).await;
        let data = &answer.body["data"];
        let id = data["id"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
        assert_eq!(id.len(), 24);
        assert_eq!(
            *data,
            terms::with(
                json!({
                    "id": id, "orgId": ORG, "name": format!("New {index}"), "type": "EARNING", "active": true,
                    "startDate": 1_735_689_600_000_i64, "startDateISO": "2025-01-01T00:00:00Z",
                    "endDate": 1_924_991_999_999_i64, "endDateISO": "2030-12-31T23:59:59Z"
                }),
                &terms::defaults()
            ),
            "{endpoint:?}"
        );
        let presented =
            promotions(&service, endpoint, json!({"promotionIds": [format!("{TEN_OFF},{id}"), OTHERS]})).await;
        let ids: Vec<_> = presented.body["data"].as_array().unwrap().iter().map(|each| &each["id"]).collect();
        assert_eq!(ids, [TEN_OFF, id]);
        assert_eq!(presented.body["data"][1], *data);
        // The process that made the change needs no time to apply it.
        let earned = earn(&service, endpoint, earning("at once", id)).await;
        assert_eq!(earned.code, 0, "{earned:?}");
        deactivate(&service, endpoint, json!({"promotionId": id})).await;
        assert_eq!(earn(&service, endpoint, earning("off", id)).await.code, 709);
        activate(&service, endpoint, json!({"promotionId": id})).await;
        assert_eq!(earn(&service, endpoint, earning("on again", id)).await.code, 0);
    }
}

#[tokio::test]
async fn the_list_of_promotions_comes_in_pages_and_shows_each_once() {
    let service = Service::start().await;
    let whole = promotions(&service, Endpoint::Json, json!({})).await;
    let ids = |answer: &Answer| -> Vec<String> {
        let data = answer.body["data"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        data.iter().map(|each| each["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&whole);
    assert_eq!(all.len(), 11, "all of the organization, and none of another");
    assert!(all.is_sorted());
    for endpoint in ENDPOINTS {
        let (mut seen, mut request) = (Vec::new(), json!({"limit": 4}));
        loop {
            let answer = promotions(&service, endpoint, request.clone()).await;
            seen.extend(ids(&answer));
            match answer.body.get("nextPageToken") {
                Some(token) => request["pageToken"] = token.clone(),
                None => break,
            }
        }
        assert_eq!(seen, all, "{endpoint:?}");
    }
}

#[tokio::test]
async fn a_change_is_obeyed_at_once_by_its_own_server_and_by_another() {
    let service = Service::start().await;
    let other = service.beside().await;
    let id = created(&service, promotion("New")).await;
    for caller in [&service, &other] {
        assert_eq!(earn(caller, Endpoint::Grpc, earning("new", &id)).await.code, 0);
    }
    for round in 0..20 {
        let (this, that) = if round % 2 == 0 { (&service, &other) } else { (&other, &service) };
        deactivate(this, Endpoint::Grpc, json!({"promotionId": id})).await;
        assert_eq!(earn(this, Endpoint::Grpc, earning(&format!("off {round}"), &id)).await.code, 709, "its own");
        assert_eq!(earn(that, Endpoint::Grpc, earning(&format!("off too {round}"), &id)).await.code, 709, "the other");
        activate(this, Endpoint::Grpc, json!({"promotionId": id})).await;
        assert_eq!(earn(this, Endpoint::Grpc, earning(&format!("on {round}"), &id)).await.code, 0, "its own");
        assert_eq!(earn(that, Endpoint::Grpc, earning(&format!("on too {round}"), &id)).await.code, 0, "the other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beside_many_changes_of_the_catalog_are_answered() {
    let service = std::sync::Arc::new(Service::start().await);
    let id = created(&service, promotion("On and off")).await;
    let mut calls = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let caller = service.caller();
        calls.spawn(async move {
            for number in 0..60 {
                let endpoint = ENDPOINTS[number % 2];
                let event = format!("{worker} {number}");
                let earned = caller.earn(endpoint, &one_entry(&event, TEN_OFF, 1)).await;
                assert_eq!(earned.code, 0, "{earned:?}");
                let listed = list(&caller, endpoint, json!({"customerId": CUSTOMER})).await;
                assert_eq!(listed.code, 0, "{listed:?}");
            }
        });
    }
    for _ in 0..60 {
        for change in ["CatalogService/DeactivatePromotion", "CatalogService/ActivatePromotion"] {
            let answer = call(&service, Endpoint::Grpc, Rpc::of_demo(change), json!({"promotionId": id})).await;
            assert_eq!(answer.code, 0, "{answer:?}");
        }
    }
    calls.join_all().await;
}

#[tokio::test]
async fn a_replacement_keeps_the_type_and_once_earned_the_expiry() {
    let service = Service::start().await;
    let id = created(&service, promotion("New")).await;
    let replaced = async |endpoint: Endpoint, change: fn(&mut Value)| {
        let mut promotion = promotion("New");
        change(&mut promotion);
        replace(&service, endpoint, json!({"promotionId": id, "promotion": promotion})).await
    };
    for endpoint in ENDPOINTS {
        let other_type = replaced(endpoint, |promotion| promotion["type"] = "REWARD".into()).await;
        assert_eq!(
            (other_type.code, other_type.messages[0].as_str()),
            (400, "promotion.type: cannot change: it is EARNING")
        );
        // The expiry may change while nothing is earned.
        let days = replaced(endpoint, |promotion| terms::set(promotion, &terms::days(30)));
        assert_eq!(days.await.body["data"][EXPIRY], terms::days(30)[EXPIRY]);
    }
    let other = service.beside().await;
    assert_eq!(earn(&other, Endpoint::Json, earning("first", &id)).await.code, 0);
    for endpoint in ENDPOINTS {
        let fixed = replaced(endpoint, |promotion| terms::set(promotion, &terms::to_its_end())).await;
        let message = format!(
            "promotion.{EXPIRY}: cannot change once the promotion was earned: it is DAYS_FROM_EARNING with 30 days"
        );
        assert_eq!((fixed.code, &fixed.messages[0]), (400, &message));
        let rest = replaced(endpoint, |promotion| {
            terms::set(promotion, &terms::days(30));
            terms::set(promotion, &terms::cap(1));
            promotion["active"] = false.into();
        });
        let data = rest.await.body["data"].clone();
        assert_eq!((&data[CAP], &data["active"]), (&json!(1), &json!(false)), "{data}");
    }
    // Instances that were earned before the cap count towards it.
    activate(&service, Endpoint::Json, json!({"promotionId": id})).await;
    assert_eq!(earn(&service, Endpoint::Json, earning("second", &id)).await.code, 708);
}

#[tokio::test]
async fn one_more_than_may_be_active_a_name_that_is_taken_and_a_past_end_are_refused() {
    let mut catalog = catalog();
    catalog["orgs"][0]["maxActivePromotions"] = 12.into();
    let service = Service::start_with(&catalog, &[]).await;
    // Ten promotions of the organization are active.
    for endpoint in ENDPOINTS {
        let mut ended = promotion("Ended");
        ended["endDate"] = (NOW_MS - 1).into();
        ended.as_object_mut().unwrap().remove("endDateISO");
        let answer = create(&service, endpoint, json!({"promotion": ended})).await;
        assert_eq!(answer.code, 706, "{answer:?}");
        ended["active"] = false.into();
        let id = created(&service, ended).await;
        assert_eq!(activate(&service, endpoint, json!({"promotionId": id})).await.code, 706);
        let taken = create(&service, endpoint, json!({"promotion": promotion("Ten off")})).await;
        assert_eq!(taken.code, 716, "{taken:?}");
        assert!(taken.messages[0].contains(TEN_OFF), "{taken:?}");
        let id = created(&service, inactive("Ten off")).await;
        assert_eq!(activate(&service, endpoint, json!({"promotionId": id})).await.code, 716);
    }
    let ids = [created(&service, promotion("11")).await, created(&service, promotion("12")).await];
    for endpoint in ENDPOINTS {
        let one_more = create(&service, endpoint, json!({"promotion": promotion("13")})).await;
        assert_eq!(
            (one_more.code, one_more.status),
            (705, if endpoint == Endpoint::Json { 409 } else { 9 }),
            "{one_more:?}"
        );
        let id = created(&service, inactive(&format!("{endpoint:?}"))).await;
        assert_eq!(activate(&service, endpoint, json!({"promotionId": id})).await.code, 705);
        // A promotion that is active already stays active and may be replaced. At the limit another one can be
        // activated only after one is deactivated.
        assert_eq!(activate(&service, endpoint, json!({"promotionId": ids[0]})).await.code, 0);
        let renamed =
            replace(&service, endpoint, json!({"promotionId": ids[0], "promotion": promotion("Eleven")})).await;
        assert_eq!(renamed.code, 0, "{renamed:?}");
        deactivate(&service, endpoint, json!({"promotionId": ids[1]})).await;
        assert_eq!(activate(&service, endpoint, json!({"promotionId": id})).await.code, 0);
        deactivate(&service, endpoint, json!({"promotionId": id})).await;
        activate(&service, endpoint, json!({"promotionId": ids[1]})).await;
    }
}

#[tokio::test]
async fn customers_are_added_to_an_audience_and_removed_from_it() {
    let service = Service::start().await;
    let limited = terms::with(promotion("Friends of friends"), &terms::limited(true));
    let id = created(&service, limited).await;
    for endpoint in ENDPOINTS {
        assert_eq!(earn(&service, endpoint, earning("before", &id)).await.code, 715);
        let answer =
            audience(&service, endpoint, json!({"promotionId": id, "add": [CUSTOMER, 7, 7], "remove": [9]})).await;
        assert_eq!(
            answer.body,
            json!({"data": {"promotionId": id, "added": 2, "removed": 0}, "errors": []}),
            "{answer:?}"
        );
        assert_eq!(earn(&service, endpoint, earning(&format!("{endpoint:?}"), &id)).await.code, 0);
        let answer =
            audience(&service, endpoint, json!({"promotionId": id, "add": [7], "remove": [CUSTOMER, 9]})).await;
        assert_eq!(answer.body["data"], json!({"promotionId": id, "added": 0, "removed": 1}));
        assert_eq!(earn(&service, endpoint, earning("after", &id)).await.code, 715);
        audience(&service, endpoint, json!({"promotionId": id, "remove": [7]})).await;
    }
}

#[tokio::test]
async fn customers_are_recorded_in_bulk_and_earn_from_then_on() {
    let service = Service::start().await;
    for (index, endpoint) in ENDPOINTS.into_iter().enumerate() {
        let new = 1_000 + i64::try_from(index).unwrap();
        assert_eq!(customer(&service, endpoint, json!({"customerId": new})).await.code, 404);
        let answer = upsert_customers(&service, endpoint, json!({"customerIds": [new, CUSTOMER, new]})).await;
        assert_eq!(answer.body, json!({"data": {"added": 1, "known": 1}, "errors": []}), "{answer:?}");
        let presented = customer(&service, endpoint, json!({"customerId": new})).await;
        assert_eq!(presented.body, json!({"data": {"customerId": new}, "errors": []}));
        let mut request = one_to_earn();
        request["customerId"] = new.into();
        assert_eq!(earn(&service, endpoint, request).await.code, 0);
        // Customers of another organization are not found.
        let other = call(
            &service,
            endpoint,
            Rpc { grpc: "CustomerService/GetCustomer", credentials: "other:other" },
            json!({"customerId": new}),
        )
        .await;
        assert_eq!(other.code, 404, "{other:?}");
    }
}

/// A method, a request, and the code and the violations that both APIs report.
type RefusedCatalogCall = (&'static str, Value, i64, &'static [&'static str]);

fn refused_calls() -> Vec<RefusedCatalogCall> {
    [
        refused_earnings(),
        refused_readings_of_a_wallet(),
        refused_revocations(),
        refused_redemptions(),
        refused_new_promotions(),
        refused_calls_about_promotions(),
        refused_changes_of_an_audience(),
        refused_calls_about_customers(),
    ]
    .concat()
}

fn changed(mut request: Value, change: fn(&mut Value)) -> Value {
    change(&mut request);
    request
}

/// Returns a transaction of one line item, whose earned promotion does not exist.
fn transaction_of_one() -> Value {
    let line = json!({"promotionId": TEN_OFF, "earnedPromotionId": TEN_OFF, "redemptionCount": 1, "discount": 1,
        "discountAppliedOnQuantity": 1, "promotionAppliedOnQuantity": 1});
    json!({"customerId": 7, "transactionIdentifier": "t", "transactionNumber": "t",
        "transactionDate": NOW_MS, "amount": 0, "lineItems": [line]})
}

fn new_promotion(change: fn(&mut Value)) -> Value {
    json!({"promotion": changed(promotion("New"), change)})
}

fn refused_earnings() -> Vec<RefusedCatalogCall> {
    vec![
        (
            "EarnService/Earn",
            json!({"promotionId": TEN_OFF}),
            400,
            &[
                "eventTime: is required, or eventTimeISO",
                "earnedFromType: is required",
                "earnedFromId: is required",
                "eventDetails: is required",
                "customerId: must be a positive integer",
            ],
        ),
        ("EarnService/Earn", changed(one_to_earn(), |request| request["customerId"] = 0.into()), 1006, &["customerId"]),
        ("EarnService/Earn", changed(one_to_earn(), |request| request["customerId"] = 8.into()), 404, &["customer 8"]),
        (
            "EarnService/Earn",
            changed(one_to_earn(), |request| request["promotionId"] = "string".into()),
            404,
            &["promotion \"string\""],
        ),
        (
            "EarnService/Earn",
            changed(one_to_earn(), |request| {
                request["supplementaryCriteria"] = json!({"loyaltyProgramId": 1});
                request["eventDetails"]["type"] = "x".repeat(251).into();
                request["eventDetails"]["eventPayload"] = json!({"a": "\0"});
            }),
            400,
            &[
                "eventDetails.type: must be at most 250",
                "eventDetails.eventPayload: must not contain U+0000",
                "supplementaryCriteria.partnerProgramId: must be a positive integer",
                "supplementaryCriteria.programType: is required: one of TIER, SUBSCRIPTION",
            ],
        ),
    ]
}

fn refused_readings_of_a_wallet() -> Vec<RefusedCatalogCall> {
    vec![
        ("WalletService/ListEarnedPromotions", json!({"customerId": -1}), 1006, &["customerId"]),
        ("WalletService/ListEarnedPromotions", json!({"customerId": 8}), 404, &["customer 8"]),
        (
            "WalletService/ListEarnedPromotions",
            json!({"customerId": 7, "limit": 0, "promotionId": ["x"], "earnedStatus": [0, 9]}),
            400,
            &[
                "limit: must be from 1 to 1000, not 0",
                "earnedStatus[0]: is required",
                "earnedStatus[1]: must be one of UNLOCKED",
                "promotionId[0]: must be 24 hexadecimal digits",
            ],
        ),
        ("WalletService/ListEarnedPromotions", json!({"customerId": 7, "limit": 1001}), 400, &["limit: "]),
        (
            "WalletService/GetEarnedPromotion",
            json!({"earnedPromotionId": "x"}),
            400,
            &["earnedPromotionId: must be 24"],
        ),
        (
            "WalletService/GetEarnedPromotion",
            json!({"earnedPromotionId": TEN_OFF}),
            404,
            &["earned promotion 6912ced9"],
        ),
    ]
}

fn refused_revocations() -> Vec<RefusedCatalogCall> {
    vec![
        (
            "WalletService/RevokeEarnedPromotions",
            json!({"customerId": 7}),
            400,
            &["earnRevokeDetails: must have at least 1 element"],
        ),
        (
            "WalletService/RevokeEarnedPromotions",
            json!({"customerId": 7, "earnRevokeDetails": [
                {"promotionId": TEN_OFF, "earnIds": ["a", "", "A"]}, {"earnIds": []}, {"promotionId": TEN_OFF, "earnIds": ["a"]},
            ]}),
            400,
            &[
                "earnRevokeDetails[0].earnIds[1]: is required",
                "earnRevokeDetails[0].earnIds[2]: repeats an earlier one",
                "earnRevokeDetails[1].promotionId: is required",
                "earnRevokeDetails[1].earnIds: must have at least 1",
                "earnRevokeDetails[2].promotionId: repeats",
            ],
        ),
        (
            "WalletService/RevokeEarnedPromotions",
            json!({"customerId": 7, "earnRevokeDetails": [
                {"promotionId": TEN_OFF, "earnIds": (0..1001).map(|id| id.to_string()).collect::<Vec<_>>()},
            ]}),
            400,
            &["earnRevokeDetails: must have at most 1000 earn ids, not 1001"],
        ),
        (
            "WalletService/RevokeEarnedPromotions",
            json!({"customerId": 0, "earnRevokeDetails": [{"promotionId": TEN_OFF, "earnIds": ["a"]}]}),
            1006,
            &["customerId"],
        ),
        (
            "WalletService/RevokeEarnedPromotions",
            json!({"customerId": 8, "earnRevokeDetails": [{"promotionId": TEN_OFF, "earnIds": ["a"]}]}),
            404,
            &["customer 8"],
        ),
    ]
}

fn refused_redemptions() -> Vec<RefusedCatalogCall> {
    vec![
        (
            "WalletService/Redeem",
            json!({}),
            400,
            &[
                "transactionIdentifier: is required",
                "transactionNumber: is required",
                "transactionDate: is required",
                "amount: is required",
                "lineItems: must have at least 1 element",
                "customerId: must be",
            ],
        ),
        (
            "WalletService/Redeem",
            changed(transaction_of_one(), |request| {
                request["lineItems"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"sku": "", "redemptionCount": 2, "discount": -1}));
                let first = request["lineItems"][0].clone();
                request["lineItems"].as_array_mut().unwrap().push(first);
                request["amount"] = 1e9.into();
                request["transactionDateISO"] = "1970-01-01T00:00:01Z".into();
            }),
            400,
            &[
                "transactionDateISO: must name the same second",
                "amount: must be 0 or more, with at most 9 digits before the point and 6 after, not 1000000000.0",
                "lineItems[1].promotionId: is required",
                "lineItems[1].earnedPromotionId: is required",
                "lineItems[1].sku: is required",
                "lineItems[1].redemptionCount: must be 1, not 2",
                "lineItems[1].discount: must be 0 or more, with at most 9 digits before the point and 6 after, not -1.0",
                "lineItems[1].discountAppliedOnQuantity: is required",
                "lineItems[1].promotionAppliedOnQuantity: is required",
                "lineItems[2].earnedPromotionId: repeats",
            ],
        ),
        (
            "WalletService/Redeem",
            changed(transaction_of_one(), |request| request["amount"] = 0.000_000_1.into()),
            400,
            &["amount: "],
        ),
        (
            "WalletService/Redeem",
            changed(transaction_of_one(), |request| request["customerId"] = 8.into()),
            404,
            &["customer 8"],
        ),
        (
            "WalletService/Redeem",
            changed(transaction_of_one(), |request| request["customerId"] = 0.into()),
            1006,
            &["customerId"],
        ),
    ]
}

fn refused_new_promotions() -> Vec<RefusedCatalogCall> {
    vec![
        (
            "CatalogService/CreatePromotion",
            json!({"promotion": {}}),
            400,
            &[
                "promotion.name: is required",
                "promotion.type: is required",
                "promotion.startDate: is required",
                "promotion.endDate: is required",
            ],
        ),
        (
            "CatalogService/CreatePromotion",
            new_promotion(|promotion| {
                promotion["name"] = "x".repeat(51).into();
                promotion["endDateISO"] = "2020-01-01T00:00:00Z".into();
                terms::set(promotion, &terms::cap(0));
                terms::set(promotion, &terms::days(36_501));
            }),
            400,
            &[
                "promotion.name: must be at most 50",
                "promotion.endDate: must not be before startDate",
                "promotion.{CAP}: must be 1 or more",
                "promotion.{EXPIRY}.days: must be from 1 to 36500",
            ],
        ),
        (
            "CatalogService/CreatePromotion",
            new_promotion(|promotion| promotion["name"] = "\tNew".into()),
            400,
            &["promotion.name: must not begin or end with white space"],
        ),
        (
            "CatalogService/CreatePromotion",
            new_promotion(|promotion| promotion["id"] = "x".into()),
            725,
            &["promotionId: "],
        ),
        (
            "CatalogService/CreatePromotion",
            new_promotion(|promotion| promotion["id"] = TEN_OFF.into()),
            409,
            &["promotion 6912ced9d39e256f754a83f8 is recorded with other content (name, startDate, endDate)"],
        ),
        ("CatalogService/CreatePromotion", new_promotion(|promotion| promotion["orgId"] = 2.into()), 403, &["orgId 2"]),
    ]
}

fn refused_calls_about_promotions() -> Vec<RefusedCatalogCall> {
    vec![
        (
            "CatalogService/ReplacePromotion",
            json!({"promotionId": "x", "promotion": promotion("New")}),
            725,
            &["\"x\""],
        ),
        (
            "CatalogService/ReplacePromotion",
            json!({"promotionId": OTHERS, "promotion": promotion("New")}),
            404,
            &["not found"],
        ),
        (
            "CatalogService/ReplacePromotion",
            json!({"promotionId": TEN_OFF, "promotion": {"id": OTHERS}}),
            400,
            &[
                "promotion.id: must be the promotionId",
                "promotion.name: is required",
                "promotion.type: ",
                "promotion.startDate: ",
                "promotion.endDate: ",
            ],
        ),
        (
            "CatalogService/ListPromotions",
            json!({"promotionIds": [format!("{TEN_OFF},x,"), TEN_OFF, "y"], "limit": -1, "pageToken": "x"}),
            400,
            &[
                "promotionIds[1]: must be 24 hexadecimal digits, not \"x\"",
                "promotionIds[2]: must be 24 hexadecimal digits, not \"\"",
                "promotionIds[4]: must be 24 hexadecimal digits, not \"y\"",
                "limit: ",
                "pageToken: ",
            ],
        ),
        (
            "CatalogService/ListCatalogChanges",
            json!({"promotionId": "x", "limit": 101, "pageToken": "x"}),
            400,
            &["limit: must be from 1 to 100, not 101", "promotionId: must be 24 hexadecimal digits", "pageToken: "],
        ),
        ("CatalogService/ListCatalogChanges", json!({"limit": 0}), 400, &["limit: "]),
        ("CatalogService/ActivatePromotion", json!({"promotionId": "x"}), 725, &["\"x\""]),
        ("CatalogService/ActivatePromotion", json!({"promotionId": OTHERS}), 404, &["not found"]),
        ("CatalogService/DeactivatePromotion", json!({"promotionId": "x"}), 725, &["\"x\""]),
        ("CatalogService/DeactivatePromotion", json!({"promotionId": OTHERS}), 404, &["not found"]),
    ]
}

fn refused_changes_of_an_audience() -> Vec<RefusedCatalogCall> {
    vec![
        ("CatalogService/ChangeAudience", json!({"promotionId": TEN_OFF}), 400, &["add: must have at least 1"]),
        ("CatalogService/ChangeAudience", json!({"promotionId": "x", "add": [1]}), 725, &["\"x\""]),
        ("CatalogService/ChangeAudience", json!({"promotionId": OTHERS, "add": [1]}), 404, &["not found"]),
        (
            "CatalogService/ChangeAudience",
            json!({"promotionId": "x", "add": [1, 0], "remove": [1, -1]}),
            400,
            &[
                "add[1]: must be a positive integer",
                "remove[1]: must be a positive integer",
                "remove[0]: is among",
                "promotionId: must be 24",
            ],
        ),
        (
            "CatalogService/ChangeAudience",
            json!({"promotionId": TEN_OFF, "add": (1..=1001).collect::<Vec<_>>()}),
            400,
            &["add: must have at most 1000"],
        ),
    ]
}

fn refused_calls_about_customers() -> Vec<RefusedCatalogCall> {
    vec![
        ("CustomerService/UpsertCustomers", json!({}), 400, &["customerIds: must have at least 1"]),
        (
            "CustomerService/UpsertCustomers",
            json!({"customerIds": [1, 0]}),
            400,
            &["customerIds[1]: must be a positive"],
        ),
        (
            "CustomerService/UpsertCustomers",
            json!({"customerIds": (1..=1001).collect::<Vec<_>>()}),
            400,
            &["customerIds: must have at most 1000"],
        ),
        ("CustomerService/GetCustomer", json!({"customerId": 0}), 1006, &["customerId"]),
        ("CustomerService/GetCustomer", json!({"customerId": 8}), 404, &["customer 8"]),
    ]
}

#[tokio::test]
async fn every_violation_of_every_call_is_listed_the_same_on_both_endpoints_and_records_nothing() {
    let service = Service::start().await;
    let before = recorded(&service).await;
    for (method, request, code, messages) in refused_calls() {
        for endpoint in ENDPOINTS {
            let answer = call(&service, endpoint, Rpc::of_demo(method), request.clone()).await;
            assert_eq!(answer.code, code, "{method} {request} {endpoint:?}: {answer:?}");
            assert_eq!(answer.messages.len(), messages.len(), "{method} {request} {endpoint:?}: {answer:?}");
            for (message, expected) in answer.messages.iter().zip(messages) {
                let expected = expected.replace("{CAP}", CAP).replace("{EXPIRY}", EXPIRY);
                assert!(
                    message.contains(&expected),
                    "{method} {request} {endpoint:?}: {message} instead of {expected}"
                );
            }
        }
    }
    assert_eq!(recorded(&service).await, before);
}

/// Returns every row that calls may change.
async fn recorded(service: &Service) -> Vec<Value> {
    let mut rows = Vec::new();
    for table in
        ["earned_promotions", "redemptions", "cap_usage", "promotions", "audiences", "customers", "catalog_changes"]
    {
        rows.extend(service.database().rows(&format!("SELECT * FROM {table} ORDER BY 1, 2")).await);
    }
    rows
}

/// All access groups.
const GROUPS: [&str; 7] =
    ["earn:write", "wallet:read", "wallet:write", "catalog:read", "catalog:write", "customers:read", "customers:write"];

#[tokio::test]
async fn every_call_needs_its_access_group() {
    let mut catalog = catalog();
    for group in GROUPS {
        let others: Vec<_> = GROUPS.into_iter().filter(|other| *other != group).collect();
        for (name, access) in [(format!("only {group}"), vec![group]), (format!("not {group}"), others)] {
            let name = name.replace(':', " ");
            let client = json!({"username": name, "password": "x", "orgId": ORG, "access": access});
            catalog["apiClients"].as_array_mut().unwrap().push(client);
        }
    }
    let service = Service::start_with(&catalog, &[]).await;
    for method in crate::rpcs::METHODS {
        let reads = method.verb == "GET";
        let group = match (method.grpc.split("Service").next().unwrap(), reads) {
            ("Earn", _) => "earn:write",
            ("Wallet", true) => "wallet:read",
            ("Wallet", false) => "wallet:write",
            ("Catalog", true) => "catalog:read",
            ("Catalog", false) => "catalog:write",
            (_, true) => "customers:read",
            (_, false) => "customers:write",
        };
        for (client, refused) in [("only", false), ("not", true)] {
            let credentials = format!("{client} {}:x", group.replace(':', " "));
            for endpoint in ENDPOINTS {
                let answer =
                    call(&service, endpoint, Rpc { grpc: method.grpc, credentials: &credentials }, json!({})).await;
                assert_eq!(answer.code == 403, refused, "{} as {credentials}: {answer:?}", method.grpc);
                assert!(!refused || answer.messages[0].contains(group), "{answer:?}");
            }
        }
    }
}
