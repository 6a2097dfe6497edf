//! Remembers tokens, with a bound on all of them that is shared among callers.
//!
//! At the bound an expired token is evicted first, then a token of the caller with the most: the one that ends first.
//! So a program that asks for a token before each call evicts its own tokens, and no other caller's.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::memory::{Digested, Memory};

use crate::earning::Timestamp;

/// The remembered tokens.
pub(super) struct TokenMemory {
    most: usize,
    all: HashMap<Digested, Memory>,
    by_end: BTreeSet<(Timestamp, Digested)>,
    owners: HashMap<Arc<str>, Owner>,
    /// Callers by the number of their tokens; of equals the one whose last token is oldest comes last.
    by_size: BTreeSet<(usize, Reverse<u64>, Arc<str>)>,
    /// Number of tokens that were inserted so far.
    came: u64,
}

/// The tokens of one caller.
#[derive(Default)]
struct Owner {
    by_end: BTreeSet<(Timestamp, Digested)>,
    /// Insertion number of the caller's last token.
    last: u64,
}

impl TokenMemory {
    /// Returns an empty memory for at most `most` tokens.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            all: HashMap::new(),
            by_end: BTreeSet::new(),
            owners: HashMap::new(),
            by_size: BTreeSet::new(),
            came: 0,
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the memory of a token.
    pub fn get_mut(&mut self, token: &Digested) -> Option<&mut Memory> {
        self.all.get_mut(token)
    }

    /// Iterates over all tokens.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Digested, &mut Memory)> {
        self.all.iter_mut()
    }

    /// Remembers a token whose caller is known.
    pub fn insert(&mut self, token: Digested, memory: Memory, now: Timestamp) {
        self.remove(&token);
        let Some(caller) = &memory.caller else { return };
        while self.all.len() >= self.most {
            let Some(oldest) = self.dispensable(now) else { return };
            self.remove(&oldest);
        }
        self.came += 1;
        let (end, came) = ((memory.until, token), self.came);
        self.by_end.insert(end);
        self.change(&Arc::clone(&caller.username), |owner| {
            owner.last = came;
            owner.by_end.insert(end);
        });
        self.all.insert(token, memory);
    }

    /// Forgets a token.
    pub fn remove(&mut self, token: &Digested) {
        let Some(Memory { caller: Some(caller), until, .. }) = self.all.remove(token) else { return };
        let end = (until, *token);
        self.by_end.remove(&end);
        self.change(&caller.username, |owner| {
            owner.by_end.remove(&end);
        });
    }

    /// Returns the token to evict.
    fn dispensable(&self, now: Timestamp) -> Option<Digested> {
        let (end, token) = self.by_end.first()?;
        if *end <= now {
            return Some(*token);
        }
        let (_, _, largest) = self.by_size.last()?;
        let (_, token) = self.owners.get(largest)?.by_end.first()?;
        Some(*token)
    }

    /// Changes the tokens of a caller, and updates its position in the order by size.
    fn change(&mut self, username: &Arc<str>, change: impl FnOnce(&mut Owner)) {
        let mut owner = self.owners.remove(username).unwrap_or_default();
        self.by_size.remove(&(owner.by_end.len(), Reverse(owner.last), Arc::clone(username)));
        change(&mut owner);
        if !owner.by_end.is_empty() {
            self.by_size.insert((owner.by_end.len(), Reverse(owner.last), Arc::clone(username)));
            self.owners.insert(Arc::clone(username), owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::remembered::tests::{digested, memory};
    use super::*;

    const MOST: usize = 100;

    fn consistent(tokens: &TokenMemory) {
        assert!(tokens.all.len() <= MOST);
        assert_eq!(tokens.by_end.len(), tokens.all.len());
        assert_eq!(tokens.owners.values().map(|owner| owner.by_end.len()).sum::<usize>(), tokens.all.len());
        assert_eq!(tokens.by_size.len(), tokens.owners.len());
    }

    #[test]
    fn whoever_has_the_most_loses_its_oldest_and_others_lose_none() {
        let mut tokens = TokenMemory::new(MOST);
        for number in 0..10 {
            tokens.insert(
                digested(number),
                memory(&format!("till {number}"), Timestamp::from_millis(1)),
                Timestamp::EPOCH,
            );
        }
        // Fills the memory to the bound, to one beyond it, and to twice the bound.
        for (upto, expected) in [(MOST, MOST), (MOST + 1, MOST), (2 * MOST, MOST)] {
            for number in 10..upto {
                let until = Timestamp::from_millis(1_000 + i64::try_from(number).unwrap());
                tokens.insert(digested(number), memory("greedy", until), Timestamp::EPOCH);
                consistent(&tokens);
            }
            assert_eq!(tokens.len(), expected);
            assert!((0..10).all(|number| tokens.get_mut(&digested(number)).is_some()), "others lose none");
            assert_eq!(tokens.get_mut(&digested(10)).is_some(), upto == MOST, "its oldest goes");
            assert!(tokens.get_mut(&digested(upto - 1)).is_some(), "its newest stays");
        }
    }

    #[test]
    fn what_has_expired_goes_first_and_of_equals_who_came_first() {
        let mut tokens = TokenMemory::new(MOST);
        for number in 0..MOST {
            let until = Timestamp::from_millis(if number == 50 { 5 } else { 1_000 });
            tokens.insert(digested(number), memory(&format!("till {number}"), until), Timestamp::EPOCH);
        }
        tokens.insert(digested(MOST), memory("another", Timestamp::from_millis(1_000)), Timestamp::from_millis(5));
        assert!(tokens.get_mut(&digested(50)).is_none() && tokens.get_mut(&digested(0)).is_some());
        tokens.insert(digested(MOST + 1), memory("one more", Timestamp::from_millis(1_000)), Timestamp::from_millis(5));
        assert!(tokens.get_mut(&digested(0)).is_none() && tokens.get_mut(&digested(1)).is_some());
        consistent(&tokens);
        for number in 0..2 * MOST {
            tokens.remove(&digested(number));
        }
        assert!(tokens.all.is_empty() && tokens.by_end.is_empty() && tokens.owners.is_empty());
        assert!(tokens.by_size.is_empty());
    }
}
