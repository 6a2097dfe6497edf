//! Tests of each guarantee of the queue, and of properties.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use sea_orm::DbErr;
use tokio::sync::oneshot;

use super::super::batch::{Answer, Patience, Written};
use super::*;
use crate::earning::CustomerId;
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;

const LIMITS: WriterLimits = WriterLimits {
    workers: 2,
    waiting_workers: 2,
    max_waiting: 4_096,
    max_batch_requests: 1_024,
    max_batch_rows: 10_000,
    request_timeout: Duration::from_secs(10),
    transaction_timeout: Duration::from_secs(15),
    late_redemption: Duration::ZERO,
};

/// The organization of the customers, except in tests about several organizations.
const ORG: OrgId = OrgId(1);
const OTHER: OrgId = OrgId(2);

/// A request of a number of rows for a customer, with a number that identifies it.
#[derive(Debug)]
struct QueuedRequest {
    number: usize,
    org: i64,
    customer: i64,
    rows: usize,
}

#[derive(Debug)]
struct Nothing;

impl Batches for Nothing {
    type Command = QueuedRequest;
    type Outcome = ();

    fn customer(command: &QueuedRequest) -> Customer {
        (OrgId(command.org), CustomerId(command.customer))
    }

    fn rows(command: &QueuedRequest) -> usize {
        command.rows
    }

    async fn run(&mut self, _: &[&QueuedRequest], _: Patience) -> Result<Written<Self>, BatchError> {
        Ok(Written { answers: Vec::new(), from_memory: true })
    }

    async fn wait_for_org(&mut self, _: OrgId) -> Result<(), StorageError> {
        Ok(())
    }
}

/// A caller that waits for its answer.
struct WaitingCaller {
    answered: oneshot::Receiver<Answer<Nothing>>,
    settled: Arc<AtomicBool>,
}

type JobBatch = Vec<Job<Nothing>>;

/// A queue, all waiting callers, and a clock that stands still.
struct QueueScene {
    queue: Queue<Nothing>,
    callers: Vec<Option<WaitingCaller>>,
    now: Instant,
}

impl QueueScene {
    fn new(limits: WriterLimits) -> Self {
        Self { queue: Queue::new(limits), callers: Vec::new(), now: Instant::now() }
    }

    /// Sends a request of `client` for `rows` of a customer. Returns the number of the request.
    fn ask(&mut self, client: &str, customer: i64, rows: usize) -> Result<usize, WalletError> {
        self.ask_of(&Source { client: client.into(), org_id: ORG }, customer, rows)
    }

    /// Sends a request of any organization.
    fn ask_of(&mut self, source: &Source, customer: i64, rows: usize) -> Result<usize, WalletError> {
        let number = self.callers.len();
        let request = QueuedRequest { number, org: source.org_id.0, customer, rows };
        let (job, answered, settled) = Job::new(Arc::clone(&source.client), Arc::new(request));
        self.queue.push(job)?;
        self.callers.push(Some(WaitingCaller { answered, settled }));
        Ok(number)
    }

    /// Sends up to `times` requests of `client`, each for one row of a customer that no other request names, until one
    /// is refused.
    fn ask_often(&mut self, client: &str, times: usize) -> usize {
        let new_customer = |scene: &Self| 1_000_000 + i64::try_from(scene.callers.len()).unwrap();
        (0..times).take_while(|_| self.ask(client, new_customer(self), 1).is_ok()).count()
    }

    fn take(&mut self) -> Option<JobBatch> {
        self.queue.take(self.now)
    }

    fn done(&mut self, batch: &JobBatch) {
        self.queue.done(&batch.iter().map(Job::customer).collect::<Vec<_>>());
    }

    /// Drops a caller.
    fn hang_up(&mut self, number: usize) {
        self.callers[number] = None;
    }

    fn is_forgotten(&self) -> bool {
        let Queue { clients, order, in_flight, aside, batches, .. } = &self.queue;
        let nothing = clients.is_empty() && order.clients.is_empty() && in_flight.is_empty();
        nothing && self.queue.waiting() == 0 && (order.ready, *aside, *batches) == (0, 0, 0)
    }
}

