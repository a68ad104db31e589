//! Events out of files and streams, as people have them: JSON lines, arrays, batches, any objects.
//!
//! `pub` and `convert` read through here, on the thread of [`feed`](crate::feed). Whatever is no event is handed
//! on with its place and the reason; only a failing reader ends the reading. Nothing larger than
//! one event is ever held.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead};
use std::rc::Rc;
use std::sync::Arc;

use ringpost::event::Event;
use ringpost::event::json::{self, BatchError, Elements, Limits};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// What objects that are no CloudEvents become the data of.
#[derive(Clone, Debug)]
pub(crate) struct AsData {
    pub(crate) kind: String,
    pub(crate) source: String,
}

/// Makes an event of one JSON object's text.
pub(crate) trait Decode: Send + 'static {
    type Event: Send + 'static;

    /// The event, or why the text is none.
    fn decode(&mut self, text: &[u8]) -> Result<Self::Event, String>;
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Item<E> {
    Event(E, Place),
    Rejected(Rejection),
}

/// Where something was read.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    file: Arc<str>,
    line: u64,
}

impl Place {
    /// What is here is no event that can be published.
    pub(crate) fn reject(self, reason: String) -> Rejection {
        Rejection { place: self, reason }
    }
}

/// Something that is no event.
#[derive(Debug)]
pub(crate) struct Rejection {
    place: Place,
    reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place.file, self.place.line, self.reason)
    }
}

/// One file or stream being read.
#[derive(Debug)]
pub(crate) struct Input<'a, D, F> {
    pub(crate) name: Arc<str>,
    pub(crate) decoder: &'a mut D,
    /// Takes what was read.
    pub(crate) emit: F,
}

impl<D: Decode, F: FnMut(Item<D::Event>)> Input<'_, D, F> {
    /// Reads it to its end: as one array if it begins with `[`, else line by line.
    pub(crate) fn read(&mut self, mut reader: impl BufRead) -> io::Result<()> {
        if fill(&mut reader)?.first() == Some(&b'[') {
            let lines = Rc::new(Cell::new(1));
            let counted = Counted { reader, lines: Rc::clone(&lines) };
            return self.elements(counted, |element| lines.get() - newlines(element));
        }
        let mut number = 0;
        let mut text = Vec::new();
        while !fill(&mut reader)?.is_empty() {
            number += 1;
            let mut line = OneLine::new(&mut reader);
            match first_byte(&mut line)? {
                None => {}
                Some(b'[') => {
                    self.elements(&mut line, |_| number)?;
                    line.skip_rest()?;
                }
                Some(_) => match line.read_whole(&mut text)? {
                    true => self.object(&text, number),
                    false => self.reject(number, too_large()),
                },
            }
        }
        Ok(())
    }

    /// Reads an array's elements; `line` says where an element that was just read begins.
    fn elements(&mut self, reader: impl BufRead, line: impl Fn(&[u8]) -> u64) -> io::Result<()> {
        let mut elements = Elements::new(reader, Limits::default());
        loop {
            match elements.next_element() {
                Ok(Some(element)) => {
                    let number = line(element);
                    self.object(element, number);
                }
                Ok(None) => return Ok(()),
                Err(BatchError::Io(error)) => return Err(error),
                Err(error @ BatchError::TooLarge { .. }) => {
                    self.reject(line(&[]), error.to_string());
                }
                Err(error) => {
                    self.reject(line(&[]), format!("{error}; the array goes no further"));
                    return Ok(());
                }
            }
        }
    }

    fn object(&mut self, text: &[u8], line: u64) {
        match self.decoder.decode(text) {
            Ok(event) => {
                let place = self.place(line);
                (self.emit)(Item::Event(event, place));
            }
            Err(reason) => self.reject(line, reason),
        }
    }

    fn reject(&mut self, line: u64, reason: String) {
        let rejection = self.place(line).reject(reason);
        (self.emit)(Item::Rejected(rejection));
    }

    fn place(&self, line: u64) -> Place {
        Place { file: Arc::clone(&self.name), line }
    }
}

