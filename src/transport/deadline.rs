//! The deadline of a call: the limit of the service, or a shorter one that a gRPC caller sends. `request_log` applies
//! it.

use std::time::Duration;

use axum::http::HeaderMap;

/// Header in which a gRPC caller sends its timeout.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Limits the digits of the timeout, as the gRPC protocol does.
const MAX_DIGITS: usize = 8;

/// Returns the time that a call with these headers may take, at most `most`. Ignores a timeout that cannot be parsed.
pub fn of(headers: &HeaderMap, most: Duration) -> Duration {
    let asked = headers.get(GRPC_TIMEOUT).and_then(|value| parse(value.to_str().ok()?));
    asked.map_or(most, |asked| asked.min(most))
}

/// Parses up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_grpc_is_digits_and_a_unit() {
        let rows = [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("30S", Some(Duration::from_secs(30))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("+1S", None),
            ("1s", None),
            ("1ö", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_shorter_time_counts() {
        let most = Duration::from_secs(5);
        let asked = |text: &'static str| {
            of(&HeaderMap::from_iter([(GRPC_TIMEOUT.parse().unwrap(), text.parse().unwrap())]), most)
        };
        assert_eq!((asked("1S"), asked("9S"), asked("soon")), (Duration::from_secs(1), most, most));
        assert_eq!(of(&HeaderMap::new(), most), most);
    }
}
