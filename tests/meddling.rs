//! User code in the middle of a publish: it panics, interferes, joins, cancels or closes; and
//! executors that drop what they run.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringpost::{
    Actor, Bus, Context, Delivery, DropReason, Executor, ExecutorError, Failure, Message, Overflow,
    PublishError, Run, Sequence, Spawn, Stamp, Wait,
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
    // With mailboxes of their own, and alike: the log that they share has the message, but for one of
    // them it comes after the end.
    for size in [128, 64] {
        let bus = Bus::<Meddler>::new();
        let [cancelled, other] = [64, size].map(|size| {
            let builder = bus.subscribe("t").unwrap().mailbox(size).overflow(Overflow::block());
            builder.spawn(|_: Delivery<'_, Meddler>| {}).unwrap()
        });
        let mut publisher = bus.publisher("t").unwrap();
        let cancelled = Arc::new(cancelled);
        let handle = Arc::clone(&cancelled);
        let meddler = Meddler { in_share: Once::new(move || handle.cancel()), ..number(1) };
        assert_eq!(publisher.publish(meddler).unwrap().delivered, 1);
        bus.settle(LONG).unwrap();
        assert_eq!((cancelled.stats().matched, other.stats().handled), (0, 1));
    }
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
