//! A pattern over topic numbers: each topic is matched once, then remembered.
//!
//! For readers of the ring, which meet every topic and may ask for every message.
#![forbid(unsafe_code)]

use super::names::Names;
use super::{Pattern, TopicId};

/// A pattern with a memory.
#[derive(Debug)]
pub(crate) struct Filter {
    pattern: Pattern,
    /// By topic number; `None` where the topic was not met yet.
    verdicts: Vec<Option<bool>>,
}

impl Filter {
    pub(crate) fn new(pattern: Pattern) -> Self {
        Self { pattern, verdicts: Vec::new() }
    }

    /// Whether the pattern matches the topic with this number.
    #[inline]
    pub(crate) fn admits(&mut self, topic: TopicId, names: &Names) -> bool {
        match self.verdicts.get(topic.get() as usize) {
            Some(&Some(verdict)) => verdict,
            _ => self.decide(topic, names),
        }
    }

    #[cold]
    fn decide(&mut self, topic: TopicId, names: &Names) -> bool {
        let verdict = self.pattern.matches(names.name(topic));
        if self.verdicts.len() <= topic.get() as usize {
            self.verdicts.resize(topic.get() as usize + 1, None);
        }
        self.verdicts[topic.get() as usize] = Some(verdict);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_agrees_with_its_pattern_the_first_time_and_after() {
        let names = Names::new();
        let mut filter = Filter::new(Pattern::parse("a.*").unwrap());
        let (yes, no) = (names.intern("a.b"), names.intern("b.b"));
        for _ in 0..2 {
            assert!(filter.admits(yes, &names));
            assert!(!filter.admits(no, &names));
        }
    }
}
