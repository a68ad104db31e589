//! The journal on real files: what a crash, a full disk, a second writer, a link or a flipped bit
//! may do to it, and what they may not.
#![cfg(all(feature = "jsonl", unix))]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use ringpost::event::Event;
use ringpost::event::json::Checksum;
use ringpost::store::journal::{Entry, Fsync, Journal, JournalOptions, JournalReader, Start};
use ringpost::store::{Record, Store, StoreErrorKind};
use ringpost::{Sequence, Shared};
use tempfile::TempDir;

fn record(sequence: u64) -> Record {
    let event = Event::builder("journal.test")
        .id(format!("id-{sequence}"))
        .source("tests")
        .raw_json(format!("{{\"n\":{sequence}}}"))
        .build()
        .expect("a valid event");
    Record { sequence: Sequence::new(sequence), event: Shared::new(event) }
}

fn records(sequences: impl IntoIterator<Item = u64>) -> Vec<Record> {
    sequences.into_iter().map(record).collect()
}

/// A directory in memory where there is one: tests that open thousands of journals sync each.
fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

fn options(fsync: Fsync) -> JournalOptions {
    JournalOptions::default().with_fsync(fsync)
}

fn open(directory: &Path) -> Journal {
    Journal::open(directory, options(Fsync::Never)).expect("the journal opens")
}

/// A journal of these sequences in one segment; the bytes of the segment.
fn written(directory: &Path, sequences: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut journal = open(directory);
    journal.append(&records(sequences)).expect("appended");
    drop(journal);
    fs::read(segment(directory, 1)).expect("the segment")
}

fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.jsonl"))
}

fn entries(directory: &Path) -> Vec<Entry> {
    let reader = JournalReader::open(directory).expect("a reader");
    reader.records().expect("records").collect::<Result<_, _>>().expect("readable")
}

fn sequences(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.sequence.expect("a sequence").get()).collect()
}

/// The end offset of each line, newline included.
fn line_ends(bytes: &[u8]) -> Vec<usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect()
}

#[test]
fn a_journal_cut_at_any_byte_keeps_every_whole_record_and_goes_on_behind_it() {
    let made = quick_dir();
    let bytes = written(made.path(), 1..=20);
    let ends = line_ends(&bytes);
    let scratch = quick_dir();
    for cut in bytes.len().saturating_sub(4096)..=bytes.len() {
        let directory = scratch.path().join(cut.to_string());
        fs::create_dir(&directory).expect("a directory");
        fs::write(segment(&directory, 1), &bytes[..cut]).expect("written");
        // The last line's newline is all that may be missing from a whole record.
        let whole = ends.iter().filter(|end| **end <= cut + 1).count() as u64;

        let mut journal = open(&directory);
        assert_eq!(journal.last_sequence().map_or(0, Sequence::get), whole, "cut at {cut}");
        let rest =
            cut - ends.iter().copied().filter(|end| *end <= cut + 1).max().unwrap_or(0).min(cut);
        let torn = journal.recovery().torn.clone();
        assert_eq!(torn.as_ref().map_or(0, |torn| torn.bytes), rest as u64, "cut at {cut}");
        if let Some(torn) = torn {
            let kept = fs::read(&torn.kept_in).expect("the torn tail is kept");
            assert_eq!(kept, &bytes[cut - rest..cut]);
        }
        journal.append(&records([whole + 1])).expect("appended");
        drop(journal);
        assert_eq!(sequences(&entries(&directory)), (1..=whole + 1).collect::<Vec<_>>());
        let reader = JournalReader::open(&directory).expect("a reader");
        assert!(reader.verify().expect("verified").is_clean(), "cut at {cut}");
        fs::remove_dir_all(&directory).expect("removed");
    }
}

