//! Histories by chance: ops drawn from a seed, so that each can be run again.
#![forbid(unsafe_code)]

use super::history::{Verdict, World};
use super::op::{ERRORS, End, Kind, Op, POLICIES, Way};
use super::rng::Rng;

/// An op by chance.
fn any_op(rng: &mut Rng, looks_after: bool) -> Op {
    match rng.below(if looks_after { 26 } else { 20 }) {
        20..=24 => Op::Keep,
        25 => Op::Acknowledge(byte(rng, 255)),
        0..=8 => Op::Append { records: byte(rng, 5) + 1, bytes: byte(rng, 120) },
        9 | 10 => Op::Flush,
        11 if rng.one_in(2) => Op::Settle,
        11 => Op::Tend,
        12 | 13 => Op::WriteBack,
        14 | 15 => any_fault(rng, looks_after),
        16 => Op::Heal,
        _ => Op::End {
            end: rng.among(&[End::Closed, End::Killed, End::PowerCut]),
            policy: rng.among(&POLICIES),
            segment_bytes: rng.among(&[1, 400, 1200, 60_000]),
        },
    }
}

fn any_fault(rng: &mut Rng, looks_after: bool) -> Op {
    use Kind::{
        Any, Append, Create, Cut, Remove, Rename, Sync, SyncAndAppend, SyncAndCut, SyncDirectory,
    };
    let way = match rng.below(4) {
        0 => Way::Short(byte(rng, 255)),
        1 => Way::Dies { torn: byte(rng, 255), power: rng.one_in(2) },
        _ => Way::Error(rng.among(&ERRORS)),
    };
    let kinds =
        [Any, Append, Create, Sync, SyncDirectory, Cut, SyncAndAppend, SyncAndCut, Rename, Remove];
    let kind = rng.among(&kinds[..if looks_after { 10 } else { 9 }]);
    Op::Fault { after: byte(rng, 8), calls: byte(rng, 6) + 1, kind, way }
}

fn byte(rng: &mut Rng, limit: usize) -> u8 {
    u8::try_from(rng.below(limit)).expect("below 256")
}

/// One history by chance; see [`World::new`] for `looks_after`.
pub(super) fn run(seed: u64, looks_after: bool) -> Verdict {
    let mut rng = Rng::new(seed);
    let policy = rng.among(&POLICIES);
    let segment_bytes = rng.among(&[1, 400, 1200, 60_000]);
    let mut world = World::new(rng.next(), policy, segment_bytes, looks_after)?;
    for _ in 0..4 + rng.below(16) {
        world.apply(any_op(&mut rng, looks_after))?;
    }
    world.finish()
}
