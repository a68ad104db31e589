//! What the disk takes of bytes that nobody had to make.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use ringpost::Event;
use ringpost::event::json::encode_record;
use ringpost::store::journal::Fsync;

use super::{Until, journal, repeat};
use crate::ours::bus::LONG;
use ringpost::store::PersistOptions;
use ringpost::{EventBus, Sequence, Shared};

/// What ringpost's journal writes at once, about.
const CHUNK: usize = 256 * 1024;

/// The mean length of the events' lines in a journal.
pub fn line_len(events: &[Event]) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bus = EventBus::builder().publish_timeout(LONG).build();
    let journal = journal(directory.path(), Until::Written(Fsync::Never));
    let persistence = bus.persist(journal, PersistOptions::default()).expect("it starts");
    for event in repeat(events, events.len(), Shared::new) {
        bus.publish(event).expect("the journal keeps up");
    }
    persistence.flush(Sequence::new(events.len() as u64), LONG).expect("the journal keeps up");
    let files = fs::read_dir(&directory).expect("the directory is there");
    let sizes = files.map(|file| {
        let file = file.expect("it is readable");
        let is_segment = file.path().extension().is_some_and(|end| end == "jsonl");
        if is_segment { file.metadata().expect("it is readable").len() } else { 0 }
    });
    sizes.sum::<u64>() as f64 / events.len() as f64
}

fn chunks(line: f64, count: usize) -> usize {
    (line * count as f64 / CHUNK as f64).ceil() as usize
}

fn rate(chunks: usize, line: f64, seconds: f64) -> f64 {
    (chunks * CHUNK) as f64 / line / seconds
}

/// As many bytes as `count` lines, by the program, which reports its own time: lines a second.
pub fn dd(line: f64, count: usize) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let chunks = chunks(line, count);
    let done = Command::new("dd")
        .args(["if=/dev/zero", &format!("bs={CHUNK}"), &format!("count={chunks}")])
        .arg(format!("of={}", directory.path().join("bytes").display()))
        .env("LC_ALL", "C")
        .output()
        .expect("dd is installed");
    let told = String::from_utf8_lossy(&done.stderr);
    let seconds = told.rsplit(", ").nth(1).and_then(|part| part.strip_suffix(" s")?.parse().ok());
    rate(chunks, line, seconds.expect("dd tells how long it took"))
}

/// The same in pieces of whole lines, so that hardly any ends where a page does, by the calls that a
/// journal makes: lines a second.
pub fn whole_lines(line: f64, count: usize) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("bytes");
    let mut file = OpenOptions::new().append(true).create_new(true).open(path).expect("a new file");
    let lines = (CHUNK as f64 / line).ceil() as usize;
    let piece = vec![b'x'; (lines as f64 * line) as usize];
    let since = Instant::now();
    for _ in 0..count / lines {
        file.write_all(&piece).expect("the disk has room");
    }
    (count / lines * lines) as f64 / since.elapsed().as_secs_f64()
}

/// Events that were recorded become lines in memory, as many as a journal writes at once and over the
/// ones before: lines a second.
pub fn encoded(events: &[Event], count: usize) -> f64 {
    let bus = EventBus::builder().recent(events.len()).build();
    for event in repeat(events, events.len(), Shared::new) {
        bus.publish(event).expect("nobody has to keep up");
    }
    let recorded = bus.recent(events.len());
    let recorded: Vec<Event> = recorded.iter().map(|event| Event::clone(event)).collect();
    let list = repeat(&recorded, count, Shared::new);
    let mut lines = Vec::new();
    let since = Instant::now();
    for (event, number) in list.iter().zip(1..) {
        if lines.len() >= CHUNK {
            lines.clear();
        }
        encode_record(event, Sequence::new(number), &mut lines);
    }
    let rate = count as f64 / since.elapsed().as_secs_f64();
    assert!(lines.ends_with(b"\n"), "the last line is whole");
    rate
}

/// The same bytes as `dd`, each `every` chunks with an fdatasync.
pub fn synced(line: f64, count: usize, every: usize) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut file = File::create(directory.path().join("bytes")).expect("a new file");
    let (chunk, chunks) = (vec![b'x'; CHUNK], chunks(line, count));
    let since = Instant::now();
    for written in 1..=chunks {
        file.write_all(&chunk).expect("the disk has room");
        if written % every == 0 {
            file.sync_data().expect("the disk works");
        }
    }
    rate(chunks, line, since.elapsed().as_secs_f64())
}
