//! What a subscriber has seen: its own proof that nothing was skipped or came twice.

use std::iter::Sum;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam::utils::CachePadded;
use ringpost::{Bus, Delivery, Subscription};

use crate::tick::{BLOCK, LONG, Tick};

#[derive(Default)]
struct Seen {
    sum: AtomicU64,
    count: AtomicU64,
}

/// A clone is the same receipt: one for the subscriber, which alone writes it, and one for whoever
/// waits.
#[derive(Clone, Default)]
pub(crate) struct Receipt(Arc<CachePadded<Seen>>);

impl Receipt {
    /// A subscriber on the bus's workers that does nothing but see.
    pub(crate) fn subscribe(&self, bus: &Bus<Tick>, pattern: &str) -> Subscription<Tick> {
        let receipt = self.clone();
        bus.subscribe(pattern)
            .expect("the pattern is valid")
            .overflow(BLOCK)
            .spawn(move |delivery: Delivery<'_, Tick>| receipt.see(&delivery))
            .expect("the workers start")
    }

    /// Two plain stores, on a line of the subscriber's own.
    pub(crate) fn see(&self, tick: &Tick) {
        let sum = self.0.sum.load(Ordering::Relaxed).wrapping_add(tick.number);
        self.0.sum.store(sum, Ordering::Relaxed);
        let count = self.0.count.load(Ordering::Relaxed) + 1;
        self.0.count.store(count, Ordering::Release);
    }

    /// Waits until as many have been seen since the beginning as `sent` says, and compares.
    pub(crate) fn expect(&self, sent: &Sent) {
        let since = Instant::now();
        while self.0.count.load(Ordering::Acquire) < sent.count {
            assert!(since.elapsed() < LONG, "messages are missing");
            thread::yield_now();
        }
        let seen = (self.0.count.load(Ordering::Relaxed), self.0.sum.load(Ordering::Relaxed));
        assert_eq!(seen, (sent.count, sent.sum), "each message comes once");
    }
}

/// What was sent to a subscriber since the beginning. The next message is [`Sent::tick`].
#[derive(Debug, Default)]
pub(crate) struct Sent {
    count: u64,
    sum: u64,
}

impl Sent {
    pub(crate) fn tick(&mut self) -> Tick {
        self.count += 1;
        self.sum = self.sum.wrapping_add(self.count);
        Tick::new(self.count)
    }
}

impl<'a> Sum<&'a Sent> for Sent {
    fn sum<I: Iterator<Item = &'a Sent>>(all: I) -> Self {
        all.fold(Self::default(), |all, one| Self {
            count: all.count + one.count,
            sum: all.sum.wrapping_add(one.sum),
        })
    }
}
