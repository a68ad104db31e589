//! K5, K6: the n-th call of the system fails, in an unmodified process under `strace`. Then it
//! works again, and everything must be there, durable, once, in order.

use std::path::Path;
use std::process::{Command, Stdio};

use ringpost::store::journal::Fsync;

use super::judge::recover;
use super::load::{Plan, events};
use super::rig::{Chance, rounds, skipped};

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

fn has_strace() -> bool {
    let asked = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// The options of `strace` that fail calls on this journal's own files, and no other.
fn injection(directory: &Path, call: &str, error: &str, first: u64, calls: u64) -> Vec<String> {
    let mut options: Vec<String> =
        ["strace", "-f", "-qq", "-o", "/dev/null"].map(Into::into).into();
    let names = (1..=40).map(|number| format!("{number:020}.jsonl"));
    for path in names.map(|name| directory.join(name)).chain([directory.to_owned()]) {
        options.extend(["-P".into(), path.display().to_string()]);
    }
    let last = first + calls - 1;
    options.extend(["-e".into(), format!("inject={call}:error={error}:when={first}..{last}")]);
    options
}

#[test]
fn whichever_call_of_the_system_fails_everything_is_durable_in_the_end() {
    if !has_strace() {
        return skipped("`strace` is not there, so no call of the system can be made to fail");
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
            let wrapper = injection(&place, call, error, first, calls);
            let plan = Plan { limit: Some(limit), wrapper, ..Plan::new(&place, fsync) };
            let (status, told, said) = plan.start().ended();
            let what = format!("{call} number {first} to {} fails with {error}", first + calls - 1);
            assert!(status.success(), "{fsync}: {what}: {status}: {said}");
            assert_eq!((told.written, told.durable), (limit, limit), "{fsync}: {what}: {said}");
            assert_eq!(recover(&place, &events), limit, "{fsync}: {what}");
        }
    }
}
