//! The persistence actor: takes records from a source in sequence order and puts them into a
//! store, on a thread of its own.
//!
//! Started by whoever gives a bus a store. The story of a record: the source lends it, the actor
//! batches it, the store appends it, and only then the source is told that it may forget it. So a
//! source that holds publishers back until then (a required tap) loses nothing: a store that
//! fails keeps its batch, the actor tries again with growing pauses, and a ring that fills up
//! meanwhile says `Full` to publishers. Nothing is dropped without being counted, and a stop
//! never lasts longer than its deadline, whatever the store does.
#![forbid(unsafe_code)]

mod begun;
mod confirm;
mod desk;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use self::begun::Begun;
pub use self::confirm::{Confirmation, Receipts};
use self::desk::{Desk, Ended};
pub use self::desk::{FlushError, PersistReport, PersistStats};
use super::batch::{Batch, Finished};
use super::{Batching, CheckpointStore, Durable, Level, Store, StoreError, Written};
use crate::actor::run::panic_text;
use crate::event::Event;
use crate::{Gap, Sequence, Shared, WeakBus};

/// Where the persistence actor's records come from.
pub trait Source: Send + 'static {
    /// The next record, lent until the next call. Does not wait: when there is none yet, `cx`'s
    /// waker is kept and woken when there is.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Taken<'_>>;

    /// Everything given out so far is stored: the source need not hold it any longer. Called after
    /// each batch while the store is at work on nothing else, also where nothing is new since.
    fn acknowledge(&mut self);

    /// The same for what was given out up to `last`: the store is at work on the rest. A source
    /// that holds all of it until [`acknowledge`](Self::acknowledge) loses nothing, but when it is
    /// full, taking waits for storing.
    fn acknowledge_to(&mut self, _last: Sequence) {}
}

/// What a [`Source`] gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Taken<'a> {
    /// The next record, above all before it.
    Record(Sequence, &'a Shared<Event>),
    /// Records that a source which may lose some has lost. A required tap never says this.
    Gap(Gap),
    /// There will be no more.
    Closed,
}

/// Something that whoever runs a store wants to hear of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// The store failed; the batch is kept and tried again.
    Failed {
        /// What it said.
        error: StoreError,
        /// How often in a row by now.
        times: u64,
    },
    /// The store works again.
    Recovered {
        /// How often it had failed.
        times: u64,
    },
    /// One record is larger than the store takes. It is counted as lost; the others are stored.
    Refused {
        /// The record.
        sequence: Sequence,
        /// What the store said.
        error: StoreError,
    },
    /// The source lost records before the store saw them.
    Lost(Gap),
    /// The store lost records that it had taken: a server that came back without them. They are
    /// counted as lost, and it goes on behind what is there.
    StoreLost(Gap),
    /// The store, the source or the observer panicked, and the actor has ended. Until its
    /// [`Persistence`] is dropped, publishers find the ring full rather than lose events.
    Panicked {
        /// The panic's text.
        text: String,
    },
    /// What the store does on its own fails: removing what need not be kept, compressing. It
    /// tries again; storing goes on meanwhile. Told with the next batch, once until it succeeds.
    Upkeep {
        /// What it said last.
        error: StoreError,
        /// How often it failed so far.
        times: u64,
    },
    /// The actor stopped with records in hand of which the store had not said that they are stored.
    GaveUp {
        /// How many.
        unwritten: u64,
    },
}

/// Who is told of trouble.
pub type Observer = Box<dyn FnMut(&Trouble) + Send>;

/// Settings of a [`Persistence`].
pub struct PersistOptions {
    /// How records are batched.
    pub batching: Batching,
    /// The pause after a store's first failure: 10 ms unless said otherwise. It doubles with each
    /// failure in a row.
    pub first_pause: Duration,
    /// The longest such pause: 1 s unless said otherwise.
    pub longest_pause: Duration,
    /// Told of trouble, on the actor's thread. It should not take long: the store waits for it.
    pub observer: Option<Observer>,
}

impl Default for PersistOptions {
    fn default() -> Self {
        Self {
            batching: Batching::default(),
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
            observer: None,
        }
    }
}

impl fmt::Debug for PersistOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistOptions")
            .field("batching", &self.batching)
            .field("first_pause", &self.first_pause)
            .field("longest_pause", &self.longest_pause)
            .finish_non_exhaustive()
    }
}

