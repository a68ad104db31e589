//! K2: killed right before a named call of the system, in an unmodified process under `strace`.
//! Between two calls on its files a process that dies leaves the same behind, wherever it was: so
//! these are all the moments there are, each of them met on purpose.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{Record, Store as _};
use ringpost::{Sequence, Shared};

use super::consume::{Consuming, Lives};
use super::judge::{read, recover_from, verify};
use super::load::{Plan, SEGMENT_BYTES, events};
use super::rig::{Chance, rounds};
use super::strace;

/// What the process finds, and what it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// It makes a journal.
    New,
    /// It goes on with one whose last line was not written to its end.
    Torn,
    /// It goes on with one whose last line lacks only its newline.
    Unended,
    /// It makes one and removes what is old.
    Retained,
    /// It makes one and compresses what is sealed.
    Packed,
    /// It makes one, and the first sync of a segment fails.
    FailedSync,
    /// It makes one with a durable consumer.
    Consumed,
}

/// The files of which a call is meant.
#[derive(Clone, Copy, Debug)]
enum Files {
    Above,
    Directory,
    Named(&'static str),
    /// All segments with this ending.
    Segments(&'static str),
}

impl Files {
    fn below(self, directory: &Path) -> Vec<PathBuf> {
        match self {
            Self::Above => vec![directory.parent().expect("a scratch directory").to_owned()],
            Self::Directory => vec![directory.to_owned()],
            Self::Named(name) => vec![directory.join(name)],
            Self::Segments(ending) => strace::segments(directory, ending),
        }
    }
}

/// Right before a call, the how many-th of its kind on these files at least and at most.
struct Point(Scene, &'static str, &'static str, Files, u64, u64);

const PLAIN: Files = Files::Segments(".jsonl");
const TORN: Files = Files::Segments(".torn");
const UNFINISHED: Files = Files::Segments(".jsonl.zst.tmp");
const LOCK: Files = Files::Named("lock");
const CONSUMERS: Files = Files::Named("consumers");
const CONSUMER_LOCK: Files = Files::Named("consumers/.billing.lock");
const CHECKPOINT: Files = Files::Named("consumers/billing");

// Not every machine has both.
const MKDIR: &str = "?mkdir,?mkdirat";
const CHMOD: &str = "?chmod,?fchmodat";
const RENAME: &str = "?rename,?renameat,?renameat2";
const UNLINK: &str = "?unlink,?unlinkat";

const POINTS: [Point; 47] = [
    Point(Scene::New, "the directory is made", MKDIR, Files::Directory, 1, 1),
    Point(Scene::New, "it gets its mode", CHMOD, Files::Directory, 1, 1),
    Point(Scene::New, "the one above is synced", "fsync", Files::Above, 1, 1),
    Point(Scene::New, "the lock is made", "openat", LOCK, 1, 1),
    Point(Scene::New, "the lock is taken", "flock", LOCK, 1, 1),
    Point(Scene::New, "its note is emptied", "ftruncate", LOCK, 1, 1),
    Point(Scene::New, "its note is written", "write", LOCK, 1, 1),
    Point(Scene::New, "the segments are listed", "getdents64", Files::Directory, 1, 2),
    Point(Scene::New, "a segment is made", "openat", PLAIN, 1, 6),
    Point(Scene::New, "it gets its mode", "fchmod", PLAIN, 1, 6),
    Point(Scene::New, "a batch is written", "write", PLAIN, 1, 12),
    Point(Scene::New, "a batch is synced", "fdatasync", PLAIN, 1, 12),
    Point(Scene::New, "a segment's name is synced", "fsync", Files::Directory, 1, 6),
    Point(Scene::New, "a sealed segment is closed", "close", PLAIN, 1, 6),
    Point(Scene::Torn, "the last segment is opened", "openat", PLAIN, 1, 1),
    Point(Scene::Torn, "the last segment is read", "pread64", PLAIN, 1, 2),
    Point(Scene::Torn, "a place for its end is made", "openat", TORN, 1, 1),
    Point(Scene::Torn, "it gets its mode", "fchmod", TORN, 1, 1),
    Point(Scene::Torn, "the end is copied", "write", TORN, 1, 1),
    Point(Scene::Torn, "the copy is synced", "fdatasync", TORN, 1, 1),
    Point(Scene::Torn, "the copy's name is synced", "fsync", Files::Directory, 1, 1),
    Point(Scene::Torn, "the end is cut off", "ftruncate", PLAIN, 1, 1),
    Point(Scene::Torn, "the cut is synced", "fdatasync", PLAIN, 1, 1),
    Point(Scene::Torn, "the segments before are opened", "openat", PLAIN, 2, 4),
    Point(Scene::Torn, "the segments are synced", "fdatasync", PLAIN, 2, 4),
    Point(Scene::Torn, "their names are synced", "fsync", Files::Directory, 2, 2),
    Point(Scene::Unended, "the line is ended", "write", PLAIN, 1, 1),
    Point(Scene::Unended, "the newline is synced", "fdatasync", PLAIN, 1, 1),
    Point(Scene::Retained, "an old segment is removed", UNLINK, PLAIN, 1, 4),
    Point(Scene::Packed, "a compressed segment is made", "openat", UNFINISHED, 1, 6),
    Point(Scene::Packed, "it gets its mode", "fchmod", UNFINISHED, 1, 4),
    Point(Scene::Packed, "it is written", "write", UNFINISHED, 1, 4),
    Point(Scene::Packed, "it is read back", "pread64", UNFINISHED, 1, 4),
    Point(Scene::Packed, "it is synced", "fdatasync", UNFINISHED, 1, 4),
    Point(Scene::Packed, "it gets its name", RENAME, UNFINISHED, 1, 4),
    Point(Scene::Packed, "the plain one is removed", UNLINK, PLAIN, 1, 4),
    Point(Scene::FailedSync, "another segment is made", "openat", PLAIN, 2, 2),
    Point(Scene::FailedSync, "it is written again", "write", PLAIN, 2, 2),
    Point(Scene::FailedSync, "its name is synced", "fsync", Files::Directory, 1, 1),
    Point(Scene::FailedSync, "the bad one is cut", "ftruncate", PLAIN, 1, 1),
    Point(Scene::Consumed, "the consumers' directory is made", MKDIR, CONSUMERS, 1, 1),
    Point(Scene::Consumed, "a consumer is locked", "flock", CONSUMER_LOCK, 1, 1),
    Point(Scene::Consumed, "a checkpoint's file is made", "openat", CHECKPOINT, 1, 4),
    Point(Scene::Consumed, "its first state is written", "write", CHECKPOINT, 1, 1),
    Point(Scene::Consumed, "its first state is synced", "fdatasync", CHECKPOINT, 1, 1),
    Point(Scene::Consumed, "a checkpoint is written", "pwrite64", CHECKPOINT, 1, 10),
    Point(Scene::Consumed, "a checkpoint is synced", "fdatasync", CHECKPOINT, 2, 11),
];

/// What a process publishes at most; by then it has come to each point.
const LIMIT: u64 = 6000;
/// The same where the point lies behind the writer's back, which may run far ahead.
const LIMIT_BEHIND: u64 = 100_000;
/// What is kept of it where what is old is removed.
const KEEP: u64 = 500;
/// How many events are there before, where a process goes on.
const BEFORE: u64 = 900;

/// Makes the journal that a process is to go on with; how many records are in it.
fn prepare(scene: Scene, directory: &Path, events: &[Shared<Event>]) -> u64 {
    if !matches!(scene, Scene::Torn | Scene::Unended) {
        return 0;
    }
    let options = JournalOptions::default().with_segment_bytes(SEGMENT_BYTES);
    let mut journal = Journal::open(directory, options).expect("it opens");
    for first in (1..=BEFORE).step_by(50) {
        let record = |sequence| Record {
            sequence: Sequence::new(sequence),
            event: events[usize::try_from(sequence).expect("small") - 1].clone(),
        };
        journal.append(&(first..first + 50).map(record).collect::<Vec<_>>()).expect("appended");
    }
    drop(journal);
    let segments = strace::segments(directory, ".jsonl");
    let last = segments.iter().rfind(|path| path.exists()).expect("a segment");
    let mut last = OpenOptions::new().read(true).write(true).open(last).expect("the last segment");
    let length = last.metadata().expect("its length").len();
    if scene == Scene::Unended {
        last.set_len(length - 1).expect("cut");
        return BEFORE;
    }
    let mut piece = [0; 100];
    last.rewind().and_then(|()| last.read_exact(&mut piece)).expect("a piece of a line");
    last.seek(SeekFrom::End(0)).and_then(|_| last.write_all(&piece)).expect("a torn end");
    BEFORE
}

/// The first sequence that is there.
fn first(directory: &Path) -> u64 {
    let stats = JournalReader::open(directory).and_then(|reader| reader.stats());
    stats.ok().and_then(|stats| stats.first_sequence).map_or(1, Sequence::get)
}

fn kill_a_writer(point: &Point, directory: &Path, events: &[Shared<Event>], faults: &[String]) {
    let Point(scene, name, _, files, ..) = point;
    let what = format!("{scene:?}: {name}: {}", faults[0]);
    let before = prepare(*scene, directory, events);
    let mut files = files.below(directory);
    if *scene == Scene::FailedSync {
        files.extend(PLAIN.below(directory));
    }
    let is_behind = matches!(scene, Scene::Retained | Scene::Packed);
    let plan = Plan {
        limit: Some(if is_behind { LIMIT_BEHIND } else { LIMIT }),
        keep: (*scene == Scene::Retained).then_some(KEEP),
        compression: (*scene == Scene::Packed).then_some(1),
        wrapper: strace::wrapper(&files, faults),
        ..Plan::new(directory, Fsync::Batch)
    };
    let (status, told, said) = plan.start().ended();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{what}: not come to: {status}: {said}");
    let from = first(directory);
    let last = read(directory, events, from);
    let acknowledged = told.written.max(told.durable).max(before);
    assert!(last >= acknowledged, "{what}: {acknowledged} are acknowledged, {last} are there");
    assert!(from == 1 || last + 1 - from >= KEEP, "{what}: too much was removed: {from} to {last}");
    recover_from(directory, events, from, last);
    let check = verify(directory);
    assert!(*scene == Scene::FailedSync || check.duplicates == 0, "{what}: {check:?}");
    // It goes on.
    let plan = Plan { limit: Some(200), ..Plan::new(directory, Fsync::Batch) };
    let (status, _, said) = plan.start().ended();
    assert!(status.success(), "{what}: {status}: {said}");
    recover_from(directory, events, from, last + 200);
    verify(directory);
}

fn kill_a_consumer(point: &Point, directory: &Path, faults: &[String]) {
    let Point(_, name, _, files, ..) = point;
    let what = format!("{name}: {}", faults[0]);
    let mut lives = Lives::NONE;
    let wrapper = strace::wrapper(&files.below(directory), faults);
    let (status, told) = Consuming::start(directory, Fsync::Batch, &wrapper).ended();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{what}: not come to: {status}");
    lives.add(&told, directory);
    let consuming = Consuming::start(directory, Fsync::Batch, &[]);
    consuming.begun();
    lives.add(&consuming.kill(), directory);
}

#[test]
fn killed_before_any_call_of_the_system_no_acknowledged_event_is_missing_twice_or_bad() {
    if !strace::is_there() {
        return;
    }
    let mut chance = Chance::new("points");
    let events = events(None);
    let times = rounds().div_ceil(20);
    for point in &POINTS {
        let &Point(scene, _, call, _, least, most) = point;
        for _ in 0..times {
            let scratch = tempfile::tempdir().expect("a directory");
            let directory = scratch.path().join("journal");
            let nth = least + chance.below(most + 1 - least);
            let mut faults = vec![format!("{call}:signal=KILL:when={nth}")];
            if scene == Scene::FailedSync {
                faults.push("fdatasync:error=EIO:when=1".into());
            }
            match scene {
                Scene::Consumed => kill_a_consumer(point, &directory, &faults),
                _ => kill_a_writer(point, &directory, &events, &faults),
            }
        }
    }
    eprintln!("points: {} times at each of {}", times, POINTS.len());
}
