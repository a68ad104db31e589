//! Lists of messages that know their topics: what goes out, what stays, whom it reaches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use ringpost::{Bus, Delivery, Executor, Message, Overflow, PublishError, Tapped, Wait};

const LONG: Duration = Duration::from_secs(60);

/// A message that knows its topic, unless that is empty.
#[derive(Clone, Debug, PartialEq)]
struct Note(&'static str, u64);

impl Message for Note {
    fn topic(&self) -> Option<&str> {
        assert_ne!(self.0, "panic");
        Some(self.0).filter(|topic| !topic.is_empty())
    }
}

#[test]
fn a_list_on_several_topics_goes_out_in_its_order() {
    let bus = Bus::<Note>::new();
    let mut tap = bus.tap("**").unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let a = bus.subscribe("a").unwrap();
    let _a = a.spawn(move |d: Delivery<'_, Note>| sink.lock().unwrap().push(d.1)).unwrap();
    // Runs that are longer than what goes out at once, neighbours, and topics that come again.
    let topics = ["a", "b", "a", "c"].into_iter().zip([150, 1, 1, 70]);
    let topics = topics.flat_map(|(topic, count)| std::iter::repeat_n(topic, count));
    let list: Vec<_> = topics.zip(0..).map(|(topic, n)| Note(topic, n)).collect();
    let mut left = list.clone();
    let published = bus.publish_all(&mut left).unwrap();
    assert!(left.is_empty());
    assert_eq!((published.count, published.delivered, published.dropped), (222, 151, 0));
    assert_eq!(published.first.map(u64::from), Some(1));
    assert_eq!(published.last.map(u64::from), Some(222));
    for note in &list {
        match tap.try_next().unwrap() {
            Tapped::Delivery(d) => assert_eq!((d.topic(), &*d), (note.0, note)),
            other => panic!("{other:?}"),
        }
    }
    bus.settle(LONG).unwrap();
    let on_a: Vec<u64> = list.iter().filter(|note| note.0 == "a").map(|note| note.1).collect();
    assert_eq!(*seen.lock().unwrap(), on_a);
    let stats = bus.stats();
    let count = |topic| stats.topics.get(topic).copied();
    assert_eq!(["a", "b", "c", "d"].map(count), [Some(151), Some(1), Some(70), None]);
}

#[test]
fn what_cannot_go_out_stays_in_the_list_with_all_that_follow() {
    let list = |bad: &'static str| {
        vec![Note("a", 1), Note("a", 2), Note("b", 3), Note(bad, 4), Note("a", 5), Note(bad, 6)]
    };
    for bad in ["", "x..y", "$reserved"] {
        let bus = Bus::<Note>::new();
        let mut left = list(bad);
        let error = bus.publish_all(&mut left).unwrap_err();
        assert_eq!(error.published.count, 3);
        assert_eq!(left, list(bad)[3..], "{bad}");
        match error.cause {
            PublishError::NoTopic(()) => assert_eq!(bad, ""),
            PublishError::Topic { .. } => assert_ne!(bad, ""),
            other => panic!("{other}"),
        }
        // Without the one at fault it goes on.
        left.remove(0);
        assert_eq!(bus.publish_all(&mut left).unwrap_err().published.count, 1);
        assert_eq!(left, [Note(bad, 6)]);
    }

    let bus = Bus::<Note>::new();
    let mut left = list("panic");
    let panicked = catch_unwind(AssertUnwindSafe(|| bus.publish_all(&mut left)));
    assert!(panicked.is_err());
    // The run that it would have ended is in the list, too.
    assert_eq!(left, list("panic")[2..]);

    bus.shutdown(LONG);
    let mut left = list("c");
    let error = bus.publish_all(&mut left).unwrap_err();
    assert!(error.cause.is_closed() && error.published.count == 0);
    assert_eq!(left, list("c"));
}

#[test]
fn a_list_waits_for_room_and_no_longer_than_it_may() {
    let bus = Bus::<Note>::new();
    let (gate, closed) = mpsc::channel::<()>();
    let blocking =
        |timeout| bus.subscribe("t").unwrap().mailbox(4).overflow(Overflow::Block { timeout });
    let slow = blocking(Duration::from_millis(20))
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, Note>| {
            let _ = closed.recv();
        })
        .unwrap();
    let list: Vec<_> = (0..40).map(|n| Note("t", n)).collect();
    let mut left = list.clone();
    let error = bus.publish_all(&mut left).unwrap_err();
    assert!(error.cause.is_full(), "{error}");
    let count = error.published.count as usize;
    assert!((4..40).contains(&count), "{count}");
    assert_eq!(left, list[count..]);
    drop(gate);
    while let Err(error) = bus.publish_all(&mut left) {
        assert!(error.cause.is_full(), "{error}");
    }
    bus.settle(LONG).unwrap();
    assert_eq!(slow.stats().handled, 40);
}

