//! K5, K6: the n-th call of the system fails, in an unmodified process under `strace`. Then it
//! works again, and everything must be there, durable, once, in order.

use std::time::Duration;

use ringpost::store::journal::Fsync;

use super::judge::recover;
use super::load::{Plan, events};
use super::rig::{Chance, holds_to_figures, patience, rounds};
use super::strace;

/// System calls, the errors they may give, and how many in a row.
const FAULTS: [(&str, &str, u64); 9] = [
    ("write", "ENOSPC", 3),
    ("write", "EIO", 1),
    ("write", "EROFS", 2),
    ("write", "EDQUOT", 2),
    ("fdatasync", "EIO", 1),
    ("fdatasync", "ENOSPC", 3),
    ("fsync", "EIO", 2),
    ("ftruncate", "EIO", 2),
    ("openat", "EMFILE", 3),
];

const EVENTS: u64 = 1500;

#[test]
fn whichever_call_of_the_system_fails_everything_is_durable_in_the_end() {
    if !strace::is_there() {
        return;
    }
    let mut chance = Chance::new("injection");
    let events = events(None);
    let mut longest = Duration::ZERO;
    for round in 0..rounds() {
        let (call, error, calls) = FAULTS[usize::try_from(round).expect("small") % FAULTS.len()];
        let first = 1 + chance.below(50);
        for fsync in [Fsync::Batch, Fsync::Always] {
            // One by one takes long; a few must do.
            let limit = if fsync == Fsync::Always { EVENTS / 10 } else { EVENTS };
            let directory = tempfile::tempdir().expect("a directory");
            let place = directory.path().join("journal");
            let last = first + calls - 1;
            let files = [strace::segments(&place, ".jsonl"), vec![place.clone()]].concat();
            let fault = format!("{call}:error={error}:when={first}..{last}");
            let wrapper = strace::wrapper(&files, &[fault]);
            let plan = Plan { limit: Some(limit), wrapper, ..Plan::new(&place, fsync) };
            let (status, told, said) = plan.start().ended();
            let what = format!("{call} number {first} to {last} fails with {error}");
            assert!(status.success(), "{fsync}: {what}: {status}: {said}");
            assert_eq!((told.written, told.durable), (limit, limit), "{fsync}: {what}: {said}");
            assert_eq!(recover(&place, &events), limit, "{fsync}: {what}");
            longest = longest.max(told.longest);
        }
    }
    eprintln!("injection: nobody waited longer than {longest:?} for a receipt");
    assert!(!holds_to_figures() || longest <= patience(), "{longest:?} is as good as a hang");
}

/// More than a process publishes until it has compressed a few segments.
#[cfg(feature = "zstd")]
const EVENTS_BEHIND: u64 = 20_000;

#[cfg(feature = "zstd")]
#[test]
fn names_that_cannot_be_given_cost_no_event_and_are_given_later() {
    if !strace::is_there() {
        return;
    }
    let mut chance = Chance::new("renames");
    let events = events(None);
    let rounds = rounds().div_ceil(4);
    let mut failed = 0;
    for round in 0..rounds {
        let directory = tempfile::tempdir().expect("a directory");
        let (place, did) = (directory.path().join("journal"), directory.path().join("did"));
        let error = ["EIO", "EROFS", "ENOSPC"][usize::try_from(round % 3).expect("small")];
        let (first, calls) = (1 + chance.below(3), 1 + chance.below(3));
        let fault = format!(
            "?rename,?renameat,?renameat2:error={error}:when={first}..{}",
            first + calls - 1
        );
        let unfinished = strace::segments(&place, ".jsonl.zst.tmp");
        let wrapper = strace::told_wrapper(&unfinished, std::slice::from_ref(&fault), &did);
        let limit = Some(EVENTS_BEHIND);
        let plan = Plan { limit, wrapper, compression: Some(1), ..Plan::new(&place, Fsync::Batch) };
        let (status, told, said) = plan.start().ended();
        assert!(status.success(), "{fault}: {status}: {said}");
        assert_eq!(told.durable, EVENTS_BEHIND, "{fault}: {said}");
        failed += strace::injected(&did);
        assert_eq!(recover(&place, &events), EVENTS_BEHIND, "{fault}");
        // Whoever goes on compresses what is left, under the names that were refused.
        let plan = Plan { limit, compression: Some(1), ..Plan::new(&place, Fsync::Batch) };
        let (status, _, said) = plan.start().ended();
        assert!(status.success(), "{fault}: {status}: {said}");
        assert_eq!(recover(&place, &events), 2 * EVENTS_BEHIND, "{fault}");
        let packed = strace::segments(&place, ".jsonl.zst");
        assert!(packed.iter().take(8).all(|path| path.exists()), "{fault}: {packed:?}");
    }
    eprintln!("renames: {failed} failed in {rounds} rounds");
    assert!(failed > 0, "no name was refused in any round");
}
