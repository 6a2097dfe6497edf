//! Amounts of money and quantities: exact decimals with six places.

use std::fmt;

/// Digits after the decimal point, as the documented API has them.
const PLACES: usize = 6;
/// Millionths in one: ten to the power of [`PLACES`].
const UNIT: u64 = 1_000_000;
/// Smallest number of millionths with more than nine digits before the decimal point.
const TOO_MANY_MILLIONTHS: u64 = 1_000_000_000 * UNIT;
/// Largest distance between a double and the decimal that it stands for. Sums and products of decimals are off by less.
const NEAR: f64 = 1e-9;
/// The same distance in units in the last place of the double. This one is the larger from 4,194,304 on.
const NEAR_UNITS: u128 = 2;
/// Stored bits of the significand of a double: all but the leading 1.
const SIGNIFICAND_BITS: u64 = 52;
/// Stored exponent of a double whose value equals its significand read as an integer: the bias 1,023 plus 52.
const EXPONENT_OF_INTEGERS: u64 = 1_075;

/// Decimal of 0 or more, with up to nine digits before the decimal point and six after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    millionths: u64,
}

impl Amount {
    /// Returns the decimal that `number` is near enough to, so that 0.1 + 0.2 is 0.3. Returns `None` when no decimal is
    /// near, or when the nearest is negative or too large.
    pub fn from_f64(number: f64) -> Option<Self> {
        let magnitude = number.abs();
        if magnitude <= NEAR {
            return Some(Self::default());
        }
        // The range excludes NaN and the infinities as well.
        if !(NEAR..1e9).contains(&number) {
            return None;
        }
        // The number is exactly `significand / 2^scale`; within the limits above the scale is from 23 to 82.
        let bits = magnitude.to_bits();
        let significand = bits & ((1 << SIGNIFICAND_BITS) - 1) | 1 << SIGNIFICAND_BITS;
        let scale = EXPONENT_OF_INTEGERS - (bits >> SIGNIFICAND_BITS);
        let one = 1_u128 << scale;
        let scaled = u128::from(significand) * u128::from(UNIT);
        let millionths = (scaled + one / 2) / one;
        let distance = scaled.abs_diff(millionths * one);
        // A distance of 1e-9 is a thousandth of a millionth.
        let near = distance * 1_000 <= one || distance <= NEAR_UNITS * u128::from(UNIT);
        Self::from_millionths(u64::try_from(millionths).ok().filter(|_| near)?)
    }

    /// Returns the decimal of this many millionths; `None` when it has more than nine digits before the decimal point.
    pub fn from_millionths(millionths: u64) -> Option<Self> {
        (millionths < TOO_MANY_MILLIONTHS).then_some(Self { millionths })
    }

    /// Returns the decimal in millionths.
    pub fn millionths(self) -> u64 {
        self.millionths
    }

    /// Returns the nearest double. Its shortest text is the text of the decimal.
    pub fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "fifteen digits fit")]
        let millionths = self.millionths as f64;
        millionths / 1e6
    }
}

