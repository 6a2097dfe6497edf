//! Failed logins: limits how fast wrong credentials may be tried from one address and for one username.
//!
//! No user is locked out. Beyond a number of free failures, the check of unknown credentials is delayed, and the delay
//! grows with every failure. A check that would wait for too long is refused. So the owner of a username can log in
//! while another party guesses, at worst a few seconds later, and without delay when the owner's credentials were
//! checked before, or when no login from the owner's address failed. Called by `credentials`, which knows the
//! credentials that are remembered.

use std::collections::hash_map::RandomState;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use hashlink::LruCache;

/// Weights of a failure: of a guess, and of credentials that were found wrong before, which are more likely a
/// misconfigured program.
const GUESS: u32 = 10;
const REPEAT: u32 = 1;
/// Weight of the failures that cause no delay: 30 guesses from an address, 10 for a username.
const FREE_OF_ADDRESS: u32 = 30 * GUESS;
const FREE_OF_USERNAME: u32 = 10 * GUESS;
/// Time until the weight of one guess is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(6);
/// Maximum weight of failures that is remembered for one address or username.
const MAX_FAILURES: u32 = 60 * GUESS;
/// Time between two checks beyond the free failures: doubles with each guess, from the first to the longest.
const FIRST_PACE: Duration = Duration::from_millis(250);
const LONGEST_PACE: Duration = Duration::from_secs(5);
/// Maximum time that a check may wait.
const MAX_WAIT: Duration = LONGEST_PACE;
/// Maximum number of addresses and usernames that are remembered. A further one replaces the least recently used, most
/// of whose failures are forgotten by then.
const MAX_REMEMBERED: usize = 20_000;
/// Checks under way from one address without failures, beyond which the address counts like any other.
const MAX_CLEAN_CHECKS: u32 = 32;

/// Time for which an address counts as one from which a login failed, for the order of checks.
const SUSPECT_FOR: Duration = Duration::from_mins(10);

/// The key by which failures are counted. IPv6 addresses are cut to their first 64 bits, as one user holds all
/// addresses of that prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum AttemptSource {
    Address(IpAddr),
    Username(String),
    /// A username, as requested from one address. Only checks under way count here.
    Both(IpAddr, String),
}

impl AttemptSource {
    fn free(&self) -> u32 {
        match self {
            Self::Address(_) => FREE_OF_ADDRESS,
            Self::Username(_) | Self::Both(..) => FREE_OF_USERNAME,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    /// Weight of the failures.
    failures: u32,
    /// Checks under way, whose result is not known yet.
    checks: u32,
    /// Time when the weight was last counted or reduced.
    at: Instant,
    /// Time when the next check may begin.
    next: Instant,
    /// Time of the last failed login.
    failed: Option<Instant>,
}

impl Tally {
    fn new(now: Instant) -> Self {
        Self { failures: 0, checks: 0, at: now, next: now, failed: None }
    }

    fn forget(&mut self, now: Instant) {
        let forgotten = now.saturating_duration_since(self.at).as_secs() / FORGOTTEN_AFTER.as_secs();
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX).min(MAX_FAILURES);
        self.at += FORGOTTEN_AFTER * forgotten;
        self.failures = self.failures.saturating_sub(forgotten * GUESS);
    }

    fn is_suspect(&self, now: Instant) -> bool {
        self.failed.is_some_and(|failed| now.saturating_duration_since(failed) < SUSPECT_FOR)
    }

    /// Returns the time between two checks, assuming that those under way fail.
    fn pace(&self, free: u32) -> Duration {
        let weight = self.failures.saturating_add(self.checks.saturating_mul(GUESS));
        match weight.checked_sub(free) {
            None => Duration::ZERO,
            Some(beyond) => (FIRST_PACE * 2_u32.pow((beyond / GUESS).min(10))).min(LONGEST_PACE),
        }
    }
}

/// Too many logins failed. Holds the time until another attempt is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany(pub Duration);

/// The recent failed logins, and the checks under way.
#[derive(Debug)]
pub struct Attempts(Mutex<Tallies>);

type Tallies = LruCache<AttemptSource, Tally, RandomState>;

/// An admitted check. Counts as a failed login until it is dropped.
#[derive(Debug)]
pub struct LoginPermit {
    /// Time to wait before the check.
    pub wait: Duration,
    /// True when no login from its address failed recently, and few are being checked.
    pub clean: bool,
    attempts: Arc<Attempts>,
    sources: Vec<AttemptSource>,
}

impl Drop for LoginPermit {
    fn drop(&mut self) {
        let mut tallies = self.attempts.0.lock();
        for source in &self.sources {
            let Some(tally) = tallies.peek_mut(source) else { continue };
            tally.checks = tally.checks.saturating_sub(1);
            if tally.checks == 0 && (tally.failed.is_none() || matches!(source, AttemptSource::Both(..))) {
                tallies.remove(source);
            }
        }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::with_hasher(MAX_REMEMBERED, RandomState::new())))
    }
}

