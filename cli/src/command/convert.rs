//! `convert`: events of one JSON form into another.
#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use ringpost::event::Timestamp;

use crate::console::{Console, Troubles, grouped};
use crate::convert::{Decoder, Encoder, Envelope, From, Losses, To};
use crate::exit::{Exit, Failure};
use crate::feed::{Chunk, Fed, Feed, Source};
use crate::input::{Item, Rejection};
use crate::interrupt::Interrupt;
use crate::output::Output;

/// What to convert, and into what.
#[derive(Args, Debug)]
#[command(after_help = "\
A file that begins with `[` is one array of events; otherwise each line is an event, or an array of
events. A line that is no event is counted and told, and the run exits with 4 at its end.

Payloads that are JSON stay as they are, byte for byte. What the target has no place for is counted
and told at the end; with --strict it ends the run.")]
pub(crate) struct Arguments {
    /// Files of events, or `-`; standard input if there is none
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the input is
    #[arg(long, value_name = "FORM", value_enum, default_value = "auto")]
    from: From,
    /// What to write
    #[arg(long, value_name = "FORM", value_enum)]
    to: To,
    /// The offset of input times that have none: `Z`, or `+hh:mm`
    #[arg(long, value_name = "OFFSET", default_value = "Z", value_parser = zone)]
    #[arg(allow_hyphen_values = true)]
    naive_tz: String,
    /// Stop at the first line that is no event, or that would lose something, with exit code 1
    #[arg(long)]
    strict: bool,
}

/// How often a run that waits for input looks whether it was asked to end.
const LOOK: Duration = Duration::from_millis(100);

fn zone(text: &str) -> Result<String, String> {
    match Timestamp::parse(&format!("2000-01-01T00:00:00{text}")) {
        Ok(_) if !text.starts_with('.') => Ok(text.to_owned()),
        _ => Err("no offset as in RFC 3339: `Z`, `+02:00`, `-05:30`".into()),
    }
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let sources = Source::all(&arguments.files)?;
    let interrupt = Interrupt::install()?;
    let decoder = Decoder::new(arguments.from, arguments.naive_tz.clone());
    let mut feed = Feed::start(sources, decoder)?;
    // A bar among events on the same terminal would tear both.
    let console = match stdout().is_terminal() {
        true => console.clone(),
        false => console.clone().with_progress(feed.total),
    };
    let mut run = Run {
        encoder: Encoder::new(arguments.to),
        output: Output::new(),
        to: arguments.to,
        line: Vec::new(),
        written: 0,
        console: console.clone(),
        interrupt,
        strict: arguments.strict,
        rejected: Troubles::default(),
        losses: Losses::default(),
    };
    let ended = run.all(&mut feed);
    console.finish();
    if let Err(Failure { error: None, .. }) = ended {
        return ended.map(|()| Exit::Done);
    }
    // What was written before a failure is whole, too.
    let closed = run.close();
    run.rejected.finish(&console, "lines that are no events");
    run.losses.tell(arguments.to.name(), &console);
    ended?;
    closed?;
    Ok(Exit::damage_if(run.rejected.count() > 0))
}

struct Run {
    encoder: Encoder,
    output: Output,
    to: To,
    line: Vec<u8>,
    written: u64,
    console: Console,
    interrupt: Interrupt,
    strict: bool,
    rejected: Troubles,
    losses: Losses,
}

impl Run {
    fn all(&mut self, feed: &mut Feed<Envelope>) -> Result<(), Failure> {
        while !self.interrupt.is_set() {
            match feed.next(LOOK) {
                Fed::Chunk(chunk) => self.chunk(chunk)?,
                Fed::Nothing => {
                    self.output.flush()?;
                    self.output.check()?;
                }
                Fed::Failed(error) => return Err(error.into()),
                Fed::End => break,
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk<Envelope>) -> Result<(), Failure> {
        for item in chunk.items {
            if self.interrupt.is_set() {
                break;
            }
            match item {
                Item::Event(envelope, place) => {
                    self.line.clear();
                    let lost = self.encoder.encode(&envelope, &mut self.line)?;
                    if self.strict && !lost.is_empty() {
                        let target = self.to.name();
                        let reason = format!("{target} has no place for {}", lost.join(", "));
                        let at = place.reject(reason);
                        return Err(anyhow!("stopped as --strict asks: {at}").into());
                    }
                    self.losses.add(lost);
                    self.write()?;
                }
                Item::Rejected(rejection) => self.reject(&rejection)?,
            }
        }
        let written = self.written;
        self.console.progress(chunk.bytes, || format!("{} events", grouped(written)));
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        if self.to == To::Batch {
            self.output.put(if self.written == 0 { b"[" } else { b"," })?;
        }
        self.written += 1;
        self.output.event(&self.line)
    }

    /// Ends what was begun.
    fn close(&mut self) -> Result<(), Failure> {
        if self.to == To::Batch {
            self.output.put(if self.written == 0 { b"[]\n" } else { b"]\n" })?;
        }
        self.output.flush()
    }

    fn reject(&mut self, rejection: &Rejection) -> Result<(), Failure> {
        self.rejected.add(&self.console, rejection);
        if self.strict {
            return Err(
                anyhow!("stopped at the first line that is no event, as --strict asks").into()
            );
        }
        Ok(())
    }
}
