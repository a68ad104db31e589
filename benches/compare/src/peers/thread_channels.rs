//! Blocking channels: crossbeam-channel, kanal, flume, thingbuf.
//!
//! Each by its blocking calls, which are what its documentation begins with. None of them has
//! batches at the sending end.

use super::threads::Channel;
use crate::heat::Receipt;
use crate::tick::Tick;

pub struct Crossbeam;

impl Channel for Crossbeam {
    type Sender = crossbeam_channel::Sender<Tick>;
    type Receiver = crossbeam_channel::Receiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        (vec![sender; senders as usize], receiver)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, tick: Tick) {
        sender.send(tick).expect("the receiver stays");
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        while let Ok(tick) = receiver.recv() {
            receipt.see(&tick);
        }
    }
}

pub struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::Sender<Tick>;
    type Receiver = kanal::Receiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = kanal::bounded(capacity);
        (vec![sender; senders as usize], receiver)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, tick: Tick) {
        sender.send(tick).expect("the receiver stays");
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        while let Ok(tick) = receiver.recv() {
            receipt.see(&tick);
        }
    }
}

pub struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<Tick>;
    type Receiver = flume::Receiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = flume::bounded(capacity);
        (vec![sender; senders as usize], receiver)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, tick: Tick) {
        sender.send(tick).expect("the receiver stays");
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        while let Ok(tick) = receiver.recv() {
            receipt.see(&tick);
        }
    }
}

pub struct Thingbuf;

impl Channel for Thingbuf {
    type Sender = thingbuf::mpsc::blocking::Sender<Tick>;
    type Receiver = thingbuf::mpsc::blocking::Receiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = thingbuf::mpsc::blocking::channel(capacity);
        (vec![sender; senders as usize], receiver)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, tick: Tick) {
        // In place, as the crate is made for.
        *sender.send_ref().expect("the receiver stays") = tick;
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver, receipt: &mut Receipt) {
        while let Some(tick) = receiver.recv_ref() {
            receipt.see(&tick);
        }
    }
}
