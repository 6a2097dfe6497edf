//! How often a client may call, and how every answer to it says what is left: the `RateLimit` and `RateLimit-Policy` fields
//! of the IETF's draft on rate limit headers, which are metadata on gRPC.
//!
//! A call is charged once, when its cost is known. Each process counts by itself.

mod window;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;
use crate::access::Caller;
use window::{WINDOW, Window};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Clients that are remembered. Beyond it those go that did not call for a whole window: all of their limit is there.
const MAX_REMEMBERED: usize = 10_000;

/// What a request costs of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// 1.
    Request,
    /// As many as it asks to grant, at least 1.
    Grants,
}

impl Cost {
    /// What is counted: the name of the policy.
    fn name(self) -> &'static str {
        match self {
            Self::Request => "requests",
            Self::Grants => "grants",
        }
    }
}

/// What the configuration says of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// What a client without a limit of its own may spend in a minute; 0: as much as it likes.
    pub per_minute: u32,
    /// What a request costs.
    pub cost: Cost,
}

/// The limits of all clients.
#[derive(Debug)]
pub(super) struct RateLimits {
    settings: RateLimitSettings,
    clients: Mutex<HashMap<Arc<str>, Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    limit: Arc<RateLimit>,
    at: Instant,
}

/// The limit of one client.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_minute: NonZeroU32,
    cost: Cost,
    policy: HeaderValue,
    begun: Instant,
    window: Mutex<Window>,
}

/// The charge of one call, which is made at most once.
#[derive(Debug)]
pub(super) struct Charge {
    limit: Arc<RateLimit>,
    made: AtomicBool,
}

impl RateLimits {
    pub fn new(settings: RateLimitSettings) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    /// That of a client that exists, if it has one.
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
        clients.insert(Arc::clone(&caller.username), Remembered { limit: Arc::clone(&limit), at });
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

    /// Charges what a call costs. A refused call costs nothing.
    pub fn charge(&self, cost: u32) -> Result<(), Refusal> {
        let charged = self.with_window(|window, now| window.charge(cost, self.per_minute, now));
        charged.map_err(|wait| Refusal::RateLimited { per_minute: self.per_minute.get(), retry_after: seconds(wait) })
    }

    fn with_window<T>(&self, look: impl FnOnce(&mut Window, Duration) -> T) -> T {
        // It is consistent at any time, so lock poisoning is ignored.
        let mut window = self.window.lock();
        // Read under the lock: times never go back.
        look(&mut window, self.begun.elapsed())
    }

    /// Says in an answer what is left, and in how many seconds all of it is there again.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let (left, whole) = self.with_window(|window, now| window.left(self.per_minute, now));
        let state = format!("\"{}\";r={left};t={}", self.cost.name(), seconds(whole).as_secs());
        if let Ok(state) = HeaderValue::try_from(state) {
            headers.insert(RATE_LIMIT, state);
        }
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

impl Charge {
    /// Begins a call that is let in. Where every call costs the same, the charge is made.
    ///
    /// # Errors
    /// The refusal of a call beyond the limit.
    pub fn begin(limit: Arc<RateLimit>) -> Result<Arc<Self>, Refusal> {
        let charge = Self { made: AtomicBool::new(false), limit };
        if charge.limit.cost == Cost::Request {
            charge.make(1)?;
        }
        Ok(Arc::new(charge))
    }

    /// Charges the call, unless that is done already.
    ///
    /// # Errors
    /// The refusal of a call beyond the limit. It is not charged again.
    pub fn make(&self, cost: u64) -> Result<(), Refusal> {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        if self.made.swap(true, Ordering::Relaxed) { Ok(()) } else { self.limit.charge(cost) }
    }
}

/// Whole seconds, rounded up: coming back earlier would be refused again.
fn seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}
