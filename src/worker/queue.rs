//! The ready queue: two lanes, the urgent one first. Tasks are pushed by whoever wakes them and
//! popped by workers; nobody is woken from here.
#![forbid(unsafe_code)]

#[cfg(not(ringpost_loom))]
use crossbeam::queue::SegQueue;

#[cfg(ringpost_loom)]
use super::standin::SegQueue;

/// Which lane of the ready queue a task stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Somebody waits for this task: its mailbox is `Block`, or it reads the ring as required.
    Urgent,
    /// Everything else.
    #[default]
    Normal,
}

/// One turn in so many belongs to the normal lane first.
const TURNS: u32 = 8;

/// Where a worker stands in the round of [`TURNS`]. Each worker has its own.
#[derive(Debug, Default)]
pub(super) struct Turn(u32);

/// Two unbounded queues. A push allocates once in 31 times.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    urgent: SegQueue<T>,
    normal: SegQueue<T>,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { urgent: SegQueue::new(), normal: SegQueue::new() }
    }

    pub(super) fn push(&self, lane: Lane, item: T) {
        match lane {
            Lane::Urgent => self.urgent.push(item),
            Lane::Normal => self.normal.push(item),
        }
    }

    /// The next in turn: seven times the urgent lane has the first say, then once the normal
    /// one. A lane that is empty passes its turn on.
    pub(super) fn pop(&self, turn: &mut Turn) -> Option<T> {
        turn.0 = (turn.0 + 1) % TURNS;
        if turn.0 == 0 {
            self.normal.pop().or_else(|| self.urgent.pop())
        } else {
            self.urgent.pop().or_else(|| self.normal.pop())
        }
    }

    /// Whether both lanes were empty, each at its own moment. Good for a decision to sleep only
    /// after a fence (`ORDER(ready-push)`).
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.normal.is_empty()
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_turn_in_eight_goes_to_the_normal_lane_first() {
        let lanes = Lanes::new();
        for i in 0..64 {
            lanes.push(Lane::Urgent, (Lane::Urgent, i));
            lanes.push(Lane::Normal, (Lane::Normal, i));
        }
        let mut turn = Turn::default();
        let first: Vec<_> = (0..64).filter_map(|_| lanes.pop(&mut turn)).collect();
        for round in first.chunks(8) {
            let urgent = round.iter().filter(|(lane, _)| *lane == Lane::Urgent).count();
            assert_eq!(urgent, 7, "{round:?}");
        }
        let normal: Vec<_> =
            first.iter().filter(|(lane, _)| *lane == Lane::Normal).map(|(_, i)| *i).collect();
        assert_eq!(normal, (0..8).collect::<Vec<_>>(), "a lane is first in, first out");
    }

    #[test]
    fn an_empty_lane_passes_its_turn_on() {
        let lanes = Lanes::new();
        let mut turn = Turn::default();
        for lane in [Lane::Urgent, Lane::Normal] {
            (0..20).for_each(|i| lanes.push(lane, i));
            assert!(!lanes.is_empty());
            let seen: Vec<_> = std::iter::from_fn(|| lanes.pop(&mut turn)).collect();
            assert_eq!(seen, (0..20).collect::<Vec<_>>());
            assert!(lanes.is_empty());
        }
    }
}
