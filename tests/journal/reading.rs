//! Readers beside a living writer.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;

use ringpost::event::json::{self, Checksum, encode_record};
use ringpost::event::{Event, Limits};
use ringpost::store::journal::{Fsync, Journal, JournalReader, Start};
use ringpost::store::{Record, Store, StoreErrorKind};
use ringpost::{Sequence, Shared};

use super::support::*;

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
fn the_last_line_of_a_plain_file_tells_nothing_of_the_sequences_before_it() {
    let directory = quick_dir();
    let file = directory.path().join("events.jsonl");
    let line = |sequence: u64| {
        format!(
            r#"{{"specversion":"1.0","id":"{sequence}","source":"s","type":"t","sequence":"{sequence:020}"}}"#
        ) + "\n"
    };
    fs::write(&file, [9, 3].map(line).concat()).expect("written");
    let reader = JournalReader::open(&file).expect("a reader");
    let mut follow = reader.follow(Start::Sequence(Sequence::new(6))).expect("followed");
    let entry = follow.poll().expect("readable").expect("the first");
    assert_eq!(entry.sequence, Some(Sequence::new(9)));
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
fn counting_ends_when_it_is_to_and_tells_what_was_counted() {
    let directory = quick_dir();
    written(directory.path(), 1..=5000);
    let reader = JournalReader::open(directory.path()).expect("a reader");
    let all = reader.stats().expect("counted");
    assert_eq!((all.events, all.stopped), (5000, false));
    let mut asked = 0;
    let some = reader.stats_until(|| {
        asked += 1;
        asked > 2
    });
    let some = some.expect("counted");
    assert_eq!((some.events, some.stopped, asked), (2048, true, 3));
    assert_eq!(some.last_sequence, Some(Sequence::new(2048)));
    assert_eq!((some.bytes, some.segments), (all.bytes, all.segments));
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

/// Lines of a journal of all lengths, and beside them what nobody should have put there.
fn motley(journal: &[u8]) -> Vec<Vec<u8>> {
    let own: Vec<_> = journal.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let foreign = |members: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"f\",\"source\":\"s\",\"type\":\"t\"{members}}}\n"
        )
    };
    let spread = [
        foreign(r#","data":{"x": 1.0, "y":"\u00e9 é"}"#),
        foreign(r#","zone":"z","data":[1,2]"#),
        foreign(r#","data_base64":"AAEC""#),
        foreign(r#","data":{"x":1,}"#),
        foreign(r#","subject":"a\"b","data":"text""#),
        "\n".into(),
        foreign(&format!(",\"data\":\"{}\"", "é".repeat(5000))),
    ];
    let mut all = Vec::new();
    for (at, line) in own.into_iter().enumerate() {
        all.push(line);
        all.push(spread[at % spread.len()].clone().into_bytes());
        if at % 11 == 5 {
            all.push(foreign(",\"data\":\"?\"").replace('?', "\u{80}").into_bytes()[1..].to_vec());
            all.push([&foreign(",\"data\":\"")[..60], "\n"].concat().into_bytes());
            all.push(b"{\"specversion\":\"1.0\",\"id\":\"\xff\"}\n".to_vec());
        }
    }
    all
}

#[test]
fn an_event_that_lies_among_its_neighbours_is_the_one_in_its_line() {
    let directory = quick_dir();
    let sized = |sequence: u64| {
        let text = "x".repeat(sequence as usize * 37 % 6000);
        let event = Event::builder("a.b").id(sequence.to_string()).json(&text).build();
        Record { sequence: Sequence::new(sequence), event: Shared::new(event.expect("valid")) }
    };
    let mut journal = open(directory.path());
    journal.append(&(1..=200).map(sized).collect::<Vec<_>>()).expect("appended");
    drop(journal);
    let own = fs::read(segment(directory.path(), 1)).expect("the segment");
    let path = directory.path().join("motley.jsonl");
    let lines = motley(&own);
    fs::write(&path, lines.concat()).expect("written");

    // One by one, each line has its event or has none.
    let mut offset = 0;
    let (mut expected, mut damaged) = (Vec::new(), 0);
    for line in &lines {
        match json::decode_record(line, &Limits::default()) {
            Ok(record) => expected.push((offset, record)),
            Err(_) => damaged += u64::from(line != b"\n"),
        }
        offset += line.len() as u64;
    }
    assert!(expected.len() > 300 && damaged > 50, "{} {damaged}", expected.len());

    let reader = JournalReader::open(&path).expect("a reader");
    let mut records = reader.records().expect("records");
    for (offset, record) in &expected {
        let entry = records.next().expect("there").expect("readable");
        assert_eq!(entry.position.offset, *offset);
        assert_eq!(entry.event, record.event);
        assert_eq!(entry.event.to_string(), record.event.to_string());
        assert_eq!((entry.sequence, entry.checksum), (record.sequence, record.checksum));
    }
    assert!(records.next().is_none());
    assert_eq!(records.damaged(), damaged);

    // As lists they are the same, and stay so when the reader and their neighbours are gone.
    let mut records = reader.records().expect("records");
    let mut events = Vec::new();
    for most in [0, 1, 7, 64].into_iter().cycle() {
        let before = events.len();
        let read = records.read_events(&mut events, most).expect("readable");
        assert_eq!(events.len(), before + read);
        assert!(read <= most);
        if read == 0 && most > 0 {
            break;
        }
    }
    assert_eq!((records.damaged(), records.missing()), (damaged, 0));
    assert_eq!(records.first_damage().map(|damage| &damage.file), Some(&path));
    assert_eq!(records.read_events(&mut events, 9).expect("at its end"), 0);
    drop(records);
    assert_eq!(events.len(), expected.len());
    let kept: Vec<_> = events.iter().cloned().step_by(3).collect();
    drop(events);
    for (event, (_, record)) in kept.iter().zip(expected.iter().step_by(3)) {
        assert_eq!(**event, record.event);
        assert_eq!(event.data(), record.event.data());
    }
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
fn a_segment_of_another_journal_that_hides_behind_the_same_sequences_is_told() {
    let directory = quick_dir();
    let lines = written(directory.path(), 1..=20);
    // As after a failed sync: the same lines once more.
    let copy = |lines: &[u8]| fs::write(segment(directory.path(), 2), lines).expect("written");
    let verify = || {
        let reader = JournalReader::open(directory.path()).expect("a reader");
        reader.verify().expect("verified")
    };
    copy(&lines);
    let check = verify();
    assert_eq!((check.duplicates, check.rewritten), (20, 20));
    assert!(check.is_clean());
    // The same sequences, other events, each with the right checksum.
    let mut lines = Vec::new();
    for sequence in 1..=20 {
        let event = Event::builder("another").id(format!("{sequence}")).source("elsewhere").build();
        encode_record(&event.expect("an event"), Sequence::new(sequence), &mut lines);
    }
    copy(&lines);
    let check = verify();
    assert_eq!((check.damaged, check.duplicates, check.rewritten), (0, 20, 0));
    assert!(!check.is_clean());
}

#[test]
fn a_copy_of_an_old_segment_at_the_end_does_not_hide_what_comes() {
    let directory = quick_dir();
    with_an_old_copy(directory.path());
    let mut journal = open(directory.path());
    assert_eq!(journal.last_sequence(), Some(Sequence::new(20)));
    journal.append(&records([21])).expect("appended");
    assert_eq!(sequences(&entries(directory.path())), (1..=21).collect::<Vec<_>>());
}

#[test]
#[cfg(not(feature = "zstd"))]
fn a_compressed_segment_is_refused_by_name_instead_of_being_passed_over() {
    let directory = quick_dir();
    written(directory.path(), 1..=2);
    let packed = directory.path().join("00000000000000000001.jsonl.zst");
    fs::rename(segment(directory.path(), 1), packed).expect("renamed");
    for error in [
        JournalReader::open(directory.path()).expect_err("unreadable"),
        Journal::open(directory.path(), options(Fsync::Never)).expect_err("unreadable"),
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
