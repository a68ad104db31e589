//! A journal that grows by pieces: however its bytes are split, a follower gives the same records
//! as one that comes when all is written, each once and in order.
//!
//! The input is a program: which lines the segments hold, good and bad, then where the bytes are
//! cut into pieces.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use ringpost::Sequence;
use ringpost::event::Event;
use ringpost::event::json::encode_record;
use ringpost::store::journal::{Follow, JournalReader, Start};

/// Panics if the pieces make a difference.
pub(crate) fn check(input: &[u8]) {
    let mut input = Input(input);
    let segments = segments(&mut input);
    let whole = directory();
    for (number, bytes) in segments.iter().enumerate() {
        append(whole.path(), number, bytes);
    }
    let reader = JournalReader::open(whole.path()).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    let expected = drain(&mut follow);

    let pieces = directory();
    let reader = JournalReader::open(pieces.path()).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    let mut found = Vec::new();
    for (number, bytes) in segments.iter().enumerate() {
        let mut rest = &bytes[..];
        append(pieces.path(), number, b"");
        while !rest.is_empty() {
            // Without further instructions the rest comes at once.
            let length = match input.byte() {
                0 => rest.len(),
                length => usize::from(length).min(rest.len()),
            };
            let (piece, behind) = rest.split_at(length);
            append(pieces.path(), number, piece);
            found.append(&mut drain(&mut follow));
            rest = behind;
        }
    }
    assert_eq!(found, expected, "split or not");
    assert!(drain(&mut follow).is_empty(), "nothing comes twice");
}

fn drain(follow: &mut Follow) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while let Some(entry) = follow.poll().expect("readable") {
        lines.push(entry.line);
    }
    lines
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

fn append(directory: &Path, number: usize, bytes: &[u8]) {
    let path = directory.join(format!("{:020}.jsonl", number + 1));
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("written");
}

/// One to four segments; a bad line may stand anywhere, and the last line of each may be cut.
fn segments(input: &mut Input<'_>) -> Vec<Vec<u8>> {
    let mut segments = vec![Vec::new()];
    let mut sequence = 0;
    for _ in 0..input.byte() % 16 {
        let has_room = segments.len() < 4;
        let bytes = segments.last_mut().expect("at least one");
        match input.byte() % 8 {
            0 if has_room => segments.push(Vec::new()),
            1 => {
                let garbage = input.some();
                bytes.extend(garbage.iter().filter(|byte| **byte != b'\n'));
                bytes.push(b'\n');
            }
            2 => bytes.extend_from_slice(b"\n"),
            3 if has_room => {
                // A writer that was killed: its line has no end, and comes again later.
                let cut = usize::from(input.byte()) % 100;
                let mut line = line(sequence + 1);
                line.truncate(cut);
                bytes.extend(line);
                segments.push(Vec::new());
            }
            4 => bytes.extend(line(sequence.max(1))),
            _ => {
                sequence += 1;
                bytes.extend(line(sequence));
            }
        }
    }
    segments
}

fn line(sequence: u64) -> Vec<u8> {
    let event = Event::builder("f").id(format!("{sequence}")).source("s").without_time().build();
    let mut line = Vec::new();
    encode_record(&event.expect("an event"), Sequence::new(sequence), &mut line);
    line
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
