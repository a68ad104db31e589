//! What the journal asks of a disk, and nothing more.
//!
//! The writer, recovery and every reader reach files through [`Storage`] only, so that a test can
//! own the disk: fail the n-th call, forget what was not synced, tear the last write. [`Disk`] is
//! the real one. A segment's name that exists is never created again, and no segment is renamed:
//! only a compressed one, and one that is written again, get their names once they are whole.
#![forbid(unsafe_code)]

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lock::LOCK;
use super::planted::{Bug, planted};
use super::syncer::Syncer;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading; works on a directory that belongs to somebody else.
    Read,
    /// Reading, appending and cutting: the writer's own.
    Append,
    /// Reading and writing over what is there: a checkpoint's.
    Replace,
}

/// One directory of files.
///
/// Contract: a file made by [`create`](Self::create) is found again after a crash only once
/// [`sync_directory`](Self::sync_directory) returned; bytes only once [`StoredFile::sync`] did.
pub(crate) trait Storage: Send + Sync + Debug {
    /// Where this is, for messages.
    fn place(&self) -> &Path;
    /// Makes the directory for its owner alone if it is missing; refuses a symbolic link.
    fn make_directory(&self) -> io::Result<()>;
    /// Whether anybody but the owner may put files here.
    fn is_open_to_others(&self) -> io::Result<bool>;
    /// The names in the directory, in no order; those that are not UTF-8 are left out.
    fn names(&self) -> io::Result<Vec<String>>;
    /// A new empty file for its owner alone, opened for appending.
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>>;
    /// An existing plain file. Never follows a symbolic link and never waits, as on a pipe.
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StoredFile>>;
    /// Makes the directory's entries durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Takes the one lock of `name`, made if missing, with `note` written into it for people.
    /// It is given back when the result is dropped and when the process dies, however it dies.
    /// `WouldBlock` while another holds it.
    fn lock(&self, name: &str, note: &str) -> io::Result<Box<dyn Held>>;
    /// Whether somebody holds the lock of `name` now. Leaves no trace.
    fn is_locked(&self, name: &str) -> io::Result<bool>;
    /// Takes a file's name away. Never follows a symbolic link.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The directory of that name in this one, whether it is there or not. Never followed if it
    /// is a symbolic link.
    fn below(&self, name: &str) -> Arc<dyn Storage>;
    /// Gives a file another name, which no file has: the caller has the directory to itself and
    /// has looked.
    fn rename(&self, name: &str, to: &str) -> io::Result<()>;
}

/// A lock that is held until dropped.
pub(crate) trait Held: Send + Debug {}

/// One open file.
pub(crate) trait StoredFile: Send + Debug {
    /// Appends as much as one system call takes, possibly less than all.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Reads at an offset without moving anything; 0 at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at an offset, as much as one system call takes. Only for a file that was opened
    /// to [replace](Access::Replace) what is in it.
    fn write_at(&mut self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// The length now.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file to `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Makes the contents durable. After an error nothing is known about what was written since
    /// the last success, and a later success does not change that.
    fn sync(&mut self) -> io::Result<()>;
    /// Begins to make durable what was appended so far, while more is appended. Its end is the end
    /// of a [`sync`](Self::sync), with the same meaning. None where it can't be done now.
    fn begin_sync(&mut self) -> Option<Box<dyn RunningSync>> {
        None
    }
    /// Whether only reading onward is cheap: a step back costs a pass from the beginning.
    fn is_stream(&self) -> bool {
        false
    }
    /// Asked once reading at `offset` failed with `InvalidData`: from where to where nothing can be
    /// read, because what is stored of it is damaged. A line begins behind it.
    fn damage_at(&self, _offset: u64) -> Option<Range<u64>> {
        None
    }
    /// What the system knows it by, where there is such a thing: device and number. For a file under a
    /// name that others give; a segment is known by its number.
    fn identity(&self) -> Option<(u64, u64)> {
        None
    }
    /// Who may have written it; what cannot tell is unsupported.
    fn ownership(&self) -> io::Result<Ownership> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A sync that goes on by itself, also when nobody waits for it any more.
pub(crate) trait RunningSync: Send + Debug {
    /// How it ended, told once: waits for it if told to, else none while it goes on.
    fn ended(&mut self, wait: bool) -> Option<io::Result<()>>;
}

/// To whom a file belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// The owner's number.
    pub(crate) owner: u32,
    /// Whether others than the owner may write into it.
    pub(crate) is_open_to_others: bool,
}

/// Appends until all is taken or the system refuses; how much was taken, and the refusal.
pub(crate) fn append_all(file: &mut dyn StoredFile, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut taken = 0;
    while taken < bytes.len() {
        match file.append(&bytes[taken..]) {
            Ok(0) => return (taken, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => taken += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (taken, Some(error)),
        }
    }
    (taken, None)
}

/// A directory of the real file system.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// Whether the directory lies in another one that is ours, and so must be none that a link
    /// leads to.
    nested: bool,
    syncer: Arc<Syncer>,
}

impl Disk {
    /// Names the directory; touches nothing.
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), nested: false, syncer: Arc::default() }
    }

    /// The path of a file, unless the directory is not the one it seems to be.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        if self.nested && !fs::symlink_metadata(&self.directory)?.is_dir() {
            return Err(refused("its directory is not a plain one"));
        }
        Ok(self.directory.join(name))
    }

    /// The directory itself, if it can be opened.
    fn opened(&self) -> Option<File> {
        File::open(&self.directory).ok()
    }

    /// A plain file that a person named: links are followed, only reading is possible.
    pub(crate) fn open_named(path: &Path) -> io::Result<Box<dyn StoredFile>> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Box::new(DiskFile::plain(file, Arc::default())?))
    }

    /// The [identity](StoredFile::identity) of what now has that name, if something has.
    pub(crate) fn identity_of(path: &Path) -> Option<(u64, u64)> {
        fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }

    fn options(access: Access) -> OpenOptions {
        let mut options = OpenOptions::new();
        // O_NONBLOCK changes nothing for a plain file; on a pipe planted under a segment's
        // name it turns an endless wait into a refusal.
        options.read(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        options.append(access == Access::Append).write(access == Access::Replace);
        options
    }
}

