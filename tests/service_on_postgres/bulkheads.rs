//! Separation of resources: calls that wait for a lock, or read slowly, take nothing that others need. However many
//! calls of one organization wait for any lock, another organization is served at once, and the server stays ready.

mod held;
pub mod routes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use self::held::{HeldLock, WAITING, catalog, fill};
use self::routes::{NEIGHBOUR, Things, assert_waited, at_once, earning, every_route_at_once, send};
use crate::support::*;

/// Shortest time for which a lock is held, and number of calls of every route meanwhile.
const HELD: Duration = Duration::from_millis(1_500);
const ROUNDS: usize = 2;
/// Time for which a table is locked.
const TABLE_LOCKED: Duration = Duration::from_secs(3);
/// Rounds of a measurement of throughput, their duration, and the number of simultaneous callers.
const MEASURED: usize = 3;
const MEASURED_FOR: Duration = Duration::from_millis(1_500);
const EARNERS: i64 = 16;
/// Time after which a caller gives up.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(50);
/// Smallest part of its throughput that an organization keeps beside waiting calls, with room for a busy machine.
const LEAST_KEPT: f64 = 0.5;

/// A task that checks readiness all the time, until it is dropped or [`Readiness::assert_ready`] is called.
struct Readiness {
    over: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Readiness {
    fn watch(service: &Service) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (caller, ended) = (TestCaller::of(service.address), Arc::clone(&over));
        let task = tokio::spawn(async move {
            let mut asked = 0;
            while !ended.load(Ordering::Relaxed) {
                let answer = caller.http().get(caller.url("/readyz")).send().await.unwrap();
                assert_eq!(answer.status(), 200, "after {asked} times: {}", answer.text().await.unwrap());
                asked += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            asked
        });
        Self { over, task }
    }

    /// Requires that the server was ready each time.
    async fn assert_ready(self) {
        self.over.store(true, Ordering::Relaxed);
        assert!(self.task.await.expect("ready all the while") > 5);
    }
}

/// Waits until a session waits for a lock, and the calls that were sent have reached the database.
async fn until_a_session_waits(database: &Database) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'cart-promotions'
                   AND wait_event_type = 'Lock'";
    let waits = async {
        while database.count(waiting).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("a session waits for the lock");
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Calls of the organization whose locks are held, alternately over gRPC and JSON, with the answer and its time.
struct WaitingCalls(JoinSet<(&'static str, Answer, Instant)>);

impl WaitingCalls {
    fn send(service: &Service, calls: &[routes::MethodCall], credentials: &'static str) -> Self {
        let mut set = JoinSet::new();
        let caller = TestCaller::of(service.address);
        for (index, call) in calls.iter().cloned().enumerate() {
            let caller = caller.clone();
            set.spawn(async move {
                let answer = send(&caller, ENDPOINTS[index % 2], credentials, &call).await;
                (call.0, answer, Instant::now())
            });
        }
        Self(set)
    }

    /// Requires that each call waited until the lock was released, or was refused with the reason.
    async fn assert_waited_until(self, released: Instant) {
        let answers = self.0.join_all().await;
        for (method, answer, at) in answers {
            assert!(answer.code != 0 || at >= released, "{method} waited for nothing");
            assert_waited(&answer, false);
        }
    }
}

/// Holds a lock while calls wait for it and another organization calls every route.
async fn hold_up(service: &Service, neighbour: &TestCaller, case: &HeldLock) {
    // The output of a failed test shows the name.
    println!("{}", case.name);
    let readiness = Readiness::watch(service);
    let blocker = service.database().block(&case.lock).await;
    let waiting = WaitingCalls::send(service, &case.calls, "demo:demo");
    until_a_session_waits(service.database()).await;
    let (begun, mut rounds) = (Instant::now(), 0);
    while rounds < ROUNDS || begun.elapsed() < HELD {
        every_route_at_once(neighbour, case.tag, rounds).await;
        rounds += 1;
    }
    let released = Instant::now();
    blocker.release().await;
    waiting.assert_waited_until(released).await;
    readiness.assert_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_calls_of_one_organization_wait_for_a_lock_another_one_is_served_at_once() {
    let service = Service::start_with(&catalog(), &[]).await;
    let neighbour = TestCaller::of(service.address);
    every_route_at_once(&neighbour, "before", 0).await;
    for case in fill(&service, "one").await.cases("one") {
        hold_up(&service, &neighbour, &case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_waits_for_every_lock_at_once_holds_up_nobody_else() {
    let service = Service::start_with(&catalog(), &[]).await;
    let neighbour = TestCaller::of(service.address);
    every_route_at_once(&neighbour, "before", 0).await;
    let cases = fill(&service, "all").await.cases("all");
    let lock = cases.iter().map(|case| case.lock.as_str()).collect::<Vec<_>>().join("; ");
    let calls = cases.into_iter().flat_map(|case| case.calls).collect();
    hold_up(&service, &neighbour, &HeldLock { tag: "all", name: "all at once", lock, calls }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_for_seconds_makes_calls_wait_and_no_server_unready() {
    let service = Service::start().await;
    let neighbour = TestCaller::of(service.address);
    let readiness = Readiness::watch(&service);
    for (customer, table) in (60_000..).zip([
        "api_clients",
        "audiences",
        "cap_usage",
        "customers",
        "earned_promotions",
        "former_terms",
        "orgs",
        "promotions",
        "redemptions",
    ]) {
        let things = Things::make(&neighbour, table, customer).await;
        let blocker = service.database().block(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
        let calls = [things.calls(), things.calls()].concat();
        let waiting = WaitingCalls::send(&service, &calls, NEIGHBOUR);
        tokio::time::sleep(TABLE_LOCKED).await;
        blocker.release().await;
        for (method, answer, _) in waiting.0.join_all().await {
            // The second of two changes of one record may come too late, or have nothing to do.
            if !matches!(answer.code, 400 | 409 | 716) {
                assert_waited(&answer, true);
            }
            assert_ne!(answer.code, 1007, "{method} while {table} was locked: {answer:?}");
        }
    }
    readiness.assert_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_holds_up_no_other() {
    let service = Service::start().await;
    let neighbour = TestCaller::of(service.address);
    every_route_at_once(&neighbour, "before", 0).await;
    let large = format!(
        "INSERT INTO earned_promotions (org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal,
            earned_from_type, event_time_ms, valid_till_ms, granted_at_ms)
         SELECT {ORG}, {CUSTOMER}, lpad(to_hex(number), 24, '0'), '{TEN_OFF}', 'large', 'earning', number, 'BULK_ISSUE',
            {NOW_MS}, 4000000000000 - number, {NOW_MS} FROM generate_series(1, 40000) AS number"
    );
    service.database().execute(&large).await;
    // The wallet is read to its end for a promotion of which it has no instance.
    let slow = ("WalletService/ListEarnedPromotions", json!({"customerId": CUSTOMER, "promotionId": [FREE_DELIVERY]}));
    let (over, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut readers = JoinSet::new();
    for index in 0..WAITING {
        let caller = TestCaller::of(service.address);
        let (over, read, slow) = (Arc::clone(&over), Arc::clone(&read), slow.clone());
        readers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let answer = send(&caller, ENDPOINTS[usize::try_from(index % 2).unwrap()], "demo:demo", &slow).await;
                assert_waited(&answer, false);
                read.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let readiness = Readiness::watch(&service);
    for round in 1..5 {
        every_route_at_once(&neighbour, "beside slow readers", round).await;
    }
    over.store(true, Ordering::Relaxed);
    readers.join_all().await;
    assert!(read.load(Ordering::Relaxed) >= WAITING.unsigned_abs() as usize, "they read all the while");
    readiness.assert_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_reads_wait_for_a_lock_holds_up_no_other() {
    let service = Service::start().await;
    let neighbour = TestCaller::of(service.address);
    let things = Things::make(&neighbour, "beside stuck readers", 50_000).await;
    let stuck = ("CustomerService/GetCustomer", json!({"customerId": CUSTOMER}));
    let readiness = Readiness::watch(&service);
    let blocker = service.database().block_lookups().await;
    let waiting = WaitingCalls::send(&service, &vec![stuck; WAITING.unsigned_abs() as usize], "demo:demo");
    until_a_session_waits(service.database()).await;
    // No call about customers is answered meanwhile.
    for call in things.calls().iter().filter(|(method, _)| !method.starts_with("CustomerService")) {
        at_once(&neighbour, Endpoint::Grpc, call).await;
    }
    let released = Instant::now();
    blocker.release().await;
    waiting.assert_waited_until(released).await;
    readiness.assert_ready().await;
}

/// Callers that hang up leave nothing behind that others wait for: neither a connection nor a queue position.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_its_reads_holds_up_no_other() {
    let service = Service::start().await;
    let neighbour = TestCaller::of(service.address);
    let things = Things::make(&neighbour, "beside given up readers", 50_000).await;
    let stuck = ("CustomerService/GetCustomer", json!({"customerId": CUSTOMER}));
    let readiness = Readiness::watch(&service);
    let blocker = service.database().block_lookups().await;
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..WAITING {
        let (caller, over, stuck) = (TestCaller::of(service.address), Arc::clone(&over), stuck.clone());
        readers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let read = send(&caller, Endpoint::Grpc, "demo:demo", &stuck);
                let _ = tokio::time::timeout(GIVEN_UP_AFTER, read).await;
            }
        });
    }
    until_a_session_waits(service.database()).await;
    let begun = Instant::now();
    while begun.elapsed() < HELD {
        // No call about customers is answered meanwhile.
        for call in things.calls().iter().filter(|(method, _)| !method.starts_with("CustomerService")) {
            at_once(&neighbour, Endpoint::Grpc, call).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    readers.join_all().await;
    blocker.release().await;
    readiness.assert_ready().await;
}

/// Measures the throughput that another organization keeps while calls wait for locks.
#[tokio::test(flavor = "multi_thread")]
async fn throughput_of_one_organization_beside_waiting_calls_of_another() {
    let service = Service::start_with(&catalog(), &[]).await;
    let neighbour = TestCaller::of(service.address);
    let (mut without, mut beside) = (0, 0);
    earns(&neighbour, "warm").await;
    for round in 0..MEASURED {
        without += earns(&neighbour, &format!("without {round}")).await;
        let (lock, calls) = of_the_writer(&service, &format!("load {round}")).await;
        let blocker = service.database().block(&lock).await;
        let waiting = WaitingCalls::send(&service, &calls, "demo:demo");
        until_a_session_waits(service.database()).await;
        beside += earns(&neighbour, &format!("beside {round}")).await;
        blocker.release().await;
        for (_, answer, _) in waiting.0.join_all().await {
            assert_waited(&answer, false);
        }
    }
    let ratio = f64::from(beside) / f64::from(without);
    println!("earned by another organization: {without} without, {beside} beside waiting calls, ratio {ratio:.2}");
    assert!(ratio >= LEAST_KEPT, "{beside} beside, {without} without: {ratio:.2}");
}

/// Returns the locks that calls of the writer wait for, and these calls.
async fn of_the_writer(service: &Service, tag: &str) -> (String, Vec<routes::MethodCall>) {
    let mut cases = fill(service, tag).await.cases(tag);
    cases.retain(|case| {
        case.calls.iter().any(|(method, _)| method.starts_with("EarnService") || method.starts_with("WalletService"))
    });
    let lock = cases.iter().map(|case| case.lock.as_str()).collect::<Vec<_>>().join("; ");
    (lock, cases.into_iter().flat_map(|case| case.calls).collect())
}

/// Earns for a while, many at once. Returns the number of earnings.
async fn earns(caller: &TestCaller, tag: &str) -> u32 {
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..EARNERS {
        let (caller, tag) = (caller.clone(), tag.to_owned());
        workers.spawn(async move {
            let mut earned = 0;
            while begun.elapsed() < MEASURED_FOR {
                let request = earning(70_000 + worker, &format!("{tag} {earned}"), OTHERS, 1);
                let answer = caller.earn_as(Endpoint::Grpc, Some(NEIGHBOUR), &request).await;
                assert_eq!(answer.code, 0, "{answer:?}");
                earned += 1;
            }
            earned
        });
    }
    workers.join_all().await.into_iter().sum()
}
