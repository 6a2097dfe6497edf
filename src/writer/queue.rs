//! The queue of the writer: a queue for each client, and the fair order in which their requests are taken.
//!
//! `writer` puts requests in, `worker` takes batches out. Knows no task and no clock: the same calls give the same
//! batches.
//!
//! **Fair.** Each client has a queue, and a count of what it was given: the rows of its requests, and a fixed cost for
//! each. The next request is always that of the client that was given the least; a client that becomes active begins
//! with as much as the one that is furthest behind. So one waiting request of a client is not delayed by many of
//! another, and large requests count as large. An empty client queue is forgotten.
//!
//! **Bounded.** A client may have as many requests waiting as there are free slots: alone it gets half of the queue,
//! of several each gets as many as are then left, and there is a slot for a client that becomes active.
//!
//! **Workers.** One batch is in flight while it keeps up; another begins beside it when too many requests wait.
//! Customers of batches in flight are known, and a request of one of them is set aside until that batch is done:
//! batches of one process never wait for each other in the database. Requests of one client and customer keep their
//! order.
//!
//! **Delays.** Client queues of an organization whose locks another transaction holds are kept for waiting workers
//! (`delays`).

mod client_queues;
mod delayed;
mod delays;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use self::client_queues::{ClientQueue, FairOrder, Size};
pub(super) use self::delays::DelayedBatch;
use self::delays::Delays;
use super::batch::{Batches, Customer};
use super::error::WalletError;
use super::job::{Job, Source};
use super::limits::WriterLimits;
use crate::earning::OrgId;

/// Maximum cost of a batch for each active client while several are active, in rows: so that a batch ends soon, and a
/// client with few requests can have its next ones in the next batch (measured in `docs/performance.md`).
const FAIR_SHARE: usize = 140;
/// Number of batches for which clients count as active after several of them had requests queued: they may be reading
/// their answers.
const SHARED_FOR: u32 = 16;
/// Number of waiting requests beyond which the batches in flight do not keep up.
const KEEPS_UP: usize = 32;
/// Age of the youngest batch in flight beyond which the batches do not keep up either.
const SLOW: Duration = Duration::from_millis(100);
/// Age of the youngest batch beyond which another begins beside it while several clients are active. Two batches at
/// once would keep every processor busy, and a client with few requests waits for a processor several times, from its
/// listener to its answer.
const SLOW_FOR_SEVERAL: Duration = Duration::from_millis(20);

/// The queue of the writer.
pub(super) struct Queue<B: Batches> {
    limits: WriterLimits,
    clients: HashMap<Source, ClientQueue<B>>,
    /// Client queues whose requests any worker may take.
    order: FairOrder,
    /// Client queues of delayed organizations.
    delays: Delays,
    /// Cost that the client furthest behind had been given when a request was last taken.
    least_given: usize,
    /// Number of requests that arrived so far.
    arrived: u64,
    /// Customers of batches in flight, and the requests that are set aside for each.
    in_flight: HashMap<Customer, Vec<Job<B>>>,
    /// Number of requests that are set aside.
    aside: usize,
    /// Number of batches in flight, except those of delayed organizations, and the time when the youngest was taken.
    batches: usize,
    taken_at: Option<Instant>,
    /// Number of further batches that are kept small because several clients are active.
    shared_for: u32,
    /// True when a worker was woken and has not taken a batch yet.
    woken: bool,
    closed: bool,
}

impl<B: Batches> Queue<B> {
    pub(super) fn new(limits: WriterLimits) -> Self {
        Self {
            limits,
            clients: HashMap::new(),
            order: FairOrder::default(),
            delays: Delays::default(),
            least_given: 0,
            arrived: 0,
            in_flight: HashMap::new(),
            aside: 0,
            batches: 0,
            taken_at: None,
            shared_for: 0,
            woken: false,
            closed: false,
        }
    }

    /// Returns the number of waiting requests.
    pub(super) fn waiting(&self) -> usize {
        self.order.ready + self.delays.ready() + self.aside
    }

    /// Adds a request, if its client may have one more.
    pub(super) fn push(&mut self, mut job: Job<B>) -> Result<(), WalletError> {
        if self.closed {
            return Err(WalletError::ShuttingDown);
        }
        let source = job.source();
        let mut left = self.limits.max_waiting.saturating_sub(self.waiting());
        if self.delays.contains(source.org_id) {
            left = left.min(self.delays.left(self.limits.max_waiting));
        }
        let has = self.clients.get(&source).map_or(0, |client_queue| client_queue.ready.len() + client_queue.aside);
        if has >= left {
            return Err(WalletError::Overloaded);
        }
        self.arrived += 1;
        job.number = self.arrived;
        self.enqueue(job);
        Ok(())
    }

    /// Puts a request into its client queue, at the place of its arrival number.
    fn enqueue(&mut self, job: Job<B>) {
        let source = job.source();
        let client_queue = self.clients.entry(source.clone()).or_default();
        let order = self.delays.order_of(source.org_id).unwrap_or(&mut self.order);
        order.ready += 1;
        if client_queue.ready.is_empty() {
            client_queue.given = client_queue.given.max(self.least_given);
            order.clients.insert((client_queue.given, job.number), source);
        }
        let at = client_queue.ready.partition_point(|other| other.number < job.number);
        client_queue.ready.insert(at, job);
    }

