//! The part of the queue that is about delayed organizations: delaying, taking and ending.

use std::sync::Arc;

use super::Queue;
use super::client_queues::{FairOrder, Size};
use super::delays::{Delayed, DelayedBatch};
use crate::earning::OrgId;
use crate::storage::StorageError;
use crate::writer::batch::{Batches, Customer};
use crate::writer::job::Job;

impl<B: Batches> Queue<B> {
    /// Returns the error for which requests of an organization wait, if it is delayed.
    pub(in crate::writer) fn delayed_by(&self, org_id: OrgId) -> Option<&Arc<StorageError>> {
        self.delays.orgs.get(&org_id).map(|delayed| &delayed.cause)
    }

    /// Returns true while any organization is delayed.
    pub(in crate::writer) fn is_delayed(&self) -> bool {
        !self.delays.orgs.is_empty()
    }

    /// Delays an organization because of `cause`, and puts its `jobs` back at their places in their client queues.
    pub(in crate::writer) fn delay(&mut self, org_id: OrgId, jobs: Vec<Job<B>>, cause: Arc<StorageError>) {
        if !self.delays.contains(org_id) {
            let mut order = FairOrder::default();
            order.clients.extend(self.order.clients.extract_if(.., |_, source| source.org_id == org_id));
            let clients = order.clients.values().filter_map(|source| self.clients.get(source));
            order.ready = clients.map(|client_queue| client_queue.ready.len()).sum();
            self.order.ready -= order.ready;
            let since = self.delays.now();
            self.delays.orgs.insert(org_id, Delayed { order, in_flight: false, since, cause });
        }
        for mut job in jobs {
            job.give_back();
            self.enqueue(job);
        }
    }

    /// Returns true when there is a batch for a free waiting worker.
    pub(in crate::writer) fn wakes_waiting_worker(&self) -> bool {
        !self.delays.orgs.is_empty()
            && self.delays.batches() < self.limits.waiting_workers
            && self.delays.due().is_some()
    }

    /// Returns the next batch for a free waiting worker.
    pub(in crate::writer) fn take_delayed(&mut self) -> Option<DelayedBatch<B>> {
        loop {
            let org_id = self.delays.due()?;
            let (requests, rows) = (self.limits.max_batch_requests, self.limits.max_batch_rows);
            let jobs = self.fill(Some(org_id), &Size { requests, rows, cost: usize::MAX });
            // The batch is empty when all callers stopped waiting; then no ready request is left either.
            if !jobs.is_empty() {
                let since = self.delays.now();
                if let Some(delayed) = self.delays.orgs.get_mut(&org_id) {
                    (delayed.in_flight, delayed.since) = (true, since);
                }
                return Some(DelayedBatch { org_id, jobs });
            }
        }
    }

    /// Ends a batch of these customers of a delayed organization. A batch that `met_no_lock` ends the delay.
    pub(in crate::writer) fn done_delayed(&mut self, org_id: OrgId, customers: &[Customer], met_no_lock: bool) {
        if met_no_lock {
            self.end_delay(org_id);
        } else if let Some(delayed) = self.delays.orgs.get_mut(&org_id) {
            delayed.in_flight = false;
        }
        self.release(customers);
    }

    fn end_delay(&mut self, org_id: OrgId) {
        let Some(Delayed { order, .. }) = self.delays.orgs.remove(&org_id) else { return };
        self.order.ready += order.ready;
        for ((_, number), source) in order.clients {
            if let Some(client_queue) = self.clients.get_mut(&source) {
                // The client queue does not catch up on what it was not given meanwhile.
                client_queue.given = client_queue.given.max(self.least_given);
                self.order.clients.insert((client_queue.given, number), source);
            }
        }
    }

    /// Returns true when a free waiting worker may end: no more requests come, none waits, and no worker can put any
    /// back.
    pub(in crate::writer) fn is_over_for_waiting_workers(&self) -> bool {
        self.closed && self.batches == 0 && self.waiting() == 0
    }
}
