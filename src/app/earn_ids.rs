//! Generates earn ids.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::earning::{ObjectId, Timestamp};

/// A generator of ids that are unique across calls, processes and seconds: 4 bytes of seconds, 5 random bytes of the
/// process, a 3-byte counter.
#[derive(Debug)]
pub struct EarnIds {
    process: [u8; 5],
    counter: AtomicU32,
}

impl EarnIds {
    /// Returns a generator with random bytes of its own.
    pub fn of_this_process() -> Self {
        Self { process: rand::random(), counter: AtomicU32::new(rand::random()) }
    }

    /// Returns the next id, at `now`.
    pub fn next(&self, now: Timestamp) -> ObjectId {
        // The format takes the low 32 bits of the seconds, which wrap in 2106.
        let seconds = now.seconds().to_be_bytes();
        let counter = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut id = [0; 12];
        id[..4].copy_from_slice(&seconds[4..]);
        id[4..9].copy_from_slice(&self.process);
        id[9..].copy_from_slice(&counter[1..]);
        ObjectId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_begins_with_the_seconds_and_none_comes_twice() {
        let now = Timestamp::from_seconds(1_762_840_613);
        let (one, other) = (EarnIds::of_this_process(), EarnIds::of_this_process());
        let ids: std::collections::HashSet<_> = (0..100_000).flat_map(|_| [one.next(now), other.next(now)]).collect();
        assert_eq!(ids.len(), 200_000);
        assert!(ids.iter().all(|id| id.to_string().starts_with("6912d025")));
    }
}
