//! The command line as a whole: its verbs, in one place.
//!
//! Each verb's own arguments are a plain struct beside the verb; parsing happens once, here.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};

use crate::command::{
    bench, completions, consumers, convert, explain, man, publish, query, replay, stats, tail,
    tune, verify,
};

/// Publish, store, read and measure events.
#[derive(Debug, Parser)]
#[command(
    name = "ringpost",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = AFTER
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 nothing found, or no match;
4 damage or loss was found and reported; 130 a second interrupt.

Settings: a flag, else the environment (RINGPOST_JOURNAL, RINGPOST_FSYNC, RINGPOST_SEGMENT_BYTES),
else ringpost.toml in the current directory (or the file that RINGPOST_CONFIG names; its keys are
journal, fsync, segment_bytes), else the default.

Data goes to standard output, everything else to standard error.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Publish events from files or standard input, and store them in a journal
    Pub(publish::Arguments),
    /// Print the last events of a journal, then follow it
    Tail(tail::Arguments),
    /// Find events in a journal, count them, group them
    Query(query::Arguments),
    /// Publish what a journal holds once more, at its own pace or another
    Replay(replay::Arguments),
    /// Count what is in a journal
    Stats(stats::Arguments),
    /// Check every record of a journal; changes nothing unless told to
    Verify(verify::Arguments),
    /// Show and move the durable consumers of a journal
    Consumers(consumers::Arguments),
    /// Turn events from one JSON form into another
    Convert(convert::Arguments),
    /// Measure throughput and latency on this machine
    Bench(bench::Arguments),
    /// Say how large a mailbox should be, from recorded arrivals
    Tune(tune::Arguments),
    /// Say whether and why a pattern matches a topic
    Explain(explain::Arguments),
    /// Print a shell's completions
    Completions(completions::Arguments),
    /// Print the manual page
    Man(man::Arguments),
}
