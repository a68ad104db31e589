//! Messages at a fixed rate, whatever becomes of them.
//!
//! Each message carries the time at which it should have been published. A publisher that was held
//! up publishes the next ones late, and their lateness counts as delay: so a pause costs
//! everybody who would have been served meanwhile, not one message.

use std::hint;
use std::sync::mpsc::Sender;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::peers::actors::Witness;
use crate::tick::Tick;

/// From a nanosecond to a minute, three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are valid")
}

/// How many messages, how often, of which how many only warm up.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub interval: u64,
    pub count: u64,
    pub warm_up: u64,
}

impl Schedule {
    pub fn new(rate: u64, seconds: f64) -> Self {
        let count = ((rate as f64 * seconds) as u64).max(200);
        Self { interval: 1_000_000_000 / rate, count, warm_up: count / 10 }
    }
}

/// One receiver's delays.
pub struct Probe {
    base: Instant,
    schedule: Schedule,
    seen: u64,
    delays: Histogram<u64>,
    done: Sender<Histogram<u64>>,
}

impl Probe {
    pub fn new(base: Instant, schedule: Schedule, done: Sender<Histogram<u64>>) -> Self {
        Self { base, schedule, seen: 0, delays: histogram(), done }
    }
}

impl Witness for Probe {
    fn see(&mut self, tick: &Tick) {
        let now = self.base.elapsed().as_nanos() as u64;
        assert_eq!(tick.number, self.seen, "messages lost or out of order");
        self.seen += 1;
        if tick.number >= self.schedule.warm_up {
            self.delays.saturating_record(now.saturating_sub(tick.intended).max(1));
        }
        if self.seen == self.schedule.count {
            self.done.send(self.delays.clone()).ok();
        }
    }
}

/// Publishes by the schedule and gives how long each call held the publisher up. Between messages
/// the publisher spins: it is awake when a message is due.
pub fn publish(base: Instant, schedule: Schedule, mut send: impl FnMut(Tick)) -> Histogram<u64> {
    let mut costs = histogram();
    let begin = base.elapsed().as_nanos() as u64 + 1_000_000;
    for number in 0..schedule.count {
        let intended = begin + number * schedule.interval;
        let before = loop {
            let now = base.elapsed().as_nanos() as u64;
            if now >= intended {
                break now;
            }
            hint::spin_loop();
        };
        send(Tick::at(number, intended));
        let cost = base.elapsed().as_nanos() as u64 - before;
        if number >= schedule.warm_up {
            costs.saturating_record(cost.max(1));
        }
    }
    costs
}