/// A store being fed on its own thread, named `ringpost-journal`.
///
/// Dropping it asks the thread to write what is at hand and end, without waiting for that; call
/// [`stop`](Self::stop) to wait and to hear how it went.
#[derive(Debug)]
#[must_use = "dropping it ends the persistence"]
pub struct Persistence {
    desk: Arc<Desk>,
    checkpoints: Result<Arc<dyn CheckpointStore>, StoreError>,
}

/// How long a dropped persistence may go on trying to write what it has.
const PATIENCE_WHEN_DROPPED: Duration = Duration::from_secs(5);

impl Persistence {
    /// Starts the thread, which takes from `source` until it is closed.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(
        store: impl Store + 'static,
        source: impl Source,
        mut options: PersistOptions,
    ) -> io::Result<Self> {
        options.batching.events = options.batching.events.min(store.batch_limit());
        let (marks, last) = (store.watermarks(), store.last_sequence());
        let promised = store.promises();
        let desk = Arc::new(Desk::new(marks, last, promised, store.upkeep()));
        let checkpoints = store.checkpoints();
        let mut actor = Actor {
            desk: Arc::clone(&desk),
            store,
            source,
            batch: Batch::default(),
            begun: Begun::default(),
            appended: last,
            taken: None,
            promised,
            upkeep_fails: false,
            options,
        };
        thread::Builder::new().name("ringpost-journal".into()).spawn(move || {
            // Told also when the store or the source panics: nobody may wait for ever.
            let ended = Ended::of(Arc::clone(&actor.desk));
            let ran = catch_unwind(AssertUnwindSafe(|| actor.run()));
            if let Err(panic) = ran {
                let text = panic_text(panic);
                let told = AssertUnwindSafe(|| actor.tell(&Trouble::Panicked { text }));
                let _panic = catch_unwind(told);
                actor.desk.keep(Box::new(actor.source));
            }
            // The store gives its lock back before anybody hears that it ended.
            let store = actor.store;
            let _panic = catch_unwind(AssertUnwindSafe(|| drop(store)));
            drop(ended);
        })?;
        Ok(Self { desk, checkpoints })
    }

    /// A receipt that the record of `sequence` is written; the store is not asked to hurry.
    ///
    /// # Errors
    ///
    /// See [`Confirmation`].
    pub fn written(&self, sequence: Sequence) -> Confirmation<Written> {
        self.receipts().written(sequence)
    }

    /// A receipt that the record of `sequence` is durable. It comes with the sync that covers the
    /// record, which the store's settings decide; [`flush`](Self::flush) makes one at once.
    ///
    /// # Errors
    ///
    /// See [`Confirmation`].
    pub fn durable(&self, sequence: Sequence) -> Confirmation<Durable> {
        self.receipts().durable(sequence)
    }

    /// Where receipts come from, for whoever publishes.
    #[must_use]
    pub fn receipts(&self) -> Receipts {
        Receipts::of(Arc::clone(&self.desk))
    }

    /// Counters and watermarks, as they were after the last batch.
    #[must_use]
    pub fn stats(&self) -> PersistStats {
        self.desk.stats()
    }

    /// Waits until every record up to `upto` is stored and the store was flushed after it.
    ///
    /// How durable that is depends on the store's settings: the statistics' watermarks say.
    ///
    /// # Errors
    ///
    /// [`FlushError::Failed`] with the store's last error if it did not recover within `timeout`;
    /// [`FlushError::Timeout`] if `upto` did not come by then; [`FlushError::Ended`] if the actor
    /// ended without having stored it.
    pub fn flush(&self, upto: Sequence, timeout: Duration) -> Result<(), FlushError> {
        self.desk.flush(upto, timeout)
    }

    /// Where the store keeps the checkpoints of named consumers.
    pub(crate) fn checkpoints(&self) -> Result<Arc<dyn CheckpointStore>, StoreError> {
        self.checkpoints.clone()
    }

    /// The bus whose messages it stores, if they are a bus's.
    pub(crate) fn bus(&self) -> Option<&WeakBus<Shared<Event>>> {
        self.desk.bus()
    }

    /// Says whose messages these are.
    pub(crate) fn belongs_to(&self, bus: WeakBus<Shared<Event>>) {
        self.desk.belongs_to(bus);
    }

    /// As [`flush`](Self::flush), for whoever must not keep it alive; also true if its owner has
    /// stopped it in order before, or if there is nothing to flush.
    pub(crate) fn flusher(
        &self,
    ) -> impl Fn(Option<Sequence>, Duration) -> bool + Send + Sync + use<> {
        let desk = Arc::clone(&self.desk);
        move |upto, timeout| {
            upto.is_none_or(|upto| desk.flush(upto, timeout).is_ok() || desk.was_stopped())
        }
    }

    /// Takes what the source has ready, stores and flushes it, and ends; after `timeout` it
    /// returns in any case and says what was not stored. A thread that is stuck in a system call
    /// is left behind.
    #[must_use = "the report says what was not stored"]
    pub fn stop(self, timeout: Duration) -> PersistReport {
        self.desk.stop(timeout)
    }
}

