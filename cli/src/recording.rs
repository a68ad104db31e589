//! The events of a journal that match, gathered on a thread of their own.
//!
//! So that a signal ends a run that searches for long. The search decodes each match once, on its
//! own threads, in order; a few chunks are ahead of whoever publishes.
#![forbid(unsafe_code)]

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use ringpost::Shared;
use ringpost::event::Event;
use ringpost::event::json::{Limits, decode_record};
use ringpost::store::StoreError;
use ringpost::store::journal::Damage;
use ringpost::store::journal::query::Matches;

use crate::exit::Failure;
use crate::target::unreadable;

/// What was read since the last time.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The events, or why a line is none.
    pub(crate) events: Vec<Result<Shared<Event>, String>>,
    /// All bytes gone through so far.
    pub(crate) bytes: u64,
    /// All damaged lines met so far, and the first of them.
    pub(crate) damaged: u64,
    pub(crate) first_damage: Option<Damage>,
    /// Segments so far that were removed before they could be read.
    pub(crate) gone: u64,
}

/// The next thing from a [`Recording`].
#[derive(Debug)]
pub(crate) enum Played {
    Chunk(Chunk),
    /// Nothing within the time.
    Nothing,
    /// Reading failed; nothing follows.
    Failed(Failure),
    End,
}

/// Matches being gathered.
#[derive(Debug)]
pub(crate) struct Recording {
    chunks: Receiver<Result<Chunk, StoreError>>,
    thread: Option<JoinHandle<()>>,
    /// How many bytes there are to go through.
    pub(crate) total: u64,
}

/// Events handed over at once: few enough that a pace sees to each, and that the memory they take
/// is small.
const CHUNK: usize = 256;
/// Chunks that may wait to be published.
const WAITING: usize = 8;

impl Recording {
    /// Starts gathering; the matches come [with events](ringpost::store::journal::query::Query::with_events).
    pub(crate) fn start(matches: Matches) -> anyhow::Result<Self> {
        let total = matches.progress().1;
        let (sender, chunks) = sync_channel(WAITING);
        let gather = move || {
            if let Err(error) = gather_all(matches, &sender) {
                // Nobody listens any more if this fails.
                let _ = sender.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("ringpost-recording".into());
        let thread = thread.spawn(gather).context("cannot start the thread that reads events")?;
        Ok(Self { chunks, thread: Some(thread), total })
    }

    /// What was decoded, as soon as there is something, within `timeout`.
    pub(crate) fn next(&mut self, timeout: Duration) -> Played {
        match self.chunks.recv_timeout(timeout) {
            Ok(Ok(chunk)) => Played::Chunk(chunk),
            Ok(Err(error)) => Played::Failed(unreadable(error)),
            Err(RecvTimeoutError::Timeout) => Played::Nothing,
            Err(RecvTimeoutError::Disconnected) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(_)) => {
                    Played::Failed(anyhow!("reading events failed; this is a bug").into())
                }
                _ => Played::End,
            },
        }
    }
}

/// A line of this size is within the usual limits.
const LARGEST: usize = 1024 * 1024;

/// Hands over all matches, until nobody listens any more.
fn gather_all(
    mut matches: Matches,
    to: &SyncSender<Result<Chunk, StoreError>>,
) -> Result<(), StoreError> {
    let mut events = Vec::with_capacity(CHUNK);
    loop {
        let (ended, failed) = match matches.next() {
            Ok(Some(found)) => {
                // A journal may hold larger events than a bus is meant for.
                let refused = match found.line.len() <= LARGEST {
                    true => None,
                    false => decode_record(found.line, &Limits::default()).err(),
                };
                match (refused, matches.take_event()) {
                    (Some(error), _) => events.push(Err(error.to_string())),
                    (None, event) => events.extend(event.map(|event| Ok(Shared::new(event)))),
                }
                (false, None)
            }
            Ok(None) => (true, None),
            Err(error) => (true, Some(error)),
        };
        // What was read before a failure is handed over before it.
        if ended || events.len() == CHUNK {
            let chunk = Chunk {
                events: std::mem::replace(&mut events, Vec::with_capacity(CHUNK)),
                bytes: matches.progress().0,
                damaged: matches.damaged(),
                first_damage: matches.first_damage().cloned(),
                gone: matches.gone(),
            };
            if to.send(Ok(chunk)).is_err() || ended {
                return failed.map_or(Ok(()), Err);
            }
        }
    }
}