#[test]
fn every_flipped_bit_is_detected_and_costs_no_other_record() {
    let made = quick_dir();
    let bytes = written(made.path(), 1..=3);
    let originals = entries(made.path());
    let ends = line_ends(&bytes);
    let directory = quick_dir();
    for at in 0..bytes.len() {
        let line = ends.iter().position(|end| at < *end).expect("in a line");
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            fs::write(segment(directory.path(), 1), &damaged).expect("written");
            let reader = JournalReader::open(directory.path()).expect("a reader");
            let found = reader.verify().expect("verified");
            assert!(!found.is_clean(), "bit {bit} of byte {at}: {found:?}");

            // A hit newline touches the record after it, too.
            let newline = bytes[at] == b'\n';
            let lost = if newline { line..=line + 1 } else { line..=line };
            let kept = originals.iter().enumerate().filter(|(n, _)| !lost.contains(n));
            let expected: Vec<_> = kept.map(|(_, entry)| &entry.line).collect();
            let held = entries(directory.path());
            let held: Vec<_> = held.iter().map(|entry| &entry.line).collect();
            assert_eq!(held, expected, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_does_not_keep_a_journal_from_going_on() {
    let made = quick_dir();
    let bytes = written(made.path(), 1..=3);
    let scratch = quick_dir();
    for at in 0..bytes.len() {
        let directory = scratch.path().join(at.to_string());
        fs::create_dir(&directory).expect("a directory");
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(segment(&directory, 1), &damaged).expect("written");
        let before = sequences(&entries(&directory));

        let mut journal = open(&directory);
        let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
        journal.append(&records([next])).expect("appended");
        drop(journal);
        let after = sequences(&entries(&directory));
        assert_eq!(after, [&before[..], &[next]].concat(), "byte {at}");
        fs::remove_dir_all(&directory).expect("removed");
    }
}

#[test]
fn recovery_changes_nothing_the_second_time() {
    let directory = quick_dir();
    let mut bytes = written(directory.path(), 1..=9);
    bytes.truncate(bytes.len() - 7);
    fs::write(segment(directory.path(), 1), &bytes).expect("written");
    drop(open(directory.path()));
    let contents = |directory: &Path| {
        let mut all: Vec<_> = fs::read_dir(directory)
            .expect("listed")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.file_name() != Some("lock".as_ref()))
            .map(|path| (path.clone(), fs::read(path).expect("read")))
            .collect();
        all.sort();
        all
    };
    let first = contents(directory.path());
    assert_eq!(first.len(), 2, "the segment and its torn tail");
    let journal = open(directory.path());
    assert_eq!(journal.recovery().torn, None);
    assert!(!journal.recovery().newline_added);
    drop(journal);
    assert_eq!(contents(directory.path()), first);
}

#[test]
fn a_crash_while_a_torn_tail_is_set_aside_loses_nothing_of_it() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=4);
    let cut = bytes.len() - 20;
    let tail_start = line_ends(&bytes)[2];
    let torn = directory.path().join("00000000000000000001.torn");
    // The copy stopped after some bytes; the original is still there.
    for copied in [0, 1, cut - tail_start - 1, cut - tail_start] {
        fs::write(segment(directory.path(), 1), &bytes[..cut]).expect("written");
        fs::write(&torn, &bytes[tail_start..tail_start + copied]).expect("written");
        assert!(open(directory.path()).recovery().torn.is_some());
        assert_eq!(fs::read(&torn).expect("kept"), &bytes[tail_start..cut]);
    }
    // Another tail of the same segment does not replace the first.
    fs::write(segment(directory.path(), 1), &bytes[..cut - 5]).expect("written");
    let journal = open(directory.path());
    let second = journal.recovery().torn.clone().expect("torn again");
    assert_ne!(second.kept_in, torn);
    assert_eq!(fs::read(&torn).expect("kept"), &bytes[tail_start..cut]);
    assert_eq!(fs::read(second.kept_in).expect("kept"), &bytes[tail_start..cut - 5]);
}

#[test]
fn a_tail_of_zeros_as_a_power_cut_leaves_it_is_set_aside() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=4);
    fs::write(segment(directory.path(), 1), [&bytes[..], &[0; 5000]].concat()).expect("written");
    let mut journal = open(directory.path());
    assert_eq!(journal.recovery().torn.as_ref().expect("torn").bytes, 5000);
    journal.append(&records([5])).expect("appended");
    assert_eq!(sequences(&entries(directory.path())), [1, 2, 3, 4, 5]);
}

