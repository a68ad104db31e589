//! ringpost beside its peers: the same messages, nothing lost, sums checked, all systems by turns
//! in one process. See the README beside this crate for the scenarios and how to read the figures.

mod child;
mod contest;
mod goals;
mod heat;
mod machine;
mod open_loop;
mod options;
mod ours;
mod peers;
mod results;
mod scenario;
mod table;
mod target;
mod tick;

use std::process::ExitCode;
use std::time::Instant;

use options::Options;
use results::{Cell, Results};
use scenario::Stage;
use serde::Serialize;
use target::Verdict;
use tokio::runtime::Runtime;

/// The whole run, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    rounds: usize,
    quick: bool,
    cells: &'a [Cell],
    targets: &'a [Verdict],
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == child::FLAG) {
        let figures: Vec<String> =
            child::answer(&arguments[1..]).iter().map(f64::to_string).collect();
        println!("{}", figures.join(" "));
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--help") {
        let names: Vec<_> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
        println!("{}\n\nScenarios: {}", options::USAGE, names.join(" "));
        return ExitCode::SUCCESS;
    }
    match Options::parse(arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    // actix's arbiters want a system; it lives as long as the program.
    let _system = actix::System::new();
    let stage = Stage {
        runtime: Runtime::new().map_err(|error| format!("no tokio runtime: {error}"))?,
        pace: options.pace,
        events: options.events.clone(),
        quick: options.quick,
    };
    let (case, system) = (options.case.clone(), options.system.clone());
    let mut results = Results { cells: Vec::new(), case, system };
    for scenario in scenario::ALL.iter().filter(|scenario| options.wants(scenario.name)) {
        let since = Instant::now();
        (scenario.run)(&stage, &mut results);
        println!("\n{} took {:.0} s", scenario.name, since.elapsed().as_secs_f64());
    }
    let verdicts = target::judge(&goals::all(), &results);
    target::print(&verdicts);
    if let Some(path) = &options.json {
        let report = Report {
            rounds: options.pace.rounds,
            quick: options.quick,
            cells: &results.cells,
            targets: &verdicts,
        };
        let text = serde_json::to_vec_pretty(&report).expect("figures are serializable");
        std::fs::write(path, text)
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
    }
    Ok(())
}
