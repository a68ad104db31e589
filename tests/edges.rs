//! The corners of publishing and subscribing: user code that panics or interferes half-way,
//! executors that drop what they run, limits, and the smallest rings and mailboxes.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringpost::{
    Actor, Bus, Context, Delivery, DropReason, Executor, ExecutorError, Failure, Message, Notices,
    Overflow, PublishError, Publisher, Run, Sequence, Spawn, Stamp, Start, SubscribeError,
    Subscription, Tap, Tapped, Wait, WeakBus,
};

const LONG: Duration = Duration::from_secs(60);

/// What a message does in the middle of its own publish, once.
#[derive(Clone, Default)]
struct Once(Arc<Mutex<Option<Act>>>);

type Act = Box<dyn FnOnce() + Send>;

impl Once {
    fn new(act: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(act)))))
    }

    fn run(&self) {
        let act = self.0.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

/// Runs code of its own while it is being published.
#[derive(Default)]
struct Meddler {
    number: u64,
    /// After the look whether the bus is enabled, before the route.
    in_stamp: Once,
    /// After the route, before any claim.
    in_share: Once,
    /// When this many clones were made.
    in_clone: Arc<Mutex<Option<(u64, Once)>>>,
}

impl Clone for Meddler {
    fn clone(&self) -> Self {
        let due = {
            let mut act = self.in_clone.lock().unwrap();
            match &mut *act {
                Some((0, _)) => act.take().map(|(_, once)| once),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some(once) = due {
            once.run();
        }
        Self {
            number: self.number,
            in_stamp: self.in_stamp.clone(),
            in_share: self.in_share.clone(),
            in_clone: Arc::clone(&self.in_clone),
        }
    }
}

impl Message for Meddler {
    fn share(&self, n: usize) -> impl Iterator<Item = Self> {
        self.in_share.run();
        std::iter::repeat_with(|| self.clone()).take(n)
    }

    fn stamp(&mut self, _stamp: &Stamp) {
        self.in_stamp.run();
    }
}

fn number(number: u64) -> Meddler {
    Meddler { number, ..Meddler::default() }
}

#[test]
fn a_bus_that_is_disabled_in_the_middle_of_a_publish_is_not_closed() {
    for pattern in ["t", "**"] {
        for batch in [false, true] {
            let bus = Bus::<Meddler>::new();
            let subscription =
                bus.subscribe(pattern).unwrap().spawn(|_: Delivery<'_, Meddler>| {}).unwrap();
            let mut publisher = bus.publisher("t").unwrap();
            let off = bus.clone();
            let meddler =
                Meddler { in_stamp: Once::new(move || off.set_enabled(false)), ..number(1) };
            if batch {
                let mut list = vec![meddler, number(2)];
                let published = publisher.publish_batch(&mut list).unwrap();
                assert_eq!((published.first, published.count, list.len()), (None, 0, 0));
            } else {
                assert_eq!(publisher.publish(meddler).unwrap().sequence, None);
            }
            assert_eq!(bus.stats().published, 0);
            bus.set_enabled(true);
            assert_eq!(publisher.publish(number(3)).unwrap().sequence, Some(Sequence::FIRST));
            bus.settle(LONG).unwrap();
            assert_eq!(subscription.stats().handled, 1);
            assert!(subscription.stats().balances());
        }
    }
}

#[test]
fn a_message_that_finds_its_mailbox_closed_with_the_bus_is_counted() {
    let bus = Bus::<Meddler>::new();
    let subscription = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, Meddler>| {}).unwrap();
    let second = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, Meddler>| {}).unwrap();
    let inline = bus.subscribe_inline("t", |_: Delivery<'_, Meddler>| {}).unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    // The first clone is for the ring, the second is made when the message is published.
    let shut = bus.clone();
    let close = Once::new(move || {
        shut.shutdown(Duration::ZERO);
    });
    let in_clone = Arc::new(Mutex::new(Some((1, close))));
    let published = publisher.publish(Meddler { in_clone, ..number(1) }).unwrap();
    assert_eq!((published.sequence, published.dropped), (Some(Sequence::FIRST), 2));
    for subscription in [subscription, second] {
        let stats = subscription.stats();
        assert_eq!((stats.matched, stats.dropped[&DropReason::Shutdown]), (1, 1), "{stats:?}");
        assert!(stats.balances(), "{stats:?}");
    }
    // It needs no room.
    assert_eq!((inline.stats().handled, inline.is_active()), (1, false));
}

#[test]
fn whoever_joins_in_the_middle_of_a_publish_gets_the_message_once() {
    for policy in [Overflow::DropOldest, Overflow::block(), Overflow::DropNewest] {
        for batch in [false, true] {
            let bus = Bus::<Meddler>::new();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let _old = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, Meddler>| {}).unwrap();
            let (joiner, sink) = (bus.clone(), Arc::clone(&seen));
            let joined = Arc::new(Mutex::new(None));
            let slot = Arc::clone(&joined);
            let in_share = Once::new(move || {
                let mailbox = joiner
                    .subscribe("t")
                    .unwrap()
                    .overflow(policy)
                    .spawn(move |d: Delivery<'_, Meddler>| sink.lock().unwrap().push(d.number))
                    .unwrap();
                let inline = joiner.subscribe_inline("t", |_: Delivery<'_, Meddler>| {}).unwrap();
                *slot.lock().unwrap() = Some([mailbox, inline]);
            });
            let mut publisher = bus.publisher("t").unwrap();
            let first = Meddler { in_share, ..number(1) };
            if batch {
                publisher.publish_batch(&mut vec![first, number(2)]).unwrap();
            } else {
                assert_eq!(publisher.publish(first).unwrap().delivered, 3);
                publisher.publish(number(2)).unwrap();
            }
            bus.settle(LONG).unwrap();
            assert_eq!(*seen.lock().unwrap(), [1, 2], "{policy:?} {batch}");
            for subscription in joined.lock().unwrap().as_ref().unwrap() {
                let stats = subscription.stats();
                assert_eq!((stats.matched, stats.handled), (2, 2), "{stats:?}");
            }
        }
    }
}

#[test]
fn try_publish_does_not_wait_for_a_full_mailbox_that_joined_meanwhile() {
    let bus = Bus::<Meddler>::new();
    let _old = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, Meddler>| {}).unwrap();
    let (open, gate) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    let joined = Arc::new(Mutex::new(None));
    let (joiner, slot) = (bus.clone(), Arc::clone(&joined));
    let in_share = Once::new(move || {
        let subscription = joiner
            .subscribe("t")
            .unwrap()
            .mailbox(1)
            .overflow(Overflow::Block { timeout: Duration::MAX })
            .executor(Executor::thread(Wait::Park))
            .spawn(move |_: Delivery<'_, Meddler>| {
                let _ = enter.send(());
                let _ = gate.recv();
            })
            .unwrap();
        joiner.publish_to("t", number(1)).unwrap();
        entered.recv().unwrap();
        joiner.publish_to("t", number(2)).unwrap();
        *slot.lock().unwrap() = Some(subscription);
    });
    let mut publisher = bus.publisher("t").unwrap();
    let published = publisher.try_publish(Meddler { in_share, ..number(3) }).unwrap();
    assert_eq!(published.dropped, 1);
    drop(open);
    bus.settle(LONG).unwrap();
    let stats = joined.lock().unwrap().as_ref().unwrap().stats();
    assert_eq!((stats.handled, stats.dropped[&DropReason::Joining]), (2, 1));
    assert!(stats.balances(), "{stats:?}");
}

#[test]
fn a_subscription_cancelled_with_a_publish_under_way_leaves_no_place_behind() {
    let bus = Bus::<Meddler>::new();
    let cancelled = bus
        .subscribe("t")
        .unwrap()
        .overflow(Overflow::block())
        .spawn(|_: Delivery<'_, Meddler>| {})
        .unwrap();
    let other = bus
        .subscribe("t")
        .unwrap()
        .overflow(Overflow::block())
        .spawn(|_: Delivery<'_, Meddler>| {})
        .unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    let cancelled = Arc::new(cancelled);
    let handle = Arc::clone(&cancelled);
    let meddler = Meddler { in_share: Once::new(move || handle.cancel()), ..number(1) };
    assert_eq!(publisher.publish(meddler).unwrap().delivered, 1);
    bus.settle(LONG).unwrap();
    assert_eq!((cancelled.stats().matched, other.stats().handled), (0, 1));
}

/// An error whose own code panics.
#[derive(Debug)]
struct Nasty(bool);

impl fmt::Display for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.0, "no words for it");
        f.write_str("words")
    }
}

impl std::error::Error for Nasty {}

impl Drop for Nasty {
    fn drop(&mut self) {
        assert!(self.0, "it does not go");
    }
}

#[test]
fn an_error_that_panics_when_it_is_written_or_dropped_is_one_more_failure() {
    let bus = Bus::<u64>::new();
    let mut notices = bus.notices();
    let fail = |d: Delivery<'_, u64>| match *d {
        0 => Err::<(), Failure>(Nasty(true).into()),
        1 => Err(Nasty(false).into()),
        _ => Ok(()),
    };
    let mailbox = bus.subscribe("t").unwrap().spawn(fail).unwrap();
    let inline = bus.subscribe_inline("t", fail).unwrap();
    for n in 0..4_u64 {
        bus.publish_to("t", n).unwrap();
    }
    bus.settle(LONG).unwrap();
    for stats in [mailbox.stats(), inline.stats()] {
        assert_eq!((stats.handled, stats.failed), (2, 2), "{stats:?}");
    }
    let mut told: Vec<String> = notices.by_ref().map(|notice| notice.error).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "the error's own code panicked: no words for it",
            "the error's own code panicked: no words for it",
            "words (the error's own code panicked: it does not go)",
            "words (the error's own code panicked: it does not go)",
        ]
    );
}

