//! The crew: the threads of a pool, and what a worker does all day. Started by `pool.rs` on the
//! first spawn; no thread is ever joined, least of all by itself.
#![forbid(unsafe_code)]

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::park::{Rose, Sleeper};
use super::pool::Settings;
use super::queue::Turn;
use super::ready::Ready;
use super::search::Search;
use super::seat::Seat;
use super::spare;
use super::task::{After, Runnable};
use crate::sync::atomic::{AtomicU64, Ordering::*};
use crate::sync::thread;

/// Threads beyond the pool's size, for workers that are stuck.
const SURPLUS: usize = 64;
/// A worker whose beat stood still for so many ticks is stuck.
const STILL: u32 = 2;
/// Who was called back within so many searches, about a search and a wake, should have searched
/// longer: the next search is a full one.
const SHORT_NIGHT: u32 = 4;
/// Polls of a task that is alone before its worker offers the core.
const REPOLLS: u32 = 64;
/// Yields at the end of a search.
const YIELDS: u32 = 3;

/// All that a thread of the pool needs.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) ready: Arc<Ready>,
    settings: Settings,
    roster: Mutex<Roster>,
    ticks: AtomicU64,
}

#[derive(Debug, Default)]
struct Roster {
    /// The workers; the spare is none.
    posts: Vec<Post>,
    spare: bool,
    /// Threads ever started, for their names.
    started: usize,
    replaced: u64,
}

/// A worker as the spare sees it.
#[derive(Debug)]
struct Post {
    seat: Arc<Seat>,
    /// Its beats at the last tick, if it was inside a task.
    last: Option<u64>,
    /// Ticks since they moved.
    still: u32,
    /// Still for too long, while work was waiting.
    stuck: bool,
}

impl Post {
    fn new(seat: Arc<Seat>) -> Self {
        Self { seat, last: None, still: 0, stuck: false }
    }

    /// Stuck at the last tick, and not moved since.
    fn is_stuck(&self) -> bool {
        self.stuck && self.seat.running() == self.last
    }
}

/// Why a worker stopped working.
enum Leaving {
    Ended,
    Surplus,
}

/// What `WorkersStats` reports.
pub(super) struct Report {
    pub(super) threads: usize,
    pub(super) stuck: usize,
    pub(super) replaced: u64,
    pub(super) searches: u64,
    pub(super) ticks: u64,
}

