//! Deadlines for futures, without a runtime: one thread of the process, started at first use.
//!
//! Only a publish that waits for room, or a `settle` that waits for quiet, ever sets an alarm.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::caught::caught;

/// A time beyond which nobody waits: a longer timeout is none.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The moment at which a timeout that began at `since` is over, however long it is.
pub(crate) fn add(since: Instant, timeout: Duration) -> Instant {
    since + timeout.min(LONGEST)
}

/// The moment at which a timeout that begins now is over, however long it is.
pub(crate) fn after(timeout: Duration) -> Instant {
    add(Instant::now(), timeout)
}

struct Clock {
    alarms: Mutex<Alarms>,
    sooner: Condvar,
}

#[derive(Default)]
struct Alarms {
    next: u64,
    /// By moment, then by number, because several may be set for one moment.
    by_moment: BTreeMap<(Instant, u64), Waker>,
}

static CLOCK: OnceLock<Clock> = OnceLock::new();

fn clock() -> &'static Clock {
    CLOCK.get_or_init(|| {
        std::thread::Builder::new()
            .name("ringpost-alarm".into())
            // It waits here until the clock is there.
            .spawn(|| run(clock()))
            .expect("the alarm thread starts");
        Clock { alarms: Mutex::default(), sooner: Condvar::new() }
    })
}

fn lock(clock: &Clock) -> MutexGuard<'_, Alarms> {
    clock.alarms.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An alarm that was set. Dropping it takes it back.
#[must_use = "dropping an alarm takes it back"]
pub(crate) struct Alarm((Instant, u64));

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = lock(clock()).by_moment.remove(&self.0);
        // Foreign code, outside of the lock.
        drop(waker);
    }
}

/// Wakes the waker at this instant, or a little later.
pub(crate) fn wake_at(at: Instant, waker: Waker) -> Alarm {
    let clock = clock();
    let mut alarms = lock(clock);
    let key = (at, alarms.next);
    alarms.next += 1;
    alarms.by_moment.insert(key, waker);
    if alarms.by_moment.first_key_value().is_some_and(|(first, _)| *first == key) {
        clock.sooner.notify_one();
    }
    Alarm(key)
}

fn run(clock: &Clock) {
    let mut alarms = lock(clock);
    loop {
        let now = Instant::now();
        alarms = match alarms.by_moment.first_entry() {
            Some(first) if first.key().0 <= now => {
                let waker = first.remove();
                drop(alarms);
                // Foreign code: its panic shall not end everybody's alarms.
                caught(|| waker.wake());
                lock(clock)
            }
            Some(first) => {
                let wait = first.key().0 - now;
                clock.sooner.wait_timeout(alarms, wait).unwrap_or_else(PoisonError::into_inner).0
            }
            None => clock.sooner.wait(alarms).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    /// What a panic may bring with it.
    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("and so does what it came with");
        }
    }

    struct Note(std::sync::mpsc::Sender<u32>, u32);

    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(self.1);
            if self.1 == 0 {
                std::panic::panic_any(PanicsInDrop);
            }
        }
    }

    #[test]
    fn alarms_ring_in_the_order_of_their_instants_also_after_a_panic() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let now = Instant::now();
        let set = |after: u64, number: u32| {
            let waker = Waker::from(Arc::new(Note(sender.clone(), number)));
            wake_at(now + Duration::from_millis(after), waker)
        };
        let set = [set(60, 3), set(0, 0), set(30, 2)];
        assert_eq!(receiver.iter().take(3).collect::<Vec<_>>(), [0, 2, 3]);
        assert!(now.elapsed() >= Duration::from_millis(60));
        drop(set);
    }

    #[test]
    fn an_alarm_that_was_taken_back_keeps_nothing_alive() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let note = Arc::new(Note(sender, 1));
        let alarm = wake_at(after(Duration::MAX), Waker::from(Arc::clone(&note)));
        assert_eq!(Arc::strong_count(&note), 2);
        drop(alarm);
        assert_eq!(Arc::strong_count(&note), 1);
        assert!(receiver.try_recv().is_err());
    }
}
