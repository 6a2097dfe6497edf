//! `cart-promotions verify`: finds nothing in what the service wrote, and everything that is put wrong behind its back.

use std::process::Output;

use serde_json::json;

use crate::ENGINE;
use crate::rpcs::{redeem, revoke};
use crate::server_process::run;
use crate::support::*;
use crate::wallet::{granted, transaction};

fn verify(service: &Service) -> Output {
    run(&std::env::temp_dir(), &["verify", "--database-url", service.database().url(), "--log-format", "json"])
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A wallet with something of every kind in it.
async fn filled() -> Service {
    let service = Service::start().await;
    for (event, promotion, count) in
        [("one", TEN_OFF, 3), ("two", FREE_DELIVERY, 1), ("three", CAPPED, 2), ("four", "0000000000000000000000a7", 2)]
    {
        // The one with an expiry of its own is earned today: a few days later it would be over.
        let mut request = one_entry(event, promotion, count);
        request["eventTime"] = NOW_MS.into();
        assert_eq!(service.earn(Door::Grpc, &request).await.body["data"][0]["successfulEarnCount"], count);
    }
    let revoked = granted(&service, CUSTOMER, "five", CAPPED, 1).await;
    let details = json!([{"promotionId": CAPPED, "earnIds": revoked}]);
    revoke(&service, Door::Grpc, json!({"customerId": CUSTOMER, "earnRevokeDetails": details})).await;
    let spent = granted(&service, CUSTOMER, "six", TEN_OFF, 2).await;
    let spent: Vec<_> = spent.iter().map(|id| (TEN_OFF, id.as_str())).collect();
    assert_eq!(redeem(&service, Door::Grpc, transaction("txn", CUSTOMER, &spent)).await.code, 0);
    service
}

#[tokio::test]
async fn what_the_service_wrote_is_right() {
    let output = verify(&filled().await);
    assert!(output.status.success(), "{output:?}");
    let text = text(&output);
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), 6, "{text}");
    assert!(text.contains("each of 11 earned promotions"), "{text}");
}

#[tokio::test]
async fn whatever_is_put_wrong_is_found_and_named() {
    let copy = |changes: &str| {
        let columns = "org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, earned_from_type, \
                       event_time_ms, valid_till_ms, granted_at_ms, event_payload";
        let values =
            changes.split(';').filter(|change| !change.is_empty()).fold(columns.to_owned(), |columns, change| {
                let (column, value) = change.split_once('=').unwrap();
                columns.replacen(column, value, 1)
            });
        format!("INSERT INTO earned_promotions ({columns}) SELECT {values} FROM earned_promotions")
    };
    let new_id = "earn_id='00000000000000000000ffff'";
    let rows = [
        (copy("customer_id=7") + " WHERE event_id = 'two'", "is given 2 times"),
        (
            copy(&format!("{new_id};ordinal=5")) + " WHERE event_id = 'two'",
            "2 instances, 2 of them different, numbered 1 to 5",
        ),
        ("UPDATE earned_promotions SET ordinal = 2 WHERE event_id = 'two'".to_owned(), "numbered 2 to 2"),
        (
            "UPDATE earned_promotions SET earned_from_type = 'REWARD' WHERE event_id = 'one' AND ordinal = 2"
                .to_owned(),
            "types BULK_ISSUE to REWARD",
        ),
        (
            "UPDATE earned_promotions SET event_time_ms = 1 WHERE event_id = 'one' AND ordinal = 2".to_owned(),
            "event times 1 to",
        ),
        (
            "UPDATE earned_promotions SET valid_till_ms = valid_till_ms + 1 WHERE event_id = 'two'".to_owned(),
            "valid until 1767205800000, by the rules 1767205799999",
        ),
        (
            "UPDATE earned_promotions SET valid_till_ms = valid_till_ms + 1 WHERE event_id = 'four' AND ordinal = 2"
                .to_owned(),
            "of promotion 0000000000000000000000a7 is valid until",
        ),
        (
            "UPDATE earned_promotions SET promotion_id = '00000000000000000000000f' WHERE event_id = 'two'".to_owned(),
            "has not",
        ),
        (
            "UPDATE earned_promotions SET promotion_id = '0000000000000000000000a1' WHERE event_id = 'two'".to_owned(),
            "of type POS",
        ),
        (
            "UPDATE earned_promotions SET org_id = 9 WHERE event_id = 'two'".to_owned(),
            "1 of 11 earned promotions are of no organization",
        ),
        // A third is the cap, and is not counted; a fourth would be one too many.
        (
            copy(&format!("{new_id};ordinal=3")) + " WHERE event_id = 'three' AND ordinal = 1",
            "holds 3 of promotion 0000000000000000000000a9, and 2 are counted",
        ),
        (
            "UPDATE earned_promotions SET promotion_id = '0000000000000000000000a9' WHERE event_id IN ('one')"
                .to_owned(),
            "holds 5 of promotion 0000000000000000000000a9, whose cap is 3",
        ),
        ("UPDATE cap_usage SET used = 1".to_owned(), "and 1 are counted"),
        ("DELETE FROM cap_usage".to_owned(), "and 0 are counted"),
        (
            "UPDATE redemptions SET customer_id = 7".to_owned(),
            "2 earned promotions of customer 566881933 of organization 100737 are redeemed by transaction txn, which is not recorded for them",
        ),
        (
            "DELETE FROM redemptions".to_owned(),
            "2 earned promotions of customer 566881933 of organization 100737 are redeemed by transaction txn, which is not recorded for them",
        ),
        (
            "UPDATE redemptions SET instances = 3".to_owned(),
            "transaction txn of organization 100737 redeemed 3 earned promotions, and the wallet has 2",
        ),
        (
            "UPDATE earned_promotions SET earned_status = 'REVOKED', transaction_identifier = NULL
             WHERE event_id = 'six' AND ordinal = 1"
                .to_owned(),
            "redeemed 2 earned promotions, and the wallet has 1 of it",
        ),
        (
            "UPDATE earned_promotions SET earned_status = 'UNLOCKED', changed_at_ms = NULL WHERE event_id = 'five'"
                .to_owned(),
            "holds 3 of promotion 0000000000000000000000a9, and 2 are counted",
        ),
        (
            "DELETE FROM earned_promotions WHERE event_id = 'three'".to_owned(),
            "holds none of promotion 0000000000000000000000a9, and 2 are counted",
        ),
    ];
    for (sql, breach) in rows {
        let service = filled().await;
        service.database().execute(&sql).await;
        let output = verify(&service);
        assert_eq!(output.status.code(), Some(1), "{sql}: {output:?}");
        let text = text(&output);
        assert!(text.contains(breach) && text.contains("BREACH"), "{sql}: {text}");
    }
}

