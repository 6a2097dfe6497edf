//! Instants, and lengths of time.

// The part of the standard library's module that reads no clock.
use core::time::Duration;
use std::fmt;
use std::ops::{Add, Sub};

use chrono::{DateTime, SecondsFormat, Utc};

/// Shortest time between two instants.
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// Length of a day.
pub const DAY: Duration = Duration::from_hours(24);

/// Instant, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Earliest instant. It is before the calendar.
    pub const MIN: Self = Self(i64::MIN);
    /// Instant 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// Latest instant. It is after the calendar, so what is valid until then never expires.
    pub const MAX: Self = Self(i64::MAX);

    /// Returns the instant this many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the instant this many seconds after 1970-01-01T00:00:00Z, or the nearest one that there is.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the full seconds since 1970-01-01T00:00:00Z. Instants within the same second are equal in them.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Returns the instant as a time of the calendar; `None` when it is outside.
    pub fn in_calendar(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.0)
    }
}

/// Returns the instant this much later, in full milliseconds, and at most [`Timestamp::MAX`].
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

/// Returns the instant this much earlier, in full milliseconds, and at least [`Timestamp::MIN`].
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Takes the full milliseconds of a time of the calendar.
impl<Z: chrono::TimeZone> From<DateTime<Z>> for Timestamp {
    fn from(time: DateTime<Z>) -> Self {
        Self(time.timestamp_millis())
    }
}

/// Writes ISO 8601 in UTC, with milliseconds where they are not zero. An instant outside the calendar is written as the
/// last time of the calendar.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.in_calendar().unwrap_or(DateTime::<Utc>::MAX_UTC);
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_written_where_they_are_not_zero() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_767_205_799_999, "2025-12-31T18:29:59.999Z"),
            (1_767_205_800_000, "2025-12-31T18:30:00Z"),
            (1_767_205_800_100, "2025-12-31T18:30:00.100Z"),
        ] {
            let time = Timestamp::from_millis(ms);
            assert_eq!(time.to_string(), text);
            assert_eq!(format!("{time:?}"), text);
        }
        // Outside the calendar.
        for outside in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(outside.to_string(), "+262142-12-31T23:59:59.999999999Z");
        }
    }

    #[test]
    fn spans_and_seconds_end_at_the_first_and_the_last_instant() {
        let time = Timestamp::from_millis(-1);
        assert_eq!(time.seconds(), -1);
        assert_eq!((time + DAY).millis(), 86_399_999);
        assert_eq!((time - Duration::from_micros(1_999)).millis(), -2);
        assert_eq!(Timestamp::from_seconds(-2).millis(), -2_000);
        for (reached, last) in [
            (Timestamp::MAX - MILLISECOND + DAY, Timestamp::MAX),
            (Timestamp::EPOCH + Duration::MAX, Timestamp::MAX),
            (Timestamp::from_seconds(i64::MAX), Timestamp::MAX),
            (Timestamp::MIN + MILLISECOND - DAY, Timestamp::MIN),
            (Timestamp::from_seconds(i64::MIN), Timestamp::MIN),
        ] {
            assert_eq!(reached.millis(), last.millis());
        }
    }
}
