//! The clock, which tests can fix or replace.

use std::fmt;
use std::sync::Arc;

/// A source of the current time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Self {
        Self::reading(|| chrono::Utc::now().timestamp_millis())
    }

    /// Returns a clock that reads this source (milliseconds since 1970-01-01T00:00:00Z).
    pub fn reading(source: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// Returns a clock that stands still at `now_ms` (milliseconds since 1970-01-01T00:00:00Z).
    pub fn fixed(now_ms: i64) -> Self {
        Self::reading(move || now_ms)
    }

    /// Returns the current time, milliseconds since 1970-01-01T00:00:00Z.
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_ms())
    }
}
