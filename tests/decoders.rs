//! No bytes from outside make a decoder panic, overflow the stack or hang, and a decoder reports what it cannot read.
//!
//! The tests damage valid input (`support/mutate.rs`) and read it as the endpoints and the command line do, without a
//! server. `PROPTEST_CASES` sets the number of cases.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mutate.rs"]
mod mutate;

use std::io::Cursor;
use std::path::Path;

use cart_promotions::access::jws::Jwks;
use cart_promotions::earning::{ObjectId, OrgId, Timestamp};
use cart_promotions::proto;
use cart_promotions::wire::bulk_earn::RequestLimits;
use cart_promotions::wire::files::customer::{CsvForm, CustomerFile, CustomerLines, Format};
use cart_promotions::wire::json::{JsonMessage, ReadJson, UnknownFields, document, from_slice, read_parameters};
use cart_promotions::wire::payload::{self, Payload};
use cart_promotions::wire::time::TimePair;
use cart_promotions::wire::{InvalidRequest, Violations};
use cart_promotions::wire::{bulk_earn, catalog, customers, earn, event, files, history, redeem, revoke, wallet};
use proptest::prelude::*;
use prost::Message;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

const ORG: OrgId = OrgId(100_737);
const NOW: Timestamp = Timestamp::from_millis(1_762_840_800_000);
const LIMITS: RequestLimits = RequestLimits { max_entries: 100, max_earn_count: 1_000, max_response_bytes: 4_000_000 };
/// Number of cases, twice the default, because the examples are damaged in many ways.
const CASES: u32 = 512;

/// The example of a method, whole.
macro_rules! example {
    ($method:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $method, ".json"))
    };
}

/// A reader of bytes from outside, which fails if the bytes are neither read nor refused.
type BytesReader = Box<dyn Fn(&[u8])>;

/// An encoder of bytes into other bytes. Returns `None` if the input cannot be read.
type Encoder = Box<dyn Fn(&[u8]) -> Option<Vec<u8>>>;

/// The form of a request, made from its example.
struct ExampleForm {
    example: Value,
    json: BytesReader,
    parameters: BytesReader,
    grpc: BytesReader,
    message: Vec<u8>,
    /// Encodes JSON as the message of gRPC.
    encode: Encoder,
}

fn endpoint<M>(example: &str, parse: fn(M, Violations) -> Result<(), InvalidRequest>) -> ExampleForm
where
    M: Message + JsonMessage + ReadJson + 'static,
{
    let example: Value = serde_json::from_str(example).unwrap();
    let example = example["request"].clone();
    let (message, violations) = from_slice::<M>(example.to_string().as_bytes(), UnknownFields::Ignore).unwrap();
    assert!(violations.is_empty(), "{example}: {violations:?}");
    ExampleForm {
        example,
        json: Box::new(move |bytes| match from_slice::<M>(bytes, UnknownFields::Ignore) {
            Ok((message, found)) => {
                let json = document(bytes).unwrap();
                assert!(serde_json::from_str::<IgnoredAny>(json).is_ok(), "no JSON was read");
                check(parse, message, found);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }),
        parameters: Box::new(move |query| {
            let pairs: Vec<_> = form_urlencoded::parse(query).collect();
            let mut message = M::default();
            let found = read_parameters(&mut message, pairs.iter().map(|(name, value)| (&**name, &**value)));
            check(parse, message, found);
        }),
        grpc: Box::new(move |bytes| {
            if let Ok(message) = M::decode(bytes) {
                check(parse, message, Violations::default());
            }
        }),
        message: message.encode_to_vec(),
        encode: Box::new(|json| Some(from_slice::<M>(json, UnknownFields::Ignore).ok()?.0.encode_to_vec())),
    }
}

/// Checks that earlier violations are kept, and that each violation has a place and a reason.
fn check<M>(parse: fn(M, Violations) -> Result<(), InvalidRequest>, message: M, found: Violations) {
    let before = found.clone();
    match parse(message, found) {
        Ok(()) => assert!(before.is_empty(), "taken in spite of {before:?}"),
        Err(InvalidRequest::Invalid(violations)) => {
            says_why(&violations);
            assert!(
                before.as_slice().iter().all(|violation| violations.has(&violation.field)),
                "{before:?} / {violations:?}"
            );
        }
        Err(InvalidRequest::InvalidCustomerId(_) | InvalidRequest::InvalidPromotionId(_)) => assert!(before.is_empty()),
    }
}

fn says_why(violations: &Violations) {
    assert!(!violations.is_empty(), "refused without a reason");
    assert!(violations.as_slice().iter().all(|violation| !violation.description.is_empty()), "{violations:?}");
}

fn endpoints() -> Vec<ExampleForm> {
    vec![
        endpoint(example!("Earn"), |request, found| {
            earn::parse(request, ORG, event::Reception { now: NOW, found }).map(drop)
        }),
        endpoint(example!("BulkEarn"), |request, found| {
            bulk_earn::parse(request, ORG, LIMITS, event::Reception { now: NOW, found }).map(drop)
        }),
        endpoint(example!("CreatePromotion"), |request, found| {
            catalog::parse_new(request, || ObjectId([7; 12]), found).map(drop)
        }),
        endpoint(example!("ReplacePromotion"), |request, found| catalog::parse_replacement(request, found).map(drop)),
        endpoint(example!("ListPromotions"), |request, found| catalog::parse_list(&request, ORG, found).map(drop)),
        endpoint(example!("ListCatalogChanges"), |request, found| history::parse_list(&request, ORG, found).map(drop)),
        endpoint::<proto::ActivatePromotionRequest>(example!("ActivatePromotion"), |request, found| {
            catalog::parse_id(&request.promotion_id, found).map(drop)
        }),
        endpoint::<proto::DeactivatePromotionRequest>(example!("DeactivatePromotion"), |request, found| {
            catalog::parse_id(&request.promotion_id, found).map(drop)
        }),
        endpoint(example!("ChangeAudience"), |request, found| {
            catalog::parse_audience(&request, OrgId(1), found).map(drop)
        }),
        endpoint(example!("UpsertCustomers"), |request, found| customers::parse_upsert(&request, found).map(drop)),
        endpoint::<proto::GetCustomerRequest>(example!("GetCustomer"), |request, found| {
            event::customer(request.customer_id, found).map(drop)
        }),
        endpoint(example!("ListEarnedPromotions"), |request, found| wallet::parse_list(&request, ORG, found).map(drop)),
        endpoint::<proto::GetEarnedPromotionRequest>(example!("GetEarnedPromotion"), |request, found| {
            wallet::parse_earn_id(&request.earned_promotion_id, found).map(drop)
        }),
        endpoint(example!("RevokeEarnedPromotions"), |request, found| revoke::parse(request, ORG, found).map(drop)),
        endpoint(example!("Redeem"), |request, found| redeem::parse(request, ORG, NOW, found).map(drop)),
    ]
}

/// Returns the example as a query, a list as one parameter for each value.
fn query(example: &Value) -> Vec<u8> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut left: Vec<_> = example.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value)).collect();
    while let Some((name, value)) = left.pop() {
        match value {
            Value::Object(fields) => {
                left.extend(fields.iter().map(|(field, value)| (format!("{name}.{field}"), value)));
            }
            Value::Array(list) => left.extend(list.iter().map(|value| (name.clone(), value))),
            Value::String(text) => drop(query.append_pair(&name, text)),
            other => drop(query.append_pair(&name, &other.to_string())),
        }
    }
    query.finish().into_bytes()
}

