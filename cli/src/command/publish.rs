//! `pub`: events from files or standard input, onto a bus, into a journal, past taps.
#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use ringpost::event::Event;
use ringpost::{Pattern, Shared};

use crate::console::{Console, Troubles};
use crate::exit::{Exit, Failure};
use crate::feed::{Chunk, Fed, Feed, Source};
use crate::input::{AsData, Item, Rejection};
use crate::interrupt::Interrupt;
use crate::moment::parse_duration;
use crate::output::Output;
use crate::publication::{Finished, Plan, Publication, Sent};
use crate::repetition::{By, Repetitions, Window};
use crate::settings::{Settings, WritingArgs};

/// What to publish, and where to.
#[derive(Args, Debug)]
#[command(after_help = "\
A file that begins with `[` is one array of events; otherwise each line is an event, or an array of
events. A line that is no event is counted and told, and the run exits with 4 at its end.

Latencies run from the publish to its handling by a tap or by the journal, each of which counts.")]
pub(crate) struct Arguments {
    /// Files of CloudEvents JSON, or `-`; standard input if there is none
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Store the events here: a directory or `jsonl:DIR`, `redis://HOST/DB?stream=KEY`, or
    /// `memory:` [env: RINGPOST_JOURNAL]
    #[arg(long, value_name = "TARGET")]
    journal: Option<String>,
    #[command(flatten)]
    writing: WritingArgs,
    /// Print the events whose topic matches; repeatable, and an event is printed once for each
    /// match. With --json they are only counted
    #[arg(long = "tap", value_name = "PATTERN")]
    taps: Vec<Pattern>,
    /// Publish objects that are no CloudEvents as the data of events of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// The source of the events that --type makes
    #[arg(long, value_name = "URI", default_value = "ringpost:pub", requires = "kind")]
    source: String,
    /// Stop at the first line that is no event, with exit code 1
    #[arg(long)]
    strict: bool,
    /// Leave out events whose source and id were seen among the last N different ones, or within
    /// so much time before (`10000`, `2m`); what the journal's end holds of that was seen too. They
    /// are counted as `deduplicated`
    #[arg(long, value_name = "WINDOW")]
    dedup: Option<Window>,
    /// How long to wait for the journal at the end, and while it fails
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    patience: Duration,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

/// How often a run that waits for input looks whether it was asked to end.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: Arguments, console: &Console) -> Result<Exit, Failure> {
    let json = arguments.json;
    let as_data = match arguments.kind {
        None => None,
        Some(kind) => Some(checked(AsData { kind, source: arguments.source })?),
    };
    let journal = Settings::load()?.journal(arguments.journal.as_deref(), &arguments.writing)?;
    let sources = Source::all(&arguments.files)?;
    let interrupt = Interrupt::install()?;
    let prints = !json && !arguments.taps.is_empty();
    let repetitions = arguments.dedup.map(|window| Repetitions::new(window, By::Arrival));
    let (taps, patience) = (arguments.taps, arguments.patience);
    let plan = Plan { journal, taps, prints, patience, repetitions };
    let publication = Publication::start(plan, interrupt.clone(), console)?;
    let mut feed = Feed::start(sources, as_data)?;
    // A bar among events on the same terminal would tear both.
    let console = match prints && stdout().is_terminal() {
        true => console.clone(),
        false => console.clone().with_progress(feed.total),
    };
    let mut run = Run {
        publication,
        console: console.clone(),
        interrupt,
        strict: arguments.strict,
        rejected: Troubles::default(),
    };
    let ended = run.all(&mut feed);
    console.finish();
    run.rejected.finish(&console, "lines that are no events");
    let Finished { summary, failure, damaged } = run.publication.finish(run.rejected.count())?;
    if let Some(Failure { error: None, .. }) = failure {
        return Err(Failure::closed_pipe());
    }
    if json {
        Output::new().json(&summary)?;
    } else {
        summary.tell(&console);
    }
    ended?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(Exit::damage_if(damaged)),
    }
}

/// Refuses a type or source that no event can have before anything is read.
fn checked(as_data: AsData) -> Result<AsData, Failure> {
    let trial = Event::builder(&as_data.kind).source(&as_data.source).build();
    match trial {
        Ok(_) => Ok(as_data),
        Err(error) => Err(Failure::usage(anyhow!("no event can be made as asked: {error}"))),
    }
}

struct Run {
    publication: Publication,
    console: Console,
    interrupt: Interrupt,
    strict: bool,
    rejected: Troubles,
}

impl Run {
    fn all(&mut self, feed: &mut Feed<Event>) -> Result<(), Failure> {
        while !self.interrupt.is_set() {
            match feed.next(LOOK) {
                Fed::Chunk(chunk) => self.chunk(chunk)?,
                Fed::Nothing => {}
                Fed::Failed(error) => return Err(error.into()),
                Fed::End => break,
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk<Event>) -> Result<(), Failure> {
        for item in chunk.items {
            if self.interrupt.is_set() {
                break;
            }
            match item {
                Item::Event(event, place) => match self.publication.publish(Shared::new(event))? {
                    Sent::Published | Sent::Repeated | Sent::Interrupted => {}
                    Sent::Rejected(reason) => self.reject(&place.reject(reason))?,
                },
                Item::Rejected(rejection) => self.reject(&rejection)?,
            }
        }
        let publication = &self.publication;
        self.console.progress(chunk.bytes, || publication.progress());
        Ok(())
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
