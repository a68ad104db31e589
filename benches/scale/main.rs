//! How a bus grows: what an idle subscription costs, how fast they are made, and whether a
//! publish, a subscribe or an unsubscribe depends on how many others there are.
//!
//! ```text
//! cargo bench --bench scale                   # everything, some four minutes
//! cargo bench --bench scale -- idle           # one group: idle, publish, churn
//! cargo bench --bench scale -- --json         # for machines
//! cargo bench --bench scale -- --quick        # one round, no 1M
//! cargo bench --bench scale -- --sizes        # also what is allocated, by size
//! ```
//!
//! - **idle**: 10k, 100k and 1M subscriptions with mailboxes of 64, each to a topic of its own (and
//!   all to one), on one worker, with a closure that keeps one counted pointer; the handles are
//!   kept. Bytes alive by a counting allocator, and resident bytes by the kernel's account, both
//!   after every actor has started and waits. Spawns a second are those of the loop that
//!   subscribes, started ones count until the last actor waits.
//! - **publish**: the median of bursts of 512 to one topic with one subscriber, by a `Publisher`
//!   and by name, beside the same on a bus of 100, both in turn in one process. What is measured
//!   is the publisher's own time while a worker receives.
//! - **churn**: 1,000 subscriptions to new topics come and go while 100 to 1M others stay: time and
//!   allocated bytes of each, and the first publish after them, which resolves its route anew.
//!
//! Each measurement runs in a fresh child of this program, so that no earlier one has touched its
//! memory; the medians of the rounds are printed. What the actors of other libraries cost is
//! measured by `benches/compare`.

mod counted;
mod probe;

use std::process::Command;

use serde_json::{Value, json};

use probe::Topics;

/// How many other subscriptions there are where cost must not depend on it.
const FEW: usize = 100;

struct Settings {
    json: bool,
    quick: bool,
    sizes: bool,
    group: Option<String>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == "--probe"
    {
        println!("{}", one_probe(rest));
        return;
    }
    let has = |flag: &str| arguments.iter().any(|one| one == flag);
    let settings = Settings {
        json: has("--json"),
        quick: has("--quick"),
        sizes: has("--sizes"),
        group: arguments.iter().find(|one| !one.starts_with("--")).cloned(),
    };
    let mut report = serde_json::Map::new();
    for (group, probes) in groups(settings.quick) {
        if settings.group.as_deref().is_some_and(|only| only != group) {
            continue;
        }
        let results: Vec<Value> =
            probes.iter().map(|(rounds, probe)| median_of(*rounds, probe)).collect();
        if !settings.json {
            print_group(group, &results, settings.sizes);
        }
        report.insert(group.to_owned(), Value::Array(results));
    }
    if settings.json {
        println!("{}", Value::Object(report));
    }
}

/// How often a probe is made, and its arguments.
type Rounds = (usize, Vec<String>);

/// Every probe of each group.
fn groups(quick: bool) -> Vec<(&'static str, Vec<Rounds>)> {
    let rounds = |many: usize| if quick { 1 } else { many };
    let probe = |rounds, name: &str, numbers: &[&dyn std::fmt::Display]| {
        let mut arguments = vec![name.to_owned()];
        arguments.extend(numbers.iter().map(|one| one.to_string()));
        (rounds, arguments)
    };
    let (mut idle, mut publish, mut churn) = (Vec::new(), Vec::new(), Vec::new());
    for count in [10_000, 100_000, 1_000_000] {
        if quick && count == 1_000_000 {
            continue;
        }
        let rounds = rounds(if count == 1_000_000 { 3 } else { 7 });
        idle.push(probe(rounds, "idle", &[&count, &"own", &64]));
        idle.push(probe(rounds, "idle", &[&count, &"shared", &64]));
        publish.push(probe(rounds.min(3), "publish", &[&count, &FEW]));
        churn.push(probe(rounds.min(3), "churn", &[&count]));
    }
    idle.push(probe(rounds(3), "idle", &[&100_000, &"own", &1024]));
    churn.insert(0, probe(rounds(3), "churn", &[&FEW]));
    vec![("idle", idle), ("publish", publish), ("churn", churn)]
}

fn one_probe(arguments: &[String]) -> Value {
    let number = |at: usize| -> usize {
        arguments.get(at).and_then(|one| one.parse().ok()).expect("a number is missing")
    };
    match arguments[0].as_str() {
        "idle" => {
            let topics = if arguments[2] == "own" { Topics::Own } else { Topics::Shared };
            probe::idle(number(1), topics, number(3))
        }
        "publish" => probe::publish(number(1), number(2)),
        "churn" => probe::churn(number(1)),
        other => panic!("there is no probe `{other}`"),
    }
}

/// Runs a probe so many times, each in a fresh process: the median of every number.
fn median_of(rounds: usize, probe: &[String]) -> Value {
    let own = std::env::current_exe().expect("this program has a path");
    let results: Vec<Value> = (0..rounds)
        .map(|_| {
            let output = Command::new(&own)
                .arg("--probe")
                .args(probe)
                .stderr(std::process::Stdio::inherit())
                .output()
                .expect("this program can be started again");
            assert!(output.status.success(), "the probe {probe:?} failed");
            serde_json::from_slice(&output.stdout).expect("a probe prints JSON")
        })
        .collect();
    let mut median = results[0].clone();
    let fields = median.as_object_mut().expect("a probe prints an object");
    for (name, value) in fields {
        let mut numbers: Vec<f64> = results.iter().filter_map(|one| one[name].as_f64()).collect();
        numbers.sort_by(f64::total_cmp);
        if value.is_f64() {
            let middle = numbers[numbers.len() / 2];
            *value = json!((middle * 100.0).round() / 100.0);
        }
    }
    median
}

fn print_group(group: &str, results: &[Value], sizes: bool) {
    println!("{group}");
    for result in results {
        let fields = result.as_object().expect("a probe prints an object");
        let line: Vec<String> = fields
            .iter()
            .filter(|(_, value)| !value.is_array())
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        println!("  {}", line.join(", "));
        for size in result["sizes"].as_array().into_iter().flatten().filter(|_| sizes) {
            println!(
                "    {:>6} bytes x {:.2}",
                size["bytes"],
                size["each"].as_f64().unwrap_or(0.0)
            );
        }
    }
}
