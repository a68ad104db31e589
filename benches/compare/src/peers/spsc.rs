//! rtrb: a ring between one sender and one receiver, which leaves all waiting to its user.

use std::marker::PhantomData;

use crossbeam_utils::Backoff;
use rtrb::chunks::ChunkError;
use rtrb::{Consumer, Producer, RingBuffer};

use super::threads::Channel;
use super::waiting::Waiting;
use crate::heat::Receipt;
use crate::tick::Tick;

/// `CHUNKS`: the receiver takes all there is at once, instead of one message at a time.
pub struct Rtrb<W, const CHUNKS: bool>(PhantomData<W>);

impl<W: Waiting, const CHUNKS: bool> Channel for Rtrb<W, CHUNKS> {
    type Sender = (Producer<Tick>, W);
    type Receiver = (Consumer<Tick>, W);

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        assert_eq!(senders, 1, "rtrb has one sender");
        let waiting = W::default();
        let (producer, consumer) = RingBuffer::new(capacity);
        (vec![(producer, waiting.clone())], (consumer, waiting))
    }

    #[inline]
    fn send((producer, waiting): &mut Self::Sender, tick: Tick) {
        let backoff = Backoff::new();
        let mut tick = tick;
        while let Err(rtrb::PushError::Full(back)) = producer.push(tick) {
            tick = back;
            backoff.snooze();
        }
        waiting.ring();
    }

    #[inline]
    fn send_batch((producer, waiting): &mut Self::Sender, first: u64, count: u64) {
        let backoff = Backoff::new();
        let (mut first, end) = (first, first + count);
        while first < end {
            // A ring smaller than the batch takes what fits in.
            let fits = match producer.write_chunk_uninit((end - first) as usize) {
                Ok(chunk) => chunk.fill_from_iter((first..end).map(Tick::new)),
                Err(ChunkError::TooFewSlots(0)) => {
                    backoff.snooze();
                    continue;
                }
                Err(ChunkError::TooFewSlots(room)) => producer
                    .write_chunk_uninit(room)
                    .expect("room only grows")
                    .fill_from_iter((first..end).map(Tick::new)),
            };
            first += fits as u64;
            waiting.ring();
        }
    }

    #[inline]
    fn receive((consumer, waiting): &mut Self::Receiver, receipt: &mut Receipt) {
        if !CHUNKS {
            match consumer.pop() {
                Ok(tick) => receipt.see(&tick),
                Err(_) => waiting.wait(|| !consumer.is_empty()),
            }
            return;
        }
        match consumer.slots() {
            0 => waiting.wait(|| !consumer.is_empty()),
            there => {
                let chunk = consumer.read_chunk(there).expect("what is there stays");
                let (front, back) = chunk.as_slices();
                front.iter().chain(back).for_each(|tick| receipt.see(tick));
                chunk.commit_all();
            }
        }
    }
}
