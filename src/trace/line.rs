//! One structured log line a publish: names and counts, never payload values.
#![forbid(unsafe_code)]

use chrono::{SecondsFormat, Utc};

use crate::caught::caught;
use crate::{Fields, Message};

/// What a line says of its message, noted before the message is given away.
#[derive(Debug)]
pub(crate) struct Line(Fields);

impl Line {
    pub(crate) fn of<M: Message>(message: &M) -> Self {
        let mut fields = Fields::default();
        // `describe` is user code; a line without its words is better than no publish.
        let described = caught(|| message.describe(&mut fields));
        Self(if described.is_some() { fields } else { Fields::default() })
    }

    /// Writes the line. `topic` stands in for a message that names no type of its own.
    pub(crate) fn published(self, topic: &str, subscribers: u64) {
        let Self(fields) = self;
        let keys = serde_json::Value::from(fields.payload_keys).to_string();
        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        tracing::info!(
            target: "ringpost",
            event = "event_published",
            event_type = fields.event_type.as_deref().unwrap_or(topic),
            source = fields.source.as_deref(),
            trace_id = fields.trace_id.as_deref(),
            subscriber_count = subscribers,
            payload_keys = %keys,
            timestamp,
        );
    }
}
