//! Tests of reading and writing JSON: examples of each rule, and comparisons with an independent implementation
//! (prost-reflect).

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use strum::VariantNames as _;

use super::*;
use crate::proto;
use crate::wire::Violations;
use crate::wire::payload::Payload;

fn read(json: &str) -> Result<(proto::BulkEarnRequest, Violations), String> {
    from_slice(json.as_bytes(), UnknownFields::Ignore).map_err(|error| error.to_string())
}

fn problems(json: &Value) -> Vec<String> {
    let (_, violations) = read(&json.to_string()).expect("JSON");
    violations.as_slice().iter().map(ToString::to_string).collect()
}

#[test]
fn names_are_the_json_or_the_proto_ones_and_numbers_may_be_strings() {
    let camel = json!({"orgId": 1, "customerId": "7", "eventTime": 5.0, "eventTimeISO": "x", "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": "e", "type": 1}, "earnedPromotions": [{"promotionId": "p", "earnCount": "2", "earnedFromId": "f"}]});
    let snake = json!({"org_id": "1", "customer_id": 7, "event_time": "5", "event_time_iso": "x", "earned_from_type": 1.0,
        "event_details": {"id": "e", "type": "BULK_ISSUE"}, "earned_promotions": [{"promotion_id": "p", "earn_count": 2, "earned_from_id": "f"}]});
    let expected = proto::BulkEarnRequest {
        org_id: Some(1),
        customer_id: 7,
        event_time: Some(5),
        event_time_iso: Some("x".to_owned()),
        earned_from_type: 1,
        event_details: Some(proto::EventDetails { id: "e".to_owned(), r#type: 1, event_payload: None }),
        earned_promotions: vec![proto::PromotionToEarn {
            promotion_id: "p".to_owned(),
            earn_count: 2,
            earned_from_id: "f".to_owned(),
        }],
    };
    for json in [camel, snake] {
        let (message, violations) = read(&json.to_string()).unwrap();
        assert!(violations.is_empty(), "{violations:?}");
        assert_eq!(message, expected);
    }
}

#[test]
fn null_is_absent_and_unknown_names_are_passed_over() {
    let json = json!({"orgId": null, "customerId": null, "eventTime": null, "eventDetails": null, "earnedPromotions": null,
        "colour": {"red": [1, {"a": null}]}, "earnedFromType": null});
    let (message, violations) = read(&json.to_string()).unwrap();
    assert_eq!((message, violations), Default::default());
    let json = json!({"eventDetails": {"eventPayload": null, "id": null}});
    let (message, _) = read(&json.to_string()).unwrap();
    assert_eq!(message.event_details, Some(proto::EventDetails::default()));
}

#[test]
fn every_value_of_a_wrong_kind_is_named() {
    let json = json!({"orgId": 1.5, "customerId": [1, [2]], "eventTime": "soon", "eventTimeISO": 5, "earnedFromType": "GIFT",
        "eventDetails": {"id": {"a": 1}, "type": true}, "earnedPromotions": [
            {"promotionId": 7, "earnCount": 2_147_483_648_i64, "earnedFromId": "f"}, null, "x", {"earnCount": 9e99}]});
    assert_eq!(
        problems(&json),
        [
            "customerId: must be a 64-bit integer",
            "earnedFromType: must be one of BULK_ISSUE, ACTIVITY, MILESTONE, REWARD",
            "earnedPromotions[0].earnCount: must be a 32-bit integer",
            "earnedPromotions[0].promotionId: must be a string",
            "earnedPromotions[1]: must not be null",
            "earnedPromotions[2]: must be an object, not a string",
            "earnedPromotions[3].earnCount: must be a 32-bit integer",
            "eventDetails.id: must be a string",
            "eventDetails.type: must be one of BULK_ISSUE, ACTIVITY, MILESTONE, REWARD",
            "eventTime: must be a 64-bit integer",
            "eventTimeISO: must be a string",
            "orgId: must be a 64-bit integer",
        ]
    );
    for (json, problem) in [
        (json!({"eventDetails": []}), "eventDetails: must be an object, not a list"),
        (json!({"eventDetails": false}), "eventDetails: must be an object, not a boolean"),
        (json!({"earnedPromotions": {"a": 1}}), "earnedPromotions: must be a list, not an object"),
        (json!({"earnedPromotions": "x"}), "earnedPromotions: must be a list, not a string"),
        (json!({"earnedPromotions": -1}), "earnedPromotions: must be a list, not a number"),
        (json!([]), "must be an object, not a list"),
        (json!(null), "must be a JSON object, not null"),
        (json!({"customerId": 9_223_372_036_854_775_808_u64}), "customerId: must be a 64-bit integer"),
    ] {
        assert_eq!(problems(&json), [problem], "{json}");
    }
}

#[test]
fn a_name_given_twice_is_a_fault_in_either_spelling() {
    for json in [r#"{"customerId":1,"customerId":2}"#, r#"{"customerId":1,"customer_id":1}"#] {
        let (_, violations) = read(json).unwrap();
        assert_eq!(violations, Violations::of("customerId", "is given twice"), "{json}");
    }
}

#[test]
fn what_is_no_json_is_refused_whole() {
    let nested = "[".repeat(100_000);
    let in_field = format!(r#"{{"orgId":{nested}"#);
    let unknown = format!(r#"{{"x":{nested}"#);
    for json in ["", "{", r#"{"orgId":1}}"#, "{'orgId':1}", "nul", &nested, &in_field, &unknown] {
        assert!(read(json).is_err(), "{}", &json[..json.len().min(50)]);
    }
    assert!(from_slice::<proto::BulkEarnRequest>(b"{\"eventTimeISO\":\"\xff\"}", UnknownFields::Ignore).is_err());
}

#[test]
fn a_file_is_refused_for_names_nobody_knows() {
    let (_, violations) =
        from_slice::<proto::CatalogFile>(br#"{"orgs":[{"id":1,"nmae":"x"}]}"#, UnknownFields::Refuse).unwrap();
    assert_eq!(violations, Violations::of("orgs[0].nmae", "is unknown"));
}

#[test]
fn parameters_are_read_by_path_and_lists_one_at_a_time() {
    let mut message = proto::BulkEarnRequest::default();
    let given = [
        ("customerId", "7"),
        ("eventDetails.id", "e"),
        ("event_details.type", "ACTIVITY"),
        ("unknown", "x"),
        ("eventDetails.unknown", "x"),
    ];
    assert!(read_parameters(&mut message, given).is_empty());
    assert_eq!(message.customer_id, 7);
    let event = message.event_details.as_ref().unwrap();
    assert_eq!((event.id.as_str(), event.r#type), ("e", 2));
    let problems = read_parameters(
        &mut message,
        [("customerId", "x"), ("eventDetails.type", "GIFT"), ("orgId.x", "1"), ("eventDetails", "x")],
    );
    let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["customerId", "eventDetails.type", "orgId", "eventDetails"]);

    let mut promotion = proto::FilePromotion::default();
    let given = [("audience", "1"), ("audience", "2"), ("active", "true"), ("earnExpiry.days", "3")];
    assert!(read_parameters(&mut promotion, given).is_empty());
    assert_eq!((promotion.audience.unwrap().values, promotion.active), (vec![1, 2], Some(true)));

    let mut list = proto::ListEarnedPromotionsRequest::default();
    let given = [("earnedStatus", "REVOKED"), ("promotionId", "a"), ("earnedStatus", "1"), ("promotionId", "b")];
    assert!(read_parameters(&mut list, given).is_empty());
    assert_eq!((list.earned_status, list.promotion_id), (vec![3, 1], vec!["a".to_owned(), "b".to_owned()]));

    // A wrong element is named by its index, and the elements after it keep theirs.
    let mut list = proto::ListEarnedPromotionsRequest::default();
    let given = ["REVOKED", "x", "REDEEMED", "y"].map(|status| ("earnedStatus", status));
    let problems = read_parameters(&mut list, given);
    let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["earnedStatus[1]", "earnedStatus[3]"]);

    // Of two values of one field, neither is guessed to be meant, in whichever spelling they come.
    let given = [("customerId", "7"), ("limit", "3"), ("customer_id", "8")];
    let problems = read_parameters(&mut proto::ListEarnedPromotionsRequest::default(), given);
    assert_eq!(problems, Violations::of("customerId", "is given more than once"));
}

#[test]
fn zero_and_empty_are_written_and_absent_is_left_out() {
    let result = proto::EarnResult { earned_from_id: "f".to_owned(), ..Default::default() };
    assert_eq!(
        serde_json::to_string(&result).unwrap(),
        r#"{"earnedFromId":"f","promotionId":"","successfulEarnCount":0,"failedEarnCount":0,"customerEarnedPromotions":[]}"#
    );
    let event = proto::EventDetails {
        id: "\u{1F600}\"\\\n".to_owned(),
        r#type: 99,
        event_payload: Payload::from_text(r#"{"b":1.0,"a":12345678901234567890}"#),
    };
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"id":"😀\"\\\n","type":99,"eventPayload":{"b":1.0,"a":12345678901234567890}}"#
    );
}

fn descriptor(name: &str) -> MessageDescriptor {
    let pool = DescriptorPool::decode(proto::DESCRIPTOR_SET).unwrap();
    pool.get_message_by_name(name).unwrap()
}

/// Returns values of every kind, valid or not, for any field.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_i64..10).prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 2.0)),
        any::<i64>().prop_map(|number| Value::from(number.to_string())),
        prop::sample::select(vec!["BULK_ISSUE", "REWARD", "GIFT", "", "7", "2025-10-29T15:00:00Z"])
            .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Returns objects with some of these fields, with values from `values` or of any kind.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| {
            let value = prop_oneof![6 => value.prop_map(Some), 1 => any_value().prop_map(Some), 1 => Just(None)];
            value.prop_map(move |value| value.map(|value| (name.to_owned(), value)))
        })
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect())).boxed()
}