impl Drop for Persistence {
    fn drop(&mut self) {
        self.desk.ask_to_stop(PATIENCE_WHEN_DROPPED);
        self.desk.let_go();
    }
}

/// Why a batch went out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A limit was reached: there may be more.
    Enough,
    /// The source has nothing more now.
    Nothing,
    /// The source is closed.
    Closed,
}

struct Actor<St, So> {
    desk: Arc<Desk>,
    store: St,
    source: So,
    batch: Batch,
    /// What the store is at work on, beside the batch that is being filled.
    begun: Begun,
    /// The last sequence that is stored.
    appended: Option<Sequence>,
    /// The last sequence that the source gave or lost.
    taken: Option<Sequence>,
    /// What the store promised last.
    promised: Level,
    /// Whether it was told that the store's own work fails.
    upkeep_fails: bool,
    options: PersistOptions,
}

impl<St: Store, So: Source> Actor<St, So> {
    fn run(&mut self) {
        let waker = Waker::from(Arc::clone(&self.desk));
        let mut cx = Context::from_waker(&waker);
        let mut gathered = false;
        loop {
            // Looked at before the source: a stop that is asked for while the store is at work
            // may follow publishes that were not collected yet.
            let stopping = self.desk.stop_by().is_some();
            let found = self.collect(&mut cx);
            if !self.batch.is_empty() {
                gathered = true;
                if !self.append(found == Found::Enough) {
                    return self.give_up();
                }
            } else if !self.advance() {
                return self.give_up();
            }
            // A source that is closed is not asked again.
            while found == Found::Closed && !self.begun.is_empty() {
                if !self.advance() {
                    return self.give_up();
                }
            }
            self.acknowledge();
            let idle = found != Found::Enough && self.begun.is_empty();
            let last = match self.desk.stop_by() {
                Some(by) if !idle && by <= Instant::now() => return self.give_up(),
                _ => idle && (found == Found::Closed || stopping),
            };
            if !self.keep_durable(last) {
                return self.give_up();
            }
            self.tell_upkeep();
            if last {
                return self.desk.complete();
            }
            if idle {
                self.desk.rest(self.store.due(), std::mem::take(&mut gathered));
            }
        }
    }

    /// Fills the batch as far as it goes without waiting.
    fn collect(&mut self, cx: &mut Context<'_>) -> Found {
        loop {
            match self.source.poll_next(cx) {
                Poll::Ready(Taken::Record(sequence, event)) => {
                    count(&self.desk, &mut self.taken, sequence);
                    self.batch.take(sequence, event, &mut self.store);
                    if self.batch.is_ready(&self.options.batching) {
                        return Found::Enough;
                    }
                }
                Poll::Ready(Taken::Gap(gap)) => {
                    self.taken = self.taken.max(Some(gap.to));
                    self.desk.lost(gap);
                    self.tell(&Trouble::Lost(gap));
                }
                Poll::Ready(Taken::Closed) => return Found::Closed,
                Poll::Pending => return Found::Nothing,
            }
        }
    }

    /// Appends the batch, or begins to: if the source has `more` to fill the time with, or the store is
    /// at work on earlier ones. False if it was given up.
    fn append(&mut self, more: bool) -> bool {
        self.desk.holding(self.held());
        let begins = self.batch.is_staged() && (more || !self.begun.is_empty());
        let done = self.insist(
            |store, batch| {
                if begins { batch.begin(store) } else { batch.append_to(store) }
            },
        );
        if !done {
            return false;
        }
        self.begun.push(self.batch.finish());
        self.settle(if begins { self.store.stored_to() } else { self.taken });
        true
    }

