//! Failed logins: how fast wrong credentials may be tried, from one address and for one username.
//!
//! Nobody is shut out by it: beyond what is free, a pair that is not known yet is checked later, at a pace that slows down
//! with every failure, and one more that would have to wait for too long is refused. So the owner of a username is let in
//! while somebody else guesses, at worst a few seconds later; and not even so where the owner's pair was checked before,
//! or where no login from the owner's address failed. Called by `credentials`, which knows pairs that are remembered.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;

/// What a failure weighs: a guess, and a pair that was found wrong before, which is rather a program that is told wrong.
const GUESS: u32 = 10;
const REPEAT: u32 = 1;
/// Failures that slow nothing down: 30 guesses from an address, 10 for a username.
const FREE_OF_ADDRESS: u32 = 30 * GUESS;
const FREE_OF_USERNAME: u32 = 10 * GUESS;
/// How long until the weight of one guess is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(6);
/// What is remembered of one address or username, at most.
const MAX_FAILURES: u32 = 60 * GUESS;
/// Time between two checks beyond what is free: it doubles with each guess, from the first to the longest.
const FIRST_PACE: Duration = Duration::from_millis(250);
const LONGEST_PACE: Duration = Duration::from_secs(5);
/// How long a pair may wait for its check.
const MAX_WAIT: Duration = LONGEST_PACE;
/// Addresses and usernames that are remembered.
const MAX_REMEMBERED: usize = 20_000;

/// What failures are counted of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    /// Of an IPv6 address its first 64 bits: who has one has all that begin so.
    Address(IpAddr),
    Username(String),
}

impl Source {
    fn free(&self) -> u32 {
        match self {
            Self::Address(_) => FREE_OF_ADDRESS,
            Self::Username(_) => FREE_OF_USERNAME,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    /// By their weight.
    failures: u32,
    /// When the last of them was counted, or forgotten.
    at: Instant,
    /// When the next check may begin.
    next: Instant,
}

impl Tally {
    fn forget(&mut self, now: Instant) {
        let forgotten = now.saturating_duration_since(self.at).as_secs() / FORGOTTEN_AFTER.as_secs();
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX).min(MAX_FAILURES);
        self.at += FORGOTTEN_AFTER * forgotten;
        self.failures = self.failures.saturating_sub(forgotten * GUESS);
    }

    /// Time between two checks.
    fn pace(&self, free: u32) -> Duration {
        match self.failures.checked_sub(free) {
            None => Duration::ZERO,
            Some(beyond) => (FIRST_PACE * 2_u32.pow((beyond / GUESS).min(10))).min(LONGEST_PACE),
        }
    }
}

/// Too many logins failed. When another try is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany(pub Duration);

/// The failed logins of a while.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<Source, Tally>>);

impl Attempts {
    /// How long the check of a pair that is not known has to wait.
    ///
    /// # Errors
    /// When it would be too long.
    pub fn admit(&self, username: &str, address: Option<IpAddr>, now: Instant) -> Result<Duration, TooMany> {
        let mut tallies = lock(&self.0);
        let sources = limiting(&mut tallies, (username, address), now);
        let paced = |tallies: &HashMap<Source, Tally>, source: &Source| {
            tallies.get(source).map(|tally| (tally.next, tally.pace(source.free()))).filter(|(_, pace)| !pace.is_zero())
        };
        let begins = sources.iter().filter_map(|source| paced(&tallies, source)).map(|(next, _)| next).max();
        let begins = begins.unwrap_or(now).max(now);
        let wait = begins - now;
        if wait > MAX_WAIT {
            return Err(TooMany(wait));
        }
        for source in &sources {
            if let Some((_, pace)) = paced(&tallies, source)
                && let Some(tally) = tallies.get_mut(source)
            {
                tally.next = begins + pace;
            }
        }
        Ok(wait)
    }

