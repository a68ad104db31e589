//! One checkpoint's file: two slots, written in turn.
//!
//! A checkpoint is stored over and over, so its file must not grow, and nothing in a journal's
//! directory is replaced by a rename. So there are two slots of a page each, and each checkpoint
//! goes into the one that does not hold the last durable one, and is then synced: whatever a
//! crash, a torn write or a failed sync does to that slot, the other one is whole. It also needs
//! no room on a full disk, and its sync touches no metadata.
//!
//! A slot is one line of JSON, with a rising turn and a checksum over what stands before it, filled
//! up with blanks: `cat` shows it. The slot that is whole and has the higher turn counts.
#![forbid(unsafe_code)]

use std::io;

use serde::{Deserialize, Serialize};

use super::super::planted::{Bug, planted};
use super::super::storage::{Access, Storage, StoredFile, append_all};
use crate::Sequence;
use crate::event::Timestamp;
use crate::store::Checkpoint;

/// As large as a page, the unit in which disks tear writes.
pub(super) const SLOT: usize = 4096;
/// A pattern that takes more room as JSON is not noted.
const LONGEST_PATTERN: usize = 3072;
const CHECKSUM: &str = ",\"crc32c\":\"";

/// A slot's line, but for its checksum.
#[derive(Serialize, Deserialize)]
struct Line {
    turn: u64,
    next: u64,
    pattern: String,
    handled: u64,
    failed: u64,
    lost: u64,
    stored: String,
}

/// What a checkpoint's file says.
#[derive(Debug)]
pub(super) enum Found {
    /// A whole checkpoint.
    Whole(Newest),
    /// Whoever made the file died before that was done: nothing was acknowledged.
    Unborn,
    /// Neither slot is whole.
    Damaged,
}

/// The checkpoint that counts.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) checkpoint: Checkpoint,
    turn: u64,
    slot: usize,
}

/// A checkpoint's file, in the hands of the one who holds the consumer's lock.
#[derive(Debug)]
pub(super) struct Slots {
    file: Box<dyn StoredFile>,
    turn: u64,
    /// The slot that is known to be on the disk. It is never the one that is written.
    durable: usize,
}

impl Slots {
    /// Makes the file with its first checkpoint. It is there when this returns, also after a
    /// power cut.
    pub(super) fn create(
        storage: &dyn Storage,
        name: &str,
        checkpoint: &Checkpoint,
    ) -> io::Result<Self> {
        // Until the second slot is written the file does not count: blank there says that nobody
        // was told yet that it exists.
        let mut first = slot(checkpoint, 1);
        first.resize(2 * SLOT, b' ');
        let mut file = storage.create(name)?;
        if let (_, Some(error)) = append_all(&mut *file, &first) {
            return Err(error);
        }
        file.sync()?;
        drop(file);
        storage.sync_directory()?;
        let file = storage.open(name, Access::Replace)?;
        let mut slots = Self { file, turn: 1, durable: 0 };
        slots.store(checkpoint)?;
        Ok(slots)
    }

    /// Goes on with a file that is there. What counts in it becomes durable now: an earlier
    /// process may have written it and died before its sync, or its sync failed.
    pub(super) fn resume(
        storage: &dyn Storage,
        mut file: Box<dyn StoredFile>,
        newest: &Newest,
    ) -> io::Result<Self> {
        let Newest { checkpoint, turn, slot: at } = newest;
        if !planted(Bug::InheritedCheckpoint) {
            // The same bytes once more: where they are on the disk already, no tear hurts them.
            write(&mut *file, &slot(checkpoint, *turn), *at)?;
            file.sync()?;
        }
        // Nor is it known that whoever made the file got as far as its name.
        storage.sync_directory()?;
        Ok(Self { file, turn: *turn, durable: *at })
    }

    /// Goes on with a file in which nothing is whole: until this returns, nothing is.
    pub(super) fn repair(file: Box<dyn StoredFile>, checkpoint: &Checkpoint) -> io::Result<Self> {
        let mut slots = Self { file, turn: 0, durable: 1 };
        slots.store(checkpoint)?;
        slots.store(checkpoint)?;
        Ok(slots)
    }

    /// Stores a checkpoint. After an error the one before still counts, or this one; the call may
    /// be made again.
    pub(super) fn store(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let free = if planted(Bug::OneSlot) { self.durable } else { 1 - self.durable };
        write(&mut *self.file, &slot(checkpoint, self.turn + 1), free)?;
        self.file.sync()?;
        self.turn += 1;
        self.durable = free;
        Ok(())
    }
}

fn write(file: &mut dyn StoredFile, bytes: &[u8], slot: usize) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], (slot * SLOT + written) as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What the file says, whoever writes it meanwhile.
pub(super) fn read(file: &dyn StoredFile) -> io::Result<Found> {
    let mut bytes = [0; 2 * SLOT];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(judge(&bytes))
}

fn judge(bytes: &[u8; 2 * SLOT]) -> Found {
    let (first, second) = bytes.split_at(SLOT);
    let newest = [first, second]
        .into_iter()
        .enumerate()
        .filter_map(|(at, bytes)| parse(bytes, at))
        .max_by_key(|found| found.turn);
    match newest {
        Some(newest) => Found::Whole(newest),
        // What was never written is a blank, or nothing, or a zero where the power was cut.
        None if second.iter().all(|byte| matches!(byte, b' ' | 0)) => Found::Unborn,
        None => Found::Damaged,
    }
}