#[test]
fn damage_in_the_middle_is_stepped_over_told_with_its_offset_and_never_repaired() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=6);
    let ends = line_ends(&bytes);
    let garbage = b"\xff\xfe garbage \x00\n";
    let damaged = [&bytes[..ends[2]], garbage, &bytes[ends[2]..]].concat();
    fs::write(segment(directory.path(), 1), &damaged).expect("written");
    let mut journal = open(directory.path());
    journal.append(&records([7])).expect("appended");
    let now = fs::read(segment(directory.path(), 1)).expect("read");
    assert!(now.starts_with(&damaged));

    let mut found = journal.reader().records().expect("records");
    assert_eq!(found.by_ref().count(), 7);
    assert_eq!(found.damaged(), 1);
    let damage = found.first_damage().expect("told");
    assert_eq!((damage.offset, damage.length), (ends[2] as u64, garbage.len() as u64 - 1));
    assert_eq!(damage.file, segment(directory.path(), 1));
    let check = journal.reader().verify().expect("verified");
    assert_eq!((check.records, check.valid, check.damaged), (8, 7, 1));
}

#[test]
fn an_over_long_line_costs_itself_alone() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=2);
    let ends = line_ends(&bytes);
    let long = vec![b'x'; 20 * 1024 * 1024];
    let damaged = [&bytes[..ends[0]], &long, b"\n", &bytes[ends[0]..], &long].concat();
    fs::write(segment(directory.path(), 1), damaged).expect("written");
    let mut journal = open(directory.path());
    assert_eq!(journal.recovery().torn.as_ref().expect("torn").bytes, long.len() as u64);
    journal.append(&records([3])).expect("appended");
    assert_eq!(sequences(&entries(directory.path())), [1, 2, 3]);
    assert_eq!(journal.reader().tail(3).expect("a tail").damaged, 1);
}

#[test]
fn only_one_writer_gets_a_directory_and_the_next_one_after_it() {
    let directory = quick_dir();
    let mut journal = open(directory.path());
    let error = Journal::open(directory.path(), JournalOptions::default()).expect_err("locked");
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    journal.append(&records([1])).expect("the first one is undisturbed");
    drop(journal);
    assert_eq!(open(directory.path()).last_sequence(), Some(Sequence::new(1)));
}

#[test]
fn of_many_writers_at_once_exactly_one_gets_the_directory() {
    for _ in 0..25 {
        let directory = quick_dir();
        let barrier = std::sync::Barrier::new(4);
        let opened = thread::scope(|scope| {
            let start = || {
                barrier.wait();
                let opened = Journal::open(directory.path(), JournalOptions::default());
                // Nobody gives it back before all have tried.
                barrier.wait();
                opened.map(drop).map_err(|error| error.kind())
            };
            let all: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1, "{opened:?}");
        assert!(opened.iter().all(|o| matches!(o, Ok(()) | Err(StoreErrorKind::Locked))));
    }
}

#[test]
fn readers_that_ask_for_a_living_writer_do_not_keep_writers_out() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=2);
    fs::write(segment(directory.path(), 1), &bytes[..bytes.len() - 3]).expect("written");
    let reader = JournalReader::open(directory.path()).expect("a reader");
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            for _ in 0..200 {
                reader.verify().expect("verified");
            }
        });
        while !asking.is_finished() {
            drop(open(directory.path()));
        }
    });
}

// Children: this binary runs one of its own tests in another process.

const CHILD: &str = "RINGPOST_TEST_DIRECTORY";

fn directory_of_child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// A command that runs `test` of this binary on `directory`, behind `wrapper` if there is one.
fn child(wrapper: &[&str], test: &str, directory: &Path) -> Command {
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

fn run_child(wrapper: &[&str], test: &str, directory: &Path) {
    let output = child(wrapper, test, directory).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "the child ran no test: {text}\n{errors}");
}

