//! Sleeping until a journal has changed.
//!
//! A follower that asks again and again is late or busy; the system tells here that a segment
//! grew or came. It is a hint alone: where the system cannot tell (another system than Linux, a
//! file of another machine, too many watches), the wait ends at its timeout.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::read::{JournalReader, Target};

/// Tells when a journal has changed. Writers do not notice it.
///
/// Make it before the first [`poll`](super::Follow::poll) of a follower: then whatever comes after
/// a poll that found nothing ends the next wait.
#[derive(Debug)]
pub struct Watch {
    changes: Option<OwnedFd>,
}

impl JournalReader {
    /// Watches the journal's directory, or the one file, from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let changes = match &self.target {
            Target::Directory(storage) => changes(storage.place()),
            Target::File(path) => changes(path),
        };
        Watch { changes }
    }
}

impl Watch {
    /// Waits until something has changed since the last wait, for at most `timeout`; whether it
    /// has. After `false` it may have too, unnoticed: look in any case.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        let Some(changes) = &self.changes else {
            std::thread::sleep(timeout);
            return false;
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let changed = poll(&mut [PollFd::new(changes, PollFlags::IN)], Some(&timeout));
        let changed = changed.is_ok_and(|count| count > 0);
        // What has changed is for the follower to see.
        let mut told = [0; 4096];
        while changed && rustix::io::read(changes, &mut told).is_ok_and(|read| read == told.len()) {
        }
        changed
    }
}

#[cfg(target_os = "linux")]
fn changes(path: &Path) -> Option<OwnedFd> {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

    let changes = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    let of_interest =
        WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    add_watch(&changes, path, of_interest).ok()?;
    Some(changes)
}

#[cfg(not(target_os = "linux"))]
fn changes(_: &Path) -> Option<OwnedFd> {
    None
}
