//! How a receiver waits when it finds nothing: linger, yield, search, park.
//!
//! One rule for mailboxes and for readers of the ring, run inside a future, so that workers,
//! tokio tasks and threads share it. The steps were measured: without the linger a receiver
//! follows its sender message by message, and each one costs a cache line's round trip. A task
//! that yields before it sleeps is queued again for nothing, behind those that have work: sixteen
//! receivers as tokio tasks get 1.5 times as much when each sleeps at once.
#![forbid(unsafe_code)]

use std::task::{Context, Poll};

use super::signal::Doorbell;
use crate::sync::hint;

/// How a receiver waits for its next message.
///
/// Sleeping and being woken costs tens of microseconds and the sender about ten; not sleeping
/// costs a core. All of them linger after a batch that came out short, so that messages come in
/// batches: some 0.2 µs, and up to 2 µs where that keeps bringing only a few. A message that comes
/// meanwhile waits for the rest of it. A worker that has other actors to run lingers only inside
/// one that has just found several messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Never sleeps: the lowest latency, for a thread with a core to itself. On an executor it
    /// yields to other tasks, but keeps its worker awake.
    Spin,
    /// Looks again for about as long as a wake-up would take, yielding in between, then sleeps.
    /// For threads that are idle now and then.
    SpinThenPark,
    /// Sleeps after one more look; on a worker that has nothing else to do, after as long as that
    /// would search for work; on one that is wanted elsewhere, when its turn has come once more. For
    /// tasks, and for receivers that are idle most of the time.
    #[default]
    Park,
}

impl Wait {
    /// Whether a receiver that has yielded `round` times sleeps now.
    fn sleeps_after(self, round: u32) -> bool {
        match self {
            Self::Spin => false,
            Self::SpinThenPark => round >= 8,
            Self::Park => true,
        }
    }

    /// Pauses, each with a look, before each yield: a pause is some 30 ns, so eight rounds of 64
    /// take about as long as a wake-up.
    fn pauses(self) -> u32 {
        match self {
            Self::Spin | Self::SpinThenPark => 64,
            Self::Park => 0,
        }
    }
}

/// The thread that runs a receiver, as far as it matters to one that waits.
pub(crate) trait Around {
    /// Whether others wait for this thread.
    fn is_wanted(&self) -> bool;
    /// Looks for as long as this thread would look for something to do before it sleeps, or until it
    /// is wanted; whether `ready` has said so.
    fn search(&self, ready: impl FnMut() -> bool) -> bool;
}

/// A thread that nobody else waits for, and that has its own rule for how to wait.
pub(crate) struct Alone;

impl Around for Alone {
    #[inline]
    fn is_wanted(&self) -> bool {
        false
    }

    #[inline]
    fn search(&self, _ready: impl FnMut() -> bool) -> bool {
        false
    }
}

/// One receiver's state while it finds nothing.
///
/// How long it lingers is learned. A receiver that comes back after a few messages runs after its
/// sender: each message costs both of them a line's round trip, 60 ns on one machine and 400 ns on
/// another. Every time the linger brings only a few it is doubled; when it brings nothing, it was
/// waiting and not running after anybody, and lingers as little as at first.
#[derive(Debug)]
pub(crate) struct Idle {
    wait: Wait,
    /// Pauses before the first look.
    linger: u32,
    /// The shortest and the longest linger: less than it takes to fill the mailbox.
    least: u32,
    most: u32,
    /// How often it has yielded since it last found something.
    round: u32,
    /// The receiver's position when it last found nothing.
    dry_at: u64,
}

/// Fewer messages than this are few: it took longer to hand them over than to handle them.
const FEW: u64 = 16;
/// As many as this are enough to linger less.
const MANY: u64 = 128;

impl Idle {
    /// For a receiver of a mailbox, or of a window of the ring, with this capacity.
    pub(crate) fn new(wait: Wait, capacity: usize) -> Self {
        let least = (capacity / 16).min(8) as u32;
        let most = (capacity / 16).min(64) as u32;
        Self { wait, linger: least, least, most, round: 0, dry_at: 0 }
    }

