//! The spare: one thread a pool that watches over the workers while work is waiting, and becomes
//! a worker when one of them is stuck. Run by `crew.rs`; it never runs a task while it watches.
//!
//! It ticks only while somebody may be kept waiting. When the queue was empty for a few ticks it
//! rests, which costs nothing; the push that finds all workers busy calls it back.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use super::crew::Crew;
use super::seat::Seat;

const TICK: Duration = Duration::from_millis(5);
/// Ticks with an empty queue before the spare rests. A few, because calling it back costs the
/// caller as much as waking a worker.
const QUIET: u32 = 4;

/// Watches until a worker is stuck while work is waiting: then true, and the thread has a
/// worker's place on the roster. False when the pool ended.
pub(super) fn watch(crew: &Crew, seat: &Arc<Seat>) -> bool {
    let waiting = || !crew.ready.lanes.is_empty();
    let mut quiet = QUIET;
    loop {
        if quiet >= QUIET {
            if !crew.ready.lot.rest(waiting) {
                return false;
            }
            quiet = 0;
        }
        if !crew.ready.lot.doze(TICK) {
            return false;
        }
        // Looked at in every tick, so that a worker's stillness is counted from its first one.
        if crew.take_over(seat, waiting()) {
            return true;
        }
        quiet = if waiting() { 0 } else { quiet + 1 };
    }
}