/// Reads damaged examples in every form of request.
fn at_every_endpoint(examples: fn(&ExampleForm) -> Vec<u8>, read: fn(&ExampleForm, &[u8])) {
    let endpoints = endpoints();
    let examples: Vec<_> = endpoints.iter().map(examples).collect();
    let mut runner = proptest::test_runner::TestRunner::new(failing_nowhere());
    // The bytes are also read as other messages, where names and numbers of fields have another meaning.
    let result = runner.run(&mutate::damaged(examples), |bytes| {
        for endpoint in &endpoints {
            read(endpoint, &bytes);
        }
        Ok(())
    });
    result.unwrap();
}

/// Returns the number of `PROPTEST_CASES`, or the default of this suite.
fn cases() -> u32 {
    if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { CASES }
}

/// Returns a configuration that prints failures and keeps no file: the bytes of a failure become a test of their own.
fn failing_nowhere() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() }
}

#[test]
fn every_json_body_is_read_or_refused() {
    at_every_endpoint(|endpoint| endpoint.example.to_string().into_bytes(), |endpoint, bytes| (endpoint.json)(bytes));
}

#[test]
fn every_query_is_read_or_refused() {
    at_every_endpoint(|endpoint| query(&endpoint.example), |endpoint, bytes| (endpoint.parameters)(bytes));
}

#[test]
fn every_grpc_message_is_read_or_refused() {
    at_every_endpoint(|endpoint| endpoint.message.clone(), |endpoint, bytes| (endpoint.grpc)(bytes));
}

#[test]
fn every_grpc_message_of_other_values_is_read_or_refused() {
    let endpoints = endpoints();
    for endpoint in &endpoints {
        let cases = ProptestConfig { cases: 256, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(cases);
        let run = runner.run(&mutate::altered(&endpoint.example.to_string()), |json| {
            if let Some(message) = (endpoint.encode)(&json) {
                (endpoint.grpc)(&message);
            }
            (endpoint.json)(&json);
            Ok(())
        });
        run.unwrap_or_else(|failure| panic!("{}: {failure}", endpoint.example));
    }
}

const ISSUERS: &str = r#"{"issuers":[{"issuer":"https://id.example","jwks":"https://id.example/keys","audience":"us",
    "orgClaim":"tenant","orgs":{"a":1,"b":2},"clientClaim":"azp","access":["earn"],"accessClaim":"scope"},
    {"issuer":"b","jwks":"keys.json","audience":"us","orgClaim":"org","access":["earn"]}]}"#;
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","alg":"EdDSA",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"RSA","kid":"b","n":"AQAB_-8","e":"AQAB"}]}"#;
const CSV: &str = "name,customerId,\"city, or town\"\n\"a \"\"b\"\"\",7,Pune\n\n,\"8\",\r\nx,9223372036854775807,y\n";
const LINES: &str = "{\"customerId\":7}\n\n{\"orgId\":100737,\"customerId\":\"8\",\"x\":[1]}\r\n";
const PAYLOAD: &str =
    r#"{"store":"Pune 3","lines":[1,2.50,1e3,null,true,{"a":{"b":[{}]}}],"big":123456789012345678901}"#;
