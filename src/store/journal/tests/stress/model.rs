//! The state machine by proptest, which makes a failure as short as it gets; and one fixed life
//! in which every call is once the failing one, and once the one at which the process dies.
#![forbid(unsafe_code)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::history::{Verdict, World};
use super::super::op::{ERRORS, End, Kind, Op, POLICIES, Way};
use crate::store::journal::Fsync;

fn op() -> impl Strategy<Value = Op> {
    let kind = select(vec![
        Kind::Any,
        Kind::Append,
        Kind::Create,
        Kind::Sync,
        Kind::SyncDirectory,
        Kind::Cut,
        Kind::Remove,
        Kind::Rename,
        Kind::SyncAndAppend,
        Kind::SyncAndCut,
    ]);
    let way = prop_oneof![
        2 => select(ERRORS.to_vec()).prop_map(Way::Error),
        1 => any::<u8>().prop_map(Way::Short),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(torn, power)| Way::Dies { torn, power }),
    ];
    let end = select(vec![End::Closed, End::Killed, End::PowerCut]);
    prop_oneof![
        8 => (1..6_u8, 0..120_u8).prop_map(|(records, bytes)| Op::Append { records, bytes }),
        2 => Just(Op::Flush),
        1 => Just(Op::Tend),
        1 => Just(Op::Settle),
        2 => Just(Op::Keep),
        1 => any::<u8>().prop_map(Op::Acknowledge),
        2 => Just(Op::WriteBack),
        1 => Just(Op::Heal),
        3 => (0..8_u8, 1..8_u8, kind, way)
            .prop_map(|(after, calls, kind, way)| Op::Fault { after, calls, kind, way }),
        2 => (end, select(POLICIES.to_vec()), select(vec![1, 400, 1200, 60_000]))
            .prop_map(|(end, policy, segment_bytes)| Op::End { end, policy, segment_bytes }),
    ]
}

fn live(seed: u64, policy: Fsync, segment_bytes: u16, ops: &[Op]) -> Verdict {
    let mut world = World::new(seed, policy, segment_bytes, true)?;
    ops.iter().try_for_each(|op| world.apply(*op))?;
    world.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_keeps_what_its_model_says(
        seed in any::<u64>(),
        policy in select(POLICIES.to_vec()),
        segment_bytes in select(vec![1_u16, 400, 1200, 60_000]),
        ops in vec(op(), 1..40),
    ) {
        if let Err(broken) = live(seed, policy, segment_bytes, &ops) {
            prop_assert!(false, "{broken}");
        }
    }
}

/// A life of about two hundred calls, reopened once in its middle.
fn script(policy: Fsync) -> Vec<Op> {
    let mut ops = Vec::new();
    for half in 0..2 {
        for step in 0..20 {
            ops.push(Op::Append { records: 2, bytes: step * 5 });
            if step % 6 == 5 {
                ops.push(Op::Flush);
            }
            if step % 7 == 6 {
                ops.push(Op::Keep);
            }
        }
        if half == 0 {
            ops.push(Op::End { end: End::Killed, policy, segment_bytes: 1200 });
        }
    }
    ops
}

#[test]
fn every_call_of_a_long_life_may_fail_in_any_way_or_be_the_last_one() {
    let ways = [
        Way::Error(libc::ENOSPC),
        Way::Error(libc::EIO),
        Way::Short(0),
        Way::Short(100),
        Way::Dies { torn: 0, power: false },
        Way::Dies { torn: 100, power: false },
        Way::Dies { torn: 100, power: true },
    ];
    for policy in POLICIES {
        for way in ways {
            for after in 0..=200 {
                let fault = Op::Fault { after, calls: 1, kind: Kind::Any, way };
                let ops: Vec<_> = [fault].into_iter().chain(script(policy)).collect();
                if let Err(broken) = live(u64::from(after), policy, 1200, &ops) {
                    panic!("{policy:?} {way:?} at call {after}: {broken}");
                }
            }
        }
    }
}
