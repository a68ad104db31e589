//! `replay`: a journal's events onto a bus once more, in their order and at a chosen pace.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{IsTerminal as _, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use ringpost::Pattern;
use ringpost::event::Event;
use ringpost::store::StoreUrl;
use ringpost::store::journal::Damage;
use ringpost::store::journal::query::Query;

use crate::console::{Console, Troubles};
use crate::exit::{Exit, Failure};
use crate::filter::SearchFilter;
use crate::interrupt::Interrupt;
use crate::moment::parse_duration;
use crate::output::Output;
use crate::pace::{Clock, Pace, Speed};
use crate::publication::{Finished, Plan, Publication, Sent};
use crate::recording::{Chunk, Played, Recording};
use crate::repetition::{By, Repetitions, Window};
use crate::settings::{JournalSettings, Settings, WritingArgs};
use crate::target::{Target, tell_damage, tell_gone, unreadable};

/// What to publish once more, how fast, and where to.
#[derive(Args, Debug)]
#[command(after_help = "\
The events keep their id, source, type, subject, time and data, their order, and the intervals
between them. They get new sequences and a new recordedtime from the bus they are published on,
which goes on with the numbers of the journal that --journal names.

What is in the journal when the replay begins is replayed; what comes later is not. An event without
the time that the pace is taken from goes right after the one before it. Damaged lines are left out
and counted as rejected, and the run exits with 4 at its end; with 3 if no event matches.

Standard input and streams are copied to their end before the first event is published. An interrupt
before that ends the run with nothing published.

RINGPOST_JOURNAL and ringpost.toml name what is read, never what is written.")]
pub(crate) struct Arguments {
    /// A journal's directory, one `.jsonl` file, a stream (`redis://HOST/DB?stream=KEY`), or `-`
    /// for standard input [env: RINGPOST_JOURNAL]
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// How many times as fast as recorded, or `max` for no waiting
    #[arg(long, value_name = "X", default_value = "1")]
    speed: Speed,
    /// Which time of the events the intervals are taken from
    #[arg(long, value_name = "TIME", default_value = "recordedtime")]
    pace_by: Clock,
    /// End after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Store the events here, in another journal than the one that is read: a directory or
    /// `jsonl:DIR`, `redis://HOST/DB?stream=KEY`, or `memory:`
    #[arg(long, value_name = "OUT")]
    journal: Option<String>,
    #[command(flatten)]
    writing: WritingArgs,
    /// Print the events whose topic matches; repeatable, and an event is printed once for each
    /// match. With --json they are only counted
    #[arg(long = "tap", value_name = "PATTERN")]
    taps: Vec<Pattern>,
    /// Leave out events whose source and id were seen among the last N different ones, or within
    /// so much time before (`10000`, `2m`); time is measured by when they were recorded. What
    /// the end of the journal that is written holds was seen too, for a number of events. They are
    /// counted as `deduplicated`
    #[arg(long, value_name = "WINDOW")]
    dedup: Option<Window>,
    /// How long to wait for the journal at the end, and while it fails
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    patience: Duration,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: SearchFilter,
}

/// How often a run that waits for events looks whether it was asked to end.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: Arguments, console: &Console) -> Result<Exit, Failure> {
    let json = arguments.json;
    let target = Target::named(arguments.target.as_deref(), None)?;
    let journal = journal(&arguments)?;
    if let Some(journal) = &journal {
        refuse_itself(&target, &journal.place)?;
    }
    let mut query = Query::new(arguments.filter.selection()?).with_events();
    if let Some(limit) = arguments.limit {
        query = query.with_limit(limit);
    }
    let interrupt = Interrupt::install()?;
    // Standard input and streams are copied first.
    let opened = target.open(&interrupt)?.into_journal(&interrupt)?;
    if opened.is_cut() {
        console.warn("interrupted before everything was read: nothing is published");
    }
    let matches = opened.reader.query(query).map_err(unreadable)?;
    let prints = !json && !arguments.taps.is_empty();
    let repetitions = arguments.dedup.map(|window| Repetitions::new(window, By::Recorded));
    let (taps, patience) = (arguments.taps, arguments.patience);
    let plan = Plan { journal, taps, prints, patience, repetitions };
    let publication = Publication::start(plan, interrupt.clone(), console)?;
    let mut recording = Recording::start(matches)?;
    // A bar among events on the same terminal would tear both.
    let console = match prints && stdout().is_terminal() {
        true => console.clone(),
        false => console.clone().with_progress(Some(recording.total)),
    };
    let mut run = Run {
        publication,
        console: console.clone(),
        interrupt: interrupt.clone(),
        pace: Pace::new(arguments.speed),
        clock: arguments.pace_by,
        untimed: 0,
        rejected: Troubles::default(),
        damaged: 0,
        gone: 0,
        first_damage: None,
    };
    let ended = run.all(&mut recording);
    console.finish();
    run.tell(arguments.speed);
    run.rejected.add_untold(run.damaged);
    let gone = run.gone > 0;
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
        None if damaged || gone => Ok(Exit::Damage),
        None if summary.read == 0 && !interrupt.is_set() => Ok(Exit::Nothing),
        None => Ok(Exit::Done),
    }
}

