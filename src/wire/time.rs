//! Times in messages: a pair of fields, epoch milliseconds and ISO 8601 with an offset, for one instant.

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::Violations;
use crate::earning::Timestamp;
use crate::earning::limits::CALENDAR_MS;

/// A pair of time fields of a message.
#[derive(Debug, Clone, Copy)]
pub struct TimePair<'a> {
    /// Path of the milliseconds field. The path of the other field has the suffix `ISO`.
    pub field: &'a str,
    /// Epoch milliseconds.
    pub ms: Option<i64>,
    /// ISO 8601 with an offset.
    pub iso: Option<&'a str>,
}

impl TimePair<'_> {
    /// Returns the instant, or `None` if it is missing or wrong. Adds every violation to
    /// `violations`.
    pub fn read(self, violations: &mut Violations) -> Option<Timestamp> {
        let Self { field, ms, iso } = self;
        let ms = ms.map(|ms| within_calendar(ms, field, violations));
        let iso = iso.map(|text| {
            if let Some(time) = parse_iso(text) {
                within_calendar(time.timestamp_millis(), &format!("{field}ISO"), violations)
            } else {
                let description = "must be ISO 8601 with an offset, as 2025-12-16T14:30:45+05:30";
                violations.add(format_args!("{field}ISO"), description);
                None
            }
        });
        match (ms, iso) {
            (None, None) => {
                // A value that could not be read is not missing.
                if !violations.has(&format!("{field}ISO")) {
                    violations.add(field, format!("is required, or {field}ISO"));
                }
                None
            }
            (Some(Some(ms)), Some(Some(iso))) => {
                // Compared by the second, because ISO times are written without fractions and may be sent back.
                if ms.seconds() != iso.seconds() {
                    violations.add(format_args!("{field}ISO"), format!("must name the same second as {field}"));
                }
                Some(ms)
            }
            (Some(ms), None) => ms,
            (None, Some(iso)) => iso,
            (Some(_), Some(_)) => None,
        }
    }
}

fn within_calendar(ms: i64, field: &str, violations: &mut Violations) -> Option<Timestamp> {
    if !CALENDAR_MS.contains(&ms) {
        violations.add(field, "must be a time in the years 1 to 9999");
        return None;
    }
    Some(Timestamp::from_millis(ms))
}

/// Parses ISO 8601 with an offset, in the documented form, or without the colon of the offset or without seconds.
fn parse_iso(text: &str) -> Option<DateTime<FixedOffset>> {
    let without_colon = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z");
    let without_seconds = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z");
    // The library also accepts a space instead of the T, and before the offset.
    if text.contains(char::is_whitespace) {
        return None;
    }
    DateTime::parse_from_rfc3339(text).or_else(|_| without_colon()).or_else(|_| without_seconds()).ok()
}

/// Formats an instant in ISO 8601 in `zone`, truncated to seconds. Uses `Z` for an offset of zero.
pub fn to_iso(time: Timestamp, zone: Tz) -> String {
    // Stored times passed the rules above or are derived from such times; a time beyond the calendar is clamped.
    let time = DateTime::<Utc>::from_timestamp(time.seconds(), 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Formats times like [`to_iso`], and caches the last one, because equal times often follow each other.
#[derive(Debug)]
pub struct IsoTimes {
    zone: Tz,
    last: Option<(Timestamp, String)>,
}

impl IsoTimes {
    /// Returns a formatter for `zone`.
    pub fn in_zone(zone: Tz) -> Self {
        Self { zone, last: None }
    }

    /// Formats the time.
    pub fn write(&mut self, time: Timestamp) -> String {
        let zone = self.zone;
        let last = self.last.take().filter(|(of, _)| *of == time);
        self.last.insert(last.unwrap_or_else(|| (time, to_iso(time, zone)))).1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ms: Option<i64>, iso: Option<&str>) -> Result<i64, String> {
        let mut violations = Violations::default();
        let time = TimePair { field: "eventTime", ms, iso }.read(&mut violations);
        let problem = violations.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if problem.is_empty() { Ok(time.expect("a time where there is no violation").millis()) } else { Err(problem) }
    }

    #[test]
    fn either_field_or_both_give_the_instant() {
        let ms = 1_761_750_000_000;
        assert_eq!(read(Some(ms), None), Ok(ms));
        assert_eq!(read(Some(0), None), Ok(0));
        for iso in [
            "2025-10-29T15:00:00Z",
            "2025-10-29T20:30:00+05:30",
            "2025-10-29T20:30:00+0530",
            "2025-10-29T15:00Z",
            "2025-10-29T15:00:00.0009Z",
        ] {
            assert_eq!(read(None, Some(iso)), Ok(ms), "{iso}");
        }
        assert_eq!(read(None, Some("2025-10-29T15:00:00.123456Z")), Ok(ms + 123));
        assert_eq!(read(Some(ms + 999), Some("2025-10-29T20:30:00+05:30")), Ok(ms + 999));
        assert_eq!(read(Some(-1), Some("1969-12-31T23:59:59Z")), Ok(-1));
    }

    #[test]
    fn a_fault_names_its_field() {
        for (ms, iso, field) in [
            (None, None, "eventTime: is required"),
            (Some(i64::MAX), None, "eventTime: must be a time"),
            (Some(i64::MIN), None, "eventTime: must be a time"),
            (Some(1_761_750_000_000), Some("2025-10-29T15:00:01Z"), "eventTimeISO: must name the same second"),
            (None, Some(""), "eventTimeISO: must be ISO 8601"),
            (None, Some("2025-10-29T15:00:00"), "eventTimeISO: must be ISO 8601"),
            (None, Some("2025-02-29T15:00:00Z"), "eventTimeISO: must be ISO 8601"),
            (None, Some("2025-10-29 15:00:00Z"), "eventTimeISO: must be ISO 8601"),
            (None, Some("2025-10-29T15:00:00 +0530"), "eventTimeISO: must be ISO 8601"),
            (None, Some("0000-06-01T00:00:00Z"), "eventTimeISO: must be a time in the years"),
            (Some(1), Some("soon"), "eventTimeISO: must be ISO 8601"),
        ] {
            let problem = read(ms, iso).expect_err("a violation");
            assert!(problem.starts_with(field), "{ms:?} {iso:?}: {problem}");
        }
    }

    #[test]
    fn iso_is_in_the_zone_of_the_server_and_truncated() {
        let to_iso = |ms, zone| to_iso(Timestamp::from_millis(ms), zone);
        assert_eq!(to_iso(1_767_205_799_999, Tz::UTC), "2025-12-31T18:29:59Z");
        assert_eq!(to_iso(1_767_205_799_999, Tz::Asia__Kolkata), "2025-12-31T23:59:59+05:30");
        assert_eq!(to_iso(-1, Tz::UTC), "1969-12-31T23:59:59Z");
        assert_eq!(to_iso(1_767_205_799_999, Tz::Europe__London), "2025-12-31T18:29:59Z");
        let mut times = IsoTimes::in_zone(Tz::Asia__Kolkata);
        for ms in [-1, 1_767_205_799_999, 1_767_205_799_999, 0, -1] {
            assert_eq!(times.write(Timestamp::from_millis(ms)), to_iso(ms, Tz::Asia__Kolkata));
        }
    }
}
