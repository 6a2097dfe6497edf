//! The wallet: earning one, listing, revoking and redeeming, through the API.

use serde_json::{Value, json};

use crate::rpcs::{Rpc, call, earn, get, list, redeem, revoke};
use crate::support::*;
use crate::terms::CAP;

/// The end of the promotions of the catalog: 2025-12-31T18:29:59.999Z.
const END_MS: i64 = 1_767_205_799_999;
/// 2025-11-11T05:11:48Z, the time of transactions.
pub const TRANSACTION_MS: i64 = 1_762_837_908_000;
/// A promotion that is valid until seven days after the day of the documented event, in India.
const SHORT: &str = "0000000000000000000000a7";

/// Returns the documented request to earn one.
pub fn one_to_earn() -> Value {
    json!({
        "promotionId": TEN_OFF,
        "customerId": CUSTOMER,
        "earnedFromType": "ACTIVITY",
        "earnedFromId": "TXN_12345_ABC",
        "eventTime": 1_761_748_253_000_i64,
        "supplementaryCriteria": {"loyaltyProgramId": 874, "programType": "TIER", "partnerProgramId": 25_319},
        "eventDetails": {
            "id": "TXN_12345_ABC",
            "type": "TransactionAdd",
            "eventPayload": {"storeId": 101, "amount": 75.5}
        }
    })
}

/// Returns a transaction that redeems these earned promotions of a customer.
pub fn transaction(name: &str, customer: i64, earned: &[(&str, &str)]) -> Value {
    let lines = earned.iter().map(|(promotion, id)| {
        json!({"sku": "Sku#Fuel", "promotionId": promotion, "earnedPromotionId": id, "redemptionCount": 1,
            "discount": 500, "discountAppliedOnQuantity": 1, "promotionAppliedOnQuantity": 1})
    });
    json!({
        "customerId": customer,
        "transactionIdentifier": name,
        "transactionNumber": name,
        "transactionDate": TRANSACTION_MS,
        "amount": 1000,
        "lineItems": lines.collect::<Vec<_>>()
    })
}

/// Grants this many of a promotion to the customer of most tests, for this event. Returns their earn ids.
pub async fn granted(caller: &TestCaller, event: &str, promotion: &str, count: i64) -> Vec<String> {
    granted_to(caller, CUSTOMER, one_entry(event, promotion, count)).await
}

/// Grants all of a request for one entry to a customer. Returns the earn ids.
pub async fn granted_to(caller: &TestCaller, customer: i64, mut request: Value) -> Vec<String> {
    request["customerId"] = customer.into();
    request["eventTime"] = NOW_MS.into();
    let answer = caller.earn(Endpoint::Grpc, &request).await;
    let ids = earn_ids(&answer.body);
    assert_eq!(request["earnedPromotions"][0]["earnCount"], ids.len(), "{answer:?}");
    ids
}

fn revoke_of(customer: i64, promotion: &str, ids: &[impl AsRef<str>]) -> Value {
    let ids: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
    json!({"customerId": customer, "earnRevokeDetails": [{"promotionId": promotion, "earnIds": ids}]})
}

