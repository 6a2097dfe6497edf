//! A lane of the writer: takes batches from the queue and has them saved, each in one transaction.
//!
//! One request's failure never fails its neighbours: a batch that the database refuses is split until the guilty one is
//! alone. Called by `writer`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::spread;
use super::queue::Job;
use super::reachability::Reachability;
use super::writer::{Answer, Batches, Shared, WriterLimits};
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;

/// How often a batch that met faster writers is decided anew before it is split.
const MAX_CONFLICTS: u32 = 8;
/// Longest wait before it is: random up to this, so that two processes do not meet again and again.
const MAX_PAUSE_MS: u64 = 10;

/// See the top of this file.
pub(super) struct Lane<B: Batches> {
    shared: Arc<Shared<B>>,
    limits: WriterLimits,
    batches: B,
    reachability: Reachability,
    /// What it did: transactions that were tried, and requests in them.
    done: (u64, u64),
}

impl<B: Batches> Lane<B> {
    pub(super) fn new(shared: Arc<Shared<B>>, limits: WriterLimits, batches: B, reachability: Reachability) -> Self {
        Self { shared, limits, batches, reachability, done: (0, 0) }
    }

    /// Writes until nothing more comes. Gives what it did: transactions that were tried, and requests that were answered.
    pub(super) async fn run(mut self) -> (u64, u64) {
        while let Some(batch) = self.next_batch().await {
            let customers: Vec<_> = batch.iter().map(Job::customer).collect();
            self.write(batch).await;
            self.shared.queue().done(&customers);
        }
        self.done
    }

    /// Waits until there is a batch to begin; `None` when there will be none for this lane.
    async fn next_batch(&mut self) -> Option<Vec<Job<B>>> {
        loop {
            // Before looking: a call that comes in between is heard.
            let called = self.shared.called();
            {
                let mut queue = self.shared.queue();
                let now = Instant::now();
                if let Some(batch) = queue.take(now) {
                    let more = queue.calls(now);
                    drop(queue);
                    if more {
                        self.shared.call();
                    }
                    return Some(batch);
                }
                if queue.is_over() {
                    return None;
                }
            }
            called.await;
        }
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
                // Each half would wait for the same lock.
                Err(error)
                    if part.len() > 1
                        && !error.source().is_unavailable()
                        && !matches!(error.source(), StorageError::Busy(_)) =>
                {
                    tracing::warn!(requests = part.len(), ?error, "a batch failed and is split");
                    let second_half = part.split_off(part.len() / 2);
                    parts.push(second_half);
                    parts.push(part);
                }
                Err(error) => {
                    let error = spread(error);
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
