//! `stats`: what is in a journal.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use ringpost::store::journal::JournalStats;
#[cfg(feature = "redis")]
use ringpost::store::redis::StreamStats;
use serde::Serialize;

use crate::console::{Console, grouped};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::target::{Opened, TargetArgs, tell_interrupted, unreadable};
use crate::visible::Visible;

/// Which journal, and how to print it.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    events: u64,
    bytes: u64,
    segments: u64,
    first: Option<String>,
    last: Option<String>,
    first_sequence: Option<u64>,
    last_sequence: Option<u64>,
    types: &'a BTreeMap<String, u64>,
    topics: &'a BTreeMap<String, u64>,
    sources: &'a BTreeMap<String, u64>,
    damaged: u64,
}

impl<'a> From<&'a JournalStats> for Summary<'a> {
    fn from(stats: &'a JournalStats) -> Self {
        Self {
            events: stats.events,
            bytes: stats.bytes,
            segments: stats.segments,
            first: stats.first.map(|time| time.to_string()),
            last: stats.last.map(|time| time.to_string()),
            first_sequence: stats.first_sequence.map(u64::from),
            last_sequence: stats.last_sequence.map(u64::from),
            types: &stats.types,
            topics: &stats.topics,
            sources: &stats.sources,
            damaged: stats.damaged,
        }
    }
}

#[cfg(feature = "redis")]
impl<'a> From<&'a StreamStats> for Summary<'a> {
    fn from(stats: &'a StreamStats) -> Self {
        Self {
            events: stats.events,
            bytes: stats.bytes,
            segments: 0,
            first: stats.first.map(|time| time.to_string()),
            last: stats.last.map(|time| time.to_string()),
            first_sequence: stats.first_sequence.map(u64::from),
            last_sequence: stats.last_sequence.map(u64::from),
            types: &stats.types,
            topics: &stats.topics,
            sources: &stats.sources,
            damaged: stats.damaged,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let target = arguments.target.resolve()?;
    let interrupt = Interrupt::install()?;
    let opened = target.open(&interrupt)?;
    let console = console.clone().with_spinner("counting");
    let counted = match opened {
        Opened::Journal(journal) => {
            let asked = journal.interrupt(&interrupt);
            journal.reader.stats_until(|| asked.is_set()).map(|stats| {
                let cut = stats.stopped || journal.is_cut();
                tell(&Summary::from(&stats), cut, arguments, &console)
            })
        }
        #[cfg(feature = "redis")]
        Opened::Stream(reader) => reader
            .stats_until(|| interrupt.is_set())
            .map(|stats| tell(&Summary::from(&stats), stats.stopped, arguments, &console)),
    };
    console.finish();
    counted.map_err(unreadable)?
}

fn tell(
    summary: &Summary<'_>,
    cut: bool,
    arguments: &Arguments,
    console: &Console,
) -> Result<Exit, Failure> {
    console.finish();
    if cut {
        tell_interrupted(console);
    }
    let mut output = Output::new();
    if arguments.json {
        output.json(summary)?;
    } else {
        output.text(&table(summary))?;
        output.flush()?;
    }
    Ok(Exit::damage_if(summary.damaged > 0))
}

/// How many names of a kind the table shows.
const SHOWN: usize = 20;

fn table(stats: &Summary<'_>) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    row("events", grouped(stats.events));
    row("bytes", grouped(stats.bytes));
    row("segments", grouped(stats.segments));
    if let (Some(first), Some(last)) = (&stats.first, &stats.last) {
        row("times", format!("{first} to {last}"));
    }
    if let (Some(first), Some(last)) = (stats.first_sequence, stats.last_sequence) {
        row("sequences", format!("{first} to {last}"));
    }
    row("damaged", grouped(stats.damaged));
    for (name, counts) in
        [("types", stats.types), ("topics", stats.topics), ("sources", stats.sources)]
    {
        let _ = writeln!(text, "\n{name} ({})", grouped(counts.len() as u64));
        let mut largest: Vec<_> = counts.iter().collect();
        largest.sort_by_key(|&(name, &count)| (std::cmp::Reverse(count), name));
        for &(name, &count) in largest.iter().take(SHOWN) {
            let _ = writeln!(text, "{:>12}  {}", grouped(count), Visible(name));
        }
        if let Some(rest @ 1..) = counts.len().checked_sub(SHOWN) {
            let _ = writeln!(text, "{:>12}  more (all of them with --json)", grouped(rest as u64));
        }
    }
    text
}
