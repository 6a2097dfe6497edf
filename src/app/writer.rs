//! The committing writer: many requests in one transaction.
//!
//! While one transaction is in flight, the requests that arrive wait in a bounded queue (`queue`), fair between the clients
//! they come from; the next transaction takes what waits. There is no timer: an idle service commits a request at once, a
//! busy one grows its batches by itself.
//!
//! On PostgreSQL several lanes (`lane`) write beside one another, when one does not keep up, and others (`waiting_lane`)
//! wait for locks that somebody else holds.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::batch_runner::BatchRunner;
use super::error::WalletError;
use super::job::Job;
use super::lane::Lane;
use super::queue::Queue;
use super::reachability::Reachability;
use super::waiting_lane::WaitingLane;
use crate::earning::{CustomerId, OrgId};
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;
pub(super) use crate::storage::batch::session::Patience;

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

    /// Decides every command of the batch, in order, and saves all of it in one transaction. [`StorageError::Busy`] when a
    /// lock was waited for in vain.
    fn run(
        &mut self,
        batch: &[&Self::Command],
        patience: Patience,
    ) -> impl Future<Output = Result<Written<Self>, BatchError>> + Send;

    /// Waits, with full patience, until no change of the organization is under way. [`StorageError::Busy`] when that is in
    /// vain.
    fn wait_for_org(&mut self, org_id: OrgId) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// What a command is answered.
pub(super) type Answer<B> = Result<<B as Batches>::Outcome, WalletError>;

/// A batch that is written.
pub(super) struct Written<B: Batches + ?Sized> {
    /// The answer to each command, in order.
    pub answers: Vec<Answer<B>>,
    /// True if it was decided from the catalogs in memory, false where a change of one was in the way.
    pub from_memory: bool,
}

/// Limits of the writer: the amounts that it holds and takes at once, and the times that things may take.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Transactions that may be in flight.
    pub lanes: usize,
    /// Transactions besides that may wait for locks. 0: the others wait for them.
    pub waiting_lanes: usize,
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
    waiting_lanes: Notify,
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

    /// Calls a waiting lane that is free.
    pub(super) fn call_waiting_lane(&self) {
        self.waiting_lanes.notify_one();
    }

    /// Waits until a waiting lane is called, or all are.
    pub(super) fn waiting_lane_called(&self) -> impl Future<Output = ()> {
        self.waiting_lanes.notified()
    }

    /// Changes the queue at the end of a batch, or of a part of one, and calls whoever has something to do then.
    pub(super) fn done(&self, change: impl FnOnce(&mut Queue<B>)) {
        let (calls, calls_waiting_lane, is_closed) = {
            let mut queue = self.queue();
            let (ready, delayed) = (queue.ready(), queue.is_delayed());
            change(&mut queue);
            // A lane that ends a batch looks for the next one by itself. Another has to be called for what was delayed.
            let calls = delayed && queue.ready() > ready && queue.calls(Instant::now());
            (calls, queue.calls_waiting_lane(), queue.is_closed())
        };
        if calls {
            self.call();
        }
        if calls_waiting_lane {
            self.call_waiting_lane();
        }
        if is_closed {
            // Lanes that are free may end.
            self.call_all();
        }
    }

    fn call_all(&self) {
        self.lanes.notify_waiters();
        self.waiting_lanes.notify_waiters();
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
    writing: Vec<Lane<B>>,
    waiting: Vec<WaitingLane<B>>,
    exit: Exit<B>,
}

impl<B: Batches> Writer<B> {
    pub(super) fn new(limits: WriterLimits, reachability: &Reachability, batches: impl Fn() -> B) -> (Self, Lanes<B>) {
        let queue = Mutex::new(Queue::new(limits));
        let shared = Arc::new(Shared { queue, lanes: Notify::new(), waiting_lanes: Notify::new() });
        let runner = || BatchRunner::new(limits, batches(), reachability.clone());
        let lane = |_| Lane::new(Arc::clone(&shared), runner(), limits.waiting_lanes > 0);
        let writing = (0..limits.lanes.max(1)).map(lane).collect();
        let waiting_lane = |_| WaitingLane::new(Arc::clone(&shared), runner());
        let waiting_lanes = (0..limits.waiting_lanes).map(waiting_lane).collect();
        let writer = Self {
            entrance: Arc::new(Entrance(Arc::clone(&shared))),
            request_timeout: limits.request_timeout,
            reachability: reachability.clone(),
        };
        (writer, Lanes { writing, waiting: waiting_lanes, exit: Exit(shared) })
    }

    /// Has a command of an API client written, when its turn comes.
    pub(super) async fn write(&self, client: Arc<str>, command: Arc<B::Command>) -> Answer<B> {
        let (org_id, customer_id) = B::customer(&command);
        if self.reachability.is_lost() {
            return Err(WalletError::CustomerLookupFailed(customer_id, Arc::new(StorageError::Lost)));
        }
        let (job, answered, settled) = Job::new(client, command);
        let shared = &self.entrance.0;
        let (calls, calls_waiting_lane) = {
            let mut queue = shared.queue();
            queue.push(job)?;
            (queue.calls(Instant::now()), queue.calls_waiting_lane())
        };
        if calls {
            shared.call();
        }
        if calls_waiting_lane {
            shared.call_waiting_lane();
        }
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(answer) => answer.unwrap_or(Err(WalletError::ShuttingDown)),
            // Still in the queue, and it will be passed over: nothing is recorded.
            Err(_) if !settled.swap(true, Ordering::Relaxed) => Err(shared
                .queue()
                .delayed_by(org_id)
                .map_or(WalletError::Overloaded, |cause| WalletError::Busy(Arc::clone(cause)))),
            Err(_) => Err(WalletError::Unavailable(Arc::new(StorageError::TimedOut))),
        }
    }
}

impl<B: Batches> Lanes<B> {
    /// Writes until every [`Writer`] is dropped and what they accepted is answered. Gives how many transactions were
    /// tried, and how many requests were answered.
    pub(super) async fn run(self) -> (u64, u64) {
        let Self { writing, waiting, exit } = self;
        let mut lanes: JoinSet<_> = writing.into_iter().map(Lane::run).collect();
        for waiting_lane in waiting {
            lanes.spawn(waiting_lane.run());
        }
        let done = lanes.join_all().await.into_iter().fold((0, 0), |sum, done| (sum.0 + done.0, sum.1 + done.1));
        drop(exit);
        done
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
