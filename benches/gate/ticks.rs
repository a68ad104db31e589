//! The message of most scenarios, and a bus of them with actors run by hand.

use std::hint::black_box;

use ringpost::{Bus, Delivery, Message, Overflow, Subscription};

use crate::hand::Hand;

/// 64 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) price: u64,
    _rest: [u64; 7],
}

impl Message for Tick {}

pub(crate) const TICK: Tick = Tick { price: 1, _rest: [0; 7] };
pub(crate) const TOPIC: &str = "md.tick";
/// Slots of mailboxes.
pub(crate) const SLOTS: usize = 1024;
/// Slots of the ring: more than a mailbox's, so that who wants everything reads the ring itself.
pub(crate) const RING: usize = 4096;
/// Operations that fit into a mailbox, with one more before them.
pub(crate) const ROUND: u64 = 512;

/// A bus, its subscribers, and whoever runs them.
pub(crate) struct Stage<M: Message> {
    pub(crate) bus: Bus<M>,
    pub(crate) hand: Hand,
    subscriptions: Vec<Subscription<M>>,
}

impl<M: Message> Stage<M> {
    pub(crate) fn new() -> Self {
        let bus = Bus::builder().ring(RING).mailbox(SLOTS).build();
        Self { bus, hand: Hand::default(), subscriptions: Vec::new() }
    }

    /// With `count` more subscribers of `pattern`.
    pub(crate) fn with(mut self, count: usize, pattern: &str, overflow: Overflow) -> Self {
        for _ in 0..count {
            let subscription = self.subscribe(pattern, overflow);
            self.subscriptions.push(subscription);
        }
        self
    }

    pub(crate) fn subscribe(&self, pattern: &str, overflow: Overflow) -> Subscription<M> {
        self.bus
            .subscribe(pattern)
            .expect("the pattern is valid")
            .overflow(overflow)
            .executor(self.hand.executor())
            .spawn(|delivery: Delivery<'_, M>| {
                black_box(&*delivery);
            })
            .expect("the executor takes it")
    }
}
