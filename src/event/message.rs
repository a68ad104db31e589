//! An event as a bus's message: shared by count, stamped once a publish.
//!
//! The bus calls this through the trait and never names an event. Stamping touches a value that
//! someone else holds only by copying it first.
#![forbid(unsafe_code)]

use super::data::Data;
use super::envelope::Event;
use super::field::Field;
use super::json::scan::{Fault, Scanner};
use super::time::Timestamp;
use crate::ring::Shared;
use crate::{Fields, Message, Notice, Stamp};

/// Identifiers longer than this are not inherited, so that a cause cannot make an event larger
/// than a record may be.
const MAX_INHERITED: usize = 512;

impl Message for Shared<Event> {
    const CAUSAL: bool = true;

    fn topic(&self) -> Option<&str> {
        Some(Event::topic(self))
    }

    /// One addition to the count, for all of them.
    fn share(&self, n: usize) -> impl Iterator<Item = Self> {
        self.shares(n)
    }

    /// Notes when this publish was recorded, replacing an earlier one's or a foreign journal's
    /// note; inside a handler also the cause and the correlation, where the event has none.
    fn stamp(&mut self, stamp: &Stamp) {
        // A look at the clock waits for everything that was asked for by reading it.
        Event::prefetch(self);
        let recorded = Timestamp::from_nanos(stamp.recorded());
        let event = Shared::make_mut(self);
        event.put_recorded_at(Some(recorded));
        stamp.with_cause(|cause: &Shared<Event>| inherit(event, cause));
    }

    fn from_notice(notice: &Notice) -> Option<Self> {
        let data = serde_json::json!({
            "original_event_id": notice.message_id,
            "original_topic": notice.message_topic.as_deref(),
            "sequence": notice.sequence,
            "error": notice.error,
            "panicked": notice.panicked,
            "subscriber": notice.subscriber,
            "pattern": &*notice.pattern,
            "attempt": 1,
        });
        Event::builder(notice.topic).source("ringpost").json(&data).build().ok().map(Shared::new)
    }

    fn describe(&self, fields: &mut Fields) {
        fields.id = Some(self.id().to_owned());
        fields.event_type = Some(self.kind().to_owned());
        fields.source = Some(self.source().to_owned());
        fields.trace_id = self.trace_id().map(str::to_owned);
        if let Some(Data::Json(raw)) = self.data() {
            // What was kept is valid, so the walk only ever ends at the object's end.
            let _ = keys(raw, &mut fields.payload_keys);
        }
    }
}

fn inherit(event: &mut Event, cause: &Event) {
    let correlation = cause.correlation_id().unwrap_or_else(|| cause.id());
    let mut changed = false;
    for (field, id) in [(Field::Causation, cause.id()), (Field::Correlation, correlation)] {
        let given = event.text_of(field).is_some() || event.extension(field.name()).is_some();
        if !given && id.len() <= MAX_INHERITED {
            let inherited = event.put(field, id);
            debug_assert_eq!(inherited, Ok(()), "what one event held fits another");
            changed = true;
        }
    }
    if changed {
        event.arrange();
    }
}

/// The names of a JSON object's members, at its top level.
fn keys(raw: &str, into: &mut Vec<String>) -> Result<(), Fault> {
    let mut scanner = Scanner::new(raw);
    let mut more = scanner.take(b'{');
    scanner.skip_blanks();
    more &= !scanner.take(b'}');
    while more {
        into.push(scanner.key()?.text().into_owned());
        scanner.value(super::json::scan::MAX_DEPTH)?;
        scanner.skip_blanks();
        more = scanner.take(b',');
        scanner.skip_blanks();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ExtensionValue;
    use crate::message::caused_by;

    fn stamped(event: Event) -> Shared<Event> {
        let mut event = Shared::new(event);
        event.stamp(&Stamp::default());
        event
    }

    /// The member that a bus writes, and a decoder leaves out.
    fn recorded(event: &Event) -> String {
        let time = event.recorded_at().expect("it was stamped");
        format!(",\"recordedtime\":\"{time}\"")
    }

    fn event() -> Event {
        Event::builder("a.b").id("child").build().unwrap()
    }

    #[test]
    fn each_publish_is_recorded_and_leaves_other_holders_alone() {
        let mut event = Shared::new(event());
        let held = event.clone();
        event.stamp(&Stamp::default());
        assert!(event.recorded_at().is_some());
        assert_eq!(held.recorded_at(), None);
        let first = event.recorded_at();
        event.stamp(&Stamp::default());
        assert!(event.recorded_at() >= first);
    }

    #[test]
    fn inside_a_handler_the_cause_is_noted_and_the_correlation_inherited() {
        let root = Shared::new(Event::builder("root").id("r").build().unwrap());
        let child = caused_by(&root, || stamped(event()));
        assert_eq!((child.causation_id(), child.correlation_id()), (Some("r"), Some("r")));
        let grandchild = caused_by(&child, || stamped(Event::builder("c").build().unwrap()));
        let ids = (grandchild.causation_id(), grandchild.correlation_id());
        assert_eq!(ids, (Some("child"), Some("r")));
        let line = grandchild.to_string();
        let read = line.parse::<Event>().unwrap();
        assert_eq!(read.to_string(), line.replace(&recorded(&grandchild), ""));
        assert_eq!(stamped(event()).causation_id(), None);
    }

    #[test]
    fn what_the_event_says_itself_is_never_replaced() {
        let root = Shared::new(Event::builder("root").id("r").build().unwrap());
        let own = Event::builder("a").correlation_id("mine").extension("causationid", 7);
        let own = caused_by(&root, || stamped(own.build().unwrap()));
        assert_eq!((own.causation_id(), own.correlation_id()), (None, Some("mine")));
        assert_eq!(own.extension("causationid"), Some(ExtensionValue::Integer(7)));

        let long = Shared::new(Event::builder("root").id("r".repeat(513)).build().unwrap());
        assert_eq!(caused_by(&long, || stamped(event())).causation_id(), None);
    }

    #[test]
    fn shares_are_the_same_event_on_its_topic() {
        let event = Shared::new(Event::builder("a.b").topic("elsewhere").build().unwrap());
        assert_eq!(Message::topic(&event), Some("elsewhere"));
        assert!(event.share(3).all(|share| Shared::ptr_eq(&share, &event)));
        assert_eq!(Shared::count(&event), 1);
    }

    #[test]
    fn an_event_is_described_by_names_alone() {
        let described = |builder: super::super::EventBuilder| {
            let mut fields = Fields::default();
            Shared::new(builder.build().unwrap()).describe(&mut fields);
            fields
        };
        let data = " { \"a\" : {\"secret\":1} ,\"\\u0062\":[ ] , \"c\": \"x\"} ";
        let fields = described(Event::builder("k").source("s").trace_id("t").raw_json(data));
        assert_eq!(fields.payload_keys, ["a", "b", "c"]);
        assert_eq!(fields.event_type.as_deref(), Some("k"));
        assert_eq!((fields.source.as_deref(), fields.trace_id.as_deref()), (Some("s"), Some("t")));
        for other in ["{ }", "[1]", "\"text\"", "1"] {
            assert!(described(Event::builder("k").raw_json(other)).payload_keys.is_empty());
        }
    }
}
