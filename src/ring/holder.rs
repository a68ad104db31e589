//! Claiming places in one ring, and committing them after places in others were claimed.
//!
//! Called by `bus` for logs that several subscriptions share. It adds nothing to a claim but the
//! time in between, in which its owner may do anything except wait.
#![allow(unsafe_code)]

use super::log::Log;
use super::writer::{Claim, Pen, Refused, Writer};
use crate::sync::Arc;

/// A publisher that may hold places for a while.
///
/// Places that are held when it is dropped stay empty, and readers wait there for good: its owner
/// commits them first, whatever happens.
#[derive(Debug)]
pub(crate) struct Holder<T: Send + Sync + 'static> {
    writer: Writer<T>,
    /// Places that were claimed and have to be committed: the first, and how many.
    held: Option<(u64, u64)>,
}

impl<T: Send + Sync + 'static> Holder<T> {
    pub(crate) fn new(log: &Arc<Log<T>>) -> Self {
        Self { writer: Log::writer(log), held: None }
    }

    /// Claims as [`Pen::claim`] does; [`held`](Self::held) has the places.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing is held then.
    ///
    /// # Panics
    ///
    /// As [`Pen::claim`], and if places are held already.
    #[inline]
    pub(crate) fn hold(&mut self, k: usize) -> Result<(), Refused> {
        let held = {
            let mut pen = self.pen();
            let claim = pen.claim(k)?;
            (claim.first, claim.k)
        };
        self.held = Some(held);
        Ok(())
    }

    /// The places that are held, if there are any.
    #[inline]
    pub(crate) fn held(&mut self) -> Option<Claim<'_, T>> {
        let (first, k) = self.held.take()?;
        let Writer { log, cell } = &self.writer;
        // SAFETY: cells are freed with the log, which the writer holds. The cell has named the
        // block since the claim: nothing else was done with it, as `pen` makes sure.
        let cell = unsafe { cell.as_ref() };
        Some(Claim { log, cell, first, k })
    }

    /// All else that can be done with the ring's end.
    ///
    /// # Panics
    ///
    /// If places are held: what they wait for would be given away.
    #[inline]
    pub(crate) fn pen(&mut self) -> Pen<'_, T> {
        assert!(self.held.is_none(), "places that are held are committed before anything else");
        self.writer.pen()
    }
}
