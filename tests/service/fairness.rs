//! A greedy client beside a modest one, while the database is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ENGINE;
use crate::support::*;

/// Number of requests that the greedy client has in flight at any time, which is more than may wait in all.
const GREEDY: usize = 150;
/// Number of queue slots, of which the greedy client gets half.
const MAX_WAITING: &str = "64";
/// Number of consecutive requests of the modest client.
const MODEST: usize = 15;
/// Time for which the test waits for a state that must come.
const SURELY: Duration = Duration::from_mins(2);
/// Duration of a batch.
const SLOW: Duration = Duration::from_millis(30);
/// Number of the greedy client's requests that may be granted during one request of the modest client, on average:
/// twice the number that it has in flight. Most are of the batch in flight and of the modest request's batch.
const PASSED_BY: usize = 2 * GREEDY;

/// Returns a request for a customer of its own, in an organization that takes any customer.
fn request(customer: usize) -> Value {
    json!({
        "customerId": customer + 1,
        "eventTime": NOW_MS,
        "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": format!("event {customer}"), "type": "BULK_ISSUE"},
        "earnedPromotions": [{"promotionId": OTHERS, "earnCount": 1, "earnedFromId": "earning"}]
    })
}

/// Slows down every statement that writes to the wallet.
async fn slow_down(database: &Database) {
    let slow = match ENGINE {
        // SQLite has no function that waits, so this one counts.
        DatabaseKind::Sqlite => {
            "CREATE TABLE tick (number INTEGER);
             CREATE TRIGGER slow BEFORE INSERT ON earned_promotions BEGIN
             DELETE FROM tick WHERE number = (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n
             WHERE n < 1000) SELECT -count(*) FROM n); END"
                .to_owned()
        }
        DatabaseKind::Postgres => format!(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({}); RETURN NULL; END $$;
             CREATE TRIGGER slow AFTER INSERT ON earned_promotions FOR EACH STATEMENT EXECUTE FUNCTION slow()",
            SLOW.as_secs_f64()
        ),
    };
    database.execute(&slow).await;
}

/// The outcomes of the greedy client's requests.
#[derive(Default)]
struct Greedy {
    granted: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

impl Greedy {
    /// Waits until this number of further requests is refused.
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

/// Runs one caller of the greedy client until the end.
async fn ask_on_and_on(caller: TestCaller, index: usize, greedy: Arc<Greedy>) {
    for request_number in 1_000 * (index + 1).. {
        if greedy.over.load(Ordering::Relaxed) {
            return;
        }
        let answer = caller.earn_as(ENDPOINTS[index % 2], Some("greedy:greedy"), &request(request_number)).await;
        if answer.code == 0 {
            greedy.granted.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        assert!(answer.messages[0].contains("too many requests are waiting"), "{answer:?}");
        greedy.refused.fetch_add(1, Ordering::Relaxed);
        // The pause is that of a client that obeys `Retry-After`, though hastily.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Measures the greedy client's grants meanwhile, not time, so the result does not depend on the load of the machine.
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
        // The greedy client's share of the queue is full at this moment.
        greedy.refused_again(1).await;
        let before = greedy.granted.load(Ordering::Relaxed);
        let answer = service.earn_as(ENDPOINTS[index % 2], Some("other:other"), &request(index)).await;
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
