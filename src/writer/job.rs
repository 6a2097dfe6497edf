//! A request that waits for the writer, and the flag that settles whether it is taken or abandoned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;

use super::batch::{Batches, CommandAnswer, Customer};
use crate::earning::OrgId;
use crate::telemetry::call;
use crate::telemetry::traces::SampledCall;

/// Cost of a request besides its rows, in rows (measured in `docs/performance.md`).
const REQUEST_COST: usize = 5;

/// An API client of an organization, whose requests have a queue of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) client: Arc<str>,
    pub(super) org_id: OrgId,
}

/// A waiting request.
pub(super) struct Job<B: Batches> {
    client: Arc<str>,
    pub(super) command: Arc<B::Command>,
    answer: oneshot::Sender<CommandAnswer<B>>,
    /// Time at which the request came.
    pub(super) came: Instant,
    /// Span of the request's call, if it is sampled.
    pub(super) sampled: Option<SampledCall>,
    /// Arrival number, assigned by the queue.
    pub(super) number: u64,
    /// Set by the first of two: the worker that takes the job, or the caller that stops waiting.
    settled: Arc<AtomicBool>,
    /// True while a worker has the job.
    taken: bool,
}

impl<B: Batches> Job<B> {
    /// Returns a job of an API client, the receiver of its answer, and the flag that tells whether it was taken.
    pub(super) fn new(
        client: Arc<str>,
        command: Arc<B::Command>,
    ) -> (Self, oneshot::Receiver<CommandAnswer<B>>, Arc<AtomicBool>) {
        let (answer, answered) = oneshot::channel();
        let settled = Arc::new(AtomicBool::new(false));
        let job = Self {
            client,
            command,
            answer,
            came: Instant::now(),
            sampled: call::sampled(),
            number: 0,
            settled: Arc::clone(&settled),
            taken: false,
        };
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

    /// Returns true while the caller waits for the answer.
    pub(super) fn has_caller(&self) -> bool {
        !self.answer.is_closed() && (self.taken || !self.settled.load(Ordering::Relaxed))
    }

    /// Takes the job into a transaction that begins now: from here on it may be recorded. Returns false when its caller
    /// no longer waits: then it must not cost a write.
    pub(super) fn take(&mut self) -> bool {
        self.taken = self.taken || (!self.answer.is_closed() && !self.settled.swap(true, Ordering::Relaxed));
        self.taken
    }

    /// Records that the transaction was rolled back: a caller that stops waiting from now on is told that nothing is
    /// recorded.
    pub(super) fn give_back(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.settled.store(false, Ordering::Relaxed);
        }
    }

    /// Answers the caller. A caller that hung up gets no answer, and keeps the grants.
    pub(super) fn answer(self, answer: CommandAnswer<B>) {
        let _ = self.answer.send(answer);
    }
}