/// Ends the child also when a test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn child_holds_the_journal_until_it_is_killed() {
    let Some(directory) = directory_of_child() else { return };
    let mut journal = Journal::open(directory, options(Fsync::Batch)).expect("the journal opens");
    for sequence in 1.. {
        journal.append(&records([sequence])).expect("appended");
        println!("\nwritten {sequence}");
        std::io::stdout().flush().expect("the parent reads");
    }
}

#[test]
fn a_killed_writer_leaves_its_lock_free_and_every_acknowledged_record_in_place() {
    for round in 0..5 {
        let directory = quick_dir();
        let mut holder = child(&[], "child_holds_the_journal_until_it_is_killed", directory.path());
        let mut holder = Killed(holder.stdout(Stdio::piped()).spawn().expect("a child"));
        // Open until the end: it must die by the kill, not by a closed pipe.
        let mut lines = BufReader::new(holder.0.stdout.take().expect("its output")).lines();
        let mut acknowledged = 0;
        for line in lines.by_ref() {
            if let Some(number) = line.expect("text").strip_prefix("written ") {
                acknowledged = number.parse().expect("a number");
            }
            if acknowledged == 1 + round * 40 {
                break;
            }
        }
        let error = Journal::open(directory.path(), JournalOptions::default());
        assert_eq!(error.expect_err("it is held").kind(), StoreErrorKind::Locked);
        drop(holder);

        let journal = open(directory.path());
        assert!(journal.last_sequence() >= Some(Sequence::new(acknowledged)));
        drop(journal);
        let all = sequences(&entries(directory.path()));
        assert!(all.len() as u64 >= acknowledged);
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    }
}

#[test]
fn child_fills_the_disk_and_goes_on_when_there_is_room() {
    let Some(directory) = directory_of_child() else { return };
    let ballast = directory.join("ballast");
    fs::write(&ballast, vec![0; 64 * 1024]).expect("room for the ballast");
    let journal = directory.join("journal");
    let mut store = Journal::open(&journal, options(Fsync::Batch)).expect("the journal opens");
    let mut next = 1;
    let (batch, error) = loop {
        let batch = records(next..next + 20);
        match store.append(&batch) {
            Ok(()) => next += 20,
            Err(error) => break (batch, error),
        }
    };
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert!(error.is_transient());
    let written = store.watermarks().written.map_or(0, Sequence::get);
    assert!(written >= next - 1);
    assert_eq!(sequences(&entries(&journal)), (1..=written).collect::<Vec<_>>());
    for _ in 0..3 {
        store.append(&batch).expect_err("still full");
        assert_eq!(fs::read(segment(&journal, 1)).expect("read").last(), Some(&b'\n'));
    }
    fs::remove_file(&ballast).expect("removed");
    store.append(&batch).expect("there is room again");
    assert_eq!(store.watermarks().durable, Some(Sequence::new(next + 19)));
    drop(store);
    assert_eq!(sequences(&entries(&journal)), (1..=next + 19).collect::<Vec<_>>());
    let check = JournalReader::open(&journal).expect("a reader").verify().expect("verified");
    assert!(check.is_clean(), "{check:?}");
}

#[test]
fn a_full_disk_is_told_and_writing_goes_on_when_there_is_room() {
    let mounted =
        "mount -t tmpfs -o size=256k none \"$RINGPOST_TEST_DIRECTORY\" && exec \"$0\" \"$@\"";
    let allowed = Command::new("unshare").args(["-m", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: no right to mount a small disk (the same with a test disk: store::journal)"
        );
        return;
    }
    let directory = quick_dir();
    let wrapper = ["unshare", "-m", "sh", "-c", mounted];
    run_child(&wrapper, "child_fills_the_disk_and_goes_on_when_there_is_room", directory.path());
    assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0, "it was a mount");
}

