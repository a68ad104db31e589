//! What a publisher does while it holds places in shared logs.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ring::{Log, Next};
use crate::{Bus, Delivery, DropReason, Message, Overflow};

const LONG: Duration = Duration::from_secs(60);

/// One of its clones panics.
struct Fragile {
    clones: Arc<AtomicU64>,
    panics_at: u64,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        let made = self.clones.fetch_add(1, Ordering::Relaxed);
        assert!(made != self.panics_at, "no copy");
        Self { clones: Arc::clone(&self.clones), panics_at: self.panics_at }
    }
}

impl Message for Fragile {}

#[test]
fn nobody_is_looked_up_while_a_place_is_held() {
    for batch in [false, true] {
        let bus = Bus::<Fragile>::new();
        // Of two that are alike, the second reads a log, and the first does if nobody has asked for
        // its mailbox.
        let subscriptions = [64, 64, 128, 128].map(|size| {
            let builder = bus.subscribe("t").unwrap().mailbox(size);
            let builder = builder.overflow(Overflow::Block { timeout: Duration::MAX });
            let subscription = builder.spawn(|_: Delivery<'_, Fragile>| {}).unwrap();
            drop(bus.core().table.route("t"));
            subscription
        });
        let mut publisher = bus.publisher("t").unwrap();
        let route = bus.core().table.route("t");
        assert_eq!((route.blocking.len(), route.shared_blocking), (2, 2));
        let second = Arc::clone(&route.shared[1].log);
        drop(route);
        let mut reader = Log::reader(&second.log, second.log.tail());
        // The ring's, two for mailboxes, and the first log's, which panics.
        let fragile = Fragile { clones: Arc::default(), panics_at: 3 };
        let table = bus.core().table.locked();
        let publishing = std::thread::spawn(move || {
            if batch {
                assert_eq!(publisher.publish_batch(&mut vec![fragile]).unwrap().dropped, 4);
            } else {
                assert_eq!(publisher.publish(fragile).unwrap().dropped, 1);
            }
        });
        // Its place in the second log is given or given back, though nobody can be looked up.
        while matches!(reader.next(), Next::Empty) {
            std::thread::yield_now();
        }
        drop(table);
        publishing.join().unwrap();
        bus.settle(LONG).unwrap();
        let lost = subscriptions.map(|one| {
            let stats = one.stats();
            assert!(stats.balances(), "{stats:?}");
            stats.dropped.get(&DropReason::Panicked).copied().unwrap_or(0)
        });
        assert_eq!(lost, if batch { [1; 4] } else { [0, 1, 0, 0] });
    }
}
