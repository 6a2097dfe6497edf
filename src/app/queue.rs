//! Where requests wait for the writer: a line for each client, and whose turn it is.
//!
//! `writer` puts requests in, `lane` takes batches out. Knows no task and no clock: the same calls give the same batches.
//!
//! **Fair.** Each client has a line, and a count of what it was given: rows, and something for each request. The next
//! request is always that of the client that was given the least; who comes anew begins with as much as the one that is
//! furthest behind. So whoever has one request waiting is not behind another's many, and large requests count as such.
//! A line that is empty is forgotten.
//!
//! **Bounded.** A client may have as many waiting as there are places left: alone it gets half of them, of several each
//! gets as many as are then left, and there is a place for one that comes anew.
//!
//! **Lanes.** One batch is in flight for as long as it keeps up; another begins beside it when too much waits. Customers
//! of batches in flight are known, and a request of one of them is set aside until that batch is done: batches of one
//! process never wait for each other in the database. Requests of one client and customer stay in their order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::WalletError;
use super::writer::{Answer, Batches, Customer, WriterLimits};

/// What a request costs besides its rows, in rows (`docs/performance.md`).
const REQUEST_COST: usize = 5;
/// While several clients are about, a batch is so much for each of them, in rows: so that it is soon over, and who has few
/// requests can have its next ones in the next.
const FAIR_SHARE: usize = 200;
/// For so many batches after one to which several clients had something to give they are held to be about: they may be
/// reading their answers.
const SHARED_FOR: u32 = 16;
/// When more requests than this wait, the batches in flight do not keep up.
const KEEPS_UP: usize = 32;
/// Nor do they when the youngest of them takes longer than this.
const SLOW: Duration = Duration::from_millis(100);

/// A request that waits.
pub(super) struct Job<B: Batches> {
    client: Arc<str>,
    pub(super) command: Arc<B::Command>,
    pub(super) answer: oneshot::Sender<Answer<B>>,
    /// Set by whoever comes first: the lane that takes it, or the caller that gives up.
    settled: Arc<AtomicBool>,
}

impl<B: Batches> Job<B> {
    /// Of an API client; with where its answer comes, and what tells whether it was taken.
    pub(super) fn new(
        client: Arc<str>,
        command: Arc<B::Command>,
    ) -> (Self, oneshot::Receiver<Answer<B>>, Arc<AtomicBool>) {
        let (answer, answered) = oneshot::channel();
        let settled = Arc::new(AtomicBool::new(false));
        (Self { client, command, answer, settled: Arc::clone(&settled) }, answered, settled)
    }

    pub(super) fn customer(&self) -> Customer {
        B::customer(&self.command)
    }

    fn rows(&self) -> usize {
        B::rows(&self.command)
    }

    fn cost(&self) -> usize {
        self.rows() + REQUEST_COST
    }

    /// Takes it into a batch; false when nobody waits for it any more: then it must not cost a write.
    fn take(&self) -> bool {
        !self.answer.is_closed() && !self.settled.swap(true, Ordering::Relaxed)
    }
}

/// What waits of one client. The numbers are those of arrival.
struct Line<B: Batches> {
    ready: VecDeque<(u64, Job<B>)>,
    /// How many are set aside.
    aside: usize,
    /// What it was given, in rows.
    given: usize,
}

impl<B: Batches> Default for Line<B> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), aside: 0, given: 0 }
    }
}

/// See the top of this file.
pub(super) struct Queue<B: Batches> {
    limits: WriterLimits,
    lines: HashMap<Arc<str>, Line<B>>,
    /// Clients that have something ready, by what they were given and then by when they came.
    turns: BTreeMap<(usize, u64), Arc<str>>,
    /// What the client furthest behind had been given when something was last taken.
    least_given: usize,
    /// Requests that came so far.
    arrived: u64,
    /// Requests that may be taken.
    ready: usize,
    /// Customers of batches in flight, and the requests that are set aside for each.
    in_flight: HashMap<Customer, Vec<(u64, Job<B>)>>,
    /// How many are set aside in all.
    aside: usize,
    /// Batches in flight, and when the youngest was taken.
    batches: usize,
    taken_at: Option<Instant>,
    /// Batches to come that are small because several clients are about.
    shared_for: u32,
    /// Whether a lane was called and did not come yet.
    called: bool,
    closed: bool,
}

/// How much a batch has of each, or may have.
#[derive(Default)]
struct Size {
    requests: usize,
    rows: usize,
    cost: usize,
}

impl Size {
    fn add<B: Batches>(&mut self, job: &Job<B>) {
        self.requests += 1;
        self.rows += job.rows();
        self.cost += job.cost();
    }

    /// Whether one more is within `most`. A request that is larger than a batch goes alone.
    fn has_room_for<B: Batches>(&self, job: &Job<B>, most: &Self) -> bool {
        self.requests == 0
            || (self.requests < most.requests
                && self.rows + job.rows() <= most.rows
                && self.cost + job.cost() <= most.cost)
    }
}

