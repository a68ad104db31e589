//! The same mailbox and subscriber as a simulation of discrete events: what `queue` is held
//! against.
//!
//! Shares nothing with it but the rules. It goes from event to event in a heap, keeps the
//! subscriber as a state machine that handles one message at a time, and knows each message's
//! fate by its number.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Fate, Losing};

/// What happens; at one instant in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives(usize),
    Finishes(usize),
    Looks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscriber {
    Sleeps,
    /// A look is on its way.
    Wakes,
    Handles,
}

/// A mailbox as it is described, not as it is computed.
#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) size: usize,
    pub(super) batch: usize,
    pub(super) losing: Losing,
    pub(super) wake_up: u64,
}

impl Simulation {
    /// The fate of each message.
    pub(super) fn run(&self, arrivals: &[u64], times: &[u64]) -> Vec<Fate> {
        let mut agenda: BinaryHeap<_> = arrivals
            .iter()
            .enumerate()
            .map(|(message, at)| Reverse((*at, Happening::Arrives(message))))
            .collect();
        let mut fates = vec![None; arrivals.len()];
        let mut mailbox: VecDeque<usize> = VecDeque::new();
        let mut hand: VecDeque<usize> = VecDeque::new();
        let mut subscriber = Subscriber::Sleeps;
        while let Some(Reverse((now, happening))) = agenda.pop() {
            match happening {
                Happening::Arrives(message) => {
                    if mailbox.len() == self.size {
                        if self.losing == Losing::DropNewest {
                            fates[message] = Some(Fate::Lost);
                            continue;
                        }
                        // A sixteenth, rounded down, but one at least.
                        let stays = self.size - (self.size / 16).max(1);
                        while mailbox.len() > stays {
                            let oldest = mailbox.pop_front().unwrap();
                            fates[oldest] = Some(Fate::Lost);
                        }
                    }
                    mailbox.push_back(message);
                    if subscriber == Subscriber::Sleeps {
                        subscriber = Subscriber::Wakes;
                        agenda.push(Reverse((now + self.wake_up, Happening::Looks)));
                    }
                    continue;
                }
                Happening::Finishes(_) => {}
                Happening::Looks => {
                    while hand.len() < self.batch
                        && let Some(message) = mailbox.pop_front()
                    {
                        hand.push_back(message);
                    }
                }
            }
            match (hand.pop_front(), happening) {
                (Some(message), _) => {
                    subscriber = Subscriber::Handles;
                    fates[message] = Some(Fate::Handled { delay: now - arrivals[message] });
                    agenda.push(Reverse((now + times[message], Happening::Finishes(message))));
                }
                // The batch is done: it looks again before it sleeps.
                (None, Happening::Finishes(_)) => agenda.push(Reverse((now, Happening::Looks))),
                (None, _) => subscriber = Subscriber::Sleeps,
            }
        }
        fates.into_iter().map(Option::unwrap).collect()
    }
}
