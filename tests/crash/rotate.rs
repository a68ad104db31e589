//! K8: thousands of rotations with retention and compression, while another process follows.
//!
//! The follower is stopped now and then, so that retention laps it: then, and only then, it must be
//! told exactly what it missed. Whatever it did not miss it must see once, in order, also in
//! segments that are compressed or removed while it reads them.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, fs, io, thread};

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader, Start};
use ringpost::store::{Record, Store};
use ringpost::{Sequence, Shared};

use super::rig::{child, rounds};

const DIRECTORY: &str = "RINGPOST_FOLLOW_DIRECTORY";
const LAST: &str = "RINGPOST_FOLLOW_LAST";

const SEGMENT: u64 = 64 * 1024;
/// So many records of this payload fill a segment.
const RECORDS: u64 = 5;
const PAYLOAD: usize = 12 * 1024;
/// So many segments are kept.
const KEPT: u64 = 40;
/// The follower is waited for when it is so far behind, but not while it is stopped.
const BEHIND: u64 = 20;
/// Once in so many rotations it is stopped, for so many.
const EVERY: u64 = 250;
const STOPPED: u64 = 60;

fn record(sequence: u64) -> Record {
    // It compresses, but not to nothing.
    let text: String = (0..PAYLOAD as u64 / 16)
        .map(|at| {
            format!("{:016x}", (sequence << 20 | at >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        })
        .collect();
    let event = Event::builder("load.rotate")
        .id(format!("id-{sequence}"))
        .source("tests/crash")
        .raw_json(format!("\"{text}\""))
        .build()
        .expect("a valid event");
    Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
}

/// The other process.
struct Follower {
    child: Child,
    /// The segments it comes to, what it is told missing, and last how much it saw.
    told: Receiver<String>,
    /// The sequences that it was told missing, from and to.
    gaps: Vec<(u64, u64)>,
}

impl Follower {
    fn start(directory: &Path, last: u64) -> Self {
        let mut child = child("rotate::child_follows_until_it_has_seen_all", &[])
            .env(DIRECTORY, directory)
            .env(LAST, last.to_string())
            .spawn()
            .expect("a child");
        let pipe = child.stderr.take().expect("its standard error");
        let (sender, told) = channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let line = line.expect("a pipe");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, told, gaps: Vec::new() }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().expect("kill");
        assert!(sent.success(), "{name}");
    }

    /// The numbers behind the word that it tells next; what is missing is noted on the way.
    fn next(&mut self, word: &str) -> Vec<u64> {
        loop {
            let line = self.told.recv().expect("a follower that lives");
            assert!(!line.contains("panicked"), "{line}");
            let mut words = line.split(' ');
            let first = words.next();
            let numbers: Vec<u64> = words.filter_map(|text| text.parse().ok()).collect();
            match (first, &numbers[..]) {
                (Some("gap"), &[from, to]) => self.gaps.push((from, to)),
                (Some(first), _) if first == word => return numbers,
                _ => {}
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It has ended, unless this process fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_follower_in_another_process_sees_or_is_told_of_every_record_over_all_rotations() {
    let rotations = (rounds() * 10).max(500);
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.expect("a directory");
    let place = directory.path().join("journal");
    let options = JournalOptions::default()
        .with_fsync(Fsync::Interval(Duration::from_millis(50)))
        .with_segment_bytes(SEGMENT)
        .with_keep_events(Some(KEPT * RECORDS))
        .with_compression(1);
    let mut journal = Journal::open(&place, options).expect("it opens");
    let last = rotations * RECORDS;
    let mut follower = Follower::start(&place, last);
    let (mut at, mut is_stopped) = (0, false);
    // What it may miss: from the record it had come to when it was stopped to the last one that was
    // removed when it went on.
    let mut may_miss = Vec::new();
    for number in 1..=rotations {
        match number % EVERY {
            100 => {
                follower.signal("-STOP");
                is_stopped = true;
                may_miss.push((number.saturating_sub(BEHIND + 2) * RECORDS, last));
            }
            rest if rest == 100 + STOPPED => {
                follower.signal("-CONT");
                is_stopped = false;
                may_miss.last_mut().expect("it was stopped").1 = (number - KEPT) * RECORDS;
            }
            _ => {}
        }
        while !is_stopped && number > at + BEHIND {
            at = follower.next("at")[0];
        }
        let first = (number - 1) * RECORDS + 1;
        let batch: Vec<_> = (first..first + RECORDS).map(record).collect();
        journal.append(&batch).expect("appended");
    }
    if is_stopped {
        follower.signal("-CONT");
    }
    journal.flush().expect("flushed");
    let numbers = follower.next("end");
    let &[seen, open] = &numbers[..] else { panic!("{numbers:?}") };
    let gaps = &follower.gaps;
    let missed: u64 = gaps.iter().map(|(from, to)| to + 1 - from).sum();
    let upkeep = journal.upkeep().stats();
    eprintln!(
        "{rotations} rotations: {seen} seen, {missed} told missing in {} gaps; {} segments \
         compressed, {} removed",
        gaps.len(),
        upkeep.compressed_segments,
        upkeep.removed_segments
    );
    assert_eq!(seen + missed, last, "each record was seen, or told missing");
    assert!(missed > 0, "it was never lapped");
    for (from, to) in gaps {
        let is_lapped = |(first, end): &(u64, u64)| first <= from && to <= end;
        assert!(may_miss.iter().any(is_lapped), "{from} to {to} are missing, not of {may_miss:?}");
    }
    assert!(open <= 2, "{open} of the journal's files are open in the follower");
    assert!(upkeep.failing.is_none(), "{upkeep:?}");
    assert!(
        upkeep.compressed_segments > 0 && upkeep.removed_segments > rotations / 2,
        "{upkeep:?}"
    );
    drop(journal);

    let reader = JournalReader::open(&place).expect("a reader");
    let check = reader.verify().expect("verified");
    assert!(check.is_clean(), "{check:?}");
    assert!(check.records >= KEPT * RECORDS, "{check:?}");
    let journal = Journal::open(&place, JournalOptions::default()).expect("it opens again");
    assert_eq!(journal.last_sequence(), Some(Sequence::new(last)));
}

/// The other process. As a test of its own it does nothing.
#[test]
fn child_follows_until_it_has_seen_all() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let last: u64 = env::var(LAST).expect("a number").parse().expect("a number");
    let reader = JournalReader::open(directory).expect("a reader");
    let mut follow = reader.follow(Start::Sequence(Sequence::FIRST)).expect("followed");
    let (mut seen, mut at, mut open) = (0, 0, 0);
    let mut expected = 1;
    let mut told = io::stderr();
    while expected <= last {
        let Some(entry) = follow.poll().expect("readable") else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        if let Some(missing) = entry.missing {
            assert_eq!(missing.from.get(), expected, "what is missing begins behind what was seen");
            writeln!(told, "gap {} {}", missing.from, missing.to).expect("a parent");
            expected = missing.to.get() + 1;
        }
        let sequence = entry.sequence.expect("a sequence").get();
        assert_eq!(sequence, expected, "a record is missing, or there twice");
        let published = record(sequence).event;
        assert_eq!((entry.event.id(), entry.event.data()), (published.id(), published.data()));
        seen += 1;
        expected += 1;
        if entry.position.segment > at {
            at = entry.position.segment;
            open = open.max(open_files(directory));
            writeln!(told, "at {at}").expect("a parent");
        }
    }
    writeln!(told, "end {seen} {open}").expect("a parent");
}

/// How many files of this directory this process has open.
fn open_files(directory: &Path) -> u64 {
    let files = fs::read_dir("/proc/self/fd").expect("this system tells");
    let paths = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    paths.filter(|path| path.starts_with(directory)).count() as u64
}
