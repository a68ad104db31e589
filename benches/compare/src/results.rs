//! Figures as they come in: cells of rows, each row with all its runs.

use serde::Serialize;

use crate::{machine, table};

/// One system's runs.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub system: String,
    pub median: f64,
    pub runs: Vec<f64>,
}

impl Row {
    pub fn new(system: &str) -> Self {
        Self { system: system.to_owned(), median: f64::NAN, runs: Vec::new() }
    }

    pub fn add(&mut self, figure: f64) {
        self.runs.push(figure);
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        self.median = sorted[sorted.len() / 2];
    }

    pub fn lowest(&self) -> f64 {
        self.runs.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn highest(&self) -> f64 {
        self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// One case: the same work by several systems.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    pub scenario: &'static str,
    pub case: String,
    pub unit: &'static str,
    pub rows: Vec<Row>,
    /// What a line's round trip between two cores took before each round, in nanoseconds.
    pub round_trip: Row,
}

impl Cell {
    pub fn new(
        scenario: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        rows: Vec<Row>,
    ) -> Self {
        let round_trip = Row::new(machine::ROUND_TRIP);
        Self { scenario, case: case.into(), unit, rows, round_trip }
    }

    /// The same with what the machine was like meanwhile.
    pub fn on(mut self, round_trip: Row) -> Self {
        self.round_trip = round_trip;
        self
    }

    /// Whether a small figure is a good one.
    pub fn lower_is_better(&self) -> bool {
        !self.unit.ends_with("/s")
    }

    /// The best row whose system begins with one of `names`.
    pub fn best(&self, names: &[&str]) -> Option<&Row> {
        let rows = self.rows.iter().filter(|row| {
            names.iter().any(|name| row.system.starts_with(name)) && row.median.is_finite()
        });
        if self.lower_is_better() {
            rows.min_by(|a, b| a.median.total_cmp(&b.median))
        } else {
            rows.max_by(|a, b| a.median.total_cmp(&b.median))
        }
    }
}

/// All cells of a run of the program. Each is printed as it comes in.
#[derive(Debug, Default)]
pub struct Results {
    pub cells: Vec<Cell>,
    /// What a contest's case and its systems must have in their names to take part.
    pub case: String,
    pub system: String,
}

impl Results {
    pub fn add(&mut self, cell: Cell) {
        table::print(&cell);
        self.cells.push(cell);
    }

    /// Without printing it: for cells that are columns of one table.
    pub fn keep(&mut self, cell: Cell) {
        self.cells.push(cell);
    }

    pub fn find(&self, scenario: &str, case: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.scenario == scenario && cell.case == case)
    }
}
