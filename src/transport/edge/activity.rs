//! What is known of one connection: since when it does what. Written by its stream and its calls, read by the roster.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::EdgeLimits;

/// How long a connection that was told to end may take for it once no call is under way.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// No time at all: nothing of the kind is under way.
const NEVER: u64 = u64::MAX;

/// What a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// To finish the calls that are under way, take no others, and end.
    Leave = 1,
    /// To end at once.
    Cut = 2,
}

/// One connection. Times are microseconds since it began.
#[derive(Debug)]
pub struct Activity {
    begun: Instant,
    limits: EdgeLimits,
    /// Under way: their answers are not sent to the end.
    calls: AtomicUsize,
    /// Those of them whose answer has not begun.
    unanswered: AtomicUsize,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    write_since: AtomicU64,
    /// Answers of which more is here than the peer takes, by call: since when it took nothing.
    held: Mutex<BTreeMap<u64, u64>>,
    authenticated: AtomicBool,
    /// Calls given up, less those that finished: not below zero but for a moment.
    resets: AtomicIsize,
    next_call: AtomicU64,
    order: AtomicU8,
    leaving_since: AtomicU64,
    told: Notify,
}

impl Activity {
    /// Of a new connection, which owes the headers of its first call.
    pub fn new(limits: EdgeLimits) -> Self {
        Self {
            begun: Instant::now(),
            limits,
            calls: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            write_since: AtomicU64::new(NEVER),
            held: Mutex::default(),
            authenticated: AtomicBool::new(false),
            resets: AtomicIsize::new(0),
            next_call: AtomicU64::new(0),
            order: AtomicU8::new(0),
            leaving_since: AtomicU64::new(NEVER),
            told: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(NEVER - 1)
    }

    /// Whether a call was let in with credentials on it.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// A call was let in with credentials.
    pub fn authenticate(&self) {
        if !self.is_authenticated() {
            self.authenticated.store(true, Ordering::Relaxed);
        }
    }

    /// Since when nothing is under way that would be lost with it; `None` while something is. Of somebody without
    /// credentials a stream that only watches is nothing.
    pub fn idle_since(&self) -> Option<Instant> {
        let busy = if self.is_authenticated() { &self.calls } else { &self.unanswered };
        (busy.load(Ordering::SeqCst) == 0)
            .then(|| self.begun + Duration::from_micros(self.idle_since.load(Ordering::SeqCst)))
    }

    /// The headers of a call are here. Gives the call's name.
    pub fn begin_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        self.head_between();
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Its answer begins, or it has none.
    pub fn answer_begins(&self) {
        self.idle_since.store(self.now(), Ordering::SeqCst);
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
    }

    /// A call is over: `finished` when its answer was taken to the end.
    pub fn end_call(&self, finished: bool) {
        if finished {
            if self.resets.load(Ordering::Relaxed) > 0 {
                self.resets.fetch_sub(1, Ordering::Relaxed);
            }
        } else if self.resets.fetch_add(1, Ordering::Relaxed) >= self.limits.max_resets {
            tracing::debug!("a connection is ended: it gives up more calls than it lets finish");
            self.tell(Order::Cut);
        }
        // In this order: with no call under way it is idle since now, not since the call before.
        self.idle_since.store(self.now(), Ordering::SeqCst);
        self.calls.fetch_sub(1, Ordering::SeqCst);
    }

    /// More of the answer to `call` is here than the peer takes; it just took some of it.
    pub fn hold(&self, call: u64) {
        self.held().insert(call, self.now());
    }

    /// The peer took all of the answer to `call`, or it is given up.
    pub fn release(&self, call: u64) {
        self.held().remove(&call);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Headers, or something else that is to come whole, began to arrive; `anew` when what came before is complete.
    pub fn head_within(&self, anew: bool) {
        if anew || self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Whatever began to arrive is complete.
    pub fn head_between(&self) {
        if self.head_since.load(Ordering::Relaxed) != NEVER {
            self.head_since.store(NEVER, Ordering::Relaxed);
        }
    }

    /// The same on HTTP/1.1, where bytes between calls are headers.
    pub fn bytes_of_http1(&self) {
        if self.calls.load(Ordering::Relaxed) == 0 {
            self.head_within(false);
        }
    }

    /// The peer took what was sent, or does not take it.
    pub fn written(&self, taken: bool) {
        let waits = self.write_since.load(Ordering::Relaxed) != NEVER;
        if taken && waits {
            self.write_since.store(NEVER, Ordering::Relaxed);
        } else if !taken && !waits {
            self.write_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// What it is to be told by now, and why.
    pub fn overdue(&self) -> Option<(Order, &'static str)> {
        let now = self.now();
        let longer =
            |since: u64, limit: Duration| since != NEVER && u128::from(now.saturating_sub(since)) > limit.as_micros();
        let idle = self.calls.load(Ordering::SeqCst) == 0;
        let limits = &self.limits;
        if longer(self.head_since.load(Ordering::Relaxed), limits.header_timeout) {
            return Some((Order::Cut, "its headers do not arrive in time"));
        }
        let held = self.held().values().min().copied().unwrap_or(NEVER);
        if longer(self.write_since.load(Ordering::Relaxed).min(held), limits.write_timeout) {
            return Some((Order::Cut, "it does not read what it is sent"));
        }
        if idle && longer(self.leaving_since.load(Ordering::Relaxed), LEAVE_WITHIN) {
            return Some((Order::Cut, "it was told to leave and stays"));
        }
        let unasked = self.leaving_since.load(Ordering::Relaxed) == NEVER;
        (unasked && idle && longer(self.idle_since.load(Ordering::SeqCst), limits.idle_timeout))
            .then_some((Order::Leave, "it is idle"))
    }

    /// Tells the connection; a weaker order than an earlier one says nothing.
    pub fn tell(&self, order: Order) {
        if self.order.fetch_max(order as u8, Ordering::SeqCst) < order as u8 {
            self.leaving_since.store(self.now(), Ordering::Relaxed);
            self.told.notify_one();
        }
    }

    /// Waits for the next order.
    pub async fn told(&self) -> Order {
        self.told.notified().await;
        if self.order.load(Ordering::SeqCst) == Order::Cut as u8 { Order::Cut } else { Order::Leave }
    }
}
