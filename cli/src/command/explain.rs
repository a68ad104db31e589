//! `explain`: whether and why a pattern matches a topic.
#![forbid(unsafe_code)]

use anyhow::anyhow;
use clap::Args;
use ringpost::Pattern;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::visible::Visible;

/// What to explain.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A pattern: a topic, `a.*`, `a.**.z`, `a.>`, or glob:, prefix:, mqtt:, nats:, re:
    pattern: String,
    /// A topic
    topic: String,
    /// Print one JSON object: matches, dialect, reason
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    matches: bool,
    dialect: &'a str,
    reason: &'a str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments { pattern: text, topic, json } = arguments;
    let pattern = Pattern::parse(text)
        .map_err(|error| Failure::usage(anyhow!("`{text}` is no pattern: {error}")))?;
    pattern
        .check_topic(topic)
        .map_err(|error| Failure::usage(anyhow!("`{topic}` is no topic: {error}")))?;
    let found = pattern.explain(topic);
    let (matches, dialect) = (found.matches, found.dialect.name());
    let mut output = Output::new();
    if *json {
        output.json(&Answer { matches, dialect, reason: &found.reason })?;
    } else {
        let verb = if matches { "matches" } else { "does not match" };
        let sentence = format!("`{text}` ({dialect}) {verb} `{topic}`: {}.", found.reason);
        output.text(&format!("{}\n", Visible(&sentence)))?;
        output.flush()?;
    }
    Ok(if matches { Exit::Done } else { Exit::Nothing })
}
