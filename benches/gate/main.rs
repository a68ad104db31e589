//! Fixed, single-threaded pieces of work whose instructions `ci/instructions.sh` counts under
//! callgrind: `gate NAME` does one of them, `gate` lists their names.
//!
//! Time says what a change is worth, but not on a machine that others use too; instructions hardly
//! move. Only what runs inside of [`counted`] is counted, on this thread; everything that an
//! operation needs is made ready outside of it.

mod bus;
mod events;
mod hand;
mod mailbox;
mod routes;
mod ticks;

use std::process::ExitCode;

/// What a scenario has done so far inside of [`counted`].
#[derive(Debug, Default)]
pub(crate) struct Count {
    operations: u64,
}

impl Count {
    /// Counts `times` calls of `work`, each of them one operation.
    pub(crate) fn each(&mut self, times: u64, work: &mut dyn FnMut()) {
        self.bundles(times, 1, work);
    }

    /// Counts `times` calls of `work`, each of them `size` operations.
    pub(crate) fn bundles(&mut self, times: u64, size: u64, work: &mut dyn FnMut()) {
        self.operations += times * size;
        counted(times, work);
    }
}

/// Callgrind counts from here to its return: `--toggle-collect` names it.
///
/// The work is called through a pointer, so that there is one copy of it, whether it is being
/// counted or warmed up; what that costs is the scenario `nothing`.
#[inline(never)]
fn counted(times: u64, work: &mut dyn FnMut()) {
    for _ in 0..times {
        work();
    }
}

type Scenario = (&'static str, fn(&mut Count));

fn scenarios() -> impl Iterator<Item = Scenario> {
    const NOTHING: &[Scenario] = &[("nothing", |count| count.each(1024, &mut || {}))];
    [NOTHING, bus::SCENARIOS, mailbox::SCENARIOS, routes::SCENARIOS, events::SCENARIOS]
        .into_iter()
        .flatten()
        .copied()
}

fn main() -> ExitCode {
    // Cargo passes flags of its own.
    let Some(wanted) = std::env::args().skip(1).find(|arg| !arg.starts_with("--")) else {
        scenarios().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, run)) = scenarios().find(|(name, _)| *name == wanted) else {
        eprintln!("error: no scenario is called `{wanted}`; without a name, all are listed");
        return ExitCode::FAILURE;
    };
    let mut count = Count::default();
    run(&mut count);
    println!("{}", count.operations);
    ExitCode::SUCCESS
}
