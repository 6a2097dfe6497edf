//! How often a client may call, and how every answer to it says what is left: the `RateLimit` and `RateLimit-Policy` fields
//! of the IETF's draft on rate limit headers, which are metadata on gRPC.
//!
//! Each process counts by itself.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::refusal::Refusal;
use crate::app::credentials::Caller;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The time of a limit: a whole one may come at once, and is there again after it.
const WINDOW: Duration = Duration::from_mins(1);
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
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
    /// What was left when it was last looked at.
    left: AtomicU32,
}

impl RateLimits {
    pub fn new(settings: RateLimitSettings) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    /// That of a client that exists, if it has one.
    pub fn of(&self, caller: &Caller) -> Option<Arc<RateLimit>> {
        let per_minute = NonZeroU32::new(caller.requests_per_minute.unwrap_or(self.settings.per_minute))?;
        let at = Instant::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
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
            limiter: RateLimiter::direct(Quota::per_minute(per_minute)).with_middleware(),
            left: AtomicU32::new(per_minute.get()),
        }
    }

    /// Counts a request.
    pub fn charge_request(&self) -> Result<(), Refusal> {
        self.charge(NonZeroU32::MIN)
    }

    /// Counts what a request asks to grant, beyond what it cost by itself. One that asks for more than the whole limit costs
    /// all of it.
    fn charge_grants(&self, grants: u64) -> Result<(), Refusal> {
        let more = u32::try_from(grants.saturating_sub(1)).unwrap_or(u32::MAX);
        match (self.cost, NonZeroU32::new(more)) {
            (Cost::Grants, Some(more)) => self.charge(more),
            _ => Ok(()),
        }
    }

    fn charge(&self, cost: NonZeroU32) -> Result<(), Refusal> {
        // There is room for as much as it is cut to.
        let Ok(charged) = self.limiter.check_n(cost.min(self.per_minute)) else { return Ok(()) };
        match charged {
            Ok(state) => {
                self.left.store(state.remaining_burst_capacity(), Ordering::Relaxed);
                Ok(())
            }
            Err(refused) => {
                if cost == NonZeroU32::MIN {
                    self.left.store(0, Ordering::Relaxed);
                }
                let wait = refused.wait_time_from(DefaultClock::default().now());
                Err(Refusal::RateLimited {
                    per_minute: self.per_minute.get(),
                    // Whole seconds, up: coming back earlier would be refused again.
                    retry_after: Duration::from_secs(wait.as_secs() + 1),
                })
            }
        }
    }

    /// Says in an answer what is left, and in how many seconds all of it is there again.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let left = self.left.load(Ordering::Relaxed);
        let spent = u64::from(self.per_minute.get().saturating_sub(left));
        let until_whole = (spent * WINDOW.as_secs()).div_ceil(u64::from(self.per_minute.get()));
        let state = format!("\"{}\";r={left};t={until_whole}", self.cost.name());
        if let Ok(state) = HeaderValue::try_from(state) {
            headers.insert(RATE_LIMIT, state);
        }
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

/// Counts what a request asks to grant, where that is what is counted.
pub(super) fn charge_grants(limit: Option<&Arc<RateLimit>>, grants: u64) -> Result<(), Refusal> {
    limit.map_or(Ok(()), |limit| limit.charge_grants(grants))
}
