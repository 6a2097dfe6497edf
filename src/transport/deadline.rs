//! The deadline of a call: the limit of the service, or a shorter one that a gRPC caller sends. `request_log` applies
//! it.

use std::time::Duration;

use axum::http::HeaderMap;

use super::refusal::Refusal;
use crate::wire::Violations;

/// Header in which a gRPC caller sends its timeout.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Limits the digits of the timeout, as the gRPC protocol does.
const MAX_DIGITS: usize = 8;

/// Returns the time that a call with these headers may take, at most `most`.
///
/// # Errors
/// Returns a refusal if there is a timeout that cannot be parsed, because the caller relies on it, or more than one.
pub fn of(headers: &HeaderMap, most: Duration) -> Result<Duration, Refusal> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    let (Some(value), more) = (values.next(), values.next()) else { return Ok(most) };
    let asked = value.to_str().ok().and_then(parse).filter(|_| more.is_none());
    asked.map(|asked| asked.min(most)).ok_or_else(|| {
        let problem = "must be given once, as up to 8 digits and a unit (H, M, S, m, u or n), as 250m";
        Refusal::Invalid(Violations::of(GRPC_TIMEOUT, problem))
    })
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
        let asked = |texts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(GRPC_TIMEOUT, text.parse().unwrap());
            }
            of(&headers, most).map_err(|refusal| refusal.to_string().starts_with("grpc-timeout: must be given once"))
        };
        assert_eq!((asked(&["1S"]), asked(&["9S"]), asked(&[])), (Ok(Duration::from_secs(1)), Ok(most), Ok(most)));
        for malformed in [&["soon"][..], &[""], &["1S", "1S"]] {
            assert_eq!(asked(malformed), Err(true), "{malformed:?}");
        }
    }
}
