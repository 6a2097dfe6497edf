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

use super::error::{BatchError, WalletError};
use super::reachability::Reachability;
use crate::earning::{CustomerId, OrgId};
use crate::storage::StorageError;

/// How often a batch that met faster writers is decided anew before it is split.
const MAX_CONFLICTS: u32 = 8;
/// Longest wait before it is: random up to this, so that two processes do not meet again and again.
const MAX_PAUSE_MS: u64 = 10;

/// Decides and saves batches of commands of one kind. Each lane has its own.
pub(super) trait Batches: Send + 'static {
    /// What is asked for.
    type Command: Send + Sync + 'static;
    /// What became of it.
    type Outcome: Send + 'static;

    /// Whose wallet the command writes to.
    fn customer(command: &Self::Command) -> (OrgId, CustomerId);

    /// How many rows it may write.
    fn rows(command: &Self::Command) -> usize;

    /// Decides every command of the batch, in order, and saves all of it in one transaction.
    fn run(&mut self, batch: &[&Self::Command]) -> impl Future<Output = Result<Vec<Answer<Self>>, BatchError>> + Send;
}

/// What a command is answered.
pub(super) type Answer<B> = Result<<B as Batches>::Outcome, WalletError>;

/// How much the writer holds and takes at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Transactions that may be in flight.
    pub lanes: usize,
    /// Requests that may wait. One more is refused at once.
    pub max_waiting: usize,
    /// Requests of one transaction.
    pub max_batch_requests: usize,
    /// Rows of the wallet that one transaction writes; a request that is larger on its own still goes, alone.
    pub max_batch_rows: usize,
    /// How long a request waits for its answer.
    pub request_timeout: Duration,
    /// How long a transaction may take, in all.
    pub transaction_timeout: Duration,
}

/// Where requests wait for the writer.
#[derive(Debug)]
pub(super) struct Writer<B: Batches> {
    lanes: Arc<[mpsc::Sender<Job<B>>]>,
    request_timeout: Duration,
    reachability: Reachability,
}

impl<B: Batches> Clone for Writer<B> {
    fn clone(&self) -> Self {
        let Self { lanes, request_timeout, reachability } = self;
        Self { lanes: Arc::clone(lanes), request_timeout: *request_timeout, reachability: reachability.clone() }
    }
}

struct Job<B: Batches> {
    command: Arc<B::Command>,
    answer: oneshot::Sender<Answer<B>>,
    /// Set by whoever comes first: the writer that takes it, or the caller that gives up.
    settled: Arc<AtomicBool>,
}

impl<B: Batches> Job<B> {
    fn rows(&self) -> usize {
        B::rows(&self.command)
    }

    /// Takes it into a batch; false when nobody waits for it any more: then it must not cost a write.
    fn take(&self) -> bool {
        !self.answer.is_closed() && !self.settled.swap(true, Ordering::Relaxed)
    }
}

/// The writer itself.
pub(super) struct Lanes<B: Batches>(Vec<Lane<B>>);

struct Lane<B: Batches> {
    queue: mpsc::Receiver<Job<B>>,
    limits: WriterLimits,
    batches: B,
    reachability: Reachability,
    /// Taken from the queue, but too large for the batch that was being filled.
    held_back: Option<Job<B>>,
    /// What it did: transactions that were tried, and requests in them.
    done: (u64, u64),
}

impl<B: Batches> Writer<B> {
    pub(super) fn new(limits: WriterLimits, reachability: &Reachability, batches: impl Fn() -> B) -> (Self, Lanes<B>) {
        let lanes = limits.lanes.max(1);
        let (senders, lanes): (Vec<_>, Vec<_>) = (0..lanes)
            .map(|_| {
                let (sender, queue) = mpsc::channel(limits.max_waiting.div_ceil(lanes).max(1));
                let (batches, reachability) = (batches(), reachability.clone());
                (sender, Lane { queue, limits, batches, reachability, held_back: None, done: (0, 0) })
            })
            .unzip();
        let request_timeout = limits.request_timeout;
        (Self { lanes: senders.into(), request_timeout, reachability: reachability.clone() }, Lanes(lanes))
    }

