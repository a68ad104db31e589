//! A segment's bytes as zstd frames, with the [table](super::frames) of where they are.
//!
//! Called for a sealed segment, by whoever [compresses](super::compress) it; looks at no line but
//! for its end.
#![forbid(unsafe_code)]

use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::frames::{FRAME, Frames};
use super::lines::LONGEST;
use super::storage::{StoredFile, append_all};
use crate::store::{StoreError, StoreErrorKind};

/// Refuses a level that there is none of.
pub(super) fn check(level: i32) -> Result<(), StoreError> {
    let levels = 1..=*zstd::compression_level_range().end();
    if levels.contains(&level) {
        return Ok(());
    }
    let attempt = format!("compress at level {level}, which is not one of 1 to {}", levels.end());
    Err(StoreError::new(StoreErrorKind::Refused, attempt))
}

/// Writes the frames of all of `plain`, and their table, into the empty `file`; false if `goes_on`
/// did not say so to the end.
pub(super) fn write(
    plain: &dyn StoredFile,
    file: &mut dyn StoredFile,
    level: i32,
    goes_on: &dyn Fn() -> bool,
) -> io::Result<bool> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let mut frames = Frames::default();
    let mut lines = Vec::new();
    let mut at = 0;
    loop {
        if !goes_on() {
            return Ok(false);
        }
        let whole = gather(plain, &mut lines, &mut at)?;
        if whole == 0 {
            break;
        }
        let frame = compressor.compress(&lines[..whole])?;
        if !frames.add(frame.len(), whole) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        append(file, &frame)?;
        lines.drain(..whole);
    }
    append(file, &frames.table())?;
    Ok(true)
}

/// The most that is read at a time.
const BLOCK: usize = 256 * 1024;

/// Reads on until there are lines for a frame; how many of the bytes at hand make one, 0 at the
/// end.
fn gather(file: &dyn StoredFile, lines: &mut Vec<u8>, at: &mut u64) -> io::Result<usize> {
    let mut searched = 0;
    loop {
        let is_enough = lines.len() >= FRAME;
        if is_enough {
            if let Some(newline) = memchr::memrchr(b'\n', &lines[searched..]) {
                return Ok(searched + newline + 1);
            }
            searched = lines.len();
            if lines.len() >= FRAME + LONGEST {
                return Ok(lines.len());
            }
        }
        let held = lines.len();
        // Room enough to see that nothing follows.
        let left = file.length()?.saturating_sub(*at).saturating_add(1);
        lines.resize(held + usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK)), 0);
        let read = file.read_at(&mut lines[held..], *at);
        lines.truncate(held + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => return Ok(lines.len()),
            Ok(more) => *at += more as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn append(file: &mut dyn StoredFile, bytes: &[u8]) -> io::Result<()> {
    append_all(file, bytes).1.map_or(Ok(()), Err)
}
