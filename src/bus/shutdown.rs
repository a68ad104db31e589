//! Closing a bus in order: refuse, drain, stop, report.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::alarm;
use super::core::Core;
use super::settle::{Settle, Unsettled};
use super::stats::account;
use super::table::Member;
use crate::actor::scope;
use crate::actor::subscriber::Life;
use crate::{Message, Sequence, SubscriptionStats};

/// What a shutdown left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Messages published in the bus's life.
    pub published: u64,
    /// The sequence that the next message would have got.
    pub next_sequence: Sequence,
    /// The final account of each subscription that was there when the shutdown began.
    pub subscriptions: Vec<SubscriptionStats>,
    /// Subscriptions whose handler had not returned when the time was over. They were left
    /// running; what was queued for them counts as `dropped(shutdown)` once they look.
    pub stuck: Vec<u64>,
    /// Whether every journal has flushed what was published; true if there is none, and of one
    /// that its owner had stopped before, which stored everything until then.
    pub flushed: bool,
}

impl ShutdownReport {
    /// Whether every message was handled and flushed, and every actor has stopped.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.flushed
            && self.stuck.is_empty()
            && self.subscriptions.iter().all(|one| one.queued == 0)
    }

    /// Messages lost by all subscriptions in the bus's life.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.subscriptions.iter().map(SubscriptionStats::total_dropped).sum()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} published, {} dropped", self.published, self.dropped())?;
        if !self.stuck.is_empty() {
            write!(f, ", {} subscriptions stuck", self.stuck.len())?;
        }
        Ok(())
    }
}

/// How long the actors have, once the deadline has passed, to see that they are to give up.
const GRACE: Duration = Duration::from_millis(100);

/// Shuts the bus down within `deadline`.
pub(crate) fn shutdown<M: Message>(core: &Core<M>, deadline: Duration) -> ShutdownReport {
    let until = alarm::after(deadline);
    core.refuse();
    let members = core.table.members();
    // Whether it settles or not, the rest follows; what is left over is in the report.
    let _settled: Result<(), Unsettled> = Settle::new(core).wait_blocking(until);
    let end = core.close();
    let stuck = if scope::inside() {
        // The handler that asks would wait for itself. The actors drain when it has returned.
        await_end(&members, Instant::now())
    } else if await_end(&members, until).is_empty() {
        Vec::new()
    } else {
        for member in members.iter().filter(|member| !matches!(member, Member::Inline(_))) {
            member.subscriber().advance(Life::Abandoned);
        }
        core.wake_all();
        // Whoever is not inside a slow handler looks now.
        await_end(&members, Instant::now() + GRACE)
    };
    // Their readers go on until the final tail, whatever became of the subscriptions.
    let last = (end > core.log.start()).then(|| Sequence::new(end - 1));
    let flushers = core.flushers.lock().unwrap_or_else(PoisonError::into_inner);
    let mut flushed = true;
    for flush in flushers.iter() {
        // Each of them is told, whether the others did it or not: also where nothing was published,
        // some may be at work on what was stored before.
        flushed &= flush(last, until.saturating_duration_since(Instant::now()));
    }
    drop(flushers);
    ShutdownReport {
        published: end - core.log.start(),
        next_sequence: Sequence::new(end),
        subscriptions: members.iter().map(|member| account(Some(core), member)).collect(),
        stuck,
        flushed,
    }
}

/// Waits for the run loops to end; gives the numbers of those that did not in time.
fn await_end<M: Message>(members: &[Member<M>], until: Instant) -> Vec<u64> {
    let running = |member: &&Member<M>| {
        !matches!(member, Member::Inline(_))
            && !matches!(member.subscriber().life(), Life::Ended | Life::Failed)
    };
    let mut looks = 0_u32;
    loop {
        let left: Vec<_> =
            members.iter().filter(running).map(|member| member.subscriber().id).collect();
        if left.is_empty() || Instant::now() >= until {
            return left;
        }
        looks += 1;
        if looks <= 64 {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
