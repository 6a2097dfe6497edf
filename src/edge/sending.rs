//! Data that one connection sends, as its peer takes it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::moment::{Beginning, Moment};

/// Least amount that a peer must take within `--write-timeout-ms`: bytes. One part of an answer.
const MIN_TAKEN_BYTES: usize = 16 * 1024;

/// Data that is being sent.
#[derive(Debug)]
pub struct Sending {
    beginning: Beginning,
    /// Time since when the peer takes none, or next to none, of it.
    pub stuck_since: Moment,
    /// Bytes that the peer took since then.
    taken: AtomicUsize,
}

impl Sending {
    /// Returns the state of a connection that has sent nothing.
    pub fn nothing(beginning: Beginning) -> Self {
        Self { beginning, stuck_since: Moment::never(), taken: AtomicUsize::new(0) }
    }

    /// Records that the peer took bytes of the data sent.
    pub fn wrote(&self, bytes: usize) {
        if self.stuck_since.is_set() && self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes >= MIN_TAKEN_BYTES {
            self.wrote_all();
        }
    }

    /// Records that the peer took all data sent.
    pub fn wrote_all(&self) {
        self.stuck_since.clear();
    }

    /// Records that the peer does not take the data sent.
    pub fn write_waits(&self) {
        if !self.stuck_since.is_set() {
            self.taken.store(0, Ordering::Relaxed);
            self.stuck_since.set(self.beginning);
        }
    }
}
