//! How a receiver waits when it finds nothing: linger, yield, park.
//!
//! One rule for mailboxes and for readers of the ring, run inside a future, so that workers,
//! tokio tasks and threads share it. Both steps were measured: without the linger a receiver
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
/// costs a core. All of them linger for some 0.2 µs after a batch that came out short, so that
/// messages come in batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Never sleeps: the lowest latency, for a thread with a core to itself. On an executor it
    /// yields to other tasks, but keeps its worker awake.
    Spin,
    /// Looks again for about as long as a wake-up would take, yielding in between, then sleeps.
    /// For threads that are idle now and then.
    SpinThenPark,
    /// Sleeps after one more look. For tasks, and for receivers that are idle most of the time.
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

/// One receiver's state while it finds nothing.
#[derive(Debug)]
pub(crate) struct Idle {
    wait: Wait,
    /// Pauses before the first look: at most 8, and less than it takes to fill the mailbox.
    linger: u32,
    /// How often it has yielded since it last found something.
    round: u32,
}

impl Idle {
    /// For a receiver of a mailbox, or of a window of the ring, with this capacity.
    pub(crate) fn new(wait: Wait, capacity: usize) -> Self {
        Self { wait, linger: (capacity / 16).min(8) as u32, round: 0 }
    }

    /// Something was found: begin with the linger next time.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.round = 0;
    }

    /// Does without the linger this time: others wait for the thread.
    #[inline]
    pub(crate) fn hurry(&mut self) {
        self.round = self.round.max(1);
    }

    /// Ready when `ready` says so; until then yields, and at last sleeps on `bell`. To be called
    /// after every take that did not fill a batch.
    pub(crate) fn poll(
        &mut self,
        bell: &impl Doorbell,
        cx: &mut Context<'_>,
        mut ready: impl FnMut() -> bool,
    ) -> Poll<()> {
        if self.round == 0 {
            for _ in 0..self.linger {
                hint::spin_loop();
            }
        }
        if ready() {
            self.round = 0;
            return Poll::Ready(());
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
        if bell.park(cx.waker(), &mut ready) {
            return Poll::Pending;
        }
        self.round = 0;
        Poll::Ready(())
    }
}