/// Returns the one client of an organization.
fn client_of(org_id: OrgId) -> Source {
    Source { client: "client".into(), org_id }
}

/// Returns the error of a worker that has to wait for a lock.
fn cause() -> Arc<StorageError> {
    Arc::new(StorageError::Busy(DbErr::Custom("locked".to_owned())))
}

impl Queue<Nothing> {
    /// Returns the client queues with ready requests, of a delayed organization or of none, and the number of these
    /// requests.
    fn order_of(&self, org: Option<OrgId>) -> (HashSet<Source>, usize) {
        let order = match org {
            None => Some(&self.order),
            Some(org) => self.delays.order(org),
        };
        order.map_or_else(Default::default, |order| (order.clients.values().cloned().collect(), order.ready))
    }
}

fn numbers(batch: Option<&JobBatch>) -> Vec<usize> {
    batch.into_iter().flatten().map(|job| job.command.number).collect()
}

fn of(batch: &JobBatch, client: &str) -> usize {
    batch.iter().filter(|job| &*job.source().client == client).count()
}

#[test]
fn one_client_alone_gets_everything_in_its_order_in_one_batch() {
    let mut scene = QueueScene::new(LIMITS);
    assert_eq!(scene.ask_often("one", 500), 500);
    let batch = scene.take();
    assert_eq!(numbers(batch.as_ref()), (0..500).collect::<Vec<_>>());
    scene.done(&batch.unwrap());
    assert!(scene.take().is_none() && scene.is_forgotten());
}

#[test]
fn whoever_has_one_request_waits_for_one_batch_however_many_another_has() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("greedy", 2_000);
    let first = scene.take().unwrap();
    let modest = scene.ask("modest", 1, 1).unwrap();
    let second = scene.take().unwrap();
    assert_eq!(numbers(Some(&second))[0], modest, "it is the furthest behind");
    // The request is the first of the next batch, too, after the greedy client is served again.
    let again = scene.ask("modest", 2, 1).unwrap();
    scene.done(&first);
    scene.done(&second);
    assert!(numbers(scene.take().as_ref())[..2].contains(&again));
}

#[test]
fn two_clients_that_ask_for_more_than_there_is_get_alike() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 1_000);
    scene.ask_often("other", 1_000);
    for _ in 0..10 {
        let batch = scene.take().unwrap();
        let (one, other) = (of(&batch, "one"), of(&batch, "other"));
        assert!(one.abs_diff(other) <= 1, "{one} and {other}");
        scene.done(&batch);
    }
}

#[test]
fn rows_count_so_that_large_requests_get_no_more_than_small_ones() {
    let mut scene = QueueScene::new(LIMITS);
    for customer in 0..100 {
        scene.ask("large", customer, 95).unwrap();
    }
    scene.ask_often("small", 1_000);
    let mut given = HashMap::new();
    for _ in 0..10 {
        let batch = scene.take().unwrap();
        for job in &batch {
            *given.entry(job.source().client).or_insert(0) += job.cost();
        }
        scene.done(&batch);
    }
    let (large, small) = (given["large"], given["small"]);
    assert!(large.abs_diff(small) <= 100, "{large} and {small}");
}

#[test]
fn while_several_clients_are_about_batches_are_small_and_grow_again_when_one_is_left() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("greedy", 2_000);
    scene.ask("modest", 1, 1).unwrap();
    for _ in 0..SHARED_FOR {
        let batch = scene.take().unwrap();
        scene.ask_often("greedy", batch.len());
        let cost: usize = batch.iter().map(Job::cost).sum();
        assert!(cost <= 2 * FAIR_SHARE, "{cost}, also while the modest one has nothing to give");
        scene.done(&batch);
    }
    assert_eq!(scene.take().unwrap().len(), LIMITS.max_batch_requests);
}

