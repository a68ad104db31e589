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
mod tests;
