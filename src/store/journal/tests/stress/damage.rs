//! A log cut at every byte, and every bit of its end flipped.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::super::sim::SimFs;
use super::super::{number, on, record};
use crate::store::Store;
use crate::store::journal::segment::SegmentNumber;
use crate::store::journal::{Fsync, JournalReader};

const LENGTH: usize = 64 * 1024;

/// A log of at least [`LENGTH`] bytes, and where its lines end.
fn log() -> (Vec<u8>, Vec<usize>) {
    let disk = SimFs::default();
    let mut journal = on(&disk, Fsync::Never, 1 << 30).expect("opens");
    let (mut bytes, mut sequence) = (Vec::new(), 0);
    while bytes.len() < LENGTH {
        sequence += 1;
        journal.append(&[record(sequence)]).expect("appended");
        bytes = disk.contents(&SegmentNumber(1).file_name());
    }
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends = ends.collect();
    (bytes, ends)
}

#[test]
fn a_log_of_64_kib_cut_at_any_byte_keeps_every_whole_record_and_goes_on() {
    let (bytes, ends) = log();
    let name = SegmentNumber(1).file_name();
    for cut in 0..=LENGTH {
        let disk = SimFs::default();
        disk.put(&name, &bytes[..cut]);
        // A record is whole also where only its newline is missing.
        let whole = ends.partition_point(|end| *end <= cut + 1);
        let start = whole.checked_sub(1).map_or(0, |last| ends[last]).min(cut);

        let mut journal = on(&disk, Fsync::Never, 1 << 30).expect("it opens");
        assert_eq!(number(journal.last_sequence()), whole as u64, "cut at {cut}");
        let torn = disk.contents(&SegmentNumber(1).torn_name(1));
        assert_eq!(torn, &bytes[start..cut], "cut at {cut}: the torn tail is kept");
        journal.append(&[record(whole as u64 + 1)]).expect("appended");
        let tail = journal.tail(2).expect("a tail");
        let tail: Vec<_> = tail.iter().map(|record| record.sequence.get()).collect();
        assert!(tail.ends_with(&[whole as u64 + 1]), "cut at {cut}: {tail:?}");
        assert!(whole == 0 || tail[0] == whole as u64, "cut at {cut}: {tail:?}");
    }
}

#[test]
fn every_flipped_bit_of_the_last_4_kib_is_seen_and_costs_no_other_record() {
    let (bytes, _) = log();
    // Whole lines of at least 4 KiB: what lies before them changes nothing.
    let from = bytes[..bytes.len() - 4096].iter().rposition(|byte| *byte == b'\n');
    let bytes = &bytes[from.map_or(0, |at| at + 1)..];
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let name = SegmentNumber(1).file_name();
    let disk = SimFs::default();
    let (mut line, mut end) = (0, lines[0].len());
    for at in 0..bytes.len() {
        if at == end {
            line += 1;
            end += lines[line].len();
        }
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            disk.put(&name, &flipped);
            let reader = JournalReader::of(Arc::new(disk.clone()));
            let found: Vec<_> = reader.records().expect("records").collect();
            // A hit newline touches the line behind it as well.
            let touched = line..=line + usize::from(bytes[at] == b'\n');
            let kept = lines.iter().enumerate().filter(|(n, _)| !touched.contains(n));
            let kept: Vec<_> = kept.map(|(_, line)| &line[..line.len() - 1]).collect();
            let found: Vec<_> =
                found.iter().map(|one| &one.as_ref().expect("readable").line[..]).collect();
            assert_eq!(found, kept, "bit {bit} of byte {at}");
            let seen = reader.verify().expect("verified");
            assert!(!seen.is_clean(), "bit {bit} of byte {at} is not seen");
        }
    }
}
