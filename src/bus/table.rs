//! Who is subscribed: the first mailboxes of single topics in `exact`, which changes in place, and all
//! others in a trie that never changes while somebody looks and is replaced as a whole.
//!
//! Publishers keep routes and notice by the version that either changed; then they look into both,
//! without a lock. Changes take a lock among themselves.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::alike::{Alike, SharedLogs};
use super::exact::{Exact, Places};
use super::inline::Inline;
use super::members::Members;
use super::route::{Route, Target};
use crate::Message;
use crate::actor::bells::Bells;
use crate::actor::ring_source::RingMember;
use crate::actor::shared_log::SharedLog;
use crate::actor::shared_member::SharedMember;
use crate::actor::subscriber::Subscriber;
use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::topic::{Pattern, Trie};

/// One subscription, by how it gets its messages.
pub(crate) enum Member<M: Message> {
    Mailbox(Arc<Target<M>>),
    Ring(Arc<RingMember<M>>),
    Shared(SharedMember<M>),
    Inline(Arc<Inline<M>>),
}

impl<M: Message> Clone for Member<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Mailbox(target) => Self::Mailbox(Arc::clone(target)),
            Self::Ring(reader) => Self::Ring(Arc::clone(reader)),
            Self::Shared(reader) => Self::Shared(reader.clone()),
            Self::Inline(handler) => Self::Inline(Arc::clone(handler)),
        }
    }
}

impl<M: Message> Member<M> {
    pub(crate) fn subscriber(&self) -> &Subscriber<M> {
        match self {
            Self::Mailbox(target) => &target.subscriber,
            Self::Ring(reader) => &reader.subscriber,
            Self::Shared(reader) => reader.subscriber(),
            Self::Inline(handler) => &handler.subscriber,
        }
    }
}

/// At how many subscriptions of a pattern a new one looks for one that is like it.
const LOOKS: usize = 8;

/// The table of subscriptions.
///
/// The first mailbox of each topic lies in `exact`, whoever else there is in a trie. A trie that
/// publishers look at is never changed. A change is made in a second trie, which takes the
/// first one's place and then has it brought to the same state, in place: so it costs the way
/// to one leaf twice, and copies nothing. Should somebody still be looking at the first one then,
/// it is left to them, and the next second one begins as a copy, which shares all nodes.
pub(crate) struct Table<M: Message> {
    pub(super) exact: Exact<M>,
    trie: ArcSwap<Trie<Member<M>>>,
    /// Whether the trie ever had somebody: looking into it takes two locked instructions.
    has_trie: AtomicBool,
    /// The bells of everybody who reads the ring: subscriptions, taps and the journal.
    pub(crate) bells: Bells,
    /// Rises after each change of `exact` or the trie.
    version: CachePadded<AtomicU64>,
    /// Held while `exact` or the trie changes.
    list: Mutex<List<M>>,
}

struct List<M: Message> {
    /// Every subscription by its number.
    members: Members<M>,
    /// Where another one of `exact` goes.
    places: Places,
    /// The second trie.
    spare: Option<Arc<Trie<Member<M>>>>,
    /// The logs that are shared, by what their subscriptions have in common.
    shared: SharedLogs<M>,
}

impl<M: Message> Table<M> {
    pub(crate) fn new() -> Self {
        let (exact, places) = Exact::new();
        Self {
            exact,
            trie: ArcSwap::from_pointee(Trie::new()),
            has_trie: AtomicBool::new(false),
            bells: Bells::new(),
            version: CachePadded::new(AtomicU64::new(0)),
            list: Mutex::new(List {
                members: Members::new(),
                places,
                spare: None,
                shared: SharedLogs::new(),
            }),
        }
    }

