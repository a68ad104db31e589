//! A file's lines, forward or backward, by blocks.
//!
//! [`Forward`] serves scans and followers, [`Backward`] recovery and `tail`: its cost depends on
//! what is asked for, not on the file's size. Neither judges a line, and neither holds more than
//! [`LONGEST`] bytes, whatever the file contains.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::storage::StoredFile;
use crate::event::json::Home;

/// A longer line is no event: the largest event, in base64 and escaped, stays below.
pub(super) const LONGEST: usize = 8 * 1024 * 1024;

const BLOCK: usize = 64 * 1024;
/// Where every step back costs a pass from the beginning, there are few: of blocks of this size, and
/// of no more than [`STEPS`] blocks unless they would be larger than [`LARGEST_OF_STREAM`].
const BLOCK_OF_STREAM: usize = 4 * 1024 * 1024;
const LARGEST_OF_STREAM: u64 = 64 * 1024 * 1024;
const STEPS: u64 = 16;

/// Lines that events share lie together in a text of at most this length, or of one line. So much
/// may stay for the sake of one event that is kept; making a text takes as long as making four.
const SHARED: usize = 4096;

/// One line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Where it begins.
    pub(super) offset: u64,
    /// How long it is, without its newline.
    pub(super) length: u64,
    /// Its bytes, without the newline.
    pub(super) bytes: Result<&'a [u8], Unreadable>,
    /// Whether its newline is there.
    pub(super) ended: bool,
}

/// Why a line's bytes are not at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// There are more than [`LONGEST`].
    TooLong,
    /// What is stored of them is damaged: all that cannot be read in one stretch counts as one
    /// line, and so do the pieces of lines at its ends.
    Damaged,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {LONGEST} bytes"),
            Self::Damaged => f.write_str("a compressed part is damaged and cannot be unpacked"),
        }
    }
}

/// Where in a [`Forward`] the line last found is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    offset: u64,
    dropped: u64,
    /// Why the dropped bytes were.
    why: Unreadable,
    begin: usize,
    end: usize,
}

/// Reads lines from an offset on. At the end it can be asked again later.
#[derive(Debug)]
pub(super) struct Forward {
    file: Box<dyn StoredFile>,
    /// Bytes read; `[begin..]` of them not given out yet.
    buffer: Vec<u8>,
    begin: usize,
    /// No newline in `[begin..searched]`.
    searched: usize,
    /// The file's offset of `buffer[begin]`.
    offset: u64,
    /// Bytes of an over-long line that were read and dropped; they end at `offset`.
    dropped: u64,
    longest: usize,
    shared: Option<Shared>,
}

/// Some of the buffer's lines, as a text for events to share.
#[derive(Debug)]
struct Shared {
    text: Arc<str>,
    /// Where in the buffer they begin and end.
    begin: usize,
    end: usize,
}

