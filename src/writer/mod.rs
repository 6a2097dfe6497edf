//! The committing writer: many requests in one transaction.
//!
//! While one transaction is in flight, the requests that arrive wait in a bounded queue (`queue`), which is fair
//! between the clients that send them; the next transaction takes the waiting requests. There is no timer: an idle
//! service commits a request at once, a busy one grows its batches by itself.
//!
//! On PostgreSQL several workers (`worker`) write concurrently when one does not keep up, and others (`waiting_worker`)
//! wait for locks of other transactions.
//!
//! A worker knows no rules. It hands each batch to the implementation of [`Batches`] in `app` (`app/bulk_earn.rs` and
//! `app/changes.rs`), which loads the facts, has `earning` decide, and saves.

mod batch;
mod batch_runner;
pub mod error;
mod job;
mod limits;
mod queue;
mod reachability;
mod shared;
mod waiting_worker;
mod watch;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub use batch::{Batches, CommandAnswer, Customer, Patience, Written};
pub use error::WalletError;
pub use limits::WriterLimits;
pub use reachability::Reachability;
pub use watch::Watch;

use crate::storage::StorageError;
use batch_runner::BatchRunner;
use job::Job;
use shared::SharedQueue;
use waiting_worker::WaitingWorker;
use worker::Worker;

/// The handle by which requests are submitted.
pub struct Writer<B: Batches> {
    queue: Arc<CloseOnDrop<B>>,
    request_timeout: Duration,
    reachability: Reachability,
}

impl<B: Batches> Clone for Writer<B> {
    fn clone(&self) -> Self {
        let Self { queue, request_timeout, reachability } = self;
        Self { queue: Arc::clone(queue), request_timeout: *request_timeout, reachability: reachability.clone() }
    }
}

impl<B: Batches> fmt::Debug for Writer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

/// Closes the queue when the last [`Writer`] is dropped.
struct CloseOnDrop<B: Batches>(Arc<SharedQueue<B>>);

impl<B: Batches> Drop for CloseOnDrop<B> {
    fn drop(&mut self) {
        self.0.queue().close();
        self.0.wake_all();
    }
}

/// Closes the queue when the workers end, and drops the waiting requests.
struct AbandonOnDrop<B: Batches>(Arc<SharedQueue<B>>);

impl<B: Batches> Drop for AbandonOnDrop<B> {
    fn drop(&mut self) {
        self.0.queue().abandon();
    }
}

/// The workers of the writer.
pub struct Workers<B: Batches> {
    writing: Vec<Worker<B>>,
    waiting: Vec<WaitingWorker<B>>,
    queue: AbandonOnDrop<B>,
}

impl<B: Batches> Writer<B> {
    /// Returns the writer, and the workers that write what is submitted to it.
    pub fn new(limits: WriterLimits, watch: Watch, batches: impl Fn() -> B) -> (Self, Workers<B>) {
        let shared = Arc::new(SharedQueue::new(limits));
        let runner = || BatchRunner::new(limits, batches(), watch.clone());
        let worker = |_| Worker::new(Arc::clone(&shared), runner(), limits.waiting_workers > 0);
        let writing = (0..limits.workers.max(1)).map(worker).collect();
        let waiting_worker = |_| WaitingWorker::new(Arc::clone(&shared), runner());
        let waiting_workers = (0..limits.waiting_workers).map(waiting_worker).collect();
        let writer = Self {
            queue: Arc::new(CloseOnDrop(Arc::clone(&shared))),
            request_timeout: limits.request_timeout,
            reachability: watch.reachability,
        };
        (writer, Workers { writing, waiting: waiting_workers, queue: AbandonOnDrop(shared) })
    }

    /// Returns the number of requests that wait in the queue.
    pub fn queued(&self) -> usize {
        self.queue.0.queue().waiting()
    }

    /// Submits a command of an API client, and waits until it is written.
    pub async fn write(&self, client: Arc<str>, command: Arc<B::Command>) -> CommandAnswer<B> {
        let (org_id, customer_id) = B::customer(&command);
        if self.reachability.is_lost() {
            return Err(WalletError::CustomerLookupFailed(customer_id, Arc::new(StorageError::Lost)));
        }
        let (job, answered, settled) = Job::new(client, command);
        let shared = &self.queue.0;
        let (wakes_worker, wakes_waiting_worker) = {
            let mut queue = shared.queue();
            queue.push(job)?;
            (queue.wakes_worker(Instant::now()), queue.wakes_waiting_worker())
        };
        if wakes_worker {
            shared.wake_worker();
        }
        if wakes_waiting_worker {
            shared.wake_waiting_worker();
        }
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(answer) => answer.unwrap_or(Err(WalletError::ShuttingDown)),
            // The request is still in the queue and will be skipped: nothing is recorded.
            Err(_) if !settled.swap(true, Ordering::Relaxed) => Err(shared
                .queue()
                .delayed_by(org_id)
                .map_or(WalletError::Overloaded, |cause| WalletError::Busy(Arc::clone(cause)))),
            Err(_) => Err(WalletError::Unavailable(Arc::new(StorageError::TimedOut))),
        }
    }
}

impl<B: Batches> Workers<B> {
    /// Runs until every [`Writer`] is dropped and all accepted requests are answered. Returns the number of
    /// transactions that were tried, and of requests that were answered.
    pub async fn run(self) -> (u64, u64) {
        let Self { writing, waiting, queue } = self;
        let mut workers: JoinSet<_> = writing.into_iter().map(Worker::run).collect();
        for waiting_worker in waiting {
            workers.spawn(waiting_worker.run());
        }
        let done = workers.join_all().await.into_iter().fold((0, 0), |sum, done| (sum.0 + done.0, sum.1 + done.1));
        drop(queue);
        done
    }
}

#[cfg(test)]
mod tests;
