//! Which events somebody asked for.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use super::condition::Condition;
use super::prefilter::{Prefilter, quoted};
use super::text::TextPattern;
use crate::event::Timestamp;
use crate::event::field::Field;
use crate::event::json::outline::Outline;
use crate::store::journal::index::Window;
use crate::topic::Pattern;

type Predicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A choice of events. An empty one takes all of them.
///
/// Several patterns for one attribute are alternatives; everything else has to hold together.
#[derive(Clone, Default)]
pub struct Selection {
    kinds: Vec<Pattern>,
    topics: Vec<Pattern>,
    texts: Vec<(Field, Vec<TextPattern>)>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    conditions: Vec<Condition>,
    predicates: Vec<Predicate>,
}

impl Selection {
    /// Only events whose type matches this or another such pattern.
    #[must_use]
    pub fn kind(mut self, pattern: Pattern) -> Self {
        self.kinds.push(pattern);
        self
    }

    /// Only events whose topic matches this or another such pattern.
    #[must_use]
    pub fn topic(mut self, pattern: Pattern) -> Self {
        self.topics.push(pattern);
        self
    }

    /// Only events whose source matches this or another such pattern.
    #[must_use]
    pub fn source(self, pattern: TextPattern) -> Self {
        self.text(Field::Source, pattern)
    }

    /// Only events whose subject matches this or another such pattern.
    #[must_use]
    pub fn subject(self, pattern: TextPattern) -> Self {
        self.text(Field::Subject, pattern)
    }

    /// Only events whose id matches this or another such pattern.
    #[must_use]
    pub fn id(self, pattern: TextPattern) -> Self {
        self.text(Field::Id, pattern)
    }

    /// Only events whose correlation id matches this or another such pattern.
    #[must_use]
    pub fn correlation(self, pattern: TextPattern) -> Self {
        self.text(Field::Correlation, pattern)
    }

    fn text(mut self, field: Field, pattern: TextPattern) -> Self {
        match self.texts.iter_mut().find(|(known, _)| *known == field) {
            Some((_, patterns)) => patterns.push(pattern),
            None => self.texts.push((field, vec![pattern])),
        }
        self
    }

    /// Only events of this time or later: their own time, else when they were recorded.
    #[must_use]
    pub fn since(self, time: Timestamp) -> Self {
        Self { since: Some(time), ..self }
    }

    /// Only events of this time or earlier.
    #[must_use]
    pub fn until(self, time: Timestamp) -> Self {
        Self { until: Some(time), ..self }
    }

    /// Only events for which this holds too.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Only events whose line this accepts too. It is asked last, from several threads.
    #[must_use]
    pub fn predicate(mut self, accepts: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.predicates.push(Arc::new(accepts));
        self
    }

    /// Whether it takes everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
            && self.topics.is_empty()
            && self.texts.is_empty()
            && self.since.is_none()
            && self.until.is_none()
            && self.conditions.is_empty()
            && self.predicates.is_empty()
    }

    /// Whether the event of a line is one of those; false for a line that is no event.
    #[must_use]
    pub fn admits(&self, line: &[u8]) -> bool {
        self.is_empty() || Outline::of(line).is_ok_and(|event| self.takes(line, &event))
    }

    /// Whether the event, which is this line, is one of those.
    pub(super) fn takes(&self, line: &[u8], event: &Outline<'_>) -> bool {
        let matched = |patterns: &[Pattern], text: Option<&str>| {
            let matches = |pattern: &Pattern| text.is_some_and(|text| pattern.matches(text));
            patterns.is_empty() || patterns.iter().any(matches)
        };
        if !self.kinds.is_empty() && !matched(&self.kinds, event.text(Field::Kind).as_deref()) {
            return false;
        }
        if !self.topics.is_empty() && !matched(&self.topics, event.topic().as_deref()) {
            return false;
        }
        let has_texts = self.texts.iter().all(|(field, patterns)| {
            let text = event.text(*field);
            text.is_some_and(|text| patterns.iter().any(|pattern| pattern.matches(&text)))
        });
        has_texts
            && self.takes_time(event)
            && self.conditions.iter().all(|condition| condition.holds(event))
            && self.predicates.iter().all(|accepts| accepts(line))
    }

    fn takes_time(&self, event: &Outline<'_>) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        event.time().is_some_and(|time| {
            self.since.is_none_or(|since| time >= since)
                && self.until.is_none_or(|until| time <= until)
        })
    }

    /// The times that events may have.
    pub(super) fn window(&self) -> Window {
        Window { since: self.since, until: self.until }
    }

    /// What drops most lines that surely match nothing.
    pub(super) fn prefilter(&self) -> Prefilter {
        // One group each, if every alternative has a text that it cannot do without.
        let topics = [&self.kinds, &self.topics]
            .into_iter()
            .map(|patterns| patterns.iter().map(needle_of).collect::<Option<Vec<_>>>());
        let texts = self.texts.iter().map(|(_, patterns)| {
            let needle = |pattern: &TextPattern| {
                pattern.beginning().and_then(|(text, is_whole)| quoted(text, is_whole))
            };
            patterns.iter().map(needle).collect()
        });
        let conditions = self.conditions.iter().map(|condition| {
            let needle = condition.needle().and_then(|text| quoted(text, true));
            needle.map(|needle| vec![needle])
        });
        Prefilter::best(topics.chain(texts).chain(conditions).flatten())
    }
}

fn needle_of(pattern: &Pattern) -> Option<String> {
    if let Some(topic) = pattern.literal_topic() {
        return quoted(topic, true);
    }
    quoted(pattern.literal_beginning()?, false)
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("kinds", &self.kinds)
            .field("topics", &self.topics)
            .field("texts", &self.texts)
            .field("since", &self.since)
            .field("until", &self.until)
            .field("conditions", &self.conditions)
            .field("predicates", &self.predicates.len())
            .finish()
    }
}