impl Forward {
    pub(super) fn new(file: Box<dyn StoredFile>, offset: u64) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            begin: 0,
            searched: 0,
            offset,
            dropped: 0,
            longest: LONGEST,
            shared: None,
        }
    }

    /// Finds the next whole line; `None` when there is none up to the file's present end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let end = self.searched + at;
                let begin = self.begin;
                let dropped = std::mem::take(&mut self.dropped);
                let (offset, why) = (self.offset - dropped, Unreadable::TooLong);
                let found = Found { offset, dropped, why, begin, end };
                self.offset += (end + 1 - begin) as u64;
                self.begin = end + 1;
                self.searched = end + 1;
                return Ok(Some(found));
            }
            self.searched = self.buffer.len();
            if self.searched - self.begin > self.longest {
                let held = (self.searched - self.begin) as u64;
                self.dropped += held;
                self.offset += held;
                self.begin = self.searched;
            }
            match self.fill() {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) => {
                    let at = self.offset + (self.buffer.len() - self.begin) as u64;
                    let Some(damage) = damage_at(&*self.file, at, &error) else {
                        return Err(error);
                    };
                    return Ok(Some(self.pass(damage.end)));
                }
            }
        }
    }

    /// Passes over damage up to `end`, with the piece of a line before it.
    fn pass(&mut self, end: u64) -> Found {
        let offset = self.offset - self.dropped;
        self.read_again_from(end);
        // As long as a line that ends where the next one begins.
        let dropped = end - offset - 1;
        Found { offset, dropped, why: Unreadable::Damaged, begin: 0, end: 0 }
    }

    /// The line last found.
    pub(super) fn line(&self, found: Found) -> Line<'_> {
        let Found { offset, dropped, why, begin, end } = found;
        Line {
            offset,
            length: dropped + (end - begin) as u64,
            bytes: match (dropped, why) {
                (0, Unreadable::TooLong) => Ok(&self.buffer[begin..end]),
                _ => Err(why),
            },
            ended: true,
        }
    }

    /// The line last found as a piece of a text that its event may share, and its length; none if
    /// it is too long, or it or a neighbour is no text.
    pub(super) fn home(&mut self, found: Found) -> Option<(Home<'_>, usize)> {
        let Found { dropped, why, begin, end, .. } = found;
        if dropped > 0 || why == Unreadable::Damaged {
            return None;
        }
        if self.shared.as_ref().is_none_or(|shared| begin < shared.begin || shared.end < end) {
            let most = self.buffer.len().min(begin + SHARED);
            let lines = self.buffer.get(begin..most).unwrap_or_default();
            let last = memchr::memrchr(b'\n', lines).map_or(end, |last| begin + last);
            let last = last.max(end);
            let text = str::from_utf8(&self.buffer[begin..last]).ok()?;
            self.shared = Some(Shared { text: Arc::from(text), begin, end: last });
        }
        let shared = self.shared.as_ref()?;
        Some(((&shared.text, begin - shared.begin), end - begin))
    }

    /// What follows the last whole line, once [`next`](Self::next) gave `None`.
    pub(super) fn unfinished(&self) -> Option<Line<'_>> {
        let held = &self.buffer[self.begin..];
        let length = self.dropped + held.len() as u64;
        (length > 0).then(|| Line {
            offset: self.offset - self.dropped,
            length,
            bytes: if self.dropped == 0 { Ok(held) } else { Err(Unreadable::TooLong) },
            ended: false,
        })
    }

    /// Goes back to the beginning of a line, or forgets the one that is unfinished: its writer
    /// may cut it off and write something else in its place.
    pub(super) fn read_again_from(&mut self, offset: u64) {
        self.shared = None;
        self.buffer.clear();
        self.begin = 0;
        self.searched = 0;
        self.dropped = 0;
        self.offset = offset;
    }

    /// What the system knows the file by.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.file.identity()
    }

    /// The file's length now.
    pub(super) fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.shared = None;
        self.buffer.drain(..self.begin);
        self.searched -= self.begin;
        self.begin = 0;
        let held = self.buffer.len();
        let at = self.offset + held as u64;
        self.buffer.resize(held + BLOCK.max(held), 0);
        let read = retry(|| self.file.read_at(&mut self.buffer[held..], at));
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        read
    }
}

/// Reads a file's lines from the last to the first.
#[derive(Debug)]
pub(super) struct Backward<'f> {
    file: &'f dyn StoredFile,
    /// The file's offset of `buffer[0]`; everything before it is still to be read.
    offset: u64,
    /// Bytes not given out yet.
    buffer: Vec<u8>,
    /// Given out already, kept so that a line can be lent.
    lent: usize,
    longest: usize,
    block: usize,
    /// Damage that ends where the buffer begins, until it is given out.
    damage: Option<Range<u64>>,
    /// Damage was given out last: what ends there without a newline goes on in it.
    behind: bool,
}

