//! Syncs of the real disk that go on while more is appended, on a thread of their own.
//!
//! [`Disk`](super::storage::Disk) owns one; the writer begins syncs and hears how they ended. The
//! thread is started with the first of them and ends with the disk and its files. It must never
//! sync a file twice for one request: what the second call says would mean nothing.
#![forbid(unsafe_code)]

use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use super::storage::RunningSync;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Syncer {
    requests: Mutex<Option<Sender<Request>>>,
}

#[derive(Debug)]
struct Request {
    file: Arc<File>,
    ended: SyncSender<io::Result<()>>,
}

#[derive(Debug)]
struct Running(Receiver<io::Result<()>>);

impl Syncer {
    /// Begins to make durable what is in `file` now. None if the system gives no thread.
    pub(super) fn begin(&self, file: &Arc<File>) -> Option<Box<dyn RunningSync>> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let to = match &*requests {
            Some(to) => to,
            None => requests.insert(start().ok()?),
        };
        let (ended, running) = sync_channel(1);
        to.send(Request { file: Arc::clone(file), ended }).ok()?;
        Some(Box::new(Running(running)))
    }
}

fn start() -> io::Result<Sender<Request>> {
    let (to, requests) = channel::<Request>();
    thread::Builder::new().name("ringpost-sync".into()).spawn(move || {
        for Request { file, ended } in requests {
            let synced = file.sync_data();
            drop(file);
            // Who asked may be gone: then nobody needs to know.
            let _ = ended.send(synced);
        }
    })?;
    Ok(to)
}

impl RunningSync for Running {
    fn ended(&mut self, wait: bool) -> Option<io::Result<()>> {
        // The thread ends only when nobody asks any more: an answer always comes.
        let gone = || Err(io::Error::other("the thread that syncs is gone"));
        if wait {
            return Some(self.0.recv().unwrap_or_else(|_| gone()));
        }
        match self.0.try_recv() {
            Ok(ended) => Some(ended),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(gone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn each_sync_says_how_it_ended_once() {
        let file = Arc::new(tempfile::tempfile().expect("a file"));
        let syncer = Syncer::default();
        for _ in 0..3 {
            (&*file).write_all(b"x").expect("written");
            let mut running = syncer.begin(&file).expect("a thread");
            (&*file).write_all(b"appending goes on").expect("written");
            assert!(running.ended(true).is_some_and(|ended| ended.is_ok()));
        }
        let mut looked_at = syncer.begin(&file).expect("a thread");
        while looked_at.ended(false).is_none() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_file_that_cannot_be_synced_is_told() {
        let pipe = std::process::Command::new("true").stdin(std::process::Stdio::piped()).spawn();
        let mut child = pipe.expect("`true` runs");
        let stdin = std::os::fd::OwnedFd::from(child.stdin.take().expect("it has one"));
        let mut running = Syncer::default().begin(&Arc::new(File::from(stdin))).expect("a thread");
        assert!(running.ended(true).is_some_and(|ended| ended.is_err()), "a pipe has no disk");
        child.wait().expect("it ends");
    }
}
