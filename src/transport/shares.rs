//! Memory that calls share fairly among their holders.
//!
//! A holder may take as much as it leaves free: a single holder gets half of the memory, and each further one half of
//! the rest. Callers without credentials are identified by their address, and get at most half of the memory together.
//! A part is kept for modest holders, so that holders with full shares never cause the refusal of a small request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// Memory that a call holds at the least: bytes. Covers the state of the call, a small body, and a small answer.
pub const CALL_BYTES: usize = 8 * 1024;

/// Divisor of the memory: one part of this many is kept for modest holders.
const KEPT_PART: usize = 8;
/// Memory up to which a holder is modest: bytes. A client may hold two bodies of 64 KiB, each in a buffer that grew to
/// twice its size; a caller without credentials two token requests.
const MODEST_CLIENT_BYTES: usize = 256 * 1024;
const MODEST_STRANGER_BYTES: usize = 32 * 1024;

/// A holder of memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ShareHolder {
    /// An API client that presented its credentials, by username.
    Client(Arc<str>),
    /// A caller without credentials, by address.
    Stranger(IpAddr),
}

impl ShareHolder {
    /// Returns the holder for an address without credentials. An IPv6 /64 network counts as one, because its owner has
    /// all its addresses.
    pub fn stranger(address: Option<IpAddr>) -> Self {
        Self::Stranger(match address {
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            Some(address) => address,
            None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        })
    }

    fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger(_))
    }
}

/// Error of a holder that asks for more than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the share of the memory is used up")]
pub struct UsedUp;

/// Memory that holders share. A clone refers to the same memory.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Mutex<SharesState>>);

#[derive(Debug)]
struct SharesState {
    max: usize,
    used: usize,
    used_by_strangers: usize,
    /// Bytes of each holder that has any.
    holders: HashMap<ShareHolder, usize>,
}

impl Shares {
    /// Returns `max` bytes of memory, all of them free.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(SharesState { max, used: 0, used_by_strangers: 0, holders: HashMap::default() })))
    }

    fn state(&self) -> MutexGuard<'_, SharesState> {
        // Locked state is always consistent, so lock poisoning is ignored.
        self.0.lock()
    }

    /// Takes bytes for as long as the share lives.
    ///
    /// # Errors
    /// Returns [`UsedUp`] if the holder may not have as many.
    pub fn take(&self, holder: &ShareHolder, bytes: usize) -> Result<Share, UsedUp> {
        let mut share = Share { shares: self.clone(), holder: holder.clone(), bytes: 0 };
        share.grow_to(bytes)?;
        Ok(share)
    }

    /// Takes bytes even beyond the share of the holder, for answers that must not be refused any more.
    pub fn take_anyway(&self, holder: &ShareHolder, bytes: usize) -> Share {
        self.state().add(holder, bytes);
        Share { shares: self.clone(), holder: holder.clone(), bytes }
    }

    /// Returns true if the holder may take at least one more byte.
    pub fn has_room(&self, holder: &ShareHolder) -> bool {
        self.state().has_room(holder, 1)
    }
}

impl SharesState {
    fn has_room(&self, holder: &ShareHolder, bytes: usize) -> bool {
        let has = self.holders.get(holder).copied().unwrap_or_default();
        let (part, used, modest) = if holder.is_stranger() {
            (self.max / 2, self.used_by_strangers, MODEST_STRANGER_BYTES)
        } else {
            (self.max, self.used, MODEST_CLIENT_BYTES)
        };
        let free = part.saturating_sub(used).min(self.max.saturating_sub(self.used));
        bytes <= free && (has + bytes <= modest || has + bytes <= free.saturating_sub(part / KEPT_PART))
    }

    fn add(&mut self, holder: &ShareHolder, bytes: usize) {
        self.used += bytes;
        self.used_by_strangers += if holder.is_stranger() { bytes } else { 0 };
        match self.holders.get_mut(holder) {
            Some(has) => *has += bytes,
            None => drop(self.holders.insert(holder.clone(), bytes)),
        }
    }

    fn give_back(&mut self, holder: &ShareHolder, bytes: usize) {
        self.used -= bytes;
        self.used_by_strangers -= if holder.is_stranger() { bytes } else { 0 };
        if let Some(has) = self.holders.get_mut(holder) {
            *has -= bytes;
            if *has == 0 {
                self.holders.remove(holder);
            }
        }
    }
}