fn presented(answer: &Answer) -> Vec<&str> {
    let entries = answer.body["data"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    entries.iter().map(|entry| entry["earnedPromotionId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_documented_earning_of_one_is_granted_once_and_given_back() {
    let service = Service::start().await;
    let first = earn(&service, Endpoint::Json, one_to_earn()).await;
    assert_eq!(first.code, 0, "{first:?}");
    let id = first.body["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        first.body,
        json!({
            "data": {
                "id": id,
                "customerId": CUSTOMER,
                "promotionId": TEN_OFF,
                "earnedFromType": "ACTIVITY",
                "earnedFromId": "TXN_12345_ABC",
                "eventTime": 1_761_748_253_000_i64,
                "eventTimeISO": "2025-10-29T14:30:53Z",
                "eventDetails": {
                    "id": "TXN_12345_ABC",
                    "type": "TransactionAdd",
                    "eventPayload": {"storeId": 101, "amount": 75.5}
                },
                "validTill": END_MS,
                "validTillISO": "2025-12-31T18:29:59Z",
                "supplementaryCriteria": {"loyaltyProgramId": 874, "programType": "TIER", "partnerProgramId": 25_319}
            },
            "errors": []
        })
    );
    for endpoint in ENDPOINTS {
        assert_eq!(earn(&service, endpoint, one_to_earn()).await.body, first.body, "{endpoint:?}");
        // The first details stay, whatever a repeat has.
        let mut other = one_to_earn();
        other["eventDetails"]["type"] = "CustomerUpdate".into();
        other.as_object_mut().unwrap().remove("supplementaryCriteria");
        assert_eq!(earn(&service, endpoint, other).await.body, first.body, "{endpoint:?}");
    }
    // The bulk entry names the same earning.
    let bulk = json!({
        "customerId": CUSTOMER, "eventTime": 1_761_748_253_000_i64, "earnedFromType": "ACTIVITY",
        "eventDetails": {"id": "TXN_12345_ABC", "type": "ACTIVITY"},
        "earnedPromotions": [{"promotionId": TEN_OFF, "earnCount": 2, "earnedFromId": "TXN_12345_ABC"}]
    });
    let ids = earn_ids(&service.earn(Endpoint::Json, &bulk).await.body);
    assert_eq!((ids.len(), &ids[0]), (2, &id));
    assert_eq!(service.granted().await, 2);
}

#[tokio::test]
async fn a_wallet_shows_what_is_valid_the_longest_first_and_each_entry_by_itself() {
    let service = Service::start().await;
    earn(&service, Endpoint::Json, one_to_earn()).await;
    let short = granted(&service, "short", SHORT, 1).await;
    for endpoint in ENDPOINTS {
        let answer = list(&service, endpoint, json!({"customerId": CUSTOMER})).await;
        let entries = answer.body["data"].as_array().unwrap();
        assert_eq!(entries.len(), 2, "{answer:?}");
        let expected = json!({
            "earnedPromotionId": entries[0]["earnedPromotionId"],
            "promotionId": TEN_OFF,
            "promotionName": "Ten off",
            "customerId": CUSTOMER,
            "validTill": END_MS,
            "validTillISO": "2025-12-31T18:29:59Z",
            "unlockedDate": NOW_MS,
            "unlockedDateISO": "2025-11-11T06:00:00Z",
            "eventTime": 1_761_748_253_000_i64,
            "eventTimeISO": "2025-10-29T14:30:53Z",
            "earnedFromType": "ACTIVITY",
            "earnedFromId": "TXN_12345_ABC",
            "eventDetails": {
                "id": "TXN_12345_ABC", "type": "TransactionAdd", "eventPayload": {"storeId": 101, "amount": 75.5}
            },
            "earnedStatus": "UNLOCKED",
            "promotionStatus": "ACTIVE",
            "applicationMode": "DISCOUNT",
            "supplementaryCriteria": {"loyaltyProgramId": 874, "programType": "TIER", "partnerProgramId": 25_319}
        });
        let without_payload = |value: &Value| {
            let mut value = value.clone();
            value["eventDetails"]["eventPayload"] = Value::Null;
            value
        };
        // Over gRPC the numbers of a payload are doubles.
        assert_eq!(without_payload(&entries[0]), without_payload(&expected), "{endpoint:?}");
        assert_eq!(entries[1]["earnedPromotionId"], short[0].as_str());
        assert!(entries[1].get("supplementaryCriteria").is_none(), "{answer:?}");
        assert_eq!(entries[1]["eventDetails"], json!({"id": "short", "type": "BULK_ISSUE"}));
        assert!(answer.body.get("nextPageToken").is_none(), "{answer:?}");

        let one = get(&service, endpoint, json!({"earnedPromotionId": short[0]})).await;
        assert_eq!(one.body["data"], entries[1], "{endpoint:?}");
        let empty = list(&service, endpoint, json!({"customerId": 7})).await;
        assert_eq!((empty.code, &empty.body["data"]), (0, &json!([])));
    }
}

#[tokio::test]
async fn the_details_of_an_earning_are_shown_with_each_of_its_instances() {
    let service = Service::start().await;
    let mut request = one_entry("event", TEN_OFF, 3);
    request["eventDetails"]["eventPayload"] = json!({"a": [1, "b"]});
    service.earn(Endpoint::Json, &request).await;
    let answer = list(&service, Endpoint::Json, json!({"customerId": CUSTOMER})).await;
    let payloads: Vec<_> =
        answer.body["data"].as_array().unwrap().iter().map(|entry| &entry["eventDetails"]["eventPayload"]).collect();
    assert_eq!(payloads, [&json!({"a": [1, "b"]}); 3]);
}

#[tokio::test]
async fn pages_show_everything_once_though_rows_are_added_meanwhile() {
    let service = Service::start().await;
    // Many have one end, and a few have others.
    let mut all = granted(&service, "a", TEN_OFF, 9).await;
    all.extend(granted(&service, "b", FREE_DELIVERY, 4).await);
    all.extend(granted(&service, "c", SHORT, 3).await);
    let whole = list(&service, Endpoint::Json, json!({"customerId": CUSTOMER, "limit": 1000})).await;
    let mut in_order: Vec<_> = all.clone();
    in_order[..13].sort();
    in_order[13..].sort();
    assert_eq!(presented(&whole), in_order, "by the end of validity, then by earn id");
    for (limit, endpoint) in [(1, Endpoint::Json), (3, Endpoint::Grpc), (5, Endpoint::Json), (16, Endpoint::Grpc)] {
        let mut seen: Vec<String> = Vec::new();
        let mut request = json!({"customerId": CUSTOMER, "limit": limit});
        for page in 0.. {
            let answer = list(&service, endpoint, request.clone()).await;
            seen.extend(presented(&answer).into_iter().map(str::to_owned));
            if page == 0 {
                // The listing has this grant on the page that was read, or on a later one.
                let id = granted(&service, &format!("later {limit}"), CAPPED, 1).await;
                let gone = revoke(&service, endpoint, revoke_of(CUSTOMER, CAPPED, &id)).await;
                assert_eq!(gone.code, 0, "{gone:?}");
            }
            match answer.body.get("nextPageToken") {
                Some(token) => request["pageToken"] = token.clone(),
                None => break,
            }
        }
        assert_eq!(seen, in_order, "{limit}");
    }
    // A token is refused for another query.
    let first = list(&service, Endpoint::Json, json!({"customerId": CUSTOMER, "limit": 1})).await;
    let token = &first.body["nextPageToken"];
    for other in [
        json!({"customerId": 7, "pageToken": token}),
        json!({"customerId": CUSTOMER, "pageToken": token, "earnedStatus": ["REVOKED"]}),
        json!({"customerId": CUSTOMER, "pageToken": token, "promotionId": [TEN_OFF]}),
        json!({"customerId": CUSTOMER, "pageToken": "AAAA"}),
    ] {
        let answer = list(&service, Endpoint::Json, other.clone()).await;
        assert_eq!((answer.status, answer.code), (400, 400), "{other} {answer:?}");
        assert!(answer.messages[0].starts_with("pageToken: "), "{answer:?}");
    }
    // A token is refused to another organization, even for a customer of the same number.
    for (method, request) in [
        ("WalletService/ListEarnedPromotions", json!({"customerId": CUSTOMER, "limit": 1})),
        ("CatalogService/ListPromotions", json!({"limit": 1})),
        ("CatalogService/ListCatalogChanges", json!({"limit": 1})),
    ] {
        let as_caller = async |endpoint, who: &str, request: &Value| {
            call(&service, endpoint, Rpc { grpc: method, credentials: &format!("{who}:{who}") }, request.clone()).await
        };
        for endpoint in ENDPOINTS {
            let first = as_caller(endpoint, "demo", &request).await;
            let mut request = request.clone();
            request["pageToken"] = first.body["nextPageToken"].clone();
            assert_eq!(as_caller(endpoint, "demo", &request).await.code, 0);
            let theirs = as_caller(endpoint, "other", &request).await;
            assert_eq!(theirs.code, 400, "{theirs:?}");
            assert!(theirs.messages[0].starts_with("pageToken: "), "{theirs:?}");
        }
    }
}

#[tokio::test]
async fn a_wallet_is_filtered_by_status_and_promotion() {
    let service = Service::start().await;
    let ten = granted(&service, "a", TEN_OFF, 3).await;
    let free = granted(&service, "a", FREE_DELIVERY, 1).await;
    let short = granted(&service, "a", SHORT, 1).await;
    revoke(&service, Endpoint::Json, revoke_of(CUSTOMER, TEN_OFF, &ten[..1])).await;
    redeem(&service, Endpoint::Json, transaction("t", CUSTOMER, &[(TEN_OFF, &ten[1])])).await;
    // The validity ended yesterday.
    let past = NOW_MS - 86_400_000;
    service
        .database()
        .execute(&format!("UPDATE earned_promotions SET valid_till_ms = {past} WHERE earn_id = '{}'", short[0]))
        .await;
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
        ids.sort_unstable();
        ids.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for endpoint in ENDPOINTS {
        for (statuses, promotions, expected) in [
            (&[][..], &[][..], vec![&ten[2], &free[0]]),
            (&["UNLOCKED"], &[], vec![&ten[2], &free[0]]),
            (&["UNLOCKED"], &[TEN_OFF], vec![&ten[2]]),
            (&["REVOKED"], &[], vec![&ten[0]]),
            (&["REDEEMED"], &[], vec![&ten[1]]),
            (&["EXPIRED"], &[], vec![&short[0]]),
            (&["EXPIRED", "UNLOCKED"], &[], vec![&ten[2], &free[0], &short[0]]),
            (
                &["REDEEMED", "REVOKED", "EXPIRED", "UNLOCKED"],
                &[],
                vec![&ten[0], &ten[1], &ten[2], &free[0], &short[0]],
            ),
            (&["REDEEMED", "REVOKED"], &[FREE_DELIVERY, OTHERS], vec![]),
        ] {
            let request = json!({"customerId": CUSTOMER, "earnedStatus": statuses, "promotionId": promotions});
            let answer = list(&service, endpoint, request.clone()).await;
            let mut ids: Vec<_> = presented(&answer).into_iter().map(str::to_owned).collect();
            ids.sort();
            assert_eq!(ids, sorted(&expected), "{request}");
            // The same listing is read page by page.
            let mut paged = Vec::new();
            let mut request = request;
            request["limit"] = 1.into();
            loop {
                let answer = list(&service, endpoint, request.clone()).await;
                paged.extend(presented(&answer).into_iter().map(str::to_owned));
                match answer.body.get("nextPageToken") {
                    Some(token) => request["pageToken"] = token.clone(),
                    None => break,
                }
            }
            let all: Vec<_> = presented(&answer).into_iter().map(str::to_owned).collect();
            assert_eq!(paged, all, "{request}");
        }
        for (id, status) in [(&ten[0], "REVOKED"), (&ten[1], "REDEEMED"), (&ten[2], "UNLOCKED"), (&short[0], "EXPIRED")]
        {
            let one = get(&service, endpoint, json!({"earnedPromotionId": id})).await;
            assert_eq!(one.body["data"]["earnedStatus"], status, "{one:?}");
        }
    }
}

#[tokio::test]
async fn ids_are_revoked_one_by_one_and_a_repeat_is_safe() {
    let service = Service::start().await;
    let ten = granted(&service, "a", TEN_OFF, 4).await;
    let free = granted(&service, "a", FREE_DELIVERY, 2).await;
    let others = granted_to(&service, 7, one_entry("a", TEN_OFF, 1)).await;
    redeem(&service, Endpoint::Grpc, transaction("t", CUSTOMER, &[(TEN_OFF, &ten[3])])).await;
    let request = json!({"customerId": CUSTOMER, "earnRevokeDetails": [
        {"promotionId": TEN_OFF, "earnIds": [ten[0], "string", ten[3], others[0], free[0], ten[1].to_uppercase()]},
        {"promotionId": FREE_DELIVERY, "earnIds": [free[0]]},
        {"promotionId": "0000000000000000000000a1", "earnIds": [ten[2]]},
        {"promotionId": OTHERS, "earnIds": [ten[2]]},
        {"promotionId": "no id", "earnIds": [ten[2]]},
    ]});
    let not_held = "not an earn id of this customer and promotion";
    let expected = json!({
        "data": {"customerId": CUSTOMER, "revokedDetails": [
            {"promotionId": TEN_OFF, "revokedEarnIds": [ten[0], ten[1].to_uppercase()], "status": "PARTIAL"},
            {"promotionId": FREE_DELIVERY, "revokedEarnIds": [free[0]], "status": "SUCCESS"},
            {"promotionId": "0000000000000000000000a1", "revokedEarnIds": [], "status": "FAILURE"},
            {"promotionId": OTHERS, "revokedEarnIds": [], "status": "FAILURE"},
            {"promotionId": "no id", "revokedEarnIds": [], "status": "FAILURE"},
        ]},
        "errors": [
            {"code": 731, "message": not_held, "promotionId": TEN_OFF, "earnIds": ["string", others[0], free[0]]},
            {"code": 729, "message": "already redeemed", "promotionId": TEN_OFF, "earnIds": [ten[3]]},
            {"code": 730, "message": "the promotion is of type POS, which customers do not hold",
             "promotionId": "0000000000000000000000a1", "earnIds": [ten[2]]},
            {"code": 731, "message": not_held, "promotionId": OTHERS, "earnIds": [ten[2]]},
            {"code": 731, "message": not_held, "promotionId": "no id", "earnIds": [ten[2]]},
        ]
    });
    for endpoint in ENDPOINTS {
        let answer = revoke(&service, endpoint, request.clone()).await;
        assert_eq!(answer.body, expected, "{endpoint:?}");
    }
    let left = list(&service, Endpoint::Json, json!({"customerId": CUSTOMER})).await;
    let mut ids = presented(&left);
    ids.sort_unstable();
    let mut expected = vec![ten[2].as_str(), free[1].as_str()];
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn what_is_revoked_makes_room_under_the_cap_but_is_not_granted_again() {
    let service = Service::start().await;
    let ids = granted(&service, "a", CAPPED, 3).await;
    for endpoint in ENDPOINTS {
        let full = service.earn(endpoint, &one_entry("b", CAPPED, 1)).await;
        assert_eq!(full.body["data"][0]["errorDetails"]["errorCode"], 708, "{full:?}");
    }
    revoke(&service, Endpoint::Json, revoke_of(CUSTOMER, CAPPED, &ids[1..2])).await;
    for endpoint in ENDPOINTS {
        // A revoked instance still counts in its earning.
        let again = service.earn(endpoint, &one_entry("a", CAPPED, 3)).await;
        assert_eq!(again.body["data"][0]["errorDetails"]["errorCode"], 731, "{again:?}");
        assert_eq!(again.body["data"][0]["failedEarnCount"], 1);
        assert_eq!(earn_ids(&again.body), [&*ids[0], &*ids[2]]);
    }
    assert_eq!(granted(&service, "b", CAPPED, 1).await.len(), 1);
    let full = service.earn(Endpoint::Json, &one_entry("c", CAPPED, 1)).await;
    assert_eq!(full.body["data"][0]["errorDetails"]["errorCode"], 708, "{full:?}");
    // A repeated revocation makes no more room.
    revoke(&service, Endpoint::Json, revoke_of(CUSTOMER, CAPPED, &ids[1..2])).await;
    let full = service.earn(Endpoint::Json, &one_entry("c", CAPPED, 1)).await;
    assert_eq!(full.body["data"][0]["errorDetails"]["errorCode"], 708, "{full:?}");
    // An entry with two causes names each with its number.
    for endpoint in ENDPOINTS {
        let mixed = service.earn(endpoint, &one_entry("a", CAPPED, 9)).await;
        let entry = &mixed.body["data"][0];
        assert_eq!((&entry["errorDetails"]["errorCode"], &entry["failedEarnCount"]), (&json!(731), &json!(7)));
        let text = entry["errorDetails"]["errorMessages"].as_str().unwrap();
        assert!(text.starts_with("1 of this earning of promotion 0000000000000000000000a9 was revoked"), "{text}");
        assert!(text.contains(&format!("; 6 not granted: {CAP} of promotion")), "{text}");
        assert!(text.ends_with("cap 3, used 3, left 0"), "{text}");
    }
    // `Earn` is refused as a whole.
    let mut one = one_to_earn();
    one["eventDetails"] = json!({"id": "one", "type": "X"});
    let id = earn(&service, Endpoint::Json, one.clone()).await.body["data"]["id"].as_str().unwrap().to_owned();
    revoke(&service, Endpoint::Json, revoke_of(CUSTOMER, TEN_OFF, &[id])).await;
    assert_eq!(earn(&service, Endpoint::Json, one).await.code, 731);
}

#[tokio::test]
async fn the_documented_transaction_redeems_once_and_a_repeat_is_answered_the_same() {
    let service = Service::start().await;
    let ids = granted(&service, "a", TEN_OFF, 2).await;
    let mut request = transaction("txn-50", CUSTOMER, &[(TEN_OFF, &ids[0])]);
    // In both lists it counts once; a customer may be a text, and so may numbers.
    request["redemptions"] = request["lineItems"].clone();
    request["redemptions"][0].as_object_mut().unwrap().remove("sku");
    request["customerIdentifierType"] = "mobile".into();
    let line = json!({"promotionId": TEN_OFF, "earnedPromotionId": ids[0], "sku": "Sku#Fuel", "redemptionCount": 1,
        "discount": "500.000000", "discountAppliedOnQuantity": "1.000000", "promotionAppliedOnQuantity": "1.000000"});
    let mut other = line.clone();
    other.as_object_mut().unwrap().remove("sku");
    let expected = json!({
        "data": {
            "orgId": ORG,
            "customerId": CUSTOMER,
            "transactionIdentifier": "txn-50",
            "transactionNumber": "txn-50",
            "transactionDate": TRANSACTION_MS,
            "transactionDateISO": "2025-11-11T05:11:48Z",
            "amount": 1000,
            "lineItems": [line],
            "redemptions": [other]
        },
        "errors": []
    });
    let first = redeem(&service, Endpoint::Json, request.clone()).await;
    assert_eq!(first.body, expected, "{first:?}");
    request.as_object_mut().unwrap().remove("customerIdentifierType");
    request["customerId"] = CUSTOMER.to_string().into();
    request["amount"] = "1000.00".into();
    request["lineItems"][0]["discount"] = "500".into();
    request["lineItems"][0]["earnedPromotionId"] = ids[0].to_uppercase().into();
    for endpoint in ENDPOINTS {
        assert_eq!(redeem(&service, endpoint, request.clone()).await.body, expected, "{endpoint:?}");
    }
    // The same name with other content is refused, also for another customer.
    for change in [
        |request: &mut Value| request["amount"] = 1001.into(),
        |request: &mut Value| request["customerId"] = 7.into(),
        |request: &mut Value| request["lineItems"][0]["discount"] = 499.into(),
        |request: &mut Value| drop(request.as_object_mut().unwrap().remove("redemptions")),
    ] {
        for endpoint in ENDPOINTS {
            let mut changed = request.clone();
            change(&mut changed);
            let answer = redeem(&service, endpoint, changed).await;
            assert_eq!(
                (answer.code, answer.status),
                (800, if endpoint == Endpoint::Json { 409 } else { 9 }),
                "{answer:?}"
            );
        }
    }
    // Another organization has names of its own.
    let mut theirs = one_entry("a", OTHERS, 1);
    theirs["orgId"] = 3.into();
    let theirs = service.earn_as(Endpoint::Json, Some("other:other"), &theirs).await;
    let id = &earn_ids(&theirs.body)[0];
    let answer = call(
        &service,
        Endpoint::Json,
        Rpc { grpc: "WalletService/Redeem", credentials: "other:other" },
        transaction("txn-50", CUSTOMER, &[(OTHERS, id)]),
    )
    .await;
    assert_eq!(answer.code, 0, "{answer:?}");
}

#[tokio::test]
async fn a_transaction_redeems_all_or_nothing() {
    let service = Service::start().await;
    let ten = granted(&service, "a", TEN_OFF, 4).await;
    let short = granted(&service, "a", SHORT, 1).await;
    let others = granted_to(&service, 7, one_entry("a", TEN_OFF, 1)).await;
    let past = TRANSACTION_MS - 1;
    service
        .database()
        .execute(&format!("UPDATE earned_promotions SET valid_till_ms = {} WHERE earn_id = '{}'", past, short[0]))
        .await;
    redeem(&service, Endpoint::Grpc, transaction("first", CUSTOMER, &[(TEN_OFF, &ten[0])])).await;
    revoke(&service, Endpoint::Grpc, revoke_of(CUSTOMER, TEN_OFF, &ten[1..2])).await;
    for (bad, code, message) in [
        ((TEN_OFF, ten[0].as_str()), 729, "was redeemed by another transaction, \"first\""),
        ((TEN_OFF, ten[1].as_str()), 731, "was revoked"),
        (
            (SHORT, short[0].as_str()),
            706,
            "had expired at 2025-11-11T05:11:48Z: it was valid until 2025-11-11T05:11:47.999Z",
        ),
        ((TEN_OFF, others[0].as_str()), 731, "is not an earned promotion of this customer and promotion"),
        ((FREE_DELIVERY, ten[3].as_str()), 731, "is not an earned promotion"),
        ((TEN_OFF, "000000000000000000000000"), 731, "is not an earned promotion"),
        ((TEN_OFF, "string"), 731, "is not an earned promotion"),
        (("string", ten[3].as_str()), 731, "is not an earned promotion"),
    ] {
        for (index, endpoint) in ENDPOINTS.into_iter().enumerate() {
            let name = format!("{code} {index}");
            let answer = redeem(&service, endpoint, transaction(&name, CUSTOMER, &[(TEN_OFF, &ten[2]), bad])).await;
            let status = if endpoint == Endpoint::Json { 409 } else { 9 };
            assert_eq!((answer.code, answer.status), (code, status), "{bad:?} {answer:?}");
            assert!(answer.messages[0].contains(message), "{answer:?}");
        }
    }
    assert_eq!(service.database().count("SELECT count(*) FROM redemptions").await, 1);
    // The refused transactions redeemed nothing, and their names are free.
    let answer = redeem(&service, Endpoint::Json, transaction("729 0", CUSTOMER, &[(TEN_OFF, &ten[2])])).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    // Redeemed instances are replayed as they were granted, and count as held.
    assert_eq!(earn_ids(&service.earn(Endpoint::Json, &one_entry("a", TEN_OFF, 1)).await.body), [&*ten[0]]);
}

#[tokio::test]
async fn nothing_is_seen_or_changed_of_another_organization() {
    let service = Service::start().await;
    let ids = granted(&service, "a", TEN_OFF, 1).await;
    for endpoint in ENDPOINTS {
        let as_other = async |grpc: &str, request: Value| {
            call(&service, endpoint, Rpc { grpc, credentials: "other:other" }, request).await
        };
        let unseen = as_other("WalletService/ListEarnedPromotions", json!({"customerId": CUSTOMER})).await;
        assert_eq!(unseen.body["data"], json!([]), "{unseen:?}");
        let unseen = as_other("WalletService/GetEarnedPromotion", json!({"earnedPromotionId": ids[0]})).await;
        assert_eq!(unseen.code, 404, "{unseen:?}");
        let kept = as_other("WalletService/RevokeEarnedPromotions", revoke_of(CUSTOMER, TEN_OFF, &ids)).await;
        assert_eq!(kept.body["errors"][0]["code"], 731, "{kept:?}");
        let kept = as_other("WalletService/Redeem", transaction("t", CUSTOMER, &[(TEN_OFF, &ids[0])])).await;
        assert_eq!(kept.code, 731, "{kept:?}");
    }
    let mine = list(&service, Endpoint::Json, json!({"customerId": CUSTOMER})).await;
    assert_eq!(presented(&mine), [&*ids[0]]);
}
