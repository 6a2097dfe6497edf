//! Tests of the writer and its workers on an in-memory database, in which other transactions hold and release locks.

mod properties;

use std::collections::HashSet;
use std::sync::Mutex;

use sea_orm::DbErr;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::earning::{CustomerId, OrgId};
use crate::storage::batch::session::BatchError;
use crate::telemetry::metrics::{Build, Metrics};
use crate::telemetry::traces::Traces;

const LIMITS: WriterLimits = WriterLimits {
    late_redemption: Duration::ZERO,
    workers: 2,
    waiting_workers: 2,
    max_waiting: 4_096,
    max_batch_requests: 64,
    max_batch_rows: 10_000,
    request_timeout: Duration::from_mins(1),
    transaction_timeout: Duration::from_mins(1),
};
const A: OrgId = OrgId(1);
const B: OrgId = OrgId(2);
/// Time for which a test waits for a state that must come.
const SURELY: Duration = Duration::from_secs(30);

/// A request with a number of its own.
#[derive(Debug)]
struct TestRequest(Customer, usize);

/// A transaction that was tried.
#[derive(Debug, Clone)]
struct Tried {
    worker: usize,
    customers: HashSet<Customer>,
    patience: Patience,
    was_busy: bool,
}

impl Tried {
    fn is_of(&self, org_id: OrgId) -> bool {
        self.customers.iter().any(|customer| customer.0 == org_id)
    }

    fn is_by_waiting_worker(&self) -> bool {
        self.worker >= LIMITS.workers
    }
}

/// The written requests, and the held locks.
#[derive(Debug, Default)]
struct WorldState {
    changed_orgs: HashSet<OrgId>,
    /// Organizations whose catalog is not the one in memory.
    moved_orgs: HashSet<OrgId>,
    locked_orgs: HashSet<OrgId>,
    locked_customers: HashSet<Customer>,
    /// True once every wait with full patience is over.
    patience_is_over: bool,
    /// Number of further transactions that have to wait for a lock before every lock is released.
    released_after: Option<usize>,
    workers: usize,
    tried: Vec<Tried>,
    written: Vec<usize>,
}

impl WorldState {
    fn is_locked(&self, customer: Customer) -> bool {
        self.locked_orgs.contains(&customer.0) || self.locked_customers.contains(&customer)
    }
}

/// The in-memory database.
#[derive(Clone, Default)]
struct World(Arc<(Mutex<WorldState>, Notify)>);

impl World {
    fn with<T>(&self, change: impl FnOnce(&mut WorldState) -> T) -> T {
        let done = change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_waiters();
        done
    }

    /// Waits until `answer` returns a value.
    async fn until<T>(&self, answer: impl Fn(&mut WorldState) -> Option<T>) -> T {
        loop {
            let changed = self.0.1.notified();
            if let Some(answer) = answer(&mut self.0.0.lock().unwrap()) {
                return answer;
            }
            changed.await;
        }
    }

    async fn surely(&self, is_so: impl Fn(&WorldState) -> bool) {
        let so = self.until(|state| is_so(state).then_some(()));
        tokio::time::timeout(SURELY, so).await.expect("it comes to be so");
    }
}

/// One worker's session of the database.
struct TestSession(World, usize);

fn busy() -> StorageError {
    StorageError::Busy(DbErr::Custom("locked".to_owned()))
}

impl Batches for TestSession {
    type Command = TestRequest;
    type Outcome = usize;

    fn customer(command: &TestRequest) -> Customer {
        command.0
    }

    fn rows(_: &TestRequest) -> usize {
        1
    }

    async fn run(&mut self, batch: &[&TestRequest], patience: Patience) -> Result<Written<Self>, BatchError> {
        let customers: HashSet<_> = batch.iter().map(|request| request.0).collect();
        tokio::task::yield_now().await;
        let was_busy = self.0.until(|state| {
            let waits = customers.iter().any(|customer| state.is_locked(*customer));
            let gives_up = patience != Patience::Full || state.patience_is_over;
            (!waits || gives_up).then_some(waits)
        });
        let was_busy = was_busy.await;
        self.0.with(|state| {
            let from_memory = !customers.iter().any(|customer| state.moved_orgs.contains(&customer.0));
            state.tried.push(Tried { worker: self.1, customers, patience, was_busy });
            if was_busy {
                state.released_after = state.released_after.map(|more| more - 1);
                if state.released_after == Some(0) {
                    state.locked_customers.clear();
                    state.released_after = None;
                }
                return Err(BatchError::Save(busy()));
            }
            if !from_memory && patience == Patience::Least {
                return Err(BatchError::Load(StorageError::CatalogMoved));
            }
            state.written.extend(batch.iter().map(|request| request.1));
            Ok(Written { answers: batch.iter().map(|request| Ok(request.1)).collect(), from_memory })
        })
    }

