//! The binary frame: what it carries, what it refuses, what it allocates.
#![cfg(feature = "bincode")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;
use ringpost::event::binary::{self, FrameError};
use ringpost::event::json;
use ringpost::event::{Event, Limits, Reason, Timestamp};
use ringpost::{Sequence, event};

#[path = "../fuzz/checks/decode_frame.rs"]
mod decode_frame;
#[path = "../fuzz/checks/round_trip.rs"]
mod round_trip;

/// Counts what one thread holds, and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(by: isize) {
    // A thread being torn down has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + by);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain cells of
// the calling thread and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may exist side by side.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What `f` gives, and the most bytes it held beyond those held before.
fn most_held<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = f();
    (result, usize::try_from(MOST.get() - before).unwrap_or_default())
}

fn allowed(input: &[u8]) -> usize {
    8 * input.len() + 64 * 1024
}

fn frame(event: &Event) -> Vec<u8> {
    let mut frame = Vec::new();
    binary::encode(event, &mut frame).unwrap();
    frame
}

fn decode(frame: &[u8]) -> Result<Event, FrameError> {
    binary::decode(frame, &Limits::default())
}

/// A frame around any body, with length and checksum as they should be.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = b"RPEV\x01\x01".to_vec();
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend_from_slice(&sum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

fn full_event() -> Event {
    Event::builder("a.b")
        .topic("elsewhere")
        .subject("\"s\"")
        .schema("urn:x")
        .correlation_id("c")
        .causation_id("d")
        .trace_id("t")
        .traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .tracestate("a=1")
        .key("k")
        .expires_at(Timestamp::parse("9999-12-31T23:59:59.999999999Z").unwrap())
        .extension("number", i32::MIN)
        .extension("truth", true)
        .extension("text", "é\\")
        .raw_json("{\"b\": 1815200.0, \"a\":9007199254740993}")
        .build()
        .unwrap()
}

/// The bytes of a body, by hand: what bincode writes for an event with nothing but its needs.
fn least_body(extensions: &[u8], count: u8) -> Vec<u8> {
    let mut body = Vec::new();
    for text in ["1", "/", "t"] {
        body.extend_from_slice(&[1, 1, text.as_bytes()[0]]);
    }
    body.extend_from_slice(&[0; 10 + 3 + 1]);
    body.push(count);
    body.extend_from_slice(extensions);
    body
}

#[test]
fn a_frame_has_these_bytes() {
    let least = Event::builder("t").id("1").source("/").without_time().build().unwrap();
    assert_eq!(frame(&least), framed(&least_body(&[], 0)));
    let more = Event::builder("t").id("1").source("/").without_time().extension("e", -1);
    assert_eq!(frame(&more.build().unwrap()), framed(&least_body(&[1, b'e', 1, 1], 1)));
}

#[test]
fn everything_an_event_has_comes_back_from_a_frame() {
    let event = full_event();
    assert_eq!(decode(&frame(&event)), Ok(event.clone()));
    let mut record = Vec::new();
    json::encode_record(&event, Sequence::FIRST, &mut record);
    let through_json = json::decode_record(&record, &Limits::default()).unwrap().event;
    assert_eq!(decode(&frame(&through_json)), Ok(event));
    for event in [event!("a").unwrap(), Event::builder("b").binary([0, 1]).build().unwrap()] {
        assert_eq!(decode(&frame(&event)), Ok(event));
    }
}

#[test]
fn damage_anywhere_is_noticed() {
    let frame = frame(&full_event());
    for at in 0..frame.len() {
        let mut flipped = frame.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(decode(&flipped).is_err(), "byte {at}");
        assert!(decode(&frame[..at]).is_err(), "cut at {at}");
    }
    let mut longer = frame.clone();
    longer.push(0);
    let (said, found) = (frame.len(), longer.len());
    assert_eq!(decode(&longer), Err(FrameError::Length { said, found }));
}

#[test]
fn a_frame_of_another_kind_is_told_apart() {
    let mut other = frame(&full_event());
    other[4] = 2;
    assert_eq!(decode(&other), Err(FrameError::Unknown { version: 2, codec: 1 }));
    other[0] = b'{';
    assert_eq!(decode(&other), Err(FrameError::NotAFrame));
    assert_eq!(decode(b""), Err(FrameError::NotAFrame));
    let small = Limits::default().with_max_bytes(0);
    let larger = framed(&[0; 5000]);
    assert!(matches!(binary::decode(&larger, &small), Err(FrameError::TooLarge { .. })));
}

#[test]
fn a_body_is_checked_as_strictly_as_a_foreign_line() {
    let refused = |body: Vec<u8>| match decode(&framed(&body)) {
        Err(FrameError::Event(error)) => (String::from(error.attribute), error.reason),
        other => panic!("{other:?}"),
    };
    assert!(decode(&framed(&least_body(&[], 0))).is_ok());
    let twice = least_body(&[1, b'e', 0, 1, 1, b'e', 0, 1], 2);
    assert_eq!(refused(twice), ("e".to_owned(), Reason::Duplicate));
    assert_eq!(refused(least_body(&[1, b'E', 0, 1], 1)), ("E".to_owned(), Reason::NotAName));
    assert_eq!(refused(least_body(&[2, b'i', b'd', 0, 1], 1)), ("id".to_owned(), Reason::NotAName));
    let mut no_source = least_body(&[], 0);
    no_source.splice(3..6, [0]);
    assert_eq!(refused(no_source), ("source".to_owned(), Reason::Missing));
    let mut bad_json = least_body(&[], 0);
    bad_json.splice(22..23, [1, 1, b'{']);
    assert_eq!(refused(bad_json), ("data".to_owned(), Reason::NotJson));

    let trailing = least_body(&[0], 0);
    assert_eq!(decode(&framed(&trailing)), Err(FrameError::Malformed));
    assert_eq!(decode(&framed(&least_body(&[], 1))), Err(FrameError::Malformed));
    let mut not_text = least_body(&[], 0);
    not_text[2] = 0xff;
    assert_eq!(decode(&framed(&not_text)), Err(FrameError::Malformed));
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    // In bincode 253 announces eight bytes of length, 252 four, 251 two.
    for huge in [u64::MAX, 1 << 63, 1 << 40, 1 << 24, 70_000] {
        let mut length = vec![253];
        length.extend_from_slice(&huge.to_le_bytes());
        let mut text = least_body(&[], 0);
        text.splice(1..2, length.clone());
        let mut payload = least_body(&[], 0);
        payload.splice(22..23, [vec![2], length].concat());
        for body in [text, payload] {
            let frame = framed(&body);
            let (result, held) = most_held(|| decode(&frame));
            assert_eq!(result, Err(FrameError::Malformed));
            assert!(held <= 1024, "{held} bytes held for a length of {huge}");
        }
    }
    let mut count = least_body(&[], 0);
    count.splice(23..24, [252, 0xff, 0xff, 0xff, 0xff]);
    let (result, held) = most_held(|| decode(&framed(&count)));
    assert_eq!(result, Err(FrameError::Malformed));
    assert!(held <= 4096, "{held}");
}

#[test]
fn memory_stays_in_proportion_to_the_input() {
    // The most that a byte of input can ask for: the shortest extensions there are.
    for count in [200_u32, 5_000, 200_000] {
        let mut body = least_body(&[], 0);
        body.splice(23..24, [vec![252], count.to_le_bytes().to_vec()].concat());
        for number in 0..count {
            body.extend_from_slice(&[1, b"abcdefghij"[number as usize % 10], 0, 1]);
        }
        let frame = framed(&body);
        let (result, held) = most_held(|| decode(&frame));
        assert!(matches!(result, Err(FrameError::Event(_))), "names stand twice");
        assert!(held <= allowed(&frame), "{held} bytes held for {} given", frame.len());

        let mut line = br#"{"specversion":"1.0","id":"1","source":"/","type":"t""#.to_vec();
        for number in 0..count.min(150_000) {
            line.extend_from_slice(&[b',', b'"', b"abcdefghij"[number as usize % 10]]);
            line.extend_from_slice(b"\":1");
        }
        line.push(b'}');
        let (result, held) = most_held(|| json::decode(&line, &Limits::default()));
        assert!(result.is_err(), "names stand twice");
        assert!(held <= allowed(&line), "{held} bytes held for {} given", line.len());
    }
    let payloads = [
        Event::builder("t").json(&"x\n".repeat(100_000)).build().unwrap(),
        Event::builder("t").binary(vec![7; 700_000]).build().unwrap(),
        Event::builder("t").id("\"".repeat(400_000)).build().unwrap(),
        Event::builder("t").raw_json(format!("[{}1]", "\r\n".repeat(200_000))).build().unwrap(),
    ];
    for event in payloads {
        let frame = frame(&event);
        let (result, held) = most_held(|| decode(&frame));
        assert_eq!(result, Ok(event.clone()));
        assert!(held <= allowed(&frame), "{held} bytes held for {} given", frame.len());
        let line = event.to_string().replace("[ ", "[\n");
        let (result, held) = most_held(|| json::decode(line.as_bytes(), &Limits::default()));
        assert_eq!(result, Ok(event));
        assert!(held <= allowed(line.as_bytes()), "{held} bytes held for {} given", line.len());
    }
}

#[test]
fn an_event_too_large_for_a_frame_leaves_the_buffer_as_it_was() {
    let event = Event::builder("t").binary(vec![0; 17 << 20]).max_bytes(64 << 20).build().unwrap();
    let mut out = b"before".to_vec();
    assert_eq!(binary::encode(&event, &mut out), Err(FrameError::TooLarge { limit: 16 << 20 }));
    assert_eq!(out, b"before");
}

#[test]
fn every_real_event_comes_back_from_a_frame() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/events.jsonl");
    let lines = match std::fs::read(path) {
        Ok(lines) => lines,
        Err(error) if std::env::var_os("RINGPOST_REQUIRE_SHARED").is_some() => {
            panic!("{path}: {error}")
        }
        Err(_) => return eprintln!("skipped: {path} not present"),
    };
    let mut count = 0;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event = json::decode(line, &Limits::default()).unwrap();
        let frame = frame(&event);
        let (read, held) = most_held(|| decode(&frame));
        assert_eq!(read, Ok(event));
        assert!(held <= allowed(&frame));
        count += 1;
    }
    assert_eq!(count, 10_911);
}

