//! Arbitrary input bytes: each gets a clear error, records nothing, and leaves the service running.

use std::time::Duration;

use cart_promotions::proto::BulkEarnRequest;
use cart_promotions::wire::json::{UnknownFields, from_slice};
use proptest::prelude::*;
use prost::Message;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

const AUTH: Option<&str> = Some("demo:demo");

#[tokio::test]
async fn json_that_is_none_is_400_with_its_place_and_nothing_is_recorded() {
    let service = Service::start().await;
    let documented = documented_request().to_string();
    let nested = |open: &str, close: &str, times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
    let deep_object = nested("{\"a\":", "}", 10_000).replace(":}", ":1}");
    for body in [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"text\"".to_owned(),
        "{\"customerId\":}".to_owned(),
        format!("{documented} {documented}"),
        documented.replace("1761750000000", "1e999"),
        documented.replace("1761750000000", "0x10"),
        documented.replace("1761750000000", "NaN"),
        documented.replace("566881933", "99999999999999999999999999"),
        documented.replace("566881933", "-0.5"),
        documented.replace('"', "'"),
        documented[..documented.len() / 2].to_owned(),
        nested("[", "]", 100_000),
        deep_object.clone(),
        documented.replace("\"id\":\"6911e951f57b486147effa6c\"", &format!("\"id\":{deep_object}")),
        documented.replace("\"orgId\":100737", &format!("\"orgId\":{}", nested("[", "]", 100_000))),
        documented.replace("\"orgId\":100737", &format!("\"x\":{}", nested("[", "}", 1_000))),
        documented.replace(
            "\"type\":\"BULK_ISSUE\"",
            &format!("\"type\":\"BULK_ISSUE\",\"eventPayload\":{{\"a\":{}}}", nested("[", "]", 4_000)),
        ),
        documented.replace("68fb1c9731d91c625a8d9e80", "\\ud800"),
        documented.replace("68fb1c9731d91c625a8d9e80", "a\u{1}b"),
        documented.replace("68fb1c9731d91c625a8d9e80", "\\u0000"),
        documented.replace("customerId", "customerId\":1,\"customerId"),
        documented.replacen('{', "{\"passed over\":[\"\\ud83d\"],", 1),
        documented.replacen('{', "{\"\\ude00\":1,", 1),
        documented.replace("\"orgId\":100737", "\"orgId\":[\"\\ud83d\\u0041\"]"),
    ] {
        let answer = service.post(AUTH, body.clone()).await;
        assert_eq!((answer.status, answer.code), (400, 400), "{}: {answer:?}", &body[..body.len().min(200)]);
        assert!(answer.messages.iter().all(|message| !message.is_empty() && message.len() < 500), "{answer:?}");
    }
    // A pair is one character, and an escaped backslash begins no escape.
    let whole = documented.replacen('{', "{\"passed over\":\"\\ud83d\\ude00\\\\ud83d\",\"orgId\":2,", 1);
    assert_eq!(service.post(AUTH, whole.replace(",\"orgId\":100737", "")).await.code, 403);
    // A field that the message does not have is ignored, however deep its value is.
    let passed_over = documented.replace("\"orgId\":100737", &format!("\"orgId\":2,\"x\":{deep_object}"));
    assert_eq!(service.post(AUTH, passed_over).await.code, 403);
    let answer = service.post(AUTH, b"{\"customerId\":\"\xff\xfe\"}".to_vec()).await;
    assert_eq!((answer.status, answer.code), (400, 400), "{answer:?}");
    assert_eq!(service.granted().await, 0);
    assert_eq!(service.earn(Endpoint::Json, &documented_request()).await.status, 200);
}

#[tokio::test]
async fn violations_of_the_list_do_not_hide_those_of_its_entries_or_one_another() {
    let service = Service::start().await;
    let mut request = documented_request();
    request["earnedPromotions"] = vec![json!({"promotionId": TEN_OFF, "earnCount": 10}); 101].into();
    let answer = service.earn(Endpoint::Json, &request).await;
    let (list, entries) = answer.messages.split_last().unwrap();
    assert_eq!(
        list,
        "earnedPromotions: must have at most 100 entries, not 101; must have earn counts summing to at most 1000, not 1010"
    );
    assert_eq!(entries.len(), 101);
    assert_eq!(entries[100], "earnedPromotions[100].earnedFromId: is required");
}

#[tokio::test]
async fn every_violation_of_a_body_is_listed_whether_the_reader_finds_it_or_the_rules() {
    let service = Service::start().await;
    let body = json!({"customerId": "seven", "eventTimeISO": "2025-10-29T15:00:00", "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": "", "type": 7}, "earnedPromotions": [{"promotionId": TEN_OFF, "earnCount": 1.5, "earnedFromId": "a"}, 7]});
    let answer = service.post(AUTH, body.to_string()).await;
    let fields: Vec<_> = answer.messages.iter().map(|message| message.split(':').next().unwrap()).collect();
    let expected = [
        "customerId",
        "earnedPromotions[0].earnCount",
        "earnedPromotions[1]",
        "eventTimeISO",
        "eventDetails.id",
        "eventDetails.type",
    ];
    assert_eq!(fields, expected, "{answer:?}");
}

