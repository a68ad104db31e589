//! How a reader that goes to sleep is counted beside a publish.
#![forbid(unsafe_code)]

use super::*;

/// The same restated for one reader, without sleeping: it is woken, or it does not sleep.
fn count_a_sleeper(before_the_look: bool) {
    model(move || {
        let [committed, parked, sleepers] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
        let reader = {
            let (committed, parked) = (Arc::clone(&committed), Arc::clone(&parked));
            let sleepers = Arc::clone(&sleepers);
            thread::spawn(move || {
                if before_the_look {
                    sleepers.fetch_add(1, Relaxed);
                }
                parked.store(1, Release);
                signal::fence();
                let sleeps = committed.load(Acquire) == 0;
                if sleeps && !before_the_look {
                    sleepers.fetch_add(1, Relaxed);
                }
                sleeps
            })
        };
        committed.store(1, Release);
        signal::fence();
        let rung = sleepers.load(Relaxed) != 0 && parked.swap(0, AcqRel) != 0;
        assert!(!reader.join().unwrap() || rung, "a lost wake");
    });
}

#[test]
fn a_reader_that_is_counted_before_its_look_is_woken() {
    count_a_sleeper(true);
}

/// The count raised after the last look: the publisher sees nobody asleep.
#[test]
#[should_panic(expected = "a lost wake")]
fn a_reader_that_is_counted_after_its_look_is_found() {
    count_a_sleeper(false);
}

/// The count as the ring has it: a publisher looks at it behind its claim, without a fence of its own.
/// Between claim and commit there is nothing to read yet; so a reader that goes to sleep also looks
/// whether something was claimed, and does not sleep then.
fn sleep_beside_a_claim(at_the_claim: bool) {
    model(move || {
        let log: Arc<Log<u64>> = Log::new(8, 1);
        let sleepers = std::sync::Arc::new(Sleepers::default());
        let bell = Arc::new(Bell::new(std::sync::Arc::clone(&sleepers)));
        let bed = Bed::new();
        let mut writer = Log::writer(&log);
        let reader = {
            let (reader, bell) = (Log::reader(&log, 1), Arc::clone(&bell));
            let waker = Waker::from(std::sync::Arc::clone(&bed));
            thread::spawn(move || {
                bell.park(&waker, || reader.is_ready() || (at_the_claim && reader.is_coming()))
            })
        };
        writer.claim(1).unwrap().commit(|| 1);
        if sleepers.any() {
            bell.ring();
        }
        let sleeps = reader.join().unwrap();
        assert!(*bed.woken.lock().unwrap() || !sleeps, "a lost wake");
        assert!(!sleepers.any(), "who is awake is not counted");
    });
}

#[test]
fn a_reader_that_looks_for_claims_before_it_sleeps_is_woken() {
    sleep_beside_a_claim(true);
}

/// Must fail: the publisher looks at the count before the reader is in it, and the reader for a message
/// before it is committed.
#[test]
#[should_panic(expected = "a lost wake")]
fn a_reader_that_looks_for_messages_alone_before_it_sleeps_is_found() {
    sleep_beside_a_claim(false);
}
