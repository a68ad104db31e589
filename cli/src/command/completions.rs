//! `completions`: what a shell needs to complete our command lines.
#![forbid(unsafe_code)]

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// For which shell.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    let mut command = crate::args::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "ringpost", &mut script);
    let mut output = Output::new();
    output.put(&script)?;
    output.flush()?;
    Ok(Exit::Done)
}