/// Its clones panic from some moment on; so does making it of a notice.
struct Uncopied(Arc<AtomicBool>);

impl Clone for Uncopied {
    fn clone(&self) -> Self {
        assert!(!self.0.load(Ordering::Relaxed), "no copies");
        Self(Arc::clone(&self.0))
    }
}

impl Message for Uncopied {
    fn from_notice(_notice: &ringpost::Notice) -> Option<Self> {
        panic!("no message of it")
    }
}

#[test]
fn inline_handlers_that_cannot_get_a_copy_lose_the_message_and_say_so() {
    let bus = Bus::<Uncopied>::new();
    let fragile = Arc::new(AtomicBool::new(false));
    let again = bus.downgrade();
    let first = Arc::new(AtomicBool::new(true));
    let inline = bus
        .subscribe_inline("t", move |d: Delivery<'_, Uncopied>| {
            if first.swap(false, Ordering::Relaxed) {
                // Publishing copies it once for the ring; the deferred copy panics.
                let inner = Uncopied(Arc::clone(&d.0));
                d.0.store(true, Ordering::Relaxed);
                again.upgrade().unwrap().publish_to("t", inner).unwrap();
                d.0.store(false, Ordering::Relaxed);
            }
        })
        .unwrap();
    for _ in 0..3 {
        bus.publish_to("t", Uncopied(Arc::clone(&fragile))).unwrap();
    }
    let mut publisher = bus.publisher("t").unwrap();
    fragile.store(true, Ordering::Relaxed);
    let mut list: Vec<_> = (0..2).map(|_| Uncopied(Arc::clone(&fragile))).collect();
    publisher.publish_batch(&mut list).unwrap();
    let stats = inline.stats();
    assert_eq!(bus.stats().published, 6);
    assert_eq!((stats.matched, stats.handled), (6, 3), "{stats:?}");
    assert_eq!(stats.dropped[&DropReason::Panicked], 3);
    assert!(stats.balances());
}

