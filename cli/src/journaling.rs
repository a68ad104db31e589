//! The journal behind a bus: opened by the settings, fed by the persistence actor, timed.
//!
//! Used by [`publication`](crate::publication). It reports trouble once an episode and never
//! decides what becomes of a run.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use ringpost::event::{Event, Timestamp};
use ringpost::store::journal::{Journal, JournalOptions, Recovery};
#[cfg(feature = "redis")]
use ringpost::store::redis::{RedisOptions, RedisStore, RedisUrl};
use ringpost::store::{
    CheckpointStore, Level, MemoryStore, PersistOptions, PersistReport, PersistStats, Persistence,
    Record, Scan, Store, StoreError, StoreErrorKind, StoreUrl, Trouble, Upkeep, Watermarks,
};
use ringpost::{EventBus, Sequence, Shared};

use crate::console::{Console, grouped};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::latency::Latencies;
use crate::repetition::Repetitions;
use crate::settings::JournalSettings;
use crate::target::{not_built_in, told};

/// A store that was opened and has no bus yet.
pub(crate) struct Ready {
    store: Timed,
    latencies: Arc<Mutex<Latencies>>,
    /// Damage was found and told.
    pub(crate) damaged: bool,
}

/// A store being fed from a bus.
#[derive(Debug)]
pub(crate) struct Journaling {
    persistence: Persistence,
    latencies: Arc<Mutex<Latencies>>,
    start: Sequence,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Journaled {
    /// Records that the store took.
    pub(crate) count: u64,
    /// Records of this run that are durable.
    pub(crate) durable: u64,
    /// Records that the store will never take.
    pub(crate) lost: u64,
    /// Why not everything was stored, if that is so.
    pub(crate) unfinished: Option<String>,
    pub(crate) latencies: Latencies,
}

impl Ready {
    /// Opens the store.
    pub(crate) fn open(settings: JournalSettings, console: &Console) -> Result<Self, Failure> {
        let mut damaged = false;
        let store: Box<dyn Store> = match settings.place {
            StoreUrl::Journal(path) => {
                let journal = open_journal(&path, settings.options)?;
                damaged = tell_recovery(journal.recovery(), console);
                Box::new(journal)
            }
            #[cfg(feature = "redis")]
            StoreUrl::Redis(url) => Box::new(open_stream(url)?),
            StoreUrl::Memory => Box::new(MemoryStore::new()),
            _ => return Err(not_built_in()),
        };
        let latencies = Arc::new(Mutex::new(Latencies::new()));
        let latencies_of_store = Arc::clone(&latencies);
        let store =
            Timed { store, latencies: latencies_of_store, staged: VecDeque::new(), finishes: None };
        Ok(Self { store, latencies, damaged })
    }

    /// The sequence that the bus has to begin with.
    pub(crate) fn next_sequence(&self) -> Sequence {
        let last = self.store.last_sequence();
        last.map_or(Sequence::FIRST, |last| Sequence::new(last.get() + 1))
    }

    /// At the end, finished segments are compressed for as long as that takes, up to `most`, and
    /// unless somebody interrupts.
    pub(crate) fn finishing(mut self, interrupt: Interrupt, most: Duration) -> Self {
        self.store.finishes = Some((interrupt, most));
        self
    }

    /// Tells what is in the store already.
    pub(crate) fn tell_past(&self, to: &mut Repetitions) -> Result<(), StoreError> {
        to.remember(&self.store)
    }

    /// Stores everything that the bus publishes from now on.
    pub(crate) fn start(self, bus: &EventBus, console: &Console) -> anyhow::Result<Journaling> {
        let start = bus.stats().next_sequence;
        let console = console.clone();
        let observer = move |trouble: &Trouble| tell_trouble(trouble, &console);
        let options =
            PersistOptions { observer: Some(Box::new(observer)), ..PersistOptions::default() };
        let persistence = bus.persist(self.store, options).context("cannot start the journal")?;
        Ok(Journaling { persistence, latencies: self.latencies, start })
    }
}

impl Journaling {
    /// Why the store takes nothing, if that is so now, and whether waiting may help.
    pub(crate) fn trouble(&self) -> Option<(String, bool)> {
        let error = self.persistence.stats().degraded?;
        Some((told(&error), error.is_transient()))
    }

