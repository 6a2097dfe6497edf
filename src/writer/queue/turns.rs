//! The lines of requests, one for each client of an organization, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};

use crate::writer::batch::Batches;
use crate::writer::job::{Job, Source};

/// The requests of one source that wait.
pub(super) struct Line<B: Batches> {
    /// By the number of arrival.
    pub(super) ready: VecDeque<Job<B>>,
    /// How many are set aside.
    pub(super) aside: usize,
    /// What it was given, in rows.
    pub(super) given: usize,
}

impl<B: Batches> Default for Line<B> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), aside: 0, given: 0 }
    }
}

/// Lines that have something ready, by what they were given and then by when they came.
#[derive(Default)]
pub(super) struct Turns {
    pub(super) lines: BTreeMap<(usize, u64), Source>,
    /// Requests that are ready in these lines.
    pub(super) ready: usize,
}

/// How much a batch has of each, or may have.
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

    /// Whether one more is within `most`. A request that is larger than a batch goes alone.
    pub(super) fn has_room_for<B: Batches>(&self, job: &Job<B>, most: &Self) -> bool {
        self.requests == 0
            || (self.requests < most.requests
                && self.rows + job.rows() <= most.rows
                && self.cost + job.cost() <= most.cost)
    }
}