impl Crew {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            ready: Ready::new(),
            settings,
            roster: Mutex::default(),
            ticks: AtomicU64::new(0),
        })
    }

    /// Starts the workers and the spare. Called once.
    ///
    /// # Errors
    /// The operating system gave not even one thread. With fewer than asked for, the pool works.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut refused = None;
        for _ in 0..self.settings.threads {
            refused = self.start_thread(false).err().or(refused);
        }
        // Without a spare the pool works too; only a stuck worker is not replaced.
        let _ = self.start_thread(true);
        match refused {
            Some(error) if self.roster().posts.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    fn start_thread(self: &Arc<Self>, as_spare: bool) -> io::Result<()> {
        let Settings { search, .. } = self.settings;
        let seat = Arc::new(Seat::new(Search::new(search, self.settings.searchers())));
        let number = {
            let mut roster = self.roster();
            if as_spare {
                roster.spare = true;
            } else {
                roster.posts.push(Post::new(Arc::clone(&seat)));
            }
            roster.started += 1;
            roster.started - 1
        };
        let (crew, own) = (Arc::clone(self), Arc::clone(&seat));
        let started = thread::Builder::new()
            .name(format!("ringpost-worker-{number}"))
            .spawn(move || crew.live(&own, number, as_spare));
        if let Err(error) = started {
            if as_spare {
                self.roster().spare = false;
            } else {
                self.leave(&seat);
            }
            return Err(error);
        }
        Ok(())
    }

    /// A thread's life.
    fn live(self: &Arc<Self>, seat: &Arc<Seat>, number: usize, mut as_spare: bool) {
        seat.take(&self.ready);
        if let Some(hook) = &self.settings.on_thread_start {
            self.ready.guarded(|| hook(number));
        }
        loop {
            if as_spare {
                if !spare::watch(self, seat) {
                    return;
                }
                // This thread is a worker now. If no other can be had to be the spare, it will
                // be it again when it has nothing to do.
                let _ = self.start_thread(true);
            }
            match self.work(seat) {
                Leaving::Ended => return self.leave(seat),
                Leaving::Surplus => as_spare = self.claim_spare(),
            }
            if !as_spare {
                return;
            }
        }
    }

    fn work(&self, seat: &Seat) -> Leaving {
        let sleeper = Sleeper::new();
        let mut turn = Turn::default();
        // Whether this worker counts as searching in the lot.
        let mut searching = false;
        loop {
            if let Some(task) = self.ready.lanes.pop(&mut turn) {
                if mem::take(&mut searching) {
                    self.ready.found();
                }
                self.run(seat, task);
                continue;
            }
            searching = searching || seat.search.begin(&self.ready);
            if searching && self.search(&seat.search) {
                continue;
            }
            let patience = self.is_surplus().then_some(self.settings.surplus_patience);
            let waiting = || !self.ready.lanes.is_empty();
            let parked = Instant::now();
            let rose = self.ready.lot.park(&sleeper, searching, patience, waiting);
            if parked.elapsed() < seat.search.full() * SHORT_NIGHT {
                seat.search.lengthen();
            }
            match rose {
                Rose::Searching => searching = true,
                Rose::Ended => return Leaving::Ended,
                Rose::Overslept => {
                    searching = false;
                    if self.leave_surplus(seat) {
                        return Leaving::Surplus;
                    }
                }
            }
        }
    }

    /// Runs a task, again at once as long as it is rung and nobody else is ready. It may be
    /// waiting for something by yielding: so the core is offered now and then.
    fn run(&self, seat: &Seat, mut task: Arc<dyn Runnable>) {
        seat.set_running(true);
        for turn in 1_u32.. {
            seat.beat().beat();
            match task.run() {
                After::Gone => break,
                After::Ready(again) if self.ready.lanes.is_empty() => {
                    task = again;
                    if turn.is_multiple_of(REPOLLS) {
                        thread::yield_now();
                    }
                }
                After::Ready(again) => {
                    self.ready.push(again.lane(), again);
                    break;
                }
            }
        }
        seat.set_running(false);
    }

    /// Looks for work: first pausing, then yielding, because the pusher may need this very core.
    fn search(&self, search: &Search) -> bool {
        let found = || !self.ready.lanes.is_empty();
        (!search.take_spent() && search.look(found))
            || (0..YIELDS).any(|_| {
                thread::yield_now();
                found()
            })
    }

    /// Called by the spare at each tick. True, and `seat` is on the roster, if work is `waiting`,
    /// no worker is about to take it, and too few of them are not stuck.
    pub(super) fn take_over(&self, seat: &Arc<Seat>, waiting: bool) -> bool {
        // ORDER: Relaxed; a statistic.
        self.ticks.fetch_add(1, Relaxed);
        let lot = self.ready.lot.counts();
        let needed = waiting && lot.searching == 0 && lot.parked == 0;
        let mut roster = self.roster();
        for post in &mut roster.posts {
            let beats = post.seat.running();
            if beats.is_some() && beats == post.last {
                post.still = post.still.saturating_add(1);
                post.stuck |= needed && post.still >= STILL;
            } else {
                *post = Post { last: beats, ..Post::new(Arc::clone(&post.seat)) };
            }
        }
        let threads = self.settings.threads;
        if !needed || roster.able() >= threads || roster.posts.len() >= threads + SURPLUS {
            return false;
        }
        roster.replaced += 1;
        roster.spare = false;
        roster.posts.push(Post::new(Arc::clone(seat)));
        true
    }

    fn is_surplus(&self) -> bool {
        self.roster().able() > self.settings.threads
    }

    /// Takes a worker too many off the roster.
    fn leave_surplus(&self, seat: &Seat) -> bool {
        let mut roster = self.roster();
        let surplus = roster.able() > self.settings.threads;
        if surplus {
            roster.remove(seat);
        }
        surplus
    }

    fn leave(&self, seat: &Seat) {
        self.roster().remove(seat);
    }

    /// True if there is no spare and the caller is it now.
    fn claim_spare(&self) -> bool {
        !mem::replace(&mut self.roster().spare, true)
    }

    pub(super) fn report(&self) -> Report {
        let roster = self.roster();
        Report {
            threads: roster.posts.len(),
            stuck: roster.posts.iter().filter(|post| post.is_stuck()).count(),
            replaced: roster.replaced,
            // ORDER: Relaxed; statistics.
            searches: self.ready.searches(),
            ticks: self.ticks.load(Relaxed),
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Roster {
    /// Workers that are not stuck.
    fn able(&self) -> usize {
        self.posts.iter().filter(|post| !post.is_stuck()).count()
    }

    fn remove(&mut self, seat: &Seat) {
        self.posts.retain(|post| !std::ptr::eq(&*post.seat, seat));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::pool::Workers;

    /// A crew of one worker that is inside a task, and no thread.
    fn crew_of_one() -> (Arc<Crew>, Arc<Seat>) {
        let crew = Crew::new(Workers::builder().threads(1).settings);
        let seat = Arc::new(Seat::default());
        seat.set_running(true);
        crew.roster().posts.push(Post::new(Arc::clone(&seat)));
        (crew, seat)
    }

    #[test]
    fn a_worker_that_beats_is_not_replaced() {
        let (crew, seat) = crew_of_one();
        for _ in 0..100 {
            seat.beat().beat();
            assert!(!crew.take_over(&Arc::default(), true));
        }
        assert_eq!(crew.report().stuck, 0);
    }

    #[test]
    fn a_worker_outside_a_task_is_not_stuck() {
        let (crew, seat) = crew_of_one();
        seat.set_running(false);
        assert!((0..100).all(|_| !crew.take_over(&Arc::default(), true)));
    }

    #[test]
    fn a_worker_still_over_two_ticks_is_replaced() {
        let (crew, seat) = crew_of_one();
        let ticks = |waiting| (1..=10).find(|_| crew.take_over(&Arc::default(), waiting));
        assert_eq!(ticks(false), None, "nobody waits");
        seat.beat().beat();
        assert_eq!(ticks(true), Some(3), "a tick that sees it move, then two still ones");
        assert_eq!((crew.report().stuck, crew.report().threads), (1, 2));
        assert_eq!(ticks(true), None, "it is replaced already");
        seat.beat().beat();
        assert_eq!(crew.report().stuck, 0, "it moves again");
        assert_eq!(ticks(true), None, "stuck again, but its replacement is still there");
        assert_eq!((crew.report().stuck, crew.report().replaced), (1, 1));
    }

    #[test]
    fn a_worker_too_many_leaves_only_while_enough_are_able() {
        let (crew, stuck) = crew_of_one();
        let seat = Arc::default();
        assert!((0..3).any(|_| crew.take_over(&seat, true)));
        assert!(!crew.is_surplus() && !crew.leave_surplus(&seat), "the other one is stuck");
        stuck.beat().beat();
        assert!(crew.is_surplus() && crew.leave_surplus(&seat));
        assert!(!crew.is_surplus());
        assert_eq!(crew.report().threads, 1);
    }

    #[test]
    fn no_more_than_the_surplus_is_added() {
        let (crew, _stuck) = crew_of_one();
        let mut added = 0;
        for _ in 0..10 * SURPLUS {
            // Each replacement gets stuck in its turn.
            let seat = Arc::new(Seat::default());
            seat.set_running(true);
            added += usize::from(crew.take_over(&seat, true));
        }
        assert_eq!(added, SURPLUS);
        assert_eq!(crew.report().threads, 1 + SURPLUS);
    }
}