const TIMES: [&str; 4] =
    ["2025-10-29T15:00:00Z", "2030-12-31T23:59:59.999+05:30", "0001-01-01T00:00:00-23:59", "2024-02-29t23:59:60z"];

/// Returns a catalog file with a record of each kind, of which the promotion is that of an example.
fn catalog() -> String {
    let example: Value = serde_json::from_str(example!("CreatePromotion")).unwrap();
    let mut promotion = example["request"]["promotion"].clone();
    let more =
        json!({"id": "6912ced9d39e256f754a83f8", "orgId": "1", "startDateISO": null, "startDate": 0, "audience": [7]});
    promotion.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let file = json!({
        "orgs": [{"id": 1, "name": "Shop", "timeZone": "Asia/Kolkata", "maxActivePromotions": 3}],
        "promotions": [promotion],
        "customers": [{"orgId": 1, "customerId": 7}],
        "apiClients": [{"username": "till", "password": "secret", "orgId": 1, "requestsPerMinute": 6}],
    });
    assert!(files::catalog::parse(file.to_string().as_bytes()).is_ok(), "{file}");
    file.to_string()
}

fn texts(examples: &[&str]) -> BoxedStrategy<Vec<u8>> {
    mutate::damaged(examples.iter().map(|example| example.as_bytes().to_vec()).collect())
}

/// Checks that a payload that may be stored is an object within its limits, and is read back unchanged.
fn check_payload(payload: &Payload) {
    let Ok(text) = payload.to_text() else { return };
    assert!(text.len() <= payload::MAX_BYTES && text.starts_with('{'), "{text}");
    let again = Payload::from_text(&text).expect("what was stored is JSON");
    assert_eq!(again.to_text(), Ok(text));
}

proptest! {
    #![proptest_config(failing_nowhere())]

    #[test]
    fn every_catalog_file_is_read_or_refused(bytes in texts(&[&catalog(), include_str!("../src/demo.json")])) {
        match files::catalog::parse(&bytes) {
            Ok(_) => prop_assert!(serde_json::from_str::<IgnoredAny>(document(&bytes).unwrap()).is_ok()),
            Err(violations) => says_why(&violations),
        }
    }

    #[test]
    fn every_issuers_file_is_read_or_refused(bytes in texts(&[ISSUERS])) {
        match files::issuers::parse(&bytes, Path::new("/etc")) {
            Ok(issuers) => for issuer in issuers {
                prop_assert!(!issuer.issuer.is_empty() && !issuer.access.is_empty());
                prop_assert!(issuer.orgs.is_none_or(|orgs| !orgs.is_empty() && orgs.values().all(|id| id.0 > 0)));
            },
            Err(violations) => says_why(&violations),
        }
    }

    #[test]
    fn every_key_set_is_read_or_refused(bytes in prop_oneof![texts(&[KEYS]), mutate::altered(KEYS)]) {
        if let Ok(set) = Jwks::parse(&bytes) {
            prop_assert!(set.verifying_keys().len() <= bytes.len());
        }
    }

    #[test]
    fn every_line_of_a_customer_file_is_read_or_refused(bytes in texts(&[CSV, LINES]), from_line in 0_u64..4) {
        for format in [Format::Csv, Format::NdJson] {
            let file = CustomerFile { format, csv: CsvForm::default(), org_id: ORG, from_line };
            let mut lines = CustomerLines::new(Box::new(Cursor::new(bytes.clone())), file);
            let mut answers = 0;
            while let Some(answer) = lines.next() {
                answers += 1;
                match answer {
                    Ok(id) => prop_assert!(id.0 > 0),
                    Err(error) => prop_assert!(!error.to_string().is_empty() && error.to_string().len() < 1_000),
                }
                prop_assert!(answers <= lines.line());
            }
        }
    }

    #[test]
    fn every_payload_is_read_or_refused(bytes in texts(&[PAYLOAD])) {
        if let Some(payload) = std::str::from_utf8(&bytes).ok().and_then(Payload::from_text) {
            check_payload(&payload);
            check_payload(&Payload::decode(payload.encode_to_vec().as_slice()).unwrap_or_default());
        }
    }

    #[test]
    fn every_time_is_read_or_refused(bytes in texts(&TIMES), ms in any::<Option<i64>>()) {
        let text = String::from_utf8_lossy(&bytes);
        let mut violations = Violations::default();
        let pair = TimePair { field: "eventTime", ms, iso: Some(&text) };
        if pair.read(&mut violations).is_none() {
            says_why(&violations);
        }
    }
}
