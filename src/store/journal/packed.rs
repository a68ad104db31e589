//! A sealed segment that was compressed, read as if it were not.
//!
//! Its frames hold the very bytes that the segment had, so offsets, lines and checksums are those
//! of before. With a [table](super::frames) of its frames any place costs the unpacking of one of
//! them; a file of somebody else's making, without one, is read as a stream from its beginning,
//! where only a step back within what was unpacked last is cheap. Damage costs the frame it is
//! in; without a table, all that follows it.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::Range;

use zstd::bulk::Decompressor;
use zstd::stream::read::Decoder;

use super::frames::{Frame, Frames, fill};
use super::storage::StoredFile;

/// How much of what was unpacked is kept at least.
const KEPT: usize = 4 * 1024 * 1024;
const STEP: usize = 128 * 1024;
/// No frame's header is longer.
const HEADER: usize = 18;

/// So much a file without a table may unpack to, or so many times its own size: what is larger was
/// made to cost time, and counts as damage.
const MOST: u64 = 64 * 1024 * 1024;
const MOST_TIMES: u64 = 100;

/// Opens the compressed contents of `file`. Of what is damaged the rest is readable; what cannot
/// be opened for its damage is opened as damage throughout, as long as it is.
pub(super) fn open_anyhow(file: Box<dyn StoredFile>) -> io::Result<Box<dyn StoredFile>> {
    let length = file.length()?;
    match open(file) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Ok(Box::new(DamagedFile { length, why: error.to_string() }))
        }
        opened => opened,
    }
}

/// Opens the compressed contents of `file`.
pub(super) fn open(file: Box<dyn StoredFile>) -> io::Result<Box<dyn StoredFile>> {
    if let Some(frames) = Frames::read(&*file)? {
        let decoder = Decompressor::new()?;
        let held = [Held::default(), Held::default()];
        return Ok(Box::new(FramedFile {
            file,
            frames,
            unpacked: RefCell::new(Unpacked { decoder, held }),
        }));
    }
    let most = file.length()?.saturating_mul(MOST_TIMES).max(MOST);
    let mut header = [0; HEADER];
    let mut input = Input { file, at: 0, failed: false };
    let read = input.fill(&mut header)?;
    let size = zstd::zstd_safe::get_frame_content_size(&header[..read])
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no zstd frame"))?;
    // The first frame's size is the whole one's only where nothing follows it.
    let size = size.filter(|_| !input.may_have_more_frames());
    let stream = Stream::begin(input)?;
    let mut contents = Contents { stream: Some(stream), length: size, broken_at: None };
    if size.is_none() {
        contents.measure(most)?;
    }
    if contents.length.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    Ok(Box::new(PackedFile(RefCell::new(contents))))
}

/// A file with a table of its frames.
struct FramedFile {
    file: Box<dyn StoredFile>,
    frames: Frames,
    unpacked: RefCell<Unpacked>,
}

struct Unpacked {
    decoder: Decompressor<'static>,
    /// The last two, because a line may lie in both.
    held: [Held; 2],
}

#[derive(Default)]
struct Held {
    from: u64,
    bytes: Vec<u8>,
}

impl Held {
    /// The bytes from `offset` on, if it holds that one.
    fn behind(&self, offset: u64) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.from)?).ok()?;
        self.bytes.get(at..).filter(|bytes| !bytes.is_empty())
    }
}

impl Unpacked {
    fn unpack(&mut self, file: &dyn StoredFile, frame: Frame) -> io::Result<()> {
        let bad = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut packed = vec![0; frame.packed as usize];
        if !fill(file, &mut packed, frame.packed_from)? {
            return Err(bad("it was cut off"));
        }
        self.held.swap(0, 1);
        let [held, _] = &mut self.held;
        held.bytes.clear();
        held.bytes.reserve_exact(frame.length as usize);
        held.from = frame.from;
        let unpacked = self.decoder.decompress_to_buffer(&packed, &mut held.bytes);
        if unpacked.ok() != Some(frame.length as usize) {
            held.bytes.clear();
            return Err(bad("a frame of it is damaged"));
        }
        Ok(())
    }
}

