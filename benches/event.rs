//! Events: making one, an id alone, its JSON and its binary frame, there and back.

mod pace;
mod reading;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringpost::event::{EventIds, Limits, binary, json};

use crate::pace::pace;
use crate::reading::reading;

fn making(c: &mut Criterion) {
    let mut ids = EventIds::new();
    c.bench_function("event/id", |b| b.iter(|| ids.next_id()));
    c.bench_function("event/build", |b| b.iter(reading));
}

fn forms(c: &mut Criterion) {
    let event = reading();
    let (mut text, mut frame) = (Vec::new(), Vec::new());
    json::encode(&event, &mut text);
    binary::encode(&event, &mut frame).expect("it is small");
    let limits = Limits::default();
    let mut out = Vec::new();

    let mut group = c.benchmark_group("event");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("json-encode", |b| {
        b.iter(|| {
            out.clear();
            json::encode(black_box(&event), &mut out);
        });
    });
    group.bench_function("json-decode", |b| {
        b.iter(|| json::decode(black_box(&text), &limits).expect("it is whole"));
    });
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("binary-encode", |b| {
        b.iter(|| {
            out.clear();
            binary::encode(black_box(&event), &mut out).expect("it is small");
        });
    });
    group.bench_function("binary-decode", |b| {
        b.iter(|| binary::decode(black_box(&frame), &limits).expect("it is whole"));
    });
    group.finish();
}

criterion_group! { name = benches; config = pace(); targets = making, forms }
criterion_main!(benches);
