//! A range of a file as blocks of whole lines, through one buffer.
//!
//! Scans look for a text in many lines at once; the buffer is small enough to stay in the
//! processor's cache between being read and being looked at.
#![forbid(unsafe_code)]

use std::io;

use crate::store::journal::lines::{LONGEST, Unreadable, damage_at};
use crate::store::journal::storage::StoredFile;

const BUFFER: usize = 256 * 1024;
/// How much is read at a time behind the range's end, to complete its last line.
const BEHIND: usize = 16 * 1024;

/// Whole lines of a file, in order.
#[derive(Debug)]
pub(super) struct Blocks {
    file: Box<dyn StoredFile>,
    buffer: Vec<u8>,
    /// How many bytes of the buffer are filled.
    held: usize,
    /// How many of these were given out.
    given: usize,
    /// The file's offset of the buffer.
    offset: u64,
    /// Lines that begin here or later belong to somebody else.
    to: u64,
    /// The line at the beginning belongs to somebody else.
    skips: bool,
    at_end: bool,
}

/// Some lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'b> {
    /// Where the first begins.
    pub(super) offset: u64,
    /// The lines, each with its newline; the last line of a file may have none.
    pub(super) text: &'b [u8],
    /// The length of one line whose bytes are not at hand, instead of lines, and why they are not.
    pub(super) unreadable: Option<(u64, Unreadable)>,
}

impl Blocks {
    /// The lines that begin in `from..to`.
    pub(super) fn new(file: Box<dyn StoredFile>, from: u64, to: u64) -> Self {
        // The byte before tells whether a line begins here.
        let offset = from.saturating_sub(1);
        Self {
            file,
            buffer: Vec::new(),
            held: 0,
            given: 0,
            offset,
            to,
            skips: from > 0,
            at_end: from >= to,
        }
    }

    /// How far the file was read.
    pub(super) fn reached(&self) -> u64 {
        self.offset + self.held as u64
    }