impl StoredFile for FramedFile {
    fn append(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(sealed())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut unpacked = self.unpacked.borrow_mut();
        if !unpacked.held.iter().any(|held| held.behind(offset).is_some()) {
            let Some(frame) = self.frames.at(offset) else { return Ok(0) };
            unpacked.unpack(&*self.file, frame)?;
        }
        let there = unpacked.held.iter().find_map(|held| held.behind(offset)).unwrap_or_default();
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.frames.length())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(sealed())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(sealed())
    }

    fn damage_at(&self, offset: u64) -> Option<Range<u64>> {
        let Frame { from, length, .. } = self.frames.at(offset)?;
        Some(from..from + u64::from(length))
    }
}

/// A file in which nothing can be read.
#[derive(Debug)]
struct DamagedFile {
    length: u64,
    why: String,
}

impl StoredFile for DamagedFile {
    fn append(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(sealed())
    }

    fn read_at(&self, _: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.length {
            return Ok(0);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, self.why.clone()))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(sealed())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(sealed())
    }

    fn damage_at(&self, _: u64) -> Option<Range<u64>> {
        Some(0..self.length)
    }
}

impl fmt::Debug for FramedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedFile").field("frames", &self.frames).finish_non_exhaustive()
    }
}

/// A file without one.
struct PackedFile(RefCell<Contents>);

struct Contents {
    /// None after a failure to begin again.
    stream: Option<Stream>,
    length: Option<u64>,
    /// From here on nothing can be unpacked, which was found out.
    broken_at: Option<u64>,
}

/// Some bytes of the contents, and the decoder that stands behind them.
struct Stream {
    decoder: Decoder<'static, BufReader<Input>>,
    held: Vec<u8>,
    /// The offset of `held`.
    offset: u64,
}

/// The compressed bytes, from front to back.
struct Input {
    file: Box<dyn StoredFile>,
    at: u64,
    /// Whether it was the file that could not be read, the last time.
    failed: bool,
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

    /// Whether the first frame may not be all there is. Only looked at where that costs little.
    fn may_have_more_frames(&self) -> bool {
        let length = self.file.length().unwrap_or(u64::MAX);
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= KEPT) else {
            return true;
        };
        let mut all = vec![0; length];
        fill(&*self.file, &mut all, 0).is_ok_and(|whole| whole)
            && zstd::zstd_safe::find_frame_compressed_size(&all).is_ok_and(|size| size < length)
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at);
        self.failed = read.is_err();
        self.at += *read.as_ref().unwrap_or(&0) as u64;
        read
    }
}

impl Stream {
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
        match read {
            Err(error) if !self.decoder.get_ref().get_ref().failed => {
                let why = format!("it cannot be unpacked: {error}");
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
            read => Ok(read? > 0),
        }
    }

    /// How much of the packed file was not taken in.
    fn left(&self) -> io::Result<u64> {
        let (input, buffered) = (self.decoder.get_ref(), self.decoder.get_ref().buffer().len());
        let taken = input.get_ref().at.saturating_sub(buffered as u64);
        Ok(input.get_ref().file.length()?.saturating_sub(taken))
    }
}

impl Contents {
    fn begin_again(&mut self) -> io::Result<()> {
        let before = self.stream.take();
        let before = before.ok_or_else(|| io::Error::other("unpacking failed before"))?;
        let input = before.decoder.finish().into_inner();
        self.stream = Some(Stream::begin(input)?);
        Ok(())
    }

    fn measure(&mut self, most: u64) -> io::Result<()> {
        while self.step()? {
            if self.stream.as_ref().is_some_and(|stream| stream.end() > most) {
                return Err(too_large(most));
            }
        }
        if self.length.is_none() {
            self.length = self.stream.as_ref().map(Stream::end);
        }
        Ok(())
    }

    /// Unpacks some more; false at the end, and where damage makes one.
    fn step(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let end = stream.end();
        if self.broken_at == Some(end) {
            return Ok(false);
        }
        match stream.step() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.broken_at = Some(end);
                // How much is lost nobody can tell; that something is, is told.
                let left = stream.left()?.max(1);
                self.length.get_or_insert(end.saturating_add(left));
                Ok(false)
            }
            stepped => stepped,
        }
    }

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.length.is_some_and(|length| offset >= length) {
            return Ok(0);
        }
        if self.stream.as_ref().is_none_or(|stream| offset < stream.offset) {
            self.begin_again()?;
        }
        while self.stream.as_ref().is_some_and(|stream| stream.end() <= offset) {
            if !self.step()? {
                let broken = self.broken_at.is_some();
                let told = || io::Error::new(io::ErrorKind::InvalidData, "its rest is damaged");
                return if broken { Err(told()) } else { Ok(0) };
            }
        }
        let Some(stream) = &self.stream else { return Ok(0) };
        let start = usize::try_from(offset - stream.offset).unwrap_or(usize::MAX);
        let there = stream.held.get(start..).unwrap_or_default();
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

    fn is_stream(&self) -> bool {
        true
    }

    fn damage_at(&self, offset: u64) -> Option<Range<u64>> {
        let contents = self.0.borrow();
        let (from, to) = (contents.broken_at?, contents.length?);
        (from..to).contains(&offset).then_some(from..to)
    }
}

