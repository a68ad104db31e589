//! A reader of the ring that tells waiting publishers when it moves on, and when it goes.
//!
//! Used by the sources that read the ring and by taps. It must never keep publishers waiting for
//! a reader that has nothing more to do.
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::mailbox::space::{self, Space};
use crate::ring::{Log, Reader};

/// A reader, lossy or required, with the bell of those who wait for a required one.
pub(crate) struct RingReader<T: Send + Sync + 'static> {
    reader: Reader<T>,
    log: Arc<Log<T>>,
    space: Arc<Space>,
}

impl<T: Send + Sync + 'static> RingReader<T> {
    pub(crate) fn new(reader: Reader<T>, log: Arc<Log<T>>, space: Arc<Space>) -> Self {
        if reader.is_required() {
            // While it registered, a claim may have been refused by a first, lower limit.
            space.changed();
        }
        Self { reader, log, space }
    }

    /// Tells publishers how far a required reader is: once a batch. A lossy one has nothing to
    /// tell.
    ///
    /// Those who wait are woken when all readers together leave half of a window free, or some room
    /// and the window is small, or this one has nothing left to read. Not when this one alone does: while the
    /// slowest is in the way, the others would wake the publisher again and again for nothing.
    #[inline]
    pub(crate) fn tell(&mut self) {
        if self.reader.is_required() {
            self.reader.publish();
            self.free(|reader| !reader.is_ready());
        }
    }

    /// As [`Log::stock`].
    #[inline]
    pub(crate) fn stock(&self) {
        self.log.stock();
    }

    /// The same, for a reader whose stake another one has: it tells nothing once that was lifted.
    #[inline]
    pub(crate) fn tell_if_held(&mut self) {
        if self.reader.is_required() {
            self.reader.publish_ahead(0);
            self.free(|reader| !reader.is_ready());
        }
    }

    /// The same as if it had read only what lies before `position`.
    #[inline]
    pub(crate) fn tell_to(&mut self, position: u64) {
        if self.reader.is_required() {
            self.reader.publish_to(position);
            self.free(|reader| !reader.is_ready());
        }
    }

    /// The same as if it had read the next `ahead` messages, which it has in hand, once a batch and
    /// before that is handled; `last` if nothing was there behind them.
    #[inline]
    pub(crate) fn tell_ahead(&mut self, ahead: u64, last: bool) {
        if self.reader.is_required() {
            self.reader.publish_ahead(ahead);
            self.free(|_| last);
        }
    }

    #[inline]
    fn free(&self, last: impl FnOnce(&Reader<T>) -> bool) {
        let (log, reader) = (&self.log, &self.reader);
        self.space.freed(|| {
            let some = space::is_small(log.smallest_window()) || last(reader);
            log.is_half_free() || (some && log.has_room(1))
        });
    }

    /// From now on publishers need not wait for it, and it holds no block.
    pub(crate) fn leave(&mut self) {
        let required = self.reader.is_required();
        let position = self.reader.position();
        // The old reader's own drop gives its place back.
        self.reader = Log::reader(&self.log, position);
        if required {
            self.space.changed();
        }
    }
}

impl<T: Send + Sync + 'static> Drop for RingReader<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T: Send + Sync + 'static> Deref for RingReader<T> {
    type Target = Reader<T>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.reader
    }
}

impl<T: Send + Sync + 'static> DerefMut for RingReader<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.reader
    }
}
