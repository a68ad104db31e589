//! `tail`: the last events of a journal, and those that come.
#![forbid(unsafe_code)]

#[cfg(feature = "redis")]
mod stream;

use std::io;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use ringpost::Sequence;
use ringpost::event::Timestamp;
use ringpost::event::json::{Limits, decode_record};
use ringpost::store::journal::query::Selection;
use ringpost::store::journal::{Follow, Start};

use crate::console::{Console, Troubles};
use crate::exit::{Exit, Failure};
use crate::filter::Filter;
use crate::input::OneLine;
use crate::interrupt::Interrupt;
use crate::moment::parse_moment;
use crate::output::Output;
use crate::target::{Opened, OpenedJournal, Target, TargetArgs, tell_damage, unreadable};
use crate::window::Window;

/// What to print, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArgs,
    /// How many of the last events to print; 100 unless set
    #[arg(short = 'n', long = "last", value_name = "N")]
    count: Option<usize>,
    /// Where to begin: last, first, new, seq:N, time:T, or how long ago (-5m)
    #[arg(long, value_name = "WHERE", default_value = "last", allow_hyphen_values = true)]
    from: From,
    /// End at the journal's present end
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Last,
    First,
    New,
    Sequence(Sequence),
    Time(Timestamp),
}

impl FromStr for From {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last" => return Ok(Self::Last),
            "first" => return Ok(Self::First),
            "new" => return Ok(Self::New),
            _ => {}
        }
        if let Some(number) = text.strip_prefix("seq:") {
            let number = number.parse().ok().filter(|number| *number < Sequence::LIMIT);
            let number =
                number.ok_or_else(|| anyhow!("`{text}` is no sequence: write seq:1234"))?;
            return Ok(Self::Sequence(Sequence::new(number)));
        }
        let time = text.strip_prefix("time:").unwrap_or(text);
        parse_moment(time, Timestamp::now())
            .map(Self::Time)
            .map_err(|error| anyhow!("{error}; or last, first, new, seq:N"))
    }
}

/// How many of the last events are printed.
const COUNT: usize = 100;
/// How often a journal is asked for more, even if nothing tells that there is some.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    if arguments.count.is_some() && arguments.from != From::Last {
        return Err(Failure::usage(anyhow!(
            "-n counts from the end and goes with --from last alone"
        )));
    }
    let target = arguments.target.resolve()?;
    let interrupt = Interrupt::install()?;
    let mut wanted = arguments.filter.selection();
    if let From::Time(time) = arguments.from {
        wanted = wanted.since(time);
    }
    let printer = Printer { output: Output::new(), wanted, missed: false };
    let count = match arguments.from {
        From::Last => Some(arguments.count.unwrap_or(COUNT)),
        _ => None,
    };
    match target {
        Target::Stdin => lines(printer, arguments.from, count, &interrupt, console),
        target => {
            let follows = !arguments.no_follow;
            match target.open(&interrupt)? {
                Opened::Journal(opened) => {
                    journal(printer, &opened, arguments.from, count, follows, &interrupt, console)
                }
                #[cfg(feature = "redis")]
                Opened::Stream(reader) => {
                    let tail = stream::Tail { printer, reader, interrupt, console };
                    tail.run(arguments.from, count, follows)
                }
            }
        }
    }
}

struct Printer {
    output: Output,
    wanted: Selection,
    /// Whether something was removed before it could be read.
    missed: bool,
}

