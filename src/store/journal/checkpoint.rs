//! The checkpoints of named consumers: `consumers/NAME` in the journal's directory.
//!
//! Read by retention and by whoever asks how far a consumer is; written by the one who holds the
//! consumer's lock, `consumers/.NAME.lock`. The lock belongs to the open file, as the journal's
//! does: it ends with its holder, however that ends, and its file stays and means nothing. No
//! record depends on what is here.
#![forbid(unsafe_code)]

mod slots;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use self::slots::{Found, Newest, Slots};
use super::lock;
use super::planted::{Bug, planted};
use super::storage::{Access, Held, Storage, StoredFile};
use crate::Sequence;
use crate::store::{Checkpoint, ConsumerName, StoreError, StoreErrorKind};

/// The directory of checkpoints, in the journal's.
const CONSUMERS: &str = "consumers";

/// A consumer that was ahead of the journal when that was opened, and was moved back to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointAhead {
    /// The consumer.
    pub name: ConsumerName,
    /// The first sequence that it needed by its checkpoint.
    pub was: Sequence,
    /// The first one that it needs now: the journal's next.
    pub now: Sequence,
}

/// All checkpoints of one journal.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    storage: Arc<dyn Storage>,
}

impl Checkpoints {
    /// Those of the journal in `storage`. Touches nothing.
    pub(crate) fn of(storage: &dyn Storage) -> Self {
        Self { storage: storage.below(CONSUMERS) }
    }

    /// The lowest sequence that any named consumer still needs; `None` if there is no consumer.
    /// Whatever lies before it may be removed.
    ///
    /// # Errors
    ///
    /// If a checkpoint cannot be read, or is damaged: then nobody knows what its consumer needs.
    pub(crate) fn lowest_needed(&self) -> Result<Option<Sequence>, StoreError> {
        let mut lowest = None;
        for name in self.names()? {
            if let Some(checkpoint) = self.load(&name)? {
                lowest = Some(lowest.map_or(checkpoint.next, |low| checkpoint.next.min(low)));
            }
        }
        Ok(lowest)
    }