impl<'f> Backward<'f> {
    /// The lines before `end`.
    pub(super) fn new(file: &'f dyn StoredFile, end: u64) -> Self {
        let step = (end / STEPS).min(LARGEST_OF_STREAM) as usize;
        let block = if file.is_stream() { BLOCK_OF_STREAM.max(step) } else { BLOCK };
        Self {
            file,
            offset: end,
            buffer: Vec::new(),
            lent: 0,
            longest: LONGEST,
            block,
            damage: None,
            behind: false,
        }
    }

    /// The line before the last one given; first of all the unfinished one, if there is one.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.truncate(self.buffer.len() - self.lent);
        self.lent = 0;
        if self.buffer.is_empty() && !self.read_before()? {
            return Ok(self.passed());
        }
        let ended = self.buffer.last() == Some(&b'\n');
        // Bytes behind the buffer that were read and dropped, because the line is too long.
        let mut dropped = 0_u64;
        let mut search_to = self.buffer.len() - usize::from(ended);
        let begin = loop {
            if let Some(at) = memchr::memrchr(b'\n', &self.buffer[..search_to]) {
                break at + 1;
            }
            if self.buffer.len() > self.longest {
                dropped += self.buffer.len() as u64;
                self.buffer.clear();
            }
            let held = self.buffer.len();
            if !self.read_before()? {
                break 0;
            }
            search_to = self.buffer.len() - held;
        };
        self.lent = self.buffer.len() - begin;
        let newline = usize::from(ended);
        let length = dropped + self.lent as u64 - newline as u64;
        let offset = self.offset + begin as u64;
        if std::mem::take(&mut self.behind) && !ended {
            // Its end is lost with what follows it.
            let bytes = Err(Unreadable::Damaged);
            return Ok(Some(Line { offset, length: length - 1, bytes, ended: true }));
        }
        let bytes = match dropped {
            0 => Ok(&self.buffer[begin..self.buffer.len() - newline]),
            _ => Err(Unreadable::TooLong),
        };
        Ok(Some(Line { offset, length, bytes, ended }))
    }

    /// The damage that comes next, as one line.
    fn passed(&mut self) -> Option<Line<'_>> {
        let Range { start, end } = self.damage.take()?;
        self.offset = start;
        self.behind = true;
        let bytes = Err(Unreadable::Damaged);
        Some(Line { offset: start, length: end - start - 1, bytes, ended: true })
    }

    /// Puts the block before the buffer in front of it; false at the file's beginning, and where
    /// damage lies before it.
    fn read_before(&mut self) -> io::Result<bool> {
        if self.offset == 0 || self.damage.is_some() {
            return Ok(false);
        }
        let wanted = (self.block.max(self.buffer.len()) as u64).min(self.offset);
        let mut from = self.offset - wanted;
        #[expect(clippy::cast_possible_truncation, reason = "at most a few blocks")]
        let mut block = vec![0; wanted as usize];
        let mut read = 0;
        while read < block.len() {
            let at = from + read as u64;
            match retry(|| self.file.read_at(&mut block[read..], at)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => read += more,
                Err(error) => {
                    let Some(damage) = damage_at(self.file, at, &error) else { return Err(error) };
                    if damage.end >= self.offset {
                        self.damage = Some(damage.start..self.offset);
                        // What lies before it is read when it was given out.
                        return Ok(false);
                    }
                    // Only what lies behind it.
                    block.drain(..usize::try_from(damage.end - from).unwrap_or(usize::MAX));
                    (from, read) = (damage.end, 0);
                }
            }
        }
        block.append(&mut self.buffer);
        self.buffer = block;
        self.offset = from;
        Ok(true)
    }
}

