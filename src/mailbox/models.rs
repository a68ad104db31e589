//! Models of waiting: the doorbell, the space bell, closing, cancelling.
//!
//! A lost wake-up shows as a deadlock, which loom reports. Models that must fail either leave out
//! a step that is the caller's duty, or restate a protocol with one step weakened.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Wake, Waker};

use super::*;
use crate::sync::{Condvar, Mutex, thread};

mod doorbell;

thread_local! {
    // All threads of a model run on one real thread: a plain cell counts for all of them.
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Counts itself; never copied.
#[derive(Debug, PartialEq, Eq)]
struct Payload(u64);

impl Payload {
    fn new(number: u64) -> Self {
        LIVE.with(|live| live.set(live.get() + 1));
        Self(number)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        LIVE.with(|live| live.set(live.get() - 1));
    }
}

/// Explores `f`; after each run, with everything dropped, no payload may be left, nor missing.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(move || {
        LIVE.with(|live| live.set(0));
        f();
        assert_eq!(LIVE.with(Cell::get), 0, "each payload is dropped once");
    });
}

/// Where a modelled thread sleeps.
struct Bed {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Bed {
    fn wake(self: std::sync::Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let bed = std::sync::Arc::new(Bed { woken: Mutex::new(false), bell: Condvar::new() });
    let waker = Waker::from(std::sync::Arc::clone(&bed));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        let mut woken = bed.woken.lock().unwrap();
        if *woken {
            // A future that wakes itself yields, as on a real thread.
            *woken = false;
            drop(woken);
            thread::yield_now();
            continue;
        }
        while !*woken {
            woken = bed.bell.wait(woken).unwrap();
        }
        *woken = false;
    }
}

fn mailbox(capacity: usize, overflow: Overflow) -> (Addr<Payload>, Mailbox<Payload>) {
    Mailbox::new(capacity, overflow)
}

/// A receiver goes to sleep while a message comes in (L5). Accepted: it gets the message.
#[test]
fn a_message_wakes_a_receiver_that_is_falling_asleep() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::DropNewest);
        let kept = addr.clone();
        let sender = thread::spawn(move || addr.offer(Payload::new(1)).unwrap());
        assert_eq!(block_on(mailbox.recv()).unwrap().0, 1);
        sender.join().unwrap();
        drop(kept);
    });
}

/// The same with a sender that puts in first and rings later, for both places at once: the bus's
/// one fence. Accepted: both messages, in order.
#[test]
fn one_fence_and_one_bell_serve_two_messages() {
    model(|| {
        let (addr, mut mailbox) = mailbox(2, Overflow::DropNewest);
        let kept = addr.clone();
        let sender = thread::spawn(move || {
            for number in 1..3 {
                let push = addr.push(&mut || Payload::new(number), &mut Vec::new());
                assert!(matches!(push, Push::Taken));
            }
            signal::fence();
            addr.signal().ring();
        });
        for number in 1..3 {
            assert_eq!(block_on(mailbox.recv()).unwrap().0, number);
        }
        sender.join().unwrap();
        drop(kept);
    });
}

/// Two senders ring one sleeping receiver. Accepted: both messages are received.
#[test]
fn two_senders_wake_one_receiver() {
    model(|| {
        let (addr, mut mailbox) = mailbox(2, Overflow::DropNewest);
        let senders: Vec<_> = [1, 2]
            .map(|number| {
                let addr = addr.clone();
                thread::spawn(move || addr.offer(Payload::new(number)).unwrap())
            })
            .into();
        let first = block_on(mailbox.recv()).unwrap().0;
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!(first + mailbox.try_recv().unwrap().0, 3);
    });
}

/// A sender gives up the oldest, which moves `head` under the sleeping receiver's last look.
/// Accepted: the receiver gets one of the two messages.
#[test]
fn a_stealer_does_not_make_a_receiver_sleep_over_a_message() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::DropOldest);
        let kept = addr.clone();
        let sender = thread::spawn(move || {
            addr.offer(Payload::new(1)).unwrap();
            addr.offer(Payload::new(2)).map(drop)
        });
        let first = block_on(mailbox.recv()).unwrap().0;
        let second = mailbox.try_recv().ok().map(|payload| payload.0);
        assert!(first < second.unwrap_or(3), "{first}, {second:?}");
        drop(sender.join().unwrap());
        drop(kept);
    });
}

