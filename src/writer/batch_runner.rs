//! Runs one batch for a lane: again where it may go better the next time, and no longer than a transaction may take.
//! Hands out what became of it.

use std::time::Duration;

use super::batch::{Answer, Batches, Patience, Written};
use super::job::Job;
use super::limits::WriterLimits;
use super::reachability::Reachability;
use crate::earning::OrgId;
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;

/// How often a batch that met faster writers is decided anew before it is split.
const MAX_CONFLICTS: u32 = 8;
/// Longest wait before it is: random up to this, so that two processes do not meet again and again.
const MAX_PAUSE_MS: u64 = 10;

/// See the top of this file.
pub(super) struct BatchRunner<B: Batches> {
    transaction_timeout: Duration,
    batches: B,
    reachability: Reachability,
    /// Transactions that were tried, and requests in those that went well.
    done: (u64, u64),
}

impl<B: Batches> BatchRunner<B> {
    pub(super) fn new(limits: WriterLimits, batches: B, reachability: Reachability) -> Self {
        Self { transaction_timeout: limits.transaction_timeout, batches, reachability, done: (0, 0) }
    }

    /// Transactions that were tried, and requests in those that went well.
    pub(super) fn done(&self) -> (u64, u64) {
        self.done
    }

    /// Tries again what may go better the next time: reading and deciding anew is always safe.
    pub(super) async fn run(&mut self, part: &[Job<B>], patience: Patience) -> Result<Written<B>, BatchError> {
        let commands: Vec<_> = part.iter().map(|job| &*job.command).collect();
        let (mut conflicts, mut disconnected, mut in_doubt) = (0, false, false);
        loop {
            self.done.0 += 1;
            let error = match self.run_once(&commands, patience).await {
                Ok(written) => {
                    self.done.1 += written.answers.len() as u64;
                    return Ok(written);
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
                    // It may have been committing.
                    in_doubt = matches!(error, BatchError::Save(_));
                    tracing::warn!(requests = part.len(), ?error, "the connection broke: trying another");
                    self.reachability.suspect();
                }
                other => {
                    if other.is_unavailable() {
                        self.reachability.suspect();
                    }
                    return Err(if in_doubt { error.of_doubtful_write() } else { error });
                }
            }
        }
    }

    async fn run_once(&mut self, commands: &[&B::Command], patience: Patience) -> Result<Written<B>, BatchError> {
        let Self { transaction_timeout, batches, reachability, .. } = self;
        within(*transaction_timeout, reachability, batches.run(commands, patience)).await
    }

    /// Waits, with full patience, until no change of the organization is under way.
    pub(super) async fn wait_for_org(&mut self, org_id: OrgId) -> Result<(), BatchError> {
        let Self { transaction_timeout, batches, reachability, .. } = self;
        for tries_left in [1, 0] {
            let waited = async { batches.wait_for_org(org_id).await.map_err(BatchError::Load) };
            match within(*transaction_timeout, reachability, waited).await {
                // The connection was kept from the batch before: another one may do.
                Err(BatchError::Load(StorageError::Disconnected(_))) if tries_left > 0 => reachability.suspect(),
                waited => return waited,
            }
        }
        Ok(())
    }
}

/// Gives up when the database is lost, or does not get to it in time.
async fn within<T>(
    timeout: Duration,
    reachability: &Reachability,
    work: impl Future<Output = Result<T, BatchError>>,
) -> Result<T, BatchError> {
    if reachability.is_lost() {
        return Err(BatchError::Load(StorageError::Lost));
    }
    tokio::select! {
        biased;
        done = work => done,
        // It may have been committing.
        () = reachability.lost() => Err(BatchError::Save(StorageError::Lost)),
        () = tokio::time::sleep(timeout) => {
            reachability.timed_out();
            Err(BatchError::Save(StorageError::TimedOut))
        }
    }
}

/// Hands each caller its answer.
pub(super) fn answer<B: Batches>(part: Vec<Job<B>>, answers: Vec<Answer<B>>) {
    for (job, answer) in part.into_iter().zip(answers) {
        job.answer(answer);
    }
}

/// Tells each caller why its request failed with the others.
pub(super) fn refuse<B: Batches>(part: Vec<Job<B>>, error: BatchError) {
    let error = error.spread();
    for job in part {
        let answer = Err(error(job.customer().1));
        job.answer(answer);
    }
}

/// Parts a batch in two, of which the first half comes first from the end of `parts`.
pub(super) fn split<B: Batches>(mut part: Vec<Job<B>>, parts: &mut Vec<Vec<Job<B>>>) {
    let second_half = part.split_off(part.len() / 2);
    parts.push(second_half);
    parts.push(part);
}
