//! The elements of a JSON array, one after the other, from a reader.
//!
//! `pub` takes batches apart with it, whatever their size: only one element is ever held. It
//! finds where elements end and leaves it to the decoder to say what they are.
#![forbid(unsafe_code)]

use std::io::{self, BufRead};

use super::Limits;

/// The elements of a JSON array (a CloudEvents batch), read as they are asked for.
///
/// An element that is too large is told and skipped; after any other error there are no more.
///
/// ```
/// use ringpost::event::json::{Elements, Limits};
///
/// let file = br#"[{"id": "1"}, {"id": "2"}]"#;
/// let mut elements = Elements::new(&file[..], Limits::default());
/// assert_eq!(elements.next_element()?, Some(&br#"{"id": "1"}"#[..]));
/// assert_eq!(elements.next_element()?, Some(&br#"{"id": "2"}"#[..]));
/// assert_eq!(elements.next_element()?, None);
/// # Ok::<(), ringpost::event::json::BatchError>(())
/// ```
#[derive(Debug)]
pub struct Elements<R> {
    reader: R,
    max_bytes: usize,
    element: Vec<u8>,
    offset: u64,
    place: Place,
}

/// Why a batch goes no further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The reader failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a JSON array.
    #[error("not a JSON array at byte {offset}: expected {expected}")]
    Syntax {
        /// Where, from the reader's start.
        offset: u64,
        /// What should stand there.
        expected: &'static str,
    },
    /// One element is larger than an event may be. It was skipped: ask for the next.
    #[error("an element of the array is larger than the {limit} bytes allowed")]
    TooLarge {
        /// How large it may be.
        limit: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    AfterElement,
    End,
}

/// Where in an element its end is looked for.
#[derive(Clone, Copy, Debug, Default)]
struct Inside {
    depth: usize,
    string: bool,
    escape: bool,
}

impl Inside {
    /// Takes the next byte; true if the element ended before it.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.string {
            self.string = self.escape || byte != b'"';
            self.escape = !self.escape && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => self.depth -= 1,
            b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' if self.depth == 0 => return true,
            _ => {}
        }
        false
    }
}

impl<R: BufRead> Elements<R> {
    /// The elements of the array that the reader begins with, blanks before it skipped.
    pub fn new(reader: R, limits: Limits) -> Self {
        let max_bytes = limits.max_bytes;
        Self { reader, max_bytes, element: Vec::new(), offset: 0, place: Place::Start }
    }

    /// The next element's bytes, without the blanks around it; none after the array's end.
    ///
    /// # Errors
    ///
    /// The reader failed, the text is no array or does not end with it, or this element alone is
    /// too large.
    pub fn next_element(&mut self) -> Result<Option<&[u8]>, BatchError> {
        let place = std::mem::replace(&mut self.place, Place::End);
        let first = match place {
            Place::End => return Ok(None),
            Place::Start => {
                self.expect(b'[', "`[`")?;
                self.peek()?
            }
            Place::AfterElement => match self.peek()? {
                Some(b',') => {
                    self.step();
                    let next = self.peek()?;
                    if next == Some(b']') {
                        return Err(self.expected("an element"));
                    }
                    next
                }
                Some(b']') => Some(b']'),
                _ => return Err(self.expected("`,` or `]`")),
            },
        };
        match first {
            Some(b']') => {
                self.step();
                match self.peek()? {
                    None => Ok(None),
                    Some(_) => Err(self.expected("the end")),
                }
            }
            Some(byte) if byte != b',' && byte != b'}' => self.element(),
            _ => Err(self.expected("an element")),
        }
    }

    fn element(&mut self) -> Result<Option<&[u8]>, BatchError> {
        self.element.clear();
        let mut inside = Inside::default();
        let mut too_large = false;
        loop {
            let bytes = fill(&mut self.reader)?;
            if bytes.is_empty() {
                return Err(self.expected("the element's end"));
            }
            let end = bytes.iter().position(|byte| inside.ends_before(*byte));
            let taken = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            // What is too large is walked over, not kept.
            too_large |= self.element.len() + taken.len() > self.max_bytes;
            if !too_large {
                self.element.extend_from_slice(taken);
            }
            let len = taken.len();
            self.reader.consume(len);
            self.offset += len as u64;
            if end.is_some() {
                break;
            }
        }
        self.place = Place::AfterElement;
        if too_large {
            return Err(BatchError::TooLarge { limit: self.max_bytes });
        }
        Ok(Some(&self.element))
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Result<Option<u8>, BatchError> {
        loop {
            match fill(&mut self.reader)?.first() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.step(),
                next => return Ok(next.copied()),
            }
        }
    }

