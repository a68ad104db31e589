//! Who is subscribed: one immutable table, replaced as a whole.
//!
//! Publishers never walk it; they keep routes and notice by its version that it changed. Changes
//! take a lock among themselves and copy one path of the trie.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::inline::Inline;
use super::members::Members;
use super::route::{Route, Target};
use crate::Message;
use crate::actor::bell::Bell;
use crate::actor::subscriber::Subscriber;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::topic::Trie;

/// A subscription that reads the ring itself.
pub(crate) struct RingMember<M: Message> {
    pub(crate) subscriber: Arc<Subscriber<M>>,
    pub(crate) bell: Arc<Bell>,
    /// Where it began.
    pub(crate) start: u64,
    /// The lag it may build up.
    pub(crate) window: u64,
    /// Whether publishers must not overrun it.
    pub(crate) required: bool,
    /// How long a publish waits for it then.
    pub(crate) timeout: Duration,
}

/// One subscription, by how it gets its messages.
pub(crate) enum Member<M: Message> {
    Mailbox(Arc<Target<M>>),
    Ring(Arc<RingMember<M>>),
    Inline(Arc<Inline<M>>),
}

impl<M: Message> Clone for Member<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Mailbox(target) => Self::Mailbox(Arc::clone(target)),
            Self::Ring(reader) => Self::Ring(Arc::clone(reader)),
            Self::Inline(handler) => Self::Inline(Arc::clone(handler)),
        }
    }
}

impl<M: Message> Member<M> {
    pub(crate) fn subscriber(&self) -> &Arc<Subscriber<M>> {
        match self {
            Self::Mailbox(target) => &target.subscriber,
            Self::Ring(reader) => &reader.subscriber,
            Self::Inline(handler) => &handler.subscriber,
        }
    }
}

/// The table of subscriptions.
pub(crate) struct Table<M: Message> {
    trie: ArcSwap<Trie<Member<M>>>,
    /// The bells of everybody who reads the ring: subscriptions, taps and the journal.
    bells: ArcSwap<Vec<Arc<Bell>>>,
    /// Rises after each change of the trie.
    version: CachePadded<AtomicU64>,
    /// Every subscription by its number; held while the trie changes.
    members: Mutex<Members<M>>,
}

impl<M: Message> Table<M> {
    pub(crate) fn new() -> Self {
        Self {
            trie: ArcSwap::from_pointee(Trie::new()),
            bells: ArcSwap::from_pointee(Vec::new()),
            version: CachePadded::new(AtomicU64::new(0)),
            members: Mutex::new(Members::new()),
        }
    }

    /// The table's version: a route of an older one must be resolved anew.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        // ORDER(table): Acquire; pairs with ORDER(table) in `bump`. Carries the trie. After
        // a claim it also sees every change whose join point lies before the claim, because
        // both are RMWs on the ring's tail (ORDER(join) in `ring/log.rs`).
        self.version.load(Ordering::Acquire)
    }

    fn bump(&self) {
        // ORDER(table): Release; pairs with ORDER(table) in `version`.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Whom a topic reaches now.
    pub(crate) fn route(&self, topic: &str) -> Route<M> {
        // The version first: if the table changes in between, the route is newer than it says
        // and is resolved once more than needed.
        let version = self.version();
        let mut members = Vec::new();
        self.trie.load().for_each_match(topic, |id, member| {
            members.push((id, member.clone()));
        });
        Route::new(version, members)
    }

    /// Adds a subscription.
    pub(crate) fn insert(&self, member: Member<M>) {
        let mut members = self.lock();
        self.let_see(&member);
        members.insert(member.subscriber().id, member);
    }

    /// Lists a subscription that is still reading the past: publishers do not see it yet.
    pub(crate) fn announce(&self, member: Member<M>) {
        self.lock().insert(member.subscriber().id, member);
    }

    /// Lets publishers see a listed subscription, unless it was removed meanwhile.
    pub(crate) fn join(&self, id: u64) {
        let members = self.lock();
        if let Some(member) = members.get(id) {
            self.let_see(member);
        }
    }

    /// Changes what publishers see. The caller holds the list.
    fn let_see(&self, member: &Member<M>) {
        if let Member::Ring(reader) = member {
            self.add_bell(&reader.bell);
        }
        let subscriber = member.subscriber();
        let trie = self.trie.load().insert(&subscriber.pattern, subscriber.id, member.clone());
        self.trie.store(Arc::new(trie));
        self.bump();
    }

    /// Removes a subscription; gives it to the one caller that did it.
    pub(crate) fn remove(&self, id: u64) -> Option<Member<M>> {
        let mut members = self.lock();
        let member = members.remove(id)?;
        let trie = self.trie.load().remove(&member.subscriber().pattern, id);
        self.trie.store(Arc::new(trie));
        if let Member::Ring(reader) = &member {
            self.remove_bell(&reader.bell);
        }
        self.bump();
        Some(member)
    }

    /// A subscription by its number.
    pub(crate) fn member(&self, id: u64) -> Option<Member<M>> {
        self.lock().get(id).cloned()
    }

    /// Every subscription, in the order they were made.
    pub(crate) fn members(&self) -> Vec<Member<M>> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Members<M>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a reader of the ring that must be rung when it idles.
    pub(crate) fn add_bell(&self, bell: &Arc<Bell>) {
        self.bells.rcu(|bells| {
            let mut bells = Vec::clone(bells);
            bells.push(Arc::clone(bell));
            bells
        });
    }

    pub(crate) fn remove_bell(&self, bell: &Arc<Bell>) {
        self.bells.rcu(|bells| {
            let mut bells = Vec::clone(bells);
            bells.retain(|other| !Arc::ptr_eq(other, bell));
            bells
        });
    }

    /// Wakes every reader of the ring that sleeps.
    #[cold]
    pub(crate) fn ring_readers(&self) {
        for bell in self.bells.load().iter() {
            bell.ring();
        }
    }
}
