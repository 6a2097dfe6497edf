//! The committing writer: many requests in one transaction.
//!
//! While one transaction is in flight, the requests that arrive wait in a bounded queue; the next transaction takes
//! them all. There is no timer: an idle service commits a request at once, a busy one grows its batches by itself. One
//! request's failure never fails its neighbours: a batch that the database refuses is split until the guilty one is
//! alone.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::bulk_earn::{BatchEarner, Earned};
use super::{Clock, EarnError};
use crate::earning::BulkEarn;
use crate::storage::Store;

/// How much the writer holds and takes at once.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Requests that may wait. One more is refused at once.
    pub max_waiting: usize,
    /// Requests of one transaction.
    pub max_batch_requests: usize,
    /// Earn counts of one transaction, summed; a request that is larger on its own still goes, alone.
    pub max_batch_earn_count: usize,
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self { max_waiting: 4_096, max_batch_requests: 1_024, max_batch_earn_count: 10_000 }
    }
}

/// Where requests wait for the writer.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    command: Arc<BulkEarn>,
    answer: oneshot::Sender<Earned>,
}

impl Job {
    fn earn_count(&self) -> usize {
        self.command.entries.iter().map(|entry| entry.earn_count as usize).sum()
    }
}

/// The writer itself.
#[derive(Debug)]
pub struct WriterTask {
    queue: mpsc::Receiver<Job>,
    limits: WriterLimits,
    earner: BatchEarner,
    /// Taken from the queue, but too large for the batch that was being filled.
    held_back: Option<Job>,
}

impl Writer {
    pub(super) fn new(store: Store, clock: Clock, limits: WriterLimits) -> (Self, WriterTask) {
        let (sender, receiver) = mpsc::channel(limits.max_waiting.max(1));
        let earner = BatchEarner::new(store, clock);
        (Self { queue: sender }, WriterTask { queue: receiver, limits, earner, held_back: None })
    }

    pub(super) async fn earn(&self, command: Arc<BulkEarn>) -> Earned {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { command, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EarnError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => EarnError::ShuttingDown,
        })?;
        answered.await.unwrap_or(Err(EarnError::ShuttingDown))
    }
}

impl WriterTask {
    /// Writes until every [`Writer`] is dropped and what they accepted is answered.
    pub async fn run(mut self) {
        let (mut transactions, mut requests) = (0_u64, 0_u64);
        while let Some(batch) = self.next_batch().await {
            transactions += 1;
            requests += batch.len() as u64;
            self.earn(batch).await;
        }
        tracing::info!(transactions, requests, "writer stopped");
    }

    /// Everything that waits, up to the limits; waits itself when there is nothing.
    async fn next_batch(&mut self) -> Option<Vec<Job>> {
        let first = match self.held_back.take() {
            Some(job) => job,
            None => self.queue.recv().await?,
        };
        let mut earn_count = first.earn_count();
        let mut batch = vec![first];
        while batch.len() < self.limits.max_batch_requests {
            let Ok(job) = self.queue.try_recv() else { break };
            // The caller hung up while it waited: nobody would read the answer, and a repeat is safe.
            if job.answer.is_closed() {
                continue;
            }
            earn_count += job.earn_count();
            if earn_count > self.limits.max_batch_earn_count {
                self.held_back = Some(job);
                break;
            }
            batch.push(job);
        }
        Some(batch)
    }

    async fn earn(&mut self, batch: Vec<Job>) {
        // The parts of a batch that are still to be tried, the next one last.
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let commands: Vec<_> = part.iter().map(|job| &*job.command).collect();
            match self.earner.earn(&commands).await {
                Ok(answers) => {
                    for (job, answer) in part.into_iter().zip(answers) {
                        // A caller that hung up gets no answer; what it was granted stays.
                        let _ = job.answer.send(answer);
                    }
                }
                Err(error) if part.len() > 1 && !error.is_unavailable() => {
                    tracing::warn!(requests = part.len(), ?error, "a batch failed and is split");
                    let second_half = part.split_off(part.len() / 2);
                    parts.push(second_half);
                    parts.push(part);
                }
                Err(error) => {
                    let error = error.spread();
                    for job in part {
                        let answer = Err(error(&job.command));
                        let _ = job.answer.send(answer);
                    }
                }
            }
        }
    }
}
