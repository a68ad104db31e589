//! `bench`: throughput and latency of publishers and subscribers on this machine.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use ringpost::{Bus, EventBus, Overflow, Wait};

use crate::bench::curve::{Curve, Point, Summary};
use crate::bench::{Boxed, Inline, Load, Measured, Runner, Sweep, Trial, measure};
use crate::console::{Console, grouped};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::journaling::Ready;
use crate::latency::Quantiles;
use crate::moment::parse_duration;
use crate::output::Output;
use crate::settings::{JournalSettings, Settings, WritingArgs};

/// What to measure.
#[derive(Args, Debug)]
#[command(after_help = "\
Every subscriber gets every message. Without --rate publishers go as fast as the bus takes it, and
one publish in 32 is timed; with it, messages are due at fixed times and latencies count from those,
so that a stall cannot hide itself (no coordinated omission). A publish of a batch counts with each
message's share.

With --journal the messages are events, and the journal is part of what is measured. It is written
only if it is named here: RINGPOST_JOURNAL does not send a bench into a journal in use.

--sweep measures once for each value, each time on a new bus and for as long as --seconds says.
What a size loses shows with --overflow drop-oldest or drop-newest alone, best with a --rate that
the subscribers can nearly bear: block makes publishers wait instead.")]
pub(crate) struct Arguments {
    /// Threads that publish
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    publishers: usize,
    /// Subscribers, each with a mailbox
    #[arg(long, value_name = "N", default_value_t = 1)]
    subscribers: usize,
    /// Topics, published to in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    topics: usize,
    /// Messages that may wait for a subscriber
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    mailbox: usize,
    /// Slots of the bus's ring
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = at_least_one)]
    ring: usize,
    /// Messages published at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    batch: usize,
    /// What a full mailbox does: drop-oldest, drop-newest, block[:T], disconnect
    #[arg(long, value_name = "POLICY", default_value = "block", value_parser = parse_overflow)]
    overflow: Overflow,
    /// How a subscriber's thread waits (with --executor threads)
    #[arg(long, value_enum)]
    wait: Option<Waiting>,
    /// On what subscribers run
    #[arg(long, value_enum, default_value_t = Executing::Workers)]
    executor: Executing,
    /// Bytes of a message: up to 16 and up to 64 travel inline, more behind a pointer
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    message_bytes: usize,
    /// Messages a second, of all publishers together (an open loop)
    #[arg(long, value_name = "N", value_parser = positive)]
    rate: Option<f64>,
    /// How long to publish
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = positive)]
    seconds: f64,
    /// Publish events, and store them here: a directory of its own, or `memory:`
    #[arg(long, value_name = "TARGET")]
    journal: Option<String>,
    #[command(flatten)]
    writing: WritingArgs,
    /// Measure once for each value of mailbox, batch, subscribers or publishers: a range that
    /// doubles (mailbox=64..65536) or a list (mailbox=64,256,1024)
    #[arg(long, value_name = "WHAT=VALUES")]
    sweep: Option<Sweep>,
    /// Draw the sweep's curves of throughput, latency and loss into this file, as SVG
    #[arg(long, value_name = "FILE", requires = "sweep")]
    svg: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Executing {
    /// The bus's pool of workers
    Workers,
    /// Tasks of a tokio runtime
    Tokio,
    /// A thread for each
    Threads,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Waiting {
    /// Never sleeps
    Spin,
    /// Looks for as long as a wake-up takes, then sleeps
    SpinThenPark,
    /// Sleeps
    Park,
}

fn at_least_one(text: &str) -> anyhow::Result<usize> {
    match text.parse() {
        Ok(number @ 1..=0x8000_0000) => Ok(number),
        Ok(_) => bail!("it is 1 to 2,147,483,648"),
        Err(error) => Err(anyhow::Error::from(error)),
    }
}

fn positive(text: &str) -> anyhow::Result<f64> {
    match f64::from_str(text)? {
        number if number > 0.0 && number <= 1e9 => Ok(number),
        _ => bail!("it is more than 0 and at most a billion"),
    }
}

fn parse_overflow(text: &str) -> anyhow::Result<Overflow> {
    Ok(match text.split_once(':') {
        None if text == "drop-oldest" => Overflow::DropOldest,
        None if text == "drop-newest" => Overflow::DropNewest,
        None if text == "block" => Overflow::block(),
        None if text == "disconnect" => Overflow::Disconnect,
        Some(("block", time)) => Overflow::Block { timeout: parse_duration(time)? },
        _ => bail!("it is drop-oldest, drop-newest, block, block:TIME (500ms) or disconnect"),
    })
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    if arguments.wait.is_some() && arguments.executor != Executing::Threads {
        console.warn("--wait concerns --executor threads alone");
    }
    let wait = match arguments.wait {
        Some(Waiting::Spin) => Wait::Spin,
        Some(Waiting::Park) => Wait::Park,
        Some(Waiting::SpinThenPark) | None => Wait::SpinThenPark,
    };
    let trial = Trial {
        publishers: arguments.publishers,
        subscribers: arguments.subscribers,
        topics: arguments.topics,
        mailbox: arguments.mailbox,
        ring: arguments.ring,
        batch: arguments.batch,
        bytes: arguments.message_bytes,
        overflow: arguments.overflow,
        runner: match arguments.executor {
            Executing::Workers => Runner::Workers,
            Executing::Tokio => Runner::Tokio,
            Executing::Threads => Runner::Threads(wait),
        },
        rate: arguments.rate,
        duration: Duration::from_secs_f64(arguments.seconds),
    };
    let journal = match &arguments.journal {
        Some(place) => Settings::load()?.journal(Some(place), &arguments.writing)?,
        None => None,
    };
    let interrupt = Interrupt::install()?;
    match &arguments.sweep {
        Some(sweep) => run_sweep(arguments, sweep, &trial, journal, &interrupt, console),
        None => {
            let (measured, journaled) = run_one(&trial, journal, &interrupt, console)?;
            let summary = Summary::of(&measured);
            let mut output = Output::new();
            if arguments.json {
                output.json(&summary)?;
            } else {
                output.text(&table(&summary, &measured, journaled))?;
                output.flush()?;
            }
            Ok(Exit::damage_if(!measured.wrong.is_empty()))
        }
    }
}

/// One measurement, with what its journal stored.
fn run_one(
    trial: &Trial,
    journal: Option<JournalSettings>,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<(Measured, Option<u64>), Failure> {
    let millis = u64::try_from(trial.duration.as_millis()).unwrap_or(u64::MAX);
    let console = console.clone().with_progress(Some(millis));
    let measured = match journal {
        Some(settings) => with_journal(trial, settings, interrupt, &console),
        None if trial.bytes <= 16 => on_bus::<Inline<0>>(trial, interrupt, &console)
            .map(|it| (it, None))
            .map_err(Failure::from),
        None if trial.bytes <= 64 => on_bus::<Inline<6>>(trial, interrupt, &console)
            .map(|it| (it, None))
            .map_err(Failure::from),
        None => {
            on_bus::<Boxed>(trial, interrupt, &console).map(|it| (it, None)).map_err(Failure::from)
        }
    };
    console.finish();
    let measured = measured?;
    for wrong in &measured.0.wrong {
        console.error(format_args!("the account does not balance: {wrong}"));
    }
    Ok(measured)
}

/// A measurement for each value; ends early, with what there is, when it is interrupted.
fn run_sweep(
    arguments: &Arguments,
    sweep: &Sweep,
    trial: &Trial,
    journal: Option<JournalSettings>,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Exit, Failure> {
    let setting = sweep.setting;
    let mut output = Output::new();
    let mut curve = Curve { setting, points: Vec::new() };
    let mut wrong = false;
    if !arguments.json {
        output.text(&curve.head())?;
    }
    for &value in &sweep.values {
        let trial = setting.set(trial, value);
        let (measured, _) = run_one(&trial, journal.clone(), interrupt, console)?;
        wrong |= !measured.wrong.is_empty();
        let point = Point { value, summary: Summary::of(&measured) };
        if !arguments.json {
            output.text(&point.row())?;
            output.flush()?;
        }
        curve.points.push(point);
        if interrupt.is_set() {
            break;
        }
    }
    if let Some(file) = &arguments.svg {
        curve.plot().write(file)?;
    }
    match arguments.json {
        true => output.json(&curve)?,
        false => {
            let verdict = if wrong { "an account does not balance" } else { ACCOUNTED };
            output.text(&format!("\n{verdict}\n"))?;
            output.flush()?;
        }
    }
    Ok(Exit::damage_if(wrong))
}

fn on_bus<M: Load>(
    trial: &Trial,
    interrupt: &Interrupt,
    console: &Console,
) -> anyhow::Result<Measured> {
    let bus = Bus::<M>::builder().ring(trial.ring).recent(0).build();
    measure(trial, &bus, interrupt, console)
}

fn with_journal(
    trial: &Trial,
    settings: JournalSettings,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<(Measured, Option<u64>), Failure> {
    let ready = Ready::open(settings, console)?;
    let builder = EventBus::builder().ring(trial.ring).recent(0).start(ready.next_sequence());
    let bus = builder.build();
    let journaling = ready.start(&bus, console)?;
    let mut measured = measure(trial, &bus, interrupt, console)?;
    let journaled = journaling.finish(Duration::from_secs(10));
    if let Some(cause) = journaled.unfinished {
        return Err(anyhow!("the journal did not take everything: {cause}").into());
    }
    if journaled.count != measured.published {
        let (count, published) = (grouped(journaled.count), grouped(measured.published));
        measured.wrong.push(format!("journaled: {count} is not {published}"));
    }
    Ok((measured, Some(journaled.count)))
}

const ACCOUNTED: &str = "every message is accounted for";

fn table(summary: &Summary, measured: &Measured, journaled: Option<u64>) -> String {
    let mut text = String::new();
    let mut count = |name: &str, count: u64, rate: Option<f64>| {
        let rate = rate.map_or_else(String::new, |rate| format!("{:>14}/s", grouped(rate as u64)));
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<10} {:>16} {rate}", grouped(count));
    };
    count("published", summary.published, Some(summary.events_per_s));
    count("delivered", summary.delivered, Some(summary.deliveries_per_s));
    count("dropped", summary.dropped, None);
    if let Some(journaled) = journaled {
        count("journaled", journaled, None);
    }
    let _ = writeln!(text, "{:<10} {:>14.2} s", "elapsed", measured.elapsed.as_secs_f64());
    let _ =
        writeln!(text, "\n{:<10} {:>12} {:>12} {:>12} {:>12}", "ns", "p50", "p99", "p99.9", "max");
    for (name, quantiles) in [("publish", summary.publish_ns), ("latency", summary.latency_ns)] {
        if let Some(Quantiles { p50, p99, p999, max }) = quantiles {
            let [p50, p99, p999, max] = [p50, p99, p999, max].map(|value| grouped(value as u64));
            let _ = writeln!(text, "{name:<10} {p50:>12} {p99:>12} {p999:>12} {max:>12}");
        }
    }
    let verdict = match measured.wrong.is_empty() {
        true => ACCOUNTED,
        false => "the account does not balance",
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}
