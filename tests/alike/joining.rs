//! Joining while others publish.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ringpost::{Bus, Delivery, Overflow};

use super::support::{BLOCK, LONG, takers};

/// Sets a flag when it goes.
struct Joined<'a>(&'a AtomicBool);

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const PUBLISHERS: usize = 3;

/// What one subscriber saw of each publisher, whose messages are numbered.
#[derive(Default)]
struct Seen {
    /// The lowest sequence of all.
    lowest: Option<u64>,
    /// The first number and the next one.
    numbers: [Option<(u64, u64)>; PUBLISHERS],
    /// Whether something was lost since the last message of each.
    lost: [bool; PUBLISHERS],
}

impl Seen {
    fn see(&mut self, d: &Delivery<'_, u64>) {
        let (publisher, number) = ((**d >> 48) as usize, **d & 0xFFFF_FFFF_FFFF);
        let sequence = d.sequence().unwrap().get();
        self.lowest = Some(self.lowest.map_or(sequence, |lowest| lowest.min(sequence)));
        let (_, next) = self.numbers[publisher].get_or_insert((number, number));
        if !d.gaps().is_empty() {
            self.lost = [true; PUBLISHERS];
        }
        if std::mem::take(&mut self.lost[publisher]) {
            assert!(*next <= number, "publisher {publisher}");
        } else {
            assert_eq!(*next, number, "publisher {publisher}");
        }
        *next = number + 1;
    }

    /// Whether there is nothing that it should have seen before what it saw first, or after what it
    /// saw last, of publishers whose messages got these sequences.
    fn check(&self, published: &[Vec<u64>]) {
        let lowest = self.lowest.expect("something was published after it joined");
        for (numbers, sequences) in self.numbers.iter().zip(published) {
            let first = numbers.map_or(sequences.len(), |(first, _)| first as usize);
            assert!(sequences[..first].iter().all(|&sequence| sequence < lowest));
            let next = numbers.map_or(sequences.len(), |(_, next)| next as usize);
            assert_eq!(next, sequences.len());
        }
    }
}

#[test]
fn who_joins_while_others_publish_misses_nothing_and_gets_nothing_twice() {
    for overflow in [BLOCK, Overflow::DropOldest] {
        for batch in [1, 7] {
            let bus = Bus::<u64>::builder().ring(1 << 16).build();
            let _first = takers(&bus, 2, 1 << 14, overflow);
            let joined = AtomicBool::new(false);
            let (checked, published) = std::thread::scope(|scope| {
                // Also if something below fails.
                let is_over = Joined(&joined);
                let publishers: Vec<_> = (0..PUBLISHERS as u64)
                    .map(|id| {
                        let mut publisher = bus.publisher("t").unwrap();
                        let joined = &joined;
                        scope.spawn(move || {
                            let mut sequences = Vec::new();
                            while !joined.load(Ordering::Relaxed) {
                                let next = id << 48 | sequences.len() as u64;
                                if batch == 1 {
                                    let published = publisher.publish(next).unwrap();
                                    sequences.push(published.sequence.unwrap().get());
                                } else {
                                    let mut list = (next..next + batch).collect();
                                    let published = publisher.publish_batch(&mut list).unwrap();
                                    let first = published.first.unwrap().get();
                                    sequences.extend(first..first + batch);
                                }
                            }
                            sequences
                        })
                    })
                    .collect();
                let mut checked = Vec::new();
                for round in 0..48 {
                    let seen = Arc::new(Mutex::new(Seen::default()));
                    let sink = Arc::clone(&seen);
                    let subscription = bus
                        .subscribe("t")
                        .unwrap()
                        .mailbox(1 << 14)
                        .overflow(overflow)
                        .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().see(&d))
                        .unwrap();
                    // It has seen something; all but every sixteenth go while others read on.
                    while seen.lock().unwrap().lowest.is_none() {
                        std::thread::yield_now();
                    }
                    if round % 16 == 0 {
                        checked.push((subscription, seen));
                    } else {
                        subscription.cancel();
                        assert_eq!(subscription.stats().failed, 0);
                    }
                }
                drop(is_over);
                let published: Vec<_> =
                    publishers.into_iter().map(|thread| thread.join().unwrap()).collect();
                (checked, published)
            });
            bus.settle(LONG).unwrap();
            for (subscription, seen) in checked {
                let stats = subscription.stats();
                assert!(stats.balances() && stats.failed == 0, "{overflow:?} {batch}: {stats:?}");
                assert!(overflow != BLOCK || stats.total_dropped() == 0, "{stats:?}");
                if stats.total_dropped() == 0 {
                    seen.lock().unwrap().check(&published);
                }
            }
        }
    }
}