    async fn wait_for_org(&mut self, org_id: OrgId) -> Result<(), StorageError> {
        let changed = self.0.until(|state| {
            let changed = state.changed_orgs.contains(&org_id);
            (!changed || state.patience_is_over).then_some(changed)
        });
        if changed.await { Err(busy()) } else { Ok(()) }
    }
}

/// A running writer.
struct WriterScene {
    writer: Writer<TestSession>,
    world: World,
    workers: JoinHandle<(u64, u64)>,
    asked: usize,
}

type PendingAnswer = JoinHandle<CommandAnswer<TestSession>>;

fn watch() -> Watch {
    let metrics = Metrics::new(Build { version: "", commit: "" }).unwrap();
    Watch { reachability: Reachability::default(), metrics: metrics.earn.clone(), traces: Traces::default() }
}

impl WriterScene {
    fn start(limits: WriterLimits) -> Self {
        let world = World::default();
        let session = || {
            let workers = world.with(|state| {
                state.workers += 1;
                state.workers
            });
            TestSession(world.clone(), workers - 1)
        };
        let (writer, workers) = Writer::new(limits, watch(), session);
        Self { writer, world, workers: tokio::spawn(workers.run()), asked: 0 }
    }

    /// Sends a request for a customer of an organization, which has one client.
    fn ask(&mut self, org_id: OrgId, customer: i64) -> PendingAnswer {
        let (writer, number) = (self.writer.clone(), self.asked);
        self.asked += 1;
        let command = Arc::new(TestRequest((org_id, CustomerId(customer)), number));
        tokio::spawn(async move { writer.write(org_id.0.to_string().into(), command).await })
    }

    async fn surely(&self, is_so: impl Fn(&WorldState) -> bool) {
        self.world.surely(is_so).await;
    }

    /// Waits until an organization is delayed because of a held lock.
    async fn delayed(&self, org_id: OrgId) {
        self.surely(|state| state.tried.iter().any(|tried| tried.was_busy && tried.is_of(org_id))).await;
        while self.writer.queue.0.queue().delayed_by(org_id).is_none() {
            tokio::task::yield_now().await;
        }
    }

    fn tried(&self) -> Vec<Tried> {
        self.world.with(|state| state.tried.clone())
    }

    /// Ends the workers, after everything is answered.
    async fn end(self) {
        drop(self.writer);
        tokio::time::timeout(SURELY, self.workers).await.expect("they end").unwrap();
    }
}

async fn answered(call: PendingAnswer) -> CommandAnswer<TestSession> {
    tokio::time::timeout(SURELY, call).await.expect("answered").unwrap()
}

#[tokio::test]
async fn while_one_organization_is_locked_the_other_workers_serve_the_others_and_it_is_as_any_other_afterwards() {
    let mut scene = WriterScene::start(LIMITS);
    scene.world.with(|state| (state.locked_orgs.insert(A), state.changed_orgs.insert(A)));
    let held: Vec<_> = (0..100).map(|customer| scene.ask(A, customer)).collect();
    scene.delayed(A).await;
    let before = scene.tried().len();
    for customer in 0..50 {
        let (a, b) = (scene.ask(A, 100 + customer), scene.ask(B, customer));
        assert!(answered(b).await.is_ok());
        assert!(!a.is_finished());
        a.abort();
    }
    let during = scene.tried().split_off(before);
    assert!(during.iter().all(|tried| !tried.is_of(A)), "only waiting workers have to do with it: {during:?}");
    scene.world.with(|state| (state.locked_orgs.clear(), state.changed_orgs.clear()));
    for call in held {
        assert!(answered(call).await.is_ok());
    }
    while scene.writer.queue.0.queue().delayed_by(A).is_some() {
        tokio::task::yield_now().await;
    }
    assert!(answered(scene.ask(A, 7)).await.is_ok());
    assert!(!scene.tried().last().unwrap().is_by_waiting_worker());
    scene.end().await;
}

#[tokio::test]
async fn a_batch_of_several_organizations_that_meets_a_lock_is_parted_and_the_others_are_written() {
    let mut scene = WriterScene::start(LIMITS);
    scene.world.with(|state| (state.locked_orgs.insert(A), state.changed_orgs.insert(A)));
    // On the one thread of this test all of them wait before a worker looks: they are in one batch.
    let calls: Vec<_> = (1..6).map(|org| scene.ask(OrgId(org), 0)).collect();
    let mut others = calls.into_iter();
    let held = others.next().unwrap();
    for call in others {
        assert!(answered(call).await.is_ok());
    }
    let of_another: Vec<_> = scene.tried().into_iter().filter(|tried| tried.is_of(B)).collect();
    assert!(of_another[0].is_of(A) && of_another[0].was_busy, "{of_another:?}");
    assert!(
        of_another.len() == 2 && !of_another[1].is_by_waiting_worker(),
        "they wait for the lock once: {of_another:?}"
    );
    scene.world.with(|state| state.patience_is_over = true);
    assert!(matches!(answered(held).await, Err(WalletError::Busy(_))), "a change of it was under way all the while");
    scene.end().await;
}

