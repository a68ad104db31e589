//! K6: a file system that becomes read-only. Under a writer only its own failure makes it so (the
//! system refuses to while a file is open for writing), which ext4 can be told of; without one it is
//! remounted. Nobody waits longer than they asked for, and each event is in the journal or told.

use std::error::Error as _;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{
    PersistOptions, ReceiptError, Store as _, StoreError, StoreErrorKind, Trouble,
};
use ringpost::{EventBus, PublishError, Sequence};

use super::judge::{read, recover, recover_from};
use super::load::{SEGMENT_BYTES, events};
use super::rig::{Mount, patience, rounds, run};

const PUBLISH_TIMEOUT: Duration = Duration::from_millis(20);
const RING: u64 = 1024;

fn is_read_only(error: &StoreError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.raw_os_error() == Some(libc::EROFS))
}

#[test]
fn a_disk_that_becomes_read_only_holds_nobody_and_takes_nothing_acknowledged() {
    let events = events(None);
    for fsync in [Fsync::Batch, Fsync::Interval(Duration::from_millis(20)), Fsync::Never] {
        for _ in 0..rounds().div_ceil(20) {
            let Some(mut mount) = Mount::new() else { return };
            let place = mount.place().join("journal");
            let options = JournalOptions::default().with_fsync(fsync);
            let journal = Journal::open(&place, options.with_segment_bytes(SEGMENT_BYTES));
            let bus = EventBus::builder().ring(1024).recent(0).publish_timeout(PUBLISH_TIMEOUT);
            let bus = bus.build();
            let (told, causes) = mpsc::channel();
            let persist = PersistOptions {
                longest_pause: Duration::from_millis(20),
                observer: Some(Box::new(move |trouble| {
                    if let Trouble::Failed { error, .. } = trouble {
                        told.send(error.clone()).ok();
                    }
                })),
                ..PersistOptions::default()
            };
            let persistence = bus.persist(journal.expect("it opens"), persist).expect("a thread");
            let receipts = persistence.receipts();
            let mut published = 0_u64;
            let mut publish =
                || match bus.publish(events[published as usize % events.len()].clone()) {
                    Ok(_) => {
                        published += 1;
                        true
                    }
                    Err(PublishError::Full(_)) => false,
                    Err(error) => panic!("{error}"),
                };
            for _ in 0..5 * RING {
                while !publish() {}
            }
            run("mount", &["-o", "remount,abort", mount.place().to_str().expect("plain")])
                .expect("ext4 ends itself");
            let mut refused = 0;
            // Were one call to wait for the disk, this would not come to its end.
            while refused < 10 {
                refused += u32::from(!publish());
            }
            let waited = receipts.written(Sequence::new(published)).wait(patience());
            assert!(matches!(waited, Err(ReceiptError::Failed(_))), "{fsync}: {waited:?}");
            assert!(persistence.stats().degraded.is_some(), "{fsync}: it is told");
            // The first failure may be the device's, of a sync that was under way.
            let mut causes = std::iter::from_fn(|| causes.recv_timeout(patience()).ok());
            assert!(causes.any(|cause| is_read_only(&cause)), "{fsync}: the cause is told");
            let report = persistence.stop(Duration::from_millis(100));
            let marks = report.stats.watermarks;
            let [written, durable] =
                [marks.written, marks.durable].map(|m| m.map_or(0, Sequence::get));
            // What the journal did not take is in its hands, which is counted, or still on the ring.
            let taken = report.stats.journaled + report.unwritten;
            assert!(!report.complete && report.stats.lost == 0, "{fsync}: {report:?}");
            assert!(taken <= published && published - taken <= RING, "{fsync}: {report:?}");
            // What was still in memory is gone with the file system.
            mount.revive().expect("mounted again");
            let last = recover(&place, &events);
            assert!(last >= durable && last <= published, "{fsync}: {report:?}, {last} are there");
            eprintln!(
                "read-only: {fsync}: of {published} published {written} written, {durable} durable, \
                 {last} are there"
            );
        }
    }
}

#[test]
fn a_journal_on_a_read_only_disk_is_read_and_opens_once_it_is_writable_again() {
    let events = events(None);
    let Some(mut mount) = Mount::new() else { return };
    let place = mount.place().join("journal");
    let remount = |mount: &Mount, way| {
        let mounted = run("mount", &["-o", way, mount.place().to_str().expect("plain")]);
        mounted.expect("remounted");
    };
    let publish = |from: u64, count: u64| {
        let journal = Journal::open(&place, JournalOptions::default()).expect("it opens");
        let bus = EventBus::builder().start(Sequence::new(from)).build();
        let persistence = bus.persist(journal, PersistOptions::default()).expect("a thread");
        for sequence in from..from + count {
            let event = events[(sequence - 1) as usize % events.len()].clone();
            bus.publish(event).expect("there is room");
        }
        assert!(persistence.stop(patience()).complete);
    };
    for round in 0..rounds() {
        let last = 100 * (round + 1);
        publish(last - 99, 100);
        remount(&mount, "remount,ro");
        for _ in 0..3 {
            let error = Journal::open(&place, JournalOptions::default()).expect_err("read-only");
            assert_eq!(error.kind(), StoreErrorKind::Denied, "{error:?}");
            assert!(is_read_only(&error), "{error:?}");
        }
        assert_eq!(read(&place, &events, 1), last);
        assert!(JournalReader::open(&place).and_then(|it| it.verify()).expect("read").is_clean());
        remount(&mount, "remount,rw");
        recover_from(&place, &events, 1, last);
    }
    let journal = Journal::open(&place, JournalOptions::default()).expect("it opens");
    assert_eq!(journal.last_sequence(), Some(Sequence::new(100 * rounds())));
    drop(journal);
    mount.unmount().expect("nothing is left open");
}
