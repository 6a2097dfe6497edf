//! Tests of each guarantee of the queue.

mod delays;
mod fairness;
mod properties;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::DbErr;
use tokio::sync::oneshot;

use super::super::batch::{CommandAnswer, Patience, Written};
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
    answered: oneshot::Receiver<CommandAnswer<Nothing>>,
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
    let wakes = |scene: &mut QueueScene| scene.queue.wakes_worker(scene.now);
    assert!(!wakes(&mut scene), "nothing waits");
    scene.ask_often("one", 1);
    assert!(wakes(&mut scene));
    scene.ask_often("one", 1);
    assert!(!wakes(&mut scene), "it was, and did not come yet");
    let first = scene.take().unwrap();
    scene.ask_often("one", KEEPS_UP);
    assert!(!wakes(&mut scene) && scene.take().is_none(), "the one in flight takes them when it is done");
    scene.ask_often("one", 1);
    assert!(wakes(&mut scene));
    let second = scene.take().unwrap();
    assert_eq!(second.len(), KEEPS_UP + 1);
    scene.ask_often("one", 10 * KEEPS_UP);
    assert!(!wakes(&mut scene), "there are two workers");
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
    assert!(!scene.queue.wakes_worker(scene.now));
    scene.now += Duration::from_millis(1);
    assert!(scene.queue.wakes_worker(scene.now));
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
    assert!(!scene.queue.wakes_worker(scene.now) && scene.take().is_none());
    scene.now += Duration::from_millis(1);
    assert!(scene.queue.wakes_worker(scene.now));
    assert!(scene.take().is_some());
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
