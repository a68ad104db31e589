//! Publishing real events until they are in a file: ringpost's bus and journal (sequence, checksum, whole
//! lines, never lost), beside serde_json into a buffered file, tracing-appender, and what the disk
//! takes of bytes that nobody had to make.
//!
//! Everybody has each event as a value of its own, made before the clock starts, and the clock
//! stops when all of them are in the file.

mod raw;
mod replay;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::Instant;

use ringpost::event::Limits;
use ringpost::event::json::decode;
use ringpost::store::PersistOptions;
use ringpost::store::journal::{Fsync, Journal, JournalOptions};
use ringpost::{Event, EventBus, Sequence, Shared};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing_appender::non_blocking::{DEFAULT_BUFFERED_LINES_LIMIT, NonBlockingBuilder};

use super::Stage;
use crate::contest::Contest;
use crate::ours::bus::LONG;
use crate::results::Results;

pub const NAME: &str = "journal";
pub const CASE: &str = "sensor events of the real data into a file";
pub const BURST: &str = "the same, fsync interval, a burst of 29 MB";
pub const SUSTAINED: &str = "the same, fsync interval, 80 MB at once";
pub const BATCH: &str = "the same until they are on the disk, fsync batch";
pub const REPLAY: &str = "the same out of a journal, replayed at once";

/// What an interval holds in memory for a failed sync, 32 MiB, is not full with these.
const BURST_EVENTS: u64 = 54_720;

const PREFIX: &str = "sensor.";

/// The same event as a type that serde derives; its data is raw, as ringpost's is.
#[derive(Clone, Serialize, Deserialize)]
struct Mirror {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: String,
    subject: String,
    datacontenttype: String,
    data: Box<RawValue>,
}

/// How events get onto the bus.
#[derive(Clone, Copy)]
enum By {
    /// Topics by name.
    Bus,
    /// One after another.
    Publisher,
    /// 64 at once.
    Batch,
}

/// What a bus does with its journal's file, and until when its clock runs.
#[derive(Clone, Copy)]
enum Until {
    /// All is in the file, nothing is synced before.
    Written(Fsync),
    /// All is on the disk, synced once a batch.
    Durable,
}

pub fn run(stage: &Stage, results: &mut Results) {
    let Ok(text) = fs::read_to_string(&stage.events) else {
        println!("\n{NAME}: left out, there is no {} (--events FILE)", stage.events.display());
        return;
    };
    let (mut events, mut mirrors) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let event = decode(line.as_bytes(), &Limits::default()).expect("the file holds events");
        if event.kind().starts_with(PREFIX) {
            mirrors.push(serde_json::from_str::<Mirror>(line).expect("no other attributes"));
            events.push(event);
        }
    }
    println!("\n{NAME}: {} events of {}", events.len(), stage.events.display());
    let (events, mirrors) = (&events, &mirrors);
    let line = raw::line_len(events);
    let contest = |case| Contest::new(NAME, case).in_multiples_of(events.len() as u64);
    let serde = "serde_json into BufWriter<File>";
    let lines = "tracing-appender non_blocking, 1,024 lines, serde_json a line";
    let default_lines = "tracing-appender non_blocking, 128,000 lines, serde_json a line";
    let (single, batched) = (
        "ringpost bus, a Publisher and journal",
        "ringpost bus, a Publisher, 64 at once, and journal",
    );

    // Some hundred thousand events are enough, and fit into memory.
    let whole = |messages: u64| messages.min(150_000) as usize;
    let never = Until::Written(Fsync::Never);
    let mut plain = contest(CASE);
    plain.enter("ringpost bus, publish and journal", move |m| {
        ours(events, whole(m), By::Bus, never)
    });
    plain.enter(single, move |m| ours(events, whole(m), By::Publisher, never));
    plain.enter(batched, move |m| ours(events, whole(m), By::Batch, never));
    plain.enter(serde, move |m| in_line(mirrors, whole(m)));
    plain.enter(lines, move |m| appender(mirrors, whole(m), 1024));
    plain.enter(default_lines, move |m| appender(mirrors, whole(m), DEFAULT_BUFFERED_LINES_LIMIT));
    plain.enter("dd, 256 KiB at once", move |m| raw::dd(line, whole(m)));
    plain.enter("bound: the journal's writes alone", move |m| raw::whole_lines(line, whole(m)));
    plain.enter("bound: the journal's encoding alone", move |m| raw::encoded(events, whole(m)));
    plain.hold(stage.pace, results);

    let interval = Until::Written(Fsync::default());
    for (case, most) in [(BURST, BURST_EVENTS), (SUSTAINED, 150_000)] {
        let whole = move |messages: u64| messages.min(most) as usize;
        let mut synced = contest(case);
        synced.enter(single, move |m| ours(events, whole(m), By::Publisher, interval));
        synced.enter(batched, move |m| ours(events, whole(m), By::Batch, interval));
        synced.enter(serde, move |m| in_line(mirrors, whole(m)));
        synced.enter(lines, move |m| appender(mirrors, whole(m), 1024));
        synced.enter("write 256 KiB, fdatasync every 32 MiB", move |m| {
            raw::synced(line, whole(m), 128)
        });
        synced.hold(stage.pace, results);
    }

    let mut batches = contest(BATCH);
    batches.enter(single, move |m| ours(events, whole(m), By::Publisher, Until::Durable));
    batches.enter("write 256 KiB, fdatasync", move |m| raw::synced(line, whole(m), 1));
    batches.hold(stage.pace, results);

    let mut again = contest(REPLAY);
    again.enter("append: ringpost bus, a Publisher and journal", move |m| {
        ours(events, whole(m), By::Publisher, never)
    });
    again.enter("ringpost replay, from a journal into another", move |m| {
        replay::replay(events, whole(m))
    });
    again.hold(stage.pace, results);
}