    /// Stores what is left and says how it went, within `timeout`.
    pub(crate) fn finish(self, timeout: Duration) -> Journaled {
        let began = Instant::now();
        let report = self.persistence.stop(timeout);
        let PersistReport { stats, unwritten, complete, .. } = report;
        let count = stored(self.start, &stats);
        let durable = up_to(self.start, stats.watermarks.durable);
        let unfinished = (!complete).then(|| {
            let cause = match &stats.degraded {
                Some(error) => told(error),
                None => format!("it did not end within {:.1} s", began.elapsed().as_secs_f64()),
            };
            format!("{cause} ({} records were in hand)", grouped(unwritten))
        });
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Journaled {
            count,
            // What was refused lies below the mark and was stored nowhere.
            durable: durable.min(count),
            lost: stats.lost,
            unfinished,
            latencies,
        }
    }
}

/// How many records lie between the start and a mark.
fn up_to(start: Sequence, mark: Option<Sequence>) -> u64 {
    mark.map_or(0, |last| (last.get() + 1).saturating_sub(start.get()))
}

/// Records of this run that are in the store. Of a batch that failed in its middle some are there:
/// whoever publishes the rest again must not count those as missing.
fn stored(start: Sequence, stats: &PersistStats) -> u64 {
    let written = up_to(start, stats.watermarks.written).saturating_sub(stats.lost);
    stats.journaled.max(written)
}

/// Opens a stream for writing.
#[cfg(feature = "redis")]
fn open_stream(url: RedisUrl) -> anyhow::Result<RedisStore> {
    RedisStore::open(url, RedisOptions::default()).map_err(|error| {
        let advice = match error.kind() {
            StoreErrorKind::Refused => "; choose another stream by `?stream=NAME`",
            StoreErrorKind::Denied => "; check the user, the password and what they allow",
            StoreErrorKind::Io => "; check that the server runs and can be reached",
            _ => "",
        };
        anyhow!("cannot open the stream: {}{advice}", told(&error))
    })
}

/// Opens a journal for writing, which mends its end.
pub(crate) fn open_journal(path: &Path, options: JournalOptions) -> anyhow::Result<Journal> {
    Journal::open(path, options).map_err(|error| {
        let advice = match error.kind() {
            StoreErrorKind::Locked => "; wait for it to end, or choose another journal",
            StoreErrorKind::Refused => "; a journal is a directory of its own",
            StoreErrorKind::NotFound | StoreErrorKind::Denied => {
                "; choose a place where a directory can be made"
            }
            _ => "",
        };
        anyhow!("cannot open the journal: {}{advice}", told(&error))
    })
}

/// Tells what opening found; true if some of it is damage.
pub(crate) fn tell_recovery(found: &Recovery, console: &Console) -> bool {
    if let Some(torn) = &found.torn {
        console.warn(format_args!(
            "{} ended in an unfinished record; its {} bytes were moved to {}",
            torn.segment.display(),
            grouped(torn.bytes),
            torn.kept_in.display(),
        ));
    }
    if found.newline_added {
        console.warn("the last record of the journal lacked its newline, which was added");
    }
    if found.damaged > 0 {
        console.warn(format_args!(
            "{} damaged lines lie behind the last record of a segment; `ringpost verify` tells \
             where",
            grouped(found.damaged)
        ));
    }
    for ahead in &found.ahead {
        console.warn(format_args!(
            "the consumer {} was at {}, but the journal, which had not synced all that it was \
             given, goes on at {}: so does the consumer now",
            ahead.name, ahead.was, ahead.now
        ));
    }
    if found.open_to_others {
        console
            .warn("other users may write into the journal's directory and replace what is in it");
    }
    found.damaged > 0
}

fn tell_trouble(trouble: &Trouble, console: &Console) {
    match trouble {
        Trouble::Failed { error, times: 1 } => {
            console.warn(format_args!("the journal fails, and is tried again: {}", told(error)));
        }
        Trouble::Recovered { .. } => console.warn("the journal works again"),
        Trouble::Refused { sequence, error } => {
            console.warn(format_args!("event {sequence} was not stored: {}", told(error)));
        }
        Trouble::Lost(gap) => console.warn(format_args!(
            "{} events ({} to {}) never reached the journal",
            grouped(gap.count),
            gap.from,
            gap.to
        )),
        Trouble::StoreLost(gap) => console.warn(format_args!(
            "the journal's server lost {} events ({} to {}) that it had stored",
            grouped(gap.count),
            gap.from,
            gap.to
        )),
        Trouble::Upkeep { error, .. } => console.warn(format_args!(
            "finished segments cannot all be looked after, and are tried again: {}",
            told(error)
        )),
        // Repetitions, and the end, of which the summary tells.
        _ => {}
    }
}

/// A store that notes how long after its publish each record was stored.
struct Timed {
    store: Box<dyn Store>,
    latencies: Arc<Mutex<Latencies>>,
    /// When the records were published that the store has staged, and not stored yet.
    staged: VecDeque<(Sequence, Option<Timestamp>)>,
    /// Who may end the wait for its own work, and how long that may last.
    finishes: Option<(Interrupt, Duration)>,
}

/// How often it is asked whether the store's own work is done.
const LOOK: Duration = Duration::from_millis(5);

impl Drop for Timed {
    fn drop(&mut self) {
        let Some((interrupt, most)) = &self.finishes else { return };
        let began = Instant::now();
        while began.elapsed() < *most && !interrupt.is_set() {
            let upkeep = self.store.upkeep().stats();
            // What fails now may fail for long.
            if upkeep.waiting == 0 || upkeep.failing.is_some() {
                return;
            }
            interrupt.wait(LOOK);
        }
    }
}

impl Timed {
    fn note(&self, published: impl Iterator<Item = Option<Timestamp>>) {
        let now = Timestamp::now();
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        published.for_each(|published| latencies.add_since_publish(published, now));
    }
}

impl Timed {
    /// Of what was staged.
    fn note_stored(&mut self) {
        let upto = self.store.stored_to();
        let stored = self.staged.partition_point(|&(sequence, _)| Some(sequence) <= upto);
        if stored > 0 {
            let stored = self.staged.drain(..stored).collect::<Vec<_>>();
            self.note(stored.into_iter().map(|(_, published)| published));
        }
    }
}

impl Store for Timed {
    fn append(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.store.append(batch)?;
        self.note(batch.iter().map(|record| record.event.recorded_at()));
        Ok(())
    }

