//! State of one connection. Its stream and its calls write it; the connection registry reads it. Parts of it are its
//! headers (`head`), the data that it sends (`sending`), the waits of its calls for their peer (`waits`), and its orders
//! (`orders`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::crowd::{CallRoom, Crowd, RunningCall};
use super::head::ArrivingHead;
use super::limits::EdgeLimits;
use super::moment::{Beginning, Moment, NEVER};
use super::orders::{Order, Orders};
use super::sending::Sending;
use super::waits::PeerWaits;
use super::windows::Windows;

/// Limits the time in which a connection that was told to leave ends, once no call is running.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// Time without progress of the peer, in reading or in sending, after which its connection makes room for others.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Limits the time in which a connection is read after its last answer, if the request was not read to its end.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// Part of the age limit by which that of a connection may differ from it, so that connections which were opened
/// together do not end together.
const AGE_SPREAD: f64 = 0.1;

/// State of one connection.
#[derive(Debug)]
pub struct Activity {
    beginning: Beginning,
    limits: EdgeLimits,
    /// Age at which the connection takes no further calls, if there is one.
    max_age: Option<Duration>,
    /// Running calls, whose answers are not sent completely.
    calls: AtomicUsize,
    /// Running calls whose answer has not begun.
    unanswered: AtomicUsize,
    /// Time since when no call is running, or none whose answer has not begun.
    idle_since: Moment,
    /// Headers that are arriving.
    pub head: ArrivingHead,
    /// Calls that wait for their peer.
    pub waits: PeerWaits,
    /// Orders to the connection.
    pub orders: Orders,
    crowd: Arc<Crowd>,
    room: CallRoom,
    /// Data that is being sent.
    pub sending: Sending,
    /// Flow control windows of the peer (HTTP/2).
    pub windows: Windows,
    /// Set if the peer may still send although nothing more is read (HTTP/1.1).
    unread: AtomicBool,
    linger_since: Moment,
    /// Set once the service stops.
    stopping: AtomicBool,
    authenticated: AtomicBool,
    /// Abandoned calls less finished ones; negative only for moments.
    resets: AtomicIsize,
    next_call: AtomicU64,
    /// The next call when everything was last sent while no call was running.
    flushed_call: AtomicU64,
}

impl Activity {
    /// Returns the state of a new connection, which must send the headers of its first call.
    pub fn new(limits: EdgeLimits, crowd: Arc<Crowd>) -> Self {
        let beginning = Beginning::now();
        Self {
            beginning,
            limits,
            max_age: limits.max_age.map(spread),
            calls: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            idle_since: Moment::of_beginning(),
            head: ArrivingHead::new(beginning, Arc::clone(&crowd)),
            waits: PeerWaits::none(beginning),
            orders: Orders::none(beginning),
            crowd,
            room: CallRoom::default(),
            sending: Sending::nothing(beginning),
            windows: Windows::default(),
            unread: AtomicBool::new(false),
            linger_since: Moment::never(),
            stopping: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            resets: AtomicIsize::new(0),
            next_call: AtomicU64::new(0),
            flushed_call: AtomicU64::new(0),
        }
    }

    /// Returns true if a call on the connection was authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// Records that a call was authenticated.
    pub fn authenticate(&self) {
        if !self.is_authenticated() {
            self.authenticated.store(true, Ordering::Relaxed);
            self.room.leave(&self.crowd);
        }
    }

    /// Returns the time since when no work would be lost with the connection, or `None` if some would be. Without
    /// credentials, a stream that only watches is no such work, nor are calls that have waited for their peer for long.
    pub fn idle_since(&self) -> Option<Instant> {
        let busy = if self.is_authenticated() { &self.calls } else { &self.unanswered };
        let since = match busy.load(Ordering::SeqCst) {
            0 => self.idle_since.get(),
            _ => self.stalled_since()?,
        };
        Some(self.beginning.instant(since))
    }

    /// Returns the time since when all running work has waited for the peer, if that is long ago.
    fn stalled_since(&self) -> Option<u64> {
        let unanswered = self.unanswered.load(Ordering::SeqCst);
        let answered = self.calls.load(Ordering::SeqCst).saturating_sub(unanswered);
        let answers = if self.is_authenticated() { answered } else { 0 };
        let since = self.sending.stuck_since.get().min(self.waits.all_wait_since(unanswered, answers));
        self.is_longer(since, STALLED_AFTER).then_some(since)
    }

    /// Returns true if something began, longer ago than this.
    fn is_longer(&self, since: u64, limit: Duration) -> bool {
        since != NEVER && u128::from(self.beginning.elapsed().saturating_sub(since)) > limit.as_micros()
    }

    /// Returns true if the connection has room for more calls than every one without credentials may have.
    pub fn is_large(&self) -> bool {
        self.room.is_large()
    }

    /// Ends the connection, whose room for calls is free from now on.
    pub fn give_way(&self) {
        self.orders.tell(Order::Cut);
        self.room.leave(&self.crowd);
    }

