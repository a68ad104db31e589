//! Which events somebody asked for.
//!
//! The filters of the reading verbs. A flag may be given more than once: one of its values has to
//! match, and all flags that were given.
#![forbid(unsafe_code)]

use clap::Args;
use ringpost::Pattern;
use ringpost::event::Timestamp;
use ringpost::store::journal::query::{Condition, Selection, TextPattern};

use crate::exit::Failure;
use crate::expression;
use crate::moment::parse_moment;

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
    sources: Vec<TextPattern>,
    /// Only events about this subject: literal text, or glob:, prefix:, re:
    #[arg(long = "subject", value_name = "TEXT")]
    subjects: Vec<TextPattern>,
    /// Only events with this id: literal text, or glob:, prefix:, re:
    #[arg(long = "id", value_name = "TEXT")]
    ids: Vec<TextPattern>,
    /// Only events with this correlation id: literal text, or glob:, prefix:, re:
    #[arg(long = "correlation", value_name = "TEXT")]
    correlations: Vec<TextPattern>,
    /// Only events for which this holds, and every other one given: `data.price >= 100`; ==, !=,
    /// <, <=, >, >= with a number, a word or a JSON value, =~ with a regular expression, `exists`,
    /// `in [1, 2]`
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<Condition>,
}

impl Filter {
    /// The events that it lets through.
    pub(crate) fn selection(&self) -> Selection {
        let mut selection = Selection::default();
        for pattern in &self.kinds {
            selection = selection.kind(pattern.clone());
        }
        for pattern in &self.topics {
            selection = selection.topic(pattern.clone());
        }
        for pattern in &self.sources {
            selection = selection.source(pattern.clone());
        }
        for pattern in &self.subjects {
            selection = selection.subject(pattern.clone());
        }
        for pattern in &self.ids {
            selection = selection.id(pattern.clone());
        }
        for pattern in &self.correlations {
            selection = selection.correlation(pattern.clone());
        }
        for condition in &self.conditions {
            selection = selection.condition(condition.clone());
        }
        selection
    }
}

/// All filters of the verbs that search what is stored.
#[derive(Args, Clone, Debug)]
pub(crate) struct SearchFilter {
    #[command(flatten)]
    filter: Filter,
    /// Only events of this time or later, by their own time, else by when they were recorded:
    /// RFC 3339, or how long ago (-5m)
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    #[arg(help_heading = "Filters")]
    since: Option<Timestamp>,
    /// Only events of this time or earlier
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    #[arg(help_heading = "Filters")]
    until: Option<Timestamp>,
    /// Only events for which this expression in jq's language gives something other than `false`
    /// and `null`, and every other one given: `.data.price > 100`
    #[arg(long, value_name = "EXPRESSION", help_heading = "Filters")]
    jq: Vec<String>,
}

impl SearchFilter {
    /// The events that it lets through; fails if an expression cannot be used.
    pub(crate) fn selection(&self) -> Result<Selection, Failure> {
        let mut selection = self.filter.selection();
        if let Some(since) = self.since {
            selection = selection.since(since);
        }
        if let Some(until) = self.until {
            selection = selection.until(until);
        }
        for expression in &self.jq {
            let predicate = expression::compile(expression).map_err(Failure::usage)?;
            selection = selection.predicate(predicate);
        }
        Ok(selection)
    }
}

fn moment(text: &str) -> anyhow::Result<Timestamp> {
    parse_moment(text, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_to_match_and_one_value_of_each() {
        let line = br#"{"specversion":"1.0","id":"1","source":"s","type":"a.b","subject":"x"}"#;
        let admits = |kinds: &[&str], subjects: &[&str]| {
            let filter = Filter {
                kinds: kinds.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
                subjects: subjects.iter().map(|text| text.parse().unwrap()).collect(),
                ..Filter::default()
            };
            filter.selection().admits(line)
        };
        assert!(Filter::default().selection().is_empty());
        assert!(admits(&["a.*", "c.*"], &["x"]));
        assert!(!admits(&["a.*"], &["y"]));
        assert!(!admits(&["c.*"], &["x"]));
        let absent = Filter { correlations: vec!["glob:*".parse().unwrap()], ..Filter::default() };
        assert!(!absent.selection().admits(line));
    }
}
