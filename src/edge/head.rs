//! Headers of one connection that are arriving: when they began, and the memory that they hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::crowd::Crowd;
use super::moment::{Beginning, Moment};

/// Length up to which headers always have room, however many connections send them: bytes.
const SMALL_HEAD_BYTES: usize = 8 * 1024;
/// Limits the incomplete headers of all connections beyond small ones: bytes. A connection that would exceed it is
/// ended.
pub const MAX_LARGE_HEADS_BYTES: usize = 16 * 1024 * 1024;

/// Incomplete headers, or something else that must arrive whole.
#[derive(Debug)]
pub struct ArrivingHead {
    beginning: Beginning,
    /// Time at which they began.
    pub since: Moment,
    /// Length: bytes.
    bytes: AtomicUsize,
    /// Lines (HTTP/1.1).
    lines: AtomicUsize,
    crowd: Arc<Crowd>,
}

impl ArrivingHead {
    /// Returns the headers of the first call, which begin with the connection.
    pub fn new(beginning: Beginning, crowd: Arc<Crowd>) -> Self {
        let (bytes, lines) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { beginning, since: Moment::of_beginning(), bytes, lines, crowd }
    }

    /// Counts bytes. Returns false if the incomplete headers of all connections exceed their limit.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let beyond = held.saturating_sub(SMALL_HEAD_BYTES).min(bytes);
        beyond == 0 || self.crowd.large_heads.fetch_add(beyond, Ordering::Relaxed) + beyond <= MAX_LARGE_HEADS_BYTES
    }

    /// Counts bytes and lines on HTTP/1.1. Returns false if they have no room.
    pub fn has_room_for_lines(&self, bytes: &[u8]) -> bool {
        self.begins(false);
        self.lines.fetch_add(memchr::memchr_iter(b'\n', bytes).count(), Ordering::Relaxed);
        self.has_room_for(bytes.len())
    }

    /// Returns the length and the number of lines that have arrived since the last call.
    pub fn size(&self) -> (usize, usize) {
        (self.bytes.load(Ordering::Relaxed), self.lines.load(Ordering::Relaxed))
    }

    /// Records that headers, or something else that must arrive whole, have begun. `is_next` is true if those before
    /// are complete.
    pub fn begins(&self, is_next: bool) {
        if is_next {
            self.forget();
        }
        if is_next || !self.since.is_set() {
            self.since.set(self.beginning);
        }
    }

    /// Records that everything that began to arrive is complete.
    pub fn completes(&self) {
        if self.since.clear() {
            self.forget();
        }
    }

    fn forget(&self) {
        self.lines.store(0, Ordering::Relaxed);
        let beyond = self.bytes.swap(0, Ordering::Relaxed).saturating_sub(SMALL_HEAD_BYTES);
        if beyond > 0 {
            self.crowd.large_heads.fetch_sub(beyond, Ordering::Relaxed);
        }
    }
}

impl Drop for ArrivingHead {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_heads_of_all_connections_have_a_bound_and_small_ones_always_have_room() {
        let crowd = Arc::new(Crowd::new(1));
        let connection = || ArrivingHead::new(Beginning::now(), Arc::clone(&crowd));
        let head = vec![b'x'; 2 * SMALL_HEAD_BYTES];
        let large: Vec<_> = (0..MAX_LARGE_HEADS_BYTES / SMALL_HEAD_BYTES).map(|_| connection()).collect();
        assert!(large.iter().all(|each| each.has_room_for_lines(&head)), "at the bound");
        let (beyond, small) = (connection(), connection());
        let of = |bytes: usize| &head[..bytes];
        assert!(
            small.has_room_for_lines(of(SMALL_HEAD_BYTES)) && !beyond.has_room_for_lines(of(SMALL_HEAD_BYTES + 1)),
            "one beyond"
        );
        drop(beyond);
        large[0].completes();
        let next = connection();
        assert!(next.has_room_for_lines(&head), "headers that became a call make room");
        drop((large, small, next));
        assert_eq!(crowd.large_heads.load(Ordering::Relaxed), 0, "all of it is returned");
    }
}
