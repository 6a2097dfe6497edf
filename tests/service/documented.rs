//! The documented request, its response, and repeats of it.

use serde_json::json;

use crate::support::*;

/// The documented response, for entries in the order of the request.
const RESPONSE: &str = r#"{"data":[{"earnedFromId":"68fb1c9731d91c625a8d9e80","promotionId":"6912ced9d39e256f754a83f8","successfulEarnCount":1,"failedEarnCount":0,"customerEarnedPromotions":[{"id":"ID","customerId":566881933,"promotionId":"6912ced9d39e256f754a83f8","earnedFromType":"BULK_ISSUE","earnedFromId":"68fb1c9731d91c625a8d9e80","eventTime":1761750000000,"eventTimeISO":"2025-10-29T15:00:00Z","eventDetails":{"id":"6911e951f57b486147effa6c","type":"BULK_ISSUE"},"validTill":1767205799999,"validTillISO":"2025-12-31T18:29:59Z"}]},{"earnedFromId":"68fb1c9731d91c625a8d9e80","promotionId":"6912cfff6629ee07040e15ef","successfulEarnCount":1,"failedEarnCount":0,"customerEarnedPromotions":[{"id":"ID","customerId":566881933,"promotionId":"6912cfff6629ee07040e15ef","earnedFromType":"BULK_ISSUE","earnedFromId":"68fb1c9731d91c625a8d9e80","eventTime":1761750000000,"eventTimeISO":"2025-10-29T15:00:00Z","eventDetails":{"id":"6911e951f57b486147effa6c","type":"BULK_ISSUE"},"validTill":1767205799999,"validTillISO":"2025-12-31T18:29:59Z"}]}],"errors":[]}"#;

async fn post_documented(service: &Service) -> String {
    let request = service.http().post(service.url(PATH)).header("authorization", basic("demo:demo"));
    let request = request.header("content-type", "application/json").body(documented_request().to_string());
    let mut body = request.send().await.unwrap().text().await.unwrap();
    let value = serde_json::from_str(&body).unwrap();
    for id in earn_ids(&value) {
        assert_eq!(id.len(), 24, "{id}");
        // An id begins with the second of the clock.
        assert!(id.starts_with("6912d0e0"), "{id}");
        body = body.replace(&id, "ID");
    }
    body
}

#[tokio::test]
async fn the_documented_request_gives_the_documented_response_byte_for_byte() {
    let service = Service::start().await;
    assert_eq!(post_documented(&service).await, RESPONSE);
}

#[tokio::test]
async fn a_server_in_india_writes_indian_times() {
    let service = Service::start_with(&catalog(), &["--time-zone", "Asia/Kolkata"]).await;
    let expected = RESPONSE
        .replace("2025-10-29T15:00:00Z", "2025-10-29T20:30:00+05:30")
        .replace("2025-12-31T18:29:59Z", "2025-12-31T23:59:59+05:30");
    assert_eq!(post_documented(&service).await, expected);
}

#[tokio::test]
async fn both_endpoints_give_the_same_answer_and_a_repeat_the_same_ids() {
    let service = Service::start().await;
    let first = service.earn(Endpoint::Grpc, &documented_request()).await;
    for endpoint in ENDPOINTS {
        let again = service.earn(endpoint, &documented_request()).await;
        assert_eq!(again.body, first.body, "{endpoint:?}");
    }
    assert_eq!(service.granted().await, 2);
}

#[tokio::test]
async fn entries_fail_by_themselves_and_what_failed_is_granted_later() {
    for endpoint in ENDPOINTS {
        let service = Service::start().await;
        let mut request = documented_request();
        let off = "0000000000000000000000a4";
        request["earnedPromotions"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"promotionId": off, "earnCount": 2, "earnedFromId": "x"}));
        let answer = service.earn(endpoint, &request).await;
        let counts: Vec<_> = answer.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                assert_eq!(entry.get("errorDetails").is_some(), entry["failedEarnCount"] != 0, "{entry}");
                (entry["successfulEarnCount"].as_i64().unwrap(), entry["failedEarnCount"].as_i64().unwrap())
            })
            .collect();
        assert_eq!(counts, [(0, 2), (1, 0), (1, 0)], "{endpoint:?}: {}", answer.body);
        assert_eq!(
            answer.body["data"][0]["errorDetails"],
            json!({"errorCode": 709, "errorMessages": format!("promotion {off} is not active")})
        );
        assert_eq!(answer.body["data"][0]["customerEarnedPromotions"], json!([]));

        let mut switched_on = catalog();
        switched_on["promotions"][5]["active"] = true.into();
        service.import(&switched_on).await;
        let later = service.earn(endpoint, &request).await;
        assert_eq!(later.body["data"][0]["successfulEarnCount"], 2, "{endpoint:?}: {}", later.body);
        for entry in [1, 2] {
            assert_eq!(later.body["data"][entry], answer.body["data"][entry]);
        }
        assert_eq!(service.granted().await, 4);
    }
}

