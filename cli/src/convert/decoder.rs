//! Reads any of the forms into an envelope.
//!
//! Another bus's shape is written as a CloudEvent first and read as one then, so that the rules
//! for attributes stand in one place, the library's decoder.
#![forbid(unsafe_code)]

use ringpost::event::json::{Checksum, Record, decode_record};
use ringpost::event::{DecodeError, EventIds, Limits};

use super::envelope::Envelope;
use super::form::From;
use super::members::Members;
use super::remainder::{Remainder, quoted};
use super::shape::Shape;
use crate::input::Decode;

/// Reads events of the form that was asked for.
#[derive(Debug)]
pub(crate) struct Decoder {
    from: From,
    /// The offset of times without one.
    zone: String,
    ids: EventIds,
}

impl Decoder {
    /// `zone` is what follows a time of day in RFC 3339: `Z`, or an offset.
    pub(crate) fn new(from: From, zone: String) -> Self {
        Self { from, zone, ids: EventIds::new() }
    }
}

impl Decode for Decoder {
    type Event = Envelope;

    fn decode(&mut self, text: &[u8]) -> Result<Envelope, String> {
        let error = match read(text) {
            Ok(record) => return self.cloud_event(text, record),
            Err(error) => error,
        };
        match Members::read(text) {
            Ok(members) if members.get("specversion").is_none() => {
                let shape = match (self.from, self.from.shape()) {
                    (_, Some(shape)) => shape,
                    (From::Auto, None) => Shape::of(&members)?,
                    (_, None) => return Err(error.to_string()),
                };
                self.shaped(shape, &members)
                    .map_err(|error| format!("as {}: {error}", shape.name()))
            }
            // Of a text that is JSON for the decoder too, its own reason says more.
            Err(twice) if twice.to_string().contains("twice") => Err(twice.to_string()),
            _ => Err(error.to_string()),
        }
    }
}

impl Decoder {
    fn cloud_event(&self, text: &[u8], record: Record) -> Result<Envelope, String> {
        if let Some(shape) = self.from.shape() {
            return Err(format!("a CloudEvent, while --from says {}", shape.name()));
        }
        // Elsewhere a checksum is some journal's affair.
        let is_ours = matches!(self.from, From::Auto | From::Ringpost);
        if is_ours && record.checksum == Checksum::Mismatch {
            return Err("its checksum is wrong: the line is not as a journal wrote it; \
                        --from cloudevents would take it as it is"
                .into());
        }
        let mut foreign_sequence = None;
        if record.sequence.is_none() {
            let members = Members::read(text).map_err(|error| error.to_string())?;
            foreign_sequence = members.get("sequence").map(Box::from);
        }
        let mut has_lost_time = false;
        if record.event.recorded_at().is_none() && contains(text, RECORDED) {
            let members = Members::read(text).map_err(|error| error.to_string())?;
            has_lost_time = members.get(RECORDED).is_some_and(|value| value != "null");
        }
        let Record { event, sequence, .. } = record;
        Ok(Envelope { event, sequence, foreign_sequence, has_lost_time, is_id_new: false })
    }

    fn shaped(&mut self, shape: Shape, members: &Members<'_>) -> Result<Envelope, String> {
        let mut draft = Draft::default();
        if shape == Shape::Victor {
            draft.put_victor_type(members)?;
        }
        for &(name, attribute) in shape.attributes() {
            let Some(value) = members.get(name) else { continue };
            let is_optional = !matches!(attribute, "id" | "type" | "data");
            if is_optional && value == "\"\"" {
                continue;
            }
            match attribute {
                "time" => draft.put_once(name, attribute, &self.zoned(value))?,
                _ => draft.put_once(name, attribute, value)?,
            }
        }
        let is_known = |name: &str| {
            shape.composed().contains(&name)
                || shape.attributes().iter().any(|&(member, _)| member == name)
        };
        for (name, value) in members.all().filter(|(name, _)| !is_known(name)) {
            draft.put_entry(name, value)?;
        }
        if shape == Shape::DataKnobs
            && let Some(metadata) = members.get("metadata")
        {
            let entries = Members::read(metadata.as_bytes())
                .map_err(|error| format!("its metadata is no object of distinct names: {error}"))?;
            for (name, value) in entries.all() {
                draft.put_entry(name, value)?;
            }
        }
        let is_id_new = !draft.has("id");
        if is_id_new {
            draft.put("id", &quoted(&self.ids.next_id().to_string()));
        }
        if !draft.has("source") {
            draft.put("source", &quoted(Envelope::UNKNOWN_SOURCE));
        }
        let text = draft.finish();
        let record = read(text.as_bytes()).map_err(|error| error.to_string())?;
        let mut envelope = self.cloud_event_of_shape(text.as_bytes(), record)?;
        envelope.is_id_new = is_id_new;
        Ok(envelope)
    }

