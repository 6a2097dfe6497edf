//! Remembers checked credentials. Username-secret credentials and tokens are kept apart, each in a bounded memory that
//! evicts one entry at a time.

use std::collections::hash_map::RandomState;
use std::net::IpAddr;
use std::sync::Arc;

use hashlink::LruCache;

use super::memory::{Digested, Memory};
use super::token_memory::TokenMemory;

use crate::earning::Timestamp;

/// Maximum number of right username-secret credentials that are remembered; a further one evicts the least recently
/// used.
const MAX_RIGHT_PAIRS: usize = 10_000;
/// Maximum number of wrong username-secret credentials that are remembered.
const MAX_WRONG_PAIRS: usize = 1_000;
/// Maximum number of tokens that are remembered.
const MAX_TOKENS: usize = 10_000;
/// Maximum number of usernames that are remembered, each with an address from which it was right.
const MAX_KNOWN_NAMES: usize = 10_000;

/// A username and the address from which it was right.
type KnownName = (Arc<str>, Option<IpAddr>);

/// All remembered credentials.
pub(super) struct Remembered {
    right: LruCache<Digested, Memory, RandomState>,
    wrong: LruCache<Digested, Memory, RandomState>,
    tokens: TokenMemory,
    known: LruCache<KnownName, (), RandomState>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            right: LruCache::with_hasher(MAX_RIGHT_PAIRS, RandomState::new()),
            wrong: LruCache::with_hasher(MAX_WRONG_PAIRS, RandomState::new()),
            tokens: TokenMemory::new(MAX_TOKENS),
            known: LruCache::with_hasher(MAX_KNOWN_NAMES, RandomState::new()),
        }
    }
}

impl Remembered {
    /// Iterates over everything remembered, right or wrong.
    pub fn all(&mut self) -> impl Iterator<Item = (&Digested, &mut Memory)> {
        self.right.iter_mut().chain(self.wrong.iter_mut()).chain(self.tokens.iter_mut())
    }

    /// Returns the memory of these credentials.
    pub fn get(&mut self, presented: &Digested) -> Option<&mut Memory> {
        if let Some(memory) = self.right.get_mut(presented) {
            return Some(memory);
        }
        self.tokens.get_mut(presented).or_else(|| self.wrong.get_mut(presented))
    }

    /// Forgets these credentials.
    pub fn forget(&mut self, presented: &Digested) {
        self.right.remove(presented);
        self.wrong.remove(presented);
        self.tokens.remove(presented);
    }

    /// Remembers a username and secret, in place of what was remembered of them.
    pub fn pair(&mut self, presented: Digested, memory: Memory) {
        self.forget(&presented);
        let all = if memory.caller.is_some() { &mut self.right } else { &mut self.wrong };
        all.insert(presented, memory);
    }

    /// Remembers a token. Tokens that ended before `now` are evicted first.
    pub fn token(&mut self, presented: Digested, memory: Memory, now: Timestamp) {
        self.tokens.insert(presented, memory, now);
    }

    /// Records that this username was right from this address.
    pub fn note(&mut self, username: &Arc<str>, address: Option<IpAddr>) {
        self.known.insert((Arc::clone(username), address), ());
    }

    /// Returns true if this username was right from this address.
    pub fn was_right(&self, username: &str, address: Option<IpAddr>) -> bool {
        self.known.contains_key(&(Arc::from(username), address))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Instant;

    use super::super::memory::MemoryBasis;
    use super::*;
    use crate::access::caller::Caller;
    use crate::access::groups::Access;
    use crate::earning::OrgId;

    pub fn digested(number: usize) -> Digested {
        let mut digested = [0; 32];
        digested[..8].copy_from_slice(&number.to_be_bytes());
        digested
    }

    /// Returns a memory of a token of this client that ends at `until`, or of username-secret credentials.
    pub fn memory(username: &str, until: Timestamp) -> Memory {
        let username: Arc<str> = username.into();
        let caller = Caller {
            username: Arc::clone(&username),
            org_id: OrgId(1),
            org_recorded: true,
            access: Access::All,
            requests_per_minute: None,
        };
        let basis = MemoryBasis::Record(username, None);
        Memory { basis, caller: Some(Arc::new(caller)), until, at: Instant::now(), used: false }
    }

    #[test]
    fn neither_tokens_nor_wrong_pairs_push_out_a_pair_and_pairs_in_use_stay() {
        let mut remembered = Remembered::default();
        let mut number = 0;
        let mut next = || {
            number += 1;
            digested(number)
        };
        let known: Vec<_> = (0..100).map(|_| next()).collect();
        for presented in &known {
            remembered.pair(*presented, memory("known", Timestamp::MAX));
        }
        for _ in 0..2 * MAX_WRONG_PAIRS {
            remembered.pair(next(), Memory { caller: None, ..memory("stranger", Timestamp::MAX) });
        }
        for _ in 0..2 * MAX_TOKENS {
            remembered.token(next(), memory("greedy", Timestamp::from_millis(1_000)), Timestamp::EPOCH);
        }
        assert!(known.iter().all(|presented| remembered.get(presented).is_some()));
        assert_eq!((remembered.wrong.len(), remembered.tokens.len()), (MAX_WRONG_PAIRS, MAX_TOKENS));
        // At the bound all are known; beyond it each new entry evicts the least recently used one.
        let others: Vec<_> = (known.len()..MAX_RIGHT_PAIRS).map(|_| next()).collect();
        for presented in &others {
            remembered.pair(*presented, memory("other", Timestamp::MAX));
        }
        assert!(known.iter().all(|presented| remembered.get(presented).is_some()), "used last");
        remembered.pair(next(), memory("another", Timestamp::MAX));
        assert!(remembered.get(&others[0]).is_none() && remembered.get(&others[1]).is_some());
        for round in 0..MAX_RIGHT_PAIRS {
            assert!(remembered.get(&known[round % known.len()]).is_some(), "{round}");
            remembered.pair(next(), memory("another", Timestamp::MAX));
        }
        assert_eq!(remembered.right.len(), MAX_RIGHT_PAIRS);
        assert!(known.iter().all(|presented| remembered.get(presented).is_some()), "in use all the while");
    }

    #[test]
    fn a_name_is_known_from_where_it_was_right_only() {
        let mut remembered = Remembered::default();
        let (here, there) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
        remembered.note(&"till".into(), here);
        assert!(remembered.was_right("till", here));
        assert!(!remembered.was_right("till", there) && !remembered.was_right("other", here));
    }
}
