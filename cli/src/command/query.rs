//! `query`: the events that match, or how many of them there are.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::HashMap;

use clap::{Args, ValueEnum};
use ringpost::store::journal::query::{Match, Matches, Order, Path, Query};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::console::{Console, grouped};
use crate::exit::{Exit, Failure};
use crate::filter::SearchFilter;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::target::{
    OpenedJournal, TargetArgs, tell_damage, tell_gone, tell_interrupted, unreadable,
};
use crate::visible::Visible;

/// Which events to find, and what to print of them.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    filter: SearchFilter,
    /// End after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Whether the oldest or the newest come first
    #[arg(long, value_name = "ORDER", default_value = "asc")]
    order: Sorted,
    /// Print how many events match instead of the events
    #[arg(long)]
    count: bool,
    /// Print how many events match for each value of an attribute or a place in the data
    /// (`type`, `data.user.name`), the largest count first
    #[arg(long, value_name = "FIELD", conflicts_with = "count")]
    group_by: Option<Path>,
    /// Only the N largest groups
    #[arg(long, value_name = "N", requires = "group_by")]
    top: Option<usize>,
    /// Print a count or groups as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sorted {
    Asc,
    Desc,
}

#[derive(Serialize)]
struct Count {
    count: u64,
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    key: Box<RawValue>,
    count: u64,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let target = arguments.target.resolve()?;
    let interrupt = Interrupt::install()?;
    let opened = target.open(&interrupt)?.into_journal(&interrupt)?;
    let mut search = Search::start(arguments, &opened, &interrupt, console)?;
    let mut output = Output::new();
    let found = match (&arguments.group_by, arguments.count) {
        (Some(_), _) => search.print_groups(arguments, &mut output),
        (None, true) => search.print_count(arguments.json, &mut output),
        (None, false) => search.print_events(&mut output),
    };
    search.console.finish();
    let found = found?;
    let cut = search.cut || search.matches.stopped() || opened.is_cut();
    if cut {
        tell_interrupted(console);
    }
    let matches = &search.matches;
    let damaged = tell_damage(matches.damaged(), matches.first_damage(), console)
        | tell_gone(matches.gone(), console);
    Ok(match (damaged, found) {
        (true, _) => Exit::Damage,
        (false, 0) if !cut => Exit::Nothing,
        (false, _) => Exit::Done,
    })
}

/// A query under way.
struct Search {
    matches: Matches,
    interrupt: Interrupt,
    console: Console,
    found: u64,
    /// An interrupt ended it before all that was found had been taken.
    cut: bool,
}

impl Search {
    fn start(
        arguments: &Arguments,
        opened: &OpenedJournal,
        interrupt: &Interrupt,
        console: &Console,
    ) -> Result<Self, Failure> {
        let interrupt = opened.interrupt(interrupt);
        let mut query =
            Query::new(arguments.filter.selection()?).with_order(match arguments.order {
                Sorted::Asc => Order::Ascending,
                Sorted::Desc => Order::Descending,
            });
        if let Some(limit) = arguments.limit {
            query = query.with_limit(limit);
        }
        if arguments.count || arguments.group_by.is_some() {
            query = query.without_lines();
        }
        if let Some(path) = &arguments.group_by {
            query = query.with_group(path.clone());
        }
        let asked = interrupt.clone();
        let query = query.with_stop(move || asked.is_set());
        let matches = opened.reader.query(query).map_err(unreadable)?;
        let console = console.clone().with_progress(Some(matches.progress().1));
        Ok(Self { matches, interrupt, console, found: 0, cut: false })
    }

    /// Goes to the next match.
    fn next(&mut self) -> Result<Option<Match<'_>>, Failure> {
        let (done, _) = self.matches.progress();
        let found = self.found;
        if found.is_multiple_of(1024) {
            self.console.progress(done, || format!("{} found", grouped(found)));
        }
        // Matches that were found ahead may be many, and slow to print.
        self.cut = self.interrupt.is_set();
        if self.cut {
            return Ok(None);
        }
        let next = self.matches.next().map_err(unreadable)?;
        self.found += u64::from(next.is_some());
        Ok(next)
    }

    fn print_events(&mut self, output: &mut Output) -> Result<u64, Failure> {
        while let Some(found) = self.next()? {
            output.event(found.line)?;
        }
        output.flush()?;
        Ok(self.found)
    }

    fn print_count(&mut self, json: bool, output: &mut Output) -> Result<u64, Failure> {
        while self.next()?.is_some() {}
        if json {
            output.json(&Count { count: self.found })?;
        } else {
            output.text(&format!("{}\n", self.found))?;
            output.flush()?;
        }
        Ok(self.found)
    }

    fn print_groups(&mut self, arguments: &Arguments, output: &mut Output) -> Result<u64, Failure> {
        let mut counts: HashMap<Box<str>, u64> = HashMap::new();
        while let Some(found) = self.next()? {
            let group = found.group.unwrap_or("null");
            match counts.get_mut(group) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(group.into(), 1);
                }
            }
        }
        let mut groups: Vec<(&str, u64)> = counts.iter().map(|(key, n)| (&**key, *n)).collect();
        groups.sort_unstable_by_key(|&(key, count)| (Reverse(count), key));
        let all = groups.len();
        groups.truncate(arguments.top.unwrap_or(all));
        if arguments.json {
            // The library gives JSON out.
            let read = |(key, count): (&str, u64)| {
                Ok(Group { key: RawValue::from_string(key.to_owned())?, count })
            };
            let groups: Result<_, serde_json::Error> = groups.into_iter().map(read).collect();
            output.json(&Groups { groups: groups.map_err(anyhow::Error::from)? })?;
        } else {
            for (key, count) in groups {
                let text = serde_json::from_str::<String>(key).unwrap_or_else(|_| key.to_owned());
                output.text(&format!("{:>12}  {}\n", grouped(count), Visible(&text)))?;
            }
            output.flush()?;
        }
        Ok(self.found)
    }
}
