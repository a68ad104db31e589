//! The named consumers of a journal, seen from outside: how far they are, and changing that.
//!
//! For people, from any process. A consumer that runs can be looked at; it is changed only while
//! it does not.
#![forbid(unsafe_code)]

use super::checkpoint::{Checkpoints, OwnCheckpoint, following};
use super::read::{JournalReader, Position, Target};
use crate::Sequence;
use crate::store::{
    Archive, Begin, Checkpoint, CheckpointStore, ConsumerName, HeldCheckpoint, StoreError,
    StoreErrorKind,
};

/// The named consumers of one journal.
#[derive(Clone, Debug)]
pub struct Consumers {
    reader: JournalReader,
    checkpoints: Checkpoints,
}

/// How far a named consumer is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerState {
    /// Its name.
    pub name: ConsumerName,
    /// What it stored last. While it runs it is ahead of this by what it has not stored yet.
    pub checkpoint: Checkpoint,
    /// Whether it runs, in any process.
    pub running: bool,
    /// Events stored in the journal that are not behind the checkpoint, whether the consumer's
    /// pattern matches them or not.
    pub lag: u64,
}

impl JournalReader {
    /// The named consumers of this journal.
    ///
    /// # Errors
    ///
    /// `Unsupported` if this is one plain file, which has none.
    pub fn consumers(&self) -> Result<Consumers, StoreError> {
        match &self.target {
            Target::Directory(storage) => {
                let checkpoints = Checkpoints::of(&**storage);
                Ok(Consumers { reader: self.clone(), checkpoints })
            }
            Target::File(path) => {
                let attempt = format!("look for consumers of the plain file {}", path.display());
                Err(StoreError::new(StoreErrorKind::Unsupported, attempt))
            }
        }
    }
}

impl Consumers {
    /// Their names, in order.
    ///
    /// # Errors
    ///
    /// If the directory of checkpoints cannot be read.
    pub fn names(&self) -> Result<Vec<ConsumerName>, StoreError> {
        self.checkpoints.names()
    }

    /// How far the consumer is; `None` if there is none of that name.
    ///
    /// # Errors
    ///
    /// If its checkpoint or the journal's end cannot be read; `Damaged` if the checkpoint must be
    /// reset.
    pub fn get(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        let Some(checkpoint) = self.checkpoints.load(name)? else { return Ok(None) };
        let lag = checkpoint.lag(self.reader.last_sequence()?);
        let running = self.checkpoints.is_running(name);
        Ok(Some(ConsumerState { name: name.clone(), checkpoint, running, lag }))
    }

    /// The lowest sequence that any of them still needs; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If a checkpoint cannot be read or is damaged: then nobody knows what it needs.
    pub fn lowest_needed(&self) -> Result<Option<Sequence>, StoreError> {
        self.checkpoints.lowest_needed()
    }

    /// Moves the consumer to another place, also when its checkpoint is damaged; gives the first
    /// sequence that it will see. Its counts begin anew.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such consumer, `Locked` if it runs, `Refused` for a sequence
    /// behind the journal's end and the next; otherwise why it could not be stored.
    pub fn reset(&self, name: &ConsumerName, to: Begin) -> Result<Sequence, StoreError> {
        self.must_exist(name, "reset")?;
        let mut own = self.checkpoints.take(name)?;
        let pattern = match own.load() {
            Ok(Some(checkpoint)) => checkpoint.pattern,
            Ok(None) => String::new(),
            Err(error) if error.kind() == StoreErrorKind::Damaged => String::new(),
            Err(error) => return Err(error),
        };
        let last = self.reader.last_sequence()?;
        let end = last.map_or(Some(Sequence::FIRST), following);
        let refused = |attempt| Err(StoreError::new(StoreErrorKind::Refused, attempt));
        let next = match (self.reader.place_of(to)?, end) {
            (Some(next), Some(end)) if next > end => {
                return refused(format!(
                    "reset the consumer {name} to {next}, but the journal goes on at {end}"
                ));
            }
            (Some(next), _) | (None, Some(next)) => next,
            (None, None) => {
                return refused(format!(
                    "reset the consumer {name} to what comes, but the last sequence there is was used"
                ));
            }
        };
        own.store(&Checkpoint::new(next, pattern))?;
        Ok(next)
    }

    /// Forgets the consumer: whoever subscribes under its name again begins anew.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such consumer, `Locked` if it runs; otherwise why it could not
    /// be removed.
    pub fn remove(&self, name: &ConsumerName) -> Result<(), StoreError> {
        self.must_exist(name, "remove")?;
        self.checkpoints.take(name)?.remove().map(drop)
    }

    /// Taking a consumer leaves a lock behind, which nobody wants for a name that was mistyped.
    fn must_exist(&self, name: &ConsumerName, verb: &str) -> Result<(), StoreError> {
        match self.checkpoints.load(name) {
            Ok(None) => {
                let attempt = format!("{verb} the consumer {name}");
                Err(StoreError::new(StoreErrorKind::NotFound, attempt))
            }
            Ok(Some(_)) => Ok(()),
            Err(error) if error.kind() == StoreErrorKind::Damaged => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl JournalReader {
    /// The last sequence in the journal.
    pub(super) fn last_sequence(&self) -> Result<Option<Sequence>, StoreError> {
        let last = self.tail(1)?.entries.pop();
        Ok(last.and_then(|entry| entry.sequence))
    }

    /// The first record wanted by whoever begins there; none if none that is there is.
    fn place_of(&self, begin: Begin) -> Result<Option<Sequence>, StoreError> {
        let from = match begin {
            Begin::Now => return Ok(None),
            Begin::Sequence(sequence) => return Ok(Some(sequence.max(Sequence::FIRST))),
            Begin::First => None,
            Begin::Time(time) => Some(time),
        };
        let place = from.map_or(Ok(Position::default()), |from| self.place_since(from))?;
        for entry in self.records_at(place)?.without_lines() {
            let entry = entry?;
            let time = entry.event.time().or(entry.event.recorded_at());
            if entry.sequence.is_some() && from.is_none_or(|from| time >= Some(from)) {
                return Ok(entry.sequence);
            }
        }
        Ok(None)
    }
}

/// A journal as durable consumers see it.
#[derive(Clone, Debug)]
pub(super) struct JournalCheckpoints(pub(super) JournalReader);

impl CheckpointStore for JournalCheckpoints {
    fn archive(&self) -> Box<dyn Archive> {
        Box::new(self.0.clone())
    }

    fn place_of(&self, begin: Begin) -> Result<Option<Sequence>, StoreError> {
        self.0.place_of(begin)
    }

    fn take(&self, name: &ConsumerName) -> Result<Box<dyn HeldCheckpoint>, StoreError> {
        Ok(Box::new(self.0.consumers()?.checkpoints.take(name)?))
    }
}

impl HeldCheckpoint for OwnCheckpoint {
    fn load(&mut self) -> Result<Option<Checkpoint>, StoreError> {
        Self::load(self)
    }

    fn store(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        Self::store(self, checkpoint)
    }
}