/// The last address goes while the receiver waits (L7). Accepted: the message, then the end.
#[test]
fn the_last_address_wakes_the_receiver_for_the_end() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::DropNewest);
        let sender = thread::spawn(move || {
            addr.offer(Payload::new(1)).unwrap();
            drop(addr);
        });
        assert_eq!(block_on(mailbox.recv()).unwrap().0, 1);
        assert_eq!(block_on(mailbox.recv()), Err(RecvError::Closed));
        sender.join().unwrap();
    });
}

/// Two addresses go at once. Accepted: exactly one of them closes, and all was received before.
#[test]
fn of_two_addresses_the_last_closes() {
    two_addresses(|_| {});
}

/// The same with a receiver that was polled by another task before, whose sleep and waker are
/// still there. Accepted: who polled last is woken.
#[test]
fn a_receiver_that_moved_to_another_task_is_woken_there() {
    two_addresses(|mailbox| {
        assert!(mailbox.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
    });
}

fn two_addresses(before: impl Fn(&mut Mailbox<Payload>) + Sync + Send + 'static) {
    model(move || {
        let (addr, mut mailbox) = mailbox(2, Overflow::DropNewest);
        before(&mut mailbox);
        let other = addr.clone();
        let sender = thread::spawn(move || other.offer(Payload::new(1)).unwrap());
        addr.offer(Payload::new(2)).unwrap();
        drop(addr);
        let mut sum = 0;
        while let Ok(payload) = block_on(mailbox.recv()) {
            sum += payload.0;
        }
        assert_eq!(sum, 3);
        sender.join().unwrap();
    });
}

/// The mailbox goes while a sender offers (L7). Accepted: in or handed back; dropped once.
#[test]
fn a_mailbox_that_goes_drops_or_hands_back() {
    for overflow in [Overflow::DropOldest, Overflow::block()] {
        model(move || {
            let (addr, mailbox) = mailbox(1, overflow);
            let sender = thread::spawn(move || {
                drop(addr.offer(Payload::new(1)));
                drop(addr.offer(Payload::new(2)));
            });
            drop(mailbox);
            sender.join().unwrap();
        });
    }
}

/// `Disconnect`: two senders find it full. Accepted: both are turned away, one loss of each is
/// told, and the receiver gets what was inside and then the reason.
#[test]
fn a_full_mailbox_is_disconnected_once() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::Disconnect);
        let other = addr.clone();
        let sender = thread::spawn(move || other.offer(Payload::new(1)).is_ok());
        let here = addr.offer(Payload::new(2)).is_ok();
        let there = sender.join().unwrap();
        assert!(here != there);
        assert!(block_on(mailbox.recv()).is_ok());
        assert_eq!(block_on(mailbox.recv()), Err(RecvError::Disconnected));
        assert_eq!(mailbox.counts().refused, 1);
    });
}

/// A receive is polled and cancelled while a message comes in; a second one waits (L6). Accepted:
/// the second gets it, whoever the wake went to.
#[test]
fn a_cancelled_recv_loses_neither_message_nor_wake() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::DropNewest);
        let kept = addr.clone();
        let sender = thread::spawn(move || addr.offer(Payload::new(1)).unwrap());
        let got = block_on(async {
            let mut first = pin!(mailbox.recv());
            poll_fn(|cx| match first.as_mut().poll(cx) {
                Poll::Ready(got) => Poll::Ready(Some(got)),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        });
        let got = got.unwrap_or_else(|| block_on(mailbox.recv()));
        assert_eq!(got.unwrap().0, 1);
        sender.join().unwrap();
        drop(kept);
    });
}

/// A sender waits for room while the receiver takes. Accepted: it gets in.
#[test]
fn a_freed_place_wakes_a_sender_that_is_falling_asleep() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::block());
        addr.offer(Payload::new(1)).unwrap();
        let sender = thread::spawn(move || block_on(addr.send_async(Payload::new(2))).unwrap());
        assert_eq!(mailbox.try_recv().unwrap().0, 1);
        sender.join().unwrap();
        assert_eq!(mailbox.try_recv().unwrap().0, 2);
    });
}

