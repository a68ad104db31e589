//! The whole way of real events: from a file through the bus into a journal and back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::{Place, stored};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");

/// What must come through as it is.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    specversion: &'a str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    correlationid: Option<String>,
    datacontenttype: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<&'a str>,
}

#[test]
fn real_events_come_through_the_bus_into_the_journal_unchanged() {
    let input = Path::new(SHARED).join("events.jsonl");
    if !input.exists() {
        assert!(std::env::var_os("RINGPOST_REQUIRE_SHARED").is_none(), "{SHARED} is required");
        eprintln!("skipped: {} not present", input.display());
        return;
    }
    let text = fs::read_to_string(&input).unwrap();
    let expected: Value =
        serde_json::from_slice(&fs::read(Path::new(SHARED).join("events.stats.json")).unwrap())
            .unwrap();
    let place = Place::new();
    let publish = || place.run(&["pub", input.to_str().unwrap(), "--journal", "j", "--json"]);

    let ended = publish();
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    let summary = ended.json();
    for key in ["read", "published", "journaled", "durable"] {
        assert_eq!(summary[key], 10_911, "{key}");
    }
    for key in ["rejected", "dropped", "delivered"] {
        assert_eq!(summary[key], 0, "{key}");
    }
    assert_eq!(summary["types"], expected["by_type"]);

    let stats = place.run(&["stats", "j", "--json"]);
    assert_eq!(stats.code, Some(0));
    let stats = stats.json();
    assert_eq!((&stats["events"], &stats["damaged"]), (&json!(10_911), &json!(0)));
    assert_eq!(
        (&stats["types"], &stats["sources"]),
        (&expected["by_type"], &expected["by_source"])
    );
    assert_eq!((&stats["first_sequence"], &stats["last_sequence"]), (&json!(1), &json!(10_911)));
    let verified = json!({"records": 10_911, "valid": 10_911, "unchecked": 0, "damaged": 0,
        "torn_bytes": 0, "gaps": [], "duplicates": 0});
    let verify = place.run(&["verify", "j", "--json"]);
    assert_eq!((verify.code, verify.json()), (Some(0), verified));

    let journal = stored(&place.path("j"));
    assert_eq!(journal.lines().count(), 10_911);
    for (number, (line, original)) in journal.lines().zip(text.lines()).enumerate() {
        let read: Line<'_> = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let original: Line<'_> = serde_json::from_str(original).unwrap();
        assert_eq!(read.specversion, "1.0");
        assert_eq!(
            (&read.id, &read.source, &read.kind),
            (&original.id, &original.source, &original.kind)
        );
        assert_eq!(
            (&read.subject, &read.correlationid),
            (&original.subject, &original.correlationid)
        );
        assert_eq!(read.datacontenttype, original.datacontenttype);
        assert_eq!(read.data.map(RawValue::get), original.data.map(RawValue::get), "{line}");
        assert_eq!(read.data_base64, original.data_base64);
        let members: BTreeMap<&str, &RawValue> = serde_json::from_str(line).unwrap();
        assert_eq!(members["sequence"].get(), format!("\"{:020}\"", number + 1));
    }

    let again = publish().json();
    assert_eq!((&again["published"], &again["journaled"]), (&json!(10_911), &json!(10_911)));
    let next = place.run(&["tail", "j", "--from", "seq:10912", "--no-follow"]);
    let sequences = next.events("sequence");
    assert_eq!((sequences.len(), &*sequences[0]), (10_911, "00000000000000010912"));
    assert_eq!(place.run(&["verify", "j"]).code, Some(0));

    // A journal is an input like any other.
    let segment = place.path("j/00000000000000000001.jsonl");
    let copied = place.run(&["pub", segment.to_str().unwrap(), "--journal", "k", "--json"]).json();
    assert_eq!((&copied["published"], &copied["rejected"]), (&json!(21_822), &json!(0)));
}
