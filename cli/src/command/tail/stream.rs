//! The end of a Redis stream, and what comes.
#![forbid(unsafe_code)]

use std::time::Duration;

use ringpost::store::StoreErrorKind;
use ringpost::store::redis::{EntryId, RedisReader, StreamDamage, StreamEntry};

use super::{COUNT, From, POLL, Printer};
use crate::console::{Console, Troubles};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::target::{told, unreadable};

/// The pause before a server that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a read waits where nothing is to be waited for.
const AT_ONCE: Duration = Duration::from_millis(1);

pub(super) struct Tail<'a> {
    pub(super) printer: Printer<'a>,
    pub(super) reader: RedisReader,
    pub(super) interrupt: Interrupt,
    pub(super) console: &'a Console,
}

/// What was found that should not be.
#[derive(Default)]
struct Found {
    damaged: Troubles,
    lost: bool,
}

impl Tail<'_> {
    pub(super) fn run(
        mut self,
        from: From,
        count: Option<usize>,
        follows: bool,
    ) -> Result<Exit, Failure> {
        let mut found = Found::default();
        let start = match from {
            From::Last => self.last(count.unwrap_or(COUNT), &mut found)?,
            From::First | From::Time(_) => EntryId::default(),
            From::New => self.reader.last_id().map_err(unreadable)?,
            From::Sequence(sequence) => {
                EntryId { major: sequence.get().saturating_sub(1), minor: u64::MAX }
            }
        };
        let mut follow = self.reader.follow(start);
        // Whether it is told that the server fails.
        let mut failing = false;
        while !self.interrupt.is_set() {
            match follow.poll(if follows { POLL } else { AT_ONCE }) {
                Ok(Some(entry)) => {
                    self.print(entry, &mut found)?;
                    failing = false;
                }
                Ok(None) => {
                    self.printer.output.flush()?;
                    failing = false;
                    if !follows {
                        break;
                    }
                    self.printer.output.check()?;
                }
                Err(error) if error.kind() == StoreErrorKind::Lost => {
                    self.console.warn(told(&error));
                    found.lost = true;
                }
                Err(error) if follows && error.is_transient() => {
                    self.printer.output.flush()?;
                    if !std::mem::replace(&mut failing, true) {
                        self.console
                            .warn(format_args!("the stream is tried again: {}", told(&error)));
                    }
                    self.interrupt.wait(PAUSE);
                }
                Err(error) => return Err(unreadable(error)),
            }
        }
        self.printer.output.flush()?;
        found.damaged.finish(self.console, "entries that are no records");
        Ok(Exit::damage_if(found.lost || found.damaged.count() > 0))
    }

    /// Prints the last wanted entries, and gives the place behind them.
    fn last(&mut self, count: usize, found: &mut Found) -> Result<EntryId, Failure> {
        let mut end = None;
        let mut lines = Vec::new();
        for entry in self.reader.entries_back().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let id = match &entry {
                Ok(entry) => EntryId { major: entry.sequence.get(), minor: 0 },
                Err(damage) => damage.id,
            };
            end.get_or_insert(id);
            if lines.len() == count || self.interrupt.is_set() {
                break;
            }
            match entry {
                Ok(entry) if self.printer.wanted.admits(&entry.event) => lines.push(entry.line),
                Ok(_) => {}
                Err(damage) => self.note(&damage, found),
            }
        }
        for line in lines.iter().rev() {
            self.printer.output.event(line)?;
        }
        Ok(end.unwrap_or_default())
    }

    fn print(
        &mut self,
        entry: Result<StreamEntry, StreamDamage>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        match entry {
            Ok(entry) if self.printer.wanted.admits(&entry.event) => {
                self.printer.output.event(&entry.line)?;
            }
            Ok(_) => {}
            Err(damage) => self.note(&damage, found),
        }
        Ok(())
    }

    fn note(&self, damage: &StreamDamage, found: &mut Found) {
        found.damaged.add(self.console, format_args!("entry {}: {}", damage.id, damage.reason));
    }
}
