//! A journal's directory, mangled as the input says: opening it never panics, changes nothing the
//! second time, loses no record that a reader could see before, and what is appended is read.
//!
//! The input is a program of edits to a sound journal, so that the fuzzer need not find a
//! checksum by chance. Some of its segments are compressed, some are there in both forms, some have
//! a compression left over that was not finished; then what is left of them is compressed too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ringpost::event::Event;
use ringpost::store::journal::{Entry, Fsync, Journal, JournalOptions, JournalReader, Start};
use ringpost::store::{Record, Store};
use ringpost::{Sequence, Shared};

/// Panics if a promise of recovery does not hold for the directory that `input` makes.
pub(crate) fn check(input: &[u8]) {
    if let Some((&first, edits)) = input.split_first()
        && first & INDEXED_MASK == INDEXED
    {
        indexed::check(first, edits);
        return;
    }
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.expect("a directory");
    let directory = directory.path();
    for (name, bytes) in mangled(input) {
        fs::write(directory.join(name), bytes).expect("written");
    }
    let before = lines(directory);

    let mut journal = open(directory);
    assert_eq!(lines(directory), before, "recovery loses and adds nothing");
    let last = journal.last_sequence();
    drop(journal);
    let highest = highest(directory);
    let first = contents(directory);
    journal = open(directory);
    assert!(journal.recovery().torn.is_none() && !journal.recovery().newline_added);
    assert_eq!(journal.last_sequence(), last);
    assert_eq!(contents(directory), first, "the second time changes nothing");

    let reader = journal.reader();
    let tail = reader.tail(3).expect("a tail");
    let mut follow = reader.follow(tail.end()).expect("followed");
    assert!(follow.poll().expect("readable").is_none(), "nothing is behind the tail");
    journal.append(&[record(last.map_or(1, |last| last.get() + 1))]).expect("appended");
    let added = follow.poll().expect("readable").map(text);
    assert!(follow.poll().expect("readable").is_none());

    let after = lines(directory);
    let check = reader.verify().expect("verified");
    assert!(after.starts_with(&before), "what was there is still read");
    // Copies of lines in the wrong places can hold a higher sequence than the end: then readers
    // take what comes for a repetition. No crash makes such a journal.
    if highest <= last {
        assert!(added.is_some(), "the record just written is read");
    }
    if check.duplicates == 0 {
        let added = added.expect("without repetitions the record just written is read");
        let (end, rest) = after.split_last().expect("at least the new one");
        assert_eq!((end, rest), (&added, &before[..]), "the new record is behind the others");
        let held = reader.tail(after.len() + 1).expect("a tail");
        let held: Vec<_> = held.entries.into_iter().map(text).collect();
        assert_eq!(held, after, "backward as forward");
        let mut follow = reader.follow(Start::First).expect("followed");
        for line in &after {
            let entry = follow.poll().expect("readable").expect("as many as a scan finds");
            assert_eq!(&text(entry), line);
        }
        assert!(follow.poll().expect("readable").is_none());
    }
    assert_eq!(check.records, check.valid + check.unchecked + check.damaged);
    assert_eq!(reader.stats().expect("stats").events, after.len() as u64);

    drop(journal);
    if input.first().is_some_and(|first| first & 0x80 != 0) {
        compress(directory);
        assert_eq!(lines(directory), after, "compressed as plain");
    }
}

/// Without a segment there is nothing to compress: then the input mangles indexes instead.
const INDEXED: u8 = 0x80;
const INDEXED_MASK: u8 = 0x83;

#[path = "recover_index.rs"]
mod indexed;

/// Compresses what is sealed, until that is done or cannot be.
fn compress(directory: &Path) {
    let options = JournalOptions::default().with_fsync(Fsync::Never).with_compression(1);
    let journal = Journal::open(directory, options).expect("a journal always opens");
    loop {
        let upkeep = journal.upkeep().stats();
        if upkeep.waiting == 0 || upkeep.failing.is_some() {
            return;
        }
        std::thread::yield_now();
    }
}

fn open(directory: &Path) -> Journal {
    let options = JournalOptions::default().with_fsync(Fsync::Never);
    Journal::open(directory, options).expect("a journal always opens")
}

