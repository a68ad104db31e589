//! The matches of a query, in order, while other threads look for more.
#![forbid(unsafe_code)]

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::search::{Findings, Search};
use super::share::{Sealed, Share, shares};
use super::{Order, Query};
use crate::Sequence;
use crate::event::Event;
use crate::store::journal::index;
use crate::store::journal::read::{Damage, Position, Target};
use crate::store::journal::segment::SegmentNumber;
use crate::store::{StoreError, StoreErrorKind};

/// An event that matches.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Match<'m> {
    /// Its line as it stands in the file, without the newline; empty if lines are not wanted.
    pub line: &'m [u8],
    /// Its sequence; a foreign line may have none.
    pub sequence: Option<Sequence>,
    /// Where the line begins.
    pub position: Position,
    /// The value by which matches are grouped, as JSON; `null` where there is none.
    pub group: Option<&'m str>,
}

/// What a thread finds in a range; nothing at its end.
type Found = Receiver<Option<Result<Findings, StoreError>>>;

/// The matches of a query, one after the other. Dropping it ends the search.
#[derive(Debug)]
pub struct Matches {
    search: Arc<Search>,
    order: Order,
    /// Still to be given out.
    left: u64,
    /// Not searched yet.
    shares: VecDeque<Share>,
    /// Being searched, in order.
    ahead: VecDeque<Found>,
    most_ahead: usize,
    /// What is being given out, and how much of it was.
    findings: Findings,
    given: usize,
    /// Which of them was given out last.
    last_given: Option<usize>,
    /// The last sequence given out.
    last: Option<Sequence>,
    damaged: u64,
    first_damage: Option<Damage>,
    /// Segments that were removed before they were searched to their end.
    gone: BTreeSet<SegmentNumber>,
    stopped: bool,
    done: u64,
    total: u64,
    pool: ThreadPool,
}

impl Matches {
    pub(super) fn start(target: Target, query: Query) -> Result<Self, StoreError> {
        let Query { selection, order, limit, group, keeps_lines, keeps_events, stop } = query;
        let window = selection.window();
        let (shares, total, gone) = shares(&target, order, window)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(shares.len().max(1));
        // A pool of its own: whoever runs in another one may wait for this.
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            // Whoever waits for the findings sees that none come.
            .panic_handler(|_| {})
            .thread_name(|number| format!("ringpost-query-{number}"))
            .build()
            .map_err(|error| {
                StoreError::new(StoreErrorKind::Io, "start the threads of a query")
                    .with_source(error)
            })?;
        let prefilter = selection.prefilter();
        let search =
            Search { target, selection, window, prefilter, group, keeps_lines, keeps_events, stop };
        Ok(Self {
            search: Arc::new(search),
            order,
            left: limit.unwrap_or(u64::MAX),
            shares,
            ahead: VecDeque::new(),
            most_ahead: threads * 2 + 1,
            findings: Findings::default(),
            given: 0,
            last_given: None,
            last: None,
            damaged: 0,
            first_damage: None,
            gone,
            stopped: false,
            done: 0,
            total,
            pool,
        })
    }