impl Storage for Disk {
    fn place(&self) -> &Path {
        &self.directory
    }

    fn make_directory(&self) -> io::Result<()> {
        let parent = match self.directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        make_ancestors(parent)?;
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            // The mode given at creation is narrowed by the umask; this one is not.
            Ok(()) => {
                fs::set_permissions(&self.directory, Permissions::from_mode(0o700))?;
                // The new directory's own entry lives in its parent.
                File::open(parent)?.sync_all()
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&self.directory)?;
                if !found.is_dir() {
                    return Err(refused("it is not a plain directory"));
                }
                // Whoever made it may have died before its entry was durable. A parent that we
                // may not open was not made by us.
                File::open(parent).map_or(Ok(()), |parent| parent.sync_all())
            }
            Err(error) => Err(error),
        }
    }

    fn is_open_to_others(&self) -> io::Result<bool> {
        Ok(fs::metadata(&self.directory)?.mode() & 0o022 != 0)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path("")?)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        let file = Self::options(Access::Append).create_new(true).open(self.path(name)?)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Box::new(DiskFile { file: Arc::new(file), syncer: Arc::clone(&self.syncer) }))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StoredFile>> {
        let file = Self::options(access).open(self.path(name)?).map_err(explain_link)?;
        let file = DiskFile::plain(file, Arc::clone(&self.syncer))?;
        // A second name would let a write here change a file elsewhere.
        if access != Access::Read && file.file.metadata()?.nlink() != 1 {
            return Err(refused("the file has more than one name"));
        }
        Ok(Box::new(file))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn lock(&self, name: &str, note: &str) -> io::Result<Box<dyn Held>> {
        let path = self.path(name)?;
        // Whoever removes the journal's lock lets nobody in: its writer holds the directory as well,
        // where the file system has such locks. Consumers' locks share theirs.
        let directory = if name == LOCK { self.opened() } else { None };
        if let Some(Err(TryLockError::WouldBlock)) = directory.as_ref().map(File::try_lock)
            && !planted(Bug::NoLock)
        {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file = Self::options(Access::Append).create(true).open(path).map_err(explain_link)?;
        let file = DiskFile::plain(file, Arc::default())?.file;
        // What is written into it would be written into the file that it is elsewhere.
        if file.metadata()?.nlink() > 1 {
            return Err(refused("the file has more than one name"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if planted(Bug::NoLock) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_permissions(Permissions::from_mode(0o600))?;
        // The note is a courtesy: on a full disk the lock is as good without it.
        let _ = file.set_len(0).and_then(|()| io::Write::write(&mut &*file, note.as_bytes()));
        Ok(Box::new(DiskLock { _file: file, _directory: directory }))
    }

    fn is_locked(&self, name: &str) -> io::Result<bool> {
        let directory = if name == LOCK { self.opened() } else { None };
        if let Some(Err(TryLockError::WouldBlock)) = directory.as_ref().map(File::try_lock_shared) {
            return Ok(true);
        }
        let file = match Self::options(Access::Read).open(self.path(name)?) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(explain_link(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name)?)
    }

    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(name)?, self.path(to)?)
    }

    fn below(&self, name: &str) -> Arc<dyn Storage> {
        let syncer = Arc::clone(&self.syncer);
        Arc::new(Self { directory: self.directory.join(name), nested: true, syncer })
    }
}

/// The open lock file, and the directory: closing them, also by dying, is what gives the lock back.
#[derive(Debug)]
struct DiskLock {
    _file: Arc<File>,
    _directory: Option<File>,
}

impl Held for DiskLock {}

#[derive(Debug)]
struct DiskFile {
    /// Shared with a sync that is running.
    file: Arc<File>,
    syncer: Arc<Syncer>,
}

impl DiskFile {
    fn plain(file: File, syncer: Arc<Syncer>) -> io::Result<Self> {
        if file.metadata()?.is_file() {
            Ok(Self { file: Arc::new(file), syncer })
        } else {
            Err(refused("it is not a plain file"))
        }
    }
}

impl StoredFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut &*self.file, bytes)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn begin_sync(&mut self) -> Option<Box<dyn RunningSync>> {
        self.syncer.begin(&self.file)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.file.metadata().ok().map(|found| (found.dev(), found.ino()))
    }

    fn ownership(&self) -> io::Result<Ownership> {
        let found = self.file.metadata()?;
        Ok(Ownership { owner: found.uid(), is_open_to_others: found.mode() & 0o022 != 0 })
    }
}

/// Makes the missing directories down to `directory`, each of them durable in the one above.
fn make_ancestors(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = match directory.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    make_ancestors(above)?;
    match fs::create_dir(directory) {
        // Somebody else may have been quicker.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(above)?.sync_all()
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// O_NOFOLLOW reports a link as ELOOP, which nobody would understand.
fn explain_link(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::ELOOP) { refused("it is a symbolic link") } else { error }
}
