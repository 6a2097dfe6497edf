//! Load that retries, and remembers what it was told: for tests that break things meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::*;

/// Customers that it grants to: few, so that they meet.
const CUSTOMERS: [i64; 6] = [CUSTOMER, 7, 1001, 1002, 1003, 1004];
const PROMOTIONS: [&str; 3] = [TEN_OFF, FREE_DELIVERY, CAPPED];
/// Requests under way at any time.
const WORKERS: u64 = 12;
/// How long one request may be retried.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// How long the load runs: this long, and on for as long as it has not enough to show.
const LOAD: Duration = Duration::from_secs(8);
const AT_MOST: Duration = Duration::from_mins(1);
/// Earnings that have to be acknowledged for a test to say something.
const ENOUGH: usize = 100;

/// The documented catalogue with the customers of this load.
pub fn load_catalogue() -> Value {
    let mut catalogue = catalogue();
    let customers = CUSTOMERS.iter().map(|id| json!({"orgId": ORG, "customerId": id}));
    catalogue["customers"] = customers.collect();
    endless(catalogue)
}

/// The name of an earning: customer, promotion, event.
type Key = (i64, String, String);

/// What was asked of an earning, and what was answered.
#[derive(Debug, Default, Clone)]
struct Told {
    ids: Vec<String>,
    most_asked: i64,
}

/// What all workers were told.
#[derive(Debug, Default)]
pub struct Ledger {
    told: Mutex<BTreeMap<Key, Told>>,
}

impl Ledger {
    fn asks(&self, key: &Key, count: i64) {
        let mut told = self.told.lock().unwrap();
        let told = told.entry(key.clone()).or_default();
        told.most_asked = told.most_asked.max(count);
    }

    /// The same earning has the same ids, first to last, whoever asks and whenever.
    fn hears(&self, key: &Key, ids: Vec<String>) {
        let mut told = self.told.lock().unwrap();
        let told = told.entry(key.clone()).or_default();
        let both = told.ids.len().min(ids.len());
        assert_eq!(told.ids[..both], ids[..both], "{key:?}");
        if ids.len() > told.ids.len() {
            told.ids = ids;
        }
    }

    /// How many earnings were acknowledged.
    fn acknowledged(&self) -> usize {
        self.told.lock().unwrap().values().filter(|told| !told.ids.is_empty()).count()
    }

    /// Compares it with the wallet: everything that was answered is there, and nothing beyond what was asked.
    pub async fn compare(&self, database: &Database) {
        let rows = database
            .rows("SELECT customer_id, promotion_id, event_id, earn_id FROM earned_promotions ORDER BY ordinal")
            .await;
        let mut held = BTreeMap::<Key, Vec<String>>::new();
        for row in &rows {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let key = (row["customer_id"].as_i64().unwrap(), text("promotion_id"), text("event_id"));
            held.entry(key).or_default().push(text("earn_id"));
        }
        let told = self.told.lock().unwrap();
        for (key, told) in &*told {
            let held = held.get(key).cloned().unwrap_or_default();
            assert!(held.starts_with(&told.ids), "{key:?}: told {told:?}, held {held:?}");
            assert!(i64::try_from(held.len()).unwrap() <= told.most_asked, "{key:?}: told {told:?}, held {held:?}");
        }
        let (asked, found) = (told.keys().collect::<BTreeSet<_>>(), held.keys().collect::<BTreeSet<_>>());
        assert!(found.is_subset(&asked), "nobody asked for these");
        drop(told);
        assert!(self.acknowledged() > ENOUGH, "{} earnings", self.acknowledged());
    }
}

/// Calls servers at random until its time is over.
pub async fn run(callers: Vec<Caller>) -> Arc<Ledger> {
    let ledger = Arc::new(Ledger::default());
    let begun = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let (callers, ledger) = (callers.clone(), Arc::clone(&ledger));
        workers.spawn(async move {
            let mut number = 0_u64;
            while begun.elapsed() < LOAD || ledger.acknowledged() <= ENOUGH && begun.elapsed() < AT_MOST {
                number += 1;
                // An event of its own, or one that others ask for as well; new, or asked for before.
                let (whose, which) = (random(3), number.saturating_sub(random(4)));
                let event = if whose == 0 { format!("shared {which}") } else { format!("{worker} {which}") };
                ask(&callers, &ledger, &event).await;
            }
        });
    }
    workers.join_all().await;
    ledger
}

fn random(below: u64) -> u64 {
    rand::random_range(0..below)
}

/// One request, sent again, to whichever server, until one answers it.
async fn ask(callers: &[Caller], ledger: &Ledger, event: &str) {
    let pick = |count: usize| usize::try_from(random(count as u64)).unwrap();
    let (customer, promotion) = (CUSTOMERS[pick(CUSTOMERS.len())], PROMOTIONS[pick(PROMOTIONS.len())]);
    let count = 1 + i64::try_from(random(4)).unwrap();
    let mut request = one_entry(event, promotion, count);
    request["customerId"] = customer.into();
    let key = (customer, promotion.to_owned(), event.to_owned());
    ledger.asks(&key, count);
    let answered = async {
        loop {
            let caller = &callers[pick(callers.len())];
            match caller.try_earn(DOORS[pick(2)], &request).await {
                Some(answer) if answer.code == 0 => return answer,
                // Whatever is refused says that another try may help.
                Some(answer) => assert!(matches!(answer.status, 503 | 14), "{answer:?}"),
                None => {}
            }
            tokio::time::sleep(Duration::from_millis(5 + random(30))).await;
        }
    };
    let answer =
        tokio::time::timeout(ANSWERED_WITHIN, answered).await.unwrap_or_else(|_| panic!("no answer: {request}"));
    ledger.hears(&key, earn_ids(&answer.body));
}
