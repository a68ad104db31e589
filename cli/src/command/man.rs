//! `man`: the manual, as pages for `man(1)`.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Which page, and where to.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The verb whose page to print; without one the page of the whole command
    verb: Option<String>,
    /// Write all pages into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut command = crate::args::Arguments::command();
    command.build();
    if let Some(dir) = &arguments.dir {
        let write = |command: Command| -> anyhow::Result<()> {
            let page = Man::new(command);
            let path = dir.join(page.get_filename());
            fs::write(&path, render(&page)?)
                .with_context(|| format!("cannot write the page {}", path.display()))
        };
        fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        for verb in command.get_subcommands() {
            write(verb.clone())?;
        }
        write(command)?;
        return Ok(Exit::Done);
    }
    let page = match &arguments.verb {
        None => Man::new(command),
        Some(name) => match command.find_subcommand(name) {
            Some(verb) => Man::new(verb.clone()),
            None => return Err(Failure::usage(anyhow!("there is no verb `{name}`"))),
        },
    };
    let mut output = Output::new();
    output.put(&render(&page)?)?;
    output.flush()?;
    Ok(Exit::Done)
}

fn render(page: &Man) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render(&mut text).context("cannot write the manual")?;
    Ok(text)
}
