//! `consumers`: the durable consumers of a journal, how far they are, and moving them.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use ringpost::Sequence;
use ringpost::event::Timestamp;
use ringpost::store::journal::{ConsumerState, Consumers};
use ringpost::store::{Begin, ConsumerName, StoreError, StoreErrorKind};
use serde::Serialize;

use crate::console::{Console, grouped};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::moment::parse_moment;
use crate::output::Output;
use crate::target::{Opened, Target, TargetArgs, told, unreadable};
use crate::visible::Visible;

/// What to do with them.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All of them: the next sequence, how far behind, whether running
    List {
        #[command(flatten)]
        target: TargetArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// All that is known of one
    Show {
        /// The consumer
        name: ConsumerName,
        #[command(flatten)]
        target: TargetArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Move one to another place in the journal; not while it runs
    Reset {
        /// The consumer
        name: ConsumerName,
        /// What it sees next: `first`, `last` (nothing that is there now), `seq:N`, or `time:T`
        #[arg(long, value_name = "PLACE", value_parser = parse_place)]
        to: Begin,
        #[command(flatten)]
        target: TargetArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Forget one; not while it runs. What it has not read is no longer kept for it
    Remove {
        /// The consumer
        name: ConsumerName,
        #[command(flatten)]
        target: TargetArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn parse_place(text: &str) -> anyhow::Result<Begin> {
    Ok(match text.split_once(':') {
        None if text == "first" => Begin::First,
        None if text == "last" => Begin::Now,
        Some(("seq", number)) => {
            let sequence = number.parse().ok().filter(|number| *number < Sequence::LIMIT);
            let sequence = sequence.ok_or_else(|| anyhow!("`{number}` is no sequence"))?;
            Begin::Sequence(Sequence::new(sequence))
        }
        Some(("time", moment)) => Begin::Time(parse_moment(moment, Timestamp::now())?),
        _ => return Err(anyhow!("`{text}` is no place: write first, last, seq:N or time:T")),
    })
}

/// One consumer; only its name and what is wrong where it cannot be read.
#[derive(Serialize)]
struct Row {
    name: String,
    next_sequence: Option<u64>,
    lag: Option<u64>,
    running: bool,
    handled: Option<u64>,
    failed: Option<u64>,
    lost: Option<u64>,
    pattern: Option<String>,
    stored: Option<String>,
    error: Option<String>,
}

impl Row {
    fn of(state: &ConsumerState) -> Self {
        let checkpoint = &state.checkpoint;
        Self {
            name: state.name.to_string(),
            next_sequence: Some(checkpoint.next.get()),
            lag: Some(state.lag),
            running: state.running,
            handled: Some(checkpoint.handled),
            failed: Some(checkpoint.failed),
            lost: Some(checkpoint.lost),
            pattern: Some(checkpoint.pattern.clone()),
            stored: Some(checkpoint.stored.to_string()),
            error: None,
        }
    }

    fn damaged(name: &ConsumerName, error: &StoreError) -> Self {
        Self {
            name: name.to_string(),
            next_sequence: None,
            lag: None,
            running: false,
            handled: None,
            failed: None,
            lost: None,
            pattern: None,
            stored: None,
            error: Some(told(error)),
        }
    }
}

#[derive(Serialize)]
struct List {
    consumers: Vec<Row>,
}

#[derive(Serialize)]
struct Moved<'a> {
    name: &'a str,
    next_sequence: u64,
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let mut output = Output::new();
    match &arguments.action {
        Action::List { target, json } => {
            let consumers = consumers(target)?;
            let rows = rows(&consumers)?;
            let damaged = rows.iter().any(|row| row.error.is_some());
            if *json {
                output.json(&List { consumers: rows })?;
            } else {
                output.text(&table(&rows))?;
                output.flush()?;
                rows.iter()
                    .filter_map(|row| row.error.as_ref())
                    .for_each(|error| console.warn(error));
            }
            Ok(Exit::damage_if(damaged))
        }
        Action::Show { name, target, json } => {
            let state = consumers(target)?.get(name).map_err(failed)?;
            let row = Row::of(&state.ok_or_else(|| unknown(name))?);
            if *json {
                output.json(&row)?;
            } else {
                output.text(&card(&row))?;
                output.flush()?;
            }
            Ok(Exit::Done)
        }
        Action::Reset { name, to, target, json } => {
            let next = consumers(target)?.reset(name, *to).map_err(failed)?;
            let moved = Moved { name: name.as_str(), next_sequence: next.get() };
            if *json {
                output.json(&moved)?;
            } else {
                output.text(&format!("{name} goes on with sequence {next}\n"))?;
                output.flush()?;
            }
            Ok(Exit::Done)
        }
        Action::Remove { name, target, json } => {
            consumers(target)?.remove(name).map_err(failed)?;
            if *json {
                output.json(&Removed { removed: name.as_str() })?;
            } else {
                output.text(&format!("{name} is forgotten\n"))?;
                output.flush()?;
            }
            Ok(Exit::Done)
        }
    }
}

fn consumers(target: &TargetArgs) -> Result<Consumers, Failure> {
    let target = target.resolve()?;
    let none = |what: String| Failure::usage(anyhow!("{what}: name a journal's directory"));
    match &target {
        // Said before it is read to its end, which may never come.
        Target::Stdin => return Err(none("standard input has no consumers".into())),
        Target::Path(path) if path.is_file() => {
            let path = path.display();
            return Err(none(format!("cannot look at {path}: a plain file has no consumers")));
        }
        _ => {}
    }
    match target.open(&Interrupt::default())? {
        Opened::Journal(journal) => journal.reader.consumers().map_err(failed),
        #[cfg(feature = "redis")]
        Opened::Stream(_) => {
            Err(Failure::usage(anyhow!("a stream has no durable consumers: name a journal")))
        }
    }
}

fn rows(consumers: &Consumers) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for name in consumers.names().map_err(failed)? {
        match consumers.get(&name) {
            Ok(state) => rows.extend(state.as_ref().map(Row::of)),
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                rows.push(Row::damaged(&name, &error));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(rows)
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let number = |value: Option<u64>| value.map_or("?".to_owned(), grouped);
    // Writing to a string can't fail.
    let _ = writeln!(text, "{:<24} {:>14} {:>14}  state    pattern", "name", "next", "behind");
    for row in rows {
        let state = match (row.running, &row.error) {
            (_, Some(_)) => "damaged",
            (true, None) => "running",
            (false, None) => "stopped",
        };
        let (next, lag) = (number(row.next_sequence), number(row.lag));
        let pattern = row.pattern.as_deref().unwrap_or_default();
        let _ =
            writeln!(text, "{:<24} {next:>14} {lag:>14}  {state}  {}", row.name, Visible(pattern));
    }
    text
}

fn card(row: &Row) -> String {
    let number = |value: Option<u64>| value.map_or("?".to_owned(), grouped);
    let lines = [
        ("name", row.name.clone()),
        ("state", if row.running { "running" } else { "stopped" }.to_owned()),
        ("pattern", Visible(row.pattern.as_deref().unwrap_or_default()).to_string()),
        ("next", number(row.next_sequence)),
        ("behind", number(row.lag)),
        ("handled", number(row.handled)),
        ("failed", number(row.failed)),
        ("lost", number(row.lost)),
        ("stored", row.stored.clone().unwrap_or_default()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

fn unknown(name: &ConsumerName) -> Failure {
    let error = anyhow!("the journal has no consumer {name}: `ringpost consumers list` names all");
    Failure { exit: Exit::Nothing, error: Some(error) }
}

fn failed(error: StoreError) -> Failure {
    match error.kind() {
        StoreErrorKind::NotFound => Failure {
            exit: Exit::Nothing,
            error: Some(anyhow!("cannot {}; `ringpost consumers list` names all", told(&error))),
        },
        StoreErrorKind::Locked => {
            anyhow!("cannot {}, because it runs; stop it first", error.attempt()).into()
        }
        StoreErrorKind::Refused | StoreErrorKind::Unsupported => {
            Failure::usage(anyhow!("cannot {}", told(&error)))
        }
        StoreErrorKind::Damaged => Failure {
            exit: Exit::Damage,
            error: Some(anyhow!("cannot {}; `ringpost consumers reset` moves it", told(&error))),
        },
        _ => unreadable(error),
    }
}