fn too_large(most: u64) -> io::Error {
    let why = format!("it unpacks to more than {most} bytes");
    io::Error::new(io::ErrorKind::InvalidData, why)
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

    /// In frames of different lengths; with the table, or without.
    fn framed(text: &[u8], with_table: bool) -> Vec<u8> {
        let (mut packed, mut frames, mut rest) = (Vec::new(), Frames::default(), text);
        for nth in 0.. {
            if rest.is_empty() {
                break;
            }
            let (part, behind) = rest.split_at(rest.len().min(100_000 + nth * 7919));
            let frame = zstd::bulk::compress(part, 1).unwrap();
            assert!(frames.add(frame.len(), part.len()));
            packed.extend(frame);
            rest = behind;
        }
        if with_table {
            packed.extend(frames.table());
        }
        packed
    }

    #[test]
    fn any_part_can_be_read_in_any_order() {
        let text: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let length = text.len() as u64;
        let mut streamed = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        streamed.write_all(&text).unwrap();
        for packed in [
            zstd::bulk::compress(&text, 1).unwrap(),
            streamed.finish().unwrap(),
            framed(&text, false),
            framed(&text, true),
        ] {
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
        assert!(!file(&framed(&text, true)).unwrap().is_stream());
        assert_eq!(zstd::decode_all(&*framed(&text, true)).unwrap(), text, "as any decoder does");
    }

    #[test]
    fn what_is_no_frame_or_half_of_one_is_an_error() {
        assert_eq!(file(b"{\"a\":1}\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
        let packed = zstd::bulk::compress(&vec![7; 1 << 20], 1).unwrap();
        let half = file(&packed[..packed.len() / 2]);
        let read = half.and_then(|half| {
            let mut into = [0; 64];
            (0..1 << 20).step_by(64).try_for_each(|at| half.read_at(&mut into, at).map(drop))
        });
        assert!(read.is_err());
    }

    #[test]
    fn what_unpacks_to_far_more_than_its_size_is_not_unpacked() {
        let zeros = vec![0; 1 << 20];
        for length in [MOST, MOST + 1] {
            let mut streamed = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            io::copy(&mut io::repeat(0).take(length), &mut streamed).unwrap();
            let mut sized = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            sized.set_pledged_src_size(Some(length)).unwrap();
            io::copy(&mut io::repeat(0).take(length), &mut sized).unwrap();
            for packed in [streamed.finish().unwrap(), sized.finish().unwrap()] {
                let opened = file(&packed).map(|file| file.length().unwrap());
                match opened {
                    Ok(opened) => assert_eq!((opened, length), (length, MOST)),
                    Err(error) => {
                        assert_eq!((error.kind(), length), (io::ErrorKind::InvalidData, MOST + 1));
                    }
                }
            }
        }
        // Frame by frame as well, as many as there are.
        let frame = zstd::bulk::compress(&zeros, 1).unwrap();
        assert!(file(&frame.repeat(65)).is_err());
        assert!(file(&frame.repeat(64)).is_ok());
    }

    #[test]
    fn a_table_that_lies_is_not_believed() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let sound = framed(&text, true);
        let table = sound.len() - (HEADER_OF_TABLE + 4 * 8 + 9);
        for at in table..sound.len() {
            for bit in 0..8 {
                let mut bent = sound.clone();
                bent[at] ^= 1 << bit;
                let mut found = Vec::new();
                let Ok(file) = file(&bent) else { continue };
                let mut into = [0; 4096];
                let end = loop {
                    match file.read_at(&mut into, found.len() as u64) {
                        Ok(0) => break Ok(()),
                        Ok(read) => found.extend_from_slice(&into[..read]),
                        Err(error) => break Err(error),
                    }
                };
                // What is given out is the segment's, up to an error at the most.
                assert!(text.starts_with(&found), "bit {bit} of byte {at}");
                assert!(end.is_err() || found == text, "bit {bit} of byte {at}");
            }
        }
    }

    const HEADER_OF_TABLE: usize = 8;
}
