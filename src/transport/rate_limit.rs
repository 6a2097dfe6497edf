//! Rate limits of API clients. Every answer tells the rest of the limit in the `RateLimit` and `RateLimit-Policy`
//! fields of the IETF draft on rate limit headers, which gRPC carries as metadata.
//!
//! A call is charged once, when its cost is known. Each process counts separately.

mod window;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::{Refusal, whole_seconds};
use crate::access::Caller;
use window::{WINDOW, Window};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Limits the clients that are remembered. Beyond it, clients without a call in a whole window are removed: their limit
/// is unused.
const MAX_REMEMBERED: usize = 10_000;

/// The unit in which a limit counts requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Counts each request as 1.
    Request,
    /// Counts the instances that a request asks to grant, at least 1.
    Grants,
}

impl Cost {
    /// Returns the name of the policy, which names the unit.
    fn name(self) -> &'static str {
        match self {
            Self::Request => "requests",
            Self::Grants => "grants",
        }
    }
}

/// Configuration of rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// Limit per minute of a client without a limit of its own; 0 means unlimited.
    pub per_minute: u32,
    /// The unit in which requests are counted.
    pub cost: Cost,
}

/// The rate limits of all clients.
#[derive(Debug)]
pub(super) struct RateLimits {
    settings: RateLimitSettings,
    clients: Mutex<HashMap<Arc<str>, RememberedLimit>>,
}

#[derive(Debug)]
struct RememberedLimit {
    limit: Arc<RateLimit>,
    at: Instant,
}

/// The rate limit of one client.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_minute: NonZeroU32,
    cost: Cost,
    policy: HeaderValue,
    begun: Instant,
    window: Mutex<Window>,
}

/// The charge of one call, made at most once.
#[derive(Debug)]
pub(super) struct Charge {
    limit: Arc<RateLimit>,
    made: AtomicBool,
}

impl RateLimits {
    /// Returns the rate limits of a service that no client has called yet.
    pub fn new(settings: RateLimitSettings) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    /// Returns the rate limit of a recorded client, if it has one.
    pub fn of(&self, caller: &Caller) -> Option<Arc<RateLimit>> {
        let per_minute = NonZeroU32::new(caller.requests_per_minute.unwrap_or(self.settings.per_minute))?;
        let at = Instant::now();
        let mut clients = self.clients.lock();
        if let Some(remembered) = clients.get_mut(&caller.username)
            && remembered.limit.per_minute == per_minute
        {
            remembered.at = at;
            return Some(Arc::clone(&remembered.limit));
        }
        if clients.len() >= MAX_REMEMBERED {
            clients.retain(|_, remembered| at.saturating_duration_since(remembered.at) < WINDOW);
        }
        let limit = Arc::new(RateLimit::new(per_minute, self.settings.cost));
        clients.insert(Arc::clone(&caller.username), RememberedLimit { limit: Arc::clone(&limit), at });
        Some(limit)
    }
}

impl RateLimit {
    fn new(per_minute: NonZeroU32, cost: Cost) -> Self {
        let policy = format!("\"{}\";q={per_minute};w={}", cost.name(), WINDOW.as_secs());
        Self {
            per_minute,
            cost,
            policy: HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("")),
            begun: Instant::now(),
            window: Mutex::default(),
        }
    }

    /// Charges the cost of a call. A refused call costs nothing.
    pub fn charge(&self, cost: u32) -> Result<(), Refusal> {
        let charged = self.with_window(|window, now| window.charge(cost, self.per_minute, now));
        charged.map_err(|wait| Refusal::RateLimited {
            per_minute: self.per_minute.get(),
            retry_after: whole_seconds(wait),
        })
    }

    fn with_window<T>(&self, look: impl FnOnce(&mut Window, Duration) -> T) -> T {
        let mut window = self.window.lock();
        // The time is read under the lock, so that times never decrease.
        look(&mut window, self.begun.elapsed())
    }

    /// Writes the rest of the limit into the headers of an answer, with the seconds until all of it is available again.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let (left, whole) = self.with_window(|window, now| window.left(self.per_minute, now));
        let state = format!("\"{}\";r={left};t={}", self.cost.name(), whole_seconds(whole).as_secs());
        if let Ok(state) = HeaderValue::try_from(state) {
            headers.insert(RATE_LIMIT, state);
        }
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

impl Charge {
    /// Begins the charge of an authenticated call, and makes it if every call costs the same.
    ///
    /// # Errors
    /// Returns [`Refusal::RateLimited`] if the client is beyond its limit.
    pub fn begin(limit: Arc<RateLimit>) -> Result<Arc<Self>, Refusal> {
        let charge = Self { made: AtomicBool::new(false), limit };
        if charge.limit.cost == Cost::Request {
            charge.make(1)?;
        }
        Ok(Arc::new(charge))
    }

    /// Charges the call, unless it was charged already.
    ///
    /// # Errors
    /// Returns [`Refusal::RateLimited`] if the client is beyond its limit. A later call does not charge again.
    pub fn make(&self, cost: u64) -> Result<(), Refusal> {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        if self.made.swap(true, Ordering::Relaxed) { Ok(()) } else { self.limit.charge(cost) }
    }
}
