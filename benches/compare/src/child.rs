//! A fresh process of this program for one measurement: memory and silence can't be measured in a
//! process that has already done something else.

use std::process::Command;

use crate::scenario::{idle, silence};

/// The first argument of such a process.
pub const FLAG: &str = "--child";

/// What such a process prints: figures, separated by blanks.
pub fn answer(arguments: &[String]) -> Vec<f64> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [idle::NAME, system, count] => idle::measure(system, count.parse().expect("a count")),
        [silence::NAME, system] => silence::measure(system),
        _ => panic!("no such measurement: {arguments:?}"),
    }
}

/// Runs one and gives its figures.
pub fn measure(arguments: &[&str]) -> Vec<f64> {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program).arg(FLAG).args(arguments).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "the measurement {arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    told.split_whitespace().map(|figure| figure.parse().expect("a figure")).collect()
}