    /// Returns true when a free worker has to be woken, and records that it was.
    pub(super) fn wakes_worker(&mut self, now: Instant) -> bool {
        !self.woken && self.batches < self.limits.workers.max(1) && self.is_due(now) && {
            self.woken = true;
            true
        }
    }

    /// Returns true when another batch has to begin.
    fn is_due(&self, now: Instant) -> bool {
        let keeps_up = || {
            let (most, slow) = if self.is_shared() { (usize::MAX, SLOW_FOR_SEVERAL) } else { (KEEPS_UP, SLOW) };
            let is_slow = self.taken_at.is_some_and(|taken_at| now.saturating_duration_since(taken_at) > slow);
            self.order.ready <= most && !is_slow
        };
        self.order.ready > 0 && (self.batches == 0 || !keeps_up())
    }

    /// Returns the next batch, for a free worker; `None` while there is none to begin.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<Job<B>>> {
        self.woken = false;
        if !self.is_due(now) {
            return None;
        }
        let most = self.most();
        let batch = self.fill(None, &most);
        if batch.is_empty() {
            return None;
        }
        self.batches += 1;
        self.taken_at = Some(now);
        Some(batch)
    }

    /// Fills a batch in fair order, with requests of one delayed organization or of all others. Their customers are in
    /// flight from then on.
    fn fill(&mut self, delayed: Option<OrgId>, most: &Size) -> Vec<Job<B>> {
        let (mut batch, mut size) = (Vec::new(), Size::default());
        while let Some(job) = self.next(delayed, |job| size.has_room_for(job, most)) {
            size.add(&job);
            batch.push(job);
        }
        for job in &batch {
            self.in_flight.entry(job.customer()).or_default();
        }
        batch
    }

    /// Returns the maximum size of the next batch.
    fn most(&mut self) -> Size {
        let clients = self.clients.len();
        self.shared_for = if clients > 1 { SHARED_FOR } else { self.shared_for.saturating_sub(1) };
        let cost = if self.is_shared() { FAIR_SHARE * clients.max(2) } else { usize::MAX };
        let WriterLimits { max_batch_requests, max_batch_rows, .. } = self.limits;
        Size { requests: max_batch_requests, rows: max_batch_rows, cost }
    }

    /// Returns the next request in fair order, if it fits. One that does not fit is the first of the next batch. A
    /// request of a delayed organization is not yet taken from its caller, which may still stop waiting.
    fn next(&mut self, delayed: Option<OrgId>, fits: impl Fn(&Job<B>) -> bool) -> Option<Job<B>> {
        loop {
            let order = match delayed {
                None => &mut self.order,
                Some(org_id) => self.delays.order_of(org_id)?,
            };
            let next = order.clients.first_entry()?;
            let given = next.key().0;
            // A client queue in this order has a ready request.
            let client_queue = self.clients.get_mut(next.get())?;
            let mut job = client_queue.ready.pop_front()?;
            if !fits(&job) {
                client_queue.ready.push_front(job);
                return None;
            }
            order.ready -= 1;
            if delayed.is_none() {
                self.least_given = given;
            }
            let taken = if let Some(aside) = self.in_flight.get_mut(&job.customer()) {
                aside.push(job);
                client_queue.aside += 1;
                self.aside += 1;
                None
            } else {
                let wanted = if delayed.is_none() { job.take() } else { job.has_caller() };
                wanted.then_some(job)
            };
            client_queue.given += taken.as_ref().map_or(0, Job::cost);
            let source = next.remove();
            if let Some(job) = client_queue.ready.front() {
                order.clients.insert((client_queue.given, job.number), source);
            } else if client_queue.aside == 0 {
                self.clients.remove(&source);
            }
            if taken.is_some() {
                return taken;
            }
        }
    }

    /// Returns true while several clients are active.
    pub(super) fn is_shared(&self) -> bool {
        self.shared_for > 0
    }

    /// Returns the number of requests that any worker may take.
    pub(super) fn ready(&self) -> usize {
        self.order.ready
    }

    /// Ends a batch of these customers.
    pub(super) fn done(&mut self, customers: &[Customer]) {
        self.batches -= 1;
        self.release(customers);
    }

    /// Releases customers that no batch in flight has any more.
    pub(super) fn release(&mut self, customers: &[Customer]) {
        for customer in customers {
            for job in self.in_flight.remove(customer).unwrap_or_default() {
                self.aside -= 1;
                if let Some(client_queue) = self.clients.get_mut(&job.source()) {
                    client_queue.aside -= 1;
                }
                self.enqueue(job);
            }
        }
    }

    /// Closes the queue to new requests.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns true when a free worker may end: no more requests come, and those that wait are left to the busy
    /// workers. Requests of a delayed organization may become ready for any worker again, so one of them stays until
    /// none waits.
    pub(super) fn is_over(&self) -> bool {
        self.closed && (self.waiting() == 0 || self.batches > 0)
    }

    /// Drops all waiting requests, as no worker is left to take them.
    pub(super) fn abandon(&mut self) {
        *self = Self { closed: true, ..Self::new(self.limits) };
    }
}

#[cfg(test)]
mod tests;
