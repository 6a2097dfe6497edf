//! Promotions that are switched on and off under load, by calls and by imports, and an audience that customers join and
//! leave: a change decides every call that is sent after it was answered, whatever the process.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::target::LoadTarget;
use crate::load::{ANSWERED_WITHIN, CUSTOMERS, answered, pick, random, try_once};
use crate::server_process::run;
use crate::support::*;
use crate::terms;

/// Number of workers that earn from each.
const EARNERS: u64 = 3;

/// Least number of calls that are compared with the promotion on, and with it off.
const ENOUGH: usize = 6;
/// Maximum time after the soak, when nothing fails any more, until there are enough.
const ENOUGH_WITHIN: Duration = Duration::from_mins(1);

/// The way in which a promotion is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchKind {
    /// Switching by `ActivatePromotion` and `DeactivatePromotion`.
    Calls,
    /// Switching by these calls, and by imports.
    Imports,
    /// Switching by adding every customer to the audience, and removing them.
    Audience,
}

impl SwitchKind {
    pub const ALL: [Self; 3] = [Self::Calls, Self::Imports, Self::Audience];

    fn promotion(self) -> &'static str {
        match self {
            Self::Calls => "facade0000000000000000a1",
            Self::Imports => "facade0000000000000000a2",
            Self::Audience => "facade0000000000000000a3",
        }
    }

    /// Returns the error of an entry while the promotion is off.
    fn refusal(self) -> i64 {
        if self == Self::Audience { 715 } else { 709 }
    }

    /// Returns the promotion's record of a file.
    pub fn record(self) -> Value {
        let mut record = json!({"id": self.promotion(), "orgId": ORG, "name": format!("Switched: {self:?}"),
            "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64});
        if self == Self::Audience {
            terms::set(&mut record, &terms::limited(true));
            record["audience"] = json!(CUSTOMERS);
        }
        record
    }

    /// Switches the promotion. Returns when the change is answered.
    async fn switch(self, target: &LoadTarget, on: bool) {
        let id = self.promotion();
        if self == Self::Imports && random(2) == 0 {
            return self.import(target.url.clone(), on).await;
        }
        let (method, request) = match self {
            Self::Audience => {
                ("ChangeAudience", json!({"promotionId": id, (if on { "add" } else { "remove" }): CUSTOMERS}))
            }
            _ if on => ("ActivatePromotion", json!({"promotionId": id})),
            _ => ("DeactivatePromotion", json!({"promotionId": id})),
        };
        let answer = answered(&target.callers, Some(&format!("CatalogService/{method}")), &request).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    async fn import(self, url: String, on: bool) {
        let mut record = self.record();
        record["active"] = on.into();
        let imported = tokio::task::spawn_blocking(move || {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("switched.json");
            std::fs::write(&file, json!({"promotions": [record]}).to_string()).unwrap();
            let arguments = ["import", "--database-url", &url, file.to_str().unwrap()];
            let tries = (0..200).find(|_| {
                let imported = run(Path::new("."), &arguments).status.success();
                if !imported {
                    std::thread::sleep(Duration::from_millis(100));
                }
                imported
            });
            assert!(tries.is_some(), "no import goes through");
        });
        imported.await.unwrap();
    }
}

/// A change that takes effect at some moment between these two.
#[derive(Debug, Clone, Copy)]
struct SwitchTime {
    on: bool,
    sent: Instant,
    answered: Instant,
}

/// The outcome of an earning, with the attempt that was answered, and the time at which the first one was sent.
#[derive(Debug)]
struct EarningOutcome {
    event: String,
    first_sent: Instant,
    sent: Instant,
    answered: Instant,
    granted: Option<String>,
}

/// A promotion that is switched.
#[derive(Debug)]
pub struct Switched {
    kind: SwitchKind,
    changes: Mutex<Vec<SwitchTime>>,
    told: Mutex<Vec<EarningOutcome>>,
}

impl Switched {
    /// Switches one promotion and earns from it until `until`, and until there is enough to compare. Returns the outcomes.
    pub async fn run(kind: SwitchKind, target: LoadTarget, until: Instant) -> Arc<Self> {
        let now = Instant::now();
        let changes = Mutex::new(vec![SwitchTime { on: true, sent: now, answered: now }]);
        let this = Arc::new(Self { kind, changes, told: Mutex::default() });
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..EARNERS {
            let (this, target) = (Arc::clone(&this), target.clone());
            tasks.spawn(async move {
                let mut number = 0;
                while this.goes_on(until) {
                    this.earn(&target, &format!("{kind:?} {worker} {number}")).await;
                    number += 1;
                }
            });
        }
        let switching = Arc::clone(&this);
        tasks.spawn(async move {
            let mut on = true;
            while switching.goes_on(until) {
                tokio::time::sleep(Duration::from_millis(50 + random(400))).await;
                on = !on;
                let sent = Instant::now();
                kind.switch(&target, on).await;
                let answered = Instant::now();
                switching.changes.lock().unwrap().push(SwitchTime { on, sent, answered });
            }
        });
        tasks.join_all().await;
        this
    }

    /// Earns one, retrying until it is answered.
    async fn earn(&self, target: &LoadTarget, event: &str) {
        let mut request = one_entry(event, self.kind.promotion(), 1);
        request["customerId"] = CUSTOMERS[pick(CUSTOMERS.len())].into();
        let first_sent = Instant::now();
        while first_sent.elapsed() < ANSWERED_WITHIN {
            let sent = Instant::now();
            let answer = try_once(&target.callers, None, &request).await;
            let answered = Instant::now();
            match answer {
                Some(answer) if answer.code == 0 => {
                    let granted = earn_ids(&answer.body).pop();
                    let entry = &answer.body["data"][0];
                    let refused = entry["errorDetails"]["errorCode"] == self.kind.refusal();
                    assert_eq!(granted.is_none(), refused, "{entry}");
                    let told = EarningOutcome { event: event.to_owned(), first_sent, sent, answered, granted };
                    return self.told.lock().unwrap().push(told);
                }
                Some(answer) => assert!(matches!(answer.status, 503 | 14), "{answer:?}"),
                None => {}
            }
            tokio::time::sleep(Duration::from_millis(5 + random(30))).await;
        }
        panic!("no answer: {request}");
    }

    /// Returns the state of the promotion, if it was the same from one moment to the other.
    fn state_during(changes: &[SwitchTime], from: Instant, until: Instant) -> Option<bool> {
        let last = changes.iter().rposition(|change| change.answered < from)?;
        let next = changes.get(last + 1);
        next.is_none_or(|next| until < next.sent).then_some(changes[last].on)
    }

    /// Returns true if a call had to be granted, and false if it had to fail, where the changes tell.
    fn due(changes: &[SwitchTime], told: &EarningOutcome) -> Option<bool> {
        // Any attempt may be the granted one, so a call must fail only if the promotion was off from its first attempt on.
        let refused = Self::state_during(changes, told.first_sent, told.answered) == Some(false);
        let granted = Self::state_during(changes, told.sent, told.answered) == Some(true);
        (refused || granted).then_some(granted)
    }

    /// Returns the numbers of calls that had to be granted, and that had to fail.
    fn compared(&self) -> [usize; 2] {
        let (changes, told) = (self.changes.lock().unwrap(), self.told.lock().unwrap());
        [true, false].map(|due| told.iter().filter(|told| Self::due(&changes, told) == Some(due)).count())
    }

    fn goes_on(&self, until: Instant) -> bool {
        let now = Instant::now();
        now < until || now < until + ENOUGH_WITHIN && self.compared().iter().any(|compared| *compared < ENOUGH)
    }

    /// Compares the outcomes with the changes and with the rows of the wallet.
    pub fn compare(&self, rows: &[Value]) {
        let [on, off] = self.compared();
        let changes = self.changes.lock().unwrap();
        let told = self.told.lock().unwrap();
        let is_wrong =
            |told: &&EarningOutcome| Self::due(&changes, told).is_some_and(|granted| granted != told.granted.is_some());
        let wrong: Vec<_> = told.iter().filter(is_wrong).collect();
        assert!(
            wrong.is_empty(),
            "{:?}: not by the changes that were answered before: {wrong:?}; {changes:?}",
            self.kind
        );
        let of_it = rows.iter().filter(|row| row["promotion_id"] == self.kind.promotion());
        let held: Vec<_> = of_it.map(|row| (row["event_id"].as_str(), row["earn_id"].as_str())).collect();
        let events: BTreeSet<_> = held.iter().map(|(event, _)| event).collect();
        assert_eq!(events.len(), held.len(), "{:?}: granted twice", self.kind);
        for told in told.iter().filter(|told| told.granted.is_some()) {
            assert!(held.contains(&(Some(&told.event), told.granted.as_deref())), "lost: {told:?}");
        }
        println!("{:?}: switched {} times; told {on} times while it was on, {off} while off", self.kind, changes.len());
        assert!(on >= ENOUGH && off >= ENOUGH, "{:?}: {on} while it was on, {off} while off", self.kind);
    }
}
