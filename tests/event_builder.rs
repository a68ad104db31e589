//! What the builder of events fills in, sets and refuses.

use ringpost::event;
use ringpost::event::{Data, Event, EventBuilder, Reason, Timestamp};

#[test]
fn the_builder_fills_in_what_is_not_given_and_nothing_else() {
    let before = Timestamp::now();
    let event = event!("a.b").unwrap();
    assert_eq!(uuid::Uuid::parse_str(event.id()).unwrap().get_version_num(), 7);
    assert_eq!((event.source(), event.topic()), ("ringpost", "a.b"));
    assert!(event.time().unwrap() >= before);
    assert_eq!((event.data(), event.content_type(), event.recorded_at()), (None, None, None));
    assert_ne!(event.id(), event!("a.b").unwrap().id());

    let timeless = Event::builder("a.b").without_time().id("x").build().unwrap();
    assert_eq!((timeless.time(), timeless.id()), (None, "x"));
}

#[test]
fn the_builder_sets_the_content_type_that_the_payload_has() {
    let build = |builder: EventBuilder| builder.build().unwrap();
    let json = build(Event::builder("k").json(&[1, 2]));
    assert_eq!(
        (json.content_type(), json.data()),
        (Some("application/json"), Some(Data::Json("[1,2]")))
    );
    assert_eq!(json.parse_data::<Vec<u8>>(), Ok(vec![1, 2]));
    let text = build(Event::builder("k").text("a\n\"\u{1}"));
    assert_eq!(text.content_type(), Some("text/plain"));
    assert_eq!(text.data(), Some(Data::Text("a\n\"\u{1}".into())));
    let bytes = build(Event::builder("k").binary([0, 255]).content_type("image/png"));
    assert_eq!(
        (bytes.content_type(), bytes.data()),
        (Some("image/png"), Some(Data::Binary(&[0, 255])))
    );
    assert!(bytes.parse_data::<Vec<u8>>().is_err() && text.parse_data::<String>().is_err());
    assert_eq!(build(Event::builder("k").raw_json("null")).data(), None);
}

#[test]
fn the_builder_refuses_what_the_decoder_would() {
    let refused = |builder: EventBuilder| {
        let error = builder.build().unwrap_err();
        (String::from(error.attribute), error.reason)
    };
    let event = || Event::builder("a.b");
    for (builder, attribute, reason) in [
        (Event::builder(""), "type", Reason::Empty),
        (Event::builder("a."), "type", Reason::NotATopic),
        (event().id(""), "id", Reason::Empty),
        (event().source("a b"), "source", Reason::NotAUriReference),
        (event().schema("x"), "dataschema", Reason::NotAUri),
        (event().subject("\n"), "subject", Reason::IllegalCharacter),
        (event().content_type("x"), "datacontenttype", Reason::NotAContentType),
        (event().traceparent("x"), "traceparent", Reason::NotATraceparent),
        (event().raw_json("{"), "data", Reason::NotJson),
        (event().raw_json("\"\\ud800\""), "data", Reason::LoneSurrogate),
        (event().raw_json("[".repeat(128) + &"]".repeat(128)), "data", Reason::TooDeep),
        (event().text("x".repeat(1 << 20)), "data", Reason::TooLarge),
        (event().binary(vec![0; 800 * 1024]), "data", Reason::TooLarge),
        (event().max_bytes(100), "data", Reason::TooLarge),
        (event().extension("Upper", 1), "Upper", Reason::NotAName),
        (event().extension("", 1), "", Reason::NotAName),
        (event().extension("a23456789012345678901", 1), "a23456789012345678901", Reason::NotAName),
        (event().extension("id", "x"), "id", Reason::Reserved),
        (event().extension("time", "x"), "time", Reason::Reserved),
        (event().extension("sequence", 1), "sequence", Reason::Reserved),
        (event().extension("crc32c", "x"), "crc32c", Reason::Reserved),
        (event().extension("topic", 1), "topic", Reason::NotAString),
        (event().extension("tracestate", "="), "tracestate", Reason::NotATracestate),
        (event().extension("a", 1).extension("a", 2), "a", Reason::Duplicate),
        (event().key("x").extension("partitionkey", 1), "partitionkey", Reason::Duplicate),
    ] {
        assert_eq!(refused(builder), (attribute.to_owned(), reason));
    }
    assert!(event().text("x".repeat((1 << 20) - 400)).build().is_ok());
    assert!(event().text("x".repeat(1 << 20)).max_bytes(2 << 20).build().is_ok());
    let key = event().extension("partitionkey", "k").build().unwrap();
    assert_eq!((key.key(), key.extensions().len()), (Some("k"), 0));
}