#[test]
fn a_notice_that_cannot_be_made_a_message_ends_nobody() {
    let bus = Bus::<Uncopied>::new();
    let _errors = bus.subscribe("$errors").unwrap().spawn(|_: Delivery<'_, Uncopied>| {}).unwrap();
    let failing =
        bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, Uncopied>| Err::<(), _>("no")).unwrap();
    for _ in 0..3 {
        bus.publish_to("t", Uncopied(Arc::default())).unwrap();
    }
    bus.settle(LONG).unwrap();
    assert_eq!(failing.stats().failed, 3);
    assert!(failing.is_active());
}

/// Polls what it is given this often, then drops it.
#[derive(Debug)]
struct Drops(u32);

impl Spawn for Drops {
    fn spawn(&self, _name: &str, mut run: Run) -> Result<(), ExecutorError> {
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..self.0 {
            assert!(run.as_mut().poll(&mut task).is_pending());
        }
        Ok(())
    }
}

#[test]
fn a_run_loop_that_its_executor_drops_has_stopped_and_everybody_hears_of_it() {
    for polls in [0, 1] {
        for pattern in ["t", "**"] {
            let bus = Bus::<u64>::new();
            for policy in [Overflow::DropOldest, Overflow::block()] {
                let dropped = bus
                    .subscribe(pattern)
                    .unwrap()
                    .overflow(policy)
                    .executor(Executor::custom(Drops(polls)))
                    .spawn(|_: Delivery<'_, u64>| {})
                    .unwrap();
                assert!(!dropped.is_active());
                let done = bus.publish_to("t", 1_u64);
                if policy == Overflow::DropOldest {
                    assert_eq!(done.unwrap().delivered, 0);
                } else {
                    let Err(PublishError::Stopped { subscriber, .. }) = done else {
                        panic!("{pattern}: {done:?}");
                    };
                    assert_eq!(subscriber, dropped.id());
                }
                bus.settle(LONG).unwrap();
                assert!(dropped.stats().balances(), "{:?}", dropped.stats());
            }
            assert!(bus.publish_to("t", 2_u64).is_ok(), "cancelled by being dropped");
        }
    }
}

struct Held(Arc<AtomicBool>);

impl Actor<u64> for Held {
    async fn handle(&mut self, _: Delivery<'_, u64>, _: &mut Context) -> Result<(), Failure> {
        self.0.store(true, Ordering::Release);
        std::future::pending().await
    }
}

/// Keeps what it is given, for a test to poll and drop.
#[derive(Debug)]
struct Keeps(mpsc::SyncSender<Run>);

// `Run` is `Send`, not `Sync`; the sender is both.
impl Spawn for Keeps {
    fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
        self.0.send(run).unwrap();
        Ok(())
    }
}

