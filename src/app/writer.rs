//! The committing writer: many requests in one transaction.
//!
//! While one transaction is in flight, the requests that arrive wait in a bounded queue; the next transaction takes
//! them all. There is no timer: an idle service commits a request at once, a busy one grows its batches by itself. One
//! request's failure never fails its neighbours: a batch that the database refuses is split until the guilty one is
//! alone.
//!
//! On PostgreSQL several lanes write beside one another. A customer is always in the same lane, so the lanes of one
//! process never wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::EarnError;
use super::bulk_earn::{BatchEarner, BatchError, Earned};
use super::reachability::Reachability;
use crate::earning::BulkEarn;
use crate::storage::StorageError;

/// How often a batch that met faster writers is decided anew before it is split.
const MAX_CONFLICTS: u32 = 8;
/// Longest wait before it is: random up to this, so that two processes do not meet again and again.
const MAX_PAUSE_MS: u64 = 10;

/// How much the writer holds and takes at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Transactions that may be in flight.
    pub lanes: usize,
    /// Requests that may wait. One more is refused at once.
    pub max_waiting: usize,
    /// Requests of one transaction.
    pub max_batch_requests: usize,
    /// Earn counts of one transaction, summed; a request that is larger on its own still goes, alone.
    pub max_batch_earn_count: usize,
    /// How long a request waits for its answer.
    pub request_timeout: Duration,
    /// How long a transaction may take, in all.
    pub transaction_timeout: Duration,
}

/// Where requests wait for the writer.
#[derive(Debug, Clone)]
pub struct Writer {
    lanes: Arc<[mpsc::Sender<Job>]>,
    request_timeout: Duration,
    reachability: Reachability,
}

#[derive(Debug)]
struct Job {
    command: Arc<BulkEarn>,
    answer: oneshot::Sender<Earned>,
    /// Set by whoever comes first: the writer that takes it, or the caller that gives up.
    settled: Arc<AtomicBool>,
}

impl Job {
    fn earn_count(&self) -> usize {
        self.command.entries.iter().map(|entry| entry.earn_count as usize).sum()
    }

    /// Takes it into a batch; false when nobody waits for it any more: then it must not cost a write.
    fn take(&self) -> bool {
        !self.answer.is_closed() && !self.settled.swap(true, Ordering::Relaxed)
    }
}

/// The writer itself.
#[derive(Debug)]
pub struct WriterTask {
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    queue: mpsc::Receiver<Job>,
    limits: WriterLimits,
    earner: BatchEarner,
    reachability: Reachability,
    /// Taken from the queue, but too large for the batch that was being filled.
    held_back: Option<Job>,
    /// What it did: transactions that were tried, and requests in them.
    done: (u64, u64),
}

impl Writer {
    pub(super) fn new(
        limits: WriterLimits,
        reachability: Reachability,
        earner: impl Fn() -> BatchEarner,
    ) -> (Self, WriterTask) {
        let lanes = limits.lanes.max(1);
        let (senders, lanes): (Vec<_>, Vec<_>) = (0..lanes)
            .map(|_| {
                let (sender, queue) = mpsc::channel(limits.max_waiting.div_ceil(lanes).max(1));
                let (earner, reachability) = (earner(), reachability.clone());
                (sender, Lane { queue, limits, earner, reachability, held_back: None, done: (0, 0) })
            })
            .unzip();
        let request_timeout = limits.request_timeout;
        (Self { lanes: senders.into(), request_timeout, reachability }, WriterTask { lanes })
    }

