//! The bus: publishers on threads, subscribers on workers, tokio tasks or threads.

use std::sync::{Barrier, LazyLock};
use std::thread;
use std::time::Duration;

use ringpost::{Bus, Delivery, Executor, Overflow, Wait, Workers};
use tokio::runtime::Runtime;

use crate::heat::{Heat, Load, Seen};
use crate::tick::Tick;

/// A timeout that never runs out: lossless.
pub const LONG: Duration = Duration::from_secs(600);

static CROWD: LazyLock<Workers> =
    LazyLock::new(|| Workers::new(thread::available_parallelism().map_or(1, usize::from)));

pub const TOPIC: &str = "md.tick";

/// How a subscriber gets its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A mailbox of its own, by its topic: several that are alike share its memory.
    Mailbox,
    /// The same with a size for each that no other has, so that nothing is shared.
    Apart,
    /// From the ring, as whoever sees everything.
    Ring,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailboxes",
            Self::Apart => "a mailbox each of another size",
            Self::Ring => "ring readers",
        }
    }

    fn pattern(self) -> &'static str {
        match self {
            Self::Mailbox | Self::Apart => TOPIC,
            Self::Ring => "**",
        }
    }

    fn size(self, load: &Load, number: u64) -> usize {
        load.capacity + if self == Self::Apart { number as usize } else { 0 }
    }
}

/// Where subscribers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Workers,
    /// A pool with a worker a core: by default the publisher has one to itself.
    Crowd,
    Tasks,
    Thread(Wait),
}

impl Place {
    /// Those of every case.
    pub const ALL: [Self; 5] = [
        Self::Workers,
        Self::Tasks,
        Self::Thread(Wait::Park),
        Self::Thread(Wait::SpinThenPark),
        Self::Thread(Wait::Spin),
    ];

    pub fn name(self) -> String {
        match self {
            Self::Workers => "workers".to_owned(),
            Self::Crowd => "a worker a core".to_owned(),
            Self::Tasks => "tokio tasks".to_owned(),
            Self::Thread(wait) => format!("threads ({wait:?})"),
        }
    }

    pub fn executor(self, runtime: &Runtime) -> Executor {
        match self {
            Self::Workers => Executor::workers(),
            Self::Crowd => Executor::pool(CROWD.clone()),
            Self::Tasks => Executor::tokio_handle(runtime.handle().clone()),
            Self::Thread(wait) => Executor::thread(wait),
        }
    }
}

/// The row's name.
pub fn name(way: Way, place: Place) -> String {
    format!("ringpost bus, {}, {}", way.name(), place.name())
}

/// One run; gives messages published a second.
pub fn run(runtime: &Runtime, load: &Load, way: Way, place: Place) -> f64 {
    // Readers of the ring may lag by `capacity`, so it must hold more.
    let bus = Bus::<Tick>::builder().ring((2 * load.capacity).max(8192)).build();
    let (heat, finish) = Heat::new();
    let subscriptions: Vec<_> = (0..load.receivers)
        .map(|number| {
            let mut receipt = heat.receipt(Seen::everything(load.publishers, load.messages));
            bus.subscribe(way.pattern())
                .expect("the pattern is valid")
                .mailbox(way.size(load, number))
                .overflow(Overflow::Block { timeout: LONG })
                .executor(place.executor(runtime))
                .spawn(move |d: Delivery<'_, Tick>| receipt.see(&d))
                .expect("the subscriber starts")
        })
        .collect();
    let gate = Barrier::new(load.publishers as usize);
    let rate = thread::scope(|scope| {
        for _ in 0..load.publishers {
            let (heat, gate) = (&heat, &gate);
            let mut ticks = bus.publisher(TOPIC).expect("the topic is valid");
            scope.spawn(move || {
                gate.wait();
                heat.begin();
                if load.batch == 1 {
                    for number in 0..load.messages {
                        ticks.publish(Tick::new(number)).expect("nobody stops");
                    }
                } else {
                    let mut batch = Vec::with_capacity(load.batch as usize);
                    load.batches(|first, count| {
                        batch.extend((first..first + count).map(Tick::new));
                        ticks.publish_batch(&mut batch).expect("nobody stops");
                    });
                }
            });
        }
        finish.rate(load.publishers * load.messages, load.receivers)
    });
    drop(subscriptions);
    rate
}
