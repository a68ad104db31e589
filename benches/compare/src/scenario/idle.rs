//! What an idle subscription costs: resident memory of each, and how many are made a second.
//! Mailboxes of 64 messages; each run in a fresh process.

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use actix::Actor as _;
use ringpost::{Bus, Delivery};
use tokio::runtime::Runtime;

use super::Stage;
use crate::child;
use crate::ours::bus::Place;
use crate::peers::actors::{Reader, Witness, kameo_actor};
use crate::results::{Cell, Results, Row};
use crate::tick::Tick;

pub const NAME: &str = "idle";

const CAPACITY: usize = 64;
const PAGE: f64 = 4096.0;

/// Name on the command line, name in the table.
const SYSTEMS: [(&str, &str); 9] = [
    ("ringpost-workers", "ringpost bus, a topic each, workers"),
    ("ringpost-tasks", "ringpost bus, a topic each, tokio tasks"),
    ("ringpost-shared", "ringpost bus, one topic for all, workers"),
    ("ringpost-ring", "ringpost bus, ring readers, workers"),
    ("flume", "flume, tasks"),
    ("kanal", "kanal, tasks"),
    ("tokio", "tokio mpsc, tasks"),
    ("actix", "actix"),
    ("kameo", "kameo"),
];

pub fn bytes(count: u64) -> String {
    format!("{count} subscriptions, memory each")
}

pub fn spawns(count: u64) -> String {
    format!("{count} subscriptions, made")
}

pub fn run(stage: &Stage, results: &mut Results) {
    for count in if stage.quick { vec![10_000] } else { vec![10_000, 100_000] } {
        let rows = || SYSTEMS.iter().map(|(_, name)| Row::new(name)).collect::<Vec<_>>();
        let (mut memory, mut rate) = (rows(), rows());
        for _ in 0..stage.pace.rounds {
            for (index, (system, _)) in SYSTEMS.iter().enumerate() {
                let figures = child::measure(&[NAME, system, &count.to_string()]);
                memory[index].add(figures[0]);
                rate[index].add(figures[1]);
            }
        }
        for rows in [&mut memory, &mut rate] {
            rows.retain(|row| !row.runs.is_empty());
        }
        results.add(Cell::new(NAME, bytes(count), "bytes", memory));
        results.add(Cell::new(NAME, spawns(count), "spawns/s", rate));
    }
}

/// Resident bytes of this process; not a number where there is no `/proc`.
fn resident() -> f64 {
    fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<f64>().ok())
        .map_or(f64::NAN, |pages| pages * PAGE)
}

/// What an idle receiver keeps: as little as a real one would.
#[derive(Default)]
struct Count(u64);

impl Witness for Count {
    fn see(&mut self, tick: &Tick) {
        self.0 += black_box(tick.number);
    }
}

/// In the fresh process: bytes each, spawns a second.
pub fn measure(system: &str, count: u64) -> Vec<f64> {
    if system == "actix" {
        let system = actix::System::new();
        return system.block_on(async { timed(count, |_| actix_actor()) });
    }
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    // The ring's own memory belongs to the bus.
    let bus = Bus::<Tick>::builder().build();
    let subscribe = |place: Place, pattern: &str| {
        let mut seen = Count::default();
        bus.subscribe(pattern)
            .expect("the pattern is valid")
            .mailbox(CAPACITY)
            .executor(place.executor(&runtime))
            .spawn(move |d: Delivery<'_, Tick>| seen.see(&d))
            .expect("the subscriber starts")
    };
    let topics: Vec<String> = (0..count).map(|topic| format!("md.stock.{topic}")).collect();
    let topic = |number: u64| topics[number as usize].as_str();
    match system {
        "ringpost-workers" => timed(count, |number| subscribe(Place::Workers, topic(number))),
        "ringpost-tasks" => timed(count, |number| subscribe(Place::Tasks, topic(number))),
        "ringpost-shared" => timed(count, |_| subscribe(Place::Workers, "md.stock")),
        "ringpost-ring" => timed(count, |_| subscribe(Place::Workers, "**")),
        "flume" => timed(count, |_| {
            let (sender, receiver) = flume::bounded::<Tick>(CAPACITY);
            let mut seen = Count::default();
            tokio::spawn(async move {
                while let Ok(tick) = receiver.recv_async().await {
                    seen.see(&tick);
                }
            });
            sender
        }),
        "kanal" => timed(count, |_| {
            let (sender, receiver) = kanal::bounded_async::<Tick>(CAPACITY);
            let mut seen = Count::default();
            tokio::spawn(async move {
                while let Ok(tick) = receiver.recv().await {
                    seen.see(&tick);
                }
            });
            sender
        }),
        "tokio" => timed(count, |_| {
            let (sender, mut receiver) = tokio::sync::mpsc::channel::<Tick>(CAPACITY);
            let mut seen = Count::default();
            tokio::spawn(async move {
                while let Some(tick) = receiver.recv().await {
                    seen.see(&tick);
                }
            });
            sender
        }),
        "kameo" => timed(count, |_| kameo_actor(Count::default(), CAPACITY)),
        _ => panic!("no such system: {system}"),
    }
}

fn actix_actor() -> actix::Addr<Reader<Count>> {
    Reader::create(|context: &mut actix::Context<_>| {
        context.set_mailbox_capacity(CAPACITY);
        Reader(Count::default())
    })
}

/// Makes `count` of them and keeps them.
fn timed<T>(count: u64, make: impl Fn(u64) -> T) -> Vec<f64> {
    // What the first one brings with it, such as threads, is not each one's.
    let first = make(0);
    thread::sleep(Duration::from_millis(50));
    let mut all = Vec::with_capacity(count as usize);
    let before = resident();
    let since = Instant::now();
    all.extend((0..count).map(&make));
    let spent = since.elapsed();
    // Tasks and actors start by themselves; some of their memory comes with that.
    thread::sleep(Duration::from_millis(300));
    let bytes = (resident() - before) / count as f64;
    drop(first);
    // Nobody's end belongs to the measurement: the process ends with all of them.
    std::mem::forget(all);
    vec![bytes, count as f64 / spent.as_secs_f64()]
}
