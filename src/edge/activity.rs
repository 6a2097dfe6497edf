//! State of one connection, and the times at which its parts began. Its stream and its calls write it; the connection
//! registry reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::crowd::{CallRoom, Crowd, RunningCall};
use super::limits::EdgeLimits;
use super::windows::Windows;

/// Limits the time in which a connection that was told to leave ends, once no call is running.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// Time without progress of the peer, in reading or in sending, after which its connection makes room for others.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Least amount that a peer must take within `--write-timeout-ms`: bytes. One part of an answer.
const MIN_TAKEN_BYTES: usize = 16 * 1024;
/// Limits the time in which a connection is read after its last answer, if the request was not read to its end.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// Length up to which headers always have room, however many connections send them: bytes.
const SMALL_HEAD_BYTES: usize = 8 * 1024;
/// Limits the incomplete headers of all connections beyond small ones: bytes. A connection that would exceed it is
/// ended.
pub const MAX_LARGE_HEADS_BYTES: usize = 16 * 1024 * 1024;
/// Part of the age limit by which that of a connection may differ from it, so that connections which were opened
/// together do not end together.
const AGE_SPREAD: f64 = 0.1;
/// Value of a time at which nothing began.
const NEVER: u64 = u64::MAX;

/// An order to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// An HTTP/2 connection leaves. Any other leaves with the answer of its present or next call: closed before, it would
    /// take a call along that is on its way.
    LastCall = 0,
    /// The connection finishes its running calls, accepts no others, and ends.
    Leave = 1,
    /// The connection ends at once.
    Cut = 2,
}

/// Calls that wait for their peer, by call name, with the start of the wait.
#[derive(Debug, Default)]
struct Waits {
    /// Waits for bytes of the request body.
    bodies: BTreeMap<u64, u64>,
    /// Waits for the peer to take more of the answer.
    answers: BTreeMap<u64, u64>,
}

/// State of one connection. Times are microseconds since it began.
#[derive(Debug)]
pub struct Activity {
    begun: Instant,
    limits: EdgeLimits,
    /// Age at which the connection takes no further calls, if there is one.
    max_age: Option<Duration>,
    /// Running calls, whose answers are not sent completely.
    calls: AtomicUsize,
    /// Running calls whose answer has not begun.
    unanswered: AtomicUsize,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    /// Length of incomplete headers: bytes.
    head_bytes: AtomicUsize,
    /// Lines of incomplete headers (HTTP/1.1).
    head_lines: AtomicUsize,
    crowd: Arc<Crowd>,
    room: CallRoom,
    write_since: AtomicU64,
    /// Bytes that the peer took since `write_since`.
    taken: AtomicUsize,
    waits: Mutex<Waits>,
    /// Flow control windows of the peer (HTTP/2).
    pub windows: Windows,
    /// Set if the peer may still send although nothing more is read (HTTP/1.1).
    unread: AtomicBool,
    linger_since: AtomicU64,
    /// Set if the connection is told to leave with its next call, or with the answer of the present one.
    last_call: AtomicBool,
    /// Set once the service stops.
    stopping: AtomicBool,
    /// Set once a call came over HTTP/2.
    http2: AtomicBool,
    authenticated: AtomicBool,
    /// Abandoned calls less finished ones; negative only for moments.
    resets: AtomicIsize,
    next_call: AtomicU64,
    /// The next call when everything was last sent while no call was running.
    flushed_call: AtomicU64,
    order: AtomicU8,
    leaving_since: AtomicU64,
    told: Notify,
}

impl Activity {
    /// Returns the state of a new connection, which must send the headers of its first call.
    pub fn new(limits: EdgeLimits, crowd: Arc<Crowd>) -> Self {
        Self {
            begun: Instant::now(),
            limits,
            max_age: limits.max_age.map(spread),
            calls: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            head_bytes: AtomicUsize::new(0),
            head_lines: AtomicUsize::new(0),
            crowd,
            room: CallRoom::default(),
            write_since: AtomicU64::new(NEVER),
            taken: AtomicUsize::new(0),
            waits: Mutex::default(),
            windows: Windows::default(),
            unread: AtomicBool::new(false),
            linger_since: AtomicU64::new(NEVER),
            last_call: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            resets: AtomicIsize::new(0),
            next_call: AtomicU64::new(0),
            flushed_call: AtomicU64::new(0),
            order: AtomicU8::new(0),
            leaving_since: AtomicU64::new(NEVER),
            told: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(NEVER - 1)
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
            0 => self.idle_since.load(Ordering::SeqCst),
            _ => self.stalled_since()?,
        };
        Some(self.begun + Duration::from_micros(since))
    }

    /// Returns the time since when all running work has waited for the peer, if that is long ago.
    fn stalled_since(&self) -> Option<u64> {
        let waits = self.waits();
        let unanswered = self.unanswered.load(Ordering::SeqCst);
        let answered = self.calls.load(Ordering::SeqCst).saturating_sub(unanswered);
        let latest = |waits: &BTreeMap<u64, u64>| waits.values().max().copied().unwrap_or(0);
        let mut since = self.write_since.load(Ordering::Relaxed);
        if waits.bodies.len() >= unanswered && (!self.is_authenticated() || waits.answers.len() >= answered) {
            since = since.min(latest(&waits.bodies).max(latest(&waits.answers)));
        }
        (since != NEVER && u128::from(self.now().saturating_sub(since)) > STALLED_AFTER.as_micros()).then_some(since)
    }