    fn step(&mut self) {
        self.reader.consume(1);
        self.offset += 1;
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), BatchError> {
        if self.peek()? != Some(byte) {
            return Err(self.expected(name));
        }
        self.step();
        Ok(())
    }

    fn expected(&self, expected: &'static str) -> BatchError {
        BatchError::Syntax { offset: self.offset, expected }
    }
}

/// What the reader holds, read anew if it holds nothing; empty at its end.
fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match reader.fill_buf() {
            Ok([]) => return Ok(&[]),
            // Asked again below, because this loop cannot lend what it may yet retry; whoever
            // holds bytes does not read.
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    reader.fill_buf()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufReader, Read};

    /// Gives one byte a call, and an interruption before each.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = into.len().min(1);
            self.0.read(&mut into[..len])
        }
    }

    /// All elements, then the error that ended them, if one did.
    fn split(reader: impl BufRead, max_bytes: usize) -> (Vec<String>, Option<String>) {
        let mut elements = Elements::new(reader, Limits::default().with_max_bytes(max_bytes));
        let mut found = Vec::new();
        loop {
            match elements.next_element() {
                Ok(Some(element)) => found.push(String::from_utf8_lossy(element).into_owned()),
                Ok(None) => return (found, None),
                Err(BatchError::TooLarge { .. }) => found.push("too large".to_owned()),
                Err(error) => {
                    assert!(matches!(elements.next_element(), Ok(None)), "an error ends it");
                    return (found, Some(error.to_string()));
                }
            }
        }
    }

    #[test]
    fn elements_end_where_json_says_so_whatever_the_reads() {
        let text = "\n[ {\"a\":\"]},\\\"\\\\\"} ,[1,[2],{\"b\":[]}],\"x,]\"\n, 1.5e3 ,null,true]\n";
        let expected =
            ["{\"a\":\"]},\\\"\\\\\"}", "[1,[2],{\"b\":[]}]", "\"x,]\"", "1.5e3", "null", "true"];
        assert_eq!(split(text.as_bytes(), 100), (expected.map(String::from).to_vec(), None));
        let slow = BufReader::with_capacity(3, Slow(text.as_bytes(), false));
        assert_eq!(split(slow, 100), (expected.map(String::from).to_vec(), None));
        assert_eq!(split(&b" [ ] "[..], 100), (vec![], None));
    }

    #[test]
    fn what_is_too_large_is_skipped_and_the_rest_read() {
        let (found, error) = split(&b"[1234567, {\"a\":\"xxxxxxxx\"},12]"[..], 6);
        assert_eq!(
            (found, error),
            (vec!["too large".into(), "too large".into(), "12".into()], None)
        );
    }

    #[test]
    fn a_text_that_is_no_array_ends_with_an_error_that_says_where() {
        for (text, count, told) in [
            ("", 0, "byte 0: expected `[`"),
            ("{}", 0, "byte 0: expected `[`"),
            ("[", 0, "byte 1: expected an element"),
            ("[,1]", 0, "byte 1: expected an element"),
            ("[1,]", 1, "byte 3: expected an element"),
            ("[1,,2]", 1, "byte 3: expected an element"),
            ("[1 2]", 1, "byte 3: expected `,` or `]`"),
            ("[1}", 1, "byte 2: expected `,` or `]`"),
            ("[1", 0, "byte 2: expected the element's end"),
            ("[{\"a\":\"]", 0, "byte 8: expected the element's end"),
            ("[1", 0, "byte 2: expected the element's end"),
            ("[1] x", 1, "byte 4: expected the end"),
        ] {
            let (found, error) = split(text.as_bytes(), 100);
            assert_eq!(found.len(), count, "{text}");
            assert!(error.clone().is_some_and(|error| error.ends_with(told)), "{text}: {error:?}");
        }
    }

    proptest! {
        /// serde_json is the oracle.
        #[test]
        fn any_array_is_split_as_serde_json_does(
            texts in prop::collection::vec("[\\]\\[{}\",\\\\ a]{0,6}", 0..6), buffer in 1..9_usize) {
            let values: Vec<_> = texts.iter().map(|text| serde_json::json!([{"k": text}, text])).collect();
            let text = serde_json::to_string_pretty(&values).unwrap();
            let mut elements =
                Elements::new(BufReader::with_capacity(buffer, text.as_bytes()), Limits::default());
            let mut found = Vec::new();
            while let Some(element) = elements.next_element().unwrap() {
                found.push(serde_json::from_slice::<serde_json::Value>(element).unwrap());
            }
            prop_assert_eq!(found, values);
        }
    }
}
