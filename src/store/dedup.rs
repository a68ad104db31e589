//! Which events were seen before: the same source and the same id within a window.
//!
//! For whoever takes events from a place that may hand one over twice (a file read again, a sender
//! that was not sure) and wants each in the journal once. CloudEvents make `source` and `id`
//! together the name of an event; nothing else of it is looked at.
#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, Timestamp};

/// How far back a [`Dedup`] remembers. What was seen again counts from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DedupWindow {
    /// The last so many different events.
    Last(usize),
    /// The events of so much time before each, at most [`Dedup::MOST`] of them.
    Within(Duration),
}

/// Remembers the events of a window by source and id, exactly: never takes two different events
/// for one, and finds every repetition within its window.
///
/// Memory is bounded: by the window's count, at most [`MOST`](Self::MOST) events, and
/// [`MOST_BYTES`](Self::MOST_BYTES) of their names. Where the bound cuts a window short,
/// [`cut_short`](Self::cut_short) counts what was forgotten too early: repetitions of those pass.
///
/// It is as lasting as the process. Whoever goes on with a journal tells it what the journal's end
/// holds, by [`admits`](Self::admits), before the first new event.
///
/// ```
/// use ringpost::event::{Event, Timestamp};
/// use ringpost::store::{Dedup, DedupWindow};
///
/// # fn main() -> Result<(), ringpost::event::EventError> {
/// let mut dedup = Dedup::new(DedupWindow::Last(1000));
/// let order = Event::builder("order.placed").source("shop").id("17").build()?;
/// assert!(dedup.admits(&order, Timestamp::now()));
/// assert!(!dedup.admits(&order, Timestamp::now()));
/// assert_eq!(dedup.repeated(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Dedup {
    window: DedupWindow,
    seen: HashMap<Arc<str>, u64, foldhash::fast::RandomState>,
    /// Each sight of what is remembered, oldest first; those that a later one replaced are left
    /// out when they come to the front, or are too many.
    sights: VecDeque<Sight>,
    next: u64,
    bytes: usize,
    latest: i128,
    repeated: u64,
    cut_short: u64,
    /// Kept for its room.
    name: String,
}

#[derive(Debug)]
struct Sight {
    name: Arc<str>,
    number: u64,
    at: i128,
}

impl Dedup {
    /// The most events that are remembered at once.
    pub const MOST: usize = 1 << 20;
    /// The most bytes of sources and ids that are remembered at once.
    pub const MOST_BYTES: usize = 256 << 20;

    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(window: DedupWindow) -> Self {
        Self {
            window,
            seen: HashMap::default(),
            sights: VecDeque::new(),
            next: 0,
            bytes: 0,
            latest: i128::MIN,
            repeated: 0,
            cut_short: 0,
            name: String::new(),
        }
    }

