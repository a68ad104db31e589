//! A JSON value as programs write it, checked by words of eight bytes.
//!
//! Tried before [`value_end`](super::scan::value_end), which takes a string byte by byte because
//! what it finds there may change everything. Here the value's end is known beforehand, and it is
//! given up as soon as it holds anything but printable ASCII, a backslash, or a blank between
//! tokens. So a string ends at the next quote, whatever is between, and where all quotes are can be
//! told for 64 bytes at once: finding one need not wait until the one before it was found.
//!
//! What is given up is not judged: then the scanner says what it is.
#![forbid(unsafe_code)]

use super::scan::{HIGH, MAX_DEPTH, ONES, literal_end, number_end};

/// Whether `value` is, as a whole, one JSON value that stands so, nested at most `max_depth` levels.
pub(super) fn is_value(value: &[u8], max_depth: u32) -> bool {
    walk(value, max_depth.min(MAX_DEPTH)).is_some()
}

/// As [`value_end`](super::scan::value_end), but for strings.
fn walk(value: &[u8], max_depth: u32) -> Option<()> {
    let mut quotes = Quotes::of(value);
    let mut at = 0;
    // Bit n says whether the container n levels out is an object.
    let mut objects: u128 = 0;
    let mut depth: u32 = 0;
    let mut in_object = false;
    loop {
        let is_text = in_object && {
            let (end, is_text) = quotes.members(value, at)?;
            at = end;
            is_text
        };
        if !is_text {
            match *value.get(at)? {
                b'"' => at = quotes.string_end(at)?,
                b'-' | b'0'..=b'9' => at = number_end(value, at).ok()?,
                open @ (b'{' | b'[') => {
                    if depth == max_depth {
                        return None;
                    }
                    depth += 1;
                    in_object = open == b'{';
                    objects = objects << 1 | u128::from(in_object);
                    at += 1;
                    // An empty one is closed below.
                    if value.get(at) != Some(if in_object { &b'}' } else { &b']' }) {
                        continue;
                    }
                }
                b't' => at = literal_end(value, at, b"true").ok()?,
                b'f' => at = literal_end(value, at, b"false").ok()?,
                b'n' => at = literal_end(value, at, b"null").ok()?,
                _ => return None,
            }
        }
        // After a value: close what ends here, until another value must follow.
        loop {
            if depth == 0 {
                return (at == value.len()).then_some(());
            }
            match *value.get(at)? {
                b',' => break,
                b'}' if in_object => {}
                b']' if !in_object => {}
                _ => return None,
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
            in_object = objects & 1 == 1;
        }
        at += 1;
    }
}

/// The quotes of a text, one after the other.
struct Quotes<'a> {
    blocks: std::slice::Iter<'a, [u8; BLOCK]>,
    /// What is left behind the blocks, filled up.
    last: Option<[u8; BLOCK]>,
    /// Where the block begins that is being gone through.
    begin: usize,
    /// A bit for each quote in it that was not given out yet.
    left: u64,
}

const BLOCK: usize = 64;

impl<'a> Quotes<'a> {
    #[inline]
    fn of(text: &'a [u8]) -> Self {
        let (blocks, rest) = text.as_chunks();
        let mut last = [b' '; BLOCK];
        if let Some(last) = last.get_mut(..rest.len()) {
            last.copy_from_slice(rest);
        }
        // The first block begins where the one before it would end.
        let begin = 0_usize.wrapping_sub(BLOCK);
        Self { blocks: blocks.iter(), last: Some(last), begin, left: 0 }
    }

    /// The next quote; none if there is none, or something before it does not stand here.
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.left == 0 {
            self.left = match self.blocks.next() {
                Some(block) => quotes_in(block)?,
                None => quotes_in(&self.last.take()?)?,
            };
            self.begin = self.begin.wrapping_add(BLOCK);
        }
        let at = self.begin + self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        Some(at)
    }

    /// Behind the string that begins at `at`.
    #[inline(always)]
    fn string_end(&mut self, at: usize) -> Option<usize> {
        let (begin, end) = (self.next()?, self.next()?);
        (begin == at).then_some(end + 1)
    }

    /// Passes members of an object, the first of which begins at `at`. Where it ends: behind a
    /// member whose value is a string, or before a value of another kind; and which of the two.
    #[inline(always)]
    fn members(&mut self, text: &[u8], mut at: usize) -> Option<(usize, bool)> {
        loop {
            at = self.string_end(at)?;
            if text.get(at) != Some(&b':') {
                return None;
            }
            if text.get(at + 1) != Some(&b'"') {
                return Some((at + 1, false));
            }
            at = self.string_end(at + 1)?;
            if text.get(at..)?.first_chunk() != Some(b",\"") {
                return Some((at, true));
            }
            at += 1;
        }
    }
}