#[tokio::test]
async fn hostile_texts_are_texts() {
    let service = Service::start().await;
    let hostile = [
        "'; DROP TABLE earned_promotions; --",
        "\u{202e}\u{feff}\u{1F600}",
        "${jndi:ldap://x}",
        "../../etc/passwd",
        "\\\"\n\r\t",
        "%s%n",
        "<script>",
        "$1",
        "?1",
        "{\"a\":1}",
        "[1]",
        "null",
    ];
    for (index, text) in hostile.iter().enumerate() {
        for endpoint in ENDPOINTS {
            let mut request = documented_request();
            request["eventDetails"]["id"] = (*text).into();
            request["earnedPromotions"][0]["earnedFromId"] = (*text).into();
            request["earnedPromotions"][1]["promotionId"] = (*text).into();
            let answer = service.earn(endpoint, &request).await;
            let earned = &answer.body["data"][0]["customerEarnedPromotions"][0];
            assert_eq!(
                (&earned["earnedFromId"], &earned["eventDetails"]["id"]),
                (&json!(text), &json!(text)),
                "{answer:?}"
            );
            assert_eq!(answer.body["data"][1]["errorDetails"]["errorCode"], 404, "{answer:?}");
        }
        assert_eq!(service.granted().await, i64::try_from(index + 1).unwrap());
    }
}

#[tokio::test]
async fn many_violations_fit_the_headers_of_a_grpc_client() {
    let service = Service::start().await;
    let mut request = documented_request();
    request["earnedPromotions"] = vec![json!({}); 100].into();
    let json = service.earn(Endpoint::Json, &request).await;
    assert_eq!(json.messages.len(), 300);
    let grpc = service.earn(Endpoint::Grpc, &request).await;
    assert!((50..300).contains(&grpc.messages.len()), "{}", grpc.messages.len());
    assert_eq!(grpc.messages, json.messages[..grpc.messages.len()]);
    assert_eq!(grpc.metadata["violations"], "300");
    let size: usize = grpc.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(size < 8_000, "{size} bytes of headers");
}

#[tokio::test]
async fn half_sent_requests_record_nothing_and_hold_nobody_up() {
    let mut service = Service::start().await;
    let body = documented_request().to_string();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        basic("demo:demo"),
        body.len()
    );
    let whole = format!("{head}{body}");
    for cut in [1, 20, head.len() - 1, head.len(), head.len() + 1, whole.len() - 1] {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        stream.write_all(&whole.as_bytes()[..cut]).await.unwrap();
    }
    for bytes in [
        &b"\0\0\0\0\0\0"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrubbish",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ] {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut answer)).await;
    }
    assert_eq!(service.granted().await, 0);

    // A body that is too large is refused before it is sent.
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let huge = head.replace(&format!("length: {}", body.len()), "length: 99999999999");
    stream.write_all(huge.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");

    assert_eq!(service.earn(Endpoint::Json, &documented_request()).await.status, 200);
    service.tell_to_stop();
    service.stopped().await.expect("it stops though connections are open");
}

#[test]
fn no_bytes_to_either_endpoint_break_the_service() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(Service::start());
    let json = documented_request().to_string();
    let (message, _) = from_slice::<BulkEarnRequest>(json.as_bytes(), UnknownFields::Refuse).unwrap();
    let proto = message.encode_to_vec();
    let strategy = (prop::collection::vec(any::<u8>(), 0..200), any::<prop::sample::Index>(), any::<bool>());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    proptest::test_runner::TestRunner::new(config)
        .run(&strategy, |(noise, at, whole)| {
            // The input is noise alone, or the documented request with noise in it.
            let spoil = |request: &[u8]| {
                let at = at.index(request.len());
                let some = &noise[..noise.len().min(3)];
                if whole { noise.clone() } else { [&request[..at], some, &request[at..]].concat() }
            };
            let answer = runtime.block_on(service.post(AUTH, spoil(json.as_bytes())));
            prop_assert!([200, 400, 403, 404].contains(&answer.status), "{:?}", answer);
            let called = service.try_raw("/cartpromotions.v1.EarnService/BulkEarn", spoil(&proto));
            if let Err(status) = runtime.block_on(called) {
                let answer = grpc_answer::<()>(Err(status));
                prop_assert!([3, 5, 7].contains(&answer.status), "{:?}", answer);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(runtime.block_on(service.earn(Endpoint::Grpc, &documented_request())).code, 0);
}
