//! What each policy, wait and close does. Load is in `stress.rs`, interleavings in `models.rs`.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::block_on::block_on;
use crate::mailbox::addr::Pushed;
use crate::mailbox::signal::Park;

const LONG: Duration = Duration::from_secs(60);

/// Counts wakes.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls `mailbox.recv()` until it sleeps; the yields before that wake their own task.
fn sleep_on<T>(mailbox: &mut Mailbox<T>, waker: &Waker) {
    let mut cx = Context::from_waker(waker);
    for _ in 0..3 {
        assert!(mailbox.poll_recv(&mut cx).is_pending());
    }
    assert!(mailbox.taker.queue().beside().signal.is_parked());
}

#[test]
fn drop_oldest_keeps_the_newest_messages() {
    for capacity in [1, 2, 3, 16, 33] {
        let (addr, mut mailbox) = Mailbox::new(capacity, Overflow::DropOldest);
        let mut dropped = 0;
        for number in 0..100 {
            dropped += addr.offer(number).unwrap().dropped;
        }
        let mut got = Vec::new();
        mailbox.drain(usize::MAX, |number| got.push(number));
        assert_eq!(got, (dropped..100).collect::<Vec<_>>(), "capacity {capacity}");
        assert!(got.len() <= capacity && got.len() >= capacity - capacity / 16);
        let counts = mailbox.counts();
        assert_eq!((counts.accepted, counts.received), (100, 100 - dropped));
        assert_eq!((counts.dropped_oldest, counts.refused), (dropped, 0));
    }
}

