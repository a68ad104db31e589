//! Fixed-width decimal numbers.
//!
//! Times and sequences are written with it, three numbers in every record of a journal, so it
//! takes two digits a step and never formats by way of another text.
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

    proptest! {
        #[test]
        fn twenty_digits_are_what_the_standard_library_writes(value in any::<u64>()) {
            let mut text = [0; 20];
            write_u64(&mut text, value);
            prop_assert_eq!(String::from_utf8_lossy(&text), format!("{value:020}"));
        }
    }
}
