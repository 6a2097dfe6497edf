//! Responses never exceed their limit: pages end before it, and calls whose response would be too long are refused.

use std::collections::BTreeSet;

use cart_promotions::proto;
use cart_promotions::wire::json::{JsonMessage, ReadJson, UnknownFields, from_slice};
use prost::Message;
use serde_json::{Value, json};

use crate::rpcs::list;
use crate::support::*;

/// The lowest limit that can be set, in bytes, and the default.
const LEAST: usize = 1_000_000;
const DEFAULT: usize = 4_000_000;

/// Returns a payload of the greatest length: of numbers, which are longer over gRPC, or of one text.
fn payload(numbers: bool) -> Value {
    let payload = if numbers { json!({"a": vec![1; 4_090]}) } else { json!({"a": "x".repeat(8_192 - 8)}) };
    assert!(payload.to_string().len() > 8_180, "{}", payload.to_string().len());
    payload
}

fn with_payload(event: &str, count: i64, payload: Value) -> Value {
    let mut request = one_entry(event, TEN_OFF, count);
    request["eventDetails"]["eventPayload"] = payload;
    request
}

/// Returns the length of the response to a request of this gRPC method on the wire.
async fn grpc_bytes<M: Message + JsonMessage + ReadJson>(caller: &TestCaller, method: &str, request: &Value) -> usize {
    let (message, _) = from_slice::<M>(request.to_string().as_bytes(), UnknownFields::Refuse).unwrap();
    let path = format!("/cartpromotions.v1.{method}");
    caller.try_raw(&path, message.encode_to_vec()).await.unwrap().into_inner().0.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_wallet_ends_before_it_is_too_long_and_goes_on_where_it_ended() {
    for numbers in [false, true] {
        let service = Service::start_with(&catalog(), &["--max-response-bytes", &LEAST.to_string()]).await;
        for event in 0..10 {
            let answer =
                service.earn(Endpoint::Json, &with_payload(&format!("event {event}"), 15, payload(numbers))).await;
            assert_eq!(earn_ids(&answer.body).len(), 15, "{:?}", answer.messages);
        }
        let mut pages = Vec::new();
        for endpoint in ENDPOINTS {
            let (mut seen, mut token, mut lengths) = (BTreeSet::new(), Value::Null, Vec::new());
            loop {
                let mut request = json!({"customerId": CUSTOMER, "limit": 1_000});
                if !token.is_null() {
                    request["pageToken"] = token;
                }
                let answer = list(&service, endpoint, request.clone()).await;
                let grpc = grpc_bytes::<proto::ListEarnedPromotionsRequest>(
                    &service,
                    "WalletService/ListEarnedPromotions",
                    &request,
                );
                assert!(answer.body.to_string().len() <= LEAST && grpc.await <= LEAST, "{endpoint:?}");
                let data = answer.body["data"].as_array().unwrap();
                lengths.push(data.len());
                assert!(
                    data.iter().all(|entry| seen.insert(entry["earnedPromotionId"].to_string())),
                    "presented twice"
                );
                token = answer.body["nextPageToken"].clone();
                if token.is_null() {
                    break;
                }
            }
            assert_eq!(seen.len(), 150);
            pages.push(lengths);
        }
        assert!(pages[0] == pages[1] && pages[0].len() > 1, "the same on both endpoints: {pages:?}");
        let request = json!({"customerId": CUSTOMER, "limit": 5});
        assert_eq!(list(&service, Endpoint::Json, request).await.body["data"].as_array().unwrap().len(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_answered_too_long_is_refused_and_records_nothing() {
    let service = Service::start().await;
    for endpoint in ENDPOINTS {
        // The counts are just below and just above the limit.
        for (count, numbers, fits) in [(440, false, true), (480, false, false), (80, true, true), (100, true, false)] {
            let before = service.granted().await;
            let request = with_payload(&format!("{endpoint:?} {count}"), count, payload(numbers));
            let answer = service.earn(endpoint, &request).await;
            if fits {
                assert_eq!(earn_ids(&answer.body).len(), usize::try_from(count).unwrap(), "{:?}", answer.messages);
                let grpc = grpc_bytes::<proto::BulkEarnRequest>(&service, "EarnService/BulkEarn", &request).await;
                let longest = answer.body.to_string().len().max(grpc);
                assert!((DEFAULT / 2..=DEFAULT).contains(&longest), "{longest}");
            } else {
                assert_eq!(answer.code, 400, "{count}: {answer:?}");
                assert!(answer.messages[0].starts_with("eventDetails.eventPayload: "), "{:?}", answer.messages);
                assert_eq!(service.granted().await, before);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_alone_can_make_an_answer_too_long() {
    let service =
        Service::start_with(&catalog(), &["--max-response-bytes", &LEAST.to_string(), "--max-earn-count", "4000"])
            .await;
    for endpoint in ENDPOINTS {
        let answer = service.earn(endpoint, &one_entry(&format!("{endpoint:?}"), TEN_OFF, 4_000)).await;
        assert_eq!((answer.code, answer.messages.len()), (400, 1), "{answer:?}");
        assert!(answer.messages[0].starts_with("earnedPromotions: "), "{:?}", answer.messages);
        assert_eq!(service.granted().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_payload_that_is_recorded_is_not_given_back_too_often() {
    let service = Service::start().await;
    for endpoint in ENDPOINTS {
        let event = format!("{endpoint:?}");
        let first = service.earn(endpoint, &with_payload(&event, 1, payload(false))).await;
        let first = earn_ids(&first.body);
        let before = service.granted().await;
        let more = service.earn(endpoint, &one_entry(&event, TEN_OFF, 1_000)).await;
        assert_eq!((more.code, service.granted().await), (400, before), "{more:?}");
        assert!(more.messages[0].starts_with("earnedPromotions: "), "{:?}", more.messages);
        // As many are granted as there is room for, and recorded instances are returned.
        let some = service.earn(endpoint, &one_entry(&event, TEN_OFF, 50)).await;
        assert_eq!(earn_ids(&some.body)[..1], first, "{:?}", some.messages);
        assert_eq!(service.granted().await, before + 49);
    }
}
