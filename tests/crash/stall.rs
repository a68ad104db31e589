//! K7: a disk that takes no write for a while, without an error: a frozen file system. Publishers
//! get `Full`, receipts their timeout, memory stays bounded, and when it thaws all goes on by itself.

use std::fs;
use std::time::{Duration, Instant};

use ringpost::store::journal::{Fsync, Journal, JournalOptions};
use ringpost::store::{PersistOptions, ReceiptError};
use ringpost::{EventBus, PublishError, Sequence};

use super::judge::recover;
use super::load::events;
use super::rig::{Mount, rounds, run, skipped};

const PUBLISH_TIMEOUT: Duration = Duration::from_millis(20);
const RING: usize = 1024;
/// What the journal's batch, the ring and its events may take, and some more.
const BYTES: u64 = 32 << 20;

/// Thaws also when the test fails: else nothing could be unmounted.
struct Frozen<'m>(&'m Mount);

impl<'m> Frozen<'m> {
    fn new(mount: &'m Mount) -> std::io::Result<Self> {
        run("fsfreeze", &["-f", mount.place().to_str().expect("plain")])?;
        Ok(Self(mount))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Err(error) = run("fsfreeze", &["-u", self.0.place().to_str().expect("plain")]) {
            eprintln!("{error}");
        }
    }
}

/// Bytes of this process that lie in memory and in no file.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("RssAnon")).expect("a line");
    let number = line.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok());
    number.map(|kib: u64| kib * 1024).expect("a number")
}

#[test]
fn a_disk_that_stands_still_holds_nobody_longer_than_they_asked_for() {
    let Some(mount) = Mount::new() else { return };
    let place = mount.place().join("journal");
    let events = events(None);
    // Ten seconds for a campaign of 100.
    let stall = Duration::from_millis(100) * u32::try_from(rounds()).expect("few");
    for fsync in [Fsync::Batch, Fsync::Interval(Duration::from_millis(20)), Fsync::Never] {
        let options = JournalOptions::default().with_fsync(fsync).with_segment_bytes(128 * 1024);
        let journal = Journal::open(&place, options).expect("it opens");
        let bus = EventBus::builder().ring(RING).recent(0).publish_timeout(PUBLISH_TIMEOUT).build();
        let persistence = bus.persist(journal, PersistOptions::default()).expect("a thread");
        let receipts = persistence.receipts();
        let mut published = 0_u64;
        let mut publish = || {
            let next = &events[published as usize % events.len()];
            match bus.publish(next.clone()) {
                Ok(_) => published += 1,
                Err(PublishError::Full(_)) => return false,
                Err(error) => panic!("{error}"),
            }
            true
        };
        for _ in 0..5 * RING {
            while !publish() {}
        }
        let before = resident();
        let frozen = match Frozen::new(&mount) {
            Ok(frozen) => frozen,
            Err(error) => return skipped(&format!("no file system can be frozen here: {error}")),
        };
        let since = Instant::now();
        let mut refused = 0_u32;
        // Were one call to wait for the disk, this would not come to its end.
        while since.elapsed() < stall || refused < 10 {
            refused += u32::from(!publish());
        }
        let waited = receipts.written(bus.stats().next_sequence).wait(PUBLISH_TIMEOUT);
        assert!(matches!(waited, Err(ReceiptError::Timeout)), "{fsync}: {waited:?}");
        let grown = resident().saturating_sub(before);
        assert!(grown < BYTES, "{fsync}: {grown} bytes more");
        eprintln!(
            "stalled disk: {fsync}: {refused} refused in {:?}, {grown} bytes",
            since.elapsed()
        );
        drop(frozen);
        for _ in 0..RING {
            while !publish() {}
        }
        let report = persistence.stop(Duration::from_secs(60));
        assert!(report.complete && report.stats.lost == 0, "{fsync}: {report:?}");
        assert_eq!(report.stats.watermarks.written, Some(Sequence::new(published)), "{fsync}");
        assert_eq!(recover(&place, &events), published, "{fsync}");
        fs::remove_dir_all(&place).expect("removed");
    }
}
