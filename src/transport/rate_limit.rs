//! How often a client may call.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::refusal::Refusal;

/// Requests a minute, for each client by itself. Up to a minute's worth may come at once.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: NonZeroU32,
    limiter: DefaultKeyedRateLimiter<Arc<str>>,
    clock: DefaultClock,
}

impl RateLimit {
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        let limiter = DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute));
        Self { per_minute, limiter, clock: DefaultClock::default() }
    }

    /// Counts one request of `username`, a client that exists.
    pub fn admit(&self, username: &Arc<str>) -> Result<(), Refusal> {
        self.limiter.check_key(username).map_err(|refused| Refusal::RateLimited {
            per_minute: self.per_minute.get(),
            // Whole seconds, up: coming back earlier would be refused again.
            retry_after: std::time::Duration::from_secs(refused.wait_time_from(self.clock.now()).as_secs() + 1),
        })
    }
}
