//! The cost that one client was charged within the last minute, and the time until more is available.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

/// Time after which a charge no longer counts.
pub const WINDOW: Duration = Duration::from_mins(1);
/// Charges within this time are merged and count from the last of them, so that at most 61 are kept.
const SLOT: Duration = Duration::from_secs(1);

/// Charges of the last minute. Times are counted from any fixed instant, and never decrease.
#[derive(Debug, Default)]
pub struct Window {
    charges: VecDeque<Charges>,
    spent: u32,
}

/// Merged charges of one slot.
#[derive(Debug, Clone, Copy)]
struct Charges {
    first: Duration,
    last: Duration,
    cost: u32,
}

impl Window {
    /// Charges `cost` at `now`, or returns the time after which this cost fits if nothing else is charged. A refused
    /// cost charges nothing. A cost beyond the whole limit is charged as the whole limit, so it fits once nothing else
    /// is charged.
    pub fn charge(&mut self, cost: u32, limit: NonZeroU32, now: Duration) -> Result<(), Duration> {
        self.forget(now);
        let cost = cost.min(limit.get());
        let mut over = (u64::from(self.spent) + u64::from(cost)).saturating_sub(limit.get().into());
        if over == 0 {
            self.spent += cost;
            match self.charges.back_mut() {
                Some(back) if now.saturating_sub(back.first) < SLOT => {
                    back.last = now;
                    back.cost += cost;
                }
                _ => self.charges.push_back(Charges { first: now, last: now, cost }),
            }
            return Ok(());
        }
        for charges in &self.charges {
            over = over.saturating_sub(charges.cost.into());
            if over == 0 {
                return Err((charges.last + WINDOW).saturating_sub(now));
            }
        }
        // Unreachable, because the charges add up to `spent`.
        Err(WINDOW)
    }

    /// Returns the rest of `limit` at `now`, and the time after which all of it is available again.
    pub fn left(&mut self, limit: NonZeroU32, now: Duration) -> (u32, Duration) {
        self.forget(now);
        let whole = self.charges.back().map(|charges| (charges.last + WINDOW).saturating_sub(now));
        (limit.get().saturating_sub(self.spent), whole.unwrap_or_default())
    }

    fn forget(&mut self, now: Duration) {
        while let Some(charges) = self.charges.front()
            && now >= charges.last + WINDOW
        {
            self.spent -= charges.cost;
            self.charges.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole_seconds(wait: Duration) -> Duration {
        Duration::from_secs(wait.as_nanos().div_ceil(1_000_000_000).try_into().unwrap())
    }

    fn limit(limit: u32) -> NonZeroU32 {
        NonZeroU32::new(limit).unwrap()
    }

    /// Returns costs to test with this limit: the small ones, those around the limit and twice the limit, and the
    /// largest.
    fn costs(limit: u32) -> impl Iterator<Item = u32> {
        let near = [limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1, u32::MAX];
        (1..=12).chain(near).filter(|cost| *cost > 0)
    }

    #[test]
    fn whoever_waits_as_told_is_let_in_at_the_second_try_whatever_the_limit_and_the_cost() {
        for per_minute in 1..=1_000 {
            for cost in costs(per_minute) {
                for before in costs(per_minute) {
                    let mut window = Window::default();
                    let mut now = Duration::from_millis(u64::from(cost % 1_000));
                    assert_eq!(window.charge(before, limit(per_minute), now), Ok(()), "the first of {per_minute}");
                    now += Duration::from_millis(u64::from(before % 3_000));
                    if let Err(wait) = window.charge(cost, limit(per_minute), now) {
                        let told = whole_seconds(wait);
                        assert!(told >= Duration::from_secs(1) && told <= WINDOW, "{told:?}");
                        let earlier = now + wait.saturating_sub(Duration::from_nanos(1));
                        assert!(
                            window.charge(cost, limit(per_minute), earlier).is_err(),
                            "{cost} of {per_minute}: early"
                        );
                        assert_eq!(
                            window.charge(cost, limit(per_minute), now + told),
                            Ok(()),
                            "{cost} of {per_minute} after {before}, told {told:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn one_call_beyond_the_limit_passes_alone_and_takes_all_of_it() {
        for per_minute in [1, 2, 60, 1_000, u32::MAX - 1, u32::MAX] {
            let mut window = Window::default();
            let at = Duration::from_secs(5);
            assert_eq!(window.charge(per_minute.saturating_add(1), limit(per_minute), at), Ok(()));
            assert_eq!(window.left(limit(per_minute), at), (0, WINDOW));
            assert_eq!(window.charge(1, limit(per_minute), at), Err(WINDOW));
            let almost = (at + WINDOW).saturating_sub(Duration::from_nanos(1));
            assert_eq!(window.charge(1, limit(per_minute), almost), Err(Duration::from_nanos(1)));
            assert_eq!(window.charge(1, limit(per_minute), at + WINDOW), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn in_no_minute_more_is_granted_than_the_limit_and_few_charges_are_kept(
            per_minute in 1_u32..=1_000,
            calls in prop::collection::vec((0_u64..20_000, 1_u32..=1_100), 1..200),
        ) {
            let (mut window, mut now, mut granted) = (Window::default(), Duration::ZERO, Vec::new());
            for (pause, cost) in calls {
                now += Duration::from_millis(pause / 7);
                // A cost fits if and only if it is at most the rest that was returned.
                let (left, _) = window.left(limit(per_minute), now);
                let passes = window.charge(cost, limit(per_minute), now).is_ok();
                prop_assert_eq!(passes, cost.min(per_minute) <= left);
                if passes {
                    granted.push((now, cost.min(per_minute)));
                }
                let within = granted.iter().filter(|(at, _)| *at + WINDOW > now).map(|(_, cost)| cost).sum::<u32>();
                prop_assert!(within <= per_minute, "{} of {}", within, per_minute);
                prop_assert!(window.charges.len() <= 61, "{} are kept", window.charges.len());
            }
            let (_, whole) = window.left(limit(per_minute), now);
            prop_assert_eq!(window.left(limit(per_minute), now + whole), (per_minute, Duration::ZERO));
        }
    }
}
