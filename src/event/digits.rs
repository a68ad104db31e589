//! Fixed-width decimal numbers.
//!
//! Times and sequences are written and read with it, three numbers in every record of a journal:
//! it writes two digits a step and reads eight, and never formats by way of another text.
#![forbid(unsafe_code)]

/// `00` to `99`, one after the other.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[2 * number] = b'0' + number as u8 / 10;
        pairs[2 * number + 1] = b'0' + number as u8 % 10;
        number += 1;
    }
    pairs
};

/// Writes `value` right-aligned over all of `into`; what has no room is cut on the left.
#[inline]
pub(crate) fn write(into: &mut [u8], mut value: u32) {
    let mut pairs = into.rchunks_exact_mut(2);
    for pair in &mut pairs {
        let at = 2 * (value % 100) as usize;
        pair.copy_from_slice(&PAIRS[at..at + 2]);
        value /= 100;
    }
    if let [first] = pairs.into_remainder() {
        *first = b'0' + (value % 10) as u8;
    }
}

/// The same for twenty digits: all that a `u64` may have.
#[inline]
pub(crate) fn write_u64(into: &mut [u8; 20], value: u64) {
    const EIGHT: u64 = 100_000_000;
    write(&mut into[12..], (value % EIGHT) as u32);
    write(&mut into[4..12], (value / EIGHT % EIGHT) as u32);
    write(&mut into[..4], (value / EIGHT / EIGHT) as u32);
}

/// The number that eight digits say; none if they are not all digits.
///
/// Neighbours are put together to numbers of two digits, these to four, these to eight: three
/// multiplications, each for all of the word.
#[inline]
pub(crate) fn read_eight(text: [u8; 8]) -> Option<u32> {
    let digits = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // A byte above 9 reaches its high bit with 0x76, or has it.
    if (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let twos = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) as u32)
}

/// The number that twenty digits say; none if they are not all digits, or for a number that has
/// twenty itself.
#[inline]
pub(crate) fn read_u64(text: &[u8; 20]) -> Option<u64> {
    let [a, b, c, d, low @ ..] = *text;
    let high = read_eight([b'0', b'0', b'0', b'0', a, b, c, d])?;
    if a != b'0' {
        return None;
    }
    let (middle, low) = (*low.first_chunk()?, *low.last_chunk()?);
    const EIGHT: u64 = 100_000_000;
    Some(
        (u64::from(high) * EIGHT + u64::from(read_eight(middle)?)) * EIGHT
            + u64::from(read_eight(low)?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_padded_and_cut_to_the_width() {
        let mut text = *b"xxxxxxxxx";
        write(&mut text[..9], 7);
        assert_eq!(&text, b"000000007");
        write(&mut text[..3], 12_345);
        assert_eq!(&text, b"345000007");
    }

    #[test]
    fn what_is_no_digit_is_no_number() {
        for at in 0..20 {
            for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_digit()) {
                let mut text = *b"01234567890123456789";
                text[at] = byte;
                assert_eq!(read_u64(&text), None, "{byte} at {at}");
            }
        }
        assert_eq!(read_u64(b"10000000000000000000"), None, "twenty digits of its own");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(value in 0..10_000_000_000_000_000_000_u64) {
            let mut text = [0; 20];
            write_u64(&mut text, value);
            prop_assert_eq!(read_u64(&text), Some(value));
        }

        #[test]
        fn twenty_digits_are_what_the_standard_library_writes(value in any::<u64>()) {
            let mut text = [0; 20];
            write_u64(&mut text, value);
            prop_assert_eq!(String::from_utf8_lossy(&text), format!("{value:020}"));
        }
    }
}
