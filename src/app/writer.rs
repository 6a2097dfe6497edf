//! The committing writer: many requests in one transaction.
//!
//! While one transaction is in flight, the requests that arrive wait in a bounded queue (`queue`), fair between the clients
//! they come from; the next transaction takes what waits. There is no timer: an idle service commits a request at once, a
//! busy one grows its batches by itself.
//!
//! On PostgreSQL several lanes (`lane`) write beside one another, when one does not keep up.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::error::WalletError;
use super::lane::Lane;
use super::queue::{Job, Queue};
use super::reachability::Reachability;
use crate::earning::{CustomerId, OrgId};
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;

/// Whose wallet.
pub(super) type Customer = (OrgId, CustomerId);

/// Decides and saves batches of commands of one kind. Each lane has its own.
pub(super) trait Batches: Send + 'static {
    /// What is asked for.
    type Command: Send + Sync + 'static;
    /// What became of it.
    type Outcome: Send + 'static;

    /// Whose wallet the command writes to.
    fn customer(command: &Self::Command) -> Customer;

    /// How many rows it may write.
    fn rows(command: &Self::Command) -> usize;

    /// Decides every command of the batch, in order, and saves all of it in one transaction.
    fn run(&mut self, batch: &[&Self::Command]) -> impl Future<Output = Result<Vec<Answer<Self>>, BatchError>> + Send;
}

/// What a command is answered.
pub(super) type Answer<B> = Result<<B as Batches>::Outcome, WalletError>;

/// Limits of the writer: the amounts that it holds and takes at once, and the times that things may take.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Transactions that may be in flight.
    pub lanes: usize,
    /// Requests that may wait, of all clients. One more is refused at once, and so is one of a client that has as many
    /// waiting as there are places left.
    pub max_waiting: usize,
    /// Requests of one transaction.
    pub max_batch_requests: usize,
    /// Rows of the wallet that one transaction writes; a request that is larger on its own still goes, alone.
    pub max_batch_rows: usize,
    /// How long a request waits for its answer.
    pub request_timeout: Duration,
    /// How long a transaction may take, in all.
    pub transaction_timeout: Duration,
    /// Longest time after its transaction at which a redemption is judged as if it had been told at once.
    pub late_redemption: Duration,
}

/// Where requests are handed in.
pub(super) struct Writer<B: Batches> {
    entrance: Arc<Entrance<B>>,
    request_timeout: Duration,
    reachability: Reachability,
}

impl<B: Batches> Clone for Writer<B> {
    fn clone(&self) -> Self {
        let Self { entrance, request_timeout, reachability } = self;
        Self { entrance: Arc::clone(entrance), request_timeout: *request_timeout, reachability: reachability.clone() }
    }
}

impl<B: Batches> fmt::Debug for Writer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

/// What the writer and its lanes share.
pub(super) struct Shared<B: Batches> {
    queue: Mutex<Queue<B>>,
    lanes: Notify,
}

impl<B: Batches> Shared<B> {
    /// The queue, for a moment. It is whole at any time, so a panic elsewhere does not spoil it.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue<B>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a lane that is free.
    pub(super) fn call(&self) {
        self.lanes.notify_one();
    }

    /// Waits until a lane is called, or all are.
    pub(super) fn called(&self) -> impl Future<Output = ()> {
        self.lanes.notified()
    }

    fn call_all(&self) {
        self.lanes.notify_waiters();
    }
}

/// Closes the queue with the last [`Writer`].
struct Entrance<B: Batches>(Arc<Shared<B>>);

impl<B: Batches> Drop for Entrance<B> {
    fn drop(&mut self) {
        self.0.queue().close();
        self.0.call_all();
    }
}

/// Closes the queue with the lanes, and lets go of what waits in it.
struct Exit<B: Batches>(Arc<Shared<B>>);

impl<B: Batches> Drop for Exit<B> {
    fn drop(&mut self) {
        self.0.queue().abandon();
    }
}

/// The writer itself.
pub(super) struct Lanes<B: Batches> {
    lanes: Vec<Lane<B>>,
    exit: Exit<B>,
}

impl<B: Batches> Writer<B> {
    pub(super) fn new(limits: WriterLimits, reachability: &Reachability, batches: impl Fn() -> B) -> (Self, Lanes<B>) {
        let shared = Arc::new(Shared { queue: Mutex::new(Queue::new(limits)), lanes: Notify::new() });
        let lane = |_| Lane::new(Arc::clone(&shared), limits, batches(), reachability.clone());
        let lanes = (0..limits.lanes.max(1)).map(lane).collect();
        let writer = Self {
            entrance: Arc::new(Entrance(Arc::clone(&shared))),
            request_timeout: limits.request_timeout,
            reachability: reachability.clone(),
        };
        (writer, Lanes { lanes, exit: Exit(shared) })
    }

    /// Has a command of an API client written, when its turn comes.
    pub(super) async fn write(&self, client: Arc<str>, command: Arc<B::Command>) -> Answer<B> {
        if self.reachability.is_lost() {
            let (_, customer_id) = B::customer(&command);
            return Err(WalletError::CustomerLookupFailed(customer_id, Arc::new(StorageError::Lost)));
        }
        let (job, answered, settled) = Job::new(client, command);
        let shared = &self.entrance.0;
        let calls = {
            let mut queue = shared.queue();
            queue.push(job)?;
            queue.calls(Instant::now())
        };
        if calls {
            shared.call();
        }
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(answer) => answer.unwrap_or(Err(WalletError::ShuttingDown)),
            // Still in the queue, and it will be passed over: nothing is recorded.
            Err(_) if !settled.swap(true, Ordering::Relaxed) => Err(WalletError::Overloaded),
            Err(_) => Err(WalletError::Unavailable(Arc::new(StorageError::TimedOut))),
        }
    }
}

impl<B: Batches> Lanes<B> {
    /// Writes until every [`Writer`] is dropped and what they accepted is answered. Gives how many transactions were
    /// tried, and how many requests were answered.
    pub(super) async fn run(self) -> (u64, u64) {
        let Self { lanes, exit } = self;
        let lanes: JoinSet<_> = lanes.into_iter().map(Lane::run).collect();
        let done = lanes.join_all().await.into_iter().fold((0, 0), |sum, done| (sum.0 + done.0, sum.1 + done.1));
        drop(exit);
        done
    }
}
