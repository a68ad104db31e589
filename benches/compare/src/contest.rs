//! Several systems doing one thing, by turns, and the median of each.

use crate::machine;
use crate::results::{Cell, Results, Row};

/// Messages of a run: fewer would measure how its threads start, more would only take long.
const FEWEST: u64 = 2000;
const MOST: u64 = 100_000_000;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub rounds: usize,
    /// What one run should take, in seconds. The number of messages is chosen for it.
    pub seconds: f64,
}

/// One system: given a number of messages, it runs and gives its figure.
pub struct Entry<'a> {
    name: String,
    run: Box<dyn Fn(u64) -> f64 + 'a>,
}

/// One case of a scenario, with all who take part in it.
pub struct Contest<'a> {
    scenario: &'static str,
    case: String,
    unit: &'static str,
    /// Messages come in multiples of it.
    multiple: u64,
    entries: Vec<Entry<'a>>,
}

impl<'a> Contest<'a> {
    /// A contest whose figures are messages published a second.
    pub fn new(scenario: &'static str, case: impl Into<String>) -> Self {
        let unit = "messages/s";
        Self { scenario, case: case.into(), unit, multiple: 64, entries: Vec::new() }
    }

    /// The same with messages in multiples of `multiple`.
    pub fn in_multiples_of(mut self, multiple: u64) -> Self {
        self.multiple = multiple;
        self
    }

    pub fn enter(&mut self, name: impl Into<String>, run: impl Fn(u64) -> f64 + 'a) {
        self.entries.push(Entry { name: name.into(), run: Box::new(run) });
    }

    /// Runs everybody in turn, `pace.rounds` times, after a run each that finds out how many
    /// messages fill the time. Cases and systems that were not asked for are left out.
    pub fn hold(mut self, pace: Pace, results: &mut Results) {
        self.entries.retain(|entry| entry.name.contains(&results.system));
        if self.entries.is_empty() || !self.case.contains(&results.case) {
            return;
        }
        let whole = |messages: f64| {
            let (least, most) = (FEWEST.div_ceil(self.multiple), MOST / self.multiple);
            ((messages as u64) / self.multiple).clamp(least, most) * self.multiple
        };
        let counts: Vec<u64> = self
            .entries
            .iter()
            .map(|entry| {
                let cold = (entry.run)(whole(0.0));
                let warm = (entry.run)(whole(cold * pace.seconds / 5.0));
                whole(warm * pace.seconds)
            })
            .collect();
        let mut rows: Vec<Row> = self.entries.iter().map(|entry| Row::new(&entry.name)).collect();
        let mut round_trip = Row::new(machine::ROUND_TRIP);
        for _ in 0..pace.rounds {
            round_trip.add(machine::round_trip());
            for ((entry, &count), row) in self.entries.iter().zip(&counts).zip(&mut rows) {
                row.add((entry.run)(count));
            }
        }
        let cell = Cell::new(self.scenario, self.case, self.unit, rows);
        results.add(cell.on(round_trip));
    }
}
