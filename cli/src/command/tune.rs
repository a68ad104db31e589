//! `tune`: how large a mailbox should be, from recorded arrivals.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use crate::console::{Console, grouped};
use crate::exit::{Exit, Failure};
use crate::filter::Filter;
use crate::interrupt::Interrupt;
use crate::latency::Quantiles;
use crate::moment::parse_duration;
use crate::output::Output;
use crate::plot::{Line, Panel, Plot, Scale, Unit};
use crate::target::TargetArgs;
use crate::tune::arrivals::{Arrivals, Clock, Reading};
use crate::tune::goal::Goal;
use crate::tune::queue::{Losing, Queue};
use crate::tune::search::{Point, Search};
use crate::tune::service::Service;

/// What is recorded, what is asked, and how to print the answer.
#[derive(Args, Debug)]
#[command(after_help = "\
Method: the record is played through for each size that is tried, every arrival with its own
service time, by the rules of a subscription's mailbox: the subscriber takes out a batch (a quarter
of the mailbox, 1 to 64), whose places are free from then on, and handles it message by message; a
full mailbox loses as --overflow says. Losses and delays are counted, not estimated. Arrivals of one
instant arrive together. Delay is the time from arrival to the call of the handler; service times of
a file are drawn at random, for all sizes the same.

A message that is lost misses every target: p99=1ms asks that 99 % of all messages are in their
handler within 1 ms. Sizes up to 256 are tried one by one. Above, eight sizes a doubling are tried,
then those between the first that meets the targets and the one before: that size meets them, and
one less does not. From the size on at which nothing is lost all are alike, so that `none` means
none up to 2,147,483,648; the exit code is 3 then.

A subscription to everything that reads the ring has no mailbox, and this does not tell its size.
Whether the machine keeps the service times under load, `ringpost bench` tells, not a record.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArgs,
    /// How long a message is handled: a duration (5us), or a file of durations, one a line, each
    /// with a comma and a count behind it if it was seen more than once
    #[arg(long, value_name = "TIME|FILE")]
    service_time: String,
    /// What the mailbox has to do: loss=0, loss=0.1%, p99=1ms (any percentile), max=5ms;
    /// repeatable, and all are to be met
    #[arg(long = "target", value_name = "GOAL", default_value = "loss=0")]
    goals: Vec<Goal>,
    /// What a full mailbox loses
    #[arg(long, value_enum, default_value_t = Losing::DropOldest)]
    overflow: Losing,
    /// Messages taken out of the mailbox at once; as a subscription does unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// From an arrival that finds the subscriber asleep until it looks into its mailbox
    #[arg(long, value_name = "TIME", default_value = "0us", value_parser = parse_nanos)]
    wake_up: u64,
    /// Lets the messages arrive so many times as fast
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_speed)]
    speed: f64,
    /// Which time of an event is its arrival; recorded if every event has it unless set
    #[arg(long, value_enum)]
    times: Option<Clock>,
    /// Puts arrivals in order, however far their times go backwards
    #[arg(long)]
    sort: bool,
    /// Draws service times of a file differently
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Draw the curve into this file, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

fn parse_nanos(text: &str) -> anyhow::Result<u64> {
    Ok(u64::try_from(parse_duration(text)?.as_nanos())?)
}

fn parse_speed(text: &str) -> anyhow::Result<f64> {
    match text.parse()? {
        speed @ 1e-6..=1e9 => Ok(speed),
        _ => bail!("it is 0.000001 to 1,000,000,000"),
    }
}

#[derive(Serialize)]
struct Summary {
    events: usize,
    times: &'static str,
    first: String,
    last: String,
    elapsed_s: f64,
    /// None if all arrive at one instant.
    events_per_s: Option<f64>,
    service_us: f64,
    /// The share of the time that the subscriber would be busy; above 1 it cannot keep up.
    utilisation: Option<f64>,
    targets: Vec<String>,
    /// The smallest size that meets them.
    mailbox: Option<usize>,
    curve: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    mailbox: usize,
    lost: u64,
    loss: f64,
    delay_us: Option<Quantiles>,
    meets: bool,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let service = Service::named(&arguments.service_time)?;
    let opened = arguments.target.resolve()?.open(&Interrupt::default())?;
    let spinner = console.clone().with_spinner("reading");
    let reading = Reading {
        wanted: &arguments.filter.selection(),
        clock: arguments.times,
        sorts: arguments.sort,
        speed: arguments.speed,
    };
    let arrivals = Arrivals::read(&opened, reading, &spinner);
    spinner.finish();
    let arrivals = arrivals?;
    let times = service.draw(arrivals.offsets.len(), arguments.seed);
    let queue = Queue {
        arrivals: &arrivals.offsets,
        times: &times,
        losing: arguments.overflow,
        batch: arguments.batch.map(|batch| batch as usize),
        wake_up: arguments.wake_up,
    };
    let spinner = console.clone().with_spinner("trying sizes");
    let search = Search::new(queue, &arguments.goals);
    let advised = search.smallest(|size| {
        spinner.progress(0, || format!("trying a mailbox of {}", grouped(size as u64)));
    });
    let beside = advised.map_or_else(Vec::new, |size| vec![size, (size - 1).max(1)]);
    let curve = search.curve(&beside);
    spinner.finish();
    let summary = summary(arguments, &arrivals, &service, advised, &curve);
    if summary.utilisation.is_some_and(|busy| busy >= 1.0) {
        console.warn(
            "messages arrive faster than they are handled: a larger mailbox only puts the loss \
             off, to after this record",
        );
    }
    if let Some(file) = &arguments.svg {
        plot(&summary).write(file)?;
    }
    let mut output = Output::new();
    if arguments.json {
        output.json(&summary)?;
    } else {
        output.text(&table(&summary))?;
        output.flush()?;
    }
    match advised {
        None => Ok(Exit::Nothing),
        Some(_) => Ok(Exit::damage_if(arrivals.damaged > 0)),
    }
}

