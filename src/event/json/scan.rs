//! Walks over JSON text without building anything.
//!
//! The decoder, the builder and the list of payload keys use it. It accepts exactly RFC 8259,
//! less lone surrogates, and never recurses: nesting costs one bit a level.
#![forbid(unsafe_code)]

use std::borrow::Cow;

/// Where the text stopped being JSON, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Expected(&'static str),
    BadEscape,
    ControlCharacter,
    LoneSurrogate,
    TooDeep,
}

/// A string between its quotes, escapes unresolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawString<'a> {
    inner: &'a str,
    escaped: bool,
}

impl<'a> RawString<'a> {
    pub(crate) fn text(self) -> Cow<'a, str> {
        if self.escaped { unescape(self.inner) } else { Cow::Borrowed(self.inner) }
    }
}

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// No limit goes beyond this: the levels are the bits of one word.
pub(crate) const MAX_DEPTH: u32 = 128;

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// How many bytes are still to come.
    pub(crate) fn left(&self) -> usize {
        self.text.len() - self.at
    }

    fn since(&self, start: usize) -> &'a str {
        // Both ends stand beside ASCII, so the slice is never refused.
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.at = behind_blanks(self.text.as_bytes(), self.at);
    }

    /// Steps over `byte`, if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { fault(self.at, FaultKind::Expected(name)) }
    }

    /// The end of the text, after blanks.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.skip_blanks();
        match self.peek() {
            Some(_) => fault(self.at, FaultKind::Expected("the end")),
            None => Ok(()),
        }
    }

    /// One value with nothing but blanks around it.
    pub(crate) fn lone_value(&mut self, max_depth: u32) -> Result<&'a str, Fault> {
        self.skip_blanks();
        let raw = self.value(max_depth)?;
        self.end()?;
        Ok(raw)
    }

    /// A member's name and its colon, up to the first byte of the value.
    pub(crate) fn key(&mut self) -> Result<RawString<'a>, Fault> {
        let key = self.string()?;
        self.skip_blanks();
        self.expect(b':', "`:`")?;
        self.skip_blanks();
        Ok(key)
    }

    /// One value of any kind, nested at most `max_depth` levels (and never beyond
    /// [`MAX_DEPTH`]).
    pub(crate) fn value(&mut self, max_depth: u32) -> Result<&'a str, Fault> {
        let start = self.at;
        self.at = value_end(self.text.as_bytes(), start, max_depth)?.0;
        Ok(self.since(start))
    }

    pub(crate) fn string(&mut self) -> Result<RawString<'a>, Fault> {
        self.expect(b'"', "a string")?;
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let end = plain_end(bytes, start);
        let escaped = bytes.get(end) != Some(&b'"');
        self.at = if escaped { escaped_end(bytes, end)? } else { end + 1 };
        // Both ends stand beside ASCII, so the slice is never refused.
        let inner = self.text.get(start..self.at - 1).unwrap_or_default();
        Ok(RawString { inner, escaped })
    }
}

/// Where the value ends that begins at `at`, and whether there may be blanks between its tokens;
/// see [`Scanner::value`].
///
/// One loop without a call but for what is rare, so that the place stays in a register: here
/// reading a journal spends most of its instructions.
pub(super) fn value_end(
    bytes: &[u8],
    mut at: usize,
    max_depth: u32,
) -> Result<(usize, bool), Fault> {
    let max_depth = max_depth.min(MAX_DEPTH);
    // Bit n says whether the container n levels out is an object.
    let mut objects: u128 = 0;
    let mut depth: u32 = 0;
    let mut in_object = false;
    let mut spaced = false;
    loop {
        if in_object {
            if bytes.get(at) != Some(&b'"') {
                return fault(at, FaultKind::Expected("a string"));
            }
            at = plain_end(bytes, at + 1);
            at = if bytes.get(at) == Some(&b'"') { at + 1 } else { escaped_end(bytes, at)? };
            at = blanks_end(bytes, at, &mut spaced);
            if bytes.get(at) != Some(&b':') {
                return fault(at, FaultKind::Expected("`:`"));
            }
            at = blanks_end(bytes, at + 1, &mut spaced);
        }
        match bytes.get(at) {
            Some(b'"') => {
                at = plain_end(bytes, at + 1);
                at = if bytes.get(at) == Some(&b'"') { at + 1 } else { escaped_end(bytes, at)? };
            }
            Some(b'-' | b'0'..=b'9') => at = number_end(bytes, at)?,
            Some(open @ (b'{' | b'[')) => {
                if depth == max_depth {
                    return fault(at, FaultKind::TooDeep);
                }
                depth += 1;
                in_object = *open == b'{';
                objects = objects << 1 | u128::from(in_object);
                at = blanks_end(bytes, at + 1, &mut spaced);
                // An empty one is closed below.
                if bytes.get(at) != Some(if in_object { &b'}' } else { &b']' }) {
                    continue;
                }
            }
            Some(b't') => at = literal_end(bytes, at, b"true")?,
            Some(b'f') => at = literal_end(bytes, at, b"false")?,
            Some(b'n') => at = literal_end(bytes, at, b"null")?,
            _ => return fault(at, FaultKind::Expected("a value")),
        }
        // After a value: close what ends here, until another value must follow.
        loop {
            if depth == 0 {
                return Ok((at, spaced));
            }
            at = blanks_end(bytes, at, &mut spaced);
            match bytes.get(at) {
                Some(b',') => break,
                Some(b'}') if in_object => {}
                Some(b']') if !in_object => {}
                _ => {
                    let name = if in_object { "`,` or `}`" } else { "`,` or `]`" };
                    return fault(at, FaultKind::Expected(name));
                }
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
            in_object = objects & 1 == 1;
        }
        at = blanks_end(bytes, at + 1, &mut spaced);
    }
}

#[cold]
fn fault<T>(offset: usize, kind: FaultKind) -> Result<T, Fault> {
    Err(Fault { offset, kind })
}

/// The first byte from `at` on that is no blank.
#[inline]
fn blanks_end(bytes: &[u8], at: usize, spaced: &mut bool) -> usize {
    match bytes.get(at) {
        Some(..=b' ') => {
            *spaced = true;
            behind_blanks(bytes, at)
        }
        _ => at,
    }
}

fn behind_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

#[inline]
pub(super) fn literal_end(bytes: &[u8], at: usize, name: &[u8]) -> Result<usize, Fault> {
    match bytes.get(at..).is_some_and(|rest| rest.starts_with(name)) {
        true => Ok(at + name.len()),
        false => fault(at, FaultKind::Expected("a value")),
    }
}

#[inline]
pub(super) fn number_end(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits_end(bytes, at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits_end(bytes, at)?;
    }
    Ok(at)
}

#[inline]
fn digits_end(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    while matches!(bytes.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    if at == start { fault(at, FaultKind::Expected("a digit")) } else { Ok(at) }
}

/// Behind the closing quote of a string, at whose inside something is met at `at` that is not plain.
#[cold]
fn escaped_end(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = plain_end(bytes, escape_end(bytes, at)?),
            Some(_) => return fault(at, FaultKind::ControlCharacter),
            None => return fault(at, FaultKind::Expected("`\"`")),
        }
    }
}

fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let escape = bytes.get(at..).unwrap_or_default();
    let len = match escape.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
        Some(b'u') => match unit(escape) {
            None => return fault(at, FaultKind::BadEscape),
            Some(0xd800..=0xdbff) => match unit(escape.get(6..).unwrap_or_default()) {
                Some(0xdc00..=0xdfff) => 12,
                _ => return fault(at, FaultKind::LoneSurrogate),
            },
            Some(0xdc00..=0xdfff) => return fault(at, FaultKind::LoneSurrogate),
            Some(_) => 6,
        },
        _ => return fault(at, FaultKind::BadEscape),
    };
    Ok(at + len)
}

/// The UTF-16 unit of a `\uXXXX` at the start of `bytes`.
fn unit(bytes: &[u8]) -> Option<u32> {
    let hex = bytes.strip_prefix(b"\\u")?.get(..4)?;
    hex.iter().try_fold(0, |sum, byte| Some(sum << 4 | char::from(*byte).to_digit(16)?))
}

pub(super) const ONES: u64 = u64::MAX / 255;
pub(super) const HIGH: u64 = ONES << 7;

/// The high bit of each byte that is a quote, a backslash or a control character; above the
/// lowest such bit there may be others. After the zero-byte test of "Bit Twiddling Hacks"
/// (Anderson), for bytes below 0x80 alone, which all three are: a borrow begins at a true hit only
/// and reaches higher bytes only.
#[inline]
fn specials(word: u64) -> u64 {
    let quotes = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslashes = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    let controls = word.wrapping_sub(ONES * 0x20);
    (quotes | backslashes | controls) & !word & HIGH
}

#[inline]
fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

/// The first byte from `at` on that is a quote, a backslash or a control character; the end, if
/// there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = eight(bytes, at) {
        let hits = specials(word);
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// The first byte from `at` on that is not one of the printable ASCII characters that JSON writes
/// as they are; the end, if there is none.
#[inline]
pub(crate) fn printable_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = eight(bytes, at) {
        let deletes = (word ^ (ONES * 0x7f)).wrapping_sub(ONES);
        let hits = (specials(word) | deletes | word) & HIGH;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| is_printable(*byte)) {
        at += 1;
    }
    at
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x20..0x7f) && byte != b'"' && byte != b'\\'
}

/// Resolves the escapes of a string's inside, which a scanner has passed.
pub(crate) fn unescape(inner: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else { return Cow::Borrowed(inner) };
    let (plain, mut rest) = inner.split_at(first);
    let mut text = String::with_capacity(inner.len());
    text.push_str(plain);
    while let Some(escape) = rest.as_bytes().get(1) {
        let mut len = 2;
        let resolved = match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = unit(rest.as_bytes()).unwrap_or_default();
                len = 6;
                let code = if (0xd800..0xdc00).contains(&high) {
                    let low = unit(rest.as_bytes().get(6..).unwrap_or_default());
                    len = 12;
                    0x10000 + ((high & 0x3ff) << 10) + (low.unwrap_or_default() & 0x3ff)
                } else {
                    high
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            itself => char::from(*itself),
        };
        text.push(resolved);
        rest = rest.get(len..).unwrap_or_default();
        let next = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        let (plain, escape) = rest.split_at(next);
        text.push_str(plain);
        rest = escape;
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests;
