//! What ringpost is to reach beside its peers, row by row.
//!
//! Both sides count with their best row: a peer with its best way of use, ringpost with its best
//! one of the same kind: threads beside threads, tasks beside tasks, any beside actors.

use serde::Serialize;

use crate::results::{Cell, Results};
use crate::table::figure;

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// How many times better ours is than the peers' best.
    Better,
    /// Our figure itself, which must not be above.
    AtMost,
    /// The "peer's" figure, ours under more load, by ours, which must not be above.
    Growth,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Target {
    pub work: String,
    pub against: String,
    pub scenario: &'static str,
    pub case: String,
    /// Our rows of the same kind as the peer's, by how their names begin.
    pub ours: &'static [&'static str],
    pub peers: &'static [&'static str],
    pub measure: Measure,
    pub must: f64,
    pub aim: f64,
}

/// What became of one.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub work: String,
    pub against: String,
    pub measured: f64,
    /// With the best of all our rows, also those of another kind.
    pub best_of_all: f64,
    pub must: f64,
    pub aim: f64,
    pub met: &'static str,
    pub our_row: String,
    pub their_row: String,
}

impl Target {
    /// `None` if its scenario was not run.
    fn judge(&self, results: &Results) -> Option<Verdict> {
        let cell = results.find(self.scenario, &self.case)?;
        let our_row = cell.best(self.ours)?;
        let all = cell.best(&["ringpost"])?;
        let (measured, best_of_all, theirs) = match self.measure {
            Measure::AtMost => (our_row.median, all.median, String::new()),
            Measure::Better => {
                let peer = cell.best(self.peers)?;
                let times = |ours| better(cell, ours, peer.median);
                (times(our_row.median), times(all.median), peer.system.clone())
            }
            Measure::Growth => {
                let grown = cell.best(self.peers)?;
                let growth = grown.median / our_row.median;
                (growth, growth, grown.system.clone())
            }
        };
        let reaches = |goal: f64| match self.measure {
            Measure::Better => measured >= goal,
            Measure::AtMost | Measure::Growth => measured <= goal,
        };
        let met = match (reaches(self.must), reaches(self.aim)) {
            (_, true) => "aim",
            (true, false) => "must",
            (false, false) => "no",
        };
        Some(Verdict {
            work: self.work.clone(),
            against: self.against.clone(),
            measured,
            best_of_all,
            must: self.must,
            aim: self.aim,
            met,
            our_row: our_row.system.clone(),
            their_row: theirs,
        })
    }
}

fn better(cell: &Cell, ours: f64, theirs: f64) -> f64 {
    if cell.lower_is_better() { theirs / ours } else { ours / theirs }
}

/// Judges all targets whose scenarios were run.
pub fn judge(targets: &[Target], results: &Results) -> Vec<Verdict> {
    targets.iter().filter_map(|target| target.judge(results)).collect()
}

/// The table of targets.
pub fn print(verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    println!(
        "\nTargets. Ratios: how many times better than the peer; `ns`, `%` and growth: at most."
    );
    println!(
        "| work | against | measured | must | aim | met | best of all ours | our row | peer's row |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for v in verdicts {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            v.work,
            v.against,
            figure(v.measured),
            figure(v.must),
            figure(v.aim),
            v.met,
            figure(v.best_of_all),
            v.our_row,
            v.their_row,
        );
    }
    let count = |met| verdicts.iter().filter(|v| v.met == met).count();
    println!(
        "\n{} targets: {} at the aim, {} at the must, {} missed",
        verdicts.len(),
        count("aim"),
        count("must"),
        count("no")
    );
}