#[test]
fn child_writes_more_than_a_file_may_hold() {
    let Some(directory) = directory_of_child() else { return };
    let mut store = Journal::open(directory, options(Fsync::Batch)).expect("the journal opens");
    for first in (1..400).step_by(40) {
        store.append(&records(first..first + 40)).expect("the next segment has room");
    }
    assert_eq!(store.watermarks().durable, Some(Sequence::new(400)));
}

#[test]
fn a_limit_on_the_size_of_a_file_begins_new_segments() {
    let directory = quick_dir();
    let limited = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    run_child(&["sh", "-c", limited], "child_writes_more_than_a_file_may_hold", directory.path());
    assert_eq!(sequences(&entries(directory.path())), (1..=400).collect::<Vec<_>>());
    let reader = JournalReader::open(directory.path()).expect("a reader");
    assert!(reader.stats().expect("stats").segments > 3);
    assert!(reader.verify().expect("verified").is_clean());
}

#[test]
fn child_makes_a_journal() {
    let Some(directory) = directory_of_child() else { return };
    let mut journal = open(&directory.join("deep/journal"));
    journal.append(&records([1])).expect("appended");
    drop(journal);
    let cut = fs::read(segment(&directory.join("deep/journal"), 1)).expect("read").len() - 9;
    let file = OpenOptions::new().write(true).open(segment(&directory.join("deep/journal"), 1));
    file.expect("its own").set_len(cut as u64).expect("cut");
    drop(open(&directory.join("deep/journal")));
}

#[test]
fn its_files_are_for_their_owner_alone_whatever_the_umask() {
    for umask in ["0", "077"] {
        let directory = quick_dir();
        let masked = format!("umask {umask}; exec \"$0\" \"$@\"");
        run_child(&["sh", "-c", &masked], "child_makes_a_journal", directory.path());
        let journal = directory.path().join("deep/journal");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode(&journal), 0o700);
        let mut files = 0;
        for file in fs::read_dir(&journal).expect("listed") {
            let path = file.expect("an entry").path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
        assert_eq!(files, 3, "a segment, its torn tail and the lock");
    }
}

#[test]
fn a_directory_that_others_may_write_into_is_told() {
    let directory = quick_dir();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("changed");
    assert!(open(directory.path()).recovery().open_to_others);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    assert!(!open(directory.path()).recovery().open_to_others);
}

#[test]
fn links_and_pipes_are_refused_and_what_they_lead_to_is_untouched() {
    let elsewhere = quick_dir();
    let target = elsewhere.path().join("target");
    fs::write(&target, "precious").expect("written");
    let refused = |directory: &Path| {
        let error = Journal::open(directory, JournalOptions::default()).expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
        assert_eq!(fs::read(&target).expect("still there"), b"precious");
    };
    for name in ["lock", "00000000000000000001.jsonl"] {
        let directory = quick_dir();
        symlink(&target, directory.path().join(name)).expect("linked");
        refused(directory.path());
    }
    let directory = quick_dir();
    fs::hard_link(&target, segment(directory.path(), 1)).expect("linked");
    refused(directory.path());

    let directory = quick_dir();
    let made = Command::new("mkfifo").arg(segment(directory.path(), 1)).status().expect("mkfifo");
    assert!(made.success());
    refused(directory.path());

    let real = quick_dir();
    let link = elsewhere.path().join("link");
    symlink(real.path(), &link).expect("linked");
    refused(&link);
    assert_eq!(fs::read_dir(real.path()).expect("listed").count(), 0);
}

#[test]
fn a_reader_follows_no_link_inside_a_journal() {
    let directory = quick_dir();
    written(directory.path(), 1..=2);
    symlink(segment(directory.path(), 1), segment(directory.path(), 2)).expect("linked");
    let reader = JournalReader::open(directory.path()).expect("a reader");
    let error = reader.records().expect("records").find_map(Result::err).expect("refused");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
}

