//! A greedy client beside a modest one, while the database is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ENGINE;
use crate::support::*;

/// Requests that the greedy client has under way at any time: far more than may wait.
const GREEDY: usize = 200;
const MAX_WAITING: &str = "64";
/// Requests of the modest client, one after the other.
const MODEST: usize = 20;
/// How long a batch takes.
const SLOW: Duration = Duration::from_millis(30);
/// The batch in flight, and the one that its request is in; with what a busy machine adds.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A request for a customer of its own, of an organization that takes any.
fn request(customer: usize) -> Value {
    json!({
        "customerId": customer + 1,
        "eventTime": NOW_MS,
        "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": format!("event {customer}"), "type": "BULK_ISSUE"},
        "earnedPromotions": [{"promotionId": OTHERS, "earnCount": 1, "earnedFromId": "earning"}]
    })
}

/// Makes every statement that writes to the wallet take its time.
async fn slow_down(database: &Database) {
    let slow = match ENGINE {
        // There is no function that waits: it counts.
        Engine::Sqlite => {
            "CREATE TABLE tick (number INTEGER);
             CREATE TRIGGER slow BEFORE INSERT ON earned_promotions BEGIN
             DELETE FROM tick WHERE number = (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n
             WHERE n < 1000) SELECT -count(*) FROM n); END"
                .to_owned()
        }
        Engine::Postgres => format!(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({}); RETURN NULL; END $$;
             CREATE TRIGGER slow AFTER INSERT ON earned_promotions FOR EACH STATEMENT EXECUTE FUNCTION slow()",
            SLOW.as_secs_f64()
        ),
    };
    database.execute(&slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greedy_client_is_refused_what_is_too_much_and_a_modest_one_beside_it_never_waits_for_it() {
    let mut catalogue = catalogue();
    let greedy = json!({"username": "greedy", "password": "greedy", "orgId": 3});
    catalogue["apiClients"].as_array_mut().unwrap().push(greedy);
    let service = Service::start_with(&catalogue, &["--max-waiting", MAX_WAITING]).await;
    slow_down(service.database()).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut calls = JoinSet::new();
    for index in 0..GREEDY {
        let (caller, over) = (service.caller(), Arc::clone(&over));
        calls.spawn(async move {
            let (mut granted, mut refused) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let customer = 1_000 * (index + 1) + granted + refused;
                let answer = caller.earn_as(DOORS[index % 2], Some("greedy:greedy"), &request(customer)).await;
                if answer.code == 0 {
                    granted += 1;
                    continue;
                }
                assert!(answer.messages[0].contains("too many requests are waiting"), "{answer:?}");
                refused += 1;
                // As clients do that go by what they are told, if hastily.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            (granted, refused)
        });
    }
    tokio::time::sleep(ACCEPTED_WITHIN).await;
    let mut waited = Vec::new();
    for index in 0..MODEST {
        let begun = Instant::now();
        let answer = service.earn_as(DOORS[index % 2], Some("other:other"), &request(index)).await;
        assert_eq!(answer.code, 0, "a modest client is never refused: {answer:?}");
        waited.push(begun.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    let (granted, refused) = calls.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(waited.iter().all(|waited| *waited < AT_ONCE), "{waited:?}");
    assert!(granted > 5 * MODEST && refused > GREEDY, "the greedy one: {granted} granted, {refused} refused");
    assert_eq!(service.granted().await, i64::try_from(granted + MODEST).unwrap());
}