#[test]
fn what_a_dropped_run_loop_had_in_hand_and_in_its_mailbox_is_counted() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let (keep, kept) = mpsc::sync_channel(1);
        let entered = Arc::new(AtomicBool::new(false));
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .executor(Executor::custom(Keeps(keep)))
            .spawn_actor(Held(Arc::clone(&entered)))
            .unwrap();
        for n in 0..10_u64 {
            bus.publish_to("t", n).unwrap();
        }
        let mut run = kept.recv().unwrap();
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(run.as_mut().poll(&mut task).is_pending());
        assert!(entered.load(Ordering::Acquire));
        drop(run);
        let stats = subscription.stats();
        assert!(stats.balances(), "{pattern}: {stats:?}");
        assert_eq!((stats.matched, stats.handled, stats.in_flight, stats.queued), (10, 0, 0, 0));
        assert_eq!(stats.dropped[&DropReason::Stopped], 10);
    }
}

#[test]
fn a_block_subscription_that_reads_the_ring_has_its_own_timeout() {
    let bus = Bus::<u64>::builder().publish_timeout(Duration::ZERO).build();
    let subscription = bus
        .subscribe("**")
        .unwrap()
        .mailbox(1)
        .overflow(Overflow::Block { timeout: LONG })
        .spawn(|_: Delivery<'_, u64>| {})
        .unwrap();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..500_u64 {
        publisher.publish(n).unwrap();
    }
    bus.settle(LONG).unwrap();
    assert_eq!(subscription.stats().handled, 500);
}

#[test]
fn replay_is_not_cut_by_the_size_of_the_mailbox() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::new();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 0..3000_u64 {
            publisher.publish(n).unwrap();
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .mailbox(16)
            .start(Start::Recent(2500))
            .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))
            .unwrap();
        bus.settle(LONG).unwrap();
        assert_eq!(*seen.lock().unwrap(), (500..3000).collect::<Vec<u64>>(), "{pattern}");
        assert_eq!(subscription.stats().total_dropped(), 0);
    }
}