    /// Returns true if no call is running.
    pub fn is_between_calls(&self) -> bool {
        self.calls.load(Ordering::SeqCst) == 0
    }

    /// Records that the headers of a call are complete. Returns the name of the call, and its count among those of all
    /// connections without credentials.
    pub fn begin_call(&self) -> (u64, Option<RunningCall>) {
        self.orders.call_begins();
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut running = None;
        if !self.is_authenticated() {
            self.room.grow(&self.crowd, calls);
            running = self.crowd.begin(calls);
        }
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        self.head.completes();
        (self.next_call.fetch_add(1, Ordering::Relaxed), running)
    }

    /// Records that the answer of a call begins, or that there is none.
    pub fn answer_begins(&self) {
        self.idle_since.set(self.beginning);
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
    }

    /// Records that a call ended. `finished` is true if its answer was taken completely.
    pub fn end_call(&self, finished: bool) {
        if finished {
            if self.resets.load(Ordering::Relaxed) > 0 {
                self.resets.fetch_sub(1, Ordering::Relaxed);
            }
        } else if self.resets.fetch_add(1, Ordering::Relaxed) >= self.limits.max_resets {
            tracing::debug!("a connection is ended: it abandons more calls than it lets finish");
            self.orders.tell(Order::Cut);
        }
        // The order matters: with no running call, the connection is idle since now, not since the call before.
        self.idle_since.set(self.beginning);
        self.calls.fetch_sub(1, Ordering::SeqCst);
    }

    /// Records bytes on HTTP/1.1, where bytes between calls are headers. Returns false if the headers have no room.
    pub fn bytes_of_http1(&self, bytes: &[u8]) -> bool {
        self.calls.load(Ordering::Relaxed) > 0 || self.head.has_room_for_lines(bytes)
    }

    /// Records that everything that was written is sent on (HTTP/1.1).
    pub fn flushes(&self) {
        if self.is_between_calls() {
            self.flushed_call.store(self.next_call.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Returns true if no call is running, and none ended since everything that was written was sent on: bytes that are
    /// written now are of no call.
    pub fn is_without_call(&self) -> bool {
        self.is_between_calls() && self.flushed_call.load(Ordering::Relaxed) == self.next_call.load(Ordering::Relaxed)
    }

    /// Records that the last answer on HTTP/1.1 may be on its way to a peer that still sends.
    pub fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Records that the sending half is closed. Returns true if the peer may still be sending; its bytes are then read,
    /// so that its operating system does not discard the answer.
    pub fn lingers(&self) -> bool {
        let lingers = self.unread.load(Ordering::Relaxed);
        if lingers && !self.linger_since.is_set() {
            self.head.completes();
            self.linger_since.set(self.beginning);
        }
        lingers
    }

    /// Returns the order that is due, with its reason.
    pub fn overdue(&self) -> Option<(Order, &'static str)> {
        let longer = |since, limit| self.is_longer(since, limit);
        let idle = self.is_between_calls();
        let limits = &self.limits;
        let (idle_since, linger_since) = (self.idle_since.get(), self.linger_since.get());
        let leaving_since = self.orders.leaving_since.get();
        let leaving = leaving_since != NEVER;
        if longer(self.head.since.get(), limits.header_timeout) {
            return Some((Order::Cut, "its headers do not arrive in time"));
        }
        let write_timeout = if self.stopping.load(Ordering::Relaxed) {
            limits.leave_timeout.min(limits.write_timeout)
        } else {
            limits.write_timeout
        };
        if longer(self.sending.stuck_since.get().min(self.waits.longest_held()), write_timeout) {
            return Some((Order::Cut, "it does not read what it is sent"));
        }
        if longer(linger_since, LINGER_TIMEOUT) {
            return Some((Order::Cut, "it keeps sending after its answer"));
        }
        if leaving && idle && linger_since == NEVER && longer(leaving_since.max(idle_since), LEAVE_WITHIN) {
            return Some((Order::Cut, "it was told to leave and stays"));
        }
        if !leaving && idle && longer(idle_since, limits.idle_timeout) {
            return Some((Order::Leave, "it is idle"));
        }
        let old = !self.orders.is_leaving() && self.max_age.is_some_and(|max_age| longer(0, max_age));
        old.then_some((Order::LastCall, "it is old"))
    }

    /// Records that the service stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Returns an age within [`AGE_SPREAD`] of `age`, at random.
fn spread(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(1.0 - AGE_SPREAD..=1.0 + AGE_SPREAD))
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.room.leave(&self.crowd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_spread_by_a_tenth_either_way() {
        let ages: Vec<_> = (0..1_000).map(|_| spread(Duration::from_mins(5)).as_secs_f64()).collect();
        let (least, most) =
            ages.iter().fold((f64::MAX, 0.0_f64), |(least, most), age| (least.min(*age), most.max(*age)));
        assert!(least >= 270.0 && most <= 330.0, "{least} to {most}");
        assert!(least < 275.0 && most > 325.0, "{least} to {most}: all of the range");
    }
}
