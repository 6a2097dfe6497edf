//! A worker for organizations that are delayed by a lock of another transaction: only here does a worker wait for
//! locks.
//!
//! Each batch is of one organization. First the worker waits until no change of the whole organization is under way. A
//! batch that still has to wait for a lock is split, down to the requests that wait for it, so that the others are
//! written; those requests come last, and wait for the maximum time of a lock. Called by `writer`.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::{Batches, Customer, Patience};
use super::batch_runner::{self, BatchRunner};
use super::error::WalletError;
use super::job::Job;
use super::queue::DelayedBatch;
use super::shared::SharedQueue;
use crate::telemetry::metrics::WorkerState;

/// Maximum number of requests that wait for a lock and are postponed while the others are tried.
const MAX_STUCK: usize = 4;

/// A worker for delayed organizations.
pub(super) struct WaitingWorker<B: Batches> {
    shared: Arc<SharedQueue<B>>,
    runner: BatchRunner<B>,
}

impl<B: Batches> WaitingWorker<B> {
    pub(super) fn new(shared: Arc<SharedQueue<B>>, runner: BatchRunner<B>) -> Self {
        Self { shared, runner }
    }

    /// Runs until no more batches come. Returns the number of transactions that were tried, and of requests that were
    /// answered.
    pub(super) async fn run(mut self) -> (u64, u64) {
        while let Some(batch) = self.next_batch().await {
            let org_id = batch.org_id;
            let customers: Vec<_> = batch.jobs.iter().map(Job::customer).collect();
            let busy = self.runner.begins(&batch.jobs, WorkerState::Waiting);
            let met_no_lock = self.write(batch).await;
            drop(busy);
            if met_no_lock {
                tracing::info!(org = org_id.0, "an organization is no longer delayed by a lock");
            }
            self.shared.done(|queue| queue.done_delayed(org_id, &customers, met_no_lock));
        }
        self.runner.done()
    }

    /// Waits until there is a batch to begin; returns `None` when there will be none for this worker.
    async fn next_batch(&mut self) -> Option<DelayedBatch<B>> {
        loop {
            // The worker registers before it looks, so that being woken in between is not missed.
            let woken = self.shared.waiting_worker_woken();
            {
                let mut queue = self.shared.queue();
                if let Some(batch) = queue.take_delayed() {
                    let more = queue.wakes_waiting_worker();
                    drop(queue);
                    if more {
                        self.shared.wake_waiting_worker();
                    }
                    return Some(batch);
                }
                if queue.is_over_for_waiting_workers() {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// Writes a batch. Returns true when something was written and no part had to wait for a lock or met a change of
    /// the catalog: the organization is no longer delayed.
    async fn write(&mut self, batch: DelayedBatch<B>) -> bool {
        if let Err(error) = self.runner.wait_for_org(batch.org_id).await {
            batch_runner::refuse(batch.jobs, error);
            return false;
        }
        let (mut wrote, mut met_change, mut stuck) = (false, false, Vec::new());
        // The parts that are still to be tried, the next one last.
        let mut parts = vec![batch.jobs];
        while let Some(mut part) = parts.pop() {
            part.retain_mut(Job::take);
            if part.is_empty() {
                continue;
            }
            match self.runner.run(&part, Patience::Short).await {
                Ok(written) => {
                    wrote = true;
                    met_change |= !written.from_memory;
                    batch_runner::answer(part, written.answers);
                }
                Err(error) if error.is_busy() => {
                    part.iter_mut().for_each(Job::give_back);
                    if part.len() > 1 {
                        batch_runner::split(part, &mut parts);
                    } else {
                        set_aside(part, &mut parts, &mut stuck);
                        met_change = true;
                        if stuck.len() >= MAX_STUCK {
                            // They would wait in vain for the end of a batch in which all requests wait.
                            self.write_stuck(std::mem::take(&mut stuck)).await;
                        }
                    }
                }
                Err(error) if part.len() > 1 && error.is_of_one_request() => {
                    tracing::warn!(requests = part.len(), ?error, "a batch failed and is split");
                    batch_runner::split(part, &mut parts);
                }
                Err(error) => batch_runner::refuse(part, error),
            }
        }
        self.write_stuck(stuck).await;
        wrote && !met_change
    }

    /// Writes requests that wait for a lock, each alone, one after the other.
    async fn write_stuck(&mut self, stuck: Vec<Job<B>>) {
        // The wait of one request is enough for all requests of its customer.
        let mut waited_in_vain = HashMap::<Customer, WalletError>::new();
        // A request behind one that waited in vain has waited as long.
        let mut patience = Patience::Full;
        for mut job in stuck {
            let customer = job.customer();
            if let Some(error) = waited_in_vain.get(&customer) {
                job.answer(Err(error.clone()));
                continue;
            }
            if !job.take() {
                continue;
            }
            match self.runner.run(std::slice::from_ref(&job), patience).await {
                Ok(written) => batch_runner::answer(vec![job], written.answers),
                Err(error) => {
                    let is_busy = error.is_busy();
                    let error = error.spread()(customer.1);
                    if is_busy {
                        patience = Patience::Short;
                        waited_in_vain.insert(customer, error.clone());
                    }
                    job.answer(Err(error));
                }
            }
        }
    }
}

/// Postpones a request that waits for a lock to the end of the batch, together with the other requests of its customer,
/// in order.
fn set_aside<B: Batches>(part: Vec<Job<B>>, parts: &mut [Vec<Job<B>>], stuck: &mut Vec<Job<B>>) {
    let customers: Vec<_> = part.iter().map(Job::customer).collect();
    stuck.extend(part);
    // The next part is the last of the list.
    for part in parts.iter_mut().rev() {
        stuck.extend(part.extract_if(.., |job| customers.contains(&job.customer())));
    }
}