/// The stretch that cannot be read because it is damaged, if it is that which failed at `at`.
pub(super) fn damage_at(file: &dyn StoredFile, at: u64, error: &io::Error) -> Option<Range<u64>> {
    let is_damage = error.kind() == io::ErrorKind::InvalidData;
    is_damage.then(|| file.damage_at(at)).flatten().filter(|damage| damage.contains(&at))
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Debug, Default)]
    struct Bytes(Arc<Mutex<Vec<u8>>>);

    impl StoredFile for Bytes {
        fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
            let held = self.0.lock().expect("no panic");
            let rest = held.get(usize::try_from(offset).expect("small")..).unwrap_or(&[]);
            // Reads are short on purpose: nobody may rely on full ones.
            let count = rest.len().min(into.len()).min(7919);
            into[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
        fn length(&self) -> io::Result<u64> {
            Ok(self.0.lock().expect("no panic").len() as u64)
        }
        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.0.lock().expect("no panic").truncate(usize::try_from(length).expect("small"));
            Ok(())
        }
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Lines = Vec<(u64, u64, Option<Vec<u8>>, bool)>;

    fn found(line: Line<'_>) -> (u64, u64, Option<Vec<u8>>, bool) {
        (line.offset, line.length, line.bytes.ok().map(<[u8]>::to_vec), line.ended)
    }

    fn forward(bytes: &Bytes, longest: usize) -> Lines {
        let mut lines = Forward { longest, ..Forward::new(Box::new(bytes.clone()), 0) };
        let mut all = Vec::new();
        while let Some(next) = lines.next().expect("readable") {
            all.push(found(lines.line(next)));
        }
        all.extend(lines.unfinished().map(found));
        all
    }

    fn backward(bytes: &Bytes, longest: usize) -> Lines {
        let end = bytes.length().expect("known");
        let mut lines = Backward { longest, ..Backward::new(bytes, end) };
        let mut all = Vec::new();
        while let Some(line) = lines.next().expect("readable") {
            all.push(found(line));
        }
        all.reverse();
        all
    }

    #[test]
    fn both_directions_find_the_same_lines_whatever_their_lengths() {
        let lengths = [0, 1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 0, 17];
        for unfinished in [0, 9, 2 * BLOCK] {
            let bytes = Bytes::default();
            let mut expected = Vec::new();
            let mut text = Vec::new();
            for length in lengths {
                expected.push((text.len() as u64, length as u64, Some(vec![b'x'; length]), true));
                text.extend(std::iter::repeat_n(b'x', length));
                text.push(b'\n');
            }
            if unfinished > 0 {
                let rest = vec![b'y'; unfinished];
                expected.push((text.len() as u64, unfinished as u64, Some(rest.clone()), false));
                text.extend(rest);
            }
            bytes.clone().append(&text).expect("in memory");
            assert_eq!(forward(&bytes, LONGEST), expected);
            assert_eq!(backward(&bytes, LONGEST), expected);
        }
    }

    #[test]
    fn an_over_long_line_is_measured_but_not_held() {
        let bytes = Bytes::default();
        let long = 5 * BLOCK;
        let text = [&b"a\n"[..], &vec![b'x'; long], b"\nb\n", &vec![b'y'; long]].concat();
        bytes.clone().append(&text).expect("in memory");
        let long = long as u64;
        let expected = vec![
            (0, 1, Some(b"a".to_vec()), true),
            (2, long, None, true),
            (long + 3, 1, Some(b"b".to_vec()), true),
            (long + 5, long, None, false),
        ];
        assert_eq!(forward(&bytes, BLOCK), expected);
        assert_eq!(backward(&bytes, BLOCK), expected);
    }

    #[test]
    fn a_line_is_seen_only_when_its_newline_arrived() {
        let bytes = Bytes::default();
        let mut lines = Forward::new(Box::new(bytes.clone()), 0);
        assert!(lines.next().expect("readable").is_none());
        bytes.clone().append(b"on").expect("in memory");
        assert!(lines.next().expect("readable").is_none());
        bytes.clone().append(b"e\ntwo").expect("in memory");
        let one = lines.next().expect("readable").expect("it is whole now");
        assert_eq!(lines.line(one).bytes, Ok(&b"one"[..]));
        assert!(lines.next().expect("readable").is_none());
        let two = lines.unfinished().expect("something is there");
        assert_eq!((two.offset, two.bytes), (4, Ok(&b"two"[..])));
    }
}
