//! A durable consumer that is killed at any moment while it consumes: nothing is skipped, and
//! what comes twice is bounded by what a checkpoint covers.
//!
//! The consumer is a process of its own that publishes and consumes at once. It tells each event
//! that it handled before it acknowledges it, one write a line; so what was told and is not in a
//! checkpoint may come again, and what was never told may not be missing.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, io};

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions, JournalReader};
use ringpost::store::{Begin, Level, PersistOptions, ReceiptError, Store};
use ringpost::{Delivery, EventBus, Sequence, Shared};

use super::rig::{Chance, child, rounds};

const DIRECTORY: &str = "RINGPOST_CONSUME_DIRECTORY";
const FSYNC: &str = "RINGPOST_CONSUME_FSYNC";

const LONG: Duration = Duration::from_secs(60);
/// How many acknowledged events a checkpoint covers.
const BATCH: u64 = 64;
/// How many lives consume one journal, each of which is killed.
const LIVES: u64 = 3;
/// One event in so many is wanted.
const WANTED: u64 = 3;
/// How many events are published and not consumed yet, at most.
const AHEAD: u64 = 2000;

/// A running consumer.
pub(crate) struct Consuming {
    child: Child,
    /// The sequences that it told.
    told: Option<JoinHandle<Vec<u64>>>,
    begun: Receiver<()>,
}

impl Consuming {
    /// Starts one. `wrapper` is a program that runs it, with its arguments.
    pub(crate) fn start(directory: &Path, fsync: Fsync, wrapper: &[String]) -> Self {
        let mut child = child("consume::child_consumes_until_it_is_ended", wrapper)
            .env(DIRECTORY, directory)
            .env(FSYNC, fsync.to_string())
            .spawn()
            .expect("a child");
        let pipe = child.stderr.take().expect("its standard error");
        let (tell, begun) = channel();
        let told = thread::spawn(move || {
            let (mut told, mut rest) = (Vec::new(), String::new());
            let mut lines = BufReader::new(pipe);
            let mut line = String::new();
            while lines.read_line(&mut line).expect("a pipe") > 0 {
                match line.strip_prefix("h ").map(|number| number.trim_end().parse()) {
                    // A line that the kill cut off was never told.
                    Some(Ok(number)) if line.ends_with('\n') => {
                        told.push(number);
                        let _ = tell.send(());
                    }
                    _ => rest.push_str(&line),
                }
                line.clear();
            }
            assert!(!rest.contains("panicked"), "{rest}");
            told
        });
        Self { child, told: Some(told), begun }
    }

    /// Waits until it handles something.
    pub(crate) fn begun(&self) {
        self.begun.recv_timeout(LONG).expect("it handles something");
    }

    pub(crate) fn kill(mut self) -> Vec<u64> {
        let _ = self.child.kill();
        self.ended().1
    }

    /// Waits until it ends by itself: how, and what it told.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<u64>) {
        let status = self.child.wait().expect("gone");
        (status, self.told.take().expect("once").join().expect("no panic"))
    }
}