#[test]
fn a_client_may_have_as_many_waiting_as_there_are_places_left() {
    let mut scene = QueueScene::new(WriterLimits { max_waiting: 60, ..LIMITS });
    // The first client gets half of the places, the second half of the rest, and so on.
    assert_eq!(scene.ask_often("one", 100), 30);
    assert_eq!(scene.ask_often("two", 100), 15);
    assert_eq!(scene.ask_often("three", 100), 8);
    assert_eq!(scene.ask_often("one", 100), 0, "it has more than its share");
    assert!(matches!(scene.ask("one", 1, 1), Err(WalletError::Overloaded)));
    assert_eq!(scene.ask_often("four", 1), 1, "a client that becomes active finds a place");
    // Once there is room, the clients get the same shares.
    let batch = scene.take().unwrap();
    assert_eq!(batch.len(), 54);
    for _ in 0..60 {
        for client in ["one", "two", "three"] {
            scene.ask_often(client, 1);
        }
    }
    let has = |client: &str| scene.queue.clients[&Source { client: client.into(), org_id: ORG }].ready.len();
    assert_eq!((has("one"), has("two"), has("three")), (15, 15, 15));
}

#[test]
fn a_refused_client_leaves_nothing_behind() {
    let mut scene = QueueScene::new(WriterLimits { max_waiting: 1, ..LIMITS });
    assert_eq!(scene.ask_often("one", 5), 1);
    assert_eq!(scene.ask_often("other", 5), 0);
    assert_eq!(scene.queue.clients.len(), 1);
}

#[test]
fn a_request_for_a_customer_in_flight_waits_for_that_batch_and_keeps_its_place() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask("one", 7, 1).unwrap();
    let first = scene.take().unwrap();
    let (held, also, other) =
        (scene.ask("one", 7, 1).unwrap(), scene.ask("two", 7, 1).unwrap(), scene.ask("one", 8, 1).unwrap());
    scene.now += 2 * SLOW;
    let second = scene.take();
    assert_eq!(numbers(second.as_ref()), [other], "of others nothing is held up");
    let later = scene.ask("one", 9, 1).unwrap();
    scene.done(&first);
    scene.done(&second.unwrap());
    let third = scene.take();
    assert_eq!(numbers(third.as_ref()), [also, held, later], "each client's in its order");
    scene.done(&third.unwrap());
    assert!(scene.is_forgotten());
}

#[test]
fn several_requests_for_one_customer_may_be_in_one_batch() {
    let mut scene = QueueScene::new(LIMITS);
    for _ in 0..3 {
        scene.ask("one", 7, 1).unwrap();
    }
    assert_eq!(numbers(scene.take().as_ref()), [0, 1, 2]);
}

#[test]
fn what_nobody_waits_for_is_passed_over() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 4);
    scene.hang_up(0);
    // The caller stopped waiting, though it is still there to read its answer.
    assert!(!scene.callers[2].as_ref().unwrap().settled.swap(true, Ordering::Relaxed));
    let batch = scene.take();
    assert_eq!(numbers(batch.as_ref()), [1, 3]);
    assert!(scene.callers[1].as_ref().unwrap().settled.load(Ordering::Relaxed), "it can no longer give up");
    scene.done(&batch.unwrap());
    scene.ask_often("one", 1);
    scene.hang_up(4);
    assert!(scene.take().is_none() && scene.is_forgotten(), "and no batch begins for it alone");
}

#[test]
fn a_request_that_does_not_fit_is_the_first_of_the_next_batch() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask("one", 1, 1).unwrap();
    scene.ask("one", 2, LIMITS.max_batch_rows).unwrap();
    scene.ask("one", 3, 1).unwrap();
    for expected in [0, 1, 2] {
        let batch = scene.take();
        assert_eq!(numbers(batch.as_ref()), [expected]);
        scene.done(&batch.unwrap());
    }
}

#[test]
fn a_request_larger_than_a_batch_goes_alone_and_is_not_starved_by_small_ones() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("small", 500);
    let large = scene.ask("large", 1, 2 * LIMITS.max_batch_rows).unwrap();
    let batches = (0..10).find(|_| {
        scene.ask_often("small", 100);
        let batch = scene.take().unwrap();
        scene.done(&batch);
        numbers(Some(&batch)) == [large]
    });
    assert!(batches.is_some_and(|batches| batches <= 2), "{batches:?}");
}