    /// Moves every consumer that is ahead of a journal that ends at `last` back to that end: the
    /// journal lost what it had not synced, and gives those sequences to other events now.
    ///
    /// # Errors
    ///
    /// If a checkpoint cannot be read or stored; `Locked` if such a consumer runs. A damaged one
    /// is left alone, and so is what is no plain file: nobody can run it before somebody saw to it.
    pub(crate) fn hold_back(
        &self,
        last: Option<Sequence>,
    ) -> Result<Vec<CheckpointAhead>, StoreError> {
        let Some(end) = last.map_or(Some(Sequence::FIRST), following) else {
            return Ok(Vec::new());
        };
        let mut ahead = Vec::new();
        for name in self.names()? {
            let next = match self.load(&name) {
                Ok(Some(checkpoint)) => checkpoint.next,
                Ok(None) => continue,
                Err(error)
                    if matches!(
                        error.kind(),
                        StoreErrorKind::Damaged | StoreErrorKind::Refused
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if next > end && !planted(Bug::AheadStays) {
                let mut own = self.take(&name)?;
                if let Some(checkpoint) = own.load()? {
                    own.store(&Checkpoint { next: end, ..checkpoint })?;
                    ahead.push(CheckpointAhead { name, was: next, now: end });
                }
            }
        }
        Ok(ahead)
    }

    /// The names of all consumers, in their order.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read. One that is not there has no consumers.
    pub(crate) fn names(&self) -> Result<Vec<ConsumerName>, StoreError> {
        let found = match self.storage.names() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found.map_err(|error| self.failed("list", None, error))?,
        };
        let mut names: Vec<ConsumerName> =
            found.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// A consumer's checkpoint, whether it runs or not; `None` if there is no such consumer.
    ///
    /// # Errors
    ///
    /// If it cannot be read; `Damaged` if nothing whole is in it.
    pub(crate) fn load(&self, name: &ConsumerName) -> Result<Option<Checkpoint>, StoreError> {
        let failed = |error| self.failed("read", Some(name), error);
        // Whoever stores meanwhile leaves one slot whole at every moment, but not in the eyes of
        // a reader so slow that both were written while it looked.
        for pause in [1, 4, 16, 0] {
            let Some(file) = self.open(name, Access::Read).map_err(failed)? else {
                return Ok(None);
            };
            match slots::read(&*file).map_err(failed)? {
                Found::Whole(newest) => return Ok(Some(newest.checkpoint)),
                Found::Unborn => return Ok(None),
                Found::Damaged => thread::sleep(Duration::from_millis(pause)),
            }
        }
        Err(self.damaged(name))
    }

    /// Whether somebody runs the consumer now, in any process. One that cannot be asked does not
    /// run.
    pub(crate) fn is_running(&self, name: &ConsumerName) -> bool {
        self.storage.is_locked(&lock_name(name)).unwrap_or(false)
    }

    /// Takes a consumer for oneself.
    ///
    /// # Errors
    ///
    /// `Locked` if somebody else runs it.
    pub(crate) fn take(&self, name: &ConsumerName) -> Result<OwnCheckpoint, StoreError> {
        let made = self.storage.make_directory();
        made.map_err(|error| self.failed("make", None, error))?;
        let attempt = format!("take the consumer {name} in {}", self.storage.place().display());
        let lock = lock::take(&*self.storage, &lock_name(name), &attempt)?;
        Ok(OwnCheckpoint { all: self.clone(), name: name.clone(), slots: None, _lock: lock })
    }

    fn open(&self, name: &ConsumerName, access: Access) -> io::Result<Option<Box<dyn StoredFile>>> {
        match self.storage.open(name.as_str(), access) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn failed(&self, verb: &str, name: Option<&ConsumerName>, error: io::Error) -> StoreError {
        let place = self.storage.place();
        let place = name.map_or_else(|| place.to_owned(), |name| place.join(name.as_str()));
        StoreError::from_io(format!("{verb} {}", place.display()), error)
    }

    fn damaged(&self, name: &ConsumerName) -> StoreError {
        let place = self.storage.place().join(name.as_str());
        let attempt = format!("read the checkpoint {}, which must be reset", place.display());
        StoreError::new(StoreErrorKind::Damaged, attempt)
    }
}

/// A consumer's checkpoint in the hands of the one who runs it, or changes it, until dropped.
#[derive(Debug)]
pub(crate) struct OwnCheckpoint {
    all: Checkpoints,
    name: ConsumerName,
    /// None until it was loaded or stored.
    slots: Option<Slots>,
    _lock: Box<dyn Held>,
}

impl OwnCheckpoint {
    /// What is stored, which is durable from now on; `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be read or made durable; `Damaged` if nothing whole is in it.
    pub(crate) fn load(&mut self) -> Result<Option<Checkpoint>, StoreError> {
        let failed = |verb, error| self.all.failed(verb, Some(&self.name), error);
        let opened = self.all.open(&self.name, Access::Replace);
        let Some(file) = opened.map_err(|error| failed("open", error))? else { return Ok(None) };
        match slots::read(&*file).map_err(|error| failed("read", error))? {
            Found::Whole(newest) => {
                let slots = Slots::resume(&*self.all.storage, file, &newest);
                self.slots = Some(slots.map_err(|error| failed("sync", error))?);
                let Newest { checkpoint, .. } = newest;
                Ok(Some(checkpoint))
            }
            Found::Unborn => Ok(None),
            Found::Damaged => Err(self.all.damaged(&self.name)),
        }
    }

    /// Stores a checkpoint, in place of whatever is there. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// Why it could not be stored. What was stored before counts, or this; the call may be made
    /// again.
    pub(crate) fn store(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let stored = match &mut self.slots {
            Some(slots) => slots.store(checkpoint),
            None => self.create(checkpoint).map(|slots| self.slots = Some(slots)),
        };
        stored.map_err(|error| self.all.failed("store the checkpoint", Some(&self.name), error))
    }

    fn create(&self, checkpoint: &Checkpoint) -> io::Result<Slots> {
        let (storage, name) = (&*self.all.storage, self.name.as_str());
        if let Some(file) = self.all.open(&self.name, Access::Replace)? {
            match slots::read(&*file)? {
                Found::Whole(newest) => {
                    let mut slots = Slots::resume(storage, file, &newest)?;
                    return slots.store(checkpoint).map(|()| slots);
                }
                Found::Damaged => return Slots::repair(file, checkpoint),
                // Nobody was told that it exists.
                Found::Unborn => storage.remove(name)?,
            }
        }
        Slots::create(storage, name, checkpoint)
    }

    /// Forgets the consumer; whether there was one.
    ///
    /// # Errors
    ///
    /// Why it could not be done.
    pub(crate) fn remove(mut self) -> Result<bool, StoreError> {
        self.slots = None;
        let storage = &*self.all.storage;
        let removed = match storage.remove(self.name.as_str()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed.and_then(|()| storage.sync_directory()),
        };
        removed.map_err(|error| self.all.failed("remove", Some(&self.name), error))?;
        Ok(true)
    }
}

/// The next sequence; none behind the last one there is.
pub(super) fn following(sequence: Sequence) -> Option<Sequence> {
    Some(sequence.get() + 1).filter(|next| *next < Sequence::LIMIT).map(Sequence::new)
}

/// No consumer's name begins with a dot.
fn lock_name(name: &ConsumerName) -> String {
    format!(".{name}.lock")
}
