//! The event format's rules, one by one, on vectors of our own.

use proptest::prelude::*;
use ringpost::event::json::{self, Checksum, DecodeError, Limits};
use ringpost::event::{Data, Event, EventBuilder, EventError, ExtensionValue, Reason, Timestamp};
use ringpost::{Sequence, event};

/// The least event, with `more` members before its end.
fn line(more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b"{comma}{more}}}"#)
}

fn decode(text: &str) -> Result<Event, DecodeError> {
    json::decode(text.as_bytes(), &Limits::default())
}

fn accepted(more: &str) -> Event {
    decode(&line(more)).unwrap_or_else(|error| panic!("{more}: {error}"))
}

/// The attribute and the reason for which a text is no event.
fn refusal(text: &str) -> (String, Reason) {
    match decode(text) {
        Err(DecodeError::Event(EventError { attribute, reason, .. })) => (attribute.into(), reason),
        other => panic!("{text}: {other:?}"),
    }
}

fn encoded(event: &Event) -> String {
    let mut out = Vec::new();
    json::encode(event, &mut out);
    String::from_utf8(out).unwrap()
}

fn record(event: &Event, sequence: u64) -> Vec<u8> {
    let mut out = Vec::new();
    json::encode_record(event, Sequence::new(sequence), &mut out);
    out
}

#[test]
fn required_attributes_must_be_there_and_be_non_empty_text() {
    let members = ["\"specversion\":\"1.0\"", "\"id\":\"1\"", "\"source\":\"s\"", "\"type\":\"t\""];
    let names = ["specversion", "id", "source", "type"];
    for (left_out, name) in names.into_iter().enumerate() {
        let with = |value: Option<&str>| {
            let mut kept: Vec<String> = members.iter().map(|&member| member.to_owned()).collect();
            match value {
                Some(value) => kept[left_out] = format!("\"{name}\":{value}"),
                None => drop(kept.remove(left_out)),
            }
            format!("{{{}}}", kept.join(","))
        };
        assert_eq!(refusal(&with(None)), (name.to_owned(), Reason::Missing));
        assert_eq!(refusal(&with(Some("null"))), (name.to_owned(), Reason::Missing));
        for other in ["1", "1.5", "true", "{\"xyz\":\"abc\"}", "[]", "99999999999"] {
            assert_eq!(refusal(&with(Some(other))), (name.to_owned(), Reason::NotAString));
        }
        let empty = if left_out == 0 { Reason::NotThisVersion } else { Reason::Empty };
        assert_eq!(refusal(&with(Some("\"\""))), (name.to_owned(), empty));
    }
    let other = line("").replace("1.0", "0.3");
    assert_eq!(refusal(&other), ("specversion".to_owned(), Reason::NotThisVersion));
}

