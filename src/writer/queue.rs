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
//!
//! **Delays.** The lines of an organization that somebody else holds locks of are kept for lanes of their own (`delays`).

mod delayed;
mod delays;
mod turns;

use std::collections::HashMap;
use std::time::{Duration, Instant};

pub(super) use self::delays::DelayedBatch;
use self::delays::Delays;
use self::turns::{Line, Size, Turns};
use super::batch::{Batches, Customer};
use super::error::WalletError;
use super::job::{Job, Source};
use super::limits::WriterLimits;
use crate::earning::OrgId;

/// While several clients are about, a batch is so much for each of them, in rows: so that it is soon over, and who has few
/// requests can have its next ones in the next (`docs/performance.md`).
const FAIR_SHARE: usize = 140;
/// For so many batches after one to which several clients had something to give they are held to be about: they may be
/// reading their answers.
const SHARED_FOR: u32 = 16;
/// When more requests than this wait, the batches in flight do not keep up.
const KEEPS_UP: usize = 32;
/// Nor do they when the youngest of them takes longer than this.
const SLOW: Duration = Duration::from_millis(100);
/// While several clients are about, only such a batch gets another beside it: two would keep every processor busy, and whoever
/// has few requests waits for one several times, from its listener to its answer.
const SLOW_FOR_SEVERAL: Duration = Duration::from_millis(20);

/// See the top of this file.
pub(super) struct Queue<B: Batches> {
    limits: WriterLimits,
    lines: HashMap<Source, Line<B>>,
    /// Lines whose requests may be taken by any lane.
    turns: Turns,
    /// Lines of organizations that are delayed.
    delays: Delays,
    /// What the client furthest behind had been given when something was last taken.
    least_given: usize,
    /// Requests that came so far.
    arrived: u64,
    /// Customers of batches in flight, and the requests that are set aside for each.
    in_flight: HashMap<Customer, Vec<Job<B>>>,
    /// How many are set aside in all.
    aside: usize,
    /// Batches in flight, but for those of delayed organizations; and when the youngest was taken.
    batches: usize,
    taken_at: Option<Instant>,
    /// Batches to come that are small because several clients are about.
    shared_for: u32,
    /// Whether a lane was called and did not come yet.
    called: bool,
    closed: bool,
}

impl<B: Batches> Queue<B> {
    pub(super) fn new(limits: WriterLimits) -> Self {
        Self {
            limits,
            lines: HashMap::new(),
            turns: Turns::default(),
            delays: Delays::default(),
            least_given: 0,
            arrived: 0,
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
        self.turns.ready + self.delays.ready() + self.aside
    }

    /// Lets a request wait for its turn, if its client may have one more.
    pub(super) fn push(&mut self, mut job: Job<B>) -> Result<(), WalletError> {
        if self.closed {
            return Err(WalletError::ShuttingDown);
        }
        let source = job.source();
        let mut left = self.limits.max_waiting.saturating_sub(self.waiting());
        if self.delays.contains(source.org_id) {
            left = left.min(self.delays.left(self.limits.max_waiting));
        }
        let has = self.lines.get(&source).map_or(0, |line| line.ready.len() + line.aside);
        if has >= left {
            return Err(WalletError::Overloaded);
        }
        self.arrived += 1;
        job.number = self.arrived;
        self.line_up(job);
        Ok(())
    }

    /// Puts a request into its line, where its number belongs.
    fn line_up(&mut self, job: Job<B>) {
        let source = job.source();
        let line = self.lines.entry(source.clone()).or_default();
        let turns = self.delays.turns_of(source.org_id).unwrap_or(&mut self.turns);
        turns.ready += 1;
        if line.ready.is_empty() {
            line.given = line.given.max(self.least_given);
            turns.lines.insert((line.given, job.number), source);
        }
        let at = line.ready.partition_point(|other| other.number < job.number);
        line.ready.insert(at, job);
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
            let (most, slow) = if self.is_shared() { (usize::MAX, SLOW_FOR_SEVERAL) } else { (KEEPS_UP, SLOW) };
            let is_slow = self.taken_at.is_some_and(|taken_at| now.saturating_duration_since(taken_at) > slow);
            self.turns.ready <= most && !is_slow
        };
        self.turns.ready > 0 && (self.batches == 0 || !keeps_up())
    }

    /// The next batch, for a lane that is free; `None` while there is none to begin.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<Job<B>>> {
        self.called = false;
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

    /// A batch of the requests whose turn it is, of one delayed organization or of all others. Their customers are in
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

    /// How large the next batch may be.
    fn most(&mut self) -> Size {
        let clients = self.lines.len();
        self.shared_for = if clients > 1 { SHARED_FOR } else { self.shared_for.saturating_sub(1) };
        let cost = if self.is_shared() { FAIR_SHARE * clients.max(2) } else { usize::MAX };
        let WriterLimits { max_batch_requests, max_batch_rows, .. } = self.limits;
        Size { requests: max_batch_requests, rows: max_batch_rows, cost }
    }

    /// The request whose turn it is, if it fits. One that does not is the first of the next batch. Of a delayed
    /// organization it is not yet taken from its caller, which may still give up.
    fn next(&mut self, delayed: Option<OrgId>, fits: impl Fn(&Job<B>) -> bool) -> Option<Job<B>> {
        loop {
            let turns = match delayed {
                None => &mut self.turns,
                Some(org_id) => self.delays.turns_of(org_id)?,
            };
            let turn = turns.lines.first_entry()?;
            let given = turn.key().0;
            // A line that has a turn has something ready.
            let line = self.lines.get_mut(turn.get())?;
            let mut job = line.ready.pop_front()?;
            if !fits(&job) {
                line.ready.push_front(job);
                return None;
            }
            turns.ready -= 1;
            if delayed.is_none() {
                self.least_given = given;
            }
            let taken = if let Some(aside) = self.in_flight.get_mut(&job.customer()) {
                aside.push(job);
                line.aside += 1;
                self.aside += 1;
                None
            } else {
                let wanted = if delayed.is_none() { job.take() } else { job.has_caller() };
                wanted.then_some(job)
            };
            line.given += taken.as_ref().map_or(0, Job::cost);
            let source = turn.remove();
            if let Some(job) = line.ready.front() {
                turns.lines.insert((line.given, job.number), source);
            } else if line.aside == 0 {
                self.lines.remove(&source);
            }
            if taken.is_some() {
                return taken;
            }
        }
    }

    /// Returns true while several clients are about.
    pub(super) fn is_shared(&self) -> bool {
        self.shared_for > 0
    }

    /// Requests that any lane may take.
    pub(super) fn ready(&self) -> usize {
        self.turns.ready
    }

    /// Ends a batch whose customers these are.
    pub(super) fn done(&mut self, customers: &[Customer]) {
        self.batches -= 1;
        self.release(customers);
    }

    /// Notes that no batch has to do with these customers any more.
    pub(super) fn release(&mut self, customers: &[Customer]) {
        for customer in customers {
            for job in self.in_flight.remove(customer).unwrap_or_default() {
                self.aside -= 1;
                if let Some(line) = self.lines.get_mut(&job.source()) {
                    line.aside -= 1;
                }
                self.line_up(job);
            }
        }
    }

    /// Takes nothing more in.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a lane that is free may end: nothing more comes, and what waits waits for a lane that is not. What is
    /// delayed may be for any lane again, so one of them stays until nothing waits.
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