/// Two senders wait for room, the receiver frees both places one by one. Accepted: both get in.
#[test]
fn two_waiting_senders_both_get_in() {
    model(|| {
        let (addr, mut mailbox) = mailbox(2, Overflow::block());
        addr.offer(Payload::new(0)).unwrap();
        addr.offer(Payload::new(0)).unwrap();
        let senders: Vec<_> = [1, 2]
            .map(|number| {
                let addr = addr.clone();
                thread::spawn(move || block_on(addr.send_async(Payload::new(number))).unwrap())
            })
            .into();
        assert!(mailbox.try_recv().is_ok());
        assert!(mailbox.try_recv().is_ok());
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!(mailbox.len(), 2);
    });
}

/// A sender waits for room, the receiver takes one, a third thread closes (space bell: waiter ×
/// consumer × close). Accepted: it gets in or is told of the close; it does not sleep on.
#[test]
fn a_waiting_sender_hears_of_room_or_of_the_close() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::block());
        addr.offer(Payload::new(1)).unwrap();
        let closing = addr.clone();
        let sender = thread::spawn(move || block_on(addr.send_async(Payload::new(2))).is_ok());
        let closer = thread::spawn(move || closing.close());
        assert_eq!(mailbox.try_recv().unwrap().0, 1);
        let put = sender.join().unwrap();
        closer.join().unwrap();
        assert_eq!(mailbox.try_recv().is_ok(), put);
        assert_eq!(mailbox.try_recv(), Err(TryRecvError::Closed));
    });
}

/// A sender waits for room that never comes; the mailbox is closed. Accepted: it is told.
#[test]
fn a_close_wakes_a_sender_that_is_falling_asleep() {
    model(|| {
        let (addr, mailbox) = mailbox(1, Overflow::block());
        addr.offer(Payload::new(1)).unwrap();
        let sender = thread::spawn(move || block_on(addr.send_async(Payload::new(2))));
        mailbox.close();
        assert!(matches!(sender.join().unwrap(), Err(OfferError::Closed(Payload(2)))));
    });
}

/// Waits as a sender with a clock of its own does, without the clock: for room for one.
fn wait_patiently(addr: &Addr<Payload>) {
    block_on(addr.space().waiting_patiently().wait(|| addr.has_room(1)));
}

/// A patient sender waits for room while the receiver takes all there is, one by one. Accepted: it
/// needs no clock.
#[test]
fn a_receiver_that_takes_everything_wakes_a_patient_sender() {
    model(|| {
        let (addr, mut mailbox) = mailbox(3, Overflow::block());
        for number in 0..3 {
            addr.offer(Payload::new(number)).unwrap();
        }
        let sender = thread::spawn(move || wait_patiently(&addr));
        while mailbox.try_recv().is_ok() {}
        sender.join().unwrap();
    });
}

