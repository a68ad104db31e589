//! The scenarios, by name.

mod call;
pub mod cases;
mod fan_in;
mod fan_out;
pub mod idle;
mod journal;
mod latency;
mod routing;
mod scale;
pub mod silence;
mod tell;

use std::path::PathBuf;

use tokio::runtime::Runtime;

use crate::contest::Pace;
use crate::results::Results;

/// What every scenario needs.
pub struct Stage {
    pub runtime: Runtime,
    pub pace: Pace,
    /// JSON lines of events, for the journal.
    pub events: PathBuf,
    pub quick: bool,
}

/// A scenario: its name on the command line, what it does.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Stage, &mut Results),
}

/// In the order in which they are run.
pub const ALL: [Scenario; 10] = [
    Scenario { name: tell::NAME, run: tell::run },
    Scenario { name: fan_in::NAME, run: fan_in::run },
    Scenario { name: fan_out::NAME, run: fan_out::run },
    Scenario { name: routing::NAME, run: routing::run },
    Scenario { name: call::NAME, run: call::run },
    Scenario { name: idle::NAME, run: idle::run },
    Scenario { name: scale::NAME, run: scale::run },
    Scenario { name: journal::NAME, run: journal::run },
    Scenario { name: latency::NAME, run: latency::run },
    Scenario { name: silence::NAME, run: silence::run },
];