fn summary(
    arguments: &Arguments,
    arrivals: &Arrivals,
    service: &Service,
    advised: Option<usize>,
    curve: &[Point],
) -> Summary {
    let events = arrivals.offsets.len();
    let seconds = arrivals.seconds();
    // From the first to the last there is one interval less than there are events.
    let rate = (seconds > 0.0).then(|| (events - 1) as f64 / seconds);
    let row = |point: &Point| Row {
        mailbox: point.size,
        lost: point.lost,
        loss: point.lost as f64 / events as f64,
        delay_us: point.delay.quantiles(1000.0),
        meets: point.meets,
    };
    Summary {
        events,
        times: arrivals.clock.attribute(),
        first: arrivals.first.to_string(),
        last: arrivals.last.to_string(),
        elapsed_s: seconds,
        events_per_s: rate,
        service_us: service.mean() / 1000.0,
        utilisation: rate.map(|rate| rate * service.mean() / 1e9),
        targets: arguments.goals.iter().map(Goal::to_string).collect(),
        mailbox: advised,
        curve: curve.iter().map(row).collect(),
    }
}

fn table(summary: &Summary) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<9} {value}");
    };
    let Summary { first, last, times, .. } = summary;
    row("events", format!("{} by {times}, {first} to {last}", grouped(summary.events as u64)));
    let rate = match summary.events_per_s {
        Some(rate) => format!("{rate:.1}/s over {:.3} s", summary.elapsed_s),
        None => "all at one instant".into(),
    };
    row("arrivals", rate);
    let busy = summary.utilisation.map(|busy| format!(", busy {:.1} % of the time", busy * 100.0));
    row("service", format!("{:.3} us mean{}", summary.service_us, busy.unwrap_or_default()));
    let _ = writeln!(
        text,
        "\n{:>13} {:>13} {:>9} {:>12} {:>12} {:>12} {:>12}",
        "mailbox", "lost", "loss", "p50 us", "p99 us", "p99.9 us", "max us"
    );
    for Row { mailbox, lost, loss, delay_us, meets } in &summary.curve {
        let (mailbox, lost, loss) =
            (grouped(*mailbox as u64), grouped(*lost), format!("{:.4} %", loss * 100.0));
        let _ = write!(text, "{mailbox:>13} {lost:>13} {loss:>9}");
        if let Some(Quantiles { p50, p99, p999, max }) = delay_us {
            let _ = write!(text, " {p50:>12.1} {p99:>12.1} {p999:>12.1} {max:>12.1}");
        }
        text.push_str(if *meets { "  meets\n" } else { "\n" });
    }
    let targets = summary.targets.join(" and ");
    let _ = match summary.mailbox {
        Some(size) => writeln!(
            text,
            "\na mailbox of {} is the smallest that meets {targets}",
            grouped(size as u64)
        ),
        None => writeln!(text, "\nno mailbox meets {targets}, however large"),
    };
    text
}

fn plot(summary: &Summary) -> Plot {
    let line = |name: &'static str, value: &dyn Fn(&Row) -> Option<f64>| {
        let points = summary.curve.iter().map(|row| Some((row.mailbox as f64, value(row)?)));
        Line { name, points: points.flatten().collect() }
    };
    let delay = |pick: fn(&Quantiles) -> f64| {
        move |row: &Row| row.delay_us.as_ref().map(|delay| pick(delay) / 1e6)
    };
    Plot {
        title: "Loss and delay by the size of the mailbox".into(),
        x: "mailbox (messages)".into(),
        panels: vec![
            Panel {
                y: "lost",
                unit: Unit::Percent,
                scale: Scale::Linear,
                lines: vec![line("lost", &|row| Some(row.loss * 100.0))],
            },
            Panel {
                y: "delay",
                unit: Unit::Seconds,
                scale: Scale::Log,
                lines: vec![
                    line("p50", &delay(|delay| delay.p50)),
                    line("p99", &delay(|delay| delay.p99)),
                ],
            },
        ],
    }
}
