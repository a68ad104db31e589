//! A bus of events with a store behind it: what is flushed, what is said when the store ends.

use std::sync::mpsc;
use std::time::Duration;

use ringpost::store::{
    FlushError, MemoryStore, PersistOptions, Record, Scan, Store, StoreError, Trouble, Watermarks,
};
use ringpost::{Bus, Delivery, EventBus, Executor, Notice, Overflow, Sequence, Wait, event};

const LONG: Duration = Duration::from_secs(60);

fn publish(bus: &EventBus, count: u64) {
    for n in 0..count {
        bus.publish(event!("test.event", { "n": n }).unwrap()).unwrap();
    }
}

#[test]
fn a_shutdown_flushes_the_store_and_a_new_bus_goes_on_behind_it() {
    let bus = EventBus::new();
    let persistence = bus.persist(MemoryStore::default(), PersistOptions::default()).unwrap();
    publish(&bus, 3000);
    let report = bus.shutdown(LONG);
    assert!(report.is_clean() && report.flushed, "{report:?}");
    assert_eq!(persistence.stats().journaled, 3000);
    assert!(persistence.stop(LONG).complete);

    let next = EventBus::builder().start(report.next_sequence).build();
    assert_eq!(next.stats().next_sequence, Sequence::new(3001));
}

#[test]
fn a_store_that_is_ahead_of_the_bus_is_refused() {
    let mut store = MemoryStore::default();
    let sequence = Sequence::new(7);
    let event = event!("test.event").unwrap().into();
    store.append(&[Record { sequence, event }]).unwrap();
    let bus = EventBus::new();
    let error = bus.persist(store, PersistOptions::default()).unwrap_err();
    assert!(error.to_string().contains("sequence 7"), "{error}");
}

#[test]
fn a_persistence_that_was_dropped_early_is_no_flush() {
    let bus = EventBus::new();
    let (tell, gone) = mpsc::channel();
    drop(bus.persist(Panics { gone: Some(tell) }, PersistOptions::default()).unwrap());
    gone.recv().unwrap();
    publish(&bus, 1);
    assert!(!bus.shutdown(LONG).flushed);

    let bus = EventBus::new();
    let persistence = bus.persist(MemoryStore::default(), PersistOptions::default()).unwrap();
    publish(&bus, 1);
    assert!(persistence.stop(LONG).complete);
    assert!(bus.shutdown(LONG).flushed, "it was stopped in order");
}

/// Panics at its first append, and says when it is dropped.
#[derive(Default)]
struct Panics {
    gone: Option<mpsc::Sender<()>>,
}

impl Drop for Panics {
    fn drop(&mut self) {
        if let Some(gone) = &self.gone {
            gone.send(()).unwrap();
        }
    }
}

impl Store for Panics {
    fn append(&mut self, _: &[Record]) -> Result<(), StoreError> {
        panic!("out of order")
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn watermarks(&self) -> Watermarks {
        Watermarks::default()
    }

    fn scan(&self, _: Sequence) -> Result<Scan<'_>, StoreError> {
        Ok(Box::new(std::iter::empty()))
    }

    fn tail(&self, _: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }
}

#[test]
fn a_store_that_panicked_makes_publishers_find_the_ring_full_and_not_lose_in_silence() {
    let bus = EventBus::builder().ring(1024).publish_timeout(Duration::from_millis(10)).build();
    let (tell, told) = mpsc::channel();
    let observer = Box::new(move |trouble: &Trouble| {
        if let Trouble::Panicked { text } = trouble {
            tell.send(text.clone()).unwrap();
        }
    });
    let options = PersistOptions { observer: Some(observer), ..PersistOptions::default() };
    let persistence = bus.persist(Panics::default(), options).unwrap();
    publish(&bus, 1);
    assert_eq!(told.recv().unwrap(), "out of order");
    let refused = loop {
        if let Err(error) = bus.publish(event!("test.event").unwrap()) {
            break error;
        }
    };
    assert!(refused.is_full());
    // Nobody waits for it, its owner hears what is missing, and then lets publishers go.
    let flushed = persistence.flush(Sequence::new(1), LONG);
    assert!(matches!(flushed, Err(FlushError::Ended)), "{flushed:?}");
    let report = persistence.stop(LONG);
    assert_eq!((report.unwritten, report.complete), (1, false));
    publish(&bus, 2000);
    assert!(!bus.shutdown(LONG).flushed);
}

#[test]
fn a_disconnected_subscription_is_told_as_a_notice() {
    let bus = Bus::<u64>::new();
    let mut notices = bus.notices();
    let (open, gate) = mpsc::channel::<()>();
    let slow = bus
        .subscribe("t")
        .unwrap()
        .mailbox(2)
        .overflow(Overflow::Disconnect)
        .executor(Executor::thread(Wait::Park))
        .spawn(move |_: Delivery<'_, u64>| {
            let _ = gate.recv();
        })
        .unwrap();
    for n in 0..10_u64 {
        bus.publish_to("t", n).unwrap();
    }
    drop(open);
    while slow.is_active() {
        std::thread::yield_now();
    }
    let told: Vec<Notice> = notices.by_ref().collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].error, "disconnected: a message found its mailbox of 2 full");
    assert_eq!(told[0].subscriber, slow.id());
}
