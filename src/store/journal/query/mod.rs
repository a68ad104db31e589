//! Searching a journal: which events match, in the journal's order, on all cores.
//!
//! Segments are cut into ranges, the ranges are searched side by side, and what they hold comes
//! out in order. Most lines that do not match are dropped by looking for a text they would have to
//! spell; the others are taken apart without being copied, and only a match is decoded. Memory
//! stays bounded: a few ranges are ahead of whoever takes the matches, each of
//! at most 4 MiB (or one line).
//!
//! Where only events of some time are wanted, the index of a sealed segment says which of its
//! blocks cannot hold any, and they are not read. It is made by the first query that has to take
//! every line of the segment apart and may write into the journal's directory.
//!
//! A match is always a whole record with a valid checksum. Damage is stepped over and counted
//! where it is met. Lines that were dropped unread, or passed over, are not checked, nor is a foreign line that does
//! not match checked for more than being JSON ([`verify`](super::JournalReader::verify) checks
//! every line for everything).
//!
//! ```no_run
//! use ringpost::store::journal::JournalReader;
//! use ringpost::store::journal::query::{Query, Selection};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dear = Selection::default().condition("data.price >= 100".parse()?);
//! let mut matches = JournalReader::open("journal")?.query(Query::new(dear).with_limit(10))?;
//! while let Some(found) = matches.next()? {
//!     println!("{}", String::from_utf8_lossy(found.line));
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod blocks;
mod condition;
mod decimal;
mod matches;
mod path;
mod prefilter;
mod search;
mod selection;
mod share;
mod stop;
mod text;

pub use condition::{Condition, ConditionError};
pub use matches::{Match, Matches};
pub use path::Path;
pub use selection::Selection;
pub use text::{TextPattern, TextPatternError};

use self::stop::Stop;
use super::read::JournalReader;
use crate::store::StoreError;

/// In which order matches come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    #[default]
    Ascending,
    /// The newest first.
    Descending,
}

/// What to look for, and how to give it out.
#[derive(Clone, Debug)]
pub struct Query {
    selection: Selection,
    order: Order,
    limit: Option<u64>,
    group: Option<Path>,
    keeps_lines: bool,
    keeps_events: bool,
    stop: Stop,
}

impl Query {
    /// All events of a selection, the oldest first.
    #[must_use]
    pub fn new(selection: Selection) -> Self {
        let order = Order::default();
        Self {
            selection,
            order,
            limit: None,
            group: None,
            keeps_lines: true,
            keeps_events: false,
            stop: Stop::default(),
        }
    }

    /// The same in another order.
    #[must_use]
    pub fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// At most this many. Nothing is read that is not needed for them, but for what was begun.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// With each match comes the value at this place: see [`Match::group`].
    #[must_use]
    pub fn with_group(self, path: Path) -> Self {
        Self { group: Some(path), ..self }
    }

    /// With each match comes its event, decoded on the threads that search: see
    /// [`Matches::take_event`].
    #[must_use]
    pub fn with_events(self) -> Self {
        Self { keeps_events: true, ..self }
    }

    /// Ends as soon as `stop` says so: see [`Matches::stopped`]. It is asked by all threads that
    /// search, each time that one has read 256 KiB or has taken 1,024 lines apart.
    #[must_use]
    pub fn with_stop(self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { stop: Stop::when(stop), ..self }
    }

    /// Without the lines, for whoever only counts.
    #[must_use]
    pub fn without_lines(self) -> Self {
        Self { keeps_lines: false, ..self }
    }
}

impl JournalReader {
    /// Searches the journal as it is now.
    ///
    /// # Errors
    ///
    /// If the journal cannot be listed, or no thread can be started.
    pub fn query(&self, query: Query) -> Result<Matches, StoreError> {
        Matches::start(self.target.clone(), query)
    }
}
