//! Exact redemptions: sameness, times and amounts, over gRPC and JSON, at each bound, and the changes that a retry may
//! make.

use cart_promotions::config::Cli;
use clap::Parser;
use serde_json::{Value, json};

use crate::rpcs::{Rpc, call, list, redeem, revoke};
use crate::support::*;
use crate::wallet::{TRANSACTION_MS, granted, transaction};

const REDEEM: &str = "/api_gateway/v1/promotions/redemptions";
const DAY_MS: i64 = 86_400_000;
/// 2000-01-01T00:00:00Z.
const FIRST_MS: i64 = 946_684_800_000;
/// Number of retries of one transaction.
const RETRIES: u64 = 64;

fn status(endpoint: Endpoint, http: i64, grpc: i64) -> i64 {
    if endpoint == Endpoint::Json { http } else { grpc }
}

/// Records a transaction of two lines and of two redemptions as a whole, one of which is a line too.
async fn recorded(service: &Service, name: &str) -> (Value, Answer) {
    let ids = granted(service, name, TEN_OFF, 4).await;
    let mut request = transaction(name, CUSTOMER, &[(TEN_OFF, &ids[0]), (TEN_OFF, &ids[1])]);
    request["amount"] = json!(4_999.3);
    request["lineItems"][1]["discount"] = json!(0.3);
    request["lineItems"][1].as_object_mut().unwrap().remove("sku");
    let whole = transaction(name, CUSTOMER, &[(TEN_OFF, &ids[1]), (TEN_OFF, &ids[2])]);
    request["redemptions"] = whole["lineItems"].clone();
    let answer = redeem(service, Endpoint::Json, request.clone()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    (request, answer)
}

/// Random choices that are the same every time.
struct Choices(u64);

impl Choices {
    fn below(&mut self, many: usize) -> usize {
        // The generator is SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % many as u64).unwrap()
    }

    fn one(&mut self, of: &[String]) -> String {
        of[self.below(of.len())].clone()
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

/// Returns the request as another text with the same meaning, with unknown fields if `unknown` is true.
fn said_otherwise(request: &Value, choices: &mut Choices, unknown: bool) -> String {
    let mut fields = Vec::new();
    for (name, value) in request.as_object().unwrap() {
        match (name.as_str(), value) {
            ("transactionDate", value) => {
                let second = value.as_i64().unwrap().div_euclid(1000);
                assert_eq!(second, TRANSACTION_MS / 1000);
                let ms = second * 1000 + [0, 1, 999][choices.below(3)];
                fields.push(choices.one(&[
                    format!(r#""transactionDate":{ms}"#),
                    format!(r#""transactionDate":"{ms}","transactionDateISO":"2025-11-11T05:11:48Z""#),
                    r#""transactionDateISO":"2025-11-11T05:11:48Z","transactionDate":null"#.to_owned(),
                    r#""transaction_date_iso":"2025-11-11T10:41:48.5+05:30""#.to_owned(),
                    r#""transactionDateISO":"2025-11-10T21:11:48-0800""#.to_owned(),
                ]));
            }
            ("lineItems" | "redemptions", Value::Array(lines)) => {
                let mut lines: Vec<_> = lines.iter().map(|line| said_otherwise(line, choices, unknown)).collect();
                choices.shuffle(&mut lines);
                fields.push(format!("{name:?}:[{}]", lines.join(",")));
            }
            ("promotionId" | "earnedPromotionId", Value::String(id)) => {
                let id = choices.one(&[id.clone(), id.to_uppercase()]);
                fields.push(format!("{name:?}:{id:?}"));
            }
            (_, Value::Number(number)) if name.starts_with("customer") || name == "redemptionCount" => {
                fields.push(format!("{name:?}:{}", choices.one(&[number.to_string(), format!("\"{number}\"")])));
            }
            (_, Value::Number(number)) => {
                let number = number.as_f64().unwrap();
                // The sum has the rounding errors of a till.
                let sum = number / 3.0 + number / 3.0 + number / 3.0;
                fields.push(format!(
                    "{name:?}:{}",
                    choices.one(&[
                        format!("{number}"),
                        format!("\"{number}\""),
                        format!("{number:e}"),
                        format!("\"{number:E}\""),
                        format!("{number:.9}"),
                        format!("{sum}"),
                        format!("{}", number + 4e-10),
                    ])
                ));
            }
            (_, value) => fields.push(format!("{name:?}:{value}")),
        }
    }
    if request.get("sku").is_none() && request.get("discount").is_some() {
        fields.push(choices.one(&[r#""sku":null"#.to_owned(), r#""redemption_count":1"#.to_owned()]));
        if fields.last().is_some_and(|field| field.contains("count")) {
            fields.retain(|field| !field.starts_with("\"redemptionCount\""));
        }
    }
    if unknown {
        fields.push(r#""tillVersion":{"major":[7]}"#.to_owned());
    }
    choices.shuffle(&mut fields);
    format!("{{{}}}", fields.join(", "))
}

async fn post(service: &Service, body: String) -> Answer {
    let request = service.http().post(service.url(REDEEM)).header("authorization", basic("demo:demo"));
    json_answer(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
}

/// Sends retries with the same meaning over gRPC and JSON, and expects the first response.
async fn retry(service: &Service, request: &Value, first: &Answer) {
    for seed in 0..RETRIES {
        let body = said_otherwise(request, &mut Choices(seed), true);
        let answer = post(service, body.clone()).await;
        assert_eq!((answer.status, &answer.body), (200, &first.body), "{body}: {answer:?}");
        let body = said_otherwise(request, &mut Choices(seed), false);
        let answer = redeem(service, Endpoint::Grpc, serde_json::from_str(&body).unwrap()).await;
        assert_eq!((answer.status, &answer.body), (0, &first.body), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_retry_that_says_the_same_is_answered_the_same() {
    let service = Service::start().await;
    let (request, first) = recorded(&service, "same").await;
    retry(&service, &request, &first).await;
    // Another server gives the same response, and no row was written again.
    retry(&service.beside().await, &request, &first).await;
    assert_eq!(service.database().count("SELECT count(*) FROM redemptions").await, 1);
}

#[tokio::test]
async fn a_retry_of_what_another_release_recorded_is_answered_the_same() {
    let service = Service::start().await;
    let (request, first) = recorded(&service, "older").await;
    for change in [
        // The releases have another digest, do not know a field yet, or know one more.
        "digest = '0:000'",
        r#"content = replace(content, '"redemptionCount":1,', ''), digest = '0:000'"#,
        r#"content = replace(content, '"amountMillionths"', '"till":"7","amountMillionths"'), digest = '2:000'"#,
    ] {
        service.database().execute(&format!("UPDATE redemptions SET {change}")).await;
        retry(&service, &request, &first).await;
        let mut other = request.clone();
        other["redemptions"][0]["discount"] = 499.into();
        for endpoint in ENDPOINTS {
            let answer = redeem(&service, endpoint, other.clone()).await;
            assert_eq!(answer.code, 800, "{change}: {answer:?}");
            assert!(answer.messages[0].contains(".discount differs"), "{answer:?}");
        }
    }
}

/// The field that a refusal names, from the ids of the first line item and the last redemption, and the change of a
/// recorded transaction that is refused.
type RefusedEdit = (fn(&str, &str) -> String, fn(&mut Value));

/// An earned promotion that is not in the transaction.
const OTHER: &str = "0000000000000000000000ff";

fn edits_of_the_transaction() -> [RefusedEdit; 6] {
    [
        (|_, _| "customerId".to_owned(), |request| request["customerId"] = 7.into()),
        (|_, _| "transactionNumber".to_owned(), |request| request["transactionNumber"] = "Other ".into()),
        (|_, _| "transactionDate".to_owned(), |request| request["transactionDate"] = (TRANSACTION_MS + 1000).into()),
        (|_, _| "transactionDate".to_owned(), |request| request["transactionDate"] = (TRANSACTION_MS - 1).into()),
        (|_, _| "amount".to_owned(), |request| request["amount"] = 4_999.300_001.into()),
        // If several fields differ, the first is named.
        (
            |_, _| "amount".to_owned(),
            |request| {
                request["amount"] = 0.into();
                request["lineItems"][0]["discount"] = 0.into();
                request["redemptions"] = json!([]);
            },
        ),
    ]
}

fn edits_of_a_line_item() -> [RefusedEdit; 7] {
    [
        (
            |id, _| format!("lineItems[earnedPromotionId={id}].promotionId"),
            |request| {
                request["lineItems"][0]["promotionId"] = OTHER.into();
            },
        ),
        (
            |_, _| format!("lineItems[earnedPromotionId={OTHER}]"),
            |request| {
                request["lineItems"][0]["earnedPromotionId"] = OTHER.to_uppercase().into();
            },
        ),
        (
            |id, _| format!("lineItems[earnedPromotionId={id}].sku"),
            |request| {
                request["lineItems"][0]["sku"] = "sku#fuel".into();
            },
        ),
        (
            |id, _| format!("lineItems[earnedPromotionId={id}].sku"),
            |request| {
                drop(request["lineItems"][0].as_object_mut().unwrap().remove("sku"));
            },
        ),
        (
            |id, _| format!("lineItems[earnedPromotionId={id}].discount"),
            |request| {
                request["lineItems"][0]["discount"] = 0.into();
            },
        ),
        (
            |id, _| format!("lineItems[earnedPromotionId={id}].discountAppliedOnQuantity"),
            |request| {
                request["lineItems"][0]["discountAppliedOnQuantity"] = 0.5.into();
            },
        ),
        (
            |id, _| format!("lineItems[earnedPromotionId={id}].promotionAppliedOnQuantity"),
            |request| {
                request["lineItems"][0]["promotionAppliedOnQuantity"] = 2.into();
            },
        ),
    ]
}

fn edits_of_the_lists() -> [RefusedEdit; 4] {
    [
        (|_, _| "lineItems".to_owned(), |request| drop(request["lineItems"].as_array_mut().unwrap().pop())),
        (
            |_, last| format!("redemptions[earnedPromotionId={last}].sku"),
            |request| {
                request["redemptions"][1]["sku"] = "x".into();
            },
        ),
        (|_, _| "redemptions".to_owned(), |request| drop(request.as_object_mut().unwrap().remove("redemptions"))),
        // A line moves to the other list.
        (
            |_, last| format!("lineItems[earnedPromotionId={last}]"),
            |request| {
                let line = request["redemptions"].as_array_mut().unwrap().pop().unwrap();
                request["lineItems"].as_array_mut().unwrap().push(line);
            },
        ),
    ]
}

#[tokio::test]
async fn a_retry_that_says_something_else_is_told_the_first_field_that_differs() {
    let edits = edits_of_the_transaction().into_iter().chain(edits_of_a_line_item()).chain(edits_of_the_lists());
    let service = Service::start().await;
    let (request, first) = recorded(&service, "changed").await;
    let (id, last) = (&request["lineItems"][0]["earnedPromotionId"], &request["redemptions"][1]["earnedPromotionId"]);
    for (field, edit) in edits {
        let mut changed = request.clone();
        edit(&mut changed);
        let field = field(id.as_str().unwrap(), last.as_str().unwrap());
        for endpoint in ENDPOINTS {
            let answer = redeem(&service, endpoint, changed.clone()).await;
            assert_eq!((answer.code, answer.status), (800, status(endpoint, 409, 9)), "{field}: {answer:?}");
            let expected = format!(r#"transaction "changed" is recorded with other content: {field} differs"#);
            assert_eq!(answer.messages, [expected]);
            if endpoint == Endpoint::Grpc {
                assert_eq!((&answer.metadata["field"], answer.reason.as_str()), (&field, "OTHER_TRANSACTION"));
                assert_eq!(answer.metadata["transactionIdentifier"], "changed");
            }
        }
    }
    assert_eq!(redeem(&service, Endpoint::Grpc, request).await.body, first.body);
}

/// Redeems one earned promotion of an event at `event_ms`, in a transaction at `date`.
async fn dated(service: &Service, endpoint: Endpoint, event_ms: i64, date: Value) -> Answer {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("dated {}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    // The organization takes any customer, and its promotions started long ago.
    let mut earning = one_entry(&name, OTHERS, 1);
    earning.as_object_mut().unwrap().remove("orgId");
    earning["eventTime"] = event_ms.into();
    let ids = earn_ids(&service.earn_as(Endpoint::Grpc, Some("other:other"), &earning).await.body);
    let mut request = transaction(&name, CUSTOMER, &[(OTHERS, &ids[0])]);
    request.as_object_mut().unwrap().remove("transactionDate");
    let field = if date.is_string() { "transactionDateISO" } else { "transactionDate" };
    request[field] = date;
    call(service, endpoint, Rpc { grpc: "WalletService/Redeem", credentials: "other:other" }, request).await
}

#[tokio::test]
async fn a_transaction_is_dated_within_its_bounds() {
    let service = Service::start().await;
    let old = FIRST_MS + DAY_MS;
    for endpoint in ENDPOINTS {
        for (event_ms, date, refusal) in [
            (old, json!(FIRST_MS), None),
            (old, json!("2000-01-01T05:30:00+05:30"), None),
            (old, json!(FIRST_MS - 1), Some(["1999-12-31T23:59:59.999Z", "2000-01-01T00:00:00Z"])),
            (old, json!("1999-12-31T23:59:59Z"), Some(["1999-12-31T23:59:59Z", "2000-01-01T00:00:00Z"])),
            // Seconds are sent as milliseconds.
            (NOW_MS, json!(NOW_MS / 1000), Some(["1970-01-21T09:40:40.800Z", "2000-01-01T00:00:00Z"])),
            (NOW_MS, json!(0), Some(["1970-01-01T00:00:00Z", "2000-01-01T00:00:00Z"])),
            (NOW_MS, json!(NOW_MS + DAY_MS), None),
            (NOW_MS, json!("2025-11-12T06:00:00Z"), None),
            (NOW_MS, json!(NOW_MS + DAY_MS + 1), Some(["2025-11-12T06:00:00.001Z", "now, 2025-11-11T06:00:00Z"])),
            (NOW_MS, json!("2025-11-12T06:00:01Z"), Some(["2025-11-12T06:00:01Z", "now, 2025-11-11T06:00:00Z"])),
            (NOW_MS, json!(NOW_MS - DAY_MS), None),
            (NOW_MS + DAY_MS, json!(NOW_MS), None),
            (NOW_MS, json!(NOW_MS - DAY_MS - 1), Some(["2025-11-10T05:59:59.999Z", "2025-11-11T06:00:00Z"])),
            (NOW_MS + DAY_MS, json!(NOW_MS - 1), Some(["2025-11-11T05:59:59.999Z", "2025-11-12T06:00:00Z"])),
        ] {
            let answer = dated(&service, endpoint, event_ms, date.clone()).await;
            let Some(instants) = refusal else {
                assert_eq!(answer.code, 0, "{date} on {endpoint:?}: {answer:?}");
                continue;
            };
            assert_eq!(
                (answer.code, answer.status),
                (400, status(endpoint, 400, 3)),
                "{date} on {endpoint:?}: {answer:?}"
            );
            let [message] = &answer.messages[..] else { panic!("{answer:?}") };
            assert!(message.starts_with("transactionDate: must "), "{message}");
            assert!(instants.iter().all(|instant| message.contains(instant)), "{date}: {message}");
        }
    }
}

#[tokio::test]
async fn a_till_that_was_offline_redeems_what_was_valid_then() {
    let service = Service::start().await;
    let hurried = service.beside_with(&["--late-redemption-days", "2"]).await;
    let at_once = service.beside_with(&["--late-redemption-days", "0"]).await;
    for (index, (server, date, valid_till, valid)) in [
        (&service, NOW_MS - 3 * DAY_MS, NOW_MS - 3 * DAY_MS, true),
        (&service, NOW_MS - 3 * DAY_MS, NOW_MS - 3 * DAY_MS - 1, false),
        (&service, NOW_MS - 8 * DAY_MS, NOW_MS - 7 * DAY_MS, true),
        (&service, NOW_MS - 8 * DAY_MS, NOW_MS - 7 * DAY_MS - 1, false),
        (&service, NOW_MS + 1, NOW_MS, false),
        (&hurried, NOW_MS - 3 * DAY_MS, NOW_MS - 2 * DAY_MS - 1, false),
        (&hurried, NOW_MS - 3 * DAY_MS, NOW_MS - 2 * DAY_MS, true),
        (&at_once, NOW_MS - 1, NOW_MS - 1, false),
        (&at_once, NOW_MS - 1, NOW_MS, true),
    ]
    .into_iter()
    .enumerate()
    {
        for endpoint in ENDPOINTS {
            let name = format!("late {index} {endpoint:?}");
            let mut earning = one_entry(&name, TEN_OFF, 1);
            earning["eventTime"] = (NOW_MS - 20 * DAY_MS).into();
            let id = earn_ids(&service.earn(endpoint, &earning).await.body).remove(0);
            let change = format!("UPDATE earned_promotions SET valid_till_ms = {valid_till} WHERE earn_id = '{id}'");
            service.database().execute(&change).await;
            // Listings use the clock of the server, even if the earned promotion may still be redeemed.
            let expired = json!({"customerId": CUSTOMER, "earnedStatus": ["EXPIRED"]});
            let listed = list(&service, endpoint, expired).await.body["data"].to_string().contains(&id);
            assert_eq!(listed, valid_till < NOW_MS);
            let mut request = transaction(&name, CUSTOMER, &[(TEN_OFF, &id)]);
            request["transactionDate"] = date.into();
            let answer = redeem(server, endpoint, request).await;
            if valid {
                assert_eq!(answer.code, 0, "{index}: {answer:?}");
                continue;
            }
            assert_eq!((answer.code, answer.status), (706, status(endpoint, 409, 9)), "{index}: {answer:?}");
            assert!(answer.messages[0].ends_with('Z') && answer.messages[0].contains("valid until 2025-11-"));
            if endpoint == Endpoint::Grpc {
                assert_eq!(answer.metadata["validTill"], valid_till.to_string(), "{answer:?}");
            }
        }
    }
    let given = |days: &str| {
        let refused = Cli::try_parse_from(["cart-promotions", "serve", "--late-redemption-days", days]);
        refused.is_ok()
    };
    assert_eq!(["0", "365", "366", "-1", "x"].map(given), [true, true, false, false, false]);
}

#[tokio::test]
async fn amounts_are_the_decimals_that_tills_mean() {
    let service = Service::start().await;
    for endpoint in ENDPOINTS {
        for (index, (given, written)) in [
            (json!(0.1 + 0.2), "0.300000"),
            (json!("0.30000000000000004"), "0.300000"),
            (json!(5.99 * 3.0), "17.970000"),
            (json!(-1e-10), "0.000000"),
            (json!(0.000_001), "0.000001"),
            (json!("4194304.0000000018"), "4194304.000000"),
            (json!(999_999_999.999_999), "999999999.999999"),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("amount {index} {endpoint:?}");
            let ids = granted(&service, &name, TEN_OFF, 1).await;
            let mut request = transaction(&name, CUSTOMER, &[(TEN_OFF, &ids[0])]);
            let amounts = ["discount", "discountAppliedOnQuantity", "promotionAppliedOnQuantity"];
            request["amount"] = given.clone();
            for amount in amounts {
                request["lineItems"][0][amount] = given.clone();
            }
            let answer = redeem(&service, endpoint, request).await;
            assert_eq!(answer.code, 0, "{given}: {answer:?}");
            for amount in amounts {
                assert_eq!(answer.body["data"]["lineItems"][0][amount], written, "{given}: {answer:?}");
            }
            let number: f64 = written.parse().unwrap();
            assert_eq!(answer.body["data"]["amount"].as_f64(), Some(number), "{given}: {answer:?}");
        }
        for (given, presented) in [
            (json!(-0.01), "not -0.01"),
            (json!(0.000_000_1), "not 1e-7"),
            (json!("1.000000002"), "not 1.000000002"),
            (json!(1e9), "not 1000000000.0"),
            (json!(1e300), "not 1e300"),
        ] {
            let mut request = transaction("refused", CUSTOMER, &[(TEN_OFF, TEN_OFF)]);
            request["amount"] = given.clone();
            request["lineItems"][0]["discount"] = given.clone();
            let answer = redeem(&service, endpoint, request).await;
            assert_eq!((answer.code, answer.messages.len()), (400, 2), "{given}: {answer:?}");
            for (message, field) in answer.messages.iter().zip(["amount: ", "lineItems[0].discount: "]) {
                assert!(message.starts_with(field) && message.ends_with(presented), "{given}: {message}");
            }
        }
    }
}

type SpoilRequest = fn(&mut Value);

#[tokio::test]
async fn of_the_reasons_why_not_the_first_is_told() {
    let service = Service::start().await;
    let ids = granted(&service, "spent", TEN_OFF, 5).await;
    let [spent, revoked, early, expired, good] = &ids[..] else { unreachable!() };
    let first = transaction("first", CUSTOMER, &[(TEN_OFF, spent)]);
    assert_eq!(redeem(&service, Endpoint::Json, first).await.code, 0);
    let details = json!([{"promotionId": TEN_OFF, "earnIds": [revoked]}]);
    revoke(&service, Endpoint::Json, json!({"customerId": CUSTOMER, "earnRevokeDetails": details})).await;
    for (id, column, value) in
        [(early, "event_time_ms", NOW_MS + 3 * DAY_MS), (early, "valid_till_ms", 0), (expired, "valid_till_ms", 0)]
    {
        let change = format!("UPDATE earned_promotions SET {column} = {value} WHERE earn_id = '{id}'");
        service.database().execute(&change).await;
    }
    let nobody = "0000000000000000000000ff";
    let as_it_is: SpoilRequest = |_| {};
    for (name, given, spoil, code) in [
        // The first earned promotion of the request counts, even if a later one has a reason of higher precedence.
        ("order", [expired, nobody], as_it_is, 706),
        ("order", [nobody, expired], as_it_is, 731),
        ("order", [early, spent], as_it_is, 400),
        ("order", [spent, early], as_it_is, 729),
        ("revoked", [revoked, spent], as_it_is, 731),
        ("late", [good, expired], as_it_is, 706),
        // A recorded transaction of this name comes before all of these, and the customer before that.
        ("first", [nobody, expired], as_it_is, 800),
        ("first", [nobody, expired], |request| request["customerId"] = 8.into(), 404),
        ("first", [nobody, expired], |request| request["customerId"] = 0.into(), 1006),
        ("first", [nobody, expired], |request| request["transactionDate"] = 1.into(), 400),
    ] {
        for endpoint in ENDPOINTS {
            let lines = given.map(|id| (TEN_OFF, id));
            let mut request = transaction(name, CUSTOMER, &lines);
            spoil(&mut request);
            let answer = redeem(&service, endpoint, request.clone()).await;
            assert_eq!(answer.code, code, "{name} {given:?}: {answer:?}");
            if code == 729 && endpoint == Endpoint::Grpc {
                assert_eq!(answer.metadata["transactionIdentifier"], "first", "{answer:?}");
            }
            // Every violation of the form is reported.
            request["customerId"] = 0.into();
            request["transactionDate"] = 1.into();
            let answer = redeem(&service, endpoint, request).await;
            assert_eq!((answer.code, answer.messages.len()), (400, 2), "{answer:?}");
        }
    }
    assert_eq!(service.database().count("SELECT count(*) FROM redemptions").await, 1);
}
