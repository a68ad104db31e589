//! Waiting until everything published, and all that it caused, has been handled.
//!
//! A round notes how far the ring and every mailbox have been written, and waits until every
//! subscription has handled all of that. If a handler published meanwhile, another round follows.
//! Publishes whose call had not returned, tasks that a handler started on its own, what `on_idle`
//! publishes once everything was handled, and messages that come back by way of another bus are
//! not covered.
//!
//! Waiting looks again and again, at first at once and then every millisecond: a settle is for
//! tests, drains and shutdowns, and so costs the path of a message nothing.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::alarm::{self, Alarm};
use super::core::Core;
use super::table::Member;
use crate::Message;
use crate::actor::scope;
use crate::actor::subscriber::Life;

/// What was still open when a settle's time was over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsettled {
    /// Subscriptions that had not handled everything: number, pattern, and how many messages.
    pub open: Vec<(u64, String, u64)>,
    /// Whether it was asked for from inside a handler, which would wait for itself.
    pub inside_handler: bool,
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside_handler {
            return f.write_str("settle was called inside a handler, which would wait for itself");
        }
        f.write_str("time was over with messages still open:")?;
        for (index, (id, pattern, count)) in self.open.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {count} for subscription {id} (`{pattern}`)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Unsettled {}

/// How far one subscription must get.
struct Goal<M: Message> {
    member: Member<M>,
    /// `None` until it has caught up with the past it asked for.
    position: Option<u64>,
}

impl<M: Message> Goal<M> {
    fn new(core: &Core<M>, member: Member<M>) -> Self {
        let mut goal = Self { member, position: None };
        goal.note(core);
        goal
    }

    /// Notes what has been written for it so far.
    fn note(&mut self, core: &Core<M>) {
        let subscriber = self.member.subscriber();
        self.position = match &self.member {
            _ if !subscriber.is_caught_up() => None,
            Member::Mailbox(target) => Some(target.addr.tail()),
            Member::Ring(_) => Some(core.log.tail()),
            // Whoever has let go of its log is done.
            Member::Shared(member) => Some(member.log().map_or(0, |log| log.log.tail())),
            // Inline handlers run before their publish returns.
            Member::Inline(_) => Some(0),
        };
    }

    fn is_reached(&mut self, core: &Core<M>) -> bool {
        let subscriber = self.member.subscriber();
        if matches!(subscriber.life(), Life::Ended | Life::Failed) {
            return true;
        }
        if self.position.is_none() {
            self.note(core);
        }
        self.position.is_some_and(|position| {
            matches!(self.member, Member::Inline(_))
                || self.member.subscriber().ledger.runner.done() >= position
        })
    }

    fn open(&self) -> (u64, String, u64) {
        let subscriber = self.member.subscriber();
        let done = subscriber.ledger.runner.done();
        let open = self.position.map_or(0, |position| position.saturating_sub(done));
        (subscriber.id, subscriber.pattern.to_string(), open)
    }
}

/// One settle under way.
pub(crate) struct Settle<'a, M: Message> {
    core: &'a Core<M>,
    goals: Vec<Goal<M>>,
    caused: u64,
    looks: u32,
}

impl<'a, M: Message> Settle<'a, M> {
    pub(crate) fn new(core: &'a Core<M>) -> Self {
        let mut settle = Self { core, goals: Vec::new(), caused: 0, looks: 0 };
        settle.begin_round();
        settle
    }

    fn begin_round(&mut self) {
        // Before the goals: a message published inside a handler after this is either below a
        // goal or makes another round.
        self.caused = self.core.caused.get();
        let members = self.core.table.members();
        self.goals = members.into_iter().map(|member| Goal::new(self.core, member)).collect();
    }

    /// Whether everything is quiet.
    fn look(&mut self) -> bool {
        self.looks += 1;
        loop {
            let core = self.core;
            self.goals.retain_mut(|goal| !goal.is_reached(core));
            if !self.goals.is_empty() {
                return false;
            }
            if self.core.caused.get() == self.caused {
                return true;
            }
            self.begin_round();
        }
    }

    /// How long to wait before the next look.
    fn pause(&self) -> Duration {
        match self.looks {
            0..=64 => Duration::ZERO,
            65..=128 => Duration::from_micros(100),
            _ => Duration::from_millis(1),
        }
    }

    fn unsettled(self) -> Unsettled {
        Unsettled { open: self.goals.iter().map(Goal::open).collect(), inside_handler: false }
    }

    /// Waits on this thread.
    pub(crate) fn wait_blocking(mut self, deadline: Instant) -> Result<(), Unsettled> {
        if scope::inside() {
            return Err(Unsettled { open: Vec::new(), inside_handler: true });
        }
        while !self.look() {
            if Instant::now() >= deadline {
                return Err(self.unsettled());
            }
            match self.pause() {
                Duration::ZERO => std::thread::yield_now(),
                pause => std::thread::sleep(pause),
            }
        }
        Ok(())
    }

    /// Waits as a task.
    pub(crate) async fn wait(mut self, deadline: Instant) -> Result<(), Unsettled> {
        if scope::inside() {
            return Err(Unsettled { open: Vec::new(), inside_handler: true });
        }
        let mut alarmed: Option<Alarm> = None;
        let settled = poll_fn(|task| {
            if self.look() {
                return Poll::Ready(true);
            }
            let now = Instant::now();
            if now >= deadline {
                return Poll::Ready(false);
            }
            match self.pause() {
                Duration::ZERO => task.waker().wake_by_ref(),
                pause => {
                    let at = deadline.min(now + pause);
                    alarmed = Some(alarm::wake_at(at, task.waker().clone()));
                }
            }
            Poll::Pending
        })
        .await;
        drop(alarmed);
        if settled { Ok(()) } else { Err(self.unsettled()) }
    }
}
