//! A request that waits for the writer, and the agreement with its caller about who settles it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::batch::{Answer, Batches, Customer};
use crate::earning::OrgId;

/// What a request costs besides its rows, in rows (`docs/performance.md`).
const REQUEST_COST: usize = 5;

/// An API client of an organization: the requests of each have a line of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) client: Arc<str>,
    pub(super) org_id: OrgId,
}

/// A request that waits.
pub(super) struct Job<B: Batches> {
    client: Arc<str>,
    pub(super) command: Arc<B::Command>,
    answer: oneshot::Sender<Answer<B>>,
    /// The number of its arrival, once the queue gave it one.
    pub(super) number: u64,
    /// Set by whoever comes first: the lane that takes the job, or the caller that gives up.
    settled: Arc<AtomicBool>,
    /// True while a lane has it taken.
    taken: bool,
}

impl<B: Batches> Job<B> {
    /// Returns a job of an API client; where its answer comes; and what tells whether it was taken.
    pub(super) fn new(
        client: Arc<str>,
        command: Arc<B::Command>,
    ) -> (Self, oneshot::Receiver<Answer<B>>, Arc<AtomicBool>) {
        let (answer, answered) = oneshot::channel();
        let settled = Arc::new(AtomicBool::new(false));
        let job = Self { client, command, answer, number: 0, settled: Arc::clone(&settled), taken: false };
        (job, answered, settled)
    }

    pub(super) fn customer(&self) -> Customer {
        B::customer(&self.command)
    }

    pub(super) fn source(&self) -> Source {
        Source { client: Arc::clone(&self.client), org_id: self.customer().0 }
    }

    pub(super) fn rows(&self) -> usize {
        B::rows(&self.command)
    }

    pub(super) fn cost(&self) -> usize {
        self.rows() + REQUEST_COST
    }

    /// Returns true while somebody waits for the answer.
    pub(super) fn has_caller(&self) -> bool {
        !self.answer.is_closed() && (self.taken || !self.settled.load(Ordering::Relaxed))
    }

    /// Takes the job into a transaction that is about to begin: from now on it may be recorded. Returns false when nobody
    /// waits for it any more: then it must not cost a write.
    pub(super) fn take(&mut self) -> bool {
        self.taken = self.taken || (!self.answer.is_closed() && !self.settled.swap(true, Ordering::Relaxed));
        self.taken
    }

    /// Notes that the transaction was undone: a caller that gives up from now on is told that nothing is recorded.
    pub(super) fn give_back(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.settled.store(false, Ordering::Relaxed);
        }
    }

    /// Answers the caller. One that hung up gets no answer; what it was granted stays.
    pub(super) fn answer(self, answer: Answer<B>) {
        let _ = self.answer.send(answer);
    }
}
