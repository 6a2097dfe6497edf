//! Memory that connections without credentials share: room for incomplete headers, and for calls at a time.
//!
//! The HTTP/2 library keeps the room of as many calls as a connection ever had at a time, 2 KiB for each, until the
//! connection ends, and a call whose answer waits for its peer takes 3 KiB more. So the room of all connections without
//! credentials has a limit, and those that are idle give way beyond it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Calls at a time for which a connection has room in any case.
const FEW_CALLS: usize = 8;
/// Limits the room for calls of all connections without credentials, beyond the few of each. It takes about 10 MiB, if
/// every answer waits for its peer.
pub const MAX_CALLS_OF_STRANGERS: usize = 2 * 1024;

/// The memory of all connections.
#[derive(Debug)]
pub struct Crowd {
    /// Limits the running calls of connections without credentials, beyond the few of each.
    max_running: usize,
    /// Length of incomplete headers, beyond small ones: bytes.
    pub large_heads: AtomicUsize,
    /// Room for calls of connections without credentials.
    calls: AtomicUsize,
    /// Running calls that began on connections without credentials, beyond the few of each.
    running: AtomicUsize,
    full: Notify,
}

impl Crowd {
    /// Returns the memory of no connections, with this limit of the running calls without credentials.
    pub fn new(max_running: usize) -> Self {
        Self {
            max_running,
            large_heads: AtomicUsize::default(),
            calls: AtomicUsize::default(),
            running: AtomicUsize::default(),
            full: Notify::default(),
        }
    }

    /// Returns true if the room for calls exceeds this number.
    pub fn exceeds(&self, calls: usize) -> bool {
        self.calls.load(Ordering::Relaxed) > calls
    }

    /// Counts a call that begins as one of `calls` at a time on a connection without credentials, until the returned value
    /// is dropped. Returns `None` for one of the few that are not counted.
    pub fn begin(self: &Arc<Self>, calls: usize) -> Option<RunningCall> {
        (calls > FEW_CALLS).then(|| {
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            RunningCall { crowd: Arc::clone(self), is_too_many: running > self.max_running }
        })
    }

    /// Waits until the room for calls exceeds its limit.
    pub async fn full(&self) {
        self.full.notified().await;
    }
}

/// Running call of a connection without credentials, among those of all.
#[derive(Debug)]
pub struct RunningCall {
    crowd: Arc<Crowd>,
    /// True if the call is beyond the limit of all.
    pub is_too_many: bool,
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.crowd.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Room for calls of one connection, in the crowd.
#[derive(Debug, Default)]
pub struct CallRoom(AtomicUsize);

impl CallRoom {
    /// Grows to the room that this number of calls at a time takes.
    pub fn grow(&self, crowd: &Crowd, calls: usize) {
        let room = calls.saturating_sub(FEW_CALLS);
        let had = self.0.fetch_max(room, Ordering::Relaxed);
        if room > had {
            let all = crowd.calls.fetch_add(room - had, Ordering::Relaxed) + room - had;
            if all > MAX_CALLS_OF_STRANGERS {
                crowd.full.notify_one();
            }
        }
    }

    /// Returns true if the connection takes more room than every connection may.
    pub fn is_large(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Returns the room to the others.
    pub fn leave(&self, crowd: &Crowd) {
        crowd.calls.fetch_sub(self.0.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::MAX_RUNNING_OF_STRANGERS;
    use super::*;

    #[test]
    fn running_calls_have_a_limit_beyond_the_few_of_each_connection() {
        let crowd = Arc::new(Crowd::new(MAX_RUNNING_OF_STRANGERS));
        assert!((1..=FEW_CALLS).all(|calls| crowd.begin(calls).is_none()), "a few are not counted");
        let begin = || crowd.begin(FEW_CALLS + 1).unwrap();
        let mut running: Vec<_> = (0..MAX_RUNNING_OF_STRANGERS).map(|_| begin()).collect();
        assert!(running.iter().all(|call| !call.is_too_many), "at the limit");
        assert!(begin().is_too_many, "one beyond");
        running.pop();
        assert!(!begin().is_too_many, "one ended");
    }

    #[tokio::test]
    async fn the_room_of_all_has_a_bound_beyond_the_few_calls_of_each() {
        let crowd = Crowd::new(MAX_RUNNING_OF_STRANGERS);
        let (one, other) = (CallRoom::default(), CallRoom::default());
        one.grow(&crowd, FEW_CALLS);
        assert!(!one.is_large() && !crowd.exceeds(0), "a few always have room");
        (1..=FEW_CALLS + MAX_CALLS_OF_STRANGERS).for_each(|calls| one.grow(&crowd, calls));
        one.grow(&crowd, 1);
        assert!(one.is_large() && crowd.exceeds(MAX_CALLS_OF_STRANGERS - 1) && !crowd.exceeds(MAX_CALLS_OF_STRANGERS));
        other.grow(&crowd, FEW_CALLS + 1);
        assert!(crowd.exceeds(MAX_CALLS_OF_STRANGERS), "one beyond");
        crowd.full().await;
        one.leave(&crowd);
        one.leave(&crowd);
        other.leave(&crowd);
        assert!(!crowd.exceeds(0), "all of it is returned");
    }
}
