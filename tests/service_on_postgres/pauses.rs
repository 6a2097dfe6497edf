//! A server that is paused between decision and write, or whose statement is, while another one changes the catalog and
//! grants by the new rules: nothing is granted by the old rules, however long the pause.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};

use crate::load::until_answered;
use crate::rpcs::{Rpc, try_call};
use crate::server_process::{Process, clock_library, verify};
use crate::support::*;
use crate::terms;

/// Number of calls in flight at the paused server.
const WORKERS: usize = 12;
const ROUNDS: usize = 8;
/// Number asked for of the promotion that gets a cap, and the cap.
const ASKED: i64 = 5;
const CAP: i64 = 2;
const EARNED_FIRST_BY: i64 = 1;

/// The two promotions of a round: one that is deactivated, and one that gets a cap.
#[derive(Debug, Clone)]
struct Pair {
    ends: String,
    kept: String,
}

impl Pair {
    fn of(round: usize) -> Self {
        Self { ends: format!("{:024x}", 0xe0d5_0000 + round), kept: format!("{:024x}", 0xca90_0000 + round) }
    }

    /// Returns the request that earns both for this customer.
    fn request(&self, customer: i64, event: &str) -> Value {
        let mut request = one_entry(event, &self.ends, 1);
        request["customerId"] = customer.into();
        let kept = json!({"promotionId": self.kept, "earnCount": ASKED, "earnedFromId": "earning"});
        request["earnedPromotions"].as_array_mut().unwrap().push(kept);
        request
    }

    fn capped(&self, cap: i64) -> Value {
        terms::with(promotion(&self.kept), &terms::cap(cap))
    }
}

