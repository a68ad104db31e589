//! Deadlines for futures, without a runtime: one thread of the process, started at first use.
//!
//! Only a publish that waits for room, or a `settle` that waits for quiet, ever sets an alarm.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

struct Clock {
    alarms: Mutex<BinaryHeap<Reverse<Alarm>>>,
    sooner: Condvar,
}

struct Alarm {
    at: Instant,
    waker: Waker,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Wakes the waker at this instant, or a little later. A waker that is no longer waiting is woken
/// for nothing.
pub(crate) fn wake_at(at: Instant, waker: Waker) {
    static CLOCK: OnceLock<&'static Clock> = OnceLock::new();
    let clock = CLOCK.get_or_init(|| {
        let clock: &'static Clock =
            Box::leak(Box::new(Clock { alarms: Mutex::default(), sooner: Condvar::new() }));
        std::thread::Builder::new()
            .name("ringpost-alarm".into())
            .spawn(|| run(clock))
            .expect("the alarm thread starts");
        clock
    });
    let mut alarms = clock.alarms.lock().unwrap_or_else(PoisonError::into_inner);
    alarms.push(Reverse(Alarm { at, waker }));
    clock.sooner.notify_one();
}

fn run(clock: &Clock) {
    let mut alarms = clock.alarms.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = Instant::now();
        alarms = match alarms.peek() {
            Some(Reverse(alarm)) if alarm.at <= now => {
                let due = alarms.pop();
                drop(alarms);
                if let Some(Reverse(alarm)) = due {
                    alarm.waker.wake();
                }
                clock.alarms.lock().unwrap_or_else(PoisonError::into_inner)
            }
            Some(Reverse(alarm)) => {
                let wait = alarm.at - now;
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
    use std::time::Duration;

    use super::*;

    struct Note(std::sync::mpsc::Sender<u32>, u32);

    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(self.1);
        }
    }

    #[test]
    fn alarms_ring_in_the_order_of_their_instants() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let now = Instant::now();
        let set = |after: u64, number: u32| {
            let waker = Waker::from(Arc::new(Note(sender.clone(), number)));
            wake_at(now + Duration::from_millis(after), waker);
        };
        set(60, 3);
        set(0, 1);
        set(30, 2);
        assert_eq!(receiver.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(now.elapsed() >= Duration::from_millis(60));
    }
}