    pub(super) async fn write(&self, command: Arc<B::Command>) -> Answer<B> {
        let (org_id, customer_id) = B::customer(&command);
        if self.reachability.is_lost() {
            return Err(WalletError::CustomerLookupFailed(customer_id, Arc::new(StorageError::Lost)));
        }
        let (answer, answered) = oneshot::channel();
        let settled = Arc::new(AtomicBool::new(false));
        let lane = &self.lanes[lane_of((org_id, customer_id), self.lanes.len())];
        lane.try_send(Job { command, answer, settled: Arc::clone(&settled) }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WalletError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => WalletError::ShuttingDown,
        })?;
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(answer) => answer.unwrap_or(Err(WalletError::ShuttingDown)),
            // Still in the queue, and it will be passed over: nothing is recorded.
            Err(_) if !settled.swap(true, Ordering::Relaxed) => Err(WalletError::Overloaded),
            Err(_) => Err(WalletError::Unavailable(Arc::new(StorageError::TimedOut))),
        }
    }
}

/// Customers are spread over the lanes evenly, whatever their numbers have in common.
fn lane_of((OrgId(org_id), CustomerId(customer_id)): (OrgId, CustomerId), lanes: usize) -> usize {
    let mixed = (org_id ^ customer_id).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or_default() % lanes
}

impl<B: Batches> Lanes<B> {
    /// Writes until every [`Writer`] is dropped and what they accepted is answered. Gives how many transactions were
    /// tried, and how many requests were answered.
    pub(super) async fn run(self) -> (u64, u64) {
        let lanes: JoinSet<_> = self.0.into_iter().map(Lane::run).collect();
        lanes.join_all().await.into_iter().fold((0, 0), |sum, done| (sum.0 + done.0, sum.1 + done.1))
    }
}

impl<B: Batches> Lane<B> {
    async fn run(mut self) -> (u64, u64) {
        while let Some(batch) = self.next_batch().await {
            self.write(batch).await;
        }
        self.done
    }

    /// Everything that waits, up to the limits; waits itself when there is nothing.
    async fn next_batch(&mut self) -> Option<Vec<Job<B>>> {
        let first = match self.held_back.take() {
            Some(job) => job,
            None => loop {
                let job = self.queue.recv().await?;
                if job.take() {
                    break job;
                }
            },
        };
        let mut rows = first.rows();
        let mut batch = vec![first];
        while batch.len() < self.limits.max_batch_requests {
            let Ok(job) = self.queue.try_recv() else { break };
            if !job.take() {
                continue;
            }
            rows += job.rows();
            if rows > self.limits.max_batch_rows {
                self.held_back = Some(job);
                break;
            }
            batch.push(job);
        }
        Some(batch)
    }

    async fn write(&mut self, batch: Vec<Job<B>>) {
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
                        let answer = Err(error(B::customer(&job.command).1));
                        let _ = job.answer.send(answer);
                    }
                }
            }
        }
    }

    /// Tries again what may go better the next time: reading and deciding anew is always safe.
    async fn try_part(&mut self, part: &[Job<B>]) -> Result<Vec<Answer<B>>, BatchError> {
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

    async fn try_once(&mut self, commands: &[&B::Command]) -> Result<Vec<Answer<B>>, BatchError> {
        if self.reachability.is_lost() {
            return Err(BatchError::Load(StorageError::Lost));
        }
        tokio::select! {
            biased;
            answers = self.batches.run(commands) => answers,
            // It may have been committing.
            () = self.reachability.lost() => Err(BatchError::Save(StorageError::Lost)),
            () = tokio::time::sleep(self.limits.transaction_timeout) => Err(BatchError::Save(StorageError::TimedOut)),
        }
    }
}
