//! Times within one connection, which its parts set while the connection registry reads them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Value of a time at which nothing began.
pub const NEVER: u64 = u64::MAX;

/// The beginning of a connection, from which its times are counted.
#[derive(Debug, Clone, Copy)]
pub struct Beginning(Instant);

impl Beginning {
    /// Returns the beginning of a connection that begins now.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the beginning: microseconds.
    pub fn elapsed(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(NEVER - 1)
    }

    /// Returns the instant of a time: microseconds since the beginning.
    pub fn instant(self, time: u64) -> Instant {
        self.0 + Duration::from_micros(time)
    }
}

/// The time at which something began, if it did: microseconds since the beginning of the connection.
#[derive(Debug)]
pub struct Moment(AtomicU64);

impl Moment {
    /// Returns the moment of something that began with the connection.
    pub fn of_beginning() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the moment of something that has not begun.
    pub fn never() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    /// Records that it begins now.
    pub fn set(&self, beginning: Beginning) {
        self.0.store(beginning.elapsed(), Ordering::SeqCst);
    }

    /// Records that it is over. Returns false if it had not begun.
    pub fn clear(&self) -> bool {
        let is_set = self.is_set();
        if is_set {
            self.0.store(NEVER, Ordering::Relaxed);
        }
        is_set
    }

    /// Returns true if it has begun.
    pub fn is_set(&self) -> bool {
        self.get() != NEVER
    }

    /// Returns its time, or [`NEVER`].
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