    /// The table's version: a route of an older one must be resolved anew.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        // ORDER(table): Acquire; pairs with ORDER(table) in `bump`. Carries the
        // trie, and the words and places of `exact`. After a claim it also sees every change whose join point lies before the claim, because
        // both are RMWs on the ring's tail (ORDER(join) in `ring/log.rs`).
        self.version.load(Ordering::Acquire)
    }

    fn bump(&self) {
        // ORDER(table): Release; pairs with ORDER(table) in `version`.
        self.version.fetch_add(1, Ordering::Release);
    }

    #[inline]
    fn has_trie(&self) -> bool {
        // ORDER: Relaxed; set before the version rises, and before a mailbox gives way, so that a route of
        // that version, or one that no longer finds the mailbox (ORDER(word)), has seen it. For who asks
        // without a version it is a hint.
        self.has_trie.load(Ordering::Relaxed)
    }

    /// Whom a topic reaches now.
    pub(crate) fn route(&self, topic: &str) -> Route<M> {
        loop {
            // The version first: if the table changes in between, the route is newer than it says
            // and is resolved once more than needed.
            let version = self.version();
            let mut members = Vec::new();
            if let Some(target) = self.exact.get(topic) {
                members.push((target.subscriber.id, Member::Mailbox(target)));
            }
            if self.has_trie() {
                self.trie.load().for_each_match(topic, |id, member| {
                    members.push((id, member.clone()));
                });
            }
            // Who finds that a mailbox has given way sees the seat at the next look.
            if let Some(route) = Route::new(version, members) {
                return route;
            }
        }
    }

    /// Adds a subscription.
    pub(crate) fn insert(&self, member: Member<M>) {
        let mut list = self.lock();
        self.let_see(&mut list, &member);
        list.members.insert(member.subscriber().id, member);
    }

    /// Adds a mailbox of a single topic if nobody has asked for that: whether it did.
    pub(crate) fn insert_first(&self, target: &Arc<Target<M>>) -> bool {
        if target.subscriber.pattern.literal_topic().is_none() {
            return false;
        }
        // Whether the trie ever had somebody is exact as long as the lock is held.
        let mut list = self.lock();
        let is_first = !self.is_in_trie(&target.subscriber.pattern)
            && self.exact.insert(&mut list.places, target);
        if is_first {
            self.bump();
            list.members.insert(target.subscriber.id, Member::Mailbox(Arc::clone(target)));
        }
        is_first
    }

    /// Lists a subscription that is still reading the past: publishers do not see it yet.
    pub(crate) fn announce(&self, member: Member<M>) {
        self.lock().members.insert(member.subscriber().id, member);
    }

    /// Lets publishers see a listed subscription, unless it was removed meanwhile.
    pub(crate) fn join(&self, id: u64) {
        let mut list = self.lock();
        if let Some(member) = list.members.get(id).cloned() {
            self.let_see(&mut list, &member);
        }
    }

    fn let_see(&self, list: &mut List<M>, member: &Member<M>) {
        match member {
            Member::Ring(reader) => self.bells.add(&reader.bell),
            Member::Shared(reader) => {
                if let Some(log) = reader.log() {
                    log.bells.add(&reader.bell);
                }
            }
            Member::Mailbox(target) => {
                if self.exact.insert(&mut list.places, target) {
                    return self.bump();
                }
            }
            Member::Inline(_) => {}
        }
        self.set_leaf(list, member.subscriber(), Some(member.clone()));
    }

    /// Removes a subscription; gives it to the one caller that did it.
    pub(crate) fn remove(&self, id: u64) -> Option<Member<M>> {
        let mut list = self.lock();
        let member = list.members.remove(id)?;
        if let Member::Mailbox(target) = &member
            && self.exact.remove(&mut list.places, target)
        {
            self.bump();
            return Some(member);
        }
        self.set_leaf(&mut list, member.subscriber(), None);
        match &member {
            Member::Ring(reader) => self.bells.remove(&reader.bell),
            Member::Shared(reader) => {
                if let Some(log) = reader.log() {
                    log.bells.remove(&reader.bell);
                }
            }
            Member::Mailbox(_) | Member::Inline(_) => {}
        }
        Some(member)
    }

    /// Changes what publishers see. The caller has the subscription itself, so that nothing foreign
    /// is dropped in here.
    fn set_leaf(&self, list: &mut List<M>, subscriber: &Subscriber<M>, leaf: Option<Member<M>>) {
        let (pattern, id) = (&subscriber.pattern, subscriber.id);
        if leaf.is_some() {
            // ORDER: Relaxed; published by `bump`.
            self.has_trie.store(true, Ordering::Relaxed);
        }
        let spare = list.spare.take();
        let mut next = spare.unwrap_or_else(|| Arc::new(Trie::clone(&self.trie.load())));
        Arc::make_mut(&mut next).put(pattern, id, leaf);
        let mut last = self.trie.swap(next);
        self.bump();
        if let Some(trie) = Arc::get_mut(&mut last) {
            trie.adopt(&self.trie.load(), pattern, id);
            list.spare = Some(last);
        }
    }

    /// Whether anybody has asked for the same, by a pattern of topics or of their tokens.
    pub(crate) fn is_asked_for(&self, pattern: &Pattern) -> bool {
        pattern.literal_topic().is_some_and(|topic| self.exact.get(topic).is_some())
            || self.is_in_trie(pattern)
    }

    fn is_in_trie(&self, pattern: &Pattern) -> bool {
        self.has_trie() && self.trie.load().find_map_at(pattern, |_, _| Some(())).is_some()
    }

    /// The log that a subscription like this one is to share with those that are there already, if
    /// there is one.
    pub(crate) fn shared_log(&self, alike: &Alike) -> Option<Arc<SharedLog<M>>> {
        let mut list = self.lock();
        if let Some(log) = list.shared.get(alike) {
            return Some(log);
        }
        let first = self.first_alike(alike)?;
        let log = list.shared.make(alike);
        self.seat(&mut list, &first, &log);
        Some(log)
    }

    /// A mailbox of a subscription that is like this one.
    fn first_alike(&self, alike: &Alike) -> Option<Arc<Target<M>>> {
        let first = alike.pattern().literal_topic().and_then(|topic| self.exact.get(topic));
        if let Some(target) = first.filter(|target| alike.fits(target)) {
            return Some(target);
        }
        let mut looks = LOOKS;
        self.trie
            .load()
            .find_map_at(alike.pattern(), |_, member| {
                looks -= 1;
                match member {
                    Member::Mailbox(target) if alike.fits(target) => Some(Some(target.clone())),
                    _ => (looks == 0).then_some(None),
                }
            })
            .flatten()
    }

    /// Has a subscription take a seat at this new log instead of its mailbox, if nobody has asked for that
    /// so far.
    fn seat(&self, list: &mut List<M>, target: &Arc<Target<M>>, log: &Arc<SharedLog<M>>) {
        let Some(reader) = log.reader() else { return };
        target.take_seat(log, reader, || {
            let member = SharedMember::of(target).expect("it has just taken its seat");
            let member = Member::Shared(member);
            // In this order, so that nobody finds neither. Who finds both waits for the end of this,
            // and looks again.
            self.let_see(list, &member);
            list.members.insert(target.subscriber.id, member);
            if self.exact.remove(&mut list.places, target) {
                self.bump();
            }
        });
    }

    /// A subscription by its number.
    pub(crate) fn member(&self, id: u64) -> Option<Member<M>> {
        self.lock().members.get(id).cloned()
    }

    /// Every subscription, in the order they were made.
    pub(crate) fn members(&self) -> Vec<Member<M>> {
        self.lock().members.iter().cloned().collect()
    }

    /// Nobody is looked up by number while this is held.
    #[cfg(test)]
    pub(super) fn locked(&self) -> impl Sized + '_ {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, List<M>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