#[test]
fn a_follower_sees_every_record_once_and_in_order_over_many_segments() {
    const COUNT: u64 = 4000;
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(3000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    let reader = journal.reader();
    let mut follow = reader.follow(Start::First).expect("followed");
    thread::scope(|scope| {
        scope.spawn(|| {
            for first in (1..COUNT).step_by(8) {
                journal.append(&records(first..first + 8)).expect("appended");
            }
        });
        for expected in 1..=COUNT {
            let entry = loop {
                match follow.poll().expect("readable") {
                    Some(entry) => break entry,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(entry.sequence, Some(Sequence::new(expected)));
        }
    });
    assert_eq!(follow.damaged(), 0);
    assert!(follow.poll().expect("readable").is_none());
    assert!(follow.position().segment > 100);
}

#[test]
fn a_line_that_a_living_writer_has_not_finished_is_neither_damage_nor_shown() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=3);
    let ends = line_ends(&bytes);
    let journal = open(directory.path());
    let reader = journal.reader();
    let mut follow = reader.follow(Start::First).expect("followed");
    let path = segment(directory.path(), 1);
    fs::write(&path, &bytes[..ends[1] + 30]).expect("written");

    let check = reader.verify().expect("verified");
    assert!(check.is_clean(), "{check:?}");
    assert_eq!((check.records, check.torn_bytes), (2, 0));
    assert_eq!(reader.stats().expect("stats").damaged, 0);
    let tail = reader.tail(10).expect("a tail");
    assert_eq!((tail.entries.len(), tail.damaged), (2, 0));
    assert_eq!(tail.next.offset, ends[1] as u64);
    let mut seen = Vec::new();
    while let Some(entry) = follow.poll().expect("readable") {
        seen.push(entry);
    }
    assert_eq!(sequences(&seen), [1, 2]);

    // The same without a writer is a torn tail.
    drop(journal);
    assert_eq!(reader.verify().expect("verified").torn_bytes, 30);

    // Its end arrives.
    let mut file = OpenOptions::new().append(true).open(&path).expect("opened");
    file.write_all(&bytes[ends[1] + 30..]).expect("written");
    let mut from_tail = reader.follow(tail.end()).expect("followed");
    for follow in [&mut follow, &mut from_tail] {
        let entry = follow.poll().expect("readable").expect("whole now");
        assert_eq!(entry.sequence, Some(Sequence::new(3)));
        assert!(follow.poll().expect("readable").is_none());
    }
}

/// Found by mangling journals: a scan gave out such a record and a follower passed it over.
#[test]
fn a_record_that_lacks_its_newline_before_a_newer_segment_is_shown_by_every_reader() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=2);
    fs::write(segment(directory.path(), 1), &bytes[..bytes.len() - 1]).expect("written");
    fs::write(segment(directory.path(), 2), "").expect("written");
    let mut journal = open(directory.path());
    journal.append(&records([3])).expect("appended");
    let reader = journal.reader();
    let mut follow = reader.follow(Start::First).expect("followed");
    let followed: Vec<_> = std::iter::from_fn(|| follow.poll().expect("readable")).collect();
    assert_eq!(sequences(&followed), [1, 2, 3]);
    assert_eq!(sequences(&entries(directory.path())), [1, 2, 3]);
    assert_eq!(sequences(&reader.tail(3).expect("a tail").entries), [1, 2, 3]);
}

#[test]
fn a_piece_that_is_cut_off_and_written_anew_does_not_confuse_a_follower() {
    let directory = quick_dir();
    let bytes = written(directory.path(), 1..=3);
    let ends = line_ends(&bytes);
    let path = segment(directory.path(), 1);
    fs::write(&path, &bytes[..ends[0] + 25]).expect("written");
    let reader = JournalReader::open(directory.path()).expect("a reader");
    let mut follow = reader.follow(Start::First).expect("followed");
    assert_eq!(follow.poll().expect("readable").expect("one").sequence, Some(Sequence::new(1)));
    assert!(follow.poll().expect("readable").is_none());
    // A new writer sets the piece aside and gives the sequence to another event.
    let mut journal = open(directory.path());
    journal.append(&records([2])).expect("appended");
    let entry = follow.poll().expect("readable").expect("the new one");
    assert_eq!(entry.event.id(), "id-2");
    assert_eq!(follow.damaged(), 0);
}