#[test]
fn one_worker_is_called_while_it_keeps_up_and_another_when_it_does_not() {
    let mut scene = QueueScene::new(LIMITS);
    let calls = |scene: &mut QueueScene| scene.queue.calls(scene.now);
    assert!(!calls(&mut scene), "nothing waits");
    scene.ask_often("one", 1);
    assert!(calls(&mut scene));
    scene.ask_often("one", 1);
    assert!(!calls(&mut scene), "it was, and did not come yet");
    let first = scene.take().unwrap();
    scene.ask_often("one", KEEPS_UP);
    assert!(!calls(&mut scene) && scene.take().is_none(), "the one in flight takes them when it is done");
    scene.ask_often("one", 1);
    assert!(calls(&mut scene));
    let second = scene.take().unwrap();
    assert_eq!(second.len(), KEEPS_UP + 1);
    scene.ask_often("one", 10 * KEEPS_UP);
    assert!(!calls(&mut scene), "there are two workers");
    scene.done(&first);
    assert_eq!(scene.take().unwrap().len(), 10 * KEEPS_UP);
}

#[test]
fn a_batch_that_takes_long_does_not_hold_up_who_comes_then() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 1);
    scene.take().unwrap();
    scene.now += SLOW;
    scene.ask_often("one", 1);
    assert!(!scene.queue.calls(scene.now));
    scene.now += Duration::from_millis(1);
    assert!(scene.queue.calls(scene.now));
    assert_eq!(scene.take().unwrap().len(), 1);
}

#[test]
fn while_several_clients_are_about_another_worker_is_called_for_a_slow_batch_only() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("greedy", 10 * KEEPS_UP);
    scene.ask("modest", 1, 1).unwrap();
    scene.take().unwrap();
    scene.ask_often("greedy", 10 * KEEPS_UP);
    scene.now += SLOW_FOR_SEVERAL;
    assert!(!scene.queue.calls(scene.now) && scene.take().is_none());
    scene.now += Duration::from_millis(1);
    assert!(scene.queue.calls(scene.now));
    assert!(scene.take().is_some());
}

/// Puts a taken batch back because of a lock, as a worker does.
fn put_back(scene: &mut QueueScene, batch: JobBatch) {
    let customers: Vec<_> = batch.iter().map(Job::customer).collect();
    scene.queue.delay(batch[0].customer().0, batch, cause());
    scene.queue.done(&customers);
}

#[test]
fn a_delayed_organization_is_for_waiting_workers_and_others_go_on() {
    let mut scene = QueueScene::new(LIMITS);
    for customer in 0..3 {
        scene.ask("one", customer, 1).unwrap();
    }
    let batch = scene.take().unwrap();
    let late = scene.ask("one", 3, 1).unwrap();
    put_back(&mut scene, batch);
    let other = scene.ask_of(&client_of(OTHER), 0, 1).unwrap();
    assert_eq!(numbers(scene.take().as_ref()), [other]);
    assert!(scene.queue.calls_waiting_worker());
    let delayed = scene.queue.take_delayed().unwrap();
    assert_eq!((delayed.org_id, numbers(Some(&delayed.jobs))), (ORG, vec![0, 1, 2, late]), "each in its place");
    // One worker at a time has a batch of the organization.
    scene.ask("one", 9, 1).unwrap();
    assert!(!scene.queue.calls_waiting_worker() && scene.queue.take_delayed().is_none());
    let customers: Vec<_> = delayed.jobs.iter().map(Job::customer).collect();
    scene.queue.done_delayed(ORG, &customers, false);
    assert!(scene.queue.calls_waiting_worker(), "it is delayed still");
    let delayed = scene.queue.take_delayed().unwrap();
    let back = scene.ask("one", 10, 1).unwrap();
    scene.queue.done_delayed(ORG, &[delayed.jobs[0].customer()], true);
    scene.now += 2 * SLOW;
    assert_eq!(numbers(scene.take().as_ref()), [back], "as any other again");
}

#[test]
fn who_gives_up_while_a_request_is_put_back_is_told_that_nothing_is_recorded() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 2);
    let batch = scene.take().unwrap();
    let given_up = |scene: &QueueScene, number: usize| {
        let caller = scene.callers[number].as_ref().unwrap();
        !caller.settled.swap(true, Ordering::Relaxed)
    };
    put_back(&mut scene, batch);
    assert!(given_up(&scene, 0), "it is in the queue");
    let mut delayed = scene.queue.take_delayed().unwrap();
    assert_eq!(numbers(Some(&delayed.jobs)), [1], "passed over");
    assert!(delayed.jobs[0].take());
    assert!(!given_up(&scene, 1), "it may be recorded");
}

