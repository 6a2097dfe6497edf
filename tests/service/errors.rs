//! Every row of the two error tables, through both doors, and their documentation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cart_promotions::app::credentials::AccessGroup;
use cart_promotions::earning::{EarnFailure, EarnedFromType, ObjectId, PromotionType};
use cart_promotions::transport::refusal::Refusal;
use cart_promotions::wire::Violations;
use serde_json::{Value, json};

use crate::support::*;

/// One way to be refused whole: what is changed in the documented request, and what both doors then say.
struct Row {
    name: &'static str,
    change: fn(&mut Value),
    code: i64,
    http: i64,
    grpc: i64,
    reason: &'static str,
    messages: &'static [&'static str],
}

const fn invalid(name: &'static str, change: fn(&mut Value), messages: &'static [&'static str]) -> Row {
    Row { name, change, code: 400, http: 400, grpc: 3, reason: "INVALID_REQUEST", messages }
}

const ROWS: [Row; 30] = [
    Row {
        name: "another organization",
        change: |request| request["orgId"] = 2.into(),
        code: 403,
        http: 403,
        grpc: 7,
        reason: "ORG_MISMATCH",
        messages: &["orgId 2"],
    },
    Row {
        name: "another organization, before anything that is wrong with the rest",
        change: |request| *request = json!({"orgId": -1}),
        code: 403,
        http: 403,
        grpc: 7,
        reason: "ORG_MISMATCH",
        messages: &["orgId -1"],
    },
    Row {
        name: "customer 0",
        change: |request| request["customerId"] = 0.into(),
        code: 1006,
        http: 400,
        grpc: 3,
        reason: "INVALID_CUSTOMER_ID",
        messages: &["customerId"],
    },
    Row {
        name: "customer -5",
        change: |request| request["customerId"] = (-5).into(),
        code: 1006,
        http: 400,
        grpc: 3,
        reason: "INVALID_CUSTOMER_ID",
        messages: &["-5"],
    },
    Row {
        name: "no customer",
        change: |request| drop(request.as_object_mut().unwrap().remove("customerId")),
        code: 1006,
        http: 400,
        grpc: 3,
        reason: "INVALID_CUSTOMER_ID",
        messages: &["customerId"],
    },
    Row {
        name: "unknown customer",
        change: |request| request["customerId"] = 8.into(),
        code: 404,
        http: 404,
        grpc: 5,
        reason: "CUSTOMER_NOT_FOUND",
        messages: &["customer 8"],
    },
    invalid(
        "customer 0 among other faults",
        |request| {
            request["customerId"] = 0.into();
            request["earnedPromotions"] = json!([]);
        },
        &["earnedPromotions: must have at least 1 entry", "customerId: must be a positive integer"],
    ),
    invalid(
        "nothing at all",
        |request| *request = json!({}),
        &[
            "eventTime: is required, or eventTimeISO",
            "earnedFromType: is required",
            "eventDetails: is required",
            "earnedPromotions: must have at least 1 entry",
            "customerId: must be a positive integer",
        ],
    ),
    invalid("no event time", |request| drop(request.as_object_mut().unwrap().remove("eventTime")), &["eventTime: "]),
    invalid(
        "an event time without offset",
        |request| request["eventTimeISO"] = "2025-10-29T15:00:00".into(),
        &["eventTimeISO: "],
    ),
    invalid(
        "times a second apart",
        |request| request["eventTimeISO"] = "2025-10-29T15:00:01Z".into(),
        &["eventTimeISO: "],
    ),
    invalid(
        "a time 24 h and 1 ms ahead",
        |request| request["eventTime"] = (NOW_MS + 86_400_001).into(),
        &["eventTime: must be at most 24 hours"],
    ),
    invalid("the end of all time", |request| request["eventTime"] = i64::MAX.into(), &["eventTime: "]),
    invalid("before all time", |request| request["eventTime"] = i64::MIN.into(), &["eventTime: "]),
    invalid("no type", |request| request["earnedFromType"] = 0.into(), &["earnedFromType: is required"]),
    invalid("an unknown type", |request| request["earnedFromType"] = 99.into(), &["earnedFromType: must be one of"]),
    invalid("no event", |request| request["eventDetails"] = Value::Null, &["eventDetails: is required"]),
    invalid(
        "an empty event",
        |request| request["eventDetails"] = json!({}),
        &["eventDetails.id: ", "eventDetails.type: "],
    ),
    invalid(
        "an event of another type",
        |request| request["eventDetails"]["type"] = "REWARD".into(),
        &["eventDetails.type: must equal earnedFromType"],
    ),
    invalid(
        "a long event id",
        |request| request["eventDetails"]["id"] = "é".repeat(251).into(),
        &["eventDetails.id: must be at most 250"],
    ),
    invalid(
        "U+0000 in the event id",
        |request| request["eventDetails"]["id"] = "a\0b".into(),
        &["eventDetails.id: must not contain U+0000"],
    ),
    invalid(
        "U+0000 in the payload",
        |request| request["eventDetails"]["eventPayload"] = json!({"a": "\0"}),
        &["eventDetails.eventPayload: must not contain U+0000"],
    ),
    invalid(
        "a large payload",
        |request| request["eventDetails"]["eventPayload"] = json!({"a": "x".repeat(9000)}),
        &["eventDetails.eventPayload: must be at most 8192 bytes"],
    ),
    invalid(
        "no entries",
        |request| request["earnedPromotions"] = json!([]),
        &["earnedPromotions: must have at least 1"],
    ),
    invalid(
        "101 entries",
        |request| {
            request["earnedPromotions"] = (0..101)
                .map(|index| json!({"promotionId": TEN_OFF, "earnCount": 1, "earnedFromId": index.to_string()}))
                .collect();
        },
        &["earnedPromotions: must have at most 100 entries, not 101"],
    ),
    invalid(
        "empty entries",
        |request| request["earnedPromotions"] = json!([{}, {"earnCount": -1}]),
        &[
            "earnedPromotions[0].promotionId: is required",
            "earnedPromotions[0].earnedFromId: is required",
            "earnedPromotions[0].earnCount: must be 1 or more, not 0",
            "earnedPromotions[1].promotionId: is required",
            "earnedPromotions[1].earnedFromId: is required",
            "earnedPromotions[1].earnCount: must be 1 or more, not -1",
        ],
    ),
    invalid(
        "counts above the sum",
        |request| request["earnedPromotions"][1]["earnCount"] = 1000.into(),
        &["earnedPromotions: must have earn counts summing to at most 1000, not 1001"],
    ),
    invalid(
        "counts that overflow",
        |request| {
            request["earnedPromotions"][0]["earnCount"] = i32::MAX.into();
            request["earnedPromotions"][1]["earnCount"] = i32::MAX.into();
        },
        &["not 4294967294"],
    ),
    invalid(
        "a pair twice",
        |request| request["earnedPromotions"][1]["promotionId"] = TEN_OFF.to_uppercase().into(),
        &["earnedPromotions[1].earnedFromId: repeats that of earnedPromotions[0]"],
    ),
    invalid(
        "a long earning id and U+0000 in a promotion id",
        |request| {
            request["earnedPromotions"][0]["earnedFromId"] = "x".repeat(251).into();
            request["earnedPromotions"][1]["promotionId"] = "\0".into();
        },
        &["earnedPromotions[0].earnedFromId: must be at most 250", "earnedPromotions[1].promotionId: must not contain"],
    ),
];

fn expect(answer: &Answer, door: Door, row: (i64, i64, i64, &str), name: &str) {
    let (code, http, grpc, reason) = row;
    let status = if door == Door::Json { http } else { grpc };
    assert_eq!((answer.status, answer.code), (status, code), "{name} on {door:?}: {answer:?}");
    if door == Door::Grpc {
        assert_eq!(answer.reason, reason, "{name}: {answer:?}");
    }
    if http == 503 || http == 429 {
        assert_eq!(answer.headers.contains_key("retry-after"), door == Door::Json, "{name} on {door:?}");
    }
    assert_eq!(answer.headers.contains_key("www-authenticate"), http == 401 && door == Door::Json);
}

#[tokio::test]
async fn every_refusal_of_a_request_is_the_same_on_both_doors_and_records_nothing() {
    let service = Service::start().await;
    for row in &ROWS {
        let mut request = documented_request();
        (row.change)(&mut request);
        for door in DOORS {
            let answer = service.earn(door, &request).await;
            expect(&answer, door, (row.code, row.http, row.grpc, row.reason), row.name);
            assert_eq!(answer.messages.len(), row.messages.len(), "{}: {:?}", row.name, answer.messages);
            for (message, expected) in answer.messages.iter().zip(row.messages) {
                assert!(message.contains(expected), "{} on {door:?}: {message}", row.name);
            }
        }
    }
    assert_eq!(service.granted(), 0);
}

#[tokio::test]
async fn the_limits_of_a_request_themselves_are_allowed() {
    let service = Service::start().await;
    for door in DOORS {
        let mut request = documented_request();
        request["eventTime"] = (NOW_MS + 86_400_000).into();
        request["eventDetails"]["id"] = "é".repeat(250).into();
        request["earnedPromotions"] = (0..100)
            .map(|index| json!({"promotionId": TEN_OFF, "earnCount": 10, "earnedFromId": format!("{index:0250}")}))
            .collect();
        let answer = service.earn(door, &request).await;
        assert_eq!(earn_ids(&answer.body).len(), 1000, "{door:?}: {:?}", answer.messages);
    }
    assert_eq!(service.granted(), 1000);
}

#[tokio::test]
async fn no_or_wrong_credentials_are_401_before_anything_else() {
    let service = Service::start().await;
    for door in DOORS {
        for credentials in [None, Some("demo:wrong"), Some("nobody:demo"), Some("demo:"), Some(":"), Some("demo")] {
            let answer = service.earn_as(door, credentials, &json!({"orgId": 2})).await;
            expect(&answer, door, (401, 401, 16, "UNAUTHENTICATED"), &format!("{credentials:?}"));
        }
    }
}

#[tokio::test]
async fn credentials_without_the_access_group_are_403() {
    let service = Service::start().await;
    // No group but this one can be imported yet; a client without any is what a later version's read-only one is here.
    service.database().execute("UPDATE api_clients SET access = 'wallet:read' WHERE username = 'demo'", []).unwrap();
    for door in DOORS {
        let answer = service.earn(door, &json!({})).await;
        expect(&answer, door, (403, 403, 7, "ACCESS_DENIED"), "no access");
        assert!(answer.messages[0].contains("earn:write"), "{answer:?}");
    }
}

#[tokio::test]
async fn one_request_too_many_in_a_minute_is_429() {
    for door in DOORS {
        let service = Service::start_with(&catalogue(), &["--requests-per-minute", "3"]).await;
        for _ in 0..3 {
            assert_eq!(service.earn(door, &documented_request()).await.code, 0);
        }
        // Before what is wrong with the request, and before the organization.
        let answer = service.earn(door, &json!({"orgId": 2})).await;
        expect(&answer, door, (429, 429, 8, "RATE_LIMITED"), "a fourth");
        // Another client has its own.
        assert_eq!(service.earn_as(door, Some("crowded:crowded"), &json!({"orgId": 1})).await.code, 403);
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_1007_or_503_and_one_that_is_broken_is_500() {
    for door in DOORS {
        let service = Service::start_with(&catalogue(), &["--database-timeout-ms", "200"]).await;
        assert_eq!(service.earn(door, &one_entry("warm", TEN_OFF, 1)).await.code, 0);
        let blocker = service.database();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        let answer = service.earn(door, &documented_request()).await;
        expect(&answer, door, (1007, 503, 14, "CUSTOMER_LOOKUP_FAILED"), "a locked database");
        assert!(answer.messages[0].contains("566881933"), "{answer:?}");
        blocker.execute_batch("ROLLBACK").unwrap();
        assert_eq!(service.earn(door, &documented_request()).await.code, 0, "it recovers by itself");

        blocker.execute_batch("ALTER TABLE earned_promotions RENAME TO gone").unwrap();
        let answer = service.earn(door, &documented_request()).await;
        expect(&answer, door, (500, 500, 13, "INTERNAL"), "a missing table");
        assert_eq!(answer.messages, ["internal error; the request id names it in the log"], "nothing of the cause");
        blocker.execute_batch("ALTER TABLE gone RENAME TO earned_promotions").unwrap();
        assert_eq!(service.earn(door, &documented_request()).await.code, 0, "it recovers by itself");
    }
}

#[tokio::test]
async fn a_full_queue_is_503_at_once() {
    for door in DOORS {
        let service = Arc::new(Service::start_with(&catalogue(), &["--max-waiting", "1"]).await);
        assert_eq!(service.earn(door, &one_entry("warm", TEN_OFF, 1)).await.code, 0);
        let blocker = service.database();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        // One is being written, one waits; the rest is refused while the database is still locked.
        let mut calls = tokio::task::JoinSet::new();
        for index in 0..8 {
            let service = Arc::clone(&service);
            calls.spawn(async move { service.earn(door, &one_entry(&format!("busy {index}"), TEN_OFF, 1)).await });
            if index < 2 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        for _ in 0..6 {
            let answer = tokio::time::timeout(Duration::from_secs(4), calls.join_next())
                .await
                .expect("at once")
                .unwrap()
                .unwrap();
            expect(&answer, door, (500, 503, 14, "OVERLOADED"), "a full queue");
        }
        blocker.execute_batch("ROLLBACK").unwrap();
        for answer in calls.join_all().await {
            assert_eq!(answer.code, 0, "{answer:?}");
        }
        assert_eq!(service.granted(), 3);
    }
}

#[tokio::test]
async fn what_is_no_call_of_ours_says_so_in_the_same_body() {
    let service = Service::start().await;
    let http = service.http();
    let authorized = |request: reqwest::RequestBuilder| request.header("authorization", basic("demo:demo"));

    let answer = json_answer(http.get(service.url("/api_gateway/v2/promotions")).send().await.unwrap()).await;
    assert_eq!((answer.status, answer.code), (404, 404), "{answer:?}");

    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = http.request(method.parse().unwrap(), service.url(PATH)).send().await.unwrap();
        let answer = json_answer(answer).await;
        assert_eq!((answer.status, answer.code), (405, 405), "{method}: {answer:?}");
        assert_eq!(answer.headers["allow"], "POST", "{method}");
    }

    for (content_type, encoding) in [
        ("text/plain", "identity"),
        ("application/x-www-form-urlencoded", "identity"),
        ("application/jsonx", "identity"),
        ("application/json", "gzip"),
    ] {
        let request = authorized(http.post(service.url(PATH))).header("content-type", content_type);
        let request = request.header("content-encoding", encoding).body(documented_request().to_string());
        let answer = json_answer(request.send().await.unwrap()).await;
        assert_eq!((answer.status, answer.code), (415, 415), "{content_type} {encoding}: {answer:?}");
    }
    let request = authorized(http.post(service.url(PATH))).header("content-type", "application/json; charset=utf-8");
    let answer = json_answer(request.body(documented_request().to_string()).send().await.unwrap()).await;
    assert_eq!(answer.status, 200);

    let answer = service.post(Some("demo:demo"), " ".repeat(1024 * 1024 + 1)).await;
    assert_eq!((answer.status, answer.code), (413, 413), "{answer:?}");

    // The same over gRPC: a message above the limit, one that is none, and a method that is none.
    let mut long = documented_request();
    long["eventDetails"]["id"] = "x".repeat(1024 * 1024).into();
    expect(&service.earn(Door::Grpc, &long).await, Door::Grpc, (413, 413, 3, "TOO_LARGE"), "a large message");
    let mut grpc = tonic::client::Grpc::new(service.channel());
    for (path, message, expected) in [
        (format!("{SERVICE}/BulkEarn"), "\u{7f}\u{7f}", (400, 400, 3, "INVALID_REQUEST")),
        (format!("{SERVICE}/BulkBurn"), "", (404, 404, 12, "UNKNOWN_PATH")),
        ("/other.Service/Call".to_owned(), "", (404, 404, 12, "UNKNOWN_PATH")),
    ] {
        grpc.ready().await.unwrap();
        let mut request = tonic::Request::new(Raw(message.as_bytes().to_vec()));
        request.metadata_mut().insert("authorization", basic("demo:demo").parse().unwrap());
        let answer = grpc.unary(request, path.parse().unwrap(), RawCodec).await;
        let answer = grpc_answer(answer.map(|_: tonic::Response<Raw>| unreachable!("{path} is no call")));
        expect(&answer, Door::Grpc, expected, &path);
    }
}

const SERVICE: &str = "/cartpromotions.v1.EarnService";

/// Bytes as they are, for what no message says.
#[derive(Debug)]
struct Raw(Vec<u8>);
struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Raw;
    type Decode = Raw;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for RawCodec {
    type Item = Raw;
    type Error = tonic::Status;

    fn encode(&mut self, item: Raw, out: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(out, &item.0);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawCodec {
    type Item = Raw;
    type Error = tonic::Status;

    fn decode(&mut self, bytes: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Raw>, tonic::Status> {
        Ok(Some(Raw(bytes::Buf::copy_to_bytes(bytes, bytes::Buf::remaining(bytes)).to_vec())))
    }
}

/// One way for an entry to fail: the promotion it asks for, what is changed, and what the entry then says.
type EntryRow = (&'static str, &'static str, fn(&mut Value), i64, &'static str);

const ENTRY_ROWS: [EntryRow; 12] = [
    ("an unknown promotion", "0000000000000000000000ff", |_| {}, 404, "0000000000000000000000ff"),
    ("no promotion id at all", "ten off", |_| {}, 404, "ten off"),
    ("a promotion of the other organization only", "0000000000000000000000b1", |_| {}, 404, "0000000000000000000000b1"),
    ("POS", "0000000000000000000000a1", |_| {}, 707, "POS"),
    ("CODE", "0000000000000000000000a2", |_| {}, 707, "CODE"),
    ("CUSTOMER", "0000000000000000000000a3", |_| {}, 714, "CUSTOMER"),
    ("switched off", "0000000000000000000000a4", |_| {}, 709, "not active"),
    ("not started", "0000000000000000000000a5", |_| {}, 709, "not started"),
    ("over", "0000000000000000000000a6", |_| {}, 706, "expired"),
    (
        "earned too late to be valid",
        "0000000000000000000000a7",
        |request| request["eventTime"] = (NOW_MS - 9 * 86_400_000).into(),
        706,
        "would have expired",
    ),
    ("limited to others", "0000000000000000000000a8", |_| {}, 715, "audience"),
    (
        "four of three",
        "0000000000000000000000a9",
        |request| request["earnedPromotions"][0]["earnCount"] = 4.into(),
        708,
        "cap 3, used 0, left 3; 1 not granted",
    ),
];

#[tokio::test]
async fn every_failure_of_an_entry_is_the_same_on_both_doors() {
    for door in DOORS {
        let service = Service::start().await;
        for (name, promotion, change, code, message) in ENTRY_ROWS {
            let mut request = one_entry(name, promotion, 1);
            change(&mut request);
            expect_entry(&service.earn(door, &request).await, code, message, name);
        }
        assert_eq!(service.granted(), 3, "{door:?}");

        // In the audience, and within the days of validity, the same promotions are earned.
        let mut friend = one_entry("friend", "0000000000000000000000a8", 1);
        friend["customerId"] = 7.into();
        assert_eq!(earn_ids(&service.earn(door, &friend).await.body).len(), 1);
        let mut short = one_entry("short", "0000000000000000000000a7", 1);
        short["eventTime"] = (NOW_MS - 86_400_000).into();
        let earned = service.earn(door, &short).await.body;
        // The 7th day after 2025-11-10 in India ends at 18:29:59.999Z.
        assert_eq!(
            earned["data"][0]["customerEarnedPromotions"][0]["validTillISO"], "2025-11-17T18:29:59Z",
            "{earned}"
        );

        service.earn(door, &documented_request()).await;
        let mut other_type = documented_request();
        other_type["earnedFromType"] = "MILESTONE".into();
        other_type["eventDetails"]["type"] = "MILESTONE".into();
        expect_entry(&service.earn(door, &other_type).await, 713, "BULK_ISSUE and cannot change to MILESTONE", "713");

        let crowded = json!({"customerId": 1, "eventTime": NOW_MS, "earnedFromType": "REWARD", "eventDetails": {"id": "e", "type": "REWARD"},
            "earnedPromotions": [{"promotionId": TEN_OFF, "earnCount": 1, "earnedFromId": "f"}]});
        let answer = service.earn_as(door, Some("crowded:crowded"), &crowded).await;
        expect_entry(&answer, 705, "2 active promotions, more than its maximum of 1", "705");
    }
}

fn expect_entry(answer: &Answer, code: i64, message: &str, name: &str) {
    assert_eq!(answer.code, 0, "{name}: {answer:?}");
    let entry = &answer.body["data"][0];
    assert_eq!(entry["errorDetails"]["errorCode"], code, "{name}: {entry}");
    let text = entry["errorDetails"]["errorMessages"].as_str().unwrap();
    assert!(text.contains(message), "{name}: {text}");
    let earned = entry["customerEarnedPromotions"].as_array().unwrap().len();
    assert_eq!(entry["successfulEarnCount"], earned, "{name}: {entry}");
}

/// One of each, so that the documentation can be held against them.
fn refusals() -> Vec<Refusal> {
    let cause = || Arc::new(std::io::Error::other("cause"));
    let all = vec![
        Refusal::UnknownPath("/x".to_owned()),
        Refusal::MethodNotAllowed,
        Refusal::NotServing,
        Refusal::Unauthenticated,
        Refusal::RateLimited { per_minute: 1, retry_after: Duration::from_secs(1) },
        Refusal::AccessDenied(AccessGroup::EarnWrite),
        Refusal::OrgMismatch { given: 1 },
        Refusal::NotJson,
        Refusal::NotGrpc,
        Refusal::TooLarge,
        Refusal::TooSlow,
        Refusal::Invalid(Violations::of("a", "b")),
        Refusal::InvalidCustomerId(0),
        Refusal::CustomerNotFound(1),
        Refusal::Overloaded,
        Refusal::CustomerLookupFailed(1, cause()),
        Refusal::Unavailable(cause()),
        Refusal::Internal(cause()),
    ];
    // A new refusal stops the build here until it is in the list above.
    for refusal in &all {
        match refusal {
            Refusal::UnknownPath(_)
            | Refusal::MethodNotAllowed
            | Refusal::NotServing
            | Refusal::Unauthenticated
            | Refusal::RateLimited { .. }
            | Refusal::AccessDenied(_)
            | Refusal::OrgMismatch { .. }
            | Refusal::NotJson
            | Refusal::NotGrpc
            | Refusal::TooLarge
            | Refusal::TooSlow
            | Refusal::Invalid(_)
            | Refusal::InvalidCustomerId(_)
            | Refusal::CustomerNotFound(_)
            | Refusal::Overloaded
            | Refusal::CustomerLookupFailed(..)
            | Refusal::Unavailable(_)
            | Refusal::Internal(_) => {}
        }
    }
    all
}

fn failures() -> Vec<EarnFailure> {
    let promotion_id = ObjectId([0; 12]);
    let all = vec![
        EarnFailure::PromotionNotFound { given: "x".to_owned() },
        EarnFailure::TypeNotSupported { promotion_id, kind: PromotionType::Pos },
        EarnFailure::TypeNotEarnable { promotion_id, kind: PromotionType::Customer },
        EarnFailure::EarnedFromTypeChanged { recorded: EarnedFromType::Reward, given: EarnedFromType::Activity },
        EarnFailure::TooManyActivePromotions { active: 2, cap: 1 },
        EarnFailure::Inactive { promotion_id },
        EarnFailure::NotStarted { promotion_id, event_time_ms: 1, start_ms: 2 },
        EarnFailure::Ended { promotion_id, event_time_ms: 2, end_ms: 1 },
        EarnFailure::NoLongerValid { promotion_id, event_time_ms: 1, valid_till_ms: 2 },
        EarnFailure::NotInAudience { promotion_id, customer_id: 1 },
        EarnFailure::CapReached { promotion_id, cap: 1, used: 1, left: 0, refused: 1 },
    ];
    for failure in &all {
        match failure {
            EarnFailure::PromotionNotFound { .. }
            | EarnFailure::TypeNotSupported { .. }
            | EarnFailure::TypeNotEarnable { .. }
            | EarnFailure::EarnedFromTypeChanged { .. }
            | EarnFailure::TooManyActivePromotions { .. }
            | EarnFailure::Inactive { .. }
            | EarnFailure::NotStarted { .. }
            | EarnFailure::Ended { .. }
            | EarnFailure::NoLongerValid { .. }
            | EarnFailure::NotInAudience { .. }
            | EarnFailure::CapReached { .. } => {}
        }
    }
    all
}

/// The rows of the tables in docs/errors.md that have this many columns, without the heads.
fn documented_rows(columns: usize) -> BTreeSet<Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).unwrap();
    let rows =
        text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-") && !line.starts_with("| code"));
    rows.map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>()
    })
    .filter(|cells| cells.len() == columns)
    .collect()
}

#[test]
fn the_documentation_has_every_refusal_and_no_other() {
    let documented: BTreeSet<_> = documented_rows(5).into_iter().map(|row| row[..4].to_vec()).collect();
    let coded: BTreeSet<_> = refusals()
        .iter()
        .map(|refusal| {
            let row = refusal.row();
            let grpc = format!("{:?}", row.grpc).chars().fold(String::new(), |mut name, letter| {
                if letter.is_ascii_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
                name
            });
            vec![row.code.to_string(), row.http.as_u16().to_string(), grpc, row.reason.to_owned()]
        })
        .collect();
    assert_eq!(documented, coded);
}

#[test]
fn the_documentation_has_every_failure_of_an_entry_and_no_other() {
    let documented: BTreeSet<_> = documented_rows(2).into_iter().map(|row| row[0].clone()).collect();
    let coded: BTreeSet<_> = failures().iter().map(|failure| failure.code().to_string()).collect();
    assert_eq!(documented, coded);
}