    /// Waits until more of what began is stored, if there is any; false if it was given up.
    fn advance(&mut self) -> bool {
        if self.begun.is_empty() {
            return true;
        }
        let before = self.begun.records();
        let advanced = self.insist(|store, _| store.advance_staged());
        self.settle(self.store.stored_to());
        if advanced && self.begun.records() == before {
            // Nobody waits for ever for a store that does not say how far it is.
            let appended = self.insist(|store, _| store.append_staged());
            if appended {
                self.settle(self.taken);
            }
            return appended;
        }
        advanced
    }

    /// Tells of the batches that are stored by now.
    fn settle(&mut self, stored: Option<Sequence>) {
        while let Some(Finished { last, stored, refused }) = self.begun.pop(stored) {
            self.appended = last;
            self.desk.appended(last, stored, &refused, self.held(), self.store.watermarks());
            for (sequence, error) in refused {
                self.tell(&Trouble::Refused { sequence, error });
            }
        }
    }

    /// Tells the source what it need not hold any longer.
    fn acknowledge(&mut self) {
        if self.begun.is_empty() {
            self.source.acknowledge();
        } else if let Some(last) = self.appended {
            self.source.acknowledge_to(last);
        }
    }

    /// Records in hand of which the store has not said that they are stored.
    fn held(&self) -> usize {
        self.batch.waiting() + self.begun.records()
    }

    /// Flushes if somebody waits for it or this is the end, else does what is due.
    fn keep_durable(&mut self, last: bool) -> bool {
        if last || self.desk.wants_flush(self.appended) {
            if !self.insist(|store, _| store.flush()) {
                return false;
            }
            self.settle(self.store.stored_to());
            self.desk.flushed(self.appended, self.store.watermarks());
        } else if self.begun.is_empty() && self.store.due().is_some_and(|due| due <= Instant::now())
        {
            if !self.insist(|store, _| store.tend()) {
                return false;
            }
            self.desk.marked(self.store.watermarks());
        }
        true
    }

    /// Calls the store until it succeeds; false once a stop's deadline is over.
    fn insist(
        &mut self,
        mut call: impl FnMut(&mut St, &mut Batch) -> Result<(), StoreError>,
    ) -> bool {
        let mut times = 0;
        let mut pause = self.options.first_pause;
        loop {
            let called = call(&mut self.store, &mut self.batch);
            self.note_promise();
            let Err(error) = called else { break };
            times += 1;
            // What is stored all the same has nothing to do with it.
            self.settle(self.store.stored_to());
            self.desk.failed(&error, self.store.watermarks());
            if let Some(gap) = error.lost() {
                self.desk.lost(gap);
                self.tell(&Trouble::StoreLost(gap));
            }
            let worth = error.is_transient();
            self.tell(&Trouble::Failed { error, times });
            if !self.desk.pause(pause, worth) {
                return false;
            }
            pause = (pause * 2).min(self.options.longest_pause);
        }
        if times > 0 {
            self.desk.recovered();
            self.tell(&Trouble::Recovered { times });
        }
        true
    }

    /// A server that comes back may be set otherwise: then those who wait hear of it.
    fn note_promise(&mut self) {
        let promised = self.store.promises();
        if std::mem::replace(&mut self.promised, promised) != promised {
            self.desk.promises(promised);
        }
    }

    /// Tells that the store's own work fails, once until it succeeds.
    fn tell_upkeep(&mut self) {
        let upkeep = self.desk.upkeep();
        let failed_before = std::mem::replace(&mut self.upkeep_fails, upkeep.failing.is_some());
        if let Some(error) = upkeep.failing.filter(|_| !failed_before) {
            self.tell(&Trouble::Upkeep { error, times: upkeep.failures });
        }
    }

    fn give_up(&mut self) {
        let unwritten = self.held() as u64;
        self.tell(&Trouble::GaveUp { unwritten });
    }

    fn tell(&mut self, trouble: &Trouble) {
        if let Some(observer) = &mut self.options.observer {
            observer(trouble);
        }
    }
}

/// Notes what the source left out between the last record that was `taken` and this one: it has no
/// receipts.
#[inline]
fn count(desk: &Desk, taken: &mut Option<Sequence>, sequence: Sequence) {
    match taken.replace(sequence).map(Sequence::get) {
        None => desk.begins(sequence),
        Some(before) if before + 1 < sequence.get() => {
            let (from, to) = (Sequence::new(before + 1), Sequence::new(sequence.get() - 1));
            desk.left_out(from, to);
        }
        Some(_) => {}
    }
}
