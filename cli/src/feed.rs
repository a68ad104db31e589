//! The thread that reads and decodes, apart from the one that publishes.
//!
//! So that a signal ends a run that waits for standard input, and decoding and publishing share
//! the work of two cores. What was read is handed over before the reader may block: an event
//! never waits for the next one.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::input::{Decode, Input, Item};

/// A file or stream to read events from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

impl Source {
    /// The sources named on a command line; standard input if there is none.
    pub(crate) fn all(files: &[PathBuf]) -> anyhow::Result<Vec<Self>> {
        if files.is_empty() {
            return Ok(vec![Self::Stdin]);
        }
        files.iter().map(Self::named).collect()
    }

    /// Refuses what cannot be read before anything is published.
    fn named(file: &PathBuf) -> anyhow::Result<Self> {
        if file.as_os_str() == "-" {
            return Ok(Self::Stdin);
        }
        // Only looked at: a pipe that was opened here and closed again would be broken.
        let found = fs::metadata(file).map_err(|error| unreadable(file.display(), &error))?;
        if found.is_dir() {
            bail!("cannot read {}: it is a directory; name the files in it", file.display());
        }
        Ok(Self::File(file.clone()))
    }

    fn name(&self) -> String {
        match self {
            Self::Stdin => "<stdin>".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Stdin => Box::new(io::stdin().lock()),
            Self::File(path) => Box::new(File::open(path)?),
        })
    }

    /// How many bytes there are to read, if that is known.
    fn length(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => {
                fs::metadata(path).ok().filter(|found| found.is_file()).map(|found| found.len())
            }
        }
    }
}

/// What to say and to do when a source cannot be read.
fn unreadable(name: impl Display, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("cannot read {name}: there is no such file; check its name")
        }
        io::ErrorKind::PermissionDenied => {
            anyhow!("cannot read {name}: permission denied; check who may read it")
        }
        _ => anyhow!("cannot read {name}: {error}"),
    }
}

/// What was read since the last time.
#[derive(Debug)]
pub(crate) struct Chunk<E> {
    pub(crate) items: Vec<Item<E>>,
    /// All bytes read so far.
    pub(crate) bytes: u64,
}

/// The next thing from a [`Feed`].
#[derive(Debug)]
pub(crate) enum Fed<E> {
    Chunk(Chunk<E>),
    /// Nothing within the time.
    Nothing,
    /// Reading failed; nothing follows.
    Failed(anyhow::Error),
    End,
}

/// Events being read on a thread of their own.
#[derive(Debug)]
pub(crate) struct Feed<E> {
    chunks: Receiver<anyhow::Result<Chunk<E>>>,
    thread: Option<JoinHandle<()>>,
    /// How many bytes there are to read, if that is known.
    pub(crate) total: Option<u64>,
}

/// Chunks that may wait to be published.
const WAITING: usize = 8;
const BUFFER: usize = 64 * 1024;

impl<E: Send + 'static> Feed<E> {
    /// Starts reading; `decoder` makes the events.
    pub(crate) fn start(
        sources: Vec<Source>,
        mut decoder: impl Decode<Event = E>,
    ) -> anyhow::Result<Self> {
        let total = sources.iter().map(Source::length).sum();
        let (sender, chunks) = sync_channel(WAITING);
        let read = move || {
            let outbox = Rc::new(RefCell::new(Outbox { items: Vec::new(), bytes: 0, sender }));
            for source in &sources {
                if let Err(error) = read(source, &mut decoder, &outbox) {
                    let error = unreadable(source.name(), &error);
                    let mut outbox = outbox.borrow_mut();
                    // Nobody listens any more if this fails.
                    let _ = outbox.hand_over();
                    let _ = outbox.sender.send(Err(error));
                    return;
                }
            }
            let _ = outbox.borrow_mut().hand_over();
        };
        let thread = thread::Builder::new().name("ringpost-input".into());
        let thread = thread.spawn(read).context("cannot start the thread that reads events")?;
        Ok(Self { chunks, thread: Some(thread), total })
    }

    /// What was read, as soon as there is something, within `timeout`.
    pub(crate) fn next(&mut self, timeout: Duration) -> Fed<E> {
        match self.chunks.recv_timeout(timeout) {
            Ok(Ok(chunk)) => Fed::Chunk(chunk),
            Ok(Err(error)) => Fed::Failed(error),
            Err(RecvTimeoutError::Timeout) => Fed::Nothing,
            Err(RecvTimeoutError::Disconnected) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(_)) => Fed::Failed(anyhow!("reading events failed; this is a bug")),
                _ => Fed::End,
            },
        }
    }
}

fn read<D: Decode>(
    source: &Source,
    decoder: &mut D,
    outbox: &Rc<RefCell<Outbox<D::Event>>>,
) -> io::Result<()> {
    let handing_over = HandingOver { reader: source.open()?, outbox: Rc::clone(outbox) };
    let name = source.name().into();
    let emit = |item| outbox.borrow_mut().items.push(item);
    Input { name, decoder, emit }.read(BufReader::with_capacity(BUFFER, handing_over))
}

/// What was read and not handed over yet.
struct Outbox<E> {
    items: Vec<Item<E>>,
    /// All bytes read so far.
    bytes: u64,
    sender: SyncSender<anyhow::Result<Chunk<E>>>,
}

impl<E> Outbox<E> {
    /// Fails if nobody listens any more.
    fn hand_over(&mut self) -> io::Result<()> {
        if self.items.is_empty() {
            return Ok(());
        }
        let items = std::mem::take(&mut self.items);
        let chunk = Chunk { items, bytes: self.bytes };
        self.sender.send(Ok(chunk)).map_err(|_| io::Error::other("nobody listens any more"))
    }
}

/// A reader that hands over what was read before it may block for more.
struct HandingOver<E> {
    reader: Box<dyn Read>,
    outbox: Rc<RefCell<Outbox<E>>>,
}

impl<E> Read for HandingOver<E> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.outbox.borrow_mut().hand_over()?;
        let length = self.reader.read(into)?;
        self.outbox.borrow_mut().bytes += length as u64;
        Ok(length)
    }
}
