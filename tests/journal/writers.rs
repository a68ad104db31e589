//! One writer a directory, full disks, and whose files they are.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use ringpost::Sequence;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{Store, StoreErrorKind};

use super::support::*;

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
fn a_lock_whose_file_is_removed_is_held_all_the_same() {
    let directory = quick_dir();
    let mut journal = open(directory.path());
    journal.append(&records([1])).expect("appended");
    fs::remove_file(directory.path().join("lock")).expect("removed");
    let error = Journal::open(directory.path(), JournalOptions::default()).expect_err("locked");
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    // Readers know it too: what is unfinished here is just being written.
    let file = OpenOptions::new().append(true).open(segment(directory.path(), 1));
    file.expect("opened").write_all(b"{\"unfinished").expect("written");
    let reader = JournalReader::open(directory.path()).expect("a reader");
    assert_eq!(reader.verify().expect("verified").torn_bytes, 0);
    drop(journal);
    assert_eq!(reader.verify().expect("verified").torn_bytes, 12);
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
        let mut holder =
            child(&[], "writers::child_holds_the_journal_until_it_is_killed", directory.path());
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
    run_child(
        &wrapper,
        "writers::child_fills_the_disk_and_goes_on_when_there_is_room",
        directory.path(),
    );
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
    run_child(
        &["sh", "-c", limited],
        "writers::child_writes_more_than_a_file_may_hold",
        directory.path(),
    );
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
        run_child(&["sh", "-c", &masked], "writers::child_makes_a_journal", directory.path());
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
    for path in
        [|directory: &Path| segment(directory, 1), |directory: &Path| directory.join("lock")]
    {
        let directory = quick_dir();
        fs::hard_link(&target, path(directory.path())).expect("linked");
        refused(directory.path());
    }

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
