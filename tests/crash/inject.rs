//! K5, K6: the n-th call of the system fails, in an unmodified process under `strace`. Then it
//! works again, and everything must be there, durable, once, in order.

use ringpost::store::journal::Fsync;

use super::judge::recover;
use super::load::{Plan, events};
use super::rig::{Chance, rounds};
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
        }
    }
}
