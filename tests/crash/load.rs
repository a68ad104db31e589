//! The load: a process of its own that publishes in a loop and tells, line by line on standard
//! error, which sequences it has receipts for.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

use ringpost::event::Event;
use ringpost::store::journal::{Fsync, Journal, JournalOptions};
use ringpost::store::{
    Confirmation, PersistOptions, ReceiptError, ReceiptLevel, Receipts, Store, Trouble,
};
use ringpost::{EventBus, Sequence, Shared};
use tempfile::NamedTempFile;

use super::count::{count_in, counted_in};
use super::rig::{child, run};

const DIRECTORY: &str = "RINGPOST_LOAD_DIRECTORY";
const FSYNC: &str = "RINGPOST_LOAD_FSYNC";
const EVENTS: &str = "RINGPOST_LOAD_EVENTS";
const LIMIT: &str = "RINGPOST_LOAD_LIMIT";
const PUBLISHED: &str = "RINGPOST_LOAD_PUBLISHED";
const KEEP: &str = "RINGPOST_LOAD_KEEP";
const COMPRESSION: &str = "RINGPOST_LOAD_COMPRESSION";

/// After this long without a receipt something hangs. A machine may stand still for a while.
const PATIENCE: Duration = Duration::from_secs(300);

/// Small enough that a campaign meets many new segments.
pub(crate) const SEGMENT_BYTES: u64 = 128 * 1024;

/// What is published, over and over: sequence `s` has the event `s - 1`, modulo their number.
pub(crate) fn events(file: Option<&Path>) -> Vec<Shared<Event>> {
    match file {
        None => (0..997).map(made_up).map(Shared::new).collect(),
        Some(file) => {
            let text = fs::read_to_string(file).expect("readable");
            let events = text.lines().map(str::parse::<Event>);
            events.map(|event| Shared::new(event.expect("an event"))).collect()
        }
    }
}

fn made_up(number: usize) -> Event {
    let text = "x".repeat(number * 7 % 600);
    let data = format!("{{\"number\":{number},\"text\":\"{text}\"}}");
    let event = Event::builder("load.made").id(format!("made-{number}")).source("tests/crash");
    event.raw_json(data).build().expect("an event")
}

/// What a load has told so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) published: u64,
    pub(crate) written: u64,
    pub(crate) durable: u64,
    /// The longest that anybody waited for one receipt.
    pub(crate) longest: Duration,
}

/// A running load.
pub(crate) struct Load {
    child: Child,
    failed: Arc<AtomicU64>,
    told: Option<JoinHandle<(Told, String)>>,
    /// Where it counts what it publishes; on no disk that is going to fail.
    published: NamedTempFile,
    opened: Receiver<()>,
}

/// How to start one.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'p> {
    pub(crate) directory: &'p Path,
    pub(crate) fsync: Fsync,
    pub(crate) events: Option<&'p Path>,
    /// After so many events it waits until all is durable, and ends.
    pub(crate) limit: Option<u64>,
    /// How many events are kept, if not all.
    pub(crate) keep: Option<u64>,
    /// How much sealed segments are compressed, if at all.
    pub(crate) compression: Option<i32>,
    /// A program that runs it, with its arguments.
    pub(crate) wrapper: Vec<String>,
}

impl<'p> Plan<'p> {
    pub(crate) fn new(directory: &'p Path, fsync: Fsync) -> Self {
        Self {
            directory,
            fsync,
            events: None,
            limit: None,
            keep: None,
            compression: None,
            wrapper: Vec::new(),
        }
    }

    pub(crate) fn start(&self) -> Load {
        let mut command = child("load::child_publishes_until_it_is_ended", &self.wrapper);
        let published = NamedTempFile::new().expect("a file");
        command.env(DIRECTORY, self.directory).env(FSYNC, self.fsync.to_string());
        command.env(PUBLISHED, published.path());
        if let Some(file) = self.events {
            command.env(EVENTS, file);
        }
        if let Some(limit) = self.limit {
            command.env(LIMIT, limit.to_string());
        }
        if let Some(keep) = self.keep {
            command.env(KEEP, keep.to_string());
        }
        if let Some(level) = self.compression {
            command.env(COMPRESSION, level.to_string());
        }
        let mut child = command.spawn().expect("a child");
        let pipe = child.stderr.take().expect("its standard error");
        // Read to the end all the time: it must die by what kills it, not by a closed pipe.
        let (sender, opened) = channel();
        let failed = Arc::new(AtomicU64::new(0));
        let counted = failed.clone();
        let told = Some(thread::spawn(move || listen(pipe, &sender, &counted)));
        Load { child, failed, told, published, opened }
    }
}

fn listen(pipe: impl Read, opened: &Sender<()>, failed: &AtomicU64) -> (Told, String) {
    let (mut told, mut rest) = (Told::default(), String::new());
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).expect("a pipe") > 0 {
        let text = String::from_utf8_lossy(&line);
        let number = |text: &str| text.trim_end().parse::<u64>().ok();
        // A line that was cut off by the kill was never told.
        let whole = text.ends_with('\n');
        match (text.strip_prefix("w ").and_then(number), text.strip_prefix("d ").and_then(number)) {
            (Some(written), _) if whole => told.written = told.written.max(written),
            (_, Some(durable)) if whole => told.durable = told.durable.max(durable),
            _ if text.ends_with("opened\n") => drop(opened.send(())),
            _ if text == "failed\n" => drop(failed.fetch_add(1, Ordering::Relaxed)),
            _ if text.starts_with("longest ") => {
                let longest = text.strip_prefix("longest ").and_then(number).expect("a number");
                told.longest = told.longest.max(Duration::from_micros(longest));
            }
            _ => rest.push_str(&text),
        }
        line.clear();
    }
    (told, rest)
}

