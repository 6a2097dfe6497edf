//! A change of the catalog takes effect in every server at once: it decides every call that is sent after it was
//! answered, whatever the server; and it is answered soon, however much is granted meanwhile.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::until_answered;
use crate::server_process::{Process, verify};
use crate::support::*;

/// Number of promotions that are switched at the same time, and number of switches of each.
const PROMOTIONS: usize = 4;
const TRIES: usize = 250;
/// Longest time of a change under load. A change takes a fraction of a second; the limit allows for a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const UNDER_LOAD_FOR: Duration = Duration::from_secs(10);
const WORKERS: usize = 16;

fn promotion_id(number: usize) -> String {
    format!("{:024x}", 0xa7_0000 + number)
}

fn catalog() -> Value {
    let promotion = |number| {
        let id = promotion_id(number);
        json!({"id": id, "orgId": ORG, "name": id, "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64})
    };
    json!({
        "orgs": [{"id": ORG, "name": "Switched", "acceptUnknownCustomers": true}],
        "promotions": (0..PROMOTIONS).map(promotion).collect::<Vec<_>>(),
        "apiClients": [{"username": "demo", "password": "demo", "orgId": ORG}]
    })
}

fn request(customer: usize, event: &str, promotion: &str) -> Value {
    let mut request = one_entry(event, promotion, 1);
    request["customerId"] = (1 + customer).into();
    request
}

const OFF: Option<&str> = Some("CatalogService/DeactivatePromotion");
const ON: Option<&str> = Some("CatalogService/ActivatePromotion");

#[tokio::test(flavor = "multi_thread")]
async fn of_1_000_deactivations_each_takes_effect_in_the_other_server_at_once() {
    let first = Service::start_with(&catalog(), &[]).await;
    let second = first.beside().await;
    let mut tasks = tokio::task::JoinSet::new();
    for promotion in 0..PROMOTIONS {
        let callers = [first.caller(), second.caller()];
        tasks.spawn(async move {
            let id = promotion_id(promotion);
            let named = json!({"promotionId": id});
            let mut exceptions = Vec::new();
            for round in 0..TRIES {
                let (here, there) = (&callers[round % 2], &callers[(round + 1) % 2]);
                let request = request(promotion * TRIES + round, "event", &id);
                until_answered(here, OFF, &named).await;
                let off = until_answered(there, None, &request).await;
                until_answered(here, ON, &named).await;
                let on = until_answered(there, None, &request).await;
                if (earn_ids(&off.body).len(), earn_ids(&on.body).len()) != (0, 1) {
                    exceptions.push((round, off, on));
                }
            }
            exceptions
        });
    }
    let exceptions: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(exceptions.is_empty(), "{} of 1,000: {:?}", exceptions.len(), exceptions[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivation_is_answered_soon_while_every_server_grants_as_fast_as_it_can() {
    let database = Database::new().await;
    import(&database, &catalog()).await.unwrap();
    let options = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
    let processes = [(); 2].map(|()| Process::start(Path::new("."), &options));
    let (over, granted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let (caller, over, granted) = (processes[worker % 2].caller.clone(), Arc::clone(&over), Arc::clone(&granted));
        workers.spawn(async move {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // The last one is switched; the others keep every worker busy.
                let promotion = promotion_id(round % PROMOTIONS);
                let request = request(worker, &format!("event {round}"), &promotion);
                let answer = until_answered(&caller, None, &request).await;
                granted.fetch_add(earn_ids(&answer.body).len() as u64, Ordering::Relaxed);
            }
        });
    }
    let id = promotion_id(PROMOTIONS - 1);
    let named = json!({"promotionId": id});
    let (begun, mut worst, mut changes) = (Instant::now(), Duration::ZERO, 0);
    while begun.elapsed() < UNDER_LOAD_FOR {
        let (here, there) = (&processes[changes % 2].caller, &processes[(changes + 1) % 2].caller);
        let sent = Instant::now();
        until_answered(here, OFF, &named).await;
        worst = worst.max(sent.elapsed());
        let late = request(10_000 + changes, "late", &id);
        let late = until_answered(there, None, &late).await;
        assert_eq!(earn_ids(&late.body).len(), 0, "{late:?}");
        until_answered(there, ON, &named).await;
        changes += 1;
    }
    over.store(true, Ordering::Relaxed);
    workers.join_all().await;
    let granted = granted.load(Ordering::Relaxed);
    let told = format!("{changes} deactivations beside {granted} grants; the slowest took {} ms", worst.as_millis());
    let _ = writeln!(std::io::stderr(), "{told}");
    assert!(changes >= 5 && granted > 100, "{changes} changes, {granted} granted");
    assert!(worst < ANSWERED_WITHIN, "{worst:?}");
    verify(database.url());
}
