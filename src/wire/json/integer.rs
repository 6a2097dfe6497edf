//! Exact parsing of integers: none is converted through a double.

/// Parses a JSON number in any form. Returns `None` if the text is not a number, or its exact value is not a 64-bit
/// integer.
pub(super) fn parse(literal: &str) -> Option<i64> {
    let (negative, unsigned) = literal.strip_prefix('-').map_or((false, literal), |unsigned| (true, unsigned));
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if leading_zero || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    // Number of digits before the decimal point, after the exponent has moved it.
    let before_point = i64::try_from(whole.len()).ok()?.saturating_add(exponent);
    let (mut value, mut position) = (0_i64, 0_i64);
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = i64::from(digit - b'0');
        if position < before_point {
            let digit = if negative { -digit } else { digit };
            value = value.checked_mul(10)?.checked_add(digit)?;
        } else if digit != 0 {
            return None;
        }
        position += 1;
    }
    while value != 0 && position < before_point {
        value = value.checked_mul(10)?;
        position += 1;
    }
    Some(value)
}

/// Parses an exponent. One that does not fit is replaced by the largest, which exceeds every possible number of digits.
fn parse_exponent(exponent: &str) -> Option<i64> {
    let (negative, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    if !is_digits(digits) {
        return None;
    }
    let value = digits.parse().unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_an_integer_when_its_exact_value_is_one() {
        for (literal, value) in [
            ("7", Some(7)),
            ("-0", Some(0)),
            ("7.0", Some(7)),
            ("10.0e-1", Some(1)),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("0.000e99999999999999999999", Some(0)),
            ("0e-99999999999999999999", Some(0)),
            ("1.5e1", Some(15)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("9007199254740991.5", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775808.000", Some(i64::MIN)),
            ("922337203685477580.7e1", Some(i64::MAX)),
            ("1e19", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("0.1", None),
            ("15e-1", None),
        ] {
            assert_eq!(parse(literal), value, "{literal}");
        }
        for none in ["", "-", "+7", "07", "7.", ".7", "1e", "1e+", "0x7", " 7", "7 ", "1_0", "--7", "٧", "NaN", "1e1.0"]
        {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    /// Returns the exact value of `digits` times ten to the power of `power`, computed in decimal on texts.
    fn exact(negative: bool, digits: &str, power: i32) -> Option<i64> {
        let shown = digits.trim_start_matches('0');
        let whole = if power >= 0 {
            format!("{shown}{}", "0".repeat(usize::try_from(power).unwrap()))
        } else {
            let cut = usize::try_from(-power).unwrap();
            let padded = format!("{shown:0>cut$}");
            let (whole, fraction) = padded.split_at(padded.len() - cut);
            if fraction.bytes().any(|digit| digit != b'0') {
                return None;
            }
            whole.to_owned()
        };
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        format!("{}{whole}", if negative { "-" } else { "" }).parse().ok()
    }

    proptest! {
        #[test]
        fn every_literal_is_read_as_exact_decimal_arithmetic_says(
            negative in any::<bool>(),
            whole in "0|[1-9][0-9]{0,20}|[1-9]0{0,20}",
            fraction in prop::option::of("[0-9]{1,22}|[1-9]?0{1,22}"),
            exponent in prop::option::of(-45_i32..45),
            form in 0..4,
        ) {
            let sign = if negative { "-" } else { "" };
            let point = fraction.as_ref().map(|fraction| format!(".{fraction}")).unwrap_or_default();
            let power = exponent.unwrap_or_default();
            let shown = exponent.map(|exponent| match form {
                0 => format!("e{exponent}"),
                1 => format!("E{exponent:+}"),
                2 => format!("e{exponent:+04}"),
                _ => format!("E{exponent}"),
            });
            let literal = format!("{sign}{whole}{point}{}", shown.unwrap_or_default());
            let fraction = fraction.unwrap_or_default();
            let power = power - i32::try_from(fraction.len()).unwrap();
            let expected = exact(negative, &format!("{whole}{fraction}"), power);
            prop_assert_eq!(parse(&literal), expected, "{}", literal);
        }

        #[test]
        fn every_integer_is_read_back(value in any::<i64>()) {
            prop_assert_eq!(parse(&value.to_string()), Some(value));
            prop_assert_eq!(parse(&format!("{value}.000")), Some(value));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9eE.]{0,40}|.{0,20}") {
            let _ = parse(&text);
        }
    }
}