#[test]
fn delayed_organizations_leave_half_of_the_places_and_are_served_in_turn() {
    let mut scene = QueueScene::new(WriterLimits { max_waiting: 8, max_batch_requests: 1, ..LIMITS });
    for org in [ORG, OTHER] {
        scene.ask_of(&client_of(org), 0, 1).unwrap();
        let batch = scene.take().unwrap();
        put_back(&mut scene, batch);
    }
    for customer in 1..3 {
        for org in [ORG, OTHER] {
            let _ = scene.ask_of(&client_of(org), customer, 1);
        }
    }
    assert_eq!(scene.queue.delays.ready(), 3, "of four places, each may have as many as are left");
    assert!(scene.ask_of(&client_of(OrgId(3)), 0, 1).is_ok());
    let mut served = Vec::new();
    while let Some(batch) = scene.queue.take_delayed() {
        served.push(batch.org_id);
        scene.queue.done_delayed(batch.org_id, &[batch.jobs[0].customer()], false);
    }
    assert_eq!(served, [ORG, OTHER, ORG]);
}

#[test]
fn a_worker_stays_until_what_is_delayed_is_written() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 1);
    let batch = scene.take().unwrap();
    scene.queue.close();
    assert!(!scene.queue.is_over_for_waiting_workers(), "it may be put back");
    put_back(&mut scene, batch);
    assert!(!scene.queue.is_over() && !scene.queue.is_over_for_waiting_workers());
    let batch = scene.queue.take_delayed().unwrap();
    assert!(scene.queue.is_over() && scene.queue.is_over_for_waiting_workers());
    scene.queue.done_delayed(ORG, &[batch.jobs[0].customer()], true);
    assert!(scene.is_forgotten());
}

#[test]
fn a_closed_queue_takes_nothing_in_and_is_over_once_it_is_empty() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 1);
    scene.queue.close();
    assert!(matches!(scene.ask("one", 1, 1), Err(WalletError::ShuttingDown)));
    assert!(!scene.queue.is_over(), "what it took in is still written");
    let batch = scene.take().unwrap();
    assert!(scene.queue.is_over());
    scene.done(&batch);
    assert!(scene.queue.is_over() && scene.is_forgotten());
}

#[test]
fn what_is_abandoned_lets_its_callers_go() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 1);
    let Some(mut caller) = scene.callers[0].take() else { panic!("it waits") };
    scene.queue.abandon();
    assert!(matches!(caller.answered.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    assert!(matches!(scene.ask("one", 1, 1), Err(WalletError::ShuttingDown)));
}

#[derive(Debug, Clone, Copy)]
enum QueueStep {
    Ask(u8, i64, usize),
    Take,
    Done(usize),
    HangUp(usize),
    Wait,
    /// A worker has to wait for a lock of the organization of the first request of a batch.
    Delay(usize),
    TakeDelayed,
    /// A waiting worker ends a batch, after waiting for a lock or not.
    DoneDelayed(usize, bool),
}

fn step() -> impl Strategy<Value = QueueStep> {
    prop_oneof![
        6 => (0..4_u8, 0..6_i64, prop_oneof![4 => 0..3_usize, 1 => 0..40_usize])
            .prop_map(|(client, customer, rows)| QueueStep::Ask(client, customer, rows)),
        3 => Just(QueueStep::Take),
        2 => any::<usize>().prop_map(QueueStep::Done),
        1 => any::<usize>().prop_map(QueueStep::HangUp),
        1 => Just(QueueStep::Wait),
        1 => any::<usize>().prop_map(QueueStep::Delay),
        2 => Just(QueueStep::TakeDelayed),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, met_no_lock)| QueueStep::DoneDelayed(which, met_no_lock)),
    ]
}