impl Load {
    /// How often its journal has failed, as it goes on.
    pub(crate) fn failures(&self) -> Arc<AtomicU64> {
        self.failed.clone()
    }

    /// Waits until it has its journal open; false if it ended before.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.recv().is_ok()
    }

    /// Kills it, as the system does when memory runs out.
    pub(crate) fn kill(mut self) -> Told {
        let _ = self.child.kill();
        self.ended().1
    }

    /// Holds it still, between two calls of the system in each of its threads.
    pub(crate) fn freeze(&self) {
        let pid = self.child.id();
        run("kill", &["-STOP", &pid.to_string()]).expect("stopped");
        let is_still = |task: io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(task.expect("a thread").path().join("stat"));
            // The state follows the name, which is in parentheses.
            stat.is_ok_and(|stat| {
                stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
            })
        };
        let tasks = format!("/proc/{pid}/task");
        while !fs::read_dir(&tasks).expect("its threads").all(is_still) {
            thread::yield_now();
        }
    }

    /// Waits until it ends by itself: how, what it told, and whatever else it said.
    pub(crate) fn ended(mut self) -> (ExitStatus, Told, String) {
        let status = self.child.wait().expect("gone");
        let (told, rest) = self.told.take().expect("once").join().expect("no panic");
        (status, Told { published: count_in(self.published.path()), ..told }, rest)
    }
}

impl Drop for Load {
    /// Ends it also when a test fails.
    fn drop(&mut self) {
        if self.told.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn child_publishes_until_it_is_ended() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let fsync = setting(FSYNC).expect("a policy");
    let limit = setting::<u64>(LIMIT);
    let events = events(env::var_os(EVENTS).map(PathBuf::from).as_deref());
    let options = JournalOptions::default().with_fsync(fsync).with_segment_bytes(SEGMENT_BYTES);
    let options = options.with_keep_events(setting(KEEP)).with_compression(setting(COMPRESSION));
    // A fault may hit the opening, too; nobody has a receipt by then.
    let journal = loop {
        match Journal::open(&directory, options.clone()) {
            Ok(journal) => break journal,
            Err(error) if error.is_transient() && limit.is_some() => {}
            Err(error) => {
                eprintln!("not opened: {error} {error:?}");
                process::exit(7);
            }
        }
    };
    eprintln!("opened");
    let last = journal.last_sequence().map_or(0, Sequence::get);
    let bus = EventBus::builder().start(Sequence::new(last + 1)).build();
    let persist = PersistOptions {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(20),
        observer: Some(Box::new(|trouble| {
            if let Trouble::Failed { .. } = trouble {
                io::stderr().write_all(b"failed\n").expect("the parent reads");
            }
        })),
        ..PersistOptions::default()
    };
    let persistence = bus.persist(journal, persist).expect("started");
    let receipts = persistence.receipts();

    let latest = counted_in(Path::new(&env::var_os(PUBLISHED).expect("a file")));
    latest.store(last, Ordering::Release);
    let ends = limit.map(|limit| last + limit);
    let tellers = [
        teller("w", fsync, latest, receipts.clone(), Receipts::written, ends),
        teller("d", fsync, latest, receipts, Receipts::durable, ends),
    ];
    let mut next = last;
    while Some(next) != ends {
        let event = events[usize::try_from(next).expect("small") % events.len()].clone();
        if let Ok(published) = bus.publish(event) {
            next += 1;
            assert_eq!(published.sequence, Some(Sequence::new(next)));
            latest.store(next, Ordering::Release);
        }
    }
    tellers.into_iter().for_each(|teller| teller.join().expect("no panic"));
    let report = persistence.stop(PATIENCE);
    assert!(report.complete, "{report:?}");
}

/// Tells of each receipt it gets, until the end is covered.
fn teller<L: ReceiptLevel>(
    word: &'static str,
    fsync: Fsync,
    latest: &'static AtomicU64,
    receipts: Receipts,
    ask: fn(&Receipts, Sequence) -> Confirmation<L>,
    ends: Option<u64>,
) -> JoinHandle<()> {
    // The publisher runs far ahead of the disk: whoever asks for its last event waits long.
    let step = if fsync == Fsync::Always { 1 } else { 64 };
    let mut told = latest.load(Ordering::Acquire);
    thread::spawn(move || {
        let (mut line, mut longest) = (String::new(), Duration::ZERO);
        while Some(told) != ends {
            let newest = latest.load(Ordering::Acquire);
            if newest <= told {
                thread::yield_now();
                continue;
            }
            let asked = Instant::now();
            let answer = ask(&receipts, Sequence::new(newest.min(told + step))).wait(PATIENCE);
            longest = longest.max(asked.elapsed());
            match answer {
                Ok(receipt) => {
                    told = receipt.sequence().get();
                    line.clear();
                    writeln!(line, "{word} {told}").expect("a string");
                    // One write a line, so that a kill cuts none in the middle.
                    io::stderr().write_all(line.as_bytes()).expect("the parent reads");
                }
                Err(ReceiptError::NotPromised(_)) => break,
                // It is tried again.
                Err(ReceiptError::Failed(_)) => {}
                Err(error) => {
                    eprintln!("no receipt: {error}");
                    process::exit(8);
                }
            }
        }
        eprintln!("longest {}", longest.as_micros());
    })
}