fn any_request() -> BoxedStrategy<Value> {
    let text = || "\\PC{0,5}".prop_map(Value::from).boxed();
    let number = || {
        prop_oneof![any::<i32>().prop_map(Value::from), any::<i32>().prop_map(|n| Value::from(n.to_string()))].boxed()
    };
    let kind = || prop_oneof![Just(json!("ACTIVITY")), Just(json!(3)), Just(json!("BULK_ISSUE"))].boxed();
    let entry = object(vec![("promotionId", text()), ("earn_count", number()), ("earnedFromId", text())]);
    let payload = prop::collection::btree_map("[a-z]{1,3}", any_value(), 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
        .boxed();
    let event = object(vec![("id", text()), ("type", kind()), ("eventPayload", payload)]);
    object(vec![
        ("orgId", number()),
        ("customer_id", number()),
        ("eventTime", number()),
        ("eventTimeISO", text()),
        ("earnedFromType", kind()),
        ("eventDetails", event),
        ("earnedPromotions", prop::collection::vec(entry, 0..3).prop_map(Value::from).boxed()),
        ("unknown", any_value().boxed()),
    ])
}

/// Returns true if the independent implementation accepts a request that this one refuses, or refuses one that it
/// accepts, on purpose.
fn differs_on_purpose(json: &Value) -> bool {
    let text = json.to_string();
    // This implementation accepts the enum 1.0 and refuses "1"; it reports an unknown name, which the other ignores.
    let odd_enum = |value: Option<&Value>| match value {
        Some(Value::String(text)) => {
            text.parse::<f64>().is_ok() || proto::EarnedFromType::from_str_name(text).is_none()
        }
        Some(Value::Number(number)) => number.is_f64(),
        _ => false,
    };
    odd_enum(json.get("earnedFromType"))
        || odd_enum(json.pointer("/eventDetails/type"))
        // This implementation reads a payload that is not an object as text, and checks it by the rules later.
        || json.pointer("/eventDetails/eventPayload").is_some_and(|payload| !payload.is_object())
        || text.contains("\\u0000")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn requests_are_read_as_prost_reflect_reads_them(json in any_request()) {
        prop_assume!(!differs_on_purpose(&json));
        let text = json.to_string();
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let mut oracle = serde_json::Deserializer::from_str(&text);
        let oracle = DynamicMessage::deserialize_with_options(descriptor("cartpromotions.v1.BulkEarnRequest"), &mut oracle, &options);
        let ours = read(&text);
        match (&oracle, &ours) {
            (Ok(oracle), Ok((message, violations))) if violations.is_empty() => {
                let theirs = proto::BulkEarnRequest::decode(oracle.encode_to_vec().as_slice()).unwrap();
                prop_assert_eq!(&theirs, message, "{}", text);
            }
            (Err(_), Ok((_, violations))) => prop_assert!(!violations.is_empty(), "{}: {:?}", text, oracle),
            (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{}: {:?} / {:?}", text, oracle, ours),
        }
    }

    #[test]
    fn responses_are_written_as_prost_reflect_writes_them(
        texts in prop::collection::vec("\\PC{0,6}", 8),
        numbers in prop::collection::vec(any::<i64>(), 6),
        counts in prop::collection::vec(any::<i32>(), 4),
        shape in 0_usize..3,
    ) {
        let text = |index: usize| texts[index].clone();
        let earned = proto::EarnedPromotion {
            id: text(0), customer_id: numbers[0], promotion_id: text(1), earned_from_type: 2, earned_from_id: text(2),
            event_time: numbers[1], event_time_iso: text(3), valid_till: numbers[2], valid_till_iso: text(4),
            event_details: (shape > 0).then(|| proto::EventDetails {
                id: text(5), r#type: counts[3].rem_euclid(7),
                event_payload: (shape > 1).then(|| Payload::from_text(r#"{"a":[1.5,"x",null,{"b":true}]}"#).unwrap()),
            }),
        };
        let response = proto::BulkEarnResponse {
            data: vec![proto::EarnResult {
                earned_from_id: text(6), promotion_id: text(7), successful_earn_count: counts[0], failed_earn_count: counts[1],
                error_details: (shape > 0).then(|| proto::EarnErrorDetails { error_code: counts[2], error_messages: text(1) }),
                customer_earned_promotions: vec![earned; shape],
            }; shape],
            errors: vec![proto::CallError { code: counts[0], message: text(0) }; shape],
        };
        let options = SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);
        let bytes = response.encode_to_vec();
        let oracle = DynamicMessage::decode(descriptor("cartpromotions.v1.BulkEarnResponse"), bytes.as_slice()).unwrap();
        let mut theirs = oracle.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
        drop_nulls(&mut theirs);
        let ours: Value = serde_json::from_str(&serde_json::to_string(&response).unwrap()).unwrap();
        prop_assert_eq!(numbers_as_floats(ours), numbers_as_floats(theirs));
    }

    #[test]
    fn no_bytes_panic_in_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = from_slice::<proto::BulkEarnRequest>(&bytes, UnknownFields::Ignore);
        let _ = from_slice::<proto::CatalogFile>(&bytes, UnknownFields::Refuse);
        if let Ok(request) = proto::BulkEarnRequest::decode(bytes.as_slice()) {
            let _ = request.event_details.and_then(|event| event.event_payload).map(|payload| payload.to_text());
        }
    }

    #[test]
    fn no_damaged_request_panics(json in any_request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = json.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = from_slice::<proto::BulkEarnRequest>(&bytes, UnknownFields::Ignore);
        let _ = from_slice::<proto::BulkEarnRequest>(&bytes[..at], UnknownFields::Ignore);
    }
}

/// Removes absent fields, which the independent implementation writes as null and this one omits.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| !value.is_null() || name == "eventPayload");
            fields.iter_mut().filter(|(name, _)| *name != "eventPayload").for_each(|(_, value)| drop_nulls(value));
            fields.retain(|_, value| !value.is_null());
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Converts numbers to floats, because 1 and 1.0 are equal in a payload.
fn numbers_as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::from(number.as_f64()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, numbers_as_floats(value))).collect())
        }
        Value::Array(values) => values.into_iter().map(numbers_as_floats).collect(),
        other => other,
    }
}

