//! The `ringpost` command: publish, tail, verify and measure event journals.
//!
//! Parses the command line, runs one verb, and turns its end into an exit code.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod command;
mod console;
mod convert;
mod exit;
#[cfg(feature = "jq")]
mod expression;
#[cfg(not(feature = "jq"))]
#[path = "no_expression.rs"]
mod expression;
mod feed;
mod filter;
mod input;
mod interrupt;
mod journaling;
mod latency;
mod moment;
mod output;
mod pace;
mod plot;
mod publication;
mod recording;
mod repetition;
mod settings;
mod size;
mod taps;
mod target;
mod tune;
mod visible;
mod window;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Arguments;
use crate::console::Console;
use crate::exit::Exit;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help may be piped into a pager that is closed early: that is no failure.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let console = Console::new();
    match command::run(arguments.verb, &console) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if let Some(error) = failure.error {
                console.error(format_args!("{error:#}"));
            }
            failure.exit.into()
        }
    }
}
