//! The queues of requests, one for each client of an organization, and the order in which they are served.

use std::collections::{BTreeMap, VecDeque};

use crate::writer::batch::Batches;
use crate::writer::job::{Job, Source};

/// The queue of one source: its waiting requests.
pub(super) struct ClientQueue<B: Batches> {
    /// Requests in order of arrival number.
    pub(super) ready: VecDeque<Job<B>>,
    /// Number of requests that are set aside.
    pub(super) aside: usize,
    /// Cost of the requests that were taken, in rows.
    pub(super) given: usize,
}

impl<B: Batches> Default for ClientQueue<B> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), aside: 0, given: 0 }
    }
}

/// Client queues with ready requests, ordered by the cost that they were given, then by the arrival of their first
/// request.
#[derive(Default)]
pub(super) struct FairOrder {
    pub(super) clients: BTreeMap<(usize, u64), Source>,
    /// Number of ready requests in these client queues.
    pub(super) ready: usize,
}

/// The size of a batch, or its maximum size.
#[derive(Default)]
pub(super) struct Size {
    pub(super) requests: usize,
    pub(super) rows: usize,
    pub(super) cost: usize,
}

impl Size {
    pub(super) fn add<B: Batches>(&mut self, job: &Job<B>) {
        self.requests += 1;
        self.rows += job.rows();
        self.cost += job.cost();
    }

    /// Returns true when one more request is within `most`. A request that is larger than a batch goes alone.
    pub(super) fn has_room_for<B: Batches>(&self, job: &Job<B>, most: &Self) -> bool {
        self.requests == 0
            || (self.requests < most.requests
                && self.rows + job.rows() <= most.rows
                && self.cost + job.cost() <= most.cost)
    }
}
