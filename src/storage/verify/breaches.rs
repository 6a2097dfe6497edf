//! The breaches that a check finds.

/// Limits how many breaches of one check are named. Any further breaches are only reported to exist.
pub const MAX_BREACHES: usize = 100;

/// Breaches of one check, as text.
#[derive(Debug, Default)]
pub struct Breaches {
    named: Vec<String>,
    more: bool,
}

impl Breaches {
    /// Adds a breach.
    pub fn add(&mut self, breach: String) {
        if self.named.len() < MAX_BREACHES {
            self.named.push(breach);
        } else {
            self.more = true;
        }
    }

    /// Adds the breaches of another list.
    pub fn extend(&mut self, other: Self) {
        let more = other.more;
        other.named.into_iter().for_each(|breach| self.add(breach));
        self.more |= more;
    }

    /// Returns true if there is no breach.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Returns the named breaches.
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// Returns true if there are more breaches than the named ones.
    pub fn more(&self) -> bool {
        self.more
    }
}
