//! Promotions whose cap is set, lowered and raised under load: a grant to a call that is sent after a cap was answered
//! is within it, whatever the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::target::LoadTarget;
use crate::catalog::promotion;
use crate::load::{CUSTOMERS, OF_OTHERS, answered, pick, random};
use crate::support::*;
use crate::terms;

/// Number of workers that earn.
const EARNERS: u64 = 3;
/// Number of customers that earn: few, so that each reaches its cap.
const EARNING: usize = 3;
/// The consecutive caps of each promotion, after it had none.
const CAPS: [i64; 4] = [6, 3, 5, 2];

/// A cap, with the time from which it may be effective and the time at which it was answered.
#[derive(Debug, Clone, Copy)]
struct Cap {
    cap: i64,
    answered: Instant,
}

/// An earning that was asked for.
#[derive(Debug)]
struct AskedEarning {
    promotion: String,
    event: String,
    first_sent: Instant,
}

/// The promotions.
#[derive(Debug, Default)]
pub struct Recapped {
    caps: Mutex<BTreeMap<String, Vec<Cap>>>,
    asked: Mutex<Vec<AskedEarning>>,
    /// The promotion that is earned.
    current: Mutex<Option<String>>,
}

impl Recapped {
    /// Creates one promotion after the other and earns from them until `until`. Returns the requested earnings.
    pub async fn run(target: LoadTarget, until: Instant) -> Arc<Self> {
        let this = Arc::new(Self::default());
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..EARNERS {
            let (this, target) = (Arc::clone(&this), target.clone());
            tasks.spawn(async move {
                let mut number = 0;
                while Instant::now() < until {
                    this.earn(&target, &format!("capped {worker} {number}")).await;
                    number += 1;
                }
            });
        }
        let changing = Arc::clone(&this);
        tasks.spawn(async move {
            let mut number = 0;
            while Instant::now() < until {
                changing.live(&target, &format!("{OF_OTHERS}{number:018}")).await;
                number += 1;
            }
        });
        tasks.join_all().await;
        this
    }

    /// Creates a promotion, changes its cap repeatedly, and deactivates it.
    async fn live(&self, target: &LoadTarget, id: &str) {
        let change = async |method: &str, cap: Option<i64>| {
            let mut changed = promotion(id);
            changed["id"] = id.into();
            if let Some(cap) = cap {
                terms::set(&mut changed, &terms::cap(cap));
            }
            let request = match method {
                "CreatePromotion" => json!({"promotion": changed}),
                "ReplacePromotion" => json!({"promotionId": id, "promotion": changed}),
                _ => json!({"promotionId": id}),
            };
            let answer = answered(&target.callers, Some(&format!("CatalogService/{method}")), &request).await;
            assert_eq!(answer.code, 0, "{method} {request}: {answer:?}");
        };
        change("CreatePromotion", None).await;
        self.caps.lock().unwrap().insert(id.to_owned(), Vec::new());
        *self.current.lock().unwrap() = Some(id.to_owned());
        for cap in CAPS {
            tokio::time::sleep(Duration::from_millis(50 + random(400))).await;
            change("ReplacePromotion", Some(cap)).await;
            let cap = Cap { cap, answered: Instant::now() };
            self.caps.lock().unwrap().get_mut(id).unwrap().push(cap);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        change("DeactivatePromotion", None).await;
    }

    async fn earn(&self, target: &LoadTarget, event: &str) {
        let Some(promotion) = self.current.lock().unwrap().clone() else {
            return tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let mut request = one_entry(event, &promotion, 1);
        request["customerId"] = CUSTOMERS[pick(EARNING)].into();
        let asked = AskedEarning { promotion, event: event.to_owned(), first_sent: Instant::now() };
        self.asked.lock().unwrap().push(asked);
        answered(&target.callers, None, &request).await;
    }

    /// Compares the requested earnings with the rows of the wallet.
    pub fn compare(&self, rows: &[Value]) {
        let mut held = BTreeMap::<_, usize>::new();
        let mut of_event = BTreeMap::new();
        for row in rows {
            let wallet = (row["promotion_id"].as_str().unwrap(), row["customer_id"].as_i64().unwrap());
            *held.entry(wallet).or_default() += 1;
            of_event.insert((row["promotion_id"].as_str().unwrap(), row["event_id"].as_str().unwrap()), wallet);
        }
        let (caps, mut compared) = (self.caps.lock().unwrap(), 0);
        for asked in &*self.asked.lock().unwrap() {
            let Some(wallet) = of_event.get(&(&*asked.promotion, &*asked.event)) else { continue };
            let caps = &caps[&asked.promotion];
            let Some(set) = caps.iter().rposition(|cap| cap.answered < asked.first_sent) else { continue };
            // Nothing is revoked, and any later cap may have allowed more.
            let most = caps[set..].iter().map(|cap| cap.cap).max().unwrap_or_default();
            compared += 1;
            assert!(
                i64::try_from(held[wallet]).unwrap() <= most,
                "{wallet:?} holds {}, though {asked:?} was granted under a cap of {most}: {caps:?}",
                held[wallet]
            );
        }
        println!("{} promotions had their caps changed; {compared} grants under one", caps.len());
        assert!(compared > 0, "something was granted under a cap");
    }
}
