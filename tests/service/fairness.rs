//! A greedy client beside a modest one, while the database is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ENGINE;
use crate::support::*;

/// Requests that the greedy client has under way at any time: more than may wait at all.
const GREEDY: usize = 150;
/// Half of these are the greedy client's.
const MAX_WAITING: &str = "64";
/// Requests of the modest client, one after the other.
const MODEST: usize = 15;
/// How long the test waits for a state that must come.
const SURELY: Duration = Duration::from_mins(2);
/// How long a batch takes.
const SLOW: Duration = Duration::from_millis(30);
/// Requests of the greedy client that may be granted while one of the modest client is under way, in the mean: two for each
/// that it has under way itself. Most are of the batch in flight and of the one that the modest request is in.
const PASSED_BY: usize = 2 * GREEDY;

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

/// What became of the greedy client's requests.
#[derive(Default)]
struct Greedy {
    granted: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

impl Greedy {
    /// Waits until so many more of its requests are refused.
    async fn refused_again(&self, times: usize) {
        let refused = || self.refused.load(Ordering::Relaxed);
        let enough = refused() + times;
        let full = async {
            while refused() < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SURELY, full).await.expect("it is refused what is too much");
    }
}

/// One of the greedy client's callers, until it is over.
async fn ask_on_and_on(caller: Caller, index: usize, greedy: Arc<Greedy>) {
    for request_number in 1_000 * (index + 1).. {
        if greedy.over.load(Ordering::Relaxed) {
            return;
        }
        let answer = caller.earn_as(DOORS[index % 2], Some("greedy:greedy"), &request(request_number)).await;
        if answer.code == 0 {
            greedy.granted.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        assert!(answer.messages[0].contains("too many requests are waiting"), "{answer:?}");
        greedy.refused.fetch_add(1, Ordering::Relaxed);
        // As clients do that go by what they are told, if hastily.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Measured in what the greedy client is granted meanwhile, not in time: that holds however busy the machine is.
#[tokio::test(flavor = "multi_thread")]
async fn a_greedy_client_is_refused_what_is_too_much_and_a_modest_one_beside_it_never_waits_for_it() {
    let mut catalog = catalog();
    let greedy = json!({"username": "greedy", "password": "greedy", "orgId": 3});
    catalog["apiClients"].as_array_mut().unwrap().push(greedy);
    let service = Service::start_with(&catalog, &["--max-waiting", MAX_WAITING]).await;
    slow_down(service.database()).await;
    let greedy = Arc::new(Greedy::default());
    let mut calls = JoinSet::new();
    for index in 0..GREEDY {
        calls.spawn(ask_on_and_on(service.caller(), index, Arc::clone(&greedy)));
    }
    greedy.refused_again(GREEDY).await;
    let mut passed_by = Vec::new();
    for index in 0..MODEST {
        // Its share of the queue is full at this moment.
        greedy.refused_again(1).await;
        let before = greedy.granted.load(Ordering::Relaxed);
        let answer = service.earn_as(DOORS[index % 2], Some("other:other"), &request(index)).await;
        assert_eq!(answer.code, 0, "a modest client is never refused: {answer:?}");
        passed_by.push(greedy.granted.load(Ordering::Relaxed) - before);
    }
    greedy.over.store(true, Ordering::Relaxed);
    calls.join_all().await;
    let total: usize = passed_by.iter().sum();
    assert!(total < MODEST * PASSED_BY, "granted to the greedy one while the modest one waited: {passed_by:?}");
    assert!(total >= MODEST, "and it is served, too: {passed_by:?}");
    let granted = greedy.granted.load(Ordering::Relaxed) + MODEST;
    assert_eq!(service.granted().await, i64::try_from(granted).unwrap());
}
