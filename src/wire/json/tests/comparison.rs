//! Comparisons of reading and writing with an independent implementation (prost-reflect), and of what damaged bytes do.

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};

use super::*;

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
