//! Histories by the hundred thousand, in the optimised build.
#![forbid(unsafe_code)]

mod damage;
mod model;

use super::{chance, checkpoints};

/// `RINGPOST_HISTORIES` and `RINGPOST_SEED` choose others (`ci/crash.sh`).
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn no_history_of_faults_deaths_and_power_cuts_breaks_a_promise() {
    let (count, first) = (setting("RINGPOST_HISTORIES", 100_000), setting("RINGPOST_SEED", 1));
    println!("{count} histories from seed {first} on");
    for seed in first..first + count {
        if let Err(broken) = chance::run(seed, seed.is_multiple_of(2)) {
            panic!("{broken}\nrepeat it: RINGPOST_SEED={seed} RINGPOST_HISTORIES=1 ci/crash.sh");
        }
    }
}

#[test]
fn no_life_of_a_checkpoint_takes_back_what_was_stored() {
    let (count, first) = (setting("RINGPOST_HISTORIES", 20_000), setting("RINGPOST_SEED", 1));
    for seed in first..first + count {
        let holds = checkpoints::histories_hold(std::iter::once(seed));
        assert!(holds, "repeat it: RINGPOST_SEED={seed} RINGPOST_HISTORIES=1 ci/crash.sh");
    }
}