/// Bytes of a holder, returned to the shared memory on drop.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    holder: ShareHolder,
    bytes: usize,
}

impl Share {
    /// Grows to `bytes`, if there are fewer.
    ///
    /// # Errors
    /// Returns [`UsedUp`] if the holder may not have as many; then nothing changes.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), UsedUp> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            let mut state = self.shares.state();
            if !state.has_room(&self.holder, more) {
                return Err(UsedUp);
            }
            state.add(&self.holder, more);
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Returns the bytes beyond `bytes` to the shared memory.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less > 0 {
            self.shares.state().give_back(&self.holder, less);
            self.bytes = bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1024 * 1024;

    fn client(name: &str) -> ShareHolder {
        ShareHolder::Client(name.into())
    }

    fn stranger(number: u8) -> ShareHolder {
        ShareHolder::stranger(Some(IpAddr::from([10, 0, 0, number])))
    }

    /// Takes pieces until no more are given, or more than there is.
    fn fill(shares: &Shares, holder: &ShareHolder, piece: usize) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(holder, piece).ok()).take(100 * MIB / piece).collect()
    }

    fn held(shares: &[Share]) -> usize {
        shares.iter().map(|share| share.bytes).sum()
    }

    #[test]
    fn alone_a_client_gets_half_of_what_is_not_kept_and_the_next_half_of_the_rest() {
        let shares = Shares::new(64 * MIB);
        let first = fill(&shares, &client("a"), MIB);
        assert_eq!(held(&first), 28 * MIB);
        assert_eq!(held(&fill(&shares, &client("b"), MIB)), 14 * MIB);
        drop(first);
        assert_eq!(held(&fill(&shares, &client("b"), MIB)), 28 * MIB, "what is returned is free again");
    }

    #[test]
    fn whoever_is_modest_gets_something_beside_many_that_are_greedy() {
        let shares = Shares::new(64 * MIB);
        let mut greedy = Vec::new();
        for number in 0..100 {
            greedy.extend(fill(&shares, &stranger(number), 1024));
        }
        for number in 0..16 {
            greedy.extend(fill(&shares, &client(&number.to_string()), 16 * 1024));
        }
        let modest = shares.take(&client("modest"), MODEST_CLIENT_BYTES).expect("it is modest");
        assert_eq!(shares.take(&client("modest"), 1).err(), Some(UsedUp), "no longer");
        drop(modest);
        assert!(shares.take(&stranger(200), MODEST_STRANGER_BYTES).is_ok());
    }

    #[test]
    fn strangers_get_half_together_however_many_they_are() {
        let shares = Shares::new(64 * MIB);
        let mut all = Vec::new();
        for number in 0..=255 {
            all.extend(fill(&shares, &stranger(number), 1024));
        }
        let held = held(&all);
        assert!((30 * MIB..=32 * MIB).contains(&held), "{held}");
        assert!(shares.take(&client("a"), 8 * MIB).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_stranger() {
        let of = |address: &str| ShareHolder::stranger(Some(address.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    proptest! {
        #[test]
        fn nobody_passes_the_memory_and_all_of_it_is_returned(
            steps in prop::collection::vec((0_u8..6, any::<bool>(), 0_usize..3 * MIB, any::<u8>()), 1..200),
        ) {
            let shares = Shares::new(16 * MIB);
            let mut taken = Vec::new();
            for (number, known, bytes, which) in steps {
                let holder = if known { client(&number.to_string()) } else { stranger(number) };
                match which % 4 {
                    0 if !taken.is_empty() => drop(taken.swap_remove(usize::from(which) % taken.len())),
                    1 if !taken.is_empty() => {
                        let at = usize::from(which) % taken.len();
                        let share: &mut Share = &mut taken[at];
                        let _ = share.grow_to(bytes);
                    }
                    _ => taken.extend(shares.take(&holder, bytes)),
                }
                let state = shares.state();
                prop_assert_eq!(state.used, held(&taken));
                prop_assert!(state.used <= 16 * MIB);
                prop_assert!(state.used_by_strangers <= 8 * MIB);
            }
            drop(taken);
            let state = shares.state();
            prop_assert_eq!((state.used, state.used_by_strangers, state.holders.len()), (0, 0, 0));
        }
    }
}