/// Where the events are stored, if they are: by the flag alone.
fn journal(arguments: &Arguments) -> Result<Option<JournalSettings>, Failure> {
    match arguments.journal.as_deref() {
        None => Ok(None),
        named => Settings::load()?.journal(named, &arguments.writing),
    }
}

/// Refuses to write into what is read, which would double it.
fn refuse_itself(target: &Target, place: &StoreUrl) -> Result<(), Failure> {
    let read = match (target, place) {
        (Target::Path(read), StoreUrl::Journal(written)) if is_within(read, written) => {
            written.display().to_string()
        }
        #[cfg(feature = "redis")]
        // What is shown of a URL is the stream without the way into it.
        (Target::Stream(read), StoreUrl::Redis(written))
            if read.to_string() == written.to_string() =>
        {
            written.to_string()
        }
        _ => return Ok(()),
    };
    Err(Failure::usage(anyhow!(
        "cannot replay {read} into itself: every event would be in it twice; name another place by \
         --journal"
    )))
}

/// Whether `read` is the journal `written`, or a file in it.
fn is_within(read: &Path, written: &Path) -> bool {
    let found = |path: &Path| fs::canonicalize(path).ok();
    // What is not there yet is not read either.
    let (Some(read), Some(written)) = (found(read), found(written)) else { return false };
    read == written || read.parent().map(PathBuf::from) == Some(written)
}

struct Run {
    publication: Publication,
    console: Console,
    interrupt: Interrupt,
    pace: Pace,
    clock: Clock,
    /// Events without the time that the pace is taken from.
    untimed: u64,
    rejected: Troubles,
    damaged: u64,
    gone: u64,
    first_damage: Option<Damage>,
}

impl Run {
    fn all(&mut self, recording: &mut Recording) -> Result<(), Failure> {
        while !self.interrupt.is_set() {
            match recording.next(LOOK) {
                Played::Chunk(chunk) => self.chunk(chunk)?,
                Played::Nothing => {}
                Played::Failed(failure) => return Err(failure),
                Played::End => break,
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<(), Failure> {
        (self.damaged, self.first_damage) = (chunk.damaged, chunk.first_damage);
        self.gone = chunk.gone;
        let mut at_once = Vec::new();
        for event in chunk.events {
            match event {
                Ok(event) if self.pace.is_none() => at_once.push(event),
                Ok(event) => {
                    if self.wait(&event) {
                        break;
                    }
                    match self.publication.publish(event)? {
                        Sent::Published | Sent::Repeated | Sent::Interrupted => {}
                        Sent::Rejected(reason) => self.rejected.add(
                            &self.console,
                            format_args!("an event cannot be published: {reason}"),
                        ),
                    }
                }
                Err(reason) => {
                    let text = format_args!("a record cannot be read: {reason}");
                    self.rejected.add(&self.console, text);
                }
            }
        }
        let Self { publication, rejected, console, .. } = self;
        publication.publish_all(at_once, |reason| {
            rejected.add(console, format_args!("an event cannot be published: {reason}"));
        })?;
        let publication = &self.publication;
        self.console.progress(chunk.bytes, || publication.progress());
        Ok(())
    }

    /// Waits until it is the event's turn; whether the run was asked to end before that.
    fn wait(&mut self, event: &Event) -> bool {
        let Some(time) = self.clock.of(event) else {
            self.untimed += 1;
            return self.interrupt.is_set();
        };
        let wait = self.pace.wait(time, Instant::now());
        if wait.is_zero() { self.interrupt.is_set() } else { self.interrupt.wait(wait) }
    }

    /// Tells what was not as it should have been.
    fn tell(&self, speed: Speed) {
        self.rejected.finish(&self.console, "records that cannot be published");
        tell_damage(self.damaged, self.first_damage.as_ref(), &self.console);
        tell_gone(self.gone, &self.console);
        if self.untimed > 0 && speed != Speed::Max {
            let (name, other) = match self.clock {
                Clock::Recordedtime => ("recordedtime", "--pace-by time"),
                Clock::Time => ("time", "--pace-by recordedtime"),
            };
            self.console.warn(format_args!(
                "{} events have no {name} and went right after the one before them; see {other}",
                self.untimed
            ));
        }
    }
}