/// A bit for each quote; none if the block holds anything but printable ASCII, or a backslash.
#[inline(always)]
fn quotes_in(block: &[u8; BLOCK]) -> Option<u64> {
    let (words, _) = block.as_chunks();
    let (mut quotes, mut odd) = (0, 0);
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of a byte that is none of ASCII, or below 0x20, or a backslash. A borrow
        // begins at such a byte only.
        odd |= word | word.wrapping_sub(ONES * 0x20) | HIGH.wrapping_sub(word ^ (ONES * 0x5c));
        // With ASCII alone nothing is borrowed, so that these are exact.
        let hits = HIGH.wrapping_sub(word ^ (ONES * 0x22)) & HIGH;
        // The product's high byte has the eight high bits in a row.
        quotes |= (hits.wrapping_mul(0x0002_0408_1020_4081) >> 56) << (8 * at);
    }
    (odd & HIGH == 0).then_some(quotes)
}

#[cfg(test)]
mod tests {
    use super::super::scan::value_end;
    use super::*;
    use proptest::prelude::*;

    /// Whether it is taken; what is taken must be what the scanner takes.
    fn takes(text: &str, max_depth: u32) -> Result<bool, TestCaseError> {
        let taken = is_value(text.as_bytes(), max_depth);
        if taken {
            let end = value_end(text.as_bytes(), 0, max_depth);
            prop_assert_eq!(end, Ok((text.len(), false)), "{}", text);
        }
        Ok(taken)
    }

    #[test]
    fn what_programs_write_is_taken() {
        let long = format!(r#"{{"a":"{}","b":["{}",{{}}]}}"#, "x".repeat(500), "y".repeat(63));
        for text in [
            r#"{"a":"b","c":"d","e":1,"f":[],"g":{"h":-0.5e+3,"i":null},"j":"k"}"#,
            r#"["",{"a":{}},[[true,false]],"x"]"#,
            r#"{"":""}"#,
            r#""text""#,
            "0",
            "null",
            "{}",
            &long,
        ] {
            assert!(takes(text, 9).unwrap(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(takes(&deep, 1000).unwrap() && !takes(&deep, 127).unwrap());
        let deeper = format!("[{deep}]");
        assert!(!takes(&deeper, 1000).unwrap());
    }

    #[test]
    fn every_byte_that_a_string_cannot_hold_as_it_is_is_found_wherever_it_stands() {
        for at in 0..200 {
            for byte in 0..=255_u8 {
                let mut text = vec![b'x'; 202];
                (text[0], text[201]) = (b'"', b'"');
                text[1 + at] = byte;
                let is_plain = matches!(byte, 0x20..0x80) && byte != b'"' && byte != b'\\';
                assert_eq!(is_value(&text, 1), is_plain, "{byte} at {at}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

        #[test]
        fn whatever_is_taken_the_scanner_takes(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"a\":", "\"a\":\"b\"", ",\"c\":\"d\"",
                "{\"a\":", "1", "-0.5e+3", "01", "-", "true", "null", "nul", " ", "\n", "\\", "\\\"",
                "é", "\u{1}", "\u{7f}", "{}", "[]", "\"long enough for a word or two\"", "x", "#",
            ]), 0..24),
            close in any::<bool>(),
        ) {
            let mut text = pieces.concat();
            takes(&text, 3)?;
            if close {
                text = format!("{{\"a\":[{text}]}}");
                takes(&text, 3)?;
            }
        }

        /// Sound values with one piece put in or taken out.
        #[test]
        fn a_sound_value_is_taken_and_an_edited_one_only_if_it_is_sound(
            keys in prop::collection::vec("[ -~]{0,20}", 1..12),
            numbers in prop::collection::vec(any::<i32>(), 12),
            at in any::<prop::sample::Index>(),
            piece in prop::sample::select(vec!["\"", ",", ":", "}", "]", "{", "[", "1", " ", "\\", "é"]),
            cut in 0..4_usize,
        ) {
            let clean = |text: &str| text.replace(['"', '\\'], "_");
            let members: Vec<_> = keys.iter().zip(&numbers).map(|(key, number)| {
                let key = clean(key);
                match number % 4 {
                    0 => format!("\"{key}\":{number}"),
                    1 => format!("\"{key}\":[\"{key}\",{number}]"),
                    2 => format!("\"{key}\":{{\"{key}\":\"{key}\"}}"),
                    _ => format!("\"{key}\":\"{number}\""),
                }
            }).collect();
            let mut text = format!("{{{}}}", members.join(","));
            prop_assert!(takes(&text, 9)?, "{}", text);
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.replace_range(at..end, piece);
            takes(&text, 9)?;
        }
    }
}
