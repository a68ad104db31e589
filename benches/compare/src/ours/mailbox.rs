//! `Addr` and `Mailbox` without a bus: tell.

use std::marker::PhantomData;
use std::thread;

use ringpost::{Addr, Mailbox, OfferError, Overflow, Wait};

use super::bus::LONG;
use crate::heat::Receipt;
use crate::peers::tasks::TaskChannel;
use crate::peers::threads::Channel;
use crate::tick::Tick;

const BLOCK: Overflow = Overflow::Block { timeout: LONG };

/// How a receiver waits, as a type.
pub trait Waits {
    const WAIT: Wait;
}

pub struct Park;
pub struct SpinThenPark;
pub struct Spin;

impl Waits for Park {
    const WAIT: Wait = Wait::Park;
}

impl Waits for SpinThenPark {
    const WAIT: Wait = Wait::SpinThenPark;
}

impl Waits for Spin {
    const WAIT: Wait = Wait::Spin;
}

/// On threads: `send_blocking`, or with `OFFER` `offer` until there is room; `recv_blocking` for
/// the first message of a run, `drain` for the rest of it.
pub struct Threads<W, const OFFER: bool>(PhantomData<W>);

impl<W: Waits, const OFFER: bool> Channel for Threads<W, OFFER> {
    type Sender = (Addr<Tick>, Vec<Tick>);
    type Receiver = Mailbox<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (addr, mailbox) = Mailbox::new(capacity, BLOCK);
        let senders = (0..senders).map(|_| (addr.clone(), Vec::new())).collect();
        (senders, mailbox.with_wait(W::WAIT))
    }

    #[inline]
    fn send((addr, _): &mut Self::Sender, tick: Tick) {
        if !OFFER {
            addr.send_blocking(tick, LONG).expect("the receiver stays");
            return;
        }
        let mut tick = tick;
        while let Err(error) = addr.offer(tick) {
            tick = error.into_message();
            thread::yield_now();
        }
    }

    #[inline]
    fn send_batch((addr, batch): &mut Self::Sender, first: u64, count: u64) {
        batch.extend((first..first + count).map(Tick::new));
        while let Err(error) = addr.offer_all(batch) {
            assert_eq!(error, OfferError::Full(()), "the receiver stays");
            if OFFER {
                thread::yield_now();
            } else {
                // Sleeps until there is room for one, then offers the rest.
                let tick = batch.remove(0);
                addr.send_blocking(tick, LONG).expect("the receiver stays");
            }
        }
    }

    #[inline]
    fn receive(mailbox: &mut Self::Receiver, receipt: &mut Receipt) {
        if let Ok(tick) = mailbox.recv_blocking() {
            receipt.see(&tick);
            mailbox.drain(usize::MAX, |tick| receipt.see(&tick));
        }
    }
}

/// As tokio tasks.
pub struct Tasks;

impl TaskChannel for Tasks {
    type Sender = (Addr<Tick>, Vec<Tick>);
    type Receiver = Mailbox<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (addr, mailbox) = Mailbox::new(capacity, BLOCK);
        ((0..senders).map(|_| (addr.clone(), Vec::new())).collect(), mailbox)
    }

    async fn send((addr, _): &mut Self::Sender, tick: Tick) {
        addr.send_async(tick).await.expect("the receiver stays");
    }

    async fn send_batch((addr, batch): &mut Self::Sender, first: u64, count: u64) {
        batch.extend((first..first + count).map(Tick::new));
        while let Err(error) = addr.offer_all(batch) {
            assert_eq!(error, OfferError::Full(()), "the receiver stays");
            let tick = batch.remove(0);
            addr.send_async(tick).await.expect("the receiver stays");
        }
    }

    async fn receive(mut mailbox: Self::Receiver, mut receipt: Receipt) {
        while let Ok(tick) = mailbox.recv().await {
            receipt.see(&tick);
            mailbox.drain(usize::MAX, |tick| receipt.see(&tick));
        }
    }
}
