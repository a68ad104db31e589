//! The mailboxes of single topics (`bus/exact.rs`): who resolves a route by a version of the table
//! finds what that version has, although words and places change one at a time.
#![forbid(unsafe_code)]

use super::words::{EMPTY, GONE, Tag, Words};
use super::*;

const NOTHING: u64 = 0;
const FIRST: u64 = 1;
const SECOND: u64 = 2;

/// The words of two topics, the one place that they have by turns, and the table's version. What a
/// place has is its topic here.
#[derive(Default)]
struct Exact {
    words: [AtomicU64; 2],
    place: AtomicU64,
    version: AtomicU64,
    flaw: Flaw,
}

/// What must be found.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Flaw {
    #[default]
    Nothing,
    /// The version rises before what it is about.
    VersionFirst,
    /// What lies in a place is not checked against the topic.
    NoLookAtTheTopic,
    /// A topic that goes leaves an empty word.
    LeavesNothing,
    /// Fresh words are seen before they are filled.
    SeenBeforeFilled,
}

impl Exact {
    fn change(&self, change: impl FnOnce()) {
        let first = self.flaw == Flaw::VersionFirst;
        if first {
            self.version.fetch_add(1, Release);
        }
        change();
        if !first {
            self.version.fetch_add(1, Release);
        }
    }

    fn insert(&self, topic: u64) {
        self.change(|| {
            // The swap of arc-swap.
            self.place.swap(topic, AcqRel);
            self.words[topic as usize - 1].store(1, Relaxed);
        });
    }

    fn remove(&self, topic: u64) {
        self.change(|| {
            self.words[topic as usize - 1].store(0, Relaxed);
            self.place.swap(NOTHING, AcqRel);
        });
    }

    /// Whose mailbox a publisher finds for this topic.
    fn find(&self, topic: u64) -> u64 {
        if self.words[topic as usize - 1].load(Relaxed) == 0 {
            return NOTHING;
        }
        let found = self.place.load(Acquire);
        let is_it = found == topic || self.flaw == Flaw::NoLookAtTheTopic;
        if is_it { found } else { NOTHING }
    }
}

/// One topic comes, goes, and leaves its place to another, while a publisher resolves both.
/// Accepted: by version 1 the first, or nobody if it is just going; by version 2 nobody, or the second
/// if it is just coming; by version 3 the second; never the one for the other.
fn resolve(flaw: Flaw) {
    model(move || {
        let exact = Arc::new(Exact { flaw, ..Exact::default() });
        let publisher = {
            let exact = Arc::clone(&exact);
            thread::spawn(move || {
                let version = exact.version.load(Acquire);
                let found = [FIRST, SECOND].map(|topic| exact.find(topic));
                assert!([NOTHING, FIRST].contains(&found[0]), "the one for the other");
                assert!([NOTHING, SECOND].contains(&found[1]), "the one for the other");
                assert!(version < 2 || found[0] == NOTHING, "by its version it had gone");
                assert!(version < 3 || found[1] == SECOND, "by its version the second was there");
            })
        };
        exact.insert(FIRST);
        exact.remove(FIRST);
        exact.insert(SECOND);
        publisher.join().unwrap();
    });
}

/// The same for a topic that stays: from its version on it is found.
fn stays(flaw: Flaw) {
    model(move || {
        let exact = Arc::new(Exact { flaw, ..Exact::default() });
        let publisher = {
            let exact = Arc::clone(&exact);
            thread::spawn(move || {
                let version = exact.version.load(Acquire);
                assert!(version == 0 || exact.find(FIRST) == FIRST, "the version has it");
            })
        };
        exact.insert(FIRST);
        publisher.join().unwrap();
    });
}

#[test]
fn who_resolves_finds_what_its_version_has_though_a_place_changes_hands() {
    resolve(Flaw::Nothing);
}

#[test]
fn a_topic_that_stays_is_found_from_its_version_on() {
    stays(Flaw::Nothing);
}

#[test]
#[should_panic(expected = "the version has it")]
fn a_version_that_comes_before_what_it_is_about_is_found() {
    stays(Flaw::VersionFirst);
}

#[test]
#[should_panic(expected = "by its version")]
fn a_version_that_comes_before_what_changed_hands_is_found() {
    resolve(Flaw::VersionFirst);
}

/// Who has the word of a topic that goes comes to its place when that is another topic's.
#[test]
#[should_panic(expected = "the one for the other")]
fn a_place_that_is_not_checked_against_the_topic_is_found() {
    resolve(Flaw::NoLookAtTheTopic);
}

// ---- The words.

/// The words that publishers see, first and after they are laid out anew.
struct Layouts {
    /// What `seen` carries is modelled, not who may look at the second one.
    words: [std::sync::OnceLock<Words>; 2],
    seen: AtomicUsize,
}

impl Layouts {
    fn now(&self) -> &Words {
        self.words[self.seen.load(Acquire)].get().unwrap()
    }

    /// Where the one word of this tag is, and its place.
    fn find(&self, tag: Tag) -> Option<(usize, u32)> {
        self.now().places(tag).next()
    }
}

/// All three lie one behind the other in four words.
const GOES: Tag = Tag(0);
const STAYS: Tag = Tag(4);
const COMES: Tag = Tag(8);

/// A topic goes whose word lies before that of one that stays, another takes that word, the words are
/// laid out anew, and that one goes as well. Accepted: whoever looks finds the one that stays.
fn neighbours(flaw: Flaw) {
    model(move || {
        let words = [std::sync::OnceLock::new(), std::sync::OnceLock::new()];
        let layouts = Arc::new(Layouts { words, seen: AtomicUsize::new(0) });
        let first = layouts.words[0].get_or_init(|| Words::new(4));
        first.put(GOES, 0);
        first.put(STAYS, 1);
        let publisher = {
            let layouts = Arc::clone(&layouts);
            thread::spawn(move || {
                let place = layouts.find(STAYS).map(|(_, place)| place);
                assert_eq!(place, Some(1), "the one that stays");
            })
        };
        let left = if flaw == Flaw::LeavesNothing { EMPTY } else { GONE };
        first.set(layouts.find(GOES).unwrap().0, left);
        assert_eq!(first.put(COMES, 0), left == GONE);
        let fresh = layouts.words[1].get_or_init(|| Words::new(first.len()));
        if flaw == Flaw::SeenBeforeFilled {
            layouts.seen.store(1, Release);
        }
        fresh.fill_from(first);
        layouts.seen.store(1, Release);
        fresh.set(layouts.find(COMES).unwrap().0, left);
        publisher.join().unwrap();
    });
}

#[test]
fn a_topic_that_stays_is_found_while_its_neighbours_change_and_the_words_are_laid_out() {
    neighbours(Flaw::Nothing);
}

#[test]
#[should_panic(expected = "the one that stays")]
fn a_word_that_is_emptied_before_others_is_found() {
    neighbours(Flaw::LeavesNothing);
}

#[test]
#[should_panic(expected = "the one that stays")]
fn words_that_are_seen_before_they_are_filled_are_found() {
    neighbours(Flaw::SeenBeforeFilled);
}
