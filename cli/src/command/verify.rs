//! `verify`: whether every record of a journal is whole and in its place.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use ringpost::store::journal::{JournalOptions, Verification};
#[cfg(feature = "redis")]
use ringpost::store::redis::StreamVerification;
use serde::Serialize;

use crate::console::{Console, Troubles, grouped};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::journaling::{open_journal, tell_recovery};
use crate::output::Output;
use crate::target::{Opened, Target, TargetArgs, unreadable};

/// Which journal, and how to print what was found.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArgs,
    /// First mend the journal's end: an unfinished record is moved to a file beside its segment.
    /// Deletes nothing; damaged lines stay where they are, and readers step over them
    #[arg(long)]
    repair: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
    records: u64,
    valid: u64,
    unchecked: u64,
    damaged: u64,
    torn_bytes: u64,
    gaps: Vec<Range>,
    duplicates: u64,
}

#[derive(Serialize)]
struct Range {
    from: u64,
    to: u64,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let target = arguments.target.resolve()?;
    let opened = target.open(&Interrupt::default())?;
    if arguments.repair {
        repair(&target, console)?;
    }
    let spinner = console.clone().with_spinner("checking");
    let checked = match opened {
        Opened::Journal(journal) => journal.reader.verify().map(|found| {
            spinner.finish();
            tell_damages(&found, console);
            (Summary::from(&found), found.is_clean())
        }),
        #[cfg(feature = "redis")]
        Opened::Stream(reader) => reader.verify().map(|found| {
            spinner.finish();
            tell_entries(&found, console);
            (Summary::from(&found), found.is_clean())
        }),
    };
    spinner.finish();
    let (summary, is_clean) = checked.map_err(unreadable)?;
    let mut output = Output::new();
    if arguments.json {
        output.json(&summary)?;
    } else {
        output.text(&table(&summary, is_clean))?;
        output.flush()?;
    }
    Ok(Exit::damage_if(!is_clean))
}

impl From<&Verification> for Summary {
    fn from(found: &Verification) -> Self {
        let gaps = found.gaps.iter();
        Self {
            records: found.records,
            valid: found.valid,
            unchecked: found.unchecked,
            damaged: found.damaged,
            torn_bytes: found.torn_bytes,
            gaps: gaps.map(|gap| Range { from: gap.from.get(), to: gap.to.get() }).collect(),
            duplicates: found.duplicates,
        }
    }
}

/// A stream has neither torn ends nor duplicates: the server takes entries whole, and no
/// sequence twice.
#[cfg(feature = "redis")]
impl From<&StreamVerification> for Summary {
    fn from(found: &StreamVerification) -> Self {
        let gaps = found.gaps.iter();
        Self {
            records: found.records,
            valid: found.valid,
            unchecked: found.unchecked,
            damaged: found.damaged,
            torn_bytes: 0,
            gaps: gaps.map(|gap| Range { from: gap.start().get(), to: gap.end().get() }).collect(),
            duplicates: 0,
        }
    }
}

/// Whether there is a file in it that has a segment's number; if nobody can tell, opening will.
fn has_segments(directory: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(directory) else { return true };
    files.filter_map(Result::ok).any(|file| {
        let name = file.file_name();
        let number = name.as_encoded_bytes().split(|byte| *byte == b'.').next().unwrap_or_default();
        number.len() == 20 && number.iter().all(u8::is_ascii_digit)
    })
}

/// Does what opening for writing does, and no more.
fn repair(target: &Target, console: &Console) -> Result<(), Failure> {
    match target {
        // What opening makes, a lock, would be all that is a journal's.
        Target::Path(path) if path.is_dir() && !has_segments(path) => Ok(()),
        Target::Path(path) if path.is_dir() => {
            let journal = open_journal(path, JournalOptions::default())?;
            tell_recovery(journal.recovery(), console);
            Ok(())
        }
        _ => Err(Failure::usage(anyhow!(
            "--repair mends a journal's directory alone; of a plain file only its owner knows what \
             belongs there"
        ))),
    }
}

/// Tells the damages by their places: the first ten.
fn tell_damages(found: &Verification, console: &Console) {
    let mut troubles = Troubles::default();
    for damage in &found.damages {
        let file = damage.file.display();
        let (offset, length, reason) = (damage.offset, damage.length, &damage.reason);
        troubles.add(console, format_args!("{file}: byte {offset}, {length} bytes: {reason}"));
    }
    troubles.add_untold(found.damaged.saturating_sub(found.damages.len() as u64));
    troubles.finish(console, "damaged lines");
}

/// Tells the entries of a stream that are no records: the first ten.
#[cfg(feature = "redis")]
fn tell_entries(found: &StreamVerification, console: &Console) {
    let mut troubles = Troubles::default();
    for damage in &found.damages {
        troubles.add(console, format_args!("entry {}: {}", damage.id, damage.reason));
    }
    troubles.add_untold(found.damaged.saturating_sub(found.damages.len() as u64));
    troubles.finish(console, "entries that are no records");
}

fn table(found: &Summary, is_clean: bool) -> String {
    let missing: u64 = found.gaps.iter().map(|gap| gap.to - gap.from + 1).sum();
    let rows = [
        ("records", found.records, ""),
        ("valid", found.valid, "with the right checksum"),
        ("unchecked", found.unchecked, "without a checksum"),
        ("damaged", found.damaged, "lines that are no records"),
        ("torn bytes", found.torn_bytes, "at a segment's end, not written to their end"),
        ("missing", missing, "sequences between two that are there"),
        ("duplicates", found.duplicates, "records written more than once"),
    ];
    let mut text = String::new();
    for (name, count, meaning) in rows {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<11} {:>12}  {meaning}", grouped(count));
    }
    let verdict = if !is_clean {
        "something is wrong"
    } else if found.records == 0 {
        // In what is not the journal that was meant nothing is wrong either.
        "there is no record"
    } else {
        "nothing is wrong"
    };
    let _ = writeln!(text, "{verdict}");
    text
}
