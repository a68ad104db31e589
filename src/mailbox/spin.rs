//! A sender that looks for room for a while before it sleeps.
//!
//! Called by blocking sends and publishes. To sleep and to be woken takes some 30 us, and the receiver
//! that wakes pays ten of them, as much as several hundred messages: where it makes room within
//! that time, nobody should sleep. But a core is spent on looking, so only one thread of the process
//! may for each two cores, and nobody where there is a single one. It pauses and never yields: a
//! yield to an executor's thread that is running elsewhere gives the core to nobody, and with
//! more senders than cores it gives it to another one that waits.
#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{hint, thread};

/// About what a sleep and a wake would take.
const LONGEST: Duration = Duration::from_micros(30);
/// Pauses between two looks, about a microsecond: each look takes a line from the receiver.
const PAUSES: u32 = 16;

/// How many threads are spinning.
static SPINNING: AtomicUsize = AtomicUsize::new(0);

/// The right to spin, given back when dropped.
struct Seat;

impl Seat {
    fn take() -> Option<Self> {
        static SEATS: OnceLock<usize> = OnceLock::new();
        let seats = *SEATS
            .get_or_init(|| thread::available_parallelism().map_or(0, |cores| cores.get() / 2));
        // ORDER: Relaxed; the count guards nothing but itself.
        let taken = SPINNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < seats).then_some(taken + 1)
        });
        taken.is_ok().then(|| Self)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // ORDER: Relaxed; as above.
        SPINNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks again and again, if it may; whether `ready` said so.
pub(super) fn until(mut ready: impl FnMut() -> bool) -> bool {
    let Some(_seat) = Seat::take() else { return false };
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        for _ in 0..PAUSES {
            hint::spin_loop();
        }
        if ready() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spins_sees_room_that_comes_or_gives_its_seat_back() {
        let mut looks = 0;
        let found = until(|| {
            looks += 1;
            looks == 2
        });
        // Other tests of this process may have all the seats.
        assert_eq!(found, looks == 2);
        assert!(!until(|| false));
    }

    #[test]
    fn whoever_gets_no_seat_takes_none_away() {
        let seats: Vec<_> = std::iter::from_fn(Seat::take).collect();
        assert!((0..3).all(|_| Seat::take().is_none()));
        drop(seats);
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        // ORDER: Relaxed; as above.
        assert!(SPINNING.load(Ordering::Relaxed) <= cores);
    }
}