#[tokio::test]
async fn one_customer_that_is_locked_holds_up_no_neighbour_and_is_waited_for_alone() {
    let mut scene = WriterScene::start(LIMITS);
    let stuck = (A, CustomerId(5));
    scene.world.with(|state| state.locked_customers.insert(stuck));
    let mut neighbours: Vec<_> = (0..5).chain(6..20).map(|customer| scene.ask(A, customer)).collect();
    let (first, second) = (scene.ask(A, 5), scene.ask(A, 5));
    neighbours.extend((20..30).map(|customer| scene.ask(A, customer)));
    for call in neighbours {
        assert!(answered(call).await.is_ok());
    }
    assert!(!first.is_finished() && !second.is_finished());
    scene.world.with(|state| state.patience_is_over = true);
    for call in [first, second] {
        assert!(matches!(answered(call).await, Err(WalletError::Busy(_))));
    }
    let full = scene.tried().into_iter().filter(|tried| tried.patience == Patience::Full);
    let full: Vec<_> = full.map(|tried| tried.customers).collect();
    assert_eq!(full, [HashSet::from([stuck])], "one wait for one customer");
    scene.end().await;
}

#[tokio::test]
async fn an_organization_whose_catalog_keeps_moving_is_written_by_waiting_workers_and_leaves_the_batches_of_others() {
    let mut scene = WriterScene::start(LIMITS);
    scene.world.with(|state| state.moved_orgs.insert(A));
    for customer in 0..20 {
        let calls = [scene.ask(A, customer), scene.ask(B, customer)];
        for call in calls {
            assert!(answered(call).await.is_ok());
        }
    }
    let of_workers = |tried: &Tried| !tried.is_by_waiting_worker() && tried.is_of(A);
    let met = scene.tried().iter().filter(|tried| of_workers(tried)).count();
    assert!(met <= 2, "once with others and once alone: {met}");
    scene.world.with(|state| state.moved_orgs.clear());
    // Once it is written from memory, the organization is no longer delayed.
    for customer in 0..4 {
        assert!(answered(scene.ask(A, customer)).await.is_ok());
    }
    assert!(of_workers(scene.tried().last().unwrap()));
    scene.end().await;
}

#[tokio::test]
async fn a_customer_that_is_free_again_in_time_is_written_in_order() {
    let mut scene = WriterScene::start(LIMITS);
    scene.world.with(|state| {
        state.locked_customers.insert((A, CustomerId(5)));
        // The batch has to wait for the lock twice, in a worker and in a waiting worker, and then the first request
        // alone.
        state.released_after = Some(3);
    });
    let calls = [scene.ask(A, 5), scene.ask(A, 5), scene.ask(A, 6)];
    for call in calls {
        assert!(answered(call).await.is_ok());
    }
    assert_eq!(scene.world.with(|state| state.written.clone()), [2, 0, 1]);
    scene.end().await;
}

#[tokio::test]
async fn a_caller_whose_time_is_up_while_its_request_is_put_back_is_told_so_and_nothing_is_recorded() {
    let mut scene = WriterScene::start(WriterLimits { request_timeout: Duration::from_millis(200), ..LIMITS });
    scene.world.with(|state| (state.locked_orgs.insert(A), state.changed_orgs.insert(A)));
    let calls = [scene.ask(A, 1), scene.ask(A, 2)];
    for call in calls {
        assert!(matches!(answered(call).await, Err(WalletError::Busy(_))));
    }
    scene.world.with(|state| (state.locked_orgs.clear(), state.changed_orgs.clear()));
    let world = scene.world.clone();
    scene.end().await;
    assert_eq!(world.with(|state| state.written.clone()), [0_usize; 0]);
}

#[tokio::test]
async fn without_waiting_workers_a_lock_is_waited_for_in_full_and_told_to_the_whole_batch() {
    let mut scene = WriterScene::start(WriterLimits { workers: 1, waiting_workers: 0, ..LIMITS });
    scene.world.with(|state| (state.locked_orgs.insert(A), state.patience_is_over = true));
    let calls: Vec<_> = (0..10).map(|customer| scene.ask(A, customer)).collect();
    for call in calls {
        assert!(matches!(answered(call).await, Err(WalletError::Busy(_))));
    }
    let tried = scene.tried();
    assert!(tried.len() <= 2 && tried.iter().all(|tried| tried.patience == Patience::Full), "{tried:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_is_delayed_when_the_service_stops_is_still_written() {
    let mut scene = WriterScene::start(LIMITS);
    scene.world.with(|state| (state.locked_orgs.insert(A), state.changed_orgs.insert(A)));
    let calls: Vec<_> = (0..10).map(|customer| scene.ask(A, customer)).collect();
    scene.delayed(A).await;
    let world = scene.world.clone();
    let ended = tokio::spawn(scene.end());
    world.with(|state| (state.locked_orgs.clear(), state.changed_orgs.clear()));
    for call in calls {
        assert!(answered(call).await.is_ok());
    }
    ended.await.unwrap();
}
