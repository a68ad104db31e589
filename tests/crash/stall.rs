//! K7: a disk that takes no write for a while, without an error: a frozen file system. Publishers
//! get `Full`, receipts their timeout, memory stays bounded, and when it thaws all goes on by itself.

use std::fs;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions};
use ringpost::store::{PersistOptions, ReceiptError};
use ringpost::{EventBus, PublishError, Sequence, Shared};

use super::judge::recover;
use super::load::events;
use super::rig::{Mount, holds_to_figures, rounds, run, skipped};

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

/// How often this thread has slept: it gave its core away of itself.
fn sleeps() -> i64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes one `rusage` through the pointer, which outlives it.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: all zero is a valid `rusage`, and the call has written it.
    unsafe { usage.assume_init() }.ru_nvcsw
}

/// What publishers find who do not wait: the time that 99 of 100 calls stay below, how often they
/// slept, and how many were taken.
struct BestEffort {
    p99: Duration,
    sleeps: i64,
    taken: u64,
}

impl BestEffort {
    const CALLS: usize = 20_000;

    fn of(bus: &EventBus, events: &[Shared<Event>], published: &mut u64) -> Self {
        let mut publisher = bus.publisher("load.made").expect("a topic");
        let (mut times, from) = (Vec::with_capacity(Self::CALLS), *published);
        let before = sleeps();
        for _ in 0..Self::CALLS {
            let event = events[*published as usize % events.len()].clone();
            let since = Instant::now();
            let taken = publisher.try_publish(event);
            times.push(since.elapsed());
            *published += u64::from(taken.is_ok());
        }
        let sleeps = sleeps() - before;
        times.sort_unstable();
        Self { p99: times[Self::CALLS * 99 / 100], sleeps, taken: *published - from }
    }
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
        let publish = |published: &mut u64| {
            let next = &events[*published as usize % events.len()];
            match bus.publish(next.clone()) {
                Ok(_) => *published += 1,
                Err(PublishError::Full(_)) => return false,
                Err(error) => panic!("{error}"),
            }
            true
        };
        for _ in 0..5 * RING {
            while !publish(&mut published) {}
        }
        let moving = BestEffort::of(&bus, &events, &mut published);
        let before = resident();
        let frozen = match Frozen::new(&mount) {
            Ok(frozen) => frozen,
            Err(error) => return skipped(&format!("no file system can be frozen here: {error}")),
        };
        let since = Instant::now();
        let mut refused = 0_u32;
        // Were one call to wait for the disk, this would not come to its end.
        while since.elapsed() < stall || refused < 10 {
            refused += u32::from(!publish(&mut published));
        }
        let stalled = BestEffort::of(&bus, &events, &mut published);
        // Fewer than one call in a hundred: so none of those that p99 is about.
        assert!(
            stalled.sleeps < BestEffort::CALLS as i64 / 100,
            "{fsync}: {} sleeps",
            stalled.sleeps
        );
        assert!(stalled.taken < RING as u64, "{fsync}: the disk takes {}", stalled.taken);
        eprintln!(
            "stalled disk: {fsync}: best effort: p99 {:?}, {} sleeps in {} calls; before: p99 {:?}",
            stalled.p99,
            stalled.sleeps,
            BestEffort::CALLS,
            moving.p99
        );
        if holds_to_figures() {
            assert!(
                stalled.p99 <= 2 * moving.p99,
                "{fsync}: {:?} and {:?}",
                stalled.p99,
                moving.p99
            );
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
            while !publish(&mut published) {}
        }
        let report = persistence.stop(Duration::from_secs(60));
        assert!(report.complete && report.stats.lost == 0, "{fsync}: {report:?}");
        assert_eq!(report.stats.watermarks.written, Some(Sequence::new(published)), "{fsync}");
        assert_eq!(recover(&place, &events), published, "{fsync}");
        fs::remove_dir_all(&place).expect("removed");
    }
}
