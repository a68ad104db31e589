//! A journal's indexes, mangled as the input says: whatever they hold, readers find by time and by
//! sequence what a scan finds.
//!
//! A part of the check of recovery. The journal is the same each time: two sealed segments large
//! enough to have an index, one of them compressed if the input says so, and one that is not sealed.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use ringpost::event::{Event, Timestamp};
use ringpost::store::journal::{Entry, Fsync, Journal, JournalOptions, JournalReader, Start};
use ringpost::store::{Begin, Record, Store};
use ringpost::{Sequence, Shared};

use super::{Input, frame, segment_name};

const RECORDS: u64 = 60;

/// The segments of a sound journal, and the indexes that a reader makes of them.
struct Sound {
    segments: Vec<Vec<u8>>,
    indexes: [Vec<Vec<u8>>; 2],
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let options = JournalOptions::default().with_fsync(Fsync::Never);
    let options = options.with_segment_bytes(300 * 1024);
    let mut journal = Journal::open(directory.path(), options).expect("a journal");
    for sequence in 1..=RECORDS {
        journal.append(&[record(sequence)]).expect("appended");
    }
    drop(journal);
    let read = |name: String| fs::read(directory.path().join(name)).expect("read");
    let segments: Vec<_> = (1..=3).map(|number| read(segment_name(number))).collect();
    let indexes = [false, true].map(|is_packed| {
        let directory = tempfile::tempdir().expect("a directory");
        lay(directory.path(), &segments, if is_packed { 3 } else { 0 });
        let reader = JournalReader::open(directory.path()).expect("a reader");
        drop(reader.follow(Start::Time(second(1 << 30))).expect("followed"));
        let read = |number| fs::read(directory.path().join(index_name(number)));
        (1..=2).map(|number| read(number).expect("it was made")).collect()
    });
    Sound { segments, indexes }
});

/// Panics if an index changes what is read.
pub(super) fn check(first: u8, edits: &[u8]) {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.expect("a directory");
    let directory = directory.path();
    let packed = first >> 2 & 3;
    lay(directory, &SOUND.segments, packed);
    let mut indexes: Vec<Vec<u8>> =
        (0..2).map(|at| SOUND.indexes[usize::from(packed >> at & 1)][at].clone()).collect();
    let mut input = Input(edits);
    while !input.0.is_empty() {
        edit(&mut input, &mut indexes);
    }
    for (number, index) in (1..).zip(&indexes) {
        fs::write(directory.join(index_name(number)), index).expect("written");
    }
    let asked = u64::from(first >> 4 & 7) * 10;
    // Again, because the first look may put the index right.
    for _ in 0..2 {
        ask(directory, asked);
    }
}

fn edit(input: &mut Input<'_>, indexes: &mut [Vec<u8>]) {
    let (kind, which) = (input.byte(), usize::from(input.byte() % 2));
    let at = usize::from(input.byte()) << 8 | usize::from(input.byte());
    let index = &mut indexes[which];
    let at = at % (index.len() + 1);
    match kind % 6 {
        0 => index.truncate(at),
        1 => index.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (kind >> 5)),
        2 => {
            let inserted = input.some();
            index.splice(at..at, inserted);
        }
        3 => index.iter_mut().skip(at).take(48).for_each(|byte| *byte = 0),
        4 => indexes.swap(0, 1),
        _ => {
            let over = input.some();
            let end = index.len().min(at + over.len());
            index.splice(at..end, over);
        }
    }
}

fn ask(directory: &Path, asked: u64) {
    let reader = JournalReader::open(directory).expect("a reader");
    let all: Vec<(u64, u64)> =
        (1..=RECORDS).map(|sequence| (sequence, time_of(sequence))).collect();
    let from = all.iter().position(|(_, time)| *time >= asked).unwrap_or(all.len());

    let mut follow = reader.follow(Start::Time(second(asked))).expect("followed");
    let mut found = Vec::new();
    while let Some(entry) = follow.poll().expect("readable") {
        found.push(sequence_of(&entry));
    }
    assert!(found.iter().eq(all[from..].iter().map(|(sequence, _)| sequence)), "{found:?}");

    let sequence = asked.clamp(1, RECORDS);
    let records = reader.records_from(Sequence::new(sequence)).expect("records");
    let found: Vec<_> = records.map(|entry| sequence_of(&entry.expect("readable"))).collect();
    assert!(found.iter().copied().eq(sequence..=RECORDS), "{found:?}");

    let options = JournalOptions::default().with_fsync(Fsync::Never);
    let journal = Journal::open(directory, options).expect("a journal");
    let begin = journal.checkpoints().expect("a journal has them");
    let begin = begin.place_of(Begin::Time(second(asked))).expect("readable");
    assert_eq!(begin.map(Sequence::get), all.get(from).map(|(sequence, _)| *sequence));
}

fn sequence_of(entry: &Entry) -> u64 {
    entry.sequence.expect("all have one").get()
}

/// The segments, those of the bits in `packed` compressed.
fn lay(directory: &Path, segments: &[Vec<u8>], packed: u8) {
    for (at, bytes) in segments.iter().enumerate() {
        let name = segment_name(at as u64 + 1);
        let written = match packed >> at & 1 == 1 {
            true => fs::write(directory.join(format!("{name}.zst")), frame(bytes)),
            false => fs::write(directory.join(name), bytes),
        };
        written.expect("written");
    }
}

fn index_name(number: u64) -> String {
    format!("{number:020}.index")
}

fn second(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos(i128::from(second) * 1_000_000_000).expect("an instant")
}

/// Times that rise, but for some.
fn time_of(sequence: u64) -> u64 {
    if sequence.is_multiple_of(7) { sequence / 2 } else { sequence }
}

fn record(sequence: u64) -> Record {
    let event = Event::builder("f").id(format!("{sequence}")).source("s");
    let event = event.time(second(time_of(sequence))).text("x".repeat(12_000)).build();
    Record { sequence: Sequence::new(sequence), event: Shared::new(event.expect("an event")) }
}