#[tokio::test]
async fn a_recorded_earning_is_replayed_though_its_promotion_is_switched_off_or_over() {
    let service = Service::start().await;
    let first = service.earn(Endpoint::Json, &documented_request()).await;
    let mut over = catalog();
    over["promotions"][0]["active"] = false.into();
    over["promotions"][1]["endDateISO"] = "2025-02-01T00:00:00Z".into();
    service.import(&over).await;
    for endpoint in ENDPOINTS {
        assert_eq!(service.earn(endpoint, &documented_request()).await.body, first.body, "{endpoint:?}");
    }
    // One more instance of each is refused, and the response has the recorded ones.
    let mut more = documented_request();
    more["earnedPromotions"][0]["earnCount"] = 2.into();
    more["earnedPromotions"][1]["earnCount"] = 2.into();
    let answer = service.earn(Endpoint::Json, &more).await;
    for (entry, code) in [(0, 709), (1, 706)] {
        let entry = &answer.body["data"][entry];
        assert_eq!((&entry["successfulEarnCount"], &entry["failedEarnCount"]), (&json!(1), &json!(1)), "{entry}");
        assert_eq!(entry["errorDetails"]["errorCode"], code, "{entry}");
    }
    assert_eq!(earn_ids(&answer.body), earn_ids(&first.body));
}

#[tokio::test]
async fn a_payload_is_stored_and_given_back_unchanged_on_both_endpoints() {
    let service = Service::start().await;
    let payload = r#"{"z":[1,2.50,{"ä":null}],"a":{"big":12345678901234567890,"ok":true},"text":"a\"b\\c"}"#;
    let mut request = one_entry("payload", TEN_OFF, 3);
    request["eventDetails"]["eventPayload"] = json!("PAYLOAD");
    let body = request.to_string().replace("\"PAYLOAD\"", payload);
    for _ in 0..2 {
        let sent = service.http().post(service.url(PATH)).header("authorization", basic("demo:demo"));
        let sent = sent.header("content-type", "application/json").body(body.clone()).send().await.unwrap();
        let text = sent.text().await.unwrap();
        assert_eq!(text.matches(payload).count(), 3, "{text}");
    }
    // Over gRPC the numbers of a payload are doubles.
    request["eventDetails"]["eventPayload"] = json!({"other": 1});
    let replayed = service.earn(Endpoint::Grpc, &request).await;
    let echoed = &replayed.body["data"][0]["customerEarnedPromotions"][2]["eventDetails"]["eventPayload"];
    assert_eq!(echoed["z"], json!([1, 2.5, {"ä": null}]), "the first payload stays");

    let mut request = one_entry("payload over gRPC", TEN_OFF, 1);
    request["eventDetails"]["eventPayload"] = json!({"a": [1, "x", null, {"b": false}], "n": -0.5});
    for endpoint in [Endpoint::Grpc, Endpoint::Json] {
        let answer = service.earn(endpoint, &request).await;
        let echoed = &answer.body["data"][0]["customerEarnedPromotions"][0]["eventDetails"]["eventPayload"];
        assert_eq!(*echoed, json!({"a": [1, "x", null, {"b": false}], "n": -0.5}), "{endpoint:?}");
    }
}

#[tokio::test]
async fn a_request_id_is_taken_or_made_and_given_back() {
    let service = Service::start().await;
    let health = |id: &'static str| service.http().get(service.url("/healthz")).header("x-request-id", id).send();
    assert_eq!(health("abc-123").await.unwrap().headers()["x-request-id"], "abc-123");
    for unfit in ["", "with space", &"x".repeat(129)] {
        let id = health(String::leak(unfit.to_owned())).await.unwrap().headers()["x-request-id"].clone();
        assert_eq!(id.len(), 32, "{unfit:?} gave {id:?}");
    }
    let mut request = tonic::Request::new(cart_promotions::proto::BulkEarnRequest::default());
    request.metadata_mut().insert("x-request-id", "grpc-1".parse().unwrap());
    let mut client = cart_promotions::proto::earn_service_client::EarnServiceClient::new(service.channel());
    assert_eq!(client.bulk_earn(request).await.unwrap_err().metadata().get("x-request-id").unwrap(), "grpc-1");
}