impl Attempts {
    /// Admits the check of unknown credentials, now or after a wait.
    ///
    /// # Errors
    /// Returns an error when the check would wait for too long.
    pub fn admit(
        self: &Arc<Self>,
        username: &str,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<LoginPermit, TooMany> {
        let network = address.map(network);
        let username = || username.to_owned();
        let own = [network.map(AttemptSource::Address), Some(AttemptSource::Username(username()))];
        let both = network.map(|network| AttemptSource::Both(network, username()));
        let mut tallies = self.0.lock();
        let tally = network.and_then(|network| {
            let tally = tallies.get_mut(&AttemptSource::Address(network))?;
            tally.forget(now);
            Some(*tally)
        });
        // An address without failures is slowed down only by its own concurrent checks.
        let unsuspected = network.is_some() && tally.is_none_or(|tally| tally.failures == 0);
        let clean =
            network.is_some() && tally.is_none_or(|tally| !tally.is_suspect(now) && tally.checks < MAX_CLEAN_CHECKS);
        let counted = own.into_iter().flatten().collect::<Vec<_>>();
        let limiting = if unsuspected { both.as_slice() } else { &counted[..] };
        let begins = begins(&mut tallies, limiting, now);
        if begins - now > MAX_WAIT {
            return Err(TooMany(begins - now));
        }
        for source in limiting {
            change(&mut tallies, source, now, |tally| tally.next = begins + tally.pace(source.free()));
        }
        let sources: Vec<_> = counted.into_iter().chain(both).collect();
        for source in &sources {
            change(&mut tallies, source, now, |tally| tally.checks += 1);
        }
        Ok(LoginPermit { wait: begins - now, clean, attempts: Arc::clone(self), sources })
    }

    /// Counts a failed login. `known` is true when the same credentials were found wrong before.
    ///
    /// # Errors
    /// Returns an error when too many logins failed by now; the caller answers with it.
    pub fn failed(&self, username: &str, known: bool, address: Option<IpAddr>) -> Result<(), TooMany> {
        let sources =
            [address.map(network).map(AttemptSource::Address), Some(AttemptSource::Username(username.to_owned()))];
        self.count(sources, if known { REPEAT } else { GUESS }, Instant::now())
    }

    /// Counts a failed login with a username that no client can have, for its address alone.
    ///
    /// # Errors
    /// Returns an error like [`Self::failed`].
    pub fn impossible(&self, address: Option<IpAddr>) -> Result<(), TooMany> {
        self.count([address.map(network).map(AttemptSource::Address)], GUESS, Instant::now())
    }

    fn count<const N: usize>(
        &self,
        sources: [Option<AttemptSource>; N],
        weight: u32,
        now: Instant,
    ) -> Result<(), TooMany> {
        let mut tallies = self.0.lock();
        let mut longest = Duration::ZERO;
        for source in sources.into_iter().flatten() {
            change(&mut tallies, &source, now, |tally| {
                tally.forget(now);
                // Checks under way count when they fail.
                longest = longest.max(Tally { checks: 0, ..*tally }.pace(source.free()));
                tally.failures = (tally.failures + weight).min(MAX_FAILURES);
                tally.failed = Some(now);
            });
        }
        if longest.is_zero() { Ok(()) } else { Err(TooMany(longest)) }
    }
}

/// Returns when a check of these sources may begin.
fn begins(tallies: &mut Tallies, limiting: &[AttemptSource], now: Instant) -> Instant {
    let paced = limiting.iter().filter_map(|source| {
        let tally = tallies.get_mut(source)?;
        tally.forget(now);
        (!tally.pace(source.free()).is_zero()).then_some(tally.next)
    });
    paced.max().unwrap_or(now).max(now)
}

/// Changes the tally of a source, and creates it where there is none.
fn change(tallies: &mut Tallies, source: &AttemptSource, now: Instant, change: impl FnOnce(&mut Tally)) {
    let mut tally = tallies.get(source).copied().unwrap_or_else(|| Tally::new(now));
    change(&mut tally);
    tallies.insert(source.clone(), tally);
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