fn slot(checkpoint: &Checkpoint, turn: u64) -> Vec<u8> {
    let escaped = serde_json::to_string(&checkpoint.pattern).map_or(usize::MAX, |text| text.len());
    let fits = escaped <= LONGEST_PATTERN;
    let line = Line {
        turn,
        next: checkpoint.next.get(),
        pattern: if fits { checkpoint.pattern.clone() } else { String::new() },
        handled: checkpoint.handled,
        failed: checkpoint.failed,
        lost: checkpoint.lost,
        stored: checkpoint.stored.to_string(),
    };
    let mut text = serde_json::to_string(&line).expect("numbers and texts are JSON");
    text.pop();
    let checksum = crc32c::crc32c(text.as_bytes());
    text.push_str(&format!("{CHECKSUM}{checksum:08x}\"}}"));
    let mut bytes = text.into_bytes();
    debug_assert!(bytes.len() < SLOT, "the one part without a limit is kept short");
    bytes.resize(SLOT - 1, b' ');
    bytes.push(b'\n');
    bytes
}

fn parse(bytes: &[u8], slot: usize) -> Option<Newest> {
    let end = memchr::memrchr(b'}', bytes)?;
    let text = std::str::from_utf8(&bytes[..=end]).ok()?;
    let at = text.len().checked_sub(CHECKSUM.len() + 10)?;
    let digits = text.get(at..)?.strip_prefix(CHECKSUM)?.strip_suffix("\"}")?;
    let body = &text[..at];
    if u32::from_str_radix(digits, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
        return None;
    }
    let line: Line = serde_json::from_str(text).ok()?;
    if line.next >= Sequence::LIMIT {
        return None;
    }
    let checkpoint = Checkpoint {
        next: Sequence::new(line.next),
        pattern: line.pattern,
        handled: line.handled,
        failed: line.failed,
        lost: line.lost,
        stored: Timestamp::parse(&line.stored).ok()?,
    };
    Some(Newest { checkpoint, turn: line.turn, slot })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(first: &[u8], second: &[u8]) -> Box<[u8; 2 * SLOT]> {
        let mut bytes = Box::new([b' '; 2 * SLOT]);
        bytes[..first.len()].copy_from_slice(first);
        bytes[SLOT..SLOT + second.len()].copy_from_slice(second);
        bytes
    }

    fn next(found: Found) -> Option<u64> {
        match found {
            Found::Whole(newest) => Some(newest.checkpoint.next.get()),
            _ => None,
        }
    }

    fn at(next: u64) -> Checkpoint {
        Checkpoint::new(Sequence::new(next), "a.\"*\"")
    }

    #[test]
    fn the_whole_slot_with_the_higher_turn_counts() {
        let (old, new) = (slot(&at(5), 7), slot(&at(9), 8));
        assert_eq!(next(judge(&file(&old, &new))), Some(9));
        assert_eq!(next(judge(&file(&new, &old))), Some(9));
        assert_eq!(next(judge(&file(&old, b""))), Some(5));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_gives_a_checkpoint_that_was_never_stored() {
        let (old, new) = (slot(&at(5), 7), slot(&at(9), 8));
        let text = new.iter().position(|&byte| byte == b'\n').expect("a newline");
        for bit in 0..8 * text {
            let mut flipped = new.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = next(judge(&file(&old, &flipped)));
            assert!(matches!(found, Some(5 | 9)), "bit {bit} gives {found:?}");
        }
        for cut in 0..text {
            let found = next(judge(&file(&old, &new[..cut])));
            assert!(matches!(found, Some(5 | 9)), "cut at {cut} gives {found:?}");
        }
    }

    #[test]
    fn a_number_that_is_no_sequence_is_no_checkpoint_whatever_its_checksum_says() {
        let text = String::from_utf8(slot(&at(5), 7)).expect("text");
        for (number, is_sequence) in
            [(Sequence::LIMIT - 1, true), (Sequence::LIMIT, false), (u64::MAX, false)]
        {
            let body = text.split(CHECKSUM).next().expect("a body");
            let body = body.replace("\"next\":5,", &format!("\"next\":{number},"));
            let sum = crc32c::crc32c(body.as_bytes());
            let line = format!("{body}{CHECKSUM}{sum:08x}\"}}");
            assert_eq!(parse(line.as_bytes(), 0).is_some(), is_sequence, "{number}");
        }
    }

    #[test]
    fn a_file_is_unborn_until_its_second_slot_was_written_and_damaged_after_that() {
        let whole = slot(&at(5), 1);
        assert!(matches!(judge(&file(b"", b"")), Found::Unborn));
        assert!(matches!(judge(&file(&[0; SLOT], &[0; SLOT])), Found::Unborn));
        assert!(matches!(judge(&file(&whole[..50], b"")), Found::Unborn));
        assert!(matches!(judge(&file(&whole[..50], &whole[..50])), Found::Damaged));
        assert!(matches!(judge(&file(b"", b"rubbish")), Found::Damaged));
    }

    #[test]
    fn everything_but_a_pattern_of_great_length_comes_back() {
        let mut checkpoint = at(u64::MAX >> 2);
        (checkpoint.handled, checkpoint.failed, checkpoint.lost) = (u64::MAX, 2, 3);
        let found = parse(&slot(&checkpoint, u64::MAX), 1).expect("whole");
        assert_eq!((found.checkpoint, found.slot), (checkpoint.clone(), 1));
        checkpoint.pattern = "\u{1}".repeat(LONGEST_PATTERN / 6 + 1);
        let found = parse(&slot(&checkpoint, 1), 0).expect("whole");
        assert_eq!(found.checkpoint.pattern, "");
    }
}