fn journal(
    mut printer: Printer,
    opened: &OpenedJournal,
    from: From,
    count: Option<usize>,
    follows: bool,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Exit, Failure> {
    let reader = &opened.reader;
    let (mut damaged, mut first_damage) = (0, None);
    let mut watch = reader.watch();
    let start = match from {
        From::Last => {
            let count = count.unwrap_or(COUNT);
            let window = Window::of(reader, &printer.wanted, count, interrupt);
            let window = window.map_err(unreadable)?;
            for line in &window.lines {
                printer.output.event(line)?;
            }
            (damaged, first_damage) = (window.damaged, window.first_damage);
            window.end
        }
        From::First => Start::First,
        From::Time(time) => Start::Time(time),
        From::New => Start::End,
        From::Sequence(sequence) => Start::Sequence(sequence),
    };
    let mut follow = reader.follow(start).map_err(unreadable)?;
    loop {
        printer.print_new(&mut follow, interrupt, console)?;
        printer.output.flush()?;
        if !follows || interrupt.is_set() {
            break;
        }
        watch.wait(POLL);
        printer.output.check()?;
    }
    damaged += follow.damaged();
    let first_damage = first_damage.as_ref().or(follow.first_damage());
    let is_damaged = tell_damage(damaged, first_damage, console);
    Ok(Exit::damage_if(is_damaged || printer.missed))
}

impl Printer {
    /// Prints what there is.
    fn print_new(
        &mut self,
        follow: &mut Follow,
        interrupt: &Interrupt,
        console: &Console,
    ) -> Result<(), Failure> {
        let mut seen = 0_u32;
        while let Some(entry) = follow.poll().map_err(unreadable)? {
            if let Some(missing) = entry.missing {
                self.missed = true;
                console.warn(format_args!(
                    "events {} to {} are not in the journal any more: they were removed before \
                     they could be read",
                    missing.from, missing.to
                ));
            }
            if self.wanted.admits(&entry.line) {
                self.output.event(&entry.line)?;
            }
            seen += 1;
            if seen.is_multiple_of(1024) && interrupt.is_set() {
                break;
            }
        }
        Ok(())
    }
}

/// Standard input: its events as they come, or its last ones when it ends.
fn lines(
    mut printer: Printer,
    from: From,
    count: Option<usize>,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Exit, Failure> {
    let lines = read_lines()?;
    let mut window = Window::default();
    let mut damaged = Troubles::default();
    let mut number = 0_u64;
    while !interrupt.is_set() {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(_) => {
                printer.output.flush()?;
                match lines.recv_timeout(POLL) {
                    Ok(line) => line,
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        printer.output.check()?;
                        continue;
                    }
                }
            }
        };
        let line = line.context("cannot read standard input")?;
        number += 1;
        let record = match line.as_deref().map(|line| decode_record(line, &Limits::default())) {
            Some(_) if line.as_deref().is_some_and(|line| line.trim_ascii().is_empty()) => continue,
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                damaged.add(console, format_args!("<stdin>:{number}: {error}"));
                continue;
            }
            None => {
                damaged.add(console, format_args!("<stdin>:{number}: larger than an event may be"));
                continue;
            }
        };
        let line = line.unwrap_or_default();
        let before = match from {
            From::Sequence(sequence) => record.sequence < Some(sequence),
            _ => false,
        };
        if before || !printer.wanted.admits(&line) {
            continue;
        }
        match count {
            Some(count) => window.push(line, count),
            None => printer.output.event(&line)?,
        }
    }
    for line in &window.lines {
        printer.output.event(line)?;
    }
    printer.output.flush()?;
    damaged.finish(console, "damaged lines");
    Ok(Exit::damage_if(damaged.count() > 0))
}

type Lines = Receiver<io::Result<Option<Vec<u8>>>>;

/// Reads standard input on a thread of its own, so that a signal ends the wait for it; nothing
/// stands for a line that is larger than an event may be.
fn read_lines() -> anyhow::Result<Lines> {
    let (sender, lines) = sync_channel(1024);
    let read = move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut text = Vec::new();
            let mut line = OneLine::new(&mut stdin);
            let read = line.read_whole(&mut text);
            if text.is_empty() && line.is_at_end() {
                return;
            }
            let failed = read.is_err();
            if sender.send(read.map(|fits| fits.then_some(text))).is_err() || failed {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("ringpost-input".into());
    thread.spawn(read).context("cannot start the thread that reads standard input")?;
    Ok(lines)
}
