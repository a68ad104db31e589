//! Writes envelopes in the form that was asked for, and says what had no place in it.
#![forbid(unsafe_code)]

use ringpost::Sequence;
use ringpost::event::json;

use super::envelope::Envelope;
use super::form::To;
use super::members::Members;
use super::remainder::{self, Remainder, quoted};
use super::shape::Shape;

/// Writes events of one form.
#[derive(Debug)]
pub(crate) struct Encoder {
    to: To,
    /// The sequence of the last record.
    last: u64,
    lost: Vec<String>,
}

impl Encoder {
    pub(crate) fn new(to: To) -> Self {
        Self { to, last: 0, lost: Vec::new() }
    }

    /// Appends the event to `out`, without a line break, and gives the names of the attributes that
    /// could not go with it.
    pub(crate) fn encode(
        &mut self,
        envelope: &Envelope,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<&[String]> {
        self.lost.clear();
        if envelope.has_lost_time {
            self.lose("recordedtime");
        }
        match self.to {
            To::Ringpost => self.record(envelope, out)?,
            To::Cloudevents | To::Batch => cloud_event(envelope, out),
            To::Victor => self.shaped(Shape::Victor, envelope, out)?,
            To::Vidurai => self.shaped(Shape::Vidurai, envelope, out)?,
            To::Contextforge => self.shaped(Shape::ContextForge, envelope, out)?,
            To::Dataknobs => self.shaped(Shape::DataKnobs, envelope, out)?,
        }
        Ok(&self.lost)
    }

    /// A journal's sequences rise: one that does not is replaced by the next.
    fn record(&mut self, envelope: &Envelope, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let given = envelope.sequence.filter(|given| given.get() > self.last);
        let next = Some(self.last + 1).filter(|next| *next < Sequence::LIMIT).map(Sequence::new);
        let Some(sequence) = given.or(next) else {
            anyhow::bail!("cannot number an event: the one before has the last sequence there is");
        };
        if given.is_none() && (envelope.sequence.is_some() || envelope.foreign_sequence.is_some()) {
            self.lose("sequence");
        }
        self.last = sequence.get();
        json::encode_record(&envelope.event, sequence, out);
        out.pop_if(|byte| *byte == b'\n');
        Ok(())
    }

    fn shaped(
        &mut self,
        shape: Shape,
        envelope: &Envelope,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let mut text = Vec::new();
        cloud_event(envelope, &mut text);
        let members = Members::read(&text)?;
        let mut object = Object { out, is_empty: true };
        let mut written = vec!["specversion"];
        if shape == Shape::Victor {
            let (category, name) = victor_type(envelope);
            object.put("category", &quoted(category));
            object.put("name", &quoted(name));
            written.push("type");
            let carried = members.get("category").is_none_or(|value| value == quoted(category));
            if carried {
                written.push("category");
            }
        }
        for &(name, attribute) in shape.attributes() {
            if written.contains(&attribute) {
                continue;
            }
            let value = match (attribute, members.get(attribute)) {
                // Its source is unknown, and the shape says so in its own way.
                ("source", _) if envelope.event.source() == Envelope::UNKNOWN_SOURCE => {
                    if shape != Shape::DataKnobs {
                        object.put(name, "\"\"");
                    }
                    written.push("source");
                    continue;
                }
                ("topic", None) => members.get("type"),
                ("traceid", None) => {
                    written.push("correlationid");
                    members.get("correlationid")
                }
                (_, value) => value,
            };
            if let Some(value) = value {
                object.put(name, value);
            }
            written.push(attribute);
        }
        let mut metadata = Metadata::default();
        for (name, value) in members.iter().filter(|(name, _)| !written.contains(name)) {
            let goes = match name {
                "id" => envelope.is_id_new,
                "source" => envelope.event.source() == Envelope::UNKNOWN_SOURCE,
                // What a payload is where nothing is said.
                "datacontenttype" => value == "\"application/json\"",
                "subject" | "dataschema" | "data_base64" => false,
                _ => shape == Shape::DataKnobs && metadata.put_attribute(name, value),
            };
            if !goes {
                self.lose(name);
            }
        }
        if let Some(text) = metadata.finish() {
            object.put("metadata", &text);
        }
        object.finish();
        Ok(())
    }

    fn lose(&mut self, attribute: &str) {
        self.lost.push(attribute.to_owned());
    }
}

/// Appends the event with all that it has but a checksum.
fn cloud_event(envelope: &Envelope, out: &mut Vec<u8>) {
    json::encode(&envelope.event, out);
    let sequence = match (envelope.sequence, &envelope.foreign_sequence) {
        (Some(sequence), _) => format!("\"{:020}\"", sequence.get()),
        (None, Some(text)) => text.to_string(),
        (None, None) => return,
    };
    // Before the closing brace.
    out.pop();
    out.extend_from_slice(b",\"sequence\":");
    out.extend_from_slice(sequence.as_bytes());
    out.push(b'}');
}

/// The type in two: by the category that the event names, else at its first dot.
fn victor_type(envelope: &Envelope) -> (&str, &str) {
    use ringpost::event::ExtensionValue::String;
    let kind = envelope.event.kind();
    if let Some(String(category)) = envelope.event.extension("category")
        && let Some(name) = kind.strip_prefix(category).and_then(|rest| rest.strip_prefix('.'))
    {
        return (category, name);
    }
    kind.split_once('.').unwrap_or(("", kind))
}

/// A JSON object being written.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    fn put(&mut self, name: &str, value: &str) {
        self.out.push(if self.is_empty { b'{' } else { b',' });
        self.is_empty = false;
        self.out.extend_from_slice(quoted(name).as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(value.as_bytes());
    }

    fn finish(self) {
        if self.is_empty {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// Extensions as a map of metadata, and what an earlier conversion had put aside.
#[derive(Debug, Default)]
struct Metadata {
    entries: Vec<(String, String)>,
}

impl Metadata {
    /// Whether it could go in.
    fn put_attribute(&mut self, name: &str, value: &str) -> bool {
        let entries = match name {
            Remainder::NAME => remainder::entries(value),
            _ => None,
        };
        let entries = entries.unwrap_or_else(|| vec![(name.to_owned(), value.to_owned())]);
        let is_known = |name: &str| self.entries.iter().any(|(known, _)| known == name);
        if entries.iter().any(|(name, _)| is_known(name)) {
            return false;
        }
        self.entries.extend(entries);
        true
    }

    fn finish(self) -> Option<String> {
        let mut text = Vec::new();
        let mut object = Object { out: &mut text, is_empty: true };
        for (name, value) in &self.entries {
            object.put(name, value);
        }
        if object.is_empty {
            return None;
        }
        object.finish();
        String::from_utf8(text).ok()
    }
}
