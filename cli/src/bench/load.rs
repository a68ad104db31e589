//! The messages that a bench publishes: small ones inline, large ones behind a pointer, events.
//!
//! Each carries the time it was meant to be sent and a number, so that a subscriber can tell how
//! long it took and whether it saw the right ones.
#![forbid(unsafe_code)]

use anyhow::Context as _;
use ringpost::event::{Event, Timestamp};
use ringpost::{Message, Shared};

/// What all messages of a bench have in common.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: usize,
    json: String,
    /// When the bench's clock stood at 0.
    base: i128,
}

impl Template {
    /// Messages of this many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let fill = "x".repeat(bytes.saturating_sub(2));
        Self { bytes, json: format!("\"{fill}\""), base: Timestamp::now().unix_nanos() }
    }
}

/// A message of a bench.
pub(crate) trait Load: Message {
    /// `sent` is in nanoseconds of the bench's clock; 0 if nobody is to look at it.
    fn make(template: &Template, sent: u64, number: u64) -> anyhow::Result<Self>;
    fn sent(&self, template: &Template) -> u64;
    fn number(&self) -> u64;
}

/// A message that travels inline: 16 bytes and eight for each word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inline<const WORDS: usize> {
    sent: u64,
    number: u64,
    fill: [u64; WORDS],
}

impl<const WORDS: usize> Message for Inline<WORDS> {}

impl<const WORDS: usize> Load for Inline<WORDS> {
    fn make(_: &Template, sent: u64, number: u64) -> anyhow::Result<Self> {
        Ok(Self { sent, number, fill: [number; WORDS] })
    }

    fn sent(&self, _: &Template) -> u64 {
        self.sent
    }

    /// Made of all words, so that all have to arrive.
    fn number(&self) -> u64 {
        self.fill.iter().fold(self.number, |number, word| if *word == number { number } else { 0 })
    }
}

/// A message behind a counted pointer, made anew for each publish.
#[derive(Clone, Debug)]
pub(crate) struct Boxed(Shared<Body>);

#[derive(Debug)]
struct Body {
    sent: u64,
    number: u64,
    fill: Box<[u8]>,
}

impl Message for Boxed {
    fn share(&self, n: usize) -> impl Iterator<Item = Self> {
        self.0.shares(n).map(Self)
    }
}

impl Load for Boxed {
    fn make(template: &Template, sent: u64, number: u64) -> anyhow::Result<Self> {
        let fill = vec![number as u8; template.bytes.saturating_sub(16)].into_boxed_slice();
        Ok(Self(Shared::new(Body { sent, number, fill })))
    }

    fn sent(&self, _: &Template) -> u64 {
        self.0.sent
    }

    fn number(&self) -> u64 {
        let arrived = self.0.fill.last().is_none_or(|last| *last == self.0.number as u8);
        if arrived { self.0.number } else { 0 }
    }
}

/// The beginning of the year 9000, in seconds since 1970.
const YEAR_9000: i128 = 221_845_392_000;
const NANOS: i128 = 1_000_000_000;

/// An event, as a journal stores it. Both numbers travel as times, the attributes that are read
/// without looking at text: the one after the bench's beginning, the other after a day on which
/// nobody minds that the event expires.
impl Load for Shared<Event> {
    fn make(template: &Template, sent: u64, number: u64) -> anyhow::Result<Self> {
        let after = |base: i128, nanos: u64| {
            Timestamp::from_unix_nanos(base + i128::from(nanos)).context("a bench is short")
        };
        let event = Event::builder("bench.event")
            .source("ringpost:bench")
            .time(after(template.base, sent)?)
            .expires_at(after(YEAR_9000 * NANOS, number)?)
            .raw_json(&template.json);
        Ok(Shared::new(event.build().context("cannot make an event of that size")?))
    }

    fn sent(&self, template: &Template) -> u64 {
        self.time().map_or(0, |time| since(time, template.base))
    }

    fn number(&self) -> u64 {
        self.expires_at().map_or(0, |time| since(time, YEAR_9000 * NANOS))
    }
}

fn since(time: Timestamp, base: i128) -> u64 {
    u64::try_from(time.unix_nanos() - base).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carries_both_numbers<M: Load>() {
        let template = Template::new(300);
        let made = M::make(&template, 17, 4711).unwrap();
        assert_eq!((made.sent(&template), made.number()), (17, 4711));
    }

    #[test]
    fn every_kind_of_message_carries_its_time_and_number() {
        carries_both_numbers::<Inline<0>>();
        carries_both_numbers::<Inline<6>>();
        carries_both_numbers::<Boxed>();
        carries_both_numbers::<Shared<Event>>();
        assert_eq!((size_of::<Inline<0>>(), size_of::<Inline<6>>()), (16, 64));
    }
}