    /// The next match; `None` when there are no more.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read. Nothing comes after that.
    #[expect(clippy::should_implement_trait, reason = "it lends from itself")]
    pub fn next(&mut self) -> Result<Option<Match<'_>>, StoreError> {
        loop {
            if self.left == 0 {
                self.stop();
                return Ok(None);
            }
            let count = self.findings.matches.len();
            if self.given == count {
                if !self.advance()? {
                    return Ok(None);
                }
                continue;
            }
            let number = match self.order {
                Order::Ascending => self.given,
                Order::Descending => count - 1 - self.given,
            };
            self.given += 1;
            if self.is_repeated(self.findings.matches[number].sequence) {
                continue;
            }
            self.left -= 1;
            self.last_given = Some(number);
            let hit = &self.findings.matches[number];
            return Ok(Some(Match {
                line: &self.findings.text[hit.line.clone()],
                sequence: hit.sequence,
                position: hit.position,
                group: hit.group.as_deref(),
            }));
        }
    }

    /// The event of the match that was given out last, if the query asked
    /// [for events](Query::with_events); once.
    pub fn take_event(&mut self) -> Option<Event> {
        self.findings.matches.get_mut(self.last_given?)?.event.take()
    }

    /// Damaged lines that were met so far.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The first damage that was met so far.
    #[must_use]
    pub fn first_damage(&self) -> Option<&Damage> {
        self.first_damage.as_ref()
    }

    /// Segments so far that were there when the search began and that retention removed before
    /// they were searched: what may have matched in them is not among the matches.
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.gone.len() as u64
    }

    /// Whether it ended because it [was to stop](Query::with_stop). The matches given out are the
    /// first of all that there are.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// How many bytes of the journal were gone through, and how many there are.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.done, self.total)
    }

    /// Waits for the next range's findings; false if there are none left.
    fn advance(&mut self) -> Result<bool, StoreError> {
        let findings = loop {
            // They are begun in this order, so the first is always under way.
            while self.ahead.len() < self.most_ahead
                && let Some(share) = self.shares.pop_front()
            {
                match share {
                    Share::Sealed(sealed) if self.unfold(sealed) => {}
                    share => self.ahead.push_back(self.begin(share)),
                }
            }
            let Some(first) = self.ahead.front() else { return Ok(false) };
            match first.recv() {
                Ok(Some(findings)) => break findings,
                Ok(None) => drop(self.ahead.pop_front()),
                Err(_) => {
                    let attempt = "search a part of the journal: its thread panicked";
                    break Err(StoreError::new(StoreErrorKind::Io, attempt));
                }
            }
        };
        let findings = findings.inspect_err(|_| self.stop())?;
        if findings.stopped {
            self.stopped = true;
            self.stop();
            return Ok(false);
        }
        self.done += findings.bytes;
        self.damaged += findings.damaged;
        self.gone.extend(findings.gone);
        if self.first_damage.is_none() {
            self.first_damage.clone_from(&findings.first_damage);
        }
        self.findings = findings;
        self.given = 0;
        self.last_given = None;
        Ok(true)
    }

    /// Puts the ranges of a segment in its place: those that its index leaves; all of them, if it
    /// has none and none is worth making. False if a thread is to see to that.
    fn unfold(&mut self, sealed: Sealed) -> bool {
        let search = &self.search;
        let ranges = match index::kept(&search.target, sealed.segment()) {
            Some(index) => {
                let (ranges, passed) = sealed.wanted(&index, search.window, self.order);
                self.done += passed;
                ranges
            }
            // Most lines are dropped unread: to read them for an index would cost far more.
            None if !search.prefilter.is_empty() => sealed.all(self.order),
            None => return false,
        };
        for range in ranges.into_iter().rev() {
            self.shares.push_front(Share::Range(range));
        }
        true
    }

    /// Has a share searched. What was found comes in parts, then nothing.
    fn begin(&self, share: Share) -> Found {
        let (sender, found) = sync_channel(1);
        let search = Arc::clone(&self.search);
        let order = self.order;
        self.pool.spawn_fifo(move || {
            let mut give = |findings| sender.send(Some(Ok(findings))).is_ok();
            let searched = match share {
                Share::Range(range) => search.range(range, &mut give),
                Share::Sealed(sealed) => search.sealed(sealed, order, &mut give),
            };
            // Nobody may want it any more.
            let _ = match searched {
                Ok(_) => sender.send(None),
                Err(error) => sender.send(Some(Err(error))),
            };
        });
        found
    }

    fn stop(&mut self) {
        self.shares.clear();
        self.ahead.clear();
        self.findings = Findings::default();
        self.given = 0;
        self.last_given = None;
    }

    /// Whether it is a record that was written again after a failed sync: of both, one is given
    /// out.
    fn is_repeated(&mut self, sequence: Option<Sequence>) -> bool {
        if sequence.is_none() || !self.search.target.hides_repeats() {
            return false;
        }
        let repeated = match (self.order, self.last) {
            (_, None) => false,
            (Order::Ascending, last) => sequence <= last,
            (Order::Descending, last) => sequence >= last,
        };
        if !repeated {
            self.last = sequence;
        }
        repeated
    }
}