    /// Counts a failed login, of a pair that was found wrong before or was not.
    ///
    /// # Errors
    /// When there were too many of them by now: the answer is to say so.
    pub fn failed(
        &self,
        (username, known): (&str, bool),
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), TooMany> {
        let weight = if known { REPEAT } else { GUESS };
        let mut tallies = lock(&self.0);
        if tallies.len() >= MAX_REMEMBERED {
            tallies.retain(|_, tally| {
                tally.forget(now);
                tally.failures > 0
            });
            if tallies.len() >= MAX_REMEMBERED {
                tallies.clear();
            }
        }
        let mut longest = Duration::ZERO;
        for source in sources(username, address) {
            let free = source.free();
            let tally = tallies.entry(source).or_insert(Tally { failures: 0, at: now, next: now });
            tally.forget(now);
            longest = longest.max(tally.pace(free));
            tally.failures = (tally.failures + weight).min(MAX_FAILURES);
        }
        if longest.is_zero() { Ok(()) } else { Err(TooMany(longest)) }
    }
}

/// What slows an attempt down, brought up to now: its address, and its username if a login from this address failed.
fn limiting(
    tallies: &mut HashMap<Source, Tally>,
    (username, address): (&str, Option<IpAddr>),
    now: Instant,
) -> Vec<Source> {
    let mut limiting = Vec::new();
    for source in sources(username, address) {
        let Some(tally) = tallies.get_mut(&source) else {
            if matches!(source, Source::Address(_)) {
                return limiting;
            }
            continue;
        };
        tally.forget(now);
        if matches!(source, Source::Address(_)) && tally.failures == 0 {
            return limiting;
        }
        limiting.push(source);
    }
    limiting
}

/// The address first.
fn sources(username: &str, address: Option<IpAddr>) -> impl Iterator<Item = Source> {
    let address = address.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    });
    address.map(Source::Address).into_iter().chain([Source::Username(username.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn fail(attempts: &Attempts, times: u32, now: Instant) {
        for _ in 0..times {
            let _ = attempts.failed(("till", false), HERE, now);
        }
    }

    #[test]
    fn the_first_failures_are_free_and_the_next_are_told_so() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..FREE_OF_USERNAME / GUESS {
            assert_eq!(attempts.admit("till", HERE, now), Ok(Duration::ZERO));
            assert_eq!(attempts.failed(("till", false), HERE, now), Ok(()));
        }
        assert_eq!(attempts.failed(("till", false), HERE, now), Err(TooMany(FIRST_PACE)));
    }

    #[test]
    fn beyond_them_checks_are_paced_and_what_would_wait_too_long_is_refused() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        fail(&attempts, 2 * FREE_OF_USERNAME / GUESS, now);
        assert_eq!(attempts.admit("till", HERE, now), Ok(Duration::ZERO), "nobody waits: at once");
        assert_eq!(attempts.admit("till", HERE, now), Ok(LONGEST_PACE));
        assert_eq!(attempts.admit("till", HERE, now), Err(TooMany(2 * LONGEST_PACE)));
        assert_eq!(attempts.admit("till", HERE, now + LONGEST_PACE), Ok(LONGEST_PACE));
    }

    #[test]
    fn the_owner_elsewhere_and_others_here_do_not_wait() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        fail(&attempts, 2 * FREE_OF_USERNAME / GUESS, now);
        for _ in 0..5 {
            assert_eq!(attempts.admit("till", THERE, now), Ok(Duration::ZERO));
            assert_eq!(attempts.admit("other", HERE, now), Ok(Duration::ZERO));
        }
    }

    #[test]
    fn guesses_for_many_usernames_from_one_address_are_paced() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for index in 0..=FREE_OF_ADDRESS / GUESS {
            let _ = attempts.failed((&index.to_string(), false), HERE, now);
        }
        assert_eq!(attempts.admit("another", HERE, now), Ok(Duration::ZERO));
        assert!(attempts.admit("another", HERE, now).is_ok_and(|wait| wait > Duration::ZERO));
        assert_eq!(attempts.admit("another", THERE, now), Ok(Duration::ZERO));
    }

    #[test]
    fn a_program_that_repeats_a_wrong_pair_is_told_so_later() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..FREE_OF_USERNAME {
            assert_eq!(attempts.failed(("till", true), HERE, now), Ok(()));
        }
        assert_eq!(attempts.failed(("till", true), HERE, now), Err(TooMany(FIRST_PACE)));
    }

    #[test]
    fn failures_are_forgotten() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        fail(&attempts, 3 * FREE_OF_USERNAME / GUESS, now);
        let later = now + FORGOTTEN_AFTER * MAX_FAILURES;
        for _ in 0..3 {
            assert_eq!(attempts.admit("till", HERE, later), Ok(Duration::ZERO));
        }
        assert_eq!(attempts.failed(("till", false), HERE, later), Ok(()));
    }

    #[test]
    fn addresses_of_one_network_are_one_and_memory_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for index in 0..100_u16 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, index);
            let _ = attempts.failed((&index.to_string(), false), Some(address.into()), now);
        }
        let sibling = Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9).into());
        let _ = attempts.admit("a", sibling, now);
        assert!(attempts.admit("a", sibling, now).is_ok_and(|wait| wait > Duration::ZERO));
        for index in 0..2 * MAX_REMEMBERED {
            let _ = attempts.failed((&index.to_string(), false), None, now);
        }
        assert!(lock(&attempts.0).len() <= MAX_REMEMBERED + 1);
    }
}
