//! The command line.

use std::path::PathBuf;

use crate::contest::Pace;
use crate::scenario;

pub const USAGE: &str = "\
ringpost beside its peers.

Usage: ringpost-compare [OPTIONS]

  --only SCENARIO...  some scenarios instead of all; by name, in any number
  --case TEXT         only cases with TEXT in their names (throughput and journal)
  --system TEXT       only systems with TEXT in their names (throughput and journal)
  --rounds N          runs of each system in each case (default 7)
  --quick             shorter and fewer runs: to see that it works, not for figures
  --json FILE         everything, as JSON
  --events FILE       events of the journal scenario, one JSON object a line
                      (default: ../shared/data/events.jsonl beside the repository)
  --help              this text and the scenarios' names";

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    /// Empty: all.
    pub only: Vec<String>,
    /// Parts of names; empty: all.
    pub case: String,
    pub system: String,
    pub pace: Pace,
    pub quick: bool,
    pub json: Option<PathBuf>,
    pub events: PathBuf,
}

impl Options {
    /// # Errors
    ///
    /// What is wrong with the arguments, in a sentence.
    pub fn parse(arguments: Vec<String>) -> Result<Self, String> {
        let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/events.jsonl");
        let mut options = Self {
            only: Vec::new(),
            case: String::new(),
            system: String::new(),
            pace: Pace { rounds: 7, seconds: 0.06 },
            quick: false,
            json: None,
            events: PathBuf::from(events),
        };
        let mut rounds = None;
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("{argument} wants a value behind it"));
            match argument.as_str() {
                "--rounds" => {
                    let given = value()?;
                    let number = given.parse::<usize>().ok().filter(|&n| n > 0);
                    rounds = Some(number.ok_or(format!("--rounds {given}: not a number above 0"))?);
                }
                "--case" => options.case = value()?,
                "--system" => options.system = value()?,
                "--quick" => options.quick = true,
                "--json" => options.json = Some(PathBuf::from(value()?)),
                "--events" => options.events = PathBuf::from(value()?),
                "--only" => {
                    while let Some(name) = arguments.next_if(|next| !next.starts_with("--")) {
                        options.only.push(name);
                    }
                    if options.only.is_empty() {
                        return Err("--only wants names of scenarios behind it".to_owned());
                    }
                }
                _ => return Err(format!("unknown argument {argument}; see --help")),
            }
        }
        for name in &options.only {
            if !scenario::ALL.iter().any(|scenario| scenario.name == name) {
                return Err(format!("no scenario is called {name}; see --help"));
            }
        }
        if options.quick {
            options.pace = Pace { rounds: 3, seconds: 0.01 };
        }
        options.pace.rounds = rounds.unwrap_or(options.pace.rounds);
        Ok(options)
    }

    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}
