//! A lock of another session on rows of one organization delays the calls that need these rows, and no others.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::*;

/// The customer of organization 3 whose row is locked.
const STUCK: i64 = 1;
/// Number of other customers of that organization, and of calls of another organization.
const OTHERS: i64 = 20;

/// Returns a request of organization 3 for a promotion that has a cap.
fn capped(customer: i64, event: &str) -> Value {
    json!({
        "customerId": customer,
        "eventTime": NOW_MS,
        "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": event, "type": "BULK_ISSUE"},
        "earnedPromotions": [{"promotionId": CAPPED, "earnCount": 1, "earnedFromId": "earning"}]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_locked_row_makes_those_busy_that_need_it_and_neither_their_neighbours_nor_other_organizations() {
    let service = Service::start_with(&catalog(), &["--statement-timeout-ms", "400"]).await;
    let other = Some("other:other");
    for customer in 1..=OTHERS {
        assert_eq!(service.earn_as(Endpoint::Json, other, &capped(customer, "first")).await.code, 0);
    }
    let lock = format!("SELECT FROM cap_usage WHERE org_id = 3 AND customer_id = {STUCK} FOR UPDATE");
    let blocker = service.database().block(&lock).await;
    let (mut stuck, mut neighbours) = (JoinSet::new(), JoinSet::new());
    for index in 0..4 {
        let caller = service.caller();
        stuck.spawn(async move { caller.earn_as(ENDPOINTS[index % 2], other, &capped(STUCK, "second")).await });
    }
    for customer in STUCK + 1..=OTHERS {
        let caller = service.caller();
        neighbours.spawn(async move { caller.earn_as(Endpoint::Json, other, &capped(customer, "second")).await });
    }
    for index in 0..OTHERS {
        let answer = service.earn(Endpoint::Grpc, &one_entry(&format!("event {index}"), TEN_OFF, 1)).await;
        assert_eq!(answer.code, 0, "another organization: {answer:?}");
        let ready = service.http().get(service.url("/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), 200, "nothing is wrong with the database");
    }
    for answer in neighbours.join_all().await {
        assert_eq!(answer.code, 0, "a neighbour: {answer:?}");
    }
    for answer in stuck.join_all().await {
        assert!(answer.messages[0].contains("another change of the same rows is under way"), "{answer:?}");
    }
    blocker.release().await;
    let answer = service.earn_as(Endpoint::Grpc, other, &capped(STUCK, "second")).await;
    assert_eq!(earn_ids(&answer.body).len(), 1, "{answer:?}");
    let granted = service.database().count("SELECT count(*) FROM earned_promotions WHERE org_id = 3").await;
    assert_eq!(granted, 2 * OTHERS);
}
