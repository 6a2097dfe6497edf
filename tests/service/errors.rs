//! Every row of the two error tables, over gRPC and JSON, and their documentation.

use std::sync::Arc;
use std::time::Duration;

use cart_promotions::access::groups::AccessGroup;
use cart_promotions::earning::revoke::RevokeFailure;
use cart_promotions::earning::{EarnFailure, EarnedFromType, ObjectId, OrgId, PromotionType, Timestamp};
use cart_promotions::proto::Reason;
use cart_promotions::transport::refusal::{Refusal, Unauthenticated, told};
use cart_promotions::wire::Violations;
use cart_promotions::writer::error::Outage;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::ENGINE;
use crate::catalog::promotion;
use crate::rpcs::{Rpc, activate, call, create, earn, get, redeem};
use crate::support::*;
use crate::tokens;
use crate::wallet::{granted, one_to_earn, transaction};

/// A refusal of a whole call: the change of the documented request, and the response of both APIs.
struct RefusedRequest {
    name: &'static str,
    change: fn(&mut Value),
    code: i64,
    http: i64,
    grpc: i64,
    reason: &'static str,
    messages: &'static [&'static str],
}

const fn invalid(name: &'static str, change: fn(&mut Value), messages: &'static [&'static str]) -> RefusedRequest {
    RefusedRequest { name, change, code: 400, http: 400, grpc: 3, reason: "INVALID_REQUEST", messages }
}

const ROWS: [RefusedRequest; 30] = [
    RefusedRequest {
        name: "another organization",
        change: |request| request["orgId"] = 2.into(),
        code: 403,
        http: 403,
        grpc: 7,
        reason: "ORG_MISMATCH",
        messages: &["orgId 2"],
    },
    RefusedRequest {
        name: "another organization, before anything that is wrong with the rest",
        change: |request| *request = json!({"orgId": -1}),
        code: 403,
        http: 403,
        grpc: 7,
        reason: "ORG_MISMATCH",
        messages: &["orgId -1"],
    },
    RefusedRequest {
        name: "customer 0",
        change: |request| request["customerId"] = 0.into(),
        code: 1006,
        http: 400,
        grpc: 3,
        reason: "INVALID_CUSTOMER_ID",
        messages: &["customerId"],
    },
    RefusedRequest {
        name: "customer -5",
        change: |request| request["customerId"] = (-5).into(),
        code: 1006,
        http: 400,
        grpc: 3,
        reason: "INVALID_CUSTOMER_ID",
        messages: &["-5"],
    },
    RefusedRequest {
        name: "no customer",
        change: |request| drop(request.as_object_mut().unwrap().remove("customerId")),
        code: 1006,
        http: 400,
        grpc: 3,
        reason: "INVALID_CUSTOMER_ID",
        messages: &["customerId"],
    },
    RefusedRequest {
        name: "unknown customer",
        change: |request| request["customerId"] = 8.into(),
        code: 404,
        http: 404,
        grpc: 5,
        reason: "CUSTOMER_NOT_FOUND",
        messages: &["customer 8"],
    },
    invalid(
        "customer 0 among other violations",
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

/// A refusal: its documented number, HTTP status, gRPC code and reason.
type ExpectedRefusal<'a> = (i64, i64, i64, &'a str);

fn expect(answer: &Answer, endpoint: Endpoint, row: ExpectedRefusal<'_>, name: &str) {
    let (code, http, grpc, reason) = row;
    let status = if endpoint == Endpoint::Json { http } else { grpc };
    assert_eq!((answer.status, answer.code), (status, code), "{name} on {endpoint:?}: {answer:?}");
    if endpoint == Endpoint::Grpc {
        assert_eq!(answer.reason, reason, "{name}: {answer:?}");
    }
    if http == 503 || http == 429 {
        assert_eq!(answer.headers.contains_key("retry-after"), endpoint == Endpoint::Json, "{name} on {endpoint:?}");
    }
    assert_eq!(answer.headers.contains_key("www-authenticate"), http == 401 && endpoint == Endpoint::Json);
}

#[tokio::test]
async fn every_refusal_of_a_request_is_the_same_on_both_endpoints_and_records_nothing() {
    let service = Service::start().await;
    for row in &ROWS {
        let mut request = documented_request();
        (row.change)(&mut request);
        for endpoint in ENDPOINTS {
            let answer = service.earn(endpoint, &request).await;
            expect(&answer, endpoint, (row.code, row.http, row.grpc, row.reason), row.name);
            assert_eq!(answer.messages.len(), row.messages.len(), "{}: {:?}", row.name, answer.messages);
            for (message, expected) in answer.messages.iter().zip(row.messages) {
                assert!(message.contains(expected), "{} on {endpoint:?}: {message}", row.name);
            }
        }
    }
    assert_eq!(service.granted().await, 0);
}

#[tokio::test]
async fn the_limits_of_a_request_themselves_are_allowed() {
    let service = Service::start().await;
    for endpoint in ENDPOINTS {
        let mut request = documented_request();
        request["eventTime"] = (NOW_MS + 86_400_000).into();
        request["eventDetails"]["id"] = "é".repeat(250).into();
        request["earnedPromotions"] = (0..100)
            .map(|index| json!({"promotionId": TEN_OFF, "earnCount": 10, "earnedFromId": format!("{index:0250}")}))
            .collect();
        let answer = service.earn(endpoint, &request).await;
        assert_eq!(earn_ids(&answer.body).len(), 1000, "{endpoint:?}: {:?}", answer.messages);
    }
    assert_eq!(service.granted().await, 1000);
}

/// Makes a service refuse a call for this reason, over this API. Returns `None` if the API has no such refusal, or
/// another test provokes it.
async fn provoke(reason: &str, endpoint: Endpoint) -> Option<Vec<Answer>> {
    let changed = |change: fn(&mut Value)| {
        let mut request = documented_request();
        change(&mut request);
        request
    };
    let service = Service::start_with(&catalog(), options_to_provoke(reason)).await;
    let answer = match (reason, endpoint) {
        // The client library sends no such target: `edge::malformed` does.
        ("TARGET_TOO_LONG", _)
        | ("METHOD_NOT_ALLOWED" | "NOT_JSON" | "NOT_GRPC" | "HEADERS_TOO_LARGE", Endpoint::Grpc) => return None,
        // On SQLite this takes a process of its own:
        // `process::a_full_disk_is_503_over_both_endpoints_and_loses_nothing`.
        ("UNAVAILABLE", _) if ENGINE == DatabaseKind::Sqlite => return None,
        ("UNKNOWN_PATH" | "METHOD_NOT_ALLOWED" | "NOT_JSON" | "NOT_GRPC" | "HEADERS_TOO_LARGE", _) => {
            no_call_of_the_api(&service, reason, endpoint).await
        }
        ("NOT_SERVING", _) => return Some(vec![refused_while_draining(service, endpoint).await]),
        ("UNAUTHENTICATED" | "TOO_MANY_FAILED_LOGINS", _) => return Some(not_let_in(&service, reason, endpoint).await),
        ("KEYS_NOT_READ" | "UNKNOWN_ORGANIZATION", _) => tokens::provoke(&service, reason, endpoint).await,
        ("RATE_LIMITED", _) => {
            for _ in 0..3 {
                assert_eq!(service.earn(endpoint, &documented_request()).await.code, 0);
            }
            // Another client has a limit of its own.
            assert_eq!(service.earn_as(endpoint, Some("crowded:crowded"), &json!({"orgId": 1})).await.code, 403);
            service.earn(endpoint, &json!({"orgId": 2})).await
        }
        ("TOO_LARGE", _) => {
            service
                .earn(endpoint, &changed(|request| request["eventDetails"]["id"] = "x".repeat(1024 * 1024).into()))
                .await
        }
        ("TOO_SLOW", _) => half_a_body(&service, endpoint).await,
        ("DEADLINE_EXCEEDED", _) => {
            let blocker = service.database().block_writers().await;
            let answer = service.earn(endpoint, &documented_request()).await;
            blocker.release().await;
            answer
        }
        ("ACCESS_DENIED", _) => {
            // This client stands for a read-only client of a later version.
            let change = "UPDATE api_clients SET access = 'wallet:read' WHERE username = 'demo'";
            service.database().execute(change).await;
            service.earn(endpoint, &json!({})).await
        }
        ("ORG_MISMATCH", _) => service.earn(endpoint, &changed(|request| request["orgId"] = 2.into())).await,
        ("INVALID_REQUEST", _) => service.earn(endpoint, &json!({})).await,
        ("INVALID_CUSTOMER_ID", _) => {
            service.earn(endpoint, &changed(|request| request["customerId"] = 0.into())).await
        }
        ("CUSTOMER_NOT_FOUND", _) => service.earn(endpoint, &changed(|request| request["customerId"] = 8.into())).await,
        ("OVERLOADED", _) => return Some(refused_by_a_full_queue(service, endpoint).await),
        ("UNAVAILABLE" | "BUSY" | "CUSTOMER_LOOKUP_FAILED", _) => not_served(&service, reason, endpoint).await,
        ("INTERNAL", _) => {
            service.database().execute("ALTER TABLE earned_promotions RENAME TO gone").await;
            let answer = service.earn(endpoint, &documented_request()).await;
            assert_eq!(answer.messages, ["internal error; the request id names it in the log"], "nothing of the cause");
            service.database().execute("ALTER TABLE gone RENAME TO earned_promotions").await;
            service.earn_once_recovered(endpoint, &documented_request()).await;
            answer
        }
        _ => forbidden_by_what_is_recorded(&service, reason, endpoint).await,
    };
    Some(vec![answer])
}

/// Returns the options of a service that refuses a call for this reason.
fn options_to_provoke(reason: &str) -> &'static [&'static str] {
    match reason {
        "RATE_LIMITED" => &["--requests-per-minute", "3"],
        "CUSTOMER_LOOKUP_FAILED" | "BUSY" | "UNAVAILABLE" => {
            &["--database-timeout-ms", "500", "--statement-timeout-ms", "200"]
        }
        "OVERLOADED" => &["--max-waiting", "1"],
        "TOO_SLOW" => &["--body-timeout-ms", "200"],
        "DEADLINE_EXCEEDED" => &["--call-timeout-ms", "200"],
        _ => &[],
    }
}

/// Sends a request that is no call of the API, by its path, its method or its content type.
async fn no_call_of_the_api(service: &Service, reason: &str, endpoint: Endpoint) -> Answer {
    let request = match (reason, endpoint) {
        ("UNKNOWN_PATH", Endpoint::Json) => service.http().get(service.url("/api_gateway/v2/promotions")),
        ("UNKNOWN_PATH", Endpoint::Grpc) => return service.call_raw(&format!("{SERVICE}/BulkBurn"), vec![]).await,
        ("METHOD_NOT_ALLOWED", _) => service.http().get(service.url(PATH)),
        ("HEADERS_TOO_LARGE", _) => service.http().get(service.url(PATH)).header("x", "y".repeat(20_000)),
        ("NOT_JSON", _) => {
            service.http().post(service.url(PATH)).header("authorization", basic("demo:demo")).body("{}")
        }
        ("NOT_GRPC", _) => {
            let url = service.url(&format!("{SERVICE}/BulkEarn"));
            service.http().post(url).header("authorization", basic("demo:demo"))
        }
        _ => panic!("{reason}"),
    };
    json_answer(request.send().await.unwrap()).await
}

/// Sends a call that the database does not serve while something blocks it.
async fn not_served(service: &Service, reason: &str, endpoint: Endpoint) -> Answer {
    let database = service.database();
    let answer = match reason {
        "UNAVAILABLE" => {
            let slowed = database.slow_writes().await;
            let answer = service.earn(endpoint, &documented_request()).await;
            assert_eq!(answer.messages, [told(Outage::TooSlow)]);
            database.execute(slowed).await;
            answer
        }
        "BUSY" => {
            let blocker = database.block_writers().await;
            let answer = service.earn(endpoint, &documented_request()).await;
            assert_eq!(answer.messages, [told(Outage::Busy)]);
            assert_eq!(service.granted().await, 0);
            blocker.release().await;
            answer
        }
        _ => {
            let slowed = database.slow_lookups().await;
            let list = json!({"customerId": CUSTOMER});
            let answer = call(service, endpoint, Rpc::of_demo("WalletService/ListEarnedPromotions"), list).await;
            let expected = format!("customer {CUSTOMER} could not be looked up: {}", told(Outage::TooSlow));
            assert_eq!(answer.messages, [expected]);
            database.execute(slowed).await;
            answer
        }
    };
    service.earn_once_recovered(endpoint, &documented_request()).await;
    answer
}

/// Number of wrong secrets, more than are checked at once.
const GUESSES: usize = 40;

/// Sends calls without credentials, with wrong ones, and with wrong ones too often.
async fn not_let_in(service: &Service, reason: &str, endpoint: Endpoint) -> Vec<Answer> {
    let mut answers = Vec::new();
    for credentials in [None, Some("demo:wrong"), Some("nobody:demo"), Some("demo:"), Some(":"), Some("demo")] {
        // This refusal comes before the violations of the request, and before the organization.
        answers.push(service.earn_as(endpoint, credentials, &json!({"orgId": 2})).await);
    }
    if reason == "UNAUTHENTICATED" {
        return answers;
    }
    // All at once: one after the other, a busy machine checks them no faster than they may be tried.
    let mut guesses: tokio::task::JoinSet<_> = (0..GUESSES)
        .map(|guess| {
            let caller = service.caller();
            async move { caller.earn_as(endpoint, Some(&format!("demo:{guess}")), &json!({"orgId": 2})).await }
        })
        .collect();
    loop {
        let answer = guesses.join_next().await.expect("too many failed logins").unwrap();
        if answer.code == 429 {
            return vec![answer];
        }
    }
}

/// Sends calls that recorded facts forbid for this reason.
async fn forbidden_by_what_is_recorded(service: &Service, reason: &str, endpoint: Endpoint) -> Answer {
    let earning_of = |promotion: &str, change: fn(&mut Value)| {
        let mut request = one_to_earn();
        request["promotionId"] = promotion.into();
        change(&mut request);
        earn(service, endpoint, request)
    };
    match reason {
        "INVALID_PROMOTION_ID" => activate(service, endpoint, json!({"promotionId": "x"})).await,
        "PROMOTION_NOT_FOUND" => earning_of(OTHERS, |_| {}).await,
        "EARNED_PROMOTION_NOT_FOUND" => get(service, endpoint, json!({"earnedPromotionId": TEN_OFF})).await,
        "TOO_MANY_ACTIVE_PROMOTIONS" => {
            let request = json!({"customerId": 1, "promotionId": TEN_OFF, "earnedFromType": "REWARD", "eventTime": 1,
                "earnedFromId": "f", "eventDetails": {"id": "e", "type": "t"}});
            call(service, endpoint, Rpc { grpc: "EarnService/Earn", credentials: "crowded:crowded" }, request).await
        }
        "EXPIRED" => earning_of("0000000000000000000000a6", |_| {}).await,
        "TYPE_NOT_SUPPORTED" => earning_of("0000000000000000000000a1", |_| {}).await,
        "TYPE_NOT_EARNABLE" => earning_of("0000000000000000000000a3", |_| {}).await,
        "NOT_RUNNING" => earning_of("0000000000000000000000a4", |_| {}).await,
        "NOT_IN_AUDIENCE" => earning_of("0000000000000000000000a8", |_| {}).await,
        "EARNED_FROM_TYPE_CHANGED" => {
            earning_of(TEN_OFF, |_| {}).await;
            earning_of(TEN_OFF, |request| request["earnedFromType"] = "REWARD".into()).await
        }
        "CAP_REACHED" => {
            granted(service, "full", CAPPED, 3).await;
            earning_of(CAPPED, |_| {}).await
        }
        "PROMOTION_EXISTS" => {
            let mut other = promotion("Other");
            other["id"] = TEN_OFF.into();
            create(service, endpoint, json!({"promotion": other})).await
        }
        "NAME_TAKEN" => create(service, endpoint, json!({"promotion": promotion("Ten off")})).await,
        "ALREADY_REDEEMED" | "OTHER_TRANSACTION" => {
            let ids = granted(service, "spent", TEN_OFF, 2).await;
            redeem(service, endpoint, transaction("one", CUSTOMER, &[(TEN_OFF, &ids[0])])).await;
            let (name, id) = if reason == "ALREADY_REDEEMED" { ("two", &ids[0]) } else { ("one", &ids[1]) };
            redeem(service, endpoint, transaction(name, CUSTOMER, &[(TEN_OFF, id)])).await
        }
        "REVOKED_OR_NOT_HELD" => redeem(service, endpoint, transaction("one", CUSTOMER, &[(TEN_OFF, TEN_OFF)])).await,
        _ => panic!("nothing provokes {reason}"),
    }
}

/// Stops the service while an accepted call cannot finish, and sends another call.
async fn refused_while_draining(mut service: Service, endpoint: Endpoint) -> Answer {
    assert_eq!(service.earn(endpoint, &one_entry("warm", TEN_OFF, 1)).await.code, 0);
    let blocker = service.database().block_writers().await;
    let caller = service.caller();
    let accepted = tokio::spawn(async move { caller.earn(endpoint, &documented_request()).await });
    tokio::time::sleep(ACCEPTED_WITHIN).await;
    service.tell_to_stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = TestCaller::of(service.address).earn(endpoint, &one_entry("late", TEN_OFF, 1)).await;
    blocker.release().await;
    assert_eq!(accepted.await.unwrap().code, 0, "what was accepted is finished");
    service.stopped().await.expect("a clean stop");
    assert_eq!(service.granted().await, 3);
    refused
}

/// Sends six more calls while one call is written and one waits.
async fn refused_by_a_full_queue(service: Service, endpoint: Endpoint) -> Vec<Answer> {
    assert_eq!(service.earn(endpoint, &one_entry("warm", TEN_OFF, 1)).await.code, 0);
    let blocker = service.database().block_writers().await;
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..8 {
        let caller = service.caller();
        calls.spawn(async move { caller.earn(endpoint, &one_entry(&format!("busy {index}"), TEN_OFF, 1)).await });
        if index < 2 {
            tokio::time::sleep(ACCEPTED_WITHIN).await;
        }
    }
    let mut refused = Vec::new();
    for _ in 0..6 {
        let answer = tokio::time::timeout(Duration::from_secs(4), calls.join_next()).await.expect("refused at once");
        refused.push(answer.unwrap().unwrap());
    }
    blocker.release().await;
    for answer in calls.join_all().await {
        assert_eq!(answer.code, 0, "{answer:?}");
    }
    assert_eq!(service.granted().await, 3);
    refused
}

/// Sends the head of a call, and a part of its body.
async fn half_a_body(service: &Service, endpoint: Endpoint) -> Answer {
    let never = tokio_stream::pending::<Raw>();
    if endpoint == Endpoint::Grpc {
        let mut grpc = tonic::client::Grpc::new(service.channel());
        grpc.ready().await.unwrap();
        let mut request = tonic::Request::new(never);
        request.metadata_mut().insert("authorization", basic("demo:demo").parse().unwrap());
        let path = format!("{SERVICE}/BulkEarn").parse().unwrap();
        let answer = grpc.client_streaming(request, path, RawCodec).await;
        return grpc_answer(
            answer.map(|_: tonic::Response<Raw>| -> tonic::Response<()> { panic!("an answer to nothing") }),
        );
    }
    let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let basic = basic("demo:demo");
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {basic}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 2_000];
    let length = stream.read(&mut answer).await.unwrap();
    let text = String::from_utf8(answer[..length].to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    let response =
        http::Response::builder().status(status).header("content-type", "application/json").header("x-request-id", "x");
    json_answer(response.body(body.to_owned()).unwrap().into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_is_provoked_through_both_endpoints() {
    let mut rows = tokio::task::JoinSet::new();
    // Each case has a server of its own, some with short time-outs of the database.
    let turns = Arc::new(tokio::sync::Semaphore::new(6));
    for refusal in refusals() {
        let turns = Arc::clone(&turns);
        rows.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            for endpoint in ENDPOINTS {
                let row = refusal.row();
                for answer in provoke(row.reason, endpoint).await.unwrap_or_default() {
                    let expected = (row.code.into(), row.http.as_u16().into(), i64::from(row.grpc as i32), row.reason);
                    expect(&answer, endpoint, expected, row.reason);
                    assert!(answer.messages.iter().all(|message| !message.is_empty()), "{answer:?}");
                }
            }
        });
    }
    rows.join_all().await;
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

    // The same over gRPC: a message above the limit, a malformed message, and an unknown method.
    let mut long = documented_request();
    long["eventDetails"]["id"] = "x".repeat(1024 * 1024).into();
    expect(&service.earn(Endpoint::Grpc, &long).await, Endpoint::Grpc, (413, 413, 3, "TOO_LARGE"), "a large message");
    for (path, message, expected) in [
        (format!("{SERVICE}/BulkEarn"), "\u{7f}\u{7f}", (400, 400, 3, "INVALID_REQUEST")),
        (format!("{SERVICE}/BulkBurn"), "", (404, 404, 12, "UNKNOWN_PATH")),
        ("/other.Service/Call".to_owned(), "", (404, 404, 12, "UNKNOWN_PATH")),
    ] {
        let answer = service.call_raw(&path, message.as_bytes().to_vec()).await;
        expect(&answer, Endpoint::Grpc, expected, &path);
    }
    // A gRPC path is called by a client of another kind.
    let answer =
        json_answer(authorized(http.post(service.url(&format!("{SERVICE}/BulkEarn")))).send().await.unwrap()).await;
    assert_eq!((answer.status, answer.code), (415, 415), "{answer:?}");
}

const SERVICE: &str = "/cartpromotions.v1.EarnService";

/// A failure of an entry: the promotion, the change of the request, the code, and the message.
type EntryRow = (&'static str, &'static str, fn(&mut Value), i64, &'static str);

const ENTRY_ROWS: [EntryRow; 12] = [
    ("an unknown promotion", "0000000000000000000000ff", |_| {}, 404, "0000000000000000000000ff"),
    ("no promotion id at all", "ten off", |_| {}, 404, "ten off"),
    ("a promotion of another organization only", OTHERS, |_| {}, 404, OTHERS),
    ("POS", "0000000000000000000000a1", |_| {}, 707, "POS"),
    ("CODE", "0000000000000000000000a2", |_| {}, 707, "CODE"),
    ("CUSTOMER", "0000000000000000000000a3", |_| {}, 714, "CUSTOMER"),
    ("switched off", "0000000000000000000000a4", |_| {}, 709, "not active"),
    (
        "not started",
        "0000000000000000000000a5",
        |_| {},
        709,
        "at eventTime 2025-10-29T15:00:00Z: it starts at 2025-11-30T18:30:00Z",
    ),
    (
        "over",
        "0000000000000000000000a6",
        |_| {},
        706,
        "at eventTime 2025-10-29T15:00:00Z: it ended at 2025-06-30T18:29:59.999Z",
    ),
    (
        "earned too late to be valid",
        "0000000000000000000000a7",
        |request| request["eventTime"] = (NOW_MS - 9 * 86_400_000).into(),
        706,
        "earned at eventTime 2025-11-02T06:00:00Z would have expired at 2025-11-09T18:29:59.999Z",
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
async fn every_failure_of_an_entry_is_the_same_on_both_endpoints() {
    for endpoint in ENDPOINTS {
        let service = Service::start().await;
        for (name, promotion, change, code, message) in ENTRY_ROWS {
            let mut request = one_entry(name, promotion, 1);
            change(&mut request);
            expect_entry(&service.earn(endpoint, &request).await, code, message, name);
        }
        assert_eq!(service.granted().await, 3, "{endpoint:?}");

        // In the audience, and within the days of validity, the same promotions are earned.
        let mut friend = one_entry("friend", "0000000000000000000000a8", 1);
        friend["customerId"] = 7.into();
        assert_eq!(earn_ids(&service.earn(endpoint, &friend).await.body).len(), 1);
        let mut short = one_entry("short", "0000000000000000000000a7", 1);
        short["eventTime"] = (NOW_MS - 86_400_000).into();
        let earned = service.earn(endpoint, &short).await.body;
        // The 7th day after 2025-11-10 in India ends at 18:29:59.999Z.
        assert_eq!(
            earned["data"][0]["customerEarnedPromotions"][0]["validTillISO"], "2025-11-17T18:29:59Z",
            "{earned}"
        );

        service.earn(endpoint, &documented_request()).await;
        let mut other_type = documented_request();
        other_type["earnedFromType"] = "MILESTONE".into();
        other_type["eventDetails"]["type"] = "MILESTONE".into();
        expect_entry(
            &service.earn(endpoint, &other_type).await,
            713,
            "BULK_ISSUE and cannot change to MILESTONE",
            "713",
        );

        let crowded = json!({"customerId": 1, "eventTime": NOW_MS, "earnedFromType": "REWARD", "eventDetails": {"id": "e", "type": "REWARD"},
            "earnedPromotions": [{"promotionId": TEN_OFF, "earnCount": 1, "earnedFromId": "f"}]});
        let answer = service.earn_as(endpoint, Some("crowded:crowded"), &crowded).await;
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

/// Returns one refusal of each reason, in order of precedence, for the comparison with the documentation.
fn refusals() -> Vec<Refusal> {
    let cause = || Arc::new(std::io::Error::other("cause"));
    let first = vec![
        Refusal::TargetTooLong,
        Refusal::HeadersTooLarge { max_bytes: 1 },
        Refusal::UnknownPath("/x".to_owned()),
        Refusal::MethodNotAllowed,
        Refusal::NotServing,
        Refusal::Unauthenticated(Unauthenticated::Credentials),
        Refusal::KeysNotRead,
        Refusal::TooManyFailedLogins { retry_after: Duration::from_secs(1) },
        Refusal::RateLimited { per_minute: 1, retry_after: Duration::from_secs(1) },
        Refusal::TooLarge { max_bytes: 1 },
        Refusal::TooSlow,
        Refusal::NotJson,
        Refusal::NotGrpc,
        Refusal::UnknownOrganization(OrgId(1)),
        Refusal::AccessDenied(AccessGroup::EarnWrite),
        Refusal::OrgMismatch { given: 1 },
        Refusal::Invalid(Violations::of("a", "b")),
        Refusal::InvalidCustomerId(0),
        Refusal::InvalidPromotionId("x".to_owned()),
        Refusal::Overloaded,
        Refusal::CustomerNotFound(1),
        Refusal::PromotionNotFound("x".to_owned()),
        Refusal::EarnedPromotionNotFound("x".to_owned()),
        Refusal::PromotionExists { promotion_id: "x".to_owned(), differing: "name".to_owned() },
    ];
    let message = || "message".to_owned();
    let forbids = |reason: &Reason| reason.http_status() == 409 && *reason != Reason::PromotionExists;
    let preconditions = Reason::ALL.into_iter().filter(forbids);
    let preconditions =
        preconditions.map(|reason| Refusal::Precondition { reason, message: message(), values: vec![] });
    let last = [
        Refusal::CustomerLookupFailed { customer_id: 1, outage: Outage::TooSlow, cause: cause() },
        Refusal::Busy(Outage::Busy, cause()),
        Refusal::Unavailable(Outage::Unreachable, cause()),
        Refusal::DeadlineExceeded,
        Refusal::Internal(cause()),
    ];
    let all: Vec<_> = first.into_iter().chain(preconditions).chain(last).collect();
    all.iter().for_each(is_in_the_list);
    all
}

/// Fails to compile with a new refusal, until it is here and in the list above.
fn is_in_the_list(refusal: &Refusal) {
    match refusal {
        Refusal::UnknownPath(_)
        | Refusal::MethodNotAllowed
        | Refusal::NotServing
        | Refusal::Unauthenticated(_)
        | Refusal::KeysNotRead
        | Refusal::UnknownOrganization(_)
        | Refusal::TooManyFailedLogins { .. }
        | Refusal::RateLimited { .. }
        | Refusal::AccessDenied(_)
        | Refusal::OrgMismatch { .. }
        | Refusal::NotJson
        | Refusal::NotGrpc
        | Refusal::TooLarge { .. }
        | Refusal::TargetTooLong
        | Refusal::HeadersTooLarge { .. }
        | Refusal::TooSlow
        | Refusal::Invalid(_)
        | Refusal::InvalidCustomerId(_)
        | Refusal::InvalidPromotionId(_)
        | Refusal::CustomerNotFound(_)
        | Refusal::PromotionNotFound(_)
        | Refusal::EarnedPromotionNotFound(_)
        | Refusal::PromotionExists { .. }
        | Refusal::Precondition { .. }
        | Refusal::Overloaded
        | Refusal::CustomerLookupFailed { .. }
        | Refusal::Busy(..)
        | Refusal::Unavailable(..)
        | Refusal::DeadlineExceeded
        | Refusal::Internal(_) => {}
    }
}

fn failures() -> Vec<EarnFailure> {
    let promotion_id = ObjectId([0; 12]);
    let (first, second) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
    let all = vec![
        EarnFailure::PromotionNotFound { given: "x".to_owned() },
        EarnFailure::TypeNotSupported { promotion_id, kind: PromotionType::Pos },
        EarnFailure::TypeNotEarnable { promotion_id, kind: PromotionType::Customer },
        EarnFailure::EarnedFromTypeChanged { recorded: EarnedFromType::Reward, given: EarnedFromType::Activity },
        EarnFailure::Revoked { promotion_id, revoked: 1, rest: None },
        EarnFailure::TooManyActivePromotions { active: 2, cap: 1 },
        EarnFailure::Inactive { promotion_id },
        EarnFailure::NotStarted { promotion_id, event_time: first, start: second },
        EarnFailure::Ended { promotion_id, event_time: second, end: first },
        EarnFailure::NoLongerValid { promotion_id, event_time: first, valid_till: second },
        EarnFailure::NotInAudience { promotion_id, customer_id: 1 },
        EarnFailure::CapReached { promotion_id, cap: 1, used: 1, left: 0, refused: 1 },
    ];
    for failure in &all {
        match failure {
            EarnFailure::PromotionNotFound { .. }
            | EarnFailure::TypeNotSupported { .. }
            | EarnFailure::TypeNotEarnable { .. }
            | EarnFailure::EarnedFromTypeChanged { .. }
            | EarnFailure::Revoked { .. }
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

/// Returns the rows of a generated table in docs/errors.md, without its head.
fn documented_rows(table: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).unwrap();
    let (_, rows) = text.split_once(&format!("<!-- {table}: ")).unwrap_or_else(|| panic!("no table {table}"));
    let (rows, _) = rows.split_once("<!-- end -->").unwrap();
    let rows =
        rows.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-") && !line.starts_with("| code"));
    rows.map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn the_documentation_has_every_refusal_in_order_and_no_other() {
    let documented: Vec<_> = documented_rows("refusals").into_iter().map(|row| row[..4].to_vec()).collect();
    let coded: Vec<_> = refusals()
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
fn each_way_of_the_database_not_to_serve_has_a_text_and_only_what_may_pass_invites_another_try() {
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).unwrap();
    let all = [
        (Outage::Busy, true),
        (Outage::Unreachable, true),
        (Outage::NoConnection, true),
        (Outage::Exhausted, true),
        (Outage::TooSlow, false),
        (Outage::Unwritable, false),
    ];
    for (outage, may_pass) in all {
        // A new outage fails to compile here until it is in the list above.
        match outage {
            Outage::Busy
            | Outage::Unreachable
            | Outage::NoConnection
            | Outage::Exhausted
            | Outage::TooSlow
            | Outage::Unwritable => {}
        }
        let text = told(outage);
        assert_eq!(text.contains("try again"), may_pass, "{text}");
        assert_eq!(text.contains("cannot be reached"), outage == Outage::Unreachable, "{text}");
        assert!(outage == Outage::Busy || documented.contains(&format!("- \"{text}\"")), "{text}");
        assert!(all.iter().all(|(other, _)| *other == outage || told(*other) != text), "{text}");
    }
}

#[test]
fn the_documentation_has_every_failure_of_an_entry_in_order_and_no_other() {
    let documented: Vec<_> = documented_rows("BulkEarn").into_iter().map(|row| row[0].clone()).collect();
    let mut coded: Vec<_> = failures().iter().map(|failure| failure.code().to_string()).collect();
    // Two failures have one number: 709 and 706 come once.
    coded.dedup();
    assert_eq!(documented, coded);
}

#[test]
fn the_documentation_has_every_failure_to_revoke_in_order_and_no_other() {
    let documented: Vec<_> = documented_rows("RevokeEarnedPromotions").into_iter().map(|row| row[0].clone()).collect();
    let all = [RevokeFailure::NobodyHolds(PromotionType::Pos), RevokeFailure::NotHeld, RevokeFailure::Redeemed];
    for failure in all {
        // A new failure fails to compile here until it is in the list above.
        match failure {
            RevokeFailure::NobodyHolds(_) | RevokeFailure::NotHeld | RevokeFailure::Redeemed => {}
        }
    }
    assert_eq!(documented, all.map(|failure| failure.code().to_string()));
}
