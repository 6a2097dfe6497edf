//! Formatting of instants in messages, and the length of a day.

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Formats an instant (milliseconds since 1970-01-01T00:00:00Z) in ISO 8601, in UTC, with milliseconds where they are
/// not zero. An instant outside the calendar is written as the last instant of the calendar.
pub fn iso(ms: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC);
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
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
            assert_eq!(iso(ms), text);
        }
        assert!(iso(i64::MAX).ends_with('Z'));
    }
}