impl Drop for Consuming {
    /// Ends it also when a test fails.
    fn drop(&mut self) {
        if self.told.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What the consumer's checkpoint says; 1 before there is one.
fn checkpoint(directory: &Path) -> u64 {
    let Ok(reader) = JournalReader::open(directory) else { return 1 };
    let consumers = reader.consumers().expect("a directory");
    let found = consumers.get(&"billing".parse().expect("a name")).expect("whole");
    found.map_or(1, |state| state.checkpoint.next.get())
}

/// What the lives of one consumer have come to.
pub(crate) struct Lives {
    /// The checkpoint that the last one left.
    checkpoint: u64,
    /// The last sequence that was handled.
    handled: u64,
    /// How many were handled again.
    pub(crate) repeated: u64,
}

impl Lives {
    pub(crate) const NONE: Self = Self { checkpoint: 1, handled: 0, repeated: 0 };

    /// Adds one that told this before it was killed. Panics if it skipped or repeated what it must
    /// not.
    pub(crate) fn add(&mut self, told: &[u64], directory: &Path) {
        let (before, after) = (self.checkpoint, checkpoint(directory));
        assert!(after >= before, "the checkpoint went back from {before} to {after}");
        let Some(&first) = told.first() else { return };
        assert!(told.is_sorted_by(|a, b| a < b), "one run tells nothing twice: {told:?}");
        // It begins right behind the checkpoint, with the next one that is wanted.
        assert_eq!(first, before.next_multiple_of(WANTED), "behind {before}");
        assert!(
            told.windows(2).all(|two| two[1] == two[0] + WANTED),
            "an event was left out: {told:?}"
        );
        let last = *told.last().expect("not empty");
        // Everything behind the checkpoint was told.
        assert!(after <= last.max(self.handled) + WANTED, "{after} is ahead of {last}");
        self.repeated += (self.handled + WANTED).saturating_sub(first) / WANTED;
        self.handled = self.handled.max(last);
        let open = told.iter().filter(|&&sequence| sequence >= after).count() as u64;
        assert!(open <= BATCH, "{open} events come again: {told:?}, but {after}");
        self.checkpoint = after;
    }
}

fn campaign(rounds: u64) {
    let mut chance = Chance::new("consume");
    let policies = [Fsync::Batch, Fsync::Interval(Duration::from_millis(20)), Fsync::Never];
    let (mut killed, mut repeated) = (0, 0);
    for round in 0..rounds.div_ceil(LIVES * policies.len() as u64) {
        for fsync in policies {
            let directory = tempfile::tempdir().expect("a directory");
            let place = directory.path().join("journal");
            let mut lives = Lives::NONE;
            for life in 0..LIVES {
                let consuming = Consuming::start(&place, fsync, &[]);
                // Most die while they consume, some while they start.
                if life != 1 || round % 2 == 0 {
                    consuming.begun();
                }
                thread::sleep(Duration::from_micros(chance.below(60_000)));
                lives.add(&consuming.kill(), &place);
                killed += 1;
            }
            repeated += lives.repeated;
        }
    }
    eprintln!("consume: killed {killed} times, {repeated} events came again");
}

#[test]
fn a_consumer_killed_at_any_moment_skips_nothing_and_repeats_little() {
    campaign(rounds());
}

#[test]
fn child_consumes_until_it_is_ended() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let fsync: Fsync = env::var(FSYNC).expect("a policy").parse().expect("a policy");
    let journal = Journal::open(directory, JournalOptions::default().with_fsync(fsync));
    let journal = journal.expect("opens");
    let next = journal.last_sequence().map_or(1, |last| last.get() + 1);
    let bus = EventBus::builder().start(Sequence::new(next)).build();
    let persistence = bus.persist(journal, PersistOptions::default()).expect("started");
    let wanted = bus.subscribe("wanted").expect("a pattern").durable("billing", &persistence);
    let wanted = wanted.begin(Begin::First).checkpoint(BATCH, Duration::from_millis(20));
    let (receipts, mut line) = (persistence.receipts(), String::new());
    let billing = wanted.spawn(move |event: Delivery<'_, Shared<Event>>| {
        use std::fmt::Write as _;
        let sequence = event.sequence().expect("a sequence");
        // What the journal may still lose is in no checkpoint: here only the batch decides.
        let kept = match receipts.promised() {
            Level::Durable => receipts.durable(sequence).wait(LONG).map(drop),
            _ => receipts.written(sequence).wait(LONG).map(drop),
        };
        match kept {
            // It was there before this process.
            Ok(()) | Err(ReceiptError::NotTaken(_)) => {}
            Err(error) => panic!("no receipt: {error}"),
        }
        line.clear();
        writeln!(line, "h {sequence}").expect("a string");
        // One write a line, so that a kill cuts none in the middle.
        io::stderr().write_all(line.as_bytes()).expect("the parent reads");
    });
    let billing = billing.expect("spawned");
    for sequence in next.. {
        let kind = if sequence.is_multiple_of(WANTED) { "wanted" } else { "other" };
        let event = Event::builder(kind).source("tests/crash").build().expect("an event");
        while billing.stats().lag > AHEAD {
            assert_eq!(billing.stats().end, None);
            thread::yield_now();
        }
        bus.publish(event).expect("published");
    }
}
