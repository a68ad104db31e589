//! Starting `ringpost`, feeding it, and reading what it says.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A directory of the test's own, in which `ringpost` runs.
pub(crate) struct Place(TempDir);

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Standard output as one JSON object.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The names of that object's members, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        keys(&self.out)
    }

    /// The attribute of each event on standard output.
    pub(crate) fn events(&self, attribute: &str) -> Vec<String> {
        attributes(&self.out, attribute)
    }
}

/// The names of a JSON object's members, as they are written.
pub(crate) fn keys(json: &str) -> Vec<String> {
    let mut names: Vec<String> = serde_json::from_str::<serde_json::Map<String, Value>>(json)
        .unwrap_or_else(|error| panic!("{error}: {json}"))
        .keys()
        .cloned()
        .collect();
    // A map may forget the order that the text has.
    names.sort_by_key(|name| json.find(&format!("\"{name}\":")));
    names
}

/// The attribute of each event in a text of JSON lines.
pub(crate) fn attributes(lines: &str, attribute: &str) -> Vec<String> {
    let read = |line: &str| {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        event[attribute].as_str().unwrap_or_else(|| panic!("no {attribute}: {line}")).to_owned()
    };
    lines.lines().map(read).collect()
}

/// A CloudEvent of this id and type, as a line without its end.
pub(crate) fn event(id: impl std::fmt::Display, kind: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"test","type":"{kind}","data":{{"n":1.0}}}}"#
    )
}

/// As many events of one type, a line each, with ids from 1.
pub(crate) fn events(count: usize, kind: &str) -> String {
    (1..=count).map(|id| event(id, kind) + "\n").collect()
}

/// The bytes of a journal's segments, oldest first.
pub(crate) fn segments(journal: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(journal)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files
}

/// Every line of a journal.
pub(crate) fn stored(journal: &Path) -> String {
    segments(journal).iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// `ringpost` in this directory, without settings of whoever runs the tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        for name in [
            "JOURNAL",
            "FSYNC",
            "SEGMENT_BYTES",
            "SEGMENT_AGE",
            "KEEP_EVENTS",
            "KEEP_AGE",
            "KEEP_BYTES",
            "COMPRESS",
            "CONFIG",
        ] {
            command.env_remove(format!("RINGPOST_{name}"));
        }
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.feed(arguments, "")
    }

    /// Runs it to its end with this on standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &str) -> Ended {
        let mut running = Running::start(self.command(arguments).stdin(Stdio::piped()));
        let mut stdin = running.stdin.take().unwrap();
        let input = input.to_owned();
        // It may end without having read everything.
        let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let ended = running.end();
        writer.join().unwrap();
        ended
    }

    /// Runs it to its end, for its exit code and what it says to people.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.out, "", "{ended:?}");
        ended.err
    }
}

/// A `ringpost` that runs beside the test.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) out: Option<BufReader<ChildStdout>>,
    err: thread::JoinHandle<String>,
    _watchdog: Watchdog,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = child.stderr.take().unwrap();
        let read = move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        };
        Self {
            stdin: child.stdin.take(),
            out: child.stdout.take().map(BufReader::new),
            err: thread::spawn(read),
            _watchdog: Watchdog::over(&child),
            child,
        }
    }

    /// The next line on standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// A line on its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// What the system says of the process, or of one of its threads, under this name.
    fn status(&self, of: &Path, name: &str) -> Option<String> {
        let place = PathBuf::from(format!("/proc/{}", self.child.id())).join(of).join("status");
        let status = fs::read_to_string(place).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Some(line?.trim().to_owned())
    }

    /// The most memory that it has held so far, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let peak = self.status(Path::new(""), "VmHWM").unwrap();
        peak.trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until it heeds signals, or has ended.
    pub(crate) fn await_heeding(&mut self) {
        let heeds = |caught: String| {
            let caught = u64::from_str_radix(&caught, 16).unwrap();
            [Signal::INT, Signal::TERM].iter().all(|it| caught >> (it.as_raw() - 1) & 1 == 1)
        };
        while !self.status(Path::new(""), "SigCgt").is_some_and(heeds)
            && self.child.try_wait().unwrap().is_none()
        {
            thread::yield_now();
        }
    }

    /// Waits until it has read all that was said to it.
    pub(crate) fn await_reading(&self) {
        while ioctl_fionread(self.stdin.as_ref().unwrap()).unwrap() > 0 {
            thread::yield_now();
        }
    }

    /// Sends a signal and waits until the thread that watches for them has dealt with it: until it
    /// sleeps once more. For a process that can't end meanwhile. Of a thread's name the system keeps
    /// 15 bytes.
    pub(crate) fn interrupt(&self, signal: Signal) {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let watches = |thread: &PathBuf| {
            self.status(thread, "Name").is_some_and(|name| name == "ringpost-signal")
        };
        let mut threads = threads.map(|thread| Path::new("task").join(thread.unwrap().file_name()));
        let watcher = threads.find(watches).expect("the thread that watches for signals");
        let slept = || loop {
            if self.status(&watcher, "State").unwrap().starts_with('S') {
                break self.status(&watcher, "voluntary_ctxt_switches").unwrap();
            }
            thread::yield_now();
        };
        let before = slept();
        self.signal(signal);
        while slept() == before {
            thread::yield_now();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end and reads the rest of what it says.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let mut out = String::new();
        if let Some(mut rest) = self.out.take() {
            rest.read_to_string(&mut out).unwrap();
        }
        let code = self.child.wait().unwrap().code();
        Ended { code, out, err: self.err.join().unwrap() }
    }
}

/// Kills a child that does not end, so that a test fails instead of hanging.
struct Watchdog(Option<Sender<()>>);

impl Watchdog {
    fn over(child: &Child) -> Self {
        let (release, released): (Sender<()>, Receiver<()>) = channel();
        let pid = Pid::from_child(child);
        thread::spawn(move || {
            if released.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self(Some(release))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// What another program's run gave.
pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