fn promotion(id: &str) -> Value {
    json!({"id": id, "name": id, "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64})
}

/// A call to earn both.
#[derive(Debug, Clone)]
struct EarningCall {
    customer: i64,
    sent: Instant,
    /// Number granted of each, and their ids.
    granted: Option<([usize; 2], Vec<String>)>,
}

/// Times at which the changes were answered.
#[derive(Debug, Clone, Copy)]
struct ChangeTimes {
    ended: Instant,
    capped: Instant,
}

struct PausedServer {
    database: Database,
    /// The server that is paused.
    a: Process,
    b: Process,
    customers: AtomicI64,
}

impl PausedServer {
    /// Starts two servers. The promotion that gets a cap begins with `cap_before`.
    async fn start(rounds: usize, cap_before: Option<i64>, options: &[&str]) -> Self {
        let database = Database::new().await;
        let pairs: Vec<_> = (0..rounds).map(Pair::of).collect();
        let mut promotions = Vec::new();
        for pair in &pairs {
            promotions.push(promotion(&pair.ends));
            promotions.push(cap_before.map_or_else(|| promotion(&pair.kept), |cap| pair.capped(cap)));
        }
        for promotion in &mut promotions {
            promotion["orgId"] = ORG.into();
        }
        let file = json!({
            "orgs": [{"id": ORG, "name": "Paused", "acceptUnknownCustomers": true}],
            "promotions": promotions,
            "apiClients": [{"username": "demo", "password": "demo", "orgId": ORG}]
        });
        import(&database, &file).await.unwrap();
        let fixed = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
        let start = || Process::start(Path::new("."), &[&fixed[..], options].concat());
        let (a, b) = (start(), start());
        // The first earning of a promotion is itself a change of the catalog.
        for pair in &pairs {
            let answer = a.caller.earn(Endpoint::Grpc, &pair.request(EARNED_FIRST_BY, "first")).await;
            assert_eq!(answer.code, 0, "{answer:?}");
            b.caller.earn(Endpoint::Grpc, &pair.request(EARNED_FIRST_BY, "first")).await;
        }
        Self { database, a, b, customers: AtomicI64::new(1_000) }
    }

    fn next_customer(&self) -> i64 {
        self.customers.fetch_add(1, Ordering::Relaxed)
    }

    /// Deactivates one promotion and gives the other its cap, through the server that continues.
    async fn change(&self, pair: &Pair) -> ChangeTimes {
        let b = &self.b.caller;
        let named = json!({"promotionId": pair.ends});
        until_answered(b, Some("CatalogService/DeactivatePromotion"), &named).await;
        let ended = Instant::now();
        let request = json!({"promotionId": pair.kept, "promotion": pair.capped(CAP)});
        until_answered(b, Some("CatalogService/ReplacePromotion"), &request).await;
        ChangeTimes { ended, capped: Instant::now() }
    }

    /// Earns under the cap through the server that continues. Returns the number granted.
    async fn grant_elsewhere(&self, pair: &Pair, customer: i64) -> usize {
        let request = pair.request(customer, "elsewhere");
        let answer = until_answered(&self.b.caller, None, &request).await;
        assert_eq!(answer.body["data"][0]["successfulEarnCount"], 0, "switched off: {answer:?}");
        let granted = earn_ids(&answer.body).len();
        assert!(granted <= usize::try_from(CAP).unwrap(), "{answer:?}");
        granted
    }

    async fn earned(&self) -> Vec<Value> {
        let sql = "SELECT customer_id, promotion_id, earn_id, earned_status FROM earned_promotions";
        self.database.rows(sql).await
    }

    /// Asserts that nothing was granted by the old rules to a call that was sent after the new ones were answered, and
    /// that every acknowledged grant exists.
    async fn check_calls(&self, changed: ChangeTimes, calls: &[EarningCall]) {
        let rows = self.earned().await;
        let cap = usize::try_from(CAP).unwrap();
        for call in calls {
            let Some((granted, ids)) = &call.granted else { continue };
            assert!(granted[0] == 0 || call.sent < changed.ended, "granted when it was off: {call:?}, {changed:?}");
            assert!(granted[1] <= cap || call.sent < changed.capped, "granted past its cap: {call:?}, {changed:?}");
            let there = |id: &String| rows.iter().any(|row| row["earn_id"] == id.as_str());
            assert!(ids.iter().all(there), "not everything is there: {call:?}");
        }
    }

    /// Asserts that nothing was granted by the old rules beside these grants of customers by the new ones.
    async fn check_grants_elsewhere(&self, pair: &Pair, elsewhere: &[(i64, usize)]) {
        let rows = self.earned().await;
        let cap = usize::try_from(CAP).unwrap();
        for (customer, granted) in elsewhere {
            let held = rows.iter().filter(|row| {
                row["customer_id"] == *customer
                    && row["promotion_id"] == pair.kept.as_str()
                    && row["earned_status"] != "REVOKED"
            });
            let held = held.count();
            assert!(held <= cap || *granted == 0, "customer {customer} holds {held}, {granted} of them under the cap");
        }
    }
}

/// Sends a call to earn both, and records its time and its outcome. Returns the earn ids.
async fn earn_both(caller: &TestCaller, pair: &Pair, customer: i64, calls: &Mutex<Vec<EarningCall>>) -> Vec<String> {
    // The event is new, because a repeat returns the recorded grants.
    let (number, event) = {
        let mut calls = calls.lock().unwrap();
        let before = calls.iter().filter(|call| call.customer == customer).count();
        calls.push(EarningCall { customer, sent: Instant::now(), granted: None });
        (calls.len() - 1, format!("event {before}"))
    };
    let endpoint = ENDPOINTS[number % 2];
    let Some(answer) = caller.try_earn(endpoint, &pair.request(customer, &event)).await else { return vec![] };
    if answer.code != 0 {
        assert!(matches!(answer.status, 503 | 14), "{answer:?}");
        return vec![];
    }
    let count = |entry: usize| answer.body["data"][entry]["successfulEarnCount"].as_u64().unwrap().try_into().unwrap();
    let ids = earn_ids(&answer.body);
    calls.lock().unwrap()[number].granted = Some(([count(0), count(1)], ids.clone()));
    ids
}

/// Runs one round: load on a server that is paused at some moment, while the other one changes the catalog and grants.
async fn pause_once(world: &Arc<PausedServer>, pair: &Pair) -> (usize, usize) {
    let (calls, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let (world, pair, calls, over) = (Arc::clone(world), pair.clone(), Arc::clone(&calls), Arc::clone(&over));
        workers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let customer = world.next_customer();
                let ids = earn_both(&world.a.caller, &pair, customer, &calls).await;
                // Some workers revoke, which is a transaction of several statements.
                if let (0..3, Some(last)) = (worker, ids.last()) {
                    let details = json!([{"promotionId": pair.kept, "earnIds": [last]}]);
                    let request = json!({"customerId": customer, "earnRevokeDetails": details});
                    let method = "WalletService/RevokeEarnedPromotions";
                    try_call(&world.a.caller, Endpoint::Grpc, Rpc::of_demo(method), &request).await;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(rand::random_range(100..400))).await;
    world.a.signal("STOP");
    let changed = world.change(pair).await;
    let flying: Vec<_> = {
        let calls = calls.lock().unwrap();
        calls.iter().filter(|call| call.granted.is_none()).map(|call| call.customer).collect()
    };
    let mut elsewhere = Vec::new();
    for customer in &flying {
        elsewhere.push((*customer, world.grant_elsewhere(pair, *customer).await));
    }
    // These calls reach the server when it continues.
    let late: Vec<_> = (0..4).map(|_| world.next_customer()).collect();
    let mut sent = tokio::task::JoinSet::new();
    for customer in late.into_iter().chain(flying.iter().copied().take(4)) {
        let (world, pair, calls) = (Arc::clone(world), pair.clone(), Arc::clone(&calls));
        sent.spawn(async move { earn_both(&world.a.caller, &pair, customer, &calls).await });
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.a.signal("CONT");
    sent.join_all().await;
    over.store(true, Ordering::Relaxed);
    workers.join_all().await;
    let calls = calls.lock().unwrap().clone();
    world.check_calls(changed, &calls).await;
    world.check_grants_elsewhere(pair, &elsewhere).await;
    (calls.iter().filter(|call| call.granted.is_some()).count(), flying.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_paused_at_any_moment_grants_nothing_by_rules_that_have_changed() {
    // An open transaction of a paused server holds the catalog until the database ends the transaction.
    let options = ["--statement-timeout-ms", "1500"];
    let world = Arc::new(PausedServer::start(ROUNDS, None, &options).await);
    let (mut acknowledged, mut flying) = (0, 0);
    for round in 0..ROUNDS {
        let counts = pause_once(&world, &Pair::of(round)).await;
        acknowledged += counts.0;
        flying += counts.1;
    }
    assert!(acknowledged > 10 * ROUNDS && flying > ROUNDS, "{acknowledged} acknowledged, {flying} paused");
    verify(world.database.url());
}

/// A lock that blocks a statement that writes.
#[derive(Debug, Clone, Copy)]
enum BlockingLock {
    Table,
    EarningKey,
    Count,
}

impl BlockingLock {
    fn sql(self, pair: &Pair, customer: i64) -> String {
        let ends = &pair.ends;
        match self {
            Self::Table => "LOCK TABLE earned_promotions IN SHARE ROW EXCLUSIVE MODE".to_owned(),
            Self::EarningKey => format!(
                "INSERT INTO earned_promotions (org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id,
                     ordinal, earned_from_type, event_time_ms, valid_till_ms, granted_at_ms)
                 VALUES ({ORG}, {customer}, '{customer:024x}', '{ends}', 'event 0', 'earning', 1, 'BULK_ISSUE', 1, 1, 1)"
            ),
            Self::Count => format!(
                "INSERT INTO cap_usage (org_id, customer_id, promotion_id, used, cap, cap_period, last_change)
                 VALUES ({ORG}, {customer}, '{}', 0, 5, 0, 0)",
                pair.kept
            ),
        }
    }
}

/// Blocks a statement of a server by a lock while another one changes the catalog and grants.
async fn hold_once(world: &Arc<PausedServer>, pair: &Pair, held: BlockingLock) -> usize {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let customer = world.next_customer();
    let session = sea_orm::Database::connect(world.database.url()).await.unwrap();
    let transaction = session.begin().await.unwrap();
    transaction.execute_unprepared(&held.sql(pair, customer)).await.unwrap();
    let waiting = {
        let (world, pair, calls) = (Arc::clone(world), pair.clone(), Arc::clone(&calls));
        tokio::spawn(async move { earn_both(&world.a.caller, &pair, customer, &calls).await })
    };
    let waits = async {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while world.database.count(sql).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("the statement waits");
    let changing = {
        let (world, pair) = (Arc::clone(world), pair.clone());
        tokio::spawn(async move { (world.change(&pair).await, world.grant_elsewhere(&pair, customer).await) })
    };
    tokio::time::sleep(Duration::from_millis(rand::random_range(100..1_200))).await;
    transaction.rollback().await.unwrap();
    let (changed, granted) = changing.await.unwrap();
    waiting.await.unwrap();
    // The server whose statement waited uses the new rules as well.
    let late = world.next_customer();
    earn_both(&world.a.caller, pair, late, &calls).await;
    let calls = calls.lock().unwrap().clone();
    assert!(calls[1].granted.is_some(), "{calls:?}");
    world.check_calls(changed, &calls).await;
    world.check_grants_elsewhere(pair, &[(customer, granted)]).await;
    granted
}

/// Number of times that the other server is given the chance to be first: it was in five of six.
const MOST_LOOKS: u32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_for_a_lock_writes_nothing_by_rules_that_have_changed() {
    // The waiting statement has a longer time-out than any of the others.
    let options = ["--statement-timeout-ms", "60000", "--database-timeout-ms", "60000"];
    let mut granted = 0;
    // Every round checks what was granted. Which server is first is chance, so a witness is looked for a few times.
    for _ in 0..MOST_LOOKS {
        for (cap_before, kinds) in [
            (None, &[BlockingLock::Table, BlockingLock::EarningKey][..]),
            (Some(ASKED), &[BlockingLock::Count, BlockingLock::Table]),
        ] {
            let world = Arc::new(PausedServer::start(2 * kinds.len(), cap_before, &options).await);
            for (round, held) in kinds.iter().cycle().take(2 * kinds.len()).enumerate() {
                granted += hold_once(&world, &Pair::of(round), *held).await;
            }
            verify(world.database.url());
        }
        if granted > 0 {
            break;
        }
    }
    // Where the table was locked, the statement had not begun, so the other server grants first.
    assert!(granted > 0, "nothing was granted by the new rules while a statement waited");
}

/// Servers whose clocks differ by more than any constant: a cap that one sets holds for the grants of the other.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_change_nothing() {
    let Some(library) = clock_library() else { return };
    for shift in ["+3h", "-3h"] {
        let world = Arc::new(PausedServer::start(1, None, &[]).await);
        let options = ["--database-url", world.database.url(), "--listen", "127.0.0.1:0"];
        let shifted = Process::start_by_clock(Some(library), shift, &options);
        let (pair, calls) = (Pair::of(0), Mutex::new(Vec::new()));
        let customers: Vec<_> = (0..20).map(|_| world.next_customer()).collect();
        let (before, after) = customers.split_at(10);
        for customer in before {
            earn_both(&shifted.caller, &pair, *customer, &calls).await;
        }
        let changed = world.change(&pair).await;
        let mut elsewhere = Vec::new();
        for customer in after {
            earn_both(&shifted.caller, &pair, *customer, &calls).await;
            elsewhere.push((*customer, world.grant_elsewhere(&pair, *customer).await));
        }
        let calls = calls.into_inner().unwrap();
        assert!(calls.iter().all(|call| call.granted.is_some()), "{calls:?}");
        world.check_calls(changed, &calls).await;
        world.check_grants_elsewhere(&pair, &elsewhere).await;
        verify(world.database.url());
    }
}