/// Notes on these topics in turn, each with its number.
fn notes(count: u64, topics: &[&'static str]) -> Vec<Note> {
    topics.iter().cycle().zip(0..count).map(|(topic, n)| Note(topic, n)).collect()
}

#[test]
fn a_disabled_bus_empties_the_list_and_publishes_nothing() {
    let bus = Bus::<Note>::builder().enabled(false).build();
    let mut list = notes(100, &["a", "a", "b"]);
    let published = bus.publish_all(&mut list).unwrap();
    assert_eq!((published.count, published.first, list.len()), (0, None, 0));
    assert_eq!(bus.stats().published, 0);
}

#[test]
fn a_list_reaches_subscriptions_that_share_a_log() {
    for policy in [Overflow::DropOldest, Overflow::Block { timeout: LONG }] {
        let bus = Bus::<Note>::new();
        let subscriptions = ["a", "a", "b", "b"].map(|topic| {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            let builder = bus.subscribe(topic).unwrap().mailbox(256).overflow(policy);
            let handler = move |d: Delivery<'_, Note>| sink.lock().unwrap().push((*d).clone());
            (topic, builder.spawn(handler).unwrap(), seen)
        });
        let list = notes(200, &["a", "b"]);
        let published = bus.publish_all(&mut list.clone()).unwrap();
        assert_eq!((published.count, published.delivered, published.dropped), (200, 400, 0));
        bus.settle(LONG).unwrap();
        for (topic, subscription, seen) in &subscriptions {
            let stats = subscription.stats();
            assert!(stats.balances(), "{policy:?}: {stats:?}");
            assert_eq!((stats.handled, stats.total_dropped()), (100, 0), "{policy:?} {topic}");
            assert!(list.iter().filter(|note| note.0 == *topic).eq(&*seen.lock().unwrap()));
        }
    }
}

#[test]
fn a_handler_that_publishes_a_list_into_a_full_mailbox_is_told_at_once() {
    let bus = Bus::<Note>::new();
    let (gate, closed) = mpsc::channel::<()>();
    let slow = bus
        .subscribe("t")
        .unwrap()
        .mailbox(4)
        // Much longer than anybody waits here.
        .overflow(Overflow::Block { timeout: 60 * LONG })
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, Note>| {
            let _ = closed.recv();
        })
        .unwrap();
    let (tell, told) = mpsc::channel();
    let inner = bus.downgrade();
    let _publishing = bus
        .subscribe("go")
        .unwrap()
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, Note>| {
            let mut left = notes(40, &["t"]);
            let error = inner.upgrade().unwrap().publish_all(&mut left).unwrap_err();
            tell.send((error, left)).unwrap();
        })
        .unwrap();
    bus.publish(Note("go", 0)).unwrap();
    let told = told.recv_timeout(LONG);
    drop(gate);
    let (error, left) = told.expect("it does not wait");
    assert!(error.cause.is_full(), "{error}");
    let count = error.published.count as usize;
    assert!((4..40).contains(&count), "{count}");
    assert_eq!(left, notes(40, &["t"])[count..]);
    bus.settle(LONG).unwrap();
    assert_eq!(slow.stats().handled, count as u64);
}

#[test]
fn a_list_keeps_the_account_of_each_policy_that_does_not_wait() {
    for policy in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect] {
        let bus = Bus::<Note>::new();
        let (gate, closed) = mpsc::channel::<()>();
        let (entered, started) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let slow = bus
            .subscribe("t")
            .unwrap()
            .mailbox(4)
            .overflow(policy)
            .executor(Executor::thread(Wait::Park))
            .spawn(move |d: Delivery<'_, Note>| {
                let _ = entered.send(());
                let _ = closed.recv();
                sink.lock().unwrap().push(d.1);
            })
            .unwrap();
        bus.publish(Note("t", 1000)).unwrap();
        started.recv().unwrap();
        // While the handler is busy: four fit.
        let mut list = notes(200, &["t", "t", "u"]);
        let on_t: Vec<u64> = list.iter().filter(|note| note.0 == "t").map(|note| note.1).collect();
        let published = bus.publish_all(&mut list).unwrap();
        assert!(list.is_empty());
        drop(gate);
        bus.settle(LONG).unwrap();
        let stats = slow.stats();
        assert!(stats.balances(), "{policy:?}: {stats:?}");
        let seen = seen.lock().unwrap();
        assert_eq!((published.count, published.dropped), (200, stats.total_dropped()));
        let kept = match policy {
            Overflow::DropOldest => &on_t[on_t.len() - 4..],
            _ => &on_t[..4],
        };
        assert_eq!(seen[1..], *kept, "{policy:?}");
        // Who is disconnected is not reached by what follows.
        let reached = match policy {
            Overflow::Disconnect => 1 + published.delivered + published.dropped,
            _ => 1 + on_t.len() as u64,
        };
        assert_eq!(stats.handled + stats.total_dropped(), reached, "{policy:?}: {stats:?}");
        let deadline = Instant::now() + LONG;
        // It ends once it has handled what was in its mailbox.
        while slow.is_active() && policy == Overflow::Disconnect {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::yield_now();
        }
    }
}