#[test]
fn drop_newest_keeps_the_oldest_messages_and_counts_the_rest() {
    let (addr, mut mailbox) = Mailbox::new(3, Overflow::DropNewest);
    for number in 0..10 {
        let refused = addr.offer(number).err().map(OfferError::into_message);
        assert_eq!(refused, (number >= 3).then_some(number));
    }
    assert_eq!(mailbox.counts(), Counts { accepted: 3, refused: 7, ..Counts::default() });
    assert_eq!(mailbox.drain(2, drop), 2);
    assert_eq!(mailbox.try_recv(), Ok(2));
    assert_eq!(mailbox.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn block_hands_back_what_does_not_fit_and_counts_no_loss() {
    let (addr, mailbox) = Mailbox::new(1, Overflow::block());
    addr.offer(1).unwrap();
    assert_eq!(addr.offer(2), Err(OfferError::Full(2)));
    let timed_out = addr.send_blocking(3, Duration::from_millis(1));
    assert_eq!(timed_out, Err(OfferError::Full(3)));
    assert_eq!(mailbox.counts(), Counts { accepted: 1, ..Counts::default() });
}

#[test]
fn disconnect_closes_a_full_mailbox_and_says_why_when_it_is_drained() {
    let (addr, mut mailbox) = Mailbox::new(2, Overflow::Disconnect);
    addr.offer(1).unwrap();
    addr.offer(2).unwrap();
    assert_eq!(addr.offer(3), Err(OfferError::Closed(3)));
    assert_eq!(addr.offer(4), Err(OfferError::Closed(4)));
    assert!(mailbox.is_closed());
    assert_eq!(mailbox.counts(), Counts { accepted: 2, refused: 1, ..Counts::default() });
    assert_eq!(mailbox.try_recv(), Ok(1));
    assert_eq!(mailbox.recv_blocking(), Ok(2));
    assert_eq!(mailbox.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(mailbox.recv_blocking(), Err(RecvError::Disconnected));
}

#[test]
fn the_last_address_to_go_closes_the_mailbox() {
    let (addr, mut mailbox) = Mailbox::new(4, Overflow::block());
    let other = addr.clone();
    assert!(addr.same_mailbox(&other));
    addr.offer(1).unwrap();
    drop(addr);
    assert!(!mailbox.is_closed());
    other.offer(2).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert_eq!(mailbox.drain(9, drop), 2);
    sleep_on(&mut mailbox, &waker);
    let yields = woken.0.load(Ordering::SeqCst);
    drop(other);
    assert_eq!(woken.0.load(Ordering::SeqCst), yields + 1, "the end wakes the receiver");
    assert_eq!(mailbox.recv_blocking(), Err(RecvError::Closed));
}

#[test]
fn dropping_the_mailbox_closes_it_and_drops_what_is_inside() {
    let message = Arc::new(());
    let (addr, mailbox) = Mailbox::new(4, Overflow::DropOldest);
    for _ in 0..6 {
        addr.offer(Arc::clone(&message)).unwrap();
    }
    drop(mailbox);
    assert_eq!(Arc::strong_count(&message), 1);
    assert!(matches!(addr.offer(Arc::clone(&message)), Err(OfferError::Closed(_))));
    assert_eq!(Arc::strong_count(&message), 1);
}

#[test]
fn a_sleeping_receiver_is_woken_once_for_many_messages() {
    let (addr, mut mailbox) = Mailbox::new(8, Overflow::DropOldest);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    sleep_on(&mut mailbox, &waker);
    let yields = woken.0.load(Ordering::SeqCst);
    for number in 0..5 {
        addr.offer(number).unwrap();
    }
    assert_eq!(woken.0.load(Ordering::SeqCst), yields + 1);
    assert_eq!(mailbox.drain(9, drop), 5);
}

#[test]
fn a_dropped_recv_leaves_no_waker_behind() {
    let (addr, mut mailbox) = Mailbox::new(8, Overflow::DropOldest);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    {
        let mut recv = std::pin::pin!(mailbox.recv());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..3 {
            assert!(recv.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(Arc::strong_count(&woken), 3, "ours, the waker's and the one left inside");
    }
    assert_eq!(Arc::strong_count(&woken), 2);
    addr.offer(1).unwrap();
    assert_eq!(mailbox.try_recv(), Ok(1));
}

#[test]
fn a_mailbox_that_goes_leaves_no_waker_behind_and_wakes_nobody() {
    let (addr, mut mailbox) = Mailbox::<u8>::new(8, Overflow::DropOldest);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    sleep_on(&mut mailbox, &waker);
    let yields = woken.0.load(Ordering::SeqCst);
    drop(mailbox);
    assert_eq!(Arc::strong_count(&woken), 2);
    assert_eq!(woken.0.load(Ordering::SeqCst), yields);
    assert!(addr.is_closed());
}

/// A handler on a thread of its own sends and waits, while its actor's own future is woken: the
/// inner wait once took that wake for its own, and the actor slept on.
#[test]
fn a_wait_inside_a_wait_keeps_the_outer_ones_wake() {
    let mut outer_polls = 0;
    let outer = poll_fn(|cx| {
        outer_polls += 1;
        if outer_polls == 2 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        let mut inner_polls = 0;
        let inner = poll_fn(|cx| {
            // Uses up the token of the wake, as any blocking call may do.
            thread::park();
            inner_polls += 1;
            if inner_polls == 2 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!(block_on(inner, None), Some(()));
        Poll::Pending
    });
    // Time is over already: only the wake that came in between gets it polled again.
    assert_eq!(block_on(outer, Some(Instant::now())), Some(()));
}

/// Being woken for nothing, by itself or by others, once kept a wait going for ever.
#[test]
fn a_deadline_ends_a_wait_that_is_woken_again_and_again() {
    let mut polls = 0;
    let woken = poll_fn(|cx| {
        polls += 1;
        assert!(polls < 100, "it is polled once more after its time is over, not for ever");
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    assert_eq!(block_on(woken, Some(Instant::now())), None);

    let (_addr, mailbox) = Mailbox::<u8>::new(8, Overflow::DropOldest);
    let mut mailbox = mailbox.with_wait(Wait::Spin);
    assert_eq!(mailbox.recv_timeout(Duration::from_millis(1)), Ok(None));
}

/// What comes in meanwhile once kept a drain going for ever.
#[test]
fn a_drain_ends_although_messages_keep_coming() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let (addr, mut mailbox) = Mailbox::new(8, overflow);
        addr.offer(0).unwrap();
        let drained = mailbox.drain(usize::MAX, |n| {
            assert!(n < 100, "it does not end");
            addr.offer(n + 1).unwrap();
        });
        assert!((1..=8).contains(&drained), "{drained}");
        assert_eq!(mailbox.len(), 1, "the last one stays for the next call");
    }
}

#[test]
fn a_recv_that_never_sleeps_keeps_yielding() {
    let (addr, mailbox) = Mailbox::<u8>::new(8, Overflow::DropOldest);
    let mut mailbox = mailbox.with_wait(Wait::Spin);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..100 {
        assert!(mailbox.poll_recv(&mut cx).is_pending());
    }
    assert_eq!(woken.0.load(Ordering::SeqCst), 100);
    assert!(!addr.signal().is_parked());
}

#[test]
fn a_sender_that_waits_is_woken_by_a_drain_even_if_it_panics() {
    let (addr, mut mailbox) = Mailbox::new(1, Overflow::block());
    addr.offer(1).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut send = std::pin::pin!(addr.send_async(2));
    assert!(send.as_mut().poll(&mut cx).is_pending());
    let result = panic::catch_unwind(AssertUnwindSafe(|| mailbox.drain(1, |_| panic!("told to"))));
    assert!(result.is_err());
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(send.as_mut().poll(&mut cx), Poll::Ready(Ok(Offered::default())));
    assert_eq!(mailbox.try_recv(), Ok(2));
}

#[test]
fn a_skipped_place_wakes_the_senders_that_wait_for_it() {
    let (addr, mut mailbox) = Mailbox::<u8>::new(1, Overflow::block());
    let mut places = addr.reserve(1).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut send = std::pin::pin!(addr.send_async(2));
    assert!(send.as_mut().poll(&mut cx).is_pending());
    addr.skip(&mut places);
    assert_eq!(mailbox.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(send.as_mut().poll(&mut cx).is_ready());
    let counts = mailbox.counts();
    assert_eq!((counts.accepted, counts.received, mailbox.len()), (1, 0, 1));
}

struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("told to");
    }
}

/// A panic in one task's waker once kept the others asleep, and left the publisher halfway.
#[test]
fn a_waker_that_panics_keeps_nobody_else_asleep() {
    let (addr, mut mailbox) = Mailbox::new(1, Overflow::block());
    addr.offer(1).unwrap();
    let woken = Arc::new(Woken::default());
    let (mut first, mut second) = (addr.space().waiting(), addr.space().waiting());
    first.register(&Waker::from(Arc::new(Broken)));
    second.register(&Waker::from(Arc::clone(&woken)));
    assert_eq!(mailbox.try_recv(), Ok(1));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);

    assert_eq!(addr.signal().park(&Waker::from(Arc::new(Broken)), || false), Park::Asleep);
    assert!(addr.offer(2).is_ok());
    assert_eq!(mailbox.try_recv(), Ok(2));
}

#[test]
fn closing_wakes_the_senders_that_wait() {
    let (addr, mailbox) = Mailbox::new(1, Overflow::block());
    addr.offer(0).unwrap();
    let threads: Vec<_> = (1..4)
        .map(|number| {
            let addr = addr.clone();
            thread::spawn(move || addr.send_blocking(number, LONG))
        })
        .collect();
    while addr.space().waiting_now() < 3 {
        thread::yield_now();
    }
    mailbox.close();
    for (thread, number) in threads.into_iter().zip(1..) {
        assert_eq!(thread.join().unwrap(), Err(OfferError::Closed(number)));
    }
}

#[test]
fn a_cancelled_send_takes_nothing_from_the_others() {
    let (addr, mut mailbox) = Mailbox::new(1, Overflow::block());
    addr.offer(0).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut first = Box::pin(addr.send_async(1));
    let mut second = Box::pin(addr.send_async(2));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert_eq!(mailbox.try_recv(), Ok(0));
    assert_eq!(woken.0.load(Ordering::SeqCst), 2);
    drop(first);
    assert!(second.as_mut().poll(&mut cx).is_ready());
    assert_eq!(addr.space().waiting_now(), 0);
    assert_eq!(mailbox.try_recv(), Ok(2));
}

#[test]
fn a_batch_goes_in_as_each_policy_says() {
    let batch = || (0..10).collect::<Vec<u64>>();
    let mut stolen = Vec::new();

    let (addr, mut mailbox) = Mailbox::new(4, Overflow::DropOldest);
    let pushed = addr.push_all(&mut batch(), &mut stolen);
    assert_eq!(pushed, Pushed { taken: 10, stolen: 6, rest: Rest::Nothing });
    assert_eq!(stolen, (0..6).collect::<Vec<_>>());
    let mut got = VecDeque::new();
    while let Batch::Taken(_) = mailbox.take_batch(9, &mut got) {}
    assert_eq!(got, [6, 7, 8, 9]);

    let (addr, mailbox) = Mailbox::new(4, Overflow::DropNewest);
    let mut rest = batch();
    let pushed = addr.push_all(&mut rest, &mut Vec::new());
    assert_eq!(pushed, Pushed { taken: 4, stolen: 0, rest: Rest::Refused });
    assert_eq!(rest, [4, 5, 6, 7, 8, 9]);
    assert_eq!(mailbox.counts().refused, 6);

    let (addr, mailbox) = Mailbox::new(4, Overflow::Disconnect);
    let pushed = addr.push_all(&mut batch(), &mut Vec::new());
    assert_eq!(pushed, Pushed { taken: 4, stolen: 0, rest: Rest::Disconnected });
    assert_eq!(mailbox.counts().refused, 6);
    let pushed = addr.push_all(&mut batch(), &mut Vec::new());
    assert_eq!(pushed, Pushed { taken: 0, stolen: 0, rest: Rest::Closed });

    let (addr, mailbox) = Mailbox::new(4, Overflow::block());
    let pushed = addr.push_all(&mut batch(), &mut Vec::new());
    assert_eq!(pushed, Pushed { taken: 4, stolen: 0, rest: Rest::Refused });
    assert_eq!(mailbox.counts().refused, 0);
}

/// Panics when dropped, if it is the one.
struct Touchy(u64, Arc<AtomicU64>);

impl Drop for Touchy {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
        assert!(self.0 != 0, "told to");
    }
}

#[test]
fn a_panicking_drop_of_the_oldest_does_not_freeze_the_mailbox() {
    let drops = Arc::new(AtomicU64::new(0));
    let (addr, mut mailbox) = Mailbox::new(1, Overflow::DropOldest);
    addr.offer(Touchy(0, Arc::clone(&drops))).unwrap();
    let second = Touchy(1, Arc::clone(&drops));
    let result = panic::catch_unwind(AssertUnwindSafe(|| drop(addr.offer(second))));
    assert!(result.is_err(), "it is the sender's own call that panics");
    assert_eq!(mailbox.try_recv().unwrap().0, 1);
    addr.offer(Touchy(2, Arc::clone(&drops))).unwrap();
    assert_eq!(mailbox.try_recv().unwrap().0, 2);
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}

#[test]
fn a_panicking_drop_does_not_stop_a_mailbox_from_going() {
    let drops = Arc::new(AtomicU64::new(0));
    let (addr, mailbox) = Mailbox::new(8, Overflow::block());
    for _ in 0..8 {
        addr.offer(Touchy(0, Arc::clone(&drops))).unwrap();
    }
    drop(mailbox);
    assert_eq!(drops.load(Ordering::SeqCst), 8);
    assert!(addr.is_closed() && addr.is_empty());
}

#[test]
fn a_receive_with_a_timeout_gives_up() {
    let (addr, mut mailbox) = Mailbox::new(1, Overflow::block());
    assert_eq!(mailbox.recv_timeout(Duration::from_millis(1)), Ok(None));
    addr.offer(1).unwrap();
    assert_eq!(mailbox.recv_timeout(LONG), Ok(Some(1)));
    drop(addr);
    assert_eq!(mailbox.recv_timeout(LONG), Err(RecvError::Closed));
}

#[test]
fn handles_cross_threads_and_errors_speak() {
    fn crosses<T: Send + Sync>(_: &T) {}
    let (addr, mailbox) = Mailbox::<std::cell::Cell<u8>>::new(1, Overflow::default());
    crosses(&addr);
    fn moves<T: Send>(_: &T) {}
    moves(&mailbox);
    assert_eq!(OfferError::Full(()).to_string(), "the mailbox is full");
    assert_eq!(format!("{:?}", OfferError::Closed(addr)), "Closed(..)");
    assert_eq!(TryRecvError::Empty.to_string(), "the mailbox is empty");
    assert_eq!(TryRecvError::Closed.to_string(), RecvError::Closed.to_string());
}