    /// Returns true if the connection has room for more calls than every one without credentials may have.
    pub fn is_large(&self) -> bool {
        self.room.is_large()
    }

    /// Ends the connection, whose room for calls is free from now on.
    pub fn give_way(&self) {
        self.tell(Order::Cut);
        self.room.leave(&self.crowd);
    }

    /// Returns true if no call is running.
    pub fn is_between_calls(&self) -> bool {
        self.calls.load(Ordering::SeqCst) == 0
    }

    /// Records that the headers of a call are complete. Returns the name of the call, and its count among those of all
    /// connections without credentials.
    pub fn begin_call(&self) -> (u64, Option<RunningCall>) {
        if self.last_call.load(Ordering::Relaxed) {
            self.tell(Order::Leave);
        }
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut running = None;
        if !self.is_authenticated() {
            self.room.grow(&self.crowd, calls);
            running = self.crowd.begin(calls);
        }
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        self.head_between();
        (self.next_call.fetch_add(1, Ordering::Relaxed), running)
    }

    /// Records that the answer of a call begins, or that there is none.
    pub fn answer_begins(&self) {
        self.idle_since.store(self.now(), Ordering::SeqCst);
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
            self.tell(Order::Cut);
        }
        // The order matters: with no running call, the connection is idle since now, not since the call before.
        self.idle_since.store(self.now(), Ordering::SeqCst);
        self.calls.fetch_sub(1, Ordering::SeqCst);
    }

    /// Records that a part of the answer to `call` is passed on that the peer need not take yet, after it took the one
    /// before.
    pub fn hold(&self, call: u64) {
        self.waits().answers.insert(call, self.now());
    }

    /// Records that the peer took all of the answer to `call` that was passed on, or that the call is abandoned.
    pub fn release(&self, call: u64) {
        self.waits().answers.remove(&call);
    }

    /// Records whether `call` waits for the next bytes of its request.
    pub fn awaits_body(&self, call: u64, waits: bool) {
        if waits {
            self.waits().bodies.insert(call, self.now());
        } else {
            self.waits().bodies.remove(&call);
        }
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock()
    }

    /// Counts bytes of incomplete headers. Returns false if those of all connections exceed their limit.
    pub fn has_room_for_head(&self, bytes: usize) -> bool {
        let held = self.head_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let beyond = held.saturating_sub(SMALL_HEAD_BYTES).min(bytes);
        beyond == 0 || self.crowd.large_heads.fetch_add(beyond, Ordering::Relaxed) + beyond <= MAX_LARGE_HEADS_BYTES
    }

    /// Returns the length and the number of lines of the headers that have arrived since the last call.
    pub fn head_size(&self) -> (usize, usize) {
        (self.head_bytes.load(Ordering::Relaxed), self.head_lines.load(Ordering::Relaxed))
    }

    fn forget_head(&self) {
        self.head_lines.store(0, Ordering::Relaxed);
        let beyond = self.head_bytes.swap(0, Ordering::Relaxed).saturating_sub(SMALL_HEAD_BYTES);
        if beyond > 0 {
            self.crowd.large_heads.fetch_sub(beyond, Ordering::Relaxed);
        }
    }

    /// Records that headers, or something else that must arrive whole, have begun. `is_next` is true if those before
    /// are complete.
    pub fn head_within(&self, is_next: bool) {
        if is_next {
            self.forget_head();
        }
        if is_next || self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Records that everything that began to arrive is complete.
    pub fn head_between(&self) {
        if self.head_since.load(Ordering::Relaxed) != NEVER {
            self.head_since.store(NEVER, Ordering::Relaxed);
            self.forget_head();
        }
    }

    /// Records bytes on HTTP/1.1, where bytes between calls are headers. Returns false if the headers have no room.
    pub fn bytes_of_http1(&self, bytes: &[u8]) -> bool {
        if self.calls.load(Ordering::Relaxed) == 0 {
            self.head_within(false);
            let lines = memchr::memchr_iter(b'\n', bytes).count();
            self.head_lines.fetch_add(lines, Ordering::Relaxed);
            return self.has_room_for_head(bytes.len());
        }
        true
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

    /// Records that the peer took bytes of the data sent.
    pub fn wrote(&self, bytes: usize) {
        if self.write_since.load(Ordering::Relaxed) != NEVER
            && self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes >= MIN_TAKEN_BYTES
        {
            self.wrote_all();
        }
    }

    /// Records that the peer took all data sent.
    pub fn wrote_all(&self) {
        if self.write_since.load(Ordering::Relaxed) != NEVER {
            self.write_since.store(NEVER, Ordering::Relaxed);
        }
    }

    /// Records that the peer does not take the data sent.
    pub fn write_waits(&self) {
        if self.write_since.load(Ordering::Relaxed) == NEVER {
            self.taken.store(0, Ordering::Relaxed);
            self.write_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Records that the last answer on HTTP/1.1 may be on its way to a peer that still sends.
    pub fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Records that the sending half is closed. Returns true if the peer may still be sending; its bytes are then read,
    /// so that its operating system does not discard the answer.
    pub fn lingers(&self) -> bool {
        let lingers = self.unread.load(Ordering::Relaxed);
        if lingers && self.linger_since.load(Ordering::Relaxed) == NEVER {
            self.head_between();
            self.linger_since.store(self.now(), Ordering::Relaxed);
        }
        lingers
    }

    /// Returns the order that is due, with its reason.
    pub fn overdue(&self) -> Option<(Order, &'static str)> {
        let now = self.now();
        let longer =
            |since: u64, limit: Duration| since != NEVER && u128::from(now.saturating_sub(since)) > limit.as_micros();
        let idle = self.is_between_calls();
        let limits = &self.limits;
        let leaving_since = self.leaving_since.load(Ordering::Relaxed);
        let leaving = leaving_since != NEVER;
        let idle_since = self.idle_since.load(Ordering::SeqCst);
        let linger_since = self.linger_since.load(Ordering::Relaxed);
        if longer(self.head_since.load(Ordering::Relaxed), limits.header_timeout) {
            return Some((Order::Cut, "its headers do not arrive in time"));
        }
        let held = self.waits().answers.values().min().copied().unwrap_or(NEVER);
        let write_timeout = if self.stopping.load(Ordering::Relaxed) {
            limits.leave_timeout.min(limits.write_timeout)
        } else {
            limits.write_timeout
        };
        if longer(self.write_since.load(Ordering::Relaxed).min(held), write_timeout) {
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
        let old = !self.is_leaving() && self.max_age.is_some_and(|max_age| longer(0, max_age));
        old.then_some((Order::LastCall, "it is old"))
    }

    /// Records that a call came over HTTP/2.
    pub fn note_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    /// Returns true if a call came over HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Records that the service stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Returns true if no further call may come on the connection.
    pub fn is_leaving(&self) -> bool {
        self.last_call.load(Ordering::Relaxed) || self.leaving_since.load(Ordering::Relaxed) != NEVER
    }

    /// Gives the connection an order, unless one at least as strong was given before.
    pub fn tell(&self, order: Order) {
        if order == Order::LastCall {
            self.last_call.store(true, Ordering::Relaxed);
            if !self.is_http2() {
                return;
            }
        }
        let order = order.max(Order::Leave);
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

/// Returns an age within [`AGE_SPREAD`] of `age`, at random.
fn spread(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(1.0 - AGE_SPREAD..=1.0 + AGE_SPREAD))
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.forget_head();
        self.room.leave(&self.crowd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: EdgeLimits = EdgeLimits {
        max_connections: 100,
        max_streams: 1,
        max_running_of_strangers: 1,
        max_header_bytes: 1,
        max_resets: 1,
        idle_timeout: STALLED_AFTER,
        max_age: None,
        header_timeout: STALLED_AFTER,
        write_timeout: STALLED_AFTER,
        leave_timeout: STALLED_AFTER,
        ping_interval: STALLED_AFTER,
    };

    #[test]
    fn large_heads_of_all_connections_have_a_bound_and_small_ones_always_have_room() {
        let crowd = Arc::new(Crowd::new(LIMITS.max_running_of_strangers));
        let connection = || Activity::new(LIMITS, Arc::clone(&crowd));
        let head = vec![b'x'; 2 * SMALL_HEAD_BYTES];
        let large: Vec<_> = (0..MAX_LARGE_HEADS_BYTES / SMALL_HEAD_BYTES).map(|_| connection()).collect();
        assert!(large.iter().all(|each| each.bytes_of_http1(&head)), "at the bound");
        let (beyond, small) = (connection(), connection());
        let of = |bytes: usize| &head[..bytes];
        assert!(
            small.bytes_of_http1(of(SMALL_HEAD_BYTES)) && !beyond.bytes_of_http1(of(SMALL_HEAD_BYTES + 1)),
            "one beyond"
        );
        drop(beyond);
        large[0].begin_call();
        let next = connection();
        assert!(next.bytes_of_http1(&head), "headers that became a call make room");
        drop((large, small, next));
        assert_eq!(crowd.large_heads.load(Ordering::Relaxed), 0, "all of it is returned");
    }

    #[test]
    fn ages_are_spread_by_a_tenth_either_way() {
        let ages: Vec<_> = (0..1_000).map(|_| spread(Duration::from_mins(5)).as_secs_f64()).collect();
        let (least, most) =
            ages.iter().fold((f64::MAX, 0.0_f64), |(least, most), age| (least.min(*age), most.max(*age)));
        assert!(least >= 270.0 && most <= 330.0, "{least} to {most}");
        assert!(least < 275.0 && most > 325.0, "{least} to {most}: all of the range");
    }
}