fn repeat<T: Clone, U>(values: &[T], count: usize, make: impl Fn(T) -> U) -> Vec<U> {
    values.iter().cycle().take(count).cloned().map(make).collect()
}

fn journal(directory: &Path, until: Until) -> Journal {
    let fsync = match until {
        Until::Written(fsync) => fsync,
        Until::Durable => Fsync::Batch,
    };
    Journal::open(directory, JournalOptions::default().with_fsync(fsync)).expect("a new journal")
}

fn ours(events: &[Event], count: usize, by: By, until: Until) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bus = EventBus::builder().publish_timeout(LONG).build();
    let journal = journal(directory.path(), until);
    let persistence = bus.persist(journal, PersistOptions::default()).expect("it starts");
    let topic = events[0].topic().to_owned();
    let mut publisher = bus.publisher(&topic).expect("the topic is valid");
    let list = repeat(events, count, Shared::new);
    let last = Sequence::new(count as u64);
    let since = Instant::now();
    let full = "the journal keeps up";
    match by {
        By::Bus => list.into_iter().for_each(|event| {
            bus.publish(event).expect(full);
        }),
        By::Publisher => {
            list.into_iter().for_each(|event| {
                publisher.publish(event).expect(full);
            });
        }
        By::Batch => {
            let mut list = list.into_iter();
            let mut batch = Vec::with_capacity(64);
            while list.len() > 0 {
                batch.extend(list.by_ref().take(64));
                publisher.publish_batch(&mut batch).expect(full);
            }
        }
    }
    match until {
        Until::Written(_) => drop(persistence.written(last).wait(LONG).expect("it is written")),
        Until::Durable => drop(persistence.durable(last).wait(LONG).expect("it is synced")),
    }
    let rate = count as f64 / since.elapsed().as_secs_f64();
    let report = persistence.stop(LONG);
    assert_eq!(report.stats.journaled, count as u64, "events lost");
    rate
}

fn lines(path: &Path) -> usize {
    let bytes = fs::read(path).expect("the file is there");
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn in_line(mirrors: &[Mirror], count: usize) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("lines");
    let mut file = BufWriter::new(File::create(&path).expect("a new file"));
    let list = repeat(mirrors, count, |mirror| mirror);
    let since = Instant::now();
    for mirror in &list {
        serde_json::to_writer(&mut file, mirror).expect("the disk has room");
        file.write_all(b"\n").expect("the disk has room");
    }
    file.flush().expect("the disk has room");
    let rate = count as f64 / since.elapsed().as_secs_f64();
    assert_eq!(lines(&path), count, "events lost");
    rate
}

/// Lossless, which is not its default: where its channel holds no more lines, the writer waits.
fn appender(mirrors: &[Mirror], count: usize, held: usize) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("lines");
    let file = File::create(&path).expect("a new file");
    let (mut writer, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(held).finish(file);
    let list = repeat(mirrors, count, |mirror| mirror);
    let mut bytes = 0;
    let since = Instant::now();
    for mirror in &list {
        let mut line = serde_json::to_vec(mirror).expect("it is serializable");
        line.push(b'\n');
        bytes += line.len() as u64;
        writer.write_all(&line).expect("the disk has room");
    }
    drop(guard);
    // The guard gives up after a second; the file tells when all is written.
    while fs::metadata(&path).expect("the file is there").len() < bytes {
        thread::yield_now();
    }
    let rate = count as f64 / since.elapsed().as_secs_f64();
    assert_eq!(lines(&path), count, "events lost");
    rate
}