    /// Something was found: begin with the linger next time.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.round = 0;
    }

    /// Ready when `ready` says so; until then yields, and at last sleeps on `bell`. To be called
    /// after every take that did not fill a batch. `position` counts what the receiver got. Where
    /// others wait for the thread, one who found a single message lets go of it at once; one who
    /// found several runs after its sender, and so may the others, so it lingers all the same. Where
    /// nobody waits, it looks in here for as long as the thread would elsewhere. `coming` says
    /// whether somebody has claimed a place that is not readable yet: who claims first and looks at
    /// the bell later may have looked already, so nobody sleeps then (see `signal`).
    pub(crate) fn poll(
        &mut self,
        bell: &impl Doorbell,
        cx: &mut Context<'_>,
        position: u64,
        around: &impl Around,
        mut ready: impl FnMut() -> bool,
        coming: impl Fn() -> bool,
    ) -> Poll<()> {
        let others = around.is_wanted();
        let found = position.wrapping_sub(std::mem::replace(&mut self.dry_at, position));
        let lingers = self.round == 0 && (!others || found > 1);
        if lingers {
            for _ in 0..self.linger {
                hint::spin_loop();
            }
        }
        if ready() {
            self.round = 0;
            if lingers && found < FEW {
                self.linger = (self.linger * 2).clamp(self.least, self.most);
            } else if found >= MANY {
                self.linger = (self.linger / 2).max(self.least);
            }
            return Poll::Ready(());
        }
        if lingers {
            self.linger = self.least;
        }
        // It will come round again when the others have had their turn, and messages have piled up;
        // asleep, its sender would have to wake it.
        if others && self.round == 0 && found > 1 && self.wait == Wait::Park {
            self.round = 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.wait.sleeps_after(self.round) {
            self.round = self.round.saturating_add(1);
            for _ in 0..self.wait.pauses() {
                hint::spin_loop();
                if ready() {
                    self.round = 0;
                    return Poll::Ready(());
                }
            }
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if lingers && around.search(&mut ready) {
            return Poll::Ready(());
        }
        if bell.park(cx.waker(), || ready() || coming()) {
            return Poll::Pending;
        }
        self.round = 0;
        if coming() && !ready() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use super::*;

    /// A receiver that is told to sleep does.
    struct Bed;

    impl Doorbell for Bed {
        fn park(&self, _: &std::task::Waker, look: impl FnOnce() -> bool) -> bool {
            !look()
        }
    }

    /// A thread that is wanted, or that searches and finds something or not.
    #[derive(Clone, Copy)]
    enum Thread {
        Wanted,
        Searches(bool),
    }

    impl Around for Thread {
        fn is_wanted(&self) -> bool {
            matches!(self, Self::Wanted)
        }

        fn search(&self, _ready: impl FnMut() -> bool) -> bool {
            matches!(self, Self::Searches(true))
        }
    }

    /// A receiver that comes back dry at `position`; `brings` is whether the linger brought more.
    fn come_back(idle: &mut Idle, position: u64, brings: bool) {
        let task = &mut Context::from_waker(std::task::Waker::noop());
        let polled = idle.poll(&Bed, task, position, &Alone, || brings, || false);
        assert_eq!(polled.is_ready(), brings);
    }

    #[test]
    fn who_runs_after_its_sender_lingers_longer_and_who_waits_does_not() {
        let mut idle = Idle::new(Wait::Park, 1024);
        let mut position = 0;
        let lingers: Vec<_> = (0..5)
            .map(|_| {
                position += 1;
                come_back(&mut idle, position, true);
                idle.linger
            })
            .collect();
        assert_eq!(lingers, [16, 32, 64, 64, 64]);
        position += MANY;
        come_back(&mut idle, position, true);
        assert_eq!(idle.linger, 32, "so many are enough to linger less");
        come_back(&mut idle, position + 1, false);
        assert_eq!(idle.linger, 8, "it has waited in vain");
    }

    #[test]
    fn a_small_mailbox_would_fill_up_while_its_receiver_lingers() {
        let mut idle = Idle::new(Wait::Park, 64);
        (1..9).for_each(|position| come_back(&mut idle, position, true));
        assert_eq!(idle.linger, 4);
    }

    #[test]
    fn nobody_sleeps_over_a_place_that_was_claimed() {
        let mut idle = Idle::new(Wait::Park, 4);
        let task = &mut Context::from_waker(std::task::Waker::noop());
        let (bell, lies) = (std::cell::Cell::new(0), |n: u32| n > 0);
        let look = || {
            bell.set(bell.get() + 1);
            lies(bell.get())
        };
        // Neither readable nor asleep: it has asked to be polled again, and so is asked again.
        assert!(idle.poll(&Bed, task, 0, &Alone, || false, look).is_pending());
        assert!(bell.get() >= 2, "asked before it would sleep, and after");
    }

    #[test]
    fn where_others_wait_a_receiver_that_found_something_comes_round_once_before_it_sleeps() {
        let mut idle = Idle::new(Wait::Park, 1024);
        let task = &mut Context::from_waker(std::task::Waker::noop());
        let mut poll =
            |position| idle.poll(&Bed, task, position, &Thread::Wanted, || false, || false);
        assert!(poll(5).is_pending());
        assert!(poll(5).is_pending());
        assert_eq!((idle.round, idle.linger), (1, 8));
    }

    #[test]
    fn where_others_wait_too_one_who_found_several_lingers_and_one_who_found_one_does_not() {
        let linger_after = |found| {
            let mut idle = Idle::new(Wait::Park, 1024);
            let task = &mut Context::from_waker(std::task::Waker::noop());
            let polled = idle.poll(&Bed, task, found, &Thread::Wanted, || true, || false);
            assert!(polled.is_ready());
            idle.linger
        };
        assert_eq!([1, 2, 15, 16].map(linger_after), [8, 16, 16, 8], "longer, if it lingers");
    }

    #[test]
    fn where_nobody_waits_a_receiver_searches_before_it_sleeps() {
        let mut idle = Idle::new(Wait::Park, 1024);
        let task = &mut Context::from_waker(std::task::Waker::noop());
        let mut poll = |finds| {
            let around = &Thread::Searches(finds);
            idle.poll(&Bed, task, 1, around, || false, || false)
        };
        assert!(poll(true).is_ready());
        assert!(poll(false).is_pending(), "asleep");
    }
}
