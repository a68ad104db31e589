//! What all tests of the journal need.

use std::fs::{self};
use std::path::{Path, PathBuf};
use std::process::Command;

use ringpost::event::Event;
use ringpost::store::journal::{Entry, Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{Record, Store};
use ringpost::{Sequence, Shared};
use tempfile::TempDir;

pub(crate) fn record(sequence: u64) -> Record {
    let event = Event::builder("journal.test")
        .id(format!("id-{sequence}"))
        .source("tests")
        .raw_json(format!("{{\"n\":{sequence}}}"))
        .build()
        .expect("a valid event");
    Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
}

pub(crate) fn records(sequences: impl IntoIterator<Item = u64>) -> Vec<Record> {
    sequences.into_iter().map(record).collect()
}

/// A directory in memory where there is one: tests that open thousands of journals sync each.
pub(crate) fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

pub(crate) fn options(fsync: Fsync) -> JournalOptions {
    JournalOptions::default().with_fsync(fsync)
}

pub(crate) fn open(directory: &Path) -> Journal {
    Journal::open(directory, options(Fsync::Never)).expect("the journal opens")
}

/// A journal of these sequences in one segment; the bytes of the segment.
pub(crate) fn written(directory: &Path, sequences: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut journal = open(directory);
    journal.append(&records(sequences)).expect("appended");
    drop(journal);
    fs::read(segment(directory, 1)).expect("the segment")
}

pub(crate) fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.jsonl"))
}

/// Twenty records in a few segments, and a copy of the first one behind all others.
pub(crate) fn with_an_old_copy(directory: &Path) {
    let settings = options(Fsync::Never).with_segment_bytes(1000);
    let mut journal = Journal::open(directory, settings).expect("the journal opens");
    journal.append(&records(1..=20)).expect("appended");
    drop(journal);
    fs::copy(segment(directory, 1), segment(directory, 50)).expect("copied");
}

pub(crate) fn entries(directory: &Path) -> Vec<Entry> {
    let reader = JournalReader::open(directory).expect("a reader");
    reader.records().expect("records").collect::<Result<_, _>>().expect("readable")
}

pub(crate) fn sequences(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.sequence.expect("a sequence").get()).collect()
}

/// The end offset of each line, newline included.
pub(crate) fn line_ends(bytes: &[u8]) -> Vec<usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect()
}

// Children: this binary runs one of its own tests in another process.

const CHILD: &str = "RINGPOST_TEST_DIRECTORY";

pub(crate) fn directory_of_child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// A command that runs `test` (with its module) of this binary on `directory`, behind `wrapper` if there is one.
pub(crate) fn child(wrapper: &[&str], test: &str, directory: &Path) -> Command {
    let this = std::env::current_exe().expect("this binary");
    let mut command = match wrapper {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, directory);
    command
}

/// Runs it to its end.
pub(crate) fn run_child(wrapper: &[&str], test: &str, directory: &Path) {
    let output = child(wrapper, test, directory).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "the child ran no test: {text}\n{errors}");
}
