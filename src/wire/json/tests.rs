//! Tests of reading and writing JSON: examples of each rule.

mod comparison;

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
    let given = [("audience", "1"), ("audience", "2"), ("active", "true")];
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

    // Two values of one field are refused, in whichever spelling they come: neither is guessed to be meant.
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
