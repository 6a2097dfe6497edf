//! Amounts of money and quantities: exact decimals with six places.

use std::fmt;

/// Places after the point.
const PLACES: usize = 6;
/// Digits before the point, at most.
const MAX_WHOLE_DIGITS: usize = 9;

/// A decimal of 0 or more, with up to nine digits before the point and six after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    millionths: u64,
}

impl Amount {
    /// The decimal that `number` is written as, shortest: fifteen digits come through a double unchanged. `None` when it
    /// is negative or has more digits.
    pub fn from_f64(number: f64) -> Option<Self> {
        if !(0.0..1e9).contains(&number) {
            return None;
        }
        let text = number.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        if fraction.len() > PLACES || whole.len() > MAX_WHOLE_DIGITS {
            return None;
        }
        // "-0" is a zero too.
        let digits = format!("{}{fraction:0<PLACES$}", whole.trim_start_matches('-'));
        digits.parse().ok().map(|millionths| Self { millionths })
    }

    /// The nearest double: the one it was read from.
    pub fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "fifteen digits fit")]
        let millionths = self.millionths as f64;
        millionths / 1e6
    }
}

/// With six digits after the point.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(6);
        write!(f, "{}.{:0PLACES$}", self.millionths / unit, self.millionths % unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_with_nine_and_six_digits_is_read_exactly() {
        for (number, written) in [
            (0.0, "0.000000"),
            (-0.0, "0.000000"),
            (500.0, "500.000000"),
            (0.1, "0.100000"),
            (0.000_001, "0.000001"),
            (1e-6, "0.000001"),
            (999_999_999.999_999, "999999999.999999"),
            (75.5, "75.500000"),
        ] {
            assert_eq!(Amount::from_f64(number).map(|amount| amount.to_string()).as_deref(), Some(written));
        }
        for number in
            [-1.0, -0.000_001, 1e9, 0.000_000_1, 1.000_000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324]
        {
            assert_eq!(Amount::from_f64(number), None, "{number}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_comes_through_a_double_unchanged(millionths in 0_u64..1_000_000_000_000_000) {
            let amount = Amount { millionths };
            prop_assert_eq!(Amount::from_f64(amount.to_f64()), Some(amount));
        }

        #[test]
        fn every_double_is_an_amount_of_that_value_or_none(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            let amount = Amount::from_f64(number);
            prop_assert!(amount.is_none_or(|amount| amount.to_f64().to_bits() == (number + 0.0).to_bits()), "{number}");
        }
    }
}
