//! Runs one batch for a worker, repeats it after transient failures within the time that a transaction may take, and
//! hands out the result.

use std::time::{Duration, Instant};

use super::batch::{Batches, CommandAnswer, Patience, Written};
use super::job::Job;
use super::limits::WriterLimits;
use super::reachability::Reachability;
use super::watch::Watch;
use crate::earning::OrgId;
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;
use crate::telemetry::metrics::{Conflict, WorkerState, WriterMetrics};
use crate::telemetry::traces::{BatchSpan, Traces};

/// Maximum number of times that a batch is decided again after write conflicts before it is split.
const MAX_CONFLICTS: u32 = 8;
/// Longest pause before a batch is decided again, in milliseconds. The pause is random, so that two processes do not
/// conflict again and again.
const MAX_PAUSE_MS: u64 = 10;

/// The runner of the batches of one worker.
pub(super) struct BatchRunner<B: Batches> {
    transaction_timeout: Duration,
    batches: B,
    reachability: Reachability,
    metrics: WriterMetrics,
    traces: Traces,
    /// Number of transactions that were tried, and number of requests in those that succeeded.
    done: (u64, u64),
}

/// A worker that has a batch, until this is dropped.
pub(super) struct BusyWorker {
    metrics: WriterMetrics,
    state: WorkerState,
    _span: Option<BatchSpan>,
}

impl Drop for BusyWorker {
    fn drop(&mut self) {
        self.metrics.moves(self.state, WorkerState::Idle);
    }
}

impl<B: Batches> BatchRunner<B> {
    pub(super) fn new(limits: WriterLimits, batches: B, watch: Watch) -> Self {
        let Watch { reachability, metrics, traces } = watch;
        metrics.worker();
        Self { transaction_timeout: limits.transaction_timeout, batches, reachability, metrics, traces, done: (0, 0) }
    }

    /// Begins the work of a worker in this state, which takes these jobs from the queue.
    pub(super) fn begins(&self, jobs: &[Job<B>], state: WorkerState) -> BusyWorker {
        let now = Instant::now();
        for job in jobs {
            self.metrics.waited(now.saturating_duration_since(job.came).as_secs_f64());
        }
        self.metrics.moves(WorkerState::Idle, state);
        let sampled = jobs.iter().filter_map(|job| Some((job.sampled?, job.came)));
        BusyWorker { metrics: self.metrics.clone(), state, _span: self.traces.begin_batch(sampled) }
    }

    /// Returns the number of transactions that were tried, and of requests in those that succeeded.
    pub(super) fn done(&self) -> (u64, u64) {
        self.done
    }

    /// Runs a batch, and repeats it after transient failures: reading and deciding again is always safe.
    pub(super) async fn run(&mut self, part: &[Job<B>], patience: Patience) -> Result<Written<B>, BatchError> {
        let begun = Instant::now();
        let ran = self.run_until_written(part, patience).await;
        self.metrics.batch(part.iter().map(Job::rows).sum(), begun.elapsed().as_secs_f64());
        ran
    }

    async fn run_until_written(&mut self, part: &[Job<B>], patience: Patience) -> Result<Written<B>, BatchError> {
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
            if let Some(conflict) = conflict(error.source()) {
                self.metrics.conflict(conflict);
            }
            match error.source() {
                StorageError::Conflict(_) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    tracing::debug!(
                        requests = part.len(),
                        conflicts,
                        "write conflict, or the facts changed: deciding the batch again"
                    );
                    let pause = if conflicts > 1 { rand::random_range(0..=MAX_PAUSE_MS) } else { 0 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                StorageError::Disconnected(_) if !disconnected => {
                    disconnected = true;
                    // The transaction may have been committing.
                    in_doubt = matches!(error, BatchError::Save(_));
                    tracing::warn!(
                        requests = part.len(),
                        ?error,
                        "the database connection broke: retrying on another one"
                    );
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

    /// Waits with full patience until no change of the organization is under way.
    pub(super) async fn wait_for_org(&mut self, org_id: OrgId) -> Result<(), BatchError> {
        let Self { transaction_timeout, batches, reachability, .. } = self;
        for tries_left in [1, 0] {
            let waited = async { batches.wait_for_org(org_id).await.map_err(BatchError::Load) };
            match within(*transaction_timeout, reachability, waited).await {
                // The connection was kept from the previous batch: another one may work.
                Err(BatchError::Load(StorageError::Disconnected(_))) if tries_left > 0 => reachability.suspect(),
                waited => return waited,
            }
        }
        Ok(())
    }
}

/// Returns the conflict that an error tells of.
fn conflict(error: &StorageError) -> Option<Conflict> {
    match error {
        StorageError::Conflict(_) => Some(Conflict::Write),
        StorageError::CatalogMoved => Some(Conflict::Catalog),
        StorageError::Busy(_) => Some(Conflict::Lock),
        StorageError::Disconnected(_) => Some(Conflict::Connection),
        _ => None,
    }
}

/// Abandons the work when the database is lost, or does not finish it in time.
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
        // The transaction may have been committing.
        () = reachability.lost() => Err(BatchError::Save(StorageError::Lost)),
        () = tokio::time::sleep(timeout) => {
            reachability.timed_out();
            Err(BatchError::Save(StorageError::TimedOut))
        }
    }
}

/// Answers each caller.
pub(super) fn answer<B: Batches>(part: Vec<Job<B>>, answers: Vec<CommandAnswer<B>>) {
    debug_assert_eq!(part.len(), answers.len(), "each request of a batch has one answer, in its order");
    for (job, answer) in part.into_iter().zip(answers) {
        job.answer(answer);
    }
}

/// Answers each caller with the error of the batch.
pub(super) fn refuse<B: Batches>(part: Vec<Job<B>>, error: BatchError) {
    let error = error.spread();
    for job in part {
        let answer = Err(error(job.customer().1));
        job.answer(answer);
    }
}

/// Splits a batch in two, and pushes the first half last, so that it is popped from `parts` first.
pub(super) fn split<B: Batches>(mut part: Vec<Job<B>>, parts: &mut Vec<Vec<Job<B>>>) {
    debug_assert!(part.len() > 1, "a request alone is refused, not split");
    let second_half = part.split_off(part.len() / 2);
    parts.push(second_half);
    parts.push(part);
}
