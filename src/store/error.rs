//! What a store says when it cannot do what it was asked.
//!
//! Made by every store, read by the persistence actor (is it worth trying again?) and by people.
//! Never carries a driver's type in its signature, and never a credential in its text.
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;
use std::{fmt, io};

use crate::Gap;

/// Why a store failed, in words that mean the same for every store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another writer holds the store.
    Locked,
    /// There is nothing at the place that was named.
    NotFound,
    /// The operating system or the server does not allow it.
    Denied,
    /// No room: a full disk, a quota, a limit on the size of files.
    Full,
    /// Reading or writing failed.
    Io,
    /// What is at the named place cannot be a store of this kind, or it would be unsafe to use
    /// it: a symbolic link, a device, a file with a second name.
    Refused,
    /// The sequences handed in do not rise above those that are already stored.
    OutOfOrder,
    /// One record is larger than the store takes. The others of its batch are welcome.
    TooLarge,
    /// This build of ringpost, or what is at the named place, cannot do it.
    Unsupported,
    /// The store lost records that it had acknowledged: a server that came back without them.
    /// Told once, with the range ([`StoreError::lost`]); the same call made again goes on.
    Lost,
    /// What was stored there is no longer whole, and nothing can be read from it.
    Damaged,
    /// The store was given up and takes nothing any more.
    Closed,
}

impl StoreErrorKind {
    /// The kind in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Locked => "another writer holds it",
            Self::NotFound => "there is nothing there",
            Self::Denied => "permission denied",
            Self::Full => "no space left",
            Self::Io => "input or output failed",
            Self::Refused => "refused",
            Self::OutOfOrder => "the sequence does not rise",
            Self::TooLarge => "the record is too large",
            Self::Unsupported => "not supported",
            Self::Lost => "it lost what it had stored",
            Self::Damaged => "it is damaged",
            Self::Closed => "the store is closed",
        }
    }

    /// Whether the same call may succeed later without anybody changing the program: a full
    /// disk gets room, a failing device recovers, a permission is granted.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Full | Self::Io | Self::Denied | Self::Lost)
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// A store's failure: what was tried on what, which kind of failure it was, and its cause.
///
/// Cheap to clone, because the persistence actor keeps the last one for whoever asks.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    attempt: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
    lost: Option<Gap>,
}

impl StoreError {
    /// An error of `kind` while doing `attempt` ("append to /var/log/bus").
    #[must_use]
    pub fn new(kind: StoreErrorKind, attempt: impl Into<String>) -> Self {
        Self { kind, attempt: attempt.into(), source: None, lost: None }
    }

    /// The same with the error that caused it. The cause's text must be free of credentials.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The same with the records that the store had acknowledged and no longer has.
    #[must_use]
    pub fn with_lost(self, lost: Gap) -> Self {
        Self { lost: Some(lost), ..self }
    }

    /// An input or output error while doing `attempt`; its kind follows the system's.
    #[must_use]
    pub fn from_io(attempt: impl Into<String>, error: io::Error) -> Self {
        use io::ErrorKind as Os;
        let kind = match error.kind() {
            Os::NotFound | Os::NotADirectory => StoreErrorKind::NotFound,
            Os::PermissionDenied | Os::ReadOnlyFilesystem => StoreErrorKind::Denied,
            Os::StorageFull | Os::QuotaExceeded | Os::FileTooLarge => StoreErrorKind::Full,
            Os::WouldBlock | Os::ResourceBusy => StoreErrorKind::Locked,
            Os::InvalidInput => StoreErrorKind::Refused,
            Os::Unsupported => StoreErrorKind::Unsupported,
            _ => StoreErrorKind::Io,
        };
        Self::new(kind, attempt).with_source(error)
    }

    /// What was tried, and on what, without why it failed.
    #[must_use]
    pub fn attempt(&self) -> &str {
        &self.attempt
    }

    /// Which kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The records that the store had acknowledged and no longer has. Told by one error alone.
    #[must_use]
    pub fn lost(&self) -> Option<Gap> {
        self.lost
    }

    /// Whether trying again later makes sense; see [`StoreErrorKind::is_transient`].
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.attempt, self.kind)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_worth_another_try_and_a_second_writer_is_not() {
        let full = StoreError::from_io("append", io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.kind(), StoreErrorKind::Full);
        assert!(full.is_transient());
        let locked = StoreError::new(StoreErrorKind::Locked, "open");
        assert!(!locked.is_transient());
    }

    #[test]
    fn the_text_says_what_was_tried_and_the_chain_says_why() {
        let error = StoreError::from_io("append to x", io::Error::from_raw_os_error(28));
        assert_eq!(error.to_string(), "append to x: no space left");
        assert_eq!(error.attempt(), "append to x");
        assert!(error.source().expect("a cause").to_string().contains("28"));
    }
}
