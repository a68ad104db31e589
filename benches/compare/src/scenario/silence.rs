//! What a bus costs that carried messages and then falls silent: processor time of a fresh process
//! over the second that begins one millisecond after its last message.

use std::thread;
use std::time::Duration;

use ringpost::{Bus, Delivery, Overflow, Wait};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use super::Stage;
use crate::child;
use crate::ours::bus::{LONG, Place, TOPIC};
use crate::results::{Cell, Results, Row};
use crate::tick::Tick;

pub const NAME: &str = "silence";
pub const CASE: &str = "processor time of a silent bus with 16 subscribers";

/// Name on the command line, where its subscribers run. `Wait::Spin` never sleeps, and is here to
/// show what that costs, with one subscriber.
const SYSTEMS: [(&str, Place, &str, u64); 6] = [
    ("workers", Place::Workers, TOPIC, 16),
    ("ring", Place::Workers, "**", 16),
    ("tasks", Place::Tasks, TOPIC, 16),
    ("park", Place::Thread(Wait::Park), TOPIC, 16),
    ("spin-then-park", Place::Thread(Wait::SpinThenPark), TOPIC, 16),
    ("spin", Place::Thread(Wait::Spin), TOPIC, 1),
];

fn name(place: Place, pattern: &str) -> String {
    let way = if pattern == TOPIC { "mailboxes" } else { "ring readers" };
    format!("ringpost bus, {way}, {}", place.name())
}

pub fn run(stage: &Stage, results: &mut Results) {
    let mut rows: Vec<Row> =
        SYSTEMS.iter().map(|(_, place, pattern, _)| Row::new(&name(*place, pattern))).collect();
    // A second each: three rounds tell enough.
    for _ in 0..stage.pace.rounds.min(3) {
        for ((system, ..), row) in SYSTEMS.iter().zip(&mut rows) {
            row.add(child::measure(&[NAME, system])[0]);
        }
    }
    results.add(Cell::new(NAME, CASE, "% of a core", rows));
}

/// Processor time of this process so far.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// In the fresh process: per cent of one core.
pub fn measure(system: &str) -> Vec<f64> {
    let &(_, place, pattern, receivers) =
        SYSTEMS.iter().find(|(name, ..)| *name == system).expect("a known system");
    let runtime = Runtime::new().expect("a runtime");
    let bus = Bus::<Tick>::new();
    let subscriptions: Vec<_> = (0..receivers)
        .map(|_| {
            bus.subscribe(pattern)
                .expect("the pattern is valid")
                .overflow(Overflow::Block { timeout: LONG })
                .executor(place.executor(&runtime))
                .spawn(|d: Delivery<'_, Tick>| {
                    std::hint::black_box(d.number);
                })
                .expect("the subscriber starts")
        })
        .collect();
    let mut ticks = bus.publisher(TOPIC).expect("the topic is valid");
    for number in 0..10_000 {
        ticks.publish(Tick::new(number)).expect("nobody stops");
    }
    bus.settle(LONG).expect("everybody keeps up");
    thread::sleep(Duration::from_millis(1));
    let before = used();
    thread::sleep(Duration::from_secs(1));
    let spent = used() - before;
    drop(subscriptions);
    vec![spent.as_secs_f64() * 100.0]
}