    fn cloud_event_of_shape(&self, text: &[u8], record: Record) -> Result<Envelope, String> {
        let reader =
            Self { from: From::Cloudevents, zone: self.zone.clone(), ids: EventIds::new() };
        reader.cloud_event(text, record)
    }

    /// A time as RFC 3339 has it, of one as Python prints it.
    fn zoned(&self, value: &str) -> String {
        let Ok(mut text) = serde_json::from_str::<String>(value) else { return value.into() };
        if text.as_bytes().get(10) == Some(&b' ') {
            text.replace_range(10..11, "T");
        }
        let time_of_day = text.get(11..).unwrap_or_default();
        if !time_of_day.is_empty() && !time_of_day.contains(['Z', 'z', '+', '-']) {
            text.push_str(&self.zone);
        }
        quoted(&text)
    }
}

fn read(text: &[u8]) -> Result<Record, DecodeError> {
    decode_record(text, &Limits::default())
}

/// A CloudEvent being written.
#[derive(Debug, Default)]
struct Draft {
    attributes: Vec<String>,
    text: String,
    remainder: Remainder,
}

impl Draft {
    fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|known| known == attribute)
    }

    fn put(&mut self, attribute: &str, value: &str) {
        self.attributes.push(attribute.to_owned());
        self.text.push(',');
        self.text.push_str(&quoted(attribute));
        self.text.push(':');
        self.text.push_str(value);
    }

    /// Puts a member's value where it belongs; another one for the same stays beside it.
    fn put_once(&mut self, name: &str, attribute: &str, value: &str) -> Result<(), String> {
        if self.has(attribute) {
            return self.remainder.add(name, value);
        }
        self.put(attribute, value);
        Ok(())
    }

    /// Metadata: an extension of its own if it can be one.
    fn put_entry(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.has(name) || !can_be_extension(name, value) {
            return self.remainder.add(name, value);
        }
        self.put(name, value);
        Ok(())
    }

    fn put_victor_type(&mut self, members: &Members<'_>) -> Result<(), String> {
        let text = |name| match members.get(name).map(serde_json::from_str::<String>) {
            Some(Ok(text)) => Ok(text),
            Some(Err(_)) => Err(format!("its {name} is no text")),
            None => Err(format!("it has no {name}")),
        };
        let (category, name) = (text("category")?, text("name")?);
        if category.is_empty() {
            self.put("type", &quoted(&name));
        } else {
            self.put("type", &quoted(&format!("{category}.{name}")));
            self.put("category", &quoted(&category));
        }
        Ok(())
    }

    fn finish(mut self) -> String {
        if let Some(remainder) = std::mem::take(&mut self.remainder).finish() {
            self.put(Remainder::NAME, &quoted(&remainder));
        }
        format!("{{\"specversion\":\"1.0\"{}}}", self.text)
    }
}

/// Whether a CloudEvent can have this as an extension attribute.
fn can_be_extension(name: &str, value: &str) -> bool {
    let is_reserved = matches!(
        name,
        "specversion"
            | "id"
            | "source"
            | "type"
            | "time"
            | "subject"
            | "datacontenttype"
            | "dataschema"
            | "data"
            | "data_base64"
            | "topic"
            | "correlationid"
            | "crc32c"
            | Remainder::NAME
    );
    if is_reserved || value == "null" {
        return false;
    }
    let is_time = name == RECORDED;
    let name = quoted(name);
    let trial = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",{name}:{value}}}"
    );
    // A time of recording that is none would be left out without a word.
    read(trial.as_bytes()).is_ok_and(|record| !is_time || record.event.recorded_at().is_some())
}

const RECORDED: &str = "recordedtime";

fn contains(text: &[u8], name: &str) -> bool {
    text.windows(name.len()).any(|window| window == name.as_bytes())
}