impl Decode for Option<AsData> {
    type Event = Event;

    fn decode(&mut self, text: &[u8]) -> Result<Event, String> {
        match (json::decode(text, &Limits::default()), self) {
            (Ok(event), _) => Ok(event),
            (Err(error), _) if !is_plain_object(text) => Err(error.to_string()),
            (Err(_), None) => {
                Err("an object without specversion is no CloudEvent; --type would publish it as \
                     an event's data"
                    .into())
            }
            (Err(_), Some(AsData { kind, source })) => {
                let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
                // Nobody knows when it happened; the bus notes when it was recorded.
                let event = Event::builder(kind).source(source).without_time().raw_json(text);
                event.build().map_err(|error| error.to_string())
            }
        }
    }
}

fn too_large() -> String {
    format!("larger than the {} bytes allowed", Limits::default().max_bytes)
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    // Asked twice because a borrow that is returned cannot live in a loop that retries.
    while let Err(error) = reader.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    reader.fill_buf()
}

/// The next byte that is no blank; the blanks are gone then.
fn first_byte(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match fill(reader)?.first() {
            Some(b' ' | b'\t' | b'\r') => reader.consume(1),
            next => return Ok(next.copied()),
        }
    }
}

/// A reader that ends where a line does; its newline is taken, too.
pub(crate) struct OneLine<'r, R> {
    reader: &'r mut R,
    ended: bool,
    by_newline: bool,
}

impl<'r, R: BufRead> OneLine<'r, R> {
    pub(crate) fn new(reader: &'r mut R) -> Self {
        Self { reader, ended: false, by_newline: false }
    }

    /// Reads what is left of the line into `text`; false if that is larger than an event may be.
    pub(crate) fn read_whole(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        text.clear();
        let mut fits = true;
        loop {
            let bytes = fill(self)?;
            if bytes.is_empty() {
                return Ok(fits);
            }
            let length = bytes.len();
            fits &= text.len() + length <= Limits::default().max_bytes + Limits::RECORD_SLACK;
            if fits {
                text.extend_from_slice(bytes);
            }
            self.consume(length);
        }
    }

    /// Whether the line ended because the reader did, not at a newline.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ended && !self.by_newline
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            match fill(self)?.len() {
                0 => return Ok(()),
                length => self.consume(length),
            }
        }
    }
}

impl<R: BufRead> io::Read for OneLine<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(into.len());
        into[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for OneLine<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ended {
            return Ok(&[]);
        }
        let end = match self.reader.fill_buf()? {
            [] => Some(0),
            [b'\n', ..] => {
                self.reader.consume(1);
                self.by_newline = true;
                Some(0)
            }
            bytes => bytes.iter().position(|&byte| byte == b'\n'),
        };
        if end == Some(0) {
            self.ended = true;
            return Ok(&[]);
        }
        let bytes = self.reader.fill_buf()?;
        Ok(&bytes[..end.unwrap_or(bytes.len())])
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}

/// A reader that counts the lines it has been through.
struct Counted<R> {
    reader: R,
    lines: Rc<Cell<u64>>,
}

impl<R: BufRead> io::Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(into)?;
        self.lines.set(self.lines.get() + newlines(&into[..length]));
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // What is consumed was filled before, so that this reads nothing and cannot fail.
        let bytes = self.reader.fill_buf().unwrap_or_default();
        let passed = newlines(bytes.get(..amount).unwrap_or_default());
        self.lines.set(self.lines.get() + passed);
        self.reader.consume(amount);
    }
}

/// Whether it is a JSON object without `specversion`.
fn is_plain_object(text: &[u8]) -> bool {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
            let mut plain = true;
            while let Some(name) = members.next_key::<Cow<'de, str>>()? {
                plain &= name != "specversion";
                members.next_value::<IgnoredAny>()?;
            }
            Ok(plain)
        }
    }

    let mut reader = serde_json::Deserializer::from_slice(text);
    let plain = reader.deserialize_map(Members);
    plain.is_ok_and(|plain| plain && reader.end().is_ok())
}

#[cfg(test)]
mod tests;
