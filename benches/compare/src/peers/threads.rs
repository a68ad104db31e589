//! Publishers and receivers on threads of their own.
//!
//! All threads are there before the clock starts: they meet at a barrier.

use std::marker::PhantomData;
use std::sync::Barrier;
use std::thread;

use crate::heat::{Heat, Load, Receipt, Seen};
use crate::tick::Tick;

/// What carries messages between threads.
pub trait Medium {
    type Sender: Send;
    type Receiver: Send;

    /// One sender for each publisher, one receiver for each receiver.
    fn open(load: &Load) -> (Vec<Self::Sender>, Vec<Self::Receiver>);

    /// Sends to every receiver; waits while there is no room.
    fn send(sender: &mut Self::Sender, tick: Tick);

    /// Sends `count` messages from `first` on. A system without batches sends one by one.
    fn send_batch(sender: &mut Self::Sender, first: u64, count: u64) {
        for number in first..first + count {
            Self::send(sender, Tick::new(number));
        }
    }

    /// Waits for messages and takes at least one, if any is still to come.
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt);
}

/// A channel between some senders and one receiver.
pub trait Channel {
    type Sender: Send;
    type Receiver: Send;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver);
    fn send(sender: &mut Self::Sender, tick: Tick);

    fn send_batch(sender: &mut Self::Sender, first: u64, count: u64) {
        for number in first..first + count {
            Self::send(sender, Tick::new(number));
        }
    }

    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt);
}

/// A channel for each receiver. The message is copied into each: 64 bytes cost less than a shared
/// count.
pub struct Each<C>(PhantomData<C>);

impl<C: Channel> Medium for Each<C> {
    type Sender = Vec<C::Sender>;
    type Receiver = C::Receiver;

    fn open(load: &Load) -> (Vec<Self::Sender>, Vec<Self::Receiver>) {
        let mut publishers: Vec<_> = (0..load.publishers).map(|_| Vec::new()).collect();
        let mut receivers = Vec::new();
        for _ in 0..load.receivers {
            let (senders, receiver) = C::open(load.capacity, load.publishers);
            receivers.push(receiver);
            for (publisher, sender) in publishers.iter_mut().zip(senders) {
                publisher.push(sender);
            }
        }
        (publishers, receivers)
    }

    #[inline]
    fn send(senders: &mut Self::Sender, tick: Tick) {
        for sender in senders {
            C::send(sender, tick);
        }
    }

    #[inline]
    fn send_batch(senders: &mut Self::Sender, first: u64, count: u64) {
        for sender in senders {
            C::send_batch(sender, first, count);
        }
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        C::receive(receiver, receipt);
    }
}

/// One run; gives messages published a second.
pub fn run<M: Medium>(load: &Load) -> f64 {
    let (heat, finish) = Heat::new();
    let (senders, receivers) = M::open(load);
    let gate = Barrier::new((load.publishers + load.receivers) as usize);
    let everything = Seen::everything(load.publishers, load.messages);
    thread::scope(|scope| {
        for mut receiver in receivers {
            let (mut receipt, gate) = (heat.receipt(everything), &gate);
            scope.spawn(move || {
                gate.wait();
                while !receipt.is_complete() {
                    M::receive(&mut receiver, &mut receipt);
                }
            });
        }
        for mut sender in senders {
            let (heat, gate) = (&heat, &gate);
            scope.spawn(move || {
                gate.wait();
                heat.begin();
                if load.batch == 1 {
                    for number in 0..load.messages {
                        M::send(&mut sender, Tick::new(number));
                    }
                } else {
                    load.batches(|first, count| M::send_batch(&mut sender, first, count));
                }
            });
        }
        finish.rate(load.publishers * load.messages, load.receivers)
    })
}
