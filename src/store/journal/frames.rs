//! Where the frames of a compressed segment are: the table at its end.
//!
//! A segment is compressed in independent frames of about [`FRAME`] bytes of whole lines, so that
//! whoever reads it backwards, or looks for a place, unpacks what is needed and no more. The table
//! is that of zstd's own seekable format (`contrib/seekable_format` of its sources): a frame that
//! every decoder skips, so `zstd -d` gives the plain segment back. It is checked against the
//! file's length and never trusted beyond: a file without a sound table is read as a stream.
#![forbid(unsafe_code)]

use std::io;

use super::storage::StoredFile;

/// About so many bytes of lines make a frame: what unpacks in a millisecond. Of 64 MiB of real
/// events at level 3 they leave 9.3 %; frames of 64 KiB leave 15.8 %, of 256 KiB 11.6 %, of 4 MiB
/// 8.4 %, and a single one 8.1 %.
pub(super) const FRAME: usize = 1024 * 1024;
/// No frame of ours is larger: [`FRAME`], and one line of the longest.
const LARGEST: u32 = 16 * 1024 * 1024;

const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
const HEADER: usize = 8;
const ENTRY: usize = 8;
const FOOTER: usize = 9;
/// Of a segment of 64 MiB there are 64: a table of more is not read as one.
const MOST_FRAMES: u32 = 1 << 20;

/// One frame: where its packed bytes are, and which bytes of the segment they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) packed_from: u64,
    pub(super) packed: u32,
    pub(super) from: u64,
    pub(super) length: u32,
}

/// All frames of a segment, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frames {
    all: Vec<Frame>,
    packed: u64,
    length: u64,
}

impl Frames {
    /// The segment's length.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds the next frame; false where the format has no numbers for it.
    pub(super) fn add(&mut self, packed: usize, length: usize) -> bool {
        let (Ok(packed), Ok(length)) = (u32::try_from(packed), u32::try_from(length)) else {
            return false;
        };
        // What does not compress grows by less than this.
        let is_too_large = length > LARGEST || packed > LARGEST + LARGEST / 8;
        if is_too_large || self.all.len() >= MOST_FRAMES as usize {
            return false;
        }
        self.all.push(Frame { packed_from: self.packed, packed, from: self.length, length });
        self.packed += u64::from(packed);
        self.length += u64::from(length);
        true
    }

    /// The frame that holds the byte at `offset`; none behind the end.
    pub(super) fn at(&self, offset: u64) -> Option<Frame> {
        let behind = self.all.partition_point(|frame| frame.from <= offset);
        let frame = *self.all.get(behind.checked_sub(1)?)?;
        (offset < frame.from + u64::from(frame.length)).then_some(frame)
    }

    /// The table, to stand behind the last frame.
    pub(super) fn table(&self) -> Vec<u8> {
        let size = self.all.len() * ENTRY + FOOTER;
        let mut table = Vec::with_capacity(HEADER + size);
        table.extend_from_slice(&SKIPPABLE.to_le_bytes());
        table.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        for frame in &self.all {
            table.extend_from_slice(&frame.packed.to_le_bytes());
            table.extend_from_slice(&frame.length.to_le_bytes());
        }
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        table.extend_from_slice(&count.to_le_bytes());
        // No checksums of frames here: each frame ends in one of its own.
        table.push(0);
        table.extend_from_slice(&SEEKABLE.to_le_bytes());
        table
    }

    /// Reads the table at the end of `file`; none where there is no sound one.
    pub(super) fn read(file: &dyn StoredFile) -> io::Result<Option<Self>> {
        let end = file.length()?;
        let Some(footer_at) = end.checked_sub(FOOTER as u64) else { return Ok(None) };
        let mut footer = [0; FOOTER];
        if !fill(file, &mut footer, footer_at)? || number(&footer[5..]) != SEEKABLE {
            return Ok(None);
        }
        let count = number(&footer);
        // Only a table without checksums is ours.
        if footer[4] != 0 || count > MOST_FRAMES {
            return Ok(None);
        }
        let size = count as usize * ENTRY + FOOTER;
        let Some(table_at) = end.checked_sub((HEADER + size) as u64) else { return Ok(None) };
        let mut table = vec![0; HEADER + size - FOOTER];
        let is_table = fill(file, &mut table, table_at)?
            && number(&table) == SKIPPABLE
            && number(&table[4..]) as usize == size;
        if !is_table {
            return Ok(None);
        }
        let mut frames = Self::default();
        for entry in table[HEADER..].chunks_exact(ENTRY) {
            if !frames.add(number(entry) as usize, number(&entry[4..]) as usize) {
                return Ok(None);
            }
        }
        Ok((frames.packed == table_at).then_some(frames))
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
}

/// Reads until `into` is full; false where the file ends before.
pub(super) fn fill(file: &dyn StoredFile, into: &mut [u8], from: u64) -> io::Result<bool> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], from + read as u64) {
            Ok(0) => return Ok(false),
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