#[test]
fn a_follower_begins_where_it_is_told() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(2000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    let reader = journal.reader();
    let mut before_all = reader.follow(Start::End).expect("followed");
    assert!(before_all.poll().expect("readable").is_none());
    let mut later = reader.follow(Start::Sequence(Sequence::new(45))).expect("followed");
    journal.append(&records((1..=40).filter(|n| n % 2 == 0))).expect("appended");
    let mut end = reader.follow(Start::End).expect("followed");
    let mut middle = reader.follow(Start::Sequence(Sequence::new(21))).expect("followed");
    journal.append(&records(41..=50)).expect("appended");
    let drain = |follow: &mut ringpost::store::journal::Follow| {
        let mut all = Vec::new();
        while let Some(entry) = follow.poll().expect("readable") {
            all.push(entry);
        }
        sequences(&all)
    };
    let held: Vec<u64> = (1..=40).filter(|n| n % 2 == 0).chain(41..=50).collect();
    assert_eq!(drain(&mut before_all), held);
    assert_eq!(drain(&mut end), (41..=50).collect::<Vec<_>>());
    assert_eq!(drain(&mut middle), held[10..]);
    assert_eq!(drain(&mut later), (45..=50).collect::<Vec<_>>());
}

#[test]
fn a_follower_goes_on_when_segments_are_removed_or_cut_under_it() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(1000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    journal.append(&records(1..=3)).expect("appended");
    let mut follow = journal.reader().follow(Start::First).expect("followed");
    assert!(follow.poll().expect("readable").is_some());
    journal.append(&records(4..=40)).expect("appended");
    for number in 1..=3 {
        fs::remove_file(segment(directory.path(), number)).expect("removed");
    }
    let mut last = 1;
    while let Some(entry) = follow.poll().expect("readable") {
        let sequence = entry.sequence.expect("a sequence").get();
        assert!(sequence > last);
        last = sequence;
    }
    assert_eq!(last, 40);
    let position = follow.position();
    let file = OpenOptions::new().write(true).open(segment(directory.path(), position.segment));
    file.expect("opened").set_len(0).expect("cut");
    assert!(follow.poll().expect("readable").is_none());
    assert_eq!(follow.damaged(), 1, "told once");
    journal.append(&records([41])).expect("appended");
    assert_eq!(follow.poll().expect("readable").expect("one").sequence, Some(Sequence::new(41)));
    assert_eq!(follow.damaged(), 1);
}

#[test]
fn verify_counts_what_is_there_and_names_what_is_not() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(1500);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    journal.append(&records([5, 6, 9, 10, 11, 12, 20])).expect("appended");
    let check = journal.reader().verify().expect("verified");
    assert_eq!((check.records, check.valid, check.unchecked, check.damaged), (7, 7, 0, 0));
    let gaps: Vec<_> = check.gaps.iter().map(|gap| (gap.from.get(), gap.to.get())).collect();
    assert_eq!(gaps, [(7, 8), (13, 19)]);
    assert!(!check.is_clean());

    let stats = journal.reader().stats().expect("stats");
    assert_eq!(stats.events, 7);
    assert!(stats.segments > 1);
    assert_eq!(stats.first_sequence, Some(Sequence::new(5)));
    assert_eq!(stats.last_sequence, Some(Sequence::new(20)));
    assert_eq!(stats.types["journal.test"], 7);
    assert_eq!(stats.topics["journal.test"], 7);
    assert_eq!(stats.sources["tests"], 7);
    let files = fs::read_dir(directory.path()).expect("listed").map(|file| file.expect("one"));
    let sizes = files.filter(|file| file.path().extension() == Some("jsonl".as_ref()));
    assert_eq!(stats.bytes, sizes.map(|file| file.metadata().expect("known").len()).sum::<u64>());
}

