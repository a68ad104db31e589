//! The verbs, one a file: each parses nothing, runs, and says how it ended.
#![forbid(unsafe_code)]

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod consumers;
pub(crate) mod convert;
pub(crate) mod explain;
pub(crate) mod man;
pub(crate) mod publish;
pub(crate) mod query;
pub(crate) mod replay;
pub(crate) mod stats;
pub(crate) mod tail;
pub(crate) mod tune;
pub(crate) mod verify;

use crate::args::Verb;
use crate::console::Console;
use crate::exit::{Exit, Failure};

/// Runs a verb.
pub(crate) fn run(verb: Verb, console: &Console) -> Result<Exit, Failure> {
    match verb {
        Verb::Pub(arguments) => publish::run(arguments, console),
        Verb::Tail(arguments) => tail::run(&arguments, console),
        Verb::Query(arguments) => query::run(&arguments, console),
        Verb::Replay(arguments) => replay::run(arguments, console),
        Verb::Stats(arguments) => stats::run(&arguments, console),
        Verb::Verify(arguments) => verify::run(&arguments, console),
        Verb::Consumers(arguments) => consumers::run(&arguments, console),
        Verb::Convert(arguments) => convert::run(&arguments, console),
        Verb::Bench(arguments) => bench::run(&arguments, console),
        Verb::Tune(arguments) => tune::run(&arguments, console),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    }
}