#[test]
fn a_replay_from_before_the_ring_tells_its_gap_once() {
    for pattern in ["t", "**"] {
        let bus = Bus::<u64>::builder().ring(1024).recent(0).build();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 0..5000_u64 {
            publisher.publish(n).unwrap();
        }
        let gaps = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&gaps);
        let subscription = bus
            .subscribe(pattern)
            .unwrap()
            .start(Start::Sequence(Sequence::new(2)))
            .spawn(move |d: Delivery<'_, u64>| told.lock().unwrap().extend_from_slice(d.gaps()))
            .unwrap();
        bus.settle(LONG).unwrap();
        publisher.publish(5000_u64).unwrap();
        bus.settle(LONG).unwrap();
        let stats = subscription.stats();
        assert!(stats.balances(), "{stats:?}");
        let gaps = gaps.lock().unwrap();
        assert_eq!(gaps.len(), 1, "{pattern}: {gaps:?}");
        assert_eq!((gaps[0].from.get(), gaps[0].reason), (2, DropReason::Lapped));
        assert_eq!(gaps[0].count, stats.dropped[&DropReason::Lapped]);
        assert_eq!(stats.handled + gaps[0].count, 5000);
    }
}

#[test]
fn a_start_beyond_the_newest_message_is_the_next_and_one_before_the_first_is_the_first() {
    for pattern in ["t", "**"] {
        for (asked, expected) in [(Sequence::new(1), 3), (Sequence::new(5000), 1)] {
            let bus = Bus::<u64>::builder().start(Sequence::new(1000)).build();
            bus.publish_to("t", 1_u64).unwrap();
            bus.publish_to("t", 2_u64).unwrap();
            let subscription = bus
                .subscribe(pattern)
                .unwrap()
                .start(Start::Sequence(asked))
                .spawn(|_: Delivery<'_, u64>| {})
                .unwrap();
            bus.publish_to("t", 3_u64).unwrap();
            bus.settle(LONG).unwrap();
            let stats = subscription.stats();
            assert_eq!((stats.handled, stats.total_dropped()), (expected, 0), "{pattern}");
        }
    }
}

#[test]
fn the_newest_that_the_ring_has_can_always_be_had_without_loss() {
    let bus = Bus::<u64>::builder().ring(1024).recent(0).build();
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..1200_u64 {
        publisher.publish(n).unwrap();
        if n % 37 == 0 || n > 1000 && n % 7 == 0 {
            let subscription = bus
                .subscribe("t")
                .unwrap()
                .overflow(Overflow::block())
                .start(Start::Recent(usize::MAX))
                .spawn(|_: Delivery<'_, u64>| {})
                .unwrap();
            bus.settle(LONG).unwrap();
            let stats = subscription.stats();
            assert_eq!(stats.total_dropped(), 0);
            assert!(stats.handled >= (n + 1).min(512), "{n}: {stats:?}");
        }
    }
    let gone = bus
        .subscribe("t")
        .unwrap()
        .overflow(Overflow::block())
        .start(Start::Sequence(Sequence::FIRST))
        .spawn(|_: Delivery<'_, u64>| {});
    assert!(matches!(gone, Err(SubscribeError::Evicted(_))));
}

#[test]
fn a_batch_larger_than_a_block_mailbox_or_a_window_goes_out_in_pieces() {
    let bus = Bus::<u64>::new();
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .mailbox(3)
        .overflow(Overflow::Block { timeout: LONG })
        .spawn(|_: Delivery<'_, u64>| {})
        .unwrap();
    let mut tap = bus.tap_required("**", 5).unwrap();
    let reader = std::thread::spawn(move || {
        (0..1000_u64).all(|n| match tap.next_blocking() {
            Some(Tapped::Delivery(d)) => *d == n,
            _ => false,
        })
    });
    let mut publisher = bus.publisher("t").unwrap();
    let mut list: Vec<u64> = (0..1000).collect();
    assert_eq!(publisher.publish_batch(&mut list).unwrap().count, 1000);
    bus.settle(LONG).unwrap();
    assert_eq!(subscription.stats().handled, 1000);
    assert!(reader.join().unwrap());
}

#[test]
fn a_batch_that_waits_fits_a_smaller_mailbox_that_joined_meanwhile() {
    let bus = Bus::<Meddler>::new();
    let (open, gate) = mpsc::channel::<()>();
    let slot = Arc::new(Mutex::new(None));
    let (joiner, keep) = (bus.clone(), Arc::clone(&slot));
    // Stamped before the route is looked at: the group is cut for the new one, which is full.
    let in_stamp = Once::new(move || {
        let subscription = joiner
            .subscribe("t")
            .unwrap()
            .mailbox(2)
            .overflow(Overflow::Block { timeout: LONG })
            .executor(Executor::thread(Wait::Park))
            .spawn(move |_: Delivery<'_, Meddler>| {
                let _ = gate.recv();
            })
            .unwrap();
        while joiner.try_publish_to("t", number(0)).is_ok() {}
        *keep.lock().unwrap() = Some(subscription);
        drop(open);
    });
    let mut publisher = bus.publisher("t").unwrap();
    let mut list: Vec<_> = (1..100).map(number).collect();
    list.insert(0, Meddler { in_stamp, ..number(0) });
    assert_eq!(publisher.publish_batch(&mut list).unwrap().count, 100);
    bus.settle(LONG).unwrap();
    let stats = slot.lock().unwrap().as_ref().unwrap().stats();
    assert_eq!(stats.handled, bus.stats().published, "{stats:?}");
}

#[test]
fn a_refused_message_is_handed_back() {
    let bus = Bus::<String>::new();
    for topic in ["$errors", "$x", "", "a..b", "a b\u{0}"] {
        assert!(bus.publisher(topic).is_err(), "{topic:?}");
        match bus.publish_to(topic, "kept") {
            Err(PublishError::Topic { message, .. }) => assert_eq!(message, "kept"),
            other => panic!("{topic:?}: {other:?}"),
        }
    }
    match bus.publish("no topic") {
        Err(error @ PublishError::NoTopic(_)) => assert_eq!(error.into_message(), "no topic"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bus.stats().published, 0);
}

#[test]
fn a_bus_closes_at_the_last_sequence() {
    for batch in [1_usize, 7] {
        let first = (1 << 62) - 100;
        let bus = Bus::<u64>::builder().start(Sequence::new(first)).build();
        let subscription = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
        let all = bus.subscribe("**").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
        let mut publisher = bus.publisher("t").unwrap();
        let mut out = 0;
        loop {
            let mut list: Vec<u64> = (0..batch as u64).collect();
            match publisher.publish_batch(&mut list) {
                Ok(published) => {
                    assert_eq!(published.first.map(Sequence::get), Some(first + out));
                    out += published.count;
                }
                Err(error) => {
                    assert!(error.cause.is_closed());
                    assert_eq!(list.len(), batch);
                    break;
                }
            }
        }
        assert_eq!(out, 99 / batch as u64 * batch as u64);
        assert!(bus.is_closed());
        let report = bus.shutdown(LONG);
        assert_eq!((report.published, report.next_sequence.get()), (out, first + out));
        assert_eq!((subscription.stats().handled, all.stats().handled), (out, out));
    }
}

#[test]
fn the_smallest_ring_does_everything() {
    for start in [1, (1 << 48) - 3, (1 << 56) - 3] {
        let bus =
            Bus::<u64>::builder().ring(8).recent(5).mailbox(4).start(Sequence::new(start)).build();
        assert_eq!(bus.stats().ring_slots, 8);
        let total = Arc::new(AtomicU64::new(0));
        let subscriptions: Vec<_> = [
            ("t", Overflow::DropOldest),
            ("t", Overflow::Block { timeout: LONG }),
            ("**", Overflow::Block { timeout: LONG }),
        ]
        .map(|(pattern, policy)| {
            let sum = Arc::clone(&total);
            bus.subscribe(pattern)
                .unwrap()
                .overflow(policy)
                .start(Start::Recent(3))
                .spawn(move |d: Delivery<'_, u64>| {
                    sum.fetch_add(*d, Ordering::Relaxed);
                })
                .unwrap()
        })
        .into();
        let mut publisher = bus.publisher("t").unwrap();
        for n in 0..500_u64 {
            publisher.publish(n).unwrap();
        }
        let mut list: Vec<u64> = (0..500).collect();
        publisher.publish_batch(&mut list).unwrap();
        bus.settle(LONG).unwrap();
        for subscription in &subscriptions {
            let stats = subscription.stats();
            assert!(stats.balances(), "{stats:?}");
            assert_eq!(stats.matched, 1000, "{start}: {stats:?}");
        }
        assert_eq!(subscriptions[1].stats().handled, 1000);
        assert_eq!(subscriptions[2].stats().handled, 1000);
        let recent: Vec<u64> = bus.recent(6).into_iter().map(Delivery::into_message).collect();
        assert_eq!(recent, [499, 498, 497, 496, 495]);
        // Replay of all there is, by one that joins at once because it is never far behind.
        for policy in [Overflow::DropOldest, Overflow::block()] {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            let _replay = bus
                .subscribe("t")
                .unwrap()
                .overflow(policy)
                .start(Start::Recent(6))
                .spawn(move |d: Delivery<'_, u64>| sink.lock().unwrap().push(*d))
                .unwrap();
            bus.settle(LONG).unwrap();
            let seen = seen.lock().unwrap();
            assert!((5..=6).contains(&seen.len()), "{policy:?}: {seen:?}");
            assert_eq!(seen.last(), Some(&499));
        }
    }
}

#[test]
fn a_mailbox_of_one_keeps_its_account_under_every_policy() {
    for policy in [
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::Block { timeout: LONG },
        Overflow::Disconnect,
    ] {
        for pattern in ["t", "**"] {
            let bus = Bus::<u64>::new();
            let told = Arc::new(AtomicU64::new(0));
            let lost = Arc::clone(&told);
            let subscription = bus
                .subscribe(pattern)
                .unwrap()
                .mailbox(1)
                .overflow(policy)
                .spawn(move |d: Delivery<'_, u64>| {
                    assert!(d.gaps().len() <= DropReason::ALL.len());
                    lost.fetch_add(d.gaps().iter().map(|gap| gap.count).sum(), Ordering::Relaxed);
                })
                .unwrap();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    let mut publisher = bus.publisher("t").unwrap();
                    scope.spawn(move || {
                        for n in 0..2000_u64 {
                            publisher.publish(n).unwrap();
                        }
                        let mut list: Vec<u64> = (0..200).collect();
                        publisher.publish_batch(&mut list).unwrap();
                    });
                }
            });
            bus.settle(LONG).unwrap();
            let stats = subscription.stats();
            assert!(stats.balances(), "{policy:?} {pattern}: {stats:?}");
            assert!(told.load(Ordering::Relaxed) <= stats.total_dropped());
            match policy {
                Overflow::Block { .. } => assert_eq!(stats.handled, 4400),
                Overflow::Disconnect => assert!(stats.total_dropped() <= 200),
                _ => assert_eq!(stats.matched, 4400, "{policy:?} {pattern}: {stats:?}"),
            }
        }
    }
}