    pub(super) async fn earn(&self, command: Arc<BulkEarn>) -> Earned {
        if self.reachability.is_lost() {
            return Err(EarnError::CustomerLookupFailed(command.customer_id, Arc::new(StorageError::Lost)));
        }
        let (answer, answered) = oneshot::channel();
        let settled = Arc::new(AtomicBool::new(false));
        let lane = &self.lanes[lane_of(&command, self.lanes.len())];
        lane.try_send(Job { command, answer, settled: Arc::clone(&settled) }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EarnError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => EarnError::ShuttingDown,
        })?;
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(answer) => answer.unwrap_or(Err(EarnError::ShuttingDown)),
            // Still in the queue, and it will be passed over: nothing is recorded.
            Err(_) if !settled.swap(true, Ordering::Relaxed) => Err(EarnError::Overloaded),
            Err(_) => Err(EarnError::Unavailable(Arc::new(StorageError::TimedOut))),
        }
    }
}

/// Customers are spread over the lanes evenly, whatever their numbers have in common.
fn lane_of(command: &BulkEarn, lanes: usize) -> usize {
    let mixed = (command.org_id.0 ^ command.customer_id.0).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or_default() % lanes
}

impl WriterTask {
    /// Writes until every [`Writer`] is dropped and what they accepted is answered.
    pub async fn run(self) {
        let lanes: JoinSet<_> = self.lanes.into_iter().map(Lane::run).collect();
        let (transactions, requests) =
            lanes.join_all().await.into_iter().fold((0, 0), |sum, done| (sum.0 + done.0, sum.1 + done.1));
        tracing::info!(transactions, requests, "writer stopped");
    }
}

impl Lane {
    async fn run(mut self) -> (u64, u64) {
        while let Some(batch) = self.next_batch().await {
            self.earn(batch).await;
        }
        self.done
    }

    /// Everything that waits, up to the limits; waits itself when there is nothing.
    async fn next_batch(&mut self) -> Option<Vec<Job>> {
        let first = match self.held_back.take() {
            Some(job) => job,
            None => loop {
                let job = self.queue.recv().await?;
                if job.take() {
                    break job;
                }
            },
        };
        let mut earn_count = first.earn_count();
        let mut batch = vec![first];
        while batch.len() < self.limits.max_batch_requests {
            let Ok(job) = self.queue.try_recv() else { break };
            if !job.take() {
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
            match self.try_part(&part).await {
                Ok(answers) => {
                    for (job, answer) in part.into_iter().zip(answers) {
                        // A caller that hung up gets no answer; what it was granted stays.
                        let _ = job.answer.send(answer);
                    }
                }
                Err(error) if part.len() > 1 && !error.source().is_unavailable() => {
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

    /// Tries again what may go better the next time: reading and deciding anew is always safe.
    async fn try_part(&mut self, part: &[Job]) -> Result<Vec<Earned>, BatchError> {
        let commands: Vec<_> = part.iter().map(|job| &*job.command).collect();
        let (mut conflicts, mut disconnected) = (0, false);
        loop {
            self.done.0 += 1;
            let error = match self.try_once(&commands).await {
                Ok(answers) => {
                    self.done.1 += answers.len() as u64;
                    return Ok(answers);
                }
                Err(error) => error,
            };
            match error.source() {
                StorageError::Conflict(_) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    tracing::debug!(
                        requests = part.len(),
                        conflicts,
                        "not as presumed, or another process was faster: deciding anew"
                    );
                    let pause = if conflicts > 1 { rand::random_range(0..=MAX_PAUSE_MS) } else { 0 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                StorageError::Disconnected(_) if !disconnected => {
                    disconnected = true;
                    tracing::warn!(requests = part.len(), ?error, "the connection broke: trying another");
                    self.reachability.suspect();
                }
                other => {
                    if other.is_unavailable() {
                        self.reachability.suspect();
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn try_once(&mut self, commands: &[&BulkEarn]) -> Result<Vec<Earned>, BatchError> {
        if self.reachability.is_lost() {
            return Err(BatchError::Load(StorageError::Lost));
        }
        tokio::select! {
            biased;
            earned = self.earner.earn(commands) => earned,
            // It may have been committing.
            () = self.reachability.lost() => Err(BatchError::Save(StorageError::Lost)),
            () = tokio::time::sleep(self.limits.transaction_timeout) => Err(BatchError::Save(StorageError::TimedOut)),
        }
    }
}
