//! Waiting for whoever had no room: a `Block` mailbox, or a required reader of the ring.
//!
//! Nobody waits while holding a place: by then everything was given back.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::alarm;
use super::core::Core;
use super::route::Target;
use crate::Message;
use crate::block_on::block_on;
use crate::mailbox::Overflow;
use crate::mailbox::space::Space;

/// How often a publish looks for room before it sleeps: half of the looks a pause apart, some
/// 2 µs in all, the others a yield apart.
const LOOKS: u32 = 128;

/// Where there was no room.
pub(crate) enum Room<M: Message> {
    Mailbox(Arc<Target<M>>),
    Ring,
}

impl<M: Message> Room<M> {
    /// How long a publish waits for it.
    pub(crate) fn timeout(&self, core: &Core<M>) -> Duration {
        match self {
            Self::Mailbox(target) => match target.overflow {
                Overflow::Block { timeout } => timeout,
                _ => Duration::ZERO,
            },
            Self::Ring => core.table.longest_patience().unwrap_or(core.settings.publish_timeout),
        }
    }

    fn space<'a>(&'a self, core: &'a Core<M>) -> &'a Space {
        match self {
            Self::Mailbox(target) => target.addr.space(),
            Self::Ring => &core.room,
        }
    }

    /// Whether it is worth trying again.
    fn has_some(&self, core: &Core<M>, n: usize) -> bool {
        match self {
            Self::Mailbox(target) => target.addr.has_room(n),
            Self::Ring => core.log.has_room(n),
        }
    }

    /// Waits on this thread; whether it is worth trying again before the deadline.
    ///
    /// A reader that keeps up makes room in less time than a sleep and a wake take (some 10 µs
    /// for either side), so the first looks are close together.
    pub(crate) fn wait_blocking(&self, core: &Core<M>, n: usize, deadline: Instant) -> bool {
        for look in 0..LOOKS {
            if self.has_some(core, n) {
                return true;
            }
            if look < LOOKS / 2 {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        block_on(self.space(core).wait(|| self.has_some(core, n)), Some(deadline)).is_some()
    }

    /// Waits as a task; whether it is worth trying again before the deadline.
    pub(crate) async fn wait(&self, core: &Core<M>, n: usize, deadline: Instant) -> bool {
        let mut waiting = self.space(core).waiting();
        let mut alarmed: Option<Waker> = None;
        std::future::poll_fn(|task| {
            if waiting.poll(task, || self.has_some(core, n)).is_ready() {
                return Poll::Ready(true);
            }
            if Instant::now() >= deadline {
                return Poll::Ready(false);
            }
            if !alarmed.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
                alarm::wake_at(deadline, task.waker().clone());
                alarmed = Some(task.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// Tries again whenever there is room, until the timeout of whoever had none; `None` if that
/// passes.
pub(crate) fn insist<M: Message, R>(
    core: &Core<M>,
    mut room: Room<M>,
    n: usize,
    mut attempt: impl FnMut() -> Result<R, Room<M>>,
) -> Option<R> {
    let since = Instant::now();
    loop {
        let deadline = since + room.timeout(core);
        // A ring without a free block has room by its numbers: then only the clock ends this.
        if !room.wait_blocking(core, n, deadline) || Instant::now() >= deadline {
            return None;
        }
        std::thread::yield_now();
        match attempt() {
            Ok(done) => return Some(done),
            Err(next) => room = next,
        }
    }
}
