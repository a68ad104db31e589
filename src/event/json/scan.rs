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

    fn fault<T>(&self, kind: FaultKind) -> Result<T, Fault> {
        Err(Fault { offset: self.at, kind })
    }

    fn since(&self, start: usize) -> &'a str {
        // Both ends stand beside ASCII, so the slice is never refused.
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte`, if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { self.fault(FaultKind::Expected(name)) }
    }

    /// The end of the text, after blanks.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.skip_blanks();
        if self.peek().is_some() { self.fault(FaultKind::Expected("the end")) } else { Ok(()) }
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
        let max_depth = max_depth.min(MAX_DEPTH);
        let start = self.at;
        // Bit n says whether the container n levels out is an object.
        let mut objects: u128 = 0;
        let mut depth: u32 = 0;
        loop {
            let opened = match self.peek() {
                Some(b'"') => self.string().map(|_| false)?,
                Some(b'-' | b'0'..=b'9') => self.number().map(|()| false)?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(open @ (b'{' | b'[')) => {
                    if depth == max_depth {
                        return self.fault(FaultKind::TooDeep);
                    }
                    self.at += 1;
                    depth += 1;
                    objects = objects << 1 | u128::from(open == b'{');
                    self.skip_blanks();
                    !matches!((open, self.peek()), (b'{', Some(b'}')) | (b'[', Some(b']')))
                }
                _ => return self.fault(FaultKind::Expected("a value")),
            };
            // After a value: close what ends here, until another value must follow.
            let mut more = opened;
            while !more {
                if depth == 0 {
                    return Ok(self.since(start));
                }
                self.skip_blanks();
                let in_object = objects & 1 == 1;
                if self.take(b',') {
                    self.skip_blanks();
                    more = true;
                } else if self.take(if in_object { b'}' } else { b']' }) {
                    depth -= 1;
                    objects >>= 1;
                } else {
                    let name = if in_object { "`,` or `}`" } else { "`,` or `]`" };
                    return self.fault(FaultKind::Expected(name));
                }
            }
            if objects & 1 == 1 {
                self.key()?;
            }
        }
    }

    /// Always false: a literal opens nothing.
    fn literal(&mut self, name: &'static str) -> Result<bool, Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(name.as_bytes()) {
            return self.fault(FaultKind::Expected("a value"));
        }
        self.at += name.len();
        Ok(false)
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.fault(FaultKind::Expected("a digit")) } else { Ok(()) }
    }

    pub(crate) fn string(&mut self) -> Result<RawString<'a>, Fault> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_len(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    let inner = self.since(start);
                    self.at += 1;
                    return Ok(RawString { inner, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault(FaultKind::ControlCharacter),
                None => return self.fault(FaultKind::Expected("`\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let bytes = self.text.as_bytes().get(self.at..).unwrap_or_default();
        match bytes.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match unit(bytes) {
                None => return self.fault(FaultKind::BadEscape),
                Some(0xd800..=0xdbff) => match unit(bytes.get(6..).unwrap_or_default()) {
                    Some(0xdc00..=0xdfff) => self.at += 12,
                    _ => return self.fault(FaultKind::LoneSurrogate),
                },
                Some(0xdc00..=0xdfff) => return self.fault(FaultKind::LoneSurrogate),
                Some(_) => self.at += 6,
            },
            _ => return self.fault(FaultKind::BadEscape),
        }
        Ok(())
    }
}

/// The UTF-16 unit of a `\uXXXX` at the start of `bytes`.
fn unit(bytes: &[u8]) -> Option<u32> {
    let hex = bytes.strip_prefix(b"\\u")?.get(..4)?;
    hex.iter().try_fold(0, |sum, byte| Some(sum << 4 | char::from(*byte).to_digit(16)?))
}

/// How many bytes at the start of `bytes` are neither a quote, a backslash nor a control
/// character: eight at a time, with the zero-byte test of "Bit Twiddling Hacks" (Anderson).
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let mut len = 0;
    for chunk in bytes.chunks_exact(8) {
        let Ok(eight) = chunk.try_into() else { break };
        let word = u64::from_le_bytes(eight);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        // Borrows reach only higher bytes than the first true hit, so the lowest bit is right.
        let hits = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGH;
        if hits != 0 {
            return len + hits.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let rest = bytes.get(len..).unwrap_or_default();
    len + rest.iter().position(special).unwrap_or(rest.len())
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