/// The observations of a random scene.
struct WatchedQueue {
    scene: QueueScene,
    limits: WriterLimits,
    /// The customers that each batch keeps, and its requests.
    in_flight: Vec<(Vec<Customer>, JobBatch)>,
    delayed_in_flight: Vec<DelayedBatch<Nothing>>,
    taken: HashSet<usize>,
    /// Number of requests that were put back.
    put_back: usize,
    /// The last request that was taken of each client and customer.
    last: HashMap<(Source, Customer), usize>,
}

impl WatchedQueue {
    fn step(&mut self, step: QueueStep) {
        match step {
            QueueStep::Ask(client, customer, rows) => self.ask(client, customer, rows),
            QueueStep::Take => self.take(),
            QueueStep::Done(which) if !self.in_flight.is_empty() => {
                let (customers, _) = self.in_flight.swap_remove(which % self.in_flight.len());
                self.scene.queue.done(&customers);
            }
            QueueStep::Delay(which) if !self.in_flight.is_empty() => self.delay(which % self.in_flight.len()),
            QueueStep::TakeDelayed => self.take_delayed(),
            QueueStep::DoneDelayed(which, met_no_lock) if !self.delayed_in_flight.is_empty() => {
                let batch = self.delayed_in_flight.swap_remove(which % self.delayed_in_flight.len());
                let customers: Vec<_> = batch.jobs.iter().map(Job::customer).collect();
                self.scene.queue.done_delayed(batch.org_id, &customers, met_no_lock);
                assert_eq!(self.scene.queue.delayed_by(batch.org_id).is_none(), met_no_lock);
            }
            QueueStep::HangUp(which) if !self.scene.callers.is_empty() => {
                self.scene.hang_up(which % self.scene.callers.len());
            }
            QueueStep::Wait => self.scene.now += 2 * SLOW,
            QueueStep::Done(_) | QueueStep::HangUp(_) | QueueStep::Delay(_) | QueueStep::DoneDelayed(..) => {}
        }
        let queue = &self.scene.queue;
        let aside: usize = queue.clients.values().map(|client_queue| client_queue.aside).sum();
        assert_eq!(aside, queue.aside);
        assert!(queue.waiting() <= self.limits.max_waiting + self.put_back);
        assert!(
            queue.clients.values().all(|client_queue| client_queue.ready.len() + client_queue.aside > 0),
            "an empty client queue is kept"
        );
        for org in [None, Some(ORG), Some(OTHER)] {
            let is_of = |source: &&Source| match org {
                None => queue.delayed_by(source.org_id).is_none(),
                Some(org) => source.org_id == org && queue.delayed_by(org).is_some(),
            };
            let with_ready =
                queue.clients.iter().filter(|(source, client_queue)| is_of(source) && !client_queue.ready.is_empty());
            let ready: usize = with_ready.clone().map(|(_, client_queue)| client_queue.ready.len()).sum();
            let with_ready: HashSet<_> = with_ready.map(|(source, _)| source.clone()).collect();
            let (with_turn, counted) = queue.order_of(org);
            assert_eq!(with_turn, with_ready, "the order has the client queues with ready requests");
            assert_eq!(counted, ready);
        }
    }

    fn ask(&mut self, client: u8, customer: i64, rows: usize) {
        let org = if client < 2 { ORG } else { OTHER };
        let source = Source { client: client.to_string().into(), org_id: org };
        let queue = &self.scene.queue;
        let has = queue.clients.get(&source).map_or(0, |client_queue| client_queue.ready.len() + client_queue.aside);
        let left = self.limits.max_waiting.saturating_sub(queue.waiting());
        let delayed = queue.order_of(Some(ORG)).1 + queue.order_of(Some(OTHER)).1;
        let left_to_delayed = self.limits.max_waiting.div_ceil(2).saturating_sub(delayed);
        let left = if queue.delayed_by(org).is_some() { left.min(left_to_delayed) } else { left };
        assert_eq!(self.scene.ask_of(&source, customer, rows).is_ok(), has < left);
    }

    fn take(&mut self) {
        if self.in_flight.len() == self.limits.workers {
            return;
        }
        let Some(batch) = self.scene.take() else {
            let queue = &self.scene.queue;
            assert!(queue.batches > 0 || queue.order.ready == 0, "a request is ready, and no worker takes it");
            return;
        };
        assert!(batch.iter().all(|job| self.scene.queue.delayed_by(job.customer().0).is_none()), "it is delayed");
        self.watch(&batch);
        self.in_flight.push((batch.iter().map(Job::customer).collect(), batch));
    }

