//! What a bus says about itself, and who hears it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::event::Event;
use ringpost::{Bus, Delivery, EventBus, Shared, Start};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_notice_reaches_a_subscriber_that_came_long_after_the_first_message() {
    for start in [Start::Now, Start::Recent(10)] {
        let bus = EventBus::new();
        for _ in 0..50 {
            bus.publish_event("quiet", "test", &()).unwrap();
        }
        let seen = Arc::new(Mutex::new(0));
        let sink = Arc::clone(&seen);
        let _errors = bus
            .subscribe("$errors")
            .unwrap()
            .start(start)
            .spawn(move |_: Delivery<'_, Shared<Event>>| *sink.lock().unwrap() += 1)
            .unwrap();
        let _failing = bus
            .subscribe("loud")
            .unwrap()
            .spawn(|_: Delivery<'_, Shared<Event>>| Err::<(), _>("no"))
            .unwrap();
        bus.publish_event("loud", "test", &()).unwrap();
        // The notice was caused by the message: one settle covers both.
        bus.settle(LONG).unwrap();
        assert_eq!(*seen.lock().unwrap(), 1, "{start:?}");
    }
}

#[test]
fn a_reader_of_notices_that_is_too_slow_misses_the_oldest_and_goes_on() {
    let bus = Bus::<u64>::new();
    let mut notices = bus.notices();
    let _failing =
        bus.subscribe("t").unwrap().spawn(|d: Delivery<'_, u64>| Err::<(), _>(d.to_string()));
    let mut publisher = bus.publisher("t").unwrap();
    for n in 0..600_u64 {
        publisher.publish(n).unwrap();
        if n % 100 == 0 {
            bus.settle(LONG).unwrap();
        }
    }
    bus.settle(LONG).unwrap();
    let told: Vec<u64> = notices.by_ref().map(|notice| notice.error.parse().unwrap()).collect();
    assert!((128..600).contains(&told.len()), "{}", told.len());
    assert_eq!(told.last(), Some(&599));
    assert!(told.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert!(notices.next().is_none());
}
