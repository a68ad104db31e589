//! What a subscription has of a log that it shares with others.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::bell::Bell;
use super::shared_log::{SharedLog, SharedReader, Slip};
use super::source::drop_caught;
use super::subscriber::{Life, Subscriber};
use crate::Message;
use crate::ring::Stake;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A subscription's seat at a shared log, as its publishers and its owner see it.
pub(crate) struct Seat<M: Message> {
    pub(crate) bell: Arc<Bell>,
    /// Where it began.
    begin: u64,
    /// How many messages may wait for it.
    pub(crate) window: usize,
    /// The first sequence that is its own; 0 until its source comes for it.
    start: AtomicU64,
    hold: Mutex<Hold<M>>,
}

/// What a seat has of its log, for as long as it is of use: its owner may keep the subscription for
/// its account, and messages are not to be kept for that.
struct Hold<M: Message> {
    log: Option<Arc<SharedLog<M>>>,
    /// What holds publishers back for it, for as long as it reads.
    stake: Option<Stake<Slip<M>>>,
    /// What its source is to read, until it comes for it.
    reading: Option<Reading<M>>,
    /// Whether nobody is to hear of it any more.
    cancelled: bool,
}

/// A reader and its log.
pub(crate) type Reading<M> = (SharedReader<M>, Arc<SharedLog<M>>);

impl<M: Message> Seat<M> {
    /// `waker` is that of a source that sleeps already.
    pub(crate) fn new(
        log: &Arc<SharedLog<M>>,
        reader: SharedReader<M>,
        waker: Option<Waker>,
    ) -> Self {
        log.take_seat();
        let bell = log.bells.bell();
        if let Some(waker) = waker {
            bell.begin_asleep(waker);
        }
        let (begin, stake, window) = (reader.position(), reader.stake(), log.window);
        let log = Arc::clone(log);
        let hold = Hold {
            log: Some(Arc::clone(&log)),
            stake,
            reading: Some((reader, log)),
            cancelled: false,
        };
        Self { bell, begin, window, start: AtomicU64::new(0), hold: Mutex::new(hold) }
    }

    pub(crate) fn begin(&self) -> u64 {
        self.begin
    }

    fn hold(&self) -> MutexGuard<'_, Hold<M>> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For its source, once: what it reads. From `start` on everything is its own.
    pub(crate) fn take_reading(&self, start: u64) -> Option<Reading<M>> {
        // ORDER: Relaxed; see `wants`.
        self.start.store(start, Ordering::Relaxed);
        self.hold().reading.take()
    }

    /// Whether a message with this sequence is its own, or may be.
    pub(crate) fn wants(&self, sequence: u64) -> bool {
        // ORDER: Relaxed; at worst a message counts too that was published before its start was known.
        self.start.load(Ordering::Relaxed) <= sequence
    }

    /// Its log; `None` once it has nothing more to do with it.
    pub(crate) fn log(&self) -> Option<Arc<SharedLog<M>>> {
        self.hold().log.clone()
    }

    pub(crate) fn reads(&self, log: &Arc<SharedLog<M>>) -> bool {
        self.hold().log.as_ref().is_some_and(|own| Arc::ptr_eq(own, log))
    }

    /// Its subscription is cancelled: what comes from now on is not its own, and publishers need not wait
    /// for it, though its handler may be running. The log, unless it has nothing more to do with that.
    #[inline(never)]
    pub(crate) fn cancel(&self, subscriber: &Subscriber<M>) -> Option<Arc<SharedLog<M>>> {
        let mut hold = self.hold();
        hold.cancelled = true;
        let log = Arc::clone(hold.log.as_ref()?);
        // Whatever became of it before: who has ended has noted where.
        subscriber.end_at(log.log.tail());
        subscriber.advance(Life::Cancelled);
        if let Some(stake) = &hold.stake {
            stake.lift();
        }
        drop(hold);
        log.space.changed();
        Some(log)
    }

    /// Its source is about to leave: from now on nobody can let go for it. `read` is how far it has
    /// read everything.
    pub(crate) fn leaving(&self, read: Option<u64>) {
        let mut hold = self.hold();
        if let (Some(log), Some(read)) = (&hold.log, read) {
            log.note_read(read);
        }
        hold.stake = None;
    }

    /// The same as [`forget`](Self::forget), if it was cancelled.
    pub(crate) fn forget_cancelled(&self) {
        let mut hold = self.hold();
        let cancelled = hold.cancelled;
        let log = hold.log.take_if(|_| cancelled);
        drop(hold);
        drop_caught(log);
    }

    /// It has nothing more to do with its log, but for a source that has yet to come.
    pub(crate) fn forget(&self) {
        // Messages may go with it, which is foreign code: not under the lock.
        let log = self.hold().log.take();
        drop_caught(log);
    }
}