/// Runs `check` on every file of a fuzz target's kept corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the corpus is part of the repository") {
        check(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "only {count} files of corpus");
}

#[test]
fn the_kept_corpora_pass() {
    replay("decode_frame", decode_frame::check);
    replay("round_trip", round_trip::check);
}

#[test]
fn the_corpus_holds_bodies_that_are_read_and_bodies_that_are_not() {
    let body = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/decode_frame");
        decode(&framed(&std::fs::read(Path::new(folder).join(name)).unwrap()))
    };
    for good in ["least", "all_texts", "small_times", "json", "bytes", "extensions"] {
        assert!(body(good).is_ok(), "{good}: {:?}", body(good));
    }
    for bad in ["times", "bad_json", "same_twice", "count_lies", "reserved", "trailing"] {
        assert!(body(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused_within_bounds(
        body in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..200)) {
        let frame = framed(&body);
        let (result, held) = most_held(|| decode(&frame));
        prop_assert!(held <= allowed(&frame));
        if let Ok(event) = result {
            prop_assert_eq!(decode(&self::frame(&event)), Ok(event));
        }
    }

    #[test]
    fn a_mangled_body_is_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut body = frame(&full_event())[14..].to_vec();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = decode(&framed(&body));
    }
}

#[test]
fn nesting_in_a_frame_counts_the_event_and_goes_128_deep() {
    // Of the same length, so that the frame around it stays right.
    let frame_with = |depth: usize| {
        let text = format!("\"{}\"", "x".repeat(2 * depth - 2));
        let nested = "[".repeat(depth) + &"]".repeat(depth);
        let event = Event::builder("t").source("s").raw_json(&text).build().unwrap();
        let mut body = frame(&event)[14..].to_vec();
        let at = body.windows(text.len()).position(|some| some == text.as_bytes()).unwrap();
        body[at..at + text.len()].copy_from_slice(nested.as_bytes());
        framed(&body)
    };
    for most in [128, 129, u32::MAX] {
        let limits = Limits::default().with_max_depth(most);
        assert!(binary::decode(&frame_with(127), &limits).is_ok(), "{most}");
        match binary::decode(&frame_with(128), &limits) {
            Err(FrameError::Event(error)) => assert_eq!(error.reason, Reason::TooDeep),
            other => panic!("{most}: {other:?}"),
        }
    }
}
