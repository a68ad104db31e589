//! A sealed segment that was compressed, read as if it were not.
//!
//! It is one zstd frame of the very bytes that the segment had, so offsets, lines and checksums
//! are those of before. Reading onward costs one pass; a step back within what was unpacked last
//! costs nothing, and any other begins at the front again.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufReader, Read};

use zstd::stream::read::Decoder;

use super::storage::StoredFile;

/// How much of what was unpacked is kept at least.
const KEPT: usize = 4 * 1024 * 1024;
const STEP: usize = 128 * 1024;
/// No frame's header is longer.
const HEADER: usize = 18;

/// Opens the compressed contents of `file`.
pub(super) fn open(file: Box<dyn StoredFile>) -> io::Result<Box<dyn StoredFile>> {
    let mut header = [0; HEADER];
    let mut input = Input { file, at: 0 };
    let read = input.fill(&mut header)?;
    let size = zstd::zstd_safe::get_frame_content_size(&header[..read])
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no zstd frame"))?;
    let unpacked = Unpacked::begin(input)?;
    let file = PackedFile(RefCell::new(Contents { unpacked: Some(unpacked), length: size }));
    // A frame that was written as a stream does not say its size.
    if size.is_none() {
        file.0.borrow_mut().measure()?;
    }
    Ok(Box::new(file))
}

struct PackedFile(RefCell<Contents>);

struct Contents {
    /// None after a failure to begin again.
    unpacked: Option<Unpacked>,
    length: Option<u64>,
}

/// Some bytes of the contents, and the decoder that stands behind them.
struct Unpacked {
    decoder: Decoder<'static, BufReader<Input>>,
    held: Vec<u8>,
    /// The offset of `held`.
    offset: u64,
}

/// The compressed bytes, from front to back.
struct Input {
    file: Box<dyn StoredFile>,
    at: u64,
}

impl Input {
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.read(&mut into[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Unpacked {
    fn begin(input: Input) -> io::Result<Self> {
        let decoder = Decoder::new(Input { at: 0, ..input })?;
        Ok(Self { decoder, held: Vec::new(), offset: 0 })
    }

    fn end(&self) -> u64 {
        self.offset + self.held.len() as u64
    }

    /// Unpacks some more; false at the end.
    fn step(&mut self) -> io::Result<bool> {
        if self.held.len() >= 2 * KEPT {
            let dropped = self.held.len() - KEPT;
            self.held.drain(..dropped);
            self.offset += dropped as u64;
        }
        let held = self.held.len();
        self.held.resize(held + STEP, 0);
        let read = self.decoder.read(&mut self.held[held..]);
        self.held.truncate(held + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }
}

impl Contents {
    fn begin_again(&mut self) -> io::Result<&mut Unpacked> {
        let before = self.unpacked.take();
        let before = before.ok_or_else(|| io::Error::other("unpacking failed before"))?;
        let input = before.decoder.finish().into_inner();
        Ok(self.unpacked.insert(Unpacked::begin(input)?))
    }

    fn measure(&mut self) -> io::Result<()> {
        if let Some(unpacked) = &mut self.unpacked {
            while unpacked.step()? {}
            self.length = Some(unpacked.end());
        }
        Ok(())
    }

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let unpacked = match &mut self.unpacked {
            Some(unpacked) if unpacked.offset <= offset => unpacked,
            _ => self.begin_again()?,
        };
        while unpacked.end() <= offset {
            if !unpacked.step()? {
                return Ok(0);
            }
        }
        let start = usize::try_from(offset - unpacked.offset).unwrap_or(usize::MAX);
        let there = unpacked.held.get(start..).unwrap_or_default();
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }
}

impl StoredFile for PackedFile {
    fn append(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(sealed())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.borrow_mut().read_at(into, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.borrow().length.ok_or_else(sealed)
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(sealed())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(sealed())
    }
}

fn sealed() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a compressed segment is sealed")
}

impl fmt::Debug for PackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedFile").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::storage::Disk;
    use std::io::Write as _;

    fn file(bytes: &[u8]) -> io::Result<Box<dyn StoredFile>> {
        let mut kept = tempfile::NamedTempFile::new()?;
        kept.write_all(bytes)?;
        open(Disk::open_named(kept.path())?)
    }

    #[test]
    fn any_part_can_be_read_in_any_order() {
        let text: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let length = text.len() as u64;
        let mut streamed = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        streamed.write_all(&text).unwrap();
        for packed in [zstd::bulk::compress(&text, 1).unwrap(), streamed.finish().unwrap()] {
            let file = file(&packed).unwrap();
            assert_eq!(file.length().unwrap(), length);
            for offset in
                [length - 100, 0, length / 2, 17, length / 2, length, length + 5, length - 5]
            {
                let mut into = [0; 64];
                let read = file.read_at(&mut into, offset).unwrap();
                let from = usize::try_from(offset).unwrap().min(text.len());
                assert_eq!(into[..read], text[from..from + read], "{offset}");
                assert_eq!(read > 0, offset < length, "{offset}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_or_half_of_one_is_an_error() {
        assert_eq!(file(b"{\"a\":1}\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
        let packed = zstd::bulk::compress(&vec![7; 1 << 20], 1).unwrap();
        let half = file(&packed[..packed.len() / 2]).unwrap();
        let mut into = [0; 64];
        let read =
            (0..1 << 20).step_by(64).try_for_each(|at| half.read_at(&mut into, at).map(drop));
        assert!(read.is_err());
    }
}