    /// Whether the event, which comes at this time, is the first of its source and id within the
    /// window. Remembers it in any case: call [`forget`](Self::forget) if it comes to nothing.
    ///
    /// A time before that of an earlier call counts as that one.
    pub fn admits(&mut self, event: &Event, at: Timestamp) -> bool {
        self.latest = self.latest.max(at.unix_nanos());
        self.leave_old();
        self.set_name(event);
        let name = match self.seen.get_key_value(&*self.name) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(&*self.name),
        };
        let number = self.next;
        self.next += 1;
        let is_new = self.seen.insert(Arc::clone(&name), number).is_none();
        self.bytes += if is_new { name.len() } else { 0 };
        self.repeated += u64::from(!is_new);
        self.sights.push_back(Sight { name, number, at: self.latest });
        self.leave_most();
        is_new
    }

    /// Forgets an event that was admitted and then refused elsewhere: it may be tried again.
    pub fn forget(&mut self, event: &Event) {
        self.set_name(event);
        if let Some((name, _)) = self.seen.remove_entry(&*self.name) {
            self.bytes -= name.len();
        }
    }

    /// How many events were not admitted.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How many were forgotten before their time, because there were too many.
    #[must_use]
    pub fn cut_short(&self) -> u64 {
        self.cut_short
    }

    /// How many different events are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn set_name(&mut self, event: &Event) {
        self.name.clear();
        self.name.push_str(event.source());
        // No attribute can hold one.
        self.name.push('\0');
        self.name.push_str(event.id());
    }

    /// Forgets what has left a window of time.
    fn leave_old(&mut self) {
        let DedupWindow::Within(time) = self.window else { return };
        let time = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        let first = self.latest.saturating_sub(time);
        while self.sights.front().is_some_and(|sight| sight.at < first) {
            self.leave_oldest();
        }
    }

    /// Forgets what is too much.
    fn leave_most(&mut self) {
        let most = match self.window {
            DedupWindow::Last(count) => count.min(Self::MOST),
            DedupWindow::Within(_) => Self::MOST,
        };
        while self.seen.len() > most || self.bytes > Self::MOST_BYTES {
            let is_meant =
                matches!(self.window, DedupWindow::Last(count) if self.seen.len() > count);
            let is_forgotten = self.leave_oldest();
            self.cut_short += u64::from(is_forgotten && !is_meant);
        }
        // Otherwise one event, repeated without end, would take memory without end.
        if self.sights.len() > self.seen.len() * 2 + 64 {
            self.sights.retain(|sight| self.seen.get(&*sight.name) == Some(&sight.number));
        }
    }

    /// Takes away the oldest sight; whether with it its event is forgotten.
    fn leave_oldest(&mut self) -> bool {
        let Some(sight) = self.sights.pop_front() else { return false };
        let is_last = self.seen.get(&*sight.name) == Some(&sight.number);
        if is_last {
            self.seen.remove(&*sight.name);
            self.bytes -= sight.name.len();
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(source: &str, id: &str) -> Event {
        Event::builder("d").source(source).id(id).build().expect("an event")
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_unix_nanos(i128::from(second) * 1_000_000_000).expect("an instant")
    }

    #[test]
    fn source_and_id_together_are_the_name() {
        let mut dedup = Dedup::new(DedupWindow::Last(10));
        let mut admits = |source, id| dedup.admits(&event(source, id), second(0));
        assert!(admits("a", "bc"));
        assert!(admits("ab", "c"));
        assert!(admits("a", "b"));
        assert!(!admits("ab", "c"));
    }

    #[test]
    fn what_was_refused_elsewhere_may_come_again() {
        let mut dedup = Dedup::new(DedupWindow::Last(2));
        let (one, two, three) = (event("s", "1"), event("s", "2"), event("s", "3"));
        assert!(dedup.admits(&one, second(0)));
        dedup.forget(&one);
        assert!(dedup.is_empty());
        assert!(dedup.admits(&one, second(0)));
        assert!(dedup.admits(&two, second(0)));
        // The sight that was forgotten takes nothing with it.
        assert!(!dedup.admits(&one, second(0)));
        assert!(dedup.admits(&three, second(0)));
        assert!(!dedup.admits(&one, second(0)), "two was the oldest");
        assert_eq!((dedup.repeated(), dedup.cut_short()), (2, 0));
    }

    #[test]
    fn memory_is_bounded_by_the_window_however_often_one_comes() {
        let mut dedup = Dedup::new(DedupWindow::Last(3));
        let events: Vec<_> = (0..5).map(|id| event("s", &id.to_string())).collect();
        assert!(dedup.admits(&events[4], second(0)));
        for n in 0..10_000 {
            dedup.admits(&events[n % 2], second(0));
        }
        assert_eq!(dedup.len(), 3);
        assert!(dedup.sights.len() <= 2 * 3 + 65, "{}", dedup.sights.len());
        assert_eq!(dedup.repeated(), 9_998);
    }

    #[test]
    fn a_window_of_time_that_would_hold_too_much_is_cut_short_and_says_so() {
        let mut dedup = Dedup::new(DedupWindow::Within(Duration::from_secs(60)));
        let long = "x".repeat(64 * 1024);
        let most = Dedup::MOST_BYTES / long.len();
        for n in 0..most + 2 {
            assert!(dedup.admits(&event(&long, &format!("{n:08}")), second(0)));
        }
        assert!(dedup.len() < most + 2 && dedup.bytes <= Dedup::MOST_BYTES);
        assert_eq!(dedup.cut_short() as usize, most + 2 - dedup.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn it_finds_what_a_look_at_the_whole_past_finds(
            ids in prop::collection::vec((0_u8..12, 0_i64..4), 1..200), count in 1_usize..9,
            seconds in 0_i64..12,
        ) {
            let time = Duration::from_secs(seconds.unsigned_abs());
            let mut last = Dedup::new(DedupWindow::Last(count));
            let mut within = Dedup::new(DedupWindow::Within(time));
            let mut past: Vec<(u8, i64)> = Vec::new();
            let mut now = 0;
            for (id, later) in ids {
                now += later;
                let event = event("s", &id.to_string());
                let mut different: Vec<u8> = Vec::new();
                for (id, _) in past.iter().rev() {
                    if !different.contains(id) {
                        different.push(*id);
                    }
                }
                different.truncate(count);
                prop_assert_eq!(last.admits(&event, second(now)), !different.contains(&id));
                let was_within = past.iter().any(|(seen, at)| *seen == id && now - at <= seconds);
                prop_assert_eq!(within.admits(&event, second(now)), !was_within);
                past.push((id, now));
            }
            prop_assert_eq!((last.cut_short(), within.cut_short()), (0, 0));
            prop_assert!(last.len() <= count);
        }
    }
}
