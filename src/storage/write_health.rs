//! Health of writes: whether the database refused the last one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Flag that is set when a write was refused and cleared when one succeeds.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteHealth(Arc<AtomicBool>);

impl WriteHealth {
    /// Notes that the database refused a write, or that a write succeeded.
    pub fn set_failing(&self, failing: bool) {
        self.0.store(failing, Ordering::Relaxed);
    }

    /// Returns true while writes are known to fail.
    pub fn is_failing(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
