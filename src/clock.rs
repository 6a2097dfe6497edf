//! The clock, which tests can fix or replace.

use std::fmt;
use std::sync::Arc;

use crate::earning::Timestamp;

/// A source of the current time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Self {
        Self::reading(|| chrono::Utc::now().into())
    }

    /// Returns a clock that reads this source.
    pub fn reading(source: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// Returns a clock that stands still at `now`.
    pub fn fixed(now: Timestamp) -> Self {
        Self::reading(move || now)
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
