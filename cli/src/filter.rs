//! Which events somebody asked for.
//!
//! The filters of the reading verbs. A flag may be given more than once: one of its values has to
//! match, and all flags that were given.
#![forbid(unsafe_code)]

use std::str::FromStr;

use anyhow::anyhow;
use clap::Args;
use regex::Regex;
use ringpost::event::Event;
use ringpost::{Pattern, PatternError};

/// The filters, as flags.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filter {
    /// Only events whose type matches
    #[arg(long = "type", value_name = "PATTERN")]
    kinds: Vec<Pattern>,
    /// Only events whose topic matches
    #[arg(long = "topic", value_name = "PATTERN")]
    topics: Vec<Pattern>,
    /// Only events from this source: literal text, or glob:, prefix:, re:
    #[arg(long = "source", value_name = "TEXT")]
    sources: Vec<Text>,
    /// Only events about this subject: literal text, or glob:, prefix:, re:
    #[arg(long = "subject", value_name = "TEXT")]
    subjects: Vec<Text>,
    /// Only events with this id: literal text, or glob:, prefix:, re:
    #[arg(long = "id", value_name = "TEXT")]
    ids: Vec<Text>,
    /// Only events with this correlation id: literal text, or glob:, prefix:, re:
    #[arg(long = "correlation", value_name = "TEXT")]
    correlations: Vec<Text>,
}

impl Filter {
    /// Whether it lets everything through.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
            && self.topics.is_empty()
            && self.sources.is_empty()
            && self.subjects.is_empty()
            && self.ids.is_empty()
            && self.correlations.is_empty()
    }

    /// Whether this is one of the events.
    pub(crate) fn admits(&self, event: &Event) -> bool {
        admits(&self.kinds, |pattern| pattern.matches(event.kind()))
            && admits(&self.topics, |pattern| pattern.matches(event.topic()))
            && admits(&self.sources, |text| text.matches(Some(event.source())))
            && admits(&self.subjects, |text| text.matches(event.subject()))
            && admits(&self.ids, |text| text.matches(Some(event.id())))
            && admits(&self.correlations, |text| text.matches(event.correlation_id()))
    }
}

fn admits<T>(wanted: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

/// A filter on free text, where a `$` means nothing.
#[derive(Clone, Debug)]
enum Text {
    Literal(String),
    Prefix(String),
    Glob(Pattern),
    Regex(Regex),
}

/// Put before a glob and before what it is held against, so that a text that starts with `$` is
/// no topic of the bus's own.
const GUARD: &str = "=";

impl FromStr for Text {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(glob) = text.strip_prefix("glob:") {
            let glob = Pattern::parse(&format!("glob:{GUARD}{glob}"));
            return glob.map(Self::Glob).map_err(|error: PatternError| anyhow!("{error}"));
        }
        if let Some(prefix) = text.strip_prefix("prefix:") {
            return Ok(Self::Prefix(prefix.to_owned()));
        }
        if let Some(regex) = text.strip_prefix("re:") {
            return Ok(Self::Regex(Regex::new(regex)?));
        }
        Ok(Self::Literal(text.to_owned()))
    }
}

impl Text {
    fn matches(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return false };
        match self {
            Self::Literal(text) => text == value,
            Self::Prefix(prefix) => value.starts_with(prefix.as_str()),
            Self::Glob(glob) => glob.matches(&format!("{GUARD}{value}")),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, value: &str) -> bool {
        text.parse::<Text>().unwrap().matches(Some(value))
    }

    #[test]
    fn free_text_is_literal_unless_it_says_otherwise() {
        assert!(matches("a*", "a*") && !matches("a*", "ab"));
        assert!(matches("prefix:/market/", "/market/fx") && !matches("prefix:/market/", "/m"));
        assert!(matches("glob:*[ab]", "xb") && !matches("glob:*[ab]", "xc"));
        assert!(matches("re:^o.*e$", "one") && !matches("re:^o.*e$", "two"));
        assert!("re:(".parse::<Text>().is_err());
    }

    #[test]
    fn a_dollar_at_the_start_is_nothing_special() {
        for text in ["glob:*", "glob:$*", "prefix:", "prefix:$1", "re:.", r"re:^\$1", "$15"] {
            assert!(matches(text, "$15"), "{text}");
        }
    }

    #[test]
    fn every_flag_has_to_match_and_one_value_of_each() {
        let event = Event::builder("a.b").source("s").subject("x").build().unwrap();
        let filter = |kinds: &[&str], subjects: &[&str]| Filter {
            kinds: kinds.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            subjects: subjects.iter().map(|text| text.parse().unwrap()).collect(),
            ..Filter::default()
        };
        assert!(filter(&[], &[]).is_empty());
        assert!(filter(&["a.*", "c.*"], &["x"]).admits(&event));
        assert!(!filter(&["a.*"], &["y"]).admits(&event));
        assert!(!filter(&["c.*"], &["x"]).admits(&event));
        let absent = Filter { correlations: vec!["glob:*".parse().unwrap()], ..Filter::default() };
        assert!(!absent.admits(&event));
    }
}
