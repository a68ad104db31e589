//! Events that come twice: left out within a window, counted and told.
//!
//! Used by [`publication`](crate::publication). What the journal's end holds of the window was
//! seen too, so that a run that was killed is simply made again.
#![forbid(unsafe_code)]

use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;
use ringpost::Sequence;
use ringpost::event::{Event, Timestamp};
use ringpost::store::{Dedup, DedupWindow, Record, Store, StoreError};

use crate::console::{Console, grouped};
use crate::moment::parse_duration;

/// How far back repetitions are looked for: `10000` events, or `2m` of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window(DedupWindow);

impl FromStr for Window {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let window = match text.parse() {
            Ok(0) => return Err(anyhow!("a window of no events finds nothing")),
            Ok(count) if count > Dedup::MOST => {
                return Err(anyhow!(
                    "at most {} events are remembered",
                    grouped(Dedup::MOST as u64)
                ));
            }
            Ok(count) => DedupWindow::Last(count),
            Err(_) => match parse_duration(text) {
                Ok(time) if !time.is_zero() => DedupWindow::Within(time),
                _ => {
                    return Err(anyhow!(
                        "`{text}` is no window: write a count (10000) or a time (2m)"
                    ));
                }
            },
        };
        Ok(Self(window))
    }
}

/// By which clock a window of time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// When the event comes.
    Arrival,
    /// When it was recorded in the journal it comes from, else its own time.
    Recorded,
}

/// What finds them.
#[derive(Debug)]
pub(crate) struct Repetitions {
    dedup: Dedup,
    window: DedupWindow,
    by: By,
    /// Repetitions that this run did not leave out: they were in the journal already, or it was ended
    /// before it came to them.
    uncounted: u64,
}

impl Repetitions {
    pub(crate) fn new(Window(window): Window, by: By) -> Self {
        Self { dedup: Dedup::new(window), window, by, uncounted: 0 }
    }

    /// Remembers what a store's end holds of the window.
    pub(crate) fn remember(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let Some(last) = store.last_sequence() else { return Ok(()) };
        let now = Timestamp::now();
        match self.window {
            DedupWindow::Last(count) => self.remember_last(count, store, last, now)?,
            // The times of the two journals have nothing to do with each other.
            DedupWindow::Within(_) if self.by == By::Recorded => {}
            DedupWindow::Within(time) => {
                let from = first_within(time, store, last, now)?;
                self.remember_all(store.scan(from)?, now)?;
            }
            _ => {}
        }
        self.uncounted = self.dedup.repeated();
        Ok(())
    }

    /// Remembers the last `count` different events. Where some were stored more than once they lie
    /// further back than `count` records; how far, only reading tells.
    fn remember_last(
        &mut self,
        count: usize,
        store: &dyn Store,
        last: Sequence,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut reach = count;
        let mut begun_at = None;
        loop {
            let from = back(last, reach);
            let mut records = store.scan(from)?.peekable();
            let first = records.peek().and_then(|record| record.as_ref().ok());
            let first = first.map(|record| record.sequence);
            // Otherwise nothing lies between here and where the last reading began: the store may
            // begin later than with the first sequence.
            if first.is_none() || first != begun_at {
                begun_at = first;
                // Anew, so that each counts by when it was seen last, and memory stays bounded.
                self.dedup = Dedup::new(self.window);
                self.remember_all(records, now)?;
            }
            let is_full = self.dedup.len() >= count || self.dedup.cut_short() > 0;
            if is_full || from == Sequence::FIRST {
                return Ok(());
            }
            reach = reach.saturating_mul(4);
        }
    }

    fn remember_all(
        &mut self,
        records: impl Iterator<Item = Result<Record, StoreError>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for record in records {
            let event = record?.event;
            self.dedup.admits(&event, event.recorded_at().unwrap_or(now));
        }
        Ok(())
    }

    /// Whether the event comes for the first time.
    pub(crate) fn admits(&mut self, event: &Event) -> bool {
        let at = match self.by {
            By::Arrival => None,
            By::Recorded => event.recorded_at().or(event.time()),
        };
        self.dedup.admits(event, at.unwrap_or_else(Timestamp::now))
    }

    /// The event was not published after all.
    pub(crate) fn forget(&mut self, event: &Event) {
        self.dedup.forget(event);
    }

    /// So many of the last that were left out came behind one that was not published after all.
    pub(crate) fn uncount(&mut self, count: u64) {
        self.uncounted += count;
    }

    /// How many events were left out.
    pub(crate) fn count(&self) -> u64 {
        self.dedup.repeated() - self.uncounted
    }

    /// Tells if some may have been missed.
    pub(crate) fn tell(&self, console: &Console) {
        if self.dedup.cut_short() > 0 {
            console.warn(format_args!(
                "{} events were forgotten before the window of --dedup ended, because it held too \
                 many: repetitions of them were published",
                grouped(self.dedup.cut_short())
            ));
        }
    }
}

/// The first of the last `count` sequences.
fn back(last: Sequence, count: usize) -> Sequence {
    Sequence::new(last.get().saturating_sub(count as u64 - 1).max(Sequence::FIRST.get()))
}

/// From which record on a window of time reaches.
fn first_within(
    time: Duration,
    store: &dyn Store,
    last: Sequence,
    now: Timestamp,
) -> Result<Sequence, StoreError> {
    let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let since = now.unix_nanos().saturating_sub(nanos);
    let mut count = 1024;
    loop {
        let from = back(last, count);
        let first = store.scan(from)?.next().transpose()?;
        let time = first.and_then(|record| record.event.recorded_at());
        let is_before = time.is_some_and(|time| time.unix_nanos() < since);
        if is_before || from == Sequence::FIRST || count >= Dedup::MOST {
            return Ok(from);
        }
        count *= 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_count_or_a_time() {
        let read = |text: &str| text.parse().map(|Window(window)| window).ok();
        assert_eq!(read("10000"), Some(DedupWindow::Last(10_000)));
        assert_eq!(read("2m"), Some(DedupWindow::Within(Duration::from_secs(120))));
        for text in ["0", "0s", "", "-5", "2 minutes", "99999999999", "1e3"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