/// Writes six digits after the decimal point.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:0PLACES$}", self.millionths / UNIT, self.millionths % UNIT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(number: f64) -> Option<String> {
        Amount::from_f64(number).map(|amount| amount.to_string())
    }

    /// Returns the double that is `units` in the last place above `number`, or below it when negative.
    fn beside(number: f64, units: i64) -> f64 {
        f64::from_bits(number.to_bits().checked_add_signed(units).unwrap())
    }

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
            assert_eq!(read(number).as_deref(), Some(written));
        }
    }

    #[test]
    fn what_a_till_computes_is_the_decimal_that_it_means() {
        for (number, written) in [
            (0.1 + 0.2, "0.300000"),
            (5.99 * 3.0, "17.970000"),
            (-1e-10, "0.000000"),
            (-1e-9, "0.000000"),
            (5e-324, "0.000000"),
            (1e-9, "0.000000"),
            (1.000_000_000_9, "1.000000"),
            (0.999_999_999_1, "1.000000"),
            (4_194_303.999_999_999_5, "4194304.000000"),
        ] {
            assert_eq!(read(number).as_deref(), Some(written), "{number:?}");
        }
        for number in [
            -1.0,
            -0.000_001,
            -1.1e-9,
            1.1e-9,
            0.000_000_1,
            0.000_000_998_9,
            1.000_000_1,
            1.000_000_001_1,
            0.999_999_998_9,
            1e9,
            -1e9,
            1e300,
            999_999_999.999_999_6,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert_eq!(read(number), None, "{number:?}");
        }
    }

    #[test]
    fn two_units_in_the_last_place_are_near_where_they_are_more() {
        for whole in [4_194_304.0, 5_000_000.25, 16_777_216.0, 999_999_999.0] {
            let amount = Amount::from_f64(whole);
            assert!(amount.is_some());
            // Below a power of two, doubles are half as far apart as above it.
            for units in [-1, 1, 2] {
                assert_eq!(Amount::from_f64(beside(whole, units)), amount, "{whole} {units}");
            }
            for units in [-4, -5, 3, 4] {
                assert_eq!(Amount::from_f64(beside(whole, units)), None, "{whole} {units}");
            }
        }
        // Below 4,194,304, two units in the last place are less than 1e-9.
        let last = 4_194_303.5;
        assert_eq!(Amount::from_f64(beside(last, 2)), Amount::from_f64(last));
        assert_eq!(Amount::from_f64(beside(last, 3)), None);
        let small = 1_000_000.5;
        assert_eq!(Amount::from_f64(beside(small, 8)), Amount::from_f64(small));
        assert_eq!(Amount::from_f64(beside(small, 9)), None);
    }

    #[test]
    fn prices_times_three_or_seven_are_amounts() {
        let mut inexact = 0_u32;
        for cents in 1..=2_997_u32 {
            for times in [3, 7] {
                let product = f64::from(cents) / 100.0 * f64::from(times);
                let exact = Amount::from_millionths(u64::from(cents * times) * 10_000).unwrap();
                assert_eq!(Amount::from_f64(product), Some(exact), "{cents} cents, {times} times: {product:?}");
                inexact += u32::from(product.to_bits() != exact.to_f64().to_bits());
            }
        }
        assert!(inexact > 1_000, "{inexact} products are other doubles than the decimal: hardly a test");
    }

    proptest! {
        #[test]
        fn an_amount_comes_through_a_double_unchanged(millionths in 0_u64..TOO_MANY_MILLIONTHS) {
            let amount = Amount { millionths };
            prop_assert_eq!(Amount::from_f64(amount.to_f64()), Some(amount));
        }

        #[test]
        fn an_amount_is_what_is_as_near_as_a_sum_may_be(millionths in 0_u64..TOO_MANY_MILLIONTHS, units in -1..=1_i64) {
            let amount = Amount { millionths };
            prop_assume!(millionths > 0);
            prop_assert_eq!(Amount::from_f64(beside(amount.to_f64(), units)), Some(amount));
        }

        #[test]
        fn what_is_further_away_than_both_limits_is_none(millionths in 1_u64..20_000 * UNIT, off in 0.01..0.5_f64) {
            // The offset is a hundredth to half of a millionth; units in the last place are smaller than that in this
            // range.
            let number = Amount { millionths }.to_f64() + off / 1e6;
            prop_assert_eq!(Amount::from_f64(number), None, "{:?}", number);
        }

        #[test]
        fn every_double_is_an_amount_near_it_or_none(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            if let Some(amount) = Amount::from_f64(number) {
                let near = NEAR.max(2.0 * (beside(number.abs(), 1) - number.abs()));
                prop_assert!((amount.to_f64() - number).abs() <= 2.0 * near, "{number:?} {amount}");
            }
        }
    }
}
