//! The log line of a publish: its keys, and what it must not tell.
#![cfg(feature = "tracing")]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ringpost::{Delivery, EventBus, Shared, event, event::Event};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

/// Keeps the lines of one target.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

struct Line {
    level: Level,
    /// In the order of writing.
    keys: Vec<&'static str>,
    values: BTreeMap<&'static str, String>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keys.push(field.name());
        self.values.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ringpost"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let level = *event.metadata().level();
        let mut line = Line { level, keys: Vec::new(), values: BTreeMap::new() };
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

const KEYS: [&str; 7] =
    ["event", "event_type", "source", "trace_id", "subscriber_count", "payload_keys", "timestamp"];

fn secret() -> Shared<Event> {
    let data = serde_json::json!({ "user": "hunter", "password": "hunter2" });
    let event = Event::builder("login.failed").source("gate").json(&data);
    Shared::new(event.trace_id("0af7651916cd43dd8448eb211c80319c").build().unwrap())
}

#[test]
fn a_line_has_seven_keys_and_no_payload_values() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let bus = EventBus::builder().log_events(true).build();
        let _one = bus.subscribe("login.*").unwrap().spawn(|_: Delivery<'_, Shared<Event>>| {});
        let _all = bus.subscribe("**").unwrap().spawn(|_: Delivery<'_, Shared<Event>>| {});
        bus.publish(secret()).unwrap();
        let mut publisher = bus.publisher("login.failed").unwrap();
        publisher.publish_batch(&mut vec![secret(), secret()]).unwrap();
        // Nothing went out, so there is nothing to tell.
        bus.set_enabled(false);
        bus.publish(secret()).unwrap();
    });
    let lines = lines.0.lock().unwrap();
    assert_eq!(lines.len(), 3);
    for line in &*lines {
        assert_eq!(line.level, Level::INFO);
        assert_eq!(line.keys, KEYS);
        assert_eq!(line.values["event"], "event_published");
        assert_eq!(line.values["event_type"], "login.failed");
        assert_eq!(line.values["source"], "gate");
        assert_eq!(line.values["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(line.values["subscriber_count"], "2");
        assert_eq!(line.values["payload_keys"], r#"["user","password"]"#);
        assert!(line.values["timestamp"].ends_with('Z'));
        assert!(line.values.values().all(|value| !value.contains("hunter")));
    }
}

#[test]
fn there_is_no_line_unless_it_is_asked_for() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let bus = EventBus::new();
        bus.publish(event!("quiet").unwrap()).unwrap();
    });
    assert!(lines.0.lock().unwrap().is_empty());
}
