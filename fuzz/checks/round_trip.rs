//! An event through JSON and through the binary frame is the same event, in any order.

use ringpost::Sequence;
use ringpost::event::{Event, Limits, binary, json};

/// Panics if an event that `input` holds is not the same after any way through both codecs.
pub(crate) fn check(input: &[u8]) {
    let Ok(record) = json::decode_record(input, &Limits::default()) else { return };
    let event = record.event;
    let by_frame = through_frame(&event);
    assert_eq!(by_frame, event);
    assert_eq!(through_json(&by_frame), event);
    assert_eq!(through_frame(&through_json(&event)), event);
    assert_eq!(lines(&by_frame), lines(&event), "byte for byte");
}

fn through_frame(event: &Event) -> Event {
    let mut frame = Vec::new();
    binary::encode(event, &mut frame).expect("what fits into JSON fits into a frame");
    binary::decode(&frame, &Limits::default()).expect("our own frame")
}

fn through_json(event: &Event) -> Event {
    json::decode_record(&lines(event), &Limits::default()).expect("our own line").event
}

fn lines(event: &Event) -> Vec<u8> {
    let mut line = Vec::new();
    json::encode_record(event, Sequence::FIRST, &mut line);
    line
}
