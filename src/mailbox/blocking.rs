//! Waiting on a thread of one's own, with a deadline.
//!
//! The blocking calls of `Mailbox` and `Addr`.
//! Never call it from a task: it puts the thread to sleep.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::block_on::block_on;

use super::addr::HELD;
use super::{Addr, Mailbox, OfferError, Offered, RecvError, looks};

impl<T> Mailbox<T> {
    /// The next message; waits for it on this thread, as the mailbox's [`Wait`](crate::Wait)
    /// says.
    ///
    /// Do not call it from a task: it puts the thread to sleep.
    ///
    /// # Errors
    ///
    /// When the mailbox is closed and empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use ringpost::{Mailbox, Overflow, RecvError};
    ///
    /// let (addr, mut mailbox) = Mailbox::new(16, Overflow::block());
    /// let sender = std::thread::spawn(move || (0..100).try_for_each(|n| {
    ///     addr.send_blocking(n, std::time::Duration::from_secs(10)).map(drop)
    /// }));
    /// for expected in 0..100 {
    ///     assert_eq!(mailbox.recv_blocking(), Ok(expected));
    /// }
    /// assert_eq!(mailbox.recv_blocking(), Err(RecvError::Closed));
    /// # sender.join().unwrap().unwrap();
    /// ```
    pub fn recv_blocking(&mut self) -> Result<T, RecvError> {
        block_on(self.recv(), None).expect("without a deadline there is no giving up")
    }

    /// The next message, or `None` when `timeout` has passed without one.
    ///
    /// Do not call it from a task: it puts the thread to sleep.
    ///
    /// # Errors
    ///
    /// When the mailbox is closed and empty.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<T>, RecvError> {
        // A timeout beyond the clock's range is none.
        block_on(self.recv(), Instant::now().checked_add(timeout)).transpose()
    }
}

impl<T> Addr<T> {
    /// Puts `message` in, and waits for room for at most `timeout` on this thread if the mailbox's
    /// policy is [`Overflow::Block`](crate::Overflow::Block); with any other policy this is
    /// [`offer`](Self::offer).
    ///
    /// Do not call it from a task: it puts the thread to sleep.
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer); with `Block`, [`OfferError::Full`] when the time is over.
    #[inline]
    pub fn send_blocking(&self, message: T, timeout: Duration) -> Result<Offered, OfferError<T>> {
        let mut held = Some(message);
        if self.puts_in(&mut held) {
            return Ok(Offered { dropped: 0 });
        }
        self.wait_to_send(held.expect(HELD), timeout)
    }

    /// The same for a message that found no room.
    #[cold]
    fn wait_to_send(&self, message: T, timeout: Duration) -> Result<Offered, OfferError<T>> {
        let mut message = match self.insist(message) {
            Err(OfferError::Full(message)) if self.overflow().waits() => message,
            done => return done,
        };
        // A timeout beyond the clock's range is none.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let room = looks::wait_blocking(
                self.space(),
                self.capacity() as u64,
                deadline,
                || self.has_room(1),
                || self.is_half_free(),
            );
            message = match self.offer(message) {
                Err(OfferError::Full(message)) if room => message,
                done => return done,
            };
        }
    }
}
