//! crossbeam's `ArrayQueue`, which leaves all waiting to its user: `Backoff` at both ends.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::Backoff;

use super::threads::Channel;
use crate::heat::Receipt;
use crate::tick::Tick;

pub struct Array;

impl Channel for Array {
    type Sender = Arc<ArrayQueue<Tick>>;
    type Receiver = Arc<ArrayQueue<Tick>>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let queue = Arc::new(ArrayQueue::new(capacity));
        (vec![Arc::clone(&queue); senders as usize], queue)
    }

    #[inline]
    fn send(queue: &mut Self::Sender, tick: Tick) {
        let backoff = Backoff::new();
        let mut tick = tick;
        while let Err(back) = queue.push(tick) {
            tick = back;
            backoff.snooze();
        }
    }

    #[inline]
    fn receive(queue: &mut Self::Receiver, receipt: &mut Receipt) {
        let backoff = Backoff::new();
        loop {
            match queue.pop() {
                Some(tick) => return receipt.see(&tick),
                None => backoff.snooze(),
            }
        }
    }
}