#[test]
fn a_plain_file_of_foreign_events_is_read_and_nothing_in_it_is_hidden() {
    let directory = quick_dir();
    let journal = written(&directory.path().join("journal"), 1..=2);
    let foreign = r#"{"specversion":"1.0","id":"a","source":"s","type":"t","data":{"x":1.0}}"#;
    let path = directory.path().join("events.jsonl");
    // The same journal twice, foreign lines, a blank one, a bad one, and no newline at the end.
    let text = [
        &journal[..],
        foreign.as_bytes(),
        b"\n\n{\"nonsense\":1}\n",
        &journal[..],
        foreign.as_bytes(),
    ]
    .concat();
    fs::write(&path, text).expect("written");
    let reader = JournalReader::open(&path).expect("a reader");
    let mut found = reader.records().expect("records");
    let all: Vec<_> = found.by_ref().map(|entry| entry.expect("readable")).collect();
    assert_eq!(all.len(), 6);
    assert_eq!(found.damaged(), 1);
    assert_eq!(all[2].sequence, None);
    assert_eq!(all[2].checksum, Checksum::Missing);
    assert_eq!(all[2].line, foreign.as_bytes());
    let check = reader.verify().expect("verified");
    assert_eq!((check.records, check.valid, check.unchecked, check.damaged), (7, 4, 2, 1));
    assert_eq!((check.duplicates, check.rewritten, check.torn_bytes), (2, 0, 0));
    assert_eq!(reader.stats().expect("stats").events, 6);
    let tail = reader.tail(4).expect("a tail");
    assert_eq!(tail.entries.len(), 4);
    assert_eq!(tail.entries[3].line, foreign.as_bytes());
}

#[test]
fn a_foreign_file_placed_into_a_journal_is_read_as_unchecked() {
    let directory = quick_dir();
    written(directory.path(), 1..=2);
    let foreign = "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"s\",\"type\":\"t\"}\n";
    fs::write(segment(directory.path(), 2), foreign).expect("written");
    let mut journal = open(directory.path());
    assert_eq!(journal.last_sequence(), Some(Sequence::new(2)));
    journal.append(&records([3])).expect("appended");
    let check = journal.reader().verify().expect("verified");
    assert_eq!((check.valid, check.unchecked, check.damaged), (3, 1, 0));
    let stored: Vec<_> = journal.scan(Sequence::FIRST).expect("a scan").collect();
    assert_eq!(stored.len(), 3, "a foreign line has no sequence");
}

#[test]
fn a_copy_of_an_old_segment_at_the_end_does_not_hide_what_comes() {
    let directory = quick_dir();
    let settings = options(Fsync::Never).with_segment_bytes(1000);
    let mut journal = Journal::open(directory.path(), settings).expect("the journal opens");
    journal.append(&records(1..=20)).expect("appended");
    drop(journal);
    fs::copy(segment(directory.path(), 1), segment(directory.path(), 50)).expect("copied");
    let mut journal = open(directory.path());
    assert_eq!(journal.last_sequence(), Some(Sequence::new(20)));
    journal.append(&records([21])).expect("appended");
    assert_eq!(sequences(&entries(directory.path())), (1..=21).collect::<Vec<_>>());
}

#[test]
fn a_compressed_segment_is_refused_by_name_instead_of_being_passed_over() {
    let directory = quick_dir();
    written(directory.path(), 1..=2);
    let packed = directory.path().join("00000000000000000001.jsonl.zst");
    fs::rename(segment(directory.path(), 1), packed).expect("renamed");
    for error in [
        JournalReader::open(directory.path()).expect_err("unreadable"),
        Journal::open(directory.path(), JournalOptions::default()).expect_err("unreadable"),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("00000000000000000001.jsonl.zst"), "{error}");
    }
}

#[test]
fn reading_what_is_not_there_says_so_and_makes_nothing() {
    let directory = quick_dir();
    let missing = directory.path().join("missing");
    let error = JournalReader::open(&missing).expect_err("nothing there");
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    assert!(!missing.exists());
}