    fn take_delayed(&mut self) {
        if self.delayed_in_flight.len() == self.limits.waiting_workers {
            assert!(!self.scene.queue.calls_waiting_worker(), "no worker is free");
            return;
        }
        let called = self.scene.queue.calls_waiting_worker();
        let Some(batch) = self.scene.queue.take_delayed() else { return };
        assert!(called, "an idle worker would not be called");
        let org_id = batch.org_id;
        assert!(
            self.delayed_in_flight.iter().all(|other| other.org_id != org_id),
            "two workers work on one organization"
        );
        assert!(batch.jobs.iter().all(|job| job.customer().0 == org_id));
        self.watch(&batch.jobs);
        self.delayed_in_flight.push(batch);
    }

    /// Compares a taken batch with the guarantees.
    fn watch(&mut self, batch: &JobBatch) {
        assert!(!batch.is_empty() && batch.len() <= self.limits.max_batch_requests);
        let rows: usize = batch.iter().map(Job::rows).sum();
        assert!(batch.len() == 1 || rows <= self.limits.max_batch_rows, "{rows} rows");
        let delayed = self.delayed_in_flight.iter().flat_map(|batch| batch.jobs.iter().map(Job::customer));
        let busy = self.in_flight.iter().flat_map(|(customers, _)| customers.iter().copied());
        let busy: HashSet<_> = busy.chain(delayed).collect();
        for job in batch {
            assert!(!busy.contains(&job.customer()), "a customer is in two batches");
            let number = job.command.number;
            assert!(self.taken.insert(number), "taken twice");
            assert!(self.scene.callers[number].is_some(), "its caller is gone");
            let before = self.last.insert((job.source(), job.customer()), number);
            assert!(before.is_none_or(|before| before < number), "overtaken by a later one");
        }
    }

    /// Puts the requests of one organization back, and continues with the rest of the batch.
    fn delay(&mut self, which: usize) {
        let (customers, batch) = &mut self.in_flight[which];
        let Some(org_id) = batch.first().map(|job| job.customer().0) else { return };
        let jobs: Vec<_> = batch.extract_if(.., |job| job.customer().0 == org_id).collect();
        let released: Vec<_> = customers.extract_if(.., |customer| customer.0 == org_id).collect();
        for job in &jobs {
            self.taken.remove(&job.command.number);
            self.last.remove(&(job.source(), job.customer()));
        }
        self.put_back += jobs.len();
        self.scene.queue.delay(org_id, jobs, cause());
        self.scene.queue.release(&released);
        assert!(self.scene.queue.delayed_by(org_id).is_some());
    }
}

proptest! {
    #[test]
    fn whatever_happens_everybody_who_waits_is_taken_once_in_order_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..200),
        workers in 1..4_usize,
        max_waiting in 1..40_usize,
    ) {
        let limits = WriterLimits { workers, max_waiting, max_batch_requests: 8, max_batch_rows: 20, ..LIMITS };
        let mut watched = WatchedQueue {
            scene: QueueScene::new(limits),
            limits,
            in_flight: Vec::new(),
            delayed_in_flight: Vec::new(),
            taken: HashSet::new(),
            put_back: 0,
            last: HashMap::new(),
        };
        for step in steps {
            watched.step(step);
        }
        let is_over = |watched: &WatchedQueue| {
            watched.scene.queue.waiting() == 0 && watched.in_flight.is_empty() && watched.delayed_in_flight.is_empty()
        };
        while !is_over(&watched) {
            watched.step(QueueStep::Done(0));
            watched.step(QueueStep::Take);
            watched.step(QueueStep::TakeDelayed);
            watched.step(QueueStep::DoneDelayed(0, true));
        }
        let waited = watched.scene.callers.iter().enumerate().filter(|(_, caller)| caller.is_some());
        for (number, _) in waited {
            prop_assert!(watched.taken.contains(&number), "{} is forgotten", number);
        }
        prop_assert!(watched.scene.is_forgotten());
    }
}