impl<B: Batches> Queue<B> {
    pub(super) fn new(limits: WriterLimits) -> Self {
        Self {
            limits,
            lines: HashMap::new(),
            turns: BTreeMap::new(),
            least_given: 0,
            arrived: 0,
            ready: 0,
            in_flight: HashMap::new(),
            aside: 0,
            batches: 0,
            taken_at: None,
            shared_for: 0,
            called: false,
            closed: false,
        }
    }

    /// Requests that wait.
    fn waiting(&self) -> usize {
        self.ready + self.aside
    }

    /// Lets a request wait for its turn, if its client may have one more.
    pub(super) fn push(&mut self, job: Job<B>) -> Result<(), WalletError> {
        if self.closed {
            return Err(WalletError::ShuttingDown);
        }
        let left = self.limits.max_waiting.saturating_sub(self.waiting());
        let has = self.lines.get(&job.client).map_or(0, |line| line.ready.len() + line.aside);
        if has >= left {
            return Err(WalletError::Overloaded);
        }
        self.arrived += 1;
        self.line_up(self.arrived, job);
        Ok(())
    }

    /// Puts a request into its client's line, where its number belongs.
    fn line_up(&mut self, number: u64, job: Job<B>) {
        let line = self.lines.entry(Arc::clone(&job.client)).or_default();
        if line.ready.is_empty() {
            line.given = line.given.max(self.least_given);
            self.turns.insert((line.given, number), Arc::clone(&job.client));
        }
        let at = line.ready.partition_point(|(other, _)| *other < number);
        line.ready.insert(at, (number, job));
        self.ready += 1;
    }

    /// Whether a lane that is free has to be called. It was, then.
    pub(super) fn calls(&mut self, now: Instant) -> bool {
        !self.called && self.batches < self.limits.lanes.max(1) && self.is_due(now) && {
            self.called = true;
            true
        }
    }

    /// Whether another batch is to begin.
    fn is_due(&self, now: Instant) -> bool {
        let keeps_up = || {
            let slow = self.taken_at.is_some_and(|taken_at| now.saturating_duration_since(taken_at) > SLOW);
            self.ready <= KEEPS_UP && !slow
        };
        self.ready > 0 && (self.batches == 0 || !keeps_up())
    }

    /// The next batch, for a lane that is free; `None` while there is none to begin.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<Job<B>>> {
        self.called = false;
        if !self.is_due(now) {
            return None;
        }
        let (most, mut size) = (self.most(), Size::default());
        let mut batch = Vec::new();
        while let Some(job) = self.next(|job| size.has_room_for(job, &most)) {
            size.add(&job);
            batch.push(job);
        }
        if batch.is_empty() {
            return None;
        }
        for job in &batch {
            self.in_flight.entry(job.customer()).or_default();
        }
        self.batches += 1;
        self.taken_at = Some(now);
        Some(batch)
    }

    /// How large the next batch may be.
    fn most(&mut self) -> Size {
        let clients = self.lines.len();
        self.shared_for = if clients > 1 { SHARED_FOR } else { self.shared_for.saturating_sub(1) };
        let cost = if self.shared_for > 0 { FAIR_SHARE * clients.max(2) } else { usize::MAX };
        let WriterLimits { max_batch_requests, max_batch_rows, .. } = self.limits;
        Size { requests: max_batch_requests, rows: max_batch_rows, cost }
    }

    /// The request whose turn it is, if it fits. One that does not is the first of the next batch.
    fn next(&mut self, fits: impl Fn(&Job<B>) -> bool) -> Option<Job<B>> {
        while let Some(turn) = self.turns.first_entry() {
            let given = turn.key().0;
            // Who has a turn has something ready.
            let line = self.lines.get_mut(turn.get())?;
            let (number, job) = line.ready.pop_front()?;
            if !fits(&job) {
                line.ready.push_front((number, job));
                return None;
            }
            self.least_given = given;
            self.ready -= 1;
            let taken = if let Some(aside) = self.in_flight.get_mut(&job.customer()) {
                aside.push((number, job));
                line.aside += 1;
                self.aside += 1;
                None
            } else {
                Some(job).filter(Job::take)
            };
            line.given += taken.as_ref().map_or(0, Job::cost);
            let client = turn.remove();
            if let Some((number, _)) = line.ready.front() {
                self.turns.insert((line.given, *number), client);
            } else if line.aside == 0 {
                self.lines.remove(&client);
            }
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Ends a batch whose customers these are.
    pub(super) fn done(&mut self, customers: &[Customer]) {
        self.batches -= 1;
        for customer in customers {
            for (number, job) in self.in_flight.remove(customer).unwrap_or_default() {
                self.aside -= 1;
                if let Some(line) = self.lines.get_mut(&job.client) {
                    line.aside -= 1;
                }
                self.line_up(number, job);
            }
        }
    }

    /// Takes nothing more in.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether a lane that is free may end: nothing more comes, and what waits waits for a lane that is not.
    pub(super) fn is_over(&self) -> bool {
        self.closed && (self.waiting() == 0 || self.batches > 0)
    }

    /// Forgets everything that waits: nobody is there to take it.
    pub(super) fn abandon(&mut self) {
        *self = Self { closed: true, ..Self::new(self.limits) };
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
