//! The disruptor by its pollers, which let the consumer wait in its own way. Its managed threads
//! only spin, which on few cores is fragile. A publisher that finds the ring full yields too.

use std::marker::PhantomData;

use crossbeam_utils::Backoff;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, MultiProducer, MultiProducerBarrier, Producer,
    SingleConsumerBarrier, SingleProducer, SingleProducerBarrier, build_multi_producer,
    build_single_producer,
};

use super::threads::Medium;
use super::waiting::Waiting;
use crate::heat::{Load, Receipt};
use crate::tick::Tick;

fn push<P: Producer<Tick>>(producer: &mut P, tick: Tick) {
    let backoff = Backoff::new();
    while producer.try_publish(|slot| *slot = tick).is_err() {
        backoff.snooze();
    }
}

/// In parts of at most a quarter of the ring, which a small ring needs to go on.
fn push_batch<P: Producer<Tick>>(producer: &mut P, first: u64, count: u64, capacity: usize) {
    let backoff = Backoff::new();
    let (mut first, end) = (first, first + count);
    while first < end {
        let part = (end - first).min((capacity as u64 / 4).max(1));
        let filled = producer.try_batch_publish(part as usize, |slots| {
            for (slot, number) in slots.zip(first..) {
                *slot = Tick::new(number);
            }
        });
        match filled {
            Ok(_) => first += part,
            Err(_) => backoff.snooze(),
        }
    }
}

/// Takes all there is; the ring's consumer position moves once for all of it.
macro_rules! poll {
    ($receiver:expr, $receipt:expr) => {{
        let (poller, waiting) = $receiver;
        if let Ok(mut ticks) = poller.poll() {
            for tick in &mut ticks {
                $receipt.see(tick);
            }
            return;
        }
        waiting.wait(|| poller.has_available());
    }};
}

/// One publisher, one consumer.
pub struct OneToOne<W>(PhantomData<W>);

impl<W: Waiting> Medium for OneToOne<W> {
    type Sender = (SingleProducer<Tick, SingleConsumerBarrier>, W, usize);
    type Receiver = (EventPoller<Tick, SingleProducerBarrier>, W);

    fn open(load: &Load) -> (Vec<Self::Sender>, Vec<Self::Receiver>) {
        assert_eq!((load.publishers, load.receivers), (1, 1));
        let waiting = W::default();
        let builder = build_single_producer(load.capacity, Tick::default, BusySpin);
        let (poller, builder) = builder.new_event_poller();
        let sender = (builder.build(), waiting.clone(), load.capacity);
        (vec![sender], vec![(poller, waiting)])
    }

    #[inline]
    fn send((producer, waiting, _): &mut Self::Sender, tick: Tick) {
        push(producer, tick);
        waiting.ring();
    }

    #[inline]
    fn send_batch((producer, waiting, capacity): &mut Self::Sender, first: u64, count: u64) {
        push_batch(producer, first, count, *capacity);
        waiting.ring();
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        poll!(receiver, receipt);
    }
}

/// Several publishers, one consumer.
pub struct ManyToOne<W>(PhantomData<W>);

impl<W: Waiting> Medium for ManyToOne<W> {
    type Sender = (MultiProducer<Tick, SingleConsumerBarrier>, W, usize);
    type Receiver = (EventPoller<Tick, MultiProducerBarrier>, W);

    fn open(load: &Load) -> (Vec<Self::Sender>, Vec<Self::Receiver>) {
        assert_eq!(load.receivers, 1);
        let waiting = W::default();
        let builder = build_multi_producer(load.capacity, Tick::default, BusySpin);
        let (poller, builder) = builder.new_event_poller();
        let sender = (builder.build(), waiting.clone(), load.capacity);
        let senders = (0..load.publishers).map(|_| sender.clone()).collect();
        (senders, vec![(poller, waiting)])
    }

    #[inline]
    fn send((producer, waiting, _): &mut Self::Sender, tick: Tick) {
        push(producer, tick);
        waiting.ring();
    }

    #[inline]
    fn send_batch((producer, waiting, capacity): &mut Self::Sender, first: u64, count: u64) {
        push_batch(producer, first, count, *capacity);
        waiting.ring();
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        poll!(receiver, receipt);
    }
}

/// One publisher, a thread for each of several consumers.
pub struct OneToMany<W>(PhantomData<W>);

impl<W: Waiting> Medium for OneToMany<W> {
    type Sender = (SingleProducer<Tick, MultiConsumerBarrier>, Vec<W>, usize);
    type Receiver = (EventPoller<Tick, SingleProducerBarrier>, W);

    fn open(load: &Load) -> (Vec<Self::Sender>, Vec<Self::Receiver>) {
        assert_eq!(load.publishers, 1);
        let builder = build_single_producer(load.capacity, Tick::default, BusySpin);
        let mut builder = builder.with_multi_consumer();
        let mut receivers = Vec::new();
        for _ in 0..load.receivers {
            let (poller, rest) = builder.new_event_poller();
            builder = rest;
            receivers.push((poller, W::default()));
        }
        let bells = receivers.iter().map(|(_, waiting)| waiting.clone()).collect();
        (vec![(builder.build(), bells, load.capacity)], receivers)
    }

    #[inline]
    fn send((producer, waiting, _): &mut Self::Sender, tick: Tick) {
        push(producer, tick);
        waiting.iter().for_each(Waiting::ring);
    }

    #[inline]
    fn send_batch((producer, waiting, capacity): &mut Self::Sender, first: u64, count: u64) {
        push_batch(producer, first, count, *capacity);
        waiting.iter().for_each(Waiting::ring);
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        poll!(receiver, receipt);
    }
}