#[test]
fn each_refusal_names_the_attribute_and_the_reason() {
    use Reason::*;
    for (more, attribute, reason) in [
        (r#""subject":"""#, "subject", Empty),
        (r#""subject":5"#, "subject", NotAString),
        (r#""dataschema":"""#, "dataschema", Empty),
        (r#""dataschema":false"#, "dataschema", NotAString),
        (r#""dataschema":"/relative""#, "dataschema", NotAUri),
        (r#""datacontenttype":"""#, "datacontenttype", Empty),
        (r#""datacontenttype":["text/plain"]"#, "datacontenttype", NotAString),
        (r#""datacontenttype":"json""#, "datacontenttype", NotAContentType),
        (r#""datacontenttype":"a/b/c""#, "datacontenttype", NotAContentType),
        (r#""time":"2018-04-05T17:31Z""#, "time", NotATime),
        (r#""time":"2018-04-05T17:31:00+0100""#, "time", NotATime),
        (r#""time":"2018-04-05T17:31:00+24:00""#, "time", NotATime),
        (r#""time":"""#, "time", NotATime),
        (r#""time":1522949460"#, "time", NotAString),
        (r#""expirytime":"soon""#, "expirytime", NotATime),
        (r#""topic":"a..b""#, "topic", NotATopic),
        (r#""topic":"""#, "topic", Empty),
        (r#""topic":7"#, "topic", NotAString),
        (r#""traceparent":"00-0-0-0""#, "traceparent", NotATraceparent),
        (r#""tracestate":"=""#, "tracestate", NotATracestate),
        (r#""ext":{}"#, "ext", NotAValue),
        (r#""ext":[1]"#, "ext", NotAValue),
        (r#""ext":1.0"#, "ext", NotAnInteger),
        (r#""ext":1e3"#, "ext", NotAnInteger),
        (r#""ext":2147483648"#, "ext", NotAnInteger),
        (r#""ext":-2147483649"#, "ext", NotAnInteger),
        (r#""ext":"a\u0007""#, "ext", IllegalCharacter),
        (r#""ext":"\uffff""#, "ext", IllegalCharacter),
        (r#""ext":"\ud800""#, "ext", LoneSurrogate),
        (r#""Ext":"x""#, "Ext", NotAName),
        (r#""my.ext":"x""#, "my.ext", NotAName),
        (r#""my_ext":null"#, "my_ext", NotAName),
        (r#""":"x""#, "", NotAName),
        (r#""correlationid":{}"#, "correlationid", NotAString),
        (r#""sequence":[]"#, "sequence", NotAValue),
        (r#""data":1,"data_base64":"AA==""#, "data_base64", BesideData),
        (r#""data_base64":"AA==","data":1"#, "data_base64", BesideData),
        (r#""data_base64":"AA""#, "data_base64", NotBase64),
        (r#""data_base64":"A_-=""#, "data_base64", NotBase64),
        (r#""data_base64":"AAAA ""#, "data_base64", NotBase64),
        (r#""data_base64":7"#, "data_base64", NotAString),
        (r#""data":["\udc00"]"#, "data", LoneSurrogate),
        (r#""data":{"\ud800\u0041":1}"#, "data", LoneSurrogate),
        (r#""id":"2""#, "id", Duplicate),
        (r#""i\u0064":"2""#, "id", Duplicate),
        (r#""time":null,"time":null"#, "time", Duplicate),
        (r#""data":1,"data":1"#, "data", Duplicate),
        (r#""ext":1,"e":2,"ext":null"#, "ext", Duplicate),
        (r#""partitionkey":1,"partitionkey":"1""#, "partitionkey", Duplicate),
        (r#""crc32c":"","crc32c":"""#, "crc32c", Duplicate),
    ] {
        assert_eq!(refusal(&line(more)), (attribute.to_owned(), reason), "{more}");
    }
    let long = format!("\"{}\":1", "B".repeat(100_000));
    assert_eq!(refusal(&line(&long)).0, "B".repeat(64));
    assert_eq!(refusal(&line("").replace("a.b", "a..b")), ("type".to_owned(), Reason::NotATopic));
    let no_uri = refusal(&line("").replace("/s", "a b"));
    assert_eq!(no_uri, ("source".to_owned(), Reason::NotAUriReference));
    let told = decode(&line(r#""ext":{}"#)).unwrap_err().to_string();
    assert_eq!(told, "attribute \"ext\" is an object or an array");
}

#[test]
fn what_is_no_json_object_is_told_apart() {
    for (text, told) in [
        ("", "not JSON at byte 0: expected a value"),
        ("[]", "not a JSON object"),
        (" null ", "not a JSON object"),
        ("nul", "not JSON at byte 0: expected a value"),
        ("{", "not JSON at byte 1: expected a string"),
        ("{\"a\":1,}", "not JSON at byte 7: expected a string"),
        ("{\"a\" 1}", "not JSON at byte 5: expected `:`"),
        ("{\"a\":1 \"b\":2}", "not JSON at byte 7: expected `,` or `}`"),
        ("{\"a\":\"\u{1}\"}", "not JSON at byte 6: control character in a string"),
        ("{\"a\":\"\\x\"}", "not JSON at byte 6: illegal escape"),
        ("{} x", "not JSON at byte 3: expected the end"),
        ("\u{feff}{}", "not JSON at byte 0: expected a value"),
    ] {
        assert_eq!(decode(text).unwrap_err().to_string(), told, "{text}");
    }
    let error = json::decode(b"{\"id\":\"\xff\"}", &Limits::default()).unwrap_err();
    assert_eq!(error, DecodeError::NotUtf8 { offset: 7 });
}

#[test]
fn members_come_in_any_order_with_blanks_escapes_and_nulls() {
    let event = decode(
        "\r\n{ \"data\" : {\"a\": 1} ,\t\"\\u0074ype\":\"a.b\",\"subject\":null,\"zeta\":true,
          \"source\":\"/s\",\"alpha\":-0,\"gone\":null,\"id\":\"caf\\u00e9\",\"specversion\":\"1.0\"}\n",
    )
    .unwrap();
    assert_eq!((event.id(), event.kind(), event.source()), ("café", "a.b", "/s"));
    assert_eq!((event.subject(), event.time(), event.content_type()), (None, None, None));
    assert_eq!(event.data(), Some(Data::Json("{\"a\": 1}")));
    let extensions: Vec<_> = event.extensions().collect();
    let (alpha, zeta) = (ExtensionValue::Integer(0), ExtensionValue::Boolean(true));
    assert_eq!(extensions, [("alpha", alpha), ("zeta", zeta)]);
    assert_eq!(event.extension("gone"), None);
}

#[test]
fn every_field_of_the_table_survives_a_round_trip() {
    let full = r#""topic":"other/topic","subject":"s \"q\" \\","datacontenttype":"text/JSON; a=b","dataschema":"urn:x:y","correlationid":"c","causationid":"d","traceid":"req-12345","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","tracestate":"a=1","partitionkey":"k","time":"2018-04-05T16:31:00.5-01:00","expirytime":"9999-12-31T23:59:59Z","anumber":-2147483648,"aboolean":false,"averylongextensionnameofanotherone":"kept","data":{"b":1815200.0, "a":[9007199254740993,1E400]}"#;
    let event = accepted(full);
    assert_eq!(event.topic(), "other/topic");
    assert_eq!(event.subject(), Some("s \"q\" \\"));
    assert_eq!(event.schema(), Some("urn:x:y"));
    assert_eq!((event.correlation_id(), event.causation_id()), (Some("c"), Some("d")));
    assert_eq!((event.trace_id(), event.key()), (Some("req-12345"), Some("k")));
    assert!(event.traceparent().is_some() && event.tracestate() == Some("a=1"));
    assert_eq!(event.time(), Timestamp::parse("2018-04-05T17:31:00.5Z").ok());
    assert_eq!(event.expires_at().unwrap().to_string(), "9999-12-31T23:59:59.000000000Z");
    assert_eq!(event.extension("anumber"), Some(ExtensionValue::Integer(i32::MIN)));
    assert_eq!(event.extensions().len(), 3);
    assert_eq!(event.data(), Some(Data::Json(r#"{"b":1815200.0, "a":[9007199254740993,1E400]}"#)));
    assert_eq!(decode(&encoded(&event)).unwrap(), event);
    let read = json::decode_record(&record(&event, 7), &Limits::default()).unwrap();
    assert_eq!(read.event, event);
}

#[test]
fn known_extensions_of_other_types_keep_their_type() {
    let event = accepted(r#""correlationid":5,"traceid":true"#);
    assert_eq!(event.correlation_id(), None);
    assert_eq!(event.extension("correlationid"), Some(ExtensionValue::Integer(5)));
    assert!(encoded(&event).contains(r#""correlationid":5,"traceid":true"#));
}

#[test]
fn the_topic_is_written_only_where_it_is_not_the_type() {
    assert_eq!(accepted(r#""topic":"a.b""#), accepted(""));
    assert!(!encoded(&accepted(r#""topic":"a.b""#)).contains("topic"));
    assert!(encoded(&accepted(r#""topic":"a:b""#)).contains(r#""topic":"a:b""#));
}

#[test]
fn data_is_json_text_or_bytes_as_content_type_and_member_say() {
    let data = |more: &str| match accepted(more).data() {
        Some(Data::Json(raw)) => format!("json {raw}"),
        Some(Data::Text(text)) => format!("text {text}"),
        Some(Data::Binary(bytes)) => format!("binary {bytes:?}"),
        _ => "none".to_owned(),
    };
    assert_eq!(data(r#""data":"I'm just a string""#), r#"json "I'm just a string""#);
    assert_eq!(data(r#""data":"\u00e9","datacontenttype":"text/xml""#), "text é");
    assert_eq!(data(r#""datacontenttype":"a/b+json","data":"x""#), "json \"x\"");
    assert_eq!(data(r#""datacontenttype":"text/plain","data":[1, 2]"#), "json [1, 2]");
    assert_eq!(data(r#""datacontenttype":"text/plain","data_base64":"SGk=""#), "binary [72, 105]");
    assert_eq!(data(r#""data_base64":"""#), "binary []");
    assert_eq!(data(r#""data":null,"data_base64":"AA==""#), "binary [0]");
    assert_eq!(data(r#""data":null"#), "none");
    // The spelling stays, also of text that the accessor resolves.
    let spelled = accepted(r#""datacontenttype":"text/plain","data":"\u00e9\/""#);
    assert!(encoded(&spelled).ends_with(r#""data":"\u00e9\/"}"#));
}

#[test]
fn a_record_is_one_line_whatever_the_document_was() {
    let event = accepted("\"data\":{\r\n  \"a\\n\":\n1}\n");
    assert_eq!(event.data(), Some(Data::Json("{    \"a\\n\": 1}")));
    let line = record(&event, 1);
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
}

#[test]
fn nesting_counts_the_event_and_goes_128_deep() {
    let nested = |n: usize| line(&format!("\"data\":{}{}", "[".repeat(n), "]".repeat(n)));
    assert!(decode(&nested(127)).is_ok());
    assert_eq!(refusal(&nested(128)), ("data".to_owned(), Reason::TooDeep));
    assert_eq!(refusal(&nested(100_000)), ("data".to_owned(), Reason::TooDeep));
    // More than the most is the most: what is read can be written and read again.
    for most in [129, u32::MAX] {
        let limits = Limits::default().with_max_depth(most);
        let deepest = json::decode(nested(127).as_bytes(), &limits).unwrap();
        assert!(json::decode_record(&record(&deepest, 1), &Limits::default()).is_ok());
        assert!(json::decode(nested(128).as_bytes(), &limits).is_err(), "{most}");
        assert!(json::decode(nested(128).replace("[[", "[ [").as_bytes(), &limits).is_err());
        assert!(json::decode_record(nested(128).as_bytes(), &limits).is_err(), "{most}");
    }
    let limits = Limits::default().with_max_depth(2);
    assert!(json::decode(nested(1).as_bytes(), &limits).is_ok());
    assert!(json::decode(nested(2).as_bytes(), &limits).is_err());
    let in_extension = line(&format!("\"ext\":{}", "[".repeat(5000)));
    assert_eq!(refusal(&in_extension), ("ext".to_owned(), Reason::TooDeep));
}

#[test]
fn an_event_as_large_as_the_limit_is_read_also_as_a_record() {
    let room = Limits::default().max_bytes - line("\"data\":\"\"").len();
    let largest = line(&format!("\"data\":\"{}\"", "x".repeat(room)));
    assert_eq!(largest.len(), Limits::default().max_bytes);
    let event = decode(&largest).unwrap();
    let read = json::decode_record(&record(&event, 1), &Limits::default()).unwrap();
    assert_eq!(read.event, event);
    let too_large = largest.replace("xxx", "xxxx");
    let (len, limit) = (too_large.len(), Limits::default().max_bytes);
    assert_eq!(decode(&too_large), Err(DecodeError::TooLarge { len, limit }));
}

#[test]
fn a_journals_own_members_are_replaced() {
    let foreign = accepted(
        r#""sequence":"42","recordedtime":"not a time","crc32c":7,"sequencetype":"Integer""#,
    );
    assert_eq!(foreign.recorded_at(), None);
    assert!(!encoded(&foreign).contains("recordedtime"));
    let line = String::from_utf8(record(&foreign, 10_912)).unwrap();
    assert!(line.contains(r#""sequence":"00000000000000010912""#), "{line}");
    assert!(line.contains(r#""sequencetype":"Integer""#));
    assert_eq!(line.matches("crc32c").count(), 1);
}

#[test]
fn a_records_sequence_is_read_as_journals_write_it_and_not_otherwise() {
    let sequence = |text: &str| {
        let line = line(&format!("\"sequence\":{text}"));
        json::decode_record(line.as_bytes(), &Limits::default()).unwrap().sequence
    };
    assert_eq!(sequence("\"00000000000000000001\""), Some(Sequence::FIRST));
    let last = Sequence::LIMIT - 1;
    assert_eq!(sequence(&format!("\"{last:020}\"")), Some(Sequence::new(last)));
    for foreign in [
        "\"1\"",
        "7",
        "null",
        "\"00000000000000000000\"",
        "\"+0000000000000000001\"",
        "\"99999999999999999999\"",
        "\"04611686018427387904\"",
    ] {
        assert_eq!(sequence(foreign), None, "{foreign}");
    }
}

#[test]
fn any_changed_byte_of_a_record_is_noticed() {
    let event = event!("a.b", source = "cli", subject = "\"é\"", { "exit": 0 }).unwrap();
    let line = record(&event, 1);
    assert_eq!(json::checksum(&line), Checksum::Valid);
    assert_eq!(json::checksum(&line[..line.len() - 1]), Checksum::Valid);
    for at in 0..line.len() - 1 {
        for bit in 0..8 {
            let mut flipped = line.clone();
            flipped[at] ^= 1 << bit;
            assert_ne!(json::checksum(&flipped), Checksum::Valid, "byte {at} bit {bit}");
            if let Ok(read) = json::decode_record(&flipped, &Limits::default()) {
                assert_ne!(read.checksum, Checksum::Valid, "byte {at} bit {bit}");
            }
        }
    }
    for cut in 0..line.len() - 1 {
        assert!(json::decode_record(&line[..cut], &Limits::default()).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_foreign_line_is_unchecked_and_a_moved_checksum_is_a_mismatch() {
    let checksum =
        |line: &str| json::decode_record(line.as_bytes(), &Limits::default()).unwrap().checksum;
    assert_eq!(checksum(&line("")), Checksum::Missing);
    assert_eq!(checksum(&line("\"crc32c\":null")), Checksum::Missing);
    assert_eq!(checksum(&line("\"crc32c\":\"00000000\"")), Checksum::Mismatch);
    assert_eq!(checksum(&line("\"crc32c\":\"00000000\",\"ext\":1")), Checksum::Mismatch);
    let valid = String::from_utf8(record(&accepted(""), 1)).unwrap();
    assert_eq!(checksum(&valid), Checksum::Valid);
    assert_eq!(checksum(&valid.replace("\"crc32c\":", "\"crc32c\": ")), Checksum::Mismatch);
}

/// The line's exact bytes are the format: whoever changes them changes every journal.
#[test]
fn a_record_has_these_bytes() {
    let event = accepted(
        r#""time":"2018-04-05T17:31:00Z","ext":1,"subject":"x","datacontenttype":"application/json","data":{"a": 1}"#,
    );
    let expected = concat!(
        r#"{"specversion":"1.0","sequence":"00000000000000000007","id":"1","source":"/s","#,
        r#""type":"a.b","subject":"x","datacontenttype":"application/json","#,
        r#""time":"2018-04-05T17:31:00.000000000Z","ext":1,"data":{"a": 1},"crc32c":"CRC"}"#,
        "\n"
    );
    let line = String::from_utf8(record(&event, 7)).unwrap();
    let body = expected.split(",\"crc32c\"").next().unwrap();
    let sum = format!("{:08x}", crc32c::crc32c(body.as_bytes()));
    assert_eq!(line, expected.replace("CRC", &sum));
}

#[test]
fn an_event_is_shown_as_its_line_and_read_from_it() {
    let event = event!("a.b", source = "cli", { "exit": 0 }).unwrap();
    assert_eq!(event.to_string(), encoded(&event));
    assert_eq!(event.to_string().parse(), Ok(event.clone()));
    assert!(!format!("{event:?}").contains("exit"), "no payload in debug output");
}

/// Text that CloudEvents allows in an attribute.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 \"\\\\,{}:é🦀\u{a0}-]{1,40}",
        "[a-z0-9]{1,12}",
        Just("\u{202e}\u{2028}".to_owned()),
    ]
}

fn payload(builder: EventBuilder, kind: u8, bytes: &[u8]) -> EventBuilder {
    let text = String::from_utf8_lossy(bytes);
    match kind {
        0 => builder,
        1 => builder.json(&text),
        2 => builder.json(&serde_json::json!({"k": [text, bytes, null, 1.5, u64::MAX]})),
        3 => builder.text(&text),
        4 => builder.text(&text).content_type("application/x.y+json"),
        _ => builder.binary(bytes),
    }
}

prop_compose! {
    fn any_event()(
        texts in prop::collection::vec(prop::option::of(text()), 7),
        topic in prop::option::of("[a-z*]{1,5}([.:/][A-Z0-9$]{1,5}){0,3}"),
        numbers in prop::collection::btree_map("x[a-z0-9]{0,19}", any::<i32>(), 0..4),
        truths in prop::collection::btree_map("y[a-z0-9]{0,19}", any::<bool>(), 0..3),
        time in prop::option::of(-62_167_219_200_000_000_000_i128..253_402_300_800_000_000_000),
        kind in 0..6_u8,
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) -> Event {
        let mut event = Event::builder("some.type");
        let mut texts = texts.into_iter();
        let mut set = |event: EventBuilder, setter: fn(EventBuilder, String) -> EventBuilder| {
            match texts.next().flatten() {
                Some(text) => setter(event, text),
                None => event,
            }
        };
        event = set(event, EventBuilder::id);
        event = set(event, EventBuilder::subject);
        event = set(event, EventBuilder::correlation_id);
        event = set(event, EventBuilder::causation_id);
        event = set(event, EventBuilder::trace_id);
        event = set(event, EventBuilder::key);
        event = set(event, |event, text| event.extension("metadata", &text));
        event = match topic {
            Some(topic) => event.topic(topic),
            None => event,
        };
        for (name, number) in numbers {
            event = event.extension(&name, number);
        }
        for (name, truth) in truths {
            event = event.extension(&name, truth);
        }
        event = match time.and_then(Timestamp::from_unix_nanos) {
            Some(time) => event.time(time).expires_at(time),
            None => event.without_time(),
        };
        payload(event, kind, &bytes).build().unwrap()
    }
}

proptest! {
    #[test]
    fn any_event_comes_back_from_its_line_and_its_record(
        event in any_event(), sequence in 1..Sequence::LIMIT) {
        let text = encoded(&event);
        prop_assert_eq!(&decode(&text).unwrap(), &event);
        // The line is JSON to others, too.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(value["id"].as_str(), Some(event.id()));

        let line = record(&event, sequence);
        prop_assert_eq!(line.iter().filter(|byte| matches!(**byte, b'\n' | b'\r')).count(), 1);
        let read = json::decode_record(&line, &Limits::default()).unwrap();
        prop_assert_eq!(&read.event, &event);
        prop_assert_eq!(read.sequence, Some(Sequence::new(sequence)));
        prop_assert_eq!(read.checksum, Checksum::Valid);
    }

    #[test]
    fn a_mangled_line_is_read_or_refused_but_never_a_panic(
        event in any_event(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut line = record(&event, 1);
        for (at, byte) in edits {
            let at = at.index(line.len());
            line[at] = byte;
        }
        if let Ok(read) = json::decode_record(&line, &Limits::default()) {
            let again = json::decode_record(&record(&read.event, 1), &Limits::default()).unwrap();
            prop_assert_eq!(again.event, read.event);
        }
    }
}
