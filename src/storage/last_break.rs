//! The time at which a connection last broke, which connections note and pools ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Time at which a connection was last closed because its work did not end in order. The connection may have broken,
/// and so may those that were idle at that time: they are tested before they are used.
#[derive(Debug, Clone, Default)]
pub(super) struct LastBreak(Arc<Mutex<Option<Instant>>>);

impl LastBreak {
    /// Records that a connection broke now.
    pub fn note(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Returns true if a connection broke within the last `last`.
    pub fn was_within(&self, last: Duration) -> bool {
        self.0.lock().is_some_and(|broke| broke.elapsed() <= last)
    }
}
