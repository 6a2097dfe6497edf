//! Delayed organizations, whose locks another transaction holds, as an import does: their client queues are kept apart.
//!
//! A worker that has to wait for such a lock puts the requests back, and the organization is *delayed*: only waiting
//! workers take its requests, one organization a batch and one worker an organization. So a lock holds up one
//! organization, and the other workers continue. A batch that is written without waiting for a lock ends the delay.

use std::collections::HashMap;
use std::sync::Arc;

use super::client_queues::FairOrder;
use crate::earning::OrgId;
use crate::storage::StorageError;
use crate::writer::batch::Batches;
use crate::writer::job::Job;

/// Divisor of the slots of the queue: delayed organizations together may have one slot in two, and the others are for
/// clients that are not delayed.
const SHARE: usize = 2;

/// A batch of one delayed organization. Its requests are not yet taken from their callers.
pub(in crate::writer) struct DelayedBatch<B: Batches> {
    pub(in crate::writer) org_id: OrgId,
    pub(in crate::writer) jobs: Vec<Job<B>>,
}

/// The delayed organizations.
#[derive(Default)]
pub(super) struct Delays {
    pub(super) orgs: HashMap<OrgId, Delayed>,
    /// A counter of delays and batches, so that the organization that waits the longest comes first.
    clock: u64,
}

pub(super) struct Delayed {
    pub(super) order: FairOrder,
    /// True while a waiting worker has a batch of it in flight.
    pub(super) in_flight: bool,
    /// Counter value when it was delayed, or when its last batch was taken.
    pub(super) since: u64,
    /// The error of the worker that delayed it.
    pub(super) cause: Arc<StorageError>,
}

impl Delays {
    pub(super) fn contains(&self, org_id: OrgId) -> bool {
        self.orgs.contains_key(&org_id)
    }

    /// Returns the number of ready requests.
    pub(super) fn ready(&self) -> usize {
        self.orgs.values().map(|delayed| delayed.order.ready).sum()
    }

    /// Returns the number of their requests that may still be added to a queue for `max_waiting`.
    pub(super) fn left(&self, max_waiting: usize) -> usize {
        max_waiting.div_ceil(SHARE).saturating_sub(self.ready())
    }

    pub(super) fn order_of(&mut self, org_id: OrgId) -> Option<&mut FairOrder> {
        self.orgs.get_mut(&org_id).map(|delayed| &mut delayed.order)
    }

    #[cfg(test)]
    pub(super) fn order(&self, org_id: OrgId) -> Option<&FairOrder> {
        self.orgs.get(&org_id).map(|delayed| &delayed.order)
    }

    /// Returns the organization from which a waiting worker takes the next batch.
    pub(super) fn due(&self) -> Option<OrgId> {
        let due = self.orgs.iter().filter(|(_, delayed)| !delayed.in_flight && delayed.order.ready > 0);
        due.min_by_key(|(_, delayed)| delayed.since).map(|(org_id, _)| *org_id)
    }

    pub(super) fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn batches(&self) -> usize {
        self.orgs.values().filter(|delayed| delayed.in_flight).count()
    }
}
