//! Organizations that somebody else holds locks of, as an import does: their lines are kept apart.
//!
//! A lane that meets such a lock puts the requests back, and the organization is *delayed*: only waiting lanes take its
//! requests, one organization a batch and one lane an organization. So a lock holds up one organization, and the other
//! lanes go on. A batch that goes through without meeting a lock ends the delay.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Queue, Size, Turns};
use crate::app::job::Job;
use crate::app::writer::{Batches, Customer};
use crate::earning::OrgId;
use crate::storage::StorageError;

/// Delayed organizations may have one of so many places of the queue, in all: the others are for whoever is not delayed.
const SHARE: usize = 2;

/// A batch of one delayed organization. Its requests are not yet taken from their callers.
pub(in crate::app) struct DelayedBatch<B: Batches> {
    pub(in crate::app) org_id: OrgId,
    pub(in crate::app) jobs: Vec<Job<B>>,
}

/// The delayed organizations.
#[derive(Default)]
pub(super) struct Delays {
    orgs: HashMap<OrgId, Delayed>,
    /// Counts delays and batches, so that the organization that waits the longest comes first.
    clock: u64,
}

struct Delayed {
    turns: Turns,
    /// True while a waiting lane has a batch of it in flight.
    in_flight: bool,
    /// When it was delayed, or its last batch was taken.
    since: u64,
    /// What the lane that delayed it met.
    cause: Arc<StorageError>,
}

impl Delays {
    pub(super) fn contains(&self, org_id: OrgId) -> bool {
        self.orgs.contains_key(&org_id)
    }

    /// Requests that are ready.
    pub(super) fn ready(&self) -> usize {
        self.orgs.values().map(|delayed| delayed.turns.ready).sum()
    }

    /// How many more of them may wait in a queue that takes `max_waiting`.
    pub(super) fn left(&self, max_waiting: usize) -> usize {
        max_waiting.div_ceil(SHARE).saturating_sub(self.ready())
    }

    pub(super) fn turns_of(&mut self, org_id: OrgId) -> Option<&mut Turns> {
        self.orgs.get_mut(&org_id).map(|delayed| &mut delayed.turns)
    }

    #[cfg(test)]
    pub(super) fn turns(&self, org_id: OrgId) -> Option<&Turns> {
        self.orgs.get(&org_id).map(|delayed| &delayed.turns)
    }

    /// The organization that a waiting lane is to take a batch of.
    fn due(&self) -> Option<OrgId> {
        let due = self.orgs.iter().filter(|(_, delayed)| !delayed.in_flight && delayed.turns.ready > 0);
        due.min_by_key(|(_, delayed)| delayed.since).map(|(org_id, _)| *org_id)
    }

    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn batches(&self) -> usize {
        self.orgs.values().filter(|delayed| delayed.in_flight).count()
    }
}

impl<B: Batches> Queue<B> {
    /// The lock for which requests of an organization wait, if it is delayed.
    pub(in crate::app) fn delayed_by(&self, org_id: OrgId) -> Option<&Arc<StorageError>> {
        self.delays.orgs.get(&org_id).map(|delayed| &delayed.cause)
    }

    /// Returns true while any organization is delayed.
    pub(in crate::app) fn is_delayed(&self) -> bool {
        !self.delays.orgs.is_empty()
    }

    /// Delays an organization because of `cause`, and puts `jobs` of it back where they were in their lines.
    pub(in crate::app) fn delay(&mut self, org_id: OrgId, jobs: Vec<Job<B>>, cause: Arc<StorageError>) {
        if !self.delays.contains(org_id) {
            let mut turns = Turns::default();
            turns.lines.extend(self.turns.lines.extract_if(.., |_, source| source.org_id == org_id));
            let lines = turns.lines.values().filter_map(|source| self.lines.get(source));
            turns.ready = lines.map(|line| line.ready.len()).sum();
            self.turns.ready -= turns.ready;
            let since = self.delays.now();
            self.delays.orgs.insert(org_id, Delayed { turns, in_flight: false, since, cause });
        }
        for mut job in jobs {
            job.give_back();
            self.line_up(job);
        }
    }

    /// Returns true when a waiting lane that is free has something to take.
    pub(in crate::app) fn calls_waiting_lane(&self) -> bool {
        !self.delays.orgs.is_empty() && self.delays.batches() < self.limits.waiting_lanes && self.delays.due().is_some()
    }

    /// The next batch for a waiting lane that is free.
    pub(in crate::app) fn take_delayed(&mut self) -> Option<DelayedBatch<B>> {
        loop {
            let org_id = self.delays.due()?;
            let (requests, rows) = (self.limits.max_batch_requests, self.limits.max_batch_rows);
            let jobs = self.fill(Some(org_id), &Size { requests, rows, cost: usize::MAX });
            // Else everybody who waited is gone, and so is what was ready.
            if !jobs.is_empty() {
                let since = self.delays.now();
                if let Some(delayed) = self.delays.orgs.get_mut(&org_id) {
                    (delayed.in_flight, delayed.since) = (true, since);
                }
                return Some(DelayedBatch { org_id, jobs });
            }
        }
    }

    /// Ends a batch of a delayed organization whose customers these are. One that `met_no_lock` ends the delay.
    pub(in crate::app) fn done_delayed(&mut self, org_id: OrgId, customers: &[Customer], met_no_lock: bool) {
        if met_no_lock {
            self.end_delay(org_id);
        } else if let Some(delayed) = self.delays.orgs.get_mut(&org_id) {
            delayed.in_flight = false;
        }
        self.release(customers);
    }

    fn end_delay(&mut self, org_id: OrgId) {
        let Some(Delayed { turns, .. }) = self.delays.orgs.remove(&org_id) else { return };
        self.turns.ready += turns.ready;
        for ((_, number), source) in turns.lines {
            if let Some(line) = self.lines.get_mut(&source) {
                // Nobody is owed what it was not given meanwhile.
                line.given = line.given.max(self.least_given);
                self.turns.lines.insert((line.given, number), source);
            }
        }
    }

    /// Returns true when a waiting lane that is free may end: nothing more comes, nothing waits, and no lane can put
    /// anything back.
    pub(in crate::app) fn is_over_for_waiting_lanes(&self) -> bool {
        self.closed && self.batches == 0 && self.waiting() == 0
    }
}