    /// The next lines.
    pub(super) fn next(&mut self) -> io::Result<Option<Block<'_>>> {
        let mut searched = 0;
        let mut dropped = 0_u64;
        self.discard();
        loop {
            let text = &self.buffer[..self.held];
            if self.skips || dropped > 0 {
                if let Some(newline) = memchr::memchr(b'\n', &text[searched..]) {
                    let end = searched + newline;
                    self.given = end + 1;
                    if !std::mem::take(&mut self.skips) {
                        let offset = self.offset - dropped;
                        let unreadable = Some((dropped + end as u64, Unreadable::TooLong));
                        return Ok(Some(Block { offset, text: &[], unreadable }));
                    }
                    self.discard();
                    searched = 0;
                    continue;
                }
            } else if self.offset >= self.to {
                return Ok(None);
            } else if let Some(newline) = memchr::memrchr(b'\n', &text[searched..]) {
                let end = self.own(searched + newline + 1);
                return Ok(Some(self.give(end)));
            }
            searched = self.held;
            if self.at_end {
                if dropped > 0 {
                    let unreadable = Some((dropped + self.held as u64, Unreadable::TooLong));
                    let offset = self.offset - dropped;
                    self.given = self.held;
                    return Ok(Some(Block { offset, text: &[], unreadable }));
                }
                // A last line without its newline.
                return Ok((self.held > 0 && !self.skips).then(|| self.give(self.held)));
            }
            if self.held > LONGEST || (self.skips && self.held > 0) {
                if !self.skips {
                    dropped += self.held as u64;
                }
                self.given = self.held;
                self.discard();
                searched = 0;
            }
            if let Err(error) = self.fill() {
                let at = self.offset + self.held as u64;
                let Some(damage) = damage_at(&*self.file, at, &error) else { return Err(error) };
                let offset = self.offset - dropped;
                // A line begins behind it. It is told, with the piece of a line before it, where that
                // begins: not here if the beginning is still being looked for.
                let is_own = !std::mem::take(&mut self.skips);
                (self.held, self.given, self.offset) = (0, 0, damage.end);
                (searched, dropped) = (0, 0);
                if is_own {
                    let unreadable = Some((damage.end - offset - 1, Unreadable::Damaged));
                    return Ok(Some(Block { offset, text: &[], unreadable }));
                }
            }
        }
    }

    /// Of the whole lines up to `end`, how far those reach that begin before `to`.
    fn own(&self, end: usize) -> usize {
        let last = match usize::try_from(self.to - self.offset) {
            Ok(last) if last < end => last,
            _ => return end,
        };
        // The line around the last own byte is the last own line.
        let newline = memchr::memchr(b'\n', &self.buffer[last - 1..end]);
        newline.map_or(end, |newline| last + newline)
    }

    fn give(&mut self, end: usize) -> Block<'_> {
        self.given = end;
        Block { offset: self.offset, text: &self.buffer[..end], unreadable: None }
    }

    fn discard(&mut self) {
        let given = std::mem::take(&mut self.given);
        self.buffer.copy_within(given..self.held, 0);
        self.held -= given;
        self.offset += given as u64;
    }

    fn fill(&mut self) -> io::Result<()> {
        let at = self.offset + self.held as u64;
        let own = usize::try_from(self.to.saturating_sub(at)).unwrap_or(BUFFER);
        let wanted = own.clamp(BEHIND, BUFFER);
        if self.buffer.len() < self.held + wanted {
            self.buffer.resize(self.held + wanted.max(self.held), 0);
        }
        loop {
            match self.file.read_at(&mut self.buffer[self.held..self.held + wanted], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let read = read?;
                    self.held += read;
                    self.at_end = read == 0;
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::storage::Disk;
    use proptest::prelude::*;
    use std::io::Write as _;

    type Found = Vec<(u64, Vec<u8>)>;

    fn lines(path: &std::path::Path, from: u64, to: u64) -> Found {
        let mut blocks = Blocks::new(Disk::open_named(path).unwrap(), from, to);
        let mut found = Vec::new();
        while let Some(block) = blocks.next().unwrap() {
            if let Some((length, _)) = block.unreadable {
                found.push((block.offset, length.to_string().into_bytes()));
                continue;
            }
            let mut offset = block.offset;
            for line in block.text.split_inclusive(|byte| *byte == b'\n') {
                found.push((offset, line.to_vec()));
                offset += line.len() as u64;
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn every_line_is_in_one_of_the_ranges_however_a_file_is_cut(
            lengths in prop::collection::vec(prop_oneof![0_usize..40, 0_usize..40_000], 0..20),
            cuts in prop::collection::vec(0_u64..300_000, 0..6), ends in any::<bool>(),
        ) {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let mut text = Vec::new();
            for (number, length) in lengths.iter().enumerate() {
                text.extend(std::iter::repeat_n(b'a' + (number % 26) as u8, *length));
                text.push(b'\n');
            }
            if !ends {
                text.extend_from_slice(b"rest");
            }
            file.write_all(&text).unwrap();
            let length = text.len() as u64;
            let whole = lines(file.path(), 0, length);
            let joined: Vec<u8> = whole.iter().flat_map(|(_, line)| line.clone()).collect();
            prop_assert_eq!(joined, text);

            let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| cut.min(length)).collect();
            cuts.extend([0, length]);
            cuts.sort_unstable();
            let parts: Found = cuts.windows(2).flat_map(|pair| lines(file.path(), pair[0], pair[1])).collect();
            prop_assert_eq!(parts, whole);
        }
    }

    #[test]
    fn an_over_long_line_is_told_by_its_length() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let long = LONGEST + 3 * BUFFER + 7;
        file.write_all(&[b"a\n", &vec![b'x'; long][..], b"\nb\n", &vec![b'y'; long][..]].concat())
            .unwrap();
        let length = file.as_file().metadata().unwrap().len();
        let told = long.to_string().into_bytes();
        let after = 3 + long as u64;
        let whole = vec![
            (0, b"a\n".to_vec()),
            (2, told.clone()),
            (after, b"b\n".to_vec()),
            (after + 2, told),
        ];
        assert_eq!(lines(file.path(), 0, length), whole);
        let half = LONGEST as u64;
        assert_eq!(lines(file.path(), 0, half), whole[..2]);
        assert_eq!(lines(file.path(), half, length), whole[2..]);
    }
}