fn lines(directory: &Path) -> Vec<String> {
    let reader = JournalReader::open(directory).expect("a reader");
    reader.records().expect("records").map(|entry| text(entry.expect("readable"))).collect()
}

fn highest(directory: &Path) -> Option<Sequence> {
    let reader = JournalReader::open(directory).expect("a reader");
    let records = reader.records().expect("records");
    records.filter_map(|entry| entry.expect("readable").sequence).max()
}

fn text(entry: Entry) -> String {
    String::from_utf8(entry.line).expect("an event is UTF-8")
}

fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory).expect("listed").map(|file| file.expect("a file").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    files
        .map(|path| (name(&path), fs::read(&path).expect("read")))
        .filter(|(name, _)| name != "lock")
        .collect()
}

fn record(sequence: u64) -> Record {
    let event = Event::builder("f").id(format!("{sequence}")).source("s").without_time().build();
    Record { sequence: Sequence::new(sequence), event: Shared::new(event.expect("an event")) }
}

/// Up to three segments with three records each, after the input's edits. The bits of the first
/// byte: how many segments (2), which of them are compressed (3), whether the plain ones are still
/// there (1), whether a compression was left unfinished (1).
fn mangled(input: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut input = Input(input);
    let mut files = BTreeMap::new();
    let first = input.byte();
    let segments = u64::from(first % 4);
    for segment in 0..segments {
        let mut bytes = Vec::new();
        for sequence in segment * 3 + 1..=segment * 3 + 3 {
            let record = record(sequence);
            ringpost::event::json::encode_record(&record.event, record.sequence, &mut bytes);
        }
        files.insert(segment_name(segment + 1), bytes);
    }
    while !input.0.is_empty() {
        let (edit, file) = (input.byte() % 8, segment_name(u64::from(input.byte() % 5)));
        let bytes = files.entry(file).or_default();
        let at = usize::from(input.byte()) << 8 | usize::from(input.byte());
        let at = at % (bytes.len() + 1);
        // Doubling again and again must not become the fuzzer's discovery.
        bytes.truncate(MOST);
        match edit {
            0 => bytes.truncate(at),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (edit_bit(at))),
            2 => {
                let inserted = input.some();
                bytes.splice(at..at, inserted);
            }
            3 => bytes.extend(vec![0; at * 16]),
            4 => bytes.iter_mut().skip(at).take(40).for_each(|byte| *byte = 0),
            5 => {
                let copy = bytes.split_off(at);
                bytes.extend_from_slice(&copy.repeat(2));
            }
            6 => {
                let names = ["00000000000000000001.torn", "00000000000000000003.torn", "x.jsonl"];
                let content = input.some();
                files.insert(names[at % 3].to_owned(), content);
            }
            _ => bytes.extend(input.some()),
        }
    }
    for number in 1..=3 {
        let (name, is_packed) = (segment_name(number), first >> (number + 1) & 1 != 0);
        if let Some(bytes) = files.get(&name).filter(|_| is_packed) {
            let frame = frame(bytes);
            if first & 0x20 == 0 {
                files.remove(&name);
            }
            if first & 0x40 != 0 {
                files.insert(format!("{name}.zst.tmp"), frame[..frame.len() / 2].to_vec());
            }
            files.insert(format!("{name}.zst"), frame);
        }
    }
    files
}

/// A zstd frame that holds these bytes as they are.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = 0xFD2F_B528_u32.to_le_bytes().to_vec();
    // One segment, its size in four bytes.
    frame.push(0xA0);
    frame.extend((bytes.len() as u32).to_le_bytes());
    let mut blocks = bytes.chunks(64 * 1024).peekable();
    if blocks.peek().is_none() {
        frame.extend([1, 0, 0]);
    }
    while let Some(block) = blocks.next() {
        let is_last = u32::from(blocks.peek().is_none());
        frame.extend(&(is_last | (block.len() as u32) << 3).to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

/// A file that has grown beyond this is cut before its next edit.
const MOST: usize = 64 * 1024;

fn edit_bit(at: usize) -> u32 {
    (at % 8) as u32
}

fn segment_name(number: u64) -> String {
    format!("{number:020}.jsonl")
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A length and that many bytes.
    fn some(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (some, rest) = self.0.split_at(length);
        self.0 = rest;
        some.to_vec()
    }
}
