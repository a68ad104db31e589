//! What the machine is like at the moment: how far its cores are from each other.
//!
//! A virtual machine's cores may be two threads of one core now, and two cores that share no cache a
//! minute later. Then whoever hands over many lines and does little else is several times as fast, and
//! whoever computes is slower. So each case says what it was measured on.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_utils::CachePadded;

/// Round trips of a burst, and bursts.
const TRIPS: u64 = 500;
const BURSTS: usize = 5;

/// The row's name.
pub const ROUND_TRIP: &str = "a line there and back";

/// How long a line of memory takes to another thread's core and back, in nanoseconds: the median of a
/// few bursts. Not a number where there is one core.
pub fn round_trip() -> f64 {
    if thread::available_parallelism().map_or(1, usize::from) == 1 {
        return f64::NAN;
    }
    let line = CachePadded::new(AtomicU64::new(0));
    let wait_for = |number| {
        while line.load(Ordering::Acquire) != number {
            hint::spin_loop();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for trip in 0..TRIPS * BURSTS as u64 {
                wait_for(2 * trip + 1);
                line.store(2 * trip + 2, Ordering::Release);
            }
        });
        let mut bursts: Vec<f64> = (0..BURSTS as u64)
            .map(|burst| {
                let since = Instant::now();
                for trip in burst * TRIPS..(burst + 1) * TRIPS {
                    line.store(2 * trip + 1, Ordering::Release);
                    wait_for(2 * trip + 2);
                }
                since.elapsed().as_nanos() as f64 / TRIPS as f64
            })
            .collect();
        bursts.sort_by(f64::total_cmp);
        bursts[BURSTS / 2]
    })
}