/// One of two patient senders is cancelled while half of the places become free. Accepted: the
/// other goes on, whoever was woken.
#[test]
fn a_cancelled_patient_sender_takes_no_wake_from_another() {
    model(|| {
        let (addr, mut mailbox) = mailbox(2, Overflow::block());
        addr.offer(Payload::new(0)).unwrap();
        addr.offer(Payload::new(1)).unwrap();
        let other = addr.clone();
        let mut gone = Box::pin(async move { wait_for_one(&addr).await });
        assert!(gone.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let sender = thread::spawn(move || wait_patiently(&other));
        let canceller = thread::spawn(move || drop(gone));
        assert!(mailbox.try_recv().is_ok());
        canceller.join().unwrap();
        sender.join().unwrap();
    });
}

async fn wait_for_one(addr: &Addr<Payload>) {
    addr.space().waiting_patiently().wait(|| addr.has_room(1)).await;
}

/// A patient sender and an eager one wait; one place of three becomes free. Accepted: the eager one
/// gets in, although it was not worth a wake of the patient one.
#[test]
fn an_eager_sender_is_woken_for_a_single_place() {
    model(|| {
        let (addr, mut mailbox) = mailbox(3, Overflow::block());
        for number in 0..3 {
            addr.offer(Payload::new(number)).unwrap();
        }
        let other = addr.clone();
        let mut patient = Box::pin(async move { wait_for_one(&other).await });
        assert!(patient.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let sender = thread::spawn(move || block_on(addr.send_async(Payload::new(3))).unwrap());
        assert!(mailbox.try_recv().is_ok());
        sender.join().unwrap();
    });
}

/// Most places are claimed by a sender that is held up before it fills them; a patient sender waits
/// for the only one that can become free. `all` is whether "nothing is left to take" counts.
fn take_what_lies_before_claimed_places(all: bool) {
    model(move || {
        let (addr, mut mailbox) = mailbox(4, Overflow::block());
        addr.offer(Payload::new(0)).unwrap();
        let mut claimed = addr.reserve(3).unwrap();
        let receiver = thread::spawn(move || {
            if all {
                assert!(mailbox.try_recv().is_ok());
            } else {
                let (_, one) = mailbox.taker.take_one().unwrap();
                assert!(one.is_some());
                let queue = mailbox.taker.queue();
                queue.beside().space.freed(|| queue.is_half_free());
            }
            mailbox
        });
        let bed = std::sync::Arc::new(Bed { woken: Mutex::new(false), bell: Condvar::new() });
        let mut waiting = addr.space().waiting_patiently();
        waiting.register(&Waker::from(std::sync::Arc::clone(&bed)));
        let sleeps = !addr.has_room(1);
        let mailbox = receiver.join().unwrap();
        let woken = *bed.woken.lock().unwrap();
        drop(waiting);
        addr.skip(&mut claimed);
        drop(mailbox);
        assert!(woken || !sleeps, "a lost wake-up");
    });
}

#[test]
fn a_receiver_that_finds_nothing_more_wakes_a_patient_sender() {
    take_what_lies_before_claimed_places(true);
}

/// Must fail: three of four places count as used, and nobody can take them.
#[test]
#[should_panic(expected = "a lost wake-up")]
fn half_of_the_places_alone_is_a_lost_wake_up() {
    take_what_lies_before_claimed_places(false);
}

/// A waiting sender is cancelled while a place is freed; another waits. Accepted: the other gets
/// in.
#[test]
fn a_cancelled_send_passes_nothing_on_and_keeps_nothing() {
    model(|| {
        let (addr, mut mailbox) = mailbox(1, Overflow::block());
        addr.offer(Payload::new(0)).unwrap();
        let other = addr.clone();
        let mut gone = Box::pin(async move { addr.send_async(Payload::new(1)).await });
        assert!(gone.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let sender = thread::spawn(move || block_on(other.send_async(Payload::new(2))).unwrap());
        let canceller = thread::spawn(move || drop(gone));
        assert_eq!(mailbox.try_recv().unwrap().0, 0);
        canceller.join().unwrap();
        sender.join().unwrap();
        assert_eq!(mailbox.try_recv().unwrap().0, 2);
    });
}

/// A place is reserved, another message lies behind it, the place is given back. `bell` is whether
/// the one that skips rings.
fn skip_a_place(bell: bool) {
    model(move || {
        let (addr, mut mailbox) = mailbox(2, Overflow::block());
        let mut places = addr.reserve(1).unwrap();
        let (skipping, kept) = (addr.clone(), addr.clone());
        let sender = thread::spawn(move || addr.offer(Payload::new(1)).unwrap());
        let skipper = thread::spawn(move || {
            skipping.skip(&mut places);
            if bell {
                signal::fence();
                skipping.signal().ring();
            }
        });
        assert_eq!(block_on(mailbox.recv()).unwrap().0, 1);
        sender.join().unwrap();
        skipper.join().unwrap();
        drop(kept);
    });
}

#[test]
fn a_skip_that_rings_lets_the_receiver_see_what_lies_behind() {
    skip_a_place(true);
}

/// Without the bell too: a receiver does not sleep over a place that was claimed and is neither filled
/// nor skipped. (While it looked only at what was readable, this was a lost wake-up.)
#[test]
fn a_receiver_stays_awake_for_a_place_that_is_given_back_in_silence() {
    skip_a_place(false);
}