#[test]
fn a_list_that_is_absent_differs_from_an_empty_one_where_a_message_holds_it() {
    for (text, audience) in [
        ("{}", None),
        (r#"{"audience":null}"#, None),
        (r#"{"audience":[]}"#, Some(vec![])),
        (r#"{"audience":["7",8]}"#, Some(vec![7, 8])),
    ] {
        let (promotion, problems) = from_slice::<proto::FilePromotion>(text.as_bytes(), UnknownFields::Refuse).unwrap();
        assert!(problems.is_empty(), "{text}: {problems:?}");
        assert_eq!(promotion.audience.map(|audience| audience.values), audience, "{text}");
    }
    let written = proto::FilePromotion { audience: Some(proto::Audience { values: vec![7] }), ..Default::default() };
    assert_eq!(serde_json::to_value(&written).unwrap()["audience"], serde_json::json!([7]));
    let read = from_slice::<proto::FilePromotion>(br#"{"audience":{"values":[7]}}"#, UnknownFields::Refuse).unwrap();
    assert_eq!(read.1.as_slice()[0].to_string(), "audience: must be a list, not an object");
}

#[test]
fn a_byte_order_mark_is_passed_over_and_another_encoding_is_told() {
    let read = |text: &[u8]| from_slice::<proto::Customer>(text, UnknownFields::Refuse);
    assert_eq!(read(b"\xef\xbb\xbf {\"customerId\":7}").unwrap().0.customer_id, Some(7));
    for (text, problem) in [
        (&b"\xff\xfe{\0}\0"[..], "is UTF-16 (little-endian); save it as UTF-8"),
        (b"\xfe\xff\0{\0}", "is UTF-16 (big-endian); save it as UTF-8"),
        (b"", "is empty, and no JSON"),
        (b"\xef\xbb\xbf \n", "is empty, and no JSON"),
        (b"{", "is no JSON: EOF while parsing an object at line 1 column 1"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), problem, "{text:?}");
    }
}

#[test]
fn every_name_of_the_rules_is_one_of_the_messages() {
    for &name in crate::earning::EarnedFromType::VARIANTS {
        assert!(proto::EarnedFromType::from_str_name(name).is_some(), "{name}");
    }
    for &name in crate::earning::change::EarnedStatus::VARIANTS {
        assert!(proto::EarnedStatus::from_str_name(name).is_some(), "{name}");
    }
    for &name in crate::earning::PromotionType::VARIANTS {
        assert!(proto::promotion::Type::from_str_name(name).is_some(), "{name}");
    }
    for &name in crate::earning::ProgramType::VARIANTS {
        assert!(proto::supplementary_criteria::ProgramType::from_str_name(name).is_some(), "{name}");
    }
}
