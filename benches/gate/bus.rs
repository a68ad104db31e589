//! Publishing, and taking what was published.
//!
//! Before it is counted, the work has been done often enough to go around the ring; a counted
//! round begins with subscribers that were rung for already, so that nobody is woken in between.

use std::hint::black_box;

use ringpost::event::Event;
use ringpost::{Message, Overflow, Publisher, Shared, Tapped};

use crate::events::reading;
use crate::ticks::{RING, ROUND, Stage, TICK, TOPIC, Tick};
use crate::{Count, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("publish/0", |count| one_by_one(count, 0, Overflow::DropOldest)),
    ("publish/1", |count| one_by_one(count, 1, Overflow::DropOldest)),
    ("publish/4", |count| one_by_one(count, 4, Overflow::DropOldest)),
    ("publish/64", |count| one_by_one(count, 64, Overflow::DropOldest)),
    ("publish-block/1", |count| one_by_one(count, 1, Overflow::block())),
    ("publish-block/4", |count| one_by_one(count, 4, Overflow::block())),
    ("publish-batch/0", |count| in_batches(count, 0)),
    ("publish-batch/1", |count| in_batches(count, 1)),
    ("publish-batch/4", |count| in_batches(count, 4)),
    ("publish-batch/64", |count| in_batches(count, 64)),
    ("publish-to/0", |count| by_name(count, 0)),
    ("publish-to/1", |count| by_name(count, 1)),
    ("publish-ring/1", |count| to_ring_readers(count, 1)),
    ("publish-ring/4", |count| to_ring_readers(count, 4)),
    ("publish-event/1", |count| events(count, 1)),
    ("publish-event/4", |count| events(count, 4)),
    ("publish-asleep/1", to_a_sleeper),
    ("handle/mailbox", |count| handle(count, 1, TOPIC)),
    ("handle/shared", |count| handle(count, 2, TOPIC)),
    ("handle/ring", |count| handle(count, 1, "**")),
    ("tap/next", tap),
];

/// Rounds before the counted one: twice around the ring.
const WARM: u64 = 2 * RING as u64 / ROUND;
const BATCH: u64 = 64;

/// Counts a round of `work`, each call of which publishes `size` messages.
fn count_round<M: Message>(count: &mut Count, stage: &Stage<M>, size: u64, work: &mut dyn FnMut()) {
    for _ in 0..WARM {
        stage.hand.turn();
        (0..ROUND / size).for_each(|_| work());
    }
    stage.hand.turn();
    work();
    count.bundles(ROUND / size, size, work);
}

fn publisher<M: Message>(stage: &Stage<M>) -> Publisher<M> {
    stage.bus.publisher(TOPIC).expect("the topic is valid")
}

fn publish_ticks(count: &mut Count, stage: &Stage<Tick>) {
    let mut ticks = publisher(stage);
    count_round(count, stage, 1, &mut || {
        black_box(ticks.publish(black_box(TICK)).expect("there is room"));
    });
}

fn one_by_one(count: &mut Count, subscribers: usize, overflow: Overflow) {
    publish_ticks(count, &Stage::new().with(subscribers, TOPIC, overflow));
}

fn to_ring_readers(count: &mut Count, subscribers: usize) {
    publish_ticks(count, &Stage::new().with(subscribers, "**", Overflow::DropOldest));
}

fn in_batches(count: &mut Count, subscribers: usize) {
    let stage = Stage::<Tick>::new().with(subscribers, TOPIC, Overflow::DropOldest);
    let mut ticks = publisher(&stage);
    let mut list = Vec::with_capacity(64);
    count_round(count, &stage, BATCH, &mut || {
        list.resize(64, TICK);
        black_box(ticks.publish_batch(&mut list).expect("there is room"));
    });
}

fn by_name(count: &mut Count, subscribers: usize) {
    let stage = Stage::<Tick>::new().with(subscribers, TOPIC, Overflow::DropOldest);
    count_round(count, &stage, 1, &mut || {
        black_box(stage.bus.publish_to(black_box(TOPIC), black_box(TICK)).expect("there is room"));
    });
}

/// Made before, because stamping wants an event that nobody shares yet.
fn events(count: &mut Count, subscribers: usize) {
    let stage = Stage::<Shared<Event>>::new().with(subscribers, TOPIC, Overflow::DropOldest);
    let mut publisher = publisher(&stage);
    let mut ready: Vec<_> = (0..=(WARM + 1) * ROUND).map(|_| Shared::new(reading())).collect();
    count_round(count, &stage, 1, &mut || {
        let event = ready.pop().expect("one was made for each publish");
        black_box(publisher.publish(event).expect("there is room"));
    });
}

/// The waker itself does next to nothing.
fn to_a_sleeper(count: &mut Count) {
    let stage = Stage::<Tick>::new().with(1, TOPIC, Overflow::DropOldest);
    let mut ticks = publisher(&stage);
    let mut work = || {
        black_box(ticks.publish(black_box(TICK)).expect("there is room"));
    };
    (0..WARM * ROUND).for_each(|_| {
        stage.hand.turn();
        work();
    });
    (0..ROUND).for_each(|_| {
        stage.hand.turn();
        count.each(1, &mut work);
    });
}

/// What an actor pays for a message, from finding it to having handled it. (Two that are alike share a
/// log.)
fn handle(count: &mut Count, actors: u64, pattern: &str) {
    let stage = Stage::<Tick>::new().with(actors as usize, pattern, Overflow::DropOldest);
    let mut ticks = publisher(&stage);
    for turn in 0..=WARM {
        for _ in 0..ROUND {
            ticks.publish(TICK).expect("there is room");
        }
        if turn < WARM {
            stage.hand.turn();
        }
    }
    count.bundles(1, actors * ROUND, &mut || stage.hand.turn());
}

fn tap(count: &mut Count) {
    let stage = Stage::<Tick>::new();
    let (mut ticks, mut tap) = (publisher(&stage), stage.bus.tap("**").expect("it is valid"));
    let mut work = || match tap.try_next() {
        Ok(Tapped::Delivery(tick)) => {
            black_box(tick.price);
        }
        other => panic!("a tick was published, but the tap found {other:?}"),
    };
    for turn in 0..=WARM {
        for _ in 0..ROUND {
            ticks.publish(TICK).expect("there is room");
        }
        if turn < WARM {
            (0..ROUND).for_each(|_| work());
        }
    }
    count.each(ROUND, &mut work);
}
