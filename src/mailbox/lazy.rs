//! A mailbox that is made when somebody first asks for it: the address of one that may
//! not exist yet, for a subscription that may stay idle for ever.
//!
//! Held by the bus for each subscription with a mailbox of its own, and by the source that receives
//! from it. Through `Deref` it is an [`Addr`]: the first use that needs the mailbox makes it, every
//! later one pays a look at a word that lies beside the address. What can be answered without a
//! mailbox (how full, how far, closing, ringing) is answered without making it.
//!
//! Until then the receiver's sleep is kept here, under the lock. Whoever makes the mailbox moves
//! the sleep into its doorbell, so that the maker's own bell, after its fence, ends it: making
//! wakes nobody, and may be done while a place in another mailbox is held.
//!
//! A mailbox that was never made may also give way for good to something else that its receiver is
//! to receive from.
#![forbid(unsafe_code)]

use std::ops::Deref;
use std::sync::{OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::signal::wake_caught;
use super::{Addr, Counts, Mailbox, Overflow, Wait};
use crate::sync::{Mutex, MutexGuard};

/// The address of a mailbox that may not be made yet.
pub(crate) struct LazyAddr<T> {
    addr: OnceLock<Addr<T>>,
    capacity: usize,
    overflow: Overflow,
    wait: Wait,
    /// Whether it never gives way.
    stays: bool,
    /// The receiver's side. Held while the mailbox is made, so that there is one.
    rest: Mutex<Rest<T>>,
}

/// What the receiver will find, or left.
enum Rest<T> {
    /// Nothing is made; the receiver's waker, if it sleeps.
    Unmade(Option<Waker>),
    /// Nothing was made when it was closed.
    Closed,
    /// Nothing was made when it gave way.
    GaveWay,
    /// The receiver has not come for it yet.
    Made(Box<Mailbox<T>>),
    /// The receiver has it.
    Taken,
}

/// What the receiver finds.
pub(crate) enum Found<T> {
    /// Its mailbox, once.
    Mailbox(Box<Mailbox<T>>),
    /// Nothing was put in so far.
    Nothing,
    /// Nothing was put in, and nothing ever will be.
    Closed,
    /// Nothing was put in, and what comes comes elsewhere.
    GaveWay,
}

impl<T> LazyAddr<T> {
    /// For a mailbox with room for `capacity` messages, which [`Mailbox::new`] would take.
    pub(crate) fn new(capacity: usize, overflow: Overflow, wait: Wait) -> Self {
        let rest = Mutex::new(Rest::Unmade(None));
        Self { addr: OnceLock::new(), capacity, overflow, wait, stays: false, rest }
    }

    /// The same for one that never gives way.
    pub(crate) fn staying(self) -> Self {
        Self { stays: true, ..self }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn overflow(&self) -> Overflow {
        self.overflow
    }

    pub(crate) fn wait(&self) -> Wait {
        self.wait
    }

    /// Has it give way to what `replace` puts in its place, unless it is made or closed, or stays;
    /// whether it did. `replace` gets the waker of the receiver, if that sleeps, and runs under the
    /// lock: whoever finds that it gave way finds also what is there instead.
    pub(crate) fn give_way(&self, replace: impl FnOnce(Option<Waker>)) -> bool {
        let mut rest = self.lock();
        let Rest::Unmade(waker) = &mut *rest else { return false };
        if self.stays {
            return false;
        }
        replace(waker.take());
        *rest = Rest::GaveWay;
        true
    }

    /// As [`Addr::tail`].
    pub(crate) fn tail(&self) -> u64 {
        self.addr.get().map_or(0, Addr::tail)
    }

    /// As [`Addr::len`].
    pub(crate) fn len(&self) -> usize {
        self.addr.get().map_or(0, Addr::len)
    }

    /// As [`Addr::counts`].
    pub(crate) fn counts(&self) -> Counts {
        self.addr.get().map(Addr::counts).unwrap_or_default()
    }

    /// As [`Addr::close`]. One that gave way has nothing to close.
    pub(crate) fn close(&self) {
        self.close_locked(self.lock());
    }

    /// The same for the receiver: what there is.
    pub(crate) fn close_found(&self) -> Found<T> {
        let mut rest = self.lock();
        let found = Self::find(&mut rest);
        self.close_locked(rest);
        found
    }

    fn close_locked(&self, mut rest: MutexGuard<'_, Rest<T>>) {
        if let Some(addr) = self.addr.get() {
            drop(rest);
            addr.close();
        } else if let Rest::Unmade(waker) = &mut *rest {
            let waker = waker.take();
            *rest = Rest::Closed;
            drop(rest);
            waker.into_iter().for_each(wake_caught);
        }
    }

    /// Wakes the receiver if it sleeps, to look around. The caller has passed the fence.
    pub(crate) fn ring(&self) {
        let mut rest = self.lock();
        if let Some(addr) = self.addr.get() {
            drop(rest);
            addr.signal().ring();
        } else if let Rest::Unmade(waker) = &mut *rest {
            let waker = waker.take();
            drop(rest);
            waker.into_iter().for_each(wake_caught);
        }
    }

    /// For the receiver: what there is. While there is nothing, `task` is woken when that changes.
    pub(crate) fn poll_found(&self, task: &mut Context<'_>) -> Poll<Found<T>> {
        // Cloning and dropping a waker is foreign code: not under the lock.
        let mut fresh = Some(task.waker().clone());
        let mut rest = self.lock();
        if let Rest::Unmade(waker) = &mut *rest {
            std::mem::swap(waker, &mut fresh);
        }
        let found = Self::find(&mut rest);
        drop(rest);
        drop(fresh);
        match found {
            Found::Nothing => Poll::Pending,
            found => Poll::Ready(found),
        }
    }

    /// For a receiver that did not look yet: while there is nothing, this waker is kept, and woken when
    /// that changes; otherwise it is given back.
    pub(crate) fn sleep(&self, waker: Waker) -> Option<Waker> {
        let mut rest = self.lock();
        let Rest::Unmade(kept) = &mut *rest else { return Some(waker) };
        let before = kept.replace(waker);
        drop(rest);
        // Foreign code, as in `poll_found`.
        drop(before);
        None
    }

    /// For the receiver: what there is.
    pub(crate) fn found(&self) -> Found<T> {
        Self::find(&mut self.lock())
    }

    fn find(rest: &mut Rest<T>) -> Found<T> {
        match std::mem::replace(rest, Rest::Taken) {
            Rest::Made(mailbox) => Found::Mailbox(mailbox),
            kept => {
                let found = match &kept {
                    Rest::Closed => Found::Closed,
                    Rest::GaveWay => Found::GaveWay,
                    _ => Found::Nothing,
                };
                *rest = kept;
                found
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rest<T>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send> LazyAddr<T> {
    #[cold]
    #[inline(never)]
    pub(crate) fn make(&self) -> &Addr<T> {
        self.make_from(self.lock())
    }

    /// The address, which is made if need be; `None` of one that gave way.
    pub(crate) fn reach(&self) -> Option<&Addr<T>> {
        if let Some(addr) = self.addr.get() {
            return Some(addr);
        }
        let rest = self.lock();
        (!matches!(*rest, Rest::GaveWay)).then(|| self.make_from(rest))
    }

    fn make_from(&self, mut rest: MutexGuard<'_, Rest<T>>) -> &Addr<T> {
        debug_assert!(!matches!(*rest, Rest::GaveWay), "who asks by `reach` gets none");
        self.addr.get_or_init(|| {
            let (addr, mailbox) = Mailbox::new(self.capacity, self.overflow);
            let made = Rest::Made(Box::new(mailbox.with_wait(self.wait)));
            match std::mem::replace(&mut *rest, made) {
                Rest::Unmade(Some(waker)) => addr.signal().begin_asleep(waker),
                Rest::Closed | Rest::GaveWay => addr.close(),
                _ => {}
            }
            addr
        })
    }
}

impl<T: Send> Deref for LazyAddr<T> {
    type Target = Addr<T>;

    #[inline]
    fn deref(&self) -> &Addr<T> {
        match self.addr.get() {
            Some(addr) => addr,
            None => self.make(),
        }
    }
}

#[cfg(all(test, not(ringpost_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;
    use crate::OfferError;
    use crate::mailbox::signal;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn lazy() -> LazyAddr<u32> {
        LazyAddr::new(2, Overflow::DropNewest, Wait::Park)
    }

    fn sleep(lazy: &LazyAddr<u32>, wakes: &Arc<Wakes>) -> Poll<Found<u32>> {
        lazy.poll_found(&mut Context::from_waker(&Waker::from(Arc::clone(wakes))))
    }

    #[test]
    fn questions_make_no_mailbox() {
        let lazy = lazy();
        assert_eq!((lazy.capacity(), lazy.tail(), lazy.len()), (2, 0, 0));
        assert_eq!(lazy.counts(), Counts::default());
        lazy.ring();
        lazy.close();
        assert!(lazy.addr.get().is_none());
    }

    #[test]
    fn the_bell_of_the_first_message_ends_the_sleep_and_not_the_making() {
        let (lazy, wakes) = (lazy(), Arc::<Wakes>::default());
        assert!(sleep(&lazy, &wakes).is_pending());
        assert!(matches!(lazy.push(&mut || 7, &mut Vec::new()), crate::mailbox::Push::Taken));
        assert_eq!(wakes.0.load(SeqCst), 0);
        signal::fence();
        lazy.signal().ring();
        assert_eq!(wakes.0.load(SeqCst), 1);
        let Found::Mailbox(mut mailbox) = lazy.found() else { panic!("it was made") };
        assert_eq!(mailbox.try_recv(), Ok(7));
        assert!(matches!(lazy.found(), Found::Nothing), "it comes once");
    }

    #[test]
    fn closing_wakes_whoever_sleeps_and_what_is_made_later_is_closed() {
        let (lazy, wakes) = (lazy(), Arc::<Wakes>::default());
        assert!(sleep(&lazy, &wakes).is_pending());
        lazy.close();
        assert_eq!(wakes.0.load(SeqCst), 1);
        assert!(matches!(sleep(&lazy, &wakes), Poll::Ready(Found::Closed)));
        assert_eq!(lazy.offer(1), Err(OfferError::Closed(1)));
        let Found::Mailbox(mut mailbox) = lazy.found() else { panic!("it was made") };
        assert_eq!(mailbox.try_recv(), Err(crate::TryRecvError::Closed));
    }

    #[test]
    fn who_would_sleep_from_the_beginning_does_so_only_where_nothing_was_put_in() {
        let wakes = Arc::<Wakes>::default();
        let waker = || Waker::from(Arc::clone(&wakes));
        let idle = lazy();
        assert!(idle.sleep(waker()).is_none());
        assert!(idle.offer(1).is_ok());
        signal::fence();
        idle.signal().ring();
        assert_eq!(wakes.0.load(SeqCst), 1);
        let full = lazy();
        assert!(full.offer(1).is_ok());
        assert!(full.sleep(waker()).is_some());
        let closed = lazy();
        closed.close();
        assert!(closed.sleep(waker()).is_some());
        assert_eq!(Arc::strong_count(&wakes), 1, "nobody keeps a waker for nothing");
    }

    #[test]
    fn one_that_gives_way_leaves_the_sleep_to_what_replaces_it_and_is_never_made() {
        let (lazy, wakes) = (lazy(), Arc::<Wakes>::default());
        assert!(sleep(&lazy, &wakes).is_pending());
        let mut left = None;
        assert!(lazy.give_way(|waker| left = waker));
        assert!(left.is_some_and(|waker| waker.will_wake(&Waker::from(Arc::clone(&wakes)))));
        assert!(matches!(sleep(&lazy, &wakes), Poll::Ready(Found::GaveWay)));
        assert!(lazy.sleep(Waker::from(Arc::clone(&wakes))).is_some());
        assert!(lazy.reach().is_none() && lazy.addr.get().is_none());
        lazy.close();
        assert!(matches!(lazy.found(), Found::GaveWay), "closing is what replaces it to do");
        assert!(!lazy.give_way(|_| panic!("it happens once")));
        assert_eq!(wakes.0.load(SeqCst), 0);
    }

    #[test]
    fn what_is_made_or_closed_or_stays_does_not_give_way() {
        let made = lazy();
        assert!(made.reach().is_some_and(|addr| addr.offer(1).is_ok()));
        let closed = lazy();
        closed.close();
        for lazy in [made, closed, lazy().staying()] {
            assert!(!lazy.give_way(|_| panic!("nothing replaces it")));
        }
    }

    #[test]
    fn a_ring_without_a_mailbox_wakes_to_look_around() {
        let (lazy, wakes) = (lazy(), Arc::<Wakes>::default());
        assert!(sleep(&lazy, &wakes).is_pending());
        lazy.ring();
        lazy.ring();
        assert_eq!(wakes.0.load(SeqCst), 1);
    }
}