#[test]
fn switching_a_bus_off_and_on_loses_no_account() {
    let bus = Bus::<u64>::new();
    let subscription = bus.subscribe("t").unwrap().spawn(|_: Delivery<'_, u64>| {}).unwrap();
    let (published, silent) = std::thread::scope(|scope| {
        let switch = bus.clone();
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let switching = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                switch.set_enabled(false);
                switch.set_enabled(true);
            }
        });
        let mut publisher = bus.publisher("t").unwrap();
        let (mut published, mut silent) = (0, 0);
        for n in 0..20_000_u64 {
            match publisher.publish(n).unwrap().sequence {
                Some(_) => published += 1,
                None => silent += 1,
            }
        }
        done.store(true, Ordering::Relaxed);
        switching.join().unwrap();
        (published, silent)
    });
    bus.settle(LONG).unwrap();
    assert_eq!(published + silent, 20_000);
    assert_eq!(bus.stats().published, published);
    assert_eq!(bus.stats().topics["t"], published);
    let stats = subscription.stats();
    assert!(stats.balances());
    assert_eq!(stats.matched, published);
}

#[test]
fn handles_go_where_they_are_needed() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Bus<u64>>();
    sync::<Bus<u64>>();
    send::<WeakBus<u64>>();
    sync::<WeakBus<u64>>();
    send::<Publisher<u64>>();
    send::<Subscription<u64>>();
    sync::<Subscription<u64>>();
    send::<Tap<u64>>();
    send::<Notices>();
    send::<Delivery<'static, u64>>();
}
