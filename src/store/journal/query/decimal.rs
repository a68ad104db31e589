//! JSON numbers compared as they are written, digit by digit.
//!
//! Conditions compare here, because a float knows only 2^53 whole numbers and an identifier or
//! an amount of money may lie beyond. Nothing is rounded and nothing is allocated.
#![forbid(unsafe_code)]

use std::cmp::Ordering;

/// A number, taken apart: `±0.DIGITS × 10^(exponent + shift)`, where the first digit is not 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    negative: bool,
    /// Digits before the point and behind it, from the first that is not 0.
    whole: &'a [u8],
    fraction: &'a [u8],
    /// As it is written: it may have more digits than any integer.
    exponent: &'a str,
    shift: i64,
}

impl<'a> Decimal<'a> {
    /// Takes a JSON number apart.
    pub(super) fn of(number: &'a str) -> Self {
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, fraction) = (skip_zeros(whole.as_bytes()), fraction.as_bytes());
        let significant = if whole.is_empty() { skip_zeros(fraction) } else { fraction };
        // The zeros that were skipped behind the point make the number smaller.
        let zeros = fraction.len() - significant.len();
        let shift = whole.len() as i64 - zeros as i64;
        Self { negative, whole, fraction: significant, exponent, shift }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.whole.iter().chain(self.fraction).copied()
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    /// Which of the two numbers is greater. 1e2 is 100.0, and -0 is 0.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => {
                return if other.negative { Ordering::Greater } else { Ordering::Less };
            }
            (false, true) => return if self.negative { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
        }
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        let scales = difference(self.exponent, other.exponent) + self.shift - other.shift;
        scales.cmp(&0).then_with(|| {
            let (mut left, mut right) = (self.digits(), other.digits());
            loop {
                let (one, two) = (left.next(), right.next());
                if one.is_none() && two.is_none() {
                    return Ordering::Equal;
                }
                // Behind the last digit there are as many zeros as one likes.
                match one.unwrap_or(b'0').cmp(&two.unwrap_or(b'0')) {
                    Ordering::Equal => {}
                    different => return different,
                }
            }
        })
    }
}

fn skip_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// One exponent less another. Exact as long as that matters: no text has so many digits that they
/// could make up for a difference of 2^56.
fn difference(left: &str, right: &str) -> i64 {
    const MOST: i64 = 1 << 56;
    fn apart(text: &str) -> (i64, &[u8]) {
        let sign = if text.starts_with('-') { -1 } else { 1 };
        (sign, text.trim_start_matches(['+', '-']).as_bytes())
    }
    let ((left_sign, left), (right_sign, right)) = (apart(left), apart(right));
    let length = left.len().max(right.len());
    // The digit at a place from the left, where both are as long as the longer one.
    let digit = |digits: &[u8], at: usize| {
        let digit = (at + digits.len()).checked_sub(length).map_or(b'0', |at| digits[at]);
        i64::from(digit.wrapping_sub(b'0'))
    };
    (0..length).fold(0, |sum, at| {
        let here = left_sign * digit(left, at) - right_sign * digit(right, at);
        (sum * 10 + here).clamp(-MOST, MOST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compare(left: &str, right: &str) -> Ordering {
        Decimal::of(left).compare(&Decimal::of(right))
    }

    #[test]
    fn numbers_are_what_they_say_not_what_a_float_makes_of_them() {
        let equal = [
            ("1e2", "100"),
            ("100.000", "1E+2"),
            ("0.001", "1e-3"),
            ("-0", "0.0e5"),
            ("00.10e1", "1"),
            ("12345678901234567890123", "1.2345678901234567890123e22"),
            ("0e99999999999999999999999", "0"),
            ("1e99999999999999999999999", "0.1e100000000000000000000000"),
            ("123e-99999999999999999999999", "1.23e-0099999999999999999999997"),
        ];
        for (left, right) in equal {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
            assert_eq!(compare(right, left), Ordering::Equal, "{left} {right}");
        }
        let rising = [
            ("9007199254740992", "9007199254740993"),
            ("0.1", "0.10000000000000000000000001"),
            ("-1", "0"),
            ("-0.001", "1e-400"),
            ("-2", "-1.5"),
            ("1e308", "1e309"),
            ("1e-999999999999999999999", "1e-9"),
            ("9.99", "10"),
            ("-10", "-9.99"),
            ("0", "1e-5"),
            ("1e4611686018427387904", "1e4611686018427387905"),
            ("1e-4611686018427387905", "1e-4611686018427387904"),
            ("-1e4611686018427387905", "-1e4611686018427387904"),
            ("1e99999999999999999999998", "0.1e100000000000000000000000"),
            ("9e99999999999999999999999", "0.01e+100000000000000000000002"),
            ("1e-100000000000000000000000", "1e0099999999999999999999999"),
            ("9e9999999999999999999999", "1e99999999999999999999999"),
        ];
        for (less, greater) in rising {
            assert_eq!(compare(less, greater), Ordering::Less, "{less} {greater}");
            assert_eq!(compare(greater, less), Ordering::Greater, "{less} {greater}");
        }
    }

    proptest! {
        #[test]
        fn small_decimals_compare_as_their_scaled_integers(
            left in -100_000_i64..100_000, right in -100_000_i64..100_000,
            down in 0_u32..4, up in 0_u32..4,
        ) {
            // left × 10^up × 10^-down against right, once by text and once by integers.
            let text = format!("{left}e{}", i64::from(up) - i64::from(down));
            let exact = (left * 10_i64.pow(up)).cmp(&(right * 10_i64.pow(down)));
            prop_assert_eq!(compare(&text, &right.to_string()), exact);
            let point = format!("{}{}.{:03}", if left < 0 { "-" } else { "" }, left.abs() / 1000, left.abs() % 1000);
            prop_assert_eq!(compare(&point, &format!("{right}e-3")), left.cmp(&right));
        }
    }
}