#[tokio::test]
async fn changed_rules_do_not_make_what_was_granted_wrong() {
    let service = filled().await;
    let mut changed = catalogue();
    changed["orgs"][0]["timeZone"] = "America/New_York".into();
    changed["promotions"][1]["endDateISO"] = "2026-12-31T23:59:59.999+05:30".into();
    changed["promotions"][10]["maxEarningPerCustomer"] = 1.into();
    service.import(&changed).await;
    let output = verify(&service);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output).contains("11 of them were granted before those rules changed"), "{output:?}");
}

#[tokio::test]
async fn a_cap_that_is_set_later_counts_what_is_held_already() {
    let service = Service::start().await;
    let other = service.beside().await;
    assert_eq!(earn_ids(&service.earn(Door::Json, &one_entry("before", TEN_OFF, 2)).await.body).len(), 2);
    let mut capped = catalogue();
    capped["promotions"][0]["maxEarningPerCustomer"] = 3.into();
    service.import(&capped).await;
    for (server, event, granted) in [(&service, "a", 1), (&other, "b", 0), (&service, "before", 2), (&other, "a", 1)] {
        let answer = server.earn(Door::Grpc, &one_entry(event, TEN_OFF, 2)).await;
        assert_eq!(earn_ids(&answer.body).len(), granted, "{event}: {answer:?}");
    }
    // Set below what is held, raised, taken away and set again.
    for (cap, event, granted) in [(json!(1), "c", 0), (json!(4), "c", 1), (json!(null), "d", 2), (json!(7), "e", 1)] {
        capped["promotions"][0]["maxEarningPerCustomer"] = cap.clone();
        capped["promotions"][0]["unlimitedEarning"] = cap.is_null().into();
        service.import(&capped).await;
        let answer = other.earn(Door::Grpc, &one_entry(event, TEN_OFF, 2)).await;
        assert_eq!(earn_ids(&answer.body).len(), granted, "{cap}: {answer:?}");
    }
    assert_eq!(service.granted().await, 7, "{ENGINE:?}");
    let output = verify(&service);
    assert!(output.status.success(), "{output:?}");
}