    fn stage(
        &mut self,
        sequence: Sequence,
        event: &Shared<Event>,
    ) -> Result<Option<usize>, StoreError> {
        let staged = self.store.stage(sequence, event)?;
        if staged.is_some() {
            self.staged.push_back((sequence, event.recorded_at()));
        }
        Ok(staged)
    }

    fn append_staged(&mut self) -> Result<(), StoreError> {
        let appended = self.store.append_staged();
        self.note_stored();
        appended
    }

    fn begin_staged(&mut self) -> Result<(), StoreError> {
        let begun = self.store.begin_staged();
        self.note_stored();
        begun
    }

    fn advance_staged(&mut self) -> Result<(), StoreError> {
        let advanced = self.store.advance_staged();
        self.note_stored();
        advanced
    }

    fn stored_to(&self) -> Option<Sequence> {
        self.store.stored_to()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let flushed = self.store.flush();
        self.note_stored();
        flushed
    }

    fn watermarks(&self) -> Watermarks {
        self.store.watermarks()
    }

    fn promises(&self) -> Level {
        self.store.promises()
    }

    fn batch_limit(&self) -> usize {
        self.store.batch_limit()
    }

    fn last_sequence(&self) -> Option<Sequence> {
        self.store.last_sequence()
    }

    fn checkpoints(&self) -> Result<Arc<dyn CheckpointStore>, StoreError> {
        self.store.checkpoints()
    }

    fn scan(&self, from: Sequence) -> Result<Scan<'_>, StoreError> {
        self.store.scan(from)
    }

    fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        self.store.tail(count)
    }

    fn due(&self) -> Option<Instant> {
        self.store.due()
    }

    fn tend(&mut self) -> Result<(), StoreError> {
        self.store.tend()
    }

    fn upkeep(&self) -> Upkeep {
        self.store.upkeep()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a full disk 755 of 1,677 stored records were counted: those of whole batches.
    #[test]
    fn what_a_failed_batch_left_in_the_store_is_counted() {
        let start = Sequence::new(101);
        let mut stats = PersistStats::default();
        assert_eq!(stored(start, &stats), 0);
        // What an earlier run wrote is no record of this one.
        stats.watermarks.written = Some(Sequence::new(100));
        assert_eq!(stored(start, &stats), 0);
        stats.journaled = 755;
        stats.watermarks.written = Some(Sequence::new(100 + 1677));
        assert_eq!(stored(start, &stats), 1677);
        stats.lost = 2;
        assert_eq!(stored(start, &stats), 1675);
    }
}
