//! Events: making them, writing and reading their forms, appending them to a journal.

use std::hint::black_box;

use ringpost::event::{Event, EventBuilder, EventIds, Limits, Timestamp, binary, json};
use ringpost::store::journal::{Fsync, Journal, JournalOptions};
use ringpost::store::{Record, Store};
use ringpost::{EventBus, Sequence, Shared};

use crate::{Count, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("event/id", ids),
    ("event/build", build),
    ("json/encode", encode),
    ("json/decode", decode),
    ("binary/encode", encode_binary),
    ("binary/decode", decode_binary),
    ("journal/line", line),
    ("journal/read", read),
    ("journal/append", append),
];

const TIMES: u64 = 256;
const DATA: &str = r#"{"device":"th-0427","site":{"building":"B2","floor":3},"readings":[{"quantity":"temperature","value":-18.37,"unit":"Cel"},{"quantity":"humidity","value":61.5,"unit":"%RH"}],"battery":0.87}"#;

fn builder() -> EventBuilder {
    Event::builder("sensor.reading")
        .source("/plants/north/gateways/17")
        .subject("th-0427")
        .correlation_id("round-0915")
        .raw_json(DATA)
}

/// A sensor's reading: some 420 bytes of JSON, always the same.
pub(crate) fn reading() -> Event {
    builder()
        .id("0195a8f2-6c1e-7d40-9b7e-3f5d2a8c4e11")
        .time(Timestamp::parse("2026-03-14T09:15:26.535897Z").expect("it is valid"))
        .build()
        .expect("it is valid")
}

/// The same as a bus gives it out: with the time it was recorded.
fn recorded() -> Shared<Event> {
    let bus = EventBus::new();
    bus.publish(Shared::new(reading())).expect("nothing blocks");
    bus.recent(1).pop().expect("it was just published").into_message()
}

fn count_all(count: &mut Count, work: &mut dyn FnMut()) {
    (0..TIMES).for_each(|_| work());
    count.each(TIMES, work);
}

fn ids(count: &mut Count) {
    let mut ids = EventIds::new();
    count_all(count, &mut || {
        black_box(ids.next_id());
    });
}

/// With an id of the thread's own generator, and the present time.
fn build(count: &mut Count) {
    count_all(count, &mut || {
        black_box(builder().build().expect("it is valid"));
    });
}

fn encode(count: &mut Count) {
    let (event, mut out) = (reading(), Vec::new());
    count_all(count, &mut || {
        out.clear();
        json::encode(black_box(&event), &mut out);
    });
}

fn decode(count: &mut Count) {
    let mut text = Vec::new();
    json::encode(&reading(), &mut text);
    count_all(count, &mut || {
        black_box(json::decode(black_box(&text), &Limits::default()).expect("it is whole"));
    });
}

fn encode_binary(count: &mut Count) {
    let (event, mut out) = (reading(), Vec::new());
    count_all(count, &mut || {
        out.clear();
        binary::encode(black_box(&event), &mut out).expect("it is small");
    });
}

fn decode_binary(count: &mut Count) {
    let mut frame = Vec::new();
    binary::encode(&reading(), &mut frame).expect("it is small");
    count_all(count, &mut || {
        black_box(binary::decode(black_box(&frame), &Limits::default()).expect("it is whole"));
    });
}

fn line(count: &mut Count) {
    let (event, mut out) = (recorded(), Vec::new());
    count_all(count, &mut || {
        out.clear();
        json::encode_record(black_box(&event), Sequence::FIRST, &mut out);
    });
}

fn read(count: &mut Count) {
    let mut line = Vec::new();
    json::encode_record(&recorded(), Sequence::FIRST, &mut line);
    count_all(count, &mut || {
        black_box(json::decode_record(black_box(&line), &Limits::default()).expect("it is whole"));
    });
}

/// In batches of 64, to a file that is not synced; the kernel's part is not counted.
fn append(count: &mut Count) {
    const BATCH: u64 = 64;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = JournalOptions::default().with_fsync(Fsync::Never);
    let mut journal = Journal::open(directory.path(), options).expect("it is empty");
    let event = recorded();
    let mut batches = (0..).map(|batch| -> Vec<_> {
        let sequences = 1 + batch * BATCH..=(batch + 1) * BATCH;
        sequences
            .map(|number| Record { sequence: Sequence::new(number), event: event.clone() })
            .collect()
    });
    for _ in 0..TIMES / BATCH {
        journal.append(&batches.next().expect("there is no end")).expect("there is room");
    }
    for batch in batches.take((TIMES / BATCH) as usize) {
        count.bundles(1, BATCH, &mut || journal.append(&batch).expect("there is room"));
    }
}
