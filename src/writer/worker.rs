//! A worker of the writer: takes batches from the queue and has them saved, each in one transaction.
//!
//! A failing request never fails the others of its batch: a batch that the database refuses is split until the failing
//! request is alone. And a lock never holds the worker up for long: a batch that has to wait for a lock is split by
//! organization, and the requests of an organization that still waits go back into the queue, for waiting workers
//! (`waiting_worker`). Called by `writer`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::batch::{Batches, Customer, Patience};
use super::batch_runner::{self, BatchRunner};
use super::job::Job;
use super::shared::SharedQueue;
use crate::earning::OrgId;
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;
use crate::telemetry::metrics::WorkerState;

/// Number of times that a worker yields to other tasks before its next batch, while several clients are active: so
/// answers are sent, and a client that received one may be in the batch with its next request.
const YIELDS: usize = 2;

async fn let_others_run() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

/// A worker of the writer.
pub(super) struct Worker<B: Batches> {
    shared: Arc<SharedQueue<B>>,
    runner: BatchRunner<B>,
    /// True when there are waiting workers, which take the requests of delayed organizations.
    delays_orgs: bool,
}

/// A batch that is being written.
struct RunningBatch<B: Batches> {
    /// The parts that are still to be tried, the next one last.
    parts: Vec<Vec<Job<B>>>,
    /// The customers whose other requests are kept out of concurrent batches.
    customers: Vec<Customer>,
}

/// The requests of one organization in a batch, and the error that delays them.
struct OrgPart<'a, B: Batches> {
    org_id: OrgId,
    jobs: Vec<Job<B>>,
    cause: &'a Arc<StorageError>,
}

impl<B: Batches> Worker<B> {
    pub(super) fn new(shared: Arc<SharedQueue<B>>, runner: BatchRunner<B>, delays_orgs: bool) -> Self {
        Self { shared, runner, delays_orgs }
    }

    /// Runs until no more batches come. Returns the number of transactions that were tried, and of requests that were
    /// answered.
    pub(super) async fn run(mut self) -> (u64, u64) {
        while let Some(batch) = self.next_batch().await {
            let customers = batch.iter().map(Job::customer).collect();
            let busy = self.runner.begins(&batch, WorkerState::Writing);
            let customers = self.write(RunningBatch { parts: vec![batch], customers }).await;
            drop(busy);
            let mut is_shared = false;
            self.shared.done(|queue| {
                queue.done(&customers);
                is_shared = queue.is_shared();
            });
            if is_shared {
                let_others_run().await;
            }
        }
        self.runner.done()
    }

    /// Waits until there is a batch to begin; returns `None` when there will be none for this worker.
    async fn next_batch(&mut self) -> Option<Vec<Job<B>>> {
        loop {
            // The worker registers before it looks, so that being woken in between is not missed.
            let woken = self.shared.worker_woken();
            {
                let mut queue = self.shared.queue();
                let now = Instant::now();
                if let Some(batch) = queue.take(now) {
                    let more = queue.wakes_worker(now);
                    drop(queue);
                    if more {
                        self.shared.wake_worker();
                    }
                    return Some(batch);
                }
                if queue.is_over() {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// Writes a batch. Returns the customers whose other requests it still keeps out of concurrent batches.
    async fn write(&mut self, mut batch: RunningBatch<B>) -> Vec<Customer> {
        let patience = if self.delays_orgs { Patience::Least } else { Patience::Full };
        while let Some(mut part) = batch.parts.pop() {
            part.retain_mut(Job::take);
            if part.is_empty() {
                continue;
            }
            match self.runner.run(&part, patience).await {
                Ok(written) => batch_runner::answer(part, written.answers),
                Err(error) if error.is_held_up() && self.delays_orgs => self.split_by_org(part, &mut batch, error),
                // A busy batch is not split here: where one lock guards everything, each half would wait for it again.
                Err(error) if part.len() > 1 && error.is_of_one_request() => {
                    tracing::warn!(requests = part.len(), ?error, "a batch failed and is split");
                    batch_runner::split(part, &mut batch.parts);
                }
                Err(error) => batch_runner::refuse(part, error),
            }
        }
        batch.customers
    }

    /// Splits a batch by organization to find the one that holds it up, and puts the requests of that organization
    /// back.
    fn split_by_org(&mut self, part: Vec<Job<B>>, batch: &mut RunningBatch<B>, error: BatchError) {
        let mut by_org = BTreeMap::<OrgId, Vec<Job<B>>>::new();
        for mut job in part {
            // Nothing of it is recorded, and its caller may stop waiting until it is tried again.
            job.give_back();
            by_org.entry(job.customer().0).or_default().push(job);
        }
        let cause = error.into_shared_source();
        let is_one = by_org.len() == 1;
        for (org_id, jobs) in by_org {
            // Another worker may have delayed the organization meanwhile.
            if is_one || self.shared.queue().delayed_by(org_id).is_some() {
                self.delay_org(OrgPart { org_id, jobs, cause: &cause }, batch);
            } else {
                batch.parts.push(jobs);
            }
        }
    }

    /// Delays the organization: puts all its unwritten requests back into the queue.
    fn delay_org(&mut self, part: OrgPart<'_, B>, batch: &mut RunningBatch<B>) {
        let OrgPart { org_id, mut jobs, cause } = part;
        for part in &mut batch.parts {
            jobs.extend(part.extract_if(.., |job| job.customer().0 == org_id));
        }
        let customers: Vec<_> = batch.customers.extract_if(.., |customer| customer.0 == org_id).collect();
        // Catalog changes are too frequent for a warning.
        if matches!(**cause, StorageError::CatalogMoved) {
            tracing::debug!(org = org_id.0, requests = jobs.len(), %cause, "an organization is delayed");
        } else {
            tracing::warn!(org = org_id.0, requests = jobs.len(), %cause, "an organization is delayed");
        }
        self.shared.done(|queue| {
            queue.delay(org_id, jobs, Arc::clone(cause));
            queue.release(&customers);
        });
    }
}
